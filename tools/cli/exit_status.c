/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exit_status.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum exit_status exit_status_of(int rc)
{
	switch (rc) {
	case 0:
		return EXIT_FINE;
	case -ENOENT:
	case -ENOTSUP:
		return EXIT_NO_BACKUP;
	case -ECANCELED:
		return EXIT_CANCELLED;
	case -EKEYREJECTED:
		return EXIT_WRONG_PASSWORD;
	case -ENOKEY:
		return EXIT_NEEDS_PASSWORD;
	case -EBADMSG:
	case -ENODATA:
		return EXIT_DAMAGED;
	case -ENOTUNIQ:
		return EXIT_USAGE; /* which of several devices? */
	case -ENODEV:
	case -ENOTCONN:
	case -EHOSTDOWN:
	case -ECONNREFUSED:
	case -ETIMEDOUT:
		return EXIT_DEVICE;
	default:
		return EXIT_FAILED;
	}
}

static void on_interrupt(int sig)
{
	(void)sig;
	_exit(EXIT_CANCELLED);
}

void exit_when_interrupted(bool on)
{
	struct sigaction now;

	/* nohup(1) and the like, and jobs in the background, mean it */
	if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
		return;
	signal(SIGINT, on ? on_interrupt : SIG_DFL);
}
