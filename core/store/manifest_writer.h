/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_WRITER_H
#define MANIFEST_WRITER_H

#include "bytes.h"
#include "crypto.h"
#include "mb/err.h"
#include "mb/record.h"

/*
 * A new Manifest.db, row by row (iphone-backup(5), MANIFEST.DB). In clear it
 * grows on disk; an encrypted one is gathered in memory, since its plaintext
 * may not be anywhere else, and stored in the end.
 *
 * One thread at a time.
 */
struct manifest_writer;

/*
 * manifest_create - begin "Manifest.db", which must not be there
 * @dir_fd: borrowed until the writer is freed
 * @key: the manifest key, copied; NULL: in clear
 *
 * Returns 0; -EEXIST; -ENOMEM; errors of the system.
 */
int manifest_create(struct manifest_writer **out, int dir_fd,
		    const uint8_t key[KEY_LEN], struct mb_err *err);

/*
 * manifest_add - a row
 * @id: the fileID, any bytes
 * @archive: the file column; empty: none
 *
 * Everything is copied. Rows can be in any order.
 *
 * Returns 0; -EEXIST if there is a row with this ID, the manifest is then as
 * before; -ENOMEM; errors of the system.
 */
int manifest_add(struct manifest_writer *w, struct mb_slice id,
		 struct mb_slice domain, struct mb_slice path,
		 enum mb_type type, struct view archive, struct mb_err *err);

/*
 * manifest_finish - the rest of it; the last call but manifest_writer_free
 *
 * Nothing is synced. Returns 0; -ENOMEM; errors of the system.
 */
int manifest_finish(struct manifest_writer *w, struct mb_err *err);

/* A manifest that was not finished stays: the caller removes it. */
void manifest_writer_free(struct manifest_writer *w);
MB_DEFINE_AUTO(struct manifest_writer, manifest_writer_free)

#endif
