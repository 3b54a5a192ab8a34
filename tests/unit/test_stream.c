/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream.h"

#include <errno.h>

#include "plistx.h"
#include "tap.h"

/* A link that plays back what was put into it, and keeps what is sent. */
struct tape {
	struct link link;
	struct buf in;
	size_t at;
	size_t step;   /* bytes a read, 0: as many as fit */
	ssize_t after; /* what a read at the end of the tape returns */
	struct buf out;
	int sends;
	int send_rc;
	bool too_small; /* a read had less room than a TLS record needs */
};

static ssize_t tape_recv(struct link *link, void *out, size_t len)
{
	struct tape *t = (struct tape *)link;
	size_t n = t->in.len - t->at;

	t->too_small |= len < LINK_RECV_MIN;
	if (!n)
		return t->after;
	if (n > len)
		n = len;
	if (t->step && n > t->step)
		n = t->step;
	memcpy(out, t->in.ptr + t->at, n);
	t->at += n;
	return (ssize_t)n;
}

static int tape_send(struct link *link, const void *ptr, size_t len)
{
	struct tape *t = (struct tape *)link;

	t->sends++;
	if (t->send_rc < 0)
		return t->send_rc;
	return buf_add(&t->out, ptr, len);
}

static struct tape *tape_new(struct stream *s)
{
	struct tape *t = calloc(1, sizeof(*t));

	t->link = (struct link){ .recv = tape_recv, .send = tape_send };
	CHECK_INT(stream_init(s, &t->link), 0);
	return t;
}

static void tape_free(struct tape *t, struct stream *s)
{
	CHECK(!t->too_small);
	stream_release(s);
	buf_release(&t->in);
	buf_release(&t->out);
	free(t);
}

static void put_be32(struct buf *b, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_u8(b, (uint8_t)(value >> shift));
}

/* ["text"], as a message */
static void put_message(struct buf *b, const char *text, bool xml)
{
	mb_auto(plistx_free) plist_t array = plist_new_array();
	char *bytes = NULL;
	uint32_t len = 0;

	plist_array_append_item(array, plist_new_string(text));
	if (xml)
		plist_to_xml(array, &bytes, &len);
	else
		plist_to_bin(array, &bytes, &len);
	put_be32(b, len);
	buf_add(b, bytes, len);
	free(bytes);
}

static void check_message(struct stream *s, const char *want)
{
	mb_auto(plistx_free) plist_t message = NULL;
	struct mb_err err = { 0 };
	plist_t item;

	if (!CHECK_INT(stream_recv(s, &message, &err), 0)) {
		CHECK_TEXT(err.text, "");
		return;
	}
	item = plist_array_get_item(message, 0);
	if (CHECK(item && plist_get_node_type(item) == PLIST_STRING))
		CHECK_TEXT(plist_get_string_ptr(item, NULL), want);
}

static int recv_error(struct stream *s, struct mb_err *err)
{
	plist_t message = NULL;
	int rc = stream_recv(s, &message, err);

	CHECK(!message);
	plist_free(message);
	return rc;
}

CASE(messages_arrive_however_they_are_cut)
{
	for (size_t step = 0; step < 9; step++) {
		struct stream s;
		struct tape *t = tape_new(&s);

		t->step = step;
		put_message(&t->in, "one", false);
		put_message(&t->in, "two", true);
		put_message(&t->in, "three", false);
		check_message(&s, "one");
		check_message(&s, "two");
		check_message(&s, "three");
		CHECK_INT(recv_error(&s, NULL), -ENODEV);
		tape_free(t, &s);
	}
}

CASE(long_messages_arrive_between_short_ones)
{
	static const size_t lens[] = { 200000,	(1u << 18) - 20, 1u << 18,
				       3000000, 15u << 20,	 10 };
	size_t n = sizeof(lens) / sizeof(*lens);
	char *text = malloc(16u << 20);
	struct stream s;
	struct tape *t = tape_new(&s);

	t->step = 16384; /* TLS records */
	for (size_t i = 0; i < n; i++) {
		memset(text, 'a' + (int)i, lens[i]);
		text[lens[i]] = '\0';
		put_message(&t->in, text, false);
		put_message(&t->in, "short", false);
	}
	for (size_t i = 0; i < n; i++) {
		memset(text, 'a' + (int)i, lens[i]);
		text[lens[i]] = '\0';
		check_message(&s, text);
		check_message(&s, "short");
	}
	CHECK_INT(recv_error(&s, NULL), -ENODEV);
	/* the memory of the longest is given back */
	CHECK(s.cap < 1u << 20);
	free(text);
	tape_free(t, &s);
}

CASE(a_message_that_is_too_long_is_refused_at_its_length)
{
	struct stream s;
	struct tape *t = tape_new(&s);

	put_be32(&t->in, STREAM_MESSAGE_MAX + 1);
	CHECK_INT(recv_error(&s, NULL), -EPROTO);
	tape_free(t, &s);
}

