/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
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

int main(void)
{
	make_folder();
	run_all();
	RUN(openat2_is_forbidden_from_here_on);
	run_all();
	RUN(openat2_is_unknown_from_here_on);
	run_all();
	close(dir);
	return tap_end();
}
