/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPENED_H
#define OPENED_H

#include "keyring.h"
#include "manifest.h"
#include "manifest_plist.h"
#include "mb/backup.h"
#include "payload.h"

/* An opened backup as the modules of the model see it; callers do not. */

struct backup_domain {
	char *name;
	size_t name_len;
	int64_t root; /* handle, or MANIFEST_NO_RECORD */
};

struct mb_backup {
	int dir_fd;
	int snapshot_fd; /* Snapshot/, only while its content counts; or -1 */
	struct mb_backup_info info;
	struct payload_places places;
	/* the folders that hold the manifest, and Manifest.plist: -1 if there
	 * is none; borrowed */
	int manifest_fd, plist_fd;
	uint8_t manifest_key[STORED_KEY_LEN];
	struct keybag keybag;
	struct keyring keyring;
	bool unlocked;

	/* from mb_backup_load on */
	struct manifest *manifest;
	struct backup_domain *domains;
	size_t domain_count;

	void (*note)(void *arg, const char *line);
	void *note_arg;
	/* what was odd before there was a listener: a line for each list */
	struct mb_err early_notes[3];
	unsigned early_count;
};

/*
 * backup_open_with - mb_backup_open with a Manifest.plist of another folder
 * @list_fd: that folder, borrowed until the backup is freed; -1: as always
 */
int backup_open_with(struct mb_backup **out, const char *path, int list_fd,
		     struct mb_err *err);

/* Pass a line on; nothing that ends up in it needs to be printable. */
void backup_note(struct mb_backup *backup, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
