/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BYTES_H
#define BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "cleanup.h"

/* Bytes that somebody else owns. */
struct view {
	const uint8_t *ptr;
	size_t len;
};

static inline struct view view_of(const void *ptr, size_t len)
{
	return (struct view){ ptr, len };
}

static inline bool view_is(struct view v, const char *text)
{
	size_t len = strlen(text);

	return v.len == len && !memcmp(v.ptr, text, len);
}

/*
 * A cursor hands out untrusted bytes from front to back and never runs past
 * the end: every take says whether there was enough. After a failed take the
 * cursor has not moved.
 */
struct cursor {
	const uint8_t *ptr;
	const uint8_t *end;
};

static inline struct cursor cursor_over(struct view v)
{
	/* NULL stands for no bytes, and must not be added to */
	return (struct cursor){ v.ptr, v.len ? v.ptr + v.len : v.ptr };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->ptr);
}

static inline bool cursor_take(struct cursor *c, size_t len, struct view *out)
{
	if (cursor_left(c) < len)
		return false;
	*out = view_of(c->ptr, len);
	c->ptr += len;
	return true;
}

static inline bool cursor_u8(struct cursor *c, uint8_t *out)
{
	if (c->ptr == c->end)
		return false;
	*out = *c->ptr++;
	return true;
}

bool cursor_be16(struct cursor *c, uint16_t *out);
bool cursor_be32(struct cursor *c, uint32_t *out);
bool cursor_be64(struct cursor *c, uint64_t *out);

static inline uint32_t le32_at(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* A buffer that grows. {0} is an empty one; buf_release frees it. */
struct buf {
	uint8_t *ptr;
	size_t len;
	size_t cap;
};

/* Each returns 0 or -ENOMEM, the buffer then unchanged. */
int buf_reserve(struct buf *b, size_t more);
int buf_add(struct buf *b, const void *ptr, size_t len);
int buf_add_u8(struct buf *b, uint8_t value);
void buf_release(struct buf *b);
MB_DEFINE_AUTO_VALUE(struct buf, buf_release)

/* Lower-case hexadecimal; @out takes 2 * len + 1 bytes. */
void hex_encode(char *out, const void *ptr, size_t len);
/* Exactly @len bytes from 2 * @len digits; false at anything else. */
bool hex_decode(uint8_t *out, size_t len, const char *hex);
/*
 * Nothing but digits; @text need not end behind them. Nothing is read behind
 * what is none: a shorter string has no more than that.
 */
bool is_hex(const char *text, size_t len);

/* Length of the longest prefix of valid UTF-8, at most @len. */
size_t utf8_valid_prefix(const char *text, size_t len);

#endif
