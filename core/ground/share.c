/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"

#define COPY_LEN (1 << 20) /* by hand */
#define RANGE_LEN \
	(64 << 20) /* by the kernel, between two looks at s->cancelled */

/* An answer to what was asked for, not something that went wrong. */
static bool cannot(int error)
{
	return error == EOPNOTSUPP || error == EXDEV || error == ENOTTY ||
	       error == EINVAL || error == ENOSYS;
}

static bool is_cancelled(const struct sharing *s)
{
	return s->cancelled && s->cancelled();
}

static int copy_by_hand(const struct sharing *s, int in, int out)
{
	mb_auto(free) char *buf = malloc(COPY_LEN);
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	while (rc == 0) {
		ssize_t n;

		if (is_cancelled(s))
			return -ECANCELED;
		n = read(in, buf, COPY_LEN);
		if (n == 0)
			break;
		if (n > 0)
			rc = write_full(out, buf, (size_t)n);
		else if (errno != EINTR)
			rc = -errno;
	}
	return rc;
}

static int copy_bytes(struct sharing *s, int in, int out)
{
	bool begun = false;

	while (!s->no_copy_range) {
		ssize_t n;

		if (is_cancelled(s))
			return -ECANCELED;
		n = copy_file_range(in, NULL, out, NULL, RANGE_LEN, 0);
		if (n == 0 && begun)
			return 0;
		if (n == 0)
			break; /* empty, or a file system that says so */
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !begun && cannot(errno))
			s->no_copy_range = true;
		else if (n < 0)
			return -errno;
		begun = true;
	}
	return copy_by_hand(s, in, out);
}

int share_reflink(struct sharing *s, int in, int out)
{
	if (s->no_reflinks)
		return 1;
	if (ioctl(out, FICLONE, in) == 0) {
		s->reflinked++;
		return 0;
	}
	if (!cannot(errno))
		return -errno;
	s->no_reflinks = true;
	return 1;
}

static int fill(struct sharing *s, int in, int out, bool reflink_only)
{
	int rc;

	rc = share_reflink(s, in, out);
	if (rc <= 0)
		return rc;
	if (reflink_only)
		return -EOPNOTSUPP;
	rc = copy_bytes(s, in, out);
	if (rc == 0)
		s->copied++;
	return rc;
}

/* One end of it: the folder that holds the file, and the file's name there. */
struct end {
	int fd;
	const char *name;
	bool opened;
};

static int find_end(struct end *e, int dir_fd, const char *path)
{
	mb_auto(free) char *above = NULL;
	const char *slash = strrchr(path, '/');

	*e = (struct end){ .fd = dir_fd, .name = path };
	if (!slash)
		return 0;
	e->name = slash + 1;
	above = strndup(path, (size_t)(slash - path));
	if (!above)
		return -ENOMEM;
	e->fd = beneath_open_dir(dir_fd, above);
	if (e->fd < 0)
		return e->fd;
	e->opened = true;
	return 0;
}

static void leave_end(const struct end *e)
{
	if (e->opened)
		close(e->fd);
}

/* A file of its own with the same content, mode and times. */
static int share_content(struct sharing *s, const struct end *from,
			 const struct end *to, bool reflink_only)
{
	mb_auto(close) int in = -1;
	struct stat st;
	int out, rc;

	in = beneath_open_file(from->fd, from->name, NULL);
	if (in < 0)
		return in;
	if (fstat(in, &st) < 0)
		return -errno;
	out = beneath_create_file(to->fd, to->name, st.st_mode & 0777);
	if (out < 0)
		return out;
	rc = fill(s, in, out, reflink_only);
	if (rc == 0) {
		/* nothing depends on these: not every file system has them */
		(void)!fchown(out, st.st_uid, st.st_gid);
		(void)!fchmod(out, st.st_mode & 07777);
		futimens(out, (struct timespec[2]){ st.st_atim, st.st_mtim });
	}
	if (close(out) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(to->fd, to->name, 0);
	return rc;
}

/* Returns 0; 1 if it is not possible, so that another way is to be tried. */
static int share_link(struct sharing *s, const struct end *from,
		      const struct end *to)
{
	struct stat st;

	if (s->no_links)
		return 1;
	/* a link to a symbolic link can be made, and a folder says EPERM */
	if (fstatat(from->fd, from->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISLNK(st.st_mode) ? -ELOOP : -EBADMSG;
	if (linkat(from->fd, from->name, to->fd, to->name, 0) == 0) {
		s->linked++;
		return 0;
	}
	if (errno == EPERM || cannot(errno))
		s->no_links = true;
	else if (errno != EMLINK)
		return -errno;
	return 1;
}

static int share_between(struct sharing *s, const struct end *from,
			 const struct end *to)
{
	int rc;

	if (s->how == SHARE_COPY)
		return share_content(s, from, to, false);
	if (!s->no_reflinks) {
		rc = share_content(s, from, to, true);
		if (rc == 0 || !s->no_reflinks)
			return rc;
	}
	rc = share_link(s, from, to);
	return rc > 0 ? share_content(s, from, to, false) : rc;
}

int share_file(struct sharing *s, int from_fd, const char *from, int to_fd,
	       const char *to)
{
	struct end a, b;
	int rc = find_end(&a, from_fd, from);

	if (rc < 0)
		return rc;
	rc = find_end(&b, to_fd, to);
	if (rc == 0)
		rc = share_between(s, &a, &b);
	leave_end(&b);
	leave_end(&a);
	return rc;
}

/* Bytes copied of a part, or an error; -EOPNOTSUPP: the kernel cannot. */
static ssize_t range_by_kernel(struct sharing *s, int in, int out, int64_t off,
			       size_t len)
{
	int64_t from = off, to = off;
	ssize_t n;

	do
		n = copy_file_range(in, &from, out, &to, len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && cannot(errno)) {
		s->no_copy_range = true;
		return -EOPNOTSUPP;
	}
	return n < 0 ? -errno : n;
}

static ssize_t range_by_hand(int in, int out, int64_t off, char *buf,
			     size_t len)
{
	ssize_t n = pread_full(in, buf, len, off);
	int rc = n > 0 ? pwrite_full(out, buf, (size_t)n, off) : 0;

	return rc < 0 ? rc : n;
}

int share_range(struct sharing *s, int in, int out, int64_t off, int64_t len)
{
	mb_auto(free) char *buf = NULL;

	while (len > 0) {
		size_t part = len < COPY_LEN ? (size_t)len : COPY_LEN;
		ssize_t n = -EOPNOTSUPP;

		if (is_cancelled(s))
			return -ECANCELED;
		if (!s->no_copy_range)
			n = range_by_kernel(s, in, out, off, part);
		/* 0 where there is something: a file system that says so */
		if (n == -EOPNOTSUPP || n == 0) {
			if (!buf && !(buf = malloc(COPY_LEN)))
				return -ENOMEM;
			n = range_by_hand(in, out, off, buf, part);
		}
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		off += n;
		len -= n;
	}
	return 0;
}
