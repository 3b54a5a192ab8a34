/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bplist.h"

#include <errno.h>
#include <math.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

/* A list from hexadecimal objects, one byte for each offset and reference. */
static struct bytes list_of(const char *const *objects, size_t count,
			    unsigned root)
{
	struct bytes b = { 0 };
	uint8_t offsets[256];

	add_text(&b, "bplist00");
	for (size_t i = 0; i < count; i++) {
		offsets[i] = (uint8_t)b.len;
		add_hex(&b, objects[i]);
	}
	add_be(&b, 0, 0);
	{
		size_t table = b.len;

		add(&b, offsets, count);
		add_hex(&b, "000000000000"
			    "0101");
		add_be(&b, count, 8);
		add_be(&b, root, 8);
		add_be(&b, table, 8);
	}
	return b;
}

#define LIST(...)                                     \
	list_of((const char *const[]){ __VA_ARGS__ }, \
		COUNT(((const char *const[]){ __VA_ARGS__ })), 0)

static struct view view(struct bytes b)
{
	return view_of(b.ptr, b.len);
}

/* The root of a list with one object; fails the case if it does not open. */
static int only(const char *object, struct bplist_obj *o)
{
	static struct bytes b;
	struct bplist bp;

	drop(&b);
	b = LIST(object);
	if (!CHECK_AT(bplist_open(&bp, view(b)) == 0, "%s", object))
		return -1;
	return bplist_get(&bp, bp.root, o);
}

CASE(integers_of_every_width)
{
	static const struct {
		const char *hex;
		int64_t value;
	} good[] = {
		{ "1000", 0 },
		{ "10ff", 255 },
		{ "11ffff", 65535 },
		{ "12ffffffff", 4294967295 },
		{ "130000000100000000", 4294967296 },
		{ "13fffffffffffffff3", -13 },
		{ "138000000000000000", INT64_MIN },
		{ "14fffffffffffffffffffffffffffffff3", -13 },
		{ "1400000000000000000000000000000005", 5 },
		{ "140000000000000000ffffffffffffffff", INT64_MAX },
		{ "14ffffffffffffffff0000000000000000", INT64_MIN },
		{ "1400000000000000010000000000000000", INT64_MAX },
		{ "1480000000000000000000000000000000", INT64_MIN },
	};
	struct bplist_obj o;

	for (size_t i = 0; i < COUNT(good); i++) {
		CHECK_AT(only(good[i].hex, &o) == 0, "%s", good[i].hex);
		CHECK_AT(o.type == BPLIST_INT && o.integer == good[i].value,
			 "%s: %lld", good[i].hex, (long long)o.integer);
	}
	CHECK_INT(only("15", &o), -EBADMSG);
	CHECK_INT(only("1f", &o), -EBADMSG);
	CHECK_INT(only("13ffffff", &o), -EBADMSG);
}

CASE(null_booleans_reals_and_dates)
{
	struct bplist_obj o;

	CHECK(only("00", &o) == 0 && o.type == BPLIST_NULL);
	CHECK(only("08", &o) == 0 && o.type == BPLIST_BOOL && !o.integer);
	CHECK(only("09", &o) == 0 && o.type == BPLIST_BOOL && o.integer == 1);
	CHECK_INT(only("0f", &o), -EBADMSG);
	CHECK(only("223fc00000", &o) == 0 && o.type == BPLIST_REAL &&
	      o.real == 1.5);
	CHECK(only("23c004000000000000", &o) == 0 && o.type == BPLIST_REAL &&
	      o.real == -2.5);
	CHECK(only("237ff8000000000000", &o) == 0 && isnan(o.real));
	CHECK_INT(only("21ffff", &o), -EBADMSG);
	CHECK_INT(only("2400000000000000000000000000000000", &o), -EBADMSG);
	CHECK(only("334197d78400000000", &o) == 0 && o.type == BPLIST_DATE &&
	      o.real == 100000000.0);
	CHECK_INT(only("3200000000", &o), -EBADMSG);
	CHECK_INT(only("33000000", &o), -EBADMSG);
}

