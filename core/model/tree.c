/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes live in chunks that never move, 32 bytes each, and their names in
 * others. A folder's children are consecutive nodes sorted by name, so a
 * lookup is a binary search and a listing a walk along the array.
 *
 * Writers hold the lock and append; what they append becomes visible when the
 * folder's `loaded` is set. Readers therefore take no lock.
 */
#include "mb/tree.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_store.h"
#include "opened.h"
#include "record.h"
#include "tree_build.h"

struct mb_tree {
	struct mb_backup *backup;
	enum mb_view view;
	pthread_mutex_t lock; /* of everything that appends */
	struct node_store nodes;
	/* MB_VIEW_DOMAINS: the root's children, and whose they are */
	uint32_t first_domain;
	uint32_t *domain_of; /* index into the backup's domains */
};

MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

static bool is_domain(const struct mb_tree *t, uint32_t node)
{
	return t->view == MB_VIEW_DOMAINS && node >= t->first_domain &&
	       node - t->first_domain < t->backup->domain_count;
}

static const struct backup_domain *domain_at(const struct mb_tree *t,
					     uint32_t node)
{
	return &t->backup->domains[t->domain_of[node - t->first_domain]];
}

static struct mb_slice domain_name(const struct backup_domain *d)
{
	return (struct mb_slice){ d->name, d->name_len };
}

/* The root's folders are the domains. */
static int plant_domains(struct mb_tree *t, struct mb_err *err)
{
	mb_auto(tree_build_free) struct tree_build *tb = NULL;
	size_t count = t->backup->domain_count;
	int rc;

	t->domain_of = calloc(count + 1, sizeof(*t->domain_of));
	tb = tree_build_new(t->backup);
	if (!tb || !t->domain_of)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		rc = tree_build_add_domain(
			tb, domain_name(&t->backup->domains[i]), (uint32_t)i);
		if (rc < 0)
			return mb_err_set(err, rc, "out of memory");
	}
	rc = tree_build_run(tb, &t->nodes, MB_ROOT, err);
	if (rc < 0)
		return rc;
	t->first_domain = node_at(&t->nodes, MB_ROOT)->first;
	for (size_t i = 0; i < count; i++) {
		uint32_t number = t->first_domain + (uint32_t)i;
		struct node *node = node_at(&t->nodes, number);

		t->domain_of[i] = (uint32_t)node->handle;
		node->handle = t->backup->domains[t->domain_of[i]].root;
		atomic_store(&node->loaded, false);
	}
	return 0;
}

static int plant_device(struct mb_tree *t, struct mb_err *err)
{
	mb_auto(tree_build_free) struct tree_build *tb =
		tree_build_new(t->backup);
	int rc = 0;

	if (!tb)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < t->backup->domain_count && rc == 0; i++) {
		mb_auto(buf_release) struct buf root = { 0 };
		struct mb_slice name = domain_name(&t->backup->domains[i]);

		rc = names_device_root(name, &root);
		if (rc < 0)
			return mb_err_set(err, rc, "out of memory");
		rc = tree_build_add_records(
			tb, name,
			(struct mb_slice){ (char *)root.ptr, root.len }, err);
	}
	return rc < 0 ? rc : tree_build_run(tb, &t->nodes, MB_ROOT, err);
}

int mb_tree_open(struct mb_tree **out, struct mb_backup *backup,
		 enum mb_view view, struct mb_err *err)
{
	mb_auto(mb_tree_free) struct mb_tree *t = calloc(1, sizeof(*t));
	uint32_t root;
	int rc;

	if (!t)
		return mb_err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&t->lock, NULL);
	t->backup = backup;
	t->view = view;
	rc = node_store_add(&t->nodes, 2, &root); /* 0 is nobody, 1 the root */
	if (rc < 0)
		return mb_err_set(err, rc, "out of memory");
	*node_at(&t->nodes, MB_ROOT) = (struct node){ .parent = MB_ROOT,
						      .handle = NODE_MADE_UP,
						      .type = MB_DIR };
	rc = view == MB_VIEW_DOMAINS ? plant_domains(t, err) :
				       plant_device(t, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&t);
	return 0;
}

