/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TAP_H
#define TAP_H

/*
 * Cases that speak TAP. A case is a function whose name says the situation:
 *
 *   CASE(length_past_end_is_rejected)
 *   {
 *           CHECK_INT(decode(bytes), -EBADMSG);
 *   }
 *
 *   int main(void)
 *   {
 *           RUN(length_past_end_is_rejected);
 *           return tap_end();
 *   }
 *
 * A check that fails is told with its place, and the case goes on; a check is
 * an expression, true if it held: `if (!CHECK(p)) return;`.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	int count, failed;
	int bad;	  /* checks that failed in the running case */
	const char *skip; /* why it did not run */
} tap;

#define CASE(name) static void name(void)
#define RUN(name) tap_run(#name, name)
#define SKIP(reason) (tap.skip = (reason))

#define CHECK(cond) tap_check(!!(cond), __FILE__, __LINE__, "%s", #cond)
#define CHECK_INT(got, want) \
	tap_check_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want) \
	tap_check_text(got, want, __FILE__, __LINE__, #got)
#define CHECK_BYTES(got, got_len, want, want_len) \
	tap_check_bytes(got, got_len, want, want_len, __FILE__, __LINE__, #got)
/* inside loops: what was going on when it failed */
#define CHECK_AT(cond, ...) \
	tap_check(!!(cond), __FILE__, __LINE__, #cond ": " __VA_ARGS__)

__attribute__((format(printf, 4, 5), unused)) static bool
tap_check(bool good, const char *file, int line, const char *fmt, ...)
{
	const char *slash = strrchr(file, '/');
	va_list ap;

	if (good)
		return true;
	/* a loop that fails everywhere need not say so a million times */
	if (tap.bad < 20) {
		printf("# %s:%d: ", slash ? slash + 1 : file, line);
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		printf("\n");
	}
	tap.bad++;
	return false;
}

__attribute__((unused)) static bool tap_check_int(int64_t got, int64_t want,
						  const char *file, int line,
						  const char *what)
{
	return tap_check(got == want, file, line,
			 "%s is %" PRId64 " instead of %" PRId64, what, got,
			 want);
}

/* not inlined: gcc would warn of a comparison with a text that is empty */
__attribute__((unused, noinline)) static bool
tap_check_text(const char *got, const char *want, const char *file, int line,
	       const char *what)
{
	bool same = got && want ? !strcmp(got, want) : got == want;

	return tap_check(same, file, line, "%s is \"%s\" instead of \"%s\"",
			 what, got ? got : "(null)", want ? want : "(null)");
}

__attribute__((unused)) static bool
tap_check_bytes(const void *got, size_t got_len, const void *want,
		size_t want_len, const char *file, int line, const char *what)
{
	const uint8_t *g = got, *w = want;

	if (!tap_check(got_len == want_len, file, line,
		       "%s has %zu bytes instead of %zu", what, got_len,
		       want_len))
		return false;
	for (size_t i = 0; i < got_len; i++)
		if (g[i] != w[i])
			return tap_check(false, file, line,
					 "%s differs at %zu: %02x, not %02x",
					 what, i, g[i], w[i]);
	return true;
}

static void tap_run(const char *name, void (*run)(void))
{
	tap.bad = 0;
	tap.skip = NULL;
	run();
	printf("%s %d - %s%s%s\n", tap.bad ? "not ok" : "ok", ++tap.count, name,
	       tap.skip ? " # SKIP " : "", tap.skip ? tap.skip : "");
	fflush(stdout);
	tap.failed += tap.bad > 0;
}

static int tap_end(void)
{
	printf("1..%d\n", tap.count);
	return tap.failed ? 1 : 0;
}

#endif
