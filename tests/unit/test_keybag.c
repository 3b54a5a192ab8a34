/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keybag.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

/* ---- memory that ends when a case says so ---- */

static int reallocs, reallocs_left = -1; /* negative: no end */

void *__real_realloc(void *ptr, size_t len);
void *__wrap_realloc(void *ptr, size_t len);

void *__wrap_realloc(void *ptr, size_t len)
{
	reallocs++;
	if (!reallocs_left)
		return NULL;
	reallocs_left--;
	return __real_realloc(ptr, len);
}

static int decode(struct keybag *bag, const struct bytes *b, struct mb_err *err)
{
	/* a copy of its own, so that a sanitizer sees its end */
	uint8_t *copy = malloc(b->len ? b->len : 1);
	int rc;

	memcpy(copy, b->ptr, b->len);
	rc = keybag_decode(bag, view_of(copy, b->len), err);
	free(copy);
	return rc;
}

static void add_tag(struct bytes *b, const char *tag, const char *hex)
{
	struct bytes value = unhex(hex);

	add(b, tag, 4);
	add_be(b, value.len, 4);
	add(b, value.ptr, value.len);
	drop(&value);
}

#define UUID16 "00112233445566778899aabbccddeeff"
#define SALT20 "101112131415161718191a1b1c1d1e1f20212223"
#define KEY40                                                  \
	"000102030405060708090a0b0c0d0e0f10111213141516171819" \
	"1a1b1c1d1e1f2021222324252627"

/* what a sound bag consists of; a test leaves out or puts in its own */
struct recipe {
	const char *uuid, *salt, *iter, *dpsl, *dpic; /* "": leave out */
	const char *clas, *wrap, *wpky;
};

static struct bytes bag_of(struct recipe r)
{
	struct bytes b = { 0 };

#define PUT(tag, value, usual)                                         \
	do {                                                           \
		if (!(value) || (value)[0])                            \
			add_tag(&b, tag, (value) ? (value) : (usual)); \
	} while (0)
	PUT("UUID", r.uuid, UUID16);
	PUT("SALT", r.salt, SALT20);
	PUT("ITER", r.iter, "000003e8");
	PUT("DPSL", r.dpsl, SALT20);
	PUT("DPIC", r.dpic, "000007d0");
	add_tag(&b, "UUID", UUID16);
	PUT("CLAS", r.clas, "00000003");
	PUT("WRAP", r.wrap, "00000002");
	PUT("WPKY", r.wpky, KEY40);
	return b;
}

static int decode_recipe(struct recipe r)
{
	struct bytes b = bag_of(r);
	struct keybag bag;
	struct mb_err err = { 0 };
	int rc = decode(&bag, &b, &err);

	CHECK(rc == 0 || !strncmp(err.text, "key bag: ", 9));
	CHECK_INT(rc, err.code);
	drop(&b);
	return rc;
}

CASE(a_bag_with_two_derivations)
{
	struct bytes b = unhex(KEYBAG_MODERN), want;
	struct keybag bag;

	CHECK_INT(decode(&bag, &b, NULL), 0);
	want = unhex(UUID16);
	CHECK_BYTES(bag.uuid, 16, want.ptr, want.len);
	drop(&want);
	want = unhex(SALT20);
	CHECK_BYTES(bag.salt, 20, want.ptr, want.len);
	drop(&want);
	CHECK_INT(bag.iterations, 1000);
	CHECK(bag.has_double);
	want = unhex("404142434445464748494a4b4c4d4e4f50515253");
	CHECK_BYTES(bag.double_salt, 20, want.ptr, want.len);
	drop(&want);
	CHECK_INT(bag.double_iterations, 2000);
	CHECK_INT(bag.class_count, 4);
	for (unsigned i = 0; i < 4; i++) {
		static const unsigned numbers[] = { 1, 3, 4, 11 };

		CHECK_INT(bag.classes[i].number, numbers[i]);
		CHECK_INT(bag.classes[i].wrap, i == 3 ? 3 : 2);
		CHECK_INT(bag.classes[i].key_type, 0);
		CHECK(bag.classes[i].has_key);
	}
	want = unhex("e0ccc1fd8d2dfd723d2af4352d89b251421543d79ec8cd62"
		     "369a5ef69a051e104c56f64f3c84d8b4");
	CHECK_BYTES(bag.classes[2].wrapped, 40, want.ptr, want.len);
	drop(&want);
	drop(&b);
}

