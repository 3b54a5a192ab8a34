/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "payload.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

static const char *dir;
static int dir_fd;
static uint8_t key[KEY_LEN];

static struct payload *open_bytes(const void *ptr, size_t len, bool plain)
{
	struct payload *p = NULL;

	put_file(dir, "payload", ptr, len);
	if (payload_open(&p, dir_fd, "payload", plain ? NULL : key) < 0)
		abort();
	CHECK_INT(payload_stored_len(p), len);
	return p;
}

static struct payload *open_hex(const char *hex)
{
	struct bytes b = unhex(hex);
	struct payload *p = open_bytes(b.ptr, b.len, false);

	drop(&b);
	return p;
}

CASE(the_files_of_the_worked_example)
{
	static const struct {
		const char *text, *cipher;
	} files[] = {
		{ "", "22f47d8f5d6d8e22957add4fe5f4c095" },
		{ "hello", "d97cbabb6ca49db8e469ed22fec5137c" },
		{ "0123456789abcdef", "170029f7cf656de0fd95e7046d31eb91"
				      "a9bb42594006951df0c82e68d5d6cb60" },
		{ "0123456789abcdefghijk", "170029f7cf656de0fd95e7046d31eb91"
					   "540c7448c682fe9287eab21f22c73aee" },
	};

	for (size_t i = 0; i < COUNT(files); i++) {
		struct payload *p = open_hex(files[i].cipher);
		size_t len = strlen(files[i].text);
		struct payload_extent e;
		char out[64];

		CHECK_INT(payload_measure(p, (int64_t)len, &e), 0);
		CHECK_INT(e.size, len);
		CHECK_INT(e.readable, len);
		CHECK_TEXT(e.damage, "");
		CHECK(payload_pread(p, out, len, 0) == (ssize_t)len);
		CHECK_AT(!memcmp(out, files[i].text, len), "%s", files[i].text);
		payload_free(p);
	}
}

CASE(one_block_out_of_the_middle)
{
	struct payload *p = open_hex(CIPHER_100);
	uint8_t out[16], want[16];

	for (int i = 0; i < 16; i++)
		want[i] = (uint8_t)(0x30 + i);
	CHECK_INT(payload_pread(p, out, 16, 48), 16);
	CHECK_BYTES(out, 16, want, 16);
	payload_free(p);
}

/* 112 bytes: 100 of content and 12 of padding, which pread hands out */
CASE(every_offset_and_length_of_a_hundred_byte_file)
{
	struct bytes cipher = unhex(CIPHER_100);
	struct bytes plain = aes_cbc(false, key, cipher.ptr, cipher.len, false);
	struct payload *p = open_hex(CIPHER_100);

	CHECK_INT(plain.len, 112);
	for (int i = 0; i < 100; i++)
		CHECK_INT(plain.ptr[i], i);
	for (size_t off = 0; off <= 130; off++)
		for (size_t len = 0; len <= 130; len++) {
			size_t want = off >= 112      ? 0 :
				      len > 112 - off ? 112 - off :
							len;
			uint8_t *out = malloc(len ? len : 1);
			ssize_t n = payload_pread(p, out, len, (int64_t)off);

			CHECK_AT(n == (ssize_t)want, "off %zu len %zu: %zd",
				 off, len, n);
			CHECK_AT(off >= 112 ||
					 !memcmp(out, plain.ptr + off, want),
				 "off %zu len %zu", off, len);
			free(out);
		}
	payload_free(p);
	drop(&cipher);
	drop(&plain);
}

CASE(a_plain_file_at_every_offset_and_length)
{
	struct bytes plain = { 0 };
	struct payload *p;
	uint8_t out[64];

	add_noise(&plain, 37);
	p = open_bytes(plain.ptr, plain.len, true);
	for (size_t off = 0; off <= 40; off++)
		for (size_t len = 0; len <= 40; len++) {
			size_t want = off >= 37	     ? 0 :
				      len > 37 - off ? 37 - off :
						       len;

			CHECK(payload_pread(p, out, len, (int64_t)off) ==
			      (ssize_t)want);
			CHECK(off >= 37 || !memcmp(out, plain.ptr + off, want));
		}
	payload_free(p);
	drop(&plain);
}

