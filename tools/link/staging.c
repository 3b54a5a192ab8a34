/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "staging.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "cleanup.h"
#include "host_dir.h"
#include "language.h"
#include "workdir.h"

/*
 * How a version takes its place, and what a crash in between leaves:
 *
 *   1. everything of staging/<UDID> is synced
 *   2. it is renamed to "ready", and that synced      crash: ready is removed
 *   3. "intent" is written: the inode of ready, and
 *      the name under which the version before it
 *      is kept, or nothing                            crash: ready is removed
 *   4. ready and <UDID> change places; synced         crash: see below
 *   5. ready, now the version before, is kept under
 *      that name or removed
 *
 * If a run finds "ready", its inode tells whether 4 has happened: if <UDID>
 * is what the intent names, ready is the version before, and 5 is done;
 * otherwise ready is a version that never came to be, and is removed.
 *
 * A file system that cannot exchange two names takes two renames, with the
 * version before under the name "previous" between them; a run that finds
 * "previous" and no <UDID> puts it back.
 */
#define CLONE "staging"
#define READY "ready"
#define PREVIOUS "previous"
#define INTENT "intent"
#define KEPT "kept"
#define PRUNED "pruned" /* a kept version on its way out */

/* Longest list of kept versions that is read. */
#define KEPT_MAX (1 << 20)

struct staging {
	char *dir;    /* absolute; what holds the backup */
	char *name;   /* of the backup in it */
	char *udid;   /* its name inside the staging folder */
	char *state;  /* ".larder-<UDID>" */
	char *path;   /* of the clone */
	char *target; /* what it becomes */
	int dir_fd;   /* of dir */
	int state_fd; /* of state, locked */
	int clone_fd; /* of state/staging */
	bool has_base;
	struct clone_result clone;
};

static int failed(int rc, const char *what, const char *path,
		  struct mb_err *err)
{
	return mb_err_set(err, rc, "%s %s: %s", what, path, strerror(-rc));
}

/* --- where --------------------------------------------------------------- */

/* DIR, made if it is missing: an absolute path. */
static int find_dir(char **out, const char *dir, struct mb_err *err)
{
	/* what is in a backup is nobody else's business */
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return failed(-errno, _("cannot create the folder"), dir, err);
	*out = realpath(dir, NULL);
	return *out ? 0 : failed(-errno, _("cannot open the folder"), dir, err);
}

