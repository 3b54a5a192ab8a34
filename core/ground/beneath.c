/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

static bool is_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') ||
	       (len == 2 && name[0] == '.' && name[1] == '.');
}

/* openat2 by itself would let "a/../b" pass. */
static bool has_dots(const char *path)
{
	for (size_t len; *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (is_dots(path, len))
			return true;
	}
	return false;
}

/* The system says ENOTDIR both of a file and of a link to a folder. */
static int open_error(int at, const char *name)
{
	int error = errno;
	struct stat st;

	if (error == ENOTDIR &&
	    fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		error = ELOOP;
	return -error;
}

/* For kernels (before 5.6) and sandboxes without openat2. */
static int open_by_component(int dir_fd, const char *path, int flags)
{
	mb_auto(close) int here = -1;
	int at = dir_fd;

	for (;;) {
		size_t len = strcspn(path, "/");
		char name[256];
		int fd;

		if (!len)
			return -EXDEV; /* absolute */
		if (len >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		if (!path[len]) {
			fd = openat(at, name, flags | O_NOFOLLOW);
			return fd < 0 ? open_error(at, name) : fd;
		}
		fd = openat(at, name,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return open_error(at, name);
		if (here >= 0)
			close(here);
		at = here = fd;
		path += len + 1;
	}
}

static int open_beneath(int dir_fd, const char *path, int flags)
{
	static atomic_bool no_openat2;
	struct open_how how = {
		.flags = (uint64_t)flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (has_dots(path))
		return -EXDEV;
	if (!atomic_load(&no_openat2)) {
		do
			fd = syscall(SYS_openat2, dir_fd, path, &how,
				     sizeof(how));
		while (fd < 0 && errno == EAGAIN);
		if (fd >= 0)
			return (int)fd;
		if (errno != ENOSYS && errno != EPERM)
			return -errno;
		if (errno == ENOSYS)
			atomic_store(&no_openat2, true);
	}
	return open_by_component(dir_fd, path, flags);
}

int beneath_open_file(int dir_fd, const char *path, int64_t *len)
{
	mb_auto(close) int fd = -1;
	struct stat st;

	fd = open_beneath(dir_fd, path,
			  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -ENXIO ||
	    fd == -ENODEV) /* a socket, a device without driver */
		return -EBADMSG;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (len)
		*len = st.st_size;
	return mb_steal_fd(&fd);
}

int beneath_open_dir(int dir_fd, const char *path)
{
	return open_beneath(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int beneath_read_file(int dir_fd, const char *path, size_t limit,
		      struct buf *out, struct mb_err *err)
{
	mb_auto(close) int fd = -1;
	int64_t len;
	ssize_t n;

	fd = beneath_open_file(dir_fd, path, &len);
	if (fd == -EBADMSG)
		return mb_err_set(err, fd, "%s: not a regular file", path);
	if (fd < 0)
		return mb_err_set(err, fd, "%s: %s", path, strerror(-fd));
	if ((uint64_t)len > limit)
		return mb_err_set(
			err, -EFBIG,
			"%s: %lld bytes is more than the %zu accepted", path,
			(long long)len, limit);
	if (buf_reserve(out, (size_t)len + 1) < 0)
		return mb_err_set(err, -ENOMEM, "%s: out of memory", path);
	n = pread_full(fd, out->ptr, (size_t)len, 0);
	if (n < 0)
		return mb_err_set(err, (int)n, "%s: %s", path,
				  strerror((int)-n));
	out->len = (size_t)n;
	return 0;
}

ssize_t pread_full(int fd, void *out, size_t len, int64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (char *)out + got, len - got,
				  off + (int64_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}
