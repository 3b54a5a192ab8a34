/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slow_disk FOLDER MOUNTPOINT MICROSECONDS - the folder, on a disk that takes so
 * long for each read, but has no queue
 *
 * Attributes of the root: "user.hold" is set to "1" to have no read answered,
 * and to "0" to have all answered; "user.held" is how many wait for that;
 * "user.peak" is how many have been waited for at once so far.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int root;
static long delay_us;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool hold;
static unsigned held, at_once, peak;

static const char *beneath(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(long rc)
{
	return rc < 0 ? -errno : (int)rc;
}

static int get_attributes(const char *path, struct stat *st,
			  struct fuse_file_info *fi)
{
	(void)fi;
	return result(fstatat(root, beneath(path), st, AT_SYMLINK_NOFOLLOW));
}

static int list(const char *path, void *out, fuse_fill_dir_t fill, off_t off,
		struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int fd = openat(root, beneath(path), O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	(void)off, (void)fi, (void)flags;
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		fill(out, e->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static int open_file(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(root, beneath(path), O_RDONLY);

	fi->fh = (uint64_t)fd;
	fi->keep_cache = 1; /* as the kernel does for a disk */
	return fd < 0 ? -errno : 0;
}

/* The disk's time. */
static void wait_for_disk(void)
{
	struct timespec time = { delay_us / 1000000,
				 delay_us % 1000000 * 1000 };

	pthread_mutex_lock(&lock);
	if (++at_once > peak)
		peak = at_once;
	held++;
	while (hold)
		pthread_cond_wait(&released, &lock);
	held--;
	pthread_mutex_unlock(&lock);
	nanosleep(&time, NULL);
	pthread_mutex_lock(&lock);
	at_once--;
	pthread_mutex_unlock(&lock);
}

static int read_file(const char *path, char *out, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)path;
	wait_for_disk();
	return result(pread((int)fi->fh, out, size, off));
}

static int close_file(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return result(close((int)fi->fh));
}

static int set_attribute(const char *path, const char *name, const char *value,
			 size_t size, int flags)
{
	(void)flags;
	if (strcmp(path, "/") || strcmp(name, "user.hold") || size != 1)
		return -EPERM;
	pthread_mutex_lock(&lock);
	hold = *value == '1';
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&lock);
	return 0;
}

static int get_attribute(const char *path, const char *name, char *out,
			 size_t size)
{
	char text[16];
	unsigned value;

	if (strcmp(path, "/"))
		return -ENODATA;
	pthread_mutex_lock(&lock);
	value = !strcmp(name, "user.peak") ? peak : held;
	pthread_mutex_unlock(&lock);
	if (strcmp(name, "user.peak") && strcmp(name, "user.held"))
		return -ENODATA;
	snprintf(text, sizeof(text), "%u", value);
	if (size && size < strlen(text))
		return -ERANGE;
	memcpy(out, text, size ? strlen(text) : 0);
	return (int)strlen(text);
}

static int get_space(const char *path, struct statvfs *st)
{
	(void)path;
	return result(fstatvfs(root, st));
}

int main(int argc, char *argv[])
{
	static const struct fuse_operations operations = {
		.getattr = get_attributes,
		.readdir = list,
		.open = open_file,
		.read = read_file,
		.release = close_file,
		.setxattr = set_attribute,
		.getxattr = get_attribute,
		.statfs = get_space,
	};
	char *args[] = { argv[0],
			 argv[2],
			 "-f",
			 "-o",
			 "max_threads=64,max_idle_threads=64",
			 NULL };

	if (argc != 4 || (root = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0) {
		fprintf(stderr, "usage: slow_disk FOLDER MOUNTPOINT US\n");
		return 2;
	}
	delay_us = atol(argv[3]);
	return fuse_main(5, args, &operations, NULL);
}
