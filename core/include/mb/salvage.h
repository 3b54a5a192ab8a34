/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_SALVAGE_H
#define MB_SALVAGE_H

#include "backup.h"

/*
 * What can be had of a backup that mb_backup_open or mb_backup_load refuses,
 * since its lists are damaged or missing. The rest is as ever: unlock, load,
 * tree, reader.
 *
 * Payloads that no record names are in a domain of their own, MB_LOST_DOMAIN:
 * by what they hold, or below MB_LOST_ENCRYPTED if they are encrypted, since
 * their keys were in the records.
 */
#define MB_LOST_DOMAIN "lost+found"
#define MB_LOST_ENCRYPTED "encrypted"

/*
 * mb_backup_open_salvage - as mb_backup_open, with what there is
 *
 * A folder without a manifest will do if it holds payloads. What is damaged is
 * told as a note, and kept for mb_backup_get_salvage. A backup that is sound
 * shows what it always shows.
 */
int mb_backup_open_salvage(struct mb_backup **out, const char *path,
			   struct mb_err *err);

enum mb_records {
	MB_RECORDS_WHOLE,     /* the manifest can be read as it is */
	MB_RECORDS_RECOVERED, /* found piece by piece */
	MB_RECORDS_NONE,
};

/* Whole only once the backup has been loaded. */
struct mb_salvage {
	enum mb_records records;
	uint64_t recovered;	 /* records; of MB_RECORDS_RECOVERED also: */
	uint64_t from_free;	 /* of these, from pages that were free */
	uint64_t broken;	 /* met, but not to be put together */
	uint64_t pages;		 /* of Manifest.db; 0 of Manifest.mbdb */
	uint64_t pages_recorded; /* that it had; 0: unknown */
	uint64_t pages_damaged;	 /* that should hold records */
	uint64_t bytes_skipped;	 /* of Manifest.mbdb */

	uint64_t lost; /* payloads that no record names */

	/* what is damaged, a printable line each */
	const char *const *flaws;
	size_t flaw_count;
};

/* Borrowed until the backup is freed; NULL if it is not being salvaged. */
const struct mb_salvage *mb_backup_get_salvage(const struct mb_backup *backup);

#endif
