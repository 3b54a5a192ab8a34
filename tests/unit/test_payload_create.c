/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

static const char *dir;
static int dir_fd;
static uint8_t key[KEY_LEN];

/* ---- a system that fails when a case says so ---- */

static struct {
	int writes;
	int good_writes; /* then write_error; negative: no end */
	int write_error;
	size_t write_max; /* short, as it may be; 0: no limit */
	int close_error;
} sys;

ssize_t __real_write(int fd, const void *ptr, size_t len);
ssize_t __wrap_write(int fd, const void *ptr, size_t len);
int __real_close(int fd);
int __wrap_close(int fd);

ssize_t __wrap_write(int fd, const void *ptr, size_t len)
{
	sys.writes++;
	if (!sys.good_writes) {
		errno = sys.write_error;
		return -1;
	}
	sys.good_writes--;
	if (sys.write_max && len > sys.write_max)
		len = sys.write_max;
	return __real_write(fd, ptr, len);
}

int __wrap_close(int fd)
{
	int rc = __real_close(fd);

	if (rc == 0 && sys.close_error) {
		errno = sys.close_error;
		return -1;
	}
	return rc;
}

static void sound(void)
{
	memset(&sys, 0, sizeof(sys));
	sys.good_writes = -1;
}

/* ---- files ---- */

static struct payload_writer *begin(const uint8_t *with, size_t digest_len)
{
	struct payload_writer *w = NULL;

	unlink(in(dir, "payload"));
	if (payload_create(&w, dir_fd, "payload", with, digest_len) < 0)
		abort();
	return w;
}

/* all of it at once, or pieces of random lengths */
static int write_all(struct payload_writer *w, const struct bytes *b,
		     size_t piece)
{
	int rc = 0;

	for (size_t at = 0, n; at < b->len && rc == 0; at += n) {
		n = piece ? dice() % piece : b->len;
		n = n < b->len - at ? n : b->len - at;
		rc = payload_write(w, b->ptr + at, n);
	}
	return rc;
}

static struct bytes stored(void)
{
	return read_file(in(dir, "payload"));
}

static void check_stored(const struct bytes *want)
{
	struct bytes b = stored();

	CHECK_BYTES(b.ptr, b.len, want->ptr, want->len);
	drop(&b);
}

/* what the reader makes of it */
static void check_readable(const struct bytes *plain, const uint8_t *with)
{
	uint8_t *out = malloc(plain->len + 100);
	struct payload_extent e;
	struct payload *p;

	if (payload_open(&p, dir_fd, "payload", with) < 0)
		abort();
	CHECK_INT(payload_measure(p, (int64_t)plain->len, &e), 0);
	CHECK_INT(e.size, plain->len);
	CHECK_INT(e.readable, plain->len);
	CHECK_TEXT(e.damage, "");
	CHECK(payload_pread(p, out, plain->len, 0) == (ssize_t)plain->len);
	CHECK(!plain->len || !memcmp(out, plain->ptr, plain->len));
	payload_free(p);
	free(out);
}

CASE(the_files_of_the_worked_example)
{
	static const struct {
		const char *text, *cipher, *sha1;
	} files[] = {
		{ "", "22f47d8f5d6d8e22957add4fe5f4c095",
		  "63d10b8a4c4284ee184745fe2dcdfb44a1ad67a9" },
		{ "hello", "d97cbabb6ca49db8e469ed22fec5137c",
		  "05ee09516f8382f84113672ec80fa7c3d55d8d49" },
		{ "0123456789abcdef",
		  "170029f7cf656de0fd95e7046d31eb91"
		  "a9bb42594006951df0c82e68d5d6cb60",
		  "8a33438d1c1b591e82fa0a0481495bb203f4013a" },
		{ "0123456789abcdefghijk",
		  "170029f7cf656de0fd95e7046d31eb91"
		  "540c7448c682fe9287eab21f22c73aee",
		  "83c43e4789e50e02d7ba432df1b7639cbfd86dc2" },
	};

	for (size_t i = 0; i < COUNT(files); i++) {
		struct bytes cipher = unhex(files[i].cipher);
		struct bytes sha1 = unhex(files[i].sha1);
		struct payload_writer *w = begin(key, SHA1_LEN);
		uint8_t digest[SHA1_LEN];

		CHECK_INT(
			payload_write(w, files[i].text, strlen(files[i].text)),
			0);
		CHECK_INT(payload_finish(w, digest), 0);
		payload_writer_free(w);
		check_stored(&cipher);
		CHECK_BYTES(digest, sizeof(digest), sha1.ptr, sha1.len);
		drop(&cipher);
		drop(&sha1);
	}
}

