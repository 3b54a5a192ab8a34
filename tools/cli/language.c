/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "language.h"

#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mb/err.h"

#ifdef LARDER_NLS

#define DOMAIN "larder"

/* As the environment wants it, if there is such a one. */
static locale_t of_people;

/* "" would be the head of the catalogue. */
static const char *translate(const char *text)
{
	return *text ? gettext(text) : text;
}

/* The catalogues of the same installation, wherever that was put. */
static void bind_catalogues(void)
{
	char path[PATH_MAX + sizeof("/" LOCALES_FROM_BIN)] = LOCALES_FROM_BIN;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (*path != '/' && !slash)
		return;
	if (*path != '/') {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/" LOCALES_FROM_BIN, self);
	}
	bindtextdomain(DOMAIN, path);
}

/*
 * Messages alone: numbers and times are read and written in one way
 * everywhere, and words compared. The names in a backup are UTF-8, and so is
 * what we and the C library say about them.
 */
void language_begin(void)
{
	setlocale(LC_MESSAGES, "");
	bind_catalogues();
	bind_textdomain_codeset(DOMAIN, "UTF-8");
	bind_textdomain_codeset("libc", "UTF-8");
	textdomain(DOMAIN);
	mb_err_translate(translate);
	of_people = duplocale(LC_GLOBAL_LOCALE);
}

void language_for_people(bool on)
{
	if (of_people)
		uselocale(on ? of_people : LC_GLOBAL_LOCALE);
}

#else

void language_begin(void)
{
}

void language_for_people(bool on)
{
	(void)on;
}

#endif

void language_for_machines(void)
{
	setlocale(LC_MESSAGES, "C");
}
