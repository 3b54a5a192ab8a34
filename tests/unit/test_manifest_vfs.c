/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_vfs.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define ROWS 20000
#define PAGE 4096

/* ---- what is read of the stored file ---- */

static struct {
	int count;
	int64_t bytes;
} reads;

ssize_t __wrap_pread(int fd, void *out, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *out, size_t len, off_t off);

ssize_t __wrap_pread64(int fd, void *out, size_t len, off_t off)
{
	reads.count++;
	reads.bytes += (int64_t)len;
	return syscall(SYS_pread64, fd, out, len, off);
}

ssize_t __wrap_pread(int fd, void *out, size_t len, off_t off)
{
	return __wrap_pread64(fd, out, len, off);
}

/* ---- a database with an index that leads through its table ---- */

static int dir_fd;
static struct payload *payload;
static struct manifest_vfs *vfs;
static sqlite3 *db;

static void make_database(const char *dir)
{
	char path[4096];
	sqlite3 *made;

	snprintf(path, sizeof(path), "%s/database", dir);
	if (sqlite3_open(path, &made) != SQLITE_OK ||
	    sqlite3_exec(made,
			 "CREATE TABLE t (k TEXT, v TEXT);"
			 "CREATE INDEX i ON t (k);"
			 "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL "
			 "SELECT i + 1 FROM n WHERE i < 19999) "
			 "INSERT INTO t SELECT printf('%02d', i / 1000), "
			 "printf('%0700d', i) FROM n;",
			 NULL, NULL, NULL) != SQLITE_OK)
		abort();
	sqlite3_close(made);
}

static void open_database(void)
{
	struct mb_err err;

	if (payload_open(&payload, dir_fd, "database", NULL) < 0 ||
	    manifest_vfs_open(&vfs, &db, payload, &err) < 0)
		abort();
	memset(&reads, 0, sizeof(reads));
}

static void close_database(void)
{
	manifest_vfs_close(vfs);
	payload_free(payload);
}

static int64_t ask(const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t got = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		got = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return got;
}

static int64_t ask_row(int i)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "SELECT v FROM t WHERE rowid = %d", i + 1);
	return ask(sql);
}

/* 1000 rows of 700 bytes are 200 pages, and some of the index. */
CASE(what_an_index_leads_to_takes_few_large_reads)
{
	open_database();
	CHECK_INT(ask("SELECT sum(v) FROM t WHERE k = '07'"), 7499500);
	CHECK_AT(reads.count < 40, "%d reads", reads.count);
	CHECK_AT(reads.bytes < 500 * PAGE, "%lld bytes",
		 (long long)reads.bytes);
	close_database();
}

CASE(a_whole_table_is_read_once)
{
	int64_t len;

	open_database();
	len = payload_stored_len(payload);
	CHECK_INT(ask("SELECT sum(v) FROM t NOT INDEXED"), 199990000);
	CHECK_AT(reads.bytes < len + len / 10, "%lld of %lld bytes",
		 (long long)reads.bytes, (long long)len);
	CHECK_AT(reads.count < len / (64 << 10), "%d reads", reads.count);
	close_database();
}

CASE(places_far_apart_cost_a_page_each)
{
	open_database();
	for (int i = 0; i < 20; i++)
		CHECK_INT(ask_row(i * 7919 % ROWS), i * 7919 % ROWS);
	CHECK_AT(reads.count < 70, "%d reads", reads.count);
	CHECK_AT(reads.bytes < 100 * PAGE, "%lld bytes in %d reads",
		 (long long)reads.bytes, reads.count);
	close_database();
}

CASE(rows_are_right_in_any_order)
{
	open_database();
	for (int i = 0; i < 6000; i++) {
		CHECK_INT(ask_row(i), i);
		CHECK_INT(ask_row(ROWS - 1 - i), ROWS - 1 - i);
		CHECK_INT(ask_row(i * 7919 % ROWS), i * 7919 % ROWS);
	}
	close_database();
}

CASE(a_file_that_shrinks_is_an_error_and_no_zeros)
{
	char path[64];

	open_database();
	CHECK_INT(ask("SELECT sum(v) FROM t WHERE k = '02'"), 2499500);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/database", dir_fd);
	CHECK_INT(truncate(path, 100 * PAGE), 0);
	CHECK_INT(ask("SELECT sum(v) FROM t WHERE k = '07'"), -1);
	close_database();
}

int main(void)
{
	const char *dir = temp_dir();

	make_database(dir);
	dir_fd = open_dir(dir);
	RUN(what_an_index_leads_to_takes_few_large_reads);
	RUN(a_whole_table_is_read_once);
	RUN(places_far_apart_cost_a_page_each);
	RUN(rows_are_right_in_any_order);
	RUN(a_file_that_shrinks_is_an_error_and_no_zeros);
	close(dir_fd);
	return tap_end();
}
