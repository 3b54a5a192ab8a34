/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPEN_AHEAD_H
#define OPEN_AHEAD_H

#include "mb/tree.h"
#include "volume.h"

/*
 * Opening ahead: where files of a folder are opened one after the other, as by
 * who copies or searches it, a thread opens those that come next, and reads
 * those of one message. If there is time left it gives them to the kernel, as
 * far as that knows them yet. A few at a time; memory is bounded.
 */
struct open_ahead;

#define OPEN_AHEAD_CONTENT (128 << 10)

/*
 * open_ahead_new - NULL without memory or a thread
 * @v: with its number and tree; need not stay
 * @contents: what is small is read too
 */
struct open_ahead *open_ahead_new(struct mount *m, const struct volume *v,
				  bool contents);
void open_ahead_free(struct open_ahead *oa);

/* What has been opened; the reader is the taker's. */
struct opened {
	struct mb_reader *reader;
	const char *content; /* NULL: not read */
	size_t len;
};

/*
 * open_ahead_take - a file is being opened: has it been already?
 *
 * Waits if it is being opened just now. Returns false if it was not, or could
 * not be; else the content stays until open_ahead_done.
 */
bool open_ahead_take(struct open_ahead *oa, uint32_t node, struct opened *out);
void open_ahead_done(struct open_ahead *oa, uint32_t node);

/* open_ahead_stat - of a file that has been opened, and is not taken yet */
bool open_ahead_stat(struct open_ahead *oa, uint32_t node, struct mb_stat *st);

#endif
