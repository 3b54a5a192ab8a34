/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tree of the file system beside the backup that it came from. Each entry is
 * looked up in the base's tree by its place, so it is found again whatever its
 * name had to be shown as; what is not there is new.
 */
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source_inside.h"

/* What new files have if nothing is near: of the user "mobile", class 3. */
static const struct neighbour stranger = { 501, 501, 3 };

/* A folder that is being walked through. */
struct folder {
	struct folder *above; /* NULL: the root; borrowed */
	uint32_t node;	      /* in the base's tree; 0: it has none */
	struct identity identity;
	bool identified;
	struct neighbour neighbour;
	bool asked; /* for the neighbour */
	/* it has the attributes of its record: what lies in it was not put
	 * there by moving or mounting another folder */
	bool trusted;
	/* its own entry, while nothing below it is listed */
	struct source_entry entry;
	bool pending;
};

/* Names of one file share an inode number, which an edited one may not. */
struct inode_use {
	uint64_t domain; /* hash */
	uint64_t inode;
	size_t entry; /* number, or NOBODY if it is kept or left out */
};
#define NOBODY SIZE_MAX

struct walk {
	struct source *s;
	FTS *fts;
	struct selection *selection;
	const struct source_observer *observer;
	struct mb_record rec;  /* of the entry at hand */
	struct mb_record near; /* of a neighbour */
	struct node_set seen;
	struct inode_use *uses;
	size_t use_count, use_cap;
	uint64_t inode_max;
};

static int no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

static void odd(const struct walk *w, const char *path, const char *line)
{
	if (w->observer->odd)
		w->observer->odd(w->observer->arg, path, line);
}

/* --- what an entry is ---------------------------------------------------- */

/* "parent/name" as a path of the phone; the caller frees it. */
static char *join(struct mb_slice parent, const char *name, size_t *len)
{
	size_t name_len = strlen(name), slash = parent.len ? 1 : 0;
	char *path = malloc(parent.len + slash + name_len + 1);

	if (!path)
		return NULL;
	if (parent.len)
		memcpy(path, parent.ptr, parent.len);
	if (slash)
		path[parent.len] = '/';
	memcpy(path + parent.len + slash, name, name_len + 1);
	*len = parent.len + slash + name_len;
	return path;
}

static struct mb_slice slice_of(const struct buf *b)
{
	return (struct mb_slice){ (const char *)b->ptr, b->len };
}

/* What is behind the last slash, if @above is what is before it. */
static bool last_component(struct mb_slice path, struct mb_slice above,
			   struct mb_slice *last)
{
	size_t front = above.len ? above.len + 1 : 0;

	if (path.len <= front ||
	    !mb_slice_equal((struct mb_slice){ path.ptr, above.len }, above))
		return false;
	*last = (struct mb_slice){ path.ptr + front, path.len - front };
	return true;
}

/* Two of one name have got different endings. */
static bool is_shown_as(struct mb_slice component, const char *name)
{
	char shown[MB_SHOWN_MAX + 1];
	size_t len;

	mb_shown_name(shown, component);
	len = strlen(shown);
	return !strncmp(shown, name, len) && (!name[len] || name[len] == '%');
}

/*
 * Without a base, the attributes of a copy tell what stood behind a name that
 * had to be escaped; other names say it themselves, and may have been changed.
 */
static bool escaped_identity(struct identity *id, const struct folder *above,
			     const FTSENT *e, int *rc)
{
	mb_auto(buf_release) struct buf domain = { 0 }, path = { 0 };
	struct mb_slice last;

	if (!strchr(e->fts_name, '%') ||
	    !source_get_text(e->fts_path, "domain", &domain) ||
	    !source_get_text(e->fts_path, "path", &path))
		return false;
	if (e->fts_level == 1) {
		last = slice_of(&domain);
		if (path.len)
			return false;
	} else if (!mb_slice_equal(above->identity.domain, slice_of(&domain)) ||
		   !last_component(slice_of(&path), above->identity.path,
				   &last)) {
		return false;
	}
	if (!is_shown_as(last, e->fts_name))
		return false;
	*rc = identity_set(id, slice_of(&domain), slice_of(&path));
	return true;
}

