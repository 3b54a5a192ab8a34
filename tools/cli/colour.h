/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COLOUR_H
#define COLOUR_H

#include <stdio.h>

enum colour { COLOUR_GOOD, COLOUR_NOTE, COLOUR_BAD, COLOUR_END };

/*
 * colour - what makes text on @to green, yellow or red from here on, or ends
 *
 * "" unless @to is a terminal that is not dumb, and where NO_COLOR is set:
 * https://no-color.org.
 */
const char *colour(FILE *to, enum colour which);

#endif
