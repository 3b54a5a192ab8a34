/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MOUNTPOINT_H
#define MOUNTPOINT_H

#include <sys/types.h>

#include "mb/err.h"

/*
 * mountpoint_check - may a backup be mounted there?
 * @backup_fd: its folder, or the one of several
 * @real: takes the path with links resolved; the caller frees it
 *
 * Returns 0; -EINVAL if it is the backup or a folder inside it, which would
 * hide what is mounted; -ENOTDIR; errors of the system.
 */
int mountpoint_check(const char *path, int backup_fd, char **real,
		     struct mb_err *err);

/*
 * mountpoint_device - the number of what is mounted there, or 0
 *
 * Nothing that is mounted is asked for it, and nothing mounts itself.
 */
dev_t mountpoint_device(const char *path);

/*
 * mountpoint_unmount_idle - unmount unless somebody uses it
 * @device: of mountpoint_device; what has been mounted there since stays
 *
 * Returns 0, or -EBUSY.
 */
int mountpoint_unmount_idle(const char *path, dev_t device);

/*
 * mountpoint_remove - remove the folder that something was mounted on
 *
 * Unless there is something in it, or somebody is about to mount on it, who
 * has it locked. The folder above it goes too, if it is empty then.
 */
void mountpoint_remove(const char *path);

#endif
