/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXTRACT_WALK_H
#define EXTRACT_WALK_H

#include <sys/types.h>

#include "extract_plan.h"

/*
 * A tree and a folder of the file system, walked side by side: each entry of a
 * plan with the open folder that it belongs into. Names are looked up in open
 * folders, one component at a time and following no link: what stands in the
 * file system leads nowhere else.
 *
 * One thread at a time uses a walk.
 */
struct extract_folder {
	struct extract_folder *above; /* NULL for the root */
	uint32_t node;
	uint32_t next, end; /* children that are still to come */
	int fd;		    /* -1 while too many others are open */
	dev_t dev;
	ino_t ino;
	unsigned jobs;	/* entries that somebody is at, who needs @fd */
	unsigned below; /* folders in it that are not done */
	bool left;	/* by the walk */

	/* the opener's: how it is to be in the end */
	bool made_up, existed;
	mode_t mode;
	struct timespec mtime;
};

struct extract_walk {
	struct mb_tree *tree;
	const struct extract_plan *plan;
	/*
	 * Opens folder @name of @f->above as @f->fd, and fills what is the
	 * opener's. Returns 0; 1 to leave it out; an error that ends the walk.
	 */
	int (*open)(void *arg, struct extract_folder *f, const char *name,
		    struct mb_err *err);
	/* After everything in a folder is done, while it is open; may be NULL. */
	void (*done)(void *arg, struct extract_folder *f);
	/* What is in a folder cannot be told; may be NULL. */
	void (*lost)(void *arg, uint32_t node, const char *why);
	void *arg;

	struct extract_folder *innermost; /* private */
	unsigned depth;
};

/*
 * extract_walk_begin
 * @fd: the folder that stands for the root of the tree; borrowed
 */
int extract_walk_begin(struct extract_walk *w, int fd, struct mb_err *err);

/*
 * extract_walk_next - the next entry that is no folder
 * @folder: what it is in; stays open until extract_walk_release
 *
 * Returns 1; 0 at the end; what @open returned; -ESTALE if somebody moves
 * folders meanwhile; -ENOMEM.
 */
int extract_walk_next(struct extract_walk *w, struct extract_folder **folder,
		      uint32_t *node, struct mb_err *err);
/* One of the entries of a folder is done. */
void extract_walk_release(struct extract_walk *w,
			  struct extract_folder *folder);

/* After the end or an error, when no entry is held any more. */
void extract_walk_end(struct extract_walk *w);

#endif
