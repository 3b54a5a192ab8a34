/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unmount.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "beneath.h"
#include "cleanup.h"
#include "language.h"
#include "mount_table.h"

extern char **environ;

/* --- who uses it --------------------------------------------------------- */

#define HOLDERS_MAX 5

/* By the text of links in /proc: the mount itself is not asked. */
static bool leads_there(int fd, const char *link, const char *mountpoint)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, link, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return path_is_inside(target, mountpoint);
}

static bool has_open(int process_fd, const char *mountpoint)
{
	int fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir)))
		found = leads_there(fd, e->d_name, mountpoint);
	if (dir)
		closedir(dir);
	return found;
}

static void read_name(int process_fd, char out[64])
{
	mb_auto(close) int fd =
		openat(process_fd, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 63);

	out[n < 0 ? 0 : n] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* "bash (1234), eog (1250)"; those of other users cannot be seen */
static void find_holders(char *out, size_t size, const char *mountpoint)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int count = 0;

	*out = '\0';
	while (dir && count <= HOLDERS_MAX && (e = readdir(dir))) {
		mb_auto(close) int fd = -1;
		size_t len = strlen(out);
		char name[64];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		fd = openat(dirfd(dir), e->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || (!leads_there(fd, "cwd", mountpoint) &&
			       !leads_there(fd, "root", mountpoint) &&
			       !leads_there(fd, "exe", mountpoint) &&
			       !has_open(fd, mountpoint)))
			continue;
		read_name(fd, name);
		if (count++ == HOLDERS_MAX)
			snprintf(out + len, size - len, ", ...");
		else
			snprintf(out + len, size - len, "%s%s (%s)",
				 len ? ", " : "", name, e->d_name);
	}
	if (dir)
		closedir(dir);
}

/* A mount that stands in this one. */
static char *find_mount_inside(const char *mountpoint)
{
	mb_auto(mount_table_release) struct mount_table table = { 0 };

	if (mount_table_read(&table) < 0)
		return NULL;
	for (size_t i = 0; i < table.count; i++)
		if (path_is_inside(table.lines[i].path, mountpoint) &&
		    strcmp(table.lines[i].path, mountpoint) != 0)
			return strdup(table.lines[i].path);
	return NULL;
}

static int busy(const char *mountpoint, struct mb_err *err)
{
	mb_auto(free) char *inside = find_mount_inside(mountpoint);
	char holders[300];

	if (inside)
		return mb_err_set(err, -EBUSY,
				  "%s: busy: something is mounted on %s",
				  mountpoint, inside);
	find_holders(holders, sizeof(holders), mountpoint);
	if (*holders)
		return mb_err_set(err, -EBUSY, "%s: busy: in use by %s",
				  mountpoint, holders);
	return mb_err_set(
		err, -EBUSY,
		"%s: busy: a program has a file or a folder of it open",
		mountpoint);
}

/* --- ending it ----------------------------------------------------------- */

/* The whole of what it says on standard error; its status, or -errno. */
static int run_fusermount(const char *mountpoint, bool lazy, char *said,
			  size_t size)
{
	const char *argv[] = { "fusermount3",
			       "-u",
			       lazy ? "-z" : "--",
			       lazy ? "--" : mountpoint,
			       lazy ? mountpoint : NULL,
			       NULL };
	posix_spawn_file_actions_t actions;
	int fds[2], status, rc;
	size_t len = 0;
	pid_t pid;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
	rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv,
			  environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (rc == 0 && len < size - 1 &&
	       (n = read(fds[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	said[len] = '\0';
	if (rc)
		return -rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* A user other than root; the helper has the right to, for one's own. */
static int unmount_by_helper(const char *mountpoint, bool lazy,
			     struct mb_err *err)
{
	char said[400];
	int rc = run_fusermount(mountpoint, lazy, said, sizeof(said));

	if (rc == 0)
		return 0;
	if (rc < 0)
		return mb_err_set(err, rc, "%s: fusermount3: %s", mountpoint,
				  strerror(-rc));
	if (strstr(said, "busy"))
		return busy(mountpoint, err);
	said[strcspn(said, "\n")] = '\0';
	return mb_err_set(err, -EIO, "%s",
			  *said ? said : _("fusermount3 has failed"));
}

int unmount(const char *mountpoint, bool lazy, struct mb_err *err)
{
	int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);

	if (umount2(mountpoint, flags) == 0)
		return 0;
	if (errno == EBUSY)
		return busy(mountpoint, err);
	if (errno == EPERM)
		return unmount_by_helper(mountpoint, lazy, err);
	return mb_err_set(err, -errno, "%s: %s", mountpoint, strerror(errno));
}
