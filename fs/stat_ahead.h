/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAT_AHEAD_H
#define STAT_AHEAD_H

#include "mb/tree.h"

/*
 * Looking at entries ahead of who walks through the tree: most of what a
 * listing costs is to look at each file (its record, its padding), and one
 * thread can do that for the folders that come next while another answers. It
 * goes down first, in the order of the listings, as programs do; not far, and
 * shorter the less of it was of use. Folders that nobody has entered stay
 * unread.
 */
struct stat_ahead;

/* stat_ahead_new - NULL without memory or a thread */
struct stat_ahead *stat_ahead_new(struct mb_tree *tree, enum mb_view view);
void stat_ahead_free(struct stat_ahead *sa);

/*
 * stat_ahead_listing - a folder is about to be listed, from child @at on
 *
 * It has the children @first to @first + @count - 1.
 */
void stat_ahead_listing(struct stat_ahead *sa, uint32_t dir, uint32_t first,
			uint32_t count, uint32_t at);

/* stat_ahead_take - what has been found out of an entry; false: nothing yet */
bool stat_ahead_take(struct stat_ahead *sa, uint32_t node, struct mb_stat *st);

#endif
