/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "language.h"
#include "log.h"
#include "shelf_inside.h"

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)
MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

/* So many are open at once, if nobody is in more of them. */
#define OPEN_MAX 8

/* Before it is tried again to open one that could not be. */
#define RETRY_MS 2000

static void note(void *arg, const char *line)
{
	log_line("%s: %s", (const char *)arg, line);
}

/* What becomes of a volume: @v itself is others' meanwhile. */
static int open_backup(struct shelf *s, const struct shelf_stamp *stamp,
		       const char *folder, struct volume *out,
		       struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *backup = NULL;
	mb_auto(mb_tree_free) struct mb_tree *tree = NULL;
	mb_auto(free) char *label = strdup(folder);
	struct shelf_stamp now;
	int rc;

	if (!label)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = shelf_open_backup(&backup, s->dir_fd, s->path, folder,
			       s->options->salvage, stamp, err);
	if (rc == 0) {
		/* what shelf_notice() shows, and not the log */
		language_for_people(true);
		rc = shelf_keys_unlock(&s->keys, backup, err);
		language_for_people(false);
	}
	if (rc == 0) {
		mb_backup_on_note(backup, note, label);
		rc = mb_backup_load(backup, err);
	}
	if (rc == 0)
		rc = mb_tree_open(&tree, backup, s->options->view, err);
	if (rc < 0)
		return rc;
	shelf_stamp(&now, mb_backup_get_fd(backup));
	if (!shelf_stamp_equal(&now, stamp))
		return mb_err_set(err, -ESTALE, "it changes just now");
	out->backup = mb_steal(&backup);
	out->tree = mb_steal(&tree);
	out->label = mb_steal(&label);
	volume_start(out, s->mount);
	return 0;
}

/* Under the lock: the one that has not been used for longest, if too many. */
static const struct shelf_item *surplus(struct shelf *s)
{
	struct shelf_volume *oldest = NULL;
	unsigned count = 0;

	for (struct shelf_volume *v = s->volumes; v; v = v->next) {
		if (v->state != SHELF_OPEN || v->gone || v->leaving)
			continue;
		count++;
		if (!v->users && (!oldest || v->used_ms < oldest->used_ms))
			oldest = v;
	}
	if (count <= OPEN_MAX || !oldest)
		return NULL;
	oldest->leaving = true;
	s->settle = true;
	return shelf_item_of(s, oldest);
}

static void let_go_of_surplus(struct shelf *s)
{
	char name[MB_SHOWN_MAX + 1] = "";
	const struct shelf_item *item;
	fuse_ino_t dir = 0;

	pthread_mutex_lock(&s->lock);
	item = surplus(s);
	if (item) {
		strcpy(name, item->name.text);
		dir = shelf_device_ino(s, &s->list.devices[item->name.device]);
	}
	pthread_mutex_unlock(&s->lock);
	if (dir)
		shelf_let_go(s, dir, name);
}

bool shelf_is_worth_entering(const struct shelf_volume *v)
{
	return !v->gone &&
	       (v->state == SHELF_CLOSED || v->state == SHELF_OPENING ||
		(v->state != SHELF_OPEN &&
		 shelf_now_ms() - v->tried_ms >= RETRY_MS));
}

void shelf_enter(struct shelf *s, struct shelf_volume *v)
{
	struct volume opened = { 0 };
	char folder[NAME_MAX + 1];
	struct mb_err err;
	int rc;

	pthread_mutex_lock(&s->lock);
	while (v->state == SHELF_OPENING)
		pthread_cond_wait(&s->changed, &s->lock);
	if (!shelf_is_worth_entering(v)) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	v->state = SHELF_OPENING;
	snprintf(folder, sizeof(folder), "%s", v->folder);
	pthread_mutex_unlock(&s->lock);
	rc = open_backup(s, &v->stamp, folder, &opened, &err);
	pthread_mutex_lock(&s->lock);
	v->tried_ms = shelf_now_ms();
	if (rc == 0) {
		v->base.backup = opened.backup;
		v->base.tree = opened.tree;
		v->base.label = opened.label;
		v->base.stat_ahead = opened.stat_ahead;
		v->base.open_ahead = opened.open_ahead;
		v->state = SHELF_OPEN;
	} else if (rc == -ESTALE) {
		/* another is about to take its place */
		v->state = SHELF_CLOSED;
	} else {
		v->why = err;
		v->failed = rc == -ENOKEY || rc == -EKEYREJECTED ?
				    SHELF_LOCKED :
				    SHELF_DAMAGED;
		v->state = v->failed;
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		let_go_of_surplus(s);
}