CASE(a_bag_with_one_derivation)
{
	struct bytes b = unhex(KEYBAG_LEGACY);
	struct keybag bag;

	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK(!bag.has_double);
	CHECK_INT(bag.iterations, 1000);
	CHECK_INT(bag.class_count, 4);
	drop(&b);
}

static struct bytes encode(const struct keybag *bag)
{
	struct buf out = { 0 };
	struct bytes b = { 0 };

	CHECK_INT(keybag_encode(&out, bag), 0);
	add(&b, out.ptr, out.len);
	buf_release(&out);
	return b;
}

static void check_same_after_decoding(const struct bytes *b)
{
	struct keybag bag;
	struct bytes again;

	if (!CHECK_INT(decode(&bag, b, NULL), 0))
		return;
	again = encode(&bag);
	CHECK_BYTES(again.ptr, again.len, b->ptr, b->len);
	drop(&again);
}

CASE(a_bag_in_the_usual_order_is_encoded_to_the_same_bytes)
{
	static const char *const bags[] = { KEYBAG_MODERN, KEYBAG_LEGACY };

	for (size_t i = 0; i < COUNT(bags); i++) {
		struct bytes b = unhex(bags[i]);

		check_same_after_decoding(&b);
		drop(&b);
	}
}

CASE(a_class_with_a_public_key_and_one_without_any_key_are_encoded)
{
	struct bytes b = unhex(KEYBAG_LEGACY);

	add_tag(&b, "UUID", UUID16);
	add_tag(&b, "CLAS", "00000002");
	add_tag(&b, "WRAP", "00000002");
	add_tag(&b, "KTYP", "00000001");
	add_tag(&b, "WPKY", KEY40);
	add_tag(&b, "PBKY",
		"000102030405060708090a0b0c0d0e0f"
		"101112131415161718191a1b1c1d1e1f");
	add_tag(&b, "UUID", UUID16);
	add_tag(&b, "CLAS", "00000005");
	add_tag(&b, "WRAP", "00000003");
	add_tag(&b, "KTYP", "00000000");
	check_same_after_decoding(&b);
	drop(&b);
}

static void fill_largest(struct keybag *bag)
{
	memset(bag, 0, sizeof(*bag));
	bag->has_double = true;
	bag->iterations = bag->double_iterations = 1;
	bag->class_count = KEYBAG_CLASSES_MAX;
	for (unsigned i = 0; i < KEYBAG_CLASSES_MAX; i++) {
		struct keybag_class *class = &bag->classes[i];

		class->number = i;
		class->wrap = KEYBAG_WRAP_PASSWORD;
		class->has_key = class->has_public_key = true;
	}
}

CASE(the_largest_bag_is_encoded)
{
	static struct keybag bag, again;
	struct bytes b;

	fill_largest(&bag);
	b = encode(&bag);
	CHECK_INT(decode(&again, &b, NULL), 0);
	CHECK_INT(again.class_count, KEYBAG_CLASSES_MAX);
	check_same_after_decoding(&b);
	drop(&b);
}

CASE(without_memory_nothing_is_appended)
{
	static struct keybag bag;
	struct buf out = { 0 };
	size_t full;

	fill_largest(&bag);
	CHECK_INT(keybag_encode(&out, &bag), 0);
	full = out.len;
	/* an exact fit, in which it may ask for no more than it needs */
	buf_release(&out);
	out.ptr = malloc(full);
	out.cap = full;
	reallocs_left = 0;
	CHECK_INT(keybag_encode(&out, &bag), 0);
	CHECK_INT(out.len, full);
	CHECK_INT(keybag_encode(&out, &bag), -ENOMEM);
	CHECK_INT(out.len, full);
	/* one byte less, which it has to notice before it begins */
	out.len = 1;
	CHECK_INT(keybag_encode(&out, &bag), -ENOMEM);
	CHECK_INT(out.len, 1);
	/* and of an empty buffer it asks once */
	buf_release(&out);
	reallocs = 0;
	reallocs_left = 1;
	CHECK_INT(keybag_encode(&out, &bag), 0);
	CHECK_INT(out.len, full);
	CHECK_INT(reallocs, 1);
	reallocs_left = -1;
	buf_release(&out);
}

