/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMPLETE_H
#define COMPLETE_H

#include "completion.h"
#include "tool.h"

/*
 * complete - print what can be typed next, as completion.h says
 * @words: what has been typed behind "larder"; the last one, maybe empty, is
 *	to be completed
 *
 * Asks nobody, waits a few seconds at most, and says nothing of what goes
 * wrong. Returns an exit status.
 */
int complete(const struct command *const *commands, size_t count,
	     const char *const *words, size_t word_count);

/* Of parts that can be left out: attached devices by UDID; what is mounted. */
void complete_devices(const struct completion *c);
void complete_mounted(const struct completion *c);

#endif
