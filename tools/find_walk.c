/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "beneath.h"
#include "find_inside.h"
#include "language.h"
#include "mb/folder.h"

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)

/*
 * A walk through folders that holds open each of them: no link is followed but
 * one that is a backup itself, and no mount is entered, so there are no loops.
 */
struct walk {
	const struct mount_table *table;
	const struct find_wish *wish;
	int to_fd;
	size_t folders; /* that have been looked into */
	bool full;
	atomic_llong last_ms; /* of a message */
};

/* in one place; then it is said that there may be more */
#define FOLDERS_MAX 100000
#define ENTRIES_MAX 1000000 /* of one folder */
#define ALIVE_MS 500
#define TEXT_MAX 1000 /* bytes */

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)

/* --- what it says -------------------------------------------------------- */

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void send(struct walk *w, enum message_type type, int depth,
		 struct view content)
{
	struct message_head head = { .type = type,
				     .len = (uint32_t)content.len,
				     .depth = depth };
	mb_auto(buf_release) struct buf all = { 0 };

	if (buf_add(&all, &head, sizeof(head)) < 0 ||
	    buf_add(&all, content.ptr, content.len) < 0 ||
	    write_full(w->to_fd, all.ptr, all.len) < 0)
		_exit(1); /* nobody listens any more */
	atomic_store(&w->last_ms, now_ms());
}

static void send_text(struct walk *w, enum message_type type, int depth,
		      const char *text)
{
	send(w, type, depth, view_of(text, strlen(text)));
}

/* Any thread: a head alone is written in one piece. */
static void alive(void *arg)
{
	struct walk *w = arg;

	if (now_ms() - atomic_load(&w->last_ms) >= ALIVE_MS)
		send(w, MESSAGE_ALIVE, 0, view_of(NULL, 0));
}

static void note(struct walk *w, const char *path, const char *reason)
{
	struct mb_err line; /* for its printable text */

	mb_err_set(&line, 0, "%s: %s", path, reason);
	send_text(w, MESSAGE_NOTE, 0, line.text);
}

/* --- one backup ---------------------------------------------------------- */

/* "-20240615-100000" */
static bool is_moment(const char *text)
{
	if (strlen(text) != 16 || text[0] != '-' || text[9] != '-')
		return false;
	for (int i = 1; i < 16; i++)
		if (i != 9 && !isdigit((unsigned char)text[i]))
			return false;
	return true;
}

/* Both name a copy in the same way; but larder keeps a list of its own. */
static bool larder_has_kept(int above_fd, const char *name, size_t len)
{
	mb_auto(buf_release) struct buf list = { 0 };
	char path[128], line[128];

	snprintf(path, sizeof(path), ".larder-%.*s/kept", (int)len, name);
	snprintf(line, sizeof(line), "%s\n", name);
	return beneath_read_file(above_fd, path, 1 << 20, &list, NULL) == 0 &&
	       memmem(list.ptr, list.len, line, strlen(line));
}

/* @above: the folder that it is in */
static enum found_kind kind_of(int above, const char *name)
{
	size_t len = mb_folder_udid_len(name);

	if (len && !name[len])
		return FOUND_CURRENT;
	if (!len || !is_moment(name + len))
		return FOUND_OTHER;
	return above >= 0 && larder_has_kept(above, name, len) ? FOUND_KEPT :
								 FOUND_ARCHIVED;
}

/* A property list may hold texts of any length; a name needs no more. */
static char *cut(const char *text)
{
	return text ? strndup(text, TEXT_MAX) : NULL;
}

static void describe(struct found *f, struct mb_backup *b)
{
	const struct mb_backup_info *info = mb_backup_get_info(b);

	free(f->path);
	f->path = strdup(info->source);
	f->udid = cut(info->udid);
	f->device_name = cut(info->device_name);
	f->product_type = cut(info->product_type);
	f->product_name = cut(info->product_name);
	f->ios = cut(info->product_version);
	f->date = info->date;
	f->encrypted = info->encrypted;
	f->complete = info->complete;
}