CASE(data_and_text_with_short_and_long_counts)
{
	struct bplist_obj o;

	CHECK(only("43010203", &o) == 0 && o.type == BPLIST_DATA);
	CHECK_BYTES(o.data.ptr, o.data.len, "\1\2\3", 3);
	CHECK(only("40", &o) == 0 && o.data.len == 0);
	CHECK(only("4f10020405", &o) == 0 && o.data.len == 2);
	CHECK(only("4f1100020405", &o) == 0 && o.data.len == 2);
	CHECK(only("4f12000000020405", &o) == 0 && o.data.len == 2);
	CHECK(only("4f1300000000000000020405", &o) == 0 && o.data.len == 2);
	CHECK(only("53616263", &o) == 0 && o.type == BPLIST_ASCII);
	CHECK(view_is(o.data, "abc"));
	CHECK(only("6100e4", &o) == 0 && o.type == BPLIST_UTF16);
	CHECK(o.count == 1 && o.data.len == 2);
	CHECK(only("8005", &o) == 0 && o.type == BPLIST_UID && o.integer == 5);
	CHECK(only("81ffff", &o) == 0 && o.integer == 65535);
	CHECK(only("87ffffffffffffffff", &o) == 0 && o.integer == INT64_MAX);
	CHECK_INT(only("88ffffffffffffffffff", &o), -EBADMSG);
	CHECK_INT(only("8f", &o), -EBADMSG);
}

CASE(counts_beyond_the_data_are_rejected)
{
	static const char *const bad[] = {
		"43",
		"430102",
		"4f10ff01",
		"4f13ffffffffffffffff",
		"4f137fffffffffffffff",
		"4f138000000000000000",
		"4f14",
		"4f",
		"4f20",
		"5f12ffffffff",
		"6f13ffffffffffffffff",
		"6f138000000000000001",
		"6f137fffffffffffffff",
		"af13ffffffffffffffff",
		"df138000000000000001",
		"df13ffffffffffffffff",
		"af10",
		"a1",
		"d101",
		"6200e4",
		"7000",
		"90",
		"b0",
		"e0",
		"f0",
		"ff",
	};
	struct bplist_obj o;

	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK_AT(only(bad[i], &o) == -EBADMSG, "%s", bad[i]);
}

/* keys have a way of their own: short, and up to where the table begins */
CASE(keys_beyond_the_data_are_rejected)
{
	static const char *const bad[] = { "53", "536162", "5e61", "7161" };
	struct bplist_obj dict, key, value;
	struct bplist bp;

	for (size_t i = 0; i < COUNT(bad); i++) {
		/* the key last, so that only the table follows it */
		struct bytes b = LIST("d10201", "1007", bad[i]);

		CHECK_INT(bplist_open(&bp, view(b)), 0);
		CHECK_INT(bplist_get(&bp, bp.root, &dict), 0);
		CHECK_AT(bplist_lookup(&bp, &dict, "abc", &value) == -EBADMSG,
			 "%s", bad[i]);
		CHECK_AT(bplist_pair(&bp, &dict, 0, &key, &value) == -EBADMSG,
			 "%s", bad[i]);
		drop(&b);
	}
}

CASE(a_key_that_ends_with_the_data_is_found)
{
	struct bytes b = LIST("d10201", "1007", "53616263");
	struct bplist_obj dict, key, value;
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, bp.root, &dict), 0);
	CHECK_INT(bplist_lookup(&bp, &dict, "abc", &value), 0);
	CHECK_INT(value.integer, 7);
	CHECK_INT(bplist_pair(&bp, &dict, 0, &key, &value), 0);
	CHECK(key.type == BPLIST_ASCII && view_is(key.data, "abc"));
	CHECK_INT(key.count, 3);
	CHECK_INT(bplist_lookup(&bp, &dict, "ab", &value), -ENOENT);
	CHECK_INT(bplist_lookup(&bp, &dict, "abd", &value), -ENOENT);
	drop(&b);
}

