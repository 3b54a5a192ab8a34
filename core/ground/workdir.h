/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WORKDIR_H
#define WORKDIR_H

#include "mb/err.h"

/*
 * workdir_open - a folder that one process at a time works in
 * @dir_fd: the folder that it is in
 * @name: of the folder; made if it is not there
 *
 * The folder itself is the lock, until the descriptor is closed. What is in it
 * was left by a process that is gone. Whoever has it may remove it, by name,
 * before closing it.
 *
 * Returns a descriptor; -EBUSY if another process has it; errors of the
 * system.
 */
int workdir_open(int dir_fd, const char *name, struct mb_err *err);

#endif
