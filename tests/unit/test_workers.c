/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "workers.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "tap.h"

#define THREADS 4

/* A reader's turns; enough for what is counted to settle. */
#define TURNS 300

/* Longer than a request takes that needs no disk. */
#define HELD_UP_NS 2000000

enum gate { OPEN, CLOSED, FOR_TWO };

/* The kernel is at fds[0], and the threads that answer it at fds[1]. */
static struct example {
	struct workers workers;
	int fds[2];
	pthread_t threads[THREADS];
	unsigned thread_count;
	uint64_t sent;
	/* what a request that waits at the gate waits for */
	pthread_mutex_t lock;
	pthread_cond_t change;
	enum gate gate;
	unsigned at_gate;
	atomic_uint begun;   /* requests */
	atomic_bool lingers; /* who has answered */
} ex;

static bool is_crowd(void)
{
	bool crowd;

	pthread_mutex_lock(&ex.workers.lock);
	crowd = ex.workers.crowd >= WORKERS_CROWD;
	pthread_mutex_unlock(&ex.workers.lock);
	return crowd;
}

static void pass_gate(void)
{
	pthread_mutex_lock(&ex.lock);
	ex.at_gate++;
	pthread_cond_broadcast(&ex.change);
	while (ex.gate == CLOSED || (ex.gate == FOR_TWO && ex.at_gate < 2))
		pthread_cond_wait(&ex.change, &ex.lock);
	pthread_mutex_unlock(&ex.lock);
}

static void *answer(void *arg)
{
	struct fuse_in_header in;

	(void)arg;
	while (workers_read(&ex.workers, ex.fds[1], &in, sizeof(in)) ==
	       sizeof(in)) {
		struct fuse_out_header out = { .len = sizeof(out),
					       .unique = in.unique };
		struct iovec iov = { &out, sizeof(out) };
		unsigned begun = ++ex.begun;

		if (in.opcode != FUSE_LOOKUP)
			pass_gate();
		if (workers_write(&ex.workers, ex.fds[1], &iov, 1) !=
		    sizeof(out))
			break;
		/* as if there was no processor to come back on */
		while (ex.lingers && ex.begun == begun && is_crowd())
			sched_yield();
	}
	return NULL;
}

static bool prepare(unsigned threads)
{
	memset(&ex, 0, sizeof(ex));
	ex.thread_count = threads;
	pthread_mutex_init(&ex.lock, NULL);
	pthread_cond_init(&ex.change, NULL);
	workers_init(&ex.workers);
	return CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ex.fds) == 0);
}

static bool start(void)
{
	for (unsigned i = 0; i < ex.thread_count; i++)
		if (!CHECK(!pthread_create(&ex.threads[i], NULL, answer, NULL)))
			return false;
	return true;
}

static bool begin(void)
{
	return prepare(THREADS) && start();
}

static void end(void)
{
	for (unsigned i = 0; i < ex.thread_count; i++)
		pthread_cancel(ex.threads[i]);
	for (unsigned i = 0; i < ex.thread_count; i++)
		pthread_join(ex.threads[i], NULL);
	workers_end(&ex.workers);
	pthread_cond_destroy(&ex.change);
	pthread_mutex_destroy(&ex.lock);
	close(ex.fds[0]);
	close(ex.fds[1]);
}

static uint64_t ask(uint32_t opcode)
{
	struct fuse_in_header in = { .len = sizeof(in),
				     .opcode = opcode,
				     .unique = ++ex.sent };

	CHECK(write(ex.fds[0], &in, sizeof(in)) == sizeof(in));
	return in.unique;
}

/* Which one has been answered; 0 if none is for a minute. */
static uint64_t take_answer(void)
{
	struct pollfd fd = { .fd = ex.fds[0], .events = POLLIN };
	struct fuse_out_header out;

	if (poll(&fd, 1, 60000) != 1 ||
	    read(ex.fds[0], &out, sizeof(out)) != sizeof(out))
		return 0;
	return out.unique;
}

static void ask_and_wait(uint32_t opcode)
{
	uint64_t unique = ask(opcode);

	CHECK_INT(take_answer(), unique);
}

/* As if the ones before had taken no time, however slow it is here. */
static void ask_and_wait_at_ease(uint32_t opcode)
{
	pthread_mutex_lock(&ex.workers.lock);
	ex.workers.held_up_ns = 0;
	pthread_mutex_unlock(&ex.workers.lock);
	ask_and_wait(opcode);
}

static void set_gate(enum gate gate)
{
	pthread_mutex_lock(&ex.lock);
	ex.gate = gate;
	ex.at_gate = 0;
	pthread_cond_broadcast(&ex.change);
	pthread_mutex_unlock(&ex.lock);
}

static void wait_at_gate(unsigned count)
{
	pthread_mutex_lock(&ex.lock);
	while (ex.at_gate < count)
		pthread_cond_wait(&ex.change, &ex.lock);
	pthread_mutex_unlock(&ex.lock);
}

