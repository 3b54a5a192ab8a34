/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SELECTION_H
#define SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "mb/err.h"
#include "mb/record.h"
#include "tool.h"

/* Which entries of a backup or tree are meant: larder-restore(1), Selection. */
struct selection {
	struct pattern *patterns;
	size_t count;
	bool some; /* there are --only or --app: else all that is not excluded */
};

/* getopt_long entries and values; apart from those of tool.h and device_job.h */
enum { SELECTION_ONLY = 1024, SELECTION_EXCLUDE, SELECTION_APP };

#define SELECTION_OPTIONS                                                  \
	{ "only", required_argument, NULL, SELECTION_ONLY },               \
		{ "exclude", required_argument, NULL, SELECTION_EXCLUDE }, \
	{                                                                  \
		"app", required_argument, NULL, SELECTION_APP              \
	}

#define SELECTION_HELP_TEXT                                                          \
	N_("  --only PATTERN     only this, DOMAIN or DOMAIN/PATH with wildcards,\n" \
	   "                     and what is below it\n"                             \
	   "  --exclude PATTERN  all but this\n"                                     \
	   "  --app BUNDLE-ID    only the data of an app\n")

/*
 * selection_option - take an option if it is one of these
 * @value: borrowed
 *
 * Returns 1; 0 if it is another; -1 if it is wrong, which has been said.
 */
int selection_option(struct selection *s, const struct command *command,
		     int option, const char *value);
void selection_release(struct selection *s);

/* True if there is nothing to select by. */
bool selection_is_all(const struct selection *s);

/* selection_each - what it was made of: SELECTION_* and the text */
void selection_each(const struct selection *s,
		    void (*each)(void *arg, int option, const char *text),
		    void *arg);

/* Can there be something of a domain? */
bool selection_wants(struct selection *s, struct mb_slice domain);

/* Is an entry meant? Notes which patterns have matched. */
bool selection_has(struct selection *s, struct mb_slice domain,
		   struct mb_slice path);

/* selection_check - afterwards: -ENOENT if a pattern has matched nothing */
int selection_check(const struct selection *s, struct mb_err *err);

static inline void mb_auto_selection_release(struct selection *s)
{
	selection_release(s);
}

#endif
