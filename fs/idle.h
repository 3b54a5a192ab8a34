/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IDLE_H
#define IDLE_H

#include "ops.h"

/*
 * idle_start - unmount @mountpoint once nothing has been asked of it for
 * idle_s seconds, no file is open and nobody stands in it
 *
 * Runs in a thread of its own until the process ends. Returns 0 or -errno.
 */
int idle_start(struct mount *m, const char *mountpoint);

#endif
