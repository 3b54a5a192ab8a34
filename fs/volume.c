/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volume.h"

#include <stdlib.h>

#include "log.h"
#include "open_ahead.h"
#include "ops.h"
#include "stat_ahead.h"

void volume_init(struct volume *v, uint32_t number, struct mb_backup *backup,
		 struct mb_tree *tree)
{
	*v = (struct volume){
		.number = number,
		.backup = backup,
		.tree = tree,
		.totals_lock = PTHREAD_MUTEX_INITIALIZER,
	};
}

void volume_start(struct volume *v, struct mount *m)
{
	struct ways *ways = &m->ways;
	bool passed = way_is_open(ways, WAY_PASSTHROUGH) &&
		      !mb_backup_get_info(v->backup)->encrypted;

	if (way_is_open(ways, WAY_STAT_AHEAD))
		v->stat_ahead = stat_ahead_new(v->tree, m->options->view);
	if (v->stat_ahead)
		way_works(ways, WAY_STAT_AHEAD, "");
	if (way_is_open(ways, WAY_OPEN_AHEAD))
		v->open_ahead = open_ahead_new(
			m, v,
			way_is_open(ways, WAY_STORE_AT_OPEN) &&
				!way_is_open(ways, WAY_SILENT_OPEN) && !passed);
	if (v->open_ahead)
		way_works(ways, WAY_OPEN_AHEAD, "");
}

void volume_stop(struct volume *v)
{
	stat_ahead_free(v->stat_ahead);
	v->stat_ahead = NULL;
	open_ahead_free(v->open_ahead);
	v->open_ahead = NULL;
}

void volume_release(struct volume *v)
{
	volume_stop(v);
	mb_tree_free(v->tree);
	v->tree = NULL;
	mb_backup_free(v->backup);
	v->backup = NULL;
	free(v->label);
	v->label = NULL;
}

void volume_totals(struct volume *v, struct mb_totals *totals)
{
	struct mb_err err;

	pthread_mutex_lock(&v->totals_lock);
	if (!v->totals_known &&
	    mb_backup_each_domain(v->backup, NULL, NULL, &v->totals, &err) < 0)
		log_line("%s%ssize of the backup: %s", v->label ? v->label : "",
			 v->label ? ": " : "", err.text);
	v->totals_known = true;
	*totals = v->totals;
	pthread_mutex_unlock(&v->totals_lock);
}
