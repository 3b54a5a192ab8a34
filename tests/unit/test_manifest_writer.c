/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "fixture.h"
#include "manifest.h"
#include "mbfile.h"
#include "record.h"
#include "tap.h"

static const uint8_t key[KEY_LEN] = "a manifest key, that is no good";

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

static int add_row(struct manifest_writer *w, const char *domain,
		   const char *path, enum mb_type type)
{
	unsigned mode = type == MB_DIR	? 040755 :
			type == MB_LINK ? 0120755 :
					  0100644;
	struct entry e = { .domain = domain, .path = path, .mode = mode };
	struct bytes b = mbfile(&e);
	char id[41];
	int rc;

	file_id(id, domain, path);
	rc = manifest_add(w, slice(id), slice(domain), slice(path), type,
			  view_of(b.ptr, b.len), NULL);
	drop(&b);
	return rc;
}

static const struct {
	const char *domain, *path;
	enum mb_type type;
} sample[] = {
	{ "HomeDomain", "", MB_DIR },
	{ "HomeDomain", "Library", MB_DIR },
	{ "HomeDomain", "Library/sms.db", MB_FILE },
	{ "HomeDomain", "Library/link", MB_LINK },
	{ "AppDomain-com.example.app", "a\xff \xc3\x9c", MB_FILE },
};

static void write_sample(const char *dir, const uint8_t *with)
{
	struct manifest_writer *w = NULL;
	int fd = open_dir(dir);

	if (!CHECK(manifest_create(&w, fd, with, NULL) == 0))
		abort();
	for (size_t i = 0; i < COUNT(sample); i++)
		CHECK_INT(add_row(w, sample[i].domain, sample[i].path,
				  sample[i].type),
			  0);
	CHECK_INT(manifest_finish(w, NULL), 0);
	manifest_writer_free(w);
	close(fd);
}

/* ---- the database, looked at by SQLite itself ---- */

/* The rows of a query, "|" between columns, ";" behind rows. */
static char *query(const struct bytes *b, const char *text)
{
	struct bytes out = { 0 };
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;

	sqlite3_open(":memory:", &db);
	sqlite3_deserialize(db, "main", b->ptr, (int64_t)b->len,
			    (int64_t)b->len, SQLITE_DESERIALIZE_READONLY);
	if (!CHECK(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK))
		printf("# %s: %s\n", text, sqlite3_errmsg(db));
	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			const char *s = (char *)sqlite3_column_text(stmt, i);

			add_text(&out, i ? "|" : "");
			add_text(&out, s ? s : "NULL");
		}
		add_text(&out, ";");
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	add_be(&out, 0, 1);
	return (char *)out.ptr;
}

static void check_query(const struct bytes *b, const char *text,
			const char *want)
{
	char *got = query(b, text);

	CHECK_TEXT(got, want);
	free(got);
}

/* What stands in the folder, decrypted if it was encrypted. */
static struct bytes read_manifest(const char *dir, const uint8_t *with)
{
	struct bytes b = read_file(in(dir, "Manifest.db")), plain;

	if (!with)
		return b;
	plain = aes_cbc(false, with, b.ptr, b.len, true);
	drop(&b);
	return plain;
}

CASE(the_schema_is_that_of_devices)
{
	for (int i = 0; i < 2; i++) {
		const char *dir = temp_dir();
		struct bytes b;

		write_sample(dir, i ? key : NULL);
		b = read_manifest(dir, i ? key : NULL);
		check_query(
			&b, "SELECT sql FROM sqlite_schema WHERE sql NOT NULL",
			"CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain "
			"TEXT, relativePath TEXT, flags INTEGER, file BLOB);"
			"CREATE INDEX FilesDomainIdx ON Files(domain);"
			"CREATE INDEX FilesRelativePathIdx ON "
			"Files(relativePath);"
			"CREATE INDEX FilesFlagsIdx ON Files(flags);"
			"CREATE TABLE Properties (key TEXT PRIMARY KEY, value "
			"BLOB);");
		check_query(&b, "PRAGMA user_version", "2;");
		check_query(&b, "PRAGMA page_size", "4096;");
		check_query(&b, "PRAGMA auto_vacuum", "0;");
		check_query(&b, "PRAGMA encoding", "UTF-8;");
		check_query(&b, "PRAGMA freelist_count", "0;");
		check_query(&b, "PRAGMA integrity_check", "ok;");
		check_query(&b, "SELECT count(*) FROM Properties", "0;");
		/* 1: a rollback journal, not a write-ahead log */
		CHECK(b.ptr[18] == 1 && b.ptr[19] == 1);
		drop(&b);
	}
}