/* Of an entry that the base does not have; 1: it cannot be told. */
static int new_identity(struct walk *w, struct identity *id,
			const struct folder *above, const FTSENT *e)
{
	char *path;
	size_t len;
	int rc = 0;

	if (!w->s->base && escaped_identity(id, above, e, &rc))
		return rc;
	if (e->fts_level == 1 && w->s->view == MB_VIEW_DOMAINS)
		return identity_set(id, mb_slice_of(e->fts_name),
				    mb_slice_of(""));
	if (!above->identified)
		return 1;
	path = join(above->identity.path, e->fts_name, &len);
	if (!path)
		return -ENOMEM;
	rc = identity_set(id, above->identity.domain,
			  (struct mb_slice){ path, len });
	free(path);
	return rc;
}

/*
 * identify - node, record and identity of an entry
 * @node: 0 if the base has none at this place
 * @recorded: w->rec is its record
 *
 * Returns 0; 1 if there is no telling what it would be on a phone.
 */
static int identify(struct walk *w, const struct folder *above, const FTSENT *e,
		    uint32_t *node, bool *recorded, struct identity *id,
		    struct mb_err *err)
{
	int rc;

	*node = 0;
	*recorded = false;
	if (above->node && mb_tree_lookup(w->s->tree, above->node, e->fts_name,
					  e->fts_namelen, node, NULL) == 0) {
		if (node_set_add(&w->seen, *node) < 0)
			return no_memory(err);
		rc = source_record(w->s, *node, &w->rec, err);
		if (rc < 0)
			return rc;
		*recorded = rc == 0;
		if (!w->rec.domain.ptr)
			return 1; /* "/private" of the view of a device */
		rc = identity_set(id, w->rec.domain, w->rec.path);
	} else {
		rc = new_identity(w, id, above, e);
	}
	return rc < 0 ? no_memory(err) : rc;
}

/* --- neighbours ---------------------------------------------------------- */

/* The first file of a folder of the base, whose kind the new ones will be. */
static bool ask_siblings(struct walk *w, uint32_t node, struct neighbour *out)
{
	uint32_t first, count;

	if (mb_tree_children(w->s->tree, node, &first, &count, NULL) < 0)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (mb_tree_get_type(w->s->tree, first + i) != MB_FILE ||
		    source_record(w->s, first + i, &w->near, NULL) != 0 ||
		    w->near.damage || !w->near.protection_class)
			continue;
		*out = (struct neighbour){ w->near.uid, w->near.gid,
					   w->near.protection_class };
		return true;
	}
	return false;
}

static const struct neighbour *ask_neighbours(struct walk *w, struct folder *f)
{
	if (f->asked)
		return &f->neighbour;
	f->asked = true;
	f->neighbour = f->above ? *ask_neighbours(w, f->above) : stranger;
	if (!f->node || ask_siblings(w, f->node, &f->neighbour))
		return &f->neighbour;
	if (source_record(w->s, f->node, &w->near, NULL) == 0 &&
	    !w->near.damage) {
		f->neighbour.uid = w->near.uid;
		f->neighbour.gid = w->near.gid;
		if (w->near.protection_class)
			f->neighbour.protection_class =
				w->near.protection_class;
	}
	return &f->neighbour;
}

static void read_number(const char *file, const char *name, uint32_t *out)
{
	mb_auto(buf_release) struct buf text = { 0 };
	unsigned long long value;
	char *end;

	if (!source_get_text(file, name, &text))
		return;
	value = strtoull((char *)text.ptr, &end, 10);
	if (end != (char *)text.ptr && !*end && value <= UINT32_MAX)
		*out = (uint32_t)value;
}

/* What was moved or copied brings its owner and class along. */
static void read_owner(const char *file, struct neighbour *n)
{
	uint32_t class = n->protection_class;

	read_number(file, "uid", &n->uid);
	read_number(file, "gid", &n->gid);
	read_number(file, "protection-class", &class);
	if (class && class <= UINT8_MAX)
		n->protection_class = (uint8_t) class;
}

/* --- what has changed ---------------------------------------------------- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static enum mb_type type_of(const FTSENT *e)
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

/*
 * Do the attributes of a mount that an entry shows name its own record? A
 * folder that was moved as a whole, or mounted over another, brings along what
 * is in it, with all its times.
 */
static bool is_marked(const struct walk *w, const FTSENT *e)
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
	return above->trusted || (type == MB_FILE && is_marked(w, e));
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

static int list(struct walk *w, struct source_entry entry,
		struct mb_slice domain, int64_t size, ssize_t *number)
{
	*number = source_add(w->s, entry, domain, size);
	return *number < 0 ? -ENOMEM : 0;
}

