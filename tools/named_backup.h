/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef NAMED_BACKUP_H
#define NAMED_BACKUP_H

#include "tool.h"

/*
 * named_backup - the folder that a user means
 * @word: a path; else the UDID or the name of a device, or the name of a
 *	folder, of those that larder find lists
 * @path: for the caller to free
 *
 * A device means its current backup. Which ones it may be is said, if there
 * are several.
 *
 * Returns 0; -ENOENT; -ENOTUNIQ; errors of the system.
 */
int named_backup(char **path, const char *word, const struct common *c,
		 struct mb_err *err);

#endif
