/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One entry of a tree: what it is now, for the writer and for the judge. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "beneath.h"
#include "source_inside.h"

#define OURS "user.larder."
#define THEIRS "user."
/* A phone's attribute that would pass for one of ours: larderfs(8). */
#define ESCAPED "user.%larder."

#define PIECE (256 * 1024)

static int no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

int source_failed(struct mb_err *err, int rc, const char *file)
{
	const size_t shown = 300;
	size_t len = strlen(file);

	return mb_err_set(err, rc, "%s%s: %s", len > shown ? "..." : "",
			  len > shown ? file + len - shown : file,
			  strerror(-rc));
}

/* --- attributes ---------------------------------------------------------- */

/* A value of any length; -ENODATA if there is none, or no attributes at all. */
static int read_value(const char *file, const char *name, struct buf *out)
{
	for (;;) {
		ssize_t len = lgetxattr(file, name, NULL, 0);

		if (len < 0)
			return errno == ENOTSUP ? -ENODATA : -errno;
		/* one more, for a text's end */
		if (buf_reserve(out, (size_t)len + 1) < 0)
			return -ENOMEM;
		len = lgetxattr(file, name, out->ptr + out->len,
				out->cap - out->len - 1);
		if (len >= 0) {
			out->len += (size_t)len;
			out->ptr[out->len] = '\0';
			return 0;
		}
		if (errno != ERANGE) /* it has grown */
			return -errno;
	}
}

bool source_get_text(const char *file, const char *name, struct buf *out)
{
	char full[64];

	snprintf(full, sizeof(full), OURS "%s", name);
	return read_value(file, full, out) == 0;
}

void attributes_release(struct attributes *a)
{
	free(a->items);
	buf_release(&a->names);
	buf_release(&a->values);
	*a = (struct attributes){ 0 };
}

static bool begins_with(const char *text, const char *front)
{
	return !strncmp(text, front, strlen(front));
}

static int by_attribute(const void *a, const void *b)
{
	const struct mb_xattr *x = a, *y = b;

	return mb_slice_compare(x->name, y->name);
}

