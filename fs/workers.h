/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WORKERS_H
#define WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Which of the threads that answer requests wait for the next one.
 *
 * One of them is all that one reader has a use for: if more wait, the kernel
 * wakes them in turn, each on another core, to find its memory on the last one.
 * While several readers ask at once two wait. But where a backup is on a slow
 * disk or far away, those at work sleep until it has answered, and everybody
 * else waits for them. So the others stand by, and come in one after the other
 * while those at work are held up.
 */

#define WORKERS_MAX 8

/* So many requests more that came beside others than alone are a crowd. */
#define WORKERS_CROWD 8

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned processors;
	unsigned waiting;     /* for a request */
	unsigned at_work;     /* on one that is neither answered nor brief */
	unsigned received;    /* requests, modulo 2^32 */
	unsigned crowd;	      /* how often one came while another was at work */
	long long last_ns;    /* when the last one was received, monotonic */
	long long held_up_ns; /* when one was answered that took long */
	bool wanted;	      /* one of those who stand by */
	bool busy;	      /* all were at work, not long ago */
	bool watching;	      /* one of those who stand by, while it is busy */
};

void workers_init(struct workers *w);

/* workers_end - when none of the threads is left */
void workers_end(struct workers *w);

/*
 * workers_read - take the next request, when this thread is to
 *
 * As read(2) of the session's @fd, and a point where a thread can be cancelled.
 * From then on until it has answered or comes back the thread is at work. For
 * the threads of one session in a process.
 */
ssize_t workers_read(struct workers *w, int fd, void *out, size_t len);

/*
 * workers_write - answer a request, or notify the kernel, from any thread
 * @iov: a message, whose header is in the first one
 *
 * As writev(2) to the session's @fd.
 */
ssize_t workers_write(struct workers *w, int fd, const struct iovec *iov,
		      int count);

#endif
