/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_WATCH_H
#define SHELF_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Events of a folder of backups, as far as they may matter. What happens on a
 * server, or in a file system of a process, is no event here: it is polled.
 */
struct shelf_watch {
	int fd;	    /* readable when something has happened; or -1 */
	bool polls; /* it does not tell all */
	int *folders;
	size_t count;
};

void shelf_watch_open(struct shelf_watch *w, int dir_fd);
void shelf_watch_close(struct shelf_watch *w);

/*
 * shelf_watch_folders - watch what is in the folder now
 *
 * Returns true if something is that was not before: a look at it from before
 * may have missed something.
 */
bool shelf_watch_folders(struct shelf_watch *w, int dir_fd);

/* Has something happened that has not been taken? */
bool shelf_watch_is_pending(const struct shelf_watch *w);

/* Take what has happened; true if it matters. */
bool shelf_watch_take(struct shelf_watch *w);

#endif
