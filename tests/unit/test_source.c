/* SPDX-License-Identifier: LGPL-2.1-or-later */
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

static void set_text(const char *path, const char *name, const char *text)
{
	CHECK_AT(lsetxattr(path, name, text, strlen(text), 0) == 0, "%s %s: %s",
		 path, name, strerror(errno));
}

static void set_times(const char *path, int64_t mtime)
{
	const struct timespec times[] = { { .tv_sec = mtime },
					  { .tv_sec = mtime } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void mark(const char *path, const struct example *e)
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

static void put_copied(const char *dir, const struct example *e)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, e->domain, e->path);
	if (e->target)
		CHECK_INT(symlink(e->target, path), 0);
	else
		mkdir(path, 0700);
}

static void dress(const char *dir, const struct example *e, bool marked)
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
static void put_copy(const char *dir, const struct example *list, size_t count,
		     bool marked)
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

static struct pair make_pair(bool encrypted, bool marked)
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

static void note_line(struct bytes *b, const char *path, const char *line)
{
	add_text(b, path);
	add_text(b, ": ");
	add_text(b, line);
	add_text(b, "\n");
}

static void on_odd(void *arg, const char *path, const char *line)
{
	(void)arg;
	note_line(&now.odd, path, line);
}

static void on_damaged(void *arg, const char *path, const char *line)
{
	(void)arg;
	note_line(&now.damaged, path, line);
}

static bool is_cancelled(void)
{
	return now.cancelled;
}

static const char *said(struct bytes *b)
{
	add_be(b, 0, 1);
	b->len--;
	return (char *)b->ptr;
}

static void leave(void)
{
	source_free(now.s);
	selection_release(&now.selection);
	drop(&now.odd);
	drop(&now.damaged);
	memset(&now, 0, sizeof(now));
}

static int enter_source(const char *path, const char *base)
{
	leave();
	return source_open(&now.s, path, base, &now.err);
}

static void unlock_base(void)
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

static int scan(void)
{
	const struct source_observer observer = { .odd = on_odd,
						  .damaged = on_damaged,
						  .cancelled = is_cancelled };

	unlock_base();
	return source_scan(now.s, &now.selection, &observer, &now.err);
}

static void must_scan(const char *path, const char *base)
{
	if (!CHECK_AT(enter_source(path, base) == 0, "%s", now.err.text))
		abort();
	CHECK_AT(scan() == 0, "%s", now.err.text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *describe(const struct source_entry *e)
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
static const char *edits(void)
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

static const struct source_entry *entry_of(const char *domain, const char *path)
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

/* ---- what it is ---- */

CASE(a_folder_with_a_manifest_is_a_backup)
{
	const char *dir = temp_dir();

	put_example(dir, sample, COUNT(sample), false);
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_get_base(now.s));
	CHECK_TEXT(source_get_path(now.s), dir);
	CHECK_TEXT(source_get_about(now.s)->source, dir);
	CHECK(!source_is_whole(now.s)); /* it has no Info.plist */
	put_text(dir, "Info.plist", "<plist><dict/></plist>");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_is_whole(now.s));
	put_status(dir, "uploading");
	CHECK_INT(enter_source(dir, NULL) == 0 && source_is_whole(now.s), 0);
	put_status(dir, "finished");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_is_whole(now.s));
	unlink(in(dir, "Status.plist"));
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(!source_is_whole(now.s));
	leave();
}

CASE(a_copy_names_its_backup)
{
	struct pair p = make_pair(true, true);

	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_TEXT(source_get_path(now.s), p.copy);
	CHECK_TEXT(source_get_about(now.s)->source, p.backup);
	CHECK(source_get_base(now.s));
	CHECK(!source_is_whole(now.s));
	CHECK(!source_was_encrypted(now.s));
	leave();
}

/* An overlay's root is not the mount's, but ".larder" in it is. */
CASE(what_the_root_does_not_say_a_folder_in_it_may)
{
	struct pair p = make_pair(false, true);
	struct bytes list = read_file(in(p.backup, "Manifest.plist"));

	CHECK_INT(removexattr(p.copy, OURS "source"), 0);
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	drop(&list);
	set_text(in(p.copy, ".larder"), OURS "source", p.backup);
	must_scan(p.copy, NULL);
	CHECK_TEXT(source_get_about(now.s)->source, p.backup);
	CHECK_TEXT(edits(), "");
	leave();
}

CASE(the_base_that_is_given_is_the_one)
{
	struct pair p = make_pair(false, true), other = make_pair(false, true);

	CHECK_INT(enter_source(p.copy, other.backup), 0);
	CHECK_TEXT(source_get_about(now.s)->source, other.backup);
	CHECK_INT(enter_source(p.copy, in(p.backup, "absent")), -ENOENT);
	CHECK(strstr(now.err.text, p.copy));
	leave();
}

CASE(a_copy_without_its_backup_is_a_tree)
{
	struct pair p = make_pair(false, true);

	set_text(p.copy, OURS "source", "/no/such/folder/anywhere");
	set_text(p.copy, OURS "udid", "00008110-000A1B2C3D4E5F67");
	set_text(p.copy, OURS "encrypted", "yes");
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK(!source_get_base(now.s));
	CHECK(source_was_encrypted(now.s));
	CHECK_TEXT(source_get_about(now.s)->udid, "00008110-000A1B2C3D4E5F67");
	/* with it, it is known from there */
	CHECK_INT(enter_source(p.copy, p.backup), 0);
	CHECK(!source_was_encrypted(now.s));
	set_text(p.copy, OURS "encrypted", "no");
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK(!source_was_encrypted(now.s));
	leave();
}

