/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"

#define OF_THE_FOLDER \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB)
#define OF_A_BACKUP \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE)

/* linux/magic.h has not always had them */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define FUSE_MAGIC 0x65735546
#define CEPH_MAGIC 0x00c36400

static bool tells_all(int dir_fd)
{
	struct statfs fs;

	if (fstatfs(dir_fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type & 0xffffffff) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case CEPH_MAGIC:
	case FUSE_MAGIC:
	case V9FS_MAGIC:
	case AFS_FS_MAGIC:
	case CODA_SUPER_MAGIC:
		return false;
	default:
		return true;
	}
}

/* By what it is: a name could be another folder by now. */
static int add(struct shelf_watch *w, int fd, uint32_t events)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return inotify_add_watch(w->fd, path, events | IN_ONLYDIR);
}

void shelf_watch_close(struct shelf_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->folders);
	*w = (struct shelf_watch){ .fd = -1 };
}

void shelf_watch_open(struct shelf_watch *w, int dir_fd)
{
	*w = (struct shelf_watch){ .fd = -1, .polls = true };
	if (!tells_all(dir_fd))
		return;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->polls = w->fd < 0 || add(w, dir_fd, OF_THE_FOLDER) < 0;
}

static bool is_in(const int *list, size_t count, int number)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == number)
			return true;
	return false;
}

/* Those that are there, as @found; false if they cannot all be watched. */
static bool watch_each(struct shelf_watch *w, int dir_fd,
		       struct shelf_watch *found)
{
	int again = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;
	bool good = dir != NULL;

	while (good && (e = readdir(dir))) {
		mb_auto(close) int fd = -1;
		int number, *longer;

		if (e->d_name[0] == '.' ||
		    (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		fd = openat(dir_fd, e->d_name,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		number = fd < 0 ? -1 : add(w, fd, OF_A_BACKUP);
		/* not let in, or gone already: nothing to be seen there */
		if (number < 0) {
			good = fd < 0 || errno == EACCES || errno == ENOENT;
			continue;
		}
		longer = reallocarray(found->folders, found->count + 1,
				      sizeof(*longer));
		good = longer != NULL;
		if (!good)
			break;
		found->folders = longer;
		found->folders[found->count++] = number;
	}
	if (dir)
		closedir(dir);
	return good;
}

bool shelf_watch_folders(struct shelf_watch *w, int dir_fd)
{
	struct shelf_watch now = { .fd = w->fd };
	bool more = false;

	if (w->polls)
		return false;
	if (!watch_each(w, dir_fd, &now)) {
		free(now.folders);
		w->polls = true;
		return true;
	}
	for (size_t i = 0; i < now.count; i++)
		more |= !is_in(w->folders, w->count, now.folders[i]);
	for (size_t i = 0; i < w->count; i++)
		if (!is_in(now.folders, now.count, w->folders[i]))
			inotify_rm_watch(w->fd, w->folders[i]);
	free(w->folders);
	w->folders = now.folders;
	w->count = now.count;
	return more;
}

bool shelf_watch_is_pending(const struct shelf_watch *w)
{
	int bytes = 0;

	return !w->polls && ioctl(w->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* In a backup only the lists; payloads come by the thousand. */
static bool matters(const struct shelf_watch *w, const struct inotify_event *e)
{
	if (e->mask & IN_IGNORED)
		return false;
	if (!e->len || !is_in(w->folders, w->count, e->wd))
		return true;
	return !strncmp(e->name, "Manifest.", 9) ||
	       !strcmp(e->name, "Info.plist") ||
	       !strcmp(e->name, "Status.plist");
}

bool shelf_watch_take(struct shelf_watch *w)
{
	char room[16384]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	bool found = false;
	ssize_t n;

	while (w->fd >= 0 && (n = read(w->fd, room, sizeof(room))) > 0)
		for (char *at = room; at < room + n;) {
			const struct inotify_event *e = (const void *)at;

			found |= matters(w, e);
			at += sizeof(*e) + e->len;
		}
	return found;
}
