/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WORK_H
#define WORK_H

#include "progress.h"
#include "watch.h"

/*
 * Work that takes long and needs no device: what it does is shown meanwhile,
 * and Ctrl-C winds it up (watch_cancelled says so). {0} is none.
 */
struct work {
	struct progress *progress;
	bool watched;
};

/*
 * work_begin - before any other thread
 * @work: stays where it is until work_release
 * @look: as of progress_open
 */
int work_begin(struct work *work, const struct common *c,
	       void (*look)(void *arg, struct progress_state *state), void *arg,
	       struct mb_err *err);

/* What follows, cleaning up, is neither shown nor wound up by Ctrl-C. */
void work_end(struct work *work);
void work_release(struct work *work);
MB_DEFINE_AUTO_VALUE(struct work, work_release)

/* For mb_backup_on_note and the like: a line about what is odd. @arg: work */
void work_note(void *arg, const char *line);

/* The error of something that Ctrl-C has ended. */
int work_cancelled(struct mb_err *err);

#endif
