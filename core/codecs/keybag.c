/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keybag.h"

#include <errno.h>

static uint32_t tag_of(const char *text)
{
	return (uint32_t)text[0] << 24 | (uint32_t)text[1] << 16 |
	       (uint32_t)text[2] << 8 | (uint32_t)text[3];
}

static bool number(struct view value, uint32_t *out)
{
	struct cursor c = cursor_over(value);

	return value.len == 4 && cursor_be32(&c, out);
}

static bool bytes(struct view value, uint8_t *out, size_t len)
{
	if (value.len != len)
		return false;
	memcpy(out, value.ptr, len);
	return true;
}

/* What nobody depends on may have any length, and is left as it was then. */
static bool optional_number(struct view value, uint32_t *out)
{
	(void)number(value, out);
	return true;
}

struct progress {
	bool seen_uuid, seen_salt, seen_iterations;
	bool seen_double_salt, seen_double_iterations;
};

static bool header_field(struct keybag *bag, struct progress *seen,
			 uint32_t tag, struct view value)
{
	if (tag == tag_of("SALT")) {
		seen->seen_salt = true;
		return bytes(value, bag->salt, sizeof(bag->salt));
	}
	if (tag == tag_of("ITER")) {
		seen->seen_iterations = true;
		return number(value, &bag->iterations);
	}
	if (tag == tag_of("DPSL")) {
		seen->seen_double_salt = true;
		return bytes(value, bag->double_salt, sizeof(bag->double_salt));
	}
	if (tag == tag_of("DPIC")) {
		seen->seen_double_iterations = true;
		return number(value, &bag->double_iterations);
	}
	if (tag == tag_of("VERS"))
		return optional_number(value, &bag->version);
	if (tag == tag_of("TYPE"))
		return optional_number(value, &bag->type);
	if (tag == tag_of("WRAP"))
		return optional_number(value, &bag->wrap);
	if (tag == tag_of("HMCK"))
		(void)bytes(value, bag->hmac_key, sizeof(bag->hmac_key));
	return true; /* DPWT and what is to come */
}

static bool class_field(struct keybag_class *class, uint32_t tag,
			struct view value)
{
	if (tag == tag_of("CLAS"))
		return number(value, &class->number);
	if (tag == tag_of("WRAP"))
		return number(value, &class->wrap);
	if (tag == tag_of("KTYP"))
		return number(value, &class->key_type);
	if (tag == tag_of("WPKY")) {
		class->has_key = true;
		return bytes(value, class->wrapped, sizeof(class->wrapped));
	}
	if (tag == tag_of("PBKY"))
		class->has_public_key = bytes(value, class->public_key,
					      sizeof(class->public_key));
	return true;
}

static int check_counts(const struct keybag *bag, struct mb_err *err)
{
	if (!bag->iterations || bag->iterations > KEYBAG_ITERATIONS_MAX)
		return mb_err_set(
			err, -EBADMSG,
			"key bag: iteration count %u is not in 1 to %u",
			bag->iterations, KEYBAG_ITERATIONS_MAX);
	if (bag->has_double &&
	    (!bag->double_iterations ||
	     bag->double_iterations > KEYBAG_DOUBLE_ITERATIONS_MAX))
		return mb_err_set(
			err, -EBADMSG,
			"key bag: second iteration count %u is not in 1 to %u",
			bag->double_iterations, KEYBAG_DOUBLE_ITERATIONS_MAX);
	return 0;
}

static int next_tag(struct cursor *c, uint32_t *tag, struct view *value,
		    struct mb_err *err)
{
	uint32_t len;

	if (!cursor_be32(c, tag) || !cursor_be32(c, &len))
		return mb_err_set(err, -EBADMSG, "key bag: ends within a tag");
	if (!cursor_take(c, len, value))
		return mb_err_set(
			err, -EBADMSG,
			"key bag: %c%c%c%c of %u bytes runs past the end",
			*tag >> 24, *tag >> 16 & 255, *tag >> 8 & 255,
			*tag & 255, len);
	return 0;
}

int keybag_decode(struct keybag *bag, struct view data, struct mb_err *err)
{
	struct cursor c = cursor_over(data);
	struct keybag_class *class = NULL;
	struct progress seen = { 0 };

	*bag = (struct keybag){ 0 };
	while (cursor_left(&c)) {
		struct view value = { 0 };
		uint32_t tag;
		bool good;
		int rc = next_tag(&c, &tag, &value, err);

		if (rc < 0)
			return rc;
		/* the first UUID is the bag's, each later one opens a class */
		if (tag == tag_of("UUID") && !seen.seen_uuid) {
			seen.seen_uuid = true;
			good = bytes(value, bag->uuid, sizeof(bag->uuid));
		} else if (tag == tag_of("UUID")) {
			if (bag->class_count == KEYBAG_CLASSES_MAX)
				return mb_err_set(
					err, -EBADMSG,
					"key bag: more than %u classes",
					KEYBAG_CLASSES_MAX);
			class = &bag->classes[bag->class_count++];
			good = bytes(value, class->uuid, sizeof(class->uuid));
		} else if (class) {
			good = class_field(class, tag, value);
		} else {
			good = header_field(bag, &seen, tag, value);
		}
		if (!good)
			return mb_err_set(err, -EBADMSG,
					  "key bag: %c%c%c%c has %zu bytes",
					  tag >> 24, tag >> 16 & 255,
					  tag >> 8 & 255, tag & 255, value.len);
	}
	if (!seen.seen_salt || !seen.seen_iterations)
		return mb_err_set(
			err, -EBADMSG,
			"key bag: salt or iteration count is missing");
	if (seen.seen_double_salt != seen.seen_double_iterations)
		return mb_err_set(
			err, -EBADMSG,
			"key bag: only half of the second derivation");
	bag->has_double = seen.seen_double_salt;
	for (unsigned i = 0; i < bag->class_count; i++)
		if (bag->classes[i].has_key &&
		    bag->classes[i].wrap == KEYBAG_WRAP_PASSWORD)
			return check_counts(bag, err);
	return mb_err_set(err, -EBADMSG,
			  "key bag: no class key that a password opens");
}