CASE(a_bag_is_appended_to_what_is_there)
{
	struct bytes b = unhex(KEYBAG_MODERN);
	struct buf out = { 0 };
	struct keybag bag;

	CHECK_INT(decode(&bag, &b, NULL), 0);
	buf_add(&out, "front", 5);
	CHECK_INT(keybag_encode(&out, &bag), 0);
	CHECK_BYTES(out.ptr, 5, "front", 5);
	CHECK_BYTES(out.ptr + 5, out.len - 5, b.ptr, b.len);
	buf_release(&out);
	drop(&b);
}

/* the outline of a bag of an unencrypted backup that devices accept */
CASE(a_bag_of_eleven_classes_as_devices_make)
{
	static const char *const keys[] = {
		"377910009968160fae904518fafe4ff9d85cfd67a5c3fa2e72cc92e3450187aed91de7f964c93d51",
		"3224135f1d12265cab189cdd29943e49f2f5db8c3ed937ffdddd51da2f72363f736421cd2619e8ad",
		"4847a5a2b44e240e3a6547700c784c2a2460b90caa1ee928b6bc618c87ea899e444815d7f6dc62e7",
		"97406f1617796eee07afbe57ab335fe20d1f32a64089ee8ec48fb1fe9826e98f795d6d7b37e6480d",
	};
	struct bytes b = { 0 };
	struct keybag bag;

	add_tag(&b, "VERS", "00000005");
	add_tag(&b, "TYPE", "00000001");
	add_tag(&b, "UUID", "ee778d5dd5bf4d048091d411fd25f56d");
	add_tag(&b, "HMCK",
		"00000000000000000000000000000000000000000000"
		"000000000000000000000000000000000000");
	add_tag(&b, "WRAP", "00000000");
	add_tag(&b, "SALT", "58e4d7b66ed846439adfe0ede08a47a9d5eead65");
	add_tag(&b, "ITER", "00002710");
	for (unsigned i = 0; i < 11; i++) {
		char number[9];

		sprintf(number, "%08x", i + 1);
		add_tag(&b, "UUID", UUID16);
		add_tag(&b, "CLAS", number);
		add_tag(&b, "WRAP", i < 4 ? "00000002" : "00000003");
		add_tag(&b, "KTYP", "00000000");
		add_tag(&b, "WPKY", i < 4 ? keys[i] : KEY40);
	}
	CHECK_INT(b.len, 1336);
	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK(!bag.has_double);
	CHECK_INT(bag.class_count, 11);
	CHECK_INT(bag.iterations, 10000);
	CHECK_INT(bag.uuid[0], 0xee);
	CHECK_INT(bag.classes[10].wrap, 3);
	CHECK_INT(bag.version, 5);
	CHECK_INT(bag.type, 1);
	check_same_after_decoding(&b);
	drop(&b);
}

CASE(a_bag_cut_off_anywhere_is_malformed_or_lacks_classes)
{
	struct bytes whole = unhex(KEYBAG_MODERN);
	struct keybag bag;
	size_t first_class = 12 + 12 + 24 + 48 + 12 + 28 + 12 + 12 + 12 + 28;
	size_t full_class = 24 + 12 + 12 + 12 + 48;

	CHECK_INT(first_class + 4 * full_class, whole.len);
	for (size_t len = 0; len < whole.len; len++) {
		struct bytes b = { .ptr = whole.ptr, .len = len };
		size_t in_class = len < first_class ?
					  1 :
					  (len - first_class) % full_class;
		int rc = decode(&bag, &b, NULL);
		/* between two tags a shorter bag is a bag */
		bool between = in_class == 0 || in_class == 24 ||
			       in_class == 36 || in_class == 48 ||
			       in_class == 60;
		bool enough = len >= first_class + full_class && between;

		CHECK_AT(rc == (enough ? 0 : -EBADMSG), "%zu bytes: %d", len,
			 rc);
	}
	drop(&whole);
}

