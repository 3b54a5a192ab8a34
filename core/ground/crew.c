/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct crew {
	pthread_t thread;
	enum { NOT_YET, RUNS, CANNOT } second; /* made when first needed */
	pthread_mutex_t lock;
	pthread_cond_t called, done;

	/* under the lock */
	bool stop;
	bool working; /* the second thread is at it, or is to be */

	/* of the present call */
	void (*step)(void *arg, size_t i);
	void *arg;
	size_t count;
	atomic_size_t next;
};

static void work(struct crew *crew)
{
	size_t i;

	while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count)
		crew->step(crew->arg, i);
}

static void *run(void *arg)
{
	struct crew *crew = arg;

	pthread_mutex_lock(&crew->lock);
	for (;;) {
		while (!crew->working && !crew->stop)
			pthread_cond_wait(&crew->called, &crew->lock);
		if (crew->stop)
			break;
		pthread_mutex_unlock(&crew->lock);
		work(crew);
		pthread_mutex_lock(&crew->lock);
		crew->working = false;
		pthread_cond_signal(&crew->done);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

int crew_open(struct crew **out)
{
	struct crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return -ENOMEM;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->called, NULL);
	pthread_cond_init(&crew->done, NULL);
	*out = crew;
	return 0;
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	if (crew->second == RUNS) {
		pthread_mutex_lock(&crew->lock);
		crew->stop = true;
		pthread_cond_signal(&crew->called);
		pthread_mutex_unlock(&crew->lock);
		pthread_join(crew->thread, NULL);
	}
	pthread_cond_destroy(&crew->done);
	pthread_cond_destroy(&crew->called);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

static bool has_second(struct crew *crew)
{
	if (crew->second == NOT_YET)
		crew->second = pthread_create(&crew->thread, NULL, run, crew) ?
				       CANNOT :
				       RUNS;
	return crew->second == RUNS;
}

static void set_working(struct crew *crew, bool on)
{
	pthread_mutex_lock(&crew->lock);
	if (on) {
		crew->working = true;
		pthread_cond_signal(&crew->called);
	}
	while (!on && crew->working)
		pthread_cond_wait(&crew->done, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
}

static void prepare(struct crew *crew, size_t count,
		    void (*step)(void *arg, size_t i), void *arg)
{
	crew->step = step;
	crew->arg = arg;
	crew->count = count;
	atomic_store(&crew->next, 0);
}

void crew_each(struct crew *crew, size_t count, size_t least,
	       void (*step)(void *arg, size_t i), void *arg)
{
	bool both = count > 1 && count >= least && has_second(crew);

	prepare(crew, count, step, arg);
	if (both)
		set_working(crew, true);
	work(crew);
	if (both)
		set_working(crew, false);
}

void crew_start(struct crew *crew, void (*step)(void *arg, size_t i), void *arg)
{
	prepare(crew, 1, step, arg);
	if (has_second(crew))
		set_working(crew, true);
	else
		work(crew);
}

void crew_finish(struct crew *crew)
{
	set_working(crew, false);
}
