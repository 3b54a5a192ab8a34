/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_H
#define SHELF_H

#include "ops.h"

/*
 * A folder of backups as one tree: a folder for each device, in it one for each
 * of its backups, and a link to the newest. A backup is a volume, opened when
 * somebody enters it; one that cannot be opened shows a file that says why. What
 * comes and goes in the folder is noticed.
 *
 * The numbers of a volume are not used again: once it is gone, or has changed,
 * what is open of it can be read to its end, and nothing else.
 */
struct shelf;

/*
 * shelf_open - list what is in a folder
 *
 * Returns 0; -ENOENT if it holds no backups; errors of the system.
 */
int shelf_open(struct shelf **out, const struct options *o, struct mb_err *err);
void shelf_free(struct shelf *shelf);

/* The folder, absolute, links resolved; and open. Borrowed. */
const char *shelf_get_path(const struct shelf *shelf);
int shelf_get_fd(const struct shelf *shelf);

/*
 * shelf_ask - before it is mounted: see that the given sources can be read; if
 * there are none, ask on the terminal, if there is one
 *
 * Backups that are not opened by it stay closed. Returns 0; -EKEYREJECTED if
 * what was typed opens none; errors of the sources.
 */
int shelf_ask(struct shelf *shelf, struct mb_err *err);

/* shelf_start - before the first request: watch the folder */
int shelf_start(struct shelf *shelf, struct mount *m);

/* shelf_end - when the session has ended: close all; keys are wiped */
void shelf_end(struct shelf *shelf);

/* shelf_volume - of an inode of a backup that the kernel knows; borrowed */
struct volume *shelf_volume(struct shelf *shelf, fuse_ino_t ino);

/* shelf_known - as fs_known */
void shelf_known(struct shelf *shelf, fuse_ino_t ino, int64_t more);

extern const struct fuse_lowlevel_ops shelf_ops;

#endif