/* Where DIR/<UDID> really is, if it is a symbolic link. */
static int follow_link(struct staging *s, struct mb_err *err)
{
	mb_auto(free) char *link = NULL, *real = NULL;
	struct stat st;
	char *slash;

	if (asprintf(&link, "%s/%s", s->dir, s->name) < 0) {
		link = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	if (lstat(link, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	real = realpath(link, NULL);
	if (!real)
		return failed(-errno, _("cannot follow the link"), link, err);
	slash = strrchr(real, '/');
	if (!slash || !slash[1])
		return failed(-EINVAL, _("no backup can be at"), real, err);
	*slash = '\0';
	free(s->dir);
	free(s->name);
	s->name = strdup(slash + 1);
	s->dir = mb_steal(&real);
	return s->name ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
}

static int name_things(struct staging *s, struct mb_err *err)
{
	int ok = asprintf(&s->state, ".larder-%s", s->udid) > 0 &&
		 asprintf(&s->path, "%s/%s/" CLONE "/%s", s->dir, s->state,
			  s->udid) > 0 &&
		 asprintf(&s->target, "%s/%s", s->dir, s->name) > 0;

	if (!ok)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->dir_fd < 0 ? failed(-errno, _("cannot open the folder"),
				      s->dir, err) :
			       0;
}

/* --- one run at a time --------------------------------------------------- */

static int lock_state(struct staging *s, struct mb_err *err)
{
	s->state_fd = workdir_open(s->dir_fd, s->state, err);
	if (s->state_fd == -EBUSY)
		return mb_err_set(err, -EBUSY,
				  "%s is being worked on by another larder",
				  s->target);
	return s->state_fd < 0 ? mb_err_prefix(err, s->state_fd, "%s", s->dir) :
				 0;
}

/* --- what a killed run left ---------------------------------------------- */

struct intent {
	uint64_t inode;
	char keep_as[NAME_MAX + 1]; /* "": not at all */
};

static int write_intent(struct staging *s, const struct intent *intent,
			struct mb_err *err)
{
	char text[64 + NAME_MAX];
	int len = snprintf(text, sizeof(text), "%llu %s\n",
			   (unsigned long long)intent->inode, intent->keep_as);

	return beneath_write_file(s->state_fd, INTENT,
				  view_of(text, (size_t)len), 0600, err);
}

static bool read_intent(struct staging *s, struct intent *intent)
{
	mb_auto(buf_release) struct buf b = { 0 };
	char *text, *end, *line;

	if (beneath_read_file(s->state_fd, INTENT, 4096, &b, NULL) < 0)
		return false;
	text = strndup((const char *)b.ptr, b.len);
	if (!text)
		return false;
	errno = 0;
	intent->inode = strtoull(text, &end, 10);
	line = strchr(end, '\n');
	if (line)
		*line = '\0';
	snprintf(intent->keep_as, sizeof(intent->keep_as), "%s",
		 *end == ' ' ? end + 1 : "");
	/* a torn or foreign line keeps nothing */
	if (end == text || errno || !line || strchr(intent->keep_as, '/'))
		intent->inode = 0;
	free(text);
	return intent->inode != 0;
}

static bool is_there(int fd, const char *name, struct stat *st)
{
	return beneath_stat(fd, name, st) == 0;
}

static int remove_if_there(int fd, const char *name)
{
	int rc = beneath_remove(fd, name);

	return rc == -ENOENT ? 0 : rc;
}

static int keep_before(struct staging *s, const char *name);

/* See the head of this file. */
static int recover(struct staging *s, struct mb_err *err)
{
	static const char *const passing[] = {
		CLONE,	READY,	       PREVIOUS,    PRUNED,
		INTENT, INTENT ".new", KEPT ".new",
	};
	struct intent intent;
	struct stat target, st;
	int rc = 0;

	if (is_there(s->state_fd, PREVIOUS, &st) &&
	    !is_there(s->dir_fd, s->name, &st))
		rc = beneath_rename_new(s->state_fd, PREVIOUS, s->dir_fd,
					s->name);
	if (rc < 0)
		return failed(rc, _("cannot put back"), s->target, err);
	if (read_intent(s, &intent) && intent.keep_as[0] &&
	    is_there(s->dir_fd, s->name, &target) &&
	    target.st_ino == intent.inode) {
		/* the version before is complete, and was to be kept */
		rc = keep_before(s, intent.keep_as);
	}
	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++) {
		int removed = remove_if_there(s->state_fd, passing[i]);

		rc = rc < 0 ? rc : removed;
	}
	return rc < 0 ? failed(rc, _("cannot clear away"), s->state, err) : 0;
}

/* --- open ---------------------------------------------------------------- */

/* A folder that is mounted there could not change places with another. */
static int check_base(struct staging *s, const struct stat *st,
		      struct mb_err *err)
{
	struct stat above;

	if (!S_ISDIR(st->st_mode))
		return failed(-ENOTDIR, _("no backup can be at"), s->target,
			      err);
	if (fstat(s->dir_fd, &above) == 0 && above.st_dev != st->st_dev)
		return mb_err_set(
			err, -EXDEV,
			"%s is a file system of its own: keep backups in a folder of it instead",
			s->target);
	return 0;
}

static int make_clone(struct staging *s, struct mb_err *err)
{
	struct stat st;
	int rc;

	rc = beneath_make_dir(s->state_fd, CLONE, 0700);
	if (rc == 0)
		rc = s->clone_fd = beneath_open_dir(s->state_fd, CLONE);
	if (rc < 0)
		return failed(rc, _("cannot create"), s->path, err);
	s->has_base = is_there(s->dir_fd, s->name, &st);
	if (!s->has_base)
		rc = beneath_make_dir(s->clone_fd, s->udid, 0700);
	else if ((rc = check_base(s, &st, err)) < 0)
		return rc;
	else
		rc = clone_entry(s->dir_fd, s->name, s->clone_fd, s->udid,
				 CLONE_SHARE, &s->clone);
	if (rc == -ECANCELED)
		return mb_err_set(err, rc, "cancelled");
	return rc < 0 ? failed(rc, _("cannot make a working copy of"),
			       s->target, err) :
			0;
}

int staging_open(struct staging **out, const char *dir, const char *udid,
		 struct mb_err *err)
{
	mb_auto(staging_free) struct staging *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->dir_fd = s->state_fd = s->clone_fd = -1;
	s->udid = strdup(udid);
	s->name = strdup(udid);
	if (!s->udid || !s->name)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = find_dir(&s->dir, dir, err);
	if (rc == 0)
		rc = follow_link(s, err);
	if (rc == 0)
		rc = name_things(s, err);
	if (rc == 0)
		rc = lock_state(s, err);
	if (rc == 0)
		rc = recover(s, err);
	if (rc == 0)
		rc = make_clone(s, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&s);
	return 0;
}

void staging_free(struct staging *s)
{
	if (!s)
		return;
	if (s->clone_fd >= 0)
		close(s->clone_fd);
	if (s->state_fd >= 0) {
		recover(s, NULL);
		/* stays if something is in it: kept versions, or a trouble */
		unlinkat(s->dir_fd, s->state, AT_REMOVEDIR);
		close(s->state_fd);
	}
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->dir);
	free(s->name);
	free(s->udid);
	free(s->state);
	free(s->path);
	free(s->target);
	free(s);
}

int staging_get_fd(const struct staging *s)
{
	return s->clone_fd;
}

const char *staging_get_path(const struct staging *s)
{
	return s->path;
}

const char *staging_get_target(const struct staging *s)
{
	return s->target;
}

bool staging_has_base(const struct staging *s)
{
	return s->has_base;
}

const struct clone_result *staging_get_clone(const struct staging *s)
{
	return &s->clone;
}

/* --- kept versions ------------------------------------------------------- */

/* Names in the order they were kept. */
struct kept {
	char **names;
	size_t count;
};

static void kept_release(struct kept *k)
{
	for (size_t i = 0; i < k->count; i++)
		free(k->names[i]);
	free(k->names);
	*k = (struct kept){ 0 };
}
MB_DEFINE_AUTO_VALUE(struct kept, kept_release)

static int kept_add(struct kept *k, const char *name, size_t len)
{
	char **names = realloc(k->names, (k->count + 1) * sizeof(*names));

	if (!names)
		return -ENOMEM;
	k->names = names;
	names[k->count] = strndup(name, len);
	if (!names[k->count])
		return -ENOMEM;
	k->count++;
	return 0;
}

/* Those of the list that are there; a version that a user took is gone. */
static int kept_read(struct staging *s, struct kept *k)
{
	mb_auto(buf_release) struct buf b = { 0 };
	const char *p, *end;
	int rc = beneath_read_file(s->state_fd, KEPT, KEPT_MAX, &b, NULL);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	p = (const char *)b.ptr;
	end = p + b.len;
	while (rc == 0 && p < end) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((line ? line : end) - p);
		struct stat st;

		/* nothing but a version is ever removed */
		if (line && host_dir_is_version(s->udid, p, len)) {
			rc = kept_add(k, p, len);
			if (rc == 0 &&
			    !is_there(s->dir_fd, k->names[k->count - 1], &st))
				free(k->names[--k->count]);
		}
		p += len + 1;
	}
	return rc;
}

