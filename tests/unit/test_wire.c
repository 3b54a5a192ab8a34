/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"
#include "upload_example.h"

#define EXAMPLE_TOLD                                               \
	"file /.b/1/hello as "                                     \
	"U/Snapshot/2d/2debd89c089c76aa1203149ceed4d7ca4bb692af\n" \
	"data hello\ndone\n"                                       \
	"file /.b/1/empty as U/Snapshot/00/x\n"                    \
	"done\n"                                                   \
	"file /.b/1/bad as U/Snapshot/00/y\n"                      \
	"failed Operation not permitted\n"                         \
	"end\n"

/* What an upload told, as lines; data that follows data is one line. */
struct telling {
	struct upload u;
	struct bytes said;
	bool in_data;
	int rc; /* of the last step */
	struct mb_err err;
};

static void say(struct telling *t, const char *text, const void *ptr,
		size_t len)
{
	if (t->in_data)
		add_text(&t->said, "\n");
	t->in_data = false;
	add_text(&t->said, text);
	add(&t->said, ptr, len);
}

static void tell_data(struct telling *t)
{
	if (!t->in_data)
		say(t, "data ", NULL, 0);
	add(&t->said, t->u.data.ptr, t->u.data.len);
	t->in_data = true;
}

static void tell(struct telling *t, int step)
{
	const struct upload *u = &t->u;

	switch (step) {
	case UPLOAD_FILE:
		say(t, "file ", u->device_path, u->device_path_len);
		say(t, " as ", u->host_path, u->host_path_len);
		say(t, "\n", NULL, 0);
		break;
	case UPLOAD_DATA:
		CHECK(u->data.len);
		tell_data(t);
		break;
	case UPLOAD_DONE:
		say(t, "done\n", NULL, 0);
		break;
	case UPLOAD_FAILED:
		say(t, "failed ", u->text, strlen(u->text));
		say(t, "\n", NULL, 0);
		break;
	case UPLOAD_END:
		say(t, "end\n", NULL, 0);
		break;
	default:
		CHECK_AT(false, "step %d", step);
	}
}

/* Every byte in memory of its own, so that a sanitizer sees the end of it. */
static struct telling *read_pieces(struct bytes all, size_t piece)
{
	struct telling *t = calloc(1, sizeof(*t));
	size_t at = 0;

	upload_init(&t->u);
	do {
		size_t len = all.len - at < piece ? all.len - at : piece;
		uint8_t *copy = malloc(len ? len : 1);
		struct cursor c = cursor_over(view_of(copy, len));

		if (len)
			memcpy(copy, all.ptr + at, len);
		while ((t->rc = upload_next(&t->u, &c, &t->err)) > 0 &&
		       t->rc != UPLOAD_END)
			tell(t, t->rc);
		if (t->rc == UPLOAD_END)
			tell(t, t->rc);
		at += len - cursor_left(&c);
		if (t->rc == UPLOAD_MORE)
			CHECK_INT(cursor_left(&c), 0);
		free(copy);
	} while (t->rc == UPLOAD_MORE && at < all.len);
	add(&t->said, "", 1);
	return t;
}

static void free_telling(struct telling *t)
{
	drop(&t->said);
	free(t);
}

static void check_told(const char *hex, int rc, const char *want)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 11, 64, 1000000 };
	struct bytes all = unhex(hex);

	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct telling *t = read_pieces(all, pieces[i]);

		CHECK_AT(t->rc == rc, "%d with %zu bytes a piece", t->rc,
			 pieces[i]);
		CHECK_TEXT((char *)t->said.ptr, want);
		free_telling(t);
	}
	drop(&all);
}

static int error_of(const char *hex, struct mb_err *err)
{
	struct bytes all = unhex(hex);
	struct telling *t = read_pieces(all, all.len);
	int rc = t->rc;

	if (err)
		*err = t->err;
	free_telling(t);
	drop(&all);
	return rc;
}

CASE(any_cut_into_pieces_tells_the_same)
{
	check_told(UPLOAD_EXAMPLE, UPLOAD_END, EXAMPLE_TOLD);
}

CASE(every_cut_into_two_tells_the_same)
{
	struct bytes all = unhex(UPLOAD_EXAMPLE);

	for (size_t cut = 0; cut <= all.len; cut++) {
		struct telling *t = calloc(1, sizeof(*t));
		struct view parts[] = { view_of(all.ptr, cut),
					view_of(all.ptr + cut, all.len - cut) };

		upload_init(&t->u);
		for (size_t i = 0; i < 2; i++) {
			struct cursor c = cursor_over(parts[i]);

			while ((t->rc = upload_next(&t->u, &c, NULL)) > 0) {
				tell(t, t->rc);
				if (t->rc == UPLOAD_END)
					break;
			}
			CHECK_AT(cursor_left(&c) == 0, "cut at %zu", cut);
		}
		add(&t->said, "", 1);
		CHECK_TEXT((char *)t->said.ptr, EXAMPLE_TOLD);
		free_telling(t);
	}
	drop(&all);
}

