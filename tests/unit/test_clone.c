/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fixture.h"
#include "folder_text.h"
#include "limited_files.h"
#include "tap.h"
#include "watch.h"

/* ---- what is cloned ---- */

#define FILES 5

static const char *make_tree(void)
{
	const char *dir = temp_dir();
	struct bytes big = { 0 };

	add_noise(&big, 3000000);
	put_text(dir, "from/file", "content");
	put_text(dir, "from/empty", "");
	put_file(dir, "from/sub/big", big.ptr, big.len);
	put_text(dir, "from/sub/deeper/file", "deepest");
	put_text(dir, "from/.hidden", "hidden");
	mkdir(in(dir, "from/folder"), 0755);
	symlink("file", in(dir, "from/link"));
	symlink("/etc/passwd", in(dir, "from/sub/out"));
	symlink("no/where", in(dir, "from/dangling"));
	chmod(in(dir, "from/file"), 0640);
	drop(&big);
	return dir;
}

static int clone_in(const char *dir, const char *from, const char *to,
		    enum clone_how how, struct clone_result *result)
{
	int fd = open_dir(dir);
	int rc = clone_entry(fd, from, fd, to, how, result);

	close(fd);
	return rc;
}

static void check_same(const char *dir)
{
	char *a = folder_text(in(dir, "from")), *b = folder_text(in(dir, "to"));

	CHECK(*a);
	CHECK_TEXT(b, a);
	free(a);
	free(b);
}

static bool is_shared(const char *dir, const char *name)
{
	char path[4096];
	struct stat a, b;

	snprintf(path, sizeof(path), "from/%s", name);
	stat(in(dir, path), &a);
	snprintf(path, sizeof(path), "to/%s", name);
	stat(in(dir, path), &b);
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

CASE(without_reflinks_files_are_shared_by_hard_links)
{
	const char *dir = make_tree();
	struct clone_result r = { 0 };

	links_only();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, &r), 0);
	check_same(dir);
	CHECK_INT(r.linked, FILES);
	CHECK_INT(r.reflinked + r.copied, 0);
	CHECK(is_shared(dir, "file") && is_shared(dir, "sub/big"));
	CHECK(is_shared(dir, "empty") && is_shared(dir, "sub/deeper/file"));
	CHECK(!is_shared(dir, "sub"));
	/* asked once, not for each file */
	CHECK_INT(system_can.ioctls, 1);
}

CASE(with_reflinks_each_file_is_its_own)
{
	const char *dir = make_tree();
	struct clone_result r = { 0 };

	reflinks();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, &r), 0);
	check_same(dir);
	CHECK_INT(r.reflinked, FILES);
	CHECK_INT(r.linked + r.copied, 0);
	CHECK_INT(system_can.links, 0);
	CHECK(!is_shared(dir, "file") && !is_shared(dir, "sub/big"));
}

CASE(without_links_files_are_copied)
{
	const char *dir = make_tree();
	struct clone_result r = { 0 };

	copies_only();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, &r), 0);
	check_same(dir);
	CHECK_INT(r.copied, FILES);
	CHECK_INT(r.linked + r.reflinked, 0);
	CHECK_INT(system_can.links, 1);
	CHECK(!is_shared(dir, "file") && !is_shared(dir, "sub/big"));
}

CASE(a_file_with_too_many_links_is_copied_and_the_others_linked)
{
	const char *dir = make_tree();
	struct clone_result r = { 0 };

	links_only();
	system_can.links_left = 2;
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, &r), 0);
	check_same(dir);
	CHECK_INT(r.linked, 2);
	CHECK_INT(r.copied, FILES - 2);
	CHECK_INT(system_can.links, FILES);
}

CASE(another_error_of_a_link_ends_it)
{
	const char *dir = make_tree();

	links_only();
	system_can.link_error = ENOSPC;
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, NULL), -ENOSPC);
}

CASE(a_copy_never_shares)
{
	const char *dir = make_tree();
	struct clone_result r = { 0 };

	links_only();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_COPY, &r), 0);
	check_same(dir);
	CHECK_INT(r.copied, FILES);
	CHECK_INT(system_can.links, 0);
	CHECK(!is_shared(dir, "file"));
	reflinks();
	r = (struct clone_result){ 0 };
	CHECK_INT(clone_in(dir, "from", "to2", CLONE_COPY, &r), 0);
	CHECK_INT(r.reflinked, FILES);
}

