/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MEDIA_H
#define MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "cleanup.h"
#include "link.h"
#include "mb/err.h"

/*
 * The media folder of a device, by AFC.
 *
 * Errors here: the device's no about one file, as -ENOENT, -EISDIR, -EACCES,
 * -ENOSPC, -EBUSY or -EIO, after which all goes on; and what ends the
 * connection: -ENODEV, -ETIMEDOUT, -EPROTO if the device broke the protocol,
 * -ENOMEM. Every later call says the same then. After a cancellation nothing
 * is begun (-ECANCELED), but what is to be undone is still sent.
 */
struct device;
struct media;

/* Returns 0; as device_connect. */
int media_open(struct media **out, struct device *device, struct mb_err *err);

/* media_new - over a link that exists; takes it, also on failure (-ENOMEM) */
int media_new(struct media **out, struct link *link, struct mb_err *err);

void media_free(struct media *media);
MB_DEFINE_AUTO(struct media, media_free)

/* A whole small file, empty if it is not there; the caller releases @out. */
int media_read(struct media *media, const char *path, size_t limit,
	       struct buf *out, struct mb_err *err);

struct media_file {
	const char *path;
	struct buf content; /* empty if there is none; the caller's */
	struct mb_err err;  /* why it could not be read; code 0: it could */

	/* private */
	uint64_t handle;
	size_t asked;
	bool open, ended;
};

/* So many requests fit into a socket, in which they lie before an answer. */
#define MEDIA_FILES_MAX 32

/*
 * media_read_files - several of them, for the price of one
 * @files: zero but for the path; at most MEDIA_FILES_MAX
 * @limit: for each: a file with more bytes gets -EFBIG
 *
 * Returns 0 also if some cannot be read: each says so. Else the connection has
 * failed; contents are released by the caller all the same.
 */
int media_read_files(struct media *media, struct media_file *files,
		     size_t count, size_t limit, struct mb_err *err);

/* media_write - replace a small file */
int media_write(struct media *media, const char *path, const void *ptr,
		size_t len, struct mb_err *err);

/* Its parents, too; it may be there. */
int media_make_dir(struct media *media, const char *path, struct mb_err *err);

/*
 * media_remove - a file, or a folder that is empty
 *
 * Sent also after a cancellation; -ECANCELED then says that nobody has waited
 * for the answer.
 */
int media_remove(struct media *media, const char *path, struct mb_err *err);

/*
 * media_lock - take the lock by which programs that sync keep out each other
 *
 * Does not wait. Released by media_free.
 *
 * Returns 0; -EBUSY if another has it.
 */
int media_lock(struct media *media, struct mb_err *err);
void media_unlock(struct media *media);

#endif
