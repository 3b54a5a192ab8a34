/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fixture.h"
#include "limited_files.h"
#include "tap.h"

/* ---- what is shared ---- */

#define BIG_LEN 2500000

static const char *dir;
static int dir_fd;
static struct bytes big;

static void new_folder(void)
{
	if (dir)
		close(dir_fd);
	dir = temp_dir();
	dir_fd = open_dir(dir);
	put_text(dir, "file", "content");
	put_text(dir, "empty", "");
	put_text(dir, "ab/abcd", "below");
	put_file(dir, "big", big.ptr, big.len);
	mkdir(in(dir, "to"), 0700);
}

static int share(struct sharing *s, const char *from, const char *to)
{
	return share_file(s, dir_fd, from, dir_fd, to);
}

static bool is_big(const char *name)
{
	struct bytes b = read_file(in(dir, name));
	bool same = b.len == big.len && !memcmp(b.ptr, big.ptr, b.len);

	drop(&b);
	return same;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return lstat(in(dir, a), &x) == 0 && lstat(in(dir, b), &y) == 0 &&
	       x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

CASE(reflinks_come_first_either_way)
{
	for (int how = SHARE_COPY; how <= SHARE_LINK; how++) {
		struct sharing s = { .how = (enum share_how)how };

		new_folder();
		reflinks();
		CHECK_INT(share(&s, "file", "to/file"), 0);
		CHECK_INT(share(&s, "big", "to/big"), 0);
		CHECK_INT(s.reflinked, 2);
		CHECK_INT(s.linked + s.copied, 0);
		CHECK_INT(system_can.links + system_can.ranges, 0);
		CHECK(is_text(dir, "to/file", "content") && is_big("to/big"));
		CHECK(!same_file("file", "to/file"));
	}
}

CASE(else_files_are_linked)
{
	struct sharing s = { .how = SHARE_LINK };

	new_folder();
	links_only();
	CHECK_INT(share(&s, "file", "to/file"), 0);
	CHECK_INT(share(&s, "empty", "to/empty"), 0);
	CHECK_INT(share(&s, "ab/abcd", "to/abcd"), 0);
	CHECK(same_file("file", "to/file") && same_file("ab/abcd", "to/abcd"));
	CHECK_INT(s.linked, 3);
	CHECK_INT(s.reflinked + s.copied, 0);
	/* asked once, not for each file */
	CHECK_INT(system_can.ioctls, 1);
	CHECK_INT(system_can.ranges, 0);
}

CASE(else_files_are_copied)
{
	static const int errors[] = { EPERM, EXDEV, EOPNOTSUPP, ENOSYS };

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct sharing s = { .how = SHARE_LINK };

		new_folder();
		copies_only();
		system_can.reflink_error = EXDEV;
		system_can.link_error = errors[i];
		CHECK_INT(share(&s, "file", "to/file"), 0);
		CHECK_INT(share(&s, "big", "to/big"), 0);
		CHECK_INT(share(&s, "empty", "to/empty"), 0);
		CHECK_INT(s.copied, 3);
		CHECK_INT(s.reflinked + s.linked, 0);
		CHECK_INT(system_can.links, 1);
		CHECK(!same_file("file", "to/file"));
		CHECK(is_text(dir, "to/file", "content") && is_big("to/big"));
		CHECK(is_text(dir, "to/empty", ""));
	}
}

CASE(a_copy_is_never_a_link)
{
	struct sharing s = { .how = SHARE_COPY };

	new_folder();
	links_only();
	CHECK_INT(share(&s, "file", "to/file"), 0);
	CHECK_INT(s.copied, 1);
	CHECK_INT(system_can.links, 0);
	CHECK(!same_file("file", "to/file"));
}

CASE(too_many_links_are_a_matter_of_that_file)
{
	struct sharing s = { .how = SHARE_LINK };

	new_folder();
	links_only();
	system_can.link_error = EMLINK;
	CHECK_INT(share(&s, "file", "to/file"), 0);
	system_can.link_error = 0;
	CHECK_INT(share(&s, "empty", "to/empty"), 0);
	CHECK_INT(s.copied, 1);
	CHECK_INT(s.linked, 1);
}

