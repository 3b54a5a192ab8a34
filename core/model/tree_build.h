/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TREE_BUILD_H
#define TREE_BUILD_H

#include "mb/err.h"
#include "names.h"
#include "node_store.h"
#include "opened.h"

/*
 * From records in any order to nodes below a folder: parents that have no
 * record are made up, duplicates resolved, names made showable and unique.
 */
struct tree_build;

struct tree_build *tree_build_new(struct mb_backup *backup);
void tree_build_free(struct tree_build *tb);
MB_DEFINE_AUTO(struct tree_build, tree_build_free)

/*
 * tree_build_add_records - all records of a domain
 * @root: shown path that is put before theirs, "" for none
 */
int tree_build_add_records(struct tree_build *tb, struct mb_slice domain,
			   struct mb_slice root, struct mb_err *err);

/* tree_build_add_domain - a folder for a domain, its node's handle is @index */
int tree_build_add_domain(struct tree_build *tb, struct mb_slice domain,
			  uint32_t index);

/*
 * tree_build_run - plant what was added as children of @dir
 *
 * Returns 0; -EBADMSG where a manifest would make too much of too little;
 * -ENOMEM. After a failure nothing has been planted.
 */
int tree_build_run(struct tree_build *tb, struct node_store *nodes,
		   uint32_t dir, struct mb_err *err);

#endif
