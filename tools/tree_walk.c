/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree_walk.h"

#include <errno.h>
#include <stdlib.h>

/* The folders that are open, the innermost last. */
struct open_folders {
	struct open_folder {
		uint32_t node;
		uint32_t next, end; /* children that are still to come */
	} * list;
	size_t count, cap;
};

static int open_folder(struct open_folders *open, struct mb_tree *tree,
		       uint32_t node, struct mb_err *err)
{
	uint32_t first, count;
	int rc = mb_tree_children(tree, node, &first, &count, err);

	if (rc < 0)
		return rc;
	if (open->count == open->cap) {
		size_t cap = open->cap ? 2 * open->cap : 64;
		void *list = reallocarray(open->list, cap, sizeof(*open->list));

		if (!list)
			return mb_err_set(err, -ENOMEM, "out of memory");
		open->list = list;
		open->cap = cap;
	}
	open->list[open->count++] = (struct open_folder){
		.node = node,
		.next = first,
		.end = first + count,
	};
	return 0;
}

static int enter(struct open_folders *open, struct mb_tree *tree, uint32_t node,
		 const struct tree_visitor *visitor, struct mb_err *err)
{
	int rc = visitor->enter(visitor->arg, node);

	if (rc == TREE_WALK_SKIP)
		return 0;
	if (rc || mb_tree_get_type(tree, node) != MB_DIR)
		return rc;
	return open_folder(open, tree, node, err);
}

int tree_walk(struct mb_tree *tree, uint32_t from,
	      const struct tree_visitor *visitor, struct mb_err *err)
{
	struct open_folders open = { 0 };
	int rc = enter(&open, tree, from, visitor, err);

	while (rc == 0 && open.count) {
		struct open_folder *last = &open.list[open.count - 1];

		if (last->next < last->end) {
			rc = enter(&open, tree, last->next++, visitor, err);
			continue;
		}
		if (visitor->leave)
			rc = visitor->leave(visitor->arg, last->node);
		open.count--;
	}
	free(open.list);
	return rc;
}
