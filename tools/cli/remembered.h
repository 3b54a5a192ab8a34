/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REMEMBERED_H
#define REMEMBERED_H

#include <limits.h>
#include <stdbool.h>

#include "mb/backup.h"

/*
 * Derived keys that the kernel keeps for this user, so that the second command
 * needs neither the password nor the seconds: keyrings(7). Never a password.
 *
 * They are in the user's keyring, which all sessions and windows of the user
 * share and which ends with the last process of the user; not in a session's,
 * of which a desktop has several. A key is called "larder:" and the identity of
 * its key bag. Only who possesses it, a process of this user, may do anything
 * with it. It goes after its time, and never to disk but with swap.
 *
 * Where the kernel has no keyrings, or a container is not let to them, there is
 * nothing remembered, and only remembering is an error.
 */

/* How long if it is not said, in seconds: a day's work. */
#define REMEMBERED_S (8 * 3600)
/* "login": not here, but by the desktop (secret_service.h) */
#define REMEMBERED_LOGIN UINT_MAX

/*
 * remembered_parse - "90", "90s", "30m", "8h", "2d": seconds; "login"
 *
 * False if it is none of these, or not 1 second to 30 days.
 */
bool remembered_parse(const char *text, unsigned *seconds);

/* remembered_put - keep it, from now on for so long; -ENOSYS; -EDQUOT; ... */
int remembered_put(const struct mb_backup *backup,
		   const uint8_t key[MB_DERIVED_KEY_LEN], unsigned seconds,
		   struct mb_err *err);

/* remembered_get - 0; -ENOKEY if there is none. @key: the caller's to wipe */
int remembered_get(const struct mb_backup *backup,
		   uint8_t key[MB_DERIVED_KEY_LEN]);

/* remembered_forget - 0; -ENOKEY if there was none; other errors: it stays */
int remembered_forget(const struct mb_backup *backup);

/* remembered_forget_all - how many there were; or a negative errno */
int remembered_forget_all(void);

#endif
