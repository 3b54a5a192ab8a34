/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto.h"

/*
 * What contents and manifests are read by. libgcrypt has AES for vector
 * registers (VAES), which decrypts twice as fast as OpenSSL 3 on the same
 * processor, as fast where there is only AES-NI, and takes a key in a sixth of
 * the time.
 */

/*
 * A handle carries the IV, so one handle serves one thread at a time. Idle ones
 * wait in a list, keyed: a request costs no key schedule and, once as many
 * exist as threads that read, no allocation.
 */
#define IDLE_MAX 8

struct cbc {
	pthread_mutex_t lock;
	gcry_cipher_hd_t idle[IDLE_MAX];
	unsigned idle_count;
	uint8_t key[KEY_LEN];
};

static pthread_once_t start_once = PTHREAD_ONCE_INIT;

/* Unless the program or another library has done it. */
static void start(void)
{
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	gcry_check_version(NULL);
	/* memory that is locked is for long-lived keys, and there is little */
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

int cbc_new(struct cbc **out, const uint8_t key[KEY_LEN])
{
	struct cbc *cbc;

	pthread_once(&start_once, start);
	cbc = calloc(1, sizeof(*cbc));
	if (!cbc)
		return -ENOMEM;
	pthread_mutex_init(&cbc->lock, NULL);
	memcpy(cbc->key, key, KEY_LEN);
	*out = cbc;
	return 0;
}

void cbc_free(struct cbc *cbc)
{
	if (!cbc)
		return;
	/* which wipes them */
	for (unsigned i = 0; i < cbc->idle_count; i++)
		gcry_cipher_close(cbc->idle[i]);
	pthread_mutex_destroy(&cbc->lock);
	crypto_wipe(cbc, sizeof(*cbc));
	free(cbc);
}

static gcry_cipher_hd_t handle_new(const uint8_t key[KEY_LEN])
{
	gcry_cipher_hd_t handle = NULL;

	if (gcry_cipher_open(&handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC,
			     0))
		return NULL;
	if (gcry_cipher_setkey(handle, key, KEY_LEN)) {
		gcry_cipher_close(handle);
		return NULL;
	}
	return handle;
}

static gcry_cipher_hd_t handle_take(struct cbc *cbc)
{
	gcry_cipher_hd_t handle = NULL;

	pthread_mutex_lock(&cbc->lock);
	if (cbc->idle_count)
		handle = cbc->idle[--cbc->idle_count];
	pthread_mutex_unlock(&cbc->lock);
	return handle ? handle : handle_new(cbc->key);
}

static void handle_give_back(struct cbc *cbc, gcry_cipher_hd_t handle)
{
	pthread_mutex_lock(&cbc->lock);
	if (cbc->idle_count < IDLE_MAX) {
		cbc->idle[cbc->idle_count++] = handle;
		handle = NULL;
	}
	pthread_mutex_unlock(&cbc->lock);
	gcry_cipher_close(handle);
}

int cbc_decrypt(struct cbc *cbc, const uint8_t iv[BLOCK_LEN], uint8_t *data,
		size_t len)
{
	gcry_cipher_hd_t handle;
	int rc = 0;

	if (!len)
		return 0;
	handle = handle_take(cbc);
	if (!handle)
		return -EIO;
	if (gcry_cipher_setiv(handle, iv, BLOCK_LEN) ||
	    gcry_cipher_decrypt(handle, data, len, NULL, 0))
		rc = -EIO;
	handle_give_back(cbc, handle);
	return rc;
}
