/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXTRACT_TARGET_H
#define EXTRACT_TARGET_H

#include <stdatomic.h>

#include "extract.h"
#include "extract_dest.h"
#include "extract_walk.h"
#include "share.h"

/*
 * A file or link that is being made in its folder. Nothing that exists is ever
 * written into, since others may share it by hard links: it is left alone, or
 * replaced as a whole.
 */
struct extract_target {
	struct extract *x;
	struct extract_dest *dest;
	struct extract_folder *folder;
	uint32_t node;
	const char *name; /* in the folder; borrowed from the tree */
	int fd;		  /* of a file; -1 */
	unsigned aside;	  /* not 0: its name in the work folder, for now */
	struct timespec mtime;
	int final_mode; /* to be set in the end; -1: it is so already */

	/* of a file's content */
	struct mb_reader *reader;
	int64_t size;
	atomic_int_fast64_t good; /* what of it is known to be readable */
	int64_t next;		  /* private to extract_files.c */
	unsigned pieces;
	int rc;
	struct extract_target *others;
};

/* What a thread has for itself. */
struct extract_hand {
	struct extract *x;
	struct extract_dest *dest;
	struct mb_record rec;
	unsigned char *buf;
	struct sharing sharing;
};

/* As large as keeps what has just been decrypted in a core's own cache. */
#define EXTRACT_BUF ((size_t)256 << 10)

/*
 * extract_target_file - make a file for a record and its reader
 * @t: filled; the caller closes it by extract_target_end
 *
 * Returns 0; 1 if it is there, whole, from a run before; -EEXIST if something
 * else is; errors of the system.
 */
int extract_target_file(struct extract_hand *h, struct extract_target *t);

/*
 * extract_target_fill - write a part of the content
 *
 * What cannot be read is noted in @t->good. Returns 0; -ECANCELED; errors of
 * the system in writing.
 */
int extract_target_fill(struct extract_hand *h, struct extract_target *t,
			int64_t off, int64_t len);

/*
 * extract_target_end - the file is complete, as far as it can be
 * @rc: or it is not: an error after which nothing of it is to stay
 *
 * Returns @rc, or an error of the system.
 */
int extract_target_end(struct extract_target *t, int rc);

/* extract_target_link - a symbolic link; as extract_target_file */
int extract_target_link(struct extract_hand *h, struct extract_target *t,
			const char *text);

/* extract_attributes - the file's own, as far as @fd can have them */
void extract_attributes(struct extract *x, const struct mb_record *rec, int fd,
			uint32_t node);

#endif
