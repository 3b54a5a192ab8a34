/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "own_files.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum mb_plist plist;
} files[] = {
	{ "Info.plist", MB_PLIST_INFO },
	{ "Manifest.plist", MB_PLIST_MANIFEST },
	{ "Status.plist", MB_PLIST_STATUS },
};

#define COUNT (sizeof(files) / sizeof(*files))

const char *own_name(unsigned at)
{
	return at < COUNT ? files[at].name : NULL;
}

uint64_t own_ino(uint32_t volume, unsigned at)
{
	return own_dir_ino(volume) + 1 + at;
}

int own_open(struct mb_backup *backup, uint64_t ino)
{
	uint32_t at = (uint32_t)ino - 1;
	int64_t len;

	return at < COUNT ?
		       mb_backup_open_plist(backup, files[at].plist, &len) :
		       -ENOENT;
}

uint64_t own_lookup(struct mb_backup *backup, uint32_t volume, const char *name)
{
	for (unsigned at = 0; at < COUNT; at++) {
		int fd;

		if (strcmp(name, files[at].name))
			continue;
		fd = own_open(backup, own_ino(volume, at));
		if (fd < 0)
			return 0;
		close(fd);
		return own_ino(volume, at);
	}
	return 0;
}

int own_stat(struct mb_backup *backup, uint64_t ino, struct stat *st)
{
	struct stat stored;
	int fd, rc;

	*st = (struct stat){ .st_ino = ino, .st_nlink = 1 };
	if (own_is_dir(ino)) {
		st->st_mode = S_IFDIR | 0555;
		st->st_mtim.tv_sec = mb_backup_get_info(backup)->date;
		st->st_ctim = st->st_atim = st->st_mtim;
		return 0;
	}
	fd = own_open(backup, ino);
	if (fd < 0)
		return fd;
	rc = fstat(fd, &stored) < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	st->st_mode = S_IFREG | 0444;
	st->st_size = stored.st_size;
	st->st_blocks = (stored.st_size + 511) / 512;
	st->st_mtim = stored.st_mtim;
	st->st_ctim = st->st_atim = st->st_mtim;
	return 0;
}
