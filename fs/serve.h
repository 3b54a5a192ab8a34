/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SERVE_H
#define SERVE_H

#include "mb/tree.h"
#include "options.h"
#include "shelf.h"

/*
 * serve - mount, and answer until it is unmounted or a signal comes
 * @mountpoint: with links resolved
 *
 * Unless in the foreground, a child does it, and this returns in the parent as
 * soon as the mount answers (or has failed). Both return an exit status.
 */
int serve(const struct options *o, struct mb_backup *backup,
	  struct mb_tree *tree, const char *mountpoint);

/* serve_shelf - the same for a folder of backups */
int serve_shelf(const struct options *o, struct shelf *shelf,
		const char *mountpoint);

#endif
