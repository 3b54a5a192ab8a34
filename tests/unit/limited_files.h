/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIMITED_FILES_H
#define LIMITED_FILES_H

#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * A file system that can share as much as a case says: ioctl, linkat and
 * copy_file_range are wrapped (meson.build).
 */

static struct {
	int reflink_error; /* 0: reflinks can be made */
	int link_error;	   /* 0: links can be made */
	int links_left;	   /* then EMLINK; negative: no end */
	int range_error;
	int ranges_left; /* then range_error; negative: no end */
	bool range_says_end;
	int ioctls, links, ranges;
	bool as_it_is; /* nobody stands in front of the system */
} system_can;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_linkat(int from, const char *name, int to, const char *to_name,
		  int flags);
int __wrap_linkat(int from, const char *name, int to, const char *to_name,
		  int flags);
ssize_t __real_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags);

/* A reflink is a copy that takes no time. */
static int pretend_reflink(int in, int out)
{
	char piece[4096];
	off_t off = 0;
	ssize_t n;

	while ((n = pread(in, piece, sizeof(piece), off)) > 0)
		off += pwrite(out, piece, (size_t)n, off);
	return n < 0 ? -1 : 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != FICLONE || system_can.as_it_is)
		return __real_ioctl(fd, request, arg);
	system_can.ioctls++;
	errno = system_can.reflink_error;
	return errno ? -1 : pretend_reflink((int)(intptr_t)arg, fd);
}

int __wrap_linkat(int from, const char *name, int to, const char *to_name,
		  int flags)
{
	if (system_can.as_it_is)
		return __real_linkat(from, name, to, to_name, flags);
	system_can.links++;
	errno = system_can.link_error;
	if (errno)
		return -1;
	errno = EMLINK;
	if (!system_can.links_left)
		return -1;
	system_can.links_left--;
	return __real_linkat(from, name, to, to_name, flags);
}

ssize_t __wrap_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags)
{
	system_can.ranges++;
	if (system_can.range_says_end)
		return 0;
	errno = system_can.range_error;
	if (errno && !system_can.ranges_left)
		return -1;
	system_can.ranges_left--;
	/* short, as it may be */
	return __real_copy_file_range(in, in_off, out, out_off,
				      len > 5000 ? 5000 : len, flags);
}

static void links_only(void)
{
	memset(&system_can, 0, sizeof(system_can));
	system_can.reflink_error = EOPNOTSUPP;
	system_can.links_left = -1;
}

static void copies_only(void)
{
	links_only();
	system_can.link_error = EPERM;
}

static void reflinks(void)
{
	links_only();
	system_can.reflink_error = 0;
}

#endif
