/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SOURCE_WALK_H
#define SOURCE_WALK_H

#include <errno.h>
#include <fts.h>

#include "source_inside.h"

/*
 * The walk through a tree, as source_tree.c, which does it, source_place.c and
 * source_change.c see it.
 */

/* A folder that is being walked through. */
struct folder {
	struct folder *above; /* NULL: the root; borrowed */
	uint32_t node;	      /* in the base's tree; 0: it has none */
	struct identity identity;
	bool identified;
	struct neighbour neighbour;
	bool asked; /* for the neighbour */
	/* it has the attributes of its record: what lies in it was not put
	 * there by moving or mounting another folder */
	bool trusted;
	/* its own entry, while nothing below it is listed */
	struct source_entry entry;
	bool pending;
};

struct walk {
	struct source *s;
	FTS *fts;
	struct selection *selection;
	const struct source_observer *observer;
	struct mb_record rec;  /* of the entry at hand */
	struct mb_record near; /* of a neighbour */
	struct node_set seen;
	struct inode_use *uses; /* source_tree.c */
	size_t use_count, use_cap;
	uint64_t inode_max;
};

static inline struct mb_slice slice_of(const struct buf *b)
{
	return (struct mb_slice){ (const char *)b->ptr, b->len };
}

static inline int walk_no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

/* The type of an entry of the file system; 0: one that no phone has. */
enum mb_type walk_type_of(const FTSENT *e);

/* --- source_place.c: what an entry is, by its place ----------------------- */

/*
 * walk_identify - node, record and identity of an entry
 * @node: 0 if the base has none at this place
 * @recorded: w->rec is its record
 *
 * Returns 0; 1 if there is no telling what it would be on a phone.
 */
int walk_identify(struct walk *w, const struct folder *above, const FTSENT *e,
		  uint32_t *node, bool *recorded, struct identity *id,
		  struct mb_err *err);

/* Whose a new entry of a folder is; borrowed from the folder. */
const struct neighbour *walk_ask_neighbours(struct walk *w, struct folder *f);

/* What was moved or copied brings its owner and class along. */
void walk_read_owner(const char *file, struct neighbour *n);

/* --- source_change.c: what has become of it ------------------------------- */

/*
 * Do the attributes of a mount that an entry shows name its own record? A
 * folder that was moved as a whole, or mounted over another, brings along what
 * is in it, with all its times.
 */
bool walk_is_marked(const struct walk *w, const FTSENT *e);

/* How an entry is beside the base; 1: as a folder there without a record. */
int walk_classify(struct walk *w, const FTSENT *e, bool recorded,
		  struct source_entry *entry, struct mb_err *err);

#endif
