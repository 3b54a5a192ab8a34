/* SPDX-License-Identifier: LGPL-2.1-or-later */
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

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

static bool same(struct mb_slice a, struct mb_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* ---- backups ---- */

static int unlock_with(struct mb_backup *b, const char *password)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = mb_backup_derive(b, password, strlen(password), key, NULL);

	return rc < 0 ? rc : mb_backup_unlock(b, key, NULL);
}

static struct mb_backup *open_locked(const char *path)
{
	struct mb_backup *b = NULL;
	struct mb_err err = { 0 };

	if (!CHECK_AT(mb_backup_open(&b, path, &err) == 0, "%s", err.text))
		abort();
	return b;
}

static struct mb_backup *open_with(const char *path, const char *password)
{
	struct mb_backup *b = open_locked(path);
	struct mb_err err = { 0 };

	if (b->info.encrypted && !CHECK_INT(unlock_with(b, password), 0))
		abort();
	if (!CHECK_AT(mb_backup_load(b, &err) == 0, "%s", err.text))
		abort();
	return b;
}

static const char *golden(const char *shape)
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

static int list_record(void *arg, const struct manifest_entry *entry)
{
	struct records *r = arg;

	r->list = reallocarray(r->list, r->count + 1, sizeof(*r->list));
	/* fetched later: a scan may not be disturbed */
	r->list[r->count] =
		(struct mb_record){ .inode = (uint64_t)entry->handle };
	r->count++;
	return 0;
}

static int by_name(const void *a, const void *b)
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

static struct records list_all(struct mb_backup *b)
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

static void forget(struct records *r)
{
	while (r->count)
		mb_record_release(&r->list[--r->count]);
	free(r->list);
	*r = (struct records){ 0 };
}

static const struct mb_record *record_of(const struct records *r,
					 const char *domain, const char *path)
{
	for (size_t i = 0; i < r->count; i++)
		if (same(r->list[i].domain, slice(domain)) &&
		    same(r->list[i].path, slice(path)))
			return &r->list[i];
	CHECK_AT(false, "%s-%s", domain, path);
	return NULL;
}

static int add_pair(void *arg, struct mb_slice name, struct mb_slice value)
{
	add_be(arg, name.len, 4);
	add(arg, name.ptr, name.len);
	add_be(arg, value.len, 4);
	add(arg, value.ptr, value.len);
	return 0;
}

static struct bytes xattrs_of(const struct mb_record *rec)
{
	struct bytes b = { 0 };

	CHECK_INT(mb_record_each_xattr(rec, add_pair, &b), 0);
	return b;
}

static bool same_xattrs(const struct mb_record *x, const struct mb_record *y)
{
	struct bytes a = xattrs_of(x), b = xattrs_of(y);
	bool equal = a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));

	drop(&a);
	drop(&b);
	return equal;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* what a person sees of an entry, and the phone: not how it is stored */
