/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>

static bool take_be(struct cursor *c, size_t len, uint64_t *out)
{
	struct view v;
	uint64_t n = 0;

	if (!cursor_take(c, len, &v))
		return false;
	for (size_t i = 0; i < len; i++)
		n = n << 8 | v.ptr[i];
	*out = n;
	return true;
}

bool cursor_be16(struct cursor *c, uint16_t *out)
{
	uint64_t n;

	if (!take_be(c, 2, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

bool cursor_be32(struct cursor *c, uint32_t *out)
{
	uint64_t n;

	if (!take_be(c, 4, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

bool cursor_be64(struct cursor *c, uint64_t *out)
{
	return take_be(c, 8, out);
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 64;
	uint8_t *ptr;

	if (more > SIZE_MAX / 2 - b->len)
		return -ENOMEM;
	if (b->len + more <= b->cap)
		return 0;
	while (cap < b->len + more)
		cap *= 2;
	ptr = realloc(b->ptr, cap);
	if (!ptr)
		return -ENOMEM;
	b->ptr = ptr;
	b->cap = cap;
	return 0;
}

int buf_add(struct buf *b, const void *ptr, size_t len)
{
	int rc = buf_reserve(b, len);

	if (rc < 0)
		return rc;
	if (len)
		memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
	return 0;
}

int buf_add_u8(struct buf *b, uint8_t value)
{
	return buf_add(b, &value, 1);
}

void buf_release(struct buf *b)
{
	free(b->ptr);
	*b = (struct buf){ 0 };
}

void hex_encode(char *out, const void *ptr, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = ptr;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

/* By a table: random digits would make the processor guess branches wrong. */
static int hex_digit(char c)
{
	static const uint8_t one_more[256] = {
		['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,
		['5'] = 6,  ['6'] = 7,	['7'] = 8,  ['8'] = 9,	['9'] = 10,
		['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15,
		['f'] = 16, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14,
		['E'] = 15, ['F'] = 16,
	};

	return one_more[(unsigned char)c] - 1;
}

bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_digit(text[i]) < 0)
			return false;
	return true;
}

bool hex_decode(uint8_t *out, size_t len, const char *hex)
{
	if (strlen(hex) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(hex[2 * i]),
		    low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* Bytes of the valid UTF-8 character at @p, 0 if there is none. */
static size_t utf8_char(const uint8_t *p, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] < 0xe0)
		n = 2, c = p[0] & 0x1f;
	else if (p[0] >= 0xe0 && p[0] < 0xf0)
		n = 3, c = p[0] & 0x0f;
	else if (p[0] >= 0xf0 && p[0] < 0xf5)
		n = 4, c = p[0] & 0x07;
	else
		return 0;
	if (left < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

size_t utf8_valid_prefix(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t at = 0;

	while (at < len) {
		size_t n = utf8_char(p + at, len - at);

		if (!n)
			break;
		at += n;
	}
	return at;
}
