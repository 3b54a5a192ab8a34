/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "pbkdf2_sha256.h"

/* Fetched once: a fetch for each use costs more than the cipher does. */
static struct {
	EVP_CIPHER *cbc;
	EVP_CIPHER *ecb;
	EVP_MD *sha1;
	EVP_MD *sha256;
} fetched;

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_free(void)
{
	EVP_CIPHER_free(fetched.cbc);
	EVP_CIPHER_free(fetched.ecb);
	EVP_MD_free(fetched.sha1);
	EVP_MD_free(fetched.sha256);
}

static void fetch(void)
{
	fetched.cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	fetched.ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	fetched.sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	fetched.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	OPENSSL_atexit(fetch_free);
}

void crypto_wipe(void *ptr, size_t len)
{
	OPENSSL_cleanse(ptr, len);
}

int crypto_random(void *out, size_t len)
{
	/* from the library's generator for what must never be seen */
	if (len > INT_MAX || RAND_priv_bytes(out, (int)len) != 1)
		return -EIO;
	return 0;
}

int crypto_sha1(uint8_t out[SHA1_LEN], struct view a, struct view b)
{
	EVP_MD_CTX *ctx;
	int good;

	pthread_once(&fetch_once, fetch);
	ctx = EVP_MD_CTX_new();
	good = ctx && fetched.sha1 &&
	       EVP_DigestInit_ex(ctx, fetched.sha1, NULL) == 1 &&
	       EVP_DigestUpdate(ctx, a.ptr, a.len) == 1 &&
	       EVP_DigestUpdate(ctx, b.ptr, b.len) == 1 &&
	       EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? 0 : -EIO;
}

struct digest {
	EVP_MD_CTX *ctx;
};

int digest_new(struct digest **out, size_t len)
{
	mb_auto(digest_free) struct digest *digest = NULL;
	const EVP_MD *md;

	pthread_once(&fetch_once, fetch);
	if (len != SHA1_LEN && len != SHA256_LEN)
		return -EINVAL;
	md = len == SHA1_LEN ? fetched.sha1 : fetched.sha256;
	digest = calloc(1, sizeof(*digest));
	if (!digest || !(digest->ctx = EVP_MD_CTX_new()))
		return -ENOMEM;
	if (!md || EVP_DigestInit_ex(digest->ctx, md, NULL) != 1)
		return -EIO;
	*out = mb_steal(&digest);
	return 0;
}

int digest_add(struct digest *digest, const void *ptr, size_t len)
{
	return EVP_DigestUpdate(digest->ctx, ptr, len) == 1 ? 0 : -EIO;
}

int digest_finish(struct digest *digest, uint8_t *out)
{
	return EVP_DigestFinal_ex(digest->ctx, out, NULL) == 1 ? 0 : -EIO;
}

void digest_free(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->ctx);
	free(digest);
}

/* The library counts in int: what it cannot have, no path gets. */
static bool pbkdf2_possible(struct view password, struct view salt,
			    uint32_t iterations)
{
	return password.len <= INT_MAX && salt.len <= INT_MAX && iterations &&
	       iterations <= INT_MAX;
}

static int pbkdf2(uint8_t out[KEY_LEN], struct view password, struct view salt,
		  uint32_t iterations, const EVP_MD *md)
{
	/* a NULL password means "unset" to some versions: give "" a place */
	const char *text = password.len ? (const char *)password.ptr : "";

	if (!pbkdf2_possible(password, salt, iterations))
		return -EIO;
	if (PKCS5_PBKDF2_HMAC(text, (int)password.len, salt.ptr, (int)salt.len,
			      (int)iterations, md, KEY_LEN, out) != 1)
		return -EIO;
	return 0;
}

int crypto_pbkdf2_sha1(uint8_t out[KEY_LEN], struct view password,
		       struct view salt, uint32_t iterations)
{
	return pbkdf2(out, password, salt, iterations, EVP_sha1());
}