static void check_looks_same(const struct mb_record *x,
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

static void check_stored_same(const struct mb_record *x,
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
static struct bytes content_of(struct mb_backup *b, const struct mb_record *rec,
			       int *rc)
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

static bool has_content(struct mb_backup *b, const struct mb_record *rec,
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

static void take_note(void *arg, const char *line)
{
	(void)arg;
	snprintf(made.notes + strlen(made.notes),
		 sizeof(made.notes) - strlen(made.notes), "%s\n", line);
}

/* Manifest.mbdb can have two records of one ID; a tree shows only one. */
static void leave_twins_out(struct records *r)
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
static int begin_as(struct mb_backup *like, enum mb_encryption encryption)
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

static void begin(const char *path, enum mb_encryption encryption)
{
	int rc = begin_as(path ? open_with(path, PASSWORD) : NULL, encryption);

	if (!CHECK_AT(rc == 0, "%s", made.err.text))
		abort();
}

static void end(void)
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
static struct mb_backup *commit(const char *password)
{
	CHECK_AT(mb_writer_commit(made.w, false, &made.err) == 0, "%s",
		 made.err.text);
	return open_with(made.dir, password);
}

static int keep(const char *domain, const char *path)
{
	return mb_writer_keep(made.w, record_of(&made.base, domain, path),
			      &made.err);
}

static void keep_all(void)
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

static bool is_cancelled(void)
{
	return cancelled;
}

static ssize_t read_supply(void *arg, void *out, size_t len, int64_t off)
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

static struct mb_entry new_file(const char *domain, const char *path)
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

static int add_supply(struct mb_entry *e, struct supply *s)
{
	struct mb_content content = { read_supply, s };
	int rc;

	e->content = &content;
	rc = mb_writer_add(made.w, e, &made.err);
	e->content = NULL;
	return rc;
}

static int add_bytes(struct mb_entry *e, const void *ptr, size_t len)
{
	struct supply s = { .ptr = ptr, .len = len };

	return add_supply(e, &s);
}

static int add_word(struct mb_entry *e, const char *text)
{
	return add_bytes(e, text, strlen(text));
}

/* ---- what is in a folder ---- */

static const struct bytes *wanted;
static int found_in;

static int search_one(const char *path, const struct stat *st, int type,
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
static int files_with(const char *text)
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

static int see_payload(const char *path, const struct stat *st, int type,
		       struct FTW *ftw)
{
	(void)path, (void)st;
	payloads_seen += type == FTW_F && ftw->level == 2;
	return 0;
}

static int count_payloads(void)
{
	payloads_seen = 0;
	nftw(made.dir, see_payload, 16, FTW_PHYS);
	return payloads_seen;
}

static plist_t read_plist(const char *dir, const char *name)
{
	struct bytes b = read_file(in(dir, name));
	plist_t node = NULL;

	plist_from_memory((char *)b.ptr, (uint32_t)b.len, &node);
	drop(&b);
	CHECK_AT(node, "%s", name);
	return node;
}

static struct bytes data_of(plist_t dict, const char *key)
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

static char *text_of(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	char *text = NULL;

	if (node && plist_get_node_type(node) == PLIST_STRING)
		plist_get_string_val(node, &text);
	return text;
}

static int flag_of(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	uint8_t on = 0;

	if (!node || plist_get_node_type(node) != PLIST_BOOLEAN)
		return -1;
	plist_get_bool_val(node, &on);
	return on;
}

/* ---- all of a golden backup is kept ---- */

/* the same length, content and end; @converted: damage may become a gap */
static void check_same_content(struct mb_backup *a, const struct mb_record *x,
			       struct mb_backup *b, const struct mb_record *y,
			       bool converted)
{
	int rc_a, rc_b;
	struct bytes one = content_of(a, x, &rc_a);
	struct bytes two = content_of(b, y, &rc_b);

	if (converted && rc_a < 0) {
		CHECK_AT(rc_b < 0, "%.60s", x->path.ptr);
		CHECK_INT(two.len, 0);
	} else {
		CHECK_AT(rc_a == rc_b, "%.60s", x->path.ptr);
		CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	}
	drop(&one);
	drop(&two);
}

CASE(what_is_kept_of_a_backup_of_any_shape_is_the_same)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct mb_backup *b;
		struct records r;

		begin(golden(shapes[i]), MB_AS_LIKE);
		keep_all();
		b = commit(PASSWORD);
		r = list_all(b);
		CHECK_INT(b->info.encrypted, made.like->info.encrypted);
		CHECK_INT(b->info.format, MB_FORMAT_DB);
		CHECK_INT(b->domain_count, made.like->domain_count);
		if (CHECK_INT(r.count, made.base.count))
			for (size_t k = 0; k < r.count; k++) {
				struct mb_record *x = &made.base.list[k];

				check_looks_same(x, &r.list[k]);
				check_stored_same(x, &r.list[k]);
				check_same_content(made.like, x, b, &r.list[k],
						   false);
			}
		CHECK_INT(made.counts.entries, made.base.count);
		CHECK_INT(made.counts.written, 0);
		CHECK_TEXT(made.notes, "");
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

CASE(what_is_kept_is_shared_and_not_copied)
{
	static const struct example list[] = {
		{ "HomeDomain", "", .mode = 040755 },
		{ PUT("HomeDomain", "a", "one") },
		{ PUT("HomeDomain", "b", "two") },
	};
	const char *from = temp_dir();
	struct stat a, b;

	put_example(from, list, COUNT(list), true);
	begin(from, MB_AS_LIKE);
	keep_all();
	CHECK_INT(made.counts.shared, 2);
	CHECK_INT(made.counts.files, 2);
	CHECK_INT(made.counts.entries, 3);
	if (!made.counts.copied) {
		stat(in(from, example_payload("HomeDomain", "a")), &a);
		stat(in(made.dir, example_payload("HomeDomain", "a")), &b);
		/* a reflink has an inode of its own */
		CHECK(a.st_ino == b.st_ino || a.st_nlink == 1);
	}
	end();
}

CASE(the_property_lists_of_the_backup_stay)
{
	const char *from = golden("db-encrypted");
	static const char *const lists[] = { "Lockdown", "Applications" };
	struct bytes one, two;
	struct mb_backup *b;
	plist_t x, y;
	char *text;

	begin(from, MB_AS_LIKE);
	b = commit(PASSWORD);
	one = read_file(in(from, "Info.plist"));
	two = read_file(in(made.dir, "Info.plist"));
	CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	drop(&one);
	drop(&two);
	x = read_plist(from, "Manifest.plist");
	y = read_plist(made.dir, "Manifest.plist");
	one = data_of(x, "BackupKeyBag");
	two = data_of(y, "BackupKeyBag");
	CHECK(one.len);
	CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	drop(&one);
	drop(&two);
	/* two manifests under one key would tell what they have in common */
	one = data_of(x, "ManifestKey");
	two = data_of(y, "ManifestKey");
	CHECK(one.len == 44 && two.len == 44 && memcmp(one.ptr, two.ptr, 44));
	drop(&one);
	drop(&two);
	for (size_t i = 0; i < COUNT(lists); i++)
		CHECK_INT(
			plist_dict_get_size(plist_dict_get_item(y, lists[i])),
			plist_dict_get_size(plist_dict_get_item(x, lists[i])));
	plist_free(x);
	plist_free(y);
	y = read_plist(made.dir, "Status.plist");
	text = text_of(y, "SnapshotState");
	CHECK_TEXT(text, "finished");
	free(text);
	plist_free(y);
	CHECK_INT(b->info.date, made.like->info.date);
	mb_backup_free(b);
	end();
}

/* What only hides names: a key, unwrapped, of a new backup. */
static void manifest_key_of(struct mb_backup *b, uint8_t key[KEY_LEN])
{
	CHECK_INT(keyring_unwrap(&b->keyring, key, b->manifest_key, 0), 0);
}

CASE(each_manifest_has_a_key_of_its_own)
{
	uint8_t keys[3][KEY_LEN];
	struct mb_backup *b;

	for (int i = 0; i < 2; i++) {
		begin(golden("db-encrypted"), MB_AS_LIKE);
		manifest_key_of(made.like, keys[2]);
		b = commit(PASSWORD);
		manifest_key_of(b, keys[i]);
		mb_backup_free(b);
		end();
	}
	CHECK(memcmp(keys[0], keys[1], KEY_LEN));
	CHECK(memcmp(keys[0], keys[2], KEY_LEN));
}

CASE(a_record_that_is_damaged_is_kept_word_for_word)
{
	struct bytes garbage = unhex("62706c697374ff"), manifest;
	const struct entry entries[] = {
		{ .domain = "HomeDomain", .path = "f", .blob = &garbage }
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;

	manifest = manifest_db(schema_old, entries, 1);
	put_manifest_plist(from, "10.0", 0, NULL, NULL);
	put_file(from, "Manifest.db", manifest.ptr, manifest.len);
	begin(from, MB_AS_LIKE);
	CHECK(made.base.list[0].damage);
	keep_all();
	b = commit("");
	r = list_all(b);
	CHECK_TEXT(r.list[0].damage, made.base.list[0].damage);
	CHECK_BYTES(r.list[0].archive.ptr, r.list[0].archive.len, garbage.ptr,
		    garbage.len);
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&manifest);
	drop(&garbage);
}

/* ---- other keys ---- */

static void check_converted(const char *password, bool encrypted)
{
	struct mb_backup *b = commit(password);
	struct records r = list_all(b);

	CHECK_INT(b->info.encrypted, encrypted);
	CHECK_INT(b->info.manifest_encrypted, encrypted);
	if (!CHECK_INT(r.count, made.base.count))
		return;
	for (size_t k = 0; k < r.count; k++) {
		struct mb_record *x = &made.base.list[k], *y = &r.list[k];

		check_looks_same(x, y);
		/* what was not encrypted before has no way to lose a digest */
		CHECK_INT(y->digest_len ? y->digest_len : x->digest_len,
			  x->digest_len);
		if (y->type != MB_FILE)
			continue;
		if (!encrypted)
			CHECK_INT(y->wrapped_key_len, 0);
		else if (x->wrapped_key_len == 44 && y->wrapped_key_len)
			CHECK(memcmp(x->wrapped_key, y->wrapped_key, 44));
		check_same_content(made.like, x, b, y,
				   encrypted || made.like->info.encrypted);
	}
	forget(&r);
	mb_backup_free(b);
}

CASE(in_clear_everything_that_can_be_read_is_there)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		plist_t list;

		begin(golden(shapes[i]), MB_IN_CLEAR);
		keep_all();
		CHECK_INT(made.counts.written > 0, made.like->info.encrypted);
		check_converted("", false);
		list = read_plist(made.dir, "Manifest.plist");
		CHECK_INT(flag_of(list, "IsEncrypted"), 0);
		CHECK(!plist_dict_get_item(list, "ManifestKey"));
		plist_free(list);
		end();
	}
}

CASE(a_new_password_opens_it_and_the_old_does_not)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct mb_backup *b;

		begin(golden(shapes[i]), MB_NEW_PASSWORD);
		keep_all();
		check_converted("a new one", true);
		b = open_locked(made.dir);
		CHECK_INT(unlock_with(b, PASSWORD), -EKEYREJECTED);
		CHECK_INT(b->keybag.double_iterations, 3);
		CHECK_INT(b->keybag.iterations, KEYBAG_ITERATIONS);
		mb_backup_free(b);
		end();
	}
}

