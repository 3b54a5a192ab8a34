/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CRYPTO_H
#define CRYPTO_H

#include "bytes.h"
#include "mb/err.h"

/*
 * Everything that larder needs of cipher libraries; only this folder knows which.
 * Keys are 256 bits throughout the format.
 */

#define KEY_LEN 32
#define WRAPPED_LEN 40 /* a 256-bit key under RFC 3394 */
#define BLOCK_LEN 16   /* of AES */
#define SHA1_LEN 20
#define SHA256_LEN 32
#define DIGEST_LEN_MAX SHA256_LEN

/* crypto_wipe - overwrite a secret so that the compiler cannot leave it out */
void crypto_wipe(void *ptr, size_t len);

/*
 * crypto_random - bytes for keys, salts and UUIDs
 *
 * Returns 0, or -EIO if there is no randomness; @out is of no use then.
 */
int crypto_random(void *out, size_t len);

/* The digest of @a followed by @b; 0 or -EIO. */
int crypto_sha1(uint8_t out[SHA1_LEN], struct view a, struct view b);

/* The digest of what comes piece by piece. One thread at a time. */
struct digest;

/*
 * digest_new - begin one
 * @len: SHA1_LEN or SHA256_LEN, which tells the algorithm
 *
 * Returns 0; -EINVAL for another length; -ENOMEM; -EIO.
 */
int digest_new(struct digest **out, size_t len);
int digest_add(struct digest *digest, const void *ptr,
	       size_t len); /* or -EIO */
/* @out: as many bytes as digest_new was told; the last call; 0 or -EIO */
int digest_finish(struct digest *digest, uint8_t *out);
void digest_free(struct digest *digest);
MB_DEFINE_AUTO(struct digest, digest_free)

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
 * crypto_pbkdf2_path - how crypto_pbkdf2_sha256 works on this processor
 *
 * Returns "sha-ni" where it has instructions for SHA-256, else "openssl".
 */
const char *crypto_pbkdf2_path(void);

/*
 * crypto_unwrap - RFC 3394 with the default initial value
 *
 * Returns 0; -EKEYREJECTED if the integrity value is wrong; -EIO.
 */
int crypto_unwrap(uint8_t out[KEY_LEN], const uint8_t kek[KEY_LEN],
		  const uint8_t wrapped[WRAPPED_LEN]);

/* How many keys are unwrapped at once, at most. */
#define UNWRAP_MAX 16

struct unwrapping {
	const uint8_t *wrapped; /* WRAPPED_LEN */
	uint8_t key[KEY_LEN];	/* what comes out */
	int rc;			/* as of crypto_unwrap */
};

/*
 * crypto_unwrap_some - keys that are wrapped by one key
 * @count: 1 to UNWRAP_MAX
 *
 * One takes five times as long as each of many.
 */
void crypto_unwrap_some(const uint8_t kek[KEY_LEN], struct unwrapping keys[],
			unsigned count);

/*
 * crypto_forget - wipe what the calling thread keeps of the keys that it used
 * for crypto_unwrap and crypto_decrypt_block
 *
 * The end of a thread does it too.
 */
void crypto_forget(void);

/* crypto_wrap - the inverse of crypto_unwrap; 0 or -EIO */
int crypto_wrap(uint8_t out[WRAPPED_LEN], const uint8_t kek[KEY_LEN],
		const uint8_t key[KEY_LEN]);

/*
 * crypto_decrypt_block - one block of AES-256-CBC, in place
 * @iv: the ciphertext before it, or zeros
 *
 * For who wants no more of a key than this. Returns 0, or -EIO if the library
 * fails.
 */
int crypto_decrypt_block(const uint8_t key[KEY_LEN],
			 const uint8_t iv[BLOCK_LEN], uint8_t block[BLOCK_LEN]);

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

/*
 * AES-256-CBC from front to back, beginning with an IV of zeros, which is the
 * only one that the format knows: a key must not encrypt two contents. One
 * thread at a time. What it knows of the key is wiped with it.
 */
struct cbc_writer;

/* Returns 0; -ENOMEM; -EIO. */
int cbc_writer_new(struct cbc_writer **out, const uint8_t key[KEY_LEN]);

/*
 * cbc_writer_add - encrypt the blocks that come next
 * @out: @len bytes; either @in itself or no part of it
 * @len: in bytes, a multiple of 16: padding is the caller's business
 *
 * Returns 0; -EIO, after which nothing more can be encrypted.
 */
int cbc_writer_add(struct cbc_writer *w, const uint8_t *in, uint8_t *out,
		   size_t len);
void cbc_writer_free(struct cbc_writer *w);
MB_DEFINE_AUTO(struct cbc_writer, cbc_writer_free)

#endif
