/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extract_dest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "beneath.h"
#include "workdir.h"

#define STATE "state"
#define STATE_MAX 512

static int failed(const struct extract_dest *d, int rc, struct mb_err *err)
{
	mb_err_set(err, rc, "%s: %s", d->path, strerror(-rc));
	/* ENOENT would say that there is no backup to read */
	return rc == -ENOENT ? -ENOTDIR : rc;
}

void extract_dest_release(struct extract_dest *d)
{
	if (d->work_fd >= 0)
		close(d->work_fd);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = d->work_fd = -1;
}

/* Is a folder the other one, or below it? Up to the root, by what they are. */
static int is_below(int fd, int other_fd)
{
	struct stat other, here, before = { 0 };
	int at = dup(fd), rc = 0;

	if (at < 0 || fstat(other_fd, &other) < 0)
		rc = -errno;
	while (rc == 0) {
		int up;

		if (fstat(at, &here) < 0) {
			rc = -errno;
			break;
		}
		if (here.st_dev == other.st_dev && here.st_ino == other.st_ino)
			rc = 1;
		if (here.st_dev == before.st_dev &&
		    here.st_ino == before.st_ino)
			break;
		before = here;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0) {
			rc = rc ? rc : -errno;
			break;
		}
		close(at);
		at = up;
	}
	if (at >= 0)
		close(at);
	return rc;
}

static int keep_out(const struct extract_dest *d, int fd,
		    struct mb_backup *backup, struct mb_err *err)
{
	int rc = is_below(fd, mb_backup_get_fd(backup));

	if (rc > 0)
		return mb_err_set(
			err, -EINVAL,
			"%s: is in the backup, which is only read: choose another place",
			d->path);
	return rc < 0 ? failed(d, rc, err) : 0;
}

