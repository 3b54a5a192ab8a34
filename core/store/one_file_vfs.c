/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "one_file_vfs.h"

#include <stdio.h>
#include <string.h>

#define PAGE_LEN 4096

struct one_file {
	sqlite3_file base;
	void *owner;
};

void *one_file_owner(sqlite3_file *file)
{
	return ((struct one_file *)file)->owner;
}

/* --- the file: what its owner leaves to us ------------------------------- */

static int file_close(sqlite3_file *file)
{
	(void)file;
	return SQLITE_OK;
}

static int file_write(sqlite3_file *file, const void *p, int len,
		      sqlite3_int64 off)
{
	(void)file, (void)p, (void)len, (void)off;
	return SQLITE_READONLY;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	(void)file, (void)size;
	return SQLITE_READONLY;
}

static int file_sync(sqlite3_file *file, int flags)
{
	(void)file, (void)flags;
	return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
	(void)file, (void)level;
	return SQLITE_OK;
}

static int file_check_lock(sqlite3_file *file, int *out)
{
	(void)file;
	*out = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
	(void)file;
	return PAGE_LEN;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return 0;
}

/* --- the file system ----------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
		    int flags, int *out_flags)
{
	struct one_file *f = (struct one_file *)file;
	struct one_file_vfs *v = vfs->pAppData;

	f->base.pMethods = NULL;
	if (!name || !(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	f->owner = v->owner;
	f->base.pMethods = &v->methods;
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs, (void)name, (void)sync_dir;
	return SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	(void)vfs, (void)name, (void)flags;
	*out = 0; /* no journal, no write-ahead log */
	return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int len, char *out)
{
	(void)vfs;
	sqlite3_snprintf(len, out, "%s", name);
	return SQLITE_OK;
}

/* For names of temporary files and the like, of which there are none. */
static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	memset(out, 0, (size_t)len);
	return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int usec)
{
	(void)vfs;
	return usec;
}

static int vfs_now(sqlite3_vfs *vfs, double *out)
{
	(void)vfs;
	*out = 0;
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs, (void)len, (void)out;
	return 0;
}

int one_file_open(struct one_file_vfs *v, const struct one_file_methods *own,
		  void *owner, int flags, sqlite3 **db)
{
	int rc;

	snprintf(v->name, sizeof(v->name), "larder-%p", (void *)v);
	v->owner = owner;
	/* version 1: no shared memory, so no write-ahead log can be opened */
	v->methods = (sqlite3_io_methods){
		.iVersion = 1,
		.xClose = file_close,
		.xRead = own->read,
		.xWrite = own->write ? own->write : file_write,
		.xTruncate = own->truncate ? own->truncate : file_truncate,
		.xSync = file_sync,
		.xFileSize = own->size,
		.xLock = file_lock,
		.xUnlock = file_lock,
		.xCheckReservedLock = file_check_lock,
		.xFileControl = file_control,
		.xSectorSize = file_sector,
		.xDeviceCharacteristics =
			own->traits ? own->traits : file_traits,
	};
	v->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct one_file),
		.mxPathname = 512,
		.zName = v->name,
		.pAppData = v,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_name,
		.xRandomness = vfs_randomness,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_now,
		.xGetLastError = vfs_last_error,
	};
	*db = NULL;
	rc = sqlite3_vfs_register(&v->vfs, 0);
	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2("Manifest.db", db,
				     flags | SQLITE_OPEN_NOMUTEX |
					     SQLITE_OPEN_PRIVATECACHE,
				     v->name);
	return rc;
}

void one_file_close(struct one_file_vfs *v, sqlite3 *db)
{
	sqlite3_close(db);
	sqlite3_vfs_unregister(&v->vfs);
}
