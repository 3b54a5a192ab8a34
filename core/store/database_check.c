/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "database_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "one_file_vfs.h"

#define MAGIC "SQLite format 3" /* with its NUL */
#define MAGIC_LEN 16

/*
 * SQLite keeps one bit for each page, and its schema in memory: more than this
 * is not granted to a stranger's file.
 */
#define PAGES_MAX (INT64_C(1) << 28)
#define SCHEMA_READS_MAX (INT64_C(16) << 20)
#define VALUE_LEN_MAX (16 << 20)

/* As for Manifest.db: what goes in circles comes to an end. */
#define STEP_OPS 10000
#define BUDGET_OPS(file_len) (50000000 + 16 * (file_len))

struct database {
	struct one_file_vfs vfs;
	sqlite3 *db;
	const struct wal_source *main, *wal_source;
	struct wal wal; /* without frames if there is none */
	int64_t size;
	int64_t budget;
	/* bytes that may be read until the schema is known; -1: any */
	int64_t allowance;
	bool too_much, cancelled, unreadable;
};

/* --- what it is ----------------------------------------------------------- */

static int64_t page_len_of(const uint8_t *head)
{
	int64_t len = head[16] << 8 | head[17];

	if (len == 1)
		len = 65536;
	return len < 512 || (len & (len - 1)) ? 0 : len;
}

static unsigned bits_set(unsigned byte)
{
	unsigned n = 0;

	for (; byte; byte &= byte - 1)
		n++;
	return n;
}

/*
 * What is fixed behind the magic: the payload fractions, and twenty bytes of
 * zeros. Ciphers for databases leave the fractions in clear, not the zeros.
 * Where the first block of a payload was damaged, one bit of the second is
 * another.
 */
static bool looks_spoilt(const uint8_t *head, int64_t size)
{
	static const uint8_t fractions[] = { 64, 32, 32 };
	int64_t len = page_len_of(head);
	unsigned wrong = 0;

	for (int i = 0; i < 3; i++)
		wrong += bits_set(head[21 + i] ^ fractions[i]);
	for (int i = 72; i < 92; i++)
		if (head[i])
			return false;
	return wrong <= 1 && len && size >= len && size % len == 0;
}

enum database_kind database_kind(const uint8_t *head, size_t head_len,
				 int64_t size)
{
	if (head_len >= MAGIC_LEN && !memcmp(head, MAGIC, MAGIC_LEN))
		return DATABASE_SQLITE;
	if (head_len >= DATABASE_HEAD_LEN && looks_spoilt(head, size))
		return DATABASE_SPOILT;
	return DATABASE_NONE;
}

bool database_journal_is_hot(const uint8_t *head, size_t len)
{
	static const uint8_t magic[JOURNAL_HEAD_LEN] = {
		0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7
	};

	return len == sizeof(magic) && !memcmp(head, magic, sizeof(magic));
}

/* --- the file that SQLite sees -------------------------------------------- */

/* From one page: the log's, or the database's own. */
static ssize_t read_page(struct database *d, uint8_t *out, size_t len,
			 int64_t off)
{
	int64_t page_len = d->wal.page_len, at;

	if (!d->wal.frame_count)
		return d->main->read(d->main->arg, out, len, off);
	at = wal_find(&d->wal, (uint32_t)(off / page_len + 1));
	if (at < 0)
		return d->main->read(d->main->arg, out, len, off);
	return d->wal_source->read(d->wal_source->arg, out, len,
				   at + off % page_len);
}

static size_t part_of_page(const struct database *d, size_t len, int64_t off)
{
	int64_t left = d->wal.frame_count ?
			       d->wal.page_len - off % d->wal.page_len :
			       (int64_t)len;

	return len < (uint64_t)left ? len : (size_t)left;
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 off)
{
	struct database *d = one_file_owner(file);
	uint8_t *to = out;
	size_t done = 0;

	if (d->allowance >= 0) {
		d->allowance -= len;
		d->too_much = d->allowance < 0;
		if (d->too_much)
			return SQLITE_IOERR_READ;
	}
	while (done < (size_t)len && off + (int64_t)done < d->size) {
		int64_t at = off + (int64_t)done;
		size_t want = part_of_page(d, (size_t)len - done, at);
		ssize_t n;

		if (want > (uint64_t)(d->size - at))
			want = (size_t)(d->size - at);
		n = read_page(d, to + done, want, at);
		d->unreadable |= n < 0;
		if (n < 0)
			return SQLITE_IOERR_READ;
		if (!n)
			break;
		done += (size_t)n;
	}
	/* with a log of its own it would not open: ours is applied already */
	for (int i = 18; i < 20; i++)
		if (off <= i && off + (int64_t)done > i && to[i - off] == 2)
			to[i - off] = 1;
	if (done == (size_t)len)
		return SQLITE_OK;
	memset(to + done, 0, (size_t)len - done);
	return SQLITE_IOERR_SHORT_READ;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	const struct database *d = one_file_owner(file);

	*size = d->size;
	return SQLITE_OK;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_IMMUTABLE;
}

