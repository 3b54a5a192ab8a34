/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEYBAG_H
#define KEYBAG_H

#include "bytes.h"
#include "mb/err.h"

/*
 * The backup key bag as stored: tag, big-endian length, value, over and over
 * (iphone-backup(5), KEYBAG).
 */

#define KEYBAG_CLASSES_MAX 64

/* WRAP of a class: 1 = with the device's hardware key, 2 = with the password */
#define KEYBAG_WRAP_DEVICE 1u
#define KEYBAG_WRAP_PASSWORD 2u

struct keybag_class {
	uint32_t number;
	uint32_t wrap;
	uint32_t key_type; /* 0 = AES, 1 = Curve25519 */
	uint8_t wrapped[40];
	bool has_key;
};

struct keybag {
	uint8_t uuid[16];
	uint8_t salt[20];
	uint32_t iterations; /* of PBKDF2-HMAC-SHA1 */
	/* The first of two derivations, PBKDF2-HMAC-SHA256: iOS 10.2 and later. */
	bool has_double;
	uint8_t double_salt[20];
	uint32_t double_iterations;
	struct keybag_class classes[KEYBAG_CLASSES_MAX];
	unsigned class_count;
};

/*
 * Both counts come from a file that may be hostile. Devices use 10,000 and
 * 10,000,000; a count above these limits would keep a machine busy for hours.
 */
#define KEYBAG_ITERATIONS_MAX 10000000u
#define KEYBAG_DOUBLE_ITERATIONS_MAX 200000000u

/*
 * keybag_decode - bytes of BackupKeyBag
 *
 * Returns 0; -EBADMSG if it is truncated, lacks what a derivation needs, asks
 * for an impossible one, or has no class that a password opens.
 */
int keybag_decode(struct keybag *bag, struct view data, struct mb_err *err);

#endif
