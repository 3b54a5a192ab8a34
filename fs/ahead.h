/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AHEAD_H
#define AHEAD_H

#include "open_files.h"

struct mount;

/*
 * Reading ahead: where somebody reads a large file from front to back, a thread
 * reads (and decrypts) what comes next while the last answer is on its way.
 * Memory is bounded, however many read.
 */
struct ahead;

/* ahead_new - NULL without memory; the thread starts when first needed */
struct ahead *ahead_new(struct mount *m);

/*
 * ahead_answers - answer a request to read, if this knows better than to read
 * just that; false: nothing has been done about it
 */
bool ahead_answers(struct ahead *a, fuse_req_t req, struct open_file *f,
		   size_t len, int64_t off);

/* ahead_leave - nobody reads the file any more */
void ahead_leave(struct ahead *a, struct open_file *f);

void ahead_free(struct ahead *a);

#endif
