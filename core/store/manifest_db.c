/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "brief_lock.h"
#include "cleanup.h"
#include "domain_index.h"
#include "glances.h"
#include "manifest.h"
#include "manifest_db_record.h"
#include "manifest_vfs.h"
#include "mbdb.h"
#include "mbfile.h"
#include "record.h"

struct manifest_db {
	struct manifest base;
	pthread_mutex_t lock; /* one connection, one thread at a time */
	struct payload *payload;
	int64_t solid_len; /* of it */
	struct manifest_vfs *vfs;
	sqlite3 *db;
	sqlite3_stmt *get;
	struct glances *glances;
	/* for a database without an index on its domains */
	bool unindexed;
	struct domain_index index;
	/* work that is left to the running statement, in units of STEP_OPS */
	int64_t budget;
	/* rows and text that it may still bring along */
	int64_t row_budget;
	int64_t text_budget;
};

/*
 * A crafted b-tree can lead in circles that no page check sees: a scan of a
 * few pages then goes on for ever, and what it brings along fills the memory.
 * All rows together hold no more than the file, or twice its text as UTF-8; a
 * row has at least ROW_MIN bytes with its file ID and record, and reading one
 * takes about a dozen operations.
 */
#define STEP_OPS 10000
#define BUDGET_OPS(file_len) (2000000 + (file_len) / 2)
#define ROW_MIN 64

static int on_progress(void *arg)
{
	struct manifest_db *m = arg;

	return m->budget-- <= 0;
}

static void refill(struct manifest_db *m)
{
	m->budget = BUDGET_OPS(m->solid_len) / STEP_OPS;
	m->row_budget = m->solid_len / ROW_MIN;
	m->text_budget = 2 * m->solid_len;
}

static int db_error(struct manifest_db *m, int sql_rc, struct mb_err *err)
{
	switch (sql_rc) {
	case SQLITE_NOMEM:
		return mb_err_set(err, -ENOMEM, "Manifest.db: out of memory");
	case SQLITE_IOERR:
		return mb_err_set(err, -EIO, "Manifest.db: cannot read it");
	case SQLITE_INTERRUPT:
		return mb_err_set(
			err, -EBADMSG,
			"Manifest.db: damaged (reading it goes in circles)");
	default:
		return mb_err_set(err, -EBADMSG, "Manifest.db: %s",
				  sqlite3_errmsg(m->db));
	}
}

/* Take a row, with @len bytes of text, off the budget. */
static int spend_row(struct manifest_db *m, size_t len, struct mb_err *err)
{
	m->text_budget -= (int64_t)len;
	if (--m->row_budget >= 0 && m->text_budget >= 0)
		return 0;
	return db_error(m, SQLITE_INTERRUPT, err);
}

static void finalize(sqlite3_stmt *stmt)
{
	sqlite3_finalize(stmt);
}
MB_DEFINE_AUTO(sqlite3_stmt, finalize)

static int prepare(struct manifest_db *m, sqlite3_stmt **stmt, const char *sql,
		   struct mb_err *err)
{
	int rc = sqlite3_prepare_v2(m->db, sql, -1, stmt, NULL);

	return rc == SQLITE_OK ? 0 : db_error(m, rc, err);
}

/* 1: a row is there; 0: no more */
static int step(struct manifest_db *m, sqlite3_stmt *stmt, struct mb_err *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_error(m, rc, err);
}

/* Does a query have a row? 1, 0, or an error */
static int has_row(struct manifest_db *m, const char *sql, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc = prepare(m, &stmt, sql, err);

	return rc < 0 ? rc : step(m, stmt, err);
}

static struct mb_slice column(sqlite3_stmt *stmt, int i)
{
	struct mb_slice s;

	if (sqlite3_column_type(stmt, i) == SQLITE_BLOB)
		s.ptr = sqlite3_column_blob(stmt, i);
	else
		s.ptr = (const char *)sqlite3_column_text(stmt, i);
	s.len = (size_t)sqlite3_column_bytes(stmt, i);
	if (!s.ptr)
		s = (struct mb_slice){ "", 0 };
	return s;
}

/* The type told by the flags column; higher bits are the device's own state. */
static enum mb_type flags_type(sqlite3_stmt *stmt, int i)
{
	int flags = sqlite3_column_int(stmt, i) & 7;

	return flags == MB_FILE || flags == MB_DIR || flags == MB_LINK ?
		       (enum mb_type)flags :
		       0;
}

