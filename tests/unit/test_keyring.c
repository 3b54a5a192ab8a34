/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyring.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

static void check_hex(const uint8_t *got, const char *want, int line)
{
	struct bytes b = unhex(want);

	CHECK_AT(!memcmp(got, b.ptr, b.len), "line %d", line);
	drop(&b);
}
#define CHECK_HEX(got, want) check_hex(got, want, __LINE__)

static struct keybag bag_of(const char *hex)
{
	struct bytes b = unhex(hex);
	struct keybag bag;

	if (keybag_decode(&bag, view_of(b.ptr, b.len), NULL) < 0)
		abort();
	drop(&b);
	return bag;
}

static int unlock(struct keyring *ring, const struct keybag *bag,
		  const char *key_hex, struct mb_err *err)
{
	struct bytes key = unhex(key_hex);
	int rc;

	memset(ring, 0xee, sizeof(*ring));
	rc = keyring_unlock(ring, bag, key.ptr, err);
	drop(&key);
	return rc;
}

static struct view text_view(const char *text)
{
	return view_of(text, strlen(text));
}

CASE(the_tags_decide_on_one_derivation_or_two)
{
	struct keybag modern = bag_of(KEYBAG_MODERN);
	struct keybag legacy = bag_of(KEYBAG_LEGACY);
	uint8_t key[KEY_LEN];

	CHECK_INT(keyring_derive(key, &modern, text_view(PASSWORD), NULL), 0);
	CHECK_HEX(key, PASSCODE_KEY);
	CHECK_INT(keyring_derive(key, &legacy, text_view(PASSWORD), NULL), 0);
	CHECK_HEX(key, LEGACY_PASSCODE_KEY);
	CHECK_INT(keyring_derive(key, &modern, text_view("wrong"), NULL), 0);
	CHECK_HEX(key, WRONG_PASSCODE_KEY);
	CHECK_INT(keyring_derive(key, &legacy, text_view(""), NULL), 0);
	CHECK_HEX(key, "4b285a1af7dc0e759e0e260cbd4a87a0"
		       "52b446d30927f2aa06a5ca008b871db1");
}

CASE(the_right_key_opens_the_classes_of_the_password)
{
	static const char *const bags[] = { KEYBAG_MODERN, KEYBAG_LEGACY };
	static const char *const keys[] = { PASSCODE_KEY, LEGACY_PASSCODE_KEY };

	for (int i = 0; i < 2; i++) {
		struct keybag bag = bag_of(bags[i]);
		struct keyring ring;

		CHECK_INT(unlock(&ring, &bag, keys[i], NULL), 0);
		CHECK_INT(ring.count, 3);
		CHECK_INT(ring.numbers[0], 1);
		CHECK_INT(ring.numbers[1], 3);
		CHECK_INT(ring.numbers[2], 4);
		CHECK_HEX(ring.keys[0], CLASS_KEY_1);
		CHECK_HEX(ring.keys[1], CLASS_KEY_3);
		CHECK_HEX(ring.keys[2], CLASS_KEY_4);
		keyring_wipe(&ring);
	}
}

/* class 11 of the vector unwraps formally, to what is no class key */
CASE(a_class_that_is_also_bound_to_the_hardware_is_left_out)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct keyring ring;
	uint8_t stored[STORED_KEY_LEN], out[KEY_LEN], other[KEY_LEN];
	struct bytes device = { 0 };

	CHECK_INT(bag.classes[3].number, 11);
	CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, NULL), 0);
	for (unsigned i = 0; i < ring.count; i++)
		CHECK(ring.numbers[i] != 11);
	/* SHA-256("class 11"), each byte ^ 5a: what the outer layer yields */
	EVP_Digest("class 11", 8, other, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < KEY_LEN; i++)
		other[i] ^= 0x5a;
	add_noise(&device, 32);
	wrap_key(stored, 11, other, device.ptr);
	CHECK_INT(keyring_unwrap(&ring, out, stored, 0), -ENOKEY);
	drop(&device);
}

CASE(a_wrong_password_is_told_from_damage)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct mb_err err;
	struct keyring ring;

	CHECK_INT(unlock(&ring, &bag, WRONG_PASSCODE_KEY, &err), -EKEYREJECTED);
	CHECK_TEXT(err.text, "wrong password");
	CHECK_INT(ring.count, 0);
	for (unsigned i = 0; i < 3; i++) {
		bag = bag_of(KEYBAG_MODERN);
		bag.classes[i].wrapped[7] ^= 0x10;
		CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, &err), -EBADMSG);
		CHECK(strstr(err.text, i == 0 ? "class 1 " :
				       i == 1 ? "class 3 " :
						"class 4 "));
		CHECK_INT(ring.count, 2);
	}
}

