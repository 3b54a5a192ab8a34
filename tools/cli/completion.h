/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMPLETION_H
#define COMPLETION_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What can be typed next, for the completions of shells. All of it comes from
 * the help: which options there are, what they are for, and by the word in
 * capitals behind it what an option or an argument takes. So a help has a form:
 *
 *	usage: PROGRAM [--option] on|off BACKUP [FOLDER...]
 *
 *	  -s, --long WORD    what it is for, in a line or more
 *	  name=WORD          one of the items that -o takes
 *
 * Printed is a line for each word that fits what has been typed, with a tab
 * and a few words about it, if there are any; or ":files" or ":folders", which
 * the shell knows itself.
 */
struct completion {
	const char *const *help; /* its parts, up to NULL */
	/*
	 * What a word in capitals stands for, beyond files and folders: to be
	 * offered. False if it is none of those that are known here.
	 */
	bool (*values)(struct completion *c, const char *kind);
	void *arg; /* for @values */

	/* how far it is typed; completion_run fills these in */
	const char *prefix; /* stays as it is */
	size_t prefix_len;
	const char *partial;	  /* what is to be completed, maybe "" */
	const char *const *given; /* the arguments before it */
	size_t given_count;
};

/*
 * completion_run - print what fits
 * @words: what has been typed behind the program or its command; the last one
 *	is to be completed
 */
void completion_run(struct completion *c, const char *const *words,
		    size_t count);

/* completion_offer - a word, if it fits; @about may be NULL */
void completion_offer(const struct completion *c, const char *word,
		      const char *about);

#endif
