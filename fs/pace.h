/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PACE_H
#define PACE_H

#include <pthread.h>
#include <stdbool.h>

/*
 * How many threads work ahead. Where nothing has to be waited for, one is as
 * fast as can be, and two are in each other's way. Where a backup is on a slow
 * disk or far away, each of them sleeps nearly all of the time, and as many as
 * there are have so much more done. So a step that took long calls for one
 * thread more, and one that did not for one less.
 */

#define PACE_MAX 8

struct pace;

struct pace_thread {
	struct pace *pace;
	unsigned number; /* from 0 */
	pthread_t id;
};

struct pace {
	pthread_mutex_t *lock; /* of whoever has it; borrowed */
	pthread_cond_t more;
	void (*run)(void *arg, unsigned number);
	void *arg;
	long long slow_ns;
	struct pace_thread threads[PACE_MAX];
	unsigned started;
	unsigned wanted; /* the first ones of them */
	bool ended;	 /* so that the threads return */
};

/*
 * pace_start - one thread
 * @lock: is held in the calls below, unless they say otherwise
 * @run: what a thread does, until the owner has it return
 * @slow_ns: a step takes longer than that only if it has to wait for a disk
 *
 * Returns 0 or a positive errno.
 */
int pace_start(struct pace *p, pthread_mutex_t *lock,
	       void (*run)(void *arg, unsigned number), void *arg,
	       long long slow_ns);

/*
 * pace_rest - wait, if thread @number is one too many; true if it has waited
 * @work: what the threads wait at for work; a call for it is passed on
 */
bool pace_rest(struct pace *p, unsigned number, pthread_cond_t *work);

/* pace_note - so many @steps have begun at @start_ns (clock.h), and are done */
void pace_note(struct pace *p, long long start_ns, unsigned steps);

/* pace_end - none rests any longer, and no thread is started any more */
void pace_end(struct pace *p);

/* pace_join - behind pace_end, without the lock, when all are to return */
void pace_join(struct pace *p);

#endif