CASE(any_flipped_bit_is_survived)
{
	struct bytes b = unhex(KEYBAG_MODERN);
	struct keybag bag;

	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		int rc;

		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rc = decode(&bag, &b, NULL);
		CHECK_AT(rc == 0 || rc == -EBADMSG, "bit %zu: %d", bit, rc);
		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	drop(&b);
}

CASE(a_sound_recipe_is_read)
{
	CHECK_INT(decode_recipe((struct recipe){ 0 }), 0);
	CHECK_INT(decode_recipe((struct recipe){ .dpsl = "", .dpic = "" }), 0);
}

CASE(what_a_derivation_needs_must_be_there)
{
	CHECK_INT(decode_recipe((struct recipe){ .salt = "" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpsl = "" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wpky = "" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wrap = "" }), -EBADMSG);
	/* without a header UUID the class's own is taken for it */
	CHECK_INT(decode_recipe((struct recipe){ .uuid = "" }), -EBADMSG);
}

CASE(values_of_another_length_are_malformed)
{
	CHECK_INT(decode_recipe((struct recipe){ .uuid = "00" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .salt = "00" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .salt = SALT20 "00" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "03e8" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "00000003e8" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpsl = "00" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "00" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .clas = "03" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wrap = "02" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wpky = "02" }), -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wpky = KEY40 "00" }),
		  -EBADMSG);
}

CASE(iteration_counts_that_keep_a_machine_busy_are_refused)
{
	CHECK_INT(decode_recipe((struct recipe){ .iter = "00000000" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "00000001" }), 0);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "00989680" }), 0);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "00989681" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .iter = "ffffffff" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "00000000" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "00989680" }), 0);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "0bebc200" }), 0);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "0bebc201" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .dpic = "ffffffff" }),
		  -EBADMSG);
}

CASE(a_bag_that_no_password_opens_is_refused)
{
	CHECK_INT(decode_recipe((struct recipe){ .wrap = "00000000" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wrap = "00000001" }),
		  -EBADMSG);
	CHECK_INT(decode_recipe((struct recipe){ .wrap = "00000003" }),
		  -EBADMSG);
}

CASE(unknown_tags_are_passed_over)
{
	struct recipe usual = { 0 };
	struct bytes b = { 0 }, rest = bag_of(usual);
	struct keybag bag;

	add_tag(&b, "NEWT", "0102030405");
	add_tag(&b, "VOID", "");
	add(&b, rest.ptr, rest.len);
	add_tag(&b, "PBKY", SALT20);
	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK_INT(bag.class_count, 1);
	drop(&b);
	drop(&rest);
}

CASE(what_is_only_informational_may_have_any_length)
{
	static const char *const tags[] = { "VERS", "TYPE", "HMCK", "WRAP",
					    "DPWT" };

	for (size_t i = 0; i < COUNT(tags); i++) {
		struct bytes b = { 0 }, rest = bag_of((struct recipe){ 0 });
		struct keybag bag;

		add_tag(&b, tags[i], "0102030405");
		add(&b, rest.ptr, rest.len);
		CHECK_AT(decode(&bag, &b, NULL) == 0, "%s", tags[i]);
		CHECK_INT(bag.version | bag.type | bag.wrap, 0);
		drop(&b);
		drop(&rest);
	}
}

CASE(header_tags_may_come_in_any_order)
{
	struct bytes b = { 0 };
	struct keybag bag;

	add_tag(&b, "DPIC", "000007d0");
	add_tag(&b, "ITER", "000003e8");
	add_tag(&b, "DPSL", SALT20);
	add_tag(&b, "SALT", SALT20);
	add_tag(&b, "UUID", UUID16);
	add_tag(&b, "UUID", UUID16);
	add_tag(&b, "WPKY", KEY40);
	add_tag(&b, "WRAP", "00000002");
	add_tag(&b, "CLAS", "00000003");
	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK_INT(bag.iterations, 1000);
	CHECK_INT(bag.double_iterations, 2000);
	CHECK_INT(bag.classes[0].number, 3);
	drop(&b);
}

CASE(sixty_four_classes_and_no_more)
{
	struct bytes b = bag_of((struct recipe){ 0 });
	struct mb_err err;
	struct keybag bag;

	for (int i = 0; i < 63; i++)
		add_tag(&b, "UUID", UUID16);
	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK_INT(bag.class_count, 64);
	add_tag(&b, "UUID", UUID16);
	CHECK_INT(decode(&bag, &b, &err), -EBADMSG);
	drop(&b);
}

