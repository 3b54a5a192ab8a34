/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_audit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest_db_record.h"
#include "manifest_vfs.h"
#include "record.h"

struct audit_db {
	struct manifest_audit base;
	pthread_mutex_t lock; /* one connection, one thread at a time */
	struct manifest_vfs *vfs;
	sqlite3 *db;
	sqlite3_stmt *get;
	/* work that is left to the running statement, in units of STEP_OPS */
	int64_t budget;
	bool cancelled;
};

/*
 * SQLite's integrity check takes some dozen operations for each row and
 * index, and a row has 64 bytes at least. A crafted file, in which it would go
 * in circles, comes to an end here.
 */
#define STEP_OPS 10000
#define BUDGET_OPS(file_len) (20000000 + 16 * (file_len))

/* Pieces of the table that may be passed over, each found by some probes. */
#define GAPS_MAX 2000

/* Lines of an integrity check that are asked for, and that are told. */
#define COMPLAINTS "20"
#define COMPLAINTS_TOLD 2

static int on_progress(void *arg)
{
	struct audit_db *a = arg;

	a->cancelled = a->base.cancelled && a->base.cancelled();
	return a->cancelled || a->budget-- <= 0;
}

static void refill(struct audit_db *a)
{
	a->budget = BUDGET_OPS(payload_solid_len(a->base.payload)) / STEP_OPS;
}

static int db_error(struct audit_db *a, int sql_rc, struct mb_err *err)
{
	switch (sql_rc & 0xff) {
	case SQLITE_NOMEM:
		return mb_err_set(err, -ENOMEM, "out of memory");
	case SQLITE_IOERR:
		return mb_err_set(err, -EIO, "cannot read it");
	case SQLITE_INTERRUPT:
		return a->cancelled ?
			       mb_err_set(err, -ECANCELED, "cancelled") :
			       mb_err_set(
				       err, -EBADMSG,
				       "damaged (reading it goes in circles)");
	default:
		return mb_err_set(err, -EBADMSG, "%s", sqlite3_errmsg(a->db));
	}
}

static void finalize(sqlite3_stmt *stmt)
{
	sqlite3_finalize(stmt);
}
MB_DEFINE_AUTO(sqlite3_stmt, finalize)

static int prepare(struct audit_db *a, sqlite3_stmt **stmt, const char *sql,
		   struct mb_err *err)
{
	int rc = sqlite3_prepare_v2(a->db, sql, -1, stmt, NULL);

	return rc == SQLITE_OK ? 0 : db_error(a, rc, err);
}

/* 1: a row is there; 0: no more */
static int step(struct audit_db *a, sqlite3_stmt *stmt, struct mb_err *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_error(a, rc, err);
}

/* --- what SQLite says ----------------------------------------------------- */

/* The complaints in one line, as long as it gets. */
struct complaints {
	char text[400];
	unsigned count;
};

/* What a row says: one complaint a line, under a heading of stars. */
static void add_complaints(struct complaints *c, const char *row)
{
	while (*row) {
		size_t len = strcspn(row, "\n");

		if (len && strncmp(row, "***", 3) != 0 &&
		    c->count++ < COMPLAINTS_TOLD) {
			size_t used = strlen(c->text);

			snprintf(c->text + used, sizeof(c->text) - used,
				 "%s%.*s", used ? "; " : "", (int)len, row);
		}
		row += len;
		row += *row == '\n';
	}
}

static int db_inspect(struct manifest_audit *base, struct mb_err *err)
{
	struct audit_db *a = (struct audit_db *)base;
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	struct complaints c = { .count = 0 };
	int rc;

	refill(a);
	rc = prepare(a, &stmt, "PRAGMA integrity_check(" COMPLAINTS ")", err);
	while (rc == 0 && (rc = step(a, stmt, err)) == 1) {
		const char *row = (const char *)sqlite3_column_text(stmt, 0);

		if (row && strcmp(row, "ok") != 0)
			add_complaints(&c, row);
		rc = 0;
	}
	if (rc == 0 && c.count > COMPLAINTS_TOLD)
		return mb_err_set(err, -EBADMSG, "%s; and more (%u in all%s)",
				  c.text, c.count,
				  c.count >= (unsigned)atoi(COMPLAINTS) ?
					  " that were asked for" :
					  "");
	if (rc == 0 && c.count)
		return mb_err_set(err, -EBADMSG, "%s", c.text);
	return rc == -EIO ? mb_err_set(err, -EBADMSG, "cannot be read") : rc;
}

