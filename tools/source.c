/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "mount_table.h"
#include "source_inside.h"
#include "tool.h"

/* --- what it is ---------------------------------------------------------- */

/*
 * Is there a mount of larderfs just here? Only the kernel's table tells: an
 * overlay, or a mount that passes another on, looks the same from inside.
 */
static bool is_mount(const char *path)
{
	mb_auto(mount_table_release) struct mount_table table = { 0 };

	return mount_table_read(&table) == 0 &&
	       mount_is_ours(mount_table_at(&table, path));
}

/*
 * An attribute of the mount as a whole. The root of an overlay is not the
 * mount's, but the folder that the mount does not list is.
 */
static bool root_text(const struct source *s, const char *name, struct buf *out)
{
	mb_auto(free) char *own = NULL;

	if (source_get_text(s->path, name, out))
		return true;
	if (asprintf(&own, "%s/.larder", s->path) < 0) {
		own = NULL;
		return false;
	}
	return source_get_text(own, name, out);
}

static int octal_attribute(const struct source *s, const char *name)
{
	mb_auto(buf_release) struct buf text = { 0 };

	return root_text(s, name, &text) ?
		       (int)strtol((char *)text.ptr, NULL, 8) :
		       -1;
}

/*
 * A mount shows its property lists in a folder that it does not list, also
 * through an overlay: they must be those of the backup as it is now.
 */
static int same_version(struct source *s, bool mounted, struct mb_err *err)
{
	mb_auto(buf_release) struct buf shown = { 0 }, stored = { 0 };
	mb_auto(close) int dir =
		open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const size_t limit = 64 << 20;
	struct stat st;
	int a, b;

	if (!mounted && beneath_stat(dir, ".larder", &st) < 0)
		return 0; /* a copy has none */
	a = beneath_read_file(dir, ".larder/Manifest.plist", limit, &shown,
			      NULL);
	b = beneath_read_file(mb_backup_get_fd(s->base), "Manifest.plist",
			      limit, &stored, NULL);
	if (a == b &&
	    (a == -ENOENT || (a == 0 && shown.len == stored.len &&
			      !memcmp(shown.ptr, stored.ptr, shown.len))))
		return 0;
	return mb_err_set(
		err, -ESTALE,
		"%s shows another version than there is in %s now: mount anew",
		s->path, mb_backup_get_info(s->base)->source);
}

static int read_attributes(struct source *s, struct mb_err *err)
{
	mb_auto(buf_release) struct buf view = { 0 }, udid = { 0 },
					encrypted = { 0 };
	int mask;

	s->view = root_text(s, "view", &view) &&
				  !strcmp((char *)view.ptr, "device") ?
			  MB_VIEW_DEVICE :
			  MB_VIEW_DOMAINS;
	s->file_mode = octal_attribute(s, "file-mode");
	s->dir_mode = octal_attribute(s, "dir-mode");
	mask = octal_attribute(s, "mode-mask");
	if (mask >= 0)
		s->mode_mask = (uint32_t)mask & 07777;
	if (root_text(s, "udid", &udid)) {
		s->about_udid = strdup((char *)udid.ptr);
		if (!s->about_udid)
			return mb_err_set(err, -ENOMEM, "out of memory");
	}
	s->about.udid = s->about_udid;
	s->was_encrypted = root_text(s, "encrypted", &encrypted) &&
			   !strcmp((char *)encrypted.ptr, "yes");
	return 0;
}

static int open_tree(struct source *s, const char *base, struct mb_err *err)
{
	mb_auto(buf_release) struct buf named = { 0 }, domain = { 0 };
	bool mounted = is_mount(s->path);
	int rc;

	if (source_get_text(s->path, "domain", &domain))
		return mb_err_set(
			err, -ENOENT,
			"%s: only a part of a tree: give its root, and --only",
			s->path);
	rc = read_attributes(s, err);
	if (rc < 0)
		return rc;
	if (!base && root_text(s, "source", &named))
		base = (char *)named.ptr;
	/* without its backup a copy can still be packed, a mount is one */
	if (!base || (named.len && !mounted && access(base, F_OK) < 0 &&
		      errno == ENOENT)) {
		s->is_tree = true;
		return 0;
	}
	rc = mb_backup_open(&s->base, base, err);
	if (rc < 0)
		return mb_err_prefix(err, rc, "the backup of %s", s->path);
	s->is_tree = !mounted;
	return same_version(s, mounted, err);
}

