/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that are shown as they are recorded are in the order in which they are
 * needed already, and a tree keeps no others. Every other shown name has a "%":
 * a folder with such names is sorted anew, by the names of the records.
 *
 * The name of a folder without a record is in the records of what is below it.
 * A crafted path leads through thousands of such folders: the record is looked
 * for once on the way down, not in each of them.
 */
#include "tree_pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

struct sibling {
	struct mb_slice name; /* as recorded */
	uint32_t node;
};

/* What one tree has in a folder. */
struct siblings {
	struct mb_tree *tree;
	uint32_t first, count, next;
	struct sibling *sorted; /* NULL: shown as they are recorded */
	struct buf names;	/* of those that are not */
	/*
	 * The path of the first record from the first entry on down along
	 * first entries, if it has been looked for; borrowed from a level
	 * above, or in here.
	 */
	struct mb_slice below;
	struct buf below_own;
};

/* A folder that is open, in both trees or in one. */
struct level {
	struct siblings of[2];
	size_t path_len; /* of the folder's own path */
};

struct walk {
	struct mb_tree *const *trees;
	struct crew *crew;
	const struct pair_visitor *visitor;
	struct mb_err *err;
	struct level *levels; /* the innermost last */
	size_t level_count, level_cap;
	struct buf domain, path;
};

static int no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

static struct mb_slice slice_of(const struct buf *b)
{
	return b->len ? (struct mb_slice){ (char *)b->ptr, b->len } :
			mb_slice_of("");
}

static void siblings_release(struct siblings *s)
{
	free(s->sorted);
	buf_release(&s->names);
	buf_release(&s->below_own);
}

/* --- the names in a folder ----------------------------------------------- */

static int compare_siblings(const void *va, const void *vb)
{
	const struct sibling *a = va, *b = vb;
	int diff = mb_slice_compare(a->name, b->name);

	/* a folder and a file of one name: by their numbers */
	return diff ? diff : (a->node > b->node) - (a->node < b->node);
}

static int find_below(struct siblings *s, struct mb_record *rec,
		      struct mb_err *err)
{
	uint32_t node = s->first, count = 1;
	int rc = 0;

	while (rc == 0 && count && mb_tree_is_made_up(s->tree, node))
		rc = mb_tree_children(s->tree, node, &node, &count, err);
	if (rc == 0)
		rc = mb_tree_record(s->tree, node, rec, err);
	if (rc < 0)
		return rc;
	if (buf_add(&s->below_own, rec->path.ptr, rec->path.len) < 0)
		return no_memory(err);
	s->below = slice_of(&s->below_own);
	return 0;
}

/*
 * The last component of an entry's path, whose folder has a path of @above
 * bytes, or a domain's name in the root.
 */
static int find_name(struct siblings *s, uint32_t node, bool root, size_t above,
		     struct mb_record *rec, struct mb_slice *name,
		     struct mb_err *err)
{
	size_t skip = above ? above + 1 : 0;
	struct mb_slice path;
	int rc = 0;

	if (!root && node == s->first && mb_tree_is_made_up(s->tree, node)) {
		if (!s->below.ptr)
			rc = find_below(s, rec, err);
		path = s->below;
	} else {
		rc = mb_tree_record(s->tree, node, rec, err);
		path = root ? rec->domain : rec->path;
	}
	if (rc < 0)
		return rc;
	*name = path;
	if (!root)
		mb_path_next(path, &skip, name);
	return 0;
}

static int sort_siblings(struct siblings *s, bool root, size_t above,
			 struct mb_err *err)
{
	struct mb_record rec = { 0 };
	int rc = 0;

