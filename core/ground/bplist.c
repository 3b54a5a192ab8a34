/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bplist.h"

#include <errno.h>
#include <math.h>

#define TRAILER_LEN 32
#define MAGIC_LEN 8

/* References have one byte in a small list, offsets two, times four. */
static inline uint64_t be_number(const uint8_t *p, size_t len)
{
	uint64_t n = 0;

	if (len == 1)
		return p[0];
	if (len == 2)
		return (uint32_t)p[0] << 8 | p[1];
	if (len == 4)
		return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
	for (size_t i = 0; i < len; i++)
		n = n << 8 | p[i];
	return n;
}

int bplist_open(struct bplist *bp, struct view data)
{
	const uint8_t *trailer;
	uint64_t table, room;

	if (data.len < MAGIC_LEN + 1 + TRAILER_LEN ||
	    memcmp(data.ptr, "bplist00", MAGIC_LEN))
		return -EBADMSG;
	trailer = data.ptr + data.len - TRAILER_LEN;
	bp->data = view_of(data.ptr, data.len - TRAILER_LEN);
	bp->offset_size = trailer[6];
	bp->ref_size = trailer[7];
	bp->count = be_number(trailer + 8, 8);
	bp->root = be_number(trailer + 16, 8);
	table = be_number(trailer + 24, 8);
	if (bp->offset_size < 1 || bp->offset_size > 8 || bp->ref_size < 1 ||
	    bp->ref_size > 8 || table < MAGIC_LEN || table > bp->data.len)
		return -EBADMSG;
	room = bp->data.len - table;
	if (!bp->count || bp->count > room / bp->offset_size ||
	    bp->root >= bp->count)
		return -EBADMSG;
	bp->table = data.ptr + table;
	bp->data.len = table; /* objects end where the table begins */
	return 0;
}

/* Lengths up to 14 are in the marker, others in an integer behind it. */
static inline bool take_count(struct cursor *c, uint8_t marker, uint64_t *count)
{
	uint8_t int_marker;
	struct view v;

	*count = marker & 0x0f;
	if (*count != 0x0f)
		return true;
	if (!cursor_u8(c, &int_marker) || int_marker >> 4 != 1 ||
	    (int_marker & 0x0f) > 3)
		return false;
	if (!cursor_take(c, (size_t)1 << (int_marker & 0x0f), &v))
		return false;
	*count = be_number(v.ptr, v.len);
	return true;
}

static inline bool take_items(struct cursor *c, uint8_t marker,
			      size_t item_size, struct bplist_obj *out)
{
	if (!take_count(c, marker, &out->count) ||
	    out->count > cursor_left(c) / item_size)
		return false;
	return cursor_take(c, out->count * item_size, &out->data);
}

static bool take_integer(struct cursor *c, uint8_t marker, int64_t *out)
{
	unsigned power = marker & 0x0f;
	struct view v;
	uint64_t low;

	if (power > 4 || !cursor_take(c, (size_t)1 << power, &v))
		return false;
	if (power < 4) {
		/* 1, 2 and 4 bytes are unsigned, 8 are signed */
		*out = (int64_t)be_number(v.ptr, v.len);
		return true;
	}
	low = be_number(v.ptr + 8, 8);
	switch (be_number(v.ptr, 8)) {
	case 0:
		*out = low > INT64_MAX ? INT64_MAX : (int64_t)low;
		return true;
	case UINT64_MAX:
		*out = low > INT64_MAX ? (int64_t)low : INT64_MIN;
		return true;
	default:
		*out = v.ptr[0] & 0x80 ? INT64_MIN : INT64_MAX;
		return true;
	}
}

static bool take_real(struct cursor *c, uint8_t marker, double *out)
{
	struct view v;
	uint64_t bits;
	uint32_t bits32;
	float single;

	switch (marker & 0x0f) {
	case 2:
		if (!cursor_take(c, 4, &v))
			return false;
		bits32 = (uint32_t)be_number(v.ptr, 4);
		memcpy(&single, &bits32, 4);
		*out = single;
		return true;
	case 3:
		if (!cursor_take(c, 8, &v))
			return false;
		bits = be_number(v.ptr, 8);
		memcpy(out, &bits, 8);
		return true;
	default:
		return false;
	}
}

