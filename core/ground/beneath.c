/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
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
	if (!strchr(path, '.')) /* nearly always: payloads have none */
		return false;
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
static int open_by_component(int dir_fd, const char *path, int flags,
			     mode_t mode)
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
			fd = openat(at, name, flags | O_NOFOLLOW, mode);
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

static int open_mode_beneath(int dir_fd, const char *path, int flags,
			     mode_t mode)
{
	static atomic_bool no_openat2;
	struct open_how how = {
		.flags = (uint64_t)flags,
		.mode = mode,
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
	return open_by_component(dir_fd, path, flags, mode);
}

static int open_beneath(int dir_fd, const char *path, int flags)
{
	return open_mode_beneath(dir_fd, path, flags, 0);
}

int beneath_open_to_read(int dir_fd, const char *path)
{
	int fd = open_beneath(dir_fd, path,
			      O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	/* a socket, a device without driver */
	return fd == -ENXIO || fd == -ENODEV ? -EBADMSG : fd;
}

int beneath_open_file(int dir_fd, const char *path, int64_t *len)
{
	mb_auto(close) int fd = beneath_open_to_read(dir_fd, path);
	struct stat st;

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

int write_full(int fd, const void *ptr, size_t len)
{
	const char *p = ptr;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_full(int fd, const void *ptr, size_t len, int64_t off)
{
	const char *p = ptr;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

int beneath_create_file(int dir_fd, const char *path, mode_t mode)
{
	return open_mode_beneath(dir_fd, path,
				 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
}

/*
 * The folder that holds @path, opened, and the last name of the path; @dir_fd
 * itself (not to be closed) for a path of one name.
 */
struct place {
	int fd;
	const char *name;
	bool opened;
};

static int find_place(struct place *p, int dir_fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *above;

	*p = (struct place){ .fd = dir_fd, .name = path };
	if (!slash)
		return !*path || is_dots(path, strlen(path)) ? -EXDEV : 0;
	p->name = slash + 1;
	if (!*p->name || is_dots(p->name, strlen(p->name)))
		return -EXDEV;
	above = strndup(path, (size_t)(slash - path));
	if (!above)
		return -ENOMEM;
	p->fd = open_beneath(dir_fd, above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(above);
	if (p->fd < 0)
		return p->fd;
	p->opened = true;
	return 0;
}

static void leave_place(struct place *p)
{
	if (p->opened)
		close(p->fd);
}

int beneath_make_dir(int dir_fd, const char *path, mode_t mode)
{
	struct place p;
	int rc = find_place(&p, dir_fd, path);

	if (rc < 0)
		return rc;
	rc = mkdirat(p.fd, p.name, mode) < 0 ? -errno : 0;
	leave_place(&p);
	return rc;
}

int beneath_stat(int dir_fd, const char *path, struct stat *st)
{
	struct place p;
	int rc = find_place(&p, dir_fd, path);

	if (rc < 0)
		return rc;
	rc = fstatat(p.fd, p.name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	leave_place(&p);
	return rc;
}

/*
 * A folder is emptied by going down with one open folder a level. What lies
 * deeper than that is moved up beside the folder that is being removed, and
 * is emptied in turn.
 */
#define REMOVE_DEPTH 32

struct removal {
	int top;	/* the folder that is being removed */
	unsigned moved; /* names given to what was moved up */
	int rc;		/* first error */
};

static void removal_failed(struct removal *r)
{
	if (r->rc == 0)
		r->rc = -errno;
}

static bool move_up(struct removal *r, int at, const char *name)
{
	char up[32];

	for (;;) {
		snprintf(up, sizeof(up), ".removed-%u", r->moved++);
		if (renameat2(at, name, r->top, up, RENAME_NOREPLACE) == 0)
			return true;
		/* a file system without the flag; the name is ours */
		if ((errno == EINVAL || errno == ENOSYS) &&
		    renameat(at, name, r->top, up) == 0)
			return true;
		/* a name that is taken, by a folder or a file */
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			break;
	}
	removal_failed(r);
	return false;
}

/* Returns true if folders were moved up, so that the top is to be done again */
static bool empty_dir(struct removal *r, int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	bool again = false;

	if (!dir) {
		removal_failed(r);
		close(fd);
		return false;
	}
	while ((e = readdir(dir))) {
		int below;

		if (is_dots(e->d_name, strlen(e->d_name)))
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			removal_failed(r);
			continue;
		}
		if (depth == REMOVE_DEPTH) {
			again |= move_up(r, fd, e->d_name);
			continue;
		}
		below = openat(fd, e->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0) {
			removal_failed(r);
			continue;
		}
		again |= empty_dir(r, below, depth + 1);
		if (unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0)
			removal_failed(r);
	}
	closedir(dir);
	return again;
}

static int remove_folder(int at, const char *name)
{
	mb_auto(close) int top = -1;
	struct removal r = { 0 };
	bool again;

	top = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0)
		return -errno;
	r.top = top;
	do {
		/* a descriptor of its own, whose position begins at the front */
		int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		again = empty_dir(&r, fd, 0);
	} while (again && r.rc == 0);
	if (unlinkat(at, name, AT_REMOVEDIR) < 0)
		removal_failed(&r);
	return r.rc;
}

static int remove_at(int at, const char *name)
{
	int rc = unlinkat(at, name, 0) < 0 ? -errno : 0;
	int of_folder;

	if (rc != -EISDIR && rc != -EPERM)
		return rc;
	/* not a folder: then what unlink said stands */
	of_folder = remove_folder(at, name);
	return of_folder == -ENOTDIR ? rc : of_folder;
}

int beneath_remove(int dir_fd, const char *path)
{
	struct place p;
	int rc = find_place(&p, dir_fd, path);

	if (rc < 0)
		return rc;
	rc = remove_at(p.fd, p.name);
	leave_place(&p);
	return rc;
}

/* Both ends of a rename. */
static int find_places(struct place *a, struct place *b, int dir_fd,
		       const char *from, const char *to)
{
	int rc = find_place(a, dir_fd, from);

	if (rc < 0)
		return rc;
	rc = find_place(b, dir_fd, to);
	if (rc < 0)
		leave_place(a);
	return rc;
}

int beneath_rename(int dir_fd, const char *from, const char *to)
{
	struct place a, b;
	int rc = find_places(&a, &b, dir_fd, from, to);

	if (rc < 0)
		return rc;
	rc = renameat(a.fd, a.name, b.fd, b.name) < 0 ? -errno : 0;
	leave_place(&a);
	leave_place(&b);
	return rc;
}

int beneath_rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
	struct stat st;

	if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* a file system without this flag */
	if (fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from_fd, from, to_fd, to) < 0 ? -errno : 0;
}

int beneath_sync(int dir_fd)
{
	/* some file systems cannot, and have nothing to sync then */
	return fsync(dir_fd) < 0 && errno != EINVAL && errno != EOPNOTSUPP ?
		       -errno :
		       0;
}

static bool stat_at(const struct place *p, struct stat *st)
{
	return fstatat(p->fd, p->name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int replace(const struct place *a, const struct place *b, bool *replaced)
{
	struct stat from, to;
	int rc = 0;

	if (!stat_at(a, &from))
		return -errno;
	*replaced = stat_at(b, &to);
	/* two names of one file: rename would leave both */
	if (*replaced && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
		return unlinkat(a->fd, a->name, 0) < 0 ? -errno : 0;
	if (*replaced && (S_ISDIR(from.st_mode) || S_ISDIR(to.st_mode)))
		rc = remove_at(b->fd, b->name);
	if (rc == 0 && renameat(a->fd, a->name, b->fd, b->name) < 0)
		rc = -errno;
	return rc;
}

int beneath_move(int dir_fd, const char *from, const char *to, bool *replaced)
{
	struct place a, b;
	int rc = find_places(&a, &b, dir_fd, from, to);

	*replaced = false;
	if (rc < 0)
		return rc;
	/* one call where there is nothing in the way, which is the rule */
	rc = renameat2(a.fd, a.name, b.fd, b.name, RENAME_NOREPLACE) < 0 ?
		     -errno :
		     0;
	if (rc == -EEXIST || rc == -EINVAL || rc == -ENOSYS)
		rc = replace(&a, &b, replaced);
	leave_place(&a);
	leave_place(&b);
	return rc;
}

int beneath_write_file(int dir_fd, const char *path, struct view content,
		       mode_t mode, struct mb_err *err)
{
	char aside[4096];
	int fd, rc;

	if ((size_t)snprintf(aside, sizeof(aside), "%s.new", path) >=
	    sizeof(aside))
		return mb_err_set(err, -ENAMETOOLONG, "%.64s...: name too long",
				  path);
	rc = beneath_remove(dir_fd, aside);
	fd = rc < 0 && rc != -ENOENT ? rc :
				       beneath_create_file(dir_fd, aside, mode);
	if (fd < 0)
		return mb_err_set(err, fd, "%s: %s", aside, strerror(-fd));
	rc = write_full(fd, content.ptr, content.len);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0)
		rc = beneath_rename(dir_fd, aside, path);
	if (rc < 0) {
		beneath_remove(dir_fd, aside);
		return mb_err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	return 0;
}

bool path_is_inside(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return !strncmp(path, folder, len) && (path[len] == '/' || !path[len]);
}
