/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef NEW_BACKUP_H
#define NEW_BACKUP_H

/* A writer with a folder for what it makes, and what is in a backup. */
#include "mb/writer.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "backup_example.h"
#include "fixture.h"
#include "mb/reader.h"
#include "mb/tree.h"
#include "mbfile.h"
#include "opened.h"
#include "tap.h"

static inline struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

static inline bool same(struct mb_slice a, struct mb_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* ---- backups ---- */

static inline int unlock_with(struct mb_backup *b, const char *password)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = mb_backup_derive(b, password, strlen(password), key, NULL);

	return rc < 0 ? rc : mb_backup_unlock(b, key, NULL);
}

static inline struct mb_backup *open_locked(const char *path)
{
	struct mb_backup *b = NULL;
	struct mb_err err = { 0 };

	if (!CHECK_AT(mb_backup_open(&b, path, &err) == 0, "%s", err.text))
		abort();
	return b;
}

static inline struct mb_backup *open_with(const char *path,
					  const char *password)
{
	struct mb_backup *b = open_locked(path);
	struct mb_err err = { 0 };

	if (b->info.encrypted && !CHECK_INT(unlock_with(b, password), 0))
		abort();
	if (!CHECK_AT(mb_backup_load(b, &err) == 0, "%s", err.text))
		abort();
	return b;
}

static inline const char *golden(const char *shape)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s/backup", GOLDEN, shape);
	return path;
}

static const char *const shapes[] = { "db-plain", "db-encrypted", "db-ios10",
				      "mbdb-plain", "mbdb-encrypted" };

/* ---- all records of a backup, in the order of their names ---- */

struct records {
	struct mb_backup *b;
	struct mb_record *list;
	size_t count;
};

static inline int list_record(void *arg, const struct manifest_entry *entry)
{
	struct records *r = arg;

	r->list = reallocarray(r->list, r->count + 1, sizeof(*r->list));
	/* fetched later: a scan may not be disturbed */
	r->list[r->count] =
		(struct mb_record){ .inode = (uint64_t)entry->handle };
	r->count++;
	return 0;
}

static inline int by_name(const void *a, const void *b)
{
	const struct mb_record *x = a, *y = b;
	const struct mb_slice keys[][2] = { { x->domain, y->domain },
					    { x->path, y->path },
					    { slice(x->file_id),
					      slice(y->file_id) } };

	for (size_t i = 0; i < COUNT(keys); i++) {
		size_t m = keys[i][0].len, n = keys[i][1].len;
		int diff =
			memcmp(keys[i][0].ptr, keys[i][1].ptr, m < n ? m : n);

		if (diff || m != n)
			return diff ? diff : m < n ? -1 : 1;
	}
	return 0;
}

static inline struct records list_all(struct mb_backup *b)
{
	struct records r = { .b = b };

	for (size_t i = 0; i < b->domain_count; i++) {
		struct mb_slice domain = { b->domains[i].name,
					   b->domains[i].name_len };

		CHECK_INT(manifest_scan(b->manifest, domain, false, list_record,
					&r, NULL),
			  0);
	}
	for (size_t i = 0; i < r.count; i++) {
		int64_t handle = (int64_t)r.list[i].inode;

		r.list[i].inode = 0;
		CHECK_INT(manifest_get(b->manifest, handle, &r.list[i], NULL),
			  0);
	}
	if (r.count)
		qsort(r.list, r.count, sizeof(*r.list), by_name);
	return r;
}

static inline void forget(struct records *r)
{
	while (r->count)
		mb_record_release(&r->list[--r->count]);
	free(r->list);
	*r = (struct records){ 0 };
}

static inline const struct mb_record *
record_of(const struct records *r, const char *domain, const char *path)
{
	for (size_t i = 0; i < r->count; i++)
		if (same(r->list[i].domain, slice(domain)) &&
		    same(r->list[i].path, slice(path)))
			return &r->list[i];
	CHECK_AT(false, "%s-%s", domain, path);
	return NULL;
}

static inline int add_pair(void *arg, struct mb_slice name,
			   struct mb_slice value)
{
	add_be(arg, name.len, 4);
	add(arg, name.ptr, name.len);
	add_be(arg, value.len, 4);
	add(arg, value.ptr, value.len);
	return 0;
}

static inline struct bytes xattrs_of(const struct mb_record *rec)
{
	struct bytes b = { 0 };

	CHECK_INT(mb_record_each_xattr(rec, add_pair, &b), 0);
	return b;
}

static inline bool same_xattrs(const struct mb_record *x,
			       const struct mb_record *y)
{
	struct bytes a = xattrs_of(x), b = xattrs_of(y);
	bool equal = a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));

	drop(&a);
	drop(&b);
	return equal;
}

