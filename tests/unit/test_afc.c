/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afc.h"

#include <errno.h>

#include "tap.h"

/* A head: magic, both lengths, number, operation. */
#define MAGIC "434641364c504141"
#define U64(byte) #byte "00000000000000"
#define HEAD(whole, part, number, op) \
	MAGIC U64(whole) U64(part) U64(number) U64(op)

/* 2f 63 6f ...: "/com.apple.itunes.lock_sync", NUL */
#define LOCK_PATH "2f636f6d2e6170706c652e6974756e65732e6c6f636b5f73796e6300"

#define OPENED_7 HEAD(30, 30, 01, 0e) U64(07)
#define STATUS_OK HEAD(30, 30, 02, 01) U64(00)

static void unhex(struct buf *out, const char *hex)
{
	size_t len = strlen(hex) / 2;

	buf_reserve(out, len);
	CHECK(hex_decode(out->ptr, len, hex));
	out->len = len;
}

static void check_request(uint64_t number, const struct afc_request *request,
			  const char *want)
{
	struct buf bytes = { 0 }, wanted = { 0 };

	unhex(&wanted, want);
	CHECK_INT(afc_encode(&bytes, number, request), 0);
	CHECK_BYTES(bytes.ptr, bytes.len, wanted.ptr, wanted.len);
	buf_release(&bytes);
	buf_release(&wanted);
}

/* What comes of it; @left: bytes behind the reply. */
static int decode(const char *hex, uint64_t number, struct afc_reply *reply,
		  size_t *left, struct mb_err *err)
{
	struct buf bytes = { 0 };
	struct cursor in;
	int rc;

	unhex(&bytes, hex);
	in = cursor_over(view_of(bytes.ptr, bytes.len));
	rc = afc_decode(&in, number, reply, err);
	*left = cursor_left(&in);
	buf_release(&bytes);
	return rc;
}

static void check_refused(const char *hex)
{
	struct afc_reply reply;
	struct mb_err err = { 0 };
	size_t left;

	CHECK_AT(decode(hex, 1, &reply, &left, &err) == -EPROTO, "%s", hex);
	CHECK_INT(err.code, -EPROTO);
	CHECK(*err.text);
	CHECK_INT(left, strlen(hex) / 2);
}

CASE(requests_are_as_on_the_wire)
{
	check_request(1,
		      &(const struct afc_request){
			      .op = AFC_OPEN,
			      .args = { AFC_READ_WRITE },
			      .arg_count = 1,
			      .path = "/com.apple.itunes.lock_sync",
		      },
		      HEAD(4c, 4c, 01, 0d) U64(02) LOCK_PATH);
	check_request(2,
		      &(const struct afc_request){
			      .op = AFC_LOCK,
			      .args = { 7, AFC_LOCK_EXCLUSIVE },
			      .arg_count = 2,
		      },
		      HEAD(38, 38, 02, 1b) U64(07) U64(06));
	check_request(
		3,
		&(const struct afc_request){ .op = AFC_MAKE_DIR, .path = "/a" },
		HEAD(2b, 2b, 03, 09) "2f6100");
}

CASE(data_that_is_written_counts_in_the_first_length_only)
{
	check_request(4,
		      &(const struct afc_request){
			      .op = AFC_WRITE,
			      .args = { 7 },
			      .arg_count = 1,
			      .data = view_of("xyz", 3),
		      },
		      HEAD(33, 30, 04, 10) U64(07) "78797a");
}

CASE(requests_stand_one_behind_the_other)
{
	const struct afc_request request = { .op = AFC_REMOVE, .path = "/a" };
	struct buf bytes = { 0 };

	CHECK_INT(afc_encode(&bytes, 1, &request), 0);
	CHECK_INT(afc_encode(&bytes, 2, &request), 0);
	CHECK_INT(bytes.len, 2 * (AFC_HEAD + 3));
	CHECK_BYTES(bytes.ptr, 8, bytes.ptr + AFC_HEAD + 3, 8);
	buf_release(&bytes);
}

CASE(replies_are_read)
{
	struct afc_reply reply;
	size_t left;

	CHECK_INT(decode(OPENED_7, 1, &reply, &left, NULL), 1);
	CHECK_INT(reply.op, AFC_OPENED);
	CHECK_INT(reply.value, 7);
	CHECK_INT(left, 0);
	CHECK_INT(decode(STATUS_OK OPENED_7, 2, &reply, &left, NULL), 1);
	CHECK_INT(reply.op, AFC_STATUS);
	CHECK_INT(reply.value, AFC_OK);
	CHECK_INT(left, AFC_HEAD + 8);
	/* all eight bytes of a handle count */
	CHECK_INT(decode(HEAD(30, 30, 01, 0e) "0807060504030201", 1, &reply,
			 &left, NULL),
		  1);
	CHECK_INT(reply.value, 0x0102030405060708);
}