/* --- rows ----------------------------------------------------------------- */

#define RECORD_COLUMNS "SELECT fileID, domain, relativePath, flags, file"

static int each_row(struct audit_db *a, sqlite3_stmt *stmt,
		    struct mb_record *rec, manifest_audit_row *each, void *arg)
{
	struct manifest_row row = {
		.handle = sqlite3_column_int64(stmt, 5),
		.is_entry = sqlite3_column_bytes(stmt, 4) > 0 &&
			    sqlite3_column_type(stmt, 1) == SQLITE_TEXT &&
			    sqlite3_column_type(stmt, 2) != SQLITE_NULL,
		.rec = rec,
	};

	(void)a;
	if (manifest_db_record(rec, stmt) < 0)
		return -ENOMEM;
	return each(arg, &row);
}

/*
 * Rows from *@from on, in their order; *@from is then behind the last one that
 * could be read. That the numbers rise also tells circles.
 */
static int each_from(struct audit_db *a, int64_t *from, struct mb_record *rec,
		     manifest_audit_row *each, void *arg, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(a, &stmt,
		     RECORD_COLUMNS ", rowid FROM Files NOT INDEXED "
				    "WHERE rowid >= ?1 ORDER BY rowid",
		     err);
	if (rc < 0)
		return rc;
	refill(a);
	sqlite3_bind_int64(stmt, 1, *from);
	while ((rc = step(a, stmt, err)) == 1) {
		int64_t handle = sqlite3_column_int64(stmt, 5);

		if (handle < *from)
			return mb_err_set(err, -EBADMSG,
					  "row %lld is behind a later one",
					  (long long)handle);
		rc = each_row(a, stmt, rec, each, arg);
		if (rc)
			return rc;
		if (handle == INT64_MAX)
			return 0;
		*from = handle + 1;
	}
	return rc;
}

/* Can rows be read from a number on? */
static bool probe(struct audit_db *a, int64_t from)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;

	if (prepare(a, &stmt,
		    RECORD_COLUMNS " FROM Files NOT INDEXED "
				   "WHERE rowid >= ?1 ORDER BY rowid LIMIT 1",
		    NULL) < 0)
		return false;
	sqlite3_bind_int64(stmt, 1, from);
	return step(a, stmt, NULL) >= 0;
}

/*
 * The first number from which rows can be read again, behind a piece of the
 * table that cannot: by steps that double, then by halves. False at the end.
 */
static bool find_rows_again(struct audit_db *a, int64_t *from)
{
	uint64_t low = 0, high = 1; /* from *@from on: bad, good */

	refill(a);
	while (*from <= (int64_t)(INT64_MAX - high) &&
	       !probe(a, *from + (int64_t)high)) {
		if (a->cancelled || high > INT64_MAX / 2)
			return false;
		low = high;
		high *= 2;
	}
	if (*from > (int64_t)(INT64_MAX - high))
		return false;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (probe(a, *from + (int64_t)middle))
			high = middle;
		else
			low = middle;
	}
	*from += (int64_t)high;
	return true;
}

static int db_each(struct manifest_audit *base, manifest_audit_row *each,
		   void *arg, bool *lost, struct mb_err *loss)
{
	struct audit_db *a = (struct audit_db *)base;
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	/* no writer gives negative numbers; a probe may not overflow */
	int64_t from = INT64_MIN / 2;

	for (unsigned gaps = 0; gaps < GAPS_MAX; gaps++) {
		struct mb_err err;
		int rc = each_from(a, &from, &rec, each, arg, &err);

		if (rc != -EBADMSG && rc != -EIO)
			return rc;
		if (!*lost)
			*loss = err;
		*lost = true;
		if (!find_rows_again(a, &from))
			return a->cancelled ? -ECANCELED : 0;
	}
	return 0;
}

