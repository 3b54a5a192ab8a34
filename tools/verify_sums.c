/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of SHA-256 in the BSD format, which sha256sum -c reads, with its
 * escapes for names with line breaks:
 *
 *   SHA256 (ab/ab01...) = 0123...
 *   \SHA256 (a\nb) = 0123...
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "crew.h"
#include "mb/sums.h"
#include "verify_inside.h"

#define HEX_LEN (2 * MB_SUM_LEN)
#define FRONT "SHA256 ("
#define BACK ") = "
#define BATCH 256

int verify_keep_out(const struct verify *v, const char *path,
		    struct mb_err *err)
{
	const char *source = mb_backup_get_info(v->backup)->source;
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX], real[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s",
		 slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	if (!realpath(folder, real))
		return mb_err_set(err, -EIO, "%s: %s", folder, strerror(errno));
	if (path_is_inside(real, source))
		return mb_err_set(
			err, -EINVAL,
			"%s: is in the backup, into which nothing is written",
			path);
	return 0;
}

/* --- how much there is ---------------------------------------------------- */

struct totals {
	struct verify *v;
	int fd;
};

static int add_length(void *arg, const char *path, const uint8_t *sum)
{
	struct totals *t = arg;
	struct stat st;

	(void)sum;
	if (beneath_stat(t->fd, path, &st) == 0)
		t->v->sum_total += (uint64_t)st.st_size;
	return 0;
}

/* For the percentage. */
static int measure(struct verify *v, struct mb_err *err)
{
	struct totals t = { .v = v, .fd = mb_backup_get_fd(v->backup) };
	const struct mb_sums_wish wish = {
		.names_only = true,
		.each = add_length,
		.cancelled = watch_cancelled,
		.arg = &t,
	};

	v->sum_total = 1;
	return mb_sums_each(t.fd, &wish, err);
}

/* --- --record ------------------------------------------------------------- */

struct recording {
	struct verify *v;
	FILE *to;
};

static bool needs_escape(const char *path)
{
	return strpbrk(path, "\\\n\r") != NULL;
}

static void put_path(FILE *to, const char *path)
{
	/* "-" would be standard input */
	if (!strcmp(path, "-"))
		fputs("./", to);
	for (; *path; path++) {
		if (*path == '\\')
			fputs("\\\\", to);
		else if (*path == '\n')
			fputs("\\n", to);
		else if (*path == '\r')
			fputs("\\r", to);
		else
			putc(*path, to);
	}
}

static int put_sum(void *arg, const char *path, const uint8_t *sum)
{
	struct recording *r = arg;
	char hex[HEX_LEN + 1];

	hex_encode(hex, sum, MB_SUM_LEN);
	if (needs_escape(path))
		putc('\\', r->to);
	fputs(FRONT, r->to);
	put_path(r->to, path);
	fprintf(r->to, "%s%s\n", BACK, hex);
	return ferror(r->to) ? -EIO : 0;
}

static int record_to(struct verify *v, FILE *to, struct mb_err *err)
{
	struct recording r = { .v = v, .to = to };
	const struct mb_sums_wish wish = {
		.each = put_sum,
		.cancelled = watch_cancelled,
		.arg = &r,
		.files = &v->sum_files,
		.bytes = &v->sum_bytes,
	};
	int rc = mb_sums_each(mb_backup_get_fd(v->backup), &wish, err);

	if (rc == 0 && (fflush(to) != 0 || ferror(to)))
		rc = -EIO;
	if (rc == -EIO && ferror(to))
		mb_err_set(err, rc, "%s: cannot be written: %s", v->wish.record,
			   strerror(errno));
	return rc;
}

/* Written aside and renamed: it is whole, or not there. */
static int record_to_file(struct verify *v, struct mb_err *err)
{
	char aside[PATH_MAX];
	FILE *to;
	int fd, rc;

	if ((size_t)snprintf(aside, sizeof(aside), "%s.XXXXXX",
			     v->wish.record) >= sizeof(aside))
		return mb_err_set(err, -ENAMETOOLONG, "%s: name too long",
				  v->wish.record);
	fd = mkostemp(aside, O_CLOEXEC);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		return mb_err_set(err, -EIO, "%s: %s", v->wish.record,
				  strerror(rc));
	}
	rc = record_to(v, to, err);
	fchmod(fd, 0644);
	if (rc == 0 && fsync(fd) < 0 && errno != EINVAL)
		rc = mb_err_set(err, -EIO, "%s: %s", v->wish.record,
				strerror(errno));
	if (fclose(to) != 0 && rc == 0)
		rc = mb_err_set(err, -EIO, "%s: cannot be written",
				v->wish.record);
	if (rc == 0 && rename(aside, v->wish.record) < 0)
		rc = mb_err_set(err, -EIO, "%s: %s", v->wish.record,
				strerror(errno));
	if (rc < 0)
		unlink(aside);
	return rc;
}