CASE(an_encrypted_manifest_is_the_plain_one_under_its_key)
{
	const char *plain_dir = temp_dir(), *dir = temp_dir();
	struct bytes plain, b, stored;

	write_sample(plain_dir, NULL);
	write_sample(dir, key);
	plain = read_manifest(plain_dir, NULL);
	b = read_manifest(dir, key);
	stored = read_file(in(dir, "Manifest.db"));
	CHECK_BYTES(b.ptr, b.len, plain.ptr, plain.len);
	CHECK_INT(stored.len, plain.len + 16);
	CHECK(!memmem(stored.ptr, stored.len, "SQLite", 6));
	drop(&plain);
	drop(&b);
	drop(&stored);
}

CASE(rows_hold_any_bytes)
{
	const char *dir = temp_dir();
	struct manifest_writer *w = NULL;
	int fd = open_dir(dir);
	struct bytes b;

	CHECK_INT(manifest_create(&w, fd, NULL, NULL), 0);
	CHECK_INT(manifest_add(w, (struct mb_slice){ "i\0\xff'", 4 },
			       (struct mb_slice){ "d\0", 2 },
			       (struct mb_slice){ "\xfe", 1 }, MB_LINK,
			       view_of("\0b", 2), NULL),
		  0);
	CHECK_INT(manifest_add(w, (struct mb_slice){ 0 },
			       (struct mb_slice){ 0 }, (struct mb_slice){ 0 },
			       MB_FILE, view_of(NULL, 0), NULL),
		  0);
	CHECK_INT(manifest_finish(w, NULL), 0);
	manifest_writer_free(w);
	b = read_manifest(dir, NULL);
	check_query(&b,
		    "SELECT typeof(fileID), hex(fileID), typeof(domain), "
		    "hex(domain), hex(relativePath), flags, typeof(file), "
		    "hex(file) FROM Files ORDER BY rowid",
		    "text|6900FF27|text|6400|FE|4|blob|0062;"
		    "text||text|||1|null|;");
	drop(&b);
	close(fd);
}

CASE(an_id_that_is_there_is_refused_and_nothing_else_changes)
{
	for (int i = 0; i < 2; i++) {
		const char *dir = temp_dir();
		struct manifest_writer *w = NULL;
		int fd = open_dir(dir);
		struct mb_err err;
		struct bytes b;

		CHECK_INT(manifest_create(&w, fd, i ? key : NULL, NULL), 0);
		for (int k = 0; k < 3; k++)
			CHECK_INT(manifest_add(w, slice("one"), slice("first"),
					       slice(""), MB_DIR,
					       view_of("x", 1), &err),
				  k ? -EEXIST : 0);
		CHECK(strstr(err.text, "one"));
		CHECK_INT(add_row(w, "d", "p", MB_FILE), 0);
		CHECK_INT(manifest_finish(w, NULL), 0);
		manifest_writer_free(w);
		b = read_manifest(dir, i ? key : NULL);
		check_query(&b, "PRAGMA integrity_check", "ok;");
		check_query(&b, "SELECT domain FROM Files ORDER BY rowid",
			    "first;d;");
		drop(&b);
		close(fd);
	}
}

/* ---- as our reader sees it ---- */

static int list_entry(void *arg, const struct manifest_entry *e)
{
	char line[300];

	snprintf(line, sizeof(line), "%.*s:%d|", (int)e->path.len, e->path.ptr,
		 (int)e->type);
	add_text(arg, line);
	return 0;
}

static int note_handle(void *arg, const struct manifest_entry *e)
{
	*(int64_t *)arg = e->handle;
	return 0;
}

CASE(the_reader_finds_what_was_written)
{
	for (int i = 0; i < 2; i++) {
		const char *dir = temp_dir();
		int fd = open_dir(dir);
		struct manifest *m = NULL;
		struct payload *p = NULL;
		struct mb_record rec = { 0 };
		struct bytes b = { 0 };
		int64_t handle = -1;
		char id[41];

		write_sample(dir, i ? key : NULL);
		CHECK_INT(payload_open(&p, fd, "Manifest.db", i ? key : NULL),
			  0);
		if (!CHECK(manifest_open_db(&m, p, NULL) == 0))
			return;
		manifest_scan(m, slice("HomeDomain"), false, list_entry, &b,
			      NULL);
		add_be(&b, 0, 1);
		CHECK_TEXT((char *)b.ptr,
			   ":2|Library:2|Library/sms.db:1|Library/link:4|");
		manifest_scan(m, slice("AppDomain-com.example.app"), false,
			      note_handle, &handle, NULL);
		CHECK_INT(manifest_get(m, handle, &rec, NULL), 0);
		CHECK(rec.path.len == 5 &&
		      !memcmp(rec.path.ptr, "a\xff \xc3\x9c", 5));
		file_id(id, "AppDomain-com.example.app", "a\xff \xc3\x9c");
		CHECK_TEXT(rec.file_id, id);
		CHECK_TEXT(rec.damage, NULL);
		mb_record_release(&rec);
		manifest_free(m);
		drop(&b);
		close(fd);
	}
}