/* Stored lengths of what a bag and a class consist of, at most. */
#define TAG_LEN(value_len) (8 + (value_len))
#define HEADER_LEN_MAX \
	(6 * TAG_LEN(4) + TAG_LEN(16) + TAG_LEN(40) + 2 * TAG_LEN(20))
#define CLASS_LEN_MAX (TAG_LEN(16) + 3 * TAG_LEN(4) + TAG_LEN(40) + TAG_LEN(32))

static void put_be32(struct buf *out, uint32_t value)
{
	const uint8_t be[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
			       (uint8_t)(value >> 8), (uint8_t)value };

	buf_add(out, be, sizeof(be));
}

static void put(struct buf *out, const char *tag, const void *ptr, uint32_t len)
{
	buf_add(out, tag, 4);
	put_be32(out, len);
	buf_add(out, ptr, len);
}

static void put_number(struct buf *out, const char *tag, uint32_t value)
{
	buf_add(out, tag, 4);
	put_be32(out, 4);
	put_be32(out, value);
}

static void put_class(struct buf *out, const struct keybag_class *class)
{
	put(out, "UUID", class->uuid, sizeof(class->uuid));
	put_number(out, "CLAS", class->number);
	put_number(out, "WRAP", class->wrap);
	put_number(out, "KTYP", class->key_type);
	if (class->has_key)
		put(out, "WPKY", class->wrapped, sizeof(class->wrapped));
	if (class->has_public_key)
		put(out, "PBKY", class->public_key, sizeof(class->public_key));
}

int keybag_encode(struct buf *out, const struct keybag *bag)
{
	/* once for all of it: nothing below can fail any more */
	if (buf_reserve(out,
			HEADER_LEN_MAX + bag->class_count * CLASS_LEN_MAX) < 0)
		return -ENOMEM;
	put_number(out, "VERS", bag->version);
	put_number(out, "TYPE", bag->type);
	put(out, "UUID", bag->uuid, sizeof(bag->uuid));
	put(out, "HMCK", bag->hmac_key, sizeof(bag->hmac_key));
	put_number(out, "WRAP", bag->wrap);
	put(out, "SALT", bag->salt, sizeof(bag->salt));
	put_number(out, "ITER", bag->iterations);
	if (bag->has_double) {
		put_number(out, "DPWT", 1);
		put_number(out, "DPIC", bag->double_iterations);
		put(out, "DPSL", bag->double_salt, sizeof(bag->double_salt));
	}
	for (unsigned i = 0; i < bag->class_count; i++)
		put_class(out, &bag->classes[i]);
	return 0;
}

/* What stands in the place of a value; empty: the value itself. */
static struct view value_in(const struct keybag *bag,
			    const struct keybag_class *class, uint32_t tag,
			    uint8_t number[4])
{
	if (class)
		return tag == tag_of("WPKY") ?
			       view_of(class->wrapped, sizeof(class->wrapped)) :
			       view_of(NULL, 0);
	if (tag == tag_of("SALT"))
		return view_of(bag->salt, sizeof(bag->salt));
	if (tag == tag_of("DPSL"))
		return view_of(bag->double_salt, sizeof(bag->double_salt));
	if (tag != tag_of("DPIC"))
		return view_of(NULL, 0);
	for (int i = 0; i < 4; i++)
		number[i] = (uint8_t)(bag->double_iterations >> 8 * (3 - i));
	return view_of(number, 4);
}

/* Does the tag open a class? The first UUID is the bag's. */
static bool opens_class(uint32_t tag, bool *in_bag)
{
	bool opens = tag == tag_of("UUID") && *in_bag;

	*in_bag |= tag == tag_of("UUID");
	return opens;
}

/*
 * The walk is the decoder's. What is replaced has been decoded, so it has its
 * length, and of a tag that is there twice no old value stays behind.
 */
static int replace_values(uint8_t *stored, struct view data,
			  const struct keybag *bag, struct mb_err *err)
{
	const struct keybag_class *class = NULL;
	struct cursor c = cursor_over(data);
	bool in_bag = false;
	unsigned opened = 0;

	while (cursor_left(&c)) {
		struct view value = { 0 }, put;
		uint8_t number[4];
		uint32_t tag;
		int rc = next_tag(&c, &tag, &value, err);

		if (rc < 0)
			return rc;
		if (opens_class(tag, &in_bag) && opened++ < bag->class_count)
			class = &bag->classes[opened - 1];
		put = value_in(bag, class, tag, number);
		if (put.len && put.len != value.len)
			return mb_err_set(err, -EBADMSG,
					  "key bag: not the one it was");
		if (put.len)
			memcpy(stored + (value.ptr - data.ptr), put.ptr,
			       put.len);
	}
	return opened == bag->class_count ?
		       0 :
		       mb_err_set(err, -EBADMSG, "key bag: not the one it was");
}

int keybag_replace(struct buf *out, struct view data, const struct keybag *bag,
		   struct mb_err *err)
{
	size_t begin = out->len;
	int rc;

	if (buf_add(out, data.ptr, data.len) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = replace_values(out->ptr + begin, data, bag, err);
	if (rc < 0)
		out->len = begin;
	return rc;
}
