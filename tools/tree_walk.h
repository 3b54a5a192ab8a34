/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TREE_WALK_H
#define TREE_WALK_H

#include "mb/tree.h"

/*
 * Everything in a tree, or in a folder of it, in the order in which a person
 * would list it: a folder, what is in it by its names, and so on below. A
 * crafted backup can nest thousands of levels, so nothing recurses.
 */
struct tree_visitor {
	/*
	 * Called for each node; of a folder, before what is in it. Returns 0;
	 * TREE_WALK_SKIP to leave out what is in it; another number ends the
	 * walk.
	 */
	int (*enter)(void *arg, uint32_t node);
	/* Of a folder that was entered, after what is in it; may be NULL. */
	int (*leave)(void *arg, uint32_t node);
	void *arg;
};

#define TREE_WALK_SKIP 1

/*
 * tree_walk
 * @from: is visited too
 *
 * Returns 0; what a function returned that was neither 0 nor TREE_WALK_SKIP;
 * as mb_tree_children; -ENOMEM.
 */
int tree_walk(struct mb_tree *tree, uint32_t from,
	      const struct tree_visitor *visitor, struct mb_err *err);

#endif
