/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scan of a tree of the file system, beside the backup that it came from:
 * each entry once, then what the tree lacks.
 */
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source_walk.h"

/* Names of one file share an inode number, which an edited one may not. */
struct inode_use {
	uint64_t domain; /* hash */
	uint64_t inode;
	size_t entry; /* number, or NOBODY if it is kept or left out */
};
#define NOBODY SIZE_MAX

static void odd(const struct walk *w, const char *path, const char *line)
{
	if (w->observer->odd)
		w->observer->odd(w->observer->arg, path, line);
}

/* --- the list of entries ------------------------------------------------- */

static int note_inode(struct walk *w, size_t entry)
{
	struct inode_use *p = w->uses;

	if (w->rec.inode > w->inode_max)
		w->inode_max = w->rec.inode;
	if (!w->rec.inode)
		return 0;
	if (w->use_count == w->use_cap) {
		w->use_cap = w->use_cap ? 2 * w->use_cap : 256;
		p = reallocarray(p, w->use_cap, sizeof(*p));
		if (!p)
			return -ENOMEM;
		w->uses = p;
	}
	p[w->use_count++] = (struct inode_use){ hash_of(w->rec.domain),
						w->rec.inode, entry };
	return 0;
}

/* The folders that lead to an entry which is listed. */
static int list_above(struct walk *w, FTSENT *e)
{
	for (FTSENT *up = e->fts_parent; up && up->fts_level >= 1;
	     up = up->fts_parent) {
		struct folder *f = up->fts_pointer;

		if (!f->pending)
			continue;
		f->pending = false;
		if (source_add(w->s, f->entry, &f->identity, 0) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What is not the base's has to say all itself. */
static struct source_new *make_fresh(struct walk *w, struct folder *above,
				     const FTSENT *e, struct identity *id,
				     bool recorded)
{
	struct source_new *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return NULL;
	fresh->file = strdup(e->fts_path);
	if (!fresh->file) {
		free(fresh);
		return NULL;
	}
	fresh->identity = *id;
	*id = (struct identity){ 0 };
	if (recorded) {
		fresh->neighbour =
			(struct neighbour){ w->rec.uid, w->rec.gid,
					    w->rec.protection_class };
	} else {
		fresh->neighbour = *walk_ask_neighbours(w, above);
		walk_read_owner(e->fts_path, &fresh->neighbour);
	}
	return fresh;
}

/* Into the list, or into the folder that waits for something below it. */
static int enter(struct walk *w, FTSENT *e, struct source_entry entry,
		 const struct identity *id, bool selected, struct folder *own,
		 size_t *number)
{
	ssize_t n;

	if (!selected) {
		own->entry = entry;
		own->pending = true;
		return 0;
	}
	if (list_above(w, e) < 0)
		return -ENOMEM;
	n = source_add(w->s, entry, id, e->fts_statp->st_size);
	*number = (size_t)n;
	return n < 0 ? -ENOMEM : 0;
}

static void folder_free(struct folder *f)
{
	if (!f)
		return;
	identity_release(&f->identity);
	if (f->pending)
		source_new_free(f->entry.fresh);
	free(f);
}

MB_DEFINE_AUTO_VALUE(struct identity, identity_release)

static struct folder *folder_new(struct walk *w, struct folder *above,
				 const FTSENT *e, uint32_t node,
				 const struct identity *id, bool identified)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->above = above;
	f->node = node;
	f->identified = identified;
	if (identified &&
	    identity_set(&f->identity, id->domain, id->path) < 0) {
		folder_free(f);
		return NULL;
	}
	if (node) {
		f->trusted = identified && walk_is_marked(w, e);
	} else if (above) {
		walk_ask_neighbours(w, f);
		walk_read_owner(e->fts_path, &f->neighbour);
	}
	return f;
}

static const char *unfit(const struct walk *w, const FTSENT *e,
			 enum mb_type type)
{
	if (!type)
		return _("left out: neither file nor folder nor link");
	if (e->fts_level != 1 || w->s->view != MB_VIEW_DOMAINS)
		return NULL;
	/* where desktops keep what was deleted, and their own notes; a domain
	 * that begins with a dot is shown otherwise */
	return type != MB_DIR || e->fts_name[0] == '.' ?
		       _("left out: not in a domain") :
		       NULL;
}

/* An entry that is known, and meant, or a folder that may be needed. */
static int take(struct walk *w, FTSENT *e, struct source_entry *entry,
		bool recorded, struct identity *id, bool selected,
		struct folder *own, struct mb_err *err)
{
	struct folder *above = e->fts_parent->fts_pointer;
	bool replaces = recorded && w->rec.type == entry->type;
	size_t number = NOBODY;
	int rc = walk_classify(w, e, recorded, entry, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (entry->change != SOURCE_KEPT) {
		entry->fresh = make_fresh(w, above, e, id, replaces);
		if (!entry->fresh)
			return walk_no_memory(err);
	} else {
		source_check(w->s, w->observer, entry->node, &w->rec);
	}
	rc = enter(w, e, *entry, entry->fresh ? &entry->fresh->identity : id,
		   selected, own, &number);
	if (rc == 0 && replaces && entry->type == MB_FILE)
		rc = note_inode(w, entry->fresh ? number : NOBODY);
	return rc < 0 ? walk_no_memory(err) : 0;
}

/* A file, link, or a folder before what is in it. */
static int visit(struct walk *w, FTSENT *e, struct mb_err *err)
{
	mb_auto(identity_release) struct identity id = { 0 };
	struct folder *own = NULL; /* kept in the entry */
	struct folder *above = e->fts_parent->fts_pointer;
	struct source_entry entry = { .type = (uint8_t)walk_type_of(e) };
	const char *why = unfit(w, e, entry.type);
	bool recorded, known, selected;
	int rc;

	if (why) {
		odd(w, e->fts_path, why);
		fts_set(w->fts, e, FTS_SKIP);
		return 0;
	}
	rc = walk_identify(w, above, e, &entry.node, &recorded, &id, err);
	if (rc < 0)
		return rc;
	known = rc == 0;
	if (entry.type == MB_DIR) {
		own = folder_new(w, above, e, entry.node, &id, known);
		e->fts_pointer = own;
		if (!own)
			return walk_no_memory(err);
	}
	if (!known && !(entry.node && own))
		odd(w, e->fts_path, _("left out: no domain is at this place"));
	selected = known && selection_has(w->selection, id.domain, id.path);
	rc = 0;
	if (selected || (known && own))
		rc = take(w, e, &entry, recorded, &id, selected, own, err);
	else if (known && recorded && note_inode(w, NOBODY) < 0)
		rc = walk_no_memory(err);
	return rc;
}

/* --- what is missing, and what needs a number of its own ------------------ */

static int look_for_removed(void *arg, uint32_t node, struct mb_err *err)
{
	struct walk *w = arg;
	int rc;

	if (node_set_has(&w->seen, node) ||
	    mb_tree_is_made_up(w->s->tree, node))
		return 0;
	rc = source_record(w->s, node, &w->rec, err);
	if (rc == 0 && selection_has(w->selection, w->rec.domain, w->rec.path))
		w->s->totals.removed++;
	return rc < 0 ? rc : 0;
}

/*
 * Where domains share a folder of the device, one record of it is shown. The
 * others stay as long as the folder is there.
 */
static int look_for_hidden(void *arg, uint32_t node, struct mb_err *err)
{
	struct walk *w = arg;
	struct source_entry entry = { .node = node,
				      .change = SOURCE_KEPT,
				      .type = MB_DIR,
				      .hidden = true };
	struct identity id; /* borrowed from the record */
	uint32_t shown;
	int rc;

	if (mb_tree_get_type(w->s->by_domain, node) != MB_DIR ||
	    mb_tree_is_made_up(w->s->by_domain, node))
		return 0;
	rc = mb_tree_record(w->s->by_domain, node, &w->rec, err);
	if (rc < 0)
		return rc;
	if (mb_tree_find(w->s->tree, w->rec.domain, w->rec.path, &shown, NULL) <
	    0)
		return 0;
	rc = source_record(w->s, shown, &w->near, err);
	if (rc < 0)
		return rc;
	if (rc == 0 && mb_slice_equal(w->near.domain, w->rec.domain) &&
	    mb_slice_equal(w->near.path, w->rec.path))
		return 0; /* it is the one */
	if (!selection_has(w->selection, w->rec.domain, w->rec.path))
		return 0;
	id = (struct identity){ w->rec.domain, w->rec.path };
	if (!node_set_has(&w->seen, shown))
		w->s->totals.removed++;
	else if (source_add(w->s, entry, &id, 0) < 0)
		return walk_no_memory(err);
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct inode_use *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return (x->inode > y->inode) - (x->inode < y->inode);
}

static bool same_inode(const struct walk *w, size_t i, size_t j)
{
	return j < w->use_count && by_inode(&w->uses[i], &w->uses[j]) == 0;
}

/* An edited name of a file with several is another file from now on. */
static void number_inodes(struct walk *w)
{
	if (w->use_count)
		qsort(w->uses, w->use_count, sizeof(*w->uses), by_inode);
	for (size_t i = 0; i < w->use_count; i++) {
		size_t entry = w->uses[i].entry;

		if (entry != NOBODY &&
		    ((i && same_inode(w, i, i - 1)) || same_inode(w, i, i + 1)))
			w->s->entries[entry].fresh->inode = ++w->inode_max;
	}
	for (size_t i = 0; i < w->s->count; i++) {
		struct source_entry *e = &w->s->entries[i];

		if (e->fresh && !e->node)
			e->fresh->inode = ++w->inode_max;
	}
}

/* --- the walk ------------------------------------------------------------ */

static int by_fts_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int step(struct walk *w, FTSENT *e, struct mb_err *err)
{
	if (w->observer->cancelled && w->observer->cancelled())
		return mb_err_set(err, -ECANCELED, "cancelled");
	switch (e->fts_info) {
	case FTS_DP:
		folder_free(e->fts_pointer);
		e->fts_pointer = NULL;
		return 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return source_failed(err, -(e->fts_errno ? e->fts_errno : EIO),
				     e->fts_path);
	default:
		return e->fts_level >= 1 ? visit(w, e, err) : 0;
	}
}

static int plant_root(struct walk *w, FTSENT *e, struct mb_err *err)
{
	struct identity none = { 0 };
	struct folder *f =
		folder_new(w, NULL, e, w->s->base ? MB_ROOT : 0, &none, false);

	e->fts_pointer = f;
	return f ? 0 : walk_no_memory(err);
}

static int walk_tree(struct walk *w, struct mb_err *err)
{
	FTSENT *e = NULL;
	int rc = 0;

	while (rc == 0 && (errno = 0, e = fts_read(w->fts))) {
		if (e->fts_level == FTS_ROOTLEVEL && e->fts_info == FTS_D)
			rc = plant_root(w, e, err);
		else
			rc = step(w, e, err);
	}
	if (rc == 0 && errno)
		rc = mb_err_set(err, -errno, "%s: %s", w->s->path,
				strerror(errno));
	/* what a walk that was broken off leaves; above the root is nothing */
	for (; e && e->fts_level >= FTS_ROOTLEVEL; e = e->fts_parent) {
		folder_free(e->fts_pointer);
		e->fts_pointer = NULL;
	}
	return rc;
}

int source_scan_tree(struct source *s, struct selection *selection,
		     const struct source_observer *observer, struct mb_err *err)
{
	struct walk w = { .s = s,
			  .selection = selection,
			  .observer = observer };
	char *roots[] = { s->path, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_fts_name);
	int rc;

	if (!fts)
		return mb_err_set(err, -errno, "%s: %s", s->path,
				  strerror(errno));
	w.fts = fts;
	rc = walk_tree(&w, err);
	fts_close(fts);
	if (rc == 0 && s->base)
		rc = source_each_node(s->tree, MB_ROOT, look_for_removed, &w,
				      err);
	if (rc == 0 && s->by_domain)
		rc = source_each_node(s->by_domain, MB_ROOT, look_for_hidden,
				      &w, err);
	if (rc == 0)
		number_inodes(&w);
	free(w.seen.bits);
	free(w.uses);
	mb_record_release(&w.rec);
	mb_record_release(&w.near);
	return rc;
}
