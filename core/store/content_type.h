/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CONTENT_TYPE_H
#define CONTENT_TYPE_H

#include "bytes.h"

/* What a file holds, by its first bytes: libmagic says it. */
struct content_type;

/* Bytes from the front that are enough to look at. */
#define CONTENT_FRONT_LEN 4096

#define CONTENT_TYPE_MAX 64
#define CONTENT_EXT_MAX 16

struct content_kind {
	char type[CONTENT_TYPE_MAX]; /* MIME, "-" for "/": a file name */
	char ext[CONTENT_EXT_MAX];   /* without a dot; "" if there is none */
};

/*
 * content_type_open - one for each thread
 *
 * Without its database, of which it needs one, all that is no kind of ours is
 * "application-octet-stream".
 *
 * Returns 0 or -ENOMEM.
 */
int content_type_open(struct content_type **out);
void content_type_free(struct content_type *ct);
MB_DEFINE_AUTO(struct content_type, content_type_free)

/* content_type_get - what bytes from the front of a file are; "" if unknown */
void content_type_get(struct content_type *ct, struct view front,
		      struct content_kind *kind);

#endif