static inline bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* what a person sees of an entry, and the phone: not how it is stored */
static inline void check_looks_same(const struct mb_record *x,
				    const struct mb_record *y)
{
	char name[100];

	snprintf(name, sizeof(name), "%.40s-%.50s", x->domain.ptr, x->path.ptr);
	CHECK_AT(same(x->domain, y->domain), "%s", name);
	CHECK_AT(same(x->path, y->path), "%s", name);
	CHECK_AT(same(x->target, y->target), "%s", name);
	CHECK_AT(!strcmp(x->file_id, y->file_id), "%s", name);
	CHECK_AT(x->type == y->type, "%s", name);
	CHECK_AT(x->mode == y->mode, "%s", name);
	CHECK_AT(x->uid == y->uid && x->gid == y->gid, "%s", name);
	CHECK_AT(x->inode == y->inode, "%s", name);
	CHECK_AT(x->size == y->size, "%s", name);
	CHECK_AT(x->bsd_flags == y->bsd_flags, "%s", name);
	CHECK_AT(same_time(x->mtime, y->mtime), "%s", name);
	CHECK_AT(same_time(x->ctime, y->ctime), "%s", name);
	CHECK_AT(same_time(x->birth, y->birth), "%s", name);
	CHECK_AT(same_xattrs(x, y), "%s", name);
}

static inline void check_stored_same(const struct mb_record *x,
				     const struct mb_record *y)
{
	CHECK_INT(y->protection_class, x->protection_class);
	CHECK_BYTES(y->wrapped_key, y->wrapped_key_len, x->wrapped_key,
		    x->wrapped_key_len);
	CHECK_BYTES(y->digest, y->digest_len, x->digest, x->digest_len);
	CHECK_TEXT(y->damage, x->damage);
	if (!x->archive.len)
		return; /* Manifest.mbdb */
	CHECK_BYTES(y->archive.ptr, y->archive.len, x->archive.ptr,
		    x->archive.len);
	CHECK_BYTES(y->row_id.ptr, y->row_id.len, x->row_id.ptr, x->row_id.len);
}

/* The bytes that can be read; how reading ends. */
static inline struct bytes content_of(struct mb_backup *b,
				      const struct mb_record *rec, int *rc)
{
	struct mb_reader *reader = NULL;
	struct bytes out = { 0 };
	char piece[5000];
	ssize_t n = 0;

	*rc = mb_reader_open(&reader, b, rec, NULL);
	if (*rc < 0)
		return out;
	while ((n = mb_reader_pread(reader, piece, sizeof(piece),
				    (int64_t)out.len)) > 0)
		add(&out, piece, (size_t)n);
	*rc = (int)n;
	mb_reader_free(reader);
	return out;
}

static inline bool has_content(struct mb_backup *b, const struct mb_record *rec,
			       const void *want, size_t len)
{
	int rc;
	struct bytes got = content_of(b, rec, &rc);
	bool good = rc == 0 && got.len == len &&
		    (!len || !memcmp(got.ptr, want, len));

	drop(&got);
	return good;
}

/* ---- a writer, and a place for what it makes ---- */

static struct {
	const char *dir;
	int fd;
	struct mb_writer *w;
	struct mb_writer_wish wish;
	struct mb_writer_counts counts;
	char notes[4096];
	struct mb_err err;
	struct mb_backup *like;
	struct records base;
} made;

static inline void take_note(void *arg, const char *line)
{
	(void)arg;
	snprintf(made.notes + strlen(made.notes),
		 sizeof(made.notes) - strlen(made.notes), "%s\n", line);
}

/* Manifest.mbdb can have two records of one ID; a tree shows only one. */
static inline void leave_twins_out(struct records *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->count; i++)
		if (kept && r->b->info.format == MB_FORMAT_MBDB &&
		    !strcmp(r->list[kept - 1].file_id, r->list[i].file_id))
			mb_record_release(&r->list[i]);
		else
			r->list[kept++] = r->list[i];
	r->count = kept;
}

/* @like: taken; NULL: none */
static inline int begin_as(struct mb_backup *like,
			   enum mb_encryption encryption)
{
	memset(&made, 0, sizeof(made));
	made.dir = temp_dir();
	made.fd = open_dir(made.dir);
	made.like = like;
	if (like && like->manifest)
		made.base = list_all(like);
	leave_twins_out(&made.base);
	made.wish = (struct mb_writer_wish){
		.like = like,
		.encryption = encryption,
		.password = "a new one",
		.password_len = 9,
		.iterations = 3,
		.counts = &made.counts,
		.note = take_note,
	};
	return mb_writer_open(&made.w, made.fd, &made.wish, &made.err);
}

static inline void begin(const char *path, enum mb_encryption encryption)
{
	int rc = begin_as(path ? open_with(path, PASSWORD) : NULL, encryption);

	if (!CHECK_AT(rc == 0, "%s", made.err.text))
		abort();
}

static inline void end(void)
{
	mb_writer_free(made.w);
	forget(&made.base);
	mb_backup_free(made.like);
	close(made.fd);
	made.w = NULL;
}

