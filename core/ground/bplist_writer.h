/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BPLIST_WRITER_H
#define BPLIST_WRITER_H

#include "bytes.h"

/*
 * A binary property list, put together object by object: the counterpart of
 * bplist.h, and as quick, since a backup holds one for each of its files.
 *
 * Each bplist_put_* returns the number of a new object, by which containers
 * refer to it, also ahead. There is no error to look at in between: when memory
 * runs out, bplist_finish says so.
 */
struct bplist_writer {
	struct buf objects; /* markers and values, without references */
	struct buf refs;    /* of all containers, in their order */
	struct buf items;   /* where the parts of each object are */
	bool failed;
};

void bplist_writer_release(struct bplist_writer *w);
MB_DEFINE_AUTO_VALUE(struct bplist_writer, bplist_writer_release)

/* The number that the next object gets. */
uint32_t bplist_next(const struct bplist_writer *w);

uint32_t bplist_put_int(struct bplist_writer *w, int64_t value);
uint32_t bplist_put_data(struct bplist_writer *w, const void *ptr, size_t len);
uint32_t bplist_put_uid(struct bplist_writer *w, uint64_t value);
/* UTF-8; each byte that is no part of it becomes U+FFFD */
uint32_t bplist_put_text(struct bplist_writer *w, const char *text, size_t len);
/* an object as it stands in another list; no container */
uint32_t bplist_put_raw(struct bplist_writer *w, struct view object);

enum bplist_kind {
	BPLIST_KIND_ARRAY = 0xa0,
	BPLIST_KIND_SET = 0xc0,
	BPLIST_KIND_DICT = 0xd0,
};

/*
 * bplist_begin - a container; as many bplist_add_ref must follow at once
 * @count: items, or pairs of a dictionary, whose keys come first, then the
 *	values
 */
uint32_t bplist_begin(struct bplist_writer *w, enum bplist_kind kind,
		      size_t count);
void bplist_add_ref(struct bplist_writer *w, uint32_t number);

/*
 * bplist_finish - the list
 * @root: number of its outermost object
 * @out: gets it appended; unchanged on failure
 *
 * Returns 0 or -ENOMEM.
 */
int bplist_finish(struct bplist_writer *w, uint32_t root, struct buf *out);

#endif