/* ---- files ---- */

static unsigned file_count(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned count = 0;

	for (struct dirent *e; (e = readdir(d));)
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

CASE(what_is_there_is_never_opened)
{
	for (int i = 0; i < 2; i++) {
		const char *dir = temp_dir();
		struct manifest_writer *w = NULL;
		int fd = open_dir(dir);
		struct mb_err err;

		put_text(dir, "Manifest.db", "precious");
		CHECK_INT(manifest_create(&w, fd, i ? key : NULL, &err),
			  -EEXIST);
		CHECK(strstr(err.text, "Manifest.db"));
		CHECK(is_text(dir, "Manifest.db", "precious"));
		unlink(in(dir, "Manifest.db"));
		CHECK(symlink("/dev/null", in(dir, "Manifest.db")) == 0);
		CHECK_INT(manifest_create(&w, fd, i ? key : NULL, &err),
			  -EEXIST);
		close(fd);
	}
}

/*
 * More rows than SQLite keeps to itself, so that it writes while it goes on.
 * Blocks of @len bytes.
 */
static void add_many(struct manifest_writer *w, unsigned count)
{
	struct bytes b = { 0 };

	add_text(&b, "plaintext of a record");
	add_noise(&b, 500);
	for (unsigned i = 0; i < count; i++) {
		char id[41], path[60];

		snprintf(path, sizeof(path), "a/rather/long/path/%u", i);
		sha1_hex(id, path, strlen(path));
		CHECK_INT(manifest_add(w, slice(id), slice("HomeDomain"),
				       slice(path), MB_FILE,
				       view_of(b.ptr, b.len), NULL),
			  0);
	}
	drop(&b);
}

/* From here on no file can be opened; what the limit was. */
static struct rlimit forbid_files(void)
{
	struct rlimit old, limit;
	int next = dup(0);

	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK(dup(0) < 0);
	return old;
}

CASE(an_encrypted_manifest_is_nowhere_in_clear)
{
	const char *dir = temp_dir();
	struct manifest_writer *w = NULL;
	int fd = open_dir(dir);
	struct rlimit limit;
	struct stat st;
	struct bytes b;

	CHECK_INT(manifest_create(&w, fd, key, NULL), 0);
	/* a file for sorting would be elsewhere, and unlinked at once */
	limit = forbid_files();
	add_many(w, 100000);
	CHECK(fstatat(fd, "Manifest.db", &st, 0) == 0 && st.st_size == 0);
	CHECK_INT(manifest_finish(w, NULL), 0);
	setrlimit(RLIMIT_NOFILE, &limit);
	manifest_writer_free(w);
	CHECK_INT(file_count(dir), 1);
	b = read_file(in(dir, "Manifest.db"));
	CHECK(!memmem(b.ptr, b.len, "plaintext", 9));
	drop(&b);
	b = read_manifest(dir, key);
	check_query(&b, "SELECT count(*) FROM Files", "100000;");
	check_query(&b, "PRAGMA integrity_check", "ok;");
	drop(&b);
	close(fd);
}

CASE(a_plain_manifest_has_no_file_beside_it)
{
	const char *dir = temp_dir();
	struct manifest_writer *w = NULL;
	int fd = open_dir(dir);
	struct stat st;
	struct bytes b;

	CHECK_INT(manifest_create(&w, fd, NULL, NULL), 0);
	add_many(w, 100000);
	CHECK_INT(file_count(dir), 1);
	/* it grows on disk instead of in memory */
	CHECK(stat(in(dir, "Manifest.db"), &st) == 0 && st.st_size > 10 << 20);
	CHECK_INT(manifest_finish(w, NULL), 0);
	manifest_writer_free(w);
	CHECK_INT(file_count(dir), 1);
	b = read_manifest(dir, NULL);
	check_query(&b, "SELECT count(*) FROM Files", "100000;");
	check_query(&b, "PRAGMA integrity_check", "ok;");
	drop(&b);
	close(fd);
}

CASE(a_folder_that_moves_away_is_still_the_one)
{
	const char *parent = temp_dir();
	struct manifest_writer *w = NULL;
	struct bytes b;
	int fd;

	CHECK(mkdir(in(parent, "here"), 0700) == 0);
	fd = open_dir(in(parent, "here"));
	CHECK(rename(in(parent, "here"), in(parent, "there")) == 0);
	CHECK(mkdir(in(parent, "here"), 0700) == 0);
	CHECK_INT(manifest_create(&w, fd, NULL, NULL), 0);
	CHECK_INT(add_row(w, "d", "p", MB_FILE), 0);
	CHECK_INT(manifest_finish(w, NULL), 0);
	manifest_writer_free(w);
	CHECK_INT(file_count(in(parent, "here")), 0);
	b = read_manifest(in(parent, "there"), NULL);
	check_query(&b, "SELECT count(*) FROM Files", "1;");
	drop(&b);
	close(fd);
}

/* a file system that is full, told by a limit on the size of files */
static int write_until_full(const char *dir, const uint8_t *with,
			    struct mb_err *err)
{
	struct rlimit old, limit;
	struct manifest_writer *w = NULL;
	struct bytes b = { 0 };
	int fd = open_dir(dir), rc;

	add_noise(&b, 3000);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 1 << 20;
	rc = manifest_create(&w, fd, with, err);
	setrlimit(RLIMIT_FSIZE, &limit);
	for (unsigned i = 0; i < 30000 && rc == 0; i++) {
		char id[20];

		snprintf(id, sizeof(id), "%u", i);
		rc = manifest_add(w, slice(id), slice("d"), slice(id), MB_FILE,
				  view_of(b.ptr, b.len), err);
	}
	/* an encrypted one is in memory until then */
	if (rc == 0)
		rc = manifest_finish(w, err);
	else
		CHECK_INT(manifest_finish(w, NULL), rc);
	setrlimit(RLIMIT_FSIZE, &old);
	manifest_writer_free(w);
	close(fd);
	drop(&b);
	return rc;
}

CASE(a_full_disk_is_reported_by_its_own_name)
{
	for (int i = 0; i < 2; i++) {
		struct mb_err err = { 0 };

		CHECK_INT(write_until_full(temp_dir(), i ? key : NULL, &err),
			  -EFBIG);
		CHECK(strstr(err.text, strerror(EFBIG)));
	}
}

CASE(a_manifest_can_be_given_up_at_any_time)
{
	for (int i = 0; i < 4; i++) {
		struct manifest_writer *w = NULL;
		int fd = open_dir(temp_dir());

		CHECK_INT(manifest_create(&w, fd, i & 1 ? key : NULL, NULL), 0);
		if (i & 2)
			CHECK_INT(add_row(w, "d", "p", MB_FILE), 0);
		manifest_writer_free(w);
		close(fd);
	}
	manifest_writer_free(NULL);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

CASE(a_hundred_thousand_rows_take_no_time_to_speak_of)
{
	for (int i = 0; i < 2; i++) {
		struct manifest_writer *w = NULL;
		int fd = open_dir(temp_dir());
		double took = -seconds();

		CHECK_INT(manifest_create(&w, fd, i ? key : NULL, NULL), 0);
		add_many(w, 100000);
		CHECK_INT(manifest_finish(w, NULL), 0);
		took += seconds();
		manifest_writer_free(w);
		close(fd);
		printf("# 100000 rows%s: %.2f s\n", i ? ", encrypted" : "",
		       took);
		/* sanitizers take their share */
		CHECK(took < 15);
	}
}

int main(void)
{
	bool quick = getenv("LARDER_TEST_QUICK");

	signal(SIGXFSZ, SIG_IGN);
	RUN(the_schema_is_that_of_devices);
	RUN(an_encrypted_manifest_is_the_plain_one_under_its_key);
	RUN(rows_hold_any_bytes);
	RUN(an_id_that_is_there_is_refused_and_nothing_else_changes);
	RUN(the_reader_finds_what_was_written);
	RUN(what_is_there_is_never_opened);
	RUN(a_folder_that_moves_away_is_still_the_one);
	RUN(a_manifest_can_be_given_up_at_any_time);
	if (quick)
		return tap_end();
	RUN(an_encrypted_manifest_is_nowhere_in_clear);
	RUN(a_plain_manifest_has_no_file_beside_it);
	RUN(a_full_disk_is_reported_by_its_own_name);
	RUN(a_hundred_thousand_rows_take_no_time_to_speak_of);
	return tap_end();
}