static bool is_file_id(struct mb_slice s)
{
	return s.len == 2 * SHA1_LEN && is_hex(s.ptr, s.len);
}

/* @archive: as for mbfile_decode; @type: as told by the flags */
static int fill_record(struct mb_record *rec, struct mb_slice id,
		       enum mb_type type, struct mb_slice archive)
{
	int rc = mbfile_decode(rec, view_of(archive.ptr, archive.len));

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		rec->damage = "file record cannot be read";
	rec->type = type;
	if (!rec->type)
		rec->type = mode_type(rec->mode);
	if (!rec->type) {
		rec->type = MB_FILE;
		if (!rec->damage)
			rec->damage = "neither flags nor mode tell a type";
	}
	if (is_file_id(id)) {
		memcpy(rec->file_id, id.ptr, id.len);
		rec->file_id[id.len] = '\0';
	} else if (!rec->damage) {
		rec->damage = "file ID is malformed";
	}
	if (rec->size < 0 && !rec->damage)
		rec->damage = "recorded size is negative";
	return 0;
}

int manifest_db_record(struct mb_record *rec, sqlite3_stmt *row)
{
	struct mb_slice id = column(row, 0), domain = column(row, 1);
	struct mb_slice path = column(row, 2), blob = column(row, 4);
	int rc;

	rc = record_reset(rec, id.len + domain.len + path.len + blob.len +
				       MBFILE_ROOM(blob.len));
	if (rc < 0 || record_keep(rec, &rec->row_id, id.ptr, id.len) ||
	    record_keep(rec, &rec->domain, domain.ptr, domain.len) ||
	    record_keep(rec, &rec->path, path.ptr, path.len) ||
	    record_keep(rec, &rec->archive, blob.ptr, blob.len))
		return -ENOMEM;
	return fill_record(rec, id, flags_type(row, 3), rec->archive);
}

/* Without what would have to be kept: the slices are gone with the row. */
static int fill_glance(struct mb_record *rec, struct mb_slice id,
		       enum mb_type type, struct mb_slice archive)
{
	int rc = record_reset(rec, MBFILE_ROOM(archive.len));

	if (rc == 0)
		rc = fill_record(rec, id, type, archive);
	rec->target.ptr = NULL;
	rec->xattrs = (struct mb_slice){ 0 };
	rec->xattrs_form = MB_XATTRS_NONE;
	return rc;
}

static int get_locked(struct manifest_db *m, int64_t rowid, bool glance,
		      struct mb_record *rec, struct mb_err *err)
{
	sqlite3_stmt *row = m->get;
	int rc;

	refill(m);
	sqlite3_bind_int64(row, 1, rowid);
	rc = step(m, row, err);
	if (rc == 0)
		rc = mb_err_set(err, -ENOENT, "Manifest.db: no row %lld",
				(long long)rowid);
	if (rc == 1)
		rc = glance ? fill_glance(rec, column(row, 0),
					  flags_type(row, 3), column(row, 4)) :
			      manifest_db_record(rec, row);
	if (rc == -ENOMEM)
		mb_err_set(err, rc, "out of memory");
	sqlite3_reset(row);
	return rc < 0 ? rc : 0;
}

static int db_get(struct manifest *base, int64_t handle, struct mb_record *rec,
		  struct mb_err *err)
{
	struct manifest_db *m = (struct manifest_db *)base;
	int rc;