static int derive_sha_ni(uint8_t out[KEY_LEN], struct view password,
			 struct view salt, uint32_t iterations)
{
	if (!pbkdf2_possible(password, salt, iterations))
		return -EIO;
	pbkdf2_sha_ni(out, password, salt, iterations);
	return 0;
}

static int derive_openssl(uint8_t out[KEY_LEN], struct view password,
			  struct view salt, uint32_t iterations)
{
	return pbkdf2(out, password, salt, iterations, EVP_sha256());
}

static bool always(void)
{
	return true;
}

const struct pbkdf2_path pbkdf2_paths[PBKDF2_PATHS] = {
	{ "sha-ni", pbkdf2_sha_ni_usable, derive_sha_ni },
	{ "openssl", always, derive_openssl },
};

static const struct pbkdf2_path *best_path(void)
{
	const struct pbkdf2_path *path = pbkdf2_paths;

	while (!path->usable())
		path++;
	return path;
}

int crypto_pbkdf2_sha256(uint8_t out[KEY_LEN], struct view password,
			 struct view salt, uint32_t iterations)
{
	return best_path()->derive(out, password, salt, iterations);
}

const char *crypto_pbkdf2_path(void)
{
	return best_path()->name;
}

/*
 * RFC 3394, 2.2, by its index-based descriptions. OpenSSL has it too, as
 * AES-256-WRAP, but on top of AES in software: seven times as slow, which
 * counts where a folder of files is listed.
 */
#define WRAP_HALVES (WRAPPED_LEN / 8 - 1) /* R[1..4] */
#define WRAP_ROUNDS (6 * WRAP_HALVES)

static const uint8_t wrap_initial[8] = { 0xa6, 0xa6, 0xa6, 0xa6,
					 0xa6, 0xa6, 0xa6, 0xa6 };

static EVP_CIPHER_CTX *wrap_ctx_new(const uint8_t kek[KEY_LEN], int encrypt)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx || !fetched.ecb ||
	    EVP_CipherInit_ex(ctx, fetched.ecb, NULL, kek, NULL, encrypt) !=
		    1 ||
	    EVP_CIPHER_CTX_set_padding(ctx, 0) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* Both halves through the cipher, in the direction of the context. */
static int cipher_halves(EVP_CIPHER_CTX *ctx, uint8_t a[8], uint8_t half[8])
{
	uint8_t block[BLOCK_LEN];
	int len, rc = 0;

	memcpy(block, a, 8);
	memcpy(block + 8, half, 8);
	if (EVP_CipherUpdate(ctx, block, &len, block, BLOCK_LEN) != 1 ||
	    len != BLOCK_LEN)
		rc = -EIO;
	memcpy(a, block, 8);
	memcpy(half, block + 8, 8);
	crypto_wipe(block, sizeof(block));
	return rc;
}

static uint8_t *half_of_round(uint8_t r[KEY_LEN], unsigned t)
{
	return r + (t - 1) % WRAP_HALVES * 8;
}

static int wrap_rounds(EVP_CIPHER_CTX *ctx, uint8_t a[8], uint8_t r[KEY_LEN])
{
	int rc = 0;

	for (unsigned t = 1; t <= WRAP_ROUNDS && rc == 0; t++) {
		rc = cipher_halves(ctx, a, half_of_round(r, t));
		a[7] ^= (uint8_t)t;
	}
	return rc;
}

int crypto_wrap(uint8_t out[WRAPPED_LEN], const uint8_t kek[KEY_LEN],
		const uint8_t key[KEY_LEN])
{
	uint8_t a[8], r[KEY_LEN];
	EVP_CIPHER_CTX *ctx;
	int rc;

	pthread_once(&fetch_once, fetch);
	memcpy(a, wrap_initial, sizeof(a));
	memcpy(r, key, sizeof(r));
	ctx = wrap_ctx_new(kek, 1);
	rc = ctx ? wrap_rounds(ctx, a, r) : -EIO;
	if (rc == 0) {
		memcpy(out, a, sizeof(a));
		memcpy(out + sizeof(a), r, sizeof(r));
	}
	/* before the first round it is the key itself */
	crypto_wipe(r, sizeof(r));
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}

