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
#include "own_files.h"
#include "shelf_inside.h"

/*
 * What is on the shelf can change at any time: a name is asked for each time,
 * so that nobody gets an old backup by a new name. Seconds.
 */
#define NAME_TIMEOUT 0.0
#define ATTR_TIMEOUT 1.0

#define BLOCK_SIZE 4096

/* Files that a closed backup shows, among the numbers of own_files.h. */
#define NOTICE_DAMAGED 14u
#define NOTICE_LOCKED 15u

static bool is_shelf(fuse_ino_t ino)
{
	return !own_is(ino) && ino >> VOLUME_SHIFT == 0;
}

static bool is_link(fuse_ino_t ino)
{
	return is_shelf(ino) && ino >= SHELF_FIRST_LINK;
}

/* Of a volume; the shelf's own has none above it. */
static bool is_top(fuse_ino_t ino)
{
	return !own_is(ino) && !is_shelf(ino) && (uint32_t)ino == MB_ROOT;
}

static bool is_notice(fuse_ino_t ino)
{
	return own_is(ino) && (uint32_t)ino >= NOTICE_DAMAGED;
}

static double attr_timeout(fuse_ino_t ino)
{
	return is_notice(ino) ? 0.0 : ATTR_TIMEOUT;
}

static struct shelf *shelf_of(fuse_req_t req)
{
	return fs_mount(req)->shelf;
}

/* --- what is there: under the lock --------------------------------------- */

static fuse_ino_t top_ino(const struct shelf_item *item)
{
	return volume_ino(&item->volume->base, MB_ROOT);
}

/* Its number; 0 if it shows none. */
static fuse_ino_t notice_ino(const struct shelf_volume *v)
{
	if (v->state != SHELF_LOCKED && v->state != SHELF_DAMAGED)
		return 0;
	return own_dir_ino(v->base.number) +
	       (v->state == SHELF_LOCKED ? NOTICE_LOCKED : NOTICE_DAMAGED);
}

static const char *notice_name(fuse_ino_t ino)
{
	return (uint32_t)ino == NOTICE_LOCKED ? "locked" : "damaged";
}

/* The device whose link it is. */
static const struct shelf_device *device_of_link(const struct shelf *s,
						 fuse_ino_t ino)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		if (shelf_place_of(s, &s->list.devices[i])->link == ino)
			return &s->list.devices[i];
	return NULL;
}

static fuse_ino_t device_of(const struct shelf *s, const struct shelf_volume *v)
{
	for (size_t i = 0; i < s->list.count; i++)
		if (s->list.items[i]->volume == v)
			return shelf_device_ino(
				s, &s->list.devices[s->list.items[i]
							    ->name.device]);
	return SHELF_ROOT;
}

static int attributes_here(const struct shelf *s, fuse_ino_t ino,
			   struct stat *st, int64_t *date)
{
	const struct shelf_device *d;

	if (ino == SHELF_ROOT) {
		for (size_t i = 0; i < s->list.device_count; i++)
			if (s->list.devices[i].date > *date)
				*date = s->list.devices[i].date;
		return 0;
	}
	d = is_link(ino) ? device_of_link(s, ino) : shelf_device_at(s, ino);
	if (!d)
		return -ESTALE;
	*date = d->date;
	if (is_link(ino)) {
		st->st_mode = S_IFLNK | 0777;
		st->st_size = (off_t)strlen(shelf_place_of(s, d)->target);
	}
	return 0;
}

static int attributes_of_closed(const struct shelf *s, fuse_ino_t ino,
				struct stat *st, int64_t *date)
{
	const struct shelf_volume *v = shelf_find(s, ino);
	mb_auto(buf_release) struct buf text = { 0 };
	int rc = 0;

	if (!v || (is_notice(ino) && notice_ino(v) != ino))
		return -ESTALE;
	*date = v->date;
	if (!is_notice(ino))
		return 0;
	rc = shelf_notice(s, v, &text);
	st->st_mode = S_IFREG | 0444;
	st->st_size = (off_t)text.len;
	st->st_blocks = (off_t)(text.len + 511) / 512;
	return rc;
}

/* Of everything but what is in a backup. */
static int attributes(const struct shelf *s, fuse_ino_t ino, struct stat *st)
{
	int64_t date = 0;
	int rc;

	*st = (struct stat){
		.st_ino = ino,
		.st_mode = S_IFDIR | 0755,
		.st_nlink = 1,
		.st_blksize = BLOCK_SIZE,
	};
	rc = is_shelf(ino) ? attributes_here(s, ino, st, &date) :
			     attributes_of_closed(s, ino, st, &date);
	st->st_mtim.tv_sec = date;
	st->st_atim = st->st_ctim = st->st_mtim;
	fs_set_owner(s->mount, st);
	return rc;
}

static fuse_ino_t find_device(const struct shelf *s, const char *name)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		if (!strcmp(s->list.devices[i].text, name))
			return shelf_device_ino(s, &s->list.devices[i]);
	return 0;
}