/* Whatever else it may be, what has a manifest is a backup. */
static bool has_manifest(const char *path)
{
	static const char *const names[] = { "Manifest.plist", "Manifest.db",
					     "Manifest.mbdb",
					     "Snapshot/Manifest.db",
					     "Snapshot/Manifest.mbdb" };
	mb_auto(close) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return true; /* let the reader say what is wrong */
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (beneath_stat(dir, names[i], &st) == 0)
			return true;
	return false;
}

/* Devices name all of them so: "HomeDomain", "AppDomain-com.example". */
static bool has_domain(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir)))
		found = strstr(e->d_name, "Domain") != NULL;
	if (dir)
		closedir(dir);
	return found;
}

/* Any folder is a tree, but not every one is meant. */
static int check_tree(const struct source *s, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *none = NULL;

	if (!s->is_tree || s->base || s->about.udid || has_domain(s->path))
		return 0;
	/* the reader knows what a person takes for a backup */
	return mb_backup_open(&none, s->path, err);
}

int source_open(struct source **out, const char *path, const char *base,
		struct mb_err *err)
{
	mb_auto(source_free) struct source *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->file_mode = s->dir_mode = -1;
	s->mode_mask = 07777;
	s->path = realpath(path, NULL);
	/* of a mount whose program is gone; no device has to do with it */
	if (!s->path && errno == ENOTCONN)
		return mb_err_set(err, -EIO,
				  "%s: the mount is dead: mount anew", path);
	if (!s->path)
		return mb_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!has_manifest(s->path))
		rc = open_tree(s, base, err);
	else if (base)
		rc = mb_err_set(err, -EINVAL,
				"%s: a backup itself: --base is for trees",
				path);
	else
		rc = mb_backup_open(&s->base, s->path, err);
	if (rc == 0)
		rc = check_tree(s, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&s);
	return 0;
}

void source_new_free(struct source_new *fresh)
{
	if (!fresh)
		return;
	identity_release(&fresh->identity);
	free(fresh->file);
	free(fresh);
}

void source_free(struct source *s)
{
	if (!s)
		return;
	while (s->count)
		source_new_free(s->entries[--s->count].fresh);
	free(s->entries);
	while (s->domain_count)
		free((char *)s->domains[--s->domain_count].ptr);
	free(s->domains);
	mb_tree_free(s->by_domain);
	mb_tree_free(s->tree);
	mb_backup_free(s->base);
	free(s->about_udid);
	free(s->path);
	free(s);
}

const char *source_get_path(const struct source *s)
{
	return s->path;
}

struct mb_backup *source_get_base(const struct source *s)
{
	return s->base;
}

int source_keep_out(const struct source *s, const char *folder,
		    struct mb_err *err)
{
	mb_auto(free) char *real = realpath(folder, NULL);
	const char *backup =
		s->base ? mb_backup_get_info(s->base)->source : NULL;

	/* what is not there, whoever wants to write there will say */
	if (!real || (!path_is_inside(real, s->path) &&
		      !(backup && path_is_inside(real, backup))))
		return 0;
	return mb_err_set(err, -EINVAL,
			  "%s: is in what is only read: choose another place",
			  folder);
}

static bool has_list(struct mb_backup *b, enum mb_plist which)
{
	mb_auto(close) int fd = mb_backup_open_plist(b, which, NULL);

	return fd >= 0;
}

bool source_is_whole(const struct source *s)
{
	const struct mb_backup_info *info;

	if (s->is_tree)
		return false;
	info = mb_backup_get_info(s->base);
	return info->complete && info->snapshot_state &&
	       has_list(s->base, MB_PLIST_INFO) &&
	       has_list(s->base, MB_PLIST_MANIFEST) &&
	       has_list(s->base, MB_PLIST_STATUS);
}

bool source_was_encrypted(const struct source *s)
{
	return s->was_encrypted && !s->base;
}

const struct mb_backup_info *source_get_about(const struct source *s)
{
	return s->base ? mb_backup_get_info(s->base) : &s->about;
}

const struct source_totals *source_get_totals(const struct source *s)
{
	return &s->totals;
}

/* --- entries ------------------------------------------------------------- */

static int copy_slice(struct mb_slice *to, struct mb_slice from)
{
	char *p = malloc(from.len + 1);

	if (!p)
		return -ENOMEM;
	if (from.len)
		memcpy(p, from.ptr, from.len);
	p[from.len] = '\0';
	*to = (struct mb_slice){ p, from.len };
	return 0;
}

