/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

#include "payload.h"

/*
 * 32 bytes of key, one that is odd for an encrypted payload, 8 of recorded
 * size, 4 of offset, 2 of length; the rest is the payload.
 */
#define HEAD_LEN (32 + 1 + 8 + 4 + 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct payload_extent e;
	struct payload *p;
	int64_t recorded;
	uint32_t off;
	uint16_t len;
	uint8_t *all, *part;
	ssize_t all_len, n, want;

	if (size < HEAD_LEN)
		return 0;
	memcpy(&recorded, data + 33, 8);
	memcpy(&off, data + 41, 4);
	memcpy(&len, data + 45, 2);
	size -= HEAD_LEN;
	fuzz_put("payload", data + HEAD_LEN, size);
	MUST(payload_open(&p, fuzz_dir_fd(), "payload",
			  data[32] & 1 ? data : NULL) == 0);
	off %= (uint32_t)size + 40;
	all = malloc(size + 1);
	part = malloc(len + 1u);
	MUST(all && part);

	all_len = payload_pread(p, all, size, 0);
	MUST(all_len == (ssize_t)(data[32] & 1 ? size & ~(size_t)15 : size));
	n = payload_pread(p, part, len, off);
	want = off < all_len ? all_len - off : 0;
	if (want > len)
		want = len;
	MUST(n == want && (!n || !memcmp(part, all + off, (size_t)n)));

	MUST(payload_measure(p, recorded, &e) == 0);
	MUST(e.size >= 0 && e.readable >= 0 && e.readable <= e.size);
	MUST(e.readable <= all_len);
	MUST(e.readable == e.size || e.damage[0]);
	payload_free(p);
	free(all);
	free(part);
	return 0;
}
