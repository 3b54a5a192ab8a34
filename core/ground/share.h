/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHARE_H
#define SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* One file a second time, as cheaply as the file system lets it be. */

enum share_how {
	SHARE_COPY, /* files of their own: a reflink, else a copy */
	/*
	 * A reflink, else a hard link, else a copy. Nobody may write into a
	 * hard-linked file then: it has to be replaced by a new one.
	 */
	SHARE_LINK,
};

/*
 * Many files between the same two file systems: {0} but for @how (and
 * @cancelled) to begin with. One thread at a time.
 */
struct sharing {
	enum share_how how;
	bool (*cancelled)(void); /* asked while copying; may be NULL */
	uint64_t reflinked, linked, copied; /* files, counted up */
	/* what was found not to be possible, so as to try it once */
	bool no_reflinks, no_links, no_copy_range;
};

/*
 * share_file - a regular file, with its mode and times
 * @from, @to: relative paths beneath their folders; no link is followed
 * @to: must not be there; the folder above it must
 *
 * After an error nothing of @to is left. Nothing is synced.
 *
 * Returns 0; -ECANCELED; -EEXIST; -ELOOP if @from is a symbolic link, -EBADMSG
 * if it is anything else but a regular file; errors of the system.
 */
int share_file(struct sharing *s, int from_fd, const char *from, int to_fd,
	       const char *to);

/*
 * share_reflink - have an open, empty file take the content of another
 *
 * Returns 0; 1 if that cannot be done here; errors of the system.
 */
int share_reflink(struct sharing *s, int in, int out);

/*
 * share_range - copy a part of an open file to the same place of another
 *
 * By the kernel where it can. Several threads, each with its own @s, may copy
 * parts of the same files.
 *
 * Returns 0; -ECANCELED; -EIO if @in ends before; errors of the system.
 */
int share_range(struct sharing *s, int in, int out, int64_t off, int64_t len);

#endif
