/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each record becomes an item with a key: its path's components, each with its
 * length in front. Sorted by key, everything below a folder is a run of items,
 * and the folder's own record, being the shortest key, comes first in it. A
 * folder is planted by going once through its run and cutting it into one run
 * for each child; folders wait in a queue, so depth costs no stack.
 */
#include "tree_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mb/tree.h"
#include "record.h"

/*
 * A path of n bytes can ask for n/2 folders that no record describes. Real
 * manifests have nearly none of them.
 */
#define MADE_UP_MAX 4000000u

/*
 * A number can make a name that another one has, which then needs a number.
 * That each time the next name is there already takes a plan.
 */
#define UNIQUE_PASSES_MAX 50

struct item {
	uint64_t key; /* offset in keys */
	int64_t handle;
	uint32_t key_len;
	uint32_t domain; /* records of two domains are no duplicates */
	uint8_t type;
};

struct run { /* of items below a folder that has been planted */
	uint32_t dir;
	uint32_t depth; /* bytes of key that lead to it */
	size_t begin, end;
};

struct child {
	char *name;
	struct mb_slice raw;
	int64_t handle;
	uint8_t type;
	struct run below; /* its dir is not known yet */
};

struct tree_build {
	struct mb_backup *backup;
	struct buf keys;
	struct item *items;
	size_t item_count, item_cap;
	struct run *queue;
	size_t queue_count, queue_cap;
	struct child *children; /* of the folder being planted */
	size_t child_count, child_cap;
	uint32_t domains;
	uint32_t made_up;
	/* of the scan that is going on */
	struct mb_slice root;
	bool untyped;
};

/* Makes room for one more element; false if there is no memory. */
#define GROW(array, count, cap) \
	((count) < (cap) || grow((void **)&(array), &(cap), sizeof(*(array))))

static bool grow(void **array, size_t *cap, size_t size)
{
	size_t new_cap = *cap ? 2 * *cap : 64;
	void *p = reallocarray(*array, new_cap, size);

	if (!p)
		return false;
	*array = p;
	*cap = new_cap;
	return true;
}

struct tree_build *tree_build_new(struct mb_backup *backup)
{
	struct tree_build *tb = calloc(1, sizeof(*tb));

	if (tb)
		tb->backup = backup;
	return tb;
}

static void drop_children(struct tree_build *tb)
{
	while (tb->child_count)
		free(tb->children[--tb->child_count].name);
}

void tree_build_free(struct tree_build *tb)
{
	if (!tb)
		return;
	drop_children(tb);
	free(tb->children);
	free(tb->queue);
	free(tb->items);
	buf_release(&tb->keys);
	free(tb);
}

static int add_component(struct buf *keys, struct mb_slice c)
{
	uint16_t len = (uint16_t)c.len;

	if (buf_add(keys, &len, sizeof(len)) < 0)
		return -ENOMEM;
	return buf_add(keys, c.ptr, c.len);
}

static int add_components(struct buf *keys, struct mb_slice path)
{
	struct mb_slice c;
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && names_next(path, &at, &c))
		rc = add_component(keys, c);
	return rc;
}

static struct item *new_item(struct tree_build *tb)
{
	struct item *item;

	if (!GROW(tb->items, tb->item_count, tb->item_cap))
		return NULL;
	item = &tb->items[tb->item_count];
	*item = (struct item){ .key = tb->keys.len, .domain = tb->domains };
	return item;
}

static void finish_item(struct tree_build *tb, struct item *item)
{
	item->key_len = (uint32_t)(tb->keys.len - item->key);
	tb->item_count++;
}

static int add_record(void *arg, const struct manifest_entry *entry)
{
	struct tree_build *tb = arg;
	struct item *item;

	/* the domain's own record: with a view of domains it has its node */
	if (!entry->path.len && !tb->root.len)
		return 0;
	item = new_item(tb);
	if (!item || add_components(&tb->keys, tb->root) < 0 ||
	    add_components(&tb->keys, entry->path) < 0)
		return -ENOMEM;
	item->handle = entry->handle;
	item->type = (uint8_t)entry->type;
	tb->untyped |= !entry->type;
	finish_item(tb, item);
	return 0;
}

