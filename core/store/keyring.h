/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYRING_H
#define KEYRING_H

#include "crypto.h"
#include "keybag.h"

/* An unlocked key bag: the class keys that the password opened. */
struct keyring {
	unsigned count;
	uint32_t numbers[KEYBAG_CLASSES_MAX];
	uint8_t keys[KEYBAG_CLASSES_MAX][KEY_LEN];
};

#define STORED_KEY_LEN (4 + WRAPPED_LEN) /* class, little endian; wrapped key */

/*
 * keyring_derive - the key that opens a bag, from the password (PASSWORD)
 *
 * Returns 0; -EIO if the cipher library fails.
 */
int keyring_derive(uint8_t key[KEY_LEN], const struct keybag *bag,
		   struct view password, struct mb_err *err);

/*
 * keyring_unlock - unwrap the class keys
 *
 * Keys that are also bound to the device's hardware are left out.
 *
 * Returns 0; -EKEYREJECTED if none opens; -EBADMSG if only some do, which
 * the ring then holds all the same.
 */
int keyring_unlock(struct keyring *ring, const struct keybag *bag,
		   const uint8_t key[KEY_LEN], struct mb_err *err);

/*
 * keyring_rewrap - the classes of a bag under another derived key
 * @bag: its wrapped keys are replaced, those bound to the device included: of
 *	these the password's layer
 *
 * Returns how many; -EKEYREJECTED if @old_key opens none; -EBADMSG if it opens
 * only some. The bag is then unchanged.
 */
int keyring_rewrap(struct keybag *bag, const uint8_t old_key[KEY_LEN],
		   const uint8_t new_key[KEY_LEN], struct mb_err *err);

/*
 * keyring_unwrap - a file key or the manifest key (WRAPPED KEYS)
 * @other_class: tried if the stored class does not fit; 0 for none
 *
 * Returns 0; -ENOKEY if the ring lacks the class; -EBADMSG if the key is
 * damaged.
 */
int keyring_unwrap(const struct keyring *ring, uint8_t out[KEY_LEN],
		   const uint8_t stored[STORED_KEY_LEN], uint32_t other_class);

struct stored_key {
	const uint8_t *stored; /* STORED_KEY_LEN */
	uint32_t other_class;
	uint8_t key[KEY_LEN]; /* what comes out, if rc is 0 */
	int rc;		      /* as of keyring_unwrap */
};

/*
 * keyring_unwrap_some - several keys, in less time than one after the other
 * @count: at most UNWRAP_MAX
 */
void keyring_unwrap_some(const struct keyring *ring, struct stored_key keys[],
			 unsigned count);

/*
 * keyring_create - a new bag with new class keys, under a password
 * @bag: overwritten; keybag_encode makes what is stored of it
 * @key: what the password derives to, so that nobody need derive again; the
 *	caller wipes it
 * @password: "" for the bag of an unencrypted backup, which has one too
 * @double_iterations: of PBKDF2-HMAC-SHA256, at most
 *	KEYBAG_DOUBLE_ITERATIONS_MAX; 0: only the old single derivation, as in
 *	unencrypted backups and before iOS 10.2
 * @iterations: of PBKDF2-HMAC-SHA1, 1 to KEYBAG_ITERATIONS_MAX
 *
 * The ring then holds the same as after keyring_unlock of the bag: classes 1
 * to 4, of files, and with a password also 6 to 8, of a keychain that may move
 * to another device. Takes seconds with the iterations that devices use.
 *
 * Returns 0; -EINVAL for a count out of bounds; -EIO if the cipher library
 * fails. Ring and key are wiped then.
 */
int keyring_create(struct keyring *ring, struct keybag *bag,
		   uint8_t key[KEY_LEN], struct view password,
		   uint32_t double_iterations, uint32_t iterations,
		   struct mb_err *err);

/*
 * keyring_wrap - a file key or the manifest key, under a class (WRAPPED KEYS)
 *
 * Returns 0; -ENOKEY if the ring lacks the class; -EIO if the cipher library
 * fails.
 */
int keyring_wrap(const struct keyring *ring, uint8_t stored[STORED_KEY_LEN],
		 const uint8_t key[KEY_LEN], uint32_t class_number);

/* keyring_has - can keys be wrapped under a class, and unwrapped? */
bool keyring_has(const struct keyring *ring, uint32_t class_number);

void keyring_wipe(struct keyring *ring);

#endif
