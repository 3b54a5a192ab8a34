/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wakeful.h"

#include <poll.h>
#include <stdbool.h>

#include "clock.h"

/* Some times as long as a reader takes to come back. */
#define ENOUGH_NS 60000

static _Thread_local bool soon;

void wakeful_soon(void)
{
	soon = true;
}

void wakeful_wait(int fd)
{
	struct pollfd request = { .fd = fd, .events = POLLIN };
	long long end;

	if (!soon)
		return;
	soon = false;
	end = monotonic_ns() + ENOUGH_NS;
	while (poll(&request, 1, 0) == 0 && monotonic_ns() < end)
		;
}
