/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mount_home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "bytes.h"
#include "mb/tree.h"
#include "workdir.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* --- the folder ---------------------------------------------------------- */

static bool is_mine(const char *path)
{
	struct stat st;

	return *path == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

/* ~/.cache, where there is no folder that ends with the session */
static char *cache_folder(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *path = NULL;

	if (cache && *cache == '/')
		path = strdup(cache);
	else if (home && asprintf(&path, "%s/.cache", home) < 0)
		path = NULL;
	if (path && mkdir(path, 0700) < 0 && errno != EEXIST)
		return path; /* opening it will say why not */
	return path;
}

/* One of another user, as sudo(8) may leave it in the environment, is none. */
static char *folder_above(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;

	if (runtime && is_mine(runtime))
		return strdup(runtime);
	if (geteuid() == 0)
		return strdup("/run");
	if (asprintf(&path, "/run/user/%u", (unsigned)geteuid()) < 0)
		return NULL;
	if (is_mine(path))
		return path;
	free(path);
	return cache_folder();
}

static char *folder_of(enum mount_place place)
{
	mb_auto(free) char *above = folder_above();
	const char *home = getenv("HOME");
	char *path;

	if (place == MOUNT_SHOWN && home && is_mine(home))
		return asprintf(&path, "%s/Mounted backups", home) < 0 ? NULL :
									 path;
	if (!above || asprintf(&path, "%s/larder", above) < 0)
		return NULL;
	return path;
}

static int check_owner(int fd, const char *path, struct mb_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return mb_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return mb_err_set(err, -EPERM, "%s: belongs to another user",
				  path);
	if (st.st_mode & 077)
		fchmod(fd, 0700);
	return 0;
}

int mount_home_open(struct mount_home *home, enum mount_place place, bool make,
		    struct mb_err *err)
{
	mb_auto(free) char *path = folder_of(place);
	mb_auto(close) int fd = -1;
	int rc;

	*home = (struct mount_home){ .fd = -1 };
	if (!path)
		return mb_err_set(err, -ENOENT,
				  "no folder for mountpoints: no home");
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return mb_err_set(err, errno == ENOENT ? -EIO : -errno,
				  "%s: %s", path, strerror(errno));
	fd = open(path, OPEN_DIR | O_NOFOLLOW);
	if (fd < 0)
		return mb_err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = check_owner(fd, path, err);
	if (rc < 0)
		return rc;
	home->path = realpath(path, NULL);
	if (!home->path)
		return mb_err_set(err, -errno, "%s: %s", path, strerror(errno));
	home->fd = mb_steal_fd(&fd);
	home->place = place;
	return 0;
}

void mount_home_release(struct mount_home *home)
{
	if (!home->path)
		return;
	free(home->path);
	close(home->fd);
	*home = (struct mount_home){ .fd = -1 };
}

/* --- mountpoints in it --------------------------------------------------- */

static bool same_disk(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
	       one.st_dev == other.st_dev;
}

static bool is_empty(int fd)
{
	int again = openat(fd, ".", OPEN_DIR);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;
	bool empty = dir != NULL;

	while (empty && (e = readdir(dir)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

static bool is_mounted(const char *path)
{
	mb_auto(mount_table_release) struct mount_table table = { 0 };

	return mount_table_read(&table) == 0 && mount_table_at(&table, path);
}

#define NAMES_MAX 1000
#define NAME_LEN 230 /* leaves room for the number */

/* "Anna's iPhone", "Anna's iPhone (2)" */
static void make_name(char out[MB_SHOWN_MAX + 1], const char *name, int number)
{
	size_t len;

	mb_shown_name(out, mb_slice_of(name));
	if (number == 1)
		return;
	len = strlen(out);
	if (len > NAME_LEN)
		len = utf8_valid_prefix(out, NAME_LEN);
	snprintf(out + len, MB_SHOWN_MAX + 1 - len, " (%d)", number);
}

/*
 * Looked at before, so as not to touch a mount; and after, since another
 * larder may have mounted and let go meanwhile.
 */
static int try_take(const struct mount_home *home, const char *name,
		    const char *path, struct mb_err *err)
{
	mb_auto(close) int fd = -1;

	if (is_mounted(path))
		return -EBUSY;
	fd = workdir_open(home->fd, name, err);
	if (fd < 0)
		return fd == -ENOTDIR || fd == -ELOOP ? -EBUSY : fd;
	if (!same_disk(fd, home->fd) || !is_empty(fd) || is_mounted(path))
		return -EBUSY;
	return mb_steal_fd(&fd);
}

int mount_home_take(const struct mount_home *home, const char *name,
		    char **path, struct mb_err *err)
{
	char shown[MB_SHOWN_MAX + 1];
	mb_auto(free) char *whole = NULL;

	for (int number = 1; number <= NAMES_MAX; number++) {
		int fd;

		make_name(shown, name, number);
		free(mb_steal(&whole));
		if (asprintf(&whole, "%s/%s", home->path, shown) < 0) {
			whole = NULL;
			return mb_err_set(err, -ENOMEM, "out of memory");
		}
		fd = try_take(home, shown, whole, err);
		if (fd == -EBUSY)
			continue;
		if (fd < 0)
			return mb_err_prefix(err, fd, "%s", home->path);
		*path = mb_steal(&whole);
		return fd;
	}
	return mb_err_set(err, -EBUSY, "%s: too many mountpoints", home->path);
}

/* One in sight goes when there is nothing in it. */
static void leave(const struct mount_home *home)
{
	if (home->place == MOUNT_SHOWN)
		rmdir(home->path);
}

void mount_home_give_back(const struct mount_home *home, const char *path)
{
	rmdir(path);
	leave(home);
}

static void sweep_one(const struct mount_home *home, const char *name)
{
	mb_auto(close) int fd = openat(home->fd, name, OPEN_DIR | O_NOFOLLOW);

	if (fd >= 0 && same_disk(fd, home->fd) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(home->fd, name, AT_REMOVEDIR);
}

void mount_home_sweep(const struct mount_home *home)
{
	mb_auto(mount_table_release) struct mount_table table = { 0 };
	int again = openat(home->fd, ".", OPEN_DIR);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;

	if (!dir)
		return;
	while (mount_table_read(&table) == 0 && (e = readdir(dir))) {
		mb_auto(free) char *path = NULL;

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    asprintf(&path, "%s/%s", home->path, e->d_name) >= 0 &&
		    !mount_table_at(&table, path))
			sweep_one(home, e->d_name);
		mount_table_release(&table);
	}
	closedir(dir);
}

void mount_home_sweep_any(void)
{
	static const enum mount_place places[] = { MOUNT_HIDDEN, MOUNT_SHOWN };
	struct mb_err err;

	for (int i = 0; i < 2; i++) {
		mb_auto(mount_home_release) struct mount_home home = { 0 };

		if (mount_home_open(&home, places[i], false, &err) < 0)
			continue;
		mount_home_sweep(&home);
		leave(&home);
	}
}
