/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Before anything is made: is something where an entry is to be? */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract.h"
#include "extract_dest.h"
#include "extract_walk.h"

static int in_the_way(const struct extract *x, uint32_t node,
		      struct mb_err *err)
{
	char path[300];

	mb_tree_get_path(x->tree, node, path, sizeof(path));
	return mb_err_set(
		err, -EEXIST,
		"%s: %s is there already; nothing was extracted (--overwrite replaces what is in the way)",
		x->wish.dest, path);
}

/* Folders that are there are looked into; in others nothing can be. */
static int open_folder(void *arg, struct extract_folder *f, const char *name,
		       struct mb_err *err)
{
	f->fd = openat(f->above->fd, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->fd >= 0)
		return 0;
	return errno == ENOTDIR || errno == ELOOP ?
		       in_the_way(arg, f->node, err) :
		       1;
}

int extract_check(struct extract *x, const struct extract_dest *dest,
		  struct mb_err *err)
{
	struct extract_walk walk = {
		.tree = x->tree, .plan = &x->plan, .open = open_folder, .arg = x
	};
	struct extract_folder *folder;
	uint32_t node;
	int rc = extract_walk_begin(&walk, dest->fd, err);

	while (rc == 0) {
		struct stat st;

		rc = extract_walk_next(&walk, &folder, &node, err);
		if (rc <= 0)
			break;
		rc = fstatat(folder->fd, mb_tree_get_name(x->tree, node), &st,
			     AT_SYMLINK_NOFOLLOW) == 0 ?
			     in_the_way(x, node, err) :
			     0;
		if (rc == 0 && extract_is_stopped())
			rc = work_cancelled(err);
		extract_walk_release(&walk, folder);
	}
	extract_walk_end(&walk);
	return rc;
}
