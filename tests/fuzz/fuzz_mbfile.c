/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "mbfile.h"
#include "record.h"

static int touch(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)arg;
	fuzz_touch(name.ptr, name.len);
	fuzz_touch(value.ptr, value.len);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mb_record rec = { 0 };

	MUST(record_reset(&rec, MBFILE_ROOM(size)) == 0);
	mbfile_decode(&rec, view_of(data, size));
	fuzz_touch(rec.target.ptr, rec.target.len);
	MUST(rec.mtime.tv_nsec >= 0 && rec.mtime.tv_nsec < 1000000000);
	MUST(rec.wrapped_key_len <= sizeof(rec.wrapped_key));
	MUST(rec.digest_len <= sizeof(rec.digest));
	mb_record_each_xattr(&rec, touch, NULL);
	mb_record_release(&rec);
	return 0;
}
