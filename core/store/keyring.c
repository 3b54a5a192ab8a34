/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyring.h"

#include <errno.h>

int keyring_derive(uint8_t key[KEY_LEN], const struct keybag *bag,
		   struct view password, struct mb_err *err)
{
	uint8_t first[KEY_LEN];
	int rc = 0;

	/* which derivation is told by the tags, not by the version of iOS */
	if (bag->has_double) {
		rc = crypto_pbkdf2_sha256(
			first, password,
			view_of(bag->double_salt, sizeof(bag->double_salt)),
			bag->double_iterations);
		password = view_of(first, sizeof(first));
	}
	if (rc == 0)
		rc = crypto_pbkdf2_sha1(key, password,
					view_of(bag->salt, sizeof(bag->salt)),
					bag->iterations);
	crypto_wipe(first, sizeof(first));
	if (rc < 0)
		return mb_err_set(err, rc, "key derivation failed");
	return 0;
}

int keyring_unlock(struct keyring *ring, const struct keybag *bag,
		   const uint8_t key[KEY_LEN], struct mb_err *err)
{
	unsigned opened = 0, rejected = 0;
	uint32_t rejected_class = 0;

	keyring_wipe(ring);
	for (unsigned i = 0; i < bag->class_count; i++) {
		const struct keybag_class *class = &bag->classes[i];
		int rc;

		/*
		 * Of a class that is also wrapped by the hardware, the outer
		 * layer opens and yields something that is no key.
		 */
		if (!class->has_key || class->wrap != KEYBAG_WRAP_PASSWORD)
			continue;
		rc = crypto_unwrap(ring->keys[ring->count], key,
				   class->wrapped);
		if (rc == -EKEYREJECTED) {
			rejected++;
			rejected_class = class->number;
			continue;
		}
		if (rc < 0)
			return mb_err_set(err, rc, "cipher library failed");
		opened++;
		/* Curve25519 keys wrap what no backup has been seen to hold */
		if (class->key_type == 0)
			ring->numbers[ring->count++] = class->number;
	}
	if (rejected && !opened)
		return mb_err_set(err, -EKEYREJECTED, "wrong password");
	if (rejected) {
		keyring_wipe(ring);
		return mb_err_set(err, -EBADMSG,
				  "key bag: key of class %u is damaged",
				  rejected_class);
	}
	return 0;
}

static const uint8_t *class_key(const struct keyring *ring, uint32_t number)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (ring->numbers[i] == number)
			return ring->keys[i];
	return NULL;
}

int keyring_unwrap(const struct keyring *ring, uint8_t out[KEY_LEN],
		   const uint8_t stored[STORED_KEY_LEN], uint32_t other_class)
{
	const uint32_t classes[] = { le32_at(stored), other_class };
	int rc = -ENOKEY;

	for (int i = 0; i < 2; i++) {
		const uint8_t *kek = class_key(ring, classes[i]);

		if (!kek)
			continue;
		rc = crypto_unwrap(out, kek, stored + 4);
		if (rc != -EKEYREJECTED)
			return rc;
		rc = -EBADMSG;
	}
	return rc;
}

void keyring_wipe(struct keyring *ring)
{
	crypto_wipe(ring, sizeof(*ring));
}
