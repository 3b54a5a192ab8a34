/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXTRACT_DEST_H
#define EXTRACT_DEST_H

#include "mb/backup.h"

/*
 * The folder that is extracted into, and in it, as long as the work is not
 * done, the folder ".larder-extract": the lock, the place of what is to be
 * renamed over something, and the note from which a later run knows that it may
 * go on.
 */
struct extract_dest {
	const char *path; /* as given */
	int fd;
	int work_fd;  /* of .larder-extract */
	bool fresh;   /* there is nothing in it but what we make */
	bool resumed; /* a run before has begun this */
	bool trusted; /* what looks complete of that, is */
};

#define EXTRACT_WORK ".larder-extract"

/*
 * extract_dest_find - look at it, without changing anything
 * @path: borrowed
 *
 * Returns 0; -EINVAL if it is in the backup; -ENOTDIR; errors of the system.
 */
int extract_dest_find(struct extract_dest *d, const char *path,
		      struct mb_backup *backup, struct mb_err *err);

/*
 * extract_dest_begin - make it if it is not there, and lock it
 * @what: tells what is being extracted from other things
 *
 * Returns 0; -EBUSY if another process has it; -EEXIST if something else was
 * begun there and not finished; errors of the system.
 */
int extract_dest_begin(struct extract_dest *d, const char *what, bool overwrite,
		       struct mb_err *err);

/* extract_dest_mark - what is made from now on is to be gone on with */
int extract_dest_mark(struct extract_dest *d, const char *what, bool overwrite,
		      struct mb_err *err);

/*
 * extract_dest_describe - the attributes that the root of a mount has
 *
 * By these "larder restore" and "larder pack" find the backup of which it is
 * a copy. As far as the file system can keep them.
 */
void extract_dest_describe(const struct extract_dest *d,
			   const struct mb_backup_info *info, bool device_view,
			   unsigned mode_mask);

/* extract_dest_finish - all is done: nothing of ours stays */
void extract_dest_finish(struct extract_dest *d);

void extract_dest_release(struct extract_dest *d);

#endif
