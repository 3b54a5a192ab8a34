/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An archive, in one pass from front to back. What comes next of a large file
 * is read and decrypted by one core while the other writes.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "crew.h"
#include "extract.h"
#include "tree_walk.h"

#define CHUNK ((size_t)1 << 20)
#define COUNT_AFTER_S 1.5 /* as in extract_files.c */
#define DEPTH_MAX 1000
#define PATH_SIZE ((size_t)1 << 18)

struct chunk {
	unsigned char *buf;
	int64_t off;
	size_t len;
	ssize_t got; /* less than @len before damage; or an error */
};

struct taring {
	struct extract *x;
	struct archive *archive;
	struct archive_entry *entry;
	struct crew *crew;
	struct mb_record rec;
	char *path;
	unsigned depth; /* of folders, beyond which made-up ones are left out */
	struct mb_reader *reader; /* of the present file */
	struct chunk chunks[2];
	struct chunk *reading; /* by the other thread */
	int fd;
	int output_rc; /* from an error on, what comes is swallowed */
	struct mb_err *err;
};

static int archive_failed(struct taring *t)
{
	const char *text = archive_error_string(t->archive);

	return mb_err_set(t->err, -EIO, "%s: %s", t->x->wish.tar,
			  text ? text : _("cannot be written"));
}

/* libarchive does not free all of an archive that it could not write. */
static la_ssize_t write_output(struct archive *archive, void *arg,
			       const void *ptr, size_t len)
{
	struct taring *t = arg;

	(void)archive;
	if (t->output_rc == 0)
		t->output_rc = write_full(t->fd, ptr, len);
	return (la_ssize_t)len;
}

static int check_output(struct taring *t)
{
	return t->output_rc == 0 ?
		       0 :
		       mb_err_set(t->err, t->output_rc, "%s: %s",
				  t->x->wish.tar, strerror(-t->output_rc));
}

/* --- content ------------------------------------------------------------- */