static struct mb_slice text_of(sqlite3_stmt *stmt, int i)
{
	const char *text = (const char *)sqlite3_column_text(stmt, i);

	return (struct mb_slice){ text ? text : "",
				  (size_t)sqlite3_column_bytes(stmt, i) };
}

static int db_each_id(struct manifest_audit *base,
		      int (*each)(void *arg, struct mb_slice id), void *arg)
{
	struct audit_db *a = (struct audit_db *)base;
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(a, &stmt,
		     "SELECT fileID FROM Files "
		     "INDEXED BY sqlite_autoindex_Files_1 "
		     "WHERE fileID > '' ORDER BY fileID",
		     NULL);
	if (rc < 0)
		return -ENOTSUP;
	refill(a);
	while ((rc = step(a, stmt, NULL)) == 1) {
		rc = each(arg, text_of(stmt, 0));
		if (rc)
			return rc;
	}
	return rc;
}

static int db_get(struct manifest_audit *base, int64_t handle,
		  struct mb_record *rec, struct mb_err *err)
{
	struct audit_db *a = (struct audit_db *)base;
	int rc;

	pthread_mutex_lock(&a->lock);
	refill(a);
	sqlite3_bind_int64(a->get, 1, handle);
	rc = step(a, a->get, err);
	if (rc == 0)
		rc = mb_err_set(err, -ENOENT, "no row %lld", (long long)handle);
	else if (rc == 1 && manifest_db_record(rec, a->get) < 0)
		rc = mb_err_set(err, -ENOMEM, "out of memory");
	sqlite3_reset(a->get);
	pthread_mutex_unlock(&a->lock);
	return rc < 0 ? rc : 0;
}

static void db_free(struct manifest_audit *base)
{
	struct audit_db *a = (struct audit_db *)base;

	sqlite3_finalize(a->get);
	manifest_vfs_close(a->vfs);
	payload_free(base->payload);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static const struct manifest_audit_ops db_ops = {
	.free = db_free,
	.inspect = db_inspect,
	.each = db_each,
	.each_id = db_each_id,
	.get = db_get,
};

/* An ordinary table without computed columns: neither runs code of its own. */
static int check_table(struct audit_db *a, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(a, &stmt,
		     "SELECT type = 'table' AND rootpage > 0 AND NOT EXISTS "
		     "(SELECT 1 FROM pragma_table_xinfo('Files') "
		     "WHERE hidden > 1) "
		     "FROM sqlite_master WHERE name = 'Files' COLLATE NOCASE",
		     err);
	if (rc == 0)
		rc = step(a, stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return mb_err_set(err, -EBADMSG, "has no table Files");
	if (!sqlite3_column_int(stmt, 0))
		return mb_err_set(err, -EBADMSG, "Files is no ordinary table");
	return 0;
}

int manifest_audit_open_db(struct manifest_audit **out, struct payload *p,
			   bool (*cancelled)(void), struct mb_err *err)
{
	struct audit_db *a = calloc(1, sizeof(*a));
	int rc;

	if (!a) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	a->base = (struct manifest_audit){
		.ops = &db_ops,
		.payload = p,
		.cancelled = cancelled,
	};
	pthread_mutex_init(&a->lock, NULL);
	rc = manifest_vfs_open(&a->vfs, &a->db, p, err);
	if (rc == 0) {
		sqlite3_progress_handler(a->db, STEP_OPS, on_progress, a);
		refill(a);
		rc = check_table(a, err);
	}
	if (rc == 0)
		rc = prepare(a, &a->get,
			     RECORD_COLUMNS " FROM Files WHERE rowid = ?1",
			     err);
	if (rc < 0) {
		db_free(&a->base);
		return rc;
	}
	*out = &a->base;
	return 0;
}