CASE(what_follows_the_list_is_left_alone)
{
	struct bytes all = unhex("00000000deadbeef");
	struct cursor c = cursor_over(view_of(all.ptr, all.len));
	struct upload *u = malloc(sizeof(*u));

	upload_init(u);
	CHECK_INT(upload_next(u, &c, NULL), UPLOAD_END);
	CHECK_INT(cursor_left(&c), 4);
	free(u);
	drop(&all);
}

CASE(nothing_in_is_nothing_out)
{
	struct cursor c = cursor_over(view_of(NULL, 0));
	struct upload *u = malloc(sizeof(*u));

	upload_init(u);
	CHECK_INT(upload_next(u, &c, NULL), UPLOAD_MORE);
	free(u);
}

CASE(one_machine_reads_list_after_list)
{
	struct bytes all = unhex(UPLOAD_EXAMPLE);
	struct telling *t = calloc(1, sizeof(*t));

	upload_init(&t->u);
	for (int i = 0; i < 2; i++) {
		struct cursor c = cursor_over(view_of(all.ptr, all.len));

		while ((t->rc = upload_next(&t->u, &c, NULL)) > 0) {
			tell(t, t->rc);
			if (t->rc == UPLOAD_END)
				break;
		}
	}
	add(&t->said, "", 1);
	CHECK_TEXT((char *)t->said.ptr, EXAMPLE_TOLD EXAMPLE_TOLD);
	free_telling(t);
	drop(&all);
}

CASE(data_comes_in_several_hunks)
{
	check_told("0000000161"
		   "0000000162"
		   "000000030c6f6e"
		   "000000020c65"
		   "0000000100"
		   "00000000",
		   UPLOAD_END, "file a as b\ndata one\ndone\nend\n");
}

CASE(a_hunk_of_data_may_be_without_any)
{
	check_told("0000000161"
		   "0000000162"
		   "000000010c"
		   "000000020c78"
		   "000000010c"
		   "0000000100"
		   "00000000",
		   UPLOAD_END, "file a as b\ndata x\ndone\nend\n");
}

CASE(a_failure_behind_data_is_told)
{
	check_told("0000000161"
		   "0000000162"
		   "000000030c6869"
		   "000000050b6f6f7073"
		   "0000000163"
		   "0000000164"
		   "0000000100"
		   "00000000",
		   UPLOAD_END,
		   "file a as b\ndata hi\nfailed oops\n"
		   "file c as d\ndone\nend\n");
}

CASE(a_failure_may_be_without_words)
{
	check_told("0000000161"
		   "0000000162"
		   "000000010b"
		   "00000000",
		   UPLOAD_END, "file a as b\nfailed \nend\n");
}

CASE(the_hosts_own_code_is_a_failure_too)
{
	check_told("0000000161"
		   "0000000162"
		   "00000003066e6f"
		   "00000000",
		   UPLOAD_END, "file a as b\nfailed no\nend\n");
}

CASE(a_long_text_is_cut_and_read_to_its_end)
{
	for (size_t len = WIRE_TEXT_MAX - 1; len <= WIRE_TEXT_MAX + 700;
	     len += len < WIRE_TEXT_MAX + 1 ? 1 : 699) {
		struct bytes all = unhex("00000001610000000162");
		size_t kept = len < WIRE_TEXT_MAX ? len : WIRE_TEXT_MAX;

		add_be(&all, len + 1, 4);
		add_be(&all, 0x0b, 1);
		for (size_t i = 0; i < len; i++)
			add_text(&all, "x");
		add_be(&all, 0, 4);
		for (size_t piece = 1; piece < 3000; piece += 499) {
			struct telling *t = read_pieces(all, piece);

			CHECK_INT(t->rc, UPLOAD_END);
			CHECK_INT(strlen((char *)t->said.ptr),
				  strlen("file a as b\nfailed \nend\n") + kept);
			free_telling(t);
		}
		drop(&all);
	}
}

/* device path, host path; then the file's end and the list's */
static struct bytes with_paths(size_t device_len, size_t host_len)
{
	struct bytes all = { 0 };

	add_be(&all, device_len, 4);
	for (size_t i = 0; i < device_len; i++)
		add_text(&all, "d");
	add_be(&all, host_len, 4);
	for (size_t i = 0; i < host_len; i++)
		add_text(&all, "h");
	add_hex(&all, "000000010000000000");
	return all;
}

static int rc_of_paths(size_t device_len, size_t host_len)
{
	struct bytes all = with_paths(device_len, host_len);
	struct telling *t = read_pieces(all, 1000);
	int rc = t->rc;

	if (rc == UPLOAD_END) {
		CHECK_INT(t->u.device_path_len, device_len);
		CHECK_INT(t->u.host_path_len, host_len);
		CHECK_INT(strlen(t->u.device_path), device_len);
		CHECK_INT(strlen(t->u.host_path), host_len);
	} else {
		CHECK_INT(t->err.code, -EPROTO);
		CHECK(strstr(t->err.text, "4097"));
		CHECK(strstr(t->err.text,
			     device_len > 4096 ? "device path" : "host path"));
	}
	free_telling(t);
	drop(&all);
	return rc;
}