CASE(containers_hand_out_their_items)
{
	struct bytes b = LIST("d20102"
			      "0304",
			      "5161", "5162", "1007",
			      "a2"
			      "0305",
			      "09");
	struct bplist_obj root, key, value;
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, bp.root, &root), 0);
	CHECK(root.type == BPLIST_DICT && root.count == 2);
	CHECK_INT(bplist_pair(&bp, &root, 1, &key, &value), 0);
	CHECK(view_is(key.data, "b") && value.type == BPLIST_ARRAY);
	CHECK_INT(bplist_item(&bp, &value, 1, &key), 0);
	CHECK(key.type == BPLIST_BOOL && key.integer == 1);
	CHECK_INT(bplist_item(&bp, &value, 2, &key), -EBADMSG);
	CHECK_INT(bplist_item(&bp, &root, 0, &key), -EBADMSG);
	CHECK_INT(bplist_pair(&bp, &root, 2, &key, &value), -EBADMSG);
	CHECK_INT(bplist_lookup(&bp, &root, "a", &value), 0);
	CHECK_INT(value.integer, 7);
	CHECK_INT(bplist_lookup(&bp, &root, "c", &value), -ENOENT);
	CHECK_INT(bplist_lookup(&bp, &root, "", &value), -ENOENT);
	CHECK_INT(bplist_lookup(&bp, &key, "a", &value), -EBADMSG);
	CHECK_INT(bplist_check(&bp, 8, 100), 0);
	drop(&b);
}

CASE(sets_are_read_as_arrays)
{
	struct bytes b = LIST("c2"
			      "0101",
			      "1003");
	struct bplist_obj root, item;
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, bp.root, &root), 0);
	CHECK(root.type == BPLIST_ARRAY && root.count == 2);
	CHECK_INT(bplist_item(&bp, &root, 1, &item), 0);
	CHECK_INT(item.integer, 3);
	drop(&b);
}

CASE(references_out_of_range_are_rejected)
{
	struct bytes b = LIST("a201ff", "1001");
	struct bplist_obj root, item;
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, 0, &root), 0);
	CHECK_INT(bplist_item(&bp, &root, 0, &item), 0);
	CHECK_INT(bplist_item(&bp, &root, 1, &item), -EBADMSG);
	CHECK_INT(bplist_get(&bp, 2, &item), -EBADMSG);
	CHECK_INT(bplist_get(&bp, UINT64_MAX, &item), -EBADMSG);
	CHECK_INT(bplist_check(&bp, 8, 100), -EBADMSG);
	drop(&b);
}

CASE(offsets_into_the_header_or_the_table_are_rejected)
{
	struct bytes b = LIST("a1"
			      "01",
			      "1001");
	size_t table = b.len - 32 - 2;
	struct bplist_obj o;
	struct bplist bp;

	b.ptr[table + 1] = 7;
	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, 1, &o), -EBADMSG);
	b.ptr[table + 1] = (uint8_t)table;
	CHECK_INT(bplist_get(&bp, 1, &o), -EBADMSG);
	b.ptr[table + 1] = (uint8_t)(table + 2); /* a zero of the trailer */
	CHECK_INT(bplist_get(&bp, 1, &o), -EBADMSG);
	b.ptr[table + 1] = 255;
	CHECK_INT(bplist_get(&bp, 1, &o), -EBADMSG);
	/* an object may begin within another, but must end before the table */
	b.ptr[table + 1] = (uint8_t)(table - 1);
	CHECK_INT(bplist_get(&bp, 1, &o), -EBADMSG); /* "01" */
	drop(&b);
}