static struct {
	struct payload *p;
	struct bytes plain;
} large;

static void large_open(void)
{
	struct bytes cipher;

	add_noise(&large.plain, 1 << 20);
	large.plain.len -= 5;
	cipher = aes_cbc(true, key, large.plain.ptr, large.plain.len, true);
	large.p = open_bytes(cipher.ptr, cipher.len, false);
	drop(&cipher);
	/* and back in one go: what pread has to agree with */
	cipher = read_file(in(dir, "payload"));
	drop(&large.plain);
	large.plain = aes_cbc(false, key, cipher.ptr, cipher.len, false);
	drop(&cipher);
}

static bool random_read(uint32_t (*roll)(void *), void *state, uint8_t *out)
{
	size_t off = roll(state) % (large.plain.len + 100);
	size_t len = roll(state) % (roll(state) % 4 ? 5000 : 300000);
	size_t left = off < large.plain.len ? large.plain.len - off : 0;
	size_t want = len < left ? len : left;

	if (roll(state) % 3 == 0)
		off &= ~(size_t)15, left = 0;
	left = off < large.plain.len ? large.plain.len - off : 0;
	want = len < left ? len : left;
	return payload_pread(large.p, out, len, (int64_t)off) ==
		       (ssize_t)want &&
	       (!want || !memcmp(out, large.plain.ptr + off, want));
}

static uint32_t common_dice(void *state)
{
	(void)state;
	return dice();
}

CASE(random_reads_of_a_megabyte_agree_with_openssl)
{
	uint8_t *out = malloc(300000);

	for (int i = 0; i < 2000; i++)
		if (!CHECK_AT(random_read(common_dice, NULL, out), "read %d",
			      i))
			break;
	free(out);
}

static uint32_t own_dice(void *state)
{
	uint64_t *s = state;

	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 32);
}

static void *read_much(void *arg)
{
	uint64_t state = (uintptr_t)arg * 0x9e3779b97f4a7c15;
	uint8_t *out = malloc(300000);
	uintptr_t bad = 0;

	for (int i = 0; i < 300; i++)
		bad += !random_read(own_dice, &state, out);
	free(out);
	return (void *)bad;
}

CASE(twelve_threads_read_one_payload)
{
	pthread_t threads[12];
	void *bad;

	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, read_much,
			       (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], &bad);
		CHECK_INT((uintptr_t)bad, 0);
	}
}

CASE(impossible_offsets_and_lengths)
{
	char *out = malloc(2 << 20);

	CHECK_INT(payload_pread(large.p, out, 1, -1), -EINVAL);
	CHECK_INT(payload_pread(large.p, out, 1, INT64_MIN), -EINVAL);
	CHECK_INT(payload_pread(large.p, out, 1, INT64_MAX), 0);
	CHECK_INT(payload_pread(large.p, out, 2 << 20, 0), large.plain.len);
	free(out);
}

CASE(a_file_that_shrinks_after_opening_gives_an_error)
{
	struct payload *p = open_hex(CIPHER_100);
	uint8_t out[112];

	CHECK_INT(truncate(in(dir, "payload"), 40), 0);
	CHECK_INT(payload_pread(p, out, 112, 0), -EIO);
	CHECK_INT(payload_pread(p, out, 20, 0), 20);
	payload_free(p);
}

/* ---- true length: every row of the policy ---- */

/* what the last block decrypts to is put together, then encrypted unpadded */
static struct payload_extent measure(const char *tail_hex, size_t blocks,
				     size_t extra, int64_t recorded)
{
	struct bytes plain = { 0 }, tail = unhex(tail_hex), cipher;
	struct payload_extent e = { .size = -7 };
	struct payload *p;

	for (size_t i = 0; i + 16 < 16 * blocks; i++)
		add_be(&plain, 'A' + i % 26, 1);
	add(&plain, tail.ptr, blocks ? 16 : 0);
	cipher = aes_cbc(true, key, plain.ptr, plain.len, false);
	add_noise(&cipher, extra);
	p = open_bytes(cipher.ptr, cipher.len, false);
	CHECK_INT(payload_measure(p, recorded, &e), 0);
	payload_free(p);
	drop(&plain);
	drop(&tail);
	drop(&cipher);
	return e;
}

