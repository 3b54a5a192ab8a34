/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TWO_BACKUPS_H
#define TWO_BACKUPS_H

#include "mb/tree.h"
#include "tool.h"

/* Two backups at once, each of which can need a password of its own. */
struct two_backups {
	struct mb_backup *backup[2];
	struct mb_tree *tree[2];
};

/*
 * two_backups_open - opened, unlocked and loaded, with their trees
 * @other: where the second one's password is to come from; where nothing is
 *         given there, from @source, as the first one's
 *
 * A password is derived once for two that have the same key bag, as kept
 * versions have; otherwise for both at the same time.
 *
 * Returns 0; as mb_backup_open, unlock and mb_backup_load.
 */
int two_backups_open(struct two_backups *two, const char *const paths[2],
		     const struct unlock_source *source,
		     const struct unlock_source *other, struct mb_err *err);
void two_backups_release(struct two_backups *two);
MB_DEFINE_AUTO_VALUE(struct two_backups, two_backups_release)

#endif
