/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto.h"

#include <errno.h>
#include <pthread.h>

#include "fixture.h"
#include "tap.h"

static void check_hex(const uint8_t *got, size_t len, const char *want,
		      int line)
{
	struct bytes b = unhex(want);

	CHECK_AT(b.len == len && !memcmp(got, b.ptr, len), "line %d", line);
	drop(&b);
}
#define CHECK_HEX(got, len, want) check_hex(got, len, want, __LINE__)

static struct view text_view(const char *text)
{
	return view_of(text, strlen(text));
}

CASE(sha1_of_two_parts)
{
	uint8_t out[SHA1_LEN];

	/* FIPS 180: "abc" */
	CHECK_INT(crypto_sha1(out, text_view("ab"), text_view("c")), 0);
	CHECK_HEX(out, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
	CHECK_INT(crypto_sha1(out, text_view(""), view_of(NULL, 0)), 0);
	CHECK_HEX(out, 20, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

CASE(a_digest_of_many_pieces)
{
	struct bytes b = { 0 };
	uint8_t out[DIGEST_LEN_MAX], want[DIGEST_LEN_MAX];

	add_noise(&b, 100000);
	for (int i = 0; i < 2; i++) {
		size_t len = i ? SHA256_LEN : SHA1_LEN;
		struct digest *d = NULL;

		EVP_Digest(b.ptr, b.len, want, NULL,
			   i ? EVP_sha256() : EVP_sha1(), NULL);
		CHECK_INT(digest_new(&d, len), 0);
		for (size_t at = 0, n; at < b.len; at += n) {
			n = dice() % 5000;
			n = n < b.len - at ? n : b.len - at;
			CHECK_INT(digest_add(d, b.ptr + at, n), 0);
		}
		CHECK_INT(digest_finish(d, out), 0);
		CHECK_BYTES(out, len, want, len);
		digest_free(d);
	}
	digest_free(NULL);
	drop(&b);
}

CASE(a_digest_of_nothing)
{
	uint8_t out[DIGEST_LEN_MAX];
	struct digest *d;

	/* FIPS 180 */
	CHECK_INT(digest_new(&d, SHA1_LEN), 0);
	CHECK_INT(digest_finish(d, out), 0);
	CHECK_HEX(out, SHA1_LEN, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	digest_free(d);
	CHECK_INT(digest_new(&d, SHA256_LEN), 0);
	CHECK_INT(digest_add(d, NULL, 0), 0);
	CHECK_INT(digest_finish(d, out), 0);
	CHECK_HEX(out, SHA256_LEN,
		  "e3b0c44298fc1c149afbf4c8996fb924"
		  "27ae41e4649b934ca495991b7852b855");
	digest_free(d);
}

CASE(a_digest_of_another_length_is_refused)
{
	static const size_t lens[] = { 0, 1, 16, 19, 21, 28, 31, 33, 64 };
	struct digest *d = NULL;

	for (size_t i = 0; i < COUNT(lens); i++)
		CHECK_INT(digest_new(&d, lens[i]), -EINVAL);
	CHECK(!d);
}

CASE(random_bytes_are_others_each_time)
{
	uint8_t zero[KEY_LEN] = { 0 }, a[KEY_LEN] = { 0 }, b[KEY_LEN] = { 0 };

	CHECK_INT(crypto_random(a, sizeof(a)), 0);
	CHECK_INT(crypto_random(b, sizeof(b)), 0);
	CHECK(memcmp(a, b, sizeof(a)));
	CHECK(memcmp(a, zero, sizeof(a)) && memcmp(b, zero, sizeof(b)));
	/* to the last byte, and not beyond */
	memset(b, 0, sizeof(b));
	for (int i = 0; i < 100 && !b[KEY_LEN - 2]; i++)
		CHECK_INT(crypto_random(b, KEY_LEN - 1), 0);
	CHECK(b[KEY_LEN - 2]);
	CHECK_INT(b[KEY_LEN - 1], 0);
}

/* RFC 3394, 4.6: 256 bits of key data with a 256-bit KEK */
#define RFC3394_KEK \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define RFC3394_KEY \
	"00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
#define RFC3394_WRAPPED                                                    \
	"28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43b" \
	"fb988b9b7a02dd21"

CASE(unwrapping_agrees_with_rfc_3394)
{
	struct bytes kek = unhex(RFC3394_KEK), wrapped = unhex(RFC3394_WRAPPED);
	uint8_t out[KEY_LEN];

	CHECK_INT(crypto_unwrap(out, kek.ptr, wrapped.ptr), 0);
	CHECK_HEX(out, KEY_LEN, RFC3394_KEY);
	drop(&kek);
	drop(&wrapped);
}

CASE(wrapping_agrees_with_rfc_3394)
{
	struct bytes kek = unhex(RFC3394_KEK), key = unhex(RFC3394_KEY);
	uint8_t out[WRAPPED_LEN];

	CHECK_INT(crypto_wrap(out, kek.ptr, key.ptr), 0);
	CHECK_HEX(out, WRAPPED_LEN, RFC3394_WRAPPED);
	drop(&kek);
	drop(&key);
}

CASE(wrapping_agrees_with_openssl_and_is_undone)
{
	for (int i = 0; i < 200; i++) {
		struct bytes kek = { 0 }, key = { 0 };
		uint8_t out[WRAPPED_LEN], want[4 + WRAPPED_LEN], back[KEY_LEN];

		add_noise(&kek, KEY_LEN);
		add_noise(&key, KEY_LEN);
		wrap_key(want, 0, kek.ptr, key.ptr);
		CHECK_INT(crypto_wrap(out, kek.ptr, key.ptr), 0);
		CHECK_BYTES(out, WRAPPED_LEN, want + 4, WRAPPED_LEN);
		CHECK_INT(crypto_unwrap(back, kek.ptr, out), 0);
		CHECK_BYTES(back, KEY_LEN, key.ptr, KEY_LEN);
		drop(&kek);
		drop(&key);
	}
}

CASE(keys_unwrapped_together_are_those_of_each)
{
	for (unsigned count = 1; count <= UNWRAP_MAX; count++) {
		struct unwrapping keys[UNWRAP_MAX] = { 0 };
		struct bytes plain[UNWRAP_MAX] = { 0 }, kek = { 0 };
		uint8_t wrapped[UNWRAP_MAX][4 + WRAPPED_LEN];

		add_noise(&kek, KEY_LEN);
		for (unsigned i = 0; i < count; i++) {
			add_noise(&plain[i], KEY_LEN);
			wrap_key(wrapped[i], 0, kek.ptr, plain[i].ptr);
			wrapped[i][4 + 3 * i % WRAPPED_LEN] ^= i % 3 == 1;
			keys[i].wrapped = wrapped[i] + 4;
		}
		crypto_unwrap_some(kek.ptr, keys, count);
		for (unsigned i = 0; i < count; i++) {
			bool good = i % 3 != 1;
			uint8_t none[KEY_LEN] = { 0 };

			CHECK_INT(keys[i].rc, good ? 0 : -EKEYREJECTED);
			CHECK_BYTES(keys[i].key, KEY_LEN,
				    good ? plain[i].ptr : none, KEY_LEN);
			drop(&plain[i]);
		}
		drop(&kek);
	}
}

CASE(any_flipped_bit_of_a_wrapped_key_is_noticed)
{
	struct bytes kek = unhex(RFC3394_KEK), wrapped = unhex(RFC3394_WRAPPED);
	uint8_t out[KEY_LEN], before[KEY_LEN];

	memset(out, 0x77, sizeof(out));
	memcpy(before, out, sizeof(out));
	for (unsigned bit = 0; bit < 8 * WRAPPED_LEN; bit++) {
		wrapped.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_AT(crypto_unwrap(out, kek.ptr, wrapped.ptr) ==
				 -EKEYREJECTED,
			 "bit %u", bit);
		wrapped.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned bit = 0; bit < 8 * KEY_LEN; bit++) {
		kek.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_AT(crypto_unwrap(out, kek.ptr, wrapped.ptr) ==
				 -EKEYREJECTED,
			 "bit %u of the KEK", bit);
		kek.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK_BYTES(out, sizeof(out), before, sizeof(before));
	drop(&kek);
	drop(&wrapped);
}

CASE(pbkdf2_agrees_with_rfc_6070_as_far_as_it_is_32_bytes)
{
	uint8_t out[KEY_LEN];

	/* "password", "salt", 1: 20 bytes in the RFC; 32 by hashlib */
	CHECK_INT(crypto_pbkdf2_sha1(out, text_view("password"),
				     text_view("salt"), 1),
		  0);
	CHECK_HEX(out, 20, "0c60c80f961f0e71f3a9b524af6012062fe037a6");
	CHECK_INT(crypto_pbkdf2_sha1(out, text_view("password"),
				     text_view("salt"), 4096),
		  0);
	CHECK_HEX(out, 20, "4b007901b765489abead49d926f721d065a429c1");
	/* RFC 7914, 11 */
	CHECK_INT(crypto_pbkdf2_sha256(out, text_view("passwd"),
				       text_view("salt"), 1),
		  0);
	CHECK_HEX(out, 32,
		  "55ac046e56e3089fec1691c22544b605"
		  "f94185216dde0465e68b9d57c20dacbc");
}

struct stage {
	const char *password, *salt2, *salt;
	uint32_t count2, count;
	const char *first, *last, *wrapped, *class_key;
};

/* both stages of the spec, straight through crypto.h */
static void check_stage(const struct stage *s)
{
	struct view password = text_view(s->password);
	struct bytes salt = unhex(s->salt);
	uint8_t first[KEY_LEN], last[KEY_LEN], key[KEY_LEN];
	uint8_t again[WRAPPED_LEN];

	if (s->salt2) {
		struct bytes salt2 = unhex(s->salt2);

		CHECK_INT(crypto_pbkdf2_sha256(first, password,
					       view_of(salt2.ptr, salt2.len),
					       s->count2),
			  0);
		CHECK_HEX(first, KEY_LEN, s->first);
		password = view_of(first, KEY_LEN);
		drop(&salt2);
	}
	CHECK_INT(crypto_pbkdf2_sha1(last, password,
				     view_of(salt.ptr, salt.len), s->count),
		  0);
	CHECK_HEX(last, KEY_LEN, s->last);
	if (s->wrapped) {
		struct bytes wrapped = unhex(s->wrapped);

		CHECK_INT(crypto_unwrap(key, last, wrapped.ptr), 0);
		CHECK_HEX(key, KEY_LEN, s->class_key);
		CHECK_INT(crypto_wrap(again, last, key), 0);
		CHECK_BYTES(again, WRAPPED_LEN, wrapped.ptr, wrapped.len);
		drop(&wrapped);
	}
	drop(&salt);
}

#define SALT "101112131415161718191a1b1c1d1e1f20212223"
#define DPSL "404142434445464748494a4b4c4d4e4f50515253"

CASE(both_derivations_of_the_worked_example)
{
	static const struct stage stages[] = {
		{ "correct horse", DPSL, SALT, 2000, 1000,
		  "d384d68bde8d627d2791298758a950548c941449026f08b3b6d967d63add2672",
		  "84b204bbe0e4d07fa68920413507a33633b7f6a605fe2c69d8daf48fa271e5b9",
		  "dbcb62ee6c5c59c0af6460bad5fcf3a8f6e89d76becd35e7e7f9af9d825bcc1463a3055365d690ee",
		  "3ceac4eec5cac3b227ae2d741d00cce4fcc8f3260ecbfb324b3cb123d4d2a596" },
		{ "wrong", DPSL, SALT, 2000, 1000,
		  "a4ad2b52db271752d5049ac69c12357093c15ef38adde2f13c359df88073a69d",
		  "885276731da584dd3013f899ba8b639e0c8b814e1023a0468c03d0a21c3dbcfb",
		  NULL, NULL },
		{ "p\xc3\xa4ssw\xc3\xb6rd", DPSL, SALT, 2000, 1000,
		  "af68202f3e0bd63397b88fee69da675e4f910cacbda67d44d482d289ba57ba60",
		  "c0c3b8bc76d27c299bf258d3c0ab7e22d2cbffd4d94b76bc23fdb6d45ef7d69f",
		  NULL, NULL },
		{ "correct horse", NULL, SALT, 0, 1000, NULL,
		  "f8d52876616f3ae15f934e8c82bb28632936079e3c3b85bc109edab87320dad6",
		  "234ac947dd967fb280a9057ae90ff5343c5365670f01d2f811e5cc73f4a539e8fe211042f60cec6c",
		  "3ceac4eec5cac3b227ae2d741d00cce4fcc8f3260ecbfb324b3cb123d4d2a596" },
	};

	for (size_t i = 0; i < COUNT(stages); i++)
		check_stage(&stages[i]);
}

CASE(the_empty_password_is_a_password)
{
	static const struct stage stage = {
		"",
		NULL,
		SALT,
		0,
		1000,
		NULL,
		"4b285a1af7dc0e759e0e260cbd4a87a052b446d30927f2aa06a5ca008b871db1",
		NULL,
		NULL
	};
	struct bytes salt = unhex(SALT);
	uint8_t out[KEY_LEN];

	check_stage(&stage);
	CHECK_INT(crypto_pbkdf2_sha1(out, view_of(NULL, 0),
				     view_of(salt.ptr, salt.len), 1000),
		  0);
	CHECK_HEX(out, KEY_LEN, stage.last);
	drop(&salt);
}

/* hashcat's module_14700.c and module_14800.c, john's itunes_fmt_plug.c */
CASE(public_vectors_of_password_crackers)
{
	static const struct stage stages[] = {
		{ "hashcat", NULL, "2202015774208421818002001652122401871832",
		  0, 10000, NULL,
		  "a29e0b44321c66a8f34c587ce924421e37231a3f020598a9a1a2ccdb71b424db",
		  "ebd7f9b33293b2511f0a4139d5b213feff51476968863cef60ec38d720497b6ff39a0bb63fa9f84e",
		  "d684b4867dd1000012ddecf958080000d3c202a1ab73000070ef26e352020000" },
		{ "hashcat", "99fafc983e732998adb9fadc162a2e382143f115",
		  "2721336781705041205314422175267631184867", 1000, 10000,
		  "9cc8d5a8d95a97a42b32441226c36939138d7d75dd1994360161dc2aaad32a3e",
		  "ca1bdd8196307fe1e2ed421321267d96e2988bf12f736035192cfed20ec823ea",
		  "17a3b858e79bc273be43a9f113b71efe7ec8e7e401396b350180b4592ef45db67ffef7b2d64329a5",
		  "2ed7042e87b50000fa6ba698661c000013194470a1f70000c35bd72ce0360000" },
		{ "123456", NULL, "266343aaf99102ba7f6af64a3a2d62637793f753", 0,
		  10000, NULL,
		  "e3b46feb8370ba6caedc4925ef30b7d6c93c1462cfecc71901810ef92fb14405",
		  "bc707ac0151660426c8114d04caad9d9ee2678a7b7ab05c18ee50cafb2613c31c8978e8b1e9cad2a",
		  "0003897185014cf89b30fb01979f5e675409edfce0cda6cba5f5467a969ebbae" },
		{ "test123", NULL, "37d2bd7caefbb24a9729e41a3257ef06188dc01e",
		  0, 10000, NULL,
		  "0fa447b306577e8aeb2165a3d480c40fa70eaf99f83a74c5b334b687c488a2cd",
		  "06dc04bca4eeea2fbc1bc7356fa758243bead479673640a668db285c8f48c402cc435539d935509e",
		  "974df46624faf86673d42c658a628872963ed4ab1527b01f75f8c87719c8a44c" },
		{ "855632538858211", "c77a159b325d10efee51a1c05701ef63fb85b599",
		  "8840233131165307147445064802216857558435", 1000, 10000,
		  "d2e5cb8817b8d2b5bcb4c6923cbfd8c4094cd2c3f9fd704b32768975b3548622",
		  "eed63bdf495271d39f9573cd996f673e993c42653487dad8bc6c5a9d5f9e5c9e",
		  "31021f9c5a705c3625af21739d397082d90f7a00718a9307687625abc35fc3e4d78371e95cc708b6",
		  "a4a800f2948500002f679954baac0000bc37a75a034700008a42b7b92f460000" },
		{ "1", "46de5e844e0ee1c81d2cca6acefb77789c1a7cd0",
		  "6832814730342072666684158073107301064276", 1000, 10000,
		  "3925d5a992949e99d98761f041cbaaea0467e2edc64acf34268982ea7129c0cb",
		  "b13991335ad8f67fb71045f6dfc2b5739976726601ec67ae14ba8c3263767a46",
		  "b3d3f05b5367345fcb654b9b628e2ed24d8b8726f1f74707a956c776475d6ebfffc962340d9cbbca",
		  "57eac5110c0400000c39c4bdb5bf00008a956423fc5e0000ad7022b6e8110000" },
	};

	for (size_t i = 0; i < COUNT(stages); i++)
		check_stage(&stages[i]);
}

/* john, "test123", version 10: as many rounds as a real device asks for */
CASE(ten_million_iterations_as_devices_use)
{
	static const struct stage stage = {
		"test123",
		"66f159e15f3ddbbdd4057f8babef7ad4472fac10",
		"f09cfa82cc1695657cb2c347ee127c2523795fda",
		10000000,
		10000,
		"f4e8b819495eeeb6dfd63a8f60150561c0b0feb12d5d7424d4738d8416563eb2",
		"14b002704b801f2f6afabd38cd5bee2b2a8151071f93375cc76cfc7e19539e69",
		"deff6d646eb1fa2b6741efee8b70eda84341a838cef2bb10e582669759d7e33c399a0ba2a52cb9ec",
		"c92b6a58e988a31c65fff965911147f624567facbfce602efc1a1da2374de238"
	};

	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("LARDER_TEST_QUICK is set, and this takes seconds");
		return;
	}
	check_stage(&stage);
}

CASE(impossible_derivations_are_errors)
{
	uint8_t out[KEY_LEN];

	CHECK_INT(crypto_pbkdf2_sha1(out, text_view("a"), text_view("salt"), 0),
		  -EIO);
	CHECK_INT(crypto_pbkdf2_sha256(out, text_view("a"), text_view("salt"),
				       UINT32_MAX),
		  -EIO);
}

CASE(cbc_agrees_with_openssl_in_one_go)
{
	static const uint8_t zero[BLOCK_LEN];
	struct bytes key = { 0 }, plain = { 0 }, cipher;
	struct cbc *cbc;

	add_noise(&key, 32);
	add_noise(&plain, 16 * 300);
	cipher = aes_cbc(true, key.ptr, plain.ptr, plain.len, false);
	CHECK_INT(cipher.len, plain.len);
	CHECK_INT(cbc_new(&cbc, key.ptr), 0);
	for (size_t block = 0; block < 300; block += 1 + dice() % 7) {
		size_t n = 1 + dice() % (300 - block);
		const uint8_t *iv =
			block ? cipher.ptr + 16 * (block - 1) : zero;
		struct bytes piece = { 0 };

		add(&piece, cipher.ptr + 16 * block, 16 * n);
		CHECK_INT(cbc_decrypt(cbc, iv, piece.ptr, piece.len), 0);
		CHECK_BYTES(piece.ptr, piece.len, plain.ptr + 16 * block,
			    16 * n);
		drop(&piece);
	}
	CHECK_INT(cbc_decrypt(cbc, zero, NULL, 0), 0);
	cbc_free(cbc);
	cbc_free(NULL);
	drop(&key);
	drop(&plain);
	drop(&cipher);
}

/* A library takes sixteen, eight, four blocks at once, and what is left over. */
CASE(any_count_of_blocks_decrypts_at_any_address)
{
	static const uint8_t zero[BLOCK_LEN];
	enum { BLOCKS = 70 };
	uint8_t room[2 * BLOCK_LEN + BLOCKS * BLOCK_LEN];
	struct bytes key = { 0 }, plain = { 0 }, cipher;
	struct cbc *cbc;

	add_noise(&key, 32);
	add_noise(&plain, BLOCKS * BLOCK_LEN);
	cipher = aes_cbc(true, key.ptr, plain.ptr, plain.len, false);
	CHECK_INT(cbc_new(&cbc, key.ptr), 0);
	for (size_t n = 1; n <= BLOCKS; n++) {
		size_t len = n * BLOCK_LEN, shift = 1 + n % BLOCK_LEN;

		memset(room, 0x5a, sizeof(room));
		memcpy(room + shift, cipher.ptr, len);
		CHECK_INT(cbc_decrypt(cbc, zero, room + shift, len), 0);
		CHECK_BYTES(room + shift, len, plain.ptr, len);
		CHECK_INT(room[shift - 1], 0x5a);
		CHECK_INT(room[shift + len], 0x5a);
	}
	cbc_free(cbc);
	drop(&key);
	drop(&plain);
	drop(&cipher);
}

CASE(a_block_alone_is_what_it_is_in_a_row)
{
	static const uint8_t zero[BLOCK_LEN];
	struct bytes plain = { 0 }, cipher;
	uint8_t keys[2][KEY_LEN] = { { 7 }, { 8 } };

	add_noise(&plain, 20 * BLOCK_LEN);
	for (int k = 0; k < 2; k++) {
		cipher = aes_cbc(true, keys[k], plain.ptr, plain.len, false);
		for (size_t i = 0; i < 20; i++) {
			uint8_t block[BLOCK_LEN], *at = cipher.ptr + 16 * i;

			memcpy(block, at, BLOCK_LEN);
			CHECK_INT(crypto_decrypt_block(
					  keys[k], i ? at - 16 : zero, block),
				  0);
			CHECK_BYTES(block, 16, plain.ptr + 16 * i, 16);
		}
		drop(&cipher);
	}
	drop(&plain);
}

CASE(padding_is_handed_out_as_it_is)
{
	static const uint8_t zero[BLOCK_LEN];
	struct bytes key = { 0 }, cipher;
	struct cbc *cbc;

	add_noise(&key, 32);
	cipher = aes_cbc(true, key.ptr, "hello", 5, true);
	CHECK_INT(cbc_new(&cbc, key.ptr), 0);
	CHECK_INT(cbc_decrypt(cbc, zero, cipher.ptr, cipher.len), 0);
	CHECK_BYTES(cipher.ptr, cipher.len,
		    "hello\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 16);
	cbc_free(cbc);
	drop(&key);
	drop(&cipher);
}

CASE(what_is_encrypted_in_pieces_agrees_with_openssl_in_one_go)
{
	struct bytes key = { 0 }, plain = { 0 }, cipher;

	add_noise(&key, 32);
	add_noise(&plain, 16 * 3000);
	cipher = aes_cbc(true, key.ptr, plain.ptr, plain.len, false);
	for (int in_place = 0; in_place < 2; in_place++) {
		uint8_t *out = malloc(plain.len);
		struct cbc_writer *w;

		memcpy(out, plain.ptr, plain.len);
		CHECK_INT(cbc_writer_new(&w, key.ptr), 0);
		for (size_t at = 0, n; at < plain.len; at += n) {
			const uint8_t *from = in_place ? out : plain.ptr;

			n = 16 * (dice() % 300);
			n = n < plain.len - at ? n : plain.len - at;
			CHECK_INT(cbc_writer_add(w, from + at, out + at, n), 0);
		}
		CHECK_BYTES(out, plain.len, cipher.ptr, cipher.len);
		cbc_writer_free(w);
		free(out);
	}
	cbc_writer_free(NULL);
	drop(&key);
	drop(&plain);
	drop(&cipher);
}

static struct {
	struct cbc *cbc;
	struct bytes plain, cipher;
} shared;

static void *decrypt_much(void *arg)
{
	static const uint8_t zero[BLOCK_LEN];
	uintptr_t bad = 0;
	uint32_t at = (uint32_t)(uintptr_t)arg * 7919;

	for (int i = 0; i < 500; i++, at = at * 1103515245 + 12345) {
		size_t block = (at >> 8) % 200, n = 1 + (at >> 20) % 50;
		uint8_t piece[16 * 50];

		memcpy(piece, shared.cipher.ptr + 16 * block, 16 * n);
		bad += cbc_decrypt(shared.cbc,
				   block ? shared.cipher.ptr +
						   16 * (block - 1) :
					   zero,
				   piece, 16 * n) != 0;
		bad += !!memcmp(piece, shared.plain.ptr + 16 * block, 16 * n);
	}
	return (void *)bad;
}

CASE(one_decryptor_serves_twelve_threads)
{
	struct bytes key = { 0 };
	pthread_t threads[12];
	void *bad;

	add_noise(&key, 32);
	add_noise(&shared.plain, 16 * 250);
	shared.cipher = aes_cbc(true, key.ptr, shared.plain.ptr,
				shared.plain.len, false);
	CHECK_INT(cbc_new(&shared.cbc, key.ptr), 0);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, decrypt_much,
			       (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], &bad);
		CHECK(!bad);
	}
	cbc_free(shared.cbc);
	drop(&key);
	drop(&shared.plain);
	drop(&shared.cipher);
}

CASE(wiping_leaves_zeros)
{
	uint8_t secret[40], zeros[40] = { 0 };

	memset(secret, 1, sizeof(secret));
	crypto_wipe(secret, sizeof(secret));
	CHECK_BYTES(secret, sizeof(secret), zeros, sizeof(zeros));
}

int main(void)
{
	RUN(sha1_of_two_parts);
	RUN(a_digest_of_many_pieces);
	RUN(a_digest_of_nothing);
	RUN(a_digest_of_another_length_is_refused);
	RUN(random_bytes_are_others_each_time);
	RUN(unwrapping_agrees_with_rfc_3394);
	RUN(wrapping_agrees_with_rfc_3394);
	RUN(wrapping_agrees_with_openssl_and_is_undone);
	RUN(keys_unwrapped_together_are_those_of_each);
	RUN(any_flipped_bit_of_a_wrapped_key_is_noticed);
	RUN(pbkdf2_agrees_with_rfc_6070_as_far_as_it_is_32_bytes);
	RUN(both_derivations_of_the_worked_example);
	RUN(the_empty_password_is_a_password);
	RUN(public_vectors_of_password_crackers);
	RUN(ten_million_iterations_as_devices_use);
	RUN(impossible_derivations_are_errors);
	RUN(cbc_agrees_with_openssl_in_one_go);
	RUN(any_count_of_blocks_decrypts_at_any_address);
	RUN(a_block_alone_is_what_it_is_in_a_row);
	RUN(padding_is_handed_out_as_it_is);
	RUN(what_is_encrypted_in_pieces_agrees_with_openssl_in_one_go);
	RUN(one_decryptor_serves_twelve_threads);
	RUN(wiping_leaves_zeros);
	return tap_end();
}
