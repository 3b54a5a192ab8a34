/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DATA_H
#define DATA_H

#include <sys/types.h>

#include "open_files.h"

struct mount;
struct volume;

/*
 * The content of files: open, read and release, each by the best of the ways
 * (ways.h) that are open.
 */
void data_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void data_answer(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 struct fuse_file_info *fi);
void data_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* data_close - the same without the answer */
void data_close(fuse_req_t req, struct fuse_file_info *fi);

/* data_init - of a mount, before its first request */
void data_init(struct mount *m);

/*
 * data_end - close what is open when the session has ended, though the kernel
 * never said so: keys are not to outlive the mount
 */
void data_end(struct mount *m);

/* data_block_size - how much a program should read of a file at once */
blksize_t data_block_size(struct mount *m, struct volume *v, uint32_t node,
			  int64_t size);

/*
 * data_pages - memory from the begin of a page on, for free(3); or NULL
 *
 * The kernel copies by pages: where those of both sides begin together, it
 * looks up half as many.
 */
char *data_pages(size_t size);

/* data_buffer - such memory, of the calling thread, until it asks again; or NULL */
char *data_buffer(size_t size);

/*
 * data_store - give the kernel the content of a file, from its begin on
 *
 * False if it knows no such file. Nobody may wait for the calling thread with a
 * read of the file unanswered.
 */
bool data_store(struct mount *m, fuse_ino_t ino, char *content, size_t len);

/* data_read - for ahead.c: bytes read up to @len, less at the end; or an error */
ssize_t data_read(struct open_file *f, void *out, size_t len, int64_t off);

#endif
