/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPEN_FILES_H
#define OPEN_FILES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"
#include "mb/reader.h"

struct volume;

/*
 * Files of a mount that are open, one for each inode, however often the kernel
 * has opened it; and some that were, in case they are opened again: the least
 * recently used goes first. They hold keys: open_files_close_all is for the
 * end.
 */
struct open_file {
	fuse_ino_t ino;
	struct volume *volume;	  /* of which it is; outlives it */
	struct mb_reader *reader; /* NULL for a file of our own: */
	int fd;			  /* this one, -1 otherwise */
	int64_t size;
	bool damaged; /* some bytes below the size cannot be read */
	bool direct;  /* to be read past the page cache */
	bool ahead;   /* worth reading ahead of a reader */
	int backing;  /* number of the kernel's for passthrough, or 0 */

	/* of open_files.c */
	int rc; /* 0 open, 1 being opened, or why that failed */
	unsigned uses, opens;
	struct open_file *next;		 /* with the same hash */
	struct open_file *older, *newer; /* when nobody uses it */
};

#define OPEN_FILES_HASH 256

struct open_files {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	/* closes what is a caller's in a file */
	void (*close)(struct open_file *f, fuse_req_t req);
	struct open_file *by_hash[OPEN_FILES_HASH];
	struct open_file *oldest, *newest; /* unused */
	unsigned unused, opens;
};

void open_files_init(struct open_files *files,
		     void (*close)(struct open_file *f, fuse_req_t req));

/*
 * open_files_use - the open file of an inode
 * @open: opens it if it is not: fills reader or fd, and what follows. Nobody
 *	else gets the file before this returns.
 *
 * Returns 0 and the file, until open_files_done; or what @open has returned.
 */
int open_files_use(struct open_files *files, fuse_ino_t ino,
		   int (*open)(void *arg, struct open_file *f), void *arg,
		   struct open_file **out);

/* open_files_keep - one more user of a file that is in use */
void open_files_keep(struct open_files *files, struct open_file *f);

/* @req: any request at hand, or NULL, for what has to be closed */
void open_files_done(struct open_files *files, struct open_file *f,
		     fuse_req_t req);

/*
 * open_files_count - the kernel has opened a file once more, or (-1) released
 * it; returns how often it has it open now
 */
unsigned open_files_count(struct open_files *files, struct open_file *f,
			  int more);

/* open_files_busy - does the kernel have a file open? */
bool open_files_busy(struct open_files *files);

/*
 * open_files_forget - close those of a volume that nobody uses
 * @req: any request at hand, for what has to be closed
 */
void open_files_forget(struct open_files *files, const struct volume *v,
		       fuse_req_t req);

/* open_files_close_all - whoever uses them; nobody asks any more */
void open_files_close_all(struct open_files *files);

#endif
