/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_REKEY_H
#define MB_REKEY_H

#include "backup.h"

/*
 * Another password for an encrypted backup: its class keys are wrapped anew,
 * and nothing but Manifest.plist changes, in one step.
 *
 * The order of use: the backup is opened; mb_rekey_open; mb_rekey_derive, which
 * takes as long as mb_backup_derive and may run beside it in another thread;
 * the backup is unlocked with the old key; mb_rekey_commit.
 */
struct mb_rekey;

/*
 * mb_rekey_open - see that it can be done, and roll new salts
 * @backup: borrowed until mb_rekey_free
 * @iterations: of PBKDF2-HMAC-SHA256; 0: as they are. Only for a key bag that
 *	has them: the form of the derivation stays
 *
 * Changes nothing. Returns 0; -EINVAL if the backup is not encrypted, or has
 * no such iterations; -EBUSY if it is an interrupted one; -EBADMSG; errors of
 * the system.
 */
int mb_rekey_open(struct mb_rekey **out, struct mb_backup *backup,
		  uint32_t iterations, struct mb_err *err);
/* What was not committed has changed nothing. */
void mb_rekey_free(struct mb_rekey *rekey);

/*
 * mb_rekey_derive - the key of the new password: seconds of computing
 * @password: UTF-8, not empty; not kept
 */
int mb_rekey_derive(struct mb_rekey *rekey, const char *password,
		    size_t password_len, struct mb_err *err);

struct mb_rekey_result {
	unsigned classes; /* wrapped anew */
	/* of the new derivation, PBKDF2-HMAC-SHA256; 0: it has none */
	uint32_t iterations;
};

/*
 * mb_rekey_commit - the new password takes the place of the old one
 * @old_key: derived from the old one
 *
 * The new list is written aside, read back by opening the backup with it, and
 * only then changes places with the old one, which is removed once the backup
 * has been opened again. Whoever is killed meanwhile leaves a backup that one
 * of the two passwords opens, and the folder ".larder-rekey" in it, which the
 * next commit clears away. What else is odd is a note of the backup, which
 * itself stays as it was opened: open it anew.
 *
 * Returns 0; -EKEYREJECTED if the old key does not fit; -ENOKEY if the backup
 * is locked; -EBADMSG if the key bag or the manifest is damaged; -ESTALE if
 * the backup has changed since; -EBUSY if another process is at it; errors
 * of the system. The old password is then still the right one, unless the line
 * says otherwise.
 */
int mb_rekey_commit(struct mb_rekey *rekey,
		    const uint8_t old_key[MB_DERIVED_KEY_LEN],
		    struct mb_rekey_result *result, struct mb_err *err);

#endif
