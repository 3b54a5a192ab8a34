/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WAYS_H
#define WAYS_H

#include <pthread.h>
#include <stdbool.h>

#include "bytes.h"
#include "mb/backup.h"

/*
 * The ways that bytes can take from a backup to a reader, faster ones than a
 * message for each piece. Which of them are open depends on the library that
 * this was built with, the kernel, the rights of the user and the backup. This
 * is the one place that knows which are in use, and what stands against the
 * others.
 */
enum way {
	WAY_PASSTHROUGH,   /* plain: the kernel reads the payload by itself */
	WAY_DIRECT,	   /* large media past the page cache */
	WAY_READ_AHEAD,	   /* the kernel asks for more at once */
	WAY_AHEAD,	   /* a thread reads ahead of a reader */
	WAY_STAT_AHEAD,	   /* another looks at entries before they are listed */
	WAY_OPEN_AHEAD,	   /* another opens the files that come next */
	WAY_STORE_AT_OPEN, /* a small file's, before open is answered */
	WAY_WORKERS,	   /* more threads where those at work are held up */
	WAY_STAY_AWAKE,	   /* look for the next request before falling asleep */
	WAY_SILENT_OPEN,   /* no message for an open */
	WAY_IO_URING,	   /* messages through a shared ring */
	WAY_COUNT,
};

/* A set of them, one bit each. */
#define WAY_BIT(way) (1u << (way))
#define WAYS_DEFAULT                                         \
	(WAY_BIT(WAY_PASSTHROUGH) | WAY_BIT(WAY_DIRECT) |    \
	 WAY_BIT(WAY_READ_AHEAD) | WAY_BIT(WAY_AHEAD) |      \
	 WAY_BIT(WAY_STAT_AHEAD) | WAY_BIT(WAY_OPEN_AHEAD) | \
	 WAY_BIT(WAY_STORE_AT_OPEN) | WAY_BIT(WAY_WORKERS) | \
	 WAY_BIT(WAY_STAY_AWAKE))

enum way_state {
	WAY_NO,
	WAY_UNTRIED, /* nothing stands against it so far */
	WAY_YES,
};

struct ways {
	pthread_mutex_t lock;
	struct {
		enum way_state state;
		char why[120]; /* one line, "" for nothing to say */
	} of[WAY_COUNT];
};

/*
 * ways_init - what can be told before anything is mounted
 * @wanted: the set that may be used
 * @backup: opened, or NULL for any
 */
void ways_init(struct ways *w, unsigned wanted, const struct mb_backup *backup);

/* way_name - as ways= has it; NULL behind the last */
const char *way_name(int way);

/* way_is_open - in use, or worth a try */
bool way_is_open(struct ways *w, enum way way);

/* way_works - it has been tried; @note: one line, "" for none */
void way_works(struct ways *w, enum way way, const char *note);

/*
 * way_fails - it has been tried, or something stands against it
 *
 * Returns true if it was open until now: only one caller has to say so.
 */
bool way_fails(struct ways *w, enum way way, const char *why);

/* ways_describe - a line for each: "name=yes (note)", "name=no (reason)" */
int ways_describe(struct ways *w, struct buf *out);

/*
 * ways_named - a set from its names, with colons between; "default"; "none"
 *
 * Returns false for a name of none.
 */
bool ways_named(const char *names, unsigned *set);

#endif
