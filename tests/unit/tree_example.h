/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TREE_EXAMPLE_H
#define TREE_EXAMPLE_H

/* A backup, a copy of a mount of it, edits of that, and a source on it. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backup_example.h"
#include "fixture.h"
#include "mb/writer.h"
#include "source_inside.h"
#include "tap.h"

/* ---- a backup, and a copy of a mount of it ---- */

static const struct example sample[] = {
	{ .domain = "HomeDomain", .path = "", .mode = 040755 },
	{ PUT("HomeDomain", "a.txt", "the first file"), .class = 4 },
	{ PUT("HomeDomain", "b.txt", "the second file"), .mode = 0100600,
	  .xattr = "com.example.note", .xattr_value = "abc" },
	{ .domain = "HomeDomain", .path = "Library", .mode = 040750 },
	{ PUT("HomeDomain", "Library/deep", "") },
	{ .domain = "HomeDomain",
	  .path = "link",
	  .mode = 0120755,
	  .target = "a.txt" },
	{ .domain = "AppDomain-com.example.app", .path = "", .mode = 040755 },
	{ PUT("AppDomain-com.example.app", "one", "of class one"), .class = 1 },
};

#define OURS "user.larder."

static inline void set_text(const char *path, const char *name,
			    const char *text)
{
	CHECK_AT(lsetxattr(path, name, text, strlen(text), 0) == 0, "%s %s: %s",
		 path, name, strerror(errno));
}

static inline void set_times(const char *path, int64_t mtime)
{
	const struct timespec times[] = { { .tv_sec = mtime },
					  { .tv_sec = mtime } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static inline void mark(const char *path, const struct example *e)
{
	char name[100];

	set_text(path, OURS "domain", e->domain);
	set_text(path, OURS "path", e->path);
	set_text(path, OURS "uid", "501");
	set_text(path, OURS "gid", "501");
	if (example_is_file(e))
		set_text(path, OURS "protection-class",
			 e->class == 4 ? "4" :
			 e->class == 1 ? "1" :
					 "3");
	if (!e->xattr)
		return;
	snprintf(name, sizeof(name), "user.%s", e->xattr);
	set_text(path, name, e->xattr_value);
}

static inline void put_copied(const char *dir, const struct example *e)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, e->domain, e->path);
	if (e->target)
		CHECK_INT(symlink(e->target, path), 0);
	else
		mkdir(path, 0700);
}

static inline void dress(const char *dir, const struct example *e, bool marked)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, e->domain, e->path);
	if (!e->target) {
		chmod(path, (e->mode ? e->mode : 0644) & 07777);
		if (marked)
			mark(path, e);
	}
	set_times(path, EXAMPLE_TIME);
}

/* As "cp -a" of a mount makes it; not marked: as "cp -r --preserve=mode,times" */
static inline void put_copy(const char *dir, const struct example *list,
			    size_t count, bool marked)
{
	char path[300];

	for (size_t i = 0; i < count; i++) {
		const struct example *e = &list[i];

		snprintf(path, sizeof(path), "%s/%s", e->domain, e->path);
		if (e->content)
			put_text(dir, path, e->content);
		else
			put_copied(dir, e);
	}
	/* what is made in a folder changes its time: those above last */
	for (size_t i = count; i--;)
		dress(dir, &list[i], marked);
}

struct pair {
	const char *backup, *copy;
};

static inline struct pair make_pair(bool encrypted, bool marked)
{
	struct pair p = { temp_dir(), temp_dir() };

	put_example(p.backup, sample, COUNT(sample), encrypted);
	put_copy(p.copy, sample, COUNT(sample), marked);
	set_text(p.copy, OURS "source", p.backup);
	return p;
}

/* ---- a source, scanned ---- */

static struct {
	struct source *s;
	struct selection selection;
	struct mb_err err;
	struct bytes odd, damaged;
	bool cancelled;
} now;

static inline void note_line(struct bytes *b, const char *path,
			     const char *line)
{
	add_text(b, path);
	add_text(b, ": ");
	add_text(b, line);
	add_text(b, "\n");
}

static inline void on_odd(void *arg, const char *path, const char *line)
{
	(void)arg;
	note_line(&now.odd, path, line);
}

