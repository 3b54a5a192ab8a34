/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAGE_H
#define STAGE_H

#include "scratch.h"
#include "source.h"

/*
 * A source, written as a new backup, opened again with the reader and
 * compared: larder-restore(1), STAGING.
 */
struct stage {
	struct scratch *scratch;
	struct mb_writer *writer;
	struct mb_writer_counts counts; /* another thread may look */
	struct mb_backup *made;		/* opened, unlocked, loaded */
};

/*
 * stage_fill
 * @stage: with a scratch
 * @wish: like, about and counts are filled in
 * @sync: the result is to stay
 *
 * Returns 0; -EIO if the result is not what it should be; as source_write and
 * source_compare.
 */
int stage_fill(struct stage *stage, struct source *source,
	       struct mb_writer_wish *wish, bool sync, struct mb_err *err);

void stage_release(struct stage *stage);

static inline void mb_auto_stage_release(struct stage *stage)
{
	stage_release(stage);
}

#endif
