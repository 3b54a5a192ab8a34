/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPENED_H
#define OPENED_H

#include "keyring.h"
#include "manifest.h"
#include "manifest_plist.h"
#include "mb/backup.h"
#include "mb/salvage.h"
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
	bool salvage;	 /* go on with what there is */
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

	/*
	 * Opened to be checked: what would be an error stands here instead,
	 * with a code other than 0. Without a manifest, manifest_fd is -1; with
	 * a Manifest.plist that cannot be read, nothing tells what is
	 * encrypted.
	 */
	bool tolerant;
	struct mb_err bad_plist, bad_keybag, bad_manifest;

	void (*note)(void *arg, const char *line);
	void *note_arg;
	/* what was odd before there was a listener: a line for each list */
	struct mb_err early_notes[8];
	unsigned early_count;

	/* of one that is being salvaged */
	struct mb_salvage found;
	char **flaws;
};

/* How a backup is opened, if it is another way than mb_backup_open's. */
struct backup_opening {
	bool salvage; /* with what there is: salvage.h */
	bool check;   /* what is wrong is remembered: check.h */
	/* the folder whose Manifest.plist is taken, borrowed until the backup
	 * is freed; -1: the one that counts */
	int list_fd;
};

/* backup_open - as mb_backup_open */
int backup_open(struct mb_backup **out, const char *path,
		const struct backup_opening *how, struct mb_err *err);

/* Pass a line on; nothing that ends up in it needs to be printable. */
void backup_note(struct mb_backup *backup, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * backup_unwrap_file_key - the key of a record's payload
 *
 * Returns 0; -ENOKEY if the key bag lacks the class; -EBADMSG if the key is
 * damaged.
 */
int backup_unwrap_file_key(const struct mb_backup *backup,
			   const struct mb_record *rec, uint8_t key[KEY_LEN],
			   struct mb_err *err);

/* The same of a damage; kept if the backup is being salvaged. */
void backup_flaw(struct mb_backup *backup, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * backup_open_manifest - the manifest as a payload
 * @encrypted: its key is used
 *
 * Returns 0; -ENOKEY if it is locked; -EBADMSG; errors of the system.
 */
int backup_open_manifest(struct mb_backup *backup, bool encrypted,
			 struct payload **out, struct mb_err *err);

/* backup_open_whole_manifest - the same of one that is not cut off */
int backup_open_whole_manifest(struct mb_backup *backup, struct payload **out,
			       struct mb_err *err);

/* "Manifest.db" or "Manifest.mbdb" */
const char *backup_manifest_name(const struct mb_backup *backup);

/* ---- backup_salvage.c ---- */

void backup_keep_flaw(struct mb_backup *backup, const char *line);

/* backup_has_remains - are there payloads, though no manifest? */
bool backup_has_remains(const struct mb_backup *backup);

/*
 * backup_judge_encryption - without a Manifest.plist only the payloads tell
 *
 * Returns 0; -ENOMEM; errors of the system.
 */
int backup_judge_encryption(struct mb_backup *backup, struct mb_err *err);

/* backup_find_records - what of a manifest there is, and lost+found */
int backup_find_records(struct mb_backup *backup, struct mb_err *err);

void backup_forget_salvage(struct mb_backup *backup);

#endif
