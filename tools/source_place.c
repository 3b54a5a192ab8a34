/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an entry of a tree is, its place says. Each is looked up in the base's
 * tree, so it is found again whatever its name had to be shown as; what is not
 * there is new, and as its neighbours are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source_walk.h"

/* What new files have if nothing is near: of the user "mobile", class 3. */
static const struct neighbour stranger = { 501, 501, 3 };

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

int walk_identify(struct walk *w, const struct folder *above, const FTSENT *e,
		  uint32_t *node, bool *recorded, struct identity *id,
		  struct mb_err *err)
{
	int rc;

	*node = 0;
	*recorded = false;
	if (above->node && mb_tree_lookup(w->s->tree, above->node, e->fts_name,
					  e->fts_namelen, node, NULL) == 0) {
		if (node_set_add(&w->seen, *node) < 0)
			return walk_no_memory(err);
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
	return rc < 0 ? walk_no_memory(err) : rc;
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

const struct neighbour *walk_ask_neighbours(struct walk *w, struct folder *f)
{
	if (f->asked)
		return &f->neighbour;
	f->asked = true;
	f->neighbour = f->above ? *walk_ask_neighbours(w, f->above) : stranger;
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

void walk_read_owner(const char *file, struct neighbour *n)
{
	uint32_t class = n->protection_class;

	read_number(file, "uid", &n->uid);
	read_number(file, "gid", &n->gid);
	read_number(file, "protection-class", &class);
	if (class && class <= UINT8_MAX)
		n->protection_class = (uint8_t) class;
}