/* What the scan could not tell, the whole record does. */
static int find_types(struct tree_build *tb, size_t from, struct mb_err *err)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	int rc;

	for (size_t i = from; i < tb->item_count; i++) {
		if (tb->items[i].type)
			continue;
		rc = manifest_get(tb->backup->manifest, tb->items[i].handle,
				  &rec, err);
		if (rc < 0)
			return rc;
		tb->items[i].type = (uint8_t)rec.type;
	}
	return 0;
}

int tree_build_add_records(struct tree_build *tb, struct mb_slice domain,
			   struct mb_slice root, struct mb_err *err)
{
	size_t from = tb->item_count;
	int rc;

	tb->root = root;
	tb->untyped = false;
	rc = manifest_scan(tb->backup->manifest, domain, false, add_record, tb,
			   err);
	tb->domains++;
	if (rc == -ENOMEM)
		return mb_err_set(err, rc, "out of memory");
	if (rc == 0 && tb->untyped)
		rc = find_types(tb, from, err);
	return rc;
}

int tree_build_add_domain(struct tree_build *tb, struct mb_slice domain,
			  uint32_t index)
{
	struct item *item = new_item(tb);

	if (domain.len > UINT16_MAX)
		domain.len = UINT16_MAX;
	if (!item || add_component(&tb->keys, domain) < 0)
		return -ENOMEM;
	item->handle = index;
	item->type = MB_DIR;
	finish_item(tb, item);
	tb->domains++;
	return 0;
}

static int compare_items(const void *va, const void *vb, void *arg)
{
	const uint8_t *keys = arg;
	const struct item *a = va, *b = vb;
	uint32_t least = a->key_len < b->key_len ? a->key_len : b->key_len;
	int diff = memcmp(keys + a->key, keys + b->key, least);

	if (diff)
		return diff;
	if (a->key_len != b->key_len)
		return a->key_len < b->key_len ? -1 : 1;
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if ((a->type == MB_DIR) != (b->type == MB_DIR))
		return a->type == MB_DIR ? -1 : 1;
	return (a->handle > b->handle) - (a->handle < b->handle);
}

static struct mb_slice component_at(const struct tree_build *tb,
				    const struct item *item, uint32_t depth)
{
	const uint8_t *p = tb->keys.ptr + item->key + depth;
	uint16_t len;

	memcpy(&len, p, sizeof(len));
	return (struct mb_slice){ (const char *)p + sizeof(len), len };
}

/*
 * Of several records for one path, the last whose file ID is the path's own
 * counts, or else the last: one line says so.
 */
static int choose(struct tree_build *tb, const struct item *items, size_t count,
		  const struct item **chosen, struct mb_err *err)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	char id[41];
	int rc;

	*chosen = &items[count - 1];
	if (count == 1)
		return 0;
	for (size_t i = count; i-- > 0;) {
		rc = manifest_get(tb->backup->manifest, items[i].handle, &rec,
				  err);
		if (rc < 0)
			return rc;
		if (record_file_id(id, rec.domain, rec.path) == 0 &&
		    !strcmp(id, rec.file_id)) {
			*chosen = &items[i];
			break;
		}
	}
	backup_note(tb->backup,
		    "%.*s/%.*s: %zu records for one path, one is shown",
		    (int)rec.domain.len, rec.domain.ptr, (int)rec.path.len,
		    rec.path.ptr, count);
	return 0;
}

static int add_child(struct tree_build *tb, struct mb_slice raw,
		     const char *ending, struct child child)
{
	char name[NAME_SHOWN_MAX + 1];

	if (!GROW(tb->children, tb->child_count, tb->child_cap))
		return -ENOMEM;
	names_show(name, raw);
	names_append(name, ending);
	child.raw = raw;
	child.name = strdup(name);
	if (!child.name)
		return -ENOMEM;
	tb->children[tb->child_count++] = child;
	return 0;
}