	s->sorted = calloc(s->count, sizeof(*s->sorted));
	if (!s->sorted)
		return no_memory(err);
	for (uint32_t i = 0; i < s->count && rc == 0; i++) {
		struct sibling *one = &s->sorted[i];

		one->node = s->first + i;
		one->name = mb_slice_of(mb_tree_get_name(s->tree, one->node));
		if (!memchr(one->name.ptr, '%', one->name.len))
			continue;
		rc = find_name(s, one->node, root, above, &rec, &one->name,
			       err);
		/* the place is not known before all of them are there */
		if (rc == 0 &&
		    buf_add(&s->names, one->name.ptr, one->name.len) < 0)
			rc = no_memory(err);
		one->name.ptr = NULL;
	}
	mb_record_release(&rec);
	for (size_t i = 0, at = 0; i < s->count && rc == 0; i++) {
		struct sibling *one = &s->sorted[i];

		if (one->name.ptr)
			continue;
		one->name.ptr = one->name.len ? (char *)s->names.ptr + at : "";
		at += one->name.len;
	}
	if (rc == 0)
		qsort(s->sorted, s->count, sizeof(*s->sorted),
		      compare_siblings);
	return rc;
}

/* @dir: 0 for a folder that this tree does not have */
static int siblings_open(struct siblings *s, uint32_t dir, size_t above,
			 struct mb_err *err)
{
	int rc;

	if (!dir)
		return 0;
	rc = mb_tree_children(s->tree, dir, &s->first, &s->count, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < s->count; i++)
		if (strchr(mb_tree_get_name(s->tree, s->first + i), '%'))
			return sort_siblings(s, dir == MB_ROOT, above, err);
	return 0;
}

/* The next one of a folder; false at its end. */
static bool siblings_peek(const struct siblings *s, struct sibling *out)
{
	if (s->next == s->count)
		return false;
	if (s->sorted) {
		*out = s->sorted[s->next];
		return true;
	}
	out->node = s->first + s->next;
	out->name = mb_slice_of(mb_tree_get_name(s->tree, out->node));
	return true;
}

/* --- levels -------------------------------------------------------------- */

struct opening {
	struct level *level;
	const uint32_t *dirs;
	int rc[2];
	struct mb_err err[2];
};

static void open_side(void *arg, size_t i)
{
	struct opening *o = arg;

	o->rc[i] = siblings_open(&o->level->of[i], o->dirs[i],
				 o->level->path_len, &o->err[i]);
}

/* What is below a first entry without a record is below its first entry. */
static void inherit_below(struct siblings *s, const struct siblings *above,
			  uint32_t dir)
{
	if (dir && dir == above->first && mb_tree_is_made_up(s->tree, dir))
		s->below = above->below;
}

/* Opening a domain reads all of it: both trees at once. */
static int open_level(struct walk *w, const uint32_t dirs[2])
{
	struct opening o = { .dirs = dirs };
	bool is_domain = w->level_count == 1;

	if (w->level_count == w->level_cap) {
		size_t cap = w->level_cap ? 2 * w->level_cap : 32;
		void *levels = reallocarray(w->levels, cap, sizeof(*w->levels));

		if (!levels)
			return no_memory(w->err);
		w->levels = levels;
		w->level_cap = cap;
	}
	o.level = &w->levels[w->level_count++];
	*o.level = (struct level){
		.of = { { .tree = w->trees[0] }, { .tree = w->trees[1] } },
		.path_len = w->path.len,
	};
	for (int i = 0; i < 2 && o.level != w->levels; i++)
		inherit_below(&o.level->of[i], &o.level[-1].of[i], dirs[i]);
	crew_each(w->crew, 2, is_domain ? 2 : 3, open_side, &o);
	for (int i = 0; i < 2; i++)
		if (o.rc[i] < 0)
			return mb_err_set(w->err, o.rc[i], "%s", o.err[i].text);
	return 0;
}

static void close_level(struct walk *w)
{
	struct level *last = &w->levels[--w->level_count];

	siblings_release(&last->of[0]);
	siblings_release(&last->of[1]);
}

/* --- pairs --------------------------------------------------------------- */

/* What two trees have of one name. */
struct group {
	struct mb_slice name;
	uint32_t dir[2], other[2];
};

