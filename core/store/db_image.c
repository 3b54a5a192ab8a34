/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "db_image.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC "SQLite format 3" /* with its NUL */
#define SAMPLE_PAGES 256

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static bool is_page_len(uint32_t len)
{
	return len >= DB_PAGE_LEN_MIN && len <= DB_PAGE_LEN_MAX &&
	       !(len & (len - 1));
}

static void set_page_len(struct db_image *im, uint32_t len, uint32_t reserved)
{
	int64_t count = payload_solid_len(im->payload) / len;

	im->page_len = len;
	im->usable = len - reserved;
	im->count = count < UINT32_MAX - 1 ? (uint32_t)count : UINT32_MAX - 1;
}

/* How many of some pages are leaves of tables, filled to their end? */
static int count_leaves(const struct db_image *im, uint32_t *leaves)
{
	mb_auto(db_window_release) struct db_window w = { 0 };
	uint32_t step = im->count / SAMPLE_PAGES + 1;
	int rc = 0;

	*leaves = 0;
	for (uint32_t page = 1; page <= im->count && rc == 0; page += step) {
		struct db_page p;
		struct view v;

		rc = db_image_page(im, &w, page, &v);
		if (rc < 0)
			break;
		db_page_look(&p, v, page == 1);
		*leaves += p.kind == DB_PAGE_LEAF && p.count && p.to_the_brim;
	}
	return rc;
}

/*
 * Devices have pages of 4096 bytes. Of a length that is too small or too large
 * no page is filled exactly to its end, but by chance.
 */
static int guess_page_len(struct db_image *im)
{
	static const uint32_t lens[] = { 4096,	1024,  2048,  8192,
					 16384, 32768, 65536, 512 };
	uint32_t best = lens[0], best_leaves = 0, leaves;

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		int rc;

		set_page_len(im, lens[i], 0);
		rc = count_leaves(im, &leaves);
		if (rc < 0)
			return rc;
		if (leaves <= best_leaves)
			continue;
		best = lens[i];
		best_leaves = leaves;
	}
	set_page_len(im, best, 0);
	return 0;
}

uint8_t *db_image_bits(const struct db_image *im)
{
	return calloc((size_t)im->count / 8 + 1, 1);
}

/*
 * Trunks in a chain, each with the numbers of free pages: fileformat2, 1.5. A
 * page that is free twice ends it.
 */
static int read_free_list(struct db_image *im, uint32_t trunk)
{
	mb_auto(db_window_release) struct db_window w = { 0 };

	im->free = db_image_bits(im);
	if (!im->free)
		return -ENOMEM;
	while (trunk && trunk <= im->count && !bit_of(im->free, trunk)) {
		struct view v;
		uint32_t count;
		int rc = db_image_page(im, &w, trunk, &v);

		if (rc < 0)
			return rc;
		set_bit(im->free, trunk);
		trunk = be32_at(v.ptr);
		count = be32_at(v.ptr + 4);
		if (count > v.len / 4 - 2)
			break;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t page = be32_at(v.ptr + 8 + 4 * i);

			if (page && page <= im->count)
				set_bit(im->free, page);
		}
	}
	return 0;
}

int db_image_open(struct db_image *im, struct payload *p)
{
	uint8_t h[DB_HEADER_LEN];
	uint32_t len;
	ssize_t n = payload_pread(p, h, sizeof(h), 0);

	*im = (struct db_image){ .payload = p };
	if (n < 0 && n != -EIO)
		return (int)n;
	if (n < (ssize_t)sizeof(h) || memcmp(h, MAGIC, sizeof(MAGIC)))
		return guess_page_len(im);
	len = (uint32_t)h[16] << 8 | h[17];
	if (len == 1)
		len = DB_PAGE_LEN_MAX;
	if (!is_page_len(len) || h[20] > 32)
		return guess_page_len(im);
	im->recorded = be32_at(h + 28);
	set_page_len(im, len, h[20]);
	return read_free_list(im, be32_at(h + 32));
}

void db_image_release(struct db_image *im)
{
	free(im->free);
	im->free = NULL;
}

bool db_image_is_free(const struct db_image *im, uint32_t page)
{
	return im->free && page <= im->count && bit_of(im->free, page);
}

/* Page by page, so that of a failing disk the others can be had. */
static int fill_slowly(const struct db_image *im, struct db_window *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		uint8_t *to = w->buf.ptr + (size_t)i * im->page_len;
		ssize_t n = payload_pread(im->payload, to, im->page_len,
					  (int64_t)(w->first + i - 1) *
						  im->page_len);

		if (n == -ENOMEM)
			return -ENOMEM;
		if (n < 0)
			n = 0;
		memset(to + n, 0, im->page_len - (size_t)n);
	}
	return 0;
}

static int window_fill(const struct db_image *im, struct db_window *w,
		       uint32_t page)
{
	uint32_t count = w->want / im->page_len;
	size_t len;
	ssize_t n;

	if (!count)
		count = 1;
	if (count > im->count - page + 1)
		count = im->count - page + 1;
	len = (size_t)count * im->page_len;
	w->buf.len = 0;
	w->count = 0;
	if (buf_reserve(&w->buf, len) < 0)
		return -ENOMEM;
	w->first = page;
	w->count = count;
	n = payload_pread(im->payload, w->buf.ptr, len,
			  (int64_t)(page - 1) * im->page_len);
	return n == (ssize_t)len ? 0 : fill_slowly(im, w);
}

int db_image_page(const struct db_image *im, struct db_window *w, uint32_t page,
		  struct view *out)
{
	int rc = 0;

	if (!page || page > im->count)
		return -EINVAL;
	if (page < w->first || page - w->first >= w->count)
		rc = window_fill(im, w, page);
	if (rc == 0)
		*out = view_of(w->buf.ptr +
				       (size_t)(page - w->first) * im->page_len,
			       im->usable);
	return rc;
}

int db_image_record(const struct db_image *im, const struct db_row *row,
		    struct view page, uint64_t len, struct buf *out,
		    int64_t *budget)
{
	mb_auto(db_window_release) struct db_window w = { 0 };
	size_t piece = row->local;
	uint32_t next = row->overflow;
	struct view v;
	int rc;

	if (len > row->len)
		len = row->len;
	out->len = 0;
	if (buf_reserve(out, (size_t)len) < 0)
		return -ENOMEM;
	if (piece > len)
		piece = (size_t)len;
	rc = buf_add(out, page.ptr + row->at, piece);
	/* every page brings something, so a circle comes to an end too */
	while (rc == 0 && out->len < len) {
		if (!next || next > im->count || (budget && --*budget < 0))
			break;
		rc = db_image_page(im, &w, next, &v);
		if (rc < 0)
			break;
		piece = v.len - 4;
		if (piece > len - out->len)
			piece = (size_t)len - out->len;
		rc = buf_add(out, v.ptr + 4, piece);
		next = be32_at(v.ptr);
	}
	return rc;
}
