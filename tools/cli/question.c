/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "question.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "language.h"

int question_yes(const char *text)
{
	/* TRANSLATORS: the letters that a yes can begin with */
	const char *yes = _("yY");
	char answer[64];
	FILE *tty = NULL;
	int rc;

	if (isatty(STDIN_FILENO) || isatty(STDERR_FILENO))
		tty = fopen("/dev/tty", "r+e");
	if (!tty)
		return -ENOTTY;
	fputs(text, tty);
	fflush(tty);
	rc = fgets(answer, sizeof(answer), tty) && strchr(yes, answer[0]);
	fclose(tty);
	return rc;
}
