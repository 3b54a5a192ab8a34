/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The signals are blocked in every thread, and the watching thread reads them
 * from a descriptor: nothing of ours ever runs inside a signal handler. An
 * eventfd becomes readable, and stays so, when the work is cancelled; every
 * wait polls it as well.
 */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "exit_status.h"

#define TICK_MS 250
/* How often the thread looks when every moment counts. */
#define LOOK_MS 25
/* From Ctrl-C to the end of what still waits, and to that of the process. */
#define GUARD_MS 300
#define END_MS 900
/* timeout(1) and terminals can send one wish as two signals. */
#define SAME_SIGNAL_MS 50

static struct {
	pthread_t thread;
	bool started;
	sigset_t old_mask;
	int signal_fd, stop_fd, cancel_fd;
	void (*tick)(void *arg, int64_t idle_ms);
	void *arg;

	atomic_int_fast64_t timeout_ms;	   /* 0: none */
	atomic_int_fast64_t waiting_since; /* 0: nobody waits */
	atomic_int_fast64_t cancelled_at;  /* 0: not cancelled */
	int64_t signalled_at;		   /* only the watching thread */

	pthread_mutex_t guard_lock;
	int guard_fd;	     /* -1: none, or it has been shut down */
	int64_t guard_since; /* start of the wait */
	int guard_rc;	     /* why it was shut down */
} watch = {
	.signal_fd = -1,
	.stop_fd = -1,
	.cancel_fd = -1,
	.guard_lock = PTHREAD_MUTEX_INITIALIZER,
	.guard_fd = -1,
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	/* 0 stands for never */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1;
}

/* --- what the watching thread does --------------------------------------- */

/* True when what began at @since has had its time. */
static bool is_over(int64_t since, int64_t allowed_ms, int64_t now)
{
	return since && now - since >= allowed_ms;
}

static void look_at_guard(int64_t now)
{
	int64_t cancelled_at = atomic_load(&watch.cancelled_at);
	int64_t timeout_ms = atomic_load(&watch.timeout_ms);

	pthread_mutex_lock(&watch.guard_lock);
	/* what begins after the cancellation, a farewell, has its time too */
	if (cancelled_at && cancelled_at < watch.guard_since)
		cancelled_at = watch.guard_since;
	if (watch.guard_fd >= 0) {
		if (is_over(cancelled_at, GUARD_MS, now))
			watch.guard_rc = -ECANCELED;
		else if (timeout_ms &&
			 is_over(watch.guard_since, timeout_ms, now))
			watch.guard_rc = -ETIMEDOUT;
		if (watch.guard_rc) {
			shutdown(watch.guard_fd, SHUT_RDWR);
			watch.guard_fd = -1;
		}
	}
	pthread_mutex_unlock(&watch.guard_lock);
}

static void take_signals(int64_t now)
{
	struct signalfd_siginfo info;

	while (read(watch.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (!watch.signalled_at)
			watch.signalled_at = now;
		else if (is_over(watch.signalled_at, SAME_SIGNAL_MS, now))
			_exit(EXIT_CANCELLED);
		watch_cancel();
	}
}

static void *run(void *arg)
{
	int64_t ticked = now_ms();

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = watch.signal_fd, .events = POLLIN },
			{ .fd = watch.stop_fd, .events = POLLIN },
		};
		bool hurry = watch_cancelled();
		int64_t since, now;

		poll(fds, 2, hurry ? LOOK_MS : TICK_MS);
		if (fds[1].revents)
			return arg;
		now = now_ms();
		take_signals(now);
		look_at_guard(now);
		if (is_over(watch.signalled_at, END_MS, now))
			_exit(EXIT_CANCELLED);
		if (!watch.tick || !is_over(ticked, TICK_MS, now))
			continue;
		ticked = now;
		since = atomic_load(&watch.waiting_since);
		watch.tick(watch.arg, since && now > since ? now - since : 0);
	}
}

/* --- start and stop ------------------------------------------------------ */

/* Those that end a program, but for those that it was started without. */
static void collect_signals(sigset_t *set)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction now;

		if (sigaction(signals[i], NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			sigaddset(set, signals[i]);
	}
}

