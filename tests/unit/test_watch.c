/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exit_status.h"
#include "tap.h"

/* Longer than anything here may take, for what must not be waited out. */
#define LONG_MS 20000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* fds[0] is silent as long as nobody writes to fds[1]. */
static void open_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
}

static void close_pair(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

static void speak(int fds[2])
{
	CHECK_INT(write(fds[1], "x", 1), 1);
}

/* A signal ends the process some time later: what gets one is a child. */
static int in_child(void (*run)(void), int64_t *took_ms)
{
	int64_t begun = now_ms();
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		run();
		_exit(tap.bad ? 99 : 0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (took_ms)
		*took_ms = now_ms() - begun;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void start(void)
{
	watch_set_timeout(LONG_MS);
	CHECK_INT(watch_start(NULL, NULL, NULL), 0);
}

CASE(a_wait_works_without_a_watch)
{
	int fds[2];

	open_pair(fds);
	speak(fds);
	CHECK_INT(watch_wait(fds[0], -1, NULL), 0);
	close(fds[1]);
	CHECK_INT(watch_wait(fds[0], -1, NULL), 0);
	close(fds[0]);
}

CASE(the_other_descriptor_is_told_apart)
{
	bool other = true;
	int a[2], b[2];

	open_pair(a);
	open_pair(b);
	start();
	speak(a);
	CHECK_INT(watch_wait(a[0], b[0], &other), 0);
	CHECK(!other);
	speak(b);
	CHECK_INT(watch_wait(a[0], b[0], &other), 0);
	CHECK(other);
	watch_stop();
	close_pair(a);
	close_pair(b);
}

CASE(silence_ends_a_wait)
{
	int64_t begun = now_ms();
	int fds[2];

	open_pair(fds);
	start();
	watch_set_timeout(80);
	CHECK_INT(watch_wait(fds[0], -1, NULL), -ETIMEDOUT);
	CHECK(now_ms() - begun >= 80);
	CHECK(!watch_cancelled());
	watch_stop();
	close_pair(fds);
}

CASE(there_is_one_watch)
{
	struct mb_err err;

	start();
	CHECK_INT(watch_start(NULL, NULL, &err), -EBUSY);
	watch_stop();
	watch_stop();
	start();
	watch_stop();
}

CASE(a_pause_lasts_as_long_as_it_says)
{
	int64_t begun = now_ms();

	CHECK_INT(watch_pause(20), 0);
	start();
	CHECK_INT(watch_pause(20), 0);
	CHECK(now_ms() - begun >= 40);
	watch_stop();
}

static void cancel_child(void)
{
	int fds[2];

	open_pair(fds);
	start();
	CHECK(!watch_cancelled());
	watch_cancel();
	CHECK(watch_cancelled());
	CHECK_INT(watch_wait(fds[0], -1, NULL), -ECANCELED);
	speak(fds);
	CHECK_INT(watch_wait(fds[0], -1, NULL), -ECANCELED);
	CHECK_INT(watch_pause(LONG_MS), -ECANCELED);
	watch_stop();
	CHECK(watch_cancelled());
	/* a new one begins afresh */
	start();
	CHECK(!watch_cancelled());
	CHECK_INT(watch_wait(fds[0], -1, NULL), 0);
	watch_stop();
}

CASE(after_a_cancellation_nothing_waits)
{
	CHECK_INT(in_child(cancel_child, NULL), 0);
}

static void signal_child(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	for (size_t i = 0; i < 3; i++) {
		int fds[2];

		open_pair(fds);
		start();
		kill(getpid(), signals[i]);
		CHECK_INT(watch_wait(fds[0], -1, NULL), -ECANCELED);
		watch_stop();
		close_pair(fds);
	}
}

CASE(signals_that_end_a_program_cancel)
{
	int64_t took;

	CHECK_INT(in_child(signal_child, &took), 0);
	CHECK_AT(took < LONG_MS / 2, "it took %d ms", (int)took);
}

static void sit_child(void)
{
	start();
	kill(getpid(), SIGINT);
	poll(NULL, 0, LONG_MS);
}

CASE(what_does_not_end_after_ctrl_c_is_ended)
{
	int64_t took;

	CHECK_INT(in_child(sit_child, &took), EXIT_CANCELLED);
	CHECK_AT(took >= 900 && took < LONG_MS / 2, "it took %d ms", (int)took);
}

static void impatient_child(void)
{
	start();
	kill(getpid(), SIGINT);
	CHECK_INT(watch_pause(LONG_MS), -ECANCELED);
	for (;;) {
		kill(getpid(), SIGINT);
		poll(NULL, 0, 10);
	}
}

CASE(a_second_ctrl_c_ends_at_once)
{
	int64_t took;

	CHECK_INT(in_child(impatient_child, &took), EXIT_CANCELLED);
	CHECK_AT(took < 800, "it took %d ms", (int)took);
}

static void twice_child(void)
{
	start();
	/* as timeout(1) does */
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGINT);
	CHECK_INT(watch_pause(LONG_MS), -ECANCELED);
	CHECK_INT(poll(NULL, 0, 200), 0);
	watch_stop();
}

CASE(two_signals_in_the_same_moment_are_one)
{
	CHECK_INT(in_child(twice_child, NULL), 0);
}

static void button_child(void)
{
	start();
	watch_cancel();
	poll(NULL, 0, 1200);
	watch_stop();
}

CASE(cancelling_on_the_device_sets_no_clock)
{
	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("takes a second");
		return;
	}
	CHECK_INT(in_child(button_child, NULL), 0);
}

static void ignoring_child(void)
{
	int fds[2];

	open_pair(fds);
	signal(SIGINT, SIG_IGN);
	start();
	watch_set_timeout(300);
	kill(getpid(), SIGINT);
	CHECK_INT(watch_wait(fds[0], -1, NULL), -ETIMEDOUT);
	kill(getpid(), SIGTERM);
	CHECK_INT(watch_wait(fds[0], -1, NULL), -ECANCELED);
	watch_stop();
	kill(getpid(), SIGINT);
}

CASE(an_ignored_signal_stays_ignored)
{
	CHECK_INT(in_child(ignoring_child, NULL), 0);
}

static void restored_child(void)
{
	start();
	watch_stop();
	kill(getpid(), SIGINT);
}

CASE(without_a_watch_ctrl_c_is_what_it_was)
{
	CHECK_INT(in_child(restored_child, NULL), 128 + SIGINT);
}

static void guard_child(void)
{
	int64_t begun = now_ms();
	int fds[2];
	char byte;

	open_pair(fds);
	start();
	watch_guard(fds[0]);
	kill(getpid(), SIGINT);
	CHECK_INT(read(fds[0], &byte, 1), 0);
	CHECK_INT(watch_unguard(), -ECANCELED);
	CHECK_INT(watch_unguard(), 0);
	CHECK(now_ms() - begun >= 250);
	watch_stop();
}

CASE(a_call_that_outlives_ctrl_c_is_cut_off)
{
	CHECK_INT(in_child(guard_child, NULL), 0);
}

CASE(a_call_that_outlives_the_timeout_is_cut_off)
{
	int fds[2];
	char byte;

	open_pair(fds);
	start();
	watch_set_timeout(100);
	watch_guard(fds[0]);
	CHECK_INT(read(fds[0], &byte, 1), 0);
	CHECK_INT(watch_unguard(), -ETIMEDOUT);
	watch_stop();
	close_pair(fds);
}

static void farewell_child(void)
{
	int64_t begun;
	int fds[2];
	char byte;

	open_pair(fds);
	start();
	watch_cancel();
	poll(NULL, 0, 500);
	begun = now_ms();
	watch_guard(fds[0]);
	CHECK_INT(read(fds[0], &byte, 1), 0);
	CHECK_INT(watch_unguard(), -ECANCELED);
	CHECK_AT(now_ms() - begun >= 250, "%d ms", (int)(now_ms() - begun));
	watch_stop();
}

CASE(a_farewell_has_its_own_time)
{
	CHECK_INT(in_child(farewell_child, NULL), 0);
}

CASE(a_guard_that_ended_does_no_harm)
{
	int fds[2];

	open_pair(fds);
	start();
	watch_guard(fds[0]);
	CHECK_INT(watch_unguard(), 0);
	watch_set_timeout(10);
	watch_guard(-1);
	CHECK_INT(watch_pause(600), 0); /* two ticks */
	CHECK_INT(watch_unguard(), 0);
	speak(fds);
	CHECK_INT(watch_wait(fds[0], -1, NULL), 0);
	watch_stop();
	close_pair(fds);
}

static struct {
	atomic_int ticks;
	atomic_int_fast64_t idle_ms;
	int fds[2];
} ticked;

/* Ends the wait itself once it has seen that somebody waits. */
static void on_tick(void *arg, int64_t idle_ms)
{
	CHECK(arg == &ticked);
	ticked.ticks++;
	if (idle_ms > 300 && !ticked.idle_ms) {
		ticked.idle_ms = idle_ms;
		speak(ticked.fds);
	}
}

CASE(ticks_tell_how_long_the_device_is_silent)
{
	int ticks;

	open_pair(ticked.fds);
	watch_set_timeout(LONG_MS);
	CHECK_INT(watch_start(on_tick, &ticked, NULL), 0);
	CHECK_INT(watch_wait(ticked.fds[0], -1, NULL), 0);
	CHECK(ticked.ticks >= 2);
	CHECK(ticked.idle_ms > 300 && ticked.idle_ms < LONG_MS);
	watch_stop();
	ticks = ticked.ticks;
	CHECK_INT(watch_pause(300), 0);
	CHECK_INT(ticked.ticks, ticks);
	close_pair(ticked.fds);
}

int main(void)
{
	RUN(a_wait_works_without_a_watch);
	RUN(the_other_descriptor_is_told_apart);
	RUN(silence_ends_a_wait);
	RUN(there_is_one_watch);
	RUN(a_pause_lasts_as_long_as_it_says);
	RUN(after_a_cancellation_nothing_waits);
	RUN(signals_that_end_a_program_cancel);
	RUN(what_does_not_end_after_ctrl_c_is_ended);
	RUN(a_second_ctrl_c_ends_at_once);
	RUN(two_signals_in_the_same_moment_are_one);
	RUN(cancelling_on_the_device_sets_no_clock);
	RUN(an_ignored_signal_stays_ignored);
	RUN(without_a_watch_ctrl_c_is_what_it_was);
	RUN(a_call_that_outlives_ctrl_c_is_cut_off);
	RUN(a_call_that_outlives_the_timeout_is_cut_off);
	RUN(a_farewell_has_its_own_time);
	RUN(a_guard_that_ended_does_no_harm);
	RUN(ticks_tell_how_long_the_device_is_silent);
	return tap_end();
}