CASE(what_cannot_be_read_is_left_out_with_a_note)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "good", "good") },
		{ PUT("HomeDomain", "gone", "gone"), .missing = true },
		{ PUT("HomeDomain", "cut", "sixteen bytes are") },
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;

	put_example(from, list, COUNT(list), true);
	put_text(from, example_payload("HomeDomain", "cut"), "no whole block");
	begin(from, MB_IN_CLEAR);
	keep_all();
	CHECK_INT(made.counts.entries, 3);
	CHECK_INT(made.counts.written, 1);
	CHECK(strstr(made.notes, "HomeDomain-gone: left without content"));
	CHECK(strstr(made.notes, "HomeDomain-cut: left without content"));
	CHECK(!strstr(made.notes, "good"));
	CHECK_INT(count_payloads(), 1);
	b = commit("");
	r = list_all(b);
	CHECK(has_content(b, record_of(&r, "HomeDomain", "good"), "good", 4));
	CHECK_INT(record_of(&r, "HomeDomain", "gone")->size, 4);
	CHECK_INT(record_of(&r, "HomeDomain", "cut")->size, 17);
	CHECK_INT(mb_reader_check(b, record_of(&r, "HomeDomain", "cut"), NULL),
		  -ENODATA);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(a_locked_backup_is_nothing_to_be_like)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_backup *like = open_locked(golden("db-encrypted"));

		CHECK_INT(begin_as(like, how[i]), -ENOKEY);
		CHECK(!made.w);
		CHECK(!exists(made.dir, "Manifest.db"));
		end();
	}
}

CASE(the_new_backup_is_unlocked_without_a_password)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_backup *b;

		begin(golden("db-encrypted"), how[i]);
		CHECK_INT(mb_writer_commit(made.w, true, NULL), 0);
		b = open_locked(made.dir);
		CHECK_INT(mb_writer_unlock(made.w, b, NULL), 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		mb_backup_free(b);
		end();
	}
}

CASE(another_backup_is_not_unlocked)
{
	struct mb_backup *other = open_locked(golden("mbdb-encrypted"));

	begin(golden("db-encrypted"), MB_AS_LIKE);
	CHECK_INT(mb_writer_unlock(made.w, other, NULL), -EBADMSG);
	CHECK(!other->unlocked);
	end();
	begin(golden("db-encrypted"), MB_NEW_PASSWORD);
	CHECK_INT(mb_writer_unlock(made.w, other, NULL), -EKEYREJECTED);
	mb_backup_free(other);
	end();
}

/* ---- entries that are added ---- */

