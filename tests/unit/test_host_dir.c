/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define U "00008110-000A1B2C3D4E5F67"
#define ID "2debd89c089c76aa1203149ceed4d7ca4bb692af"
#define NAME(text) ((struct host_name){ text, sizeof(text) - 1 })

/*
 * A host's folder with a device's folder in it, what belongs to others beside
 * it, and links that lead out.
 */
struct yard {
	const char *path;
	const char *outside;
	struct host_dir dir;
};

static struct yard make_yard(void)
{
	struct yard y = { .path = temp_dir(), .outside = temp_dir() };

	put_text(y.outside, "precious", "untouched");
	put_text(y.path, "other/file", "another device's");
	put_text(y.path, "file", "nobody's");
	put_text(y.path, U "/file", "content");
	put_text(y.path, U "/sub/file", "below");
	put_text(y.path, U "/sub/deeper/file", "deepest");
	symlink(y.outside, in(y.path, U "/out"));
	symlink(in(y.outside, "precious"), in(y.path, U "/link"));
	symlink(in(y.outside, "new"), in(y.path, U "/dangling"));
	symlink("..", in(y.path, U "/up"));
	y.dir = (struct host_dir){ .fd = open_dir(y.path), .udid = U };
	return y;
}

/* However it went: nothing of others was touched. */
static void leave_yard(struct yard *y)
{
	struct stat st;

	CHECK(is_text(y->outside, "precious", "untouched"));
	CHECK(!exists(y->outside, "new"));
	CHECK(stat(y->outside, &st) == 0 && st.st_nlink == 2);
	CHECK(is_text(y->path, "other/file", "another device's"));
	CHECK(is_text(y->path, "file", "nobody's"));
	close(y->dir.fd);
}

static struct host_name name_of(const char *text)
{
	return (struct host_name){ text, strlen(text) };
}

/* ---- all operations with one name, as results ---- */

static struct host_name good = NAME(U "/sub/file");