static fuse_ino_t find_backup(const struct shelf *s,
			      const struct shelf_device *d, const char *name)
{
	for (size_t i = 0; i < s->list.count; i++) {
		const struct shelf_item *item = s->list.items[i];

		if (&s->list.devices[item->name.device] == d &&
		    !strcmp(item->name.text, name))
			return top_ino(item);
	}
	return strcmp(name, SHELF_LATEST) ? 0 : shelf_place_of(s, d)->link;
}

/* --- listings ------------------------------------------------------------ */

/* A folder as it was when it was opened. */
struct listing {
	size_t count;
	struct {
		fuse_ino_t ino;
		char name[MB_SHOWN_MAX + 1];
	} entries[];
};

static void list(struct listing *l, fuse_ino_t ino, const char *name)
{
	l->entries[l->count].ino = ino;
	strcpy(l->entries[l->count++].name, name);
}

static void list_devices(const struct shelf *s, struct listing *l)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		list(l, shelf_device_ino(s, &s->list.devices[i]),
		     s->list.devices[i].text);
}

static void list_backups(const struct shelf *s, const struct shelf_device *d,
			 struct listing *l)
{
	const struct shelf_place *place = shelf_place_of(s, d);

	for (size_t i = 0; i < s->list.count; i++) {
		const struct shelf_item *item = s->list.items[i];

		if (&s->list.devices[item->name.device] == d)
			list(l, top_ino(item), item->name.text);
	}
	if (place->link)
		list(l, place->link, SHELF_LATEST);
}

/* Under the lock. NULL without memory, or if the folder is gone. */
static struct listing *listing_new(const struct shelf *s, fuse_ino_t dir)
{
	size_t max = s->list.count + s->list.device_count + 3;
	const struct shelf_device *d = NULL;
	struct listing *l = malloc(sizeof(*l) + max * sizeof(*l->entries));

	if (!l)
		return NULL;
	l->count = 0;
	list(l, dir, ".");
	list(l, dir, "..");
	if (is_shelf(dir) && dir != SHELF_ROOT)
		d = shelf_device_at(s, dir);
	if (dir == SHELF_ROOT) {
		list_devices(s, l);
	} else if (d) {
		list_backups(s, d, l);
	} else if (is_top(dir)) {
		fuse_ino_t notice = notice_ino(shelf_find(s, dir));

		if (notice)
			list(l, notice, notice_name(notice));
	} else {
		free(l);
		return NULL;
	}
	return l;
}

static size_t add_listed(fuse_req_t req, struct shelf *s, char *out,
			 size_t room, const struct listing *l, size_t at,
			 bool plus)
{
	fuse_ino_t ino = l->entries[at].ino;
	const char *name = l->entries[at].name;
	struct fuse_entry_param e = { .ino = at < 2 ? 0 : ino,
				      .attr_timeout = attr_timeout(ino),
				      .entry_timeout = NAME_TIMEOUT };
	size_t size;

	pthread_mutex_lock(&s->lock);
	if (attributes(s, ino, &e.attr) < 0)
		e.ino = 0;
	pthread_mutex_unlock(&s->lock);
	e.attr.st_ino = ino;
	if (!plus)
		return fuse_add_direntry(req, out, room, name, &e.attr,
					 (off_t)at + 1);
	size = fuse_add_direntry_plus(req, out, room, name, &e, (off_t)at + 1);
	if (e.ino && size <= room)
		fs_known(s->mount, e.ino, 1);
	return size;
}

static void answer_listing(fuse_req_t req, struct shelf *s,
			   const struct listing *l, size_t size, off_t off,
			   bool plus)
{
	size_t first = off < 0 ? l->count : (size_t)off, at = first, used = 0;
	char *out = data_buffer(size);

	for (; out && at < l->count; at++) {
		size_t n = add_listed(req, s, out + used, size - used, l, at,
				      plus);

		if (n > size - used)
			break;
		used += n;
	}
	if (!out)
		fuse_reply_err(req, ENOMEM);
	else if (fuse_reply_buf(req, out, used) < 0 && plus)
		while (at-- > first && at >= 2)
			fs_known(s->mount, l->entries[at].ino, -1);
}

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
	if (v && is_top(l->ino) && !strcmp(l->name, ".."))
		*found = device_of(s, v);
	else if (v && is_top(l->ino) && !strcmp(l->name, "."))
		*found = l->ino;
	else if (v && v->state == SHELF_OPEN)
		return 0;
	else if (v && notice_ino(v) &&
		 !strcmp(l->name, notice_name(notice_ino(v))))
		*found = notice_ino(v);
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
		*found = find_device(s, l->name);
	else if (d)
		*found = find_backup(s, d, l->name);
	else
		return -ESTALE;
	return *found ? 0 : -ENOENT;
}

