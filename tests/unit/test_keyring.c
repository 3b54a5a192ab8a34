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
		CHECK_INT(ring.count, 0);
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
	RUN(the_class_prefix_is_little_endian_in_four_bytes);
	RUN(any_flipped_bit_of_a_file_key_is_noticed);
	RUN(a_wiped_ring_holds_nothing);
	RUN(a_third_partys_example);
	return tap_end();
}
