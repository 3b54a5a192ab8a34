/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* How often a state is shown, and from when on silence is worth a word. */
#define TERMINAL_S 0.25
#define JSON_S 1.0
#define LINES_S 10.0
#define IDLE_TERMINAL_S 5
#define IDLE_LINES_S 30

struct progress {
	pthread_mutex_t lock;
	void (*look)(void *arg, struct progress_state *state);
	void *arg;
	bool json, quiet, terminal;
	bool active;	  /* between begin and end */
	bool line_is_up;  /* on the terminal */
	const char *what; /* "receiving" */
	double opened, begun, shown, silence_said;
	/* a rate over the last seconds says more than one over all */
	double rate_at;
	uint64_t rate_bytes;
	double rate;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int progress_open(struct progress **out, const struct common *c,
		  void (*look)(void *arg, struct progress_state *state),
		  void *arg, struct mb_err *err)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return mb_err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&p->lock, NULL);
	p->look = look;
	p->arg = arg;
	p->json = c->json;
	p->quiet = c->quiet;
	p->terminal = !c->json && !c->quiet && isatty(STDERR_FILENO);
	p->opened = now();
	*out = p;
	return 0;
}

static void clear_line(struct progress *p)
{
	if (!p->line_is_up)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->line_is_up = false;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	clear_line(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void progress_begin(struct progress *p, const char *what)
{
	pthread_mutex_lock(&p->lock);
	p->active = true;
	p->what = what;
	p->begun = p->shown = p->rate_at = p->silence_said = now();
	p->rate_bytes = 0;
	p->rate = 0;
	pthread_mutex_unlock(&p->lock);
}

void progress_end(struct progress *p)
{
	pthread_mutex_lock(&p->lock);
	p->active = false;
	clear_line(p);
	pthread_mutex_unlock(&p->lock);
}

int progress_fail(struct progress *p, const struct common *c, int rc,
		  const struct mb_err *err)
{
	json_object *o;
	int status;

	if (p)
		progress_end(p);
	status = fail(rc, err);
	if (!c->json)
		return status;
	o = json_event("error");
	json_add_text(o, "message", err->text);
	json_object_object_add(o, "status", json_object_new_int(status));
	json_print(o);
	return status;
}

double progress_seconds(const struct progress *p)
{
	return now() - p->opened;
}

static void measure_rate(struct progress *p, const struct progress_state *state,
			 double t)
{
	/* of the first second there is only what it has been so far */
	if (p->rate_at == p->begun && t > p->begun)
		p->rate = (double)state->bytes / (t - p->begun);
	if (t - p->rate_at < 1)
		return;
	p->rate = (double)(state->bytes - p->rate_bytes) / (t - p->rate_at);
	p->rate_bytes = state->bytes;
	p->rate_at = t;
}

/* Seconds, or a negative number if nobody can know. */
static double time_left(const struct progress *p,
			const struct progress_state *state, double t)
{
	if (state->percent < 1 || state->percent >= 100 || t - p->begun < 3)
		return -1;
	return (t - p->begun) * (100 - state->percent) / state->percent;
}

static void format_left(char *out, size_t size, double seconds)
{
	long s = (long)seconds;

	if (seconds < 0)
		*out = '\0';
	else if (s < 60)
		snprintf(out, size, "%s", _(", less than a minute left"));
	else if (s < 5400)
		snprintf(out, size, _(", about %ld min left"), (s + 30) / 60);
	else
		snprintf(out, size, _(", about %ld h %ld min left"), s / 3600,
			 s % 3600 / 60);
}

static void format_state(char *out, size_t size, const struct progress *p,
			 const struct progress_state *state, double t)
{
	char bytes[32], rate[32], left[64], percent[16] = "";

	format_bytes(bytes, sizeof(bytes), state->bytes);
	format_bytes(rate, sizeof(rate), (uint64_t)p->rate);
	format_left(left, sizeof(left), time_left(p, state, t));
	if (state->percent)
		snprintf(percent, sizeof(percent), "%u %%, ", state->percent);
	snprintf(out, size, _("%s: %s%s, %" PRIu64 " files, %s/s%s"),
		 _(p->what), percent, bytes, state->files, rate, left);
}

static void show_line(struct progress *p, const char *text)
{
	struct winsize w = { 0 };

	ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
	/* one column less: a full line would wrap */
	fprintf(stderr, "\r%.*s\033[K", w.ws_col > 1 ? w.ws_col - 1 : 79, text);
	fflush(stderr);
	p->line_is_up = true;
}

static void show_json(struct progress *p, const struct progress_state *state,
		      double t, double idle)
{
	json_object *o = json_event("progress");
	double left = time_left(p, state, t);

	json_add_text(o, "phase", p->what);
	json_object_object_add(o, "files",
			       json_object_new_uint64(state->files));
	json_object_object_add(o, "bytes",
			       json_object_new_uint64(state->bytes));
	json_object_object_add(o, "percent",
			       json_object_new_int((int)state->percent));
	json_object_object_add(o, "bytes_per_second",
			       json_object_new_uint64((uint64_t)p->rate));
	json_object_object_add(o, "seconds_left",
			       left < 0 ? NULL :
					  json_object_new_int64((int64_t)left));
	json_object_object_add(o, "idle_seconds",
			       json_object_new_int64((int64_t)idle));
	json_print(o);
	fflush(stdout);
}

static bool is_due(const struct progress *p, double t, double idle)
{
	if (p->json)
		return t - p->shown >= JSON_S;
	if (p->terminal)
		return t - p->shown >= TERMINAL_S;
	if (idle < LINES_S)
		return t - p->shown >= LINES_S;
	/* where nothing moves there are no lines but these */
	return idle >= IDLE_LINES_S && t - p->silence_said >= IDLE_LINES_S;
}

static void show(struct progress *p, double t, double idle)
{
	struct progress_state state = { 0 };
	char text[256], silent[64] = "";

	p->look(p->arg, &state);
	measure_rate(p, &state, t);
	if (!is_due(p, t, idle))
		return;
	p->shown = t;
	if (p->json) {
		show_json(p, &state, t, idle);
		return;
	}
	format_state(text, sizeof(text), p, &state, t);
	if (p->terminal) {
		if (idle >= IDLE_TERMINAL_S)
			snprintf(silent, sizeof(silent),
				 _(" (no data for %.0f s)"), idle);
		strncat(text, silent, sizeof(text) - strlen(text) - 1);
		show_line(p, text);
	} else if (idle < LINES_S) {
		fprintf(stderr, "larder: %s\n", text);
	} else {
		fprintf(stderr, _("larder: no data for %.0f s\n"), idle);
		p->silence_said = t;
	}
}

void progress_tick(struct progress *p, int64_t idle_ms)
{
	pthread_mutex_lock(&p->lock);
	if (p->active && !p->quiet)
		show(p, now(), (double)idle_ms / 1000);
	pthread_mutex_unlock(&p->lock);
}

void progress_hold(struct progress *p)
{
	pthread_mutex_lock(&p->lock);
	clear_line(p);
}

void progress_resume(struct progress *p)
{
	pthread_mutex_unlock(&p->lock);
}

static void say_line(struct progress *p, const char *event, const char *reason,
		     const char *fmt, va_list ap)
{
	struct mb_err line;
	char text[sizeof(line.text)];

	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	mb_err_set(&line, 0, "%s", text); /* printable */
	pthread_mutex_lock(&p->lock);
	clear_line(p);
	if (p->json) {
		json_object *o = json_event(event);

		if (reason)
			json_add_text(o, "reason", reason);
		json_add_text(o, "message", line.text);
		json_print(o);
		fflush(stdout);
	} else {
		fprintf(stderr, "larder: %s\n", line.text);
	}
	pthread_mutex_unlock(&p->lock);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	if (p->quiet)
		return;
	va_start(ap, fmt);
	say_line(p, "note", NULL, fmt, ap);
	va_end(ap);
}

void progress_warn(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_line(p, "warning", NULL, fmt, ap);
	va_end(ap);
}

void progress_wait(struct progress *p, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (p->quiet)
		return;
	va_start(ap, fmt);
	say_line(p, "waiting", reason, fmt, ap);
	va_end(ap);
}

void progress_result(struct progress *p, void (*print)(const void *result),
		     const void *result)
{
	if (p->json)
		return;
	pthread_mutex_lock(&p->lock);
	clear_line(p);
	print(result);
	fflush(stdout);
	pthread_mutex_unlock(&p->lock);
}

void progress_event(struct progress *p, json_object *o)
{
	if (!p->json) {
		json_object_put(o);
		return;
	}
	pthread_mutex_lock(&p->lock);
	json_print(o);
	fflush(stdout);
	pthread_mutex_unlock(&p->lock);
}

void progress_add_seconds(const struct progress *p, json_object *o)
{
	json_object_object_add(o, "seconds",
			       json_object_new_double(progress_seconds(p)));
}
