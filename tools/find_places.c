/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "beneath.h"
#include "find_inside.h"

void places_release(struct places *places)
{
	for (size_t i = 0; i < places->count; i++)
		free(places->items[i].path);
	free(places->items);
	*places = (struct places){ 0 };
}

int places_add(struct places *places, struct place place)
{
	struct place *items;

	for (size_t i = 0; i < places->count; i++)
		if (!strcmp(places->items[i].path, place.path))
			return 0;
	items = reallocarray(places->items, places->count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	places->items = items;
	place.path = strdup(place.path);
	if (!place.path)
		return -ENOMEM;
	items[places->count++] = place;
	return 0;
}

/* A folder below one that a variable names, or below the home. */
static int add_below(struct places *places, const char *folder,
		     const char *name, struct place place)
{
	int rc;

	if (!folder || *folder != '/')
		return 0;
	if (asprintf(&place.path, "%s%s%s", folder, *name ? "/" : "", name) < 0)
		return -ENOMEM;
	rc = places_add(places, place);
	free(place.path);
	return rc;
}

static int add_own(struct places *places)
{
	const char *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");
	const struct place keep = { .depth = 1 };
	int rc;

	if (data && *data == '/')
		rc = add_below(places, data, "larder", keep);
	else
		rc = add_below(places, home, ".local/share/larder", keep);
	/* what our own examples call it */
	if (rc == 0)
		rc = add_below(places, home, "Backup", keep);
	/* of a home that once was a Mac's, or is shared with one */
	if (rc == 0)
		rc = add_below(places, home, "",
			       (struct place){ .home = true });
	return rc;
}

/* Below these, people and desktops mount what they plug in. */
static bool is_below_media(const char *path)
{
	return path_is_inside(path, "/media") || path_is_inside(path, "/mnt") ||
	       path_is_inside(path, "/run/media") ||
	       path_is_inside(path, "/Volumes");
}

static bool is_in(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(*words, word))
			return true;
	return false;
}

/* That hold no backups, whatever they are mounted on. */
bool place_is_pseudo(const struct mount_line *line)
{
	static const char *const types[] = {
		"autofs",      "bdev",	   "binfmt_misc", "bpf",
		"cgroup",      "cgroup2",  "configfs",	  "debugfs",
		"devpts",      "devtmpfs", "efivarfs",	  "fuse.lxcfs",
		"fuse.portal", "fusectl",  "hugetlbfs",	  "mqueue",
		"nsfs",	       "proc",	   "pstore",	  "rpc_pipefs",
		"securityfs",  "squashfs", "sysfs",	  "tracefs",
		NULL,
	};

	return is_in(line->type, types) || mount_is_ours(line) ||
	       path_is_inside(line->path, "/proc") ||
	       path_is_inside(line->path, "/sys") ||
	       path_is_inside(line->path, "/dev");
}

bool place_is_disk(const struct mount_line *line)
{
	/* with a disk or a server behind them; fuse.* by their subtypes */
	static const char *const types[] = {
		"9p",	   "apfs",  "bcachefs", "btrfs",    "ceph",
		"cifs",	   "drvfs", "exfat",	"ext2",	    "ext3",
		"ext4",	   "f2fs",  "fuse",	"fuseblk",  "hfs",
		"hfsplus", "jfs",   "msdos",	"nfs",	    "nfs4",
		"ntfs",	   "ntfs3", "prl_fs",	"reiserfs", "smb3",
		"smbfs",   "ufs",   "vboxsf",	"vfat",	    "virtiofs",
		"vmhgfs",  "xfs",   "zfs",	NULL,
	};

	if (!strcmp(line->path, "/") || place_is_pseudo(line) ||
	    path_is_inside(line->path, "/boot"))
		return false;
	return is_below_media(line->path) || is_in(line->type, types) ||
	       !strncmp(line->type, "fuse.", 5);
}

int places_add_usual(struct places *places, const struct mount_table *table)
{
	int rc = add_own(places);

	for (size_t i = 0; rc == 0 && i < table->count; i++)
		if (place_is_disk(&table->lines[i]))
			rc = places_add(
				places,
				(struct place){ .path = table->lines[i].path,
						.depth = PLACE_DISK_DEPTH });
	return rc;
}
