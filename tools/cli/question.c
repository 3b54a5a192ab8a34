/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "question.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int question_yes(const char *text)
{
	char answer[64];
	FILE *tty = NULL;
	int rc;

	if (isatty(STDIN_FILENO) || isatty(STDERR_FILENO))
		tty = fopen("/dev/tty", "r+e");
	if (!tty)
		return -ENOTTY;
	fputs(text, tty);
	fflush(tty);
	rc = fgets(answer, sizeof(answer), tty) &&
	     (answer[0] == 'y' || answer[0] == 'Y');
	fclose(tty);
	return rc;
}