static unsigned waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&ex.workers.lock);
	n = ex.workers.waiting;
	pthread_mutex_unlock(&ex.workers.lock);
	return n;
}

static void wait_until_waiting(unsigned count)
{
	long long end_ns = monotonic_ns() + 60 * NS_PER_S;

	while (waiting() != count && monotonic_ns() < end_ns)
		sched_yield();
	CHECK_INT(waiting(), count);
}

static bool is_wanted(void)
{
	bool wanted;

	pthread_mutex_lock(&ex.workers.lock);
	wanted = ex.workers.wanted;
	pthread_mutex_unlock(&ex.workers.lock);
	return wanted;
}

/* Two requests that wait for each other: one thread alone would stay there. */
static void ask_side_by_side(void)
{
	set_gate(FOR_TWO);
	ask(FUSE_READ);
	ask(FUSE_READ);
	CHECK(take_answer() != 0);
	CHECK(take_answer() != 0);
	set_gate(OPEN);
}

static void be_a_crowd(void)
{
	for (int i = 0; i < TURNS; i++)
		ask_side_by_side();
	wait_until_waiting(2);
}

CASE(one_thread_waits_for_one_reader)
{
	if (!begin())
		return;
	for (int i = 0; i < TURNS; i++) {
		ask_and_wait_at_ease(FUSE_LOOKUP);
		ask_and_wait_at_ease(FUSE_READ);
		CHECK_AT(waiting() <= 1, "turn %d: %u", i, waiting());
	}
	end();
}

CASE(several_readers_are_answered_side_by_side)
{
	if (!begin())
		return;
	be_a_crowd();
	end();
}

CASE(when_one_reader_is_left_one_thread_waits_again)
{
	if (!begin())
		return;
	be_a_crowd();
	for (int i = 0; i < TURNS; i++)
		ask_and_wait_at_ease(FUSE_READ);
	wait_until_waiting(1);
	end();
}

CASE(who_has_answered_is_not_at_work)
{
	if (!begin())
		return;
	be_a_crowd();
	ex.lingers = true;
	for (int i = 0; i < TURNS; i++)
		ask_and_wait_at_ease(FUSE_LOOKUP);
	CHECK(!is_crowd());
	ex.lingers = false;
	end();
}

/* A thread is at the first of two requests: is another one wanted? */
static bool calls_another(uint32_t opcode)
{
	bool wanted = false;

	if (!prepare(1))
		return false;
	set_gate(CLOSED);
	ask(opcode);
	ask(FUSE_LOOKUP);
	if (start()) {
		wait_at_gate(1);
		wanted = is_wanted();
		set_gate(OPEN);
		CHECK(take_answer() != 0);
		CHECK(take_answer() != 0);
	}
	end();
	return wanted;
}

CASE(behind_what_takes_no_time_nobody_else_is_wanted)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		SKIP("one processor has no use for another thread");
		return;
	}
	CHECK(calls_another(FUSE_READ));
	CHECK(!calls_another(FUSE_RELEASE));
	CHECK(!calls_another(FUSE_FORGET));
}

CASE(another_is_answered_while_one_is_held_up)
{
	uint64_t held;

	if (!begin())
		return;
	set_gate(CLOSED);
	held = ask(FUSE_READ);
	wait_at_gate(1);
	ask_and_wait(FUSE_LOOKUP);
	set_gate(OPEN);
	CHECK_INT(take_answer(), held);
	end();
}

static void hold_one_up(void)
{
	long long end_ns;

	set_gate(CLOSED);
	ask(FUSE_READ);
	wait_at_gate(1);
	end_ns = monotonic_ns() + HELD_UP_NS;
	while (monotonic_ns() < end_ns)
		sched_yield();
	set_gate(OPEN);
	CHECK(take_answer() != 0);
}

CASE(when_two_were_held_up_two_wait)
{
	if (!begin())
		return;
	hold_one_up();
	hold_one_up();
	ask_and_wait(FUSE_LOOKUP);
	wait_until_waiting(2);
	end();
}

CASE(who_was_wanted_stands_by_if_others_have_come_back)
{
	if (!begin())
		return;
	wait_until_waiting(1);
	pthread_mutex_lock(&ex.workers.lock);
	ex.workers.wanted = true;
	pthread_cond_broadcast(&ex.workers.change);
	pthread_mutex_unlock(&ex.workers.lock);
	while (is_wanted())
		sched_yield();
	CHECK_INT(waiting(), 1);
	end();
}

int main(void)
{
	RUN(one_thread_waits_for_one_reader);
	RUN(several_readers_are_answered_side_by_side);
	RUN(when_one_reader_is_left_one_thread_waits_again);
	RUN(who_has_answered_is_not_at_work);
	RUN(behind_what_takes_no_time_nobody_else_is_wanted);
	RUN(another_is_answered_while_one_is_held_up);
	RUN(when_two_were_held_up_two_wait);
	RUN(who_was_wanted_stands_by_if_others_have_come_back);
	return tap_end();
}