static void check_extent(struct payload_extent e, int64_t size,
			 int64_t readable, const char *damage, int line)
{
	CHECK_AT(e.size == size, "line %d: size %lld", line, (long long)e.size);
	CHECK_AT(e.readable == readable, "line %d: readable %lld", line,
		 (long long)e.readable);
	CHECK_AT(damage ? !!strstr(e.damage, damage) : !e.damage[0],
		 "line %d: \"%s\"", line, e.damage);
}
#define CHECK_EXTENT(e, size, readable, damage) \
	check_extent(e, size, readable, damage, __LINE__)

#define TEXT12               \
	"414243444546474849" \
	"4a4b4c" /* 12 bytes of content */
#define NOPAD "41424344454647484950515253545562"

CASE(an_empty_payload_is_an_empty_file)
{
	CHECK_EXTENT(measure("", 0, 0, 0), 0, 0, NULL);
	CHECK_EXTENT(measure("", 0, 0, -1), 0, 0, NULL);
	CHECK_EXTENT(measure("", 0, 0, 9), 9, 0, "empty");
}

CASE(valid_padding_tells_the_length_whatever_is_recorded)
{
	static const int64_t recorded[] = { 44, 0, 40, 48, 1000000, -1 };

	for (size_t i = 0; i < COUNT(recorded); i++)
		CHECK_EXTENT(measure(TEXT12 "04040404", 3, 0, recorded[i]), 44,
			     44, NULL);
	CHECK_EXTENT(measure("10101010101010101010101010101010", 3, 0, 32), 32,
		     32, NULL);
	CHECK_EXTENT(measure("10101010101010101010101010101010", 1, 0, 0), 0, 0,
		     NULL);
	CHECK_EXTENT(measure("41424344454647484950515253545501", 2, 0, 31), 31,
		     31, NULL);
}

CASE(a_payload_that_is_no_whole_number_of_blocks_is_damaged)
{
	CHECK_EXTENT(measure(TEXT12 "04040404", 3, 1, 60), 60, 48, "cut off");
	CHECK_EXTENT(measure(TEXT12 "04040404", 3, 15, -1), 48, 48, "cut off");
	CHECK_EXTENT(measure(TEXT12 "04040404", 3, 5, 20), 20, 20, "cut off");
	CHECK_EXTENT(measure("", 0, 7, 3), 3, 0, "cut off");
}

CASE(no_padding_and_the_size_is_the_stored_length)
{
	CHECK_EXTENT(measure(NOPAD, 3, 0, 48), 48, 48, "no padding");
}

CASE(zeros_instead_of_padding_as_some_writers_do)
{
	CHECK_EXTENT(measure(TEXT12 "00000000", 3, 0, 44), 44, 44, "zeros");
	CHECK_EXTENT(measure("00000000000000000000000000000000", 3, 0, 40), 40,
		     40, "zeros");
}

CASE(bad_padding_and_a_size_before_the_last_block)
{
	CHECK_EXTENT(measure(NOPAD, 3, 0, 32), 32, 32, "bad padding, recorded");
	CHECK_EXTENT(measure(NOPAD, 3, 0, 1), 1, 1, "bad padding, recorded");
	CHECK_EXTENT(measure(NOPAD, 3, 0, 0), 0, 0, "bad padding, recorded");
}

CASE(bad_padding_and_a_size_within_the_last_block_damages_it)
{
	CHECK_EXTENT(measure(NOPAD, 3, 0, 40), 40, 32, "last block");
	CHECK_EXTENT(measure(NOPAD, 3, 0, 33), 33, 32, "last block");
	CHECK_EXTENT(measure(NOPAD, 3, 0, 47), 47, 32, "last block");
}