CASE(a_length_past_the_end_is_told_with_its_tag)
{
	struct bytes b = bag_of((struct recipe){ 0 });
	struct mb_err err;
	struct keybag bag;

	add_text(&b, "SALT");
	add_be(&b, 0xffffffff, 4);
	CHECK_INT(decode(&bag, &b, &err), -EBADMSG);
	CHECK_TEXT(err.text,
		   "key bag: SALT of 4294967295 bytes runs past the end");
	drop(&b);
	CHECK_INT(keybag_decode(&bag, view_of(NULL, 0), &err), -EBADMSG);
	b = unhex("1b5b334a00000005");
	CHECK_INT(decode(&bag, &b, &err), -EBADMSG);
	CHECK_TEXT(err.text, "key bag: ?[3J of 5 bytes runs past the end");
	drop(&b);
}

/* ---- other values in a stored bag ---- */

/* Each time that @old is there, @with stands in its place. */
static unsigned put_in_place(struct bytes *b, const void *old, const void *with,
			     size_t len)
{
	unsigned count = 0;

	for (size_t at = 0; at + len <= b->len; at++) {
		if (memcmp(b->ptr + at, old, len) != 0)
			continue;
		memcpy(b->ptr + at, with, len);
		count++;
	}
	return count;
}

/* Other salts, another count, other keys; the same in a copy of the bytes. */
static void change(struct keybag *bag, struct bytes *want)
{
	struct keybag old = *bag;

	memset(bag->salt, 0xa1, sizeof(bag->salt));
	put_in_place(want, old.salt, bag->salt, sizeof(bag->salt));
	if (bag->has_double) {
		static const uint8_t is[] = "DPIC\0\0\0\4\0\0\x7\xd0";
		static const uint8_t be[] = "DPIC\0\0\0\4\1\2\3\4";

		memset(bag->double_salt, 0xb2, sizeof(bag->double_salt));
		put_in_place(want, old.double_salt, bag->double_salt,
			     sizeof(bag->double_salt));
		bag->double_iterations = 0x01020304;
		CHECK_INT(put_in_place(want, is, be, 12), 1);
	}
	for (unsigned i = 0; i < bag->class_count; i++) {
		struct keybag_class *class = &bag->classes[i];

		if (!class->has_key)
			continue;
		memset(class->wrapped, 0xc0 + (int)i, sizeof(class->wrapped));
		CHECK(put_in_place(want, old.classes[i].wrapped, class->wrapped,
				   sizeof(class->wrapped)) > 0);
	}
}

static void check_replaced(const char *hex)
{
	struct bytes b = unhex(hex), want = unhex(hex);
	struct keybag bag, again;
	struct buf out = { 0 };

	CHECK_INT(decode(&bag, &b, NULL), 0);
	change(&bag, &want);
	CHECK_INT(buf_add(&out, "front", 5), 0);
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len), &bag, NULL), 0);
	CHECK_BYTES(out.ptr + 5, out.len - 5, want.ptr, want.len);
	CHECK(!memcmp(out.ptr, "front", 5));
	CHECK_INT(
		keybag_decode(&again, view_of(out.ptr + 5, out.len - 5), NULL),
		0);
	CHECK(!memcmp(&again, &bag, sizeof(bag)));
	buf_release(&out);
	drop(&b);
	drop(&want);
}

CASE(other_values_stand_where_the_old_ones_stood)
{
	check_replaced(KEYBAG_MODERN);
	check_replaced(KEYBAG_LEGACY);
}

#define TAG(name, len, hex) name "000000" len hex
#define UNKNOWN TAG("41424344", "03", "616263") /* ABCD */
#define IN_UUID TAG("55554944", "10", UUID16)
#define IN_ITER TAG("49544552", "04", "000003e8")
#define IN_SALT TAG("53414c54", "14", SALT20)
/* not KEY40, which has the salt in it */
#define HALF20 "606162636465666768696a6b6c6d6e6f70717273"
#define IN_WPKY TAG("57504b59", "28", HALF20 HALF20)
#define IN_WRAP(n) TAG("57524150", "04", "0000000" n)
#define IN_CLAS(n) TAG("434c4153", "04", "0000000" n)
/* values that look as if they were to be replaced, and are somewhere else */
#define OTHER20 "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff00010203"
#define OTHER_SALT TAG("53414c54", "14", OTHER20)
#define OTHER_WPKY TAG("57504b59", "28", OTHER20 OTHER20)