static inline void on_damaged(void *arg, const char *path, const char *line)
{
	(void)arg;
	note_line(&now.damaged, path, line);
}

static inline bool is_cancelled(void)
{
	return now.cancelled;
}

static inline const char *said(struct bytes *b)
{
	add_be(b, 0, 1);
	b->len--;
	return (char *)b->ptr;
}

static inline void leave(void)
{
	source_free(now.s);
	selection_release(&now.selection);
	drop(&now.odd);
	drop(&now.damaged);
	memset(&now, 0, sizeof(now));
}

static inline int enter_source(const char *path, const char *base)
{
	leave();
	return source_open(&now.s, path, base, &now.err);
}

static inline void unlock_base(void)
{
	struct mb_backup *b = source_get_base(now.s);
	uint8_t key[MB_DERIVED_KEY_LEN];

	if (b && mb_backup_get_info(b)->encrypted) {
		CHECK_INT(mb_backup_derive(b, PASSWORD, strlen(PASSWORD), key,
					   NULL),
			  0);
		CHECK_INT(mb_backup_unlock(b, key, NULL), 0);
	}
	if (b)
		CHECK_INT(mb_backup_load(b, NULL), 0);
}

static inline int scan(void)
{
	const struct source_observer observer = { .odd = on_odd,
						  .damaged = on_damaged,
						  .cancelled = is_cancelled };

	unlock_base();
	return source_scan(now.s, &now.selection, &observer, &now.err);
}

static inline void must_scan(const char *path, const char *base)
{
	if (!CHECK_AT(enter_source(path, base) == 0, "%s", now.err.text))
		abort();
	CHECK_AT(scan() == 0, "%s", now.err.text);
}

static inline int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char *describe(const struct source_entry *e)
{
	static const char *const changes[] = { "kept", "touched", "changed",
					       "added" };
	struct mb_record rec = { 0 };
	struct identity id = { 0 };
	char *text = NULL;

	if (e->fresh) {
		id = e->fresh->identity;
	} else {
		CHECK_INT(source_record(now.s, e->node, &rec, NULL), 0);
		id = (struct identity){ rec.domain, rec.path };
	}
	if (asprintf(&text, "%s %.*s/%.*s\n", changes[e->change],
		     (int)id.domain.len, id.domain.ptr, (int)id.path.len,
		     id.path.ptr) < 0)
		abort();
	mb_record_release(&rec);
	return text;
}

/* All entries but those that are kept, sorted, a line each. A static buffer. */
static inline const char *edits(void)
{
	static char out[8192];
	char **lines = calloc(now.s->count + 1, sizeof(*lines));
	size_t count = 0;

	for (size_t i = 0; i < now.s->count; i++)
		if (now.s->entries[i].change != SOURCE_KEPT)
			lines[count++] = describe(&now.s->entries[i]);
	qsort(lines, count, sizeof(*lines), by_text);
	*out = '\0';
	for (size_t i = 0; i < count; i++) {
		strncat(out, lines[i], sizeof(out) - strlen(out) - 1);
		free(lines[i]);
	}
	free(lines);
	return out;
}

static inline const struct source_entry *entry_of(const char *domain,
						  const char *path)
{
	for (size_t i = 0; i < now.s->count; i++) {
		struct source_entry *e = &now.s->entries[i];

		if (e->fresh &&
		    mb_slice_equal(e->fresh->identity.domain,
				   mb_slice_of(domain)) &&
		    mb_slice_equal(e->fresh->identity.path, mb_slice_of(path)))
			return e;
	}
	CHECK_AT(false, "%s/%s", domain, path);
	abort();
}

/* ---- edits ---- */

