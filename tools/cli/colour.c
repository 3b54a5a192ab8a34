/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colour.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *colour(FILE *to, enum colour which)
{
	static const char *const codes[] = {
		[COLOUR_GOOD] = "\033[32m",
		[COLOUR_NOTE] = "\033[33m",
		[COLOUR_BAD] = "\033[1;31m",
		[COLOUR_END] = "\033[m",
	};
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((none && *none) || !term || !*term || !strcmp(term, "dumb") ||
	    !isatty(fileno(to)))
		return "";
	return codes[which];
}