CASE(what_is_no_property_list_is_refused_and_the_next_message_read)
{
	struct mb_err err = { 0 };
	struct stream s;
	struct tape *t = tape_new(&s);

	put_be32(&t->in, 7);
	buf_add(&t->in, "garbage", 7);
	put_be32(&t->in, 0);
	put_message(&t->in, "next", false);
	CHECK_INT(recv_error(&s, &err), -EPROTO);
	CHECK_INT(err.code, -EPROTO);
	CHECK_INT(recv_error(&s, NULL), -EPROTO);
	check_message(&s, "next");
	tape_free(t, &s);
}

CASE(a_link_that_ends_is_a_device_that_has_gone)
{
	for (size_t cut = 0; cut < 20; cut++) {
		struct mb_err err = { 0 };
		struct stream s;
		struct tape *t = tape_new(&s);

		put_message(&t->in, "never complete", false);
		t->in.len = cut;
		CHECK_INT(recv_error(&s, &err), -ENODEV);
		CHECK_INT(err.code, -ENODEV);
		tape_free(t, &s);
	}
}

CASE(errors_of_a_link_keep_their_meaning)
{
	static const int errors[][2] = { { -ECANCELED, -ECANCELED },
					 { -ETIMEDOUT, -ETIMEDOUT },
					 { -EIO, -ENODEV },
					 { -EPIPE, -ENODEV },
					 { 0, -ENODEV } };

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		struct mb_err err = { 0 };
		struct stream s;
		struct tape *t = tape_new(&s);

		t->after = errors[i][0];
		CHECK_INT(recv_error(&s, &err), errors[i][1]);
		CHECK_INT(err.code, errors[i][1]);
		CHECK(*err.text);
		tape_free(t, &s);
	}
}

CASE(nothing_is_lost_when_a_link_pauses)
{
	struct buf whole = { 0 };

	put_message(&whole, "in two parts", false);
	for (size_t cut = 0; cut < whole.len; cut++) {
		struct stream s;
		struct tape *t = tape_new(&s);

		t->after = -EAGAIN;
		buf_add(&t->in, whole.ptr, cut);
		CHECK_INT(recv_error(&s, NULL), -EAGAIN);
		buf_add(&t->in, whole.ptr + cut, whole.len - cut);
		check_message(&s, "in two parts");
		tape_free(t, &s);
	}
	buf_release(&whole);
}

CASE(raw_bytes_can_be_taken_between_messages)
{
	struct stream s;
	struct tape *t = tape_new(&s);
	struct view v;

	put_message(&t->in, "before", false);
	buf_add(&t->in, "raw", 3);
	put_message(&t->in, "behind", false);
	check_message(&s, "before");
	v = stream_unread(&s);
	if (CHECK(v.len > 3))
		CHECK_BYTES(v.ptr, 3, "raw", 3);
	stream_skip(&s, 3);
	check_message(&s, "behind");
	CHECK_INT(stream_unread(&s).len, 0);
	tape_free(t, &s);
}

CASE(filling_without_end_is_refused)
{
	struct stream s;
	struct tape *t = tape_new(&s);
	int rc = 0;

	buf_reserve(&t->in, 40u << 20);
	memset(t->in.ptr, 0, 40u << 20);
	t->in.len = 40u << 20;
	while (rc == 0)
		rc = stream_fill(&s, NULL);
	CHECK_INT(rc, -EPROTO);
	CHECK(stream_unread(&s).len >= STREAM_MESSAGE_MAX + 4);
	tape_free(t, &s);
}

CASE(a_message_is_sent_whole_behind_its_length)
{
	for (int form = STREAM_BINARY; form <= STREAM_XML; form++) {
		mb_auto(plistx_free) plist_t array = plist_new_array();
		struct buf want = { 0 };
		struct stream s;
		struct tape *t = tape_new(&s);

		plist_array_append_item(array, plist_new_string("text"));
		put_message(&want, "text", form == STREAM_XML);
		CHECK_INT(stream_send(&s, array, (enum stream_form)form, NULL),
			  0);
		CHECK_INT(t->sends, 1);
		CHECK_BYTES(t->out.ptr, t->out.len, want.ptr, want.len);
		buf_release(&want);
		tape_free(t, &s);
	}
}

CASE(a_failed_send_is_told)
{
	mb_auto(plistx_free) plist_t array = plist_new_array();
	struct mb_err err = { 0 };
	struct stream s;
	struct tape *t = tape_new(&s);

	t->send_rc = -EPIPE;
	CHECK_INT(stream_send(&s, array, STREAM_BINARY, &err), -ENODEV);
	CHECK_INT(err.code, -ENODEV);
	t->send_rc = -ECANCELED;
	CHECK_INT(stream_send(&s, array, STREAM_BINARY, &err), -ECANCELED);
	tape_free(t, &s);
}

int main(void)
{
	RUN(messages_arrive_however_they_are_cut);
	RUN(long_messages_arrive_between_short_ones);
	RUN(a_message_that_is_too_long_is_refused_at_its_length);
	RUN(what_is_no_property_list_is_refused_and_the_next_message_read);
	RUN(a_link_that_ends_is_a_device_that_has_gone);
	RUN(errors_of_a_link_keep_their_meaning);
	RUN(nothing_is_lost_when_a_link_pauses);
	RUN(raw_bytes_can_be_taken_between_messages);
	RUN(filling_without_end_is_refused);
	RUN(a_message_is_sent_whole_behind_its_length);
	RUN(a_failed_send_is_told);
	return tap_end();
}