/* "PATH: reason" without the path, which is told anyway */
static const char *reason_of(const struct mb_err *err, const char *path)
{
	size_t len = strlen(path);

	return err->text +
	       (!strncmp(err->text, path, len) && err->text[len] == ':' ?
			len + 2 :
			0);
}

/* Describes, measures, sends and releases it. */
static void report(struct walk *w, int fd, const char *path)
{
	mb_auto(buf_release) struct buf bytes = { 0 };
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	mb_auto(close) int above = openat(fd, "..", O_PATH | O_CLOEXEC);
	struct found f = { .path = strdup(path) };
	struct mb_err err;
	struct stat st;

	if (!f.path || fstat(fd, &st) < 0)
		_exit(1);
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	if (mb_backup_open(&b, path, &err) < 0)
		f.problem = strdup(reason_of(&err, path));
	else
		describe(&f, b);
	if (f.path)
		f.kind = kind_of(above, strrchr(f.path, '/') + 1);
	alive(w);
	if (w->wish->sizes)
		f.sized = find_measure(fd, &f.bytes, &f.files, alive, w) == 0;
	if (found_encode(&bytes, &f) == 0)
		send(w, MESSAGE_FOUND, 0, view_of(bytes.ptr, bytes.len));
	found_release(&f);
}

/* A folder that is named like a backup, and does not let us in. */
static void report_closed(struct walk *w, const char *path, const char *name,
			  int dir_fd)
{
	mb_auto(buf_release) struct buf bytes = { 0 };
	struct found f = { .path = (char *)path, .problem = strerror(EACCES) };
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	f.kind = kind_of(dir_fd, name);
	if (found_encode(&bytes, &f) == 0)
		send(w, MESSAGE_FOUND, 0, view_of(bytes.ptr, bytes.len));
}

/* --- the walk ------------------------------------------------------------ */

static char *join(const char *path, const char *name)
{
	char *joined;

	return asprintf(&joined, "%s/%s", strcmp(path, "/") ? path : "", name) <
			       0 ?
		       NULL :
		       joined;
}

/*
 * Where Apple's software keeps backups, below a user's home: macOS, Windows,
 * and Windows with the version from its store (iphone-backup(5)).
 */
static const char *const keeps[][6] = {
	{ "Library", "Application Support", "MobileSync", "Backup" },
	{ "AppData", "Roaming", "Apple Computer", "MobileSync", "Backup" },
	{ "Apple", "MobileSync", "Backup" },
};

static void visit(struct walk *w, int fd, const char *path, int depth);

/* A name whatever its case, as the systems that wrote it take it. */
static int open_any_case(int fd, const char *name, char shown[256])
{
	int sub = openat(fd, name, OPEN_DIR | O_NOFOLLOW), again;
	struct dirent *e;
	DIR *dir;

	snprintf(shown, 256, "%s", name);
	if (sub >= 0 || errno != ENOENT)
		return sub < 0 ? -errno : sub;
	again = openat(fd, ".", OPEN_DIR);
	dir = again < 0 ? NULL : fdopendir(again);
	if (!dir)
		return -ENOENT;
	for (size_t n = 0; sub < 0 && n < ENTRIES_MAX && (e = readdir(dir));
	     n++) {
		if (strcasecmp(e->d_name, name) != 0)
			continue;
		snprintf(shown, 256, "%s", e->d_name);
		sub = openat(fd, e->d_name, OPEN_DIR | O_NOFOLLOW);
	}
	closedir(dir);
	return sub < 0 ? -ENOENT : sub;
}

static void look_for_keep(struct walk *w, int fd, const char *path,
			  const char *const *names)
{
	mb_auto(close) int at = dup(fd);
	mb_auto(free) char *at_path = strdup(path);

	for (; at >= 0 && at_path && *names; names++) {
		char shown[256], *longer;
		int sub = open_any_case(at, *names, shown);

		longer = join(at_path, shown);
		if (sub == -EACCES && longer)
			note(w, longer, strerror(EACCES));
		close(at);
		free(at_path);
		at = sub;
		at_path = longer;
		alive(w);
	}
	if (at >= 0 && at_path)
		visit(w, at, at_path, 1);
}

