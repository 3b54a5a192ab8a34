/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands on the shelf, and what becomes of it when there is a new list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "shelf_inside.h"

struct shelf_place *shelf_place_of(const struct shelf *s,
				   const struct shelf_device *d)
{
	for (size_t i = 0; i < s->place_count; i++)
		if (!strcasecmp(s->places[i].key, d->key))
			return &s->places[i];
	return NULL;
}

fuse_ino_t shelf_device_ino(const struct shelf *s, const struct shelf_device *d)
{
	return SHELF_FIRST_DEVICE +
	       (fuse_ino_t)(shelf_place_of(s, d) - s->places);
}

const struct shelf_device *shelf_device_at(const struct shelf *s,
					   fuse_ino_t ino)
{
	for (size_t i = 0; i < s->list.device_count; i++)
		if (shelf_device_ino(s, &s->list.devices[i]) == ino)
			return &s->list.devices[i];
	return NULL;
}

struct shelf_item *shelf_item_of(const struct shelf *s,
				 const struct shelf_volume *v)
{
	for (size_t i = 0; i < s->list.count; i++)
		if (s->list.items[i]->volume == v)
			return s->list.items[i];
	return NULL;
}

/* Each device has one, and its link a new number if it leads elsewhere. */
static int give_places(struct shelf *s, const struct shelf_list *list)
{
	for (size_t i = 0; i < list->device_count; i++) {
		const struct shelf_device *d = &list->devices[i];
		struct shelf_place *p = shelf_place_of(s, d);
		const char *target =
			d->latest < 0 ? "" : list->items[d->latest]->name.text;

		if (!p) {
			p = reallocarray(s->places, s->place_count + 1,
					 sizeof(*p));
			if (!p)
				return -ENOMEM;
			s->places = p;
			p += s->place_count;
			*p = (struct shelf_place){ .key = strdup(d->key) };
			if (!p->key)
				return -ENOMEM;
			s->place_count++;
		}
		if (strcmp(p->target, target)) {
			strcpy(p->target, target);
			p->link = *target ? s->next_link++ : 0;
		}
	}
	return 0;
}

static int give_volumes(struct shelf *s, struct shelf_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct shelf_item *item = list->items[i];
		char *folder;

		if (!item->volume)
			item->volume = shelf_volume_new(s, item);
		if (!item->volume)
			return -ENOMEM;
		/* it may have another name by now */
		if (!strcmp(item->volume->folder, item->name.folder))
			continue;
		folder = strdup(item->name.folder);
		if (!folder)
			return -ENOMEM;
		free(item->volume->folder);
		item->volume->folder = folder;
	}
	return 0;
}

static void find_gone(struct shelf *s)
{
	for (struct shelf_volume *v = s->volumes; v; v = v->next) {
		v->gone = !shelf_item_of(s, v);
		s->settle |= v->gone;
	}
}

int shelf_put_up(struct shelf *s, struct shelf_list *list)
{
	struct shelf_list before = s->list;
	int rc;

	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < before.count; j++)
			if (shelf_stamp_equal(&list->items[i]->stamp,
					      &before.items[j]->stamp))
				list->items[i]->volume =
					before.items[j]->volume;
	rc = give_places(s, list);
	if (rc == 0)
		rc = give_volumes(s, list);
	if (rc < 0)
		return rc;
	s->list = *list;
	*list = before;
	find_gone(s);
	return 0;
}

/* --- what a new list changes --------------------------------------------- */

static const struct shelf_device *same_device(const struct shelf_list *list,
					      const struct shelf_device *d)
{
	for (size_t i = 0; i < list->device_count; i++)
		if (!strcasecmp(list->devices[i].key, d->key))
			return &list->devices[i];
	return NULL;
}

static bool has_item(const struct shelf_list *list, const char *key,
		     const struct shelf_item *item)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct shelf_item *other = list->items[i];

		if (shelf_stamp_equal(&other->stamp, &item->stamp) &&
		    !strcmp(other->name.text, item->name.text) &&
		    !strcasecmp(list->devices[other->name.device].key, key))
			return true;
	}
	return false;
}

static const char *latest_of(const struct shelf_list *list,
			     const struct shelf_device *d)
{
	return d && d->latest >= 0 ? list->items[d->latest]->name.text : "";
}

void shelf_replace(struct shelf *s, struct shelf_list *list)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = shelf_put_up(s, list);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		log_line("%s: %s", s->path, strerror(-rc));
	/* @list is what was there before; only the keeper changes s->list */
	for (size_t i = 0; rc == 0 && i < list->device_count; i++) {
		const struct shelf_device *d = &list->devices[i];
		const struct shelf_device *now = same_device(&s->list, d);

		if (strcmp(latest_of(list, d), latest_of(&s->list, now)))
			shelf_let_go(s, shelf_device_ino(s, d), SHELF_LATEST);
		if (!now || strcmp(now->text, d->text))
			shelf_let_go(s, SHELF_ROOT, d->text);
	}
	for (size_t i = 0; rc == 0 && i < list->count; i++) {
		const struct shelf_item *item = list->items[i];
		const struct shelf_device *d =
			&list->devices[item->name.device];

		if (!has_item(&s->list, d->key, item))
			shelf_let_go(s, shelf_device_ino(s, d),
				     item->name.text);
	}
	shelf_list_release(list);
}
