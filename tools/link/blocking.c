/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blocking.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

/* A handshake comes some round trips after its socket. */
#define LOOK_NS 200000

/* Flags of a socket that does not block, else -1. */
static int flags_of(int fd)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return -1;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && flags & O_NONBLOCK ? flags : -1;
}

static void look(struct blocking *b)
{
	for (int fd = 0; fd < BLOCKING_FDS; fd++) {
		int flags = b->known[fd] ? -1 : flags_of(fd);

		if (flags < 0)
			continue;
		b->changed[fd] = true;
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
}

static void *run(void *arg)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	struct blocking *b = arg;

	while (!atomic_load(&b->stop)) {
		look(b);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

void blocking_begin(struct blocking *b)
{
	atomic_store(&b->stop, false);
	for (int fd = 0; fd < BLOCKING_FDS; fd++) {
		b->known[fd] = flags_of(fd) >= 0;
		b->changed[fd] = false;
	}
	b->runs = pthread_create(&b->thread, NULL, run, b) == 0;
}

void blocking_end(struct blocking *b)
{
	struct stat st;

	if (!b->runs)
		return;
	atomic_store(&b->stop, true);
	pthread_join(b->thread, NULL);
	for (int fd = 0; fd < BLOCKING_FDS; fd++) {
		int flags = b->changed[fd] ? fcntl(fd, F_GETFL) : -1;

		/* another may be there by now, but no socket of ours */
		if (flags >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	}
}
