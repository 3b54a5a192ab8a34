/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER_LEN 100		/* of an SQLite database */
#define MAGIC "SQLite format 3" /* with its NUL */

struct manifest_vfs {
	sqlite3_vfs vfs;
	char name[40];
	sqlite3 *db;
	struct payload *payload;
	int64_t size;
};

struct vfs_file {
	sqlite3_file base;
	struct manifest_vfs *owner;
};

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 off)
{
	struct manifest_vfs *v = ((struct vfs_file *)file)->owner;
	int want = len;
	ssize_t n = 0;

	if (off >= v->size)
		want = 0;
	else if (want > v->size - off)
		want = (int)(v->size - off);
	if (want)
		n = payload_pread(v->payload, out, (size_t)want, off);
	if (n < 0)
		return SQLITE_IOERR_READ;
	if (n == len)
		return SQLITE_OK;
	memset((char *)out + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = ((struct vfs_file *)file)->owner->size;
	return SQLITE_OK;
}

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
	return 4096;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_IMMUTABLE;
}

/* Version 1: no shared memory, so a write-ahead log cannot be opened. */
static const sqlite3_io_methods file_methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
		    int flags, int *out_flags)
{
	struct vfs_file *f = (struct vfs_file *)file;

	f->base.pMethods = NULL;
	/* temporary files and journals would be plaintext on disk */
	if (!name || !(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	f->owner = vfs->pAppData;
	f->base.pMethods = &file_methods;
	if (out_flags)
		*out_flags = SQLITE_OPEN_READONLY;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs, (void)name, (void)sync_dir;
	return SQLITE_READONLY;
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

static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	memset(out, 0, (size_t)len); /* only writers need more */
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

/*
 * Devices append a block of padding to the encrypted database, some writers
 * do not, and SQLite wants whole pages (iphone-backup(5), MANIFEST
 * ENCRYPTION). What is behind the last whole page is never database.
 */
static int64_t database_size(const uint8_t header[HEADER_LEN], int64_t len)
{
	int64_t page = header[16] << 8 | header[17];

	if (page == 1)
		page = 65536;
	if (page < 512 || (page & (page - 1)))
		return -EBADMSG;
	return len - len % page;
}

static int check_header(struct manifest_vfs *v, struct mb_err *err)
{
	uint8_t header[HEADER_LEN];
	ssize_t n = payload_pread(v->payload, header, sizeof(header), 0);

	if (n < 0)
		return mb_err_set(err, (int)n, "cannot read it: %s",
				  strerror((int)-n));
	if (n < HEADER_LEN || memcmp(header, MAGIC, sizeof(MAGIC)))
		return mb_err_set(err, -EBADMSG, "not an SQLite database");
	v->size = database_size(header, payload_stored_len(v->payload));
	if (v->size <= 0)
		return mb_err_set(err, -EBADMSG,
				  "SQLite database with a damaged header");
	return 0;
}

/*
 * What a crafted file could do to us: make SQLite call functions from its
 * schema, allocate by its own figures, or write temporary files.
 */
static int harden(sqlite3 *db)
{
	static const char pragmas[] = "PRAGMA trusted_schema=OFF;"
				      "PRAGMA cell_size_check=ON;"
				      "PRAGMA temp_store=MEMORY;"
				      "PRAGMA mmap_size=0;";

	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 16 << 20);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return sqlite3_exec(db, pragmas, NULL, NULL, NULL);
}

int manifest_vfs_open(struct manifest_vfs **out, sqlite3 **db,
		      struct payload *p, struct mb_err *err)
{
	struct manifest_vfs *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return mb_err_set(err, -ENOMEM, "out of memory");
	v->payload = p;
	rc = check_header(v, err);
	if (rc < 0) {
		free(v);
		return rc;
	}
	snprintf(v->name, sizeof(v->name), "larder-%p", (void *)v);
	v->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct vfs_file),
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
	rc = sqlite3_vfs_register(&v->vfs, 0);
	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2("Manifest.db", &v->db,
				     SQLITE_OPEN_READONLY |
					     SQLITE_OPEN_NOMUTEX |
					     SQLITE_OPEN_PRIVATECACHE,
				     v->name);
	if (rc == SQLITE_OK)
		rc = harden(v->db);
	if (rc != SQLITE_OK) {
		mb_err_set(err, rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG,
			   "cannot open it: %s", sqlite3_errstr(rc));
		manifest_vfs_close(v);
		return rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	}
	*db = v->db;
	*out = v;
	return 0;
}

void manifest_vfs_close(struct manifest_vfs *v)
{
	if (!v)
		return;
	sqlite3_close(v->db);
	sqlite3_vfs_unregister(&v->vfs);
	free(v);
}
