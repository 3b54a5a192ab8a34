/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MBDB_WINDOW_H
#define MBDB_WINDOW_H

#include "mb/err.h"
#include "mbdb.h"
#include "payload.h"

/* A piece of Manifest.mbdb in memory, moved along by the reads. */
struct window {
	struct payload *payload;
	struct buf buf; /* released by the caller */
	int64_t begin;
};

#define WINDOW_LEN (256u << 10)

/*
 * Real ones have some 200 bytes a file. A hole in a sparse file reads as
 * records of 50 zeros each, so the length has to have a limit.
 */
#define MBDB_LEN_MAX (INT64_C(1) << 30)

/* window_fill - the @len bytes from @off on, or what there is of them */
int window_fill(struct window *w, int64_t off, size_t len);

/*
 * window_head - the head of the record at @off
 * @len: of the window, if it has to be filled anew
 *
 * What the head borrows is lent until the next call.
 *
 * Returns 0; -EBADMSG; -ENOMEM; errors of the system.
 */
int window_head(struct window *w, int64_t off, size_t len,
		struct mbdb_head *head);

/* window_at - the bytes from @off on; only where window_head just was */
const uint8_t *window_at(const struct window *w, int64_t off);

/*
 * mbdb_check_front - magic, version and a length that can be
 *
 * Returns 0; -EBADMSG; -ENOTSUP; errors of the system.
 */
int mbdb_check_front(struct payload *p, struct mb_err *err);

#endif