void mb_tree_free(struct mb_tree *t)
{
	if (!t)
		return;
	node_store_release(&t->nodes);
	pthread_mutex_destroy(&t->lock);
	free(t->domain_of);
	free(t);
}

static int load_domain(struct mb_tree *t, uint32_t number, struct mb_err *err)
{
	mb_auto(tree_build_free) struct tree_build *tb =
		tree_build_new(t->backup);
	int rc;

	if (!tb)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = tree_build_add_records(tb, domain_name(domain_at(t, number)),
				    (struct mb_slice){ "", 0 }, err);
	return rc < 0 ? rc : tree_build_run(tb, &t->nodes, number, err);
}

int mb_tree_children(struct mb_tree *t, uint32_t dir, uint32_t *first,
		     uint32_t *count, struct mb_err *err)
{
	struct node *node = node_at(&t->nodes, dir);
	int rc = 0;

	if (node->type != MB_DIR)
		return mb_err_set(err, -ENOTDIR, "not a folder");
	if (!atomic_load_explicit(&node->loaded, memory_order_acquire)) {
		pthread_mutex_lock(&t->lock);
		if (!atomic_load(&node->loaded))
			rc = load_domain(t, dir, err);
		pthread_mutex_unlock(&t->lock);
		if (rc < 0)
			return rc;
	}
	*first = node->first;
	*count = node->count;
	return 0;
}

static int compare_name(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b);
	int diff = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return diff ? diff : (a_len > b_len) - (a_len < b_len);
}

int mb_tree_lookup(struct mb_tree *t, uint32_t dir, const char *name,
		   size_t name_len, uint32_t *node, struct mb_err *err)
{
	uint32_t first, count, low = 0, high;
	int rc = mb_tree_children(t, dir, &first, &count, err);

	if (rc < 0)
		return rc;
	high = count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int diff = compare_name(name, name_len,
					mb_tree_get_name(t, first + mid));

		if (!diff) {
			*node = first + mid;
			return 0;
		}
		if (diff < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return mb_err_set(err, -ENOENT, "%.*s: no such entry",
			  (int)(name_len < 300 ? name_len : 300), name);
}

int mb_tree_walk(struct mb_tree *t, const char *path, uint32_t *node,
		 struct mb_err *err)
{
	*node = MB_ROOT;
	for (;;) {
		size_t len;
		int rc;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len)
			return 0;
		rc = mb_tree_lookup(t, *node, path, len, node, err);
		if (rc < 0)
			return rc;
		path += len;
	}
}

void mb_shown_name(char out[MB_SHOWN_MAX + 1], struct mb_slice component)
{
	names_show(out, component);
}

bool mb_path_next(struct mb_slice path, size_t *at, struct mb_slice *component)
{
	return names_next(path, at, component);
}

/* Linux takes no longer value: XATTR_SIZE_MAX. */
#define ATTRIBUTE_VALUE_MAX 65536

bool mb_shown_attribute(char out[MB_ATTRIBUTE_MAX + 1], struct mb_slice name,
			struct mb_slice value)
{
	static const char ours[] = "larder.";
	const char *escape = "";

	if (!name.len || name.len > MB_ATTRIBUTE_MAX ||
	    memchr(name.ptr, '\0', name.len) || value.len > ATTRIBUTE_VALUE_MAX)
		return false;
	if (name.len >= strlen(ours) && !memcmp(name.ptr, ours, strlen(ours)))
		escape = "%";
	return snprintf(out, MB_ATTRIBUTE_MAX + 1, "user.%s%.*s", escape,
			(int)name.len, name.ptr) <= MB_ATTRIBUTE_MAX;
}

/* From a node on along a path whose components are shown. */
static int find_below(struct mb_tree *t, struct mb_slice path, uint32_t *node,
		      struct mb_err *err)
{
	struct mb_slice component;
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && names_next(path, &at, &component)) {
		char shown[NAME_SHOWN_MAX + 1];

		names_show(shown, component);
		rc = mb_tree_lookup(t, *node, shown, strlen(shown), node, err);
	}
	return rc;
}

