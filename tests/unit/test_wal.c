/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database_check.h"
#include "tap.h"

/* A database and its log, as SQLite itself writes them. */
struct bytes {
	uint8_t *ptr;
	size_t len;
};

static char dir[] = "/tmp/larder-wal-XXXXXX";
static struct bytes main_file, log_file;

static ssize_t read_bytes(void *arg, void *out, size_t len, int64_t off)
{
	const struct bytes *b = arg;

	if ((uint64_t)off >= b->len)
		return 0;
	if (len > b->len - (size_t)off)
		len = b->len - (size_t)off;
	memcpy(out, b->ptr + off, len);
	return (ssize_t)len;
}

static struct wal_source source_of(struct bytes *b)
{
	return (struct wal_source){
		.read = read_bytes,
		.arg = b,
		.len = (int64_t)b->len,
	};
}

static struct bytes read_file(const char *path)
{
	struct bytes b = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return b;
	b.ptr = malloc((size_t)st.st_size + 1);
	b.len = (size_t)read(fd, b.ptr, (size_t)st.st_size);
	close(fd);
	return b;
}

/* Two transactions in the log, behind what is in the database. */
static void make_files(void)
{
	char path[64], log[80];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/x.db", dir);
	snprintf(log, sizeof(log), "%s-wal", path);
	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_exec(
		db,
		"PRAGMA page_size=1024; PRAGMA journal_mode=WAL;"
		"PRAGMA wal_autocheckpoint=0;"
		"CREATE TABLE t (i INTEGER PRIMARY KEY, x);"
		"PRAGMA wal_checkpoint(TRUNCATE);"
		"INSERT INTO t VALUES (1, zeroblob(3000));"
		"INSERT INTO t VALUES (2, zeroblob(3000)), (3, zeroblob(900));",
		NULL, NULL, NULL);
	main_file = read_file(path);
	log_file = read_file(log);
	sqlite3_close(db);
	unlink(path);
}

#define FRAME (24 + 1024)

static size_t frames(void)
{
	return (log_file.len - 32) / FRAME;
}

static struct bytes copy_log(size_t len)
{
	struct bytes b = { malloc(len + 1), len };

	memcpy(b.ptr, log_file.ptr, len);
	return b;
}

static int open_log(struct wal *wal, struct bytes *b)
{
	struct wal_source source = source_of(b);

	return wal_open(wal, &source);
}

CASE(a_log_of_sqlite_is_read_whole)
{
	struct wal wal;
	int64_t at;

	CHECK_INT(open_log(&wal, &log_file), 0);
	CHECK_INT(wal.page_len, 1024);
	CHECK_INT(wal.frame_count, frames());
	CHECK(wal.page_count > 5);
	/* of several frames of a page, the last one */
	at = wal_find(&wal, 2);
	CHECK(at > 0 && (at - 32 - 24) % FRAME == 0);
	CHECK(at > (int64_t)(32 + frames() / 2 * FRAME));
	CHECK_INT(wal_find(&wal, 0), -1);
	CHECK_INT(wal_find(&wal, wal.page_count + 1), -1);
	wal_release(&wal);
}

CASE(a_transaction_that_is_not_whole_does_not_count)
{
	struct bytes b = copy_log(log_file.len - 1);
	struct wal whole, wal;

	CHECK_INT(open_log(&whole, &log_file), 0);
	CHECK_INT(open_log(&wal, &b), 0);
	CHECK(wal.frame_count < whole.frame_count);
	CHECK(wal.page_count < whole.page_count);
	wal_release(&wal);
	wal_release(&whole);
	free(b.ptr);
}

CASE(what_is_behind_a_wrong_sum_does_not_count)
{
	struct bytes b = copy_log(log_file.len);
	struct wal wal;

	b.ptr[32 + 24 + 7] ^= 1; /* of the first page */
	CHECK_INT(open_log(&wal, &b), -ENOENT);
	wal_release(&wal);
	free(b.ptr);
}

CASE(frames_of_an_older_log_do_not_count)
{
	struct bytes b = copy_log(log_file.len);
	struct wal wal;

	b.ptr[32 + (frames() - 1) * FRAME + 8] ^= 1; /* a salt */
	CHECK_INT(open_log(&wal, &b), 0);
	CHECK(wal.frame_count < frames());
	wal_release(&wal);
	free(b.ptr);
}

CASE(a_header_that_is_wrong_makes_it_empty)
{
	const size_t at[] = { 0, 3, 7, 10, 16, 24 };

	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		struct bytes b = copy_log(log_file.len);
		struct wal wal;

		b.ptr[at[i]] ^= 0x40;
		CHECK_AT(open_log(&wal, &b) == -ENOENT, "byte %zu", at[i]);
		wal_release(&wal);
		free(b.ptr);
	}
}

CASE(any_length_is_read_without_harm)
{
	for (size_t len = 0; len < log_file.len; len += 111) {
		struct bytes b = copy_log(len);
		struct wal wal;
		int rc = open_log(&wal, &b);

		CHECK_AT(rc == 0 || rc == -ENOENT, "%zu bytes", len);
		wal_release(&wal);
		free(b.ptr);
	}
}

CASE(the_database_is_judged_with_its_log)
{
	struct wal_source main = source_of(&main_file);
	struct wal_source log = source_of(&log_file);
	struct mb_err err;
	uint8_t saved[64];

	CHECK_INT(database_check(&main, &log, &err), 0);
	CHECK_INT(database_check(&main, NULL, &err), 0);
	/* a page that the log has anew */
	memcpy(saved, main_file.ptr + 1024, sizeof(saved));
	memset(main_file.ptr + 1024, 0xee, sizeof(saved));
	CHECK_INT(database_check(&main, &log, &err), 0);
	CHECK_INT(database_check(&main, NULL, &err), -EBADMSG);
	CHECK(err.text[0]);
	memcpy(main_file.ptr + 1024, saved, sizeof(saved));
}

CASE(a_database_is_known_by_its_front)
{
	uint8_t head[DATABASE_HEAD_LEN];
	int64_t size = (int64_t)main_file.len;

	memcpy(head, main_file.ptr, sizeof(head));
	CHECK_INT(database_kind(head, sizeof(head), size), DATABASE_SQLITE);
	CHECK_INT(database_kind(head, 15, size), DATABASE_NONE);
	memset(head, 0x5c, 16); /* a block of the cipher */
	CHECK_INT(database_kind(head, sizeof(head), size), DATABASE_SPOILT);
	head[22] ^= 4; /* and the bit of the next one */
	CHECK_INT(database_kind(head, sizeof(head), size), DATABASE_SPOILT);
	CHECK_INT(database_kind(head, sizeof(head), size + 1), DATABASE_NONE);
	head[80] = 7; /* what a cipher for databases leaves there */
	CHECK_INT(database_kind(head, sizeof(head), size), DATABASE_NONE);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	make_files();
	RUN(a_log_of_sqlite_is_read_whole);
	RUN(a_transaction_that_is_not_whole_does_not_count);
	RUN(what_is_behind_a_wrong_sum_does_not_count);
	RUN(frames_of_an_older_log_do_not_count);
	RUN(a_header_that_is_wrong_makes_it_empty);
	RUN(any_length_is_read_without_harm);
	RUN(the_database_is_judged_with_its_log);
	RUN(a_database_is_known_by_its_front);
	free(main_file.ptr);
	free(log_file.ptr);
	rmdir(dir);
	return tap_end();
}
