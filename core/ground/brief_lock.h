/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BRIEF_LOCK_H
#define BRIEF_LOCK_H

#include <pthread.h>

/*
 * brief_lock_init - a mutex for what takes some microseconds
 *
 * Who finds it taken looks again for a while before he sleeps: to sleep and be
 * woken takes longer than what is waited for. To be destroyed as any other.
 */
static inline void brief_lock_init(pthread_mutex_t *lock)
{
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
	*lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
#else
	pthread_mutex_init(lock, NULL);
#endif
}

#endif