/* The bytes from an object on, to where objects end. */
static inline bool locate(const struct bplist *bp, uint64_t ref,
			  struct cursor *out)
{
	uint64_t off;

	if (ref >= bp->count)
		return false;
	off = be_number(bp->table + ref * bp->offset_size, bp->offset_size);
	if (off < MAGIC_LEN || off >= bp->data.len)
		return false;
	*out = cursor_over(view_of(bp->data.ptr + off, bp->data.len - off));
	return true;
}

/* Text that is short enough for its length to be in the marker, as keys are. */
static inline bool short_text(const struct cursor *c, struct view *text)
{
	size_t len = *c->ptr & 0x0f;

	if (*c->ptr >> 4 != 0x5 || len == 0x0f || len >= cursor_left(c))
		return false;
	*text = view_of(c->ptr + 1, len);
	return true;
}

int bplist_get(const struct bplist *bp, uint64_t ref, struct bplist_obj *out)
{
	struct cursor c;
	uint8_t marker;
	struct view v;
	bool good = true;

	if (!locate(bp, ref, &c))
		return -EBADMSG;
	*out = (struct bplist_obj){ 0 };
	if (!cursor_u8(&c, &marker))
		return -EBADMSG;
	switch (marker >> 4) {
	case 0x0:
		if (marker == 0x08 || marker == 0x09) {
			out->type = BPLIST_BOOL;
			out->integer = marker & 1;
		} else {
			good = marker == 0x00;
		}
		break;
	case 0x1:
		out->type = BPLIST_INT;
		good = take_integer(&c, marker, &out->integer);
		break;
	case 0x2:
		out->type = BPLIST_REAL;
		good = take_real(&c, marker, &out->real);
		break;
	case 0x3:
		out->type = BPLIST_DATE;
		good = marker == 0x33 && take_real(&c, marker, &out->real);
		break;
	case 0x4:
		out->type = BPLIST_DATA;
		good = take_items(&c, marker, 1, out);
		break;
	case 0x5:
		out->type = BPLIST_ASCII;
		good = take_items(&c, marker, 1, out);
		break;
	case 0x6:
		out->type = BPLIST_UTF16;
		good = take_items(&c, marker, 2, out);
		break;
	case 0x8:
		out->type = BPLIST_UID;
		good = (marker & 0x0f) < 8 &&
		       cursor_take(&c, (marker & 0x0f) + 1, &v);
		if (good) {
			uint64_t uid = be_number(v.ptr, v.len);

			out->integer =
				uid > INT64_MAX ? INT64_MAX : (int64_t)uid;
		}
		break;
	case 0xa:
	case 0xc:
		out->type = BPLIST_ARRAY;
		good = take_items(&c, marker, bp->ref_size, out);
		break;
	case 0xd:
		out->type = BPLIST_DICT;
		good = take_items(&c, marker, 2 * (size_t)bp->ref_size, out);
		break;
	default:
		good = false;
	}
	return good ? 0 : -EBADMSG;
}

static inline uint64_t ref_at(const struct bplist *bp,
			      const struct bplist_obj *o, uint64_t at)
{
	return be_number(o->data.ptr + at * bp->ref_size, bp->ref_size);
}

/* bplist_get for what is likely to be short text. */
static inline int get_key(const struct bplist *bp, uint64_t ref,
			  struct bplist_obj *out)
{
	struct cursor c;
	struct view text;

	if (!locate(bp, ref, &c) || !short_text(&c, &text))
		return bplist_get(bp, ref, out);
	*out = (struct bplist_obj){ .type = BPLIST_ASCII,
				    .data = text,
				    .count = text.len };
	return 0;
}

