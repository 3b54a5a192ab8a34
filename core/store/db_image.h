/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DB_IMAGE_H
#define DB_IMAGE_H

#include "db_page.h"
#include "payload.h"

/*
 * A damaged database as pages of a payload: read one by one through
 * payload_pread, so that of an encrypted one no plaintext is ever on disk.
 */
struct db_image {
	struct payload *payload; /* borrowed */
	uint32_t page_len, usable;
	uint32_t count;	   /* of pages that are there */
	uint32_t recorded; /* of pages, by the header; 0: unknown */
	uint8_t *free;	   /* a bit for each page that is on the free list */
};

/*
 * db_image_open - find out the length of the pages, and which are free
 *
 * Where the header does not tell, the length is the one that most pages agree
 * with. Holes of a large sparse file count as its end.
 *
 * Returns 0; -ENOMEM; errors of the system.
 */
int db_image_open(struct db_image *image, struct payload *p);
void db_image_release(struct db_image *image);

/* Pages are numbered from 1. */
bool db_image_is_free(const struct db_image *image, uint32_t page);

/* Bits, one for each page and for 0; NULL without memory. */
uint8_t *db_image_bits(const struct db_image *image);

static inline bool bit_of(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static inline void set_bit(uint8_t *bits, uint32_t i)
{
	bits[i / 8] |= (uint8_t)(1u << i % 8);
}

/* Pages in memory, moved along by the reads. {.want = ...} is an empty one. */
struct db_window {
	struct buf buf;
	uint32_t first, count; /* pages */
	uint32_t want;	       /* bytes to read at once */
};

/*
 * db_image_page - the usable bytes of a page; valid until the next call
 *
 * Returns 0; -ENOMEM; errors of the system. A page that the disk does not
 * deliver is an empty one.
 */
int db_image_page(const struct db_image *image, struct db_window *w,
		  uint32_t page, struct view *out);

static inline void db_window_release(struct db_window *w)
{
	buf_release(&w->buf);
}
MB_DEFINE_AUTO_VALUE(struct db_window, db_window_release)

/*
 * db_image_record - bytes of a row's record, through its overflow pages
 * @row: of the page @page
 * @len: as many as are wanted from the front
 * @out: gets them; fewer where the chain is broken
 * @budget: of overflow pages, counted down; NULL: no limit but the length
 *
 * Returns 0; -ENOMEM; errors of the system.
 */
int db_image_record(const struct db_image *image, const struct db_row *row,
		    struct view page, uint64_t len, struct buf *out,
		    int64_t *budget);

#endif
