/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stage.h"

#include <errno.h>

MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

static int write_all(struct stage *stage, struct source *source,
		     const struct mb_writer_wish *wish, struct mb_err *err)
{
	uint64_t count = source_get_totals(source)->entries;
	int rc = 0;

	for (uint64_t i = 0; i < count && rc == 0; i++) {
		if (wish->cancelled && wish->cancelled())
			return mb_err_set(err, -ECANCELED, "cancelled");
		rc = source_write(source, i, stage->writer, err);
	}
	return rc;
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
