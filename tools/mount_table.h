/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MOUNT_TABLE_H
#define MOUNT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cleanup.h"

/*
 * What is mounted, as the kernel's table says. Reading it touches none of the
 * file systems, so one that does not answer holds nobody up.
 */

#define MOUNT_TYPE_LARDERFS "fuse.larderfs"

struct mount_line {
	char *path;
	char *type;
	char *source;
	char *options; /* of the file system */
};

struct mount_table {
	struct mount_line *lines;
	size_t count;
};

/* Each place once, with what was last mounted there: 0, or a negative errno */
int mount_table_read(struct mount_table *table);
void mount_table_release(struct mount_table *table);
MB_DEFINE_AUTO_VALUE(struct mount_table, mount_table_release)

/* What is mounted just there; NULL. @path: links resolved */
const struct mount_line *mount_table_at(const struct mount_table *table,
					const char *path);

/* Is it a mount of larderfs? */
bool mount_is_ours(const struct mount_line *line);

/* Who has mounted it, of a FUSE file system; (uid_t)-1 if it does not say */
uid_t mount_get_user(const struct mount_line *line);

#endif
