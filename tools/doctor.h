/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "tool.h"

/* What "larder doctor" has found so far. */
struct doctor {
	const struct common *common;
	bool device_failed, other_failed;
};

enum verdict {
	FINE,
	NOTE, /* works, but worth knowing */
	FAILED_DEVICE,
	FAILED,
};

/*
 * doctor_found - one check is done: print it
 * @check: its name, in JSON too
 * @mend: a command or step that helps, or NULL
 */
void doctor_found(struct doctor *d, const char *check, enum verdict verdict,
		  const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* "sudo apt install PACKAGE", as this distribution wants it */
void install_command(char *out, size_t size, const char *package);

/* True if a program of that name is found in PATH. */
bool in_path(const char *program);

/* The three parts; see the check names in larder(1). */
void doctor_look_at_devices(struct doctor *d);
void doctor_look_at_folder(struct doctor *d, const char *dir);
void doctor_look_at_mounting(struct doctor *d);

#endif
