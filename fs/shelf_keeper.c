/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "log.h"
#include "shelf_inside.h"
#include "thread.h"

/* A list is looked at again after so long, where no events come. */
#define POLL_MS 1000

/* How long a request waits for a look at a folder that may not answer. */
#define WAIT_MS 2000

/* Between two looks, so that a backup in the making does not keep us busy. */
#define PAUSE_MS 100

/* --- what requests ask --------------------------------------------------- */

/* Under the lock. */
static bool is_fresh(const struct shelf *s)
{
	if (s->scanning || s->asked)
		return false;
	return s->watch.polls ? shelf_now_ms() - s->scanned_ms < POLL_MS :
				!shelf_watch_is_pending(&s->watch);
}

bool shelf_is_fresh(struct shelf *s)
{
	bool fresh;

	pthread_mutex_lock(&s->lock);
	fresh = is_fresh(s);
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

static void wake(struct shelf *s)
{
	const uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		log_line("%s: %s", s->path, strerror(errno));
}

void shelf_await(struct shelf *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_MS / 1000;
	pthread_mutex_lock(&s->lock);
	if (s->watch.polls && !is_fresh(s) && !s->asked && !s->scanning) {
		s->asked = true;
		wake(s);
	}
	while (!is_fresh(s) && !s->ending &&
	       pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
		;
	pthread_mutex_unlock(&s->lock);
}

/* --- the keeper ---------------------------------------------------------- */

static void look_again(struct shelf *s)
{
	struct mb_err err;

	do {
		struct shelf_list list;

		if (shelf_scan(&list, s->dir_fd, s->path, s->options->salvage,
			       &s->list, &err) < 0)
			log_line("%s", err.text);
		else
			shelf_replace(s, &list);
	} while (shelf_watch_folders(&s->watch, s->dir_fd));
}

static bool is_ending(struct shelf *s)
{
	bool ending;

	pthread_mutex_lock(&s->lock);
	ending = s->ending;
	pthread_mutex_unlock(&s->lock);
	return ending;
}

/* Takes what has happened and what was asked; true if there was something. */
static bool take_work(struct shelf *s)
{
	uint64_t count;
	bool found;

	pthread_mutex_lock(&s->lock);
	s->scanning = true; /* before it is taken: nobody sees it as done */
	found = s->asked;
	s->asked = false;
	if (read(s->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_line("%s: %s", s->path, strerror(errno));
	pthread_mutex_unlock(&s->lock);
	return shelf_watch_take(&s->watch) || found;
}

static void *keep(void *arg)
{
	struct shelf *s = arg;
	struct pollfd fds[] = { { .fd = s->wake_fd, .events = POLLIN },
				{ .fd = s->watch.fd, .events = POLLIN } };

	while (!is_ending(s)) {
		bool looks;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		looks = take_work(s);
		if (looks)
			look_again(s);
		pthread_mutex_lock(&s->lock);
		s->scanning = false;
		s->scanned_ms = shelf_now_ms();
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
		if (looks)
			poll(fds, 1, PAUSE_MS);
	}
	return NULL;
}

int shelf_keeper_start(struct shelf *s)
{
	int rc;

	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return -errno;
	rc = thread_start(&s->keeper, keep, s);
	s->keeps = rc == 0;
	return -rc;
}

void shelf_keeper_end(struct shelf *s)
{
	if (!s->keeps)
		return;
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	wake(s);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->keeper, NULL);
	s->keeps = false;
}

/* --- what the kernel has to forget --------------------------------------- */

/*
 * By a thread of its own: the kernel may have it wait for a request in that
 * folder, whose answer must not wait for it.
 */
struct letting_go {
	struct shelf *shelf;
	fuse_ino_t dir;
	char name[MB_SHOWN_MAX + 1];
};

static void *let_go(void *arg)
{
	struct letting_go *l = arg;

	fuse_lowlevel_notify_inval_entry(l->shelf->mount->session, l->dir,
					 l->name, strlen(l->name));
	shelf_aside_ends(l->shelf);
	free(l);
	return NULL;
}

void shelf_let_go(struct shelf *s, fuse_ino_t dir, const char *name)
{
	struct letting_go *l = calloc(1, sizeof(*l));

	if (!l)
		return;
	l->shelf = s;
	l->dir = dir;
	strcpy(l->name, name);
	/* without a thread: it is asked again for the name soon anyway */
	if (shelf_aside(s, let_go, l) < 0)
		free(l);
}