CASE(bad_padding_and_a_size_beyond_the_payload_is_damage)
{
	CHECK_EXTENT(measure(NOPAD, 3, 0, 49), 49, 48, "cut off");
	CHECK_EXTENT(measure(NOPAD, 3, 0, INT64_MAX), INT64_MAX, 48, "cut off");
}

CASE(bad_padding_and_no_usable_size)
{
	CHECK_EXTENT(measure(NOPAD, 3, 0, -1), 48, 32, "last block");
	CHECK_EXTENT(measure(NOPAD, 3, 0, INT64_MIN), 48, 32, "last block");
}

CASE(what_looks_like_padding_and_is_not)
{
	/* 0 and 17 are no lengths of padding; all of its bytes must agree */
	CHECK_EXTENT(measure("11111111111111111111111111111111", 2, 0, 32), 32,
		     32, "no padding");
	CHECK_EXTENT(measure(TEXT12 "03040404", 2, 0, 32), 32, 32,
		     "no padding");
	CHECK_EXTENT(measure(TEXT12 "04040405", 2, 0, 32), 32, 32,
		     "no padding");
	CHECK_EXTENT(measure("0f101010101010101010101010101010", 2, 0, 32), 32,
		     32, "no padding");
}

CASE(a_plain_payload_is_as_long_as_it_is_stored)
{
	static const int64_t recorded[] = { 5, 0, 7, -1 };

	for (size_t i = 0; i < COUNT(recorded); i++) {
		struct payload *p = open_bytes("hello", 5, true);
		struct payload_extent e;

		CHECK_INT(payload_measure(p, recorded[i], &e), 0);
		CHECK_EXTENT(e, 5, 5, NULL);
		payload_free(p);
	}
}

/* ---- true length, at a glance ---- */

#define GLANCE_ID "00000000000000000000000000000000000000ff"

/* Cipher text as the payload of an ID; what the glance says. */
static int64_t glance(const uint8_t *cipher, size_t len, int64_t recorded)
{
	struct payload_places places = { .dir_fds = { dir_fd }, .count = 1 };

	put_file(dir, "00/" GLANCE_ID, cipher, len);
	return payload_expected_size(&places, GLANCE_ID, key, recorded);
}

CASE(what_is_found_at_a_glance_is_what_measuring_finds)
{
	for (size_t len = 0; len <= 50; len++) {
		struct bytes plain = { 0 }, cipher;

		for (size_t i = 0; i < len; i++)
			add_be(&plain, 'a' + i % 26, 1);
		cipher = aes_cbc(true, key, plain.ptr, plain.len, true);
		for (int64_t recorded = -1; recorded <= 70; recorded++) {
			bool same = recorded >= 0 &&
				    (size_t)recorded / 16 == len / 16;
			int64_t size = glance(cipher.ptr, cipher.len, recorded);

			CHECK_AT(size == (same ? (int64_t)len : -EAGAIN),
				 "%zu bytes, %lld recorded: %lld", len,
				 (long long)recorded, (long long)size);
		}
		drop(&plain);
		drop(&cipher);
	}
}

CASE(what_is_not_as_expected_has_to_be_measured)
{
	struct bytes tail = unhex(TEXT12 "00000000" TEXT12 "00000000"), cipher;
	struct payload_places places = { .dir_fds = { dir_fd }, .count = 1 };

	/* zeros for padding, and too short, too long by a byte or a block */
	cipher = aes_cbc(true, key, tail.ptr, tail.len, false);
	CHECK_INT(glance(cipher.ptr, 32, 28), -EAGAIN);
	drop(&cipher);
	cipher = aes_cbc(true, key, tail.ptr, 28, true);
	CHECK_INT(glance(cipher.ptr, 32, 28), 28);
	CHECK_INT(glance(cipher.ptr, 31, 28), -EAGAIN);
	CHECK_INT(glance(cipher.ptr, 16, 28), -EAGAIN);
	CHECK_INT(glance(cipher.ptr, 0, 28), -EAGAIN);
	add_noise(&cipher, 1);
	CHECK_INT(glance(cipher.ptr, 33, 28), -EAGAIN);
	CHECK_INT(glance(cipher.ptr, 33, INT64_MAX), -EAGAIN);
	CHECK_INT(payload_expected_size(&places, "ff", key, 1), -ENOENT);
	drop(&cipher);
	drop(&tail);
}