CASE(a_path_of_4096_bytes_is_taken_and_4097_refused)
{
	CHECK_INT(rc_of_paths(4096, 4096), UPLOAD_END);
	CHECK_INT(rc_of_paths(4097, 1), -EPROTO);
	CHECK_INT(rc_of_paths(1, 4097), -EPROTO);
}

CASE(a_host_path_of_no_bytes_is_told_as_such)
{
	check_told("0000000161"
		   "00000000"
		   "0000000100"
		   "00000000",
		   UPLOAD_END, "file a as \ndone\nend\n");
}

CASE(zero_bytes_stay_in_a_path)
{
	struct bytes all = unhex("00000003610062"
				 "00000003630064"
				 "0000000100"
				 "00000000");
	struct telling *t = read_pieces(all, 2);

	CHECK_INT(t->rc, UPLOAD_END);
	CHECK_BYTES(t->u.device_path, t->u.device_path_len, "a\0b", 3);
	CHECK_BYTES(t->u.host_path, t->u.host_path_len, "c\0d", 3);
	free_telling(t);
	drop(&all);
}

CASE(a_hunk_of_no_bytes_is_refused)
{
	struct mb_err err;

	CHECK_INT(error_of("0000000161000000016200000000", &err), -EPROTO);
	CHECK_INT(err.code, -EPROTO);
	CHECK_INT(error_of("00000001610000000162000000020c7800000000", NULL),
		  -EPROTO);
}

CASE(an_unknown_code_is_refused_with_its_number)
{
	struct mb_err err;

	CHECK_INT(error_of("000000016100000001620000000207aa", &err), -EPROTO);
	CHECK(strstr(err.text, "code 7"));
	CHECK_INT(error_of("0000000161000000016200000001ff", &err), -EPROTO);
	CHECK(strstr(err.text, "code 255"));
}

CASE(bytes_behind_the_end_of_a_file_are_refused)
{
	CHECK_INT(error_of("00000001610000000162000000020000", NULL), -EPROTO);
}

CASE(lengths_up_to_the_largest_are_only_waited_for)
{
	CHECK_INT(error_of("00000001610000000162ffffffff0c7878", NULL),
		  UPLOAD_MORE);
	CHECK_INT(error_of("00000001610000000162ffffffff0b7878", NULL),
		  UPLOAD_MORE);
	CHECK_INT(error_of("ffffffff", NULL), -EPROTO);
}

CASE(a_hunk_that_is_sent_has_its_length_and_code_in_front)
{
	uint8_t head[WIRE_HUNK_HEAD];

	/* the examples of a download on the wire */
	wire_put_hunk(head, WIRE_DATA, 3);
	CHECK_BYTES(head, sizeof(head), "\0\0\0\x04\x0c", 5);
	wire_put_hunk(head, WIRE_DONE, 0);
	CHECK_BYTES(head, sizeof(head), "\0\0\0\x01\0", 5);
	wire_put_hunk(head, WIRE_HOST_FAILED, 25);
	CHECK_BYTES(head, sizeof(head), "\0\0\0\x1a\x06", 5);
	wire_put_be32(head, 0x01020304);
	CHECK_BYTES(head, 4, "\x01\x02\x03\x04", 4);
	wire_put_be32(head, 0xfffefdfc);
	CHECK_BYTES(head, 4, "\xff\xfe\xfd\xfc", 4);
}

int main(void)
{
	RUN(any_cut_into_pieces_tells_the_same);
	RUN(every_cut_into_two_tells_the_same);
	RUN(what_follows_the_list_is_left_alone);
	RUN(nothing_in_is_nothing_out);
	RUN(one_machine_reads_list_after_list);
	RUN(data_comes_in_several_hunks);
	RUN(a_hunk_of_data_may_be_without_any);
	RUN(a_failure_behind_data_is_told);
	RUN(a_failure_may_be_without_words);
	RUN(the_hosts_own_code_is_a_failure_too);
	RUN(a_long_text_is_cut_and_read_to_its_end);
	RUN(a_path_of_4096_bytes_is_taken_and_4097_refused);
	RUN(a_host_path_of_no_bytes_is_told_as_such);
	RUN(zero_bytes_stay_in_a_path);
	RUN(a_hunk_of_no_bytes_is_refused);
	RUN(an_unknown_code_is_refused_with_its_number);
	RUN(bytes_behind_the_end_of_a_file_are_refused);
	RUN(lengths_up_to_the_largest_are_only_waited_for);
	RUN(a_hunk_that_is_sent_has_its_length_and_code_in_front);
	return tap_end();
}
