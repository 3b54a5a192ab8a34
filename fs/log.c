/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

#include "language.h"
#include "mb/err.h"

static atomic_bool system_log;

void log_line(const char *fmt, ...)
{
	char text[1024];
	struct mb_err line; /* for its printable text */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&line, 0, "%s", text);
	if (atomic_load(&system_log))
		syslog(LOG_WARNING, "%s", line.text);
	else
		fprintf(stderr, "larderfs: %s\n", line.text);
}

void log_to_system(void)
{
	language_for_machines();
	openlog("larderfs", LOG_PID, LOG_DAEMON);
	atomic_store(&system_log, true);
}
