/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

extern char **environ;

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int mountpoint_check(const char *path, int backup_fd, char **real,
		     struct mb_err *err)
{
	mb_auto(close) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat backup_st, here, last = { 0 };

	*real = NULL;
	if (fd < 0 || fstat(fd, &here) < 0 || fstat(backup_fd, &backup_st) < 0)
		return mb_err_set(err, errno == ENOENT ? -EIO : -errno,
				  "mountpoint %s: %s", path, strerror(errno));
	/* by identity, upwards: links do not deceive it */
	while (!same_file(&here, &last)) {
		int up;

		if (same_file(&here, &backup_st))
			return mb_err_set(
				err, -EINVAL,
				"mountpoint %s is inside the backup, which nothing may change",
				path);
		last = here;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			break;
		close(fd);
		fd = up;
		if (fstat(fd, &here) < 0)
			break;
	}
	*real = realpath(path, NULL);
	if (!*real)
		return mb_err_set(err, -errno, "mountpoint %s: %s", path,
				  strerror(errno));
	return 0;
}

dev_t mountpoint_device(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path,
		     AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		     0, &st) < 0 ?
		       0 :
		       makedev(st.stx_dev_major, st.stx_dev_minor);
}

int mountpoint_unmount_idle(const char *path, dev_t device)
{
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-q",
			 (char *)"--",		(char *)path, NULL };
	int status;
	pid_t pid;

	if (!device || mountpoint_device(path) != device)
		return -EBUSY;
	if (umount2(path, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return -EBUSY;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		return -EBUSY;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

void mountpoint_remove(const char *path)
{
	mb_auto(close) int fd =
		open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	mb_auto(free) char *above = strdup(path);
	char *slash = above ? strrchr(above, '/') : NULL;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || rmdir(path) < 0)
		return;
	if (slash && slash != above) {
		*slash = '\0';
		rmdir(above);
	}
}