CASE(damage_to_a_class_of_the_hardware_does_not_matter)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct keyring ring;

	bag.classes[3].wrapped[7] ^= 0x10;
	CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, NULL), 0);
	CHECK_INT(ring.count, 3);
}

CASE(classes_without_a_key_are_left_out)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct keyring ring;

	bag.classes[0].has_key = false;
	CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, NULL), 0);
	CHECK_INT(ring.count, 2);
	CHECK_INT(ring.numbers[0], 3);
}

/* it proves the password, though it cannot unwrap what backups hold */
CASE(a_curve25519_class_is_left_out_and_still_proves_the_password)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct keyring ring;

	bag.classes[1].key_type = 1;
	CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, NULL), 0);
	CHECK_INT(ring.count, 2);
	CHECK_INT(ring.numbers[0], 1);
	CHECK_INT(ring.numbers[1], 4);
	CHECK_HEX(ring.keys[1], CLASS_KEY_4);
	bag.classes[0].wrapped[0] ^= 1;
	bag.classes[2].wrapped[0] ^= 1;
	CHECK_INT(unlock(&ring, &bag, PASSCODE_KEY, NULL), -EBADMSG);
}

static struct keyring ring_of_the_example(void)
{
	struct keybag bag = bag_of(KEYBAG_MODERN);
	struct keyring ring;

	if (unlock(&ring, &bag, PASSCODE_KEY, NULL) < 0)
		abort();
	return ring;
}

CASE(file_key_and_manifest_key_of_the_example)
{
	struct keyring ring = ring_of_the_example();
	struct bytes file = unhex(WRAPPED_FILE_KEY);
	struct bytes manifest = unhex(WRAPPED_MANIFEST_KEY);
	uint8_t out[KEY_LEN];

	CHECK_INT(keyring_unwrap(&ring, out, file.ptr, 0), 0);
	CHECK_HEX(out, FILE_KEY);
	CHECK_INT(keyring_unwrap(&ring, out, manifest.ptr, 0), 0);
	CHECK_HEX(out, MANIFEST_KEY);
	drop(&file);
	drop(&manifest);
}

CASE(the_stored_class_goes_before_the_recorded_one)
{
	struct keyring ring = ring_of_the_example();
	struct bytes c4 = unhex(CLASS_KEY_4), key = unhex(FILE_KEY);
	uint8_t stored[STORED_KEY_LEN], out[KEY_LEN];

	wrap_key(stored, 4, c4.ptr, key.ptr);
	CHECK_INT(keyring_unwrap(&ring, out, stored, 3), 0);
	CHECK_HEX(out, FILE_KEY);
	/* a prefix that lies: the recorded class is tried */
	stored[0] = 3;
	memset(out, 0, sizeof(out));
	CHECK_INT(keyring_unwrap(&ring, out, stored, 4), 0);
	CHECK_HEX(out, FILE_KEY);
	stored[0] = 2;
	CHECK_INT(keyring_unwrap(&ring, out, stored, 4), 0);
	CHECK_INT(keyring_unwrap(&ring, out, stored, 1), -EBADMSG);
	CHECK_INT(keyring_unwrap(&ring, out, stored, 0), -ENOKEY);
	CHECK_INT(keyring_unwrap(&ring, out, stored, 9), -ENOKEY);
	stored[0] = 1;
	CHECK_INT(keyring_unwrap(&ring, out, stored, 0), -EBADMSG);
	drop(&c4);
	drop(&key);
}