int identity_set(struct identity *id, struct mb_slice domain,
		 struct mb_slice path)
{
	identity_release(id);
	if (copy_slice(&id->domain, domain) < 0 ||
	    copy_slice(&id->path, path) < 0)
		return -ENOMEM;
	return 0;
}

void identity_release(struct identity *id)
{
	free((char *)id->domain.ptr);
	free((char *)id->path.ptr);
	*id = (struct identity){ 0 };
}

static int note_domain(struct source *s, struct mb_slice domain)
{
	struct mb_slice *list;

	/* entries come domain by domain, but in the view of a device */
	for (size_t i = s->domain_count; i--;)
		if (mb_slice_equal(s->domains[i], domain))
			return 0;
	list = reallocarray(s->domains, s->domain_count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->domains = list;
	if (copy_slice(&list[s->domain_count], domain) < 0)
		return -ENOMEM;
	s->domain_count++;
	return 0;
}

static bool grow(struct source *s)
{
	size_t cap = s->cap ? 2 * s->cap : 256;
	struct source_entry *p;

	if (s->count < s->cap)
		return true;
	p = reallocarray(s->entries, cap, sizeof(*p));
	if (!p)
		return false;
	s->entries = p;
	s->cap = cap;
	return true;
}

ssize_t source_add(struct source *s, struct source_entry entry,
		   const struct identity *id, int64_t size)
{
	if (!grow(s) || note_domain(s, id->domain) < 0) {
		source_new_free(entry.fresh);
		return -ENOMEM;
	}
	entry.hash = source_hash(id->domain, id->path);
	s->entries[s->count] = entry;
	s->totals.entries++;
	if (entry.type == MB_FILE) {
		s->totals.files++;
		s->totals.bytes += size > 0 ? (uint64_t)size : 0;
	}
	if (entry.change == SOURCE_ADDED)
		s->totals.added++;
	else if (entry.change != SOURCE_KEPT)
		s->totals.changed++;
	return (ssize_t)s->count++;
}

static int by_name(const void *a, const void *b)
{
	const struct mb_slice *x = a, *y = b;

	return mb_slice_compare(*x, *y);
}

size_t source_get_domains(const struct source *s, struct mb_slice **out)
{
	if (s->domain_count)
		qsort(s->domains, s->domain_count, sizeof(*s->domains),
		      by_name);
	*out = s->domains;
	return s->domain_count;
}

uint64_t hash_of(struct mb_slice text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (uint8_t)text.ptr[i]) * 0x100000001b3;
	return hash;
}

uint64_t source_hash(struct mb_slice domain, struct mb_slice path)
{
	/* the length keeps "a"+"bc" apart from "ab"+"c" */
	return hash_of(domain) * 31 + hash_of(path) + domain.len;
}

int source_record(struct source *s, uint32_t node, struct mb_record *rec,
		  struct mb_err *err)
{
	return mb_tree_record(s->tree, node, rec, err);
}

int source_entry_record(struct source *s, const struct source_entry *entry,
			struct mb_record *rec, struct mb_err *err)
{
	return mb_tree_record(entry->hidden ? s->by_domain : s->tree,
			      entry->node, rec, err);
}

/* --- the scan of a backup ------------------------------------------------ */

void source_check(struct source *s, const struct source_observer *o,
		  uint32_t node, const struct mb_record *rec)
{
	char path[1024];
	struct mb_err why;

	if (!o->damaged || mb_reader_check(s->base, rec, &why) == 0)
		return;
	s->totals.damaged++;
	mb_tree_get_path(s->tree, node, path, sizeof(path));
	o->damaged(o->arg, path, why.text);
}

bool node_set_has(const struct node_set *set, uint32_t node)
{
	return node / 8 < set->len && set->bits[node / 8] >> node % 8 & 1;
}

int node_set_add(struct node_set *set, uint32_t node)
{
	if (node / 8 >= set->len) {
		size_t len = (node / 8 + 1) * 2;
		uint8_t *p = realloc(set->bits, len);

		if (!p)
			return -ENOMEM;
		memset(p + set->len, 0, len - set->len);
		set->bits = p;
		set->len = len;
	}
	set->bits[node / 8] |= (uint8_t)(1 << node % 8);
	return 0;
}

/*
 * The node that comes after @node, in its folder or above; 0 at the end of
 * what is below @top.
 */
