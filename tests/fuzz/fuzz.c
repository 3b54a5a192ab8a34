/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static int dir_fd = -1;

static void remove_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dir_fd, e->d_name, 0);
	if (d)
		closedir(d);
	close(dir_fd);
	rmdir(dir);
}

int fuzz_dir_fd(void)
{
	if (dir_fd >= 0)
		return dir_fd;
	strcpy(dir, "/dev/shm/larder-fuzz-XXXXXX");
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/larder-fuzz-XXXXXX");
		MUST(mkdtemp(dir));
	}
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	MUST(dir_fd >= 0);
	atexit(remove_dir);
	return dir_fd;
}

const char *fuzz_dir(void)
{
	fuzz_dir_fd();
	return dir;
}

void fuzz_put(const char *name, const uint8_t *data, size_t size)
{
	int fd =
		openat(fuzz_dir_fd(), name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(fd >= 0);
	MUST(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

void fuzz_touch(const void *ptr, size_t len)
{
	const volatile uint8_t *p = ptr;

	while (len--)
		(void)*p++;
}
