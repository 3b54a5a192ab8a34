/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "share.h"
#include "watch.h"

/* Folders nest at most so deep: two are open a level. */
#define DEPTH_MAX 200

static int clone_symlink(int from_fd, const char *from, int to_fd,
			 const char *to)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_fd, from, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to_fd, to) < 0 ? -errno : 0;
}

static int clone_any(struct sharing *s, int from_fd, const char *from,
		     int to_fd, const char *to, unsigned char type, int depth);

static int clone_entries(struct sharing *s, DIR *dir, int to_fd, int depth)
{
	struct dirent *e;

	while ((errno = 0, e = readdir(dir))) {
		int rc;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (watch_cancelled())
			return -ECANCELED;
		rc = clone_any(s, dirfd(dir), e->d_name, to_fd, e->d_name,
			       e->d_type, depth + 1);
		if (rc < 0)
			return rc;
	}
	return -errno;
}

static int clone_dir(struct sharing *s, int from_fd, const char *from,
		     int to_fd, const char *to, int depth)
{
	mb_auto(close) int there = -1;
	struct stat st;
	DIR *dir;
	int fd, rc;

	if (depth > DEPTH_MAX)
		return -ELOOP;
	fd = openat(from_fd, from,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	if (fstat(fd, &st) < 0 || mkdirat(to_fd, to, 0700) < 0)
		rc = -errno;
	else if ((there = openat(to_fd, to,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
					 O_CLOEXEC)) < 0)
		rc = -errno;
	else
		rc = clone_entries(s, dir, there, depth);
	if (rc == 0) {
		(void)!fchown(there, st.st_uid, st.st_gid);
		(void)!fchmod(there, (st.st_mode & 07777) | 0700);
	}
	closedir(dir);
	return rc;
}

static int clone_any(struct sharing *s, int from_fd, const char *from,
		     int to_fd, const char *to, unsigned char type, int depth)
{
	struct stat st;

	if (type == DT_UNKNOWN) {
		if (fstatat(from_fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		type = IFTODT(st.st_mode);
	}
	switch (type) {
	case DT_REG:
		return share_file(s, from_fd, from, to_fd, to);
	case DT_DIR:
		return clone_dir(s, from_fd, from, to_fd, to, depth);
	case DT_LNK:
		return clone_symlink(from_fd, from, to_fd, to);
	default:
		return 0;
	}
}

/* The folder above @path, to be closed, and the last name in it. */
static int open_above(int fd, const char *path, const char **name)
{
	mb_auto(free) char *above = NULL;
	const char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	above = strndup(path, (size_t)(slash - path));
	return above ? beneath_open_dir(fd, above) : -ENOMEM;
}

int clone_entry(int from_fd, const char *from, int to_fd, const char *to,
		enum clone_how how, struct clone_result *result)
{
	mb_auto(close) int from_above = -1, to_above = -1;
	struct sharing s = {
		.how = how == CLONE_COPY ? SHARE_COPY : SHARE_LINK,
		.cancelled = watch_cancelled,
	};
	const char *from_name, *to_name;
	int rc;

	from_above = open_above(from_fd, from, &from_name);
	if (from_above < 0)
		return from_above;
	to_above = open_above(to_fd, to, &to_name);
	if (to_above < 0)
		return to_above;
	rc = clone_any(&s, from_above, from_name, to_above, to_name, DT_UNKNOWN,
		       0);
	if (result) {
		result->reflinked += s.reflinked;
		result->linked += s.linked;
		result->copied += s.copied;
	}
	return rc;
}