int mb_tree_find(struct mb_tree *t, struct mb_slice domain,
		 struct mb_slice path, uint32_t *node, struct mb_err *err)
{
	mb_auto(buf_release) struct buf root = { 0 };
	char shown[NAME_SHOWN_MAX + 1];
	int rc;

	*node = MB_ROOT;
	if (t->view == MB_VIEW_DOMAINS) {
		names_show(shown, domain);
		rc = mb_tree_lookup(t, MB_ROOT, shown, strlen(shown), node,
				    err);
	} else {
		rc = names_device_root(domain, &root);
		if (rc < 0)
			return mb_err_set(err, rc, "out of memory");
		rc = find_below(t,
				(struct mb_slice){ (char *)root.ptr, root.len },
				node, err);
	}
	return rc < 0 ? rc : find_below(t, path, node, err);
}

const char *mb_tree_get_name(const struct mb_tree *t, uint32_t node)
{
	return node == MB_ROOT ?
		       "" :
		       name_at(&t->nodes, node_at(&t->nodes, node)->name);
}

void mb_tree_get_path(const struct mb_tree *t, uint32_t node, char *out,
		      size_t size)
{
	size_t at = size - 1; /* filled from its end */

	assert(size >= sizeof("..."));
	out[at] = '\0';
	for (; node != MB_ROOT; node = mb_tree_get_parent(t, node)) {
		const char *name = mb_tree_get_name(t, node);
		size_t len = strlen(name), slash = out[at] ? 1 : 0;

		if (at < len + slash + strlen("...")) {
			at -= strlen("...");
			memcpy(out + at, "...", strlen("..."));
			break;
		}
		if (slash)
			out[--at] = '/';
		at -= len;
		memcpy(out + at, name, len);
	}
	memmove(out, out + at, size - at);
}

uint32_t mb_tree_get_parent(const struct mb_tree *t, uint32_t node)
{
	return node_at(&t->nodes, node)->parent;
}

bool mb_tree_is_made_up(const struct mb_tree *t, uint32_t node)
{
	return node_at(&t->nodes, node)->handle == NODE_MADE_UP;
}

enum mb_type mb_tree_get_type(const struct mb_tree *t, uint32_t node)
{
	return node_at(&t->nodes, node)->type;
}

/* All but the size of a file. */
static int stat_record(struct mb_tree *t, const struct node *node,
		       struct mb_record *rec, struct mb_stat *st,
		       struct mb_err *err)
{
	int rc;

	*st = (struct mb_stat){ .type = node->type };
	if (node->handle == NODE_MADE_UP) {
		st->made_up = true;
		st->permissions = 0755;
		st->mtime.tv_sec = t->backup->info.date;
		st->ctime = st->birth = st->mtime;
		return 0;
	}
	rc = manifest_glance(t->backup->manifest, node->handle, rec, err);
	if (rc < 0)
		return rc;
	st->permissions = rec->mode & 07777;
	st->mtime = rec->mtime;
	st->ctime = rec->ctime;
	st->birth = rec->birth;
	if (node->type == MB_LINK)
		st->size = (int64_t)rec->target.len;
	return 0;
}

static_assert(MB_STATS_MAX <= MB_SIZES_MAX,
	      "all files' sizes are found at once");

int mb_tree_stat_some(struct mb_tree *t, uint32_t first, unsigned count,
		      struct mb_stat st[], struct mb_err *err)
{
	struct mb_record recs[MB_STATS_MAX];
	const struct mb_record *files[MB_STATS_MAX];
	int64_t sizes[MB_STATS_MAX];
	unsigned of[MB_STATS_MAX], n = 0, seen;
	int rc = 0;

