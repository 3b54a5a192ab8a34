/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests of a shelf. What is in an open backup goes on to the requests that a
 * mount of it alone has; what is answered here are the folders above, and
 * backups that are closed.
 *
 * Whatever may take long, to open a backup or to look at the folder again, is
 * done by a thread of its own, which answers: the others are not held up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "data.h"
#include "handshake.h"
#include "shelf_inside.h"

/* --- answers that may come from a thread of their own -------------------- */

struct later {
	struct shelf *shelf;
	fuse_req_t req;
	struct shelf_volume *volume; /* to be entered; NULL: the shelf itself */
	fuse_ino_t ino;
	char *name; /* to be looked up; NULL: to open the folder */
	struct fuse_file_info fi;
};

/* 0 and a number, which is 0 where @ino is in an open backup; or an error. */
static int look_up_here(struct shelf *s, const struct later *l,
			fuse_ino_t *found)
{
	const struct shelf_volume *v = l->volume;
	const struct shelf_device *d;

	*found = 0;
	if (v && (v->gone || v->state == SHELF_CLOSED))
		return -ESTALE;
	if (v && shelf_is_top(l->ino) && !strcmp(l->name, ".."))
		*found = shelf_above(s, v);
	else if (v && shelf_is_top(l->ino) && !strcmp(l->name, "."))
		*found = l->ino;
	else if (v && v->state == SHELF_OPEN)
		return 0;
	else if (v && shelf_notice_ino(v) &&
		 !strcmp(l->name, shelf_notice_name(shelf_notice_ino(v))))
		*found = shelf_notice_ino(v);
	else if (v)
		return -ENOENT;
	if (*found)
		return 0;
	d = l->ino == SHELF_ROOT ? NULL : shelf_device_at(s, l->ino);
	if (!strcmp(l->name, "."))
		*found = l->ino;
	else if (!strcmp(l->name, ".."))
		*found = SHELF_ROOT;
	else if (l->ino == SHELF_ROOT)
		*found = shelf_find_device(s, l->name);
	else if (d)
		*found = shelf_find_backup(s, d, l->name);
	else
		return -ESTALE;
	return *found ? 0 : -ENOENT;
}

static void answer_lookup(struct later *l)
{
	struct shelf *s = l->shelf;
	struct fuse_entry_param e = { .entry_timeout = SHELF_NAME_TIMEOUT };
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = look_up_here(s, l, &e.ino);
	e.attr_timeout = shelf_attr_timeout(e.ino);
	if (rc == 0 && e.ino)
		rc = shelf_attributes(s, e.ino, &e.attr);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		fuse_reply_err(l->req, -rc);
	else if (e.ino)
		fs_reply_entry(l->req, s->mount, &e);
	else
		fs_ops.lookup(l->req, l->ino, l->name);
}

static void answer_opendir(struct later *l)
{
	struct shelf *s = l->shelf;
	struct shelf_listing *listing = NULL;
	bool gone, inside;

	pthread_mutex_lock(&s->lock);
	gone = l->volume &&
	       (l->volume->gone || l->volume->state == SHELF_CLOSED);
	/* what is in a backup never changes: the kernel keeps listings */
	inside = l->volume && l->volume->state == SHELF_OPEN;
	if (!gone && !inside)
		listing = shelf_listing_new(s, l->ino);
	pthread_mutex_unlock(&s->lock);
	l->fi.fh = (uint64_t)(uintptr_t)listing;
	l->fi.cache_readdir = l->fi.keep_cache = inside;
	if (gone || (!inside && !listing))
		fuse_reply_err(l->req, ESTALE);
	else if (fuse_reply_open(l->req, &l->fi) < 0)
		free(listing);
}

static void answer(struct later *l)
{
	if (l->name)
		answer_lookup(l);
	else
		answer_opendir(l);
}

