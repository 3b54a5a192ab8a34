/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BLOCKING_H
#define BLOCKING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * A cure for sleeps in a library. libusbmuxd makes its sockets non-blocking,
 * and libimobiledevice 1.3 sleeps 100 ms when a TLS handshake on one of them
 * has nothing to read at once, which is each time. The socket of lockdownd it
 * does not show. So a thread looks for sockets that come up meanwhile, and
 * has them block until the handshake is over. If it comes too late, it is as
 * slow as it was.
 */
#define BLOCKING_FDS 64 /* it is one of the first */

struct blocking {
	pthread_t thread;
	bool runs;
	atomic_bool stop;
	bool known[BLOCKING_FDS]; /* non-blocking before, and none of those */
	bool changed[BLOCKING_FDS];
};

void blocking_begin(struct blocking *b);
/* What was changed is as it was. */
void blocking_end(struct blocking *b);

#endif
