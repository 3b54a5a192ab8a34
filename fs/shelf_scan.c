/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mb/folder.h"
#include "mb/salvage.h"

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)

static void item_free(struct shelf_item *item)
{
	free((char *)item->name.folder);
	free((char *)item->name.udid);
	free((char *)item->name.device_name);
	free(item);
}

void shelf_list_release(struct shelf_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		item_free(list->items[i]);
	free(list->items);
	free(list->devices);
	*list = (struct shelf_list){ 0 };
}

void shelf_stamp(struct shelf_stamp *stamp, int dir_fd)
{
	static const char *const names[] = { "Manifest.db", "Manifest.mbdb",
					     "Manifest.plist", "Info.plist",
					     "Status.plist" };
	struct stat st;

	memset(stamp, 0, sizeof(*stamp));
	if (fstat(dir_fd, &st) == 0) {
		stamp->dev = st.st_dev;
		stamp->ino = st.st_ino;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (fstatat(dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		stamp->files[i].ino = st.st_ino;
		stamp->files[i].size = st.st_size;
		stamp->files[i].mtime_s = st.st_mtim.tv_sec;
		stamp->files[i].mtime_ns = st.st_mtim.tv_nsec;
	}
}

bool shelf_stamp_equal(const struct shelf_stamp *a, const struct shelf_stamp *b)
{
	return !memcmp(a, b, sizeof(*a));
}

int shelf_open_backup(struct mb_backup **out, int dir_fd, const char *path,
		      const char *folder, bool salvage,
		      const struct shelf_stamp *stamp, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	mb_auto(free) char *whole = NULL;
	struct shelf_stamp now;
	int rc;

	if (asprintf(&whole, "%s/%s", strcmp(path, "/") ? path : "", folder) <
	    0) {
		whole = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	rc = salvage ? mb_backup_open_salvage(&b, whole, err) :
		       mb_backup_open(&b, whole, err);
	if (rc < 0) {
		mb_auto(close) int fd = openat(
			dir_fd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

		shelf_stamp(&now, fd);
	} else {
		/* also if a link has come in its place: by what it is */
		shelf_stamp(&now, mb_backup_get_fd(b));
	}
	if (!shelf_stamp_equal(&now, stamp))
		return mb_err_set(err, -ESTALE, "%s: has changed", whole);
	if (rc == 0)
		*out = mb_steal(&b);
	return rc;
}

/* --- the walk ------------------------------------------------------------ */

struct scan {
	struct shelf_list *list;
	const struct shelf_list *before;
	const char *path;
	int dir_fd;
	bool salvage;
};

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static struct shelf_item *known(const struct scan *s,
				const struct shelf_stamp *stamp)
{
	for (size_t i = 0; s->before && i < s->before->count; i++)
		if (shelf_stamp_equal(&s->before->items[i]->stamp, stamp))
			return s->before->items[i];
	return NULL;
}

/* What it says about itself; of one that is damaged, what its folder says. */
static void describe(const struct scan *s, struct shelf_item *item, int fd)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	struct shelf_name *name = &item->name;
	const struct mb_backup_info *info;
	size_t len = mb_folder_udid_len(name->folder);
	struct stat st;
	int rc = -EACCES;

	if (fd >= 0)
		rc = shelf_open_backup(&b, s->dir_fd, s->path, name->folder,
				       s->salvage, &item->stamp, NULL);
	if (rc == 0) {
		info = mb_backup_get_info(b);
		name->udid = copy(info->udid);
		name->device_name = copy(info->device_name);
		name->date = info->date;
		name->complete = info->complete;
		item->encrypted = info->encrypted && !info->keys_lost;
	} else if (fstatat(s->dir_fd, name->folder, &st, AT_SYMLINK_NOFOLLOW) ==
		   0) {
		name->date = st.st_mtim.tv_sec;
	}
	if (!name->udid && len)
		name->udid = strndup(name->folder, len);
	if (rc == -ESTALE) /* to be looked at again */
		memset(&item->stamp, 0xff, sizeof(item->stamp));
}

static int add(void *arg, const char *folder, int fd)
{
	struct scan *s = arg;
	struct shelf_list *list = s->list;
	struct shelf_item **items =
		reallocarray(list->items, list->count + 1, sizeof(*items));
	struct shelf_item *item = calloc(1, sizeof(*item)), *old = NULL;
	mb_auto(close) int path_fd = -1;

	if (items)
		list->items = items;
	if (!items || !item) {
		free(item);
		return -ENOMEM;
	}
	items[list->count++] = item;
	if (fd < 0)
		path_fd = openat(s->dir_fd, folder,
				 O_PATH | O_NOFOLLOW | O_CLOEXEC);
	shelf_stamp(&item->stamp, fd < 0 ? path_fd : fd);
	old = known(s, &item->stamp);
	if (old) {
		item->name = old->name;
		item->encrypted = old->encrypted;
		item->name.udid = copy(old->name.udid);
		item->name.device_name = copy(old->name.device_name);
	}
	item->name.folder = strdup(folder);
	if (!item->name.folder)
		return -ENOMEM;
	if (!old)
		describe(s, item, fd);
	return 0;
}

static int name_all(struct shelf_list *list)
{
	struct shelf_name **names = calloc(list->count + 1, sizeof(*names));
	ssize_t n = -ENOMEM;

	for (size_t i = 0; names && i < list->count; i++)
		names[i] = &list->items[i]->name;
	if (names)
		n = shelf_names_make(names, list->count, &list->devices);
	for (size_t i = 0; n >= 0 && i < list->count; i++)
		list->items[i] = (struct shelf_item *)names[i];
	free(names);
	list->device_count = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

int shelf_scan(struct shelf_list *list, int dir_fd, const char *path,
	       bool salvage, const struct shelf_list *before,
	       struct mb_err *err)
{
	struct scan s = { list, before, path, dir_fd, salvage };
	int rc;

	*list = (struct shelf_list){ 0 };
	rc = mb_folder_each(dir_fd, add, &s);
	if (rc == 0)
		rc = name_all(list);
	if (rc == 0)
		return 0;
	shelf_list_release(list);
	return mb_err_set(err, rc, "%s: %s", path, strerror(-rc));
}