int verify_record(struct verify *v, struct mb_err *err)
{
	int rc;

	progress_begin(v->work.progress, "recording");
	rc = measure(v, err);
	if (rc == 0)
		rc = strcmp(v->wish.record, "-") ? record_to_file(v, err) :
						   record_to(v, stdout, err);
	progress_end(v->work.progress);
	return rc;
}

/* --- --against ------------------------------------------------------------ */

struct line {
	char *path;
	uint8_t want[MB_SUM_LEN], have[MB_SUM_LEN];
	int rc;
};

struct comparing {
	struct verify *v;
	struct crew *crew;
	struct mb_sums_wish wish;
	struct line batch[BATCH];
	size_t batched;
	struct buf hashes; /* of the paths: uint64_t, in the end sorted */
	uint64_t lines;
};

/* FNV-1a and a finish; that two paths have the same costs a note, no more */
static uint64_t hash_path(const char *path)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
	return (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

static bool unescape(char *path)
{
	char *to = path;

	for (; *path; path++) {
		if (*path != '\\') {
			*to++ = *path;
			continue;
		}
		path++;
		if (*path != '\\' && *path != 'n' && *path != 'r')
			return false;
		*to++ = *path == 'n' ? '\n' : *path == 'r' ? '\r' : '\\';
	}
	*to = '\0';
	return true;
}

/* "SHA256 (path) = hex", or "hex  path" */
static bool split_line(char *text, char **path, uint8_t sum[MB_SUM_LEN])
{
	size_t len = strlen(text), front = strlen(FRONT), back = strlen(BACK);
	bool escaped = *text == '\\';

	if (escaped) {
		text++;
		len--;
	}
	if (!strncmp(text, FRONT, front)) {
		char *hex;

		if (len <= front + back + HEX_LEN)
			return false;
		hex = text + len - HEX_LEN;
		if (strncmp(hex - back, BACK, back) != 0 ||
		    !hex_decode(sum, MB_SUM_LEN, hex))
			return false;
		hex[-(ptrdiff_t)back] = '\0';
		*path = text + front;
	} else {
		if (len <= HEX_LEN + 2 || text[HEX_LEN] != ' ' ||
		    (text[HEX_LEN + 1] != ' ' && text[HEX_LEN + 1] != '*'))
			return false;
		text[HEX_LEN] = '\0';
		if (!hex_decode(sum, MB_SUM_LEN, text))
			return false;
		*path = text + HEX_LEN + 2;
	}
	return !escaped || unescape(*path);
}

static void compare_one(void *arg, size_t i)
{
	struct comparing *c = arg;
	struct line *l = &c->batch[i];

	l->rc = mb_sum_file(mb_backup_get_fd(c->v->backup), l->path, &c->wish,
			    l->have);
	atomic_fetch_add(&c->v->sum_files, 1);
}

static int compare_batch(struct comparing *c, struct mb_err *err)
{
	int rc = 0;

	crew_each(c->crew, c->batched, 2, compare_one, c);
	for (size_t i = 0; i < c->batched; i++) {
		struct line *l = &c->batch[i];

		if (l->rc == -ECANCELED || l->rc == -ENOMEM)
			rc = mb_err_set(err, l->rc, "%s",
					l->rc == -ENOMEM ? _("out of memory") :
							   _("cancelled"));
		else if (l->rc == -ENOENT || l->rc == -ENOTDIR)
			verify_say_sum(c->v, "missing", false, l->path,
				       _("missing"));
		else if (l->rc < 0)
			verify_say_sum(c->v, "payload", false, l->path,
				       l->rc == -EBADMSG || l->rc == -ELOOP ||
						       l->rc == -EXDEV ?
					       _("no regular file") :
					       strerror(-l->rc));
		else if (memcmp(l->want, l->have, MB_SUM_LEN) != 0)
			verify_say_sum(c->v, "changed", false, l->path,
				       _("its bytes have changed"));
		free(l->path);
	}
	c->batched = 0;
	return rc;
}

static int take_sum_line(struct comparing *c, char *text, struct mb_err *err)
{
	struct line *l = &c->batch[c->batched];
	const char *file = c->v->wish.against;
	uint64_t hash;
	char *path;

	c->lines++;
	if (!split_line(text, &path, l->want))
		return mb_err_set(err, -EINVAL,
				  "%s: line %llu is no SHA-256 of a file", file,
				  (unsigned long long)c->lines);
	if (!strncmp(path, "./", 2))
		path += 2;
	if (!mb_sums_path_is_inside(path))
		return mb_err_set(err, -EINVAL,
				  "%s: line %llu leads out of the backup", file,
				  (unsigned long long)c->lines);
	hash = hash_path(path);
	l->path = strdup(path);
	if (!l->path)
		return mb_err_set(err, -ENOMEM, _("out of memory"));
	c->batched++;
	if (buf_add(&c->hashes, &hash, sizeof(hash)) < 0)
		return mb_err_set(err, -ENOMEM, _("out of memory"));
	return c->batched == BATCH ? compare_batch(c, err) : 0;
}

static int compare_lines(struct comparing *c, FILE *from, struct mb_err *err)
{
	mb_auto(free) char *text = malloc(2 * PATH_MAX + 256);
	int rc = 0;

	if (!text)
		return mb_err_set(err, -ENOMEM, _("out of memory"));
	while (rc == 0 && fgets(text, 2 * PATH_MAX + 256, from)) {
		/* one that is longer than any name is cut off, and no sum */
		text[strcspn(text, "\n")] = '\0';
		rc = take_sum_line(c, text, err);
	}
	if (rc == 0 && ferror(from))
		rc = mb_err_set(err, -EIO, "%s: cannot be read",
				c->v->wish.against);
	if (rc == 0)
		rc = compare_batch(c, err);
	if (rc == 0 && !c->lines)
		rc = mb_err_set(err, -EINVAL, "%s: holds no sums",
				c->v->wish.against);
	return rc;
}

static int compare_hashes(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

static int check_listed(void *arg, const char *path, const uint8_t *sum)
{
	struct comparing *c = arg;
	uint64_t hash = hash_path(path);

	(void)sum;
	if (!bsearch(&hash, c->hashes.ptr, c->hashes.len / sizeof(hash),
		     sizeof(hash), compare_hashes))
		verify_say_sum(c->v, "unlisted", true, path,
			       _("is not in the list"));
	return 0;
}

static int look_for_unlisted(struct comparing *c, struct mb_err *err)
{
	struct mb_sums_wish wish = c->wish;

	wish.names_only = true;
	wish.each = check_listed;
	wish.files = wish.bytes = NULL;
	qsort(c->hashes.ptr, c->hashes.len / sizeof(uint64_t), sizeof(uint64_t),
	      compare_hashes);
	return mb_sums_each(mb_backup_get_fd(c->v->backup), &wish, err);
}

static int against(struct comparing *c, struct mb_err *err)
{
	FILE *from = fopen(c->v->wish.against, "re");
	int rc;

	if (!from)
		return mb_err_set(err, -EIO, "%s: %s", c->v->wish.against,
				  strerror(errno));
	rc = crew_open(&c->crew);
	if (rc < 0)
		mb_err_set(err, rc, _("out of memory"));
	if (rc == 0)
		rc = measure(c->v, err);
	if (rc == 0)
		rc = compare_lines(c, from, err);
	if (rc == 0)
		rc = look_for_unlisted(c, err);
	fclose(from);
	return rc;
}

int verify_against(struct verify *v, struct mb_err *err)
{
	struct comparing *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return mb_err_set(err, -ENOMEM, _("out of memory"));
	c->v = v;
	c->wish = (struct mb_sums_wish){
		.cancelled = watch_cancelled,
		.arg = c,
		.bytes = &v->sum_bytes,
	};
	progress_begin(v->work.progress, "comparing");
	rc = against(c, err);
	progress_end(v->work.progress);
	while (c->batched)
		free(c->batch[--c->batched].path);
	crew_free(c->crew);
	buf_release(&c->hashes);
	free(c);
	return rc;
}
