/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host_dir.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "clone.h"
#include "language.h"

/* Longest name that a device may use; real ones stay far below. */
#define NAME_MAX_LEN 1024

/* A name that was checked: relative, without empty components. */
struct path {
	char text[NAME_MAX_LEN + 1];
};

static int refuse(struct host_name name, const char *why, struct mb_err *err)
{
	return mb_err_set(err, -EPROTO, "the device named \"%.*s\", %s",
			  (int)(name.len < 200 ? name.len : 200), name.ptr,
			  why);
}

/* The system refused: @verb is "create", "open", ... */
static int failed(int rc, const char *verb, const struct path *path,
		  struct mb_err *err)
{
	return mb_err_set(err, rc, "cannot %s %s: %s", verb, path->text,
			  strerror(-rc));
}

/* "-YYYYMMDD-HHMMSS" */
static bool is_stamp(const char *text, size_t len)
{
	if (len != 16 || text[0] != '-' || text[9] != '-')
		return false;
	for (size_t i = 1; i < len; i++)
		if (i != 9 && !isdigit((unsigned char)text[i]))
			return false;
	return true;
}

bool host_dir_is_version(const char *udid, const char *name, size_t len)
{
	size_t udid_len = strlen(udid);

	return len > udid_len && !memcmp(name, udid, udid_len) &&
	       is_stamp(name + udid_len, len - udid_len);
}

static bool is_folder_of(const char *udid, const char *name, size_t len)
{
	return (len == strlen(udid) && !memcmp(name, udid, len)) ||
	       host_dir_is_version(udid, name, len);
}

static bool is_device_folder(const struct host_dir *dir, const char *name,
			     size_t len)
{
	return is_folder_of(dir->udid, name, len) ||
	       (dir->target && is_folder_of(dir->target, name, len));
}

static int check_component(const struct host_dir *dir, struct host_name name,
			   const char *part, size_t len, bool first,
			   struct mb_err *err)
{
	if (len == 2 && part[0] == '.' && part[1] == '.')
		return refuse(name, _("which leads out of its folder"), err);
	if (first && !is_device_folder(dir, part, len))
		return refuse(name, _("which is outside of its folder"), err);
	return 0;
}

/*
 * The only way from a name to a path. Repeated and final slashes, and ".",
 * mean nothing and are dropped.
 */
static int check(struct path *out, const struct host_dir *dir,
		 struct host_name name, struct mb_err *err)
{
	size_t used = 0, at = 0;

	if (name.len > NAME_MAX_LEN)
		return refuse(name, _("a name that is too long"), err);
	if (memchr(name.ptr, '\0', name.len))
		return refuse(name, _("a name with a zero byte in it"), err);
	for (size_t i = 0; i < name.len; i++)
		if (iscntrl((unsigned char)name.ptr[i]))
			return refuse(name,
				      _("a name with a control character"),
				      err);
	if (name.len && name.ptr[0] == '/')
		return refuse(name, _("which is outside of its folder"), err);
	while (at < name.len) {
		const char *part = name.ptr + at;
		const char *slash = memchr(part, '/', name.len - at);
		size_t len = slash ? (size_t)(slash - part) : name.len - at;
		int rc;

		at += len + 1;
		if (len == 0 || (len == 1 && part[0] == '.'))
			continue;
		rc = check_component(dir, name, part, len, used == 0, err);
		if (rc < 0)
			return rc;
		if (used)
			out->text[used++] = '/';
		memcpy(out->text + used, part, len);
		used += len;
	}
	if (!used)
		return refuse(name, _("which is no name"), err);
	out->text[used] = '\0';
	return 0;
}

int host_dir_check(const struct host_dir *dir, struct host_name name,
		   struct mb_err *err)
{
	struct path path;

	return check(&path, dir, name, err);
}

bool host_dir_is_payload(const struct host_dir *dir, struct host_name name)
{
	size_t udid_len = strlen(dir->udid);
	const char *p;

	if (name.len < udid_len + 41 || memcmp(name.ptr, dir->udid, udid_len) ||
	    name.ptr[udid_len] != '/')
		return false;
	p = name.ptr + udid_len + 1;
	if (name.len == udid_len + 41)
		return is_hex(p, 40);
	return name.len == udid_len + 44 && p[2] == '/' && is_hex(p, 2) &&
	       is_hex(p + 3, 40);
}

/* --- what is shown of a served backup ------------------------------------ */

