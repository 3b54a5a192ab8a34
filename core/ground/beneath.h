/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENEATH_H
#define BENEATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
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

/*
 * beneath_open_to_read - the same without a look at what it is
 *
 * Never waits, not for a FIFO either: whether what is read means anything is
 * the caller's to find out.
 */
int beneath_open_to_read(int dir_fd, const char *path);

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

/*
 * beneath_create_file - a new empty file, open for writing
 *
 * Never opens what is there: a file that others share by hard links stays as
 * it is.
 *
 * Returns a descriptor; -EEXIST; errors of the system.
 */
int beneath_create_file(int dir_fd, const char *path, mode_t mode);

/* beneath_make_dir - a folder; those above it have to be there; -EEXIST */
int beneath_make_dir(int dir_fd, const char *path, mode_t mode);

/*
 * beneath_stat - an entry itself, not what a link leads to
 *
 * Returns 0; -ENOENT; errors of the system.
 */
int beneath_stat(int dir_fd, const char *path, struct stat *st);

/* beneath_rename - replaces a file that is at @to; as rename(2) */
int beneath_rename(int dir_fd, const char *from, const char *to);

/*
 * beneath_rename_new - from one folder to another, but never over something
 * @from, @to: names of entries of the two folders
 *
 * Returns 0; -EEXIST; as rename(2). A file system that cannot do it in one
 * step gives another process a moment to interfere.
 */
int beneath_rename_new(int from_fd, const char *from, int to_fd,
		       const char *to);

/* beneath_sync - bring a folder's names to disk, where that can be done */
int beneath_sync(int dir_fd);

/*
 * beneath_move - as beneath_rename, but replaces folders too
 * @replaced: there was something at @to
 *
 * Nothing at @to is removed if there is nothing at @from.
 */
int beneath_move(int dir_fd, const char *from, const char *to, bool *replaced);

/*
 * beneath_remove - an entry, with everything in it if it is a folder
 *
 * However deep the folder is, memory and open files are bounded. What can be
 * removed is, also after an error.
 *
 * Returns 0; -ENOENT; the first error of the system.
 */
int beneath_remove(int dir_fd, const char *path);

/*
 * beneath_write_file - a whole small file, replaced as one
 *
 * Written aside, synced, renamed: after a crash it is the old or the new one.
 *
 * Returns 0; errors of the system.
 */
int beneath_write_file(int dir_fd, const char *path, struct view content,
		       mode_t mode, struct mb_err *err);

/* path_is_inside - is a path @folder, or below it? Both without "." and "..". */
bool path_is_inside(const char *path, const char *folder);

/* write_full - write all of it; 0 or -errno */
int write_full(int fd, const void *ptr, size_t len);

/* pwrite_full - the same at an offset */
int pwrite_full(int fd, const void *ptr, size_t len, int64_t off);

/* pread_full - pread until @len bytes or the end; bytes read, or -errno */
ssize_t pread_full(int fd, void *out, size_t len, int64_t off);

#endif
