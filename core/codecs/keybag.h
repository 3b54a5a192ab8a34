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
	uint8_t uuid[16];
	uint32_t number;
	uint32_t wrap;
	uint32_t key_type; /* 0 = AES, 1 = Curve25519 */
	uint8_t wrapped[40];
	bool has_key;
	uint8_t public_key[32]; /* with Curve25519 only */
	bool has_public_key;
};

struct keybag {
	/* informational: nothing is decided by these, other lengths are 0 */
	uint32_t version, type, wrap;
	uint8_t hmac_key[40]; /* HMCK; no reader checks with it */
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

/* what devices use: iphone-backup(5), KEYBAG */
#define KEYBAG_VERSION 5u
#define KEYBAG_TYPE_BACKUP 1u
#define KEYBAG_ITERATIONS 10000u
#define KEYBAG_DOUBLE_ITERATIONS 10000000u

/*
 * Both counts come from a file that may be hostile. A count above these limits
 * would keep a machine busy for hours.
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

/*
 * keybag_encode - a bag in its stored form, appended
 *
 * Tags are in the order in which devices write them, classes in that of the
 * bag. A bag that holds no other tags, in that order, is the same bytes after
 * it was decoded. Tags that we do not know are not in the struct: where a bag
 * is to stay as it is, keep its bytes (keybag_replace).
 *
 * Returns 0 or -ENOMEM, @out then unchanged.
 */
int keybag_encode(struct buf *out, const struct keybag *bag);

/*
 * keybag_replace - a stored bag with other salts and wrapped keys, appended
 * @data: the stored bag
 * @bag: what keybag_decode made of it, with other values for the salts, the
 *	count of the second derivation, and the wrapped keys of its classes
 *
 * Everything else is the same bytes in the same order, also what we do not
 * know.
 *
 * Returns 0; -EBADMSG if @bag was not made of @data; -ENOMEM. @out is then
 * unchanged.
 */
int keybag_replace(struct buf *out, struct view data, const struct keybag *bag,
		   struct mb_err *err);

#endif