static int closed(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int op_check(const struct host_dir *d, struct host_name n,
		    struct mb_err *err)
{
	return host_dir_check(d, n, err);
}

static int op_open(const struct host_dir *d, struct host_name n,
		   struct mb_err *err)
{
	int64_t len;

	return closed(host_dir_open(d, n, &len, err));
}

static int op_create(const struct host_dir *d, struct host_name n,
		     struct mb_err *err)
{
	bool replaced;

	return closed(host_dir_create(d, n, &replaced, err));
}

static int op_make_dir(const struct host_dir *d, struct host_name n,
		       struct mb_err *err)
{
	return host_dir_make_dir(d, n, err);
}

static int op_move_from(const struct host_dir *d, struct host_name n,
			struct mb_err *err)
{
	bool replaced;

	return host_dir_move(d, n, NAME(U "/moved"), &replaced, err);
}

static int op_move_to(const struct host_dir *d, struct host_name n,
		      struct mb_err *err)
{
	bool replaced;

	return host_dir_move(d, good, n, &replaced, err);
}

static int op_remove(const struct host_dir *d, struct host_name n,
		     struct mb_err *err)
{
	bool removed;

	return host_dir_remove(d, n, &removed, err);
}

static int op_copy_from(const struct host_dir *d, struct host_name n,
			struct mb_err *err)
{
	return host_dir_copy(d, n, NAME(U "/copy"), err);
}

static int op_copy_to(const struct host_dir *d, struct host_name n,
		      struct mb_err *err)
{
	return host_dir_copy(d, good, n, err);
}

static int count_entry(void *arg, const char *entry, const struct stat *st)
{
	(void)entry, (void)st;
	++*(int *)arg;
	return 0;
}

static int op_list(const struct host_dir *d, struct host_name n,
		   struct mb_err *err)
{
	int count = 0;
	int rc = host_dir_list(d, n, count_entry, &count, err);

	return rc == 0 && count ? count : rc;
}

static const struct {
	const char *name;
	int (*run)(const struct host_dir *d, struct host_name n,
		   struct mb_err *err);
} operations[] = {
	{ "check", op_check },	       { "open", op_open },
	{ "create", op_create },       { "make_dir", op_make_dir },
	{ "move from", op_move_from }, { "move to", op_move_to },
	{ "remove", op_remove },       { "copy from", op_copy_from },
	{ "copy to", op_copy_to },     { "list", op_list },
};

/* ---- names ---- */

static void check_refused(struct yard *y, struct host_name n, const char *shown)
{
	for (size_t i = 0; i < COUNT(operations); i++) {
		struct mb_err err = { 0 };
		int rc = operations[i].run(&y->dir, n, &err);

		CHECK_AT(rc == -EPROTO, "%s of %s: %d", operations[i].name,
			 shown, rc);
		CHECK_AT(err.code == -EPROTO, "%s", shown);
		CHECK_AT(strstr(err.text, shown), "%s: %s", operations[i].name,
			 err.text);
	}
}

CASE(every_way_out_of_the_devices_folder_is_refused_with_its_name)
{
	static const char *const names[] = {
		"..",
		"../x",
		"../../etc/passwd",
		"../" U "/file",
		"./..",
		"/",
		"/etc/passwd",
		"//etc/passwd",
		U "/..",
		U "/../file",
		U "/../other/file",
		U "/../" U "/file",
		U "/sub/../../file",
		U "/sub/..",
		U "//..",
		U "/./../file",
		U "-20240102-030405/../file",
		"other",
		"other/file",
		"file",
		".larder-" U "/kept",
		"00008110",
		"00008110-000a1b2c3d4e5f67/file",
		U "x",
		U "2/file",
		U ".tmp",
		U "-2024",
		U "-20240102-03040",
		U "-20240102-0304056",
		U "-20240102-03040x",
		U "-20240102_030405",
		U "_20240102-030405",
		U "- 0240102-030405",
		U "-20240102-030405/" U "/../../file",
	};
	struct yard y = make_yard();

	for (size_t i = 0; i < COUNT(names); i++)
		check_refused(&y, name_of(names[i]), names[i]);
	CHECK(is_text(y.path, U "/file", "content"));
	CHECK(is_text(y.path, U "/sub/file", "below"));
	leave_yard(&y);
}

CASE(what_is_no_name_is_refused)
{
	struct yard y = make_yard();

	check_refused(&y, NAME(""), "\"\"");
	check_refused(&y, NAME("."), "\".\"");
	check_refused(&y, NAME("./."), "\"./.\"");
	check_refused(&y, NAME(".//"), "\".//\"");
	leave_yard(&y);
}

CASE(a_zero_byte_in_a_name_is_refused)
{
	struct yard y = make_yard();

	check_refused(&y, NAME(U "/file\0"), "zero byte");
	check_refused(&y, NAME(U "\0/../file"), "zero byte");
	check_refused(&y, NAME("\0"), "zero byte");
	leave_yard(&y);
}

CASE(a_name_is_taken_up_to_1024_bytes)
{
	struct yard y = make_yard();
	char long_name[1200];
	struct mb_err err;

	/* components of 99, so that nothing but the whole is too long */
	memset(long_name, 'a', sizeof(long_name));
	for (size_t i = 100; i < sizeof(long_name); i += 100)
		long_name[i] = '/';
	memcpy(long_name, U "/", sizeof(U));
	CHECK_INT(host_dir_check(&y.dir, (struct host_name){ long_name, 1024 },
				 &err),
		  0);
	check_refused(&y, (struct host_name){ long_name, 1025 }, "too long");
	check_refused(&y, (struct host_name){ long_name, 1200 }, "too long");
	CHECK_INT(host_dir_make_dir(
			  &y.dir, (struct host_name){ long_name, 1024 }, &err),
		  0);
	long_name[1024] = '\0';
	CHECK(exists(y.path, long_name));
	leave_yard(&y);
}

CASE(a_component_too_long_for_the_system_is_its_error)
{
	struct yard y = make_yard();
	char name[400] = U "/";
	struct mb_err err;

	memset(name + strlen(name), 'a', 300);
	for (size_t i = 1; i < COUNT(operations); i++)
		CHECK_INT(operations[i].run(&y.dir, name_of(name), &err),
			  -ENAMETOOLONG);
	leave_yard(&y);
}

CASE(a_refused_name_is_shown_without_its_control_characters)
{
	struct yard y = make_yard();
	struct mb_err err = { 0 };

	CHECK_INT(host_dir_check(&y.dir, NAME("../\033[31m\r\n\x9b!"), &err),
		  -EPROTO);
	CHECK(strstr(err.text, "../?[31m??"
			       "?!"));
	for (const char *p = err.text; *p; p++)
		CHECK((unsigned char)*p >= 0x20);
	leave_yard(&y);
}

CASE(slashes_and_dots_without_meaning_are_dropped)
{
	static const char *const names[] = {
		U "/sub/file",	  U "//sub///file",	  "./" U "/sub/file",
		U "/./sub/file",  U "/sub/./file/.",	  U "/sub/file/",
		U "/sub/file///", ".//" U "/./sub//file",
	};
	struct yard y = make_yard();

	for (size_t i = 0; i < COUNT(names); i++)
		CHECK_AT(op_open(&y.dir, name_of(names[i]), NULL) == 0, "%s",
			 names[i]);
	CHECK_INT(op_list(&y.dir, NAME(U "/"), NULL), 6);
	CHECK_INT(op_list(&y.dir, NAME(U), NULL), 6);
	leave_yard(&y);
}

CASE(names_that_only_look_like_dots_are_names)
{
	static const char *const names[] = { U "/...", U "/..a", U "/.a",
					     U "/a..", U "/ .." };
	struct yard y = make_yard();

	for (size_t i = 0; i < COUNT(names); i++) {
		CHECK_AT(op_create(&y.dir, name_of(names[i]), NULL) == 0, "%s",
			 names[i]);
		CHECK_AT(exists(y.path, names[i]), "%s", names[i]);
	}
	leave_yard(&y);
}

CASE(the_folder_of_a_replaced_backup_may_be_used)
{
	static const struct host_name put_away =
		NAME(U "-20240102-030405/file");
	struct yard y = make_yard();
	bool replaced, removed;

	CHECK_INT(host_dir_make_dir(&y.dir, NAME(U "-20240102-030405"), NULL),
		  0);
	CHECK_INT(host_dir_move(&y.dir, NAME(U "/file"), put_away, &replaced,
				NULL),
		  0);
	CHECK(is_text(y.path, U "-20240102-030405/file", "content"));
	CHECK_INT(host_dir_copy(&y.dir, NAME(U), NAME(U "-20240102-030406"),
				NULL),
		  0);
	CHECK(is_text(y.path, U "-20240102-030406/sub/deeper/file", "deepest"));
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "-20240102-030405"), &removed,
				  NULL),
		  0);
	CHECK(removed && !exists(y.path, U "-20240102-030405"));
	leave_yard(&y);
}

/* ---- links ---- */

