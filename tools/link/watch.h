/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "mb/err.h"

/*
 * One thread that watches over work with a device: Ctrl-C, silence, and the
 * regular moment to show progress. There is one watch in a process.
 *
 * From Ctrl-C (or SIGTERM, SIGHUP) on, waits on the device return -ECANCELED
 * and the work is wound up. It has most of a second: what then still waits
 * in a library or in the kernel is cut off, and the process ends with
 * EXIT_CANCELLED, as it does at once on a second Ctrl-C. A signal that was
 * ignored before, as nohup(1) does, stays ignored.
 */

/*
 * watch_start - before any other thread, which would get the signals
 * @tick: called from the watching thread about four times a second; may be
 *        NULL. @idle_ms: how long the device has been silent while somebody
 *        waits for it, 0 if nobody does
 *
 * Returns 0 or a negative errno.
 */
int watch_start(void (*tick)(void *arg, int64_t idle_ms), void *arg,
		struct mb_err *err);
/* No tick comes after it; Ctrl-C goes back to what it was. */
void watch_stop(void);

/*
 * How long a wait may be silent before it fails with -ETIMEDOUT, in ms; 0, as
 * at first: for ever.
 */
void watch_set_timeout(int64_t ms);

bool watch_cancelled(void);
/* As Ctrl-C does, from any thread: the device's own cancel button. */
void watch_cancel(void);

/*
 * watch_wait - until @fd or @other is readable, or at its end
 * @other: a second descriptor, or -1
 * @other_ready: true if it is @other; nothing is said about @fd then. May be
 *               NULL if @other is -1
 *
 * Works without watch_start, and then waits without an end.
 *
 * Returns 0; -ECANCELED; -ETIMEDOUT.
 */
int watch_wait(int fd, int other, bool *other_ready);

/* watch_pause - sleep, to try again later; 0 or -ECANCELED */
int watch_pause(int ms);

/*
 * watch_guard - a socket that the thread may now sit in for long
 *
 * It is shut down when that lasts beyond the timeout or outlives a
 * cancellation. One at a time; -1 guards nothing, and counts as a wait.
 */
void watch_guard(int fd);

/*
 * watch_unguard - the end of it
 *
 * Returns 0; -ECANCELED or -ETIMEDOUT if the socket was shut down for that.
 */
int watch_unguard(void);

#endif
