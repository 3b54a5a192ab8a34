/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extract_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cleanup.h"

/*
 * A crafted backup can nest thousands of levels. So many folders above the
 * present one are kept open; those further up are opened again, from below,
 * when the walk comes back to them.
 */
#define OPEN_LEVELS 100

static int no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

static int list_children(struct extract_walk *w, struct extract_folder *f)
{
	uint32_t first, count;
	struct mb_err why;
	int rc = mb_tree_children(w->tree, f->node, &first, &count, &why);

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		if (w->lost)
			w->lost(w->arg, f->node, why.text);
		return 0;
	}
	f->next = first;
	f->end = first + count;
	return 0;
}

static int identify(struct extract_folder *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

static void close_far_above(struct extract_walk *w)
{
	struct extract_folder *f = w->innermost;

	if (w->depth <= OPEN_LEVELS)
		return;
	for (unsigned i = 0; i < OPEN_LEVELS; i++)
		f = f->above;
	/* the root's is the caller's */
	if (!f->above || f->jobs || f->fd < 0)
		return;
	close(f->fd);
	f->fd = -1;
}

/* The folder above, from below; it has to be the same one. */
static int open_again(struct extract_folder *f,
		      const struct extract_folder *below, struct mb_err *err)
{
	struct extract_folder now = { 0 };

	if (f->fd >= 0)
		return 0;
	now.fd = openat(below->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (now.fd < 0)
		return mb_err_set(err, -errno, "a folder above: %s",
				  strerror(errno));
	if (identify(&now) < 0 || now.dev != f->dev || now.ino != f->ino) {
		close(now.fd);
		return mb_err_set(err, -ESTALE,
				  "somebody moves folders meanwhile");
	}
	f->fd = now.fd;
	return 0;
}

/* Folders of which nothing is left to do, and those above whose last it was. */
static void finish_folders(struct extract_walk *w, struct extract_folder *f)
{
	while (f && f->left && !f->jobs && !f->below) {
		struct extract_folder *above = f->above;

		if (w->done && f->fd >= 0)
			w->done(w->arg, f);
		if (above) {
			/* it may be done next; if it cannot be opened, it
			 * goes without its time */
			if (above->left && f->fd >= 0)
				open_again(above, f, NULL);
			if (f->fd >= 0)
				close(f->fd);
			above->below--;
		}
		free(f);
		f = above;
	}
}

static int leave(struct extract_walk *w, struct mb_err *err)
{
	struct extract_folder *f = w->innermost;
	int rc = f->above ? open_again(f->above, f, err) : 0;

	w->innermost = f->above;
	/* something far below is not done yet: from there it is opened again */
	if (f->below && !f->jobs && f->above && w->depth > OPEN_LEVELS) {
		close(f->fd);
		f->fd = -1;
	}
	w->depth--;
	f->left = true;
	finish_folders(w, f);
	return rc;
}

static int enter(struct extract_walk *w, uint32_t node, struct mb_err *err)
{
	struct extract_folder *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return no_memory(err);
	f->above = w->innermost;
	f->node = node;
	f->fd = -1;
	rc = w->open(w->arg, f, mb_tree_get_name(w->tree, node), err);
	if (rc) {
		free(f);
		return rc < 0 ? rc : 0;
	}
	rc = f->dev || f->ino ? 0 : identify(f);
	if (rc == 0)
		rc = list_children(w, f);
	if (rc < 0) {
		close(f->fd);
		free(f);
		return rc == -ENOMEM ? no_memory(err) :
				       mb_err_set(err, rc, "%s", strerror(-rc));
	}
	f->above->below++;
	w->innermost = f;
	w->depth++;
	close_far_above(w);
	return 0;
}

int extract_walk_begin(struct extract_walk *w, int fd, struct mb_err *err)
{
	struct extract_folder *root = calloc(1, sizeof(*root));
	int rc;

	if (!root)
		return no_memory(err);
	root->node = MB_ROOT;
	root->fd = fd;
	rc = identify(root);
	if (rc == 0)
		rc = list_children(w, root);
	if (rc < 0) {
		free(root);
		return mb_err_set(err, rc, "%s", strerror(-rc));
	}
	w->innermost = root;
	w->depth = 1;
	return 0;
}

int extract_walk_next(struct extract_walk *w, struct extract_folder **folder,
		      uint32_t *node, struct mb_err *err)
{
	while (w->innermost) {
		struct extract_folder *f = w->innermost;
		uint32_t child = f->next;
		int rc = 0;

		if (child == f->end) {
			rc = leave(w, err);
		} else {
			f->next++;
			if (!extract_plan_has(w->plan, child))
				continue;
			if (mb_tree_get_type(w->tree, child) != MB_DIR) {
				f->jobs++;
				*folder = f;
				*node = child;
				return 1;
			}
			rc = enter(w, child, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

void extract_walk_release(struct extract_walk *w, struct extract_folder *folder)
{
	folder->jobs--;
	finish_folders(w, folder);
}

void extract_walk_end(struct extract_walk *w)
{
	w->done = NULL;
	while (w->innermost) {
		struct extract_folder *f = w->innermost;

		w->innermost = f->above;
		f->left = true;
		finish_folders(w, f);
	}
}