CASE(any_folder_of_domains_is_a_tree_and_others_are_not)
{
	const char *dir = temp_dir();

	CHECK_INT(enter_source(dir, NULL), -ENOENT);
	CHECK(strstr(now.err.text, dir));
	put_text(dir, "some/thing", "");
	CHECK_INT(enter_source(dir, NULL), -ENOENT);
	put_text(dir, "HomeDomain/a", "");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(!source_get_base(now.s));
	CHECK_INT(enter_source(in(dir, "absent"), NULL), -ENOENT);
	leave();
}

CASE(a_part_of_a_tree_is_refused)
{
	struct pair p = make_pair(false, true);

	CHECK_INT(enter_source(in(p.copy, "HomeDomain"), NULL), -ENOENT);
	CHECK(strstr(now.err.text, "--only"));
	leave();
}

CASE(a_mount_of_another_version_is_refused)
{
	struct pair p = make_pair(false, true);
	struct bytes list = read_file(in(p.backup, "Manifest.plist"));

	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	CHECK_INT(enter_source(p.copy, NULL), 0);
	list.ptr[list.len / 2] ^= 1;
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	CHECK(strstr(now.err.text, "mount anew"));
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len - 1);
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	/* of one that is gone, it cannot be read */
	unlink(in(p.copy, ".larder/Manifest.plist"));
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	drop(&list);
	leave();
}

CASE(nothing_may_be_written_into_it)
{
	struct pair p = make_pair(false, true);
	char beside[300];

	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_INT(source_keep_out(now.s, p.copy, &now.err), -EINVAL);
	CHECK_INT(source_keep_out(now.s, in(p.copy, "HomeDomain/Library"),
				  &now.err),
		  -EINVAL);
	CHECK_INT(source_keep_out(now.s, p.backup, &now.err), -EINVAL);
	CHECK(strstr(now.err.text, p.backup));
	CHECK_INT(symlink(p.backup, in(temp_dir(), "link")), 0);
	CHECK_INT(source_keep_out(now.s, in(p.copy, ".."), &now.err), 0);
	CHECK_INT(source_keep_out(now.s, temp_dir(), &now.err), 0);
	/* a name that only begins alike */
	snprintf(beside, sizeof(beside), "%s2x", p.copy);
	mkdir(beside, 0700);
	CHECK_INT(source_keep_out(now.s, beside, &now.err), 0);
	CHECK_INT(source_keep_out(now.s, in(p.copy, "not/there"), &now.err), 0);
	leave();
}

CASE(nor_by_a_link)
{
	struct pair p = make_pair(false, true);
	const char *dir = temp_dir();

	CHECK_INT(symlink(p.backup, in(dir, "link")), 0);
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_INT(source_keep_out(now.s, in(dir, "link"), &now.err), -EINVAL);
	leave();
}

/* ---- what is in it ---- */

CASE(a_backup_is_listed_whole)
{
	struct pair p = make_pair(true, true);
	const struct source_totals *t;
	struct mb_slice *domains;

	must_scan(p.backup, NULL);
	t = source_get_totals(now.s);
	CHECK_INT(t->entries, COUNT(sample));
	CHECK_INT(t->files, 4);
	CHECK_INT(t->bytes, 14 + 15 + 0 + 12);
	CHECK_INT(t->changed + t->added + t->removed + t->damaged, 0);
	CHECK_INT(source_get_domains(now.s, &domains), 2);
	CHECK_TEXT(domains[0].ptr, "AppDomain-com.example.app");
	CHECK_TEXT(domains[1].ptr, "HomeDomain");
	leave();
}

CASE(a_copy_that_was_not_edited_is_the_backup)
{
	for (int i = 0; i < 4; i++) {
		struct pair p = make_pair(i & 1, i & 2);
		const struct source_totals *t;

		must_scan(p.copy, NULL);
		t = source_get_totals(now.s);
		CHECK_TEXT(edits(), "");
		CHECK_INT(t->entries, COUNT(sample));
		CHECK_INT(t->bytes, 14 + 15 + 0 + 12);
		CHECK_INT(t->changed + t->added + t->removed + t->damaged, 0);
		CHECK_TEXT(said(&now.odd), "");
		leave();
	}
}

