/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_BACKUP_H
#define MB_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "record.h"

/*
 * A local backup of an iPhone or iPad: the folder of one device.
 *
 * The order of use: mb_backup_open, and what it says about itself is there;
 * if it is encrypted, mb_backup_unlock; then mb_backup_load, and its entries
 * can be read (tree.h, reader.h).
 */
struct mb_backup;

/* Strings are borrowed from the backup, NULL where it does not say. */
struct mb_backup_info {
	const char *source; /* the folder, absolute, links resolved */
	const char *udid;
	const char *device_name;
	const char *product_type;    /* "iPhone14,5" */
	const char *product_name;    /* "iPhone 13" */
	const char *product_version; /* of iOS */
	const char *build_version;
	const char *serial_number;
	int64_t date; /* of the backup, Unix seconds; 0 if unknown */
	bool encrypted;
	/* encrypted, and even the names need the password (iOS 10.2 on) */
	bool manifest_encrypted;
	enum { MB_FORMAT_DB, MB_FORMAT_MBDB } format;
	/* "finished", "uploading", "moving", "removing"; NULL if unknown */
	const char *snapshot_state;
	bool complete; /* not interrupted; unknown counts as complete */
	/* interrupted before it was ever complete: what had arrived is there */
	bool never_complete;
	/* encrypted, and no password helps: salvage.h */
	bool keys_lost;
};

/*
 * mb_backup_open - find out what a folder holds
 * @path: a folder with Manifest.plist, or with a Manifest.db or Manifest.mbdb
 *        alone (read as unencrypted); or one of these files
 *
 * Of a first backup that was interrupted once its manifest had arrived, what
 * is there.
 *
 * Returns 0; -ENOENT if it is no backup (the line names backups found inside
 * it); -ENOTSUP for iOS 3 and older; -EBADMSG if it is damaged; errors of the
 * system. Free it with mb_backup_free.
 */
int mb_backup_open(struct mb_backup **out, const char *path,
		   struct mb_err *err);
void mb_backup_free(struct mb_backup *backup);

/*
 * mb_backup_on_note - be told of what is odd but no error, a line each
 *
 * Lines are printable. @note can be called from any thread that uses the
 * backup. Without it notes are lost. Notes of mb_backup_open come at once.
 */
void mb_backup_on_note(struct mb_backup *backup,
		       void (*note)(void *arg, const char *line), void *arg);

/* Borrowed until the backup is freed. */
const struct mb_backup_info *mb_backup_get_info(const struct mb_backup *backup);

/* The folder itself, for device and inode comparison; borrowed. */
int mb_backup_get_fd(const struct mb_backup *backup);

/* A derived key: what the password becomes after all iterations. */
#define MB_DERIVED_KEY_LEN 32

/*
 * mb_backup_derive - password to derived key: seconds of computing
 * @password: UTF-8, as typed; not kept
 * @key: the caller's to wipe
 *
 * Does not tell whether the password is right: mb_backup_unlock does.
 */
int mb_backup_derive(struct mb_backup *backup, const char *password,
		     size_t password_len, uint8_t key[MB_DERIVED_KEY_LEN],
		     struct mb_err *err);

/*
 * mb_backup_unlock - class keys from the derived key
 *
 * Returns 0; -EKEYREJECTED if the key does not fit; -EBADMSG if it fits and
 * the key bag is damaged. An unencrypted backup needs no unlocking, and
 * unlocking it does nothing.
 */
int mb_backup_unlock(struct mb_backup *backup,
		     const uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

/* Identity of the key bag (16 bytes, borrowed), which a derived key fits. */
const uint8_t *mb_backup_get_keybag_id(const struct mb_backup *backup);

/*
 * mb_backup_get_derivation - all that a derived key depends on but the password
 *
 * Where it is equal for two backups, one key is what a password becomes for
 * both. All zeros of one that is not encrypted.
 */
#define MB_DERIVATION_LEN 48
void mb_backup_get_derivation(const struct mb_backup *backup,
			      uint8_t out[MB_DERIVATION_LEN]);

/*
 * mb_backup_load - open the manifest
 *
 * Reads its outline, not its records.
 *
 * Returns 0; -ENOKEY if it is encrypted and not unlocked; -EBADMSG.
 */
int mb_backup_load(struct mb_backup *backup, struct mb_err *err);

struct mb_totals {
	uint64_t records; /* entries of any type */
	uint64_t files;
	uint64_t bytes; /* sum of the recorded sizes */
};

/*
 * mb_backup_each_domain - count a loaded backup's entries, domain by domain
 * @each: may be NULL; a result other than 0 ends the walk
 * @sum: may be NULL
 *
 * Reads every record: about a second for a million.
 *
 * Returns 0, what @each returned, or an error.
 */
int mb_backup_each_domain(struct mb_backup *backup,
			  int (*each)(void *arg, struct mb_slice domain,
				      const struct mb_totals *totals),
			  void *arg, struct mb_totals *sum, struct mb_err *err);

/* MB_PLIST_*: the property lists beside the manifest, as they are stored */
enum mb_plist { MB_PLIST_INFO, MB_PLIST_MANIFEST, MB_PLIST_STATUS };

/*
 * mb_backup_open_plist - a descriptor to read one of them; -ENOENT
 * @len: its length in bytes
 */
int mb_backup_open_plist(struct mb_backup *backup, enum mb_plist which,
			 int64_t *len);

/*
 * mb_backup_list_apps - the apps that a device may install, from Info.plist
 * @keeps: which of them
 * @xml: a property list, what a device takes them from; the caller's to free;
 *       NULL if there are none
 *
 * Returns 0; -EBADMSG; errors of the system.
 */
int mb_backup_list_apps(struct mb_backup *backup,
			bool (*keeps)(void *arg, const char *bundle_id),
			void *arg, char **xml, size_t *len, size_t *count,
			struct mb_err *err);

#endif