CASE(keys_of_several_classes_together)
{
	/* which class is stored, recorded, and has wrapped it */
	static const struct {
		uint8_t stored, other, real;
		int rc;
	} cases[] = {
		{ 3, 0, 3, 0 },		{ 4, 0, 4, 0 },
		{ 4, 3, 3, 0 },		{ 3, 0, 4, -EBADMSG },
		{ 2, 3, 3, 0 },		{ 99, 98, 3, -ENOKEY },
		{ 99, 3, 3, 0 },	{ 99, 4, 3, -EBADMSG },
		{ 4, 98, 3, -EBADMSG }, { 3, 3, 3, 0 },
	};
	struct keyring ring = ring_of_the_example();
	struct bytes c3 = unhex(CLASS_KEY_3), c4 = unhex(CLASS_KEY_4);
	struct bytes key = unhex(FILE_KEY);
	uint8_t stored[COUNT(cases)][STORED_KEY_LEN];
	struct stored_key keys[COUNT(cases)];

	for (size_t i = 0; i < COUNT(cases); i++) {
		wrap_key(stored[i], cases[i].stored,
			 cases[i].real == 3 ? c3.ptr : c4.ptr, key.ptr);
		keys[i].stored = stored[i];
		keys[i].other_class = cases[i].other;
	}
	keyring_unwrap_some(&ring, keys, COUNT(cases));
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t out[KEY_LEN];

		CHECK_AT(keys[i].rc == cases[i].rc, "case %zu: %d", i,
			 keys[i].rc);
		CHECK_INT(keyring_unwrap(&ring, out, stored[i], cases[i].other),
			  cases[i].rc);
		if (cases[i].rc == 0)
			CHECK_BYTES(keys[i].key, KEY_LEN, key.ptr, KEY_LEN);
	}
	drop(&c3);
	drop(&c4);
	drop(&key);
}

CASE(the_class_prefix_is_little_endian_in_four_bytes)
{
	struct keyring ring = ring_of_the_example();
	struct bytes b = unhex(WRAPPED_FILE_KEY);
	uint8_t out[KEY_LEN];

	b.ptr[3] = 1; /* class 0x01000003 */
	CHECK_INT(keyring_unwrap(&ring, out, b.ptr, 0), -ENOKEY);
	b.ptr[3] = 0;
	b.ptr[1] = 1;
	CHECK_INT(keyring_unwrap(&ring, out, b.ptr, 0), -ENOKEY);
	drop(&b);
}

