/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENEATH_H
#define BENEATH_H

#include <stdint.h>
#include <sys/types.h>

#include "bytes.h"
#include "mb/err.h"

/*
 * Files below a folder that we hold open, and never outside of it: no
 * symbolic link is followed in any component and ".." is refused, so what a
 * stranger put into a backup cannot lead a lookup elsewhere.
 *
 * @path is relative, "/" separated, without empty components.
 */

/*
 * beneath_open_file - open a regular file for reading
 * @len: if not NULL, its length in bytes
 *
 * Returns a descriptor; -ENOENT; -ELOOP where a component is a symbolic link;
 * -EXDEV for a path that would leave the folder; -EBADMSG if it is not a
 * regular file (a FIFO or device is never waited for).
 */
int beneath_open_file(int dir_fd, const char *path, int64_t *len);

/* beneath_open_dir - open a folder; returns a descriptor or negative errno */
int beneath_open_dir(int dir_fd, const char *path);

/*
 * beneath_read_file - the whole content of a small file
 * @limit: largest length that is accepted, in bytes
 * @out: empty; the caller releases it
 *
 * Returns 0; as beneath_open_file; -EFBIG over the limit; -EIO.
 */
int beneath_read_file(int dir_fd, const char *path, size_t limit,
		      struct buf *out, struct mb_err *err);

/* pread_full - pread until @len bytes or the end; bytes read, or -errno */
ssize_t pread_full(int fd, void *out, size_t len, int64_t off);

#endif
