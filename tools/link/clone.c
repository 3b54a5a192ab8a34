/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "watch.h"

/* Folders nest at most so deep: two are open a level. */
#define DEPTH_MAX 200

/* What the file system was found to be able to do, so as to ask it once. */
struct clone {
	enum clone_how how;
	bool no_reflinks, no_links, no_copy_range;
	struct clone_result result;
};

static bool cannot(int error)
{
	return error == EOPNOTSUPP || error == EXDEV || error == ENOTTY ||
	       error == EINVAL || error == ENOSYS;
}

static int copy_by_hand(int in, int out)
{
	mb_auto(free) char *buf = malloc(1 << 20);
	ssize_t n;
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	while (rc == 0 && (n = read(in, buf, 1 << 20)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (watch_cancelled())
			return -ECANCELED;
		rc = n < 0 ? -errno : write_full(out, buf, (size_t)n);
	}
	return rc;
}

static int copy_bytes(struct clone *c, int in, int out)
{
	bool begun = false;

	while (!c->no_copy_range) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, 64 << 20, 0);

		if (watch_cancelled())
			return -ECANCELED;
		if (n == 0 && begun)
			return 0;
		if (n == 0)
			break; /* empty, or a file system that says so */
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !begun && cannot(errno))
			c->no_copy_range = true;
		else if (n < 0)
			return -errno;
		begun = true;
	}
	return copy_by_hand(in, out);
}

static int fill_file(struct clone *c, int in, int out, bool reflink_only)
{
	int rc;

	if (!c->no_reflinks) {
		if (ioctl(out, FICLONE, in) == 0) {
			c->result.reflinked++;
			return 0;
		}
		if (!cannot(errno))
			return -errno;
		c->no_reflinks = true;
	}
	if (reflink_only)
		return -EOPNOTSUPP;
	rc = copy_bytes(c, in, out);
	if (rc == 0)
		c->result.copied++;
	return rc;
}

/*
 * A new file with the same content, mode and times; -EOPNOTSUPP if it is to be
 * a reflink and cannot
 */
static int clone_content(struct clone *c, int from_fd, const char *from,
			 int to_fd, const char *to, bool reflink_only)
{
	mb_auto(close) int in = -1;
	struct stat st;
	int out, rc;

	in = openat(from_fd, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return -errno;
	out = openat(to_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		     st.st_mode & 0777);
	if (out < 0)
		return -errno;
	rc = fill_file(c, in, out, reflink_only);
	if (rc == 0) {
		/* nothing depends on these: not every file system has them */
		(void)!fchown(out, st.st_uid, st.st_gid);
		(void)!fchmod(out, st.st_mode & 07777);
		futimens(out, (struct timespec[2]){ st.st_atim, st.st_mtim });
	}
	if (close(out) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

static int clone_file(struct clone *c, int from_fd, const char *from, int to_fd,
		      const char *to)
{
	int rc;

	if (c->how == CLONE_COPY)
		return clone_content(c, from_fd, from, to_fd, to, false);
	if (!c->no_reflinks) {
		rc = clone_content(c, from_fd, from, to_fd, to, true);
		if (rc != -EOPNOTSUPP)
			return rc;
		/* it cannot: better a link than a copy */
		if (unlinkat(to_fd, to, 0) < 0)
			return -errno;
	}
	if (!c->no_links) {
		if (linkat(from_fd, from, to_fd, to, 0) == 0) {
			c->result.linked++;
			return 0;
		}
		if (errno == EPERM || cannot(errno))
			c->no_links = true;
		else if (errno != EMLINK)
			return -errno;
	}
	return clone_content(c, from_fd, from, to_fd, to, false);
}

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

static int clone_any(struct clone *c, int from_fd, const char *from, int to_fd,
		     const char *to, unsigned char type, int depth);

static int clone_entries(struct clone *c, DIR *dir, int to_fd, int depth)
{
	struct dirent *e;

	while ((errno = 0, e = readdir(dir))) {
		int rc;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (watch_cancelled())
			return -ECANCELED;
		rc = clone_any(c, dirfd(dir), e->d_name, to_fd, e->d_name,
			       e->d_type, depth + 1);
		if (rc < 0)
			return rc;
	}
	return -errno;
}

static int clone_dir(struct clone *c, int from_fd, const char *from, int to_fd,
		     const char *to, int depth)
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
		rc = clone_entries(c, dir, there, depth);
	if (rc == 0) {
		(void)!fchown(there, st.st_uid, st.st_gid);
		(void)!fchmod(there, (st.st_mode & 07777) | 0700);
	}
	closedir(dir);
	return rc;
}

static int clone_any(struct clone *c, int from_fd, const char *from, int to_fd,
		     const char *to, unsigned char type, int depth)
{
	struct stat st;

	if (type == DT_UNKNOWN) {
		if (fstatat(from_fd, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		type = IFTODT(st.st_mode);
	}
	switch (type) {
	case DT_REG:
		return clone_file(c, from_fd, from, to_fd, to);
	case DT_DIR:
		return clone_dir(c, from_fd, from, to_fd, to, depth);
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
	struct clone c = { .how = how };
	const char *from_name, *to_name;
	int rc;

	from_above = open_above(from_fd, from, &from_name);
	if (from_above < 0)
		return from_above;
	to_above = open_above(to_fd, to, &to_name);
	if (to_above < 0)
		return to_above;
	rc = clone_any(&c, from_above, from_name, to_above, to_name, DT_UNKNOWN,
		       0);
	if (result) {
		result->reflinked += c.result.reflinked;
		result->linked += c.result.linked;
		result->copied += c.result.copied;
	}
	return rc;
}