CASE(any_flipped_bit_of_a_file_key_is_noticed)
{
	struct keyring ring = ring_of_the_example();
	struct bytes b = unhex(WRAPPED_FILE_KEY);
	uint8_t out[KEY_LEN];

	for (size_t bit = 32; bit < 8 * STORED_KEY_LEN; bit++) {
		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_AT(keyring_unwrap(&ring, out, b.ptr, 3) == -EBADMSG,
			 "bit %zu", bit);
		b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	drop(&b);
}

CASE(wrapping_gives_the_stored_keys_of_the_example)
{
	struct keyring ring = ring_of_the_example();
	struct bytes file = unhex(FILE_KEY), manifest = unhex(MANIFEST_KEY);
	uint8_t stored[STORED_KEY_LEN];

	CHECK_INT(keyring_wrap(&ring, stored, file.ptr, 3), 0);
	CHECK_HEX(stored, WRAPPED_FILE_KEY);
	CHECK_INT(keyring_wrap(&ring, stored, manifest.ptr, 3), 0);
	CHECK_HEX(stored, WRAPPED_MANIFEST_KEY);
	drop(&file);
	drop(&manifest);
}

CASE(keys_are_wrapped_under_the_classes_of_the_ring_alone)
{
	struct keyring ring = ring_of_the_example();
	uint8_t stored[STORED_KEY_LEN], out[KEY_LEN];
	struct bytes key = unhex(FILE_KEY);

	for (uint32_t number = 0; number < 300; number++) {
		bool there = number == 1 || number == 3 || number == 4;

		CHECK_INT(keyring_has(&ring, number), there);
		CHECK_INT(keyring_wrap(&ring, stored, key.ptr, number),
			  there ? 0 : -ENOKEY);
		if (!there)
			continue;
		CHECK_INT(stored[0], number);
		memset(out, 0, sizeof(out));
		CHECK_INT(keyring_unwrap(&ring, out, stored, 0), 0);
		CHECK_BYTES(out, KEY_LEN, key.ptr, key.len);
	}
	drop(&key);
}

/* ---- new bags ---- */

static struct keybag stored_and_read(const struct keybag *bag)
{
	struct buf out = { 0 };
	struct keybag again;

	CHECK_INT(keybag_encode(&out, bag), 0);
	CHECK_INT(keybag_decode(&again, view_of(out.ptr, out.len), NULL), 0);
	buf_release(&out);
	return again;
}

static int open_stored(struct keyring *ring, const struct keybag *bag,
		       const char *password, uint8_t key[KEY_LEN])
{
	struct keybag again = stored_and_read(bag);

	CHECK_INT(keyring_derive(key, &again, text_view(password), NULL), 0);
	return keyring_unlock(ring, &again, key, NULL);
}

static void check_same_ring(const struct keyring *a, const struct keyring *b)
{
	CHECK_INT(a->count, b->count);
	for (unsigned i = 0; i < a->count && i < b->count; i++) {
		CHECK_INT(a->numbers[i], b->numbers[i]);
		CHECK_BYTES(a->keys[i], KEY_LEN, b->keys[i], KEY_LEN);
	}
}

CASE(a_new_bag_is_opened_by_its_password_and_no_other)
{
	static const uint32_t counts[][2] = { { 200, 100 }, { 0, 100 } };

	for (size_t i = 0; i < COUNT(counts); i++) {
		uint8_t key[KEY_LEN], derived[KEY_LEN];
		struct keyring ring, again;
		struct keybag bag;

		CHECK_INT(keyring_create(&ring, &bag, key, text_view(PASSWORD),
					 counts[i][0], counts[i][1], NULL),
			  0);
		CHECK_INT(bag.has_double, counts[i][0] > 0);
		CHECK_INT(open_stored(&again, &bag, PASSWORD, derived), 0);
		CHECK_BYTES(derived, KEY_LEN, key, KEY_LEN);
		check_same_ring(&again, &ring);
		CHECK_INT(open_stored(&again, &bag, "wrong", derived),
			  -EKEYREJECTED);
		CHECK_INT(open_stored(&again, &bag, "", derived),
			  -EKEYREJECTED);
	}
}

static void check_classes(const struct keyring *ring, const struct keybag *bag,
			  const uint8_t key[KEY_LEN],
			  bool (*opens)(uint32_t number))
{
	uint8_t out[KEY_LEN];

	CHECK_INT(bag->class_count, 11);
	for (unsigned i = 0; i < bag->class_count; i++) {
		const struct keybag_class *class = &bag->classes[i];

		CHECK_INT(class->number, i + 1);
		CHECK_INT(class->wrap, opens(i + 1) ? 2 : 3);
		CHECK_INT(class->key_type, 0);
		CHECK(class->has_key && !class->has_public_key);
		CHECK_INT(keyring_has(ring, i + 1), opens(i + 1));
		/* of each the outer layer opens, as in a real bag */
		CHECK_INT(crypto_unwrap(out, key, class->wrapped), 0);
	}
}

static bool with_a_password(uint32_t number)
{
	return (number >= 1 && number <= 4) || (number >= 6 && number <= 8);
}

static bool without_a_password(uint32_t number)
{
	return number >= 1 && number <= 4;
}

CASE(with_a_password_files_and_the_keychain_that_moves_are_opened)
{
	struct keyring ring;
	uint8_t key[KEY_LEN];
	struct keybag bag;

	CHECK_INT(keyring_create(&ring, &bag, key, text_view(PASSWORD), 20, 10,
				 NULL),
		  0);
	check_classes(&ring, &bag, key, with_a_password);
	CHECK_INT(bag.version, 5);
	CHECK_INT(bag.type, 1);
	CHECK_INT(bag.iterations, 10);
	CHECK_INT(bag.double_iterations, 20);
}

CASE(the_bag_of_an_unencrypted_backup_is_that_of_the_empty_password)
{
	uint8_t key[KEY_LEN], derived[KEY_LEN];
	struct keyring ring, again;
	struct keybag bag;
	struct buf out = { 0 };

	CHECK_INT(keyring_create(&ring, &bag, key, text_view(""), 0,
				 KEYBAG_ITERATIONS, NULL),
		  0);
	check_classes(&ring, &bag, key, without_a_password);
	CHECK(!bag.has_double);
	CHECK_INT(open_stored(&again, &bag, "", derived), 0);
	check_same_ring(&again, &ring);
	/* as long as the one that devices were seen to make */
	CHECK_INT(keybag_encode(&out, &bag), 0);
	CHECK_INT(out.len, 1336);
	buf_release(&out);
}

static bool differ(const uint8_t *a, const uint8_t *b, size_t len)
{
	return memcmp(a, b, len) != 0;
}

CASE(no_two_bags_share_anything_that_is_random)
{
	uint8_t key_a[KEY_LEN], key_b[KEY_LEN];
	struct keyring ring_a, ring_b;
	struct keybag a, b;

	CHECK_INT(
		keyring_create(&ring_a, &a, key_a, text_view("x"), 2, 1, NULL),
		0);
	CHECK_INT(
		keyring_create(&ring_b, &b, key_b, text_view("x"), 2, 1, NULL),
		0);
	CHECK(differ(key_a, key_b, KEY_LEN));
	CHECK(differ(a.uuid, b.uuid, sizeof(a.uuid)));
	CHECK(differ(a.salt, b.salt, sizeof(a.salt)));
	CHECK(differ(a.double_salt, b.double_salt, sizeof(a.double_salt)));
	CHECK(differ(a.salt, a.double_salt, sizeof(a.salt)));
	for (unsigned i = 0; i < 11; i++) {
		CHECK(differ(a.classes[i].uuid, b.classes[i].uuid, 16));
		CHECK(differ(a.classes[i].wrapped, b.classes[i].wrapped, 40));
	}
	for (unsigned i = 0; i < ring_a.count; i++) {
		CHECK(differ(ring_a.keys[i], ring_b.keys[i], KEY_LEN));
		for (unsigned j = 0; j < i; j++)
			CHECK(differ(ring_a.keys[i], ring_a.keys[j], KEY_LEN));
	}
}

CASE(a_bag_that_could_not_be_read_again_is_not_made)
{
	static const uint32_t counts[][2] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 0, KEYBAG_ITERATIONS_MAX + 1 },
		{ KEYBAG_DOUBLE_ITERATIONS_MAX + 1, 1 },
		{ UINT32_MAX, UINT32_MAX },
	};
	uint8_t key[KEY_LEN], zero[KEY_LEN] = { 0 };

	for (size_t i = 0; i < COUNT(counts); i++) {
		struct mb_err err = { 0 };
		struct keyring ring;
		struct keybag bag;

		memset(key, 1, sizeof(key));
		CHECK_INT(keyring_create(&ring, &bag, key, text_view("x"),
					 counts[i][0], counts[i][1], &err),
			  -EINVAL);
		CHECK_INT(err.code, -EINVAL);
		CHECK_INT(ring.count, 0);
		CHECK_BYTES(key, KEY_LEN, zero, KEY_LEN);
	}
}

