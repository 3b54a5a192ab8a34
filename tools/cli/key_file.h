/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KEY_FILE_H
#define KEY_FILE_H

#include "mb/backup.h"

/*
 * A derived key in a file: whoever has it can read the backup, but does not
 * learn the password. Three lines:
 *
 *   larder-key 1
 *   keybag <32 hexadecimal digits, the identity of the key bag>
 *   key <64 hexadecimal digits>
 */

/*
 * key_file_read
 *
 * Returns 0; -EKEYREJECTED if it is of another key bag; -EIO; -EINVAL if it is
 * no key file.
 */
int key_file_read(const char *path, const struct mb_backup *backup,
		  uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

/*
 * key_file_write - with mode 0600, aside and then renamed
 *
 * Replaces an empty file or a key file, nothing else.
 *
 * Returns 0; -EEXIST; -EIO.
 */
int key_file_write(const char *path, const struct mb_backup *backup,
		   const uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

#endif