static void answer_lookup(struct later *l)
{
	struct shelf *s = l->shelf;
	struct fuse_entry_param e = { .entry_timeout = NAME_TIMEOUT };
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = look_up_here(s, l, &e.ino);
	e.attr_timeout = attr_timeout(e.ino);
	if (rc == 0 && e.ino)
		rc = attributes(s, e.ino, &e.attr);
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
	struct listing *listing = NULL;
	bool gone, inside;

	pthread_mutex_lock(&s->lock);
	gone = l->volume &&
	       (l->volume->gone || l->volume->state == SHELF_CLOSED);
	/* what is in a backup never changes: the kernel keeps listings */
	inside = l->volume && l->volume->state == SHELF_OPEN;
	if (!gone && !inside)
		listing = listing_new(s, l->ino);
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
	worth = is_top(l->ino) && shelf_is_worth_entering(l->volume);
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

/* The volume of an inode, or an answer that it is gone. */
static struct shelf_volume *take(struct shelf *s, fuse_req_t req,
				 fuse_ino_t ino)
{
	struct shelf_volume *v = shelf_take(s, ino);

	if (!v)
		fuse_reply_err(req, ESTALE);
	return v;
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct later l = { .shelf = shelf_of(req),
			   .req = req,
			   .ino = dir,
			   .name = (char *)name };

	if (!is_shelf(dir)) {
		l.volume = take(l.shelf, req, dir);
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

	if (!is_shelf(ino)) {
		l.volume = take(l.shelf, req, ino);
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

	if (is_shelf(ino) || is_top(ino) || is_notice(ino)) {
		pthread_mutex_lock(&s->lock);
		rc = attributes(s, ino, &st);
		pthread_mutex_unlock(&s->lock);
		if (rc < 0)
			fuse_reply_err(req, -rc);
		else
			fuse_reply_attr(req, &st, attr_timeout(ino));
		return;
	}
	v = take(s, req, ino);
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

	if (is_link(ino)) {
		pthread_mutex_lock(&s->lock);
		d = device_of_link(s, ino);
		if (d)
			strcpy(target, shelf_place_of(s, d)->target);
		pthread_mutex_unlock(&s->lock);
		if (*target)
			fuse_reply_readlink(req, target);
		else
			fuse_reply_err(req, ESTALE);
		return;
	}
	v = take(s, req, ino);
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
		answer_listing(req, s, (void *)(uintptr_t)fi->fh, size, off,
			       plus);
		return;
	}
	v = take(s, req, ino);
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
	struct shelf_volume *v = is_shelf(ino) ? NULL : shelf_take(s, ino);

	free((void *)(uintptr_t)fi->fh);
	if (v)
		leave_if_gone(s, v, ino);
	fuse_reply_err(req, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v = take(s, req, ino);
	bool gone;

	if (!v)
		return;
	pthread_mutex_lock(&s->lock);
	gone = v->gone;
	pthread_mutex_unlock(&s->lock);
	if (gone) {
		fuse_reply_err(req, ESTALE);
	} else if (!is_notice(ino)) {
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
	struct shelf_volume *v = take(s, req, ino);

	if (!v)
		return;
	if (is_notice(ino))
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

	if (is_notice(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	v = take(s, req, ino);
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

/* --- sums and attributes ------------------------------------------------- */

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
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct shelf *s = shelf_of(req);
	struct statvfs st = { .f_bsize = BLOCK_SIZE,
			      .f_frsize = BLOCK_SIZE,
			      .f_namemax = 255 };
	struct shelf_volume *v;

	for (uint32_t at = 0; (v = next_open(s, at));) {
		struct mb_totals t = { 0 };

		if (is_shelf(ino) || shelf_volume(s, ino) == &v->base)
			volume_totals(&v->base, &t);
		st.f_blocks += (t.bytes + BLOCK_SIZE - 1) / BLOCK_SIZE;
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

static void reply_bytes(fuse_req_t req, int rc, const struct buf *value,
			size_t size)
{
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else if (!size)
		fuse_reply_xattr(req, value->len);
	else if (value->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)value->ptr, value->len);
}

/*
 * 0 or an error: answered here; 1: by the requests of an open backup.
 * @name: NULL: which there are
 */
static int attribute_here(struct shelf *s, const struct shelf_volume *v,
			  fuse_ino_t ino, const char *name, struct buf *out)
{
	bool is_source = name && !strcmp(name, "user.larder.source");

	if (is_notice(ino))
		return name ? -ENODATA : 0;
	if (v->state == SHELF_OPEN &&
	    !(is_source && (is_top(ino) || own_is_dir(ino))))
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

static void op_xattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		     size_t size)
{
	mb_auto(buf_release) struct buf out = { 0 };
	struct shelf *s = shelf_of(req);
	struct shelf_volume *v;
	int rc;

	if (is_shelf(ino)) {
		rc = attribute_of_shelf(s, ino, name, &out);
		reply_bytes(req, rc, &out, size);
		return;
	}
	v = take(s, req, ino);
	if (!v)
		return;
	pthread_mutex_lock(&s->lock);
	rc = attribute_here(s, v, ino, name, &out);
	pthread_mutex_unlock(&s->lock);
	if (rc <= 0)
		reply_bytes(req, rc, &out, size);
	else if (name)
		fs_ops.getxattr(req, ino, name, size);
	else
		fs_ops.listxattr(req, ino, size);
	shelf_put(s, v);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	op_xattr(req, ino, NULL, size);
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
	.statfs = op_statfs,
	.getxattr = op_xattr,
	.listxattr = op_listxattr,
};
