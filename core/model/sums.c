/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/sums.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "crew.h"
#include "crypto.h"

#define BUF_LEN (256u << 10)
#define BATCH 256

/* A folder that is open: its names, sorted, and how far it is. */
struct level {
	struct buf names; /* type, name, NUL; over and over */
	uint32_t *order;
	size_t count, cap, next;
	size_t path_len; /* of its path in walk.path */
};

struct batch_file {
	char *path;
	uint8_t sum[MB_SUM_LEN];
	int rc;
};

struct walk {
	int dir_fd;
	const struct mb_sums_wish *wish;
	struct mb_err *err;
	struct crew *crew;
	char path[PATH_MAX];
	struct level *levels;
	size_t depth, levels_cap;
	struct batch_file batch[BATCH];
	size_t batched;
};

/* --- one file ------------------------------------------------------------- */

static bool is_cancelled(const struct mb_sums_wish *wish)
{
	return wish->cancelled && wish->cancelled();
}

static int sum_fd(int fd, const struct mb_sums_wish *wish, uint8_t *buf,
		  struct digest *digest)
{
	for (;;) {
		ssize_t n = read(fd, buf, BUF_LEN);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (is_cancelled(wish))
			return -ECANCELED;
		if (digest_add(digest, buf, (size_t)n) < 0)
			return -EIO;
		if (wish->bytes)
			atomic_fetch_add(wish->bytes, (uint64_t)n);
	}
}

int mb_sum_file(int dir_fd, const char *path, const struct mb_sums_wish *wish,
		uint8_t sum[MB_SUM_LEN])
{
	mb_auto(close) int fd = beneath_open_file(dir_fd, path, NULL);
	mb_auto(digest_free) struct digest *digest = NULL;
	mb_auto(free) uint8_t *buf = malloc(BUF_LEN);
	int rc;

	if (fd < 0)
		return fd;
	if (!buf)
		return -ENOMEM;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	rc = digest_new(&digest, MB_SUM_LEN);
	if (rc == 0)
		rc = sum_fd(fd, wish, buf, digest);
	return rc < 0 ? rc : digest_finish(digest, sum);
}

