/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bytes.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

CASE(numbers_are_big_endian)
{
	static const uint8_t data[] = { 0x01, 0x02, 0x03, 0xff, 0x04,
					0x05, 0x06, 0x80, 0x11, 0x12,
					0x13, 0x14, 0x15, 0x16, 0x17 };
	struct cursor c = cursor_over(view_of(data, sizeof(data)));
	uint8_t a;
	uint16_t b;
	uint32_t d;
	uint64_t e;

	CHECK(cursor_u8(&c, &a) && a == 0x01);
	CHECK(cursor_be16(&c, &b) && b == 0x0203);
	CHECK(cursor_be32(&c, &d) && d == 0xff040506);
	CHECK(cursor_be64(&c, &e) && e == 0x8011121314151617);
	CHECK_INT(cursor_left(&c), 0);
}

CASE(taking_past_the_end_fails_and_moves_nothing)
{
	static const uint8_t data[] = { 1, 2, 3 };
	struct cursor c = cursor_over(view_of(data, sizeof(data)));
	struct view v = { 0 };
	uint32_t four = 9;
	uint64_t eight = 9;

	CHECK(!cursor_be32(&c, &four));
	CHECK(!cursor_be64(&c, &eight));
	CHECK(!cursor_take(&c, 4, &v));
	CHECK(!cursor_take(&c, SIZE_MAX, &v));
	CHECK(four == 9 && eight == 9 && !v.ptr);
	CHECK_INT(cursor_left(&c), 3);
	CHECK(cursor_take(&c, 3, &v) && v.ptr == data && v.len == 3);
	CHECK(cursor_take(&c, 0, &v) && v.len == 0);
	CHECK(!cursor_take(&c, 1, &v));
}

CASE(a_cursor_over_nothing_is_at_its_end)
{
	struct cursor c = cursor_over(view_of(NULL, 0));
	uint8_t one;

	CHECK_INT(cursor_left(&c), 0);
	CHECK(!cursor_u8(&c, &one));
}

CASE(little_endian_takes_all_four_bytes)
{
	static const uint8_t data[] = { 0x04, 0x03, 0x02, 0xf1 };

	CHECK(le32_at(data) == 0xf1020304u);
}

CASE(a_buffer_grows_and_keeps_its_content)
{
	struct buf b = { 0 };

	for (unsigned i = 0; i < 100000; i++)
		if (!CHECK_INT(buf_add_u8(&b, (uint8_t)(i * 7)), 0))
			break;
	CHECK_INT(b.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		if (!CHECK_INT(b.ptr[i], (uint8_t)(i * 7)))
			break;
	CHECK_INT(buf_add(&b, NULL, 0), 0);
	CHECK_INT(b.len, 100000);
	buf_release(&b);
	CHECK(!b.ptr && !b.len && !b.cap);
}

CASE(an_impossible_size_leaves_the_buffer_unchanged)
{
	struct buf b = { 0 };

	buf_add(&b, "abc", 3);
	CHECK_INT(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	CHECK_INT(buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
	CHECK_INT(b.len, 3);
	CHECK(!memcmp(b.ptr, "abc", 3));
	buf_release(&b);
}

CASE(hex_goes_both_ways)
{
	uint8_t bytes[256], back[256];
	char hex[513];

	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(hex, bytes, 256);
	CHECK(!strncmp(hex, "000102030405060708090a0b0c0d0e0f10", 34));
	CHECK_TEXT(hex + 508, "feff");
	CHECK(hex_decode(back, 256, hex));
	CHECK(!memcmp(bytes, back, 256));
	CHECK(hex_decode(back, 2, "AbCd"));
	CHECK(back[0] == 0xab && back[1] == 0xcd);
}

CASE(hex_of_another_length_or_alphabet_is_refused)
{
	static const char *const bad[] = { "",	    "a",    "abc",
					   "abcde", "ab g", "0x12",
					   "a/b:",  "ab@G", "+1-2" };
	uint8_t out[2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_AT(!hex_decode(out, 2, bad[i]), "%s", bad[i]);
	CHECK(hex_decode(out, 0, ""));
}

CASE(hex_digits_are_those_of_every_locale)
{
	for (int c = 0; c < 256; c++) {
		char text[] = { '0', (char)c, 'f' };

		CHECK_AT(is_hex(text, 3) ==
				 (c && strchr("0123456789abcdefABCDEF", c)),
			 "%d", c);
		CHECK(is_hex(text, 1));
	}
	CHECK(is_hex("", 0));
}

CASE(behind_the_end_of_a_string_no_digits_are_looked_for)
{
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = two + page;

	if (!CHECK(two != MAP_FAILED) ||
	    !CHECK(!mprotect(end, (size_t)page, PROT_NONE)))
		return;
	end[-1] = '\0';
	CHECK(!is_hex(end - 1, 2));
	end[-2] = 'a';
	CHECK(!is_hex(end - 2, 40));
	munmap(two, 2 * (size_t)page);
}

static size_t valid(const char *text)
{
	return utf8_valid_prefix(text, strlen(text));
}

CASE(utf8_ends_where_it_is_no_longer_valid)
{
	CHECK_INT(valid(""), 0);
	CHECK_INT(valid("abc"), 3);
	CHECK_INT(valid("\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xb1"), 9);
	CHECK_INT(valid("a\xff"), 1);
	CHECK_INT(valid("a\x80"), 1);
	CHECK_INT(valid("a\xc0\xaf"), 1); /* overlong "/" */
	CHECK_INT(valid("a\xc1\xbf"), 1);
	CHECK_INT(valid("a\xe0\x80\xaf"), 1); /* overlong in three */
	CHECK_INT(valid("a\xe0\x9f\xbf"), 1);
	CHECK_INT(valid("\xe0\xa0\x80"), 3);
	CHECK_INT(valid("a\xed\xa0\x80"), 1); /* a surrogate */
	CHECK_INT(valid("a\xed\xbf\xbf"), 1);
	CHECK_INT(valid("\xed\x9f\xbf\xee\x80\x80"), 6);
	CHECK_INT(valid("a\xf0\x80\x80\xaf"), 1); /* overlong in four */
	CHECK_INT(valid("\xf4\x8f\xbf\xbf"), 4);  /* U+10FFFF */
	CHECK_INT(valid("a\xf4\x90\x80\x80"), 1);
	CHECK_INT(valid("a\xf5\x80\x80\x80"), 1);
	CHECK_INT(utf8_valid_prefix("\xe2\x82\xac", 2), 0);
	CHECK_INT(utf8_valid_prefix("a\0b", 3), 3);
}

int main(void)
{
	RUN(numbers_are_big_endian);
	RUN(taking_past_the_end_fails_and_moves_nothing);
	RUN(a_cursor_over_nothing_is_at_its_end);
	RUN(little_endian_takes_all_four_bytes);
	RUN(a_buffer_grows_and_keeps_its_content);
	RUN(an_impossible_size_leaves_the_buffer_unchanged);
	RUN(hex_goes_both_ways);
	RUN(hex_of_another_length_or_alphabet_is_refused);
	RUN(hex_digits_are_those_of_every_locale);
	RUN(behind_the_end_of_a_string_no_digits_are_looked_for);
	RUN(utf8_ends_where_it_is_no_longer_valid);
	return tap_end();
}