static inline void same_size_and_time(const char *dir)
{
	put_text(dir, "HomeDomain/a.txt", "the fIrst file");
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static inline void shorter(const char *dir)
{
	CHECK_INT(truncate(in(dir, "HomeDomain/a.txt"), 3), 0);
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static inline void longer(const char *dir)
{
	put_text(dir, "HomeDomain/a.txt", "the first file, and more");
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static inline void another_mode(const char *dir)
{
	chmod(in(dir, "HomeDomain/b.txt"), 0644);
	chmod(in(dir, "HomeDomain/Library"), 0700);
}

static inline void another_time(const char *dir)
{
	set_times(in(dir, "HomeDomain/b.txt"), EXAMPLE_TIME + 1);
	set_times(in(dir, "HomeDomain/link"), EXAMPLE_TIME + 1);
	set_times(in(dir, "HomeDomain/Library"), EXAMPLE_TIME + 1);
}

static inline void more_attributes(const char *dir)
{
	set_text(in(dir, "HomeDomain/a.txt"), "user.new", "x");
	set_text(in(dir, "HomeDomain/Library"), "user.new", "");
}

static inline void fewer_attributes(const char *dir)
{
	removexattr(in(dir, "HomeDomain/b.txt"), "user.com.example.note");
}

static inline void other_attributes(const char *dir)
{
	set_text(in(dir, "HomeDomain/b.txt"), "user.com.example.note", "abd");
}

static inline void another_target(const char *dir)
{
	unlink(in(dir, "HomeDomain/link"));
	CHECK_INT(symlink("b.txt", in(dir, "HomeDomain/link")), 0);
	set_times(in(dir, "HomeDomain/link"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void file_for_link(const char *dir)
{
	unlink(in(dir, "HomeDomain/link"));
	put_text(dir, "HomeDomain/link", "a.txt");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void folder_for_file(const char *dir)
{
	unlink(in(dir, "HomeDomain/a.txt"));
	put_text(dir, "HomeDomain/a.txt/in it", "x");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void link_for_folder(const char *dir)
{
	unlink(in(dir, "HomeDomain/Library/deep"));
	rmdir(in(dir, "HomeDomain/Library"));
	CHECK_INT(symlink("a.txt", in(dir, "HomeDomain/Library")), 0);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void new_entries(const char *dir)
{
	put_text(dir, "HomeDomain/Library/new/deep/file", "x");
	CHECK_INT(symlink("x", in(dir, "HomeDomain/new link")), 0);
	put_text(dir, "NewDomain/file", "x");
	set_times(in(dir, "HomeDomain/Library"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void odd_names(const char *dir)
{
	put_text(dir, "HomeDomain/caf\xe9 100%2F\n", "x");
	put_text(dir, "HomeDomain/.hidden", "x");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static inline void moved_file(const char *dir)
{
	rename(in(dir, "HomeDomain/b.txt"), in(dir, "HomeDomain/c.txt"));
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

/* what editors do: write aside, and put it in place */
static inline void replaced_by_the_same(const char *dir)
{
	put_text(dir, "HomeDomain/aside", "the second file");
	chmod(in(dir, "HomeDomain/aside"), 0600);
	set_times(in(dir, "HomeDomain/aside"), EXAMPLE_TIME);
	rename(in(dir, "HomeDomain/aside"), in(dir, "HomeDomain/b.txt"));
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

/* both show the attributes of the other */
static inline void changed_places(const char *dir)
{
	rename(in(dir, "HomeDomain/b.txt"), in(dir, "x"));
	rename(in(dir, "AppDomain-com.example.app/one"),
	       in(dir, "HomeDomain/b.txt"));
	rename(in(dir, "x"), in(dir, "AppDomain-com.example.app/one"));
	set_times(in(dir, "AppDomain-com.example.app"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

/* A place for trees that has attributes; false if there is none. */
static inline bool find_place(void)
{
	const char *const places[] = { getenv("TMPDIR"), "/tmp", "/var/tmp",
				       "." };

	for (size_t i = 0; i < COUNT(places); i++) {
		char path[4096];
		bool good;

		if (!places[i])
			continue;
		snprintf(path, sizeof(path), "%s/larder-probe-XXXXXX",
			 places[i]);
		if (!mkdtemp(path))
			continue;
		good = setxattr(path, OURS "probe", "x", 1, 0) == 0;
		rmdir(path);
		if (good)
			return setenv("TMPDIR", places[i], 1) == 0;
	}
	return false;
}

CASE(trees_need_a_file_system_with_attributes_of_users)
{
	if (!find_place())
		SKIP("there is none");
}

#endif