static void read_chunk(void *arg, size_t i)
{
	struct taring *t = arg;
	struct chunk *c = t->reading;
	size_t got = 0;

	(void)i;
	c->got = 0;
	while (got < c->len) {
		ssize_t n =
			mb_reader_pread(t->reader, c->buf + got, c->len - got,
					c->off + (int64_t)got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	c->got = (ssize_t)got;
}

static void prepare(struct taring *t, struct chunk *c, int64_t off,
		    int64_t size)
{
	c->off = off;
	c->len = size - off < (int64_t)CHUNK ? (size_t)(size - off) : CHUNK;
	t->reading = c;
}

static int write_all(struct taring *t, const void *ptr, size_t len)
{
	while (len) {
		la_ssize_t n = archive_write_data(t->archive, ptr, len);

		if (n <= 0)
			return archive_failed(t);
		ptr = (const char *)ptr + n;
		len -= (size_t)n;
	}
	return check_output(t);
}

static int write_zeros(struct taring *t, int64_t len)
{
	memset(t->chunks[0].buf, 0, CHUNK);
	while (len > 0) {
		size_t part = len < (int64_t)CHUNK ? (size_t)len : CHUNK;
		int rc = write_all(t, t->chunks[0].buf, part);

		if (rc < 0)
			return rc;
		if (extract_is_stopped())
			return work_cancelled(t->err);
		len -= (int64_t)part;
	}
	return 0;
}

static void say_cut(struct taring *t, uint32_t node, int64_t good, int64_t size)
{
	struct mb_err line;
	bool fatal;
	const char *damage = mb_reader_get_damage(t->reader, &fatal);

	mb_err_set(
		&line, 0,
		"%s: the first %lld of %lld bytes are kept, the rest is zero",
		damage ? damage : _("cannot be read"), (long long)good,
		(long long)size);
	extract_damaged(t->x, node, line.text);
}

/* The header promised a size: what cannot be read is made up by zeros. */
static int write_content(struct taring *t, uint32_t node, int64_t size)
{
	struct chunk *c = &t->chunks[0];

	prepare(t, c, 0, size);
	read_chunk(t, 0);
	for (int64_t off = 0; off < size;) {
		struct chunk *next =
			c == t->chunks ? &t->chunks[1] : &t->chunks[0];
		int64_t end = off + (int64_t)c->len;
		bool whole = (size_t)c->got == c->len;
		bool more = whole && end < size;
		int rc;

		if (more) {
			prepare(t, next, end, size);
			crew_start(t->crew, read_chunk, t);
		}
		rc = write_all(t, c->buf, (size_t)c->got);
		if (more)
			crew_finish(t->crew);
		if (rc == 0 && extract_is_stopped())
			rc = work_cancelled(t->err);
		if (rc < 0)
			return rc;
		t->x->counts.bytes += (uint64_t)c->got;
		if (!whole) {
			say_cut(t, node, off + c->got, size);
			return write_zeros(t, size - off - c->got);
		}
		off = end;
		c = next;
	}
	return 0;
}

/* --- entries ------------------------------------------------------------- */

static int add_attribute(void *arg, struct mb_slice own, struct mb_slice value)
{
	struct taring *t = arg;
	char name[MB_ATTRIBUTE_MAX + 1];

	if (mb_shown_attribute(name, own, value))
		archive_entry_xattr_add_entry(t->entry, name, value.ptr,
					      value.len);
	return 0;
}

/*
 * libarchive prints the seconds and behind them the fraction, whose sign is
 * then that of the seconds.
 */
static void set_time(struct archive_entry *e, struct timespec t)
{
	if (t.tv_sec < -1 && t.tv_nsec) {
		t.tv_sec++;
		t.tv_nsec = 1000000000 - t.tv_nsec;
	} else if (t.tv_sec == -1) {
		t.tv_nsec = 0; /* there is no "-0" */
	}
	archive_entry_set_mtime(e, t.tv_sec, t.tv_nsec);
}

static int write_header(struct taring *t, uint32_t node, int64_t size)
{
	enum mb_type type = mb_tree_get_type(t->x->tree, node);
	struct archive_entry *e = t->entry;
	struct timespec mtime = t->rec.mtime;
	mode_t mode = EXTRACT_MODE(t->rec.mode);

	if (mb_tree_is_made_up(t->x->tree, node)) {
		struct mb_stat st = { 0 };

		mb_tree_stat(t->x->tree, node, &st, NULL);
		mtime = st.mtime;
		mode = 0755;
	}
	archive_entry_clear(e);
	mb_tree_get_path(t->x->tree, node, t->path, PATH_SIZE);
	archive_entry_set_pathname(e, t->path);
	archive_entry_set_filetype(e, type == MB_DIR  ? AE_IFDIR :
				      type == MB_LINK ? AE_IFLNK :
							AE_IFREG);
	archive_entry_set_perm(e, type == MB_LINK ? 0777 : mode);
	set_time(e, mtime);
	archive_entry_set_uid(e, t->rec.uid);
	archive_entry_set_gid(e, t->rec.gid);
	archive_entry_set_size(e, size);
	if (type != MB_LINK)
		mb_record_each_xattr(&t->rec, add_attribute, t);
	if (type == MB_LINK) {
		char *target = strndup(t->rec.target.ptr, t->rec.target.len);

		if (!target)
			return mb_err_set(t->err, -ENOMEM, "out of memory");
		archive_entry_set_symlink(e, target);
		free(target);
	}
	/* ARCHIVE_WARN: a name that is no text in this locale; kept as bytes */
	return archive_write_header(t->archive, e) < ARCHIVE_WARN ?
		       archive_failed(t) :
		       check_output(t);
}

static int write_file(struct taring *t, uint32_t node)
{
	int64_t size;
	int rc = extract_open(t->x, node, &t->rec, &t->reader);

	if (rc)
		return rc < 0 ? mb_err_set(t->err, rc, "%s", strerror(-rc)) : 0;
	size = mb_reader_get_size(t->reader);
	rc = write_header(t, node, size);
	if (rc == 0)
		rc = write_content(t, node, size);
	if (rc == 0)
		t->x->counts.files++;
	mb_reader_free(t->reader);
	t->reader = NULL;
	return rc;
}

static int write_link(struct taring *t, uint32_t node)
{
	struct mb_slice to = t->rec.target;
	int rc;

	if (!to.len || memchr(to.ptr, '\0', to.len)) {
		extract_damaged(t->x, node,
				t->rec.damage ? t->rec.damage :
						_("a link without a target"));
		return 0;
	}
	rc = write_header(t, node, 0);
	if (rc == 0)
		t->x->counts.links++;
	return rc;
}

static int write_folder(struct taring *t, uint32_t node)
{
	uint32_t first, count;
	struct mb_err why;
	int rc;

	/* whoever unpacks makes them anyway */
	if (t->depth < DEPTH_MAX || !mb_tree_is_made_up(t->x->tree, node)) {
		if (t->rec.damage)
			extract_damaged(t->x, node, t->rec.damage);
		rc = write_header(t, node, 0);
		if (rc < 0)
			return rc;
		t->x->counts.folders++;
	}
	if (mb_tree_children(t->x->tree, node, &first, &count, &why) == 0) {
		t->depth++;
		return 0;
	}
	extract_damaged(t->x, node, why.text);
	return TREE_WALK_SKIP;
}

static int write_made_up(struct taring *t, uint32_t node)
{
	mb_record_release(&t->rec);
	t->rec = (struct mb_record){ .type = MB_DIR };
	return write_folder(t, node);
}

static int leave_folder(void *arg, uint32_t node)
{
	struct taring *t = arg;

	if (node != MB_ROOT)
		t->depth--;
	return 0;
}

static int write_node(void *arg, uint32_t node)
{
	struct taring *t = arg;
	struct mb_err why;
	int rc;

	if (extract_is_stopped())
		return work_cancelled(t->err);
	if (!t->x->plan.counted && !t->x->common.quiet &&
	    progress_seconds(t->x->work.progress) > COUNT_AFTER_S)
		extract_plan_count(&t->x->plan, t->x->backup);
	if (node == MB_ROOT)
		return 0;
	if (!extract_plan_has(&t->x->plan, node))
		return TREE_WALK_SKIP;
	if (mb_tree_is_made_up(t->x->tree, node))
		return write_made_up(t, node);
	rc = mb_tree_record(t->x->tree, node, &t->rec, &why);
	if (rc < 0) {
		extract_damaged(t->x, node, why.text);
		return TREE_WALK_SKIP;
	}
	switch (mb_tree_get_type(t->x->tree, node)) {
	case MB_DIR:
		return write_folder(t, node);
	case MB_LINK:
		return write_link(t, node);
	default:
		return write_file(t, node);
	}
}

/* --- the archive --------------------------------------------------------- */

static int prepare_archive(struct taring *t)
{
	t->archive = archive_write_new();
	t->entry = archive_entry_new();
	t->path = malloc(PATH_SIZE);
	for (size_t i = 0; i < 2; i++)
		t->chunks[i].buf = malloc(CHUNK);
	if (!t->archive || !t->entry || !t->path || !t->chunks[0].buf ||
	    !t->chunks[1].buf || crew_open(&t->crew) < 0)
		return mb_err_set(t->err, -ENOMEM, "out of memory");
	if (archive_write_set_format_pax(t->archive) != ARCHIVE_OK)
		return archive_failed(t);
	/* as GNU tar and Python have them */
	archive_write_set_format_option(t->archive, "pax", "xattrheader",
					"SCHILY");
	archive_write_set_bytes_per_block(t->archive, 1 << 18);
	archive_write_set_bytes_in_last_block(t->archive, 10240);
	return 0;
}

static void drop_archive(struct taring *t)
{
	/* a failed one does not deserve an end */
	if (!t->output_rc)
		t->output_rc = -ECANCELED;
	archive_write_free(t->archive);
	archive_entry_free(t->entry);
	crew_free(t->crew);
	for (size_t i = 0; i < 2; i++)
		free(t->chunks[i].buf);
	free(t->path);
	mb_record_release(&t->rec);
}

/*
 * Names that are UTF-8, as nearly all are, become text in the archive, the
 * others bytes. libarchive asks the locale which is which.
 */
static int write_archive(struct extract *x, int fd, struct mb_err *err)
{
	struct taring t = { .x = x, .fd = fd, .err = err };
	const struct tree_visitor visitor = { .enter = write_node,
					      .leave = leave_folder,
					      .arg = &t };
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
	locale_t before = utf8 ? uselocale(utf8) : 0;
	int rc = prepare_archive(&t);

	if (rc == 0 && archive_write_open(t.archive, &t, NULL, write_output,
					  NULL) != ARCHIVE_OK)
		rc = archive_failed(&t);
	if (rc == 0)
		rc = tree_walk(x->tree, MB_ROOT, &visitor, err);
	if (rc == 0 && archive_write_close(t.archive) != ARCHIVE_OK)
		rc = archive_failed(&t);
	if (rc == 0)
		rc = check_output(&t);
	drop_archive(&t);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return rc;
}

/* --- where it goes ------------------------------------------------------- */

/* Below the folder of the file: under a name of its own until it is whole. */
struct place {
	int dir_fd;
	char *copy;
	const char *name;
	char part[280];
};

static void place_release(struct place *p)
{
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	free(p->copy);
}

MB_DEFINE_AUTO_VALUE(struct place, place_release)

static int file_failed(struct extract *x, int rc, struct mb_err *err)
{
	mb_err_set(err, rc, "%s: %s", x->wish.tar, strerror(-rc));
	/* ENOENT would say that there is no backup to read */
	return rc == -ENOENT ? -ENOTDIR : rc;
}

static int find_place(struct extract *x, struct place *p, struct mb_err *err)
{
	mb_auto(free) char *above = strdup(x->wish.tar);
	struct stat st;

	p->copy = strdup(x->wish.tar);
	if (!above || !p->copy)
		return mb_err_set(err, -ENOMEM, "out of memory");
	p->name = basename(p->copy);
	p->dir_fd = open(dirname(above), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		return file_failed(x, -errno, err);
	if (snprintf(p->part, sizeof(p->part), ".larder-%d-%.200s",
		     (int)getpid(), p->name) < 0)
		return file_failed(x, -EINVAL, err);
	if (fstatat(p->dir_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : file_failed(x, -errno, err);
	if (S_ISDIR(st.st_mode))
		return file_failed(x, -EISDIR, err);
	if (!S_ISREG(st.st_mode) && x->wish.overwrite)
		return mb_err_set(err, -EEXIST,
				  "%s is no file, and is not replaced",
				  x->wish.tar);
	if (!x->wish.overwrite)
		return mb_err_set(
			err, -EEXIST,
			"%s is there already (--overwrite replaces it)",
			x->wish.tar);
	return 0;
}

static int into_file(struct extract *x, struct mb_err *err)
{
	mb_auto(place_release) struct place p = { .dir_fd = -1 };
	int fd, rc = find_place(x, &p, err);

	if (rc < 0)
		return rc;
	/* for the user alone, as a folder would be */
	fd = openat(p.dir_fd, p.part,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return file_failed(x, -errno, err);
	rc = write_archive(x, fd, err);
	if (close(fd) < 0 && rc == 0)
		rc = file_failed(x, -errno, err);
	if (rc == 0) {
		rc = x->wish.overwrite ?
			     (renameat(p.dir_fd, p.part, p.dir_fd, p.name) < 0 ?
				      -errno :
				      0) :
			     beneath_rename_new(p.dir_fd, p.part, p.dir_fd,
						p.name);
		if (rc < 0)
			rc = file_failed(x, rc, err);
	}
	if (rc < 0)
		unlinkat(p.dir_fd, p.part, 0);
	return rc;
}

/* A device or a pipe, also one that a link leads to: as standard output. */
static bool is_stream(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 &&
	       (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ||
		S_ISFIFO(st.st_mode));
}

static int into_stream(struct extract *x, struct mb_err *err)
{
	mb_auto(close) int fd =
		open(x->wish.tar, O_WRONLY | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? file_failed(x, -errno, err) : write_archive(x, fd, err);
}

int extract_tar(struct extract *x, struct mb_err *err)
{
	if (!strcmp(x->wish.tar, "-"))
		return write_archive(x, STDOUT_FILENO, err);
	return is_stream(x->wish.tar) ? into_stream(x, err) : into_file(x, err);
}
