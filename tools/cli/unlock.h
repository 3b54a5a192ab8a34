/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UNLOCK_H
#define UNLOCK_H

#include <stdbool.h>

#include "mb/backup.h"
#include "secret.h"

/* Where a backup's password is to come from; NULL where not given. */
struct unlock_source {
	const char *keyfile;
	const char *passfile;
	const char *extpass; /* a shell command */
	bool dialog;	     /* asked for in a window, not on the terminal */
	/* have the derived key remembered: remembered_parse; 0: not */
	unsigned remember_s;
};

/* True if one is given, here or by LARDER_PASSFILE in the environment. */
bool unlock_source_given(const struct unlock_source *source);

/* The same of a password alone. */
bool unlock_password_given(const struct unlock_source *source);

/*
 * unlock_get_password - from the first that is there of: password file,
 * command, LARDER_PASSFILE, terminal or dialog
 * @prompt: what the terminal shows
 *
 * Returns 0; -ENOKEY if there is none; -ECANCELED if a dialog was closed; -EIO.
 */
int unlock_get_password(const struct unlock_source *source, const char *prompt,
			struct secret *s, struct mb_err *err);

/*
 * unlock_remembered - unlock with a key that the kernel or the desktop keeps
 *
 * One that does not fit, as after a change of the password, is forgotten.
 *
 * Returns 0; -ENOKEY if there is none that fits.
 */
int unlock_remembered(struct mb_backup *backup,
		      uint8_t key[MB_DERIVED_KEY_LEN]);

/*
 * unlock_derive - a derived key that fits
 *
 * The key is from the first that is there of: key file, password file,
 * command, LARDER_PASSFILE, what is remembered, terminal or dialog; a dialog
 * asks three times. That it cannot be remembered is said on standard error, and
 * is no failure. The backup is unlocked with it, unless its key bag is damaged:
 * mb_backup_unlock says that.
 *
 * Returns 0; -ENOKEY if there is none; -EKEYREJECTED if the key file is
 * another backup's, or the password is wrong; -ECANCELED if a dialog was
 * closed; -EIO; -EINVAL.
 */
int unlock_derive(struct mb_backup *backup, const struct unlock_source *source,
		  uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

/*
 * unlock_remember - have a key that has opened a backup remembered, if asked to
 *
 * That it cannot be is said on standard error.
 */
void unlock_remember(struct mb_backup *backup,
		     const struct unlock_source *source,
		     const uint8_t key[MB_DERIVED_KEY_LEN]);

/*
 * unlock_derive_from - the derived key of a password
 *
 * As mb_backup_derive; a terminal is told that it takes a while.
 */
int unlock_derive_from(struct mb_backup *backup, const struct secret *password,
		       uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

/*
 * unlock_keep - derive and unlock; at once 0 for a backup that is not encrypted
 *
 * What is remembered does not help: the password itself is wanted.
 *
 * @password: the one that fits; left empty if a key file took its place, which
 *            happens only if there is no other source
 */
int unlock_keep(struct mb_backup *backup, const struct unlock_source *source,
		struct secret *password, struct mb_err *err);

/* unlock - derive and unlock; at once 0 for a backup that is not encrypted */
int unlock(struct mb_backup *backup, const struct unlock_source *source,
	   struct mb_err *err);

#endif