CASE(links_to_folders_are_never_followed)
{
	static const char *const names[] = { U "/out/precious", U "/out/new",
					     U "/up/file", U "/up/other/file",
					     U "/out/a/b" };
	struct yard y = make_yard();

	for (size_t n = 0; n < COUNT(names); n++)
		/* all but the check of a name alone */
		for (size_t i = 1; i < COUNT(operations); i++) {
			int rc = operations[i].run(&y.dir, name_of(names[n]),
						   NULL);

			CHECK_AT(rc == -ELOOP, "%s %s: %d", operations[i].name,
				 names[n], rc);
		}
	CHECK(is_text(y.path, U "/sub/file", "below"));
	leave_yard(&y);
}

CASE(a_link_is_neither_read_nor_listed)
{
	struct yard y = make_yard();

	CHECK_INT(op_open(&y.dir, NAME(U "/link"), NULL), -ELOOP);
	CHECK_INT(op_open(&y.dir, NAME(U "/dangling"), NULL), -ELOOP);
	CHECK_INT(op_list(&y.dir, NAME(U "/out"), NULL), -ELOOP);
	CHECK_INT(op_list(&y.dir, NAME(U "/up"), NULL), -ELOOP);
	leave_yard(&y);
}

CASE(a_link_in_the_place_of_a_new_file_is_replaced)
{
	static const char *const names[] = { U "/link", U "/dangling", U "/out",
					     U "/up" };
	struct yard y = make_yard();

	for (size_t i = 0; i < COUNT(names); i++) {
		bool replaced = false;
		int fd = host_dir_create(&y.dir, name_of(names[i]), &replaced,
					 NULL);

		if (!CHECK_AT(fd >= 0, "%s", names[i]))
			continue;
		CHECK(replaced);
		CHECK_INT(write(fd, "x", 1), 1);
		close(fd);
		CHECK(is_text(y.path, names[i], "x"));
	}
	leave_yard(&y);
}

CASE(links_are_removed_moved_and_copied_as_such)
{
	struct yard y = make_yard();
	bool flag;
	struct stat st;

	CHECK_INT(
		host_dir_copy(&y.dir, NAME(U "/link"), NAME(U "/link2"), NULL),
		0);
	CHECK(lstat(in(y.path, U "/link2"), &st) == 0 && S_ISLNK(st.st_mode));
	CHECK_INT(host_dir_move(&y.dir, NAME(U "/out"), NAME(U "/out2"), &flag,
				NULL),
		  0);
	CHECK(lstat(in(y.path, U "/out2"), &st) == 0 && S_ISLNK(st.st_mode));
	CHECK_INT(host_dir_move(&y.dir, NAME(U "/file"), NAME(U "/out2"), &flag,
				NULL),
		  0);
	CHECK(is_text(y.path, U "/out2", "content"));
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/link"), &flag, NULL), 0);
	CHECK(!exists(y.path, U "/link"));
	CHECK_INT(host_dir_copy(&y.dir, NAME(U "/sub"), NAME(U "/up"), NULL),
		  0);
	CHECK(is_text(y.path, U "/up/file", "below"));
	leave_yard(&y);
}

CASE(a_link_in_the_place_of_the_devices_folder_is_not_followed)
{
	struct yard y = make_yard();

	rename(in(y.path, U), in(y.path, "elsewhere"));
	symlink(y.outside, in(y.path, U));
	CHECK_INT(op_open(&y.dir, NAME(U "/precious"), NULL), -ELOOP);
	CHECK_INT(op_create(&y.dir, NAME(U "/new"), NULL), -ELOOP);
	CHECK_INT(op_make_dir(&y.dir, NAME(U "/new"), NULL), -ELOOP);
	CHECK_INT(op_remove(&y.dir, NAME(U "/precious"), NULL), -ELOOP);
	CHECK_INT(op_list(&y.dir, NAME(U), NULL), -ELOOP);
	leave_yard(&y);
}

/* ---- files ---- */

CASE(a_file_is_opened_with_its_length)
{
	struct yard y = make_yard();
	int64_t len = 0;
	char text[8];
	int fd = host_dir_open(&y.dir, NAME(U "/file"), &len, NULL);

	if (CHECK(fd >= 0)) {
		CHECK_INT(len, 7);
		CHECK_INT(read(fd, text, 8), 7);
		close(fd);
	}
	CHECK_INT(op_open(&y.dir, NAME(U "/absent"), NULL), -ENOENT);
	CHECK_INT(op_open(&y.dir, NAME(U "/file/x"), NULL), -ENOTDIR);
	mkfifo(in(y.path, U "/fifo"), 0600);
	CHECK(op_open(&y.dir, NAME(U "/fifo"), NULL) < 0);
	CHECK(op_open(&y.dir, NAME(U "/sub"), NULL) < 0);
	leave_yard(&y);
}

CASE(errors_of_the_system_come_with_the_path)
{
	struct yard y = make_yard();
	struct mb_err err = { 0 };

	CHECK_INT(op_open(&y.dir, NAME(U "//absent"), &err), -ENOENT);
	CHECK_TEXT(err.text,
		   "cannot open " U "/absent: No such file or directory");
	CHECK_INT(op_create(&y.dir, NAME(U "/no/file"), &err), -ENOENT);
	CHECK(strstr(err.text, "create " U "/no/file"));
	leave_yard(&y);
}

CASE(a_new_file_does_not_touch_who_shares_the_old_one)
{
	struct yard y = make_yard();
	bool replaced = false;
	struct stat st;
	int fd;

	link(in(y.path, U "/file"), in(y.path, "last-good"));
	fd = host_dir_create(&y.dir, NAME(U "/file"), &replaced, NULL);
	if (CHECK(fd >= 0)) {
		CHECK(replaced);
		CHECK_INT(write(fd, "new", 3), 3);
		close(fd);
	}
	CHECK(is_text(y.path, U "/file", "new"));
	CHECK(is_text(y.path, "last-good", "content"));
	CHECK(stat(in(y.path, U "/file"), &st) == 0 && st.st_nlink == 1);
	leave_yard(&y);
}