CASE(files_are_copied_by_hand_where_the_kernel_cannot)
{
	static const int errors[] = { ENOSYS, EXDEV, EOPNOTSUPP, EINVAL };

	for (size_t i = 0; i < COUNT(errors); i++) {
		const char *dir = make_tree();

		copies_only();
		system_can.range_error = errors[i];
		CHECK_INT(clone_in(dir, "from", "to", CLONE_COPY, NULL), 0);
		check_same(dir);
		CHECK_INT(system_can.ranges, 1);
	}
}

CASE(a_kernel_that_says_end_at_once_is_not_believed)
{
	const char *dir = make_tree();

	copies_only();
	system_can.range_says_end = true;
	CHECK_INT(clone_in(dir, "from", "to", CLONE_COPY, NULL), 0);
	check_same(dir);
}

CASE(an_error_in_the_middle_of_a_copy_is_told)
{
	const char *dir = make_tree();

	copies_only();
	system_can.range_error = EIO;
	system_can.ranges_left = 7;
	CHECK_INT(clone_in(dir, "from/sub/big", "to", CLONE_COPY, NULL), -EIO);
	/* also one that would be no trouble at the beginning */
	copies_only();
	system_can.range_error = EINVAL;
	system_can.ranges_left = 7;
	CHECK_INT(clone_in(dir, "from/sub/big", "to2", CLONE_COPY, NULL),
		  -EINVAL);
}

CASE(modes_and_times_of_files_are_kept)
{
	static void (*const ways[])(void) = { links_only, copies_only,
					      reflinks };

	for (size_t i = 0; i < COUNT(ways); i++) {
		const char *dir = make_tree();
		struct timespec times[2] = { { 1600000000, 1 },
					     { 1700000000, 123456789 } };
		struct stat st;

		utimensat(AT_FDCWD, in(dir, "from/file"), times, 0);
		chmod(in(dir, "from/sub"), 0500);
		ways[i]();
		CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, NULL), 0);
		stat(in(dir, "to/file"), &st);
		CHECK_INT(st.st_mode & 07777, 0640);
		CHECK_INT(st.st_mtim.tv_sec, 1700000000);
		CHECK_INT(st.st_mtim.tv_nsec, 123456789);
		/* a folder has to be worked in */
		stat(in(dir, "to/sub"), &st);
		CHECK_INT(st.st_mode & 0700, 0700);
		chmod(in(dir, "from/sub"), 0700);
	}
}

CASE(what_is_neither_file_nor_folder_nor_link_is_left_out)
{
	const char *dir = make_tree();
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;

	mkfifo(in(dir, "from/sub/fifo"), 0600);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
		 in(dir, "from/socket"));
	CHECK_INT(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(sock);
	links_only();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, NULL), 0);
	CHECK(lstat(in(dir, "to/sub/fifo"), &st) < 0);
	CHECK(lstat(in(dir, "to/socket"), &st) < 0);
	unlink(in(dir, "from/sub/fifo"));
	unlink(in(dir, "from/socket"));
	check_same(dir);
}

CASE(one_file_is_cloned_as_well)
{
	const char *dir = make_tree();
	struct clone_result r = { .linked = 40 };
	struct bytes b;

	links_only();
	CHECK_INT(clone_in(dir, "from/sub/deeper/file", "from/folder/one",
			   CLONE_SHARE, &r),
		  0);
	CHECK_INT(r.linked, 41);
	b = read_file(in(dir, "from/folder/one"));
	CHECK_BYTES(b.ptr, b.len, "deepest", 7);
	drop(&b);
}