static int open_parent(const char *path)
{
	mb_auto(free) char *copy = strdup(path);
	int fd;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_empty(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	bool empty = dir != NULL;
	struct dirent *e;

	if (!dir && own >= 0)
		close(own);
	while (empty && (e = readdir(dir)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

int extract_dest_find(struct extract_dest *d, const char *path,
		      struct mb_backup *backup, struct mb_err *err)
{
	mb_auto(close) int parent = -1;

	*d = (struct extract_dest){ .path = path, .fd = -1, .work_fd = -1 };
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd >= 0) {
		d->fresh = is_empty(d->fd);
		return keep_out(d, d->fd, backup, err);
	}
	if (errno != ENOENT)
		return failed(d, -errno, err);
	d->fresh = true;
	parent = open_parent(path);
	if (parent < 0)
		return failed(d, parent, err);
	return keep_out(d, parent, backup, err);
}

/* --- the note ------------------------------------------------------------ */

static void read_boot_id(char out[64])
{
	mb_auto(close) int fd =
		open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread_full(fd, out, 63, 0);

	out[n < 0 ? 0 : n] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* Which mount it is: after a disk was pulled, it comes back as another. */
static uint64_t mount_id(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 &&
			       st.stx_mask & STATX_MNT_ID ?
		       st.stx_mnt_id :
		       0;
}

/*
 * Four lines. What was written is there as long as the machine runs, and may
 * not be after it was not shut down: so what has a whole look is believed only
 * if the third line is still the same. And not where files are replaced that
 * may have had this look before, which the last line says.
 */
#define STATE_FORMAT "larder-extract 1\n%s\nboot %s mount %" PRIu64 "\n"
#define REPLACES "replaces "
#define MERGES "merges "

static void format_state(char out[STATE_MAX], const struct extract_dest *d,
			 const char *what)
{
	char boot[64];

	read_boot_id(boot);
	snprintf(out, STATE_MAX, STATE_FORMAT, what, boot, mount_id(d->fd));
}

/* What is there, of a run before. */
static int read_state(struct extract_dest *d, const char *what,
		      struct mb_err *err)
{
	mb_auto(buf_release) struct buf old = { 0 };
	char now[STATE_MAX];
	const char *text, *flags;
	size_t same;
	int rc = beneath_read_file(d->work_fd, STATE, STATE_MAX, &old, err);

	if (rc == -ENOENT)
		return 0;
	if (rc == 0 && buf_add_u8(&old, '\0') < 0)
		rc = mb_err_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return mb_err_prefix(err, rc, "%s/%s", d->path, EXTRACT_WORK);
	format_state(now, d, what);
	text = (const char *)old.ptr;
	/* the first two lines tell what, the third when and where */
	same = (size_t)(strstr(now, "boot ") - now);
	if (strncmp(text, now, same))
		return -EEXIST;
	flags = strrchr(text, '\n');
	while (flags && flags > text && flags[-1] != '\n')
		flags--;
	d->resumed = true;
	d->trusted = !strncmp(text, now, strlen(now)) && flags &&
		     !strstr(flags, REPLACES);
	d->fresh = flags && !strstr(flags, MERGES);
	return 0;
}

/* What a run that was killed had not yet renamed. */
static void drop_asides(const struct extract_dest *d)
{
	int own = openat(d->work_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *e;

	if (!dir && own >= 0)
		close(own);
	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    strcmp(e->d_name, STATE))
			unlinkat(d->work_fd, e->d_name, 0);
	if (dir)
		closedir(dir);
}

int extract_dest_begin(struct extract_dest *d, const char *what, bool overwrite,
		       struct mb_err *err)
{
	int rc;

	if (d->fd < 0) {
		/* for the user alone: so is a backup's content on a phone */
		if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
			return failed(d, -errno, err);
		d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->fd < 0)
			return failed(d, -errno, err);
	}
	d->work_fd = workdir_open(d->fd, EXTRACT_WORK, err);
	if (d->work_fd < 0)
		return mb_err_prefix(err,
				     d->work_fd == -ENOENT ? -EIO : d->work_fd,
				     "%s", d->path);
	rc = read_state(d, what, err);
	if (rc == -EEXIST && !overwrite)
		return mb_err_set(
			err, rc,
			"%s: here something else was begun to be extracted: finish that, or remove %s",
			d->path, EXTRACT_WORK);
	if (rc == 0 || rc == -EEXIST)
		drop_asides(d);
	return rc < 0 && rc != -EEXIST ? rc : 0;
}

int extract_dest_mark(struct extract_dest *d, const char *what, bool overwrite,
		      struct mb_err *err)
{
	char state[STATE_MAX + 64];
	int rc;

	format_state(state, d, what);
	/* what is not believed now is not next time either */
	if (overwrite || (d->resumed && !d->trusted))
		strcat(state, REPLACES);
	if (!d->fresh)
		strcat(state, MERGES);
	strcat(state, "\n");
	rc = beneath_write_file(d->work_fd, STATE,
				view_of(state, strlen(state)), 0600, err);
	return rc < 0 ? mb_err_prefix(err, rc, "%s/%s", d->path, EXTRACT_WORK) :
			0;
}

static void describe(const struct extract_dest *d, const char *name,
		     const char *value)
{
	if (value)
		fsetxattr(d->fd, name, value, strlen(value), 0);
}

void extract_dest_describe(const struct extract_dest *d,
			   const struct mb_backup_info *info, bool device_view,
			   unsigned mode_mask)
{
	char mask[16];

	snprintf(mask, sizeof(mask), "%04o", mode_mask);
	describe(d, "user.larder.source", info->source);
	describe(d, "user.larder.udid", info->udid);
	describe(d, "user.larder.encrypted", info->encrypted ? "yes" : "no");
	describe(d, "user.larder.view", device_view ? "device" : NULL);
	describe(d, "user.larder.mode-mask", mask);
}

void extract_dest_finish(struct extract_dest *d)
{
	beneath_remove(d->fd, EXTRACT_WORK);
}