/* around blocks, pages and the pieces that are gathered */
static const size_t lens[] = { 0,      1,     15,    16,     17,     31,
			       32,     33,    4095,  4096,   4097,   65519,
			       65520,  65521, 65535, 65536,  65537,  65551,
			       65552,  65553, 81920, 131071, 131072, 131073,
			       131088, 300000 };

CASE(files_of_all_lengths_are_read_back_and_agree_with_openssl)
{
	static const size_t pieces[] = { 0, 10, 5000, 100000 };

	for (size_t i = 0; i < COUNT(lens); i++)
		for (size_t j = 0; j < COUNT(pieces); j++) {
			struct payload_writer *w = begin(key, 0);
			struct bytes plain = { 0 }, cipher;

			add_noise(&plain, lens[i]);
			cipher = aes_cbc(true, key, plain.ptr, plain.len, true);
			CHECK_INT(write_all(w, &plain, pieces[j]), 0);
			CHECK_INT(payload_finish(w, NULL), 0);
			payload_writer_free(w);
			check_stored(&cipher);
			check_readable(&plain, key);
			drop(&plain);
			drop(&cipher);
		}
}

CASE(without_a_key_the_content_is_stored_as_it_is)
{
	static const size_t pieces[] = { 0, 10, 5000, 100000 };

	for (size_t i = 0; i < COUNT(lens); i++)
		for (size_t j = 0; j < COUNT(pieces); j++) {
			struct payload_writer *w = begin(NULL, 0);
			struct bytes plain = { 0 };

			add_noise(&plain, lens[i]);
			CHECK_INT(write_all(w, &plain, pieces[j]), 0);
			CHECK_INT(payload_finish(w, NULL), 0);
			payload_writer_free(w);
			check_stored(&plain);
			check_readable(&plain, NULL);
			drop(&plain);
		}
}

CASE(the_digest_is_of_what_is_stored)
{
	for (size_t i = 0; i < COUNT(lens); i++)
		for (int how = 0; how < 4; how++) {
			const EVP_MD *md = how & 1 ? EVP_sha256() : EVP_sha1();
			size_t len = how & 1 ? SHA256_LEN : SHA1_LEN;
			struct payload_writer *w =
				begin(how & 2 ? key : NULL, len);
			uint8_t got[DIGEST_LEN_MAX], want[DIGEST_LEN_MAX];
			struct bytes plain = { 0 }, file;

			add_noise(&plain, lens[i]);
			CHECK_INT(write_all(w, &plain, 50000), 0);
			CHECK_INT(payload_finish(w, got), 0);
			payload_writer_free(w);
			file = stored();
			EVP_Digest(file.ptr, file.len, want, NULL, md, NULL);
			CHECK_BYTES(got, len, want, len);
			drop(&plain);
			drop(&file);
		}
}

CASE(a_small_file_is_one_write_and_a_large_one_few)
{
	struct bytes b = { 0 };

	add_noise(&b, 1 << 20);
	for (int plain = 0; plain < 2; plain++) {
		struct payload_writer *w = begin(plain ? NULL : key, SHA1_LEN);

		sound();
		for (int i = 0; i < 1000; i++)
			CHECK_INT(payload_write(w, b.ptr + 7 * i, 7), 0);
		CHECK_INT(sys.writes, 0);
		CHECK_INT(payload_finish(w, NULL), 0);
		CHECK_INT(sys.writes, 1);
		payload_writer_free(w);

		w = begin(plain ? NULL : key, 0);
		sound();
		CHECK_INT(payload_write(w, b.ptr, b.len), 0);
		CHECK_INT(payload_finish(w, NULL), 0);
		CHECK(sys.writes <= 17);
		payload_writer_free(w);
	}
	drop(&b);
}

CASE(writes_that_are_cut_short_or_interrupted_are_taken_up_again)
{
	struct bytes plain = { 0 }, cipher;
	struct payload_writer *w = begin(key, 0);

	add_noise(&plain, 200000);
	cipher = aes_cbc(true, key, plain.ptr, plain.len, true);
	sys.write_max = 777;
	CHECK_INT(write_all(w, &plain, 100000), 0);
	CHECK_INT(payload_finish(w, NULL), 0);
	payload_writer_free(w);
	check_stored(&cipher);
	sound();
	drop(&plain);
	drop(&cipher);
}