int bplist_item(const struct bplist *bp, const struct bplist_obj *container,
		uint64_t at, struct bplist_obj *out)
{
	if (container->type != BPLIST_ARRAY || at >= container->count)
		return -EBADMSG;
	return bplist_get(bp, ref_at(bp, container, at), out);
}

int bplist_pair(const struct bplist *bp, const struct bplist_obj *dict,
		uint64_t at, struct bplist_obj *key, struct bplist_obj *value)
{
	int rc;

	if (dict->type != BPLIST_DICT || at >= dict->count)
		return -EBADMSG;
	rc = get_key(bp, ref_at(bp, dict, at), key);
	if (rc < 0)
		return rc;
	return bplist_get(bp, ref_at(bp, dict, dict->count + at), value);
}

/* Is this object the key? 1, 0, or -EBADMSG. */
static inline int is_key(const struct bplist *bp, uint64_t ref, struct view key)
{
	struct bplist_obj o;
	int rc = get_key(bp, ref, &o);

	if (rc < 0)
		return rc;
	return o.type == BPLIST_ASCII && o.data.len == key.len &&
	       !memcmp(o.data.ptr, key.ptr, key.len);
}

int bplist_lookup(const struct bplist *bp, const struct bplist_obj *dict,
		  const char *key, struct bplist_obj *value)
{
	struct view text = view_of(key, strlen(key));
	int rc;

	if (dict->type != BPLIST_DICT)
		return -EBADMSG;
	for (uint64_t i = 0; i < dict->count; i++) {
		rc = is_key(bp, ref_at(bp, dict, i), text);
		if (rc < 0)
			return rc;
		if (rc)
			return bplist_get(bp, ref_at(bp, dict, dict->count + i),
					  value);
	}
	return -ENOENT;
}

static int check_node(const struct bplist *bp, uint64_t ref, unsigned depth,
		      uint64_t *nodes)
{
	struct bplist_obj o;
	uint64_t refs;
	int rc;

	if (!*nodes)
		return -EBADMSG;
	--*nodes;
	rc = bplist_get(bp, ref, &o);
	if (rc < 0)
		return rc;
	if (o.type != BPLIST_ARRAY && o.type != BPLIST_DICT)
		return 0;
	if (!depth)
		return -EBADMSG;
	refs = o.type == BPLIST_DICT ? 2 * o.count : o.count;
	for (uint64_t i = 0; i < refs; i++) {
		rc = check_node(bp, ref_at(bp, &o, i), depth - 1, nodes);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int bplist_check(const struct bplist *bp, unsigned max_depth,
		 uint64_t max_nodes)
{
	return check_node(bp, bp->root, max_depth, &max_nodes);
}

static int add_utf8(struct buf *out, uint32_t c)
{
	uint8_t b[4];
	size_t n;

	if (c < 0x80) {
		b[0] = (uint8_t)c;
		n = 1;
	} else if (c < 0x800) {
		b[0] = (uint8_t)(0xc0 | c >> 6);
		b[1] = (uint8_t)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		b[0] = (uint8_t)(0xe0 | c >> 12);
		b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		b[0] = (uint8_t)(0xf0 | c >> 18);
		b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[3] = (uint8_t)(0x80 | (c & 0x3f));
		n = 4;
	}
	return buf_add(out, b, n);
}

int bplist_text(const struct bplist_obj *string, struct buf *out)
{
	const uint8_t *p = string->data.ptr;
	int rc;

	if (string->type == BPLIST_ASCII)
		return buf_add(out, p, string->data.len);
	if (string->type != BPLIST_UTF16)
		return -EBADMSG;
	for (uint64_t i = 0; i < string->count; i++, p += 2) {
		uint32_t c = (uint32_t)p[0] << 8 | p[1];

		if (c >= 0xd800 && c < 0xdc00 && i + 1 < string->count) {
			uint32_t low = (uint32_t)p[2] << 8 | p[3];

			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) +
				    (low - 0xdc00);
				i++;
				p += 2;
			}
		}
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd; /* half a surrogate pair */
		rc = add_utf8(out, c);
		if (rc < 0)
			return rc;
	}
	return 0;
}