CASE(a_backup_from_nothing)
{
	static const struct mb_backup_info about = {
		.device_name = "Bob",
		.udid = "00008110-000A1B2C3D4E5F67",
		.product_type = "iPhone14,5",
		.product_version = "17.5.1",
	};
	struct mb_entry folder = new_file("HomeDomain", "");
	struct mb_entry file = new_file("HomeDomain", "new \xc3\x9c");
	struct mb_entry link = new_file("HomeDomain", "link");
	const struct mb_record *rec;
	struct mb_backup *b;
	struct records r;
	char id[41];

	begin(NULL, MB_AS_LIKE);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.about = &about;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	folder.type = MB_DIR;
	link.type = MB_LINK;
	link.target = slice("new");
	CHECK_INT(mb_writer_add(made.w, &folder, NULL), 0);
	CHECK_INT(add_word(&file, "hello"), 0);
	CHECK_INT(mb_writer_add(made.w, &link, NULL), 0);
	b = commit("");
	CHECK(!b->info.encrypted);
	CHECK(b->info.complete);
	CHECK_TEXT(b->info.device_name, "Bob");
	CHECK_TEXT(b->info.udid, "00008110-000A1B2C3D4E5F67");
	CHECK_TEXT(b->info.product_version, "17.5.1");
	CHECK(b->info.date > EXAMPLE_TIME);
	r = list_all(b);
	CHECK_INT(r.count, 3);
	rec = record_of(&r, "HomeDomain", "");
	CHECK_INT(rec->type, MB_DIR);
	CHECK_INT(rec->mode, 040640);
	CHECK_INT(rec->digest_len, 0);
	rec = record_of(&r, "HomeDomain", "link");
	CHECK_INT(rec->type, MB_LINK);
	CHECK_INT(rec->mode, 0120640);
	CHECK(same(rec->target, slice("new")));
	rec = record_of(&r, "HomeDomain", "new \xc3\x9c");
	file_id(id, "HomeDomain", "new \xc3\x9c");
	CHECK_TEXT(rec->file_id, id);
	CHECK_INT(rec->mode, 0100640);
	CHECK_INT(rec->uid, 501);
	CHECK_INT(rec->gid, 250);
	CHECK_INT(rec->bsd_flags, 0x8000);
	CHECK_INT(rec->inode, 77);
	CHECK_INT(rec->size, 5);
	CHECK_INT(rec->mtime.tv_sec, EXAMPLE_TIME + 10);
	CHECK_INT(rec->ctime.tv_sec, EXAMPLE_TIME + 20);
	CHECK_INT(rec->birth.tv_sec, -5);
	CHECK_INT(rec->wrapped_key_len, 0);
	CHECK(has_content(b, rec, "hello", 5));
	CHECK_INT(made.counts.written, 1);
	CHECK_INT(made.counts.bytes, 5);
	CHECK_INT(made.counts.files, 1);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(from_nothing_under_a_password)
{
	struct mb_entry file = new_file("HomeDomain", "f");
	struct mb_backup *b;
	struct records r;

	begin(NULL, MB_NEW_PASSWORD);
	CHECK_INT(add_word(&file, "hello"), 0);
	b = commit("a new one");
	CHECK(b->info.encrypted && b->info.manifest_encrypted);
	r = list_all(b);
	CHECK_INT(r.list[0].wrapped_key_len, 44);
	CHECK(has_content(b, &r.list[0], "hello", 5));
	forget(&r);
	mb_backup_free(b);
	end();
}

/* with keys and without, read in odd pieces */
CASE(content_of_any_length)
{
	static const size_t lengths[] = { 0,	  1,	  15,	  16,	  17,
					  4095,	  4096,	  65535,  65536,  65537,
					  262143, 262144, 262145, 1000001 };
	struct bytes noise = { 0 };

	add_noise(&noise, 1000001);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_backup *b;
		struct records r;
		char path[20];

		begin(golden(encrypted ? "db-encrypted" : "db-plain"),
		      MB_AS_LIKE);
		for (size_t i = 0; i < COUNT(lengths); i++) {
			struct supply s = { .ptr = noise.ptr,
					    .len = lengths[i],
					    .at_most = i % 2 ? 1000 : 0 };
			struct mb_entry e;

			snprintf(path, sizeof(path), "of %zu", lengths[i]);
			e = new_file("HomeDomain", path);
			CHECK_INT(add_supply(&e, &s), 0);
		}
		b = commit(PASSWORD);
		r = list_all(b);
		for (size_t i = 0; i < COUNT(lengths); i++) {
			const struct mb_record *rec;

			snprintf(path, sizeof(path), "of %zu", lengths[i]);
			rec = record_of(&r, "HomeDomain", path);
			CHECK_INT(rec->size, lengths[i]);
			CHECK_INT(mb_reader_check(b, rec, NULL), 0);
			CHECK_AT(has_content(b, rec, noise.ptr, lengths[i]),
				 "%zu bytes", lengths[i]);
		}
		forget(&r);
		mb_backup_free(b);
		end();
	}
	drop(&noise);
}

static const struct example sample[] = {
	{ "HomeDomain", "", .mode = 040755 },
	{ PUT("HomeDomain", "a.txt", "what it was before") },
	{ "HomeDomain", "link", .mode = 0120755, .target = "a.txt" },
	{ "AppDomain-com.example.app", "d", .mode = 040700 },
	{ PUT("AppDomain-com.example.app", "d/b.bin", "class one"),
	  .class = 1 },
};

static const char *sample_backup(bool encrypted)
{
	const char *dir = temp_dir();

	put_example(dir, sample, COUNT(sample), encrypted);
	return dir;
}

static void begin_sample(bool encrypted)
{
	begin(sample_backup(encrypted), MB_AS_LIKE);
}

