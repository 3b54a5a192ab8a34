/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bplist_writer.h"

#include <errno.h>

#define MAGIC "bplist00"
#define TRAILER_LEN 32

/* Where an object begins; it ends where the next one does. */
struct item {
	size_t at;  /* in objects */
	size_t ref; /* in refs */
};

void bplist_writer_release(struct bplist_writer *w)
{
	buf_release(&w->objects);
	buf_release(&w->refs);
	buf_release(&w->items);
	*w = (struct bplist_writer){ 0 };
}

/* Bytes that a number takes: 1, 2, 4 or 8. */
static unsigned width(uint64_t number)
{
	unsigned len = 1;

	while (len < 8 && number >> 8 * len)
		len *= 2;
	return len;
}

static void add(struct bplist_writer *w, const void *ptr, size_t len)
{
	if (buf_add(&w->objects, ptr, len) < 0)
		w->failed = true;
}

static void add_be(struct bplist_writer *w, uint64_t value, unsigned len)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * (len - 1 - i));
	add(w, bytes, len);
}

uint32_t bplist_next(const struct bplist_writer *w)
{
	return (uint32_t)(w->items.len / sizeof(struct item));
}

static uint32_t new_item(struct bplist_writer *w)
{
	struct item item = { .at = w->objects.len,
			     .ref = w->refs.len / sizeof(uint32_t) };
	uint32_t number = bplist_next(w);

	if (number == UINT32_MAX || buf_add(&w->items, &item, sizeof(item)) < 0)
		w->failed = true;
	return number;
}

/* Negative integers take 8 bytes: shorter ones count as unsigned. */
static void add_int(struct bplist_writer *w, int64_t value)
{
	unsigned len = width((uint64_t)value);

	add_be(w, 0x10 | (unsigned)__builtin_ctz(len), 1);
	add_be(w, (uint64_t)value, len);
}

static void add_marker(struct bplist_writer *w, uint8_t kind, size_t count)
{
	add_be(w, kind | (count < 15 ? count : 15), 1);
	if (count >= 15)
		add_int(w, (int64_t)count);
}

uint32_t bplist_put_int(struct bplist_writer *w, int64_t value)
{
	uint32_t number = new_item(w);

	add_int(w, value);
	return number;
}

uint32_t bplist_put_data(struct bplist_writer *w, const void *ptr, size_t len)
{
	uint32_t number = new_item(w);

	add_marker(w, 0x40, len);
	add(w, ptr, len);
	return number;
}

uint32_t bplist_put_uid(struct bplist_writer *w, uint64_t value)
{
	uint32_t number = new_item(w);
	unsigned len = width(value);

	add_be(w, 0x80 | (len - 1), 1);
	add_be(w, value, len);
	return number;
}

/*
 * One UTF-8 character of @text, which is not empty, or U+FFFD for one byte
 * that is none. Returns the bytes it took.
 */
static size_t next_char(const char *text, size_t len, uint32_t *c)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (n > len || utf8_valid_prefix(text, n) != n) {
		*c = 0xfffd;
		return 1;
	}
	*c = n == 1 ? p[0] : p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++)
		*c = *c << 6 | (p[i] & 0x3f);
	return n;
}

static size_t utf16_units(const char *text, size_t len)
{
	size_t units = 0;
	uint32_t c;

	for (size_t at = 0; at < len; units += c >= 0x10000 ? 2 : 1)
		at += next_char(text + at, len - at, &c);
	return units;
}

static void add_utf16(struct bplist_writer *w, const char *text, size_t len)
{
	uint32_t c;

	for (size_t at = 0; at < len;) {
		at += next_char(text + at, len - at, &c);
		if (c < 0x10000) {
			add_be(w, c, 2);
		} else {
			c -= 0x10000;
			add_be(w, 0xd800 | c >> 10, 2);
			add_be(w, 0xdc00 | (c & 0x3ff), 2);
		}
	}
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] & 0x80)
			return false;
	return true;
}

uint32_t bplist_put_text(struct bplist_writer *w, const char *text, size_t len)
{
	uint32_t number = new_item(w);

	if (is_ascii(text, len)) {
		add_marker(w, 0x50, len);
		add(w, text, len);
	} else {
		add_marker(w, 0x60, utf16_units(text, len));
		add_utf16(w, text, len);
	}
	return number;
}

uint32_t bplist_put_raw(struct bplist_writer *w, struct view object)
{
	uint32_t number = new_item(w);

	add(w, object.ptr, object.len);
	return number;
}

uint32_t bplist_begin(struct bplist_writer *w, enum bplist_kind kind,
		      size_t count)
{
	uint32_t number = new_item(w);

	add_marker(w, (uint8_t)kind, count);
	return number;
}

void bplist_add_ref(struct bplist_writer *w, uint32_t number)
{
	if (buf_add(&w->refs, &number, sizeof(number)) < 0)
		w->failed = true;
}

static uint8_t *store_be(uint8_t *p, uint64_t value, unsigned len)
{
	while (len--)
		*p++ = (uint8_t)(value >> 8 * len);
	return p;
}

struct layout {
	const struct item *items; /* one more behind the last */
	size_t count;
	const uint32_t *refs;
	unsigned ref_size, offset_size;
	size_t table; /* its place in the list */
};

static uint8_t *store_objects(const struct bplist_writer *w,
			      const struct layout *l, uint8_t *p)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct item *item = &l->items[i];
		size_t len = item[1].at - item->at;

		memcpy(p, w->objects.ptr + item->at, len);
		p += len;
		for (size_t r = item->ref; r < item[1].ref; r++)
			p = store_be(p, l->refs[r], l->ref_size);
	}
	return p;
}

static uint8_t *store_table(const struct layout *l, uint8_t *p)
{
	for (size_t i = 0; i < l->count; i++)
		p = store_be(p,
			     strlen(MAGIC) + l->items[i].at +
				     l->items[i].ref * l->ref_size,
			     l->offset_size);
	return p;
}

int bplist_finish(struct bplist_writer *w, uint32_t root, struct buf *out)
{
	struct layout l = { .count = w->items.len / sizeof(struct item) };
	size_t ref_count = w->refs.len / sizeof(uint32_t);
	size_t len;
	uint8_t *p;

	new_item(w); /* an end for the last one */
	if (w->failed)
		return -ENOMEM;
	l.items = (const struct item *)w->items.ptr;
	l.refs = (const uint32_t *)w->refs.ptr;
	l.ref_size = width(l.count);
	l.table = strlen(MAGIC) + w->objects.len + ref_count * l.ref_size;
	l.offset_size = width(l.table);
	len = l.table + l.count * l.offset_size + TRAILER_LEN;
	if (buf_reserve(out, len) < 0)
		return -ENOMEM;
	p = out->ptr + out->len;
	memcpy(p, MAGIC, strlen(MAGIC));
	p = store_objects(w, &l, p + strlen(MAGIC));
	p = store_table(&l, p);
	memset(p, 0, 6);
	p[6] = (uint8_t)l.offset_size;
	p[7] = (uint8_t)l.ref_size;
	p = store_be(p + 8, l.count, 8);
	p = store_be(p, root, 8);
	store_be(p, l.table, 8);
	out->len += len;
	return 0;
}