/* --- the connection ------------------------------------------------------- */

static int on_progress(void *arg)
{
	struct database *d = arg;

	d->cancelled = d->main->cancelled && d->main->cancelled();
	return d->cancelled || d->budget-- <= 0;
}

static int compare_bytes(void *arg, int a_len, const void *a, int b_len,
			 const void *b)
{
	int len = a_len < b_len ? a_len : b_len;
	int diff = memcmp(a, b, (size_t)len);

	(void)arg;
	return diff ? diff : a_len - b_len;
}

/* quick_check does not look at any order: a name is enough. */
static void on_collation(void *arg, sqlite3 *db, int encoding, const char *name)
{
	(void)arg;
	sqlite3_create_collation_v2(db, name, encoding, NULL, compare_bytes,
				    NULL);
}

/*
 * What a crafted file could do to us: make SQLite call functions from its
 * schema, allocate by its own figures, or write temporary files.
 */
static int harden(struct database *d)
{
	static const char pragmas[] = "PRAGMA trusted_schema=OFF;"
				      "PRAGMA cell_size_check=ON;"
				      "PRAGMA temp_store=MEMORY;"
				      "PRAGMA mmap_size=0;"
				      "PRAGMA ignore_check_constraints=ON;";

	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, VALUE_LEN_MAX);
	sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_collation_needed(d->db, NULL, on_collation);
	sqlite3_progress_handler(d->db, STEP_OPS, on_progress, d);
	return sqlite3_exec(d->db, pragmas, NULL, NULL, NULL);
}

/* --- its judgement -------------------------------------------------------- */

/*
 * What SQLite calls malformed because it lacks what the device's has: a
 * function in an index, a module, a newer form.
 */
