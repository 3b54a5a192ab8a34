/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WAL_H
#define WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

/*
 * The write-ahead log beside an SQLite database: pages that are newer than the
 * database's own (https://www.sqlite.org/fileformat2.html, "WAL Format"). What
 * counts is what SQLite would take over: whole transactions, from the front,
 * as long as salts and sums are right.
 */
struct wal {
	uint32_t page_len;
	uint32_t page_count; /* of the database, after the last transaction */
	/* page << 32 | frame, sorted */
	uint64_t *frames;
	size_t frame_count;
};

struct wal_source {
	/* as mb_reader_pread */
	ssize_t (*read)(void *arg, void *out, size_t len, int64_t off);
	void *arg;
	int64_t len;
	/* asked now and then; may be NULL */
	bool (*cancelled)(void);
};

/* Frames that are noted at most: 32 MiB. */
#define WAL_FRAMES_MAX (UINT32_C(1) << 22)

/*
 * wal_open - which pages it has
 * @wal: released by wal_release, whatever it returns
 *
 * Returns 0; -ENOENT if there is no whole transaction in it, so that it counts
 * as empty; -EFBIG; -ECANCELED; -ENOMEM; what @source's read returned.
 */
int wal_open(struct wal *wal, const struct wal_source *source);
void wal_release(struct wal *wal);

/* wal_find - where the content of a page (the first is 1) begins; -1 */
int64_t wal_find(const struct wal *wal, uint32_t page);

#endif