CASE(files_are_copied_by_hand_where_the_kernel_cannot)
{
	static const int errors[] = { ENOSYS, EXDEV, EOPNOTSUPP, EINVAL, 0 };

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct sharing s = { .how = SHARE_COPY };

		new_folder();
		copies_only();
		system_can.range_error = errors[i];
		/* a kernel that says end at once is not believed */
		system_can.range_says_end = !errors[i];
		CHECK_INT(share(&s, "big", "to/big"), 0);
		CHECK_INT(share(&s, "file", "to/file"), 0);
		CHECK(is_text(dir, "to/file", "content") && is_big("to/big"));
		CHECK_INT(system_can.ranges, errors[i] ? 1 : 2);
	}
}

static int open_new(const char *name)
{
	return open(in(dir, name), O_WRONLY | O_CREAT | O_EXCL, 0600);
}

CASE(an_open_file_takes_over_a_content_by_reflink_or_says_that_it_cannot)
{
	struct sharing s = { .how = SHARE_COPY };
	int from, to;

	new_folder();
	reflinks();
	from = open(in(dir, "big"), O_RDONLY);
	to = open_new("to/big");
	CHECK_INT(share_reflink(&s, from, to), 0);
	CHECK_INT(s.reflinked, 1);
	CHECK(is_big("to/big"));
	close(to);
	to = open_new("to/other");
	system_can.reflink_error = ENOSPC;
	CHECK_INT(share_reflink(&s, from, to), -ENOSPC);
	system_can.reflink_error = EOPNOTSUPP;
	CHECK_INT(share_reflink(&s, from, to), 1);
	/* asked once */
	system_can.ioctls = 0;
	CHECK_INT(share_reflink(&s, from, to), 1);
	CHECK_INT(system_can.ioctls, 0);
	close(to);
	close(from);
}

CASE(parts_of_a_file_are_copied_to_their_places)
{
	static const int errors[] = { -1, ENOSYS, EXDEV, 0 };

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct sharing s = { .how = SHARE_COPY };
		int from, to;

		new_folder();
		copies_only();
		if (errors[i] >= 0) {
			system_can.range_error = errors[i];
			system_can.range_says_end = !errors[i];
		}
		from = open(in(dir, "big"), O_RDONLY);
		to = open_new("to/big");
		/* the end first */
		CHECK_INT(share_range(&s, from, to, 1500001, BIG_LEN - 1500001),
			  0);
		CHECK_INT(share_range(&s, from, to, 0, 1), 0);
		CHECK_INT(share_range(&s, from, to, 1, 1500000), 0);
		CHECK_INT(share_range(&s, from, to, 7, 0), 0);
		CHECK(is_big("to/big"));
		/* more than there is */
		CHECK_INT(share_range(&s, from, to, BIG_LEN - 5, 6), -EIO);
		close(to);
		close(from);
	}
}

static bool at_once(void)
{
	return true;
}

CASE(copying_a_part_can_be_cancelled_and_fail)
{
	struct sharing s = { .how = SHARE_COPY, .cancelled = at_once };
	int from, to;

	new_folder();
	copies_only();
	from = open(in(dir, "big"), O_RDONLY);
	to = open_new("to/big");
	CHECK_INT(share_range(&s, from, to, 0, BIG_LEN), -ECANCELED);
	s.cancelled = NULL;
	system_can.range_error = ENOSPC;
	system_can.ranges_left = 1;
	CHECK_INT(share_range(&s, from, to, 0, BIG_LEN), -ENOSPC);
	close(to);
	close(from);
}

CASE(modes_and_times_are_kept)
{
	static void (*const ways[])(void) = { links_only, copies_only,
					      reflinks };
	const struct timespec times[2] = { { 1600000000, 1 },
					   { 1700000000, 123456789 } };

	for (size_t i = 0; i < COUNT(ways); i++) {
		struct sharing s = { .how = SHARE_LINK };
		struct stat st;

		new_folder();
		chmod(in(dir, "file"), 0640);
		utimensat(AT_FDCWD, in(dir, "file"), times, 0);
		ways[i]();
		CHECK_INT(share(&s, "file", "to/file"), 0);
		stat(in(dir, "to/file"), &st);
		CHECK_INT(st.st_mode & 07777, 0640);
		CHECK_INT(st.st_mtim.tv_sec, 1700000000);
		CHECK_INT(st.st_mtim.tv_nsec, 123456789);
	}
}

