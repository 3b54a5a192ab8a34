/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The work that bench.py times, done the same way on every file system: the
 * time is taken here, so that starting a program is no part of it. Prints the
 * seconds, and what was done in them (entries or bytes), which must be equal
 * on all sides of a comparison.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define CIPHER_READ (128 << 10)
#define WHOLE_READ (128 << 10)

static unsigned long long done;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_or_die(int dir_fd, const char *path, int flags)
{
	int fd = openat(dir_fd, path, flags);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* Touched, so that no page fault falls into the time. */
static char *buffer(size_t len)
{
	char *p = aligned_alloc(PAGE, (len + PAGE - 1) / PAGE * PAGE);

	if (!p)
		err(1, "memory");
	memset(p, 1, len);
	return p;
}

static off_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		err(1, "fstat");
	return st.st_size;
}

/* readdir and lstat, as ls -l and find do */
static void list(int dir_fd, bool below)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *d;

	if (!dir)
		err(1, "fdopendir");
	while ((d = readdir(dir))) {
		struct stat st;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			err(1, "%s", d->d_name);
		done++;
		if (below && S_ISDIR(st.st_mode))
			list(open_or_die(dir_fd, d->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
			     true);
	}
	closedir(dir);
}

static void read_all(int fd, char *out, size_t block)
{
	ssize_t n;

	while ((n = read(fd, out, block)) > 0)
		done += (unsigned long long)n;
	if (n < 0)
		err(1, "read");
}

/* Everything below, so that the page cache holds what is behind a mount. */
static void read_tree(int dir_fd, char *out)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *d;

	if (!dir)
		err(1, "fdopendir");
	while ((d = readdir(dir))) {
		int flags = d->d_type == DT_DIR ? O_DIRECTORY : 0, fd;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    (d->d_type != DT_DIR && d->d_type != DT_REG))
			continue;
		fd = open_or_die(dir_fd, d->d_name, O_RDONLY | flags);
		if (d->d_type == DT_DIR) {
			read_tree(fd, out);
		} else {
			read_all(fd, out, WHOLE_READ);
			close(fd);
		}
	}
	closedir(dir);
}

/* Each page once at most: the stride has no divisor in common with 2^n. */
static void read_pages(int fd, char *out, unsigned long count)
{
	unsigned long pages = (unsigned long)(size_of(fd) / PAGE);

	for (unsigned long i = 1; i <= count; i++) {
		off_t at = (off_t)(i * 2654435761ul % pages * PAGE);

		if (pread(fd, out, PAGE, at) != PAGE)
			err(1, "pread");
		done += PAGE;
	}
}

/* Whole files, whose paths stand one a line in a list. */
static void read_files(int dir_fd, FILE *paths, char *out)
{
	static char path[4096];

	while (fgets(path, sizeof(path), paths)) {
		int fd;

		path[strcspn(path, "\n")] = '\0';
		fd = open_or_die(dir_fd, path, O_RDONLY);
		read_all(fd, out, WHOLE_READ);
		close(fd);
	}
}

/* The least that decrypting a file costs one thread. */
static void decrypt(int fd, char *out)
{
	static const unsigned char key[32] = { 1 }, iv[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	off_t at = 0;
	ssize_t n;
	int len;

	if (!ctx ||
	    !EVP_DecryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv) ||
	    !EVP_CIPHER_CTX_set_padding(ctx, 0))
		errx(1, "cipher");
	while ((n = pread(fd, out, CIPHER_READ, at)) > 0) {
		if (!EVP_DecryptUpdate(ctx, (unsigned char *)out, &len,
				       (unsigned char *)out, (int)n))
			errx(1, "cipher");
		at += n;
	}
	if (n < 0)
		err(1, "pread");
	done = (unsigned long long)at;
	EVP_CIPHER_CTX_free(ctx);
}

static void usage(void)
{
	fputs("usage: probe list DIR      one folder, with lstat\n"
	      "       probe walk DIR      a tree, with lstat\n"
	      "       probe read FILE BLOCK\n"
	      "       probe pages FILE COUNT\n"
	      "       probe files DIR LIST\n"
	      "       probe decrypt FILE\n"
	      "       probe warm DIR      read all that is in a tree\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	const char *path = argc > 2 ? argv[2] : "";
	const char *last = argc > 3 ? argv[3] : "";
	size_t number = strtoul(last, NULL, 10);
	double begin;

	if (!strcmp(what, "list") || !strcmp(what, "walk")) {
		begin = now();
		list(open_or_die(AT_FDCWD, path, O_RDONLY | O_DIRECTORY),
		     !strcmp(what, "walk"));
	} else if (!strcmp(what, "read") && number) {
		char *out = buffer(number);

		begin = now();
		read_all(open_or_die(AT_FDCWD, path, O_RDONLY), out, number);
	} else if (!strcmp(what, "pages") && number) {
		int fd = open_or_die(AT_FDCWD, path, O_RDONLY);
		char *out = buffer(PAGE);

		begin = now();
		read_pages(fd, out, number);
	} else if (!strcmp(what, "files") && *last) {
		FILE *paths = fopen(last, "r");
		char *out = buffer(WHOLE_READ);
		int dir_fd = open_or_die(AT_FDCWD, path, O_RDONLY);

		if (!paths)
			err(1, "%s", last);
		begin = now();
		read_files(dir_fd, paths, out);
	} else if (!strcmp(what, "decrypt")) {
		int fd = open_or_die(AT_FDCWD, path, O_RDONLY);
		char *out = buffer(CIPHER_READ);

		begin = now();
		decrypt(fd, out);
	} else if (!strcmp(what, "warm")) {
		begin = now();
		read_tree(open_or_die(AT_FDCWD, path, O_RDONLY | O_DIRECTORY),
			  buffer(WHOLE_READ));
	} else {
		usage();
	}
	printf("%.9f %llu\n", now() - begin, done);
	return 0;
}
