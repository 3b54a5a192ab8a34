/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

static int dir = -1;

static void make_folder(void)
{
	const char *path = temp_dir();
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock;

	put_text(path, "file", "content");
	put_text(path, "empty", "");
	put_text(path, "sub/file", "below");
	put_text(path, "sub/deeper/file", "deepest");
	symlink("file", in(path, "link"));
	symlink("/etc/passwd", in(path, "passwd"));
	symlink("sub", in(path, "link-to-sub"));
	symlink("..", in(path, "up"));
	symlink("deeper", in(path, "sub/link-to-deeper"));
	symlink("nowhere", in(path, "dangling"));
	mkfifo(in(path, "fifo"), 0600);
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", path);
	bind(sock, (struct sockaddr *)&addr, sizeof(addr));
	close(sock);
	dir = open_dir(path);
}

static int try_file(const char *path)
{
	int fd = beneath_open_file(dir, path, NULL);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int try_dir(const char *path)
{
	int fd = beneath_open_dir(dir, path);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

CASE(files_at_any_depth_open)
{
	static const char *const paths[] = { "file", "sub/file",
					     "sub/deeper/file" };
	static const int lens[] = { 7, 5, 7 };

	for (size_t i = 0; i < COUNT(paths); i++) {
		int64_t len = -1;
		char text[8];
		int fd = beneath_open_file(dir, paths[i], &len);

		if (!CHECK_AT(fd >= 0, "%s", paths[i]))
			continue;
		CHECK_INT(len, lens[i]);
		CHECK_INT(read(fd, text, sizeof(text)), lens[i]);
		CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
	CHECK_INT(try_dir("sub"), 0);
	CHECK_INT(try_dir("sub/deeper"), 0);
}

CASE(a_symbolic_link_in_any_component_is_refused)
{
	CHECK_INT(try_file("link"), -ELOOP);
	CHECK_INT(try_file("passwd"), -ELOOP);
	CHECK_INT(try_file("dangling"), -ELOOP);
	CHECK_INT(try_file("link-to-sub/file"), -ELOOP);
	CHECK_INT(try_file("sub/link-to-deeper/file"), -ELOOP);
	CHECK_INT(try_file("up/x/file"), -ELOOP);
	CHECK_INT(try_dir("link-to-sub"), -ELOOP);
	CHECK_INT(try_dir("up"), -ELOOP);
	CHECK_INT(try_dir("link-to-sub/deeper"), -ELOOP);
}

CASE(dots_and_absolute_paths_are_refused)
{
	static const char *const paths[] = {
		"..",
		"../file",
		"sub/..",
		"sub/../file",
		"sub/../../file",
		"sub/deeper/../file",
		".",
		"./file",
		"sub/./file",
		"/etc/passwd",
		"/",
		"sub/..",
	};

	for (size_t i = 0; i < COUNT(paths); i++) {
		CHECK_AT(try_file(paths[i]) == -EXDEV, "%s: %d", paths[i],
			 try_file(paths[i]));
		CHECK_AT(try_dir(paths[i]) == -EXDEV, "%s: %d", paths[i],
			 try_dir(paths[i]));
	}
}

CASE(names_that_only_begin_with_dots_are_names)
{
	CHECK_INT(try_file("..file"), -ENOENT);
	CHECK_INT(try_file(".hidden"), -ENOENT);
	CHECK_INT(try_file("..."), -ENOENT);
	CHECK_INT(try_file("sub/.../file"), -ENOENT);
}

CASE(what_is_no_regular_file_is_refused_without_waiting)
{
	CHECK_INT(try_file("fifo"), -EBADMSG);
	CHECK_INT(try_file("socket"), -EBADMSG);
	CHECK_INT(try_file("sub"), -EBADMSG);
}

CASE(what_is_not_there_is_told)
{
	char long_name[301];

	memset(long_name, 'a', 300);
	long_name[300] = '\0';
	CHECK_INT(try_file("absent"), -ENOENT);
	CHECK_INT(try_file("absent/file"), -ENOENT);
	CHECK_INT(try_file("file/below"), -ENOTDIR);
	CHECK_INT(try_dir("file"), -ENOTDIR);
	CHECK_INT(try_dir("absent"), -ENOENT);
	CHECK_INT(try_file(long_name), -ENAMETOOLONG);
	CHECK(try_file("") < 0);
}

CASE(a_small_file_is_read_whole)
{
	struct buf b = { 0 };
	struct mb_err err;

	CHECK_INT(beneath_read_file(dir, "file", 7, &b, &err), 0);
	CHECK_BYTES(b.ptr, b.len, "content", 7);
	buf_release(&b);
	CHECK_INT(beneath_read_file(dir, "empty", 0, &b, &err), 0);
	CHECK_INT(b.len, 0);
	buf_release(&b);
	CHECK_INT(beneath_read_file(dir, "file", 6, &b, &err), -EFBIG);
	CHECK_INT(beneath_read_file(dir, "fifo", 6, &b, &err), -EBADMSG);
	CHECK(strstr(err.text, "fifo"));
	CHECK_INT(beneath_read_file(dir, "absent", 6, &b, &err), -ENOENT);
	CHECK_INT(beneath_read_file(dir, "link", 60, &b, NULL), -ELOOP);
	buf_release(&b);
}

CASE(pread_full_stops_at_the_end)
{
	char out[10];
	int fd = beneath_open_file(dir, "file", NULL);

	CHECK_INT(pread_full(fd, out, 10, 0), 7);
	CHECK_INT(pread_full(fd, out, 3, 2), 3);
	CHECK(!memcmp(out, "nte", 3));
	CHECK_INT(pread_full(fd, out, 10, 7), 0);
	close(fd);
	CHECK_INT(pread_full(-1, out, 10, 0), -EBADF);
}

/* ---- changes ---- */

/* A folder of its own, as these change it, with a trap for each way out. */
struct yard {
	const char *path, *outside;
	int fd;
};

static struct yard make_yard(void)
{
	struct yard y = { .path = temp_dir(), .outside = temp_dir() };

	put_text(y.outside, "precious", "untouched");
	put_text(y.path, "file", "content");
	put_text(y.path, "sub/file", "below");
	symlink(y.outside, in(y.path, "out"));
	symlink(in(y.outside, "precious"), in(y.path, "link"));
	symlink(in(y.outside, "not-there"), in(y.path, "dangling"));
	y.fd = open_dir(y.path);
	return y;
}

/* Nothing that was done has touched what lies outside. */
static void leave_yard(struct yard *y)
{
	struct bytes b = read_file(in(y->outside, "precious"));
	struct stat st;

	CHECK_BYTES(b.ptr, b.len, "untouched", 9);
	CHECK(stat(in(y->outside, "new"), &st) < 0);
	CHECK(stat(in(y->outside, "not-there"), &st) < 0);
	CHECK(stat(y->outside, &st) == 0 && st.st_nlink == 2);
	drop(&b);
	close(y->fd);
}

static int try_create(int fd, const char *path)
{
	int made = beneath_create_file(fd, path, 0600);

	if (made >= 0)
		close(made);
	return made < 0 ? made : 0;
}

CASE(a_new_file_is_made_where_there_is_none)
{
	struct yard y = make_yard();
	int fd = beneath_create_file(y.fd, "sub/new", 0640);
	struct stat st;

	if (CHECK(fd >= 0)) {
		CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		CHECK_INT(write_full(fd, "text", 4), 0);
		close(fd);
		CHECK(is_text(y.path, "sub/new", "text"));
		stat(in(y.path, "sub/new"), &st);
		CHECK(!(st.st_mode & 0137));
	}
	CHECK_INT(try_create(y.fd, "absent/new"), -ENOENT);
	CHECK_INT(try_create(y.fd, "file/new"), -ENOTDIR);
	leave_yard(&y);
}

CASE(a_new_file_never_takes_the_place_of_another)
{
	struct yard y = make_yard();

	CHECK_INT(try_create(y.fd, "file"), -EEXIST);
	CHECK_INT(try_create(y.fd, "sub"), -EEXIST);
	CHECK_INT(try_create(y.fd, "link"), -EEXIST);
	CHECK_INT(try_create(y.fd, "dangling"), -EEXIST);
	CHECK(is_text(y.path, "file", "content"));
	leave_yard(&y);
}

CASE(a_folder_is_made_below_one_that_is_there)
{
	struct yard y = make_yard();

	CHECK_INT(beneath_make_dir(y.fd, "new", 0700), 0);
	CHECK_INT(beneath_make_dir(y.fd, "new/deeper", 0700), 0);
	CHECK(exists(y.path, "new/deeper"));
	CHECK_INT(beneath_make_dir(y.fd, "new", 0700), -EEXIST);
	CHECK_INT(beneath_make_dir(y.fd, "file", 0700), -EEXIST);
	CHECK_INT(beneath_make_dir(y.fd, "dangling", 0700), -EEXIST);
	CHECK_INT(beneath_make_dir(y.fd, "a/b", 0700), -ENOENT);
	CHECK_INT(beneath_make_dir(y.fd, "file/b", 0700), -ENOTDIR);
	leave_yard(&y);
}

CASE(an_entry_itself_is_looked_at)
{
	struct yard y = make_yard();
	struct stat st;

	CHECK_INT(beneath_stat(y.fd, "sub/file", &st), 0);
	CHECK_INT(st.st_size, 5);
	CHECK_INT(beneath_stat(y.fd, "link", &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_INT(beneath_stat(y.fd, "absent", &st), -ENOENT);
	leave_yard(&y);
}

CASE(a_name_is_changed_as_rename_does)
{
	struct yard y = make_yard();

	put_text(y.path, "other", "other");
	CHECK_INT(beneath_rename(y.fd, "file", "sub/moved"), 0);
	CHECK(is_text(y.path, "sub/moved", "content"));
	CHECK(!exists(y.path, "file"));
	CHECK_INT(beneath_rename(y.fd, "sub/moved", "other"), 0);
	CHECK(is_text(y.path, "other", "content"));
	CHECK_INT(beneath_rename(y.fd, "absent", "x"), -ENOENT);
	CHECK_INT(beneath_rename(y.fd, "other", "absent/x"), -ENOENT);
	CHECK_INT(beneath_rename(y.fd, "sub", "sub/in-itself"), -EINVAL);
	/* the link is what is replaced, not what it leads to */
	CHECK_INT(beneath_rename(y.fd, "other", "link"), 0);
	CHECK(is_text(y.path, "link", "content"));
	leave_yard(&y);
}

CASE(a_name_goes_to_another_folder_but_never_over_something)
{
	static const char *const taken[] = { "other", "folder", "link",
					     "dangling" };
	struct yard y = make_yard();
	const char *to = temp_dir();
	int to_fd = open_dir(to);

	CHECK_INT(beneath_rename_new(y.fd, "file", to_fd, "moved"), 0);
	CHECK(is_text(to, "moved", "content"));
	CHECK(!exists(y.path, "file"));
	CHECK_INT(beneath_rename_new(y.fd, "sub", to_fd, "folder"), 0);
	CHECK(is_text(to, "folder/file", "below"));
	put_text(to, "other", "other");
	CHECK_INT(symlink("other", in(to, "link")), 0);
	CHECK_INT(symlink("nowhere", in(to, "dangling")), 0);
	put_text(y.path, "late", "late");
	for (size_t i = 0; i < COUNT(taken); i++)
		CHECK_AT(beneath_rename_new(y.fd, "late", to_fd, taken[i]) ==
				 -EEXIST,
			 "%s", taken[i]);
	CHECK(is_text(y.path, "late", "late"));
	CHECK(is_text(to, "other", "other"));
	CHECK_INT(beneath_rename_new(y.fd, "absent", to_fd, "new"), -ENOENT);
	CHECK(!exists(to, "new"));
	close(to_fd);
	leave_yard(&y);
}

CASE(an_empty_folder_is_something_too)
{
	struct yard y = make_yard();

	CHECK_INT(beneath_make_dir(y.fd, "empty", 0700), 0);
	CHECK_INT(beneath_rename_new(y.fd, "sub", y.fd, "empty"), -EEXIST);
	CHECK(is_text(y.path, "sub/file", "below"));
	leave_yard(&y);
}

CASE(what_cannot_be_synced_needs_no_sync)
{
	struct yard y = make_yard();
	int fds[2];

	CHECK_INT(beneath_sync(y.fd), 0);
	/* EINVAL, as of a file system that knows no sync */
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(beneath_sync(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
	CHECK_INT(beneath_sync(-1), -EBADF);
	leave_yard(&y);
}

CASE(a_move_replaces_whatever_is_in_its_way)
{
	static const struct {
		const char *from, *to, *at, *want;
	} moves[] = {
		{ "file", "new", "new", "content" },
		{ "sub", "new", "new/file", "below" },
		{ "file", "other", "other", "content" },
		{ "file", "sub", "sub", "content" },
		{ "sub", "file", "file/file", "below" },
		{ "sub", "folder", "folder/file", "below" },
		{ "file", "link", "link", "content" },
		{ "sub", "out", "out/file", "below" },
		{ "file", "dangling", "dangling", "content" },
	};

	for (size_t i = 0; i < COUNT(moves); i++) {
		struct yard y = make_yard();
		bool replaced = i > 1 ? false : true;

		put_text(y.path, "other", "other");
		put_text(y.path, "folder/with/something", "");
		CHECK_AT(beneath_move(y.fd, moves[i].from, moves[i].to,
				      &replaced) == 0,
			 "%s to %s", moves[i].from, moves[i].to);
		CHECK_AT(replaced == (i > 1), "%s to %s", moves[i].from,
			 moves[i].to);
		CHECK_AT(!exists(y.path, moves[i].from), "%s", moves[i].from);
		CHECK_AT(exists(y.path, moves[i].at) &&
				 is_text(y.path, moves[i].at, moves[i].want),
			 "%s to %s", moves[i].from, moves[i].to);
		leave_yard(&y);
	}
}

CASE(a_move_of_nothing_removes_nothing)
{
	struct yard y = make_yard();
	bool replaced;

	CHECK_INT(beneath_move(y.fd, "absent", "file", &replaced), -ENOENT);
	CHECK_INT(beneath_move(y.fd, "absent", "sub", &replaced), -ENOENT);
	CHECK_INT(beneath_move(y.fd, "file", "absent/x", &replaced), -ENOENT);
	CHECK(is_text(y.path, "file", "content"));
	CHECK(is_text(y.path, "sub/file", "below"));
	leave_yard(&y);
}

CASE(no_change_leaves_the_folder)
{
	static const struct {
		const char *path;
		int rc;
	} bad[] = {
		{ "out/new", -ELOOP },
		{ "out/precious", -ELOOP },
		{ "..", -EXDEV },
		{ "../new", -EXDEV },
		{ "sub/../../new", -EXDEV },
		{ "sub/..", -EXDEV },
		{ ".", -EXDEV },
		{ "sub/.", -EXDEV },
		{ "./new", -EXDEV },
	};
	struct yard y = make_yard();
	struct stat st;
	bool replaced;

	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *path = bad[i].path;
		int want = bad[i].rc;

		CHECK_AT(try_create(y.fd, path) == want, "%s", path);
		CHECK_AT(beneath_make_dir(y.fd, path, 0700) == want, "%s",
			 path);
		CHECK_AT(beneath_stat(y.fd, path, &st) == want, "%s", path);
		CHECK_AT(beneath_rename(y.fd, path, "x") == want, "%s", path);
		CHECK_AT(beneath_rename(y.fd, "file", path) == want, "%s",
			 path);
		CHECK_AT(beneath_move(y.fd, path, "x", &replaced) == want, "%s",
			 path);
		CHECK_AT(beneath_move(y.fd, "file", path, &replaced) == want,
			 "%s", path);
		CHECK_AT(beneath_remove(y.fd, path) == want, "%s", path);
		CHECK_AT(beneath_write_file(y.fd, path, view_of("x", 1), 0600,
					    NULL) == want,
			 "%s", path);
	}
	CHECK(is_text(y.path, "file", "content"));
	leave_yard(&y);
}

CASE(absolute_paths_are_no_way_out)
{
	struct yard y = make_yard();
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s", in(y.outside, "precious"));
	CHECK(try_create(y.fd, path) < 0);
	CHECK(beneath_stat(y.fd, path, &st) < 0);
	CHECK(beneath_rename(y.fd, path, "x") < 0);
	CHECK(beneath_rename(y.fd, "file", path) < 0);
	CHECK(beneath_remove(y.fd, path) < 0);
	snprintf(path, sizeof(path), "%s", in(y.outside, "new"));
	CHECK(try_create(y.fd, path) < 0);
	CHECK(beneath_make_dir(y.fd, path, 0700) < 0);
	CHECK(beneath_write_file(y.fd, path, view_of("x", 1), 0600, NULL) < 0);
	CHECK(beneath_remove(y.fd, "/") < 0);
	CHECK(beneath_remove(y.fd, "") < 0);
	leave_yard(&y);
}

CASE(a_folder_is_removed_with_everything_in_it)
{
	struct yard y = make_yard();

	put_text(y.path, "sub/a/b/c/d", "deep");
	put_text(y.path, "sub/a/.hidden", "");
	symlink(y.outside, in(y.path, "sub/a/out"));
	symlink(in(y.outside, "precious"), in(y.path, "sub/a/b/link"));
	mkfifo(in(y.path, "sub/a/fifo"), 0600);
	CHECK_INT(beneath_remove(y.fd, "sub"), 0);
	CHECK(!exists(y.path, "sub"));
	CHECK_INT(beneath_remove(y.fd, "file"), 0);
	CHECK(!exists(y.path, "file"));
	CHECK_INT(beneath_remove(y.fd, "out"), 0);
	CHECK_INT(beneath_remove(y.fd, "link"), 0);
	CHECK(!exists(y.path, "out") && !exists(y.path, "link"));
	CHECK_INT(beneath_remove(y.fd, "sub"), -ENOENT);
	CHECK_INT(beneath_remove(y.fd, "absent/file"), -ENOENT);
	leave_yard(&y);
}

/* Deeper than any path can be long. */
#define DEEP 1500

static void dig(const char *path, const char *name)
{
	int at = open_dir(path);

	for (int i = 0; i < DEEP; i++) {
		int below;

		if (!CHECK(mkdirat(at, name, 0700) == 0))
			break;
		/* two folders on each third level, and files */
		if (i % 3 == 0)
			mkdirat(at, "beside", 0700);
		close(openat(at, "file", O_CREAT | O_WRONLY, 0600));
		below = openat(at, name, O_RDONLY | O_DIRECTORY);
		close(at);
		at = below;
	}
	close(at);
}

CASE(a_very_deep_folder_is_removed_with_few_files_open)
{
	struct yard y = make_yard();
	struct rlimit old, few;

	mkdir(in(y.path, "deep"), 0700);
	dig(in(y.path, "deep"), "d");
	/* names that a removal might want for itself */
	mkdir(in(y.path, "deep/.removed-0"), 0700);
	dig(in(y.path, "deep/.removed-0"), "long-name-of-a-folder");
	put_text(y.path, "deep/.removed-1", "");
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){ 64, old.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	CHECK_INT(beneath_remove(y.fd, "deep"), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK(!exists(y.path, "deep"));
	leave_yard(&y);
}

CASE(a_small_file_is_replaced_as_one)
{
	struct yard y = make_yard();
	struct mb_err err = { 0 };
	struct stat before, after;

	link(in(y.path, "file"), in(y.path, "shared"));
	stat(in(y.path, "file"), &before);
	CHECK_INT(
		beneath_write_file(y.fd, "file", view_of("new", 3), 0600, &err),
		0);
	CHECK(is_text(y.path, "file", "new"));
	stat(in(y.path, "file"), &after);
	CHECK(before.st_ino != after.st_ino);
	/* who shared it still has what was there */
	CHECK(is_text(y.path, "shared", "content"));
	CHECK(!exists(y.path, "file.new"));
	CHECK_INT(beneath_write_file(y.fd, "sub/empty", view_of(NULL, 0), 0600,
				     &err),
		  0);
	CHECK(is_text(y.path, "sub/empty", ""));
	CHECK_INT(
		beneath_write_file(y.fd, "link", view_of("new", 3), 0600, &err),
		0);
	CHECK(is_text(y.path, "link", "new"));
	leave_yard(&y);
}

CASE(what_lies_where_a_small_file_is_written_aside_is_in_no_way)
{
	struct yard y = make_yard();

	put_text(y.path, "file.new/of/a/killed/run", "");
	CHECK_INT(beneath_write_file(y.fd, "file", view_of("a", 1), 0600, NULL),
		  0);
	CHECK(is_text(y.path, "file", "a") && !exists(y.path, "file.new"));
	symlink(in(y.outside, "precious"), in(y.path, "file.new"));
	CHECK_INT(beneath_write_file(y.fd, "file", view_of("b", 1), 0600, NULL),
		  0);
	CHECK(is_text(y.path, "file", "b") && !exists(y.path, "file.new"));
	leave_yard(&y);
}

CASE(a_small_file_that_cannot_be_written_is_told_and_leaves_nothing)
{
	struct yard y = make_yard();
	struct mb_err err = { 0 };

	put_text(y.path, "folder/entry", "");
	CHECK_INT(
		beneath_write_file(y.fd, "folder", view_of("x", 1), 0600, &err),
		-EISDIR);
	CHECK_INT(err.code, -EISDIR);
	CHECK(strstr(err.text, "folder"));
	CHECK(!exists(y.path, "folder.new"));
	CHECK(exists(y.path, "folder/entry"));
	CHECK_INT(beneath_write_file(y.fd, "absent/file", view_of("x", 1), 0600,
				     &err),
		  -ENOENT);
	leave_yard(&y);
}

CASE(write_full_tells_what_went_wrong)
{
	int fds[2];

	CHECK_INT(write_full(-1, "x", 1), -EBADF);
	CHECK_INT(write_full(-1, "x", 0), 0);
	if (CHECK_INT(pipe(fds), 0)) {
		CHECK_INT(write_full(fds[1], "text", 4), 0);
		close(fds[0]);
		close(fds[1]);
	}
}

static void run_all(void)
{
	RUN(files_at_any_depth_open);
	RUN(a_symbolic_link_in_any_component_is_refused);
	RUN(dots_and_absolute_paths_are_refused);
	RUN(names_that_only_begin_with_dots_are_names);
	RUN(what_is_no_regular_file_is_refused_without_waiting);
	RUN(what_is_not_there_is_told);
	RUN(a_small_file_is_read_whole);
	RUN(pread_full_stops_at_the_end);
	RUN(a_new_file_is_made_where_there_is_none);
	RUN(a_new_file_never_takes_the_place_of_another);
	RUN(a_folder_is_made_below_one_that_is_there);
	RUN(an_entry_itself_is_looked_at);
	RUN(a_name_is_changed_as_rename_does);
	RUN(a_name_goes_to_another_folder_but_never_over_something);
	RUN(an_empty_folder_is_something_too);
	RUN(what_cannot_be_synced_needs_no_sync);
	RUN(a_move_replaces_whatever_is_in_its_way);
	RUN(a_move_of_nothing_removes_nothing);
	RUN(no_change_leaves_the_folder);
	RUN(absolute_paths_are_no_way_out);
	RUN(a_folder_is_removed_with_everything_in_it);
	RUN(a_very_deep_folder_is_removed_with_few_files_open);
	RUN(a_small_file_is_replaced_as_one);
	RUN(what_lies_where_a_small_file_is_written_aside_is_in_no_way);
	RUN(a_small_file_that_cannot_be_written_is_told_and_leaves_nothing);
	RUN(write_full_tells_what_went_wrong);
}

/* openat2 fails from here on, as on an old kernel */
static bool forbid_openat2(int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | ((unsigned)error & 0xffff)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { COUNT(filter), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0 &&
	       syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == error;
}

/* EPERM: what a sandbox says. The filters add up, the stricter first. */
CASE(openat2_is_forbidden_from_here_on)
{
	if (!forbid_openat2(EPERM))
		SKIP("no seccomp here: openat2 cannot be taken away");
}

CASE(openat2_is_unknown_from_here_on)
{
	if (!forbid_openat2(ENOSYS))
		SKIP("the sandbox's EPERM stays");
}

/* a file system without RENAME_NOREPLACE, by the same means */
static bool forbid_renameat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { COUNT(filter), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0 &&
	       syscall(SYS_renameat2, -1, "", -1, "", 0) < 0 && errno == EINVAL;
}

CASE(a_rename_that_spares_is_unknown_from_here_on)
{
	if (!forbid_renameat2())
		SKIP("no seccomp here: renameat2 cannot be taken away");
}

int main(void)
{
	make_folder();
	run_all();
	RUN(openat2_is_forbidden_from_here_on);
	run_all();
	RUN(openat2_is_unknown_from_here_on);
	run_all();
	RUN(a_rename_that_spares_is_unknown_from_here_on);
	RUN(a_name_goes_to_another_folder_but_never_over_something);
	RUN(an_empty_folder_is_something_too);
	RUN(a_very_deep_folder_is_removed_with_few_files_open);
	close(dir);
	return tap_end();
}