CASE(an_error_leaves_nothing)
{
	struct sharing s = { .how = SHARE_COPY };

	new_folder();
	copies_only();
	system_can.range_error = EIO;
	system_can.ranges_left = 7;
	CHECK_INT(share(&s, "big", "to/big"), -EIO);
	CHECK(!exists(dir, "to/big"));
	/* one that would be no trouble at the beginning */
	copies_only();
	system_can.range_error = EINVAL;
	system_can.ranges_left = 7;
	CHECK_INT(share(&s, "big", "to/big"), -EINVAL);
	CHECK(!exists(dir, "to/big"));
	links_only();
	system_can.reflink_error = ENOSPC;
	s = (struct sharing){ .how = SHARE_COPY };
	CHECK_INT(share(&s, "big", "to/big"), -ENOSPC);
	CHECK(!exists(dir, "to/big"));
	s.how = SHARE_LINK;
	CHECK_INT(share(&s, "big", "to/big"), -ENOSPC);
	CHECK(!exists(dir, "to/big"));
	links_only();
	system_can.link_error = ENOSPC;
	CHECK_INT(share(&s, "file", "to/file"), -ENOSPC);
	CHECK(!exists(dir, "to/file"));
	CHECK_INT(s.copied + s.linked + s.reflinked, 0);
}

static int looks, looks_left;

static bool cancelled(void)
{
	looks++;
	/* what is asked may leave an errno of its own */
	errno = ENOTTY;
	return looks_left-- == 0;
}

CASE(a_cancellation_ends_a_copy_in_the_middle_and_leaves_nothing)
{
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct sharing s = { .how = SHARE_COPY,
				     .cancelled = cancelled };

		new_folder();
		copies_only();
		system_can.range_error = by_hand ? ENOSYS : 0;
		looks_left = 2;
		CHECK_INT(share(&s, "big", "to/big"), -ECANCELED);
		CHECK(!exists(dir, "to/big"));
		CHECK_INT(s.copied, 0);
		looks = 0;
		looks_left = -1;
		CHECK_INT(share(&s, "big", "to/big"), 0);
		CHECK(looks > 1);
		CHECK(is_big("to/big"));
	}
}

CASE(what_is_in_the_way_is_left_alone)
{
	static void (*const ways[])(void) = { links_only, copies_only,
					      reflinks };

	for (size_t i = 0; i < 2 * COUNT(ways); i++) {
		struct sharing s = { .how = i % 2 ? SHARE_LINK : SHARE_COPY };

		new_folder();
		put_text(dir, "to/file", "mine");
		symlink("nowhere", in(dir, "to/link"));
		ways[i / 2]();
		/* the second time it is known what cannot be done */
		for (int again = 0; again < 2; again++) {
			CHECK_INT(share(&s, "file", "to/file"), -EEXIST);
			CHECK_INT(share(&s, "file", "to/link"), -EEXIST);
			CHECK_INT(share(&s, "file", "to"), -EEXIST);
			CHECK_INT(share(&s, "file", "file"), -EEXIST);
			share(&s, "file", again ? "to/b" : "to/a");
		}
		CHECK(is_text(dir, "to/file", "mine"));
		CHECK(!exists(dir, "to/nowhere"));
		CHECK(is_text(dir, "file", "content"));
	}
}

CASE(only_regular_files_are_shared)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	for (int how = SHARE_COPY; how <= SHARE_LINK; how++) {
		struct sharing s = { .how = (enum share_how)how };

		new_folder();
		symlink("file", in(dir, "link"));
		mkfifo(in(dir, "fifo"), 0600);
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
			 in(dir, "socket"));
		if (!how)
			CHECK_INT(bind(sock, (struct sockaddr *)&addr,
				       sizeof(addr)),
				  0);
		links_only();
		/* before and after it is known that reflinks are not possible */
		for (int again = 0; again < 2; again++) {
			CHECK_INT(share(&s, "link", "to/x"), -ELOOP);
			CHECK_INT(share(&s, "fifo", "to/x"), -EBADMSG);
			CHECK_INT(share(&s, "ab", "to/x"), -EBADMSG);
			CHECK_INT(share(&s, "socket", "to/x"),
				  how ? -ENOENT : -EBADMSG);
			CHECK(!exists(dir, "to/x"));
			CHECK_INT(share(&s, "file", again ? "to/2" : "to/1"),
				  0);
		}
		/* and none of them made links look impossible */
		CHECK_INT(s.linked, how == SHARE_LINK ? 2 : 0);
	}
	close(sock);
}