/* The end of the records that are duplicates of the one at @at. */
static size_t end_of_twins(const struct tree_build *tb, size_t at, size_t end)
{
	const struct item *items = tb->items;
	size_t next = at + 1;

	while (next < end && items[next].domain == items[at].domain &&
	       (items[next].type == MB_DIR) == (items[at].type == MB_DIR))
		next++;
	return next;
}

/*
 * One name in a folder: items [begin, own) are records of exactly this path,
 * [own, end) lie below it. A file that is also a folder stands beside it.
 */
static int add_group(struct tree_build *tb, struct mb_slice raw, size_t begin,
		     size_t own, size_t end, uint32_t depth, struct mb_err *err)
{
	struct child dir = {
		.type = MB_DIR,
		.handle = NODE_MADE_UP,
		.below = { .depth = depth, .begin = own, .end = end }
	};
	bool is_dir = own < end;
	size_t next;
	int rc = 0;

	for (size_t i = begin; i < own; i++)
		is_dir |= tb->items[i].type == MB_DIR;
	for (size_t i = begin; i < own && rc == 0; i = next) {
		const struct item *chosen;

		next = end_of_twins(tb, i, own);
		rc = choose(tb, &tb->items[i], next - i, &chosen, err);
		if (rc < 0)
			return rc;
		if (chosen->type != MB_DIR)
			rc = add_child(
				tb, raw, is_dir ? "%file" : "",
				(struct child){ .type = chosen->type,
						.handle = chosen->handle });
		else if (dir.handle == NODE_MADE_UP)
			dir.handle = chosen->handle;
	}
	if (is_dir && dir.handle == NODE_MADE_UP && ++tb->made_up > MADE_UP_MAX)
		return mb_err_set(
			err, -EBADMSG,
			"the manifest lacks records of more than %u folders",
			MADE_UP_MAX);
	if (is_dir && rc == 0)
		rc = add_child(tb, raw, "", dir);
	return rc < 0 ? mb_err_set(err, rc, "out of memory") : 0;
}

static int compare_children(const void *va, const void *vb)
{
	const struct child *a = va, *b = vb;
	int diff = strcmp(a->name, b->name);

	return diff ? diff : mb_slice_compare(a->raw, b->raw);
}

/* Names that came out equal get "%2", "%3", ... */
static int make_unique(struct tree_build *tb, struct mb_err *err)
{
	bool changed = true;

	for (unsigned pass = 0; changed; pass++) {
		unsigned twin = 1;

		if (pass == UNIQUE_PASSES_MAX)
			return mb_err_set(
				err, -EBADMSG,
				"the manifest's names cannot be told apart");
		changed = false;
		if (tb->child_count)
			qsort(tb->children, tb->child_count,
			      sizeof(*tb->children), compare_children);
		for (size_t i = 1; i < tb->child_count; i++) {
			char name[NAME_SHOWN_MAX + 1], ending[32];
			char *first = tb->children[i - twin].name;

			if (strcmp(tb->children[i].name, first)) {
				twin = 1;
				continue;
			}
			twin++;
			changed = true;
			/* a new number in each pass, so that it comes to an end */
			snprintf(ending, sizeof(ending), "%%%llu",
				 twin + (unsigned long long)pass *
						 tb->child_count);
			snprintf(name, sizeof(name), "%s", first);
			names_append(name, ending);
			free(tb->children[i].name);
			tb->children[i].name = strdup(name);
			if (!tb->children[i].name)
				return mb_err_set(err, -ENOMEM,
						  "out of memory");
		}
	}
	return 0;
}

static int cut_into_children(struct tree_build *tb, struct run run,
			     struct mb_err *err)
{
	size_t end;
	int rc = 0;