CASE(an_error_of_a_write_is_told_then_and_to_the_end)
{
	static const size_t before[] = { 0, 100, 65536 };
	struct bytes b = { 0 };

	add_noise(&b, 200000);
	for (int plain = 0; plain < 2; plain++)
		for (size_t i = 0; i < COUNT(before); i++) {
			struct payload_writer *w = begin(plain ? NULL : key, 0);

			CHECK_INT(payload_write(w, b.ptr, before[i]), 0);
			sys.good_writes = 1;
			sys.write_error = ENOSPC;
			CHECK_INT(payload_write(w, b.ptr, b.len), -ENOSPC);
			/* there is room again, but what is missing is missing */
			sound();
			CHECK_INT(payload_write(w, "x", 1), -ENOSPC);
			CHECK_INT(payload_finish(w, NULL), -ENOSPC);
			CHECK_INT(sys.writes, 0);
			payload_writer_free(w);
		}
	drop(&b);
}

CASE(an_error_of_the_last_write_is_told)
{
	for (int plain = 0; plain < 2; plain++) {
		struct payload_writer *w = begin(plain ? NULL : key, SHA1_LEN);
		uint8_t digest[SHA1_LEN];

		CHECK_INT(payload_write(w, "content", 7), 0);
		sys.good_writes = 0;
		sys.write_error = EDQUOT;
		CHECK_INT(payload_finish(w, digest), -EDQUOT);
		sound();
		payload_writer_free(w);
	}
}

CASE(an_error_of_close_is_told)
{
	for (int plain = 0; plain < 2; plain++) {
		struct payload_writer *w = begin(plain ? NULL : key, 0);

		CHECK_INT(payload_write(w, "content", 7), 0);
		sys.close_error = EIO;
		CHECK_INT(payload_finish(w, NULL), -EIO);
		sound();
		payload_writer_free(w);
	}
}

/* the system's own, without anything in front of it */
CASE(a_limit_on_the_size_of_files_is_told)
{
	struct rlimit old, small;
	struct payload_writer *w = begin(key, 0);
	struct bytes b = { 0 };

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 100000;
	add_noise(&b, 300000);
	fflush(stdout);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
	CHECK_INT(payload_write(w, b.ptr, b.len), -EFBIG);
	CHECK_INT(payload_finish(w, NULL), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	payload_writer_free(w);
	drop(&b);
}

static int free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

CASE(a_file_that_is_given_up_leaves_no_descriptor)
{
	int before = free_descriptor();
	struct payload_writer *w = begin(key, SHA256_LEN);

	CHECK_INT(payload_write(w, "content", 7), 0);
	payload_writer_free(w);
	payload_writer_free(NULL);
	CHECK_INT(free_descriptor(), before);
	/* what is left of it is empty: nothing was stored in clear */
	CHECK(is_text(dir, "payload", ""));
}

CASE(what_is_there_is_not_opened)
{
	struct payload_writer *w = NULL;

	unlink(in(dir, "payload"));
	put_text(dir, "payload", "mine");
	CHECK_INT(payload_create(&w, dir_fd, "payload", key, 0), -EEXIST);
	CHECK(is_text(dir, "payload", "mine"));
	symlink("elsewhere", in(dir, "link"));
	CHECK_INT(payload_create(&w, dir_fd, "link", NULL, 0), -EEXIST);
	CHECK(!exists(dir, "elsewhere"));
	CHECK_INT(payload_create(&w, dir_fd, "no/folder", key, 0), -ENOENT);
	symlink("/tmp", in(dir, "out"));
	CHECK_INT(payload_create(&w, dir_fd, "out/file", key, 0), -ELOOP);
	CHECK_INT(payload_create(&w, dir_fd, "../file", key, 0), -EXDEV);
	CHECK(!w);
}

CASE(what_cannot_be_begun_leaves_no_file)
{
	struct payload_writer *w = NULL;

	CHECK_INT(payload_create(&w, dir_fd, "new", key, 16), -EINVAL);
	CHECK(!w && !exists(dir, "new"));
}

int main(void)
{
	struct bytes b = unhex(FILE_KEY);

	memcpy(key, b.ptr, KEY_LEN);
	drop(&b);
	sound();
	dir = temp_dir();
	dir_fd = open_dir(dir);
	RUN(the_files_of_the_worked_example);
	RUN(files_of_all_lengths_are_read_back_and_agree_with_openssl);
	RUN(without_a_key_the_content_is_stored_as_it_is);
	RUN(the_digest_is_of_what_is_stored);
	RUN(a_small_file_is_one_write_and_a_large_one_few);
	RUN(writes_that_are_cut_short_or_interrupted_are_taken_up_again);
	RUN(an_error_of_a_write_is_told_then_and_to_the_end);
	RUN(an_error_of_the_last_write_is_told);
	RUN(an_error_of_close_is_told);
	RUN(a_limit_on_the_size_of_files_is_told);
	RUN(a_file_that_is_given_up_leaves_no_descriptor);
	RUN(what_is_there_is_not_opened);
	RUN(what_cannot_be_begun_leaves_no_file);
	close(dir_fd);
	return tap_end();
}