CASE(a_trailer_with_impossible_figures_is_rejected)
{
	struct bytes good = LIST("a1"
				 "01",
				 "1001");
	static const struct {
		size_t back; /* from the end */
		uint8_t value;
	} bad[] = {
		{ 26, 0 }, { 26, 9 },	 { 25, 0 },    { 25, 9 }, { 17, 0 },
		{ 17, 3 }, { 24, 0x80 }, { 24, 0x20 }, { 9, 2 },  { 16, 0xff },
		{ 1, 7 },  { 1, 200 },	 { 8, 0x80 },
	};
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(good)), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct bytes b = { 0 };

		add(&b, good.ptr, good.len);
		b.ptr[b.len - bad[i].back] = bad[i].value;
		CHECK_AT(bplist_open(&bp, view(b)) == -EBADMSG,
			 "byte %zu from the end = %u", bad[i].back,
			 bad[i].value);
		drop(&b);
	}
	CHECK_INT(bplist_open(&bp, view_of(good.ptr, 40)), -EBADMSG);
	CHECK_INT(bplist_open(&bp, view_of(NULL, 0)), -EBADMSG);
	good.ptr[6] = '1';
	CHECK_INT(bplist_open(&bp, view(good)), -EBADMSG);
	drop(&good);
}

CASE(offsets_and_references_of_eight_bytes_work)
{
	struct bytes b = { 0 };
	struct bplist_obj root, item;
	struct bplist bp;

	add_text(&b, "bplist00");
	add_hex(&b, "a1"
		    "0000000000000001"
		    "102a");
	add_be(&b, 8, 8);
	add_be(&b, 17, 8);
	add_hex(&b, "000000000000"
		    "0808");
	add_be(&b, 2, 8);
	add_be(&b, 0, 8);
	add_be(&b, 19, 8);
	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_get(&bp, 0, &root), 0);
	CHECK_INT(bplist_item(&bp, &root, 0, &item), 0);
	CHECK_INT(item.integer, 42);
	drop(&b);
}

CASE(a_list_that_contains_itself_fails_the_check)
{
	struct bytes b = LIST("a1"
			      "00");
	struct bytes c = LIST("a1"
			      "01",
			      "d1"
			      "0200",
			      "5161");
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_check(&bp, 64, 1000000), -EBADMSG);
	CHECK_INT(bplist_open(&bp, view(c)), 0);
	CHECK_INT(bplist_check(&bp, 64, 1000000), -EBADMSG);
	drop(&b);
	drop(&c);
}

/* thirty arrays of two references each: a billion nodes when expanded */
CASE(references_that_multiply_fail_the_check)
{
	const char *objects[31];
	char text[30][8];
	struct bytes b;
	struct bplist bp;

	for (int i = 0; i < 30; i++) {
		sprintf(text[i], "a2%02x%02x", i + 1, i + 1);
		objects[i] = text[i];
	}
	objects[30] = "1001";
	b = list_of(objects, 31, 0);
	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_check(&bp, 64, 1000000), -EBADMSG);
	drop(&b);
	/* ten of them: 2047 nodes */
	b = list_of(objects + 20, 11, 0);
	for (int i = 0; i < 10; i++) {
		b.ptr[8 + 3 * i + 1] = (uint8_t)(i + 1);
		b.ptr[8 + 3 * i + 2] = (uint8_t)(i + 1);
	}
	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_check(&bp, 64, 2047), 0);
	CHECK_INT(bplist_check(&bp, 64, 2046), -EBADMSG);
	CHECK_INT(bplist_check(&bp, 10, 2047), 0);
	CHECK_INT(bplist_check(&bp, 9, 2047), -EBADMSG);
	drop(&b);
}

static void check_text(const char *object, const char *want, int line)
{
	struct buf out = { 0 };
	struct bplist_obj o;

	if (!CHECK_INT(only(object, &o), 0))
		return;
	CHECK_AT(bplist_text(&o, &out) == 0, "line %d", line);
	CHECK_AT(out.len == strlen(want) && !memcmp(out.ptr, want, out.len),
		 "line %d", line);
	buf_release(&out);
}
#define CHECK_STRING(object, want) check_text(object, want, __LINE__)

