/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_KEYS_H
#define SHELF_KEYS_H

#include <pthread.h>

#include "unlock.h"

/*
 * What opens the encrypted backups of a shelf. The derived keys that have
 * opened one are kept, never a password; and what a password did not open, so
 * that nobody spends the seconds of a derivation on it again.
 */
struct shelf_keys {
	const struct unlock_source *source;
	pthread_mutex_t lock;	  /* for what is known: short */
	pthread_mutex_t deriving; /* seconds */
	struct shelf_key *known;
	size_t count;
};

/*
 * shelf_keys_init
 * @source: borrowed; paths are absolute, since they are read later too
 */
void shelf_keys_init(struct shelf_keys *keys,
		     const struct unlock_source *source);

/* shelf_keys_release - wipes them */
void shelf_keys_release(struct shelf_keys *keys);

/*
 * shelf_keys_unlock - unlock a backup by whatever fits: a key that is known,
 * the key file, one that is remembered, the password of the source
 *
 * May take seconds; safe from several threads. Nobody is asked on a terminal.
 *
 * Returns 0, also for one that is not encrypted; -ENOKEY if there is no
 * password; -EKEYREJECTED if it does not fit; errors of the source.
 */
int shelf_keys_unlock(struct shelf_keys *keys, struct mb_backup *backup,
		      struct mb_err *err);

/*
 * shelf_keys_try - the same with a password that was typed
 *
 * A terminal is told that it takes a while. Returns 0; -EKEYREJECTED; -EBADMSG
 * if it fits and the key bag is damaged.
 */
int shelf_keys_try(struct shelf_keys *keys, struct mb_backup *backup,
		   const struct secret *password, struct mb_err *err);

#endif
