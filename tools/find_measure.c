/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "crew.h"
#include "find_inside.h"

/*
 * Payloads are one level down, 256 folders of them; while a backup is made,
 * also in the folder Snapshot, in the same way; of old ones all are at the top.
 * Nothing else is looked into.
 */
struct measure {
	int dir_fd;
	char (*names)[256]; /* of folders */
	size_t count, cap;
	atomic_uint_fast64_t bytes, files;
	void (*alive)(void *arg);
	void *arg;
};

/* of one folder: a file system that goes on for ever is to end somewhere */
#define ENTRIES_MAX 10000000
#define FOLDERS_MAX 100000
#define ALIVE_EACH 4096

#define SNAPSHOT "Snapshot" /* looked into by itself */

static int add_folder(struct measure *m, const char *name)
{
	size_t cap = m->cap ? 2 * m->cap : 512;
	char(*names)[256] = m->names;

	if (m->count == FOLDERS_MAX)
		return 0;
	if (m->count == m->cap) {
		names = reallocarray(names, cap, sizeof(*names));
		if (!names)
			return -ENOMEM;
		m->names = names;
		m->cap = cap;
	}
	return snprintf(names[m->count++], sizeof(*names), "%s", name) < 0 ?
		       -EINVAL :
		       0;
}

/* The files of a folder; @folders: those in it are noted. */
static int measure_folder(struct measure *m, int fd, bool folders)
{
	DIR *dir = fdopendir(fd);
	uint64_t bytes = 0, files = 0, entries = 0;
	struct dirent *e;
	struct stat st;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (rc == 0 && entries < ENTRIES_MAX && (e = readdir(dir))) {
		if (++entries % ALIVE_EACH == 0)
			m->alive(m->arg);
		if (e->d_name[0] == '.' ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode)) {
			bytes += (uint64_t)st.st_size;
			files++;
		} else if (S_ISDIR(st.st_mode) && folders &&
			   strcmp(e->d_name, SNAPSHOT) != 0) {
			rc = add_folder(m, e->d_name);
		}
	}
	closedir(dir);
	atomic_fetch_add(&m->bytes, bytes);
	atomic_fetch_add(&m->files, files);
	m->alive(m->arg);
	return rc;
}

static int open_folder(int dir_fd, const char *name)
{
	return openat(dir_fd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void step(void *arg, size_t i)
{
	struct measure *m = arg;
	int fd = open_folder(m->dir_fd, m->names[i]);

	if (fd >= 0)
		measure_folder(m, fd, false);
}

/* A folder, and the folders in it. */
static int measure_level(struct measure *m, struct crew *crew, int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	m->dir_fd = dir_fd;
	m->count = 0;
	rc = measure_folder(m, fd, true);
	if (rc == 0)
		crew_each(crew, m->count, 2, step, m);
	return rc;
}

int find_measure(int dir_fd, uint64_t *bytes, uint64_t *files,
		 void (*alive)(void *arg), void *arg)
{
	struct measure m = { .alive = alive, .arg = arg };
	mb_auto(crew_free) struct crew *crew = NULL;
	mb_auto(close) int snapshot = open_folder(dir_fd, SNAPSHOT);
	int rc = crew_open(&crew);

	if (rc == 0)
		rc = measure_level(&m, crew, dir_fd);
	if (rc == 0 && snapshot >= 0)
		rc = measure_level(&m, crew, snapshot);
	free(m.names);
	*bytes = atomic_load(&m.bytes);
	*files = atomic_load(&m.files);
	return rc;
}