	for (size_t begin = run.begin; begin < run.end && rc == 0;
	     begin = end) {
		struct mb_slice raw =
			component_at(tb, &tb->items[begin], run.depth);
		uint32_t depth =
			run.depth + (uint32_t)(sizeof(uint16_t) + raw.len);
		size_t own = begin;

		end = begin + 1;
		while (end < run.end &&
		       mb_slice_equal(
			       component_at(tb, &tb->items[end], run.depth),
			       raw))
			end++;
		while (own < end && tb->items[own].key_len == depth)
			own++;
		rc = add_group(tb, raw, begin, own, end, depth, err);
	}
	return rc;
}

/* Names in the root that are the mount's own. */
static int free_reserved(struct tree_build *tb)
{
	static const char *const reserved[] = { ".larder", ".xdg-volume-info" };

	for (size_t i = 0; i < tb->child_count; i++) {
		char **name = &tb->children[i].name;

		for (size_t j = 0; j < sizeof(reserved) / sizeof(*reserved);
		     j++) {
			if (strcmp(*name, reserved[j]))
				continue;
			free(*name);
			if (asprintf(name, "%%2E%s", reserved[j] + 1) < 0) {
				*name = NULL;
				return -ENOMEM;
			}
			break;
		}
	}
	return 0;
}

static int plant_children(struct tree_build *tb, struct node_store *nodes,
			  uint32_t dir, struct mb_err *err)
{
	struct node *parent = node_at(nodes, dir);
	uint32_t first = 0;
	int rc;

	if (dir == MB_ROOT && free_reserved(tb) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = make_unique(tb, err);
	if (rc < 0)
		return rc;
	if (node_store_add(nodes, (uint32_t)tb->child_count, &first) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < tb->child_count; i++) {
		struct child *c = &tb->children[i];
		struct node *node = node_at(nodes, first + (uint32_t)i);
		bool has_below = c->below.begin < c->below.end;

		node->parent = dir;
		node->handle = c->handle;
		node->type = c->type;
		if (node_store_name(nodes, c->name, strlen(c->name),
				    &node->name) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
		atomic_store(&node->loaded, !has_below);
		if (!has_below)
			continue;
		if (!GROW(tb->queue, tb->queue_count, tb->queue_cap))
			return mb_err_set(err, -ENOMEM, "out of memory");
		c->below.dir = first + (uint32_t)i;
		tb->queue[tb->queue_count++] = c->below;
	}
	parent->first = first;
	parent->count = (uint32_t)tb->child_count;
	return 0;
}

static int plant_all(struct tree_build *tb, struct node_store *nodes,
		     struct mb_err *err)
{
	for (size_t at = 0; at < tb->queue_count; at++) {
		struct run run = tb->queue[at];
		int rc = cut_into_children(tb, run, err);

		if (rc == 0)
			rc = plant_children(tb, nodes, run.dir, err);
		if (rc < 0)
			return rc;
		drop_children(tb);
	}
	return 0;
}

int tree_build_run(struct tree_build *tb, struct node_store *nodes,
		   uint32_t dir, struct mb_err *err)
{
	struct node_store_mark mark = node_store_mark(nodes);
	int rc;

	if (!GROW(tb->queue, tb->queue_count, tb->queue_cap))
		return mb_err_set(err, -ENOMEM, "out of memory");
	if (tb->item_count)
		qsort_r(tb->items, tb->item_count, sizeof(*tb->items),
			compare_items, tb->keys.ptr);
	tb->queue[tb->queue_count++] =
		(struct run){ .dir = dir, .end = tb->item_count };
	rc = plant_all(tb, nodes, err);
	if (rc < 0) {
		node_at(nodes, dir)->first = node_at(nodes, dir)->count = 0;
		node_store_rewind(nodes, mark);
		return rc;
	}
	/* from here on other threads may look: the root of it all comes last */
	for (size_t at = tb->queue_count; at-- > 0;)
		atomic_store_explicit(
			&node_at(nodes, tb->queue[at].dir)->loaded, true,
			memory_order_release);
	return 0;
}
