/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OWN_MOUNTS_H
#define OWN_MOUNTS_H

#include "find.h"
#include "mount_table.h"

/* A backup that is mounted. */
struct own_mount {
	char *mountpoint;
	char *backup; /* its folder */
	/* borrowed from the list; NULL if it cannot be read just now */
	const struct found *about;
};

struct own_mounts {
	struct own_mount *items;
	size_t count;
	struct found_list found;
};

/*
 * own_mounts_read - the mounts of this user
 * @everybodys: those of all users
 *
 * The mounts themselves are not touched.
 *
 * Returns 0; errors of the system.
 */
int own_mounts_read(struct own_mounts *list, bool everybodys,
		    struct mb_err *err);

/* own_mounts_describe - look at the backups, for names and dates */
int own_mounts_describe(struct own_mounts *list, struct mb_err *err);

void own_mounts_release(struct own_mounts *list);
MB_DEFINE_AUTO_VALUE(struct own_mounts, own_mounts_release)

#endif