/* ---- where payloads are ---- */

#define ID "3d0d7e5fb2ce288813306e4d4636395e047a3d28"

static char found_in(const struct payload_places *places, int *rc)
{
	struct payload *p = NULL;
	char c = '-';

	*rc = payload_find(&p, places, ID, NULL);
	if (*rc == 0)
		payload_pread(p, &c, 1, 0);
	payload_free(p);
	return c;
}

CASE(hashed_or_flat_comes_first_as_asked_for_and_both_are_tried)
{
	const char *a = temp_dir(), *b = temp_dir();
	struct payload_places places = {
		.dir_fds = { open_dir(a), open_dir(b) },
		.count = 2,
	};
	int rc;

	CHECK_INT(found_in(&places, &rc), '-');
	CHECK_INT(rc, -ENOENT);
	put_text(b, ID, "4");
	CHECK_INT(found_in(&places, &rc), '4');
	put_text(b, "3d/" ID, "3");
	CHECK_INT(found_in(&places, &rc), '3');
	places.flat_first = true;
	CHECK_INT(found_in(&places, &rc), '4');
	put_text(a, "3d/" ID, "1");
	CHECK_INT(found_in(&places, &rc), '1');
	put_text(a, ID, "2");
	CHECK_INT(found_in(&places, &rc), '2');
	places.flat_first = false;
	CHECK_INT(found_in(&places, &rc), '1');
	places.count = 0;
	CHECK_INT(found_in(&places, &rc), '-');
	CHECK_INT(rc, -ENOENT);
	close(places.dir_fds[0]);
	close(places.dir_fds[1]);
}

CASE(a_file_where_the_folder_would_be_is_passed_over)
{
	const char *a = temp_dir();
	struct payload_places places = { .dir_fds = { open_dir(a) },
					 .count = 1 };
	int rc;

	put_text(a, "3d", "x");
	put_text(a, ID, "5");
	CHECK_INT(found_in(&places, &rc), '5');
	close(places.dir_fds[0]);
}

CASE(a_payload_that_is_no_regular_file_is_not_followed)
{
	const char *a = temp_dir();
	struct payload_places places = { .dir_fds = { open_dir(a) },
					 .count = 1 };
	int rc;

	mkdir(in(a, "3d"), 0700);
	symlink("/etc/passwd", in(a, "3d/" ID));
	put_text(a, ID, "5");
	CHECK_INT(found_in(&places, &rc), '-');
	CHECK_INT(rc, -ELOOP);
	unlink(in(a, "3d/" ID));
	mkfifo(in(a, "3d/" ID), 0600);
	CHECK_INT(found_in(&places, &rc), '-');
	CHECK_INT(rc, -EBADMSG);
	close(places.dir_fds[0]);
}

/* where it is, as "<number of the place>:<path>:<length>" */
static const char *located(const struct payload_places *places, int *rc)
{
	struct payload_place place = { .dir_fd = -1 };
	static char text[100];

	*rc = payload_locate(&place, places, ID);
	snprintf(text, sizeof(text), "%c:%s:%lld",
		 *rc < 0			    ? '-' :
		 place.dir_fd == places->dir_fds[0] ? 'a' :
						      'b',
		 *rc < 0 ? "" : place.path,
		 *rc < 0 ? 0LL : (long long)place.stored_len);
	return text;
}

