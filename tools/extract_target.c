/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extract_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "beneath.h"

/* Smaller files are copied by hand: it takes as many calls, and shorter ones. */
#define BY_KERNEL ((int64_t)128 << 10)

static void aside_name(char out[32], unsigned number)
{
	snprintf(out, 32, "new-%u", number);
}

static unsigned next_aside(void)
{
	static atomic_uint last;

	return atomic_fetch_add(&last, 1) + 1;
}

/* --- what is there already ----------------------------------------------- */

/* Not every file system keeps nanoseconds. */
static bool same_time(struct timespec there, struct timespec want)
{
	return there.tv_sec == want.tv_sec &&
	       (there.tv_nsec == want.tv_nsec || !there.tv_nsec);
}

/* Does a file that looks whole have the content? */
static bool has_content(struct extract_hand *h, const struct extract_target *t)
{
	mb_auto(close) int fd =
		openat(t->folder->fd, t->name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const size_t half = EXTRACT_BUF / 2;

	if (fd < 0)
		return false;
	for (int64_t off = 0; off < t->size;) {
		ssize_t n = mb_reader_pread(t->reader, h->buf, half, off);

		if (n <= 0 || extract_is_stopped() ||
		    pread_full(fd, h->buf + half, (size_t)n, off) != n ||
		    memcmp(h->buf, h->buf + half, (size_t)n))
			return false;
		off += n;
	}
	return true;
}

static bool is_complete(struct extract_hand *h, const struct extract_target *t,
			const struct stat *st)
{
	bool fatal;

	if (!h->dest->resumed || !S_ISREG(st->st_mode) ||
	    st->st_size != t->size || !same_time(st->st_mtim, t->mtime))
		return false;
	/* it is to be reported once more */
	mb_reader_get_damage(t->reader, &fatal);
	return !fatal && (h->dest->trusted || has_content(h, t));
}

/*
 * Something is in the place. Returns 0 if it is out of the way, or if another
 * name is to be taken for now, which is put into @t->aside.
 */
static int make_way(struct extract_target *t, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!t->dest->resumed && !t->x->wish.overwrite)
		return -EEXIST;
	/* somebody may sit at the other end of anything else */
	if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode))
		return -EEXIST;
	/* what another file system holds cannot be renamed over */
	if (t->x->wish.overwrite && st->st_dev == t->folder->dev) {
		struct stat work;

		if (fstat(t->dest->work_fd, &work) == 0 &&
		    work.st_dev == t->folder->dev) {
			t->aside = next_aside();
			return 0;
		}
	}
	return unlinkat(t->folder->fd, t->name, 0) < 0 ? -errno : 0;
}

/* The name that only our own folder can have. */
static bool is_reserved(const struct extract_target *t)
{
	return !t->folder->above && !strcmp(t->name, EXTRACT_WORK);
}

/* --- files --------------------------------------------------------------- */

static int create(struct extract_target *t, mode_t mode)
{
	char aside[32];
	int at = t->aside ? t->dest->work_fd : t->folder->fd;

	aside_name(aside, t->aside);
	t->fd = openat(at, t->aside ? aside : t->name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       mode);
	return t->fd < 0 ? -errno : 0;
}

static int has_attribute(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)arg, (void)name, (void)value;
	return 1;
}

