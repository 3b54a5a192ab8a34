/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "own_files.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "cleanup.h"

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

/* --- .xdg-volume-info ---------------------------------------------------- */

static const char *icon_of(const char *product_type)
{
	if (product_type && !strncmp(product_type, "iPad", 4))
		return "computer-apple-ipad";
	if (product_type && !strncmp(product_type, "iPod", 4))
		return "multimedia-player";
	return "phone";
}

/* A value of a key file: one line of UTF-8, in which backslashes escape. */
static int add_value(struct buf *out, const char *text)
{
	size_t len = utf8_valid_prefix(text, strlen(text));
	int rc = 0;

	for (size_t i = 0; i < len && rc == 0; i++) {
		if (text[i] == '\\')
			rc = buf_add(out, "\\\\", 2);
		else if (text[i] == ' ' && i == 0)
			rc = buf_add(out, "\\s", 2);
		else if (text[i] == '\n')
			rc = buf_add(out, "\\n", 2);
		else
			rc = buf_add(out, &text[i], 1);
	}
	return rc;
}

static int make_volume_info(const struct mb_backup_info *info, struct buf *out)
{
	static const char head[] = "[Volume Info]\nName=", icon[] = "\nIcon=";
	const char *name = info->device_name;
	int rc = buf_add(out, head, sizeof(head) - 1);

	if (rc == 0)
		rc = add_value(out, name && *name ? name : "Backup");
	if (rc == 0)
		rc = buf_add(out, icon, sizeof(icon) - 1);
	if (rc == 0)
		rc = add_value(out, icon_of(info->product_type));
	return rc == 0 ? buf_add(out, "\n", 1) : rc;
}

static int open_volume_info(struct mb_backup *backup)
{
	const struct timespec times[2] = {
		{ .tv_sec = mb_backup_get_info(backup)->date },
		{ .tv_sec = mb_backup_get_info(backup)->date },
	};
	mb_auto(buf_release) struct buf text = { 0 };
	mb_auto(close) int fd = memfd_create("volume-info", MFD_CLOEXEC);
	int rc = make_volume_info(mb_backup_get_info(backup), &text);

	if (fd < 0)
		return -errno;
	if (rc == 0)
		rc = write_full(fd, text.ptr, text.len);
	if (rc == 0 && futimens(fd, times) < 0)
		rc = -errno;
	return rc < 0 ? rc : mb_steal_fd(&fd);
}

/* --- any ----------------------------------------------------------------- */

int own_open(struct mb_backup *backup, uint64_t ino)
{
	uint32_t at = (uint32_t)ino - 1;
	int64_t len;

	if (own_is_info(ino))
		return open_volume_info(backup);
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
