/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "workers.h"

#include <linux/fuse.h>
#include <poll.h>
#include <unistd.h>

#include "clock.h"
#include "wakeful.h"

/* More of them do not count: when they are gone, so is the crowd. */
#define CROWD_MAX (2 * WORKERS_CROWD)

/*
 * Where two were held up, one not long after the other, the next ones may be,
 * among many that are not. A single one may only have had no processor.
 */
#define CROWD_HELD_UP 200
#define NOT_LONG_NS 100000000

/* Longer than most requests take that need no disk. */
#define HELD_UP_NS 500000

/* How long nothing moves before one of those who stand by steps in himself. */
#define STUCK_NS 10000000

/* That takes no longer to copy than to wake somebody. */
#define SHORT_ANSWER 4096

static _Thread_local bool at_work;
static _Thread_local long long began_ns; /* what it is or was at work on */

void workers_init(struct workers *w)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t monotonic;

	*w = (struct workers){
		.processors = processors > 0 ? (unsigned)processors : 1,
	};
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void workers_end(struct workers *w)
{
	pthread_cond_destroy(&w->change);
	pthread_mutex_destroy(&w->lock);
}

/* ---- with the lock held ---- */

static void unlock(void *arg)
{
	struct workers *w = arg;

	pthread_mutex_unlock(&w->lock);
}

static void stop_watching(void *arg)
{
	struct workers *w = arg;

	w->watching = false;
}

/* For a while, or until one is wanted; false if no request has come. */
static bool watch(struct workers *w)
{
	long long end_ns = monotonic_ns() + STUCK_NS;
	struct timespec end = { .tv_sec = end_ns / NS_PER_S,
				.tv_nsec = end_ns % NS_PER_S };
	unsigned received = w->received;
	int rc;

	w->watching = true;
	pthread_cleanup_push(stop_watching, w);
	rc = pthread_cond_timedwait(&w->change, &w->lock, &end);
	pthread_cleanup_pop(1);
	return !rc || w->received != received;
}

static unsigned waiting_max(const struct workers *w)
{
	return w->crowd < WORKERS_CROWD ? 1 : 2;
}

/* One was wanted; but by now others may have come back. */
static bool is_needed(struct workers *w)
{
	bool wanted = w->wanted;

	w->wanted = false;
	return wanted && w->waiting < waiting_max(w);
}

static void stand_by(struct workers *w)
{
	while (!is_needed(w)) {
		if (!w->busy || w->watching) {
			pthread_cond_wait(&w->change, &w->lock);
		} else if (!watch(w)) {
			/* nobody asks, or nobody is there to be asked */
			w->wanted = !w->waiting;
			w->busy = w->wanted;
		}
	}
	/* another one is to watch */
	pthread_cond_signal(&w->change);
}

/* Nobody else may have been there all the while. */
static void look_back(struct workers *w)
{
	long long now = monotonic_ns();

	if (now - began_ns <= HELD_UP_NS)
		return;
	if (now - w->held_up_ns < NOT_LONG_NS)
		w->crowd = CROWD_HELD_UP;
	w->held_up_ns = now;
}

static void end_work(struct workers *w)
{
	if (!at_work)
		return;
	at_work = false;
	w->at_work--;
	look_back(w);
}

static void come_back(struct workers *w)
{
	end_work(w);
	if (w->waiting >= waiting_max(w))
		stand_by(w);
	w->waiting++;
}

/* ---- */

static bool is_asked(int fd)
{
	struct pollfd request = { .fd = fd, .events = POLLIN };

	return poll(&request, 1, 0) > 0;
}

/* What comes behind it waits no longer than to wake somebody takes. */
static bool is_brief(const void *request, ssize_t len)
{
	const struct fuse_in_header *in = request;

	return len >= (ssize_t)sizeof(*in) &&
	       (in->opcode == FUSE_RELEASE || in->opcode == FUSE_FORGET ||
		in->opcode == FUSE_BATCH_FORGET);
}

static void count(struct workers *w, bool beside)
{
	if (beside && w->crowd < CROWD_MAX)
		w->crowd++;
	else if (!beside && w->crowd)
		w->crowd--;
}

/* With the lock held. */
static void begin(struct workers *w, int fd, bool brief)
{
	long long now = monotonic_ns();
	bool was_busy = w->busy;
	bool asked = false;

	at_work = !brief;
	w->at_work += at_work;
	w->received++;
	w->waiting--;
	if (!w->waiting) {
		bool has_room = w->at_work < w->processors;

		w->busy = true;
		asked = !brief && has_room && is_asked(fd);
		w->wanted = asked || (has_room && waiting_max(w) > 1) ||
			    (w->at_work > 1 && now - w->last_ns > HELD_UP_NS);
		if (w->wanted || !was_busy)
			pthread_cond_signal(&w->change);
	}
	if (!brief)
		count(w, asked || w->at_work > 1);
	w->last_ns = now;
	began_ns = now;
}

ssize_t workers_read(struct workers *w, int fd, void *out, size_t len)
{
	int cancelability;
	ssize_t n;

	pthread_mutex_lock(&w->lock);
	pthread_cleanup_push(unlock, w);
	come_back(w);
	pthread_cleanup_pop(1);
	wakeful_wait(fd);
	n = read(fd, out, len);
	/* who has a request is not to be cancelled over it */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelability);
	pthread_mutex_lock(&w->lock);
	begin(w, fd, is_brief(out, n));
	pthread_mutex_unlock(&w->lock);
	pthread_setcancelstate(cancelability, NULL);
	return n;
}

static void answered(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	end_work(w);
	pthread_mutex_unlock(&w->lock);
}

/*
 * Who asked may go on before who answers is back from having told him; while a
 * long answer is copied there is still work.
 */
ssize_t workers_write(struct workers *w, int fd, const struct iovec *iov,
		      int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	bool answers = at_work && out->unique;
	bool is_short = out->len <= SHORT_ANSWER;
	ssize_t n;

	if (answers && is_short)
		answered(w);
	n = writev(fd, iov, count);
	if (answers && !is_short)
		answered(w);
	return n;
}