bool mb_sums_path_is_inside(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (!len || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

/* --- batches -------------------------------------------------------------- */

static void sum_one(void *arg, size_t i)
{
	struct walk *w = arg;
	struct batch_file *f = &w->batch[i];

	f->rc = mb_sum_file(w->dir_fd, f->path, w->wish, f->sum);
	if (f->rc == 0 && w->wish->files)
		atomic_fetch_add(w->wish->files, 1);
}

static int flush_batch(struct walk *w)
{
	int rc = 0;

	crew_each(w->crew, w->batched, 2, sum_one, w);
	for (size_t i = 0; i < w->batched; i++) {
		struct batch_file *f = &w->batch[i];

		if (rc == 0 && f->rc < 0)
			rc = mb_err_set(w->err, f->rc, "%s: %s", f->path,
					strerror(-f->rc));
		if (rc == 0)
			rc = w->wish->each(w->wish->arg, f->path, f->sum);
		free(f->path);
	}
	w->batched = 0;
	return rc;
}

static int add_file(struct walk *w, const char *path)
{
	if (w->wish->names_only)
		return w->wish->each(w->wish->arg, path, NULL);
	w->batch[w->batched].path = strdup(path);
	if (!w->batch[w->batched].path)
		return mb_err_set(w->err, -ENOMEM, "out of memory");
	return ++w->batched == BATCH ? flush_batch(w) : 0;
}

/* --- the walk ------------------------------------------------------------- */

static bool is_litter(const char *name)
{
	return !strcmp(name, ".DS_Store") || !strcmp(name, "Thumbs.db") ||
	       !strcmp(name, "desktop.ini") || !strncmp(name, "._", 2);
}

/* 'd', 'f', or 0 for anything else */
static char type_of(int fd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type == DT_DIR || e->d_type == DT_REG)
		return e->d_type == DT_DIR ? 'd' : 'f';
	if (e->d_type != DT_UNKNOWN ||
	    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return S_ISDIR(st.st_mode) ? 'd' : S_ISREG(st.st_mode) ? 'f' : 0;
}

static int add_name(struct level *l, char type, const char *name)
{
	if (l->names.len > UINT32_MAX - 512)
		return -E2BIG;
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap + l->cap / 2 : 64;
		void *order = reallocarray(l->order, cap, sizeof(*l->order));

		if (!order)
			return -ENOMEM;
		l->order = order;
		l->cap = cap;
	}
	l->order[l->count++] = (uint32_t)l->names.len;
	if (buf_add_u8(&l->names, (uint8_t)type) < 0)
		return -ENOMEM;
	return buf_add(&l->names, name, strlen(name) + 1);
}

static int end_of(const char *entry, size_t at)
{
	unsigned char byte = (unsigned char)entry[1 + at];

	return byte ? byte : entry[0] == 'd' ? '/' : -1;
}

/* So that whole paths come in the order of their bytes. */
static int compare_names(const void *va, const void *vb, void *arg)
{
	const char *names = arg;
	const char *a = names + *(const uint32_t *)va;
	const char *b = names + *(const uint32_t *)vb;
	size_t at = 0;

	while (a[1 + at] && a[1 + at] == b[1 + at])
		at++;
	return end_of(a, at) - end_of(b, at);
}

static int read_names(struct level *l, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (rc == 0 && (e = readdir(dir))) {
		char type = type_of(fd, e);

		if (type && strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 && !is_litter(e->d_name))
			rc = add_name(l, type, e->d_name);
	}
	closedir(dir);
	if (l->count)
		qsort_r(l->order, l->count, sizeof(*l->order), compare_names,
			l->names.ptr);
	return rc;
}

static void close_level(struct walk *w)
{
	struct level *l = &w->levels[--w->depth];

	buf_release(&l->names);
	free(l->order);
}

/* The folder whose path is in w->path. */
static int open_level(struct walk *w)
{
	size_t len = strlen(w->path);
	int fd, rc;

	fd = len ? beneath_open_dir(w->dir_fd, w->path) :
		   openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mb_err_set(w->err, len ? fd : -errno, "%s: %s", w->path,
				  strerror(len ? -fd : errno));
	if (w->depth == w->levels_cap) {
		size_t cap = w->levels_cap ? 2 * w->levels_cap : 8;
		void *levels = reallocarray(w->levels, cap, sizeof(*w->levels));

		if (!levels) {
			close(fd);
			return mb_err_set(w->err, -ENOMEM, "out of memory");
		}
		w->levels = levels;
		w->levels_cap = cap;
	}
	w->levels[w->depth] = (struct level){ .path_len = len };
	rc = read_names(&w->levels[w->depth++], fd);
	return rc < 0 ? mb_err_set(w->err, rc, "%s: %s", w->path,
				   strerror(-rc)) :
			0;
}

static int next_name(struct walk *w)
{
	struct level *l = &w->levels[w->depth - 1];
	const char *entry = (const char *)l->names.ptr + l->order[l->next++];
	size_t len = l->path_len;

	w->path[len] = '\0';
	if (is_cancelled(w->wish))
		return mb_err_set(w->err, -ECANCELED, "cancelled");
	if (len + 1 + strlen(entry + 1) >= sizeof(w->path))
		return mb_err_set(w->err, -ENAMETOOLONG, "%s: nested too deep",
				  w->path);
	sprintf(w->path + len, "%s%s", len ? "/" : "", entry + 1);
	return entry[0] == 'd' ? open_level(w) : add_file(w, w->path);
}

int mb_sums_each(int dir_fd, const struct mb_sums_wish *wish,
		 struct mb_err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return mb_err_set(err, -ENOMEM, "out of memory");
	w->dir_fd = dir_fd;
	w->wish = wish;
	w->err = err;
	rc = crew_open(&w->crew);
	if (rc == 0)
		rc = open_level(w);
	while (rc == 0 && w->depth) {
		if (w->levels[w->depth - 1].next <
		    w->levels[w->depth - 1].count)
			rc = next_name(w);
		else
			close_level(w);
	}
	if (rc == 0)
		rc = flush_batch(w);
	while (w->depth)
		close_level(w);
	while (w->batched)
		free(w->batch[--w->batched].path);
	free(w->levels);
	crew_free(w->crew);
	free(w);
	return rc;
}