/* Names and values move when their buffers grow: offsets until all is there. */
static int add_attribute(struct attributes *a, struct mb_slice name,
			 const void *value, size_t len)
{
	struct mb_xattr *items =
		reallocarray(a->items, a->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	a->items = items;
	items[a->count] = (struct mb_xattr){
		.name = { (char *)a->names.len, name.len },
		.value = { (char *)a->values.len, len },
	};
	if (buf_add(&a->names, name.ptr, name.len) < 0 ||
	    buf_add(&a->values, value, len) < 0)
		return -ENOMEM;
	a->count++;
	return 0;
}

static void settle(struct attributes *a)
{
	for (size_t i = 0; i < a->count; i++) {
		struct mb_xattr *x = &a->items[i];

		x->name.ptr = (char *)a->names.ptr + (uintptr_t)x->name.ptr;
		x->value.ptr = !x->value.len ? "" :
					       (char *)a->values.ptr +
						       (uintptr_t)x->value.ptr;
	}
	if (a->count)
		qsort(a->items, a->count, sizeof(*a->items), by_attribute);
}

static int take_attribute(struct attributes *a, const char *file,
			  const char *name)
{
	mb_auto(buf_release) struct buf value = { 0 };
	const char *theirs = name + strlen(THEIRS);
	int rc;

	if (begins_with(name, OURS)) {
		a->marked = true;
		return 0;
	}
	if (!begins_with(name, THEIRS))
		return 0;
	if (begins_with(name, ESCAPED))
		theirs++;
	rc = read_value(file, name, &value);
	if (rc == -ENODATA)
		return 0; /* gone since it was listed */
	return rc < 0 ? rc :
			add_attribute(
				a, (struct mb_slice){ theirs, strlen(theirs) },
				value.ptr, value.len);
}

static int list_names(const char *file, struct buf *out)
{
	for (;;) {
		ssize_t len = llistxattr(file, NULL, 0);

		if (len < 0)
			return errno == ENOTSUP ? 0 : -errno;
		if (buf_reserve(out, (size_t)len + 1) < 0)
			return -ENOMEM;
		len = llistxattr(file, (char *)out->ptr, out->cap);
		if (len >= 0) {
			out->len = (size_t)len;
			return 0;
		}
		if (errno != ERANGE)
			return -errno;
	}
}

/* Can a mount show it? What it cannot, a tree cannot have lost. */
static bool is_shown(struct mb_slice name, struct mb_slice value)
{
	size_t front = strlen(THEIRS) +
		       (name.len >= 7 && !memcmp(name.ptr, "larder.", 7));

	return name.len && !memchr(name.ptr, '\0', name.len) &&
	       name.len + front <= XATTR_NAME_MAX &&
	       value.len <= XATTR_SIZE_MAX;
}

static int take_kept(void *arg, struct mb_slice name, struct mb_slice value)
{
	struct attributes *a = arg;

	if (a->marked && is_shown(name, value))
		return 0;
	for (size_t i = 0; i < a->count; i++) {
		const struct mb_slice *n = &a->items[i].name;

		if (n->len == name.len &&
		    !memcmp(a->names.ptr + (uintptr_t)n->ptr, name.ptr,
			    name.len))
			return 0;
	}
	return add_attribute(a, name, value.ptr, value.len);
}

int attributes_read(struct attributes *a, const char *file,
		    const struct mb_record *base, struct mb_err *err)
{
	mb_auto(buf_release) struct buf names = { 0 };
	int rc = list_names(file, &names);

	for (size_t at = 0; rc == 0 && at < names.len;
	     at += strlen((char *)names.ptr + at) + 1)
		rc = take_attribute(a, file, (char *)names.ptr + at);
	if (rc == 0 && base)
		rc = mb_record_each_xattr(base, take_kept, a);
	if (rc < 0)
		return source_failed(err, rc, file);
	settle(a);
	return 0;
}

static int collect(void *arg, struct mb_slice name, struct mb_slice value)
{
	return add_attribute(arg, name, value.ptr, value.len);
}

/* What an attribute takes in a property list beside its bytes, at most. */
#define ATTRIBUTE_COST 24
/* iphone-backup(5), FILE RECORD */
#define ATTRIBUTES_MAX 2048

/* How many of them fit; those with names that are no text are taken out. */
static bool fits(struct attributes *a)
{
	size_t cost = ATTRIBUTE_COST, kept = 0;

	for (size_t i = 0; i < a->count; i++) {
		struct mb_xattr *x = &a->items[i];

		if (utf8_valid_prefix(x->name.ptr, x->name.len) != x->name.len)
			continue;
		cost += x->name.len + x->value.len + ATTRIBUTE_COST;
		a->items[kept++] = *x;
	}
	a->count = kept;
	return cost <= ATTRIBUTES_MAX;
}

/*
 * A phone keeps attributes as one small property list with names that are
 * text. What a desktop adds may not cost the file, nor those that it had.
 */
static int limit_attributes(struct source *s, struct attributes *a,
			    const char *file, const struct mb_record *base)
{
	size_t count = a->count;
	const char *what = _("attributes that are no text are left out");
	int rc = 0;

	if (!fits(a)) {
		what = _(
			"its attributes are left as they were: a device does not keep so many");
		attributes_release(a);
		if (base)
			rc = mb_record_each_xattr(base, collect, a);
		settle(a);
		count = a->count + 1;
	}
	if (a->count < count && s->observer.odd)
		s->observer.odd(s->observer.arg, file, what);
	return rc;
}

bool attributes_equal(const struct attributes *a, const struct mb_record *rec)
{
	struct attributes b = { 0 };
	bool equal = mb_record_each_xattr(rec, collect, &b) == 0;

	settle(&b);
	equal = equal && a->count == b.count;
	for (size_t i = 0; equal && i < b.count; i++)
		equal = mb_slice_equal(a->items[i].name, b.items[i].name) &&
			mb_slice_equal(a->items[i].value, b.items[i].value);
	attributes_release(&b);
	return equal;
}

/* --- content ------------------------------------------------------------- */

static int open_content(const char *file, struct mb_err *err)
{
	/* a FIFO that has taken the place of a file is not waited for */
	int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? source_failed(err, -errno, file) : fd;
}

int same_content(struct mb_backup *backup, const struct mb_record *rec,
		 const char *file, int64_t size, bool (*cancelled)(void),
		 struct mb_err *err)
{
	mb_auto(mb_reader_free) struct mb_reader *reader = NULL;
	mb_auto(free) char *ours = malloc(PIECE);
	mb_auto(free) char *theirs = malloc(PIECE);
	mb_auto(close) int fd = -1;

	if (!ours || !theirs)
		return no_memory(err);
	if (mb_reader_open(&reader, backup, rec, NULL) < 0 ||
	    mb_reader_get_size(reader) != size)
		return 0;
	fd = open_content(file, err);
	if (fd < 0)
		return fd;
	for (int64_t off = 0; off < size;) {
		ssize_t n = pread_full(fd, ours, PIECE, off), got = 0;

		if (n < 0)
			return source_failed(err, (int)n, file);
		if (cancelled && cancelled())
			return mb_err_set(err, -ECANCELED, "cancelled");
		while (got < n) {
			ssize_t more =
				mb_reader_pread(reader, theirs + got,
						(size_t)(n - got), off + got);

			if (more <= 0)
				return 0;
			got += more;
		}
		if (n == 0 || memcmp(ours, theirs, (size_t)n) != 0)
			return 0;
		off += n;
	}
	return 1;
}

uint32_t source_permissions(const struct source *s, const struct stat *st,
			    const struct mb_record *base)
{
	uint32_t mode = st->st_mode & 07777;
	int fixed = S_ISDIR(st->st_mode) ? s->dir_mode : s->file_mode;

	if (!base)
		return mode;
	/* a link has no mode of its own here */
	if (S_ISLNK(st->st_mode) || (fixed >= 0 && mode == (uint32_t)fixed))
		return base->mode & 07777;
	return (mode & s->mode_mask) | (base->mode & 07777 & ~s->mode_mask);
}

/* --- an entry as a whole ------------------------------------------------- */

void present_release(struct present *p)
{
	mb_record_release(&p->base);
	attributes_release(&p->attributes);
	if (p->fd >= 0)
		close(p->fd);
}

static ssize_t read_file(void *arg, void *out, size_t len, int64_t off)
{
	struct present *p = arg;
	ssize_t n = pread_full(p->fd, out, len, off);

	if (n < 0)
		source_failed(&p->err, (int)n, p->file);
	return n;
}

/* The device's time of birth, which a tree has as an attribute only. */
static struct timespec birth_of(const char *file, const struct stat *st)
{
	mb_auto(buf_release) struct buf text = { 0 };
	struct timespec birth = { .tv_sec = st->st_mtim.tv_sec };
	long long value;
	char *end;

	if (!source_get_text(file, "birthtime", &text))
		return birth;
	value = strtoll((char *)text.ptr, &end, 10);
	if (end != (char *)text.ptr && (!*end || *end == '.'))
		birth.tv_sec = value;
	return birth;
}

static void describe_new(struct present *p, const struct source_new *fresh)
{
	struct mb_entry *e = &p->entry;

	e->uid = fresh->neighbour.uid;
	e->gid = fresh->neighbour.gid;
	e->protection_class =
		e->type == MB_FILE ? fresh->neighbour.protection_class : 0;
	e->birth = birth_of(fresh->file, &p->st);
}

static void describe_changed(struct present *p)
{
	struct mb_entry *e = &p->entry;

	e->base = &p->base;
	e->uid = p->base.uid;
	e->gid = p->base.gid;
	e->protection_class = p->base.protection_class;
	e->bsd_flags = p->base.bsd_flags;
	e->inode = p->base.inode;
	e->birth = p->base.birth;
}

static enum mb_type type_in(const struct stat *st)
{
	return S_ISDIR(st->st_mode) ? MB_DIR :
	       S_ISLNK(st->st_mode) ? MB_LINK :
	       S_ISREG(st->st_mode) ? MB_FILE :
				      0;
}

static int look(struct source *s, const struct source_entry *entry,
		struct present *p, struct mb_err *err)
{
	const char *file = entry->fresh->file;
	ssize_t n;

	if (lstat(file, &p->st) < 0)
		return source_failed(err, -errno, file);
	if (type_in(&p->st) != entry->type)
		return mb_err_set(err, -EIO, "%s: changed meanwhile", file);
	if (entry->type == MB_LINK) {
		n = readlink(file, p->target, sizeof(p->target));
		if (n < 0)
			return source_failed(err, -errno, file);
		p->entry.target = (struct mb_slice){ p->target, (size_t)n };
	}
	if (entry->node)
		return source_record(s, entry->node, &p->base, err) < 0 ?
			       err->code :
			       0;
	return 0;
}

/* As a record holds it: whole seconds of 32 bits. */
static struct timespec recorded_time(struct timespec t)
{
	t.tv_nsec = 0;
	if (t.tv_sec > INT32_MAX)
		t.tv_sec = INT32_MAX;
	if (t.tv_sec < INT32_MIN)
		t.tv_sec = INT32_MIN;
	return t;
}

int source_describe(struct source *s, const struct source_entry *entry,
		    struct present *p, struct mb_err *err)
{
	const struct source_new *fresh = entry->fresh;
	struct mb_entry *e = &p->entry;
	int rc = look(s, entry, p, err);

	if (rc == 0)
		rc = attributes_read(&p->attributes, fresh->file,
				     entry->node ? &p->base : NULL, err);
	if (rc == 0)
		rc = limit_attributes(s, &p->attributes, fresh->file,
				      entry->node ? &p->base : NULL);
	if (rc < 0)
		return rc;
	p->file = fresh->file;
	e->domain = fresh->identity.domain;
	e->path = fresh->identity.path;
	e->type = entry->type;
	if (entry->node)
		describe_changed(p);
	else
		describe_new(p, fresh);
	e->permissions = source_permissions(s, &p->st, e->base);
	e->mtime = recorded_time(p->st.st_mtim);
	e->ctime = recorded_time(p->st.st_ctim);
	if (fresh->inode)
		e->inode = fresh->inode;
	e->xattrs = p->attributes.items;
	e->xattr_count = p->attributes.count;
	return 0;
}

static int write_fresh(struct source *s, const struct source_entry *entry,
		       struct mb_writer *writer, struct mb_err *err)
{
	mb_auto(present_release) struct present p = { .fd = -1 };
	int rc = source_describe(s, entry, &p, err);

	if (rc < 0)
		return rc;
	if (entry->type == MB_FILE && entry->change != SOURCE_TOUCHED) {
		p.fd = open_content(p.file, err);
		if (p.fd < 0)
			return p.fd;
		p.content = (struct mb_content){ read_file, &p };
		p.entry.content = &p.content;
	}
	rc = mb_writer_add(writer, &p.entry, err);
	if (rc < 0 && p.err.code)
		*err = p.err;
	return rc;
}

int source_write(struct source *s, size_t i, struct mb_writer *writer,
		 struct mb_err *err)
{
	const struct source_entry *entry = &s->entries[i];
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	int rc;

	if (entry->fresh)
		return write_fresh(s, entry, writer, err);
	rc = source_entry_record(s, entry, &rec, err);
	return rc < 0 ? rc : mb_writer_keep(writer, &rec, err);
}
