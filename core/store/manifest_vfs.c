/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SQLite asks for a page at a time. Where the backup is far away, each of them
 * takes a while, and a domain has thousands. But they come in order, or nearly:
 * those of the index, and between them those of the table that it leads to. So
 * a few streams are followed. What continues none is read as it is asked for,
 * and may begin one; what continues one is read with what comes next, twice as
 * much each time. Few places are looked up for the root, and cost no more.
 */
#include "manifest_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "one_file_vfs.h"

#define HEADER_LEN 100		/* of an SQLite database */
#define MAGIC "SQLite format 3" /* with its NUL */

#define STREAMS 4
#define AHEAD_MIN (16 << 10)
#define AHEAD_MAX (256 << 10)
#define GAP_MAX (64 << 10) /* a step over other pages is no end of it */

/* Plaintext of the database that has been read in one go. */
struct stream {
	int64_t off, end;
	size_t ahead; /* how much was read the last time */
	unsigned long used;
	uint8_t *bytes; /* AHEAD_MAX, or NULL: nothing is held */
};

struct manifest_vfs {
	struct one_file_vfs vfs;
	sqlite3 *db;
	struct payload *payload;
	int64_t size;
	struct stream streams[STREAMS];
	unsigned long now;
};

static bool holds(const struct stream *s, size_t len, int64_t off)
{
	return s->bytes && off >= s->off && off + (int64_t)len <= s->end;
}

static bool is_continued(const struct stream *s, int64_t off)
{
	return s->ahead && off >= s->end && off - s->end <= GAP_MAX;
}

/* The stream that has some bytes, or leads to them; or the oldest. */
static struct stream *stream_for(struct manifest_vfs *v, size_t len,
				 int64_t off)
{
	struct stream *best = v->streams, *next = NULL;

	for (struct stream *s = v->streams; s < v->streams + STREAMS; s++) {
		if (holds(s, len, off))
			return s;
		if (is_continued(s, off) && (!next || s->end > next->end))
			next = s;
		if (s->used < best->used)
			best = s;
	}
	return next ? next : best;
}

/* What comes next in a stream; false: it has to be read without. */
static bool read_on(struct manifest_vfs *v, struct stream *s, size_t len,
		    int64_t off)
{
	size_t ahead = 2 * s->ahead;
	ssize_t n;

	if (ahead < AHEAD_MIN)
		ahead = AHEAD_MIN;
	if (ahead > AHEAD_MAX)
		ahead = AHEAD_MAX;
	if (len > ahead)
		return false;
	if (!s->bytes)
		s->bytes = malloc(AHEAD_MAX);
	if (!s->bytes)
		return false;
	if ((int64_t)ahead > v->size - off)
		ahead = (size_t)(v->size - off);
	n = payload_pread(v->payload, s->bytes, ahead, off);
	s->off = off;
	s->end = off + (n < 0 ? 0 : n);
	s->ahead = ahead;
	return holds(s, len, off);
}

/* @len bytes that are all within the database */
static ssize_t read_page(struct manifest_vfs *v, void *out, size_t len,
			 int64_t off)
{
	struct stream *s = stream_for(v, len, off);
	ssize_t n;

	s->used = ++v->now;
	if (holds(s, len, off) ||
	    (is_continued(s, off) && read_on(v, s, len, off))) {
		memcpy(out, s->bytes + (off - s->off), len);
		return (ssize_t)len;
	}
	n = payload_pread(v->payload, out, len, off);
	s->off = s->end = off + (int64_t)len;
	s->ahead = len;
	return n;
}

static void forget_streams(struct manifest_vfs *v)
{
	for (struct stream *s = v->streams; s < v->streams + STREAMS; s++) {
		if (s->bytes)
			crypto_wipe(s->bytes, AHEAD_MAX);
		free(s->bytes);
	}
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 off)
{
	struct manifest_vfs *v = one_file_owner(file);
	int want = len;
	ssize_t n = 0;

	if (off >= v->size)
		want = 0;
	else if (want > v->size - off)
		want = (int)(v->size - off);
	if (want)
		n = read_page(v, out, (size_t)want, off);
	if (n < 0)
		return SQLITE_IOERR_READ;
	if (n == len)
		return SQLITE_OK;
	memset((char *)out + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	const struct manifest_vfs *v = one_file_owner(file);

	*size = v->size;
	return SQLITE_OK;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_IMMUTABLE;
}

/*
 * Devices append a block of padding to the encrypted database, some writers
 * do not, and SQLite wants whole pages (iphone-backup(5), MANIFEST
 * ENCRYPTION). What is behind the last whole page is never database.
 */
static int64_t database_size(const uint8_t header[HEADER_LEN], int64_t len)
{
	int64_t page = header[16] << 8 | header[17];

	if (page == 1)
		page = 65536;
	if (page < 512 || (page & (page - 1)))
		return -EBADMSG;
	return len - len % page;
}

static int check_header(struct manifest_vfs *v, struct mb_err *err)
{
	uint8_t header[HEADER_LEN];
	ssize_t n = payload_pread(v->payload, header, sizeof(header), 0);

	if (n < 0)
		return mb_err_set(err, (int)n, "cannot read it: %s",
				  strerror((int)-n));
	if (n < HEADER_LEN || memcmp(header, MAGIC, sizeof(MAGIC)))
		return mb_err_set(err, -EBADMSG, "not an SQLite database");
	v->size = database_size(header, payload_stored_len(v->payload));
	if (v->size <= 0)
		return mb_err_set(err, -EBADMSG,
				  "SQLite database with a damaged header");
	return 0;
}

/*
 * What a crafted file could do to us: make SQLite call functions from its
 * schema, allocate by its own figures, or write temporary files.
 */
static int harden(sqlite3 *db)
{
	static const char pragmas[] = "PRAGMA trusted_schema=OFF;"
				      "PRAGMA cell_size_check=ON;"
				      "PRAGMA temp_store=MEMORY;"
				      "PRAGMA mmap_size=0;";

	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 16 << 20);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return sqlite3_exec(db, pragmas, NULL, NULL, NULL);
}

int manifest_vfs_open(struct manifest_vfs **out, sqlite3 **db,
		      struct payload *p, struct mb_err *err)
{
	static const struct one_file_methods methods = {
		.read = file_read,
		.size = file_size,
		.traits = file_traits,
	};
	struct manifest_vfs *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return mb_err_set(err, -ENOMEM, "out of memory");
	v->payload = p;
	rc = check_header(v, err);
	if (rc < 0) {
		free(v);
		return rc;
	}
	rc = one_file_open(&v->vfs, &methods, v, SQLITE_OPEN_READONLY, &v->db);
	if (rc == SQLITE_OK)
		rc = harden(v->db);
	if (rc != SQLITE_OK) {
		mb_err_set(err, rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG,
			   "cannot open it: %s", sqlite3_errstr(rc));
		manifest_vfs_close(v);
		return rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	}
	*db = v->db;
	*out = v;
	return 0;
}

void manifest_vfs_close(struct manifest_vfs *v)
{
	if (!v)
		return;
	one_file_close(&v->vfs, v->db);
	forget_streams(v);
	free(v);
}