static int kept_write(struct staging *s, const struct kept *k)
{
	mb_auto(buf_release) struct buf b = { 0 };

	if (!k->count)
		return remove_if_there(s->state_fd, KEPT);
	for (size_t i = 0; i < k->count; i++)
		if (buf_add(&b, k->names[i], strlen(k->names[i])) < 0 ||
		    buf_add_u8(&b, '\n') < 0)
			return -ENOMEM;
	return beneath_write_file(s->state_fd, KEPT, view_of(b.ptr, b.len),
				  0600, NULL);
}

/*
 * The version before, where the change of places has left it, becomes
 * DIR/@name; noted first, so that it is never forgotten. Nothing if it is
 * there already.
 */
static int keep_before(struct staging *s, const char *name)
{
	mb_auto(kept_release) struct kept k = { 0 };
	const char *before = PREVIOUS;
	struct stat st;
	int rc;

	if (!is_there(s->state_fd, before, &st))
		before = READY;
	if (!is_there(s->state_fd, before, &st))
		return 0;
	rc = kept_read(s, &k);
	if (rc == 0)
		rc = kept_add(&k, name, strlen(name));
	if (rc == 0)
		rc = kept_write(s, &k);
	if (rc == 0)
		rc = beneath_rename_new(s->state_fd, before, s->dir_fd, name);
	return rc;
}

/*
 * The oldest beyond @keep go: first out of sight, so that what is half
 * removed never looks like a backup.
 */
static int prune(struct staging *s, size_t keep)
{
	mb_auto(kept_release) struct kept k = { 0 };
	int rc = kept_read(s, &k);
	size_t drop = k.count > keep ? k.count - keep : 0;

	for (size_t i = 0; i < drop && rc == 0; i++) {
		rc = beneath_rename_new(s->dir_fd, k.names[i], s->state_fd,
					PRUNED);
		if (rc == 0)
			rc = remove_if_there(s->state_fd, PRUNED);
	}
	if (rc < 0 || !drop)
		return rc;
	for (size_t i = 0; i < drop; i++)
		free(k.names[i]);
	memmove(k.names, k.names + drop, (k.count - drop) * sizeof(*k.names));
	k.count -= drop;
	return kept_write(s, &k);
}