CASE(a_new_file_needs_its_folder)
{
	struct yard y = make_yard();
	bool replaced = true;

	CHECK_INT(host_dir_create(&y.dir, NAME(U "/no/file"), &replaced, NULL),
		  -ENOENT);
	CHECK(!replaced);
	CHECK(!exists(y.path, U "/no"));
	CHECK_INT(op_create(&y.dir, NAME(U "/file/x"), NULL), -ENOTDIR);
	CHECK_INT(closed(host_dir_create(&y.dir, NAME(U "/sub/new"), &replaced,
					 NULL)),
		  0);
	CHECK(!replaced && is_text(y.path, U "/sub/new", ""));
	leave_yard(&y);
}

/* ---- folders ---- */

CASE(a_folder_is_made_with_those_above_it)
{
	struct yard y = make_yard();

	CHECK_INT(op_make_dir(&y.dir, NAME(U "/a/b/c"), NULL), 0);
	CHECK(exists(y.path, U "/a/b/c"));
	CHECK_INT(op_make_dir(&y.dir, NAME(U "/a/b/c"), NULL), -EEXIST);
	CHECK_INT(op_make_dir(&y.dir, NAME(U "/a"), NULL), -EEXIST);
	CHECK_INT(op_make_dir(&y.dir, NAME(U "/file"), NULL), -EEXIST);
	CHECK_INT(op_make_dir(&y.dir, NAME(U "/file/a/b"), NULL), -ENOTDIR);
	CHECK_INT(op_make_dir(&y.dir, NAME(U "-20240102-030405/x"), NULL), 0);
	CHECK(exists(y.path, U "-20240102-030405/x"));
	leave_yard(&y);
}

struct seen {
	int files, folders, others;
	int64_t size;
	int rc;
};

static int see(void *arg, const char *entry, const struct stat *st)
{
	struct seen *s = arg;

	CHECK(strcmp(entry, ".") && strcmp(entry, ".."));
	if (S_ISREG(st->st_mode))
		s->files++, s->size += st->st_size;
	else if (S_ISDIR(st->st_mode))
		s->folders++;
	else
		s->others++;
	return s->rc;
}

CASE(the_entries_of_a_folder_are_listed)
{
	struct yard y = make_yard();
	struct seen s = { 0 };

	CHECK_INT(host_dir_list(&y.dir, NAME(U), see, &s, NULL), 0);
	CHECK_INT(s.files, 1);
	CHECK_INT(s.size, 7);
	CHECK_INT(s.folders, 1);
	CHECK_INT(s.others, 4);
	s = (struct seen){ .rc = -42 };
	CHECK_INT(host_dir_list(&y.dir, NAME(U), see, &s, NULL), -42);
	CHECK_INT(s.files + s.folders + s.others, 1);
	leave_yard(&y);
}

CASE(a_folder_that_is_not_there_has_no_entries)
{
	struct yard y = make_yard();
	struct seen s = { 0 };

	CHECK_INT(host_dir_list(&y.dir, NAME(U "/no"), see, &s, NULL), 0);
	CHECK_INT(host_dir_list(&y.dir, NAME(U "/no/where"), see, &s, NULL), 0);
	CHECK_INT(host_dir_list(&y.dir, NAME(U "-20240102-030405"), see, &s,
				NULL),
		  0);
	CHECK_INT(s.files + s.folders + s.others, 0);
	CHECK_INT(host_dir_list(&y.dir, NAME(U "/file"), see, &s, NULL),
		  -ENOTDIR);
	leave_yard(&y);
}

CASE(what_is_removed_is_gone_and_what_is_not_there_is_no_error)
{
	struct yard y = make_yard();
	bool removed = true;

	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/no"), &removed, NULL), 0);
	CHECK(!removed);
	removed = true;
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/no/where"), &removed, NULL),
		  0);
	CHECK(!removed);
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/file"), &removed, NULL), 0);
	CHECK(removed && !exists(y.path, U "/file"));
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/sub"), &removed, NULL), 0);
	CHECK(removed && !exists(y.path, U "/sub"));
	CHECK_INT(host_dir_remove(&y.dir, NAME(U), &removed, NULL), 0);
	CHECK(removed && !exists(y.path, U));
	leave_yard(&y);
}

