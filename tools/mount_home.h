/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MOUNT_HOME_H
#define MOUNT_HOME_H

#include "mb/err.h"
#include "mount_table.h"

/*
 * Where mountpoints are out of the way; or where a desktop shows what is mounted
 * there, beside its disks: it does so for what lies in the user's home.
 */
enum mount_place {
	MOUNT_HIDDEN,
	MOUNT_SHOWN,
};

/*
 * A folder in which larder makes mountpoints for this user:
 * $XDG_RUNTIME_DIR/larder, or what comes closest to it; and ~/Mounted backups.
 *
 * A mount can end in many ways, most without us. So nothing is written down
 * about a mountpoint: an empty folder in there on which nothing is mounted is
 * stale, and the next larder removes it. While one is about to be mounted on,
 * its maker has it locked.
 */
struct mount_home {
	char *path; /* links resolved */
	int fd;
	enum mount_place place;
};

/*
 * mount_home_open
 * @make: if it is not there
 *
 * Returns 0; -ENOENT; -EPERM if it is somebody else's; errors of the system.
 */
int mount_home_open(struct mount_home *home, enum mount_place place, bool make,
		    struct mb_err *err);
/* Also of one that is {0}. */
void mount_home_release(struct mount_home *home);
MB_DEFINE_AUTO_VALUE(struct mount_home, mount_home_release)

/*
 * mount_home_take - a folder to mount on, of mode 0700
 * @name: of a device, any text
 * @path: of the folder, for the caller to free
 *
 * Returns a descriptor, which keeps it from being removed while it is open;
 * -EBUSY if there are too many of this name; errors of the system.
 */
int mount_home_take(const struct mount_home *home, const char *name,
		    char **path, struct mb_err *err);

/* mount_home_give_back - a folder that was taken and not mounted on */
void mount_home_give_back(const struct mount_home *home, const char *path);

/* Remove what is stale; whatever cannot be removed stays. */
void mount_home_sweep(const struct mount_home *home);

/* The same in each place, if there is such a folder at all. */
void mount_home_sweep_any(void);

#endif