static void *answer_aside(void *arg)
{
	struct later *l = arg;
	struct shelf *s = l->shelf;

	if (l->volume) {
		shelf_enter(s, l->volume);
		answer(l);
		shelf_put(s, l->volume);
	} else {
		shelf_await(s);
		answer(l);
	}
	free(l->name);
	free(l);
	shelf_aside_ends(s);
	return NULL;
}

static bool takes_long(struct shelf *s, const struct later *l)
{
	bool worth;

	if (!l->volume)
		return !shelf_is_fresh(s);
	pthread_mutex_lock(&s->lock);
	worth = shelf_is_top(l->ino) && shelf_is_worth_entering(l->volume);
	pthread_mutex_unlock(&s->lock);
	return worth;
}

/* @l: without its texts being the caller's */
static void answer_now_or_later(struct later *l)
{
	struct shelf *s = l->shelf;
	struct later *copy;

	shelf_settle(s, l->req);
	if (!takes_long(s, l)) {
		answer(l);
		if (l->volume)
			shelf_put(s, l->volume);
		return;
	}
	copy = malloc(sizeof(*copy));
	if (copy) {
		*copy = *l;
		copy->name = l->name ? strdup(l->name) : NULL;
	}
	if (copy && (copy->name || !l->name) &&
	    shelf_aside(s, answer_aside, copy) == 0)
		return;
	fuse_reply_err(l->req, ENOMEM);
	if (l->volume)
		shelf_put(s, l->volume);
	if (copy)
		free(copy->name);
	free(copy);
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct later l = { .shelf = shelf_of(req),
			   .req = req,
			   .ino = dir,
			   .name = (char *)name };

	if (!shelf_is_own(dir)) {
		l.volume = shelf_take_for(l.shelf, req, dir);
		if (!l.volume)
			return;
	}
	answer_now_or_later(&l);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct later l = {
		.shelf = shelf_of(req), .req = req, .ino = ino, .fi = *fi
	};

	if (!shelf_is_own(ino)) {
		l.volume = shelf_take_for(l.shelf, req, ino);
		if (!l.volume)
			return;
	}
	answer_now_or_later(&l);
}

/* --- the rest ------------------------------------------------------------ */

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct shelf *s = ((struct mount *)fuse_req_userdata(req))->shelf;

	shelf_known(s, ino, -(int64_t)count);
	shelf_settle(s, req);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct shelf *s = ((struct mount *)fuse_req_userdata(req))->shelf;

	for (size_t i = 0; i < count; i++)
		shelf_known(s, forgets[i].ino, -(int64_t)forgets[i].nlookup);
	shelf_settle(s, req);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v;
	struct stat st;
	int rc;

	if (shelf_is_own(ino) || shelf_is_top(ino) || shelf_is_notice(ino)) {
		pthread_mutex_lock(&s->lock);
		rc = shelf_attributes(s, ino, &st);
		pthread_mutex_unlock(&s->lock);
		if (rc < 0)
			fuse_reply_err(req, -rc);
		else
			fuse_reply_attr(req, &st, shelf_attr_timeout(ino));
		return;
	}
	v = shelf_take_for(s, req, ino);
	if (!v)
		return;
	fs_ops.getattr(req, ino, fi);
	shelf_put(s, v);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct shelf *s = shelf_of(req);
	char target[MB_SHOWN_MAX + 1] = "";
	const struct shelf_device *d;
	struct shelf_volume *v;

	if (shelf_is_link(ino)) {
		pthread_mutex_lock(&s->lock);
		d = shelf_device_of_link(s, ino);
		if (d)
			strcpy(target, shelf_place_of(s, d)->target);
		pthread_mutex_unlock(&s->lock);
		if (*target)
			fuse_reply_readlink(req, target);
		else
			fuse_reply_err(req, ESTALE);
		return;
	}
	v = shelf_take_for(s, req, ino);
	if (!v)
		return;
	fs_ops.readlink(req, ino);
	shelf_put(s, v);
}

