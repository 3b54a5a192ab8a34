/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wakeful.h"

#include <poll.h>
#include <stdbool.h>
#include <time.h>

/* Some times as long as a reader takes to come back. */
#define ENOUGH_NS 60000

static _Thread_local bool soon;

void wakeful_soon(void)
{
	soon = true;
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

void wakeful_wait(int fd)
{
	struct pollfd request = { .fd = fd, .events = POLLIN };
	long long end;

	if (!soon)
		return;
	soon = false;
	end = now_ns() + ENOUGH_NS;
	while (poll(&request, 1, 0) == 0 && now_ns() < end)
		;
}