static uint32_t next_node(struct mb_tree *t, uint32_t top, uint32_t node,
			  struct mb_err *err)
{
	while (node != top) {
		uint32_t above = mb_tree_get_parent(t, node), first, count;

		if (mb_tree_children(t, above, &first, &count, err) < 0)
			return 0;
		if (node + 1 < first + count)
			return node + 1;
		node = above;
	}
	return 0;
}

int source_each_node(struct mb_tree *t, uint32_t top,
		     int (*each)(void *arg, uint32_t node, struct mb_err *err),
		     void *arg, struct mb_err *err)
{
	uint32_t node = top, first, count;
	int rc = 0;

	while (node && rc == 0) {
		rc = node == MB_ROOT ? 0 : each(arg, node, err);
		count = 0;
		if (rc == 0 && mb_tree_get_type(t, node) == MB_DIR)
			rc = mb_tree_children(t, node, &first, &count, err);
		if (rc == 0)
			node = count ? first : next_node(t, top, node, err);
	}
	return rc;
}

struct scan {
	struct source *s;
	struct selection *selection;
	const struct source_observer *observer;
	struct mb_record rec, above;
	struct node_set listed;
};

static int list_node(struct scan *scan, uint32_t node,
		     const struct mb_record *rec)
{
	struct source_entry entry = { .node = node,
				      .change = SOURCE_KEPT,
				      .type = (uint8_t)rec->type };
	const struct identity id = { rec->domain, rec->path };

	if (node_set_has(&scan->listed, node))
		return 0;
	if (node_set_add(&scan->listed, node) < 0 ||
	    source_add(scan->s, entry, &id, rec->size) < 0)
		return -ENOMEM;
	return 0;
}

/* The folders above an entry, as far as they are not there. */
static int list_above(struct scan *scan, uint32_t node, struct mb_err *err)
{
	uint32_t above = mb_tree_get_parent(scan->s->tree, node);
	int rc;

	for (; above != MB_ROOT && !node_set_has(&scan->listed, above);
	     above = mb_tree_get_parent(scan->s->tree, above)) {
		if (mb_tree_is_made_up(scan->s->tree, above))
			continue;
		rc = source_record(scan->s, above, &scan->above, err);
		if (rc < 0)
			return rc;
		if (rc == 0 && list_node(scan, above, &scan->above) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int scan_node(void *arg, uint32_t node, struct mb_err *err)
{
	struct scan *scan = arg;
	int rc;

	if (scan->observer->cancelled && scan->observer->cancelled())
		return mb_err_set(err, -ECANCELED, "cancelled");
	/* there can be thousands of these, one in the other */
	if (mb_tree_is_made_up(scan->s->tree, node))
		return 0;
	rc = source_record(scan->s, node, &scan->rec, err);
	if (rc < 0)
		return rc;
	if (!selection_has(scan->selection, scan->rec.domain, scan->rec.path))
		return 0;
	rc = list_above(scan, node, err);
	if (rc < 0)
		return rc;
	if (list_node(scan, node, &scan->rec) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	source_check(scan->s, scan->observer, node, &scan->rec);
	return 0;
}

static int scan_backup(struct source *s, struct selection *selection,
		       const struct source_observer *observer,
		       struct mb_err *err)
{
	struct scan scan = { .s = s,
			     .selection = selection,
			     .observer = observer };
	uint32_t first, count;
	int rc = mb_tree_children(s->tree, MB_ROOT, &first, &count, err);

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = source_record(s, first + i, &scan.rec, err);
		if (rc >= 0 && selection_wants(selection, scan.rec.domain))
			rc = source_each_node(s->tree, first + i, scan_node,
					      &scan, err);
		else if (rc > 0)
			rc = 0;
	}
	free(scan.listed.bits);
	mb_record_release(&scan.rec);
	mb_record_release(&scan.above);
	return rc;
}

int source_scan(struct source *s, struct selection *selection,
		const struct source_observer *observer, struct mb_err *err)
{
	int rc = 0;

	s->observer = *observer;
	if (s->base)
		rc = mb_tree_open(&s->tree, s->base,
				  s->is_tree ? s->view : MB_VIEW_DOMAINS, err);
	if (rc == 0 && s->base && s->is_tree && s->view != MB_VIEW_DOMAINS)
		rc = mb_tree_open(&s->by_domain, s->base, MB_VIEW_DOMAINS, err);
	if (rc < 0)
		return rc;
	rc = s->is_tree ? source_scan_tree(s, selection, observer, err) :
			  scan_backup(s, selection, observer, err);
	return rc < 0 ? rc : selection_check(selection, err);
}
