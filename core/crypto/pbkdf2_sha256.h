/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PBKDF2_SHA256_H
#define PBKDF2_SHA256_H

#include "crypto.h"

/*
 * The derivation that takes seconds: PBKDF2-HMAC-SHA-256 (RFC 8018, RFC 2104,
 * FIPS 180-4) by the SHA instructions of x86-64, without a library. It is one
 * chain of millions of compressions, so only their latency counts, and a
 * library spends more than that between them.
 */

/* One way to derive; crypto.c has them all. */
struct pbkdf2_path {
	const char *name;
	bool (*usable)(void); /* on this processor */
	/* the contract of crypto_pbkdf2_sha256 */
	int (*derive)(uint8_t out[KEY_LEN], struct view password,
		      struct view salt, uint32_t iterations);
};

#define PBKDF2_PATHS 2

/* Best first; the last is usable everywhere. All yield the same. */
extern const struct pbkdf2_path pbkdf2_paths[PBKDF2_PATHS];

/* pbkdf2_sha_ni_usable - has this processor what pbkdf2_sha_ni uses? */
bool pbkdf2_sha_ni_usable(void);

/*
 * pbkdf2_sha_ni - derive with the SHA instructions
 * @iterations: at least 1
 *
 * To be called only where pbkdf2_sha_ni_usable. Leaves nothing of the password
 * in registers or on the stack. Any lengths. Cannot fail.
 */
void pbkdf2_sha_ni(uint8_t out[KEY_LEN], struct view password, struct view salt,
		   uint32_t iterations);

#endif
