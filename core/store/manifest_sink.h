/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_SINK_H
#define MANIFEST_SINK_H

#include <sqlite3.h>

#include "bytes.h"
#include "mb/err.h"

/*
 * Where SQLite writes a new Manifest.db: to a file that we have opened, or to
 * memory, which is wiped. SQLite opens no file by itself, also none for
 * journals and sorting, in which plaintext would be on disk.
 */
struct manifest_sink;

/*
 * manifest_sink_open - an empty database
 * @fd: an empty file, to write to; -1: memory
 * @read_fd: the same file, as SQLite reads back what it has written; both are
 *	borrowed until the sink is freed
 * @db: the connection, for one thread at a time
 *
 * Returns 0; -ENOMEM; -EIO.
 */
int manifest_sink_open(struct manifest_sink **out, sqlite3 **db, int fd,
		       int read_fd, struct mb_err *err);

/*
 * manifest_sink_error - what a result of SQLite on this connection means
 *
 * Returns -ENOMEM, the error of the system, or -EIO.
 */
int manifest_sink_error(const struct manifest_sink *sink, int sql_rc,
			struct mb_err *err);

/*
 * manifest_sink_close - the database is complete; its statements must have been
 * finalized
 */
int manifest_sink_close(struct manifest_sink *sink, struct mb_err *err);

/*
 * manifest_sink_drain - the whole content that is in memory, from front to back
 * @each: a result other than 0 ends it and is returned
 */
int manifest_sink_drain(const struct manifest_sink *sink,
			int (*each)(void *arg, const void *ptr, size_t len),
			void *arg);

void manifest_sink_free(struct manifest_sink *sink);
MB_DEFINE_AUTO(struct manifest_sink, manifest_sink_free)

#endif
