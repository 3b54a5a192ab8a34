/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "beneath.h"
#include "crypto.h"
#include "one_file_vfs.h"

/* Memory comes in pieces, so that it never moves: it can be wiped for good. */
#define PIECE_LEN ((int64_t)1 << 20)

struct manifest_sink {
	struct one_file_vfs vfs;
	sqlite3 *db;
	int fd; /* -1: memory */
	int read_fd;
	int error; /* negative errno, the last of the system's; or 0 */
	uint8_t **pieces;
	size_t piece_count;
	int64_t size; /* of what is in memory */
};

/* --- memory -------------------------------------------------------------- */

/* The bytes at @off that are in one piece, at most @len of them. */
static uint8_t *piece_at(const struct manifest_sink *s, int64_t off, size_t len,
			 size_t *n)
{
	int64_t in = off % PIECE_LEN;

	*n = len < (size_t)(PIECE_LEN - in) ? len : (size_t)(PIECE_LEN - in);
	return s->pieces[off / PIECE_LEN] + in;
}

static int make_room(struct manifest_sink *s, int64_t size)
{
	while ((int64_t)s->piece_count * PIECE_LEN < size) {
		uint8_t **pieces = reallocarray(s->pieces, s->piece_count + 1,
						sizeof(*pieces));

		if (!pieces)
			return -ENOMEM;
		s->pieces = pieces;
		pieces[s->piece_count] = calloc(1, PIECE_LEN);
		if (!pieces[s->piece_count])
			return -ENOMEM;
		s->piece_count++;
	}
	if (s->size < size)
		s->size = size;
	return 0;
}

static int memory_write(struct manifest_sink *s, const void *ptr, size_t len,
			int64_t off)
{
	const uint8_t *from = ptr;
	int rc = make_room(s, off + (int64_t)len);

	while (len && rc == 0) {
		size_t n;
		uint8_t *to = piece_at(s, off, len, &n);

		memcpy(to, from, n);
		from += n;
		off += (int64_t)n;
		len -= n;
	}
	return rc;
}

static ssize_t memory_read(struct manifest_sink *s, void *ptr, size_t len,
			   int64_t off)
{
	uint8_t *to = ptr;
	size_t left = 0;

	if (off < s->size)
		left = len < (size_t)(s->size - off) ? len :
						       (size_t)(s->size - off);
	len = left;
	while (left) {
		size_t n;
		const uint8_t *from = piece_at(s, off, left, &n);

		memcpy(to, from, n);
		to += n;
		off += (int64_t)n;
		left -= n;
	}
	return (ssize_t)len;
}

static void wipe_memory(struct manifest_sink *s)
{
	for (size_t i = 0; i < s->piece_count; i++) {
		crypto_wipe(s->pieces[i], PIECE_LEN);
		free(s->pieces[i]);
	}
	free(s->pieces);
	s->pieces = NULL;
	s->piece_count = 0;
	s->size = 0;
}

/* --- what SQLite calls --------------------------------------------------- */

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 off)
{
	struct manifest_sink *s = one_file_owner(file);
	ssize_t n = s->fd < 0 ? memory_read(s, out, (size_t)len, off) :
				pread_full(s->read_fd, out, (size_t)len, off);

	if (n < 0) {
		s->error = (int)n;
		return SQLITE_IOERR_READ;
	}
	if (n == len)
		return SQLITE_OK;
	memset((char *)out + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *ptr, int len,
		      sqlite3_int64 off)
{
	struct manifest_sink *s = one_file_owner(file);
	int rc = s->fd < 0 ? memory_write(s, ptr, (size_t)len, off) :
			     pwrite_full(s->fd, ptr, (size_t)len, off);

	if (rc == 0)
		return SQLITE_OK;
	s->error = rc;
	return rc == -ENOMEM ? SQLITE_IOERR_NOMEM : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct manifest_sink *s = one_file_owner(file);

	if (s->fd < 0) {
		if (size < s->size)
			s->size = size;
		return SQLITE_OK;
	}
	if (ftruncate(s->fd, size) == 0)
		return SQLITE_OK;
	s->error = -errno;
	return SQLITE_IOERR_TRUNCATE;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct manifest_sink *s = one_file_owner(file);

	*size = s->fd < 0 ? s->size : lseek(s->fd, 0, SEEK_END);
	if (*size >= 0)
		return SQLITE_OK;
	s->error = -errno;
	return SQLITE_IOERR_FSTAT;
}

/* --- a sink -------------------------------------------------------------- */

int manifest_sink_open(struct manifest_sink **out, sqlite3 **db, int fd,
		       int read_fd, struct mb_err *err)
{
	static const struct one_file_methods methods = {
		.read = file_read,
		.write = file_write,
		.truncate = file_truncate,
		.size = file_size,
	};
	mb_auto(manifest_sink_free) struct manifest_sink *s =
		calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->fd = fd;
	s->read_fd = read_fd;
	rc = one_file_open(&s->vfs, &methods, s,
			   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &s->db);
	if (rc != SQLITE_OK)
		return manifest_sink_error(s, rc, err);
	*db = s->db;
	*out = mb_steal(&s);
	return 0;
}

int manifest_sink_error(const struct manifest_sink *s, int sql_rc,
			struct mb_err *err)
{
	if (s->error)
		return mb_err_set(err, s->error, "Manifest.db: %s",
				  strerror(-s->error));
	if ((sql_rc & 0xff) == SQLITE_NOMEM)
		return mb_err_set(err, -ENOMEM, "Manifest.db: out of memory");
	return mb_err_set(err, -EIO, "Manifest.db: %s",
			  s->db ? sqlite3_errmsg(s->db) :
				  sqlite3_errstr(sql_rc));
}

int manifest_sink_close(struct manifest_sink *s, struct mb_err *err)
{
	int rc = sqlite3_close(s->db);

	if (rc != SQLITE_OK)
		return manifest_sink_error(s, rc, err);
	s->db = NULL;
	return 0;
}

int manifest_sink_drain(const struct manifest_sink *s,
			int (*each)(void *arg, const void *ptr, size_t len),
			void *arg)
{
	int64_t off = 0;
	int rc = 0;

	while (off < s->size && rc == 0) {
		size_t n;
		const uint8_t *ptr =
			piece_at(s, off, (size_t)(s->size - off), &n);

		rc = each(arg, ptr, n);
		off += (int64_t)n;
	}
	return rc;
}

void manifest_sink_free(struct manifest_sink *s)
{
	if (!s)
		return;
	one_file_close(&s->vfs, s->db);
	wipe_memory(s);
	free(s);
}
