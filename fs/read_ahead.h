/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef READ_AHEAD_H
#define READ_AHEAD_H

#include "ops.h"

/*
 * How much the kernel asks for before a reader needs it. A file system may only
 * make it less than 128 KiB; who may write to /sys makes it more.
 */

/*
 * read_ahead_find - find the place, once something is mounted at @mountpoint
 *
 * Asks the file system nothing, so it can be called before it answers.
 */
void read_ahead_find(struct mount *m, const char *mountpoint);

/* read_ahead_raise - once, when the kernel has heard our own limit */
void read_ahead_raise(struct mount *m);

#endif