static void look_in_home(struct walk *w, int fd, const char *path, int depth)
{
	(void)depth;
	for (size_t i = 0; i < sizeof(keeps) / sizeof(*keeps); i++)
		look_for_keep(w, fd, path, keeps[i]);
}

/* A link to a backup that is elsewhere is one of this folder. */
static void look_at_link(struct walk *w, int fd, const char *name,
			 const char *path)
{
	mb_auto(close) int sub = openat(fd, name, OPEN_DIR);

	if (sub >= 0 && mb_folder_is_backup(sub))
		report(w, sub, path);
}

static void look_at_entry(struct walk *w, int fd, const struct dirent *e,
			  const char *path, int depth,
			  void (*each)(struct walk *w, int fd, const char *path,
				       int depth))
{
	mb_auto(free) char *longer = join(path, e->d_name);
	mb_auto(close) int sub = -1;

	if (!longer)
		return;
	if (mount_table_at(w->table, longer)) {
		send_text(w, MESSAGE_MOUNT, depth - 1, longer);
		return;
	}
	sub = openat(fd, e->d_name, OPEN_DIR | O_NOFOLLOW);
	if (sub >= 0)
		each(w, sub, longer, depth - 1);
	else if (errno == EACCES && mb_folder_udid_len(e->d_name))
		report_closed(w, longer, e->d_name, fd);
	else if (errno == EACCES && each == look_in_home)
		note(w, longer, strerror(EACCES));
	else if (errno == ELOOP || e->d_type == DT_LNK)
		look_at_link(w, fd, e->d_name, longer);
}

/* Each folder in this one; links and mounts have a way of their own. */
static void for_each_folder(struct walk *w, int fd, const char *path, int depth,
			    void (*each)(struct walk *w, int fd,
					 const char *path, int depth))
{
	int again = openat(fd, ".", OPEN_DIR);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;

	if (!dir)
		return;
	for (size_t n = 0; n < ENTRIES_MAX && !w->full && (e = readdir(dir));
	     n++) {
		/* also ".Trash-1000" and what larder itself works in */
		if (e->d_name[0] == '.' ||
		    (e->d_type != DT_DIR && e->d_type != DT_LNK &&
		     e->d_type != DT_UNKNOWN))
			continue;
		look_at_entry(w, fd, e, path, depth, each);
	}
	closedir(dir);
}

static void visit(struct walk *w, int fd, const char *path, int depth)
{
	const char *slash = strrchr(path, '/');

	alive(w);
	if (++w->folders > FOLDERS_MAX) {
		if (!w->full)
			note(w, path,
			     _("so many folders before this one that the rest is not looked through"));
		w->full = true;
		return;
	}
	if (mb_folder_is_backup(fd)) {
		report(w, fd, path);
		return;
	}
	if (!w->wish->only_these && slash && !strcasecmp(slash + 1, "Users"))
		for_each_folder(w, fd, path, depth, look_in_home);
	if (depth > 0)
		for_each_folder(w, fd, path, depth, visit);
}

void find_walk(const struct place *place, const struct mount_table *table,
	       const struct find_wish *wish, int to_fd)
{
	struct walk w = { .table = table, .wish = wish, .to_fd = to_fd };
	mb_auto(close) int fd = open(place->path, OPEN_DIR);
	char path[PATH_MAX];

	if (fd >= 0 && realpath(place->path, path)) {
		if (place->home)
			look_in_home(&w, fd, path, 0);
		visit(&w, fd, path, place->depth);
	} else if (place->given || (errno != ENOENT && errno != EACCES)) {
		note(&w, place->path, strerror(errno));
	}
	send(&w, MESSAGE_END, 0, view_of(NULL, 0));
}
