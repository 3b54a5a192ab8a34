/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extract_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree_walk.h"

struct planning {
	struct extract_plan *plan;
	struct mb_tree *tree;
	struct selection *selection;
	bool (*cancelled)(void);
	struct mb_record rec;
	struct mb_err *err;
};

void extract_plan_release(struct extract_plan *plan)
{
	free(plan->bits);
	*plan = (struct extract_plan){ 0 };
}

bool extract_plan_has(const struct extract_plan *plan, uint32_t node)
{
	return plan->all ||
	       (node / 8 < plan->size && plan->bits[node / 8] >> node % 8 & 1);
}

static int mark(struct extract_plan *plan, uint32_t node)
{
	if (node / 8 >= plan->size) {
		size_t size = 2 * (node / 8) + 4096;
		void *bits = realloc(plan->bits, size);

		if (!bits)
			return -ENOMEM;
		plan->bits = bits;
		memset(plan->bits + plan->size, 0, size - plan->size);
		plan->size = size;
	}
	plan->bits[node / 8] |= (unsigned char)(1 << node % 8);
	return 0;
}

/* With the folders that lead to it. */
static int mark_path(struct planning *p, uint32_t node)
{
	int rc = 0;

	for (; rc == 0 && !extract_plan_has(p->plan, node);
	     node = mb_tree_get_parent(p->tree, node))
		rc = mark(p->plan, node);
	return rc < 0 ? mb_err_set(p->err, rc, "out of memory") : 0;
}

/*
 * A folder without a record is as what is below it; there can be thousands, one
 * in the other. A record that cannot be read is met again, and reported, later.
 */
static bool is_selected(struct planning *p, uint32_t node)
{
	int rc;

	if (mb_tree_is_made_up(p->tree, node))
		return false;
	rc = mb_tree_record(p->tree, node, &p->rec, NULL);
	if (rc < 0)
		return true;
	return p->rec.domain.ptr &&
	       selection_has(p->selection, p->rec.domain, p->rec.path);
}

static bool is_unwanted_domain(struct planning *p, uint32_t node)
{
	return mb_tree_record(p->tree, node, &p->rec, NULL) >= 0 &&
	       p->rec.domain.ptr && !p->rec.path.len &&
	       !selection_wants(p->selection, p->rec.domain);
}

static int enter(void *arg, uint32_t node)
{
	struct planning *p = arg;
	bool folder = mb_tree_get_type(p->tree, node) == MB_DIR;
	uint32_t first, count;
	int rc;

	if (p->cancelled())
		return mb_err_set(p->err, -ECANCELED, "cancelled");
	if (node == MB_ROOT)
		return 0;
	if (mb_tree_get_parent(p->tree, node) == MB_ROOT &&
	    is_unwanted_domain(p, node))
		return TREE_WALK_SKIP;
	if (is_selected(p, node)) {
		rc = mark_path(p, node);
		if (rc < 0)
			return rc;
		if (!folder && mb_tree_get_type(p->tree, node) == MB_FILE) {
			p->plan->files++;
			if (p->rec.size > 0)
				p->plan->bytes += (uint64_t)p->rec.size;
		}
	}
	/* a domain that cannot be read: as with a record */
	return folder && mb_tree_children(p->tree, node, &first, &count, NULL) <
				       0 ?
		       TREE_WALK_SKIP :
		       0;
}

void extract_plan_count(struct extract_plan *plan, struct mb_backup *backup)
{
	struct mb_totals totals = { 0 };

	/* damage of the manifest is met elsewhere */
	mb_backup_each_domain(backup, NULL, NULL, &totals, NULL);
	plan->files = totals.files;
	plan->bytes = totals.bytes;
	atomic_store(&plan->counted, true);
}

int extract_plan_make(struct extract_plan *plan, struct mb_tree *tree,
		      struct selection *selection, bool (*cancelled)(void),
		      struct mb_err *err)
{
	struct planning p = { .plan = plan,
			      .tree = tree,
			      .selection = selection,
			      .cancelled = cancelled,
			      .err = err };
	const struct tree_visitor visitor = { .enter = enter, .arg = &p };
	int rc;

	if (selection_is_all(selection)) {
		plan->all = true;
		return 0;
	}
	rc = mark(plan, MB_ROOT);
	if (rc < 0)
		return mb_err_set(err, rc, "out of memory");
	rc = tree_walk(tree, MB_ROOT, &visitor, err);
	mb_record_release(&p.rec);
	atomic_store(&plan->counted, true);
	return rc < 0 ? rc : selection_check(selection, err);
}
