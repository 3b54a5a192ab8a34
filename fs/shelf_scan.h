/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_SCAN_H
#define SHELF_SCAN_H

#include "cleanup.h"
#include "mb/backup.h"
#include "shelf_names.h"

/* What is in a folder of backups, without opening more than their lists. */

/*
 * The identity of a backup: as long as it is equal, its content is too. Its
 * name in the folder is not part of it: larder keeps a version by renaming it.
 */
struct shelf_stamp {
	uint64_t dev, ino; /* of its folder */
	struct {
		uint64_t ino;
		int64_t size, mtime_s, mtime_ns;
	} files[5]; /* manifests and property lists */
};

struct shelf_volume;

struct shelf_item {
	struct shelf_name name; /* first; its texts are ours */
	struct shelf_stamp stamp;
	bool encrypted;
	struct shelf_volume *volume; /* of shelf.c */
};

struct shelf_list {
	struct shelf_item **items; /* as shelf_names_make sorts them */
	size_t count;
	struct shelf_device *devices;
	size_t device_count;
};

void shelf_list_release(struct shelf_list *list);
MB_DEFINE_AUTO_VALUE(struct shelf_list, shelf_list_release)

/*
 * shelf_scan - list and name the backups of a folder
 * @path: of the folder
 * @salvage: what is damaged too, as far as it goes
 * @before: an earlier list, or NULL: what is the same is not read again
 *
 * A backup that cannot be read is listed with what is known of it.
 *
 * Returns 0; errors of the system, @list then being empty.
 */
int shelf_scan(struct shelf_list *list, int dir_fd, const char *path,
	       bool salvage, const struct shelf_list *before,
	       struct mb_err *err);

/* shelf_stamp - of an open folder */
void shelf_stamp(struct shelf_stamp *stamp, int dir_fd);
bool shelf_stamp_equal(const struct shelf_stamp *a,
		       const struct shelf_stamp *b);

/*
 * shelf_open_backup - open one that was listed, and no other
 * @stamp: what it has to be
 *
 * Returns 0; -ESTALE if it has changed; as mb_backup_open.
 */
int shelf_open_backup(struct mb_backup **out, int dir_fd, const char *path,
		      const char *folder, bool salvage,
		      const struct shelf_stamp *stamp, struct mb_err *err);

#endif