/*
 * Commit; what was made is opened from its folder, as anybody would. The
 * caller frees it.
 */
static inline struct mb_backup *commit(const char *password)
{
	CHECK_AT(mb_writer_commit(made.w, false, &made.err) == 0, "%s",
		 made.err.text);
	return open_with(made.dir, password);
}

static inline int keep(const char *domain, const char *path)
{
	return mb_writer_keep(made.w, record_of(&made.base, domain, path),
			      &made.err);
}

static inline void keep_all(void)
{
	for (size_t i = 0; i < made.base.count; i++)
		CHECK_AT(mb_writer_keep(made.w, &made.base.list[i],
					&made.err) == 0,
			 "%s", made.err.text);
}

/* Bytes to be read, and what is to happen at one of them. */
struct supply {
	const uint8_t *ptr;
	size_t len, at_most;
	size_t fails_at; /* 0: never */
	int error;
	bool cancels;
};

static bool cancelled;

static inline bool is_cancelled(void)
{
	return cancelled;
}

static inline ssize_t read_supply(void *arg, void *out, size_t len, int64_t off)
{
	struct supply *s = arg;
	size_t left = s->len - (size_t)off;

	if (s->fails_at && (size_t)off >= s->fails_at) {
		cancelled = s->cancels;
		if (!s->cancels)
			return s->error;
	}
	if (s->at_most && len > s->at_most)
		len = s->at_most;
	if (len > left)
		len = left;
	memcpy(out, s->ptr + off, len);
	return (ssize_t)len;
}

static inline struct mb_entry new_file(const char *domain, const char *path)
{
	return (struct mb_entry){
		.domain = slice(domain),
		.path = slice(path),
		.type = MB_FILE,
		.permissions = 0640,
		.uid = 501,
		.gid = 250,
		.bsd_flags = 0x8000,
		.inode = 77,
		.protection_class = 3,
		.mtime = { .tv_sec = EXAMPLE_TIME + 10 },
		.ctime = { .tv_sec = EXAMPLE_TIME + 20 },
		.birth = { .tv_sec = -5 },
	};
}

static inline int add_supply(struct mb_entry *e, struct supply *s)
{
	struct mb_content content = { read_supply, s };
	int rc;

	e->content = &content;
	rc = mb_writer_add(made.w, e, &made.err);
	e->content = NULL;
	return rc;
}

static inline int add_bytes(struct mb_entry *e, const void *ptr, size_t len)
{
	struct supply s = { .ptr = ptr, .len = len };

	return add_supply(e, &s);
}

static inline int add_word(struct mb_entry *e, const char *text)
{
	return add_bytes(e, text, strlen(text));
}

/* ---- what is in a folder ---- */

static const struct bytes *wanted;
static int found_in;

static inline int search_one(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	struct bytes b;

	(void)st;
	if (memmem(path + ftw->base, strlen(path + ftw->base), wanted->ptr,
		   wanted->len))
		found_in++;
	if (type != FTW_F)
		return 0;
	b = read_file(path);
	if (b.len && memmem(b.ptr, b.len, wanted->ptr, wanted->len))
		found_in++;
	drop(&b);
	return 0;
}

/* How many files of the new backup hold a text, in bytes or name. */
static inline int files_with(const char *text)
{
	struct bytes b = { 0 };

	add_text(&b, text);
	wanted = &b;
	found_in = 0;
	nftw(made.dir, search_one, 16, FTW_PHYS);
	drop(&b);
	return found_in;
}

static int payloads_seen;

static inline int see_payload(const char *path, const struct stat *st, int type,
			      struct FTW *ftw)
{
	(void)path, (void)st;
	payloads_seen += type == FTW_F && ftw->level == 2;
	return 0;
}

static inline int count_payloads(void)
{
	payloads_seen = 0;
	nftw(made.dir, see_payload, 16, FTW_PHYS);
	return payloads_seen;
}

static inline plist_t read_plist(const char *dir, const char *name)
{
	struct bytes b = read_file(in(dir, name));
	plist_t node = read_plist_bytes(b.ptr, b.len);

	drop(&b);
	CHECK_AT(node, "%s", name);
	return node;
}

static inline struct bytes data_of(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	struct bytes b = { 0 };
	char *ptr = NULL;
	uint64_t len = 0;

	if (node && plist_get_node_type(node) == PLIST_DATA)
		plist_get_data_val(node, &ptr, &len);
	if (ptr)
		add(&b, ptr, len);
	free(ptr);
	return b;
}

static inline char *text_of(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	char *text = NULL;

	if (node && plist_get_node_type(node) == PLIST_STRING)
		plist_get_string_val(node, &text);
	return text;
}

static inline int flag_of(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	uint8_t on = 0;

	if (!node || plist_get_node_type(node) != PLIST_BOOLEAN)
		return -1;
	plist_get_bool_val(node, &on);
	return on;
}

#endif
