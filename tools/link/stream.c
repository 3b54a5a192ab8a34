/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream.h"

#include <errno.h>
#include <string.h>

#include "plistx.h"

/* Large reads where the link can make them, small enough for the cache. */
#define USUAL_CAP (256u << 10)
#define LARGEST_CAP (STREAM_MESSAGE_MAX + 4 + LINK_RECV_MIN)

int stream_init(struct stream *s, struct link *link)
{
	*s = (struct stream){ .link = link, .cap = USUAL_CAP };
	s->buf = malloc(s->cap);
	return s->buf ? 0 : -ENOMEM;
}

void stream_release(struct stream *s)
{
	free(s->buf);
	*s = (struct stream){ 0 };
}

int stream_error(int rc, struct mb_err *err)
{
	switch (rc) {
	case 0:
	case -EPIPE:
		return mb_err_set(
			err, -ENODEV,
			"the device has ended the connection: was it unplugged?");
	case -EIO:
		return mb_err_set(err, -ENODEV,
				  "the connection to the device broke");
	case -ECANCELED:
		return mb_err_set(err, rc, "cancelled");
	case -ETIMEDOUT:
		return mb_err_set(err, rc,
				  "the device has been silent for too long");
	default:
		return mb_err_set(err, rc, "connection to the device: %s",
				  strerror(-rc));
	}
}

static int resize(struct stream *s, size_t cap)
{
	uint8_t *buf = realloc(s->buf, cap);

	if (!buf)
		return -ENOMEM;
	s->buf = buf;
	s->cap = cap;
	return 0;
}

static void move_to_front(struct stream *s)
{
	if (!s->start)
		return;
	memmove(s->buf, s->buf + s->start, s->end - s->start);
	s->end -= s->start;
	s->start = 0;
}

/*
 * Room for a read behind what is unread. That is moved to the front only when
 * the end is reached; most often it is nothing or little then.
 */
static int make_room(struct stream *s)
{
	size_t unread = s->end - s->start;

	if (!unread)
		s->start = s->end = 0;
	if (s->cap > USUAL_CAP && unread + LINK_RECV_MIN <= USUAL_CAP) {
		/* a long message is over */
		move_to_front(s);
		return resize(s, USUAL_CAP);
	}
	if (s->cap - s->end >= LINK_RECV_MIN)
		return 0;
	move_to_front(s);
	if (s->cap - s->end >= LINK_RECV_MIN)
		return 0;
	if (s->cap >= LARGEST_CAP)
		return -EPROTO;
	return resize(s, s->cap < LARGEST_CAP / 2 ? s->cap * 2 : LARGEST_CAP);
}

int stream_fill(struct stream *s, struct mb_err *err)
{
	int rc = make_room(s);
	ssize_t n;

	if (rc == -EPROTO)
		return mb_err_set(err, rc, "the device sends more than fits");
	if (rc < 0)
		return mb_err_set(err, rc, "out of memory");
	n = s->link->recv(s->link, s->buf + s->end, s->cap - s->end);
	if (n <= 0)
		return stream_error((int)n, err);
	s->end += (size_t)n;
	return 0;
}

/* Until @len bytes are unread. */
static int fill_to(struct stream *s, size_t len, struct mb_err *err)
{
	while (s->end - s->start < len) {
		int rc = stream_fill(s, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int stream_recv(struct stream *s, plist_t *out, struct mb_err *err)
{
	struct cursor c;
	uint32_t len;
	int rc;

	*out = NULL;
	rc = fill_to(s, 4, err);
	if (rc < 0)
		return rc;
	c = cursor_over(stream_unread(s));
	cursor_be32(&c, &len);
	if (len > STREAM_MESSAGE_MAX)
		return mb_err_set(err, -EPROTO,
				  "a message of %u bytes is too long", len);
	rc = fill_to(s, 4 + (size_t)len, err);
	if (rc < 0)
		return rc;
	stream_skip(s, 4);
	rc = plistx_parse(out, view_of(s->buf + s->start, len),
			  "message from the device", err);
	stream_skip(s, len);
	if (rc == -EBADMSG) {
		rc = -EPROTO;
		if (err)
			err->code = rc;
	}
	return rc;
}

/* The message as bytes, with its length in front. */
static int frame(struct buf *out, plist_t message, enum stream_form form)
{
	mb_auto(free) char *text = NULL;
	uint32_t len = 0;
	uint8_t head[4];
	int rc;

	if (form == STREAM_XML)
		plist_to_xml(message, &text, &len);
	else
		plist_to_bin(message, &text, &len);
	if (!text)
		return -ENOMEM;
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(len >> (24 - 8 * i));
	rc = buf_reserve(out, sizeof(head) + len);
	if (rc == 0)
		rc = buf_add(out, head, sizeof(head));
	if (rc == 0)
		rc = buf_add(out, text, len);
	/* a password may be in it */
	explicit_bzero(text, len);
	return rc;
}

int stream_send(struct stream *s, plist_t message, enum stream_form form,
		struct mb_err *err)
{
	mb_auto(buf_release) struct buf bytes = { 0 };
	int rc = frame(&bytes, message, form);

	if (rc < 0)
		return mb_err_set(err, rc, "out of memory");
	rc = s->link->send(s->link, bytes.ptr, bytes.len);
	explicit_bzero(bytes.ptr, bytes.len);
	return rc < 0 ? stream_error(rc, err) : 0;
}
