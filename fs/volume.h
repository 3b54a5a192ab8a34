/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VOLUME_H
#define VOLUME_H

#include <pthread.h>
#include <stdbool.h>

#include "mb/tree.h"

struct mount;

/*
 * One backup that a mount shows: what requests for its entries need.
 *
 * An inode number is that of the volume, and below it that of the node in its
 * tree. The only volume of a mount is number 0, and its nodes are its inodes.
 */
struct volume {
	uint32_t number;
	char *label; /* what its lines in the log begin with, or NULL */
	struct mb_backup *backup;
	struct mb_tree *tree;
	/* NULL: nobody does that */
	struct stat_ahead *stat_ahead;
	struct open_ahead *open_ahead;
	/* computed when first asked for */
	pthread_mutex_t totals_lock;
	bool totals_known;
	struct mb_totals totals;
};

#define VOLUME_SHIFT 32

static inline uint64_t volume_ino(const struct volume *v, uint32_t node)
{
	return (uint64_t)v->number << VOLUME_SHIFT | node;
}

/*
 * volume_init
 * @backup, @tree: loaded
 */
void volume_init(struct volume *v, uint32_t number, struct mb_backup *backup,
		 struct mb_tree *tree);

/* volume_start - the threads that work ahead, as far as their ways are open */
void volume_start(struct volume *v, struct mount *m);

/* volume_stop - end them; nobody asks any more */
void volume_stop(struct volume *v);

/* volume_release - close it all; no file of it may be open */
void volume_release(struct volume *v);

/*
 * volume_totals - how much there is of it
 *
 * Reads every record the first time. Of a damaged manifest, what can be read.
 */
void volume_totals(struct volume *v, struct mb_totals *totals);

#endif
