/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backup_example.h"
#include "fixture.h"
#include "key_file.h"
#include "tap.h"

static const struct example list[] = { { PUT("HomeDomain", "f", "x") } };

static struct mb_err err;

static struct mb_backup *new_backup(bool encrypted)
{
	const char *dir = temp_dir();
	struct mb_backup *b = NULL;

	put_example(dir, list, COUNT(list), encrypted);
	if (mb_backup_open(&b, dir, &err) < 0)
		abort();
	return b;
}

static const char *password_file(const char *line)
{
	const char *dir = temp_dir();

	put_text(dir, "password", line);
	return in(dir, "password");
}

static const char *key_file(struct mb_backup *b)
{
	struct bytes key = unhex(PASSCODE_KEY);
	const char *dir = temp_dir();

	CHECK_INT(key_file_write(in(dir, "key"), b, key.ptr, &err), 0);
	drop(&key);
	return in(dir, "key");
}

static bool is_unlocked(struct mb_backup *b)
{
	return mb_backup_load(b, NULL) == 0;
}

CASE(the_password_that_fits_is_kept)
{
	const char *path = password_file(PASSWORD "\nmore\n");
	const struct unlock_source sources[] = {
		{ .passfile = path },
		{ .extpass = "echo '" PASSWORD "'" },
	};

	for (size_t i = 0; i < COUNT(sources); i++) {
		struct mb_backup *b = new_backup(true);
		struct secret s = { 0 };

		CHECK_INT(unlock_keep(b, &sources[i], &s, &err), 0);
		CHECK_TEXT(s.text, PASSWORD);
		CHECK_INT(s.len, strlen(PASSWORD));
		CHECK(is_unlocked(b));
		secret_release(&s);
		CHECK_INT(s.len, 0);
		CHECK_TEXT(s.text, "");
		mb_backup_free(b);
	}
}

CASE(a_wrong_password_is_told)
{
	struct unlock_source source = { .passfile = password_file("wrong\n") };
	struct mb_backup *b = new_backup(true);
	struct secret s = { 0 };

	CHECK_INT(unlock_keep(b, &source, &s, &err), -EKEYREJECTED);
	CHECK(!is_unlocked(b));
	secret_release(&s);
	mb_backup_free(b);
}

/* a device takes no derived key */
CASE(a_key_file_gives_no_password)
{
	struct mb_backup *b = new_backup(true);
	struct unlock_source source = { .keyfile = key_file(b) };
	struct secret s = { 0 };

	CHECK_INT(unlock_keep(b, &source, &s, &err), 0);
	CHECK_INT(s.len, 0);
	CHECK(is_unlocked(b));
	mb_backup_free(b);
}

CASE(a_password_comes_before_a_key_file)
{
	struct mb_backup *b = new_backup(true);
	struct unlock_source source = { .keyfile = "/not/looked/at" };
	struct secret s = { 0 };

	source.passfile = password_file(PASSWORD);
	CHECK_INT(unlock_keep(b, &source, &s, &err), 0);
	CHECK_TEXT(s.text, PASSWORD);
	CHECK(is_unlocked(b));
	secret_release(&s);
	mb_backup_free(b);
}

CASE(a_password_of_the_environment_counts_too)
{
	struct mb_backup *b = new_backup(true);
	struct unlock_source source = { .keyfile = key_file(b) };
	struct secret s = { 0 };

	setenv("LARDER_PASSFILE", password_file(PASSWORD), 1);
	CHECK_INT(unlock_keep(b, &source, &s, &err), 0);
	CHECK_TEXT(s.text, PASSWORD);
	unsetenv("LARDER_PASSFILE");
	secret_release(&s);
	mb_backup_free(b);
}

CASE(what_is_not_encrypted_needs_nothing)
{
	struct mb_backup *b = new_backup(false);
	struct unlock_source source = { .passfile = "/not/looked/at",
					.extpass = "exit 1" };
	struct secret s = { 0 };

	CHECK_INT(unlock_keep(b, &source, &s, &err), 0);
	CHECK_INT(s.len, 0);
	CHECK(is_unlocked(b));
	mb_backup_free(b);
}

CASE(with_no_source_there_is_no_key)
{
	struct mb_backup *b = new_backup(true);
	struct unlock_source source = { 0 };
	struct secret s = { 0 };
	int in_fd = dup(0), err_fd = dup(2), null = open("/dev/null", O_RDWR);

	dup2(null, 0);
	dup2(null, 2);
	CHECK_INT(unlock_keep(b, &source, &s, &err), -ENOKEY);
	dup2(in_fd, 0);
	dup2(err_fd, 2);
	close(null);
	close(in_fd);
	close(err_fd);
	CHECK_INT(s.len, 0);
	mb_backup_free(b);
}

CASE(only_text_is_a_password_for_a_device)
{
	static const struct {
		const char *text;
		size_t len;
		int rc;
	} all[] = {
		{ "correct horse", 13, 0 },
		{ "", 0, 0 },
		{ "\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xb4", 9, 0 },
		{ "tab\tand \x01", 9, 0 },
		{ "caf\xe9", 4, -EINVAL },
		{ "\xc3", 1, -EINVAL },
		{ "\xc3\xbc\xff", 3, -EINVAL },
		{ "\xed\xa0\x80", 3, -EINVAL }, /* half of a pair */
		{ "\xc0\x80", 2, -EINVAL },
		{ "a\0b", 3, -EINVAL },
		{ "\0", 1, -EINVAL },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct secret s = { .len = all[i].len };

		memcpy(s.text, all[i].text, all[i].len);
		err.text[0] = '\0';
		CHECK_AT(secret_check_text(&s, &err) == all[i].rc, "%zu", i);
		if (all[i].rc < 0)
			CHECK_TEXT(err.text,
				   "the password is not valid UTF-8 text");
	}
}

int main(void)
{
	unsetenv("LARDER_PASSFILE");
	RUN(the_password_that_fits_is_kept);
	RUN(a_wrong_password_is_told);
	RUN(a_key_file_gives_no_password);
	RUN(a_password_comes_before_a_key_file);
	RUN(a_password_of_the_environment_counts_too);
	RUN(what_is_not_encrypted_needs_nothing);
	RUN(with_no_source_there_is_no_key);
	RUN(only_text_is_a_password_for_a_device);
	return tap_end();
}