CASE(a_folder_too_deep_for_any_path_is_removed_with_few_files_open)
{
	struct yard y = make_yard();
	struct rlimit old, few;
	int at = open_dir(in(y.path, U "/sub"));
	bool removed = false;

	for (int i = 0; i < 3000; i++) {
		int below;

		mkdirat(at, "folder", 0700);
		below = openat(at, "folder", O_RDONLY | O_DIRECTORY);
		close(at);
		at = below;
	}
	close(at);
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){ 64, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK_INT(host_dir_remove(&y.dir, NAME(U "/sub"), &removed, NULL), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK(removed && !exists(y.path, U "/sub"));
	leave_yard(&y);
}

/* ---- moves ---- */

static int move(struct yard *y, const char *from, const char *to,
		bool *replaced)
{
	return host_dir_move(&y->dir, name_of(from), name_of(to), replaced,
			     NULL);
}

CASE(a_move_replaces_what_is_there)
{
	struct yard y = make_yard();
	bool replaced = true;

	put_text(y.path, U "/a", "a");
	CHECK_INT(move(&y, U "/a", U "/b", &replaced), 0);
	CHECK(!replaced && is_text(y.path, U "/b", "a"));
	CHECK(!exists(y.path, U "/a"));
	CHECK_INT(move(&y, U "/b", U "/file", &replaced), 0);
	CHECK(replaced && is_text(y.path, U "/file", "a"));
	CHECK(!exists(y.path, U "/b"));
	/* a file in place of a folder */
	CHECK_INT(move(&y, U "/file", U "/sub", &replaced), 0);
	CHECK(replaced && is_text(y.path, U "/sub", "a"));
	leave_yard(&y);
}

CASE(a_folder_replaces_a_folder)
{
	struct yard y = make_yard();
	bool replaced = false;

	put_text(y.path, U "/new/x/y", "y");
	CHECK_INT(move(&y, U "/new", U "/sub", &replaced), 0);
	CHECK(replaced && is_text(y.path, U "/sub/x/y", "y"));
	CHECK(!exists(y.path, U "/sub/file") && !exists(y.path, U "/new"));
	leave_yard(&y);
}

CASE(a_folder_replaces_a_file)
{
	struct yard y = make_yard();
	bool replaced = false;

	CHECK_INT(move(&y, U "/sub", U "/file", &replaced), 0);
	CHECK(replaced && is_text(y.path, U "/file/file", "below"));
	CHECK(!exists(y.path, U "/sub"));
	leave_yard(&y);
}

CASE(a_move_of_nothing_removes_nothing)
{
	struct yard y = make_yard();
	bool replaced = true;

	CHECK_INT(move(&y, U "/absent", U "/sub", &replaced), -ENOENT);
	CHECK(!replaced);
	CHECK_INT(move(&y, U "/absent", U "/file", &replaced), -ENOENT);
	CHECK(is_text(y.path, U "/sub/file", "below"));
	CHECK(is_text(y.path, U "/file", "content"));
	CHECK_INT(move(&y, U "/file", U "/no/file", &replaced), -ENOENT);
	CHECK(is_text(y.path, U "/file", "content"));
	leave_yard(&y);
}

CASE(a_move_onto_itself_changes_nothing)
{
	struct yard y = make_yard();
	bool replaced = true;
	int rc = move(&y, U "/sub", U "//sub/.", &replaced);

	CHECK(rc == 0 || rc == -EINVAL);
	CHECK(!replaced && is_text(y.path, U "/sub/file", "below"));
	rc = move(&y, U "/file", "./" U "/file", &replaced);
	CHECK(rc == 0 || rc == -EINVAL);
	CHECK(!replaced && is_text(y.path, U "/file", "content"));
	leave_yard(&y);
}

CASE(a_move_onto_a_second_name_of_the_same_file_leaves_one_name)
{
	struct yard y = make_yard();
	bool replaced = false;

	link(in(y.path, U "/file"), in(y.path, U "/twin"));
	CHECK_INT(move(&y, U "/file", U "/twin", &replaced), 0);
	CHECK(replaced && is_text(y.path, U "/twin", "content"));
	CHECK(!exists(y.path, U "/file"));
	leave_yard(&y);
}

CASE(a_folder_is_not_moved_into_itself)
{
	struct yard y = make_yard();
	bool replaced;

	CHECK_INT(move(&y, U "/sub", U "/sub/new", &replaced), -EINVAL);
	CHECK_INT(move(&y, U "/sub", U "/sub/deeper", &replaced), -EINVAL);
	CHECK_INT(move(&y, U, U "/sub", &replaced), -EINVAL);
	CHECK_INT(move(&y, U, U "/new", &replaced), -EINVAL);
	CHECK(is_text(y.path, U "/sub/file", "below"));
	CHECK(is_text(y.path, U "/sub/deeper/file", "deepest"));
	leave_yard(&y);
}

CASE(a_move_onto_the_folder_above_removes_nothing)
{
	struct yard y = make_yard();
	bool replaced;
	int rc = move(&y, U "/sub/deeper", U "/sub", &replaced);

	CHECK(rc < 0 && rc != -EPROTO);
	CHECK(is_text(y.path, U "/sub/file", "below"));
	CHECK(is_text(y.path, U "/sub/deeper/file", "deepest"));
	rc = move(&y, U "/file", U, &replaced);
	CHECK(rc < 0 && rc != -EPROTO);
	CHECK(is_text(y.path, U "/file", "content"));
	leave_yard(&y);
}

/* ---- copies ---- */

static int copy(struct yard *y, const char *from, const char *to)
{
	return host_dir_copy(&y->dir, name_of(from), name_of(to), NULL);
}

CASE(a_copy_has_files_of_its_own)
{
	struct yard y = make_yard();
	struct stat a, b;

	CHECK_INT(copy(&y, U "/sub", U "/copy"), 0);
	CHECK(is_text(y.path, U "/copy/file", "below"));
	CHECK(is_text(y.path, U "/copy/deeper/file", "deepest"));
	CHECK(is_text(y.path, U "/sub/deeper/file", "deepest"));
	stat(in(y.path, U "/sub/file"), &a);
	stat(in(y.path, U "/copy/file"), &b);
	CHECK(a.st_ino != b.st_ino && b.st_nlink == 1);
	CHECK_INT(copy(&y, U "/file", U "/copy"), 0);
	CHECK(is_text(y.path, U "/copy", "content"));
	leave_yard(&y);
}

CASE(a_copy_into_itself_is_refused_and_removes_nothing)
{
	struct yard y = make_yard();

	CHECK_INT(copy(&y, U "/sub", U "/sub"), -EINVAL);
	CHECK_INT(copy(&y, U "/sub", U "/sub/new"), -EINVAL);
	CHECK_INT(copy(&y, U "/sub", U "/sub/deeper"), -EINVAL);
	CHECK_INT(copy(&y, U, U "/sub"), -EINVAL);
	CHECK_INT(copy(&y, U "/sub", U "/subway"), 0);
	CHECK(is_text(y.path, U "/subway/file", "below"));
	CHECK(is_text(y.path, U "/sub/file", "below"));
	CHECK(is_text(y.path, U "/sub/deeper/file", "deepest"));
	leave_yard(&y);
}

CASE(a_copy_onto_the_folder_above_removes_nothing)
{
	struct yard y = make_yard();

	CHECK(copy(&y, U "/sub/deeper", U "/sub") < 0);
	CHECK(is_text(y.path, U "/sub/deeper/file", "deepest"));
	CHECK(is_text(y.path, U "/sub/file", "below"));
	leave_yard(&y);
}

CASE(a_copy_of_nothing_removes_nothing)
{
	struct yard y = make_yard();

	CHECK_INT(copy(&y, U "/absent", U "/file"), -ENOENT);
	CHECK_INT(copy(&y, U "/absent", U "/sub"), -ENOENT);
	CHECK(is_text(y.path, U "/file", "content"));
	CHECK(is_text(y.path, U "/sub/file", "below"));
	CHECK_INT(copy(&y, U "/file", U "/no/file"), -ENOENT);
	leave_yard(&y);
}

/* ---- the rest ---- */

CASE(payloads_are_told_from_other_files)
{
	static const struct host_name payloads[] = {
		NAME(U "/2d/" ID),
		NAME(U "/" ID),
		NAME(U "/00/0000000000000000000000000000000000000000"),
	};
	static const struct host_name others[] = {
		NAME(U "/Snapshot/2d/" ID),
		NAME(U "/Manifest.db"),
		NAME(U "/Status.plist"),
		NAME(U "/2d/" ID "0"),
		NAME(U "/2d/debd89c089c76aa1203149ceed4d7ca4bb692af"),
		NAME(U "/2g/" ID),
		NAME(U "/2d-" ID),
		NAME(U "/2d/2debd89c089c76aa1203149ceed4d7ca4bb692ag"),
		NAME(U "-20240102-030405/2d/" ID),
		NAME("other/2d/" ID),
		NAME(ID),
		NAME("" U),
		NAME(U "/"),
		NAME(""),
		NAME("x"),
	};
	const struct host_dir dir = { .fd = -1, .udid = U };

	for (size_t i = 0; i < COUNT(payloads); i++)
		CHECK_AT(host_dir_is_payload(&dir, payloads[i]), "%s",
			 payloads[i].ptr);
	for (size_t i = 0; i < COUNT(others); i++)
		CHECK_AT(!host_dir_is_payload(&dir, others[i]), "%s",
			 others[i].ptr);
}

CASE(free_space_is_counted_in_fragments)
{
	struct yard y = make_yard();
	struct statvfs v;
	uint64_t bytes = 0;

	CHECK_INT(host_dir_free_space(&y.dir, &bytes, NULL), 0);
	fstatvfs(y.dir.fd, &v);
	/* others write to the disk meanwhile */
	CHECK(bytes / (1u << 30) <= v.f_bavail * v.f_frsize / (1u << 30) + 1);
	CHECK(bytes / (1u << 30) + 1 >= v.f_bavail * v.f_frsize / (1u << 30));
	CHECK_INT(bytes % v.f_frsize, 0);
	CHECK_INT(host_dir_free_space(&(struct host_dir){ .fd = -1, .udid = U },
				      &bytes, NULL),
		  -EBADF);
	leave_yard(&y);
}

/* ---- a backup that is only served ---- */

#define T "00008101-00000000000000BB" /* another device, the target */
#define ID2 "0000000000000000000000000000000000000000"

static const char *const backup_files[] = {
	"Info.plist",	 "Manifest.plist", "Manifest.db", "Manifest.mbdb",
	"Manifest.mbdx", "Status.plist",   ("2d/" ID),	  ID2,
};

/* In a backup, but none of its files. */
static const char *const foreign[] = {
	"notes.txt",	   "status.plist",  "Manifest.db-wal", "2d/notes",
	"2d/" ID "0",	   "2d/deeper/" ID, "2d0/" ID,	       "zz/" ID,
	"Snapshot/2d/" ID, ".hidden",	    "_unback_/file",   ID "0",
	"2d/Info.plist",   "2d/2d/" ID,
};

/* A backup whose folder has a name of its own, and holds more than it needs. */
static struct yard make_served(void)
{
	struct yard y = { .path = temp_dir(), .outside = temp_dir() };

	put_text(y.outside, "precious", "untouched");
	put_text(y.path, "other/file", "another device's");
	put_text(y.path, "file", "nobody's");
	for (size_t i = 0; i < COUNT(backup_files); i++)
		put_text(y.path, in("holidays", backup_files[i]), "content");
	for (size_t i = 0; i < COUNT(foreign); i++)
		put_text(y.path, in("holidays", foreign[i]), "private");
	mkdir(in(y.path, "holidays/00"), 0700);
	mkdir(in(y.path, "holidays/00/" ID), 0700);
	symlink(y.outside, in(y.path, "holidays/aa"));
	symlink(in(y.outside, "precious"), in(y.path, "holidays/2d/" ID2));
	symlink("2d", in(y.path, "holidays/2e"));
	y.dir = (struct host_dir){
		.fd = open_dir(in(y.path, "holidays")),
		.udid = U,
		.served = true,
		.target = T,
	};
	return y;
}

static struct host_name below(const char *folder, const char *name)
{
	return name_of(in(folder, name));
}

CASE(a_served_backup_is_read_by_the_devices_name_for_it)
{
	struct yard y = make_served();
	int64_t len = 0;
	int fd;

	for (size_t i = 0; i < COUNT(backup_files); i++)
		CHECK_AT(op_open(&y.dir, below(U, backup_files[i]), NULL) == 0,
			 "%s", backup_files[i]);
	fd = host_dir_open(&y.dir, NAME(U "//./2d/" ID), &len, NULL);
	CHECK(fd >= 0);
	CHECK_INT(len, 7);
	close(fd);
	leave_yard(&y);
}

CASE(what_is_no_part_of_a_served_backup_is_not_there)
{
	struct yard y = make_served();
	struct mb_err err;

	for (size_t i = 0; i < COUNT(foreign); i++)
		CHECK_AT(op_open(&y.dir, below(U, foreign[i]), &err) == -ENOENT,
			 "%s", foreign[i]);
	CHECK(strstr(err.text, U "/2d/2d/" ID));
	CHECK_INT(op_open(&y.dir, NAME(U), &err), -ENOENT);
	CHECK_INT(op_open(&y.dir, NAME(U "/2d"), &err), -ENOENT);
	CHECK_INT(op_open(&y.dir, NAME(U "/2d/"), &err), -ENOENT);
	leave_yard(&y);
}

CASE(links_and_folders_in_a_served_backup_are_no_files_of_it)
{
	struct yard y = make_served();

	CHECK_INT(op_open(&y.dir, NAME(U "/2d/" ID2), NULL), -ELOOP);
	CHECK_INT(op_open(&y.dir, NAME(U "/aa/" ID), NULL), -ELOOP);
	CHECK_INT(op_open(&y.dir, NAME(U "/2e/" ID), NULL), -ELOOP);
	CHECK_INT(op_open(&y.dir, NAME(U "/aa/precious"), NULL), -ENOENT);
	CHECK(op_open(&y.dir, NAME(U "/00/" ID), NULL) < 0);
	CHECK_INT(op_list(&y.dir, NAME(U "/aa"), NULL), -ELOOP);
	leave_yard(&y);
}

CASE(of_a_served_backup_only_its_own_entries_are_listed)
{
	struct yard y = make_served();

	/* six lists and manifests, a payload, 00, 2d; not the links */
	CHECK_INT(op_list(&y.dir, NAME(U), NULL), 9);
	CHECK_INT(op_list(&y.dir, NAME(U "/."), NULL), 9);
	CHECK_INT(op_list(&y.dir, NAME(U "/2d"), NULL), 1);
	CHECK_INT(op_list(&y.dir, NAME(U "/00"), NULL), 0);
	CHECK_INT(op_list(&y.dir, NAME(U "/01"), NULL), 0);
	CHECK_INT(op_list(&y.dir, NAME(U "/zz"), NULL), 0);
	CHECK_INT(op_list(&y.dir, NAME(U "/Snapshot"), NULL), 0);
	CHECK_INT(op_list(&y.dir, NAME(U "/2d/deeper"), NULL), 0);
	leave_yard(&y);
}

CASE(the_target_has_no_backup_here_and_may_look_for_one)
{
	static const char *const names[] = {
		T,
		T "/Status.plist",
		T "/2d/" ID,
		T "-20240102-030405",
		T "-20240102-030405/Info.plist",
		U "-20240102-030405",
		U "-20240102-030405/2d/" ID,
	};
	struct yard y = make_served();

	put_text(y.path, "holidays/" T "/Status.plist", "private");
	for (size_t i = 0; i < COUNT(names); i++) {
		struct host_name n = name_of(names[i]);

		CHECK_AT(host_dir_check(&y.dir, n, NULL) == 0, "%s", names[i]);
		CHECK_AT(op_open(&y.dir, n, NULL) == -ENOENT, "%s", names[i]);
		CHECK_AT(op_list(&y.dir, n, NULL) == 0, "%s", names[i]);
		CHECK_AT(host_dir_copy(&y.dir, n, NAME(T "-20240102-030406"),
				       NULL) == -ENOENT,
			 "%s", names[i]);
	}
	/* of one that is restored to itself the other is a stranger */
	y.dir.target = NULL;
	for (size_t i = 0; i < 5; i++)
		check_refused(&y, name_of(names[i]), names[i]);
	leave_yard(&y);
}

CASE(nothing_is_written_to_a_served_backup)
{
	static const char *const names[] = {
		U "/Status.plist",
		U "/new",
		U "/2d/" ID,
		U "/2d",
		U,
		U "-20240102-030405",
		T,
		T "/new",
		U "/Snapshot/2d/" ID2,
		U "/aa/new",
		U "/2d/" ID2,
	};
	struct yard y = make_served();

	for (size_t n = 0; n < COUNT(names); n++)
		for (size_t i = 0; i < COUNT(operations); i++) {
			const char *what = operations[i].name;
			struct mb_err err = { 0 };
			int rc;

			if (!strcmp(what, "check") || !strcmp(what, "open") ||
			    !strcmp(what, "list") || !strcmp(what, "copy from"))
				continue;
			rc = operations[i].run(&y.dir, name_of(names[n]), &err);
			/* what the others move and copy is no part of it */
			if (!strcmp(what, "copy to"))
				CHECK_INT(rc, -ENOENT);
			else
				CHECK_AT(rc == -EROFS && err.code == -EROFS,
					 "%s of %s: %d", what, names[n], rc);
		}
	CHECK_INT(host_dir_copy(&y.dir, NAME(U), NAME(U "-20240102-030405"),
				NULL),
		  -EROFS);
	CHECK_INT(host_dir_copy(&y.dir, NAME(U "/2d/" ID), NAME(U "/2d/" ID2),
				NULL),
		  -EROFS);
	for (size_t i = 0; i < COUNT(backup_files); i++)
		CHECK(is_text(y.path, in("holidays", backup_files[i]),
			      "content"));
	CHECK(!exists(y.path, "holidays/new"));
	CHECK(!exists(y.path, U "-20240102-030405"));
	leave_yard(&y);
}

CASE(a_refusal_to_write_says_what_the_device_wanted)
{
	struct yard y = make_served();
	struct mb_err err = { 0 };

	CHECK_INT(op_create(&y.dir, NAME(U "/Status.plist"), &err), -EROFS);
	CHECK(strstr(err.text, "create " U "/Status.plist"));
	CHECK(strstr(err.text, "only read"));
	CHECK_INT(op_remove(&y.dir, NAME(U "/2d"), &err), -EROFS);
	CHECK(strstr(err.text, "remove " U "/2d"));
	leave_yard(&y);
}

CASE(the_ways_out_of_a_served_backup_are_refused)
{
	static const char *const names[] = {
		"..",
		"../file",
		"../other/file",
		"/etc/passwd",
		"Status.plist",
		"2d/" ID,
		"holidays",
		"other",
		U "/../file",
		U "/2d/../" ID,
		U "/..",
		U "x/Status.plist",
		U "-2024",
		T "x",
		T "/../holidays",
		T "/../../file",
		T "/2d/../x",
		"00008101",
		U "/../" T,
		U ".tmp/x",
		"holidays/Status.plist",
	};
	struct yard y = make_served();

	for (size_t i = 0; i < COUNT(names); i++)
		check_refused(&y, name_of(names[i]), names[i]);
	check_refused(&y, NAME(U "/Status.plist\0"), "zero byte");
	check_refused(&y, NAME(""), "\"\"");
	leave_yard(&y);
}

CASE(the_free_space_beside_a_served_backup_is_real)
{
	struct yard y = make_served();
	struct statvfs v;
	uint64_t bytes = 0;

	CHECK_INT(host_dir_free_space(&y.dir, &bytes, NULL), 0);
	fstatvfs(y.dir.fd, &v);
	CHECK(bytes / (1u << 30) <= v.f_bavail * v.f_frsize / (1u << 30) + 1);
	CHECK(bytes / (1u << 30) + 1 >= v.f_bavail * v.f_frsize / (1u << 30));
	leave_yard(&y);
}

int main(void)
{
	RUN(every_way_out_of_the_devices_folder_is_refused_with_its_name);
	RUN(what_is_no_name_is_refused);
	RUN(a_zero_byte_in_a_name_is_refused);
	RUN(a_name_is_taken_up_to_1024_bytes);
	RUN(a_component_too_long_for_the_system_is_its_error);
	RUN(a_refused_name_is_shown_without_its_control_characters);
	RUN(slashes_and_dots_without_meaning_are_dropped);
	RUN(names_that_only_look_like_dots_are_names);
	RUN(the_folder_of_a_replaced_backup_may_be_used);
	RUN(links_to_folders_are_never_followed);
	RUN(a_link_is_neither_read_nor_listed);
	RUN(a_link_in_the_place_of_a_new_file_is_replaced);
	RUN(links_are_removed_moved_and_copied_as_such);
	RUN(a_link_in_the_place_of_the_devices_folder_is_not_followed);
	RUN(a_file_is_opened_with_its_length);
	RUN(errors_of_the_system_come_with_the_path);
	RUN(a_new_file_does_not_touch_who_shares_the_old_one);
	RUN(a_new_file_needs_its_folder);
	RUN(a_folder_is_made_with_those_above_it);
	RUN(the_entries_of_a_folder_are_listed);
	RUN(a_folder_that_is_not_there_has_no_entries);
	RUN(what_is_removed_is_gone_and_what_is_not_there_is_no_error);
	RUN(a_folder_too_deep_for_any_path_is_removed_with_few_files_open);
	RUN(a_move_replaces_what_is_there);
	RUN(a_folder_replaces_a_folder);
	RUN(a_folder_replaces_a_file);
	RUN(a_move_of_nothing_removes_nothing);
	RUN(a_move_onto_itself_changes_nothing);
	RUN(a_move_onto_a_second_name_of_the_same_file_leaves_one_name);
	RUN(a_folder_is_not_moved_into_itself);
	RUN(a_move_onto_the_folder_above_removes_nothing);
	RUN(a_copy_has_files_of_its_own);
	RUN(a_copy_into_itself_is_refused_and_removes_nothing);
	RUN(a_copy_onto_the_folder_above_removes_nothing);
	RUN(a_copy_of_nothing_removes_nothing);
	RUN(payloads_are_told_from_other_files);
	RUN(free_space_is_counted_in_fragments);
	RUN(a_served_backup_is_read_by_the_devices_name_for_it);
	RUN(what_is_no_part_of_a_served_backup_is_not_there);
	RUN(links_and_folders_in_a_served_backup_are_no_files_of_it);
	RUN(of_a_served_backup_only_its_own_entries_are_listed);
	RUN(the_target_has_no_backup_here_and_may_look_for_one);
	RUN(nothing_is_written_to_a_served_backup);
	RUN(a_refusal_to_write_says_what_the_device_wanted);
	RUN(the_ways_out_of_a_served_backup_are_refused);
	RUN(the_free_space_beside_a_served_backup_is_real);
	return tap_end();
}
