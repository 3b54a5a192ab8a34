/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pace.h"

#include "clock.h"
#include "thread.h"

static void *begin(void *arg)
{
	struct pace_thread *t = arg;

	t->pace->run(t->pace->arg, t->number);
	return NULL;
}

static int start_one(struct pace *p)
{
	struct pace_thread *t = &p->threads[p->started];
	int rc;

	*t = (struct pace_thread){ .pace = p, .number = p->started };
	rc = thread_start(&t->id, begin, t);
	if (rc == 0)
		p->started++;
	return rc;
}

int pace_start(struct pace *p, pthread_mutex_t *lock,
	       void (*run)(void *arg, unsigned number), void *arg,
	       long long slow_ns)
{
	int rc;

	*p = (struct pace){
		.lock = lock,
		.run = run,
		.arg = arg,
		.slow_ns = slow_ns,
		.wanted = 1,
	};
	pthread_cond_init(&p->more, NULL);
	rc = start_one(p);
	if (rc)
		pthread_cond_destroy(&p->more);
	return rc;
}

bool pace_rest(struct pace *p, unsigned number, pthread_cond_t *work)
{
	if (number < p->wanted || p->ended)
		return false;
	pthread_cond_signal(work);
	pthread_cond_wait(&p->more, p->lock);
	return true;
}

void pace_note(struct pace *p, long long start_ns, unsigned steps)
{
	long long ns = (monotonic_ns() - start_ns) / steps;

	if (p->ended)
		return;
	if (ns < p->slow_ns / 2 && p->wanted > 1)
		p->wanted--;
	if (ns <= p->slow_ns || p->wanted == PACE_MAX)
		return;
	if (p->wanted < p->started)
		pthread_cond_broadcast(&p->more);
	else if (start_one(p))
		return;
	p->wanted++;
}

void pace_end(struct pace *p)
{
	p->ended = true;
	pthread_cond_broadcast(&p->more);
}

void pace_join(struct pace *p)
{
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i].id, NULL);
	pthread_cond_destroy(&p->more);
}
