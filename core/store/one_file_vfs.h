/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ONE_FILE_VFS_H
#define ONE_FILE_VFS_H

#include <sqlite3.h>

/*
 * A file system for SQLite in which there is one file, a database, which is
 * whatever its owner's functions make of it. Anything else (journals, temporary
 * files, other databases) cannot be opened: it would be plaintext on disk, or
 * lead out of the backup.
 */
struct one_file_vfs {
	sqlite3_vfs vfs;
	char name[48];
	sqlite3_io_methods methods;
	void *owner;
};

/* What the owner does; NULL: it is only read, or traits are none. */
struct one_file_methods {
	int (*read)(sqlite3_file *file, void *out, int len, sqlite3_int64 off);
	int (*write)(sqlite3_file *file, const void *ptr, int len,
		     sqlite3_int64 off);
	int (*truncate)(sqlite3_file *file, sqlite3_int64 size);
	int (*size)(sqlite3_file *file, sqlite3_int64 *size);
	int (*traits)(sqlite3_file *file);
};

/*
 * one_file_open - register it, and open the database
 * @v: stays where it is until one_file_close
 * @owner: what one_file_owner gives to the functions
 * @flags: SQLITE_OPEN_READONLY, or READWRITE and CREATE; the connection is for
 *         one thread at a time
 *
 * Whatever it returns, one_file_close follows. Returns a code of SQLite.
 */
int one_file_open(struct one_file_vfs *v,
		  const struct one_file_methods *methods, void *owner,
		  int flags, sqlite3 **db);
void *one_file_owner(sqlite3_file *file);

/* Closes the connection too, if there is one. */
void one_file_close(struct one_file_vfs *v, sqlite3 *db);

#endif