/* The folders that lead to an entry which is listed. */
static int list_above(struct walk *w, FTSENT *e)
{
	for (FTSENT *up = e->fts_parent; up && up->fts_level >= 1;
	     up = up->fts_parent) {
		struct folder *f = up->fts_pointer;
		ssize_t number;

		if (!f->pending)
			continue;
		f->pending = false;
		if (list(w, f->entry, f->identity.domain, 0, &number) < 0)
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
		fresh->neighbour = *ask_neighbours(w, above);
		read_owner(e->fts_path, &fresh->neighbour);
	}
	return fresh;
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

/* How an entry is beside the base; 1: as a folder there without a record. */
static int classify(struct walk *w, const FTSENT *e, bool recorded,
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

/* Into the list, or into the folder that waits for something below it. */
static int enter(struct walk *w, FTSENT *e, struct source_entry entry,
		 struct mb_slice domain, bool selected, struct folder *own,
		 size_t *number)
{
	ssize_t n;

	if (!selected) {
		own->entry = entry;
		own->pending = true;
		return 0;
	}
	if (list_above(w, e) < 0 ||
	    list(w, entry, domain, e->fts_statp->st_size, &n) < 0)
		return -ENOMEM;
	*number = (size_t)n;
	return 0;
}

static void folder_free(struct folder *f)
{
	if (!f)
		return;
	identity_release(&f->identity);
	if (f->pending && f->entry.fresh) {
		identity_release(&f->entry.fresh->identity);
		free(f->entry.fresh->file);
		free(f->entry.fresh);
	}
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
		f->trusted = identified && is_marked(w, e);
	} else if (above) {
		ask_neighbours(w, f);
		read_owner(e->fts_path, &f->neighbour);
	}
	return f;
}

static const char *unfit(const struct walk *w, const FTSENT *e,
			 enum mb_type type)
{
	if (!type)
		return "left out: neither file nor folder nor link";
	if (e->fts_level != 1 || w->s->view != MB_VIEW_DOMAINS)
		return NULL;
	/* where desktops keep what was deleted, and their own notes; a domain
	 * that begins with a dot is shown otherwise */
	return type != MB_DIR || e->fts_name[0] == '.' ?
		       "left out: not in a domain" :
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
	int rc = classify(w, e, recorded, entry, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (entry->change != SOURCE_KEPT) {
		entry->fresh = make_fresh(w, above, e, id, replaces);
		if (!entry->fresh)
			return no_memory(err);
	} else {
		source_check(w->s, w->observer, entry->node, &w->rec);
	}
	rc = enter(w, e, *entry,
		   entry->fresh ? entry->fresh->identity.domain : id->domain,
		   selected, own, &number);
	if (rc == 0 && replaces && entry->type == MB_FILE)
		rc = note_inode(w, entry->fresh ? number : NOBODY);
	return rc < 0 ? no_memory(err) : 0;
}

/* A file, link, or a folder before what is in it. */
static int visit(struct walk *w, FTSENT *e, struct mb_err *err)
{
	mb_auto(identity_release) struct identity id = { 0 };
	struct folder *own = NULL; /* kept in the entry */
	struct folder *above = e->fts_parent->fts_pointer;
	struct source_entry entry = { .type = (uint8_t)type_of(e) };
	const char *why = unfit(w, e, entry.type);
	bool recorded, known, selected;
	int rc;

	if (why) {
		odd(w, e->fts_path, why);
		fts_set(w->fts, e, FTS_SKIP);
		return 0;
	}
	rc = identify(w, above, e, &entry.node, &recorded, &id, err);
	if (rc < 0)
		return rc;
	known = rc == 0;
	if (entry.type == MB_DIR) {
		own = folder_new(w, above, e, entry.node, &id, known);
		e->fts_pointer = own;
		if (!own)
			return no_memory(err);
	}
	if (!known && !(entry.node && own))
		odd(w, e->fts_path, "left out: no domain is at this place");
	selected = known && selection_has(w->selection, id.domain, id.path);
	rc = 0;
	if (selected || (known && own))
		rc = take(w, e, &entry, recorded, &id, selected, own, err);
	else if (known && recorded && note_inode(w, NOBODY) < 0)
		rc = no_memory(err);
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
	if (!node_set_has(&w->seen, shown))
		w->s->totals.removed++;
	else if (source_add(w->s, entry, w->rec.domain, 0) < 0)
		return no_memory(err);
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
	return f ? 0 : no_memory(err);
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