CASE(data_is_what_stands_behind_the_head)
{
	static const char *const both[] = {
		HEAD(2b, 2b, 01, 02) "616263",
		HEAD(2b, 28, 01, 02) "616263",
	};

	for (size_t i = 0; i < 2; i++) {
		struct afc_reply reply;
		struct buf bytes = { 0 };
		struct cursor in;

		unhex(&bytes, both[i]);
		in = cursor_over(view_of(bytes.ptr, bytes.len));
		CHECK_INT(afc_decode(&in, 1, &reply, NULL), 1);
		CHECK_INT(reply.op, AFC_DATA);
		CHECK(view_is(reply.data, "abc"));
		buf_release(&bytes);
	}
}

CASE(data_may_be_empty)
{
	struct afc_reply reply;
	size_t left;

	CHECK_INT(decode(HEAD(28, 28, 01, 02), 1, &reply, &left, NULL), 1);
	CHECK_INT(reply.op, AFC_DATA);
	CHECK_INT(reply.data.len, 0);
	CHECK_INT(left, 0);
}

CASE(a_part_of_a_reply_is_waited_for)
{
	struct buf bytes = { 0 };

	unhex(&bytes, OPENED_7);
	for (size_t len = 0; len < bytes.len; len++) {
		struct cursor in = cursor_over(view_of(bytes.ptr, len));
		struct afc_reply reply;

		CHECK_INT(afc_decode(&in, 1, &reply, NULL), 0);
		CHECK_INT(cursor_left(&in), len);
	}
	buf_release(&bytes);
}

CASE(what_is_no_reply_is_refused_at_its_first_byte)
{
	check_refused("00");
	check_refused("4346413642");
	check_refused("434641364c504142");
}

CASE(lengths_that_cannot_be_are_refused_at_the_head)
{
	/* without a head */
	check_refused(HEAD(00, 00, 01, 02));
	check_refused(HEAD(27, 27, 01, 02));
	check_refused(HEAD(30, 27, 01, 01) U64(00));
	/* a part that is longer than all */
	check_refused(HEAD(30, 31, 01, 01) U64(00));
	/* of a byte too much, and of 2^64 - 1 */
	check_refused(MAGIC "2900100000000000" U64(28) U64(01) U64(02));
	check_refused(MAGIC "ffffffffffffffff"
			    "ffffffffffffffff" U64(01) U64(02));
}

CASE(the_longest_reply_is_waited_for)
{
	struct afc_reply reply;
	size_t left;

	CHECK_INT(decode(MAGIC "2800100000000000" U64(28) U64(01) U64(02), 1,
			 &reply, &left, NULL),
		  0);
}

CASE(a_status_and_a_handle_have_eight_bytes_at_least)
{
	struct afc_reply reply;
	size_t left;

	check_refused(HEAD(28, 28, 01, 01));
	check_refused(HEAD(2f, 2f, 01, 01));
	check_refused(HEAD(2f, 2f, 01, 0e));
	CHECK_INT(decode(HEAD(32, 32, 01, 01) U64(08) "aabb", 1, &reply, &left,
			 NULL),
		  1);
	CHECK_INT(reply.value, AFC_NOT_FOUND);
	CHECK_INT(left, 0);
}

CASE(a_reply_to_another_request_is_refused)
{
	check_refused(STATUS_OK);
	check_refused(HEAD(30, 30, 00, 01));
	/* the same in its low half */
	check_refused(MAGIC U64(30) U64(30) "0100000001000000" U64(01));
}

CASE(an_unknown_operation_is_refused)
{
	check_refused(HEAD(30, 30, 01, 0d) U64(00));
	check_refused(HEAD(30, 30, 01, 00) U64(00));
	check_refused(MAGIC U64(30) U64(30) U64(01) "0101000000000000" U64(00));
}

int main(void)
{
	RUN(requests_are_as_on_the_wire);
	RUN(data_that_is_written_counts_in_the_first_length_only);
	RUN(requests_stand_one_behind_the_other);
	RUN(replies_are_read);
	RUN(data_is_what_stands_behind_the_head);
	RUN(data_may_be_empty);
	RUN(a_part_of_a_reply_is_waited_for);
	RUN(what_is_no_reply_is_refused_at_its_first_byte);
	RUN(lengths_that_cannot_be_are_refused_at_the_head);
	RUN(the_longest_reply_is_waited_for);
	RUN(a_status_and_a_handle_have_eight_bytes_at_least);
	RUN(a_reply_to_another_request_is_refused);
	RUN(an_unknown_operation_is_refused);
	return tap_end();
}
