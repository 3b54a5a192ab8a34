/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device_error.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"

CASE(errors_of_the_system_become_the_devices_codes)
{
	static const int codes[][2] = {
		{ 0, 0 },	   { -ENOENT, -6 },  { -EEXIST, -7 },
		{ -ENOTDIR, -8 },  { -EISDIR, -9 },  { -ELOOP, -10 },
		{ -EIO, -11 },	   { -ENOSPC, -15 }, { -EDQUOT, -15 },
		{ -EPERM, -1 },	   { -EACCES, -1 },  { -EROFS, -1 },
		{ -EINVAL, -1 },   { -ENOMEM, -1 },  { -EOPNOTSUPP, -1 },
		{ -ENOTEMPTY, -1 }
	};

	for (size_t i = 0; i < COUNT(codes); i++)
		CHECK_AT(device_status_of(codes[i][0]) == codes[i][1], "%s: %d",
			 strerror(-codes[i][0]), device_status_of(codes[i][0]));
	CHECK_INT(DEVICE_STATUS_MULTI, -13);
}

CASE(codes_that_decide_something_have_their_own_errors)
{
	static const struct {
		int code, rc;
		const char *word;
	} known[] = {
		{ 13, -EHOSTDOWN, "unlock" },
		{ 14, -EBUSY, "another backup" },
		{ 25, -EBUSY, "iCloud" },
		{ 105, -ENOSPC, "space on this computer" },
		{ 106, -EREMOTEIO, "space on the device" },
		{ 202, -ECANCELED, "cancelled" },
		{ 207, -EKEYREJECTED, "password" },
		{ 208, -EHOSTDOWN, "passcode" },
		{ 205, -EREMOTEIO, "--full" },
		{ 211, -EREMOTEIO, "Find My" },
	};

	for (size_t i = 0; i < COUNT(known); i++) {
		struct mb_err err = { 0 };
		int rc = device_error_describe(known[i].code, NULL, &err);

		CHECK_AT(rc == known[i].rc, "%d gives %d", known[i].code, rc);
		CHECK_INT(err.code, rc);
		CHECK_AT(strstr(err.text, known[i].word), "%s", err.text);
	}
}

CASE(a_restore_has_advice_of_its_own)
{
	static const struct {
		int code, rc;
		const char *word;
	} known[] = {
		{ 14, -EBUSY, "another backup or restore" },
		{ 25, -EBUSY, "iCloud" },
		{ 104, -EREMOTEIO, "which a restore does not do" },
		{ 106, -EREMOTEIO, "--only" },
		{ 203, -EREMOTEIO, "update the device" },
		{ 204, -EREMOTEIO, "not finished" },
		{ 205, -EREMOTEIO, "another version" },
		{ 207, -EKEYREJECTED, "when the backup was made" },
		{ 208, -EHOSTDOWN, "passcode" },
		{ 211, -EREMOTEIO, "Settings, your name, Find My" },
		{ 212, -EREMOTEIO, "setup assistant" },
	};

	for (size_t i = 0; i < COUNT(known); i++) {
		struct mb_err err = { 0 };
		int rc = device_error_describe_restore(known[i].code, "words",
						       &err);

		CHECK_AT(rc == known[i].rc, "%d gives %d", known[i].code, rc);
		CHECK_AT(strstr(err.text, known[i].word), "%s", err.text);
		CHECK_AT(strstr(err.text, "\"words\""), "%s", err.text);
	}
	/* what only a backup can do is never advised */
	for (int code = 1; code < 400; code++) {
		struct mb_err err = { 0 };

		CHECK(device_error_describe_restore(code, NULL, &err) < 0);
		CHECK_AT(!strstr(err.text, "--full"), "%s", err.text);
	}
}

CASE(every_code_of_the_list_has_a_sentence)
{
	static const int codes[] = { 1,	  2,   3,   4,	 5,   6,   7,	8,
				     10,  11,  13,  14,	 17,  25,  26,	100,
				     101, 102, 103, 104, 105, 106, 202, 203,
				     204, 205, 207, 208, 210, 211, 212, 223,
				     300, 301, 302, 303, 304, 305, 306, 307 };

	for (size_t i = 0; i < COUNT(codes); i++) {
		struct mb_err err = { 0 };

		CHECK(device_error_describe(codes[i], NULL, &err) < 0);
		CHECK_AT(!strstr(err.text, "does not know"), "%s", err.text);
	}
}

CASE(the_devices_words_and_number_are_always_shown)
{
	static const int64_t codes[] = { 1,   208, 12345,
					 -36, 301, INT64_C(1) << 40 };

	for (size_t i = 0; i < COUNT(codes); i++) {
		struct mb_err err = { 0 };
		char number[32];

		CHECK(device_error_describe(codes[i], "its own words", &err) <
		      0);
		snprintf(number, sizeof(number), "(%" PRId64 ",", codes[i]);
		CHECK_AT(strstr(err.text, number), "%s", err.text);
		CHECK_AT(strstr(err.text, "\"its own words\""), "%s", err.text);
	}
}

CASE(an_unknown_code_is_an_error_all_the_same)
{
	struct mb_err err = { 0 };

	CHECK_INT(device_error_describe(4711, "", &err), -EREMOTEIO);
	CHECK_INT(err.code, -EREMOTEIO);
	CHECK(strstr(err.text, "4711"));
	CHECK(strstr(err.text, "no further words"));
	CHECK_INT(device_error_describe(4711, NULL, NULL), -EREMOTEIO);
}

CASE(control_characters_of_the_device_stay_out_of_the_line)
{
	struct mb_err err = { 0 };

	device_error_describe(1,
			      "a\033[2Jb\r\nc\x9b"
			      "d",
			      &err);
	for (const char *p = err.text; *p; p++)
		CHECK((unsigned char)*p >= 0x20);
	CHECK(!strchr(err.text, 0x9b));
	CHECK(strstr(err.text, "[2Jb"));
}

CASE(endless_words_are_cut)
{
	char words[5000];
	struct mb_err err = { 0 };

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	CHECK_INT(device_error_describe(202, words, &err), -ECANCELED);
	CHECK(strstr(err.text, "www"));
}

int main(void)
{
	RUN(errors_of_the_system_become_the_devices_codes);
	RUN(codes_that_decide_something_have_their_own_errors);
	RUN(a_restore_has_advice_of_its_own);
	RUN(every_code_of_the_list_has_a_sentence);
	RUN(the_devices_words_and_number_are_always_shown);
	RUN(an_unknown_code_is_an_error_all_the_same);
	RUN(control_characters_of_the_device_stay_out_of_the_line);
	RUN(endless_words_are_cut);
	return tap_end();
}
