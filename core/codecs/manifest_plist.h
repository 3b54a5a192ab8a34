/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_PLIST_H
#define MANIFEST_PLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "mb/err.h"

/* Manifest.plist, written by the device: how the backup is stored
 * (PROPERTY LISTS). */
struct manifest_plist {
	bool encrypted;
	double version; /* of the format, 0 if absent; 10 and up: Manifest.db */
	struct buf keybag; /* as stored, empty if absent */
	struct buf key;	   /* ManifestKey as stored, empty if absent */
	int64_t date;	   /* Unix seconds, 0 if absent */
	/* from its Lockdown dictionary; owned, NULL where absent */
	char *device_name;
	char *product_type;
	char *product_version;
	char *build_version;
	char *serial_number;
	char *udid;
};

/* Returns 0; -ENOENT; -EBADMSG; errors of the system. */
int manifest_plist_read(struct manifest_plist *plist, int dir_fd,
			const char *path, struct mb_err *err);
void manifest_plist_release(struct manifest_plist *plist);
MB_DEFINE_AUTO_VALUE(struct manifest_plist, manifest_plist_release)

/* What becomes different in a Manifest.plist; everything else survives. */
struct manifest_plist_edit {
	int encrypted;	    /* IsEncrypted; -1: as it is */
	struct view keybag; /* BackupKeyBag; empty: as it is */
	struct view key;    /* ManifestKey; empty: none */
	bool manifest_db;   /* Version becomes "10.0" if it is lower */
	int64_t date;	    /* Unix seconds; 0: as it is */
	/* which Applications stay; NULL: all */
	bool (*keeps_app)(void *arg, const char *bundle_id);
	void *arg;
};

/*
 * manifest_plist_make - a Manifest.plist made from another
 * @out: gets it appended, binary
 * @path: the other one, below @dir_fd; NULL: from nothing, with the least
 *	that devices accept (PROPERTY LISTS)
 *
 * Returns 0; -ENOENT; -EBADMSG if the other cannot be read; -ENOMEM; errors of
 * the system.
 */
int manifest_plist_make(struct buf *out, int dir_fd, const char *path,
			const struct manifest_plist_edit *edit,
			struct mb_err *err);

#endif