/* The files of a backup beside its payloads, of all generations. */
static bool is_known_file(const char *name)
{
	static const char *const known[] = {
		"Info.plist",	 "Manifest.plist", "Manifest.db",
		"Manifest.mbdb", "Manifest.mbdx",  "Status.plist",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static bool is_payload(const char *name)
{
	return strlen(name) == 40 && is_hex(name, 40);
}

/* A folder that holds payloads: "<xx>". */
static bool is_shard(const char *name)
{
	return strlen(name) == 2 && is_hex(name, 2);
}

/* "Status.plist", "<40 hex>" or "<xx>/<40 hex>" */
static bool is_shown_file(const char *inside)
{
	if (is_hex(inside, 2) && inside[2] == '/')
		return is_payload(inside + 3);
	return is_known_file(inside) || is_payload(inside);
}

/* What is listed of "<UDID>" or, if @in_shard, of "<UDID>/<xx>". */
static bool is_shown_entry(bool in_shard, const char *entry,
			   const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return !in_shard && is_shard(entry);
	return S_ISREG(st->st_mode) &&
	       (is_payload(entry) || (!in_shard && is_known_file(entry)));
}

/*
 * The path inside of the backup, "" for its folder; NULL where nothing is
 * shown: in the folder of another version, or of the device itself.
 */
static const char *inside_served(const struct host_dir *dir,
				 const struct path *path)
{
	size_t len = strlen(dir->udid);

	if (strncmp(path->text, dir->udid, len) != 0)
		return NULL;
	if (path->text[len] == '/')
		return path->text + len + 1;
	return path->text[len] ? NULL : path->text + len;
}

/* Where below dir->fd a file is that can be read; NULL: nowhere. */
static const char *place_of_file(const struct host_dir *dir,
				 const struct path *path)
{
	const char *inside;

	if (!dir->served)
		return path->text;
	inside = inside_served(dir, path);
	return inside && is_shown_file(inside) ? inside : NULL;
}

/* The same of a folder that can be listed; "" is dir->fd itself. */
static const char *place_of_folder(const struct host_dir *dir,
				   const struct path *path)
{
	const char *inside;

	if (!dir->served)
		return path->text;
	inside = inside_served(dir, path);
	return inside && (!*inside || is_shard(inside)) ? inside : NULL;
}

/* Before anything is changed: 0, or the end of it. */
static int check_writable(const struct host_dir *dir, const char *verb,
			  const struct path *path, struct mb_err *err)
{
	if (!dir->served)
		return 0;
	return mb_err_set(
		err, -EROFS,
		"the device wants to %s %s, but this backup is only read", verb,
		path->text);
}

/*
 * A device that puts its old backup away before it is restored from another
 * one may hear that it has none.
 */
static int check_copied(const struct host_dir *dir, const struct path *path,
			struct mb_err *err)
{
	if (!place_of_file(dir, path) && !place_of_folder(dir, path))
		return failed(-ENOENT, _("copy"), path, err);
	return check_writable(dir, "copy", path, err);
}

/* --- the operations ------------------------------------------------------ */

int host_dir_open(const struct host_dir *dir, struct host_name name,
		  int64_t *len, struct mb_err *err)
{
	struct path path;
	const char *place;
	int rc = check(&path, dir, name, err);

	if (rc < 0)
		return rc;
	place = place_of_file(dir, &path);
	rc = place ? beneath_open_file(dir->fd, place, len) : -ENOENT;
	return rc < 0 ? failed(rc, _("open"), &path, err) : rc;
}

static bool is_folder(const struct host_dir *dir, const struct path *path)
{
	struct stat st;

	return beneath_stat(dir->fd, path->text, &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

int host_dir_create(const struct host_dir *dir, struct host_name name,
		    bool *replaced, struct mb_err *err)
{
	struct path path;
	int rc;

	*replaced = false;
	rc = check(&path, dir, name, err);
	if (rc == 0)
		rc = check_writable(dir, "create", &path, err);
	if (rc < 0)
		return rc;
	rc = beneath_create_file(dir->fd, path.text, 0666);
	*replaced = rc == -EEXIST;
	if (*replaced && is_folder(dir, &path)) {
		rc = -EISDIR;
	} else if (*replaced) {
		/* never written in place: others may share it */
		rc = beneath_remove(dir->fd, path.text);
		if (rc == 0)
			rc = beneath_create_file(dir->fd, path.text, 0666);
	}
	return rc < 0 ? failed(rc, _("create"), &path, err) : rc;
}

/* The folders above, as far as they are missing. */
static int make_parents(const struct host_dir *dir, struct path *path)
{
	char *slash = path->text;
	int rc = 0;

	while ((slash = strchr(slash, '/')) && (rc == 0 || rc == -EEXIST)) {
		*slash = '\0';
		rc = beneath_make_dir(dir->fd, path->text, 0777);
		*slash++ = '/';
	}
	return rc == -EEXIST ? 0 : rc;
}

int host_dir_make_dir(const struct host_dir *dir, struct host_name name,
		      struct mb_err *err)
{
	struct path path;
	int rc = check(&path, dir, name, err);

	if (rc == 0)
		rc = check_writable(dir, "create", &path, err);
	if (rc < 0)
		return rc;
	rc = beneath_make_dir(dir->fd, path.text, 0777);
	if (rc == -ENOENT) {
		rc = make_parents(dir, &path);
		if (rc == 0)
			rc = beneath_make_dir(dir->fd, path.text, 0777);
	}
	return rc < 0 ? failed(rc, _("create the folder"), &path, err) : 0;
}

int host_dir_move(const struct host_dir *dir, struct host_name from,
		  struct host_name to, bool *replaced, struct mb_err *err)
{
	struct path a, b;
	int rc;

	*replaced = false;
	if ((rc = check(&a, dir, from, err)) < 0 ||
	    (rc = check(&b, dir, to, err)) < 0 ||
	    (rc = check_writable(dir, "move", &a, err)) < 0)
		return rc;
	if (!strcmp(a.text, b.text))
		return 0;
	if (path_is_inside(b.text, a.text) || path_is_inside(a.text, b.text))
		return failed(-EINVAL, _("move into itself"), &a, err);
	rc = beneath_move(dir->fd, a.text, b.text, replaced);
	return rc < 0 ? failed(rc, _("move"), &a, err) : 0;
}

int host_dir_remove(const struct host_dir *dir, struct host_name name,
		    bool *removed, struct mb_err *err)
{
	struct path path;
	int rc;

	*removed = false;
	rc = check(&path, dir, name, err);
	if (rc == 0)
		rc = check_writable(dir, "remove", &path, err);
	if (rc < 0)
		return rc;
	rc = beneath_remove(dir->fd, path.text);
	*removed = rc == 0;
	if (rc == 0 || rc == -ENOENT)
		return 0;
	return failed(rc, _("remove"), &path, err);
}

int host_dir_copy(const struct host_dir *dir, struct host_name from,
		  struct host_name to, struct mb_err *err)
{
	struct path a, b;
	struct stat st;
	int rc;

	if ((rc = check(&a, dir, from, err)) < 0 ||
	    (rc = check(&b, dir, to, err)) < 0 ||
	    (rc = check_copied(dir, &a, err)) < 0)
		return rc;
	if (path_is_inside(b.text, a.text) || path_is_inside(a.text, b.text))
		return failed(-EINVAL, _("copy into itself"), &a, err);
	rc = beneath_stat(dir->fd, a.text, &st);
	if (rc < 0)
		return failed(rc, _("copy"), &a, err);
	rc = beneath_remove(dir->fd, b.text);
	if (rc == 0 || rc == -ENOENT)
		rc = clone_entry(dir->fd, a.text, dir->fd, b.text, CLONE_COPY,
				 NULL);
	return rc < 0 ? failed(rc, _("copy"), &a, err) : 0;
}

/* The entries of an open folder; of those of a served backup what is shown. */
static int walk(DIR *d, bool served, bool in_shard,
		int (*each)(void *arg, const char *entry,
			    const struct stat *st),
		void *arg)
{
	struct dirent *e;
	int rc = 0;

	while (rc == 0 && (errno = 0, e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!served || is_shown_entry(in_shard, e->d_name, &st))
			rc = each(arg, e->d_name, &st);
	}
	return rc;
}

static int open_folder(const struct host_dir *dir, const char *place)
{
	int fd;

	if (!place)
		return -ENOENT;
	if (*place)
		return beneath_open_dir(dir->fd, place);
	fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int host_dir_list(const struct host_dir *dir, struct host_name name,
		  int (*each)(void *arg, const char *entry,
			      const struct stat *st),
		  void *arg, struct mb_err *err)
{
	struct path path;
	const char *place;
	DIR *d;
	int fd, rc;

	rc = check(&path, dir, name, err);
	if (rc < 0)
		return rc;
	place = place_of_folder(dir, &path);
	fd = open_folder(dir, place);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return failed(fd, _("list"), &path, err);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return failed(-ENOMEM, _("list"), &path, err);
	}
	rc = walk(d, dir->served, *place, each, arg);
	if (rc == 0 && errno)
		rc = failed(-errno, _("list"), &path, err);
	closedir(d);
	return rc;
}

int host_dir_free_space(const struct host_dir *dir, uint64_t *bytes,
			struct mb_err *err)
{
	struct statvfs v;

	if (fstatvfs(dir->fd, &v) < 0)
		return mb_err_set(err, -errno, "free space: %s",
				  strerror(errno));
	/* blocks are counted in fragments */
	*bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}
