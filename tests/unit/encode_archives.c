/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes archives of records for check_archives.py to judge. Each line of
 * standard input is a record, each line of output its archive in hexadecimal:
 *
 *   base path target xattrs key digest      bytes in hexadecimal; "-": none
 *   mode uid gid inode size flags class     numbers
 *   mtime ctime birth                       seconds.nanoseconds
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbfile.h"

#define WORDS 16

static struct view bytes_of(char *word)
{
	size_t len = strlen(word) / 2;
	uint8_t *out = (uint8_t *)word;

	if (!strcmp(word, "-"))
		return view_of("", 0);
	for (size_t i = 0; i < len; i++) {
		char digits[3] = { word[2 * i], word[2 * i + 1] };

		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return view_of(out, len);
}

static struct mb_slice slice_of(char *word)
{
	struct view v = bytes_of(word);

	return (struct mb_slice){ (const char *)v.ptr, v.len };
}

static struct timespec time_of(char *word)
{
	struct timespec ts = { 0 };
	char *point;

	ts.tv_sec = strtoll(word, &point, 10);
	if (*point == '.')
		ts.tv_nsec = strtol(point + 1, NULL, 10);
	return ts;
}

static uint64_t number_of(const char *word)
{
	return *word == '-' ? (uint64_t)strtoll(word, NULL, 10) :
			      strtoull(word, NULL, 10);
}

static int encode(char *const *word, struct buf *out)
{
	struct view key = bytes_of(word[4]), digest = bytes_of(word[5]);
	struct mb_record rec = {
		.path = slice_of(word[1]),
		.target = slice_of(word[2]),
		.mode = (uint32_t)number_of(word[6]),
		.uid = (uint32_t)number_of(word[7]),
		.gid = (uint32_t)number_of(word[8]),
		.inode = number_of(word[9]),
		.size = (int64_t)number_of(word[10]),
		.bsd_flags = (uint32_t)number_of(word[11]),
		.protection_class = (uint8_t)number_of(word[12]),
		.mtime = time_of(word[13]),
		.ctime = time_of(word[14]),
		.birth = time_of(word[15]),
		.wrapped_key_len = (uint8_t)key.len,
		.digest_len = (uint8_t)digest.len,
	};

	if (key.len > sizeof(rec.wrapped_key) ||
	    digest.len > sizeof(rec.digest))
		return -1;
	memcpy(rec.wrapped_key, key.ptr, key.len);
	memcpy(rec.digest, digest.ptr, digest.len);
	return mbfile_encode(out, &rec, bytes_of(word[3]), bytes_of(word[0]));
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		struct buf out = { 0 };
		char *word[WORDS], *rest = line;

		for (int i = 0; i < WORDS; i++)
			if (!(word[i] = strsep(&rest, " \n")))
				return 1;
		if (encode(word, &out) < 0)
			return 1;
		for (size_t i = 0; i < out.len; i++)
			printf("%02x", out.ptr[i]);
		printf("\n");
		buf_release(&out);
	}
	free(line);
	return 0;
}
