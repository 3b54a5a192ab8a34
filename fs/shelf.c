/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "log.h"
#include "own_files.h"
#include "shelf_inside.h"

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)
MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

/* So many are open at once, if nobody is in more of them. */
#define OPEN_MAX 8

/* Before it is tried again to open one that could not be. */
#define RETRY_MS 2000

long long shelf_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

const char *shelf_get_path(const struct shelf *s)
{
	return s->path;
}

int shelf_get_fd(const struct shelf *s)
{
	return s->dir_fd;
}

/* --- volumes ------------------------------------------------------------- */

static uint32_t number_of(fuse_ino_t ino)
{
	return (uint32_t)((ino & ~OWN_BIT) >> VOLUME_SHIFT);
}

struct shelf_volume *shelf_find(const struct shelf *s, fuse_ino_t ino)
{
	struct shelf_volume *v = s->volumes;

	while (v && v->base.number != number_of(ino))
		v = v->next;
	return v;
}

struct volume *shelf_volume(struct shelf *s, fuse_ino_t ino)
{
	struct shelf_volume *v;

	pthread_mutex_lock(&s->lock);
	v = shelf_find(s, ino);
	pthread_mutex_unlock(&s->lock);
	return v ? &v->base : NULL;
}

void shelf_known(struct shelf *s, fuse_ino_t ino, int64_t more)
{
	struct shelf_volume *v;

	pthread_mutex_lock(&s->lock);
	v = shelf_find(s, ino);
	if (v)
		v->known += (uint64_t)more;
	s->settle |= v && !v->known;
	pthread_mutex_unlock(&s->lock);
}

struct shelf_volume *shelf_take(struct shelf *s, fuse_ino_t ino)
{
	struct shelf_volume *v;

	pthread_mutex_lock(&s->lock);
	v = shelf_find(s, ino);
	if (v) {
		v->users++;
		v->used_ms = shelf_now_ms();
		v->leaving = false;
	}
	pthread_mutex_unlock(&s->lock);
	return v;
}

static void volume_free(struct shelf_volume *v)
{
	volume_release(&v->base);
	free(v->folder);
	free(v->udid);
	free(v);
}

/* The item of the list that shows a volume. */
static struct shelf_item *item_of(const struct shelf *s,
				  const struct shelf_volume *v)
{
	for (size_t i = 0; i < s->list.count; i++)
		if (s->list.items[i]->volume == v)
			return s->list.items[i];
	return NULL;
}

static struct shelf_volume *volume_new(struct shelf *s,
				       const struct shelf_item *item)
{
	struct shelf_volume *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	volume_init(&v->base, s->next_volume++, NULL, NULL);
	v->stamp = item->stamp;
	v->folder = strdup(item->name.folder);
	v->udid = item->name.udid ? strdup(item->name.udid) : NULL;
	v->date = item->name.date;
	v->encrypted = item->encrypted;
	if (!v->folder) {
		volume_free(v);
		return NULL;
	}
	v->next = s->volumes;
	s->volumes = v;
	return v;
}

/*
 * One that nobody uses and of which the kernel knows nothing, taken out; NULL.
 * If it was only closed to have less open, another takes its place: the nodes
 * of its tree will have other numbers.
 */
static struct shelf_volume *take_settled(struct shelf *s)
{
	struct shelf_volume **at = &s->volumes, *v;
	struct shelf_item *item;

	while ((v = *at) && (v->users || v->known ||
			     !(v->gone || (v->leaving && v->base.tree))))
		at = &v->next;
	if (!v) {
		s->settle = false;
		return NULL;
	}
	*at = v->next;
	item = item_of(s, v);
	if (item)
		item->volume = volume_new(s, item);
	return v;
}

void shelf_settle(struct shelf *s, fuse_req_t req)
{
	struct shelf_volume *v;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		v = s->settle ? take_settled(s) : NULL;
		pthread_mutex_unlock(&s->lock);
		if (!v)
			return;
		open_files_forget(&s->mount->files, &v->base, req);
		volume_free(v);
	}
}

void shelf_put(struct shelf *s, struct shelf_volume *v)
{
	pthread_mutex_lock(&s->lock);
	v->users--;
	s->settle |= !v->known;
	pthread_mutex_unlock(&s->lock);
}

/* --- opening ------------------------------------------------------------- */

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
	if (rc == 0)
		rc = shelf_keys_unlock(&s->keys, backup, err);
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
	volume_start(out, &s->mount->ways, s->options->view);
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
	return item_of(s, oldest);
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
		v->state =
			SHELF_CLOSED; /* another is about to take its place */
	} else {
		v->why = err;
		v->state = rc == -ENOKEY || rc == -EKEYREJECTED ? SHELF_LOCKED :
								  SHELF_DAMAGED;
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		let_go_of_surplus(s);
}

/* --- places -------------------------------------------------------------- */

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
			item->volume = volume_new(s, item);
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
		v->gone = !item_of(s, v);
		s->settle |= v->gone;
	}
}

/* Under the lock: @list is swapped with the one before. */
static int put_up(struct shelf *s, struct shelf_list *list)
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
	rc = put_up(s, list);
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

/* --- passwords, before it is mounted ------------------------------------- */

static int check_sources(const struct unlock_source *from, struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };

	if (from->keyfile && access(from->keyfile, R_OK) < 0)
		return mb_err_set(err, -EIO, "key file %s: %s", from->keyfile,
				  strerror(errno));
	return from->passfile ?
		       secret_from_file(&password, from->passfile, err) :
		       0;
}

