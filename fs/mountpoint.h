/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MOUNTPOINT_H
#define MOUNTPOINT_H

#include "mb/backup.h"

/*
 * mountpoint_check - may the backup be mounted there?
 * @real: takes the path with links resolved; the caller frees it
 *
 * Returns 0; -EINVAL if it is the backup or a folder inside it, which would
 * hide what is mounted; -ENOTDIR; errors of the system.
 */
int mountpoint_check(const char *path, const struct mb_backup *backup,
		     char **real, struct mb_err *err);

/*
 * mountpoint_unmount_idle - unmount unless somebody uses it
 *
 * Returns 0, or -EBUSY.
 */
int mountpoint_unmount_idle(const char *path);

#endif
