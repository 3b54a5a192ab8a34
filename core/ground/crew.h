/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CREW_H
#define CREW_H

#include <stddef.h>

#include "cleanup.h"

/*
 * Two threads for many steps that do not depend on each other: the one that
 * calls, and one that waits for calls.
 */
struct crew;

/* Without a second thread (none to be had) it works all the same. */
int crew_open(struct crew **out);
void crew_free(struct crew *crew);
MB_DEFINE_AUTO(struct crew, crew_free)

/* Steps as small as a file of some kilobytes: fewer do not repay a wake-up. */
#define CREW_SMALL_STEPS 8

/*
 * crew_each - call @step for each number below @count, from both threads
 * @least: with fewer steps than this the other thread is left alone
 *
 * Steps begin in the order of their numbers. Returns when all have been done.
 */
void crew_each(struct crew *crew, size_t count, size_t least,
	       void (*step)(void *arg, size_t i), void *arg);

/*
 * crew_start - have one step, number 0, done beside what the caller does next
 *
 * crew_finish comes before the next call of the crew, and waits for it.
 */
void crew_start(struct crew *crew, void (*step)(void *arg, size_t i),
		void *arg);
void crew_finish(struct crew *crew);

#endif
