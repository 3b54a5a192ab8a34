/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <errno.h>

#include "keyring.h"

/* What was decoded, encoded again, decodes to the same. */
static void go_round(const struct keybag *bag)
{
	static struct keybag again;
	struct buf out = { 0 }, twice = { 0 };

	MUST(keybag_encode(&out, bag) == 0);
	MUST(keybag_decode(&again, view_of(out.ptr, out.len), NULL) == 0);
	MUST(again.class_count == bag->class_count);
	MUST(again.iterations == bag->iterations);
	MUST(again.has_double == bag->has_double);
	MUST(!memcmp(again.salt, bag->salt, sizeof(bag->salt)));
	MUST(!memcmp(again.uuid, bag->uuid, sizeof(bag->uuid)));
	for (unsigned i = 0; i < bag->class_count; i++) {
		MUST(again.classes[i].number == bag->classes[i].number);
		MUST(again.classes[i].has_key == bag->classes[i].has_key);
	}
	MUST(keybag_encode(&twice, &again) == 0);
	MUST(out.len == twice.len && !memcmp(out.ptr, twice.ptr, out.len));
	buf_release(&out);
	buf_release(&twice);
}

/* Other values in the stored bytes are what is decoded of them then. */
static void put_others(struct keybag bag, struct view data)
{
	static struct keybag again;
	struct buf out = { 0 };

	MUST(keybag_replace(&out, data, &bag, NULL) == 0);
	MUST(out.len == data.len && !memcmp(out.ptr, data.ptr, out.len));
	out.len = 0;
	memset(bag.salt, 0x11, sizeof(bag.salt));
	if (bag.has_double) {
		memset(bag.double_salt, 0x22, sizeof(bag.double_salt));
		bag.double_iterations = 3;
	}
	for (unsigned i = 0; i < bag.class_count; i++)
		if (bag.classes[i].has_key)
			memset(bag.classes[i].wrapped, 0x33 + (int)i, 40);
	MUST(keybag_replace(&out, data, &bag, NULL) == 0);
	MUST(keybag_decode(&again, view_of(out.ptr, out.len), NULL) == 0);
	MUST(!memcmp(&again, &bag, sizeof(bag)));
	buf_release(&out);
}

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
	go_round(&bag);
	put_others(bag, view_of(data, size));
	MUST(bag.iterations && bag.iterations <= KEYBAG_ITERATIONS_MAX);
	if (bag.iterations + (uint64_t)bag.double_iterations < 5)
		keyring_derive(out, &bag, view_of(data, size), &err);
	keyring_unlock(&ring, &bag, key, &err);
	MUST(ring.count <= KEYBAG_CLASSES_MAX);
	keyring_unwrap(&ring, out, stored, 3);
	keyring_wipe(&ring);
	return 0;
}