/* decrypted by OpenSSL, with the key that only the class key opens */
CASE(a_changed_file_has_a_key_and_a_digest_of_its_own)
{
	struct mb_entry e = new_file("HomeDomain", "a.txt");
	const char *from = sample_backup(true);
	struct bytes was =
		read_file(in(from, example_payload("HomeDomain", "a.txt")));
	struct bytes stored, plain, old = unhex(FILE_KEY);
	const struct mb_record *rec;
	uint8_t key[KEY_LEN];
	struct mb_backup *b;
	struct records r;
	char digest[41], shown[41];

	begin(from, MB_AS_LIKE);
	e.base = record_of(&made.base, "HomeDomain", "a.txt");
	CHECK_INT(add_word(&e, "what it is now"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	rec = record_of(&r, "HomeDomain", "a.txt");
	CHECK_INT(rec->wrapped_key_len, 44);
	CHECK_INT(keyring_unwrap(&b->keyring, key, rec->wrapped_key, 0), 0);
	CHECK(memcmp(key, old.ptr, KEY_LEN));
	stored =
		read_file(in(made.dir, example_payload("HomeDomain", "a.txt")));
	plain = aes_cbc(false, key, stored.ptr, stored.len, true);
	CHECK_BYTES(plain.ptr, plain.len, "what it is now", 14);
	sha1_hex(digest, stored.ptr, stored.len);
	CHECK_INT(rec->digest_len, 20);
	hex_encode(shown, rec->digest, 20);
	CHECK_TEXT(shown, digest);
	drop(&stored);
	/* the old payload is nobody's business */
	stored = read_file(in(from, example_payload("HomeDomain", "a.txt")));
	CHECK_BYTES(stored.ptr, stored.len, was.ptr, was.len);
	drop(&stored);
	drop(&plain);
	drop(&old);
	drop(&was);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(two_equal_contents_have_different_keys)
{
	struct mb_entry one = new_file("HomeDomain", "1");
	struct mb_entry two = new_file("HomeDomain", "2");
	struct bytes a, b;

	begin_sample(true);
	CHECK_INT(add_word(&one, "equal"), 0);
	CHECK_INT(add_word(&two, "equal"), 0);
	a = read_file(in(made.dir, example_payload("HomeDomain", "1")));
	b = read_file(in(made.dir, example_payload("HomeDomain", "2")));
	CHECK(a.len == 16 && b.len == 16 && memcmp(a.ptr, b.ptr, 16));
	drop(&a);
	drop(&b);
	end();
}

static struct mb_record copy_with_digest(const struct mb_record *rec,
					 uint8_t len)
{
	struct mb_record copy = *rec;

	copy.digest_len = len;
	return copy;
}

/* of a backup whose files have SHA-256, a new one has it too */
CASE(the_digest_is_of_the_kind_that_it_was)
{
	static const uint8_t had[] = { 0, 20, 32, 7 };

	begin_sample(false);
	for (size_t i = 0; i < COUNT(had); i++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		struct mb_record base = copy_with_digest(
			record_of(&made.base, "HomeDomain", "a.txt"), had[i]);
		struct mb_backup *b;
		struct records r;
		uint8_t want[32];

		end();
		begin_sample(false);
		base = copy_with_digest(
			record_of(&made.base, "HomeDomain", "a.txt"), had[i]);
		e.base = &base;
		CHECK_INT(add_word(&e, "now"), 0);
		b = commit("");
		r = list_all(b);
		EVP_Digest("now", 3, want, NULL,
			   had[i] == 32 ? EVP_sha256() : EVP_sha1(), NULL);
		CHECK_BYTES(r.list[0].digest, r.list[0].digest_len, want,
			    had[i] == 32 ? 32 : 20);
		forget(&r);
		mb_backup_free(b);
	}
	end();
}

/* the key bag has 1, 3 and 4; 11 is bound to the device */
CASE(a_class_that_the_key_bag_lacks_becomes_another)
{
	static const struct {
		uint8_t wanted, got;
	} classes[] = { { 1, 1 }, { 2, 3 }, { 3, 3 },  { 4, 4 },
			{ 0, 3 }, { 9, 3 }, { 11, 3 }, { 255, 3 } };
	struct mb_backup *b;
	struct records r;
	char path[10];

	begin_sample(true);
	for (size_t i = 0; i < COUNT(classes); i++) {
		struct mb_entry e;

		snprintf(path, sizeof(path), "%d", classes[i].wanted);
		e = new_file("HomeDomain", path);
		e.protection_class = classes[i].wanted;
		CHECK_INT(add_word(&e, path), 0);
	}
	b = commit(PASSWORD);
	r = list_all(b);
	for (size_t i = 0; i < COUNT(classes); i++) {
		const struct mb_record *rec;

		snprintf(path, sizeof(path), "%d", classes[i].wanted);
		rec = record_of(&r, "HomeDomain", path);
		CHECK_AT(rec->protection_class == classes[i].got, "%s", path);
		CHECK_INT(le32_at(rec->wrapped_key), classes[i].got);
		CHECK(has_content(b, rec, path, strlen(path)));
	}
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(without_keys_a_class_is_only_what_the_record_says)
{
	struct mb_entry e = new_file("HomeDomain", "f");
	struct mb_backup *b;
	struct records r;

	begin_sample(false);
	e.protection_class = 2;
	CHECK_INT(add_word(&e, "x"), 0);
	b = commit("");
	r = list_all(b);
	CHECK_INT(r.list[0].protection_class, 2);
	CHECK_INT(r.list[0].wrapped_key_len, 0);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(without_new_content_payload_and_key_are_the_old_ones)
{
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		const struct mb_record *was, *rec;
		struct mb_backup *b;
		struct records r;

		begin_sample(encrypted);
		was = record_of(&made.base, "HomeDomain", "a.txt");
		e.base = was;
		CHECK_INT(mb_writer_add(made.w, &e, NULL), 0);
		CHECK_INT(made.counts.shared, 1);
		CHECK_INT(made.counts.written, 0);
		b = commit(PASSWORD);
		r = list_all(b);
		rec = record_of(&r, "HomeDomain", "a.txt");
		CHECK_INT(rec->mode, 0100640);
		CHECK_INT(rec->mtime.tv_sec, EXAMPLE_TIME + 10);
		CHECK_INT(rec->size, was->size);
		CHECK_BYTES(rec->wrapped_key, rec->wrapped_key_len,
			    was->wrapped_key, was->wrapped_key_len);
		CHECK(has_content(b, rec, "what it was before", 18));
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

/* what newer devices write, and nobody knows yet */
CASE(what_is_not_understood_of_a_record_survives_an_edit)
{
	const struct example list[] = { { PUT("HomeDomain", "f", "old"),
					  .xattr = "a", .xattr_value = "1" } };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes blob;
	struct mb_backup *b;
	struct mb_record base;
	struct records r;
	plist_t root = NULL;
	const char *from = temp_dir();

	put_example(from, list, 1, true);
	begin(from, MB_AS_LIKE);
	base = *record_of(&made.base, "HomeDomain", "f");
	plist_from_memory(base.archive.ptr, (uint32_t)base.archive.len, &root);
	plist_dict_set_item(
		plist_array_get_item(plist_dict_get_item(root, "$objects"), 1),
		"Unknown", plist_new_string("MARK-UNKNOWN"));
	blob = plist_bytes(root);
	base.archive = (struct mb_slice){ (char *)blob.ptr, blob.len };
	e.base = &base;
	CHECK_INT(add_word(&e, "new"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	CHECK(memmem(r.list[0].archive.ptr, r.list[0].archive.len,
		     "MARK-UNKNOWN", 12));
	CHECK(has_content(b, &r.list[0], "new", 3));
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&blob);
}

/* the same where the keys change: decrypted, and encrypted anew */
CASE(without_new_content_the_old_is_converted)
{
	static const enum mb_encryption how[] = { MB_IN_CLEAR,
						  MB_NEW_PASSWORD };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		struct mb_backup *b;
		struct records r;

		begin(sample_backup(true), how[i]);
		e.base = record_of(&made.base, "HomeDomain", "a.txt");
		CHECK_INT(mb_writer_add(made.w, &e, NULL), 0);
		CHECK_INT(made.counts.written, 1);
		b = commit("a new one");
		r = list_all(b);
		CHECK_INT(r.list[0].mode, 0100640);
		CHECK(has_content(b, &r.list[0], "what it was before", 18));
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

CASE(a_file_without_content_is_refused)
{
	struct mb_entry e = new_file("HomeDomain", "f");

	begin_sample(false);
	CHECK_INT(mb_writer_add(made.w, &e, &made.err), -EINVAL);
	CHECK_INT(made.counts.entries, 0);
	end();
}

/* a folder in place of the file, a file in place of the link */
CASE(an_entry_may_be_of_another_type_than_the_one_it_replaces)
{
	struct mb_entry folder = new_file("HomeDomain", "a.txt");
	struct mb_entry file = new_file("HomeDomain", "link");
	const struct mb_record *rec;
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	folder.type = MB_DIR;
	folder.base = record_of(&made.base, "HomeDomain", "a.txt");
	file.base = record_of(&made.base, "HomeDomain", "link");
	CHECK_INT(mb_writer_add(made.w, &folder, NULL), 0);
	CHECK_INT(add_word(&file, "a file"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	rec = record_of(&r, "HomeDomain", "a.txt");
	CHECK_INT(rec->type, MB_DIR);
	CHECK_INT(rec->mode, 040640);
	CHECK_INT(rec->size, 0);
	CHECK_INT(rec->wrapped_key_len, 0);
	CHECK_INT(rec->digest_len, 0);
	rec = record_of(&r, "HomeDomain", "link");
	CHECK_INT(rec->type, MB_FILE);
	CHECK_INT(rec->target.len, 0);
	CHECK(has_content(b, rec, "a file", 6));
	CHECK_INT(count_payloads(), 1);
	forget(&r);
	mb_backup_free(b);
	end();
}

/* ---- attributes ---- */

static struct records with_attributes(struct mb_entry *e,
				      const struct mb_xattr *list, size_t count,
				      struct mb_backup **b)
{
	e->xattrs = list;
	e->xattr_count = count;
	CHECK_INT(add_word(e, "x"), 0);
	*b = commit(PASSWORD);
	return list_all(*b);
}

CASE(attributes_of_an_entry)
{
	const struct mb_xattr list[] = {
		{ slice("a"), slice("1") },
		{ slice("com.example.\xc3\x9c"), { "\0\xff", 2 } },
		{ slice("empty"), slice("") },
	};
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes want = { 0 }, got;
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	r = with_attributes(&e, list, COUNT(list), &b);
	got = xattrs_of(&r.list[0]);
	for (size_t i = 0; i < COUNT(list); i++)
		add_pair(&want, list[i].name, list[i].value);
	CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
	CHECK_TEXT(made.notes, "");
	drop(&got);
	drop(&want);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(a_name_that_is_no_text_is_left_out_with_a_note)
{
	const struct mb_xattr list[] = { { slice("caf\xe9"), slice("1") },
					 { slice("good"), slice("2") } };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes want = { 0 }, got;
	struct mb_backup *b;
	struct records r;

	begin_sample(false);
	r = with_attributes(&e, list, COUNT(list), &b);
	got = xattrs_of(&r.list[0]);
	add_pair(&want, list[1].name, list[1].value);
	CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
	CHECK(strstr(made.notes, "HomeDomain-f: its attributes"));
	drop(&got);
	drop(&want);
	forget(&r);
	mb_backup_free(b);
	end();
}

/* 2048 bytes are the most that a device keeps */
CASE(more_attributes_than_a_device_keeps_are_left_out_with_a_note)
{
	char large[2048];
	struct mb_entry e;

	memset(large, 'x', sizeof(large));
	for (size_t len = 1900; len <= sizeof(large); len++) {
		const struct mb_xattr list[] = { { slice("a"),
						   { large, len } } };
		const struct mbfile_xattr same_list[] = { { list[0].name,
							    list[0].value } };
		struct buf encoded = { 0 };
		struct mb_backup *b;
		struct records r;
		size_t left_out;

		mbfile_encode_xattrs(&encoded, same_list, 1, &left_out);
		if (encoded.len < 2048 || encoded.len > 2049) {
			buf_release(&encoded);
			continue;
		}
		e = new_file("HomeDomain", "f");
		begin_sample(false);
		r = with_attributes(&e, list, 1, &b);
		CHECK_INT(r.list[0].xattrs.len > 0, encoded.len == 2048);
		CHECK_INT(strstr(made.notes, "more than a device keeps") !=
				  NULL,
			  encoded.len == 2049);
		CHECK(has_content(b, &r.list[0], "x", 1));
		forget(&r);
		mb_backup_free(b);
		end();
		buf_release(&encoded);
	}
}

CASE(attributes_of_the_base_are_those_that_the_entry_says)
{
	struct mb_record base = { 0 };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes archive = unhex(MBFILE_ENCRYPTED);
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	base.archive = (struct mb_slice){ (char *)archive.ptr, archive.len };
	base.type = MB_FILE;
	e.base = &base;
	r = with_attributes(&e, NULL, 0, &b);
	CHECK_INT(r.list[0].xattrs.len, 0);
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&archive);
}

/* ---- what goes wrong ---- */

CASE(a_content_that_ends_in_an_error_leaves_no_payload)
{
	static const size_t after[] = { 1, 70000, 600000 };
	struct bytes noise = { 0 };

	add_noise(&noise, 700000);
	for (size_t i = 0; i < COUNT(after); i++) {
		struct supply s = { noise.ptr, noise.len, 50000,
				    after[i],  -ESTALE,	  false };
		struct mb_entry e = new_file("HomeDomain", "f");

		begin_sample(i % 2);
		CHECK_INT(add_supply(&e, &s), -ESTALE);
		CHECK_INT(made.err.code, -ESTALE);
		CHECK(strstr(made.err.text, "HomeDomain-f"));
		CHECK_INT(count_payloads(), 0);
		CHECK_INT(made.counts.entries, 0);
		CHECK_INT(made.counts.written, 0);
		/* and can be tried again */
		CHECK_INT(add_word(&e, "now"), 0);
		CHECK_INT(count_payloads(), 1);
		end();
	}
	drop(&noise);
}

CASE(cancelled_in_the_middle_of_a_content)
{
	struct bytes noise = { 0 };
	struct supply s = { .len = 700000, .fails_at = 1, .cancels = true };
	struct mb_entry e = new_file("HomeDomain", "f");

	add_noise(&noise, 700000);
	s.ptr = noise.ptr;
	begin(NULL, MB_NEW_PASSWORD);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.cancelled = is_cancelled;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	CHECK_INT(add_supply(&e, &s), -ECANCELED);
	CHECK_TEXT(made.err.text, "cancelled");
	CHECK_INT(count_payloads(), 0);
	cancelled = false;
	end();
	drop(&noise);
}

CASE(cancelled_while_keys_change)
{
	begin(sample_backup(true), MB_IN_CLEAR);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.cancelled = is_cancelled;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	cancelled = true;
	CHECK_INT(keep("HomeDomain", "a.txt"), -ECANCELED);
	CHECK_TEXT(made.err.text, "cancelled");
	CHECK_TEXT(made.notes, "");
	CHECK_INT(count_payloads(), 0);
	cancelled = false;
	end();
}

CASE(an_entry_that_is_there_already)
{
	struct mb_entry e = new_file("HomeDomain", "a.txt");

	begin_sample(true);
	CHECK_INT(keep("HomeDomain", "a.txt"), 0);
	CHECK_INT(keep("HomeDomain", "a.txt"), -EEXIST);
	CHECK_INT(add_word(&e, "another"), -EEXIST);
	/* what was there is what is there */
	CHECK_INT(count_payloads(), 1);
	CHECK_INT(made.counts.entries, 1);
	CHECK_INT(keep("HomeDomain", "link"), 0);
	CHECK_INT(keep("HomeDomain", "link"), -EEXIST);
	end();
}

CASE(a_folder_that_holds_a_manifest_already)
{
	begin_sample(false);
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), -EEXIST);
	end();
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* as on a full disk, but for the number */
CASE(a_payload_that_cannot_be_written_leaves_nothing)
{
	struct bytes noise = { 0 };
	int rc;

	add_noise(&noise, 700000);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_entry e = new_file("HomeDomain", "f");

		begin_sample(encrypted);
		limit_files(300000);
		rc = add_bytes(&e, noise.ptr, noise.len);
		limit_files(0);
		CHECK_INT(rc, -EFBIG);
		CHECK_INT(count_payloads(), 0);
		CHECK_INT(made.counts.written, 0);
		end();
	}
	drop(&noise);
}

CASE(a_conversion_that_cannot_be_written_is_an_error_and_no_gap)
{
	static char text[40000];
	const struct example list[] = { { PUT("HomeDomain", "large", text) } };
	const char *from = temp_dir();
	int rc;

	memset(text, 'x', sizeof(text) - 1);
	put_example(from, list, 1, true);
	begin(from, MB_NEW_PASSWORD);
	limit_files(30000);
	rc = keep("HomeDomain", "large");
	limit_files(0);
	CHECK_INT(rc, -EFBIG);
	CHECK_TEXT(made.notes, "");
	CHECK_INT(made.counts.entries, 0);
	CHECK_INT(count_payloads(), 0);
	end();
}

/* the manifest, and a list before and after it */
CASE(a_commit_that_fails_makes_no_backup)
{
	static const rlim_t limits[] = { 1, 3000, 20000 };
	int rc;

	for (size_t i = 0; i < COUNT(limits); i++) {
		begin(golden("db-encrypted"), MB_AS_LIKE);
		keep_all();
		limit_files(limits[i]);
		rc = mb_writer_commit(made.w, false, &made.err);
		limit_files(0);
		CHECK_INT(rc, -EFBIG);
		CHECK_INT(made.err.code, rc);
		CHECK(!exists(made.dir, "Status.plist"));
		end();
	}
}

/* ---- nothing is ever in clear ---- */

CASE(of_an_encrypted_backup_nothing_is_in_clear)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };
	static const char *const marks[] = { "MARK-NAME",      "MARK-CONTENT",
					     "MARK-ATTRIBUTE", "MARK-TARGET",
					     "what it was",    "MBFile" };
	const struct mb_xattr list[] = { { slice("a"),
					   slice("MARK-ATTRIBUTE") } };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_entry e = new_file("HomeDomain", "MARK-NAME");
		struct mb_entry link = new_file("HomeDomain", "l");
		bool clear = how[i] == MB_IN_CLEAR;

		begin(sample_backup(true), how[i]);
		keep_all();
		e.xattrs = list;
		e.xattr_count = 1;
		link.type = MB_LINK;
		link.target = slice("MARK-TARGET");
		CHECK_INT(add_word(&e, "MARK-CONTENT"), 0);
		CHECK_INT(mb_writer_add(made.w, &link, NULL), 0);
		/* while it is made, and afterwards */
		for (size_t k = 0; !clear && k < COUNT(marks); k++)
			CHECK_INT(files_with(marks[k]), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		for (size_t k = 0; k < COUNT(marks); k++)
			CHECK_AT((files_with(marks[k]) > 0) == clear, "%s",
				 marks[k]);
		CHECK_INT(files_with("a new one"), 0);
		end();
	}
}

/* ---- apps ---- */

static plist_t apps(const char *const *ids, size_t count)
{
	plist_t dict = plist_new_dict();

	for (size_t i = 0; i < count; i++)
		plist_dict_set_item(dict, ids[i], plist_new_dict());
	return dict;
}

CASE(of_a_part_only_apps_with_data_are_listed)
{
	static const char *const ids[] = { "com.example.app",
					   "com.example.app2", "com.example" };
	const struct example list[] = {
		{ "HomeDomain", "", .mode = 040755 },
		{ "AppDomain-com.example.app", "", .mode = 040755 },
		{ "AppDomainGroup-group.com.example", "", .mode = 040755 },
		{ "AppDomain-com.example.app2", "", .mode = 040755 },
	};

	for (int partial = 0; partial < 2; partial++) {
		const char *from = temp_dir();
		plist_t dict;
		struct bytes b;

		put_example(from, list, COUNT(list), false);
		dict = read_plist(from, "Manifest.plist");
		plist_dict_set_item(dict, "Applications",
				    apps(ids, COUNT(ids)));
		b = plist_bytes(dict);
		put_file(from, "Manifest.plist", b.ptr, b.len);
		drop(&b);
		begin(from, MB_AS_LIKE);
		mb_writer_free(made.w);
		unlink(in(made.dir, "Manifest.db"));
		made.wish.partial = partial;
		CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL),
			  0);
		CHECK_INT(keep("HomeDomain", ""), 0);
		CHECK_INT(keep("AppDomainGroup-group.com.example", ""), 0);
		CHECK_INT(keep("AppDomain-com.example.app", ""), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		dict = read_plist(made.dir, "Manifest.plist");
		CHECK_INT(plist_dict_get_size(
				  plist_dict_get_item(dict, "Applications")),
			  partial ? 1 : 3);
		CHECK(plist_dict_get_item(
			plist_dict_get_item(dict, "Applications"),
			"com.example.app"));
		plist_free(dict);
		end();
	}
}

/* ---- where payloads are ---- */

CASE(payloads_in_other_places_become_hashed)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "flat", "1") },
		{ PUT("HomeDomain", "snap", "22") },
		{ PUT("HomeDomain", "both", "333") },
		{ PUT("HomeDomain", "fold", "4") }
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;
	char name[64];

	put_example(from, list, COUNT(list), false);
	put_status(from, "moving");
	mkdir(in(from, "Snapshot"), 0700);
	rename(in(from, "Manifest.db"), in(from, "Snapshot/Manifest.db"));
	rename(in(from, example_payload("HomeDomain", "flat")),
	       in(from, example_payload("HomeDomain", "flat") + 3));
	snprintf(name, sizeof(name), "Snapshot/%s",
		 example_payload("HomeDomain", "snap"));
	put_text(from, name, "22");
	unlink(in(from, example_payload("HomeDomain", "snap")));
	/* the one in the snapshot is the newer one */
	snprintf(name, sizeof(name), "Snapshot/%s",
		 example_payload("HomeDomain", "both"));
	put_text(from, name, "new");
	begin(from, MB_AS_LIKE);
	keep_all();
	CHECK_INT(made.counts.shared, 4);
	for (size_t i = 0; i < COUNT(list); i++)
		CHECK(exists(made.dir,
			     example_payload(list[i].domain, list[i].path)));
	b = commit("");
	CHECK(b->info.complete);
	r = list_all(b);
	CHECK(has_content(b, record_of(&r, "HomeDomain", "flat"), "1", 1));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "snap"), "22", 2));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "both"), "new", 3));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "fold"), "4", 1));
	forget(&r);
	mb_backup_free(b);
	end();
}

