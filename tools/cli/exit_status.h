/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXIT_STATUS_H
#define EXIT_STATUS_H

#include <stdbool.h>

/* What every program of ours ends with: larder(1), EXIT STATUS. */
enum exit_status {
	EXIT_FINE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_BACKUP = 3,
	EXIT_DEVICE = 4,
	EXIT_CANCELLED = 5,
	EXIT_WRONG_PASSWORD = 12,
	EXIT_NEEDS_PASSWORD = 13,
	EXIT_DAMAGED = 26,
};

/* exit_status_of - for a negative errno of core/ or tools/link/ */
enum exit_status exit_status_of(int rc);

/*
 * exit_when_interrupted - Ctrl-C ends the process with EXIT_CANCELLED
 * @on: false: as before, for whoever sets its own handlers next
 *
 * Only where nothing needs to be undone. Where Ctrl-C is ignored, it stays so.
 */
void exit_when_interrupted(bool on);

#endif
