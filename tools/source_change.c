/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How an entry of a tree differs from the record that it came from. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "source_walk.h"

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

enum mb_type walk_type_of(const FTSENT *e)
{
	switch (e->fts_info) {
	case FTS_D:
		return MB_DIR;
	case FTS_F:
		return MB_FILE;
	case FTS_SL:
	case FTS_SLNONE:
		return MB_LINK;
	default:
		return 0;
	}
}

static int same_target(const struct mb_record *rec, const char *file,
		       struct mb_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlink(file, target, sizeof(target));

	if (n < 0)
		return source_failed(err, -errno, file);
	return mb_slice_equal(rec->target,
			      (struct mb_slice){ target, (size_t)n });
}

/* 1, 0, or an error; folders have no content of their own. */
static int content_is_same(struct walk *w, const FTSENT *e, enum mb_type type,
			   struct mb_err *err)
{
	switch (type) {
	case MB_FILE:
		return same_content(w->s->base, &w->rec, e->fts_path,
				    e->fts_statp->st_size,
				    w->observer->cancelled, err);
	case MB_LINK:
		return same_target(&w->rec, e->fts_path, err);
	default:
		return 1;
	}
}

bool walk_is_marked(const struct walk *w, const FTSENT *e)
{
	mb_auto(buf_release) struct buf domain = { 0 }, path = { 0 };

	return source_get_text(e->fts_path, "domain", &domain) &&
	       source_get_text(e->fts_path, "path", &path) &&
	       mb_slice_equal(w->rec.domain, slice_of(&domain)) &&
	       mb_slice_equal(w->rec.path, slice_of(&path));
}

static bool is_untouched(const struct walk *w, const FTSENT *e,
			 enum mb_type type)
{
	const struct folder *above = e->fts_parent->fts_pointer;

	if (!same_time(e->fts_statp->st_ctim, w->rec.ctime))
		return false;
	/* a folder was asked already; links have no attributes */
	if (type == MB_DIR)
		return ((struct folder *)e->fts_pointer)->trusted;
	return above->trusted || (type == MB_FILE && walk_is_marked(w, e));
}

/*
 * compare - an entry with its record, which has the same type
 *
 * A mount shows the recorded time of change, and nobody can set this time: who
 * still has it, at its own place, was never written to. Otherwise everything is
 * compared.
 *
 * Returns an enum source_change, or an error.
 */
static int compare(struct walk *w, const FTSENT *e, enum mb_type type,
		   struct mb_err *err)
{
	const struct stat *st = e->fts_statp;
	struct attributes a = { 0 };
	int rc;

	if (is_untouched(w, e, type))
		return SOURCE_KEPT;
	rc = content_is_same(w, e, type, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return SOURCE_CHANGED;
	if (!same_time(st->st_mtim, w->rec.mtime))
		return SOURCE_TOUCHED;
	if (type == MB_LINK)
		return SOURCE_KEPT; /* no mode, no attributes of users */
	if (source_permissions(w->s, st, &w->rec) != (w->rec.mode & 07777))
		return SOURCE_TOUCHED;
	rc = attributes_read(&a, e->fts_path, &w->rec, err);
	if (rc == 0)
		rc = attributes_equal(&a, &w->rec) ? SOURCE_KEPT :
						     SOURCE_TOUCHED;
	attributes_release(&a);
	return rc;
}

/*
 * A folder that has no record, as the mount makes it up: 1; 0 once somebody
 * has changed it, so that it needs one.
 */
static int made_up_is_same(struct walk *w, const FTSENT *e, uint32_t node,
			   struct mb_err *err)
{
	struct attributes a = { 0 };
	struct mb_record none = { 0 };
	struct mb_stat shown;
	int rc = mb_tree_stat(w->s->tree, node, &shown, err);

	if (rc < 0)
		return rc;
	none.mode = shown.permissions;
	if (!same_time(e->fts_statp->st_mtim, shown.mtime) ||
	    source_permissions(w->s, e->fts_statp, &none) != shown.permissions)
		return 0;
	rc = attributes_read(&a, e->fts_path, NULL, err);
	if (rc == 0)
		rc = !a.count;
	attributes_release(&a);
	return rc;
}

int walk_classify(struct walk *w, const FTSENT *e, bool recorded,
		  struct source_entry *entry, struct mb_err *err)
{
	int rc;

	entry->change = SOURCE_ADDED;
	if (!entry->node)
		return 0;
	if (!recorded && entry->type == MB_DIR) {
		rc = made_up_is_same(w, e, entry->node, err);
		entry->node = 0;
		return rc;
	}
	/* another type in the same place is a new entry in place of the old */
	entry->change = SOURCE_CHANGED;
	if (!recorded || w->rec.type != entry->type) {
		entry->node = 0;
		return 0;
	}
	rc = compare(w, e, entry->type, err);
	if (rc >= 0)
		entry->change = (uint8_t)rc;
	return rc < 0 ? rc : 0;
}