/* The rounds of several keys side by side: each takes what the last one made. */
static void unwrap_rounds(EVP_CIPHER_CTX *ctx, struct unwrapping keys[],
			  unsigned count)
{
	uint8_t blocks[UNWRAP_MAX][BLOCK_LEN]; /* A and a half, of each key */
	int len, want = (int)count * BLOCK_LEN, rc = 0;

	for (unsigned i = 0; i < count; i++) {
		memcpy(blocks[i], keys[i].wrapped, 8);
		memcpy(keys[i].key, keys[i].wrapped + 8, KEY_LEN);
	}
	for (unsigned t = WRAP_ROUNDS; t && rc == 0; t--) {
		for (unsigned i = 0; i < count; i++) {
			blocks[i][7] ^= (uint8_t)t;
			memcpy(blocks[i] + 8, half_of_round(keys[i].key, t), 8);
		}
		if (EVP_DecryptUpdate(ctx, blocks[0], &len, blocks[0], want) !=
			    1 ||
		    len != want)
			rc = -EIO;
		for (unsigned i = 0; i < count; i++)
			memcpy(half_of_round(keys[i].key, t), blocks[i] + 8, 8);
	}
	for (unsigned i = 0; i < count; i++) {
		keys[i].rc = rc;
		if (rc == 0 && CRYPTO_memcmp(blocks[i], wrap_initial, 8))
			keys[i].rc = -EKEYREJECTED;
	}
	crypto_wipe(blocks, sizeof(blocks));
}

/*
 * Contexts of the calling thread's for a few blocks: making one, or giving one
 * a key, costs more than they do. Each keeps the last key until the thread ends
 * or forgets it. Files that are looked at one after the other mostly have their
 * keys from the same class; and who had the key of a class could have had the
 * file's as well.
 */
struct thread_ctx {
	EVP_CIPHER_CTX *file, *class;
	uint8_t class_key[KEY_LEN];
};

static pthread_key_t thread_ctx_key;
static pthread_once_t thread_ctx_once = PTHREAD_ONCE_INIT;

static void thread_ctx_free(void *arg)
{
	struct thread_ctx *t = arg;

	EVP_CIPHER_CTX_free(t->file);
	EVP_CIPHER_CTX_free(t->class);
	crypto_wipe(t, sizeof(*t));
	free(t);
}

static void make_thread_ctx_key(void)
{
	pthread_key_create(&thread_ctx_key, thread_ctx_free);
}

static struct thread_ctx *thread_ctx(void)
{
	struct thread_ctx *t;

	pthread_once(&fetch_once, fetch);
	pthread_once(&thread_ctx_once, make_thread_ctx_key);
	t = pthread_getspecific(thread_ctx_key);
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (t && pthread_setspecific(thread_ctx_key, t)) {
		free(t);
		t = NULL;
	}
	return t;
}

static EVP_CIPHER_CTX *ctx_with_key(EVP_CIPHER_CTX **ctx,
				    const uint8_t key[KEY_LEN])
{
	if (!*ctx)
		*ctx = wrap_ctx_new(key, 0);
	else if (EVP_DecryptInit_ex(*ctx, NULL, NULL, key, NULL) != 1)
		return NULL;
	return *ctx;
}

void crypto_forget(void)
{
	struct thread_ctx *t;

	pthread_once(&thread_ctx_once, make_thread_ctx_key);
	t = pthread_getspecific(thread_ctx_key);
	if (!t)
		return;
	pthread_setspecific(thread_ctx_key, NULL);
	thread_ctx_free(t);
}

