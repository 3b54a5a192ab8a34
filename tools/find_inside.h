/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FIND_INSIDE_H
#define FIND_INSIDE_H

#include "bytes.h"
#include "find.h"
#include "mount_table.h"

/* What the rooms of find share: places, the walk through one, what it says. */

/* A folder to look through. */
struct place {
	char *path;
	int depth;  /* levels of folders below it */
	bool given; /* by the user: if it is not there, that is said */
	bool home;  /* perhaps the home of somebody */
};

struct places {
	struct place *items;
	size_t count;
};

/* find_places.c */

/* places_add - unless it is there; 0 or -ENOMEM. @path is copied */
int places_add(struct places *places, struct place place);
/* places_add_usual - of this user, and of all mounted disks; 0 or -ENOMEM */
int places_add_usual(struct places *places, const struct mount_table *table);
/* Levels of folders on a disk that nobody has asked to look through. */
#define PLACE_DISK_DEPTH 2
/* Is it worth a look, though nobody has asked for it? */
bool place_is_disk(const struct mount_line *line);
/* Is it none even for who asks? */
bool place_is_pseudo(const struct mount_line *line);
void places_release(struct places *places);
MB_DEFINE_AUTO_VALUE(struct places, places_release)

/* found.c: what a walk says, as bytes; each a head and what follows it */

enum message_type {
	MESSAGE_ALIVE, /* nothing to tell, but it goes on */
	MESSAGE_FOUND,
	MESSAGE_NOTE,  /* text */
	MESSAGE_MOUNT, /* text: a folder where something else is mounted */
	MESSAGE_END,   /* all has been looked through */
};

struct message_head {
	uint32_t type;
	uint32_t len;  /* of what follows */
	int32_t depth; /* of MESSAGE_MOUNT: levels that are left */
};

int found_encode(struct buf *out, const struct found *found);
/* found_decode - the texts are copies; 0, -EBADMSG, -ENOMEM */
int found_decode(struct found *found, struct view bytes);
void found_release(struct found *found);

/* found_list_add - takes @found over, unless the folder is listed already */
int found_list_add(struct found_list *list, struct found *found);
void found_list_sort(struct found_list *list);

/* find_walk.c */

/*
 * find_walk - look through a place, and write messages
 *
 * Is ended by its reader, if need be: what it waits for may never come.
 */
void find_walk(const struct place *place, const struct mount_table *table,
	       const struct find_wish *wish, int to_fd);

/* find_measure.c */

/*
 * find_measure - bytes and number of the files that a backup consists of
 * @alive: called now and then, from any thread
 */
int find_measure(int dir_fd, uint64_t *bytes, uint64_t *files,
		 void (*alive)(void *arg), void *arg);

#endif
