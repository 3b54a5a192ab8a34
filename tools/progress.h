/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "tool.h"

/*
 * What a command that takes long says meanwhile: on a terminal one line that
 * is kept up to date, elsewhere a line now and then, with --json one event a
 * line on standard output, with --quiet nothing but errors.
 *
 * All functions can be called from any thread.
 */
struct progress_state {
	uint64_t files, bytes;
	unsigned percent; /* 0: unknown */
};

struct progress;

/*
 * progress_open
 * @look: asked for the present state, with @arg, from any thread
 */
int progress_open(struct progress **out, const struct common *c,
		  void (*look)(void *arg, struct progress_state *state),
		  void *arg, struct mb_err *err);
/* Takes the line off the terminal. */
void progress_free(struct progress *p);
MB_DEFINE_AUTO(struct progress, progress_free)

/* From here on, progress is shown by progress_tick. */
void progress_begin(struct progress *p, const char *what);
void progress_end(struct progress *p);

/*
 * progress_tick - show how far it is, if it is time
 * @idle_ms: how long nothing has come; said if it is long
 */
void progress_tick(struct progress *p, int64_t idle_ms);

/*
 * Between these two the terminal is left to who prints a line of results on
 * it; no other function is called meanwhile.
 */
void progress_hold(struct progress *p);
void progress_resume(struct progress *p);

/* A message, on standard error, or {"event":"note"}; not with --quiet. */
void progress_note(struct progress *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, of something odd: {"event":"warning"}; also with --quiet. */
void progress_warn(struct progress *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The user has to do something: {"event":"waiting","reason":...}. */
void progress_wait(struct progress *p, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A result on standard output, whatever is on the terminal; not with --json. */
void progress_result(struct progress *p, void (*print)(const void *result),
		     const void *result);

/* An object of json_event: printed only with --json; used up. */
void progress_event(struct progress *p, json_object *o);

/*
 * progress_fail - as fail(), and with --json the event "error"
 * @p: NULL if it was not opened yet
 */
int progress_fail(struct progress *p, const struct common *c, int rc,
		  const struct mb_err *err);

/* progress_add_seconds - "seconds" since progress_open, for an event */
void progress_add_seconds(const struct progress *p, json_object *o);

/* Seconds since progress_open. */
double progress_seconds(const struct progress *p);

#endif