static EVP_CIPHER_CTX *ctx_of_class(const uint8_t kek[KEY_LEN])
{
	struct thread_ctx *t = thread_ctx();
	EVP_CIPHER_CTX *ctx;

	if (!t)
		return NULL;
	if (t->class && !CRYPTO_memcmp(t->class_key, kek, KEY_LEN))
		return t->class;
	/* if the library fails, it is not to pass for that key's */
	memset(t->class_key, 0, KEY_LEN);
	ctx = ctx_with_key(&t->class, kek);
	if (ctx)
		memcpy(t->class_key, kek, KEY_LEN);
	return ctx;
}

void crypto_unwrap_some(const uint8_t kek[KEY_LEN], struct unwrapping keys[],
			unsigned count)
{
	EVP_CIPHER_CTX *ctx = ctx_of_class(kek);

	assert(count <= UNWRAP_MAX);
	if (ctx)
		unwrap_rounds(ctx, keys, count);
	for (unsigned i = 0; i < count; i++) {
		if (!ctx)
			keys[i].rc = -EIO;
		if (keys[i].rc < 0)
			crypto_wipe(keys[i].key, KEY_LEN);
	}
}

int crypto_unwrap(uint8_t out[KEY_LEN], const uint8_t kek[KEY_LEN],
		  const uint8_t wrapped[WRAPPED_LEN])
{
	struct unwrapping one = { .wrapped = wrapped };

	crypto_unwrap_some(kek, &one, 1);
	if (one.rc == 0)
		memcpy(out, one.key, KEY_LEN);
	crypto_wipe(one.key, KEY_LEN);
	return one.rc;
}

int crypto_decrypt_block(const uint8_t key[KEY_LEN],
			 const uint8_t iv[BLOCK_LEN], uint8_t block[BLOCK_LEN])
{
	struct thread_ctx *t = thread_ctx();
	EVP_CIPHER_CTX *ctx = t ? ctx_with_key(&t->file, key) : NULL;
	int len = 0, rc = 0;

	if (!ctx ||
	    EVP_DecryptUpdate(ctx, block, &len, block, BLOCK_LEN) != 1 ||
	    len != BLOCK_LEN)
		rc = -EIO;
	for (int i = 0; i < BLOCK_LEN; i++)
		block[i] ^= iv[i];
	return rc;
}

/* The library counts in int: as much in one call, in whole blocks. */
#define STEP_MAX (1 << 30)

struct cbc_writer {
	EVP_CIPHER_CTX *ctx;
};

int cbc_writer_new(struct cbc_writer **out, const uint8_t key[KEY_LEN])
{
	static const uint8_t zero_iv[BLOCK_LEN];
	mb_auto(cbc_writer_free) struct cbc_writer *w = NULL;

	pthread_once(&fetch_once, fetch);
	w = calloc(1, sizeof(*w));
	if (!w || !(w->ctx = EVP_CIPHER_CTX_new()))
		return -ENOMEM;
	if (!fetched.cbc ||
	    EVP_EncryptInit_ex(w->ctx, fetched.cbc, NULL, key, zero_iv) != 1 ||
	    EVP_CIPHER_CTX_set_padding(w->ctx, 0) != 1)
		return -EIO;
	*out = mb_steal(&w);
	return 0;
}

int cbc_writer_add(struct cbc_writer *w, const uint8_t *in, uint8_t *out,
		   size_t len)
{
	/* part of a block would wait in the context and come out later */
	assert(len % BLOCK_LEN == 0);
	while (len) {
		int step = len > STEP_MAX ? STEP_MAX : (int)len, done;

		if (EVP_EncryptUpdate(w->ctx, out, &done, in, step) != 1 ||
		    done != step)
			return -EIO;
		in += step;
		out += step;
		len -= (size_t)step;
	}
	return 0;
}

void cbc_writer_free(struct cbc_writer *w)
{
	if (!w)
		return;
	EVP_CIPHER_CTX_free(w->ctx);
	free(w);
}
