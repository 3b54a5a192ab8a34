/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLOCK_H
#define CLOCK_H

#include <time.h>

#define NS_PER_S 1000000000ll

/* Nanoseconds of a clock that never jumps. */
static inline long long monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline long long monotonic_s(void)
{
	return monotonic_ns() / NS_PER_S;
}

#endif
