/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "own_files.h"
#include "shelf_inside.h"
#include "thread.h"

long long shelf_now_ms(void)
{
	return monotonic_ns() / 1000000;
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

struct shelf_volume *shelf_volume_new(struct shelf *s,
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
	item = shelf_item_of(s, v);
	if (!item)
		return v;
	item->volume = shelf_volume_new(s, item);
	if (item->volume)
		return v;
	item->volume = v;
	v->next = s->volumes;
	s->volumes = v;
	s->settle = false;
	return NULL;
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

/* --- threads ------------------------------------------------------------- */

int shelf_aside(struct shelf *s, void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	int rc;

	pthread_mutex_lock(&s->lock);
	s->asides++;
	pthread_mutex_unlock(&s->lock);
	rc = thread_start(&thread, run, arg);
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
	if (rc == 0 && shelf_put_up(s, &list) < 0)
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
