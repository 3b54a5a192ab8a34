/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>
#include <signal.h>

/*
 * thread_start - a thread that no signal interrupts: they are for the main one
 *
 * Returns 0 or a positive errno.
 */
static inline int thread_start(pthread_t *thread, void *(*run)(void *arg),
			       void *arg)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

#endif
