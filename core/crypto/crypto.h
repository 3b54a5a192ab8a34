/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_H
#define CRYPTO_H

#include "bytes.h"
#include "mb/err.h"

/*
 * Everything that larder needs of a cipher library, and the only file that
 * knows which one. Keys are 256 bits throughout the format.
 */

#define KEY_LEN 32
#define WRAPPED_LEN 40 /* a 256-bit key under RFC 3394 */
#define BLOCK_LEN 16   /* of AES */
#define SHA1_LEN 20

/* crypto_wipe - overwrite a secret so that the compiler cannot leave it out */
void crypto_wipe(void *ptr, size_t len);

/* The digest of @a followed by @b; 0 or -EIO. */
int crypto_sha1(uint8_t out[SHA1_LEN], struct view a, struct view b);

/*
 * crypto_pbkdf2_* - RFC 8018, 32 bytes out
 * @iterations: at least 1; the caller bounds it
 *
 * Returns 0, or -EIO if the library fails.
 */
int crypto_pbkdf2_sha1(uint8_t out[KEY_LEN], struct view password,
		       struct view salt, uint32_t iterations);
int crypto_pbkdf2_sha256(uint8_t out[KEY_LEN], struct view password,
			 struct view salt, uint32_t iterations);

/*
 * crypto_unwrap - RFC 3394 with the default initial value
 *
 * Returns 0; -EKEYREJECTED if the integrity value is wrong; -EIO.
 */
int crypto_unwrap(uint8_t out[KEY_LEN], const uint8_t kek[KEY_LEN],
		  const uint8_t wrapped[WRAPPED_LEN]);

/*
 * A CBC decryptor holds one key's schedule and may be used by any number of
 * threads. The key is wiped with it.
 */
struct cbc;

int cbc_new(struct cbc **out, const uint8_t key[KEY_LEN]);
void cbc_free(struct cbc *cbc);
MB_DEFINE_AUTO(struct cbc, cbc_free)

/*
 * cbc_decrypt - AES-256-CBC over whole blocks, without looking at padding
 * @data: decrypted in place
 * @len: in bytes, a multiple of 16
 *
 * Returns 0, or -EIO if the library fails.
 */
int cbc_decrypt(struct cbc *cbc, const uint8_t iv[BLOCK_LEN], uint8_t *data,
		size_t len);

#endif
