/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <errno.h>

#include "keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[KEY_LEN];
	static const uint8_t stored[STORED_KEY_LEN];
	static struct keyring ring;
	static struct keybag bag;
	uint8_t out[KEY_LEN];
	struct mb_err err;
	int rc;

	rc = keybag_decode(&bag, view_of(data, size), &err);
	MUST(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return 0;
	MUST(bag.class_count <= KEYBAG_CLASSES_MAX);
	MUST(bag.iterations && bag.iterations <= KEYBAG_ITERATIONS_MAX);
	if (bag.iterations + (uint64_t)bag.double_iterations < 5)
		keyring_derive(out, &bag, view_of(data, size), &err);
	keyring_unlock(&ring, &bag, key, &err);
	MUST(ring.count <= KEYBAG_CLASSES_MAX);
	keyring_unwrap(&ring, out, stored, 3);
	keyring_wipe(&ring);
	return 0;
}