/* The link leads to a secret, the folder to nothing. */
CASE(what_is_no_payload_is_not_taken_for_one)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "link", "x") },
		{ PUT("HomeDomain", "folder", "x") },
		{ PUT("HomeDomain", "gone", "x"), .missing = true },
		{ PUT("HomeDomain", "good", "x") },
	};
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD };
	char name[64];

	for (size_t i = 0; i < COUNT(how); i++) {
		const char *from = temp_dir(), *path;

		put_example(from, list, COUNT(list), false);
		put_text(from, "secret", "SECRET");
		path = example_payload("HomeDomain", "link");
		unlink(in(from, path));
		CHECK_INT(symlink(in(from, "secret"), in(from, path)), 0);
		path = example_payload("HomeDomain", "folder");
		unlink(in(from, path));
		snprintf(name, sizeof(name), "%s/x", path);
		put_text(from, name, "SECRET");
		begin(from, how[i]);
		keep_all();
		CHECK_INT(made.counts.entries, 4);
		CHECK_INT(count_payloads(), 1);
		CHECK_INT(files_with("SECRET"), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		end();
	}
}

/* Folders on the way that lead out are no way. */
CASE(a_folder_of_payloads_that_is_a_link_is_not_followed)
{
	static const struct example list[] = { { PUT("HomeDomain", "f",
						     "x") } };
	const char *from = temp_dir(), *outside = temp_dir();
	const char *path = example_payload("HomeDomain", "f");
	char folder[3];

	put_example(from, list, 1, false);
	put_text(outside, path + 3, "SECRET");
	snprintf(folder, sizeof(folder), "%.2s", path);
	unlink(in(from, path));
	rmdir(in(from, folder));
	CHECK_INT(symlink(outside, in(from, folder)), 0);
	begin(from, MB_AS_LIKE);
	CHECK_INT(keep("HomeDomain", "f") == 0 || made.err.code == -ELOOP, 1);
	CHECK_INT(files_with("SECRET"), 0);
	end();
}

