/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "database_check.h"

/*
 * Two bytes of the length of a database, the database, and its write-ahead
 * log: what is found in the log, and what SQLite makes of the two.
 */
struct bytes {
	const uint8_t *ptr;
	size_t len;
};

static ssize_t read_bytes(void *arg, void *out, size_t len, int64_t off)
{
	const struct bytes *b = arg;

	MUST(off >= 0);
	if ((uint64_t)off >= b->len)
		return 0;
	if (len > b->len - (size_t)off)
		len = b->len - (size_t)off;
	memcpy(out, b->ptr + off, len);
	return (ssize_t)len;
}

static void use_log(const struct wal_source *log)
{
	struct wal wal;
	int rc = wal_open(&wal, log);

	MUST(rc == 0 || rc == -ENOENT || rc == -ENOMEM);
	for (uint32_t page = 0; rc == 0 && page < 300; page++) {
		int64_t at = wal_find(&wal, page);

		MUST(at == -1 || (at > 0 && at + wal.page_len <= log->len));
		MUST(page || at == -1);
	}
	MUST(rc < 0 || (wal.page_count && wal.frame_count));
	wal_release(&wal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes parts[2];
	struct wal_source sources[2];
	struct mb_err err;
	uint16_t len;
	int rc;

	if (size < sizeof(len))
		return 0;
	memcpy(&len, data, sizeof(len));
	data += sizeof(len);
	size -= sizeof(len);
	if (len > size)
		len = (uint16_t)size;
	parts[0] = (struct bytes){ data, len };
	parts[1] = (struct bytes){ data + len, size - len };
	for (int i = 0; i < 2; i++)
		sources[i] = (struct wal_source){
			.read = read_bytes,
			.arg = &parts[i],
			.len = (int64_t)parts[i].len,
		};
	use_log(&sources[1]);
	if (database_kind(parts[0].ptr, parts[0].len, sources[0].len) !=
	    DATABASE_SQLITE)
		return 0;
	rc = database_check(&sources[0], &sources[1], &err);
	MUST(rc == 0 || rc == -EBADMSG || rc == -ENOTSUP || rc == -ENOMEM);
	MUST(rc == 0 || err.text[0]);
	rc = database_check(&sources[0], NULL, &err);
	MUST(rc == 0 || rc == -EBADMSG || rc == -ENOTSUP || rc == -ENOMEM);
	return 0;
}
