/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)
#define DIGITS "0123456789abcdefABCDEF"

static bool has_file(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

bool mb_folder_is_backup(int dir_fd)
{
	return has_file(dir_fd, "Manifest.db") ||
	       has_file(dir_fd, "Manifest.mbdb") ||
	       has_file(dir_fd, "Manifest.plist") +
			       has_file(dir_fd, "Info.plist") +
			       has_file(dir_fd, "Status.plist") >=
		       2;
}

size_t mb_folder_udid_len(const char *name)
{
	size_t len = strspn(name, DIGITS);

	if (len == 8 && name[8] == '-')
		len += 1 + strspn(name + 9, DIGITS);
	return len == 25 || len == 40 ? len : 0;
}

int mb_folder_each(int dir_fd, int (*each)(void *arg, const char *name, int fd),
		   void *arg)
{
	struct dirent *e;
	int again, rc = 0;
	DIR *dir;

	if (mb_folder_is_backup(dir_fd))
		return 0;
	again = openat(dir_fd, ".", OPEN_DIR);
	dir = again < 0 ? NULL : fdopendir(again);
	if (!dir)
		return -errno;
	while (rc == 0 && (e = readdir(dir))) {
		mb_auto(close) int fd = -1;

		/* hidden: also what larder itself works in */
		if (e->d_name[0] == '.' || !strcmp(e->d_name, "Snapshot") ||
		    (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		fd = openat(dir_fd, e->d_name, OPEN_DIR | O_NOFOLLOW);
		if (fd < 0 && errno == EACCES && mb_folder_udid_len(e->d_name))
			rc = each(arg, e->d_name, -EACCES);
		else if (fd >= 0 && mb_folder_is_backup(fd))
			rc = each(arg, e->d_name, fd);
	}
	closedir(dir);
	return rc;
}

static int found_one(void *arg, const char *name, int fd)
{
	(void)arg, (void)name, (void)fd;
	return 1;
}

bool mb_folder_holds_any(const char *path)
{
	mb_auto(close) int fd = open(path, OPEN_DIR);

	return fd >= 0 && mb_folder_each(fd, found_one, NULL) == 1;
}