/* "<UDID>-YYYYMMDD-HHMMSS", when the version before was finished, in UTC. */
static int name_version(struct staging *s, char name[NAME_MAX + 1],
			struct mb_err *err)
{
	mb_auto(free) char *status = NULL;
	struct stat st;
	struct tm tm;
	char stamp[32];

	if (asprintf(&status, "%s/Status.plist", s->name) < 0) {
		status = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	if (!is_there(s->dir_fd, status, &st) &&
	    !is_there(s->dir_fd, s->name, &st))
		return failed(-ENOENT, _("cannot find"), s->target, err);
	gmtime_r(&st.st_mtime, &tm);
	for (int again = 0; again < 100; again++) {
		strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
		snprintf(name, NAME_MAX + 1, "%.200s-%s", s->udid, stamp);
		if (!is_there(s->dir_fd, name, &st))
			return 0;
		/* two within a second */
		tm.tm_sec++;
		timegm(&tm);
	}
	return mb_err_set(err, -EEXIST, "cannot name an earlier version of %s",
			  s->target);
}

/* --- commit -------------------------------------------------------------- */

/* The folders change places, or ready takes an empty one. */
static int change_places(struct staging *s)
{
	if (!s->has_base)
		return beneath_rename_new(s->state_fd, READY, s->dir_fd,
					  s->name);
	if (renameat2(s->state_fd, READY, s->dir_fd, s->name,
		      RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	if (renameat(s->dir_fd, s->name, s->state_fd, PREVIOUS) < 0)
		return -errno;
	if (renameat(s->state_fd, READY, s->dir_fd, s->name) < 0) {
		int rc = -errno;

		renameat(s->state_fd, PREVIOUS, s->dir_fd, s->name);
		return rc;
	}
	return 0;
}

static int make_ready(struct staging *s, struct mb_err *err)
{
	mb_auto(free) char *from = NULL;
	int rc = 0;

	if (asprintf(&from, CLONE "/%s", s->udid) < 0) {
		from = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	/* one for all: a sync of each file would take longer than the backup */
	if (syncfs(s->clone_fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = beneath_rename(s->state_fd, from, READY);
	if (rc == 0)
		rc = beneath_sync(s->state_fd);
	return rc < 0 ? failed(rc, _("cannot bring to disk"), s->path, err) : 0;
}

/* The version before: kept or removed, and others pruned. */
static int settle(struct staging *s, int keep, const struct intent *intent)
{
	int rc = 0;

	if (s->has_base && intent->keep_as[0])
		rc = keep_before(s, intent->keep_as);
	if (rc == 0)
		rc = remove_if_there(s->state_fd, READY);
	if (rc == 0)
		rc = remove_if_there(s->state_fd, PREVIOUS);
	if (rc == 0)
		rc = remove_if_there(s->state_fd, INTENT);
	if (rc == 0 && keep >= 0)
		rc = prune(s, (size_t)keep);
	return rc;
}

int staging_commit(struct staging *s, int keep,
		   void (*note)(void *arg, const char *line), void *arg,
		   struct mb_err *err)
{
	struct intent intent = { 0 };
	struct stat st;
	int rc = 0;

	if (s->has_base && keep > 0)
		rc = name_version(s, intent.keep_as, err);
	if (rc == 0)
		rc = make_ready(s, err);
	if (rc < 0)
		return rc;
	if (!is_there(s->state_fd, READY, &st))
		return failed(-ENOENT, _("cannot find"), s->path, err);
	intent.inode = st.st_ino;
	rc = write_intent(s, &intent, err);
	if (rc == 0 && (rc = beneath_sync(s->state_fd)) < 0)
		failed(rc, _("cannot bring to disk"), s->state, err);
	if (rc < 0)
		return rc;
	rc = change_places(s);
	if (rc == 0)
		rc = beneath_sync(s->dir_fd);
	if (rc < 0)
		return failed(rc, _("cannot replace"), s->target, err);
	rc = settle(s, keep, &intent);
	if (rc < 0) {
		struct mb_err why;

		mb_err_set(
			&why, rc,
			"the backup is complete, but not all of the versions before it could be put away: %s",
			strerror(-rc));
		note(arg, why.text);
	}
	return 0;
}