/* the same place as where it is opened */
CASE(a_payload_is_located_where_it_would_be_opened)
{
	const char *a = temp_dir(), *b = temp_dir();
	struct payload_places places = {
		.dir_fds = { open_dir(a), open_dir(b) },
		.count = 2,
	};
	int rc;

	CHECK_TEXT(located(&places, &rc), "-::0");
	CHECK_INT(rc, -ENOENT);
	put_text(b, ID, "4444");
	CHECK_TEXT(located(&places, &rc), "b:" ID ":4");
	put_text(b, "3d/" ID, "333");
	CHECK_TEXT(located(&places, &rc), "b:3d/" ID ":3");
	places.flat_first = true;
	CHECK_TEXT(located(&places, &rc), "b:" ID ":4");
	put_text(a, "3d", "in the way");
	put_text(a, ID, "");
	CHECK_TEXT(located(&places, &rc), "a:" ID ":0");
	places.flat_first = false;
	CHECK_TEXT(located(&places, &rc), "a:" ID ":0");
	places.count = 0;
	CHECK_TEXT(located(&places, &rc), "-::0");
	close(places.dir_fds[0]);
	close(places.dir_fds[1]);
}

CASE(what_is_no_regular_file_is_not_located)
{
	const char *a = temp_dir();
	struct payload_places places = { .dir_fds = { open_dir(a) },
					 .count = 1 };
	int rc;

	put_text(a, ID, "5");
	mkdir(in(a, "3d"), 0700);
	CHECK_INT(symlink("/etc/passwd", in(a, "3d/" ID)), 0);
	located(&places, &rc);
	CHECK_INT(rc, -EBADMSG);
	unlink(in(a, "3d/" ID));
	mkfifo(in(a, "3d/" ID), 0600);
	located(&places, &rc);
	CHECK_INT(rc, -EBADMSG);
	unlink(in(a, "3d/" ID));
	mkdir(in(a, "3d/" ID), 0700);
	located(&places, &rc);
	CHECK_INT(rc, -EBADMSG);
	/* nor through a folder that is a link */
	rmdir(in(a, "3d/" ID));
	rmdir(in(a, "3d"));
	CHECK_INT(symlink("/etc", in(a, "3d")), 0);
	located(&places, &rc);
	CHECK_INT(rc, -ELOOP);
	close(places.dir_fds[0]);
}

int main(void)
{
	struct bytes b = unhex(FILE_KEY);

	memcpy(key, b.ptr, KEY_LEN);
	drop(&b);
	dir = temp_dir();
	dir_fd = open_dir(dir);
	RUN(the_files_of_the_worked_example);
	RUN(one_block_out_of_the_middle);
	RUN(every_offset_and_length_of_a_hundred_byte_file);
	RUN(a_plain_file_at_every_offset_and_length);
	large_open();
	RUN(random_reads_of_a_megabyte_agree_with_openssl);
	RUN(twelve_threads_read_one_payload);
	RUN(impossible_offsets_and_lengths);
	payload_free(large.p);
	drop(&large.plain);
	RUN(a_file_that_shrinks_after_opening_gives_an_error);
	RUN(an_empty_payload_is_an_empty_file);
	RUN(valid_padding_tells_the_length_whatever_is_recorded);
	RUN(a_payload_that_is_no_whole_number_of_blocks_is_damaged);
	RUN(no_padding_and_the_size_is_the_stored_length);
	RUN(zeros_instead_of_padding_as_some_writers_do);
	RUN(bad_padding_and_a_size_before_the_last_block);
	RUN(bad_padding_and_a_size_within_the_last_block_damages_it);
	RUN(bad_padding_and_a_size_beyond_the_payload_is_damage);
	RUN(bad_padding_and_no_usable_size);
	RUN(what_looks_like_padding_and_is_not);
	RUN(a_plain_payload_is_as_long_as_it_is_stored);
	RUN(what_is_found_at_a_glance_is_what_measuring_finds);
	RUN(what_is_not_as_expected_has_to_be_measured);
	RUN(hashed_or_flat_comes_first_as_asked_for_and_both_are_tried);
	RUN(a_file_where_the_folder_would_be_is_passed_over);
	RUN(a_payload_that_is_no_regular_file_is_not_followed);
	RUN(a_payload_is_located_where_it_would_be_opened);
	RUN(what_is_no_regular_file_is_not_located);
	close(dir_fd);
	return tap_end();
}