/* ---- another password ---- */

static int rewrap(struct keybag *bag, const char *old_hex, const char *new_hex)
{
	struct bytes old = unhex(old_hex), new = unhex(new_hex);
	int rc = keyring_rewrap(bag, old.ptr, new.ptr, NULL);

	drop(&old);
	drop(&new);
	return rc;
}

CASE(every_class_with_a_layer_of_the_password_is_wrapped_anew)
{
	struct keybag old = bag_of(KEYBAG_MODERN), bag = old;
	struct keybag legacy = bag_of(KEYBAG_LEGACY);
	struct keyring before, after;

	/* the legacy bag of the examples is the same classes under its key */
	CHECK_INT(rewrap(&bag, PASSCODE_KEY, LEGACY_PASSCODE_KEY), 4);
	CHECK_INT(bag.class_count, legacy.class_count);
	for (unsigned i = 0; i < bag.class_count; i++)
		CHECK_BYTES(bag.classes[i].wrapped, 40,
			    legacy.classes[i].wrapped, 40);
	CHECK_INT(unlock(&before, &old, PASSCODE_KEY, NULL), 0);
	CHECK_INT(unlock(&after, &bag, LEGACY_PASSCODE_KEY, NULL), 0);
	CHECK(!memcmp(&before, &after, sizeof(before)));
	CHECK_INT(unlock(&after, &bag, PASSCODE_KEY, NULL), -EKEYREJECTED);
	/* and nothing else of it is other */
	for (unsigned i = 0; i < bag.class_count; i++)
		memcpy(bag.classes[i].wrapped, old.classes[i].wrapped, 40);
	CHECK(!memcmp(&bag, &old, sizeof(bag)));
}

CASE(classes_that_are_the_devices_alone_are_left_as_they_are)
{
	struct keybag bag = bag_of(KEYBAG_MODERN), old;

	bag.classes[1].wrap = KEYBAG_WRAP_DEVICE;
	bag.classes[2].has_key = false;
	old = bag;
	CHECK_INT(rewrap(&bag, PASSCODE_KEY, LEGACY_PASSCODE_KEY), 2);
	CHECK_BYTES(bag.classes[1].wrapped, 40, old.classes[1].wrapped, 40);
	CHECK_BYTES(bag.classes[2].wrapped, 40, old.classes[2].wrapped, 40);
	CHECK(memcmp(bag.classes[3].wrapped, old.classes[3].wrapped, 40));
}

