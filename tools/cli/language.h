/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LANGUAGE_H
#define LANGUAGE_H

#include <stdbool.h>

/*
 * What is said, in the user's language: tools/po has one catalogue each.
 *
 * Functions that take a format, as say() and mb_err_set() do, translate it
 * themselves. What else is for people stands in _(), and in N_() where it is
 * only a constant that somebody puts through _() later.
 */
#ifdef LARDER_NLS
#include <libintl.h>
#define _(text) gettext(text)
#else
#define _(text) (text)
#define ngettext(one, many, n) ((n) == 1 ? (one) : (many))
#endif
#define N_(text) text

/* language_begin - as the environment wants it; before any other thread */
void language_begin(void);

/*
 * language_for_machines - plain English from here on
 *
 * For output that programs read, and for logs; before any other thread.
 */
void language_for_machines(void);

/*
 * language_for_people - and yet, what this thread says is for people again
 *
 * From one call until the other, @on and not.
 */
void language_for_people(bool on);

#endif