	for (seen = 0; seen < count && rc == 0; seen++) {
		const struct node *node = node_at(&t->nodes, first + seen);

		recs[seen] = (struct mb_record){ 0 };
		rc = stat_record(t, node, &recs[seen], &st[seen], err);
		if (node->type != MB_FILE)
			continue;
		files[n] = &recs[seen];
		of[n++] = seen;
	}
	if (rc == 0 && n)
		mb_reader_find_sizes(t->backup, files, sizes, n);
	for (unsigned i = 0; i < n && rc == 0; i++)
		st[of[i]].size = sizes[i];
	while (seen)
		mb_record_release(&recs[--seen]);
	return rc;
}

int mb_tree_stat(struct mb_tree *t, uint32_t number, struct mb_stat *st,
		 struct mb_err *err)
{
	return mb_tree_stat_some(t, number, 1, st, err);
}

/*
 * Domain and path of a folder without a record: as far down as the folder is,
 * those of the first record below it.
 */
static int fill_made_up(struct mb_tree *t, uint32_t number,
			struct mb_record *rec, struct mb_err *err)
{
	struct mb_slice path, component;
	unsigned depth = 0;
	uint32_t below;
	size_t at = 0;
	int rc;

	if (t->view != MB_VIEW_DOMAINS || number == MB_ROOT)
		return record_reset(rec, 0) < 0 ? -ENOMEM : 1;
	if (is_domain(t, number)) {
		struct mb_slice name = domain_name(domain_at(t, number));

		if (record_reset(rec, name.len) < 0 ||
		    record_keep(rec, &rec->domain, name.ptr, name.len) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
		rec->path = (struct mb_slice){ "", 0 };
		rec->type = MB_DIR;
		return 1;
	}
	for (below = number; !is_domain(t, below);
	     below = mb_tree_get_parent(t, below))
		depth++;
	for (below = number; node_at(&t->nodes, below)->handle == NODE_MADE_UP;)
		below = node_at(&t->nodes, below)->first;
	rc = manifest_get(t->backup->manifest,
			  node_at(&t->nodes, below)->handle, rec, err);
	if (rc < 0)
		return rc;
	path = rec->path;
	while (depth-- && names_next(path, &at, &component))
		rec->path.len =
			(size_t)(component.ptr + component.len - path.ptr);
	*rec = (struct mb_record){ .domain = rec->domain,
				   .path = rec->path,
				   .type = MB_DIR,
				   .mem = rec->mem,
				   .mem_len = rec->mem_len,
				   .mem_cap = rec->mem_cap };
	return 1;
}

int mb_tree_record(struct mb_tree *t, uint32_t number, struct mb_record *rec,
		   struct mb_err *err)
{
	int64_t handle = node_at(&t->nodes, number)->handle;

	if (handle == NODE_MADE_UP)
		return fill_made_up(t, number, rec, err);
	return manifest_get(t->backup->manifest, handle, rec, err);
}

int mb_tree_open_file(struct mb_tree *t, uint32_t number,
		      struct mb_reader **out, struct mb_err *err)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	const struct node *node = node_at(&t->nodes, number);
	int rc;

	if (node->type == MB_DIR)
		return mb_err_set(err, -EISDIR, "a folder");
	if (node->type == MB_LINK)
		return mb_err_set(err, -ELOOP, "a symbolic link");
	rc = manifest_glance(t->backup->manifest, node->handle, &rec, err);
	return rc < 0 ? rc : mb_reader_open(out, t->backup, &rec, err);
}

int mb_tree_stat_open(struct mb_tree *t, uint32_t number,
		      const struct mb_reader *reader, struct mb_stat *st,
		      struct mb_err *err)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	int rc = stat_record(t, node_at(&t->nodes, number), &rec, st, err);

	st->size = mb_reader_get_size(reader);
	return rc;
}

bool mb_tree_first_report(struct mb_tree *t, uint32_t number)
{
	return !atomic_exchange(&node_at(&t->nodes, number)->reported, true);
}

bool mb_tree_first_open(struct mb_tree *t, uint32_t number)
{
	return !atomic_exchange(&node_at(&t->nodes, number)->opened, true);
}

bool mb_tree_is_opened(struct mb_tree *t, uint32_t number)
{
	return atomic_load(&node_at(&t->nodes, number)->opened);
}