int main(void)
{
	RUN(what_is_kept_of_a_backup_of_any_shape_is_the_same);
	RUN(what_is_kept_is_shared_and_not_copied);
	RUN(the_property_lists_of_the_backup_stay);
	RUN(each_manifest_has_a_key_of_its_own);
	RUN(a_record_that_is_damaged_is_kept_word_for_word);
	RUN(in_clear_everything_that_can_be_read_is_there);
	RUN(a_new_password_opens_it_and_the_old_does_not);
	RUN(what_cannot_be_read_is_left_out_with_a_note);
	RUN(a_locked_backup_is_nothing_to_be_like);
	RUN(the_new_backup_is_unlocked_without_a_password);
	RUN(another_backup_is_not_unlocked);
	RUN(a_backup_from_nothing);
	RUN(from_nothing_under_a_password);
	RUN(content_of_any_length);
	RUN(a_changed_file_has_a_key_and_a_digest_of_its_own);
	RUN(two_equal_contents_have_different_keys);
	RUN(the_digest_is_of_the_kind_that_it_was);
	RUN(a_class_that_the_key_bag_lacks_becomes_another);
	RUN(without_keys_a_class_is_only_what_the_record_says);
	RUN(without_new_content_payload_and_key_are_the_old_ones);
	RUN(what_is_not_understood_of_a_record_survives_an_edit);
	RUN(without_new_content_the_old_is_converted);
	RUN(a_file_without_content_is_refused);
	RUN(an_entry_may_be_of_another_type_than_the_one_it_replaces);
	RUN(attributes_of_an_entry);
	RUN(a_name_that_is_no_text_is_left_out_with_a_note);
	RUN(more_attributes_than_a_device_keeps_are_left_out_with_a_note);
	RUN(attributes_of_the_base_are_those_that_the_entry_says);
	RUN(a_content_that_ends_in_an_error_leaves_no_payload);
	RUN(cancelled_in_the_middle_of_a_content);
	RUN(cancelled_while_keys_change);
	RUN(an_entry_that_is_there_already);
	RUN(a_folder_that_holds_a_manifest_already);
	RUN(a_payload_that_cannot_be_written_leaves_nothing);
	RUN(a_conversion_that_cannot_be_written_is_an_error_and_no_gap);
	RUN(a_commit_that_fails_makes_no_backup);
	RUN(of_an_encrypted_backup_nothing_is_in_clear);
	RUN(of_a_part_only_apps_with_data_are_listed);
	RUN(payloads_in_other_places_become_hashed);
	RUN(what_is_no_payload_is_not_taken_for_one);
	RUN(a_folder_of_payloads_that_is_a_link_is_not_followed);
	return tap_end();
}
