/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SECRET_SERVICE_H
#define SECRET_SERVICE_H

#include <stdbool.h>

#include "mb/backup.h"

/*
 * Derived keys that the desktop keeps for its user, beyond the session, in what
 * opens with the login: GNOME Keyring, KWallet and others. On disk it encrypts
 * them itself.
 *
 * It is spoken with by secret-tool(1), which gets the key through a pipe: the
 * library for it would bring threads into programs that fork. Where there is no
 * session bus or no secret-tool, nothing is kept.
 */

/* secret_service_put - 0; -ENOSYS where there is none; -EIO */
int secret_service_put(const struct mb_backup *backup,
		       const uint8_t key[MB_DERIVED_KEY_LEN],
		       struct mb_err *err);

/* secret_service_get - 0; -ENOKEY. The desktop may ask its user to open it. */
int secret_service_get(const struct mb_backup *backup,
		       uint8_t key[MB_DERIVED_KEY_LEN]);

/* secret_service_forget - NULL: all of them. True if there was one. */
bool secret_service_forget(const struct mb_backup *backup);

#endif
