/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_VFS_H
#define MANIFEST_VFS_H

#include <sqlite3.h>

#include "payload.h"

/*
 * SQLite reads Manifest.db through payload's pread, and ahead where it goes on
 * from page to page: neither is any plaintext on disk, nor more than a few of
 * its pages in memory (1 MiB at most beside SQLite's own), and SQLite opens no
 * file by itself.
 */
struct manifest_vfs;

/*
 * manifest_vfs_open - a read-only connection to a database in a payload
 * @p: must outlive the connection
 *
 * Every limit and switch for hostile files is set. One thread at a time.
 *
 * Returns 0; -EBADMSG if it is no SQLite database; -ENOMEM; -EIO.
 */
int manifest_vfs_open(struct manifest_vfs **out, sqlite3 **db,
		      struct payload *p, struct mb_err *err);

/* Closes the connection too; its statements must have been finalized. */
void manifest_vfs_close(struct manifest_vfs *vfs);

#endif