CASE(utf16_becomes_utf8)
{
	struct buf out = { 0 };
	struct bplist_obj o;

	CHECK_STRING("53616263", "abc");
	CHECK_STRING("6100dc", "\xc3\x9c");
	CHECK_STRING("62007f0080", "\x7f\xc2\x80");
	CHECK_STRING("6207ff0800", "\xdf\xbf\xe0\xa0\x80");
	CHECK_STRING("6120ac", "\xe2\x82\xac");
	CHECK_STRING("62d83ddcf1", "\xf0\x9f\x93\xb1");
	CHECK_STRING("62dbffdfff", "\xf4\x8f\xbf\xbf");
	CHECK_INT(only("1001", &o), 0);
	CHECK_INT(bplist_text(&o, &out), -EBADMSG);
}

CASE(half_a_surrogate_pair_becomes_the_replacement_character)
{
	CHECK_STRING("61d83d", "\xef\xbf\xbd");
	CHECK_STRING("62d83d0041", "\xef\xbf\xbd"
				   "A");
	CHECK_STRING("62dcf10041", "\xef\xbf\xbd"
				   "A");
	CHECK_STRING("63d83dd83ddcf1", "\xef\xbf\xbd\xf0\x9f\x93\xb1");
	CHECK_STRING("620041d83d", "A\xef\xbf\xbd");
}

CASE(the_reader_agrees_with_a_real_archive)
{
	struct bytes b = unhex(MBFILE_ENCRYPTED);
	struct bplist_obj root, objects, o;
	struct bplist bp;

	CHECK_INT(bplist_open(&bp, view(b)), 0);
	CHECK_INT(bplist_check(&bp, 8, 200), 0);
	CHECK_INT(bplist_get(&bp, bp.root, &root), 0);
	CHECK_INT(bplist_lookup(&bp, &root, "$version", &o), 0);
	CHECK_INT(o.integer, 100000);
	CHECK_INT(bplist_lookup(&bp, &root, "$objects", &objects), 0);
	CHECK_INT(objects.count, 7);
	CHECK_INT(bplist_item(&bp, &objects, 2, &o), 0);
	CHECK(view_is(o.data, "Documents/hello.txt"));
	drop(&b);
}

/* every truncation and every flipped bit: an answer, and no access outside */
CASE(damage_anywhere_is_survived)
{
	struct bytes good = unhex(MBFILE_ENCRYPTED);
	struct bplist_obj o, item;
	struct bplist bp;

	for (size_t len = 0; len <= good.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, good.ptr, len);
		if (bplist_open(&bp, view_of(copy, len)) == 0)
			bplist_check(&bp, 64, 10000);
		free(copy);
	}
	for (size_t bit = 0; bit < 8 * good.len; bit++) {
		uint8_t *copy = malloc(good.len);

		memcpy(copy, good.ptr, good.len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bplist_open(&bp, view_of(copy, good.len)) == 0) {
			bplist_check(&bp, 64, 10000);
			for (uint64_t i = 0; i < bp.count && i < 100; i++)
				if (bplist_get(&bp, i, &o) == 0)
					bplist_lookup(&bp, &o, "Mode", &item);
		}
		free(copy);
	}
	drop(&good);
}

int main(void)
{
	struct bplist_obj o;

	RUN(integers_of_every_width);
	RUN(null_booleans_reals_and_dates);
	RUN(data_and_text_with_short_and_long_counts);
	RUN(counts_beyond_the_data_are_rejected);
	RUN(keys_beyond_the_data_are_rejected);
	RUN(a_key_that_ends_with_the_data_is_found);
	RUN(containers_hand_out_their_items);
	RUN(sets_are_read_as_arrays);
	RUN(references_out_of_range_are_rejected);
	RUN(offsets_into_the_header_or_the_table_are_rejected);
	RUN(a_trailer_with_impossible_figures_is_rejected);
	RUN(offsets_and_references_of_eight_bytes_work);
	RUN(a_list_that_contains_itself_fails_the_check);
	RUN(references_that_multiply_fail_the_check);
	RUN(utf16_becomes_utf8);
	RUN(half_a_surrogate_pair_becomes_the_replacement_character);
	RUN(the_reader_agrees_with_a_real_archive);
	RUN(damage_anywhere_is_survived);
	only("00", &o);
	return tap_end();
}