CASE(what_is_in_the_way_is_left_alone)
{
	const char *dir = make_tree();
	struct bytes b;

	put_text(dir, "to/file", "mine");
	put_text(dir, "single", "mine");
	links_only();
	CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, NULL), -EEXIST);
	CHECK_INT(clone_in(dir, "from/file", "single", CLONE_SHARE, NULL),
		  -EEXIST);
	CHECK_INT(clone_in(dir, "from/file", "single", CLONE_COPY, NULL),
		  -EEXIST);
	b = read_file(in(dir, "single"));
	CHECK_BYTES(b.ptr, b.len, "mine", 4);
	drop(&b);
	b = read_file(in(dir, "to/file"));
	CHECK_BYTES(b.ptr, b.len, "mine", 4);
	drop(&b);
}

CASE(what_is_not_there_is_told)
{
	const char *dir = make_tree();

	links_only();
	CHECK_INT(clone_in(dir, "absent", "to", CLONE_SHARE, NULL), -ENOENT);
	CHECK_INT(clone_in(dir, "no/file", "to", CLONE_SHARE, NULL), -ENOENT);
	CHECK_INT(clone_in(dir, "from/file", "no/to", CLONE_SHARE, NULL),
		  -ENOENT);
}

CASE(no_link_is_followed_on_the_way)
{
	const char *dir = make_tree();
	struct stat st;

	symlink("from", in(dir, "door"));
	links_only();
	CHECK_INT(clone_in(dir, "door/file", "to", CLONE_COPY, NULL), -ELOOP);
	CHECK_INT(clone_in(dir, "from/file", "door/new", CLONE_COPY, NULL),
		  -ELOOP);
	CHECK(lstat(in(dir, "from/new"), &st) < 0);
	CHECK_INT(clone_in(dir, "door", "door2", CLONE_COPY, NULL), 0);
	CHECK(lstat(in(dir, "door2"), &st) == 0 && S_ISLNK(st.st_mode));
}

static int free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

CASE(folders_nest_as_deep_as_the_limit_and_no_deeper)
{
	static const int depths[] = { 150, 400 };

	for (size_t i = 0; i < COUNT(depths); i++) {
		const char *dir = temp_dir();
		struct bytes path = { 0 };
		int before = free_descriptor(), rc;

		add_text(&path, "from");
		for (int d = 0; d < depths[i]; d++)
			add_text(&path, "/d");
		add_text(&path, "/file");
		add(&path, "", 1);
		put_text(dir, (char *)path.ptr, "deep");
		links_only();
		rc = clone_in(dir, "from", "to", CLONE_SHARE, NULL);
		if (depths[i] < 200)
			check_same(dir);
		CHECK_INT(rc, depths[i] < 200 ? 0 : -ELOOP);
		CHECK_INT(free_descriptor(), before);
		drop(&path);
	}
}

/* A cancellation is for good: what sees one is a child. */
CASE(a_cancellation_ends_it)
{
	const char *dir = make_tree();
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		links_only();
		watch_cancel();
		CHECK_INT(clone_in(dir, "from", "to", CLONE_SHARE, NULL),
			  -ECANCELED);
		CHECK_INT(
			clone_in(dir, "from/sub/big", "to2", CLONE_COPY, NULL),
			-ECANCELED);
		system_can.range_error = ENOSYS;
		CHECK_INT(
			clone_in(dir, "from/sub/big", "to3", CLONE_COPY, NULL),
			-ECANCELED);
		_exit(tap.bad ? 99 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

int main(void)
{
	RUN(without_reflinks_files_are_shared_by_hard_links);
	RUN(with_reflinks_each_file_is_its_own);
	RUN(without_links_files_are_copied);
	RUN(a_file_with_too_many_links_is_copied_and_the_others_linked);
	RUN(another_error_of_a_link_ends_it);
	RUN(a_copy_never_shares);
	RUN(files_are_copied_by_hand_where_the_kernel_cannot);
	RUN(a_kernel_that_says_end_at_once_is_not_believed);
	RUN(an_error_in_the_middle_of_a_copy_is_told);
	RUN(modes_and_times_of_files_are_kept);
	RUN(what_is_neither_file_nor_folder_nor_link_is_left_out);
	RUN(one_file_is_cloned_as_well);
	RUN(what_is_in_the_way_is_left_alone);
	RUN(what_is_not_there_is_told);
	RUN(no_link_is_followed_on_the_way);
	RUN(folders_nest_as_deep_as_the_limit_and_no_deeper);
	RUN(a_cancellation_ends_it);
	return tap_end();
}
