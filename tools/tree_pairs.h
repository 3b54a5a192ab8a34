/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TREE_PAIRS_H
#define TREE_PAIRS_H

#include "crew.h"
#include "mb/tree.h"

/*
 * Two trees side by side: each entry of one with its counterpart in the other,
 * domain by domain, in the byte order of the recorded names.
 *
 * Counterparts have the same domain and path in their records. What they are
 * shown as does not count: that depends on the other names of their folder.
 */
struct tree_pair {
	uint32_t node[2]; /* 0: not in this tree */
	/* as recorded; borrowed for the call */
	struct mb_slice domain, path;
};

/*
 * A result of the functions other than 0 ends the walk, but for
 * TREE_PAIRS_SKIP of enter_domain, which leaves the domain out.
 */
struct pair_visitor {
	int (*enter_domain)(void *arg, struct mb_slice domain);
	/*
	 * Of a folder, before what is in it. A folder can have no record: it is
	 * made up in one tree, or in both.
	 *
	 * A folder and something else of one path are one pair, unless one of
	 * the trees has both.
	 */
	int (*visit)(void *arg, const struct tree_pair *pair);
	int (*leave_domain)(void *arg, struct mb_slice domain);
	void *arg;
};

#define TREE_PAIRS_SKIP 1

/*
 * tree_pairs_walk
 * @trees: with the view of domains
 *
 * Nothing recurses. Beside the trees it needs some memory for each level, and
 * for each entry of the folders on the way in which a name has a "%".
 *
 * Returns 0; what a function returned; as mb_tree_children and mb_tree_record;
 * -ENOMEM.
 */
int tree_pairs_walk(struct mb_tree *const trees[2], struct crew *crew,
		    const struct pair_visitor *visitor, struct mb_err *err);

#endif