static bool is_unknown_feature(const char *text)
{
	static const char *const signs[] = {
		"no such function",  "no such module",
		"no such collation", "no such tokenizer",
		"unsafe use of",     "unsupported file format",
		"unknown tokenizer", "unknown table option",
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		if (strstr(text, signs[i]))
			return true;
	return false;
}

static int sql_error(struct database *d, int sql_rc, struct mb_err *err)
{
	const char *text = sqlite3_errmsg(d->db);

	if (d->cancelled)
		return mb_err_set(err, -ECANCELED, "cancelled");
	if (d->too_much)
		return mb_err_set(err, -ENOTSUP,
				  "its schema takes too much memory");
	switch (sql_rc & 0xff) {
	case SQLITE_NOMEM:
		return mb_err_set(err, -ENOMEM, "out of memory");
	case SQLITE_INTERRUPT:
		return mb_err_set(
			err, -ENOTSUP,
			"checking it takes longer than its length allows");
	case SQLITE_IOERR:
		return d->unreadable ? mb_err_set(err, -EIO, "cannot be read") :
				       mb_err_set(err, -EBADMSG, "%s", text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return mb_err_set(
			err, is_unknown_feature(text) ? -ENOTSUP : -EBADMSG,
			"%s", text);
	default:
		return mb_err_set(err, -ENOTSUP, "%s", text);
	}
}

/*
 * Complaints about values, not about the structure: they come from the way in
 * which an app changed its schema, and newer versions of SQLite have more of
 * them.
 */
static bool is_about_values(const char *line)
{
	static const char *const signs[] = {
		"NULL value in ",
		"NUMERIC value in ",
		"TEXT value in ",
		"CHECK constraint failed in ",
		"non-INT value in ",
		"non-INTEGER value in ",
		"non-REAL value in ",
		"non-TEXT value in ",
		"non-BLOB value in ",
		"non-unique entry in index ",
		"rowid not at end-of-record",
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		if (strstr(line, signs[i]))
			return true;
	return false;
}

/* The first line of a row that is about damage; 0 if there is none. */
static size_t find_damage(const char **row)
{
	while (**row) {
		size_t len = strcspn(*row, "\n");
		char line[256];

		snprintf(line, sizeof(line), "%.*s", (int)len, *row);
		if (len && strncmp(line, "***", 3) != 0 &&
		    strcmp(line, "ok") != 0 && !is_about_values(line))
			return len;
		*row += len;
		*row += **row == '\n';
	}
	return 0;
}

static int load_schema(struct database *d, struct mb_err *err)
{
	int rc;

	d->allowance = SCHEMA_READS_MAX;
	rc = sqlite3_exec(d->db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL,
			  NULL, NULL);
	d->allowance = -1;
	return rc == SQLITE_OK ? 0 : sql_error(d, rc, err);
}

static int quick_check(struct database *d, struct mb_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc, result = 0;

	rc = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(50)", -1, &stmt,
				NULL);
	while (rc == SQLITE_OK && result == 0) {
		const char *row;
		size_t len;

		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			break;
		rc = SQLITE_OK;
		row = (const char *)sqlite3_column_text(stmt, 0);
		len = row ? find_damage(&row) : 0;
		if (len)
			result = mb_err_set(err, -EBADMSG, "%.*s", (int)len,
					    row);
	}
	if (result == 0 && rc != SQLITE_DONE)
		result = sql_error(d, rc, err);
	sqlite3_finalize(stmt);
	return result;
}

static int apply_wal(struct database *d, struct mb_err *err)
{
	int rc;

	if (!d->wal_source)
		return 0;
	rc = wal_open(&d->wal, d->wal_source);
	if (rc == -ENOENT) {
		wal_release(&d->wal);
		return 0;
	}
	if (rc == -EFBIG)
		return mb_err_set(err, -ENOTSUP,
				  "its write-ahead log has too many pages");
	if (rc < 0)
		return mb_err_set(err, rc, "its write-ahead log: %s",
				  strerror(-rc));
	d->size = (int64_t)d->wal.page_count * d->wal.page_len;
	return 0;
}

static int check_size(const struct database *d, struct mb_err *err)
{
	uint8_t head[18];
	ssize_t n = d->main->read(d->main->arg, head, sizeof(head), 0);
	int64_t page_len = n == sizeof(head) ? page_len_of(head) : 0;

	if (n < 0)
		return mb_err_set(err, -EIO, "cannot be read");
	if (!page_len)
		return mb_err_set(err, -EBADMSG, "its header is damaged");
	if (d->size / page_len > PAGES_MAX)
		return mb_err_set(err, -ENOTSUP, "it has too many pages");
	if (d->wal.frame_count && d->wal.page_len != page_len)
		return mb_err_set(err, -ENOTSUP,
				  "its write-ahead log has another page size");
	return 0;
}

int database_check(const struct wal_source *main, const struct wal_source *wal,
		   struct mb_err *err)
{
	static const struct one_file_methods methods = {
		.read = file_read,
		.size = file_size,
		.traits = file_traits,
	};
	struct database *d = calloc(1, sizeof(*d));
	int rc, sql_rc;

	if (!d)
		return mb_err_set(err, -ENOMEM, "out of memory");
	d->main = main;
	d->wal_source = wal;
	d->size = main->len;
	d->allowance = -1;
	rc = apply_wal(d, err);
	if (rc == 0)
		rc = check_size(d, err);
	if (rc == 0) {
		d->budget = BUDGET_OPS(d->size) / STEP_OPS;
		sql_rc = one_file_open(&d->vfs, &methods, d,
				       SQLITE_OPEN_READONLY, &d->db);
		if (sql_rc == SQLITE_OK)
			sql_rc = harden(d);
		rc = sql_rc == SQLITE_OK ? 0 : sql_error(d, sql_rc, err);
		if (rc == 0)
			rc = load_schema(d, err);
		if (rc == 0)
			rc = quick_check(d, err);
		one_file_close(&d->vfs, d->db);
	}
	wal_release(&d->wal);
	free(d);
	return rc;
}
