/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STREAM_H
#define STREAM_H

#include <plist/plist.h>
#include <stdint.h>

#include "bytes.h"
#include "link.h"
#include "mb/err.h"

/*
 * Reads from a link through a buffer, and the messages that most services of
 * a device speak: u32 big-endian length, then a property list.
 */
struct stream {
	struct link *link; /* borrowed */
	uint8_t *buf;
	size_t start, end; /* what is unread */
	size_t cap;
};

/* Longest message that is taken; the longest real ones are a few MB. */
#define STREAM_MESSAGE_MAX (16u << 20)

int stream_init(struct stream *s, struct link *link);
void stream_release(struct stream *s);
MB_DEFINE_AUTO_VALUE(struct stream, stream_release)

/*
 * stream_fill - wait for more bytes behind those that are unread
 *
 * Returns 0; -ENODEV if the device has gone; -ECANCELED; -ETIMEDOUT; -EPROTO
 * if more is unread than the longest message; -ENOMEM.
 */
int stream_fill(struct stream *s, struct mb_err *err);

/* What is unread, borrowed until the next fill; stream_skip takes of it. */
static inline struct view stream_unread(const struct stream *s)
{
	return view_of(s->buf + s->start, s->end - s->start);
}

static inline void stream_skip(struct stream *s, size_t len)
{
	s->start += len;
}

/*
 * stream_recv - the next message
 * @out: the caller frees it
 *
 * After a failure of the link nothing is lost: the next call goes on with
 * what has come.
 *
 * Returns 0; -EPROTO if it is too long or no property list; as stream_fill.
 */
int stream_recv(struct stream *s, plist_t *out, struct mb_err *err);

enum stream_form { STREAM_BINARY, STREAM_XML };

/*
 * stream_send - a message, in one send of the link
 *
 * Returns 0; -ENODEV; -ECANCELED; -ETIMEDOUT; -ENOMEM.
 */
int stream_send(struct stream *s, plist_t message, enum stream_form form,
		struct mb_err *err);

/*
 * stream_error - the line for what a link returned, 0 being its end
 *
 * Returns the error that it is for a caller: -ENODEV; -ECANCELED; -ETIMEDOUT.
 */
int stream_error(int rc, struct mb_err *err);

#endif