/* Those that nothing opens so far, at the front of @locked. */
static size_t find_locked(struct shelf *s, struct mb_backup **locked)
{
	size_t count = 0;

	for (size_t i = 0; i < s->list.count; i++) {
		const struct shelf_item *item = s->list.items[i];
		struct mb_backup *b = NULL;

		if (!item->encrypted ||
		    shelf_open_backup(&b, s->dir_fd, s->path, item->name.folder,
				      s->options->salvage, &item->stamp,
				      NULL) < 0)
			continue;
		if (shelf_keys_unlock(&s->keys, b, NULL) < 0)
			locked[count++] = b;
		else
			mb_backup_free(b);
	}
	return count;
}

static int ask_for(struct shelf *s, struct mb_backup **locked, size_t count,
		   struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };
	struct mb_err prompt; /* for its printable text */
	size_t opened = 0;
	int rc;

	mb_err_set(
		&prompt, 0,
		"Password of the encrypted backups in %s (none: they stay closed): ",
		s->path);
	rc = secret_from_terminal(&password, prompt.text, err);
	if (rc == -ENOKEY)
		return 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		int opens = shelf_keys_try(&s->keys, locked[i], &password, err);

		opened += opens == 0;
		if (opens < 0 && opens != -EKEYREJECTED && opens != -EBADMSG)
			rc = opens;
	}
	if (rc == 0 && !opened)
		rc = mb_err_set(err, -EKEYREJECTED,
				"%s: wrong password: it opens no backup",
				s->path);
	return rc;
}

int shelf_ask(struct shelf *s, struct mb_err *err)
{
	struct mb_backup **locked;
	size_t count;
	int rc = check_sources(&s->source, err);

	if (rc < 0 || unlock_source_given(&s->source) ||
	    !(isatty(STDIN_FILENO) || isatty(STDERR_FILENO)))
		return rc;
	locked = calloc(s->list.count + 1, sizeof(*locked));
	if (!locked)
		return mb_err_set(err, -ENOMEM, "out of memory");
	count = find_locked(s, locked);
	if (count)
		rc = ask_for(s, locked, count, err);
	while (count)
		mb_backup_free(locked[--count]);
	free(locked);
	return rc;
}

/* --- threads ------------------------------------------------------------- */

int shelf_aside(struct shelf *s, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_mutex_lock(&s->lock);
	s->asides++;
	pthread_mutex_unlock(&s->lock);
	/* signals are for the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_detach(thread);
	else
		shelf_aside_ends(s);
	return -rc;
}

void shelf_aside_ends(struct shelf *s)
{
	pthread_mutex_lock(&s->lock);
	s->asides--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* --- the whole ----------------------------------------------------------- */

static const char *absolute(const char *path)
{
	char *real = path ? realpath(path, NULL) : NULL;

	return real ? real : path ? strdup(path) : NULL;
}

/* They are read again once we are in the background, in another folder. */
static void take_source(struct shelf *s)
{
	const struct unlock_source *from = &s->options->unlock;
	const char *passfile = from->passfile;

	if (!passfile && !from->extpass)
		passfile = getenv("LARDER_PASSFILE");
	s->source = (struct unlock_source){
		.keyfile = absolute(from->keyfile),
		.passfile = absolute(passfile && *passfile ? passfile : NULL),
		.extpass = from->extpass,
		.remember_s = from->remember_s,
	};
	shelf_keys_init(&s->keys, &s->source);
}

int shelf_open(struct shelf **out, const struct options *o, struct mb_err *err)
{
	struct shelf *s = calloc(1, sizeof(*s));
	struct shelf_list list = { 0 };
	int rc = 0;

	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->options = o;
	s->wake_fd = s->watch.fd = -1;
	s->next_volume = 1;
	s->next_link = SHELF_FIRST_LINK;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	take_source(s);
	s->path = realpath(o->backup, NULL);
	s->dir_fd = open(o->backup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!s->path || s->dir_fd < 0)
		rc = mb_err_set(err, -errno, "%s: %s", o->backup,
				strerror(errno));
	if (rc == 0) {
		shelf_watch_open(&s->watch, s->dir_fd);
		shelf_watch_folders(&s->watch, s->dir_fd);
		rc = shelf_scan(&list, s->dir_fd, s->path, o->salvage, NULL,
				err);
	}
	if (rc == 0 && !list.count)
		rc = mb_err_set(err, -ENOENT, "%s: holds no backups", s->path);
	if (rc == 0 && put_up(s, &list) < 0)
		rc = mb_err_set(err, -ENOMEM, "out of memory");
	s->scanned_ms = shelf_now_ms();
	shelf_list_release(&list);
	if (rc < 0)
		shelf_free(s);
	else
		*out = s;
	return rc;
}

int shelf_start(struct shelf *s, struct mount *m)
{
	s->mount = m;
	/* without a message for an open nobody would know what is in use */
	way_fails(&m->ways, WAY_SILENT_OPEN, "not with a folder of backups");
	return shelf_keeper_start(s);
}

void shelf_end(struct shelf *s)
{
	shelf_keeper_end(s);
	pthread_mutex_lock(&s->lock);
	while (s->asides)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void shelf_free(struct shelf *s)
{
	if (!s)
		return;
	while (s->volumes) {
		struct shelf_volume *v = s->volumes;

		s->volumes = v->next;
		volume_free(v);
	}
	shelf_list_release(&s->list);
	for (size_t i = 0; i < s->place_count; i++)
		free(s->places[i].key);
	free(s->places);
	shelf_keys_release(&s->keys);
	shelf_watch_close(&s->watch);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free((char *)s->source.keyfile);
	free((char *)s->source.passfile);
	free(s->path);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
