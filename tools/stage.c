/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stage.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crew.h"

MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

struct writing {
	struct stage *stage;
	struct source *source;
	bool (*cancelled)(void);
	pthread_mutex_t lock;
	atomic_int rc; /* of the first that failed; the others are given up */
	struct mb_err err;
};

static void writing_failed(struct writing *w, int rc, const struct mb_err *err)
{
	pthread_mutex_lock(&w->lock);
	if (!w->rc) {
		w->err = *err;
		w->rc = rc;
	}
	pthread_mutex_unlock(&w->lock);
}

static void write_entry(void *arg, size_t i)
{
	struct writing *w = arg;
	struct mb_err err;
	int rc;

	if (w->rc)
		return;
	rc = w->cancelled && w->cancelled() ?
		     mb_err_set(&err, -ECANCELED, "cancelled") :
		     source_write(w->source, i, w->stage->writer, &err);
	if (rc < 0)
		writing_failed(w, rc, &err);
}

/* Payloads do not depend on each other, so two threads make them. */
static int write_all(struct stage *stage, struct source *source,
		     const struct mb_writer_wish *wish, struct mb_err *err)
{
	mb_auto(crew_free) struct crew *crew = NULL;
	struct writing w = { .stage = stage,
			     .source = source,
			     .cancelled = wish->cancelled };

	if (crew_open(&crew) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&w.lock, NULL);
	crew_each(crew, source_get_totals(source)->entries, 2, write_entry, &w);
	pthread_mutex_destroy(&w.lock);
	if (w.rc)
		*err = w.err;
	return w.rc;
}

static int open_made(struct stage *stage, struct mb_err *err)
{
	int rc = mb_backup_open(&stage->made, scratch_get_path(stage->scratch),
				err);

	if (rc == 0)
		rc = mb_writer_unlock(stage->writer, stage->made, err);
	return rc < 0 ? rc : mb_backup_load(stage->made, err);
}

static int judge(struct stage *stage, struct source *source,
		 const struct mb_writer_wish *wish, struct mb_err *err)
{
	mb_auto(mb_tree_free) struct mb_tree *tree = NULL;
	int rc = open_made(stage, err);

	if (rc == 0)
		rc = mb_tree_open(&tree, stage->made, MB_VIEW_DOMAINS, err);
	return rc < 0 ? rc :
			source_compare(source, stage->made, tree,
				       wish->cancelled, err);
}

int stage_fill(struct stage *stage, struct source *source,
	       struct mb_writer_wish *wish, bool sync, struct mb_err *err)
{
	int rc;

	wish->like = source_get_base(source);
	wish->about = source_get_about(source);
	wish->counts = &stage->counts;
	rc = mb_writer_open(&stage->writer, scratch_get_fd(stage->scratch),
			    wish, err);
	if (rc == 0)
		rc = write_all(stage, source, wish, err);
	if (rc == 0)
		rc = mb_writer_commit(stage->writer, sync, err);
	return rc < 0 ? rc : judge(stage, source, wish, err);
}

void stage_release(struct stage *stage)
{
	mb_backup_free(stage->made);
	mb_writer_free(stage->writer);
	scratch_free(stage->scratch);
	stage->made = NULL;
	stage->writer = NULL;
	stage->scratch = NULL;
}