CASE(a_bag_that_opens_only_in_part_is_not_rewrapped)
{
	struct keybag good = bag_of(KEYBAG_MODERN);

	for (unsigned i = 0; i < good.class_count; i++) {
		struct keybag bag = good, old;

		bag.classes[i].wrapped[7] ^= 0x10;
		old = bag;
		CHECK_INT(rewrap(&bag, PASSCODE_KEY, LEGACY_PASSCODE_KEY),
			  -EBADMSG);
		CHECK(!memcmp(&bag, &old, sizeof(bag)));
	}
	CHECK_INT(rewrap(&good, WRONG_PASSCODE_KEY, PASSCODE_KEY),
		  -EKEYREJECTED);
}

CASE(a_wiped_ring_holds_nothing)
{
	struct keyring ring = ring_of_the_example(), zero;
	struct bytes b = unhex(WRAPPED_FILE_KEY);
	uint8_t out[KEY_LEN];

	memset(&zero, 0, sizeof(zero));
	keyring_wipe(&ring);
	CHECK(!memcmp(&ring, &zero, sizeof(zero)));
	CHECK_INT(keyring_unwrap(&ring, out, b.ptr, 3), -ENOKEY);
	drop(&b);
}

/* matan1008/pyiosbackup's test bag, but for its ten million iterations */
CASE(a_third_partys_example)
{
	struct bytes pk = unhex("ec8edc160b5745ccae000bfb4787630f"
				"322821191fba7eea38feab2c6307cd9b");
	struct bytes wrapped =
		unhex("528c9c5171bf8bef1ea397cf29d2a838c90529df"
		      "02a6ad2f823a1c6f3a5b2040e2a309c520c6a2ab");
	struct bytes blob =
		unhex("0200000097317494343807e690fd1e431413963dc0e3"
		      "deb4907fb89fa36ce65126d0ea1301381fb3a2941e2f");
	struct keybag bag = { .class_count = 1, .iterations = 1 };
	uint8_t out[KEY_LEN], zero[KEY_LEN] = { 0 };
	struct keyring ring;

	bag.classes[0].number = 2;
	bag.classes[0].wrap = 2;
	bag.classes[0].has_key = true;
	memcpy(bag.classes[0].wrapped, wrapped.ptr, 40);
	CHECK_INT(keyring_unlock(&ring, &bag, pk.ptr, NULL), 0);
	CHECK_BYTES(ring.keys[0], KEY_LEN, zero, KEY_LEN);
	CHECK_INT(keyring_unwrap(&ring, out, blob.ptr, 0), 0);
	CHECK_BYTES(out, KEY_LEN, zero, KEY_LEN);
	drop(&pk);
	drop(&wrapped);
	drop(&blob);
}

int main(void)
{
	RUN(the_tags_decide_on_one_derivation_or_two);
	RUN(the_right_key_opens_the_classes_of_the_password);
	RUN(a_class_that_is_also_bound_to_the_hardware_is_left_out);
	RUN(a_wrong_password_is_told_from_damage);
	RUN(damage_to_a_class_of_the_hardware_does_not_matter);
	RUN(classes_without_a_key_are_left_out);
	RUN(a_curve25519_class_is_left_out_and_still_proves_the_password);
	RUN(file_key_and_manifest_key_of_the_example);
	RUN(the_stored_class_goes_before_the_recorded_one);
	RUN(keys_of_several_classes_together);
	RUN(the_class_prefix_is_little_endian_in_four_bytes);
	RUN(any_flipped_bit_of_a_file_key_is_noticed);
	RUN(wrapping_gives_the_stored_keys_of_the_example);
	RUN(keys_are_wrapped_under_the_classes_of_the_ring_alone);
	RUN(a_new_bag_is_opened_by_its_password_and_no_other);
	RUN(with_a_password_files_and_the_keychain_that_moves_are_opened);
	RUN(the_bag_of_an_unencrypted_backup_is_that_of_the_empty_password);
	RUN(no_two_bags_share_anything_that_is_random);
	RUN(a_bag_that_could_not_be_read_again_is_not_made);
	RUN(every_class_with_a_layer_of_the_password_is_wrapped_anew);
	RUN(classes_that_are_the_devices_alone_are_left_as_they_are);
	RUN(a_bag_that_opens_only_in_part_is_not_rewrapped);
	RUN(a_wiped_ring_holds_nothing);
	RUN(a_third_partys_example);
	return tap_end();
}
