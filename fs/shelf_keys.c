/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "key_file.h"

/* Which version of the password file it was. */
struct source_stamp {
	uint64_t dev, ino;
	int64_t size, mtime_s, mtime_ns;
};

struct shelf_key {
	uint8_t derivation[MB_DERIVATION_LEN];
	bool fits;
	uint8_t key[MB_DERIVED_KEY_LEN]; /* if it fits; else: */
	struct source_stamp tried;
};

void shelf_keys_init(struct shelf_keys *k, const struct unlock_source *source)
{
	*k = (struct shelf_keys){ .source = source,
				  .lock = PTHREAD_MUTEX_INITIALIZER,
				  .deriving = PTHREAD_MUTEX_INITIALIZER };
}

void shelf_keys_release(struct shelf_keys *k)
{
	if (k->known)
		explicit_bzero(k->known, k->count * sizeof(*k->known));
	free(k->known);
	k->known = NULL;
	k->count = 0;
}

/* Of a command there is one version. */
static void stamp_source(const struct shelf_keys *k, struct source_stamp *stamp)
{
	struct stat st;

	memset(stamp, 0, sizeof(*stamp));
	if (k->source->passfile && stat(k->source->passfile, &st) == 0)
		*stamp = (struct source_stamp){
			.dev = st.st_dev,
			.ino = st.st_ino,
			.size = st.st_size,
			.mtime_s = st.st_mtim.tv_sec,
			.mtime_ns = st.st_mtim.tv_nsec,
		};
}

/* Under the lock. realloc would leave keys behind. */
static struct shelf_key *add(struct shelf_keys *k)
{
	struct shelf_key *all = calloc(k->count + 1, sizeof(*all));

	if (!all)
		return NULL;
	if (k->count) {
		memcpy(all, k->known, k->count * sizeof(*all));
		explicit_bzero(k->known, k->count * sizeof(*all));
	}
	free(k->known);
	k->known = all;
	return &all[k->count++];
}

/* @key: NULL: what the source says now does not fit */
static void note(struct shelf_keys *k, const struct mb_backup *backup,
		 const uint8_t *key, const struct source_stamp *tried)
{
	uint8_t derivation[MB_DERIVATION_LEN];
	struct shelf_key *at = NULL;

	mb_backup_get_derivation(backup, derivation);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->count && !at; i++)
		if (!memcmp(k->known[i].derivation, derivation,
			    sizeof(derivation)))
			at = &k->known[i];
	if (!at)
		at = add(k);
	if (at && key) {
		memcpy(at->key, key, sizeof(at->key));
		at->fits = true;
	} else if (at && !at->fits) {
		at->tried = *tried;
	}
	if (at)
		memcpy(at->derivation, derivation, sizeof(derivation));
	pthread_mutex_unlock(&k->lock);
}

/* 0: @key is it; -EKEYREJECTED: tried in vain; -ENOKEY: nothing is known */
static int recall(struct shelf_keys *k, const struct mb_backup *backup,
		  uint8_t key[MB_DERIVED_KEY_LEN],
		  const struct source_stamp *now)
{
	uint8_t derivation[MB_DERIVATION_LEN];
	int rc = -ENOKEY;

	mb_backup_get_derivation(backup, derivation);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->count; i++) {
		const struct shelf_key *at = &k->known[i];

		if (memcmp(at->derivation, derivation, sizeof(derivation)))
			continue;
		if (at->fits)
			memcpy(key, at->key, sizeof(at->key));
		rc = at->fits				   ? 0 :
		     memcmp(&at->tried, now, sizeof(*now)) ? -ENOKEY :
							     -EKEYREJECTED;
	}
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int try_known(struct shelf_keys *k, struct mb_backup *backup,
		     uint8_t key[MB_DERIVED_KEY_LEN],
		     const struct source_stamp *now, struct mb_err *err)
{
	int rc = recall(k, backup, key, now);

	if (rc == -EKEYREJECTED)
		return mb_err_set(err, rc, "the password does not fit");
	return rc < 0 ? rc : mb_backup_unlock(backup, key, err);
}

static int try_key_file(struct shelf_keys *k, struct mb_backup *backup,
			uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	int rc = -ENOKEY;

	if (k->source->keyfile)
		rc = key_file_read(k->source->keyfile, backup, key, err);
	return rc < 0 ? rc : mb_backup_unlock(backup, key, err);
}

/* Has somebody found out meanwhile? Else it takes the seconds. */
static int try_source(struct shelf_keys *k, struct mb_backup *backup,
		      uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };
	struct source_stamp now;
	int rc;

	stamp_source(k, &now);
	rc = try_known(k, backup, key, &now, err);
	if (rc != -ENOKEY)
		return rc;
	if (!unlock_password_given(k->source))
		return mb_err_set(err, -ENOKEY, "no password was given");
	rc = unlock_get_password(k->source, "", &password, err);
	if (rc == 0)
		rc = mb_backup_derive(backup, password.text, password.len, key,
				      err);
	if (rc == 0)
		rc = mb_backup_unlock(backup, key, err);
	if (rc == -EKEYREJECTED)
		mb_err_set(err, rc, "the password does not fit");
	if (rc == -EBADMSG) /* it fits, and the key bag is damaged */
		note(k, backup, key, NULL);
	/* nor is somebody who has cancelled asked again and again */
	else if (rc == -EKEYREJECTED || (rc < 0 && !k->source->passfile))
		note(k, backup, NULL, &now);
	return rc;
}

static bool needs_key(const struct mb_backup *backup)
{
	const struct mb_backup_info *info = mb_backup_get_info(backup);

	return info->encrypted && !info->keys_lost;
}

/* It has opened the backup. */
static void keep(struct shelf_keys *k, struct mb_backup *backup,
		 const uint8_t key[MB_DERIVED_KEY_LEN])
{
	note(k, backup, key, NULL);
	unlock_remember(backup, k->source, key);
}

int shelf_keys_unlock(struct shelf_keys *k, struct mb_backup *backup,
		      struct mb_err *err)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	struct source_stamp now;
	int rc;

	if (!needs_key(backup))
		return 0;
	stamp_source(k, &now);
	if (try_known(k, backup, key, &now, NULL) == 0) {
		explicit_bzero(key, sizeof(key));
		return 0;
	}
	rc = try_key_file(k, backup, key, err);
	if (rc < 0 && unlock_remembered(backup, key) == 0)
		rc = 0;
	if (rc < 0 && rc != -EBADMSG) {
		pthread_mutex_lock(&k->deriving);
		rc = try_source(k, backup, key, err);
		pthread_mutex_unlock(&k->deriving);
	}
	if (rc == 0)
		keep(k, backup, key);
	explicit_bzero(key, sizeof(key));
	return rc;
}

int shelf_keys_try(struct shelf_keys *k, struct mb_backup *backup,
		   const struct secret *password, struct mb_err *err)
{
	const struct source_stamp none = { 0 };
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = try_known(k, backup, key, &none, err);

	if (rc == -ENOKEY) {
		rc = unlock_derive_from(backup, password, key, err);
		if (rc == 0)
			rc = mb_backup_unlock(backup, key, err);
		if (rc == -EKEYREJECTED)
			note(k, backup, NULL, &none);
	}
	if (rc == 0)
		keep(k, backup, key);
	explicit_bzero(key, sizeof(key));
	return rc;
}