static void close_fds(void)
{
	int *const fds[] = { &watch.signal_fd, &watch.stop_fd,
			     &watch.cancel_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static int open_fds(const sigset_t *signals)
{
	watch.signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watch.signal_fd >= 0)
		watch.stop_fd = eventfd(0, EFD_CLOEXEC);
	if (watch.stop_fd >= 0)
		watch.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return watch.cancel_fd >= 0 ? 0 : -errno;
}

int watch_start(void (*tick)(void *arg, int64_t idle_ms), void *arg,
		struct mb_err *err)
{
	sigset_t signals;
	int rc;

	if (watch.started)
		return mb_err_set(err, -EBUSY, "there is a watch already");
	watch.tick = tick;
	watch.arg = arg;
	watch.signalled_at = 0;
	atomic_store(&watch.cancelled_at, 0);
	collect_signals(&signals);
	rc = open_fds(&signals);
	if (rc == 0) {
		pthread_sigmask(SIG_BLOCK, &signals, &watch.old_mask);
		rc = -pthread_create(&watch.thread, NULL, run, NULL);
		if (rc < 0)
			pthread_sigmask(SIG_SETMASK, &watch.old_mask, NULL);
	}
	if (rc < 0) {
		close_fds();
		return mb_err_set(err, rc, "cannot watch for Ctrl-C: %s",
				  strerror(-rc));
	}
	watch.started = true;
	return 0;
}

void watch_stop(void)
{
	if (!watch.started)
		return;
	eventfd_write(watch.stop_fd, 1);
	pthread_join(watch.thread, NULL);
	close_fds();
	watch.started = false;
	pthread_sigmask(SIG_SETMASK, &watch.old_mask, NULL);
}

void watch_set_timeout(int64_t ms)
{
	atomic_store(&watch.timeout_ms, ms);
}

bool watch_cancelled(void)
{
	return atomic_load(&watch.cancelled_at) != 0;
}

void watch_cancel(void)
{
	int_fast64_t never = 0;

	atomic_compare_exchange_strong(&watch.cancelled_at, &never, now_ms());
	if (watch.cancel_fd >= 0)
		eventfd_write(watch.cancel_fd, 1);
}

/* --- for who waits ------------------------------------------------------- */

/* What is left of the timeout, for poll(2). */
static int time_left(int64_t since)
{
	int64_t timeout_ms = atomic_load(&watch.timeout_ms), left;

	if (!timeout_ms)
		return -1;
	left = since + timeout_ms - now_ms();
	if (left < 0)
		return 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

static int wait_since(int64_t since, int fd, int other, bool *other_ready)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = watch.cancel_fd, .events = POLLIN },
			{ .fd = other, .events = POLLIN },
		};
		int n = poll(fds, 3, time_left(since));

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (watch_cancelled())
			return -ECANCELED;
		if (n > 0 && other >= 0)
			*other_ready = fds[2].revents != 0;
		if (n > 0)
			return 0;
		if (n == 0 && time_left(since) == 0)
			return -ETIMEDOUT;
	}
}

int watch_wait(int fd, int other, bool *other_ready)
{
	int64_t since = now_ms();
	int rc;

	atomic_store(&watch.waiting_since, since);
	if (other_ready)
		*other_ready = false;
	rc = wait_since(since, fd, other, other_ready);
	atomic_store(&watch.waiting_since, 0);
	return rc;
}

int watch_pause(int ms)
{
	int64_t until = now_ms() + ms;

	for (;;) {
		struct pollfd cancel = { .fd = watch.cancel_fd,
					 .events = POLLIN };
		int64_t left = until - now_ms();

		if (watch_cancelled())
			return -ECANCELED;
		if (left <= 0)
			return 0;
		poll(&cancel, 1, (int)left);
	}
}

void watch_guard(int fd)
{
	int64_t now = now_ms();

	pthread_mutex_lock(&watch.guard_lock);
	watch.guard_fd = fd;
	watch.guard_since = now;
	watch.guard_rc = 0;
	pthread_mutex_unlock(&watch.guard_lock);
	atomic_store(&watch.waiting_since, now);
}

int watch_unguard(void)
{
	int rc;

	atomic_store(&watch.waiting_since, 0);
	pthread_mutex_lock(&watch.guard_lock);
	rc = watch.guard_rc;
	watch.guard_fd = -1;
	watch.guard_rc = 0;
	pthread_mutex_unlock(&watch.guard_lock);
	return rc;
}
