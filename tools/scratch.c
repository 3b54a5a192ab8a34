/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beneath.h"
#include "workdir.h"

#define MADE "backup"

struct scratch {
	char *parent; /* absolute */
	char *name;   /* of the folder in it */
	char *path;   /* of what is made */
	int parent_fd, lock_fd, made_fd;
};

static int failed(int rc, const char *path, struct mb_err *err)
{
	return mb_err_set(err, rc, "%s: %s", path, strerror(-rc));
}

static int name_things(struct scratch *s, const char *parent, const char *name,
		       struct mb_err *err)
{
	s->parent = realpath(parent, NULL);
	if (!s->parent) {
		int rc = -errno;

		failed(rc, parent, err);
		/* ENOENT would say that there is no backup to read */
		return rc == -ENOENT ? -ENOTDIR : rc;
	}
	if (asprintf(&s->name, ".larder-%s", name) < 0) {
		s->name = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	if (asprintf(&s->path, "%s/%s/" MADE, s->parent, s->name) < 0) {
		s->path = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* The lock, and in it an empty folder. */
static int make_folders(struct scratch *s, struct mb_err *err)
{
	int rc;

	s->parent_fd = open(s->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->parent_fd < 0)
		return failed(-errno, s->parent, err);
	s->lock_fd = workdir_open(s->parent_fd, s->name, err);
	if (s->lock_fd < 0)
		return mb_err_prefix(err, s->lock_fd, "%s", s->parent);
	rc = beneath_remove(s->lock_fd, MADE);
	if (rc == 0 || rc == -ENOENT)
		rc = beneath_make_dir(s->lock_fd, MADE, 0700);
	if (rc == 0)
		rc = s->made_fd = beneath_open_dir(s->lock_fd, MADE);
	return rc < 0 ? failed(rc, s->path, err) : 0;
}

int scratch_open(struct scratch **out, const char *parent, const char *name,
		 struct mb_err *err)
{
	mb_auto(scratch_free) struct scratch *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->parent_fd = s->lock_fd = s->made_fd = -1;
	rc = name_things(s, parent, name, err);
	if (rc == 0)
		rc = make_folders(s, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&s);
	return 0;
}

void scratch_free(struct scratch *s)
{
	if (!s)
		return;
	if (s->made_fd >= 0)
		close(s->made_fd);
	if (s->lock_fd >= 0) {
		/* what stays, the next run removes */
		beneath_remove(s->parent_fd, s->name);
		close(s->lock_fd);
	}
	if (s->parent_fd >= 0)
		close(s->parent_fd);
	free(s->path);
	free(s->name);
	free(s->parent);
	free(s);
}

int scratch_get_fd(const struct scratch *s)
{
	return s->made_fd;
}

const char *scratch_get_path(const struct scratch *s)
{
	return s->path;
}

int scratch_keep(struct scratch *s, const char *name, char **path,
		 struct mb_err *err)
{
	int rc = beneath_sync(s->made_fd);

	if (rc == 0)
		rc = beneath_rename_new(s->lock_fd, MADE, s->parent_fd, name);
	if (rc == 0)
		rc = beneath_sync(s->parent_fd);
	if (rc < 0)
		return mb_err_set(err, rc, "%s/%s: %s", s->parent, name,
				  strerror(-rc));
	return asprintf(path, "%s/%s", s->parent, name) < 0 ?
		       mb_err_set(err, -ENOMEM, "out of memory") :
		       0;
}
