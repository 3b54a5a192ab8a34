/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums and attributes. */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cleanup.h"
#include "shelf_inside.h"

/* The next open volume behind number @after, until shelf_put; NULL at the end. */
static struct shelf_volume *next_open(struct shelf *s, uint32_t after)
{
	struct shelf_volume *best = NULL;

	pthread_mutex_lock(&s->lock);
	for (struct shelf_volume *v = s->volumes; v; v = v->next)
		if (v->state == SHELF_OPEN && !v->gone &&
		    v->base.number > after &&
		    (!best || v->base.number < best->base.number))
			best = v;
	if (best)
		best->users++;
	pthread_mutex_unlock(&s->lock);
	return best;
}

/* Of a backup what a mount of it alone says; above, the sum of what is open. */
void shelf_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct shelf *s = shelf_of(req);
	struct statvfs st = { .f_bsize = FS_BLOCK_SIZE,
			      .f_frsize = FS_BLOCK_SIZE,
			      .f_namemax = 255 };
	struct shelf_volume *v;

	for (uint32_t at = 0; (v = next_open(s, at));) {
		struct mb_totals t = { 0 };

		if (shelf_is_own(ino) || shelf_volume(s, ino) == &v->base)
			volume_totals(&v->base, &t);
		st.f_blocks += (t.bytes + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
		st.f_files += t.records;
		at = v->base.number;
		shelf_put(s, v);
	}
	fuse_reply_statfs(req, &st);
}

static const char PREFIX[] = "user.larder.";

/* What can be told of a backup that is closed; of each, where it is now. */
static int attribute(const struct shelf *s, const struct shelf_volume *v,
		     const char *name, struct buf *out)
{
	const char *text = NULL;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return -ENODATA;
	name += strlen(PREFIX);
	if (!strcmp(name, "source")) {
		int rc = buf_add(out, s->path, strlen(s->path));

		if (rc == 0)
			rc = buf_add(out, "/", strcmp(s->path, "/") ? 1 : 0);
		return rc ? rc : buf_add(out, v->folder, strlen(v->folder));
	}
	if (!strcmp(name, "udid"))
		text = v->udid;
	else if (!strcmp(name, "encrypted"))
		text = v->encrypted ? "yes" : "no";
	return text ? buf_add(out, text, strlen(text)) : -ENODATA;
}

static int list_attributes(const struct shelf_volume *v, struct buf *out)
{
	static const char names[] = "user.larder.source\0user.larder.encrypted";
	static const char udid[] = "user.larder.udid";
	int rc = buf_add(out, names, sizeof(names));

	return rc || !v->udid ? rc : buf_add(out, udid, sizeof(udid));
}

/*
 * 0 or an error: answered here; 1: by the requests of an open backup.
 * @name: NULL: which there are
 */
static int attribute_here(struct shelf *s, const struct shelf_volume *v,
			  fuse_ino_t ino, const char *name, struct buf *out)
{
	bool is_source = name && !strcmp(name, "user.larder.source");

	if (shelf_is_notice(ino))
		return name ? -ENODATA : 0;
	if (v->state == SHELF_OPEN &&
	    !(is_source && (shelf_is_top(ino) || own_is_dir(ino))))
		return 1;
	return name ? attribute(s, v, name, out) : list_attributes(v, out);
}

/* The ways of the whole mount; nothing else. */
static int attribute_of_shelf(struct shelf *s, fuse_ino_t ino, const char *name,
			      struct buf *out)
{
	if (!name)
		return 0;
	return ino == SHELF_ROOT && !strcmp(name, "user.larder.capabilities") ?
		       ways_describe(&s->mount->ways, out) :
		       -ENODATA;
}

void shelf_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		    size_t size)
{
	mb_auto(buf_release) struct buf out = { 0 };
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v;
	int rc;

	if (shelf_is_own(ino)) {
		rc = attribute_of_shelf(s, ino, name, &out);
		fs_reply_xattr(req, rc, &out, size);
		return;
	}
	v = shelf_take_for(s, req, ino);
	if (!v)
		return;
	pthread_mutex_lock(&s->lock);
	rc = attribute_here(s, v, ino, name, &out);
	pthread_mutex_unlock(&s->lock);
	if (rc <= 0)
		fs_reply_xattr(req, rc, &out, size);
	else if (name)
		fs_ops.getxattr(req, ino, name, size);
	else
		fs_ops.listxattr(req, ino, size);
	shelf_put(s, v);
}

void shelf_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	shelf_getxattr(req, ino, NULL, size);
}
