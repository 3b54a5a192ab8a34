/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "doctor.h"

/*
 * What a backup needs at least: the device insists on 128 MiB beyond what it
 * sends, and even an empty phone sends hundreds of MB in thousands of files.
 */
#define SPACE_MIN (1000u * 1000 * 1000)
#define INODES_MIN 20000

static void look_at_space(struct doctor *d, const struct statvfs *fs)
{
	uint64_t space = (uint64_t)fs->f_bavail * fs->f_frsize;
	char text[32];

	format_bytes(text, sizeof(text), space);
	doctor_found(d, "space", space < SPACE_MIN ? FAILED : FINE,
		     space < SPACE_MIN ?
			     _("free space, or choose another folder") :
			     NULL,
		     "%s free", text);
	/* file systems that make inodes as they go say 0 of 0 */
	if (!fs->f_files)
		doctor_found(d, "inodes", FINE, NULL, "not limited");
	else if (fs->f_favail < INODES_MIN)
		doctor_found(d, "inodes", FAILED,
			     _("remove files, or choose another folder"),
			     "room for only %" PRIu64 " files",
			     (uint64_t)fs->f_favail);
	else
		doctor_found(d, "inodes", FINE, NULL,
			     "room for %" PRIu64 " files",
			     (uint64_t)fs->f_favail);
}

/* As f_type says it; "" for others. */
static const char *file_system(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return "";
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC:
		return "ext4: ";
	case BTRFS_SUPER_MAGIC:
		return "btrfs: ";
	case XFS_SUPER_MAGIC:
		return "xfs: ";
	case TMPFS_MAGIC:
		return "tmpfs: ";
	case NFS_SUPER_MAGIC:
		return "NFS: ";
	case MSDOS_SUPER_MAGIC:
		return "FAT: ";
	case EXFAT_SUPER_MAGIC:
		return "exFAT: ";
	case FUSE_SUPER_MAGIC:
		return "FUSE: ";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlay: ";
	default:
		return "";
	}
}

/* --- what the file system can do: tried, in a folder of our own -------- */

static int make_file(int dir, const char *name)
{
	return openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static bool can_reflink(int dir)
{
	mb_auto(close) int from = make_file(dir, "a");
	mb_auto(close) int to = make_file(dir, "b");

	return from >= 0 && to >= 0 && write(from, "larder", 6) == 6 &&
	       ioctl(to, FICLONE, from) == 0;
}

static bool can_link(int dir)
{
	return linkat(dir, "a", dir, "c", 0) == 0;
}

static bool can_exchange(int dir)
{
	return mkdirat(dir, "d", 0700) == 0 && mkdirat(dir, "e", 0700) == 0 &&
	       renameat2(dir, "d", dir, "e", RENAME_EXCHANGE) == 0;
}

static void clear(int dir)
{
	unlinkat(dir, "a", 0);
	unlinkat(dir, "b", 0);
	unlinkat(dir, "c", 0);
	unlinkat(dir, "d", AT_REMOVEDIR);
	unlinkat(dir, "e", AT_REMOVEDIR);
}

static void look_at_abilities(struct doctor *d, int dir)
{
	const char *kind = file_system(dir);
	bool reflink = can_reflink(dir), hard = can_link(dir);

	doctor_found(d, "reflinks", reflink ? FINE : NOTE, NULL, "%s%s", kind,
		     reflink ? _("shares data between versions of a backup") :
			       _("none; hard links take their place"));
	if (hard)
		doctor_found(d, "hard-links", FINE, NULL, "%sworks", kind);
	else
		doctor_found(
			d, "hard-links", reflink ? NOTE : FAILED,
			reflink ? NULL :
				  _("choose a folder on ext4, btrfs or xfs"),
			"%snone%s", kind,
			reflink ?
				"" :
				_(": a backup cannot be kept safe while the next is made"));
	if (can_exchange(dir))
		doctor_found(d, "exchange", FINE, NULL,
			     "%sa backup replaces the last one in one step",
			     kind);
	else
		doctor_found(d, "exchange", NOTE, NULL,
			     "%sa backup replaces the last one in two steps",
			     kind);
}

static void try_out(struct doctor *d, const char *dir)
{
	mb_auto(close) int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/.larder-doctor-XXXXXX", dir) >=
		    (int)sizeof(path) ||
	    !mkdtemp(path)) {
		doctor_found(d, "folder", FAILED,
			     _("choose a folder that you may write to"),
			     "%s: %s", dir, strerror(errno));
		return;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		doctor_found(d, "folder", FINE, NULL, "%s can be written to",
			     dir);
		look_at_abilities(d, fd);
		clear(fd);
	}
	if (rmdir(path) < 0)
		doctor_found(d, "folder", FAILED, NULL, "%s: %s", path,
			     strerror(errno));
}

void doctor_look_at_folder(struct doctor *d, const char *dir)
{
	struct statvfs fs;
	char mend[PATH_MAX + 16];

	if (statvfs(dir, &fs) < 0) {
		snprintf(mend, sizeof(mend), "mkdir -p %s", dir);
		doctor_found(d, "folder", FAILED, errno == ENOENT ? mend : NULL,
			     "%s: %s", dir, strerror(errno));
		return;
	}
	try_out(d, dir);
	look_at_space(d, &fs);
}
