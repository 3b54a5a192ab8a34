/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LOG_H
#define LOG_H

/*
 * Lines for people: on standard error while there is one, in the system log
 * once the driver is in the background. Always printable; never a secret.
 */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* log_to_system - from now on the system log */
void log_to_system(void);

#endif
