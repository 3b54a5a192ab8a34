/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "workdir.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>

#include "beneath.h"

/* Who always loses a race has something else to worry about. */
#define ATTEMPTS 100

static bool is_still_there(int dir_fd, const char *name, int fd)
{
	struct stat held, there;

	return fstat(fd, &held) == 0 &&
	       beneath_stat(dir_fd, name, &there) == 0 &&
	       held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

int workdir_open(int dir_fd, const char *name, struct mb_err *err)
{
	/* one may be opened that its owner has just removed: then again */
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		mb_auto(close) int fd = -1;
		int rc = beneath_make_dir(dir_fd, name, 0700);

		if (rc < 0 && rc != -EEXIST)
			return mb_err_set(err, rc, "cannot create %s: %s", name,
					  strerror(-rc));
		fd = beneath_open_dir(dir_fd, name);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return mb_err_set(err, fd, "cannot open %s: %s", name,
					  strerror(-fd));
		/* without locks (some network file systems): nobody else */
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
			return mb_err_set(err, -EBUSY,
					  "another larder works in %s", name);
		if (is_still_there(dir_fd, name, fd))
			return mb_steal_fd(&fd);
	}
	return mb_err_set(err, -EBUSY, "%s comes and goes", name);
}
