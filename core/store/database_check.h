/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DATABASE_CHECK_H
#define DATABASE_CHECK_H

#include "mb/err.h"
#include "wal.h"

/*
 * An SQLite database that is a file of the backup, as SQLite judges it. It is
 * read through functions: no plaintext on disk, none whole in memory, and
 * SQLite opens no file by itself.
 */
#define DATABASE_HEAD_LEN 100

enum database_kind {
	DATABASE_NONE,
	DATABASE_SQLITE,
	/* all that an SQLite database has at its front, but for the first
	 * sixteen bytes: one block of the cipher */
	DATABASE_SPOILT,
};

/*
 * database_kind - what a file is, by its first bytes
 * @head: DATABASE_HEAD_LEN bytes; fewer are none
 * @size: of the file
 */
enum database_kind database_kind(const uint8_t *head, size_t head_len,
				 int64_t size);

/*
 * database_check - PRAGMA quick_check
 * @main: the database
 * @wal: its write-ahead log, or NULL; one without a whole transaction counts
 *	 as none
 * @err: what is wrong with it; or why that cannot be told
 *
 * Returns 0; -EBADMSG if it is damaged; -ENOTSUP if SQLite, as it is here,
 * cannot judge it; -ECANCELED; -ENOMEM; -EIO if it could not be read.
 */
int database_check(const struct wal_source *main, const struct wal_source *wal,
		   struct mb_err *err);

/* Is a rollback journal to be applied to its database? By its first bytes. */
#define JOURNAL_HEAD_LEN 8
bool database_journal_is_hot(const uint8_t *head, size_t len);

#endif
