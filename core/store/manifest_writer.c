/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "manifest_sink.h"
#include "payload.h"

#define NAME "Manifest.db"

struct manifest_writer {
	struct manifest_sink *sink;
	sqlite3 *db; /* the sink's */
	sqlite3_stmt *insert;
	int fd, read_fd;		/* in clear, else -1 */
	struct payload_writer *payload; /* encrypted, else NULL */
	int rc;				/* of the first failure */
};

/*
 * What devices write, iOS 10 to 18: iphone-backup(5), MANIFEST.DB. The journal
 * and what is sorted are in memory, nothing is synced, and the indexes come
 * when all rows are there, which is several times quicker.
 */
static const char begin_sql[] =
	"PRAGMA page_size=4096;"
	"PRAGMA auto_vacuum=NONE;"
	"PRAGMA encoding='UTF-8';"
	"PRAGMA journal_mode=MEMORY;"
	"PRAGMA synchronous=OFF;"
	"PRAGMA locking_mode=EXCLUSIVE;"
	"PRAGMA temp_store=MEMORY;"
	"PRAGMA cache_size=-32768;"
	"BEGIN;"
	"PRAGMA user_version=2;"
	"CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, "
	"relativePath TEXT, flags INTEGER, file BLOB);";
static const char insert_sql[] =
	"INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)";
static const char end_sql[] =
	"CREATE INDEX FilesDomainIdx ON Files(domain);"
	"CREATE INDEX FilesRelativePathIdx ON Files(relativePath);"
	"CREATE INDEX FilesFlagsIdx ON Files(flags);"
	"CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);"
	"COMMIT;";

static bool is_same_file(int a, int b)
{
	struct stat of_a, of_b;

	return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 &&
	       of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* SQLite reads what it has written, so two descriptors are needed. */
static int create_plain(struct manifest_writer *w, int dir_fd)
{
	w->fd = beneath_create_file(dir_fd, NAME, 0666);
	if (w->fd < 0)
		return w->fd;
	w->read_fd = beneath_open_file(dir_fd, NAME, NULL);
	if (w->read_fd < 0)
		return w->read_fd;
	return is_same_file(w->fd, w->read_fd) ? 0 : -EEXIST;
}

static int create_file(struct manifest_writer *w, int dir_fd,
		       const uint8_t *key, struct mb_err *err)
{
	int rc = key ? payload_create(&w->payload, dir_fd, NAME, key, 0) :
		       create_plain(w, dir_fd);

	return rc < 0 ? mb_err_set(err, rc, "cannot create %s: %s", NAME,
				   strerror(-rc)) :
			0;
}

static int open_database(struct manifest_writer *w, struct mb_err *err)
{
	int rc = manifest_sink_open(&w->sink, &w->db, w->fd, w->read_fd, err);

	if (rc < 0)
		return rc;
	rc = sqlite3_exec(w->db, begin_sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(w->db, insert_sql, -1,
					SQLITE_PREPARE_PERSISTENT, &w->insert,
					NULL);
	return rc == SQLITE_OK ? 0 : manifest_sink_error(w->sink, rc, err);
}

int manifest_create(struct manifest_writer **out, int dir_fd,
		    const uint8_t key[KEY_LEN], struct mb_err *err)
{
	mb_auto(manifest_writer_free) struct manifest_writer *w =
		calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return mb_err_set(err, -ENOMEM, "out of memory");
	w->fd = w->read_fd = -1;
	rc = create_file(w, dir_fd, key, err);
	if (rc == 0)
		rc = open_database(w, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&w);
	return 0;
}

static int bind_text(sqlite3_stmt *stmt, int at, struct mb_slice text)
{
	/* NULL would be no text at all */
	return sqlite3_bind_text64(stmt, at, text.len ? text.ptr : "", text.len,
				   SQLITE_STATIC, SQLITE_UTF8);
}

static int insert(struct manifest_writer *w, struct mb_slice id,
		  struct mb_slice domain, struct mb_slice path,
		  enum mb_type type, struct view archive)
{
	int rc = bind_text(w->insert, 1, id);

	if (rc == SQLITE_OK)
		rc = bind_text(w->insert, 2, domain);
	if (rc == SQLITE_OK)
		rc = bind_text(w->insert, 3, path);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int(w->insert, 4, (int)type);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob64(w->insert, 5,
					 archive.len ? archive.ptr : NULL,
					 archive.len, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(w->insert);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int manifest_add(struct manifest_writer *w, struct mb_slice id,
		 struct mb_slice domain, struct mb_slice path,
		 enum mb_type type, struct view archive, struct mb_err *err)
{
	int rc;

	if (w->rc < 0)
		return mb_err_set(err, w->rc, "%s: it failed before", NAME);
	rc = insert(w, id, domain, path, type, archive);
	if (rc == SQLITE_CONSTRAINT)
		rc = mb_err_set(err, -EEXIST,
				"%s: there is an entry with the ID %.*s", NAME,
				(int)(id.len < 64 ? id.len : 64), id.ptr);
	else if (rc != SQLITE_OK)
		rc = w->rc = manifest_sink_error(w->sink, rc, err);
	sqlite3_reset(w->insert);
	sqlite3_clear_bindings(w->insert);
	return rc;
}

static int store_piece(void *arg, const void *ptr, size_t len)
{
	return payload_write(arg, ptr, len);
}

static int close_file(struct manifest_writer *w, struct mb_err *err)
{
	int rc = 0;

	if (w->payload) {
		rc = manifest_sink_drain(w->sink, store_piece, w->payload);
		if (rc == 0)
			rc = payload_finish(w->payload, NULL);
	} else {
		rc = close(w->fd) < 0 ? -errno : 0;
		w->fd = -1;
	}
	return rc < 0 ? mb_err_set(err, rc, NAME ": %s", strerror(-rc)) : 0;
}

int manifest_finish(struct manifest_writer *w, struct mb_err *err)
{
	int rc;

	if (w->rc < 0)
		return mb_err_set(err, w->rc, "%s: it failed before", NAME);
	sqlite3_finalize(w->insert);
	w->insert = NULL;
	rc = sqlite3_exec(w->db, end_sql, NULL, NULL, NULL);
	w->rc = rc == SQLITE_OK ? manifest_sink_close(w->sink, err) :
				  manifest_sink_error(w->sink, rc, err);
	if (w->rc == 0)
		w->rc = close_file(w, err);
	return w->rc;
}

void manifest_writer_free(struct manifest_writer *w)
{
	if (!w)
		return;
	sqlite3_finalize(w->insert);
	manifest_sink_free(w->sink);
	payload_writer_free(w->payload);
	if (w->fd >= 0)
		close(w->fd);
	if (w->read_fd >= 0)
		close(w->read_fd);
	free(w);
}
