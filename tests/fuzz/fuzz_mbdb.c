/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "mbdb.h"

static int touch(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)arg;
	fuzz_touch(name.ptr, name.len);
	fuzz_touch(value.ptr, value.len);
	return 0;
}

/* records without the magic in front */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbdb_head head;

	for (size_t at = 0; at < size; at += head.len) {
		struct view rest = view_of(data + at, size - at);
		struct mb_record rec = { 0 };
		int rc = mbdb_head(&head, rest);

		MUST(rc == mbdb_decode(&rec, rest));
		if (rc < 0)
			break;
		MUST(head.len >= MBDB_RECORD_MIN && head.len <= rest.len);
		MUST(head.len <= MBDB_RECORD_MAX);
		MUST(rec.path.ptr == head.path.ptr);
		fuzz_touch(rec.domain.ptr, rec.domain.len);
		fuzz_touch(rec.path.ptr, rec.path.len);
		fuzz_touch(rec.target.ptr, rec.target.len);
		mb_record_each_xattr(&rec, touch, NULL);
	}
	return 0;
}
