/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "work.h"

#include <errno.h>

static void tick(void *arg, int64_t idle_ms)
{
	struct work *work = arg;

	progress_tick(work->progress, idle_ms);
}

int work_begin(struct work *work, const struct common *c,
	       void (*look)(void *arg, struct progress_state *state), void *arg,
	       struct mb_err *err)
{
	int rc = progress_open(&work->progress, c, look, arg, err);

	if (rc == 0)
		rc = watch_start(tick, work, err);
	work->watched = rc == 0;
	return rc;
}

void work_end(struct work *work)
{
	if (work->progress)
		progress_end(work->progress);
	if (work->watched)
		watch_stop();
	work->watched = false;
}

void work_release(struct work *work)
{
	work_end(work);
	progress_free(work->progress);
	work->progress = NULL;
}

void work_note(void *arg, const char *line)
{
	struct work *work = arg;

	progress_warn(work->progress, "%s", line);
}

int work_cancelled(struct mb_err *err)
{
	return mb_err_set(err, -ECANCELED, "cancelled");
}
