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
 * Returns 0; -EKEYREJECTED if none opens; -EBADMSG if only some do.
 */
int keyring_unlock(struct keyring *ring, const struct keybag *bag,
		   const uint8_t key[KEY_LEN], struct mb_err *err);

/*
 * keyring_unwrap - a file key or the manifest key (WRAPPED KEYS)
 * @other_class: tried if the stored class does not fit; 0 for none
 *
 * Returns 0; -ENOKEY if the ring lacks the class; -EBADMSG if the key is
 * damaged.
 */
int keyring_unwrap(const struct keyring *ring, uint8_t out[KEY_LEN],
		   const uint8_t stored[STORED_KEY_LEN], uint32_t other_class);

void keyring_wipe(struct keyring *ring);

#endif
