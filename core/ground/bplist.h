/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BPLIST_H
#define BPLIST_H

#include "bytes.h"

/* Dates of property lists count from 2001-01-01 00:00 UTC; in Unix seconds. */
#define PLIST_EPOCH 978307200

/*
 * A bounded reader of binary property lists that allocates nothing: objects
 * are decoded where they lie, when they are asked for. A backup has one small
 * property list for each of up to millions of files, and comes from strangers:
 * this reader is quick for the first and, since it never expands the graph of
 * references, indifferent to cycles and to references that multiply.
 *
 * Layout: "bplist00", objects, table of offsets, 32-byte trailer (Apple's
 * CFBinaryPList.c; iphone-backup(5), FILE RECORD).
 */
struct bplist {
	struct view data;
	const uint8_t *table; /* of object offsets */
	uint64_t count;	      /* of objects */
	uint64_t root;
	uint8_t offset_size; /* 1 to 8 bytes */
	uint8_t ref_size;
};

enum bplist_type {
	BPLIST_NULL,
	BPLIST_BOOL,
	BPLIST_INT,
	BPLIST_REAL,
	BPLIST_DATE, /* seconds since 2001-01-01 00:00 UTC, as a real */
	BPLIST_DATA,
	BPLIST_ASCII,
	BPLIST_UTF16, /* big endian */
	BPLIST_UID,
	BPLIST_ARRAY, /* and sets */
	BPLIST_DICT,
};

struct bplist_obj {
	enum bplist_type type;
	int64_t integer;  /* BOOL, INT (saturated), UID */
	double real;	  /* REAL, DATE */
	struct view data; /* DATA, ASCII, UTF16: the bytes; containers: refs */
	uint64_t count;	  /* items of a container; pairs of a dict */
};

/* bplist_open - take a look at @data, which must outlive @bp; 0 or -EBADMSG */
int bplist_open(struct bplist *bp, struct view data);

/* Each returns 0, or -EBADMSG where the list is malformed. */
int bplist_get(const struct bplist *bp, uint64_t ref, struct bplist_obj *out);
int bplist_item(const struct bplist *bp, const struct bplist_obj *container,
		uint64_t at, struct bplist_obj *out);
int bplist_pair(const struct bplist *bp, const struct bplist_obj *dict,
		uint64_t at, struct bplist_obj *key, struct bplist_obj *value);

/* bplist_lookup - the value of an ASCII @key; -ENOENT if there is none */
int bplist_lookup(const struct bplist *bp, const struct bplist_obj *dict,
		  const char *key, struct bplist_obj *value);

/*
 * bplist_check - may a reader that expands every reference have this list?
 * @max_depth: deepest nesting accepted
 * @max_nodes: most nodes accepted after expansion
 *
 * Returns 0; -EBADMSG if malformed, cyclic, too deep or too large.
 */
int bplist_check(const struct bplist *bp, unsigned max_depth,
		 uint64_t max_nodes);

/* bplist_text - append a string object as UTF-8; -EBADMSG, -ENOMEM */
int bplist_text(const struct bplist_obj *string, struct buf *out);

#endif
