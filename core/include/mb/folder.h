/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_FOLDER_H
#define MB_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Folders that hold backups, each in a folder of its own: what can be told
 * without opening one.
 */

/*
 * mb_folder_is_backup - does an open folder look like a backup?
 *
 * Other things than backups have a Manifest.plist too; one that is incomplete
 * has at least two of the three lists.
 */
bool mb_folder_is_backup(int dir_fd);

/*
 * mb_folder_udid_len - "00008110-000A1B2C3D4E5F67", or 40 digits, in front of
 * a name: the length, 0 if it is none
 */
size_t mb_folder_udid_len(const char *name);

/*
 * mb_folder_each - the backups in a folder, in no order
 * @each: gets a name in the folder and a descriptor that is closed behind it,
 *	or -EACCES for what is named like a backup and does not let us in;
 *	ends the walk by anything but 0
 *
 * Links and hidden folders are none, and what is in a backup is not looked at:
 * a folder that is a backup itself holds none.
 *
 * Returns 0; what @each has returned; errors of the system.
 */
int mb_folder_each(int dir_fd, int (*each)(void *arg, const char *name, int fd),
		   void *arg);

/* mb_folder_holds_any - is @path a folder with at least one of them in it? */
bool mb_folder_holds_any(const char *path);

#endif