	pthread_mutex_lock(&m->lock);
	rc = get_locked(m, handle, false, rec, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int db_glance(struct manifest *base, int64_t handle,
		     struct mb_record *rec, struct mb_err *err)
{
	struct manifest_db *m = (struct manifest_db *)base;
	int rc;

	if (glances_find(m->glances, handle, rec))
		return 0;
	pthread_mutex_lock(&m->lock);
	rc = get_locked(m, handle, true, rec, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

/* Numbers and blobs sort before and behind all text. */
static int note_other_domains(struct manifest_db *m, struct mb_err *err)
{
	int rc = has_row(
		m,
		"SELECT 1 WHERE EXISTS (SELECT 1 FROM Files WHERE domain < '') "
		"OR EXISTS (SELECT 1 FROM Files WHERE domain >= x'')",
		err);

	if (rc == 1)
		manifest_note(
			&m->base,
			"Manifest.db: records left out whose domain is no text");
	return rc < 0 ? rc : 0;
}

/*
 * The distinct domains by one seek each, instead of a scan of the index:
 * a "loose" index scan.
 */
static int each_indexed_domain(struct manifest_db *m,
			       const struct domain_index *roots,
			       manifest_each_domain *each, void *arg,
			       struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *begin = NULL;
	mb_auto(finalize) sqlite3_stmt *next = NULL;
	mb_auto(buf_release) struct buf last = { 0 };
	sqlite3_stmt *stmt;
	int rc;

	rc = prepare(m, &begin,
		     "SELECT domain FROM Files WHERE domain >= '' "
		     "AND typeof(domain) = 'text' ORDER BY domain LIMIT 1",
		     err);
	if (rc == 0)
		rc = prepare(m, &next,
			     "SELECT domain FROM Files WHERE domain > ?1 "
			     "AND typeof(domain) = 'text' "
			     "ORDER BY domain LIMIT 1",
			     err);
	if (rc < 0)
		return rc;
	refill(m);
	for (stmt = begin; (rc = step(m, stmt, err)) == 1; stmt = next) {
		struct mb_slice domain = column(stmt, 0);
		int64_t root = MANIFEST_NO_RECORD;
		size_t first, count;

		domain_index_range(roots, domain, &first, &count);
		if (count)
			root = roots->entries[first + count - 1].handle;
		/* half a surrogate pair does not survive the way to UTF-8 */
		if (last.len && last.len - 1 == domain.len &&
		    !memcmp(last.ptr, domain.ptr, domain.len))
			return mb_err_set(
				err, -EBADMSG,
				"Manifest.db: a domain is no valid text");
		rc = spend_row(m, domain.len, err);
		if (rc < 0)
			return rc;
		last.len = 0;
		if (buf_add(&last, domain.ptr, domain.len) < 0 ||
		    buf_add_u8(&last, 0) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
		domain.ptr = (char *)last.ptr;
		rc = each(arg, domain, root);
		if (rc)
			return rc;
		sqlite3_reset(next);
		sqlite3_bind_text(next, 1, domain.ptr, (int)domain.len,
				  SQLITE_STATIC);
	}
	return rc < 0 ? rc : note_other_domains(m, err);
}

/* Records of the domains' own folders, by domain. */
static int find_roots(struct manifest_db *m, struct domain_index *roots,
		      struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(
		m, &stmt,
		"SELECT rowid, domain FROM Files WHERE relativePath = '' "
		"AND rowid >= 0 AND typeof(domain) = 'text' AND length(file) > 0",
		err);
	if (rc < 0)
		return rc;
	refill(m);
	while ((rc = step(m, stmt, err)) == 1) {
		struct mb_slice domain = column(stmt, 1);

		rc = spend_row(m, domain.len, err);
		if (rc < 0)
			return rc;
		if (domain_index_add(roots, domain,
				     sqlite3_column_int64(stmt, 0), true) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
	}
	domain_index_seal(roots);
	return rc;
}

static int db_each_domain(struct manifest *base, manifest_each_domain *each,
			  void *arg, struct mb_err *err)
{
	struct manifest_db *m = (struct manifest_db *)base;
	struct domain_index roots = { 0 };
	int rc;

	if (m->unindexed)
		return domain_index_each(&m->index, each, arg);
	pthread_mutex_lock(&m->lock);
	rc = find_roots(m, &roots, err);
	if (rc == 0)
		rc = each_indexed_domain(m, &roots, each, arg, err);
	pthread_mutex_unlock(&m->lock);
	domain_index_release(&roots);
	return rc;
}

struct scan {
	bool sizes;
	unsigned glances; /* that may still be kept */
	uint64_t left_out;
	struct mb_record rec;
};

/* columns: rowid, relativePath, flags, fileID, file */
static int scan_row(struct manifest_db *m, sqlite3_stmt *row, struct scan *s,
		    manifest_each_entry *each, void *arg, struct mb_err *err)
{
	struct manifest_entry entry = {
		.handle = sqlite3_column_int64(row, 0),
		.path = column(row, 1),
		.type = flags_type(row, 2),
	};
	int rc = spend_row(m, entry.path.len, err);

	if (rc < 0)
		return rc;
	/* no writer gives negative numbers, and -1 says "no record" */
	if (sqlite3_column_type(row, 1) == SQLITE_NULL ||
	    entry.path.len > MANIFEST_PATH_MAX || entry.handle < 0) {
		s->left_out++;
		return 0;
	}
	if (s->sizes || s->glances) {
		rc = fill_glance(&s->rec, column(row, 3), entry.type,
				 column(row, 4));
		if (rc < 0)
			return rc;
	}
	if (s->sizes) {
		entry.size = s->rec.size;
		if (!entry.type)
			entry.type = mode_type(s->rec.mode);
	}
	if (s->glances) {
		s->glances--;
		glances_keep(m->glances, entry.handle, &s->rec);
	}
	return each(arg, &entry);
}

/*
 * Rows without a file column are working state of the device, no entries
 * (iphone-backup(5), MANIFEST.DB).
 */
#define SCAN                                               \
	"SELECT rowid, relativePath, flags, fileID, file " \
	"FROM Files WHERE length(file) > 0 AND "

static int scan_locked(struct manifest_db *m, struct mb_slice domain,
		       struct scan *s, manifest_each_entry *each, void *arg,
		       struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	size_t at = 0, count = 1;
	int rc;

	rc = prepare(m, &stmt,
		     m->unindexed ? SCAN "rowid = ?1" : SCAN "domain = ?1",
		     err);
	if (rc < 0)
		return rc;
	refill(m);
	if (m->unindexed)
		domain_index_range(&m->index, domain, &at, &count);
	else
		sqlite3_bind_text(stmt, 1, domain.ptr, (int)domain.len,
				  SQLITE_STATIC);
	for (size_t end = at + count; at < end && rc == 0; at++) {
		if (m->unindexed)
			sqlite3_bind_int64(stmt, 1,
					   m->index.entries[at].handle);
		while ((rc = step(m, stmt, err)) == 1) {
			rc = scan_row(m, stmt, s, each, arg, err);
			if (rc)
				return rc;
		}
		sqlite3_reset(stmt);
	}
	/* said once, by the scan that shows the rest */
	if (s->left_out && !s->sizes)
		manifest_note(
			&m->base,
			"Manifest.db: %llu records of %.*s left out: no path, one of more than %d bytes, or a negative row number",
			(unsigned long long)s->left_out, (int)domain.len,
			domain.ptr, MANIFEST_PATH_MAX);
	return rc;
}

static int db_scan(struct manifest *base, struct mb_slice domain, bool sizes,
		   manifest_each_entry *each, void *arg, struct mb_err *err)
{
	struct manifest_db *m = (struct manifest_db *)base;
	struct scan s = { .sizes = sizes, .glances = sizes ? 0 : GLANCES_MAX };
	int rc;

	pthread_mutex_lock(&m->lock);
	rc = scan_locked(m, domain, &s, each, arg, err);
	pthread_mutex_unlock(&m->lock);
	mb_record_release(&s.rec);
	return rc;
}

/* Asking for the file column has its overflow pages read too. */
static int each_id_locked(struct manifest_db *m, manifest_each_id *each,
			  void *arg, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(m, &stmt,
		     "SELECT fileID, domain, relativePath, flags, file, rowid "
		     "FROM Files NOT INDEXED WHERE length(file) > 0",
		     err);
	if (rc < 0)
		return rc;
	refill(m);
	while ((rc = step(m, stmt, err)) == 1) {
		struct mb_slice id = column(stmt, 0);
		struct mb_slice path = column(stmt, 2);

		rc = spend_row(m, path.len, err);
		if (rc < 0)
			return rc;
		/* what a scan leaves out is none here either */
		if (sqlite3_column_type(stmt, 1) != SQLITE_TEXT ||
		    sqlite3_column_type(stmt, 2) == SQLITE_NULL ||
		    path.len > MANIFEST_PATH_MAX ||
		    sqlite3_column_int64(stmt, 5) < 0)
			continue;
		rc = each(arg, id, flags_type(stmt, 3));
		if (rc)
			return rc;
	}
	return rc;
}

static int db_each_id(struct manifest *base, manifest_each_id *each, void *arg,
		      struct mb_err *err)
{
	struct manifest_db *m = (struct manifest_db *)base;
	int rc;

	pthread_mutex_lock(&m->lock);
	rc = each_id_locked(m, each, arg, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static void db_free(struct manifest *base)
{
	struct manifest_db *m = (struct manifest_db *)base;

	sqlite3_finalize(m->get);
	glances_free(m->glances);
	manifest_vfs_close(m->vfs);
	payload_free(m->payload);
	domain_index_release(&m->index);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct manifest_ops db_ops = {
	.free = db_free,
	.each_domain = db_each_domain,
	.scan = db_scan,
	.each_id = db_each_id,
	.get = db_get,
	.glance = db_glance,
};

/* An ordinary table: neither a view nor a virtual one, which would run code. */
static int check_table(struct manifest_db *m, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(m, &stmt,
		     "SELECT type, rootpage FROM sqlite_master "
		     "WHERE name = 'Files' COLLATE NOCASE",
		     err);
	if (rc < 0)
		return rc;
	rc = step(m, stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return mb_err_set(err, -EBADMSG,
				  "Manifest.db: has no table Files");
	if (strcmp((const char *)sqlite3_column_text(stmt, 0), "table") ||
	    sqlite3_column_int(stmt, 1) <= 0)
		return mb_err_set(err, -EBADMSG,
				  "Manifest.db: Files is no ordinary table");
	return 0;
}

/* One step of computing a column could be made to take hours. */
static int check_columns(struct manifest_db *m, struct mb_err *err)
{
	int rc = has_row(m,
			 "SELECT 1 FROM pragma_table_xinfo('Files') "
			 "WHERE hidden > 1",
			 err);

	return rc == 1 ? mb_err_set(err, -EBADMSG,
				    "Manifest.db: Files has computed columns") :
			 rc;
}

static int has_domain_index(struct manifest_db *m, struct mb_err *err)
{
	return has_row(m,
		       "SELECT 1 FROM pragma_index_list('Files') AS l "
		       "JOIN pragma_index_xinfo(l.name) AS x "
		       "WHERE x.seqno = 0 AND x.name = 'domain' "
		       "AND x.coll = 'BINARY' AND NOT l.partial",
		       err);
}

static int build_index(struct manifest_db *m, struct mb_err *err)
{
	mb_auto(finalize) sqlite3_stmt *stmt = NULL;
	int rc;

	rc = prepare(m, &stmt,
		     "SELECT rowid, domain, relativePath = '' AND rowid >= 0 "
		     "FROM Files NOT INDEXED "
		     "WHERE length(file) > 0 AND typeof(domain) = 'text'",
		     err);
	if (rc < 0)
		return rc;
	refill(m);
	while ((rc = step(m, stmt, err)) == 1) {
		struct mb_slice domain = column(stmt, 1);

		rc = spend_row(m, domain.len, err);
		if (rc < 0)
			return rc;
		if (domain_index_add(&m->index, domain,
				     sqlite3_column_int64(stmt, 0),
				     sqlite3_column_int(stmt, 2)) < 0)
			return mb_err_set(err, -ENOMEM, "out of memory");
	}
	domain_index_seal(&m->index);
	return rc;
}

/*
 * One transaction for all that is to come: otherwise each statement has one of
 * its own, which costs as much again as to find a record.
 */
static int begin(struct manifest_db *m, struct mb_err *err)
{
	int rc = sqlite3_exec(m->db, "BEGIN", NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_error(m, rc, err);
}

static int prepare_all(struct manifest_db *m, bool indexed, struct mb_err *err)
{
	int rc;

	refill(m);
	rc = check_table(m, err);
	if (rc == 0)
		rc = check_columns(m, err);
	if (rc == 0)
		rc = begin(m, err);
	if (rc == 0)
		rc = prepare(m, &m->get,
			     "SELECT fileID, domain, relativePath, flags, file "
			     "FROM Files WHERE rowid = ?1",
			     err);
	if (rc == 0 && indexed)
		rc = has_domain_index(m, err);
	if (rc == 0) {
		m->unindexed = true;
		rc = build_index(m, err);
	}
	return rc < 0 ? rc : 0;
}

static int open_db(struct manifest **out, struct payload *p, bool indexed,
		   struct mb_err *err)
{
	struct manifest_db *m = calloc(1, sizeof(*m));
	int rc;

	if (m)
		m->glances = glances_new();
	if (!m || !m->glances) {
		free(m);
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	m->base.ops = &db_ops;
	m->payload = p;
	m->solid_len = payload_solid_len(p);
	brief_lock_init(&m->lock);
	rc = manifest_vfs_open(&m->vfs, &m->db, p, err);
	if (rc < 0) {
		mb_err_prefix(err, rc, "Manifest.db");
	} else {
		sqlite3_progress_handler(m->db, STEP_OPS, on_progress, m);
		rc = prepare_all(m, indexed, err);
	}
	if (rc < 0) {
		db_free(&m->base);
		return rc;
	}
	*out = &m->base;
	return 0;
}

int manifest_open_db(struct manifest **out, struct payload *p,
		     struct mb_err *err)
{
	return open_db(out, p, true, err);
}

int manifest_open_db_table(struct manifest **out, struct payload *p,
			   struct mb_err *err)
{
	return open_db(out, p, false, err);
}
