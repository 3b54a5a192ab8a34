/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXTRACT_PLAN_H
#define EXTRACT_PLAN_H

#include <stdatomic.h>

#include "mb/tree.h"
#include "selection.h"

/*
 * Which entries are to be extracted: those that are selected and the folders
 * above them, a bit each. And how much that is, by what is recorded.
 */
struct extract_plan {
	bool all; /* without a bit */
	unsigned char *bits;
	size_t size; /* of @bits, in bytes */
	/* with @counted; of a whole backup it is not, to begin with */
	atomic_bool counted;
	uint64_t files, bytes;
};

/*
 * extract_plan_make
 * @plan: {0}; the caller releases it
 * @cancelled: asked now and then
 *
 * Returns 0; -ENOENT if a pattern of @selection matches nothing; -ECANCELED;
 * as mb_tree_children.
 */
int extract_plan_make(struct extract_plan *plan, struct mb_tree *tree,
		      struct selection *selection, bool (*cancelled)(void),
		      struct mb_err *err);
/*
 * extract_plan_count - how much a whole backup is; it reads all records
 *
 * One thread at a time; others may look at @plan->counted.
 */
void extract_plan_count(struct extract_plan *plan, struct mb_backup *backup);
void extract_plan_release(struct extract_plan *plan);

bool extract_plan_has(const struct extract_plan *plan, uint32_t node);

#endif
