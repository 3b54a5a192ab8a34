/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crew.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tap.h"

#define STEPS 1000

static struct {
	atomic_int done[STEPS];
	atomic_int others; /* steps that another thread has done */
	pthread_t caller;
} seen;

static void begin(void)
{
	memset(&seen, 0, sizeof(seen));
	seen.caller = pthread_self();
}

static void note(void *arg, size_t i)
{
	(void)arg;
	atomic_fetch_add(&seen.done[i], 1);
	if (!pthread_equal(pthread_self(), seen.caller))
		atomic_fetch_add(&seen.others, 1);
}

static void check_done(size_t count)
{
	for (size_t i = 0; i < STEPS; i++)
		CHECK_AT(seen.done[i] == (i < count), "step %zu: %d times", i,
			 seen.done[i]);
}

CASE(each_step_is_done_once)
{
	static const size_t counts[] = { 0, 1, 2, 7, 8, 9, 100, STEPS };
	struct crew *crew = NULL;

	CHECK(crew_open(&crew) == 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		begin();
		crew_each(crew, counts[i], CREW_SMALL_STEPS, note, NULL);
		check_done(counts[i]);
	}
	crew_free(crew);
}

/* Each of two steps waits for the other: one thread alone would stay here. */
static pthread_barrier_t both;

static void meet(void *arg, size_t i)
{
	(void)arg;
	if (i < 2)
		pthread_barrier_wait(&both);
}

CASE(two_threads_are_at_it)
{
	struct crew *crew = NULL;

	CHECK(crew_open(&crew) == 0);
	pthread_barrier_init(&both, NULL, 2);
	crew_each(crew, 100, 2, meet, NULL);
	crew_each(crew, 2, 0, meet, NULL);
	pthread_barrier_destroy(&both);
	crew_free(crew);
}

static pthread_t caller;

static void note_thread(void *arg, size_t i)
{
	(void)arg, (void)i;
	CHECK(pthread_equal(pthread_self(), caller));
}

CASE(few_steps_leave_the_other_thread_alone)
{
	struct crew *crew = NULL;

	caller = pthread_self();
	CHECK(crew_open(&crew) == 0);
	crew_each(crew, 99, 100, note_thread, NULL);
	crew_each(crew, 1, 0, note_thread, NULL);
	crew_free(crew);
}

static void wait_for_caller(void *arg, size_t i)
{
	pthread_barrier_wait(&both);
	note(arg, i);
}

CASE(what_is_started_goes_on_beside_the_caller)
{
	struct crew *crew = NULL;

	CHECK(crew_open(&crew) == 0);
	pthread_barrier_init(&both, NULL, 2);
	for (int i = 0; i < 100; i++) {
		begin();
		crew_start(crew, wait_for_caller, NULL);
		pthread_barrier_wait(&both);
		crew_finish(crew);
		check_done(1);
		CHECK(seen.others == 1);
	}
	pthread_barrier_destroy(&both);
	crew_free(crew);
}

CASE(a_crew_without_work_goes)
{
	struct crew *crew = NULL;

	CHECK(crew_open(&crew) == 0);
	crew_finish(crew);
	crew_free(crew);
	crew_free(NULL);
}

int main(void)
{
	RUN(each_step_is_done_once);
	RUN(two_threads_are_at_it);
	RUN(few_steps_leave_the_other_thread_alone);
	RUN(what_is_started_goes_on_beside_the_caller);
	RUN(a_crew_without_work_goes);
	return tap_end();
}