static void op_readdir_any(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi, bool plus)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v;

	if (fi->fh) {
		shelf_answer_listing(req, s, (void *)(uintptr_t)fi->fh, size,
				     off, plus);
		return;
	}
	v = shelf_take_for(s, req, ino);
	if (!v)
		return;
	(plus ? fs_ops.readdirplus : fs_ops.readdir)(req, ino, size, off, fi);
	shelf_put(s, v);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	op_readdir_any(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi)
{
	op_readdir_any(req, ino, size, off, fi, true);
}

/*
 * What was open in a backup that is gone is all that the kernel has been
 * keeping of it; and its names, as long as there is memory, up to the top.
 */
struct leaving {
	struct shelf *shelf;
	struct shelf_volume *volume;
	uint32_t node;
};

static void *leave(void *arg)
{
	struct leaving *l = arg;
	struct shelf *s = l->shelf;
	struct volume *v = &l->volume->base;

	for (uint32_t node = l->node; node != MB_ROOT;) {
		const char *name = mb_tree_get_name(v->tree, node);

		node = mb_tree_get_parent(v->tree, node);
		fuse_lowlevel_notify_inval_entry(s->mount->session,
						 volume_ino(v, node), name,
						 strlen(name));
	}
	shelf_put(s, l->volume);
	free(l);
	shelf_aside_ends(s);
	return NULL;
}

/* When something of it is released; gives the volume back. */
static void leave_if_gone(struct shelf *s, struct shelf_volume *v,
			  fuse_ino_t ino)
{
	struct leaving *l = NULL;
	bool gone;

	pthread_mutex_lock(&s->lock);
	gone = v->gone && v->base.tree && !own_is(ino);
	pthread_mutex_unlock(&s->lock);
	if (gone)
		l = malloc(sizeof(*l));
	if (l) {
		*l = (struct leaving){ s, v, (uint32_t)ino };
		if (shelf_aside(s, leave, l) == 0)
			return;
		free(l);
	}
	shelf_put(s, v);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v = shelf_is_own(ino) ? NULL : shelf_take(s, ino);

	free((void *)(uintptr_t)fi->fh);
	if (v)
		leave_if_gone(s, v, ino);
	fuse_reply_err(req, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v = shelf_take_for(s, req, ino);
	bool gone;

	if (!v)
		return;
	pthread_mutex_lock(&s->lock);
	gone = v->gone;
	pthread_mutex_unlock(&s->lock);
	if (gone) {
		fuse_reply_err(req, ESTALE);
	} else if (!shelf_is_notice(ino)) {
		fs_ops.open(req, ino, fi);
	} else if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
	} else {
		fi->direct_io = true; /* what it says can change */
		fuse_reply_open(req, fi);
	}
	shelf_put(s, v);
}

static void read_notice(fuse_req_t req, struct shelf *s,
			const struct shelf_volume *v, size_t size, off_t off)
{
	mb_auto(buf_release) struct buf text = { 0 };
	size_t from;
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = shelf_notice(s, v, &text);
	pthread_mutex_unlock(&s->lock);
	from = (uint64_t)off < text.len ? (size_t)off : text.len;
	if (size > text.len - from)
		size = text.len - from;
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, (const char *)text.ptr + from, size);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v = shelf_take_for(s, req, ino);

	if (!v)
		return;
	if (shelf_is_notice(ino))
		read_notice(req, s, v, size, off);
	else
		fs_ops.read(req, ino, size, off, fi);
	shelf_put(s, v);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v;
	bool gone;

	if (shelf_is_notice(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	v = shelf_take_for(s, req, ino);
	if (!v)
		return;
	data_close(req, fi);
	pthread_mutex_lock(&s->lock);
	gone = v->gone;
	pthread_mutex_unlock(&s->lock);
	if (gone)
		open_files_forget(&s->mount->files, &v->base, req);
	leave_if_gone(s, v, ino);
	fuse_reply_err(req, 0);
}

const struct fuse_lowlevel_ops shelf_ops = {
	.init = handshake,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.statfs = shelf_statfs,
	.getxattr = shelf_getxattr,
	.listxattr = shelf_listxattr,
};
