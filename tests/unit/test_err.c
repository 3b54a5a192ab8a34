/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/err.h"

#include <errno.h>

#include "tap.h"

CASE(set_returns_the_code_and_keeps_the_line)
{
	struct mb_err err = { 0 };

	CHECK_INT(mb_err_set(&err, -EBADMSG, "key bag: %d bytes", 7), -EBADMSG);
	CHECK_INT(err.code, -EBADMSG);
	CHECK_TEXT(err.text, "key bag: 7 bytes");
}

CASE(nobody_needs_to_listen)
{
	CHECK_INT(mb_err_set(NULL, -EIO, "%s", "lost"), -EIO);
	CHECK_INT(mb_err_prefix(NULL, -EIO, "%s", "lost"), -EIO);
}

CASE(prefix_goes_in_front)
{
	struct mb_err err;

	mb_err_set(&err, -EIO, "short read");
	CHECK_INT(mb_err_prefix(&err, -EBADMSG, "block %d", 3), -EBADMSG);
	CHECK_INT(err.code, -EBADMSG);
	CHECK_TEXT(err.text, "block 3: short read");
}

CASE(control_characters_become_question_marks)
{
	struct mb_err err;

	mb_err_set(&err, -EIO, "a\nb\x1b[31mc\td\x7f");
	CHECK_TEXT(err.text, "a?b?[31mc?d?");
	mb_err_set(&err, -EIO, "tail");
	mb_err_prefix(&err, -EIO, "\r\x01head");
	CHECK_TEXT(err.text, "??head: tail");
}

CASE(text_beyond_ascii_is_left_alone)
{
	struct mb_err err;

	mb_err_set(&err, -EIO, "%s",
		   "Gr\xc3\xbc\xc3\x9f"
		   "e \xe2\x82\xac "
		   "\xf0\x9f\x93\xb1");
	CHECK_TEXT(err.text, "Gr\xc3\xbc\xc3\x9f"
			     "e \xe2\x82\xac "
			     "\xf0\x9f\x93\xb1");
}

/* U+009B begins an escape sequence as ESC [ does */
CASE(control_characters_of_two_bytes_become_question_marks)
{
	struct mb_err err;

	mb_err_set(&err, -EIO, "%s",
		   "a\xc2\x9b"
		   "31mb\xc2\x80\xc2\x9f");
	CHECK_TEXT(err.text, "a??31mb????");
	mb_err_set(&err, -EIO, "%s", "\xc2\xa0\xc2");
	CHECK_TEXT(err.text, "\xc2\xa0?");
}

/* to a terminal of 8 bits, 0x9b alone is ESC [ */
CASE(what_is_no_utf8_becomes_question_marks)
{
	struct mb_err err;

	mb_err_set(&err, -EIO, "%s",
		   "a\x9b"
		   "31m\xe2\x82"
		   "b\xff");
	CHECK_TEXT(err.text, "a?31m??b?");
}

CASE(a_long_line_is_cut)
{
	char long_text[2000];
	struct mb_err err;

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	mb_err_set(&err, -EIO, "%s", long_text);
	CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
	mb_err_prefix(&err, -EIO, "%s", "front");
	CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
	CHECK(!strncmp(err.text, "front: xxx", 10));
	mb_err_prefix(&err, -EIO, "%s", long_text);
	CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	RUN(set_returns_the_code_and_keeps_the_line);
	RUN(nobody_needs_to_listen);
	RUN(prefix_goes_in_front);
	RUN(control_characters_become_question_marks);
	RUN(text_beyond_ascii_is_left_alone);
	RUN(control_characters_of_two_bytes_become_question_marks);
	RUN(what_is_no_utf8_becomes_question_marks);
	RUN(a_long_line_is_cut);
	return tap_end();
}
