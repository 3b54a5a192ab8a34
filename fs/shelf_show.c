/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folders above the backups, and what a closed backup shows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "data.h"
#include "shelf_inside.h"

static fuse_ino_t top_ino(const struct shelf_item *item)
{
	return volume_ino(&item->volume->base, MB_ROOT);
}

/* Its number; 0 if it shows none. */
fuse_ino_t shelf_notice_ino(const struct shelf_volume *v)
{
	/* also while it is tried once more */
	if (v->state == SHELF_OPEN || v->failed == SHELF_CLOSED)
		return 0;
	return own_dir_ino(v->base.number) + (v->failed == SHELF_LOCKED ?
						      SHELF_NOTICE_LOCKED :
						      SHELF_NOTICE_DAMAGED);
}

const char *shelf_notice_name(fuse_ino_t ino)
{
	return (uint32_t)ino == SHELF_NOTICE_LOCKED ? "locked" : "damaged";
}

/* The device whose link it is. */
const struct shelf_device *shelf_device_of_link(const struct shelf *s,
						fuse_ino_t ino)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		if (shelf_place_of(s, &s->list.devices[i])->link == ino)
			return &s->list.devices[i];
	return NULL;
}

fuse_ino_t shelf_above(const struct shelf *s, const struct shelf_volume *v)
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
	d = shelf_is_link(ino) ? shelf_device_of_link(s, ino) :
				 shelf_device_at(s, ino);
	if (!d)
		return -ESTALE;
	*date = d->date;
	if (shelf_is_link(ino)) {
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

	if (!v || (shelf_is_notice(ino) && shelf_notice_ino(v) != ino))
		return -ESTALE;
	*date = v->date;
	if (!shelf_is_notice(ino))
		return 0;
	rc = shelf_notice(s, v, &text);
	st->st_mode = S_IFREG | 0444;
	st->st_size = (off_t)text.len;
	st->st_blocks = (off_t)(text.len + 511) / 512;
	return rc;
}

/* Of everything but what is in a backup. */
int shelf_attributes(const struct shelf *s, fuse_ino_t ino, struct stat *st)
{
	int64_t date = 0;
	int rc;

	*st = (struct stat){
		.st_ino = ino,
		.st_mode = S_IFDIR | 0755,
		.st_nlink = 1,
		.st_blksize = FS_BLOCK_SIZE,
	};
	rc = shelf_is_own(ino) ? attributes_here(s, ino, st, &date) :
				 attributes_of_closed(s, ino, st, &date);
	st->st_mtim.tv_sec = date;
	st->st_atim = st->st_ctim = st->st_mtim;
	fs_set_owner(s->mount, st);
	return rc;
}

fuse_ino_t shelf_find_device(const struct shelf *s, const char *name)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		if (!strcmp(s->list.devices[i].text, name))
			return shelf_device_ino(s, &s->list.devices[i]);
	return 0;
}

fuse_ino_t shelf_find_backup(const struct shelf *s,
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
struct shelf_listing {
	size_t count;
	struct {
		fuse_ino_t ino;
		bool told; /* counted as known to the kernel */
		char name[MB_SHOWN_MAX + 1];
	} entries[];
};

static void list(struct shelf_listing *l, fuse_ino_t ino, const char *name)
{
	l->entries[l->count].ino = ino;
	l->entries[l->count].told = false;
	strcpy(l->entries[l->count++].name, name);
}

static void list_devices(const struct shelf *s, struct shelf_listing *l)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		list(l, shelf_device_ino(s, &s->list.devices[i]),
		     s->list.devices[i].text);
}

static void list_backups(const struct shelf *s, const struct shelf_device *d,
			 struct shelf_listing *l)
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
struct shelf_listing *shelf_listing_new(const struct shelf *s, fuse_ino_t dir)
{
	size_t max = s->list.count + s->list.device_count + 3;
	const struct shelf_device *d = NULL;
	struct shelf_listing *l =
		malloc(sizeof(*l) + max * sizeof(*l->entries));

	if (!l)
		return NULL;
	l->count = 0;
	list(l, dir, ".");
	list(l, dir, "..");
	if (shelf_is_own(dir) && dir != SHELF_ROOT)
		d = shelf_device_at(s, dir);
	if (dir == SHELF_ROOT) {
		list_devices(s, l);
	} else if (d) {
		list_backups(s, d, l);
	} else if (shelf_is_top(dir)) {
		fuse_ino_t notice = shelf_notice_ino(shelf_find(s, dir));

		if (notice)
			list(l, notice, shelf_notice_name(notice));
	} else {
		free(l);
		return NULL;
	}
	return l;
}

static size_t add_listed(fuse_req_t req, struct shelf *s, char *out,
			 size_t room, struct shelf_listing *l, size_t at,
			 bool plus)
{
	fuse_ino_t ino = l->entries[at].ino;
	const char *name = l->entries[at].name;
	struct fuse_entry_param e = { .ino = at < 2 ? 0 : ino,
				      .attr_timeout = shelf_attr_timeout(ino),
				      .entry_timeout = SHELF_NAME_TIMEOUT };
	size_t size;

	pthread_mutex_lock(&s->lock);
	if (shelf_attributes(s, ino, &e.attr) < 0)
		e.ino = 0;
	pthread_mutex_unlock(&s->lock);
	e.attr.st_ino = ino;
	if (!plus)
		return fuse_add_direntry(req, out, room, name, &e.attr,
					 (off_t)at + 1);
	size = fuse_add_direntry_plus(req, out, room, name, &e, (off_t)at + 1);
	l->entries[at].told = e.ino && size <= room;
	if (l->entries[at].told)
		fs_known(s->mount, e.ino, 1);
	return size;
}

void shelf_answer_listing(fuse_req_t req, struct shelf *s,
			  struct shelf_listing *l, size_t size, off_t off,
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
		while (at-- > first)
			if (l->entries[at].told)
				fs_known(s->mount, l->entries[at].ino, -1);
}
