/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wal.h"

#include <errno.h>
#include <stdlib.h>

#define HEADER_LEN 32
#define FRAME_LEN 24		   /* before the page */
#define MAGIC UINT32_C(0x377f0682) /* its last bit: sums of big-endian words */
#define VERSION UINT32_C(3007000)
#define PAGE_LEN_MAX 65536

struct reading {
	const struct wal_source *source;
	bool big_endian;
	uint8_t salts[8];
	uint32_t sums[2];
	size_t cap;
};

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static void add_sum(struct reading *r, const uint8_t *p, size_t len)
{
	uint32_t a = r->sums[0], b = r->sums[1];

	for (; len >= 8; len -= 8, p += 8) {
		a += (r->big_endian ? be32_at(p) : le32_at(p)) + b;
		b += (r->big_endian ? be32_at(p + 4) : le32_at(p + 4)) + a;
	}
	r->sums[0] = a;
	r->sums[1] = b;
}

static bool sums_are(const struct reading *r, const uint8_t *p)
{
	return r->sums[0] == be32_at(p) && r->sums[1] == be32_at(p + 4);
}

/* 1: all of it is there; 0: it ends before */
static int read_all(const struct reading *r, void *out, size_t len, int64_t off)
{
	ssize_t n;

	if (off > r->source->len - (int64_t)len)
		return 0;
	n = r->source->read(r->source->arg, out, len, off);
	return n < 0 ? (int)n : n == (ssize_t)len;
}

static int read_header(struct wal *wal, struct reading *r)
{
	uint8_t header[HEADER_LEN];
	int rc = read_all(r, header, sizeof(header), 0);
	uint32_t magic = be32_at(header), len = be32_at(header + 8);

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	if ((magic & ~1u) != MAGIC || be32_at(header + 4) != VERSION ||
	    len < 512 || len > PAGE_LEN_MAX || (len & (len - 1)))
		return -ENOENT;
	r->big_endian = magic & 1;
	add_sum(r, header, HEADER_LEN - 8);
	if (!sums_are(r, header + HEADER_LEN - 8))
		return -ENOENT;
	memcpy(r->salts, header + 16, sizeof(r->salts));
	wal->page_len = len;
	return 0;
}

static int add_frame(struct wal *wal, struct reading *r, uint32_t page,
		     size_t frame)
{
	if (frame == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 256;
		void *frames =
			reallocarray(wal->frames, cap, sizeof(*wal->frames));

		if (!frames)
			return -ENOMEM;
		wal->frames = frames;
		r->cap = cap;
	}
	wal->frames[frame] = (uint64_t)page << 32 | frame;
	return 0;
}

static int64_t frame_off(const struct wal *wal, size_t frame)
{
	return HEADER_LEN +
	       (int64_t)frame * (int64_t)(FRAME_LEN + wal->page_len);
}

/* 1: the next one is good; 0: it is not, or there is none */
static int read_frame(struct wal *wal, struct reading *r, uint8_t *buf,
		      size_t frame)
{
	uint32_t page, commit;
	int rc;

	if (r->source->cancelled && frame % 256 == 0 && r->source->cancelled())
		return -ECANCELED;
	rc = read_all(r, buf, FRAME_LEN + wal->page_len, frame_off(wal, frame));
	if (rc <= 0)
		return rc;
	page = be32_at(buf);
	commit = be32_at(buf + 4);
	if (!page || memcmp(buf + 8, r->salts, sizeof(r->salts)) != 0)
		return 0;
	add_sum(r, buf, 8);
	add_sum(r, buf + FRAME_LEN, wal->page_len);
	if (!sums_are(r, buf + 16))
		return 0;
	if (frame >= WAL_FRAMES_MAX)
		return -EFBIG;
	rc = add_frame(wal, r, page, frame);
	if (rc < 0)
		return rc;
	if (commit) {
		wal->page_count = commit;
		wal->frame_count = frame + 1;
	}
	return 1;
}

static int compare_frames(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

int wal_open(struct wal *wal, const struct wal_source *source)
{
	struct reading r = { .source = source };
	uint8_t *buf;
	int rc;

	*wal = (struct wal){ 0 };
	rc = read_header(wal, &r);
	if (rc < 0)
		return rc;
	buf = malloc(FRAME_LEN + wal->page_len);
	if (!buf)
		return -ENOMEM;
	for (size_t frame = 0; (rc = read_frame(wal, &r, buf, frame)) == 1;)
		frame++;
	free(buf);
	if (rc < 0)
		return rc;
	if (!wal->frame_count)
		return -ENOENT;
	qsort(wal->frames, wal->frame_count, sizeof(*wal->frames),
	      compare_frames);
	return 0;
}

void wal_release(struct wal *wal)
{
	free(wal->frames);
	*wal = (struct wal){ 0 };
}

int64_t wal_find(const struct wal *wal, uint32_t page)
{
	uint64_t below = ((uint64_t)page + 1) << 32;
	size_t low = 0, high = wal->frame_count;

	/* behind the last frame of the page, which is the newest */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (wal->frames[middle] < below)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || wal->frames[low - 1] >> 32 != page)
		return -1;
	return frame_off(wal, (size_t)(wal->frames[low - 1] & UINT32_MAX)) +
	       FRAME_LEN;
}