/* Take the least name of a level, with all that has it; false at the end. */
static bool take_group(struct level *level, struct group *g)
{
	struct sibling head[2];
	bool there[2];

	*g = (struct group){ 0 };
	for (int i = 0; i < 2; i++)
		there[i] = siblings_peek(&level->of[i], &head[i]);
	if (!there[0] && !there[1])
		return false;
	if (!there[1] ||
	    (there[0] && mb_slice_compare(head[0].name, head[1].name) < 0))
		g->name = head[0].name;
	else
		g->name = head[1].name;
	for (int i = 0; i < 2; i++) {
		struct siblings *s = &level->of[i];
		struct sibling one;

		while (siblings_peek(s, &one) &&
		       mb_slice_equal(one.name, g->name)) {
			bool is_dir =
				mb_tree_get_type(s->tree, one.node) == MB_DIR;
			uint32_t *place = is_dir ? &g->dir[i] : &g->other[i];

			if (*place)
				break;
			*place = one.node;
			s->next++;
		}
	}
	return true;
}

/* The place of the group's name: a domain, or a path in the present one. */
static int set_place(struct walk *w, const struct level *level,
		     struct mb_slice name)
{
	struct buf *out = &w->path;

	out->len = level->path_len;
	if (w->level_count == 1) {
		out = &w->domain;
		out->len = 0;
	} else if (out->len && buf_add_u8(out, '/') < 0) {
		return no_memory(w->err);
	}
	return buf_add(out, name.ptr, name.len) < 0 ? no_memory(w->err) : 0;
}

static int visit(struct walk *w, uint32_t a, uint32_t b)
{
	const struct tree_pair pair = {
		.node = { a, b },
		.domain = slice_of(&w->domain),
		.path = slice_of(&w->path),
	};

	return a || b ? w->visitor->visit(w->visitor->arg, &pair) : 0;
}

/* One has a folder where the other has something else, and nobody has both. */
static bool is_other_type(const struct group *g)
{
	for (int i = 0; i < 2; i++)
		if (g->dir[i] && !g->other[i] && !g->dir[!i] && g->other[!i])
			return true;
	return false;
}

static int visit_group(struct walk *w, struct group *g)
{
	int rc;

	if (is_other_type(g)) {
		rc = visit(w, g->dir[0] | g->other[0], g->dir[1] | g->other[1]);
	} else {
		rc = visit(w, g->other[0], g->other[1]);
		if (rc == 0)
			rc = visit(w, g->dir[0], g->dir[1]);
	}
	if (rc == 0 && (g->dir[0] || g->dir[1]))
		rc = open_level(w, g->dir);
	return rc;
}

static int visit_domain(struct walk *w, struct group *g)
{
	int rc = w->visitor->enter_domain(w->visitor->arg, g->name);

	if (rc == TREE_PAIRS_SKIP)
		return 0;
	return rc ? rc : visit_group(w, g);
}

static int step(struct walk *w)
{
	struct level *last = &w->levels[w->level_count - 1];
	struct group g;
	int rc;

	if (take_group(last, &g)) {
		rc = set_place(w, last, g.name);
		if (rc < 0)
			return rc;
		return w->level_count == 1 ? visit_domain(w, &g) :
					     visit_group(w, &g);
	}
	close_level(w);
	if (w->level_count != 1)
		return 0;
	return w->visitor->leave_domain(w->visitor->arg, slice_of(&w->domain));
}

int tree_pairs_walk(struct mb_tree *const trees[2], struct crew *crew,
		    const struct pair_visitor *visitor, struct mb_err *err)
{
	struct walk w = {
		.trees = trees, .crew = crew, .visitor = visitor, .err = err
	};
	int rc = open_level(&w, (const uint32_t[2]){ MB_ROOT, MB_ROOT });

	while (rc == 0 && w.level_count)
		rc = step(&w);
	while (w.level_count)
		close_level(&w);
	free(w.levels);
	buf_release(&w.domain);
	buf_release(&w.path);
	return rc;
}
