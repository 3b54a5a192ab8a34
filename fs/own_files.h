/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OWN_FILES_H
#define OWN_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "mb/backup.h"

/*
 * What no listing of the root shows. <mount>/.larder/: the property lists beside
 * the manifest, as they are stored. And <mount>/.xdg-volume-info, where desktops
 * look for the name and the icon of what is mounted. Their inode numbers have a
 * bit above those of all volumes (volume.h); node 0 is the folder.
 */

#define OWN_DIR_NAME ".larder"
#define OWN_INFO_NAME ".xdg-volume-info"
#define OWN_BIT (UINT64_C(1) << 60)
#define OWN_INFO_NODE 100

static inline bool own_is(uint64_t ino)
{
	return ino & OWN_BIT;
}

static inline bool own_is_dir(uint64_t ino)
{
	return own_is(ino) && !(uint32_t)ino;
}

static inline uint64_t own_dir_ino(uint32_t volume)
{
	return OWN_BIT | (uint64_t)volume << 32;
}

static inline bool own_is_info(uint64_t ino)
{
	return own_is(ino) && (uint32_t)ino == OWN_INFO_NODE;
}

static inline uint64_t own_info_ino(uint32_t volume)
{
	return own_dir_ino(volume) | OWN_INFO_NODE;
}

/* own_lookup - inode number of a file in the folder, 0 if there is none */
uint64_t own_lookup(struct mb_backup *backup, uint32_t volume,
		    const char *name);

/* The name of the file with number @at, from 0; NULL at the end. */
const char *own_name(unsigned at);
uint64_t own_ino(uint32_t volume, unsigned at);

/* own_stat - everything but owner and permissions; 0 or -ENOENT */
int own_stat(struct mb_backup *backup, uint64_t ino, struct stat *st);

/* own_open - a descriptor, or a negative errno */
int own_open(struct mb_backup *backup, uint64_t ino);

#endif