static void same_size_and_time(const char *dir)
{
	put_text(dir, "HomeDomain/a.txt", "the fIrst file");
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static void shorter(const char *dir)
{
	CHECK_INT(truncate(in(dir, "HomeDomain/a.txt"), 3), 0);
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static void longer(const char *dir)
{
	put_text(dir, "HomeDomain/a.txt", "the first file, and more");
	set_times(in(dir, "HomeDomain/a.txt"), EXAMPLE_TIME);
}

static void another_mode(const char *dir)
{
	chmod(in(dir, "HomeDomain/b.txt"), 0644);
	chmod(in(dir, "HomeDomain/Library"), 0700);
}

static void another_time(const char *dir)
{
	set_times(in(dir, "HomeDomain/b.txt"), EXAMPLE_TIME + 1);
	set_times(in(dir, "HomeDomain/link"), EXAMPLE_TIME + 1);
	set_times(in(dir, "HomeDomain/Library"), EXAMPLE_TIME + 1);
}

static void more_attributes(const char *dir)
{
	set_text(in(dir, "HomeDomain/a.txt"), "user.new", "x");
	set_text(in(dir, "HomeDomain/Library"), "user.new", "");
}

static void fewer_attributes(const char *dir)
{
	removexattr(in(dir, "HomeDomain/b.txt"), "user.com.example.note");
}

static void other_attributes(const char *dir)
{
	set_text(in(dir, "HomeDomain/b.txt"), "user.com.example.note", "abd");
}

static void another_target(const char *dir)
{
	unlink(in(dir, "HomeDomain/link"));
	CHECK_INT(symlink("b.txt", in(dir, "HomeDomain/link")), 0);
	set_times(in(dir, "HomeDomain/link"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void file_for_link(const char *dir)
{
	unlink(in(dir, "HomeDomain/link"));
	put_text(dir, "HomeDomain/link", "a.txt");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void folder_for_file(const char *dir)
{
	unlink(in(dir, "HomeDomain/a.txt"));
	put_text(dir, "HomeDomain/a.txt/in it", "x");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void link_for_folder(const char *dir)
{
	unlink(in(dir, "HomeDomain/Library/deep"));
	rmdir(in(dir, "HomeDomain/Library"));
	CHECK_INT(symlink("a.txt", in(dir, "HomeDomain/Library")), 0);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void new_entries(const char *dir)
{
	put_text(dir, "HomeDomain/Library/new/deep/file", "x");
	CHECK_INT(symlink("x", in(dir, "HomeDomain/new link")), 0);
	put_text(dir, "NewDomain/file", "x");
	set_times(in(dir, "HomeDomain/Library"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void odd_names(const char *dir)
{
	put_text(dir, "HomeDomain/caf\xe9 100%2F\n", "x");
	put_text(dir, "HomeDomain/.hidden", "x");
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

static void moved_file(const char *dir)
{
	rename(in(dir, "HomeDomain/b.txt"), in(dir, "HomeDomain/c.txt"));
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

/* what editors do: write aside, and put it in place */
static void replaced_by_the_same(const char *dir)
{
	put_text(dir, "HomeDomain/aside", "the second file");
	chmod(in(dir, "HomeDomain/aside"), 0600);
	set_times(in(dir, "HomeDomain/aside"), EXAMPLE_TIME);
	rename(in(dir, "HomeDomain/aside"), in(dir, "HomeDomain/b.txt"));
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

/* both show the attributes of the other */
static void changed_places(const char *dir)
{
	rename(in(dir, "HomeDomain/b.txt"), in(dir, "x"));
	rename(in(dir, "AppDomain-com.example.app/one"),
	       in(dir, "HomeDomain/b.txt"));
	rename(in(dir, "x"), in(dir, "AppDomain-com.example.app/one"));
	set_times(in(dir, "AppDomain-com.example.app"), EXAMPLE_TIME);
	set_times(in(dir, "HomeDomain"), EXAMPLE_TIME);
}

CASE(each_edit_is_found)
{
	static const struct {
		const char *name;
		void (*edit)(const char *dir);
		const char *found;
	} all[] = {
		{ "same size and time", same_size_and_time,
		  "changed HomeDomain/a.txt\n" },
		{ "shorter", shorter, "changed HomeDomain/a.txt\n" },
		{ "longer", longer, "changed HomeDomain/a.txt\n" },
		{ "mode", another_mode,
		  "touched HomeDomain/Library\ntouched HomeDomain/b.txt\n" },
		{ "time", another_time,
		  "touched HomeDomain/Library\ntouched HomeDomain/b.txt\n"
		  "touched HomeDomain/link\n" },
		{ "more attributes", more_attributes,
		  "touched HomeDomain/Library\ntouched HomeDomain/a.txt\n" },
		{ "fewer attributes", fewer_attributes,
		  "touched HomeDomain/b.txt\n" },
		{ "other attributes", other_attributes,
		  "touched HomeDomain/b.txt\n" },
		{ "target", another_target, "changed HomeDomain/link\n" },
		{ "file for link", file_for_link, "changed HomeDomain/link\n" },
		{ "folder for file", folder_for_file,
		  "added HomeDomain/a.txt/in it\n"
		  "changed HomeDomain/a.txt\n" },
		{ "link for folder", link_for_folder,
		  "changed HomeDomain/Library\n" },
		{ "new", new_entries,
		  "added HomeDomain/Library/new\n"
		  "added HomeDomain/Library/new/deep\n"
		  "added HomeDomain/Library/new/deep/file\n"
		  "added HomeDomain/new link\n"
		  "added NewDomain/\n"
		  "added NewDomain/file\n" },
		{ "odd names", odd_names,
		  "added HomeDomain/.hidden\n"
		  "added HomeDomain/caf\xe9 100%2F\n\n" },
		{ "moved", moved_file, "added HomeDomain/c.txt\n" },
		{ "replaced by the same", replaced_by_the_same, "" },
		{ "changed places", changed_places,
		  "changed AppDomain-com.example.app/one\n"
		  "changed HomeDomain/b.txt\n" },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);
			const char *found;

			all[i].edit(p.copy);
			must_scan(p.copy, NULL);
			found = edits();
			CHECK_AT(!strcmp(found, all[i].found), "%s:\n%s",
				 all[i].name, found);
			leave();
		}
}

CASE(what_is_gone_is_counted)
{
	struct pair p = make_pair(false, true);
	const struct source_totals *t;

	unlink(in(p.copy, "HomeDomain/Library/deep"));
	rmdir(in(p.copy, "HomeDomain/Library"));
	unlink(in(p.copy, "HomeDomain/link"));
	set_times(in(p.copy, "HomeDomain"), EXAMPLE_TIME);
	unlink(in(p.copy, "AppDomain-com.example.app/one"));
	rmdir(in(p.copy, "AppDomain-com.example.app"));
	must_scan(p.copy, NULL);
	t = source_get_totals(now.s);
	CHECK_TEXT(edits(), "");
	CHECK_INT(t->removed, 5);
	CHECK_INT(t->entries, COUNT(sample) - 5);
	leave();
}

CASE(what_a_phone_cannot_have_is_left_out_and_told)
{
	struct pair p = make_pair(false, true);

	mkfifo(in(p.copy, "HomeDomain/fifo"), 0600);
	put_text(p.copy, "not in a domain", "x");
	put_text(p.copy, ".Trash-0/files/old", "x");
	set_times(in(p.copy, "HomeDomain"), EXAMPLE_TIME);
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "");
	CHECK(strstr(said(&now.odd), "HomeDomain/fifo: left out"));
	CHECK(strstr(said(&now.odd), "not in a domain: left out"));
	CHECK(strstr(said(&now.odd), ".Trash-0: left out"));
	CHECK_AT(!strstr(said(&now.odd), "/old"), "%s", said(&now.odd));
	leave();
}

/* A mount with umask= or mode options shows no recorded ones. */
CASE(permissions_that_a_mount_gave_are_no_edit)
{
	struct pair p = make_pair(false, true);

	set_text(p.copy, OURS "file-mode", "400");
	set_text(p.copy, OURS "dir-mode", "500");
	for (size_t i = 0; i < COUNT(sample); i++) {
		char path[200];

		snprintf(path, sizeof(path), "%s/%s", sample[i].domain,
			 sample[i].path);
		if (!sample[i].target)
			chmod(in(p.copy, path),
			      example_is_file(&sample[i]) ? 0400 : 0500);
	}
	chmod(in(p.copy, "HomeDomain/a.txt"), 0500);
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "touched HomeDomain/a.txt\n");
	chmod(in(p.copy, "HomeDomain"), 0700);
	chmod(in(p.copy, "HomeDomain/Library"), 0700);
	chmod(in(p.copy, "AppDomain-com.example.app"), 0700);
	leave();
}

CASE(who_new_entries_belong_to)
{
	struct pair p = make_pair(false, true);
	const struct source_entry *e;

	put_text(p.copy, "HomeDomain/new", "x");
	put_text(p.copy, "AppDomain-com.example.app/d/new", "x");
	put_text(p.copy, "NewDomain/new", "x");
	rename(in(p.copy, "AppDomain-com.example.app/one"),
	       in(p.copy, "NewDomain/moved"));
	set_text(in(p.copy, "NewDomain/moved"), OURS "uid", "33");
	must_scan(p.copy, NULL);
	/* as the first file beside it */
	e = entry_of("HomeDomain", "new");
	CHECK_INT(e->fresh->neighbour.uid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 4);
	/* as above it */
	e = entry_of("AppDomain-com.example.app", "d/new");
	CHECK_INT(e->fresh->neighbour.protection_class, 1);
	/* nobody near */
	e = entry_of("NewDomain", "new");
	CHECK_INT(e->fresh->neighbour.uid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 3);
	/* who was moved brings along who it is */
	e = entry_of("NewDomain", "moved");
	CHECK_INT(e->fresh->neighbour.uid, 33);
	CHECK_INT(e->fresh->neighbour.gid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 1);
	leave();
}

CASE(attributes_that_are_no_numbers_are_nobodys)
{
	static const char *const bad[] = {
		"", "x", "5x", "-1", "4294967296", "99999999999999999999999"
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct pair p = make_pair(false, true);
		const struct source_entry *e;

		put_text(p.copy, "NewDomain/f", "x");
		set_text(in(p.copy, "NewDomain/f"), OURS "uid", bad[i]);
		set_text(in(p.copy, "NewDomain/f"), OURS "protection-class",
			 bad[i]);
		must_scan(p.copy, NULL);
		e = entry_of("NewDomain", "f");
		CHECK_AT(e->fresh->neighbour.uid == 501, "\"%s\": %u", bad[i],
			 e->fresh->neighbour.uid);
		CHECK_AT(e->fresh->neighbour.protection_class == 3, "\"%s\"",
			 bad[i]);
		leave();
	}
}

/* all of the example have the number 7 */
CASE(an_edited_name_of_a_file_with_several_is_a_file_of_its_own)
{
	struct pair p = make_pair(false, true);
	uint64_t edited, added;

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "HomeDomain/new", "new");
	put_text(p.copy, "AppDomain-com.example.app/one", "edited");
	must_scan(p.copy, NULL);
	edited = entry_of("HomeDomain", "a.txt")->fresh->inode;
	added = entry_of("HomeDomain", "new")->fresh->inode;
	CHECK(edited > 7 && added > 7 && edited != added);
	/* alone in its domain */
	CHECK_INT(entry_of("AppDomain-com.example.app", "one")->fresh->inode,
		  0);
	leave();
}

CASE(a_selection_takes_what_is_above_along)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };
	const char *places[] = { p.backup, p.copy };

	for (size_t i = 0; i < COUNT(places); i++) {
		struct mb_slice *domains;

		CHECK_INT(enter_source(places[i], NULL), 0);
		selection_option(&now.selection, &command, SELECTION_ONLY,
				 "HomeDomain/Library/deep");
		CHECK_INT(scan(), 0);
		CHECK_INT(source_get_totals(now.s)->entries, 3);
		CHECK_INT(source_get_totals(now.s)->files, 1);
		CHECK_INT(source_get_totals(now.s)->removed, 0);
		CHECK_INT(source_get_domains(now.s, &domains), 1);
		leave();
	}
}

CASE(a_selection_sees_only_its_edits)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "HomeDomain/Library/new", "new");
	unlink(in(p.copy, "HomeDomain/b.txt"));
	unlink(in(p.copy, "AppDomain-com.example.app/one"));
	CHECK_INT(enter_source(p.copy, NULL), 0);
	selection_option(&now.selection, &command, SELECTION_ONLY,
			 "HomeDomain/Library");
	selection_option(&now.selection, &command, SELECTION_ONLY, "App*");
	CHECK_INT(scan(), 0);
	/* folders whose names changed have another time */
	CHECK_TEXT(edits(), "added HomeDomain/Library/new\n"
			    "touched AppDomain-com.example.app/\n"
			    "touched HomeDomain/\n"
			    "touched HomeDomain/Library\n");
	CHECK_INT(source_get_totals(now.s)->removed, 1);
	leave();
}

CASE(a_pattern_that_matches_nothing_is_an_error)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };

	CHECK_INT(enter_source(p.copy, NULL), 0);
	selection_option(&now.selection, &command, SELECTION_ONLY, "None");
	CHECK_INT(scan(), -ENOENT);
	CHECK(strstr(now.err.text, "None"));
	leave();
}

CASE(damage_of_what_is_kept_is_told)
{
	struct pair p = make_pair(true, true);
	const char *places[] = { p.backup, p.copy };

	unlink(in(p.backup, example_payload("HomeDomain", "b.txt")));
	unlink(in(p.backup, example_payload("HomeDomain", "a.txt")));
	for (size_t i = 0; i < COUNT(places); i++) {
		must_scan(places[i], NULL);
		/* what has its content in the tree needs none of the backup */
		CHECK_INT(source_get_totals(now.s)->damaged, i ? 0 : 2);
		if (!i)
			CHECK(strstr(said(&now.damaged),
				     "HomeDomain/a.txt: payload"));
		else
			CHECK_TEXT(edits(), "changed HomeDomain/a.txt\n"
					    "changed HomeDomain/b.txt\n");
		leave();
	}
}

CASE(a_scan_can_be_cancelled)
{
	struct pair p = make_pair(false, true);
	const char *places[] = { p.backup, p.copy };

	for (size_t i = 0; i < COUNT(places); i++) {
		CHECK_INT(enter_source(places[i], NULL), 0);
		now.cancelled = true;
		CHECK_INT(scan(), -ECANCELED);
		CHECK_TEXT(now.err.text, "cancelled");
		leave();
	}
}

/* ---- without a base ---- */

CASE(a_tree_of_nobodys_is_all_new)
{
	const char *dir = temp_dir();

	put_text(dir, "HomeDomain/a/b", "x");
	CHECK_INT(symlink("b", in(dir, "HomeDomain/a/c")), 0);
	must_scan(dir, NULL);
	CHECK_TEXT(edits(), "added HomeDomain/\nadded HomeDomain/a\n"
			    "added HomeDomain/a/b\nadded HomeDomain/a/c\n");
	CHECK_INT(source_get_totals(now.s)->removed, 0);
	CHECK(entry_of("HomeDomain", "a/b")->fresh->inode);
	leave();
}

/* "A/b" cannot be a name: a mount shows "A%2Fb", and says what it was */
CASE(names_that_had_to_be_escaped_are_known_by_their_attributes)
{
	const char *dir = temp_dir();

	put_text(dir, "A%2FbDomain/100%2F", "x");
	put_text(dir, "A%2FbDomain/lie%2F", "x");
	put_text(dir, "A%2FbDomain/same", "x");
	set_text(in(dir, "A%2FbDomain"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain"), OURS "path", "");
	set_text(in(dir, "A%2FbDomain/100%2F"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain/100%2F"), OURS "path", "100%2F");
	set_text(in(dir, "A%2FbDomain/lie%2F"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain/lie%2F"), OURS "path", "../up");
	must_scan(dir, NULL);
	CHECK(!strstr(edits(), "up"));
	CHECK(strstr(edits(), "added A/bDomain/lie%2F\n"));
	CHECK(strstr(edits(), "added A/bDomain/same\n"));
	leave();
}

/* ---- a new backup of it ---- */

static struct {
	const char *dir;
	int fd;
	struct mb_writer *writer;
	struct mb_writer_counts counts;
	struct mb_backup *b;
	struct mb_tree *tree;
} made;

static void leave_made(void)
{
	mb_tree_free(made.tree);
	mb_backup_free(made.b);
	mb_writer_free(made.writer);
	close(made.fd);
	memset(&made, 0, sizeof(made));
}

static void begin_made(void)
{
	struct mb_writer_wish wish = { .like = source_get_base(now.s),
				       .about = source_get_about(now.s),
				       .counts = &made.counts };

	made.dir = temp_dir();
	made.fd = open_dir(made.dir);
	CHECK_INT(mb_writer_open(&made.writer, made.fd, &wish, NULL), 0);
}

static void end_made(void)
{
	CHECK_AT(mb_writer_commit(made.writer, false, &now.err) == 0, "%s",
		 now.err.text);
	CHECK_INT(mb_backup_open(&made.b, made.dir, NULL), 0);
	CHECK_INT(mb_writer_unlock(made.writer, made.b, NULL), 0);
	CHECK_INT(mb_backup_load(made.b, NULL), 0);
	CHECK_INT(mb_tree_open(&made.tree, made.b, MB_VIEW_DOMAINS, NULL), 0);
}

/* @without: leave this entry out */
static void make(size_t without)
{
	begin_made();
	for (size_t i = 0; i < now.s->count; i++)
		if (i != without)
			CHECK_AT(source_write(now.s, i, made.writer,
					      &now.err) == 0,
				 "%s", now.err.text);
	end_made();
}

static int compare(void)
{
	return source_compare(now.s, made.b, made.tree, is_cancelled, &now.err);
}

static bool record_made(const char *path, struct mb_record *rec)
{
	uint32_t node;

	return CHECK_INT(mb_tree_walk(made.tree, path, &node, NULL), 0) &&
	       CHECK_INT(mb_tree_record(made.tree, node, rec, NULL), 0);
}

static bool holds(const char *path, const char *content)
{
	struct mb_record rec = { 0 };
	struct mb_reader *reader = NULL;
	char piece[100];
	ssize_t n = -1;

	if (record_made(path, &rec) &&
	    mb_reader_open(&reader, made.b, &rec, NULL) == 0)
		n = mb_reader_pread(reader, piece, sizeof(piece), 0);
	mb_reader_free(reader);
	mb_record_release(&rec);
	return n == (ssize_t)strlen(content) &&
	       !memcmp(piece, content, (size_t)n);
}

static int count_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)name, (void)value;
	++*(int *)arg;
	return 0;
}

static int xattrs_made(const char *path)
{
	struct mb_record rec = { 0 };
	int count = 0;

	if (record_made(path, &rec))
		mb_record_each_xattr(&rec, count_xattr, &count);
	mb_record_release(&rec);
	return count;
}

CASE(what_was_written_is_what_there_is)
{
	void (*const all[])(const char *) = {
		same_size_and_time, shorter,	      longer,
		another_mode,	    another_time,     more_attributes,
		fewer_attributes,   other_attributes, another_target,
		file_for_link,	    folder_for_file,  link_for_folder,
		new_entries,	    odd_names,	      moved_file,
		changed_places,
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);

			all[i](p.copy);
			must_scan(p.copy, NULL);
			make(SIZE_MAX);
			CHECK_AT(compare() == 0, "%zu: %s", i, now.err.text);
			leave_made();
			leave();
		}
}

CASE(what_was_edited_is_in_the_new_backup)
{
	struct pair p = make_pair(true, true);
	struct mb_record rec = { 0 };

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "NewDomain/new", "new");
	set_text(in(p.copy, "NewDomain/new"), OURS "birthtime", "1234567890");
	set_times(in(p.copy, "NewDomain/new"), EXAMPLE_TIME - 7);
	chmod(in(p.copy, "NewDomain/new"), 04711);
	fewer_attributes(p.copy);
	set_text(in(p.copy, "HomeDomain/Library"), "user.com.example.dir", "d");
	set_text(in(p.copy, "HomeDomain/Library"), "user.%larder.x", "escaped");
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK(holds("HomeDomain/a.txt", "edited"));
	CHECK(holds("HomeDomain/b.txt", "the second file"));
	CHECK(holds("NewDomain/new", "new"));
	CHECK_INT(xattrs_made("HomeDomain/b.txt"), 0);
	CHECK_INT(xattrs_made("HomeDomain/Library"), 2);
	/* ours are no attributes of the phone */
	CHECK_INT(xattrs_made("NewDomain/new"), 0);
	if (record_made("NewDomain/new", &rec)) {
		CHECK_INT(rec.mode, 0104711);
		CHECK_INT(rec.mtime.tv_sec, EXAMPLE_TIME - 7);
		CHECK_INT(rec.birth.tv_sec, 1234567890);
		CHECK_INT(rec.uid, 501);
		CHECK_INT(rec.protection_class, 3);
		CHECK_INT(rec.wrapped_key_len, 44);
	}
	if (record_made("HomeDomain/a.txt", &rec)) {
		CHECK_INT(rec.protection_class, 4);
		CHECK_INT(rec.birth.tv_sec, EXAMPLE_TIME - 1);
		/* no more a name of the same file as the others */
		CHECK(rec.inode > 7);
	}
	if (record_made("HomeDomain/b.txt", &rec))
		CHECK(rec.inode > 7);
	if (record_made("HomeDomain/Library/deep", &rec))
		CHECK_INT(rec.inode, 7);
	mb_record_release(&rec);
	leave_made();
	leave();
}

/* a file system that has no attributes has lost none */
CASE(attributes_that_a_copy_lost_are_those_of_the_backup)
{
	struct pair p = make_pair(false, false);

	put_text(p.copy, "HomeDomain/b.txt", "edited");
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "changed HomeDomain/b.txt\n");
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK_INT(xattrs_made("HomeDomain/b.txt"), 1);
	leave_made();
	leave();
}

CASE(attributes_that_a_device_does_not_keep_are_left_out_and_told)
{
	struct pair p = make_pair(false, true);
	char large[3000];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	put_text(p.copy, "HomeDomain/new", "x");
	set_text(in(p.copy, "HomeDomain/new"), "user.large", large);
	put_text(p.copy, "HomeDomain/new2", "x");
	set_text(in(p.copy, "HomeDomain/new2"), "user.caf\xe9", "x");
	set_text(in(p.copy, "HomeDomain/new2"), "user.good", "x");
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_AT(compare() == 0, "%s", now.err.text);
	CHECK_INT(xattrs_made("HomeDomain/new"), 0);
	CHECK_INT(xattrs_made("HomeDomain/new2"), 1);
	CHECK(strstr(said(&now.odd), "new: "));
	CHECK(strstr(said(&now.odd), "new2: "));
	leave_made();
	leave();
}

CASE(golden_backups_are_written_and_compared)
{
	static const char *const shapes[] = { "db-plain", "db-encrypted",
					      "db-ios10", "mbdb-plain",
					      "mbdb-encrypted" };

	for (size_t i = 0; i < COUNT(shapes); i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s/backup", GOLDEN, shapes[i]);
		must_scan(path, NULL);
		CHECK_TEXT(edits(), "");
		make(SIZE_MAX);
		CHECK_AT(compare() == 0, "%s: %s", shapes[i], now.err.text);
		leave_made();
		leave();
	}
}

CASE(a_tree_of_nobodys_is_written_and_compared)
{
	const char *dir = temp_dir();

	put_text(dir, "HomeDomain/a/b", "content");
	must_scan(dir, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK(holds("HomeDomain/a/b", "content"));
	leave_made();
	leave();
}

/* ---- the judge ---- */

CASE(each_entry_that_is_missing_is_found)
{
	struct pair p = make_pair(false, true);

	put_text(p.copy, "HomeDomain/new", "x");
	for (size_t i = 0; i < COUNT(sample) + 1; i++) {
		must_scan(p.copy, NULL);
		make(i);
		CHECK_INT(compare(), -EIO);
		CHECK(strstr(now.err.text, "is missing"));
		leave_made();
		leave();
	}
}

CASE(an_entry_too_many_is_found)
{
	struct pair p = make_pair(false, true);
	struct mb_entry more = { .domain = mb_slice_of("HomeDomain"),
				 .path = mb_slice_of("more"),
				 .type = MB_DIR };

	must_scan(p.copy, NULL);
	begin_made();
	for (size_t i = 0; i < now.s->count; i++)
		CHECK_INT(source_write(now.s, i, made.writer, NULL), 0);
	CHECK_INT(mb_writer_add(made.writer, &more, NULL), 0);
	end_made();
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/more: should not be there"));
	leave_made();
	leave();
}

static void edit_content(const char *path)
{
	struct stat st;
	FILE *f;

	stat(path, &st);
	f = fopen(path, "r+");
	fputs("X", f);
	fclose(f);
	utimensat(AT_FDCWD, path, (struct timespec[]){ st.st_atim, st.st_mtim },
		  0);
}

static void edit_mode(const char *path)
{
	chmod(path, 0111);
}

static void edit_time(const char *path)
{
	set_times(path, EXAMPLE_TIME + 99);
}

static void edit_attributes(const char *path)
{
	set_text(path, "user.more", "x");
}

static void edit_size(const char *path)
{
	struct stat st;

	stat(path, &st);
	CHECK_INT(truncate(path, st.st_size + 1), 0);
	utimensat(AT_FDCWD, path, (struct timespec[]){ st.st_atim, st.st_mtim },
		  0);
}

/* what is written is not what the tree then has */
CASE(every_difference_is_found)
{
	static const struct {
		void (*edit)(const char *path);
		const char *what;
	} all[] = {
		{ edit_content, "HomeDomain/new: its content differs" },
		{ edit_size, "HomeDomain/new: its content differs" },
		{ edit_mode, "HomeDomain/new: its record differs" },
		{ edit_time, "HomeDomain/new: its record differs" },
		{ edit_attributes, "HomeDomain/new: its attributes differ" },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);

			put_text(p.copy, "HomeDomain/new", "some content");
			must_scan(p.copy, NULL);
			make(SIZE_MAX);
			CHECK_INT(compare(), 0);
			all[i].edit(in(p.copy, "HomeDomain/new"));
			CHECK_INT(compare(), -EIO);
			CHECK_AT(strstr(now.err.text, all[i].what), "%s",
				 now.err.text);
			leave_made();
			leave();
		}
}

CASE(a_target_that_differs_is_found)
{
	struct pair p = make_pair(false, true);
	struct timespec times[2] = { { .tv_sec = EXAMPLE_TIME },
				     { .tv_sec = EXAMPLE_TIME } };
	char path[300];

	snprintf(path, sizeof(path), "%s/HomeDomain/new", p.copy);
	CHECK_INT(symlink("one", path), 0);
	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	unlink(path);
	CHECK_INT(symlink("two", path), 0);
	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "its target differs"));
	leave_made();
	leave();
}

CASE(a_payload_that_is_lost_on_the_way_is_found)
{
	struct pair p = make_pair(true, true);

	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	unlink(in(made.dir, example_payload("HomeDomain", "a.txt")));
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/a.txt"));
	leave_made();
	leave();
}

CASE(what_was_damaged_before_may_be_so_in_the_new_one)
{
	struct pair p = make_pair(true, true);

	unlink(in(p.backup, example_payload("HomeDomain", "a.txt")));
	must_scan(p.backup, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	leave_made();
	leave();
}

CASE(an_entry_that_becomes_another_meanwhile)
{
	struct pair p = make_pair(false, true);
	const struct source_entry *e;
	size_t number;

	put_text(p.copy, "HomeDomain/new", "x");
	put_text(p.copy, "HomeDomain/gone", "x");
	must_scan(p.copy, NULL);
	begin_made();
	unlink(in(p.copy, "HomeDomain/new"));
	mkfifo(in(p.copy, "HomeDomain/new"), 0600);
	unlink(in(p.copy, "HomeDomain/gone"));
	e = entry_of("HomeDomain", "new");
	number = (size_t)(e - now.s->entries);
	CHECK_INT(source_write(now.s, number, made.writer, &now.err), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/new"));
	e = entry_of("HomeDomain", "gone");
	number = (size_t)(e - now.s->entries);
	CHECK(source_write(now.s, number, made.writer, &now.err) < 0);
	CHECK(strstr(now.err.text, "HomeDomain/gone"));
	leave_made();
	leave();
}

CASE(a_comparison_can_be_cancelled)
{
	struct pair p = make_pair(false, true);

	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	now.cancelled = true;
	CHECK_INT(compare(), -ECANCELED);
	leave_made();
	leave();
}

/* ---- a tree in the view of a device ---- */

CASE(a_copy_of_the_view_of_a_device)
{
	struct pair p = make_pair(false, true);
	const char *dir = temp_dir();
	struct mb_tree *tree;
	struct mb_backup *b;
	uint32_t node;
	char path[300];

	/* where a mount would show HomeDomain */
	CHECK_INT(mb_backup_open(&b, p.backup, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DEVICE, NULL), 0);
	CHECK_INT(mb_tree_find(tree, mb_slice_of("HomeDomain"),
			       mb_slice_of("a.txt"), &node, NULL),
		  0);
	mb_tree_get_path(tree, node, path, sizeof(path));
	mb_tree_free(tree);
	mb_backup_free(b);
	put_text(dir, path, "edited");
	*strrchr(path, '/') = '\0';
	strcat(path, "/new");
	put_text(dir, path, "new");
	set_text(dir, OURS "source", p.backup);
	set_text(dir, OURS "view", "device");
	must_scan(dir, NULL);
	CHECK(strstr(edits(), "changed HomeDomain/a.txt\n"));
	CHECK(strstr(edits(), "added HomeDomain/new\n"));
	make(SIZE_MAX);
	CHECK_AT(compare() == 0, "%s", now.err.text);
	CHECK(holds("HomeDomain/a.txt", "edited"));
	leave_made();
	leave();
}

/* A place for trees that has attributes; false if there is none. */
static bool find_place(void)
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

int main(void)
{
	RUN(trees_need_a_file_system_with_attributes_of_users);
	if (tap.skip)
		return tap_end();
	RUN(a_folder_with_a_manifest_is_a_backup);
	RUN(a_copy_names_its_backup);
	RUN(what_the_root_does_not_say_a_folder_in_it_may);
	RUN(the_base_that_is_given_is_the_one);
	RUN(a_copy_without_its_backup_is_a_tree);
	RUN(any_folder_of_domains_is_a_tree_and_others_are_not);
	RUN(a_part_of_a_tree_is_refused);
	RUN(a_mount_of_another_version_is_refused);
	RUN(nothing_may_be_written_into_it);
	RUN(nor_by_a_link);
	RUN(a_backup_is_listed_whole);
	RUN(a_copy_that_was_not_edited_is_the_backup);
	RUN(each_edit_is_found);
	RUN(what_is_gone_is_counted);
	RUN(what_a_phone_cannot_have_is_left_out_and_told);
	RUN(permissions_that_a_mount_gave_are_no_edit);
	RUN(who_new_entries_belong_to);
	RUN(attributes_that_are_no_numbers_are_nobodys);
	RUN(an_edited_name_of_a_file_with_several_is_a_file_of_its_own);
	RUN(a_selection_takes_what_is_above_along);
	RUN(a_selection_sees_only_its_edits);
	RUN(a_pattern_that_matches_nothing_is_an_error);
	RUN(damage_of_what_is_kept_is_told);
	RUN(a_scan_can_be_cancelled);
	RUN(a_tree_of_nobodys_is_all_new);
	RUN(names_that_had_to_be_escaped_are_known_by_their_attributes);
	RUN(what_was_written_is_what_there_is);
	RUN(what_was_edited_is_in_the_new_backup);
	RUN(attributes_that_a_copy_lost_are_those_of_the_backup);
	RUN(attributes_that_a_device_does_not_keep_are_left_out_and_told);
	RUN(golden_backups_are_written_and_compared);
	RUN(a_tree_of_nobodys_is_written_and_compared);
	RUN(each_entry_that_is_missing_is_found);
	RUN(an_entry_too_many_is_found);
	RUN(every_difference_is_found);
	RUN(a_target_that_differs_is_found);
	RUN(a_payload_that_is_lost_on_the_way_is_found);
	RUN(what_was_damaged_before_may_be_so_in_the_new_one);
	RUN(an_entry_that_becomes_another_meanwhile);
	RUN(a_comparison_can_be_cancelled);
	RUN(a_copy_of_the_view_of_a_device);
	return tap_end();
}