CASE(no_link_is_followed_on_the_way)
{
	struct sharing s = { .how = SHARE_LINK };

	new_folder();
	symlink("ab", in(dir, "door"));
	links_only();
	for (int again = 0; again < 2; again++) {
		CHECK_INT(share(&s, "door/abcd", "to/x"), -ELOOP);
		CHECK_INT(share(&s, "file", "door/x"), -ELOOP);
		CHECK_INT(share(&s, "ab/../file", "to/x"), -EXDEV);
		CHECK_INT(share(&s, "file", "to/../x"), -EXDEV);
		CHECK_INT(share(&s, "/etc/passwd", "to/x"), -EXDEV);
		CHECK(!exists(dir, "to/x") && !exists(dir, "ab/x"));
		CHECK_INT(share(&s, "file", again ? "to/2" : "to/1"), 0);
	}
}

CASE(what_is_not_there_is_told)
{
	struct sharing s = { .how = SHARE_LINK };

	new_folder();
	links_only();
	CHECK_INT(share(&s, "absent", "to/x"), -ENOENT);
	CHECK_INT(share(&s, "no/file", "to/x"), -ENOENT);
	CHECK_INT(share(&s, "file", "no/x"), -ENOENT);
	CHECK_INT(share(&s, "file", "file/x"), -ENOTDIR);
	CHECK_INT(share(&s, "file", "to/file"), 0);
	CHECK_INT(share(&s, "absent", "to/x"), -ENOENT);
}

static int free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

CASE(no_descriptor_is_left_open)
{
	static void (*const ways[])(void) = { links_only, copies_only,
					      reflinks };

	for (size_t i = 0; i < COUNT(ways); i++) {
		struct sharing s = { .how = SHARE_LINK };
		int before;

		new_folder();
		ways[i]();
		before = free_descriptor();
		CHECK_INT(share(&s, "ab/abcd", "to/x"), 0);
		CHECK_INT(share(&s, "ab/abcd", "to/x"), -EEXIST);
		CHECK_INT(share(&s, "ab/absent", "to/y"), -ENOENT);
		CHECK_INT(share(&s, "ab/abcd", "no/y"), -ENOENT);
		CHECK_INT(free_descriptor(), before);
	}
}

/* the system's own answers, without anything in front of them */
CASE(between_two_file_systems_files_are_copied)
{
	struct sharing s = { .how = SHARE_LINK };
	char path[] = "/dev/shm/larder-test-XXXXXX";
	struct stat here, there;
	struct bytes b;
	int fd;

	new_folder();
	if (!mkdtemp(path) || stat(path, &there) < 0) {
		SKIP("there is no /dev/shm");
		return;
	}
	stat(dir, &here);
	fd = open_dir(path);
	memset(&system_can, 0, sizeof(system_can));
	system_can.as_it_is = true;
	CHECK_INT(share_file(&s, dir_fd, "big", fd, "big"), 0);
	if (here.st_dev != there.st_dev) {
		CHECK_INT(s.copied, 1);
		CHECK(s.no_reflinks && s.no_links);
	}
	b = read_file(in(path, "big"));
	CHECK_BYTES(b.ptr, b.len, big.ptr, big.len);
	drop(&b);
	unlink(in(path, "big"));
	close(fd);
	rmdir(path);
	if (here.st_dev == there.st_dev)
		SKIP("the temporary folder is in the same file system");
}

int main(void)
{
	add_noise(&big, BIG_LEN);
	RUN(reflinks_come_first_either_way);
	RUN(else_files_are_linked);
	RUN(else_files_are_copied);
	RUN(a_copy_is_never_a_link);
	RUN(too_many_links_are_a_matter_of_that_file);
	RUN(files_are_copied_by_hand_where_the_kernel_cannot);
	RUN(an_open_file_takes_over_a_content_by_reflink_or_says_that_it_cannot);
	RUN(parts_of_a_file_are_copied_to_their_places);
	RUN(copying_a_part_can_be_cancelled_and_fail);
	RUN(modes_and_times_are_kept);
	RUN(an_error_leaves_nothing);
	RUN(a_cancellation_ends_a_copy_in_the_middle_and_leaves_nothing);
	RUN(what_is_in_the_way_is_left_alone);
	RUN(only_regular_files_are_shared);
	RUN(no_link_is_followed_on_the_way);
	RUN(what_is_not_there_is_told);
	RUN(no_descriptor_is_left_open);
	RUN(between_two_file_systems_files_are_copied);
	close(dir_fd);
	drop(&big);
	return tap_end();
}