int extract_target_file(struct extract_hand *h, struct extract_target *t)
{
	mode_t mode = EXTRACT_MODE(h->rec.mode);
	struct stat st;
	int rc;

	t->final_mode = -1;
	/* attributes of what may not be written can only root set */
	if (!(mode & 0200) &&
	    mb_record_each_xattr(&h->rec, has_attribute, NULL)) {
		t->final_mode = (int)mode;
		mode |= 0200;
	}
	if (is_reserved(t))
		return -EEXIST;
	rc = create(t, mode);
	if (rc != -EEXIST)
		return rc;
	if (fstatat(t->folder->fd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (is_complete(h, t, &st))
		return 1;
	rc = make_way(t, &st);
	return rc < 0 ? rc : create(t, mode);
}

static void note_end(struct extract_target *t, int64_t off)
{
	int_fast64_t before = t->good;

	while (off < before &&
	       !atomic_compare_exchange_weak(&t->good, &before, off))
		;
}

/* Returns 1 if it has to be done by hand. */
static int fill_by_kernel(struct extract_hand *h, struct extract_target *t,
			  int64_t off, int64_t len)
{
	int in = mb_reader_get_plain_fd(t->reader), rc;

	if (in < 0)
		return 1;
	if (off == 0 && len == t->size) {
		rc = share_reflink(&h->sharing, in, t->fd);
		if (rc == 0 || rc == -ENOSPC || rc == -EDQUOT)
			return rc;
	}
	if (len < BY_KERNEL)
		return 1;
	rc = share_range(&h->sharing, in, t->fd, off, len);
	/* by hand it turns out what cannot be read, and where */
	return rc == -EIO ? 1 : rc;
}

static int fill_by_hand(struct extract_hand *h, struct extract_target *t,
			int64_t off, int64_t end)
{
	while (off < end) {
		size_t len = end - off < (int64_t)EXTRACT_BUF ?
				     (size_t)(end - off) :
				     EXTRACT_BUF;
		ssize_t n = mb_reader_pread(t->reader, h->buf, len, off);
		int rc;

		if (n <= 0) {
			note_end(t, off);
			return 0;
		}
		rc = pwrite_full(t->fd, h->buf, (size_t)n, off);
		if (rc < 0)
			return rc;
		off += n;
		t->x->counts.bytes += (uint64_t)n;
		if (off < end && extract_is_stopped())
			return -ECANCELED;
	}
	return 0;
}

int extract_target_fill(struct extract_hand *h, struct extract_target *t,
			int64_t off, int64_t len)
{
	int rc = len ? fill_by_kernel(h, t, off, len) : 0;

	if (rc == 0)
		t->x->counts.bytes += (uint64_t)len;
	return rc > 0 ? fill_by_hand(h, t, off, off + len) : rc;
}

/* The time comes last: who has the recorded one is complete. */
static int complete(struct extract_target *t)
{
	const struct timespec times[2] = { t->mtime, t->mtime };

	if (t->good < t->size && ftruncate(t->fd, t->good) < 0)
		return -errno;
	if (t->final_mode >= 0)
		fchmod(t->fd, (mode_t)t->final_mode);
	futimens(t->fd, times);
	return 0;
}

static int put_in_place(struct extract_target *t)
{
	char aside[32];

	if (!t->aside)
		return 0;
	aside_name(aside, t->aside);
	return renameat(t->dest->work_fd, aside, t->folder->fd, t->name) < 0 ?
		       -errno :
		       0;
}

static void remove_it(struct extract_target *t)
{
	char aside[32];

	aside_name(aside, t->aside);
	if (t->aside)
		unlinkat(t->dest->work_fd, aside, 0);
	else
		unlinkat(t->folder->fd, t->name, 0);
}

int extract_target_end(struct extract_target *t, int rc)
{
	if (rc == 0)
		rc = complete(t);
	if (close(t->fd) < 0 && rc == 0)
		rc = -errno;
	t->fd = -1;
	if (rc == 0)
		rc = put_in_place(t);
	if (rc < 0)
		remove_it(t);
	return rc;
}

/* --- links --------------------------------------------------------------- */

static bool leads_there(const struct extract_target *t, const char *text)
{
	char there[PATH_MAX];
	ssize_t n = readlinkat(t->folder->fd, t->name, there, sizeof(there));

	return n >= 0 && (size_t)n == strlen(text) &&
	       !memcmp(there, text, (size_t)n);
}

static int link_once(struct extract_target *t, const char *text)
{
	char aside[32];

	aside_name(aside, t->aside);
	return symlinkat(text, t->aside ? t->dest->work_fd : t->folder->fd,
			 t->aside ? aside : t->name) < 0 ?
		       -errno :
		       0;
}

static void set_link_time(const struct extract_target *t)
{
	const struct timespec times[2] = { t->mtime, t->mtime };

	utimensat(t->folder->fd, t->name, times, AT_SYMLINK_NOFOLLOW);
}

int extract_target_link(struct extract_hand *h, struct extract_target *t,
			const char *text)
{
	struct stat st;
	int rc;

	if (is_reserved(t))
		return -EEXIST;
	rc = link_once(t, text);
	if (rc == -EEXIST) {
		if (fstatat(t->folder->fd, t->name, &st, AT_SYMLINK_NOFOLLOW) <
		    0)
			return -errno;
		if (h->dest->resumed && S_ISLNK(st.st_mode) &&
		    leads_there(t, text)) {
			set_link_time(t);
			return 1;
		}
		rc = make_way(t, &st);
		if (rc == 0)
			rc = link_once(t, text);
		if (rc == 0) {
			rc = put_in_place(t);
			if (rc < 0)
				remove_it(t);
		}
	}
	if (rc == 0)
		set_link_time(t);
	return rc;
}

/* --- attributes ---------------------------------------------------------- */

struct attributes {
	struct extract *x;
	int fd;
	uint32_t node;
};

static int set_attribute(void *arg, struct mb_slice own, struct mb_slice value)
{
	static atomic_bool said;
	const struct attributes *a = arg;
	char name[MB_ATTRIBUTE_MAX + 1], path[300];
	int error;

	if (!mb_shown_attribute(name, own, value))
		return 0;
	if (fsetxattr(a->fd, name, value.ptr, value.len, 0) == 0)
		return 0;
	error = errno;
	if (error == EOPNOTSUPP) {
		if (!atomic_exchange(&said, true))
			progress_warn(
				a->x->work.progress,
				"%s: files here cannot have attributes: they are left out",
				a->x->wish.dest);
		return 1;
	}
	mb_tree_get_path(a->x->tree, a->node, path, sizeof(path));
	progress_warn(a->x->work.progress, "%s: attribute %.100s left out: %s",
		      path, name, strerror(error));
	return 0;
}

void extract_attributes(struct extract *x, const struct mb_record *rec, int fd,
			uint32_t node)
{
	struct attributes a = { x, fd, node };

	mb_record_each_xattr(rec, set_attribute, &a);
}