CASE(unknown_tags_and_the_order_of_all_stay)
{
	/* what comes late in a class, and twice; a key in no class */
	check_replaced(UNKNOWN IN_SALT OTHER_WPKY IN_UUID UNKNOWN IN_ITER
			       IN_UUID IN_WPKY UNKNOWN IN_WRAP("2") IN_CLAS("3")
				       OTHER_SALT UNKNOWN IN_UUID IN_CLAS("4")
					       IN_WRAP("2") UNKNOWN UNKNOWN);
	check_replaced(IN_ITER IN_UUID IN_SALT IN_SALT IN_UUID IN_CLAS("3")
			       IN_WRAP("2") IN_WPKY IN_WPKY);
}

CASE(what_has_not_changed_gives_the_same_bytes)
{
	struct bytes b = unhex(KEYBAG_MODERN);
	struct buf out = { 0 };
	struct keybag bag;

	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len), &bag, NULL), 0);
	CHECK_BYTES(out.ptr, out.len, b.ptr, b.len);
	buf_release(&out);
	drop(&b);
}

CASE(a_bag_that_is_another_replaces_nothing)
{
	struct bytes b = unhex(KEYBAG_MODERN), short_salt;
	struct buf out = { 0 };
	struct keybag bag, other;

	CHECK_INT(decode(&bag, &b, NULL), 0);
	CHECK_INT(buf_add(&out, "front", 5), 0);
	/* more classes, fewer classes, no whole tag, another length */
	other = bag;
	other.class_count++;
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len), &other, NULL),
		  -EBADMSG);
	other.class_count = bag.class_count - 1;
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len), &other, NULL),
		  -EBADMSG);
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len - 1), &bag, NULL),
		  -EBADMSG);
	short_salt = unhex(TAG("53414c54", "02", "0102"));
	CHECK_INT(keybag_replace(&out, view_of(short_salt.ptr, short_salt.len),
				 &bag, NULL),
		  -EBADMSG);
	CHECK_BYTES(out.ptr, out.len, "front", 5);
	buf_release(&out);
	reallocs_left = 0;
	CHECK_INT(keybag_replace(&out, view_of(b.ptr, b.len), &bag, NULL),
		  -ENOMEM);
	reallocs_left = -1;
	CHECK_INT(out.len, 0);
	buf_release(&out);
	drop(&short_salt);
	drop(&b);
}

int main(void)
{
	RUN(a_bag_with_two_derivations);
	RUN(a_bag_with_one_derivation);
	RUN(a_bag_of_eleven_classes_as_devices_make);
	RUN(a_bag_in_the_usual_order_is_encoded_to_the_same_bytes);
	RUN(a_class_with_a_public_key_and_one_without_any_key_are_encoded);
	RUN(the_largest_bag_is_encoded);
	RUN(without_memory_nothing_is_appended);
	RUN(a_bag_is_appended_to_what_is_there);
	RUN(a_bag_cut_off_anywhere_is_malformed_or_lacks_classes);
	RUN(any_flipped_bit_is_survived);
	RUN(a_sound_recipe_is_read);
	RUN(what_a_derivation_needs_must_be_there);
	RUN(values_of_another_length_are_malformed);
	RUN(iteration_counts_that_keep_a_machine_busy_are_refused);
	RUN(a_bag_that_no_password_opens_is_refused);
	RUN(unknown_tags_are_passed_over);
	RUN(what_is_only_informational_may_have_any_length);
	RUN(header_tags_may_come_in_any_order);
	RUN(sixty_four_classes_and_no_more);
	RUN(a_length_past_the_end_is_told_with_its_tag);
	RUN(other_values_stand_where_the_old_ones_stood);
	RUN(unknown_tags_and_the_order_of_all_stay);
	RUN(what_has_not_changed_gives_the_same_bytes);
	RUN(a_bag_that_is_another_replaces_nothing);
	return tap_end();
}
