/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_INSIDE_H
#define SHELF_INSIDE_H

#include <errno.h>

#include "bytes.h"
#include "own_files.h"
#include "shelf.h"
#include "shelf_keys.h"
#include "shelf_scan.h"
#include "shelf_watch.h"

/* What the rooms of a shelf share. */

enum shelf_state {
	SHELF_CLOSED, /* nobody has entered it yet */
	SHELF_OPENING,
	SHELF_OPEN,
	SHELF_LOCKED,  /* no password that fits */
	SHELF_DAMAGED, /* or it could not be opened for another reason */
};

/* A backup of the shelf, as long as the kernel knows something of it. */
struct shelf_volume {
	struct volume base; /* first; backup and tree if it is open */
	struct shelf_volume *next;
	enum shelf_state state;
	bool gone;    /* not on the shelf any more, or changed */
	bool leaving; /* to be closed as soon as the kernel lets go */
	unsigned users;
	uint64_t known; /* how often the kernel has been told of an entry */
	long long used_ms, tried_ms; /* monotonic */
	struct shelf_stamp stamp;
	char *folder, *udid;
	int64_t date;
	bool encrypted;
	/* how it ended when it was last tried to open it, and why */
	enum shelf_state failed;
	struct mb_err why;
};

/* A device has its number for ever, its link one for each target. */
struct shelf_place {
	char *key;
	uint32_t link;
	char target[MB_SHOWN_MAX + 1];
};

struct shelf {
	struct mount *mount;
	const struct options *options;
	struct unlock_source source;
	char *path;
	int dir_fd;
	struct shelf_keys keys;

	pthread_mutex_t lock;	/* for all that follows; short */
	pthread_cond_t changed; /* a state, the list, or an aside has ended */
	struct shelf_list list;
	struct shelf_place *places;
	size_t place_count;
	uint32_t next_link;
	struct shelf_volume *volumes;
	uint32_t next_volume;
	bool settle; /* perhaps there is one to be closed */
	unsigned asides;

	/* who looks at the folder again when something happens there */
	pthread_t keeper;
	bool keeps, ending, scanning, asked;
	long long scanned_ms;
	int wake_fd;
	struct shelf_watch watch;
};

/* Nodes of number 0, the shelf itself. */
#define SHELF_ROOT 1u
#define SHELF_FIRST_DEVICE 2u
#define SHELF_FIRST_LINK (UINT32_C(1) << 24)

#define SHELF_LATEST "latest"

long long shelf_now_ms(void);

/* Files that a closed backup shows, among the numbers of own_files.h. */
#define SHELF_NOTICE_DAMAGED 14u
#define SHELF_NOTICE_LOCKED 15u

/* Not of a backup. */
static inline bool shelf_is_own(fuse_ino_t ino)
{
	return !own_is(ino) && ino >> VOLUME_SHIFT == 0;
}

static inline bool shelf_is_link(fuse_ino_t ino)
{
	return shelf_is_own(ino) && ino >= SHELF_FIRST_LINK;
}

/* The folder of a backup. */
static inline bool shelf_is_top(fuse_ino_t ino)
{
	return !own_is(ino) && !shelf_is_own(ino) && (uint32_t)ino == MB_ROOT;
}

static inline bool shelf_is_notice(fuse_ino_t ino)
{
	return own_is(ino) && ((uint32_t)ino == SHELF_NOTICE_DAMAGED ||
			       (uint32_t)ino == SHELF_NOTICE_LOCKED);
}

/*
 * What is on the shelf can change at any time: a name is asked for each time,
 * so that nobody gets an old backup by a new name. Seconds.
 */
#define SHELF_NAME_TIMEOUT 0.0

static inline double shelf_attr_timeout(fuse_ino_t ino)
{
	return shelf_is_notice(ino) ? 0.0 : 1.0;
}

/* --- shelf.c --- */

/* Under the lock; NULL if it is gone. */
struct shelf_volume *shelf_find(const struct shelf *s, fuse_ino_t ino);
/* Under the lock: a new one, with a number of its own; NULL without memory. */
struct shelf_volume *shelf_volume_new(struct shelf *s,
				      const struct shelf_item *item);

/* shelf_take - the volume of an inode, until shelf_put; NULL if it is gone */
struct shelf_volume *shelf_take(struct shelf *s, fuse_ino_t ino);
void shelf_put(struct shelf *s, struct shelf_volume *v);

/*
 * shelf_settle - close what nobody uses and the kernel has forgotten, and what
 * is not to stay open then
 * @req: any that has not been answered
 */
void shelf_settle(struct shelf *s, fuse_req_t req);

/*
 * shelf_aside - do something in a thread of its own
 *
 * Returns 0 or a negative errno.
 */
int shelf_aside(struct shelf *s, void *(*run)(void *arg), void *arg);
void shelf_aside_ends(struct shelf *s);

static inline struct shelf *shelf_of(fuse_req_t req)
{
	return fs_mount(req)->shelf;
}

/* The volume of an inode, or NULL and the answer that it is gone. */
static inline struct shelf_volume *
shelf_take_for(struct shelf *s, fuse_req_t req, fuse_ino_t ino)
{
	struct shelf_volume *v = shelf_take(s, ino);

	if (!v)
		fuse_reply_err(req, ESTALE);
	return v;
}

/* --- shelf_enter.c --- */

/* shelf_enter - open it, if it is not open: can take seconds */
void shelf_enter(struct shelf *s, struct shelf_volume *v);
/* Is there a reason to? Under the lock. */
bool shelf_is_worth_entering(const struct shelf_volume *v);

/* --- shelf_keeper.c --- */

/* shelf_is_fresh - has all been seen that has happened in the folder? */
bool shelf_is_fresh(struct shelf *s);
/* shelf_await - wait until it is, but not for ever */
void shelf_await(struct shelf *s);
int shelf_keeper_start(struct shelf *s);
void shelf_keeper_end(struct shelf *s);

/* shelf_let_go - have the kernel forget what has this name in a folder */
void shelf_let_go(struct shelf *s, fuse_ino_t dir, const char *name);

/* --- shelf_table.c: all but the last under the lock --- */

struct shelf_place *shelf_place_of(const struct shelf *s,
				   const struct shelf_device *d);
/* Its inode; and the device that it is, NULL if that is gone. */
fuse_ino_t shelf_device_ino(const struct shelf *s,
			    const struct shelf_device *d);
const struct shelf_device *shelf_device_at(const struct shelf *s,
					   fuse_ino_t ino);
/* What of the list shows a volume; NULL: nothing any more. */
struct shelf_item *shelf_item_of(const struct shelf *s,
				 const struct shelf_volume *v);
/* shelf_put_up - @list changes places with the one before; 0 or -ENOMEM */
int shelf_put_up(struct shelf *s, struct shelf_list *list);

/*
 * shelf_replace - another list takes the place of the one before
 * @list: taken over
 */
void shelf_replace(struct shelf *s, struct shelf_list *list);

/* --- shelf_show.c: all but the last under the lock --- */

/* The folder that a backup is in. */
fuse_ino_t shelf_above(const struct shelf *s, const struct shelf_volume *v);
/* The device whose link it is; NULL. */
const struct shelf_device *shelf_device_of_link(const struct shelf *s,
						fuse_ino_t ino);
/* By their names; 0 if there is none. */
fuse_ino_t shelf_find_device(const struct shelf *s, const char *name);
fuse_ino_t shelf_find_backup(const struct shelf *s,
			     const struct shelf_device *d, const char *name);
/* The file that a closed backup shows; 0 if it is not closed. */
fuse_ino_t shelf_notice_ino(const struct shelf_volume *v);
const char *shelf_notice_name(fuse_ino_t ino);

/* shelf_attributes - of all that is not in an open backup; 0 or -ESTALE */
int shelf_attributes(const struct shelf *s, fuse_ino_t ino, struct stat *st);

/*
 * shelf_listing_new - a folder as it is now, for the caller to free
 *
 * NULL without memory, or if it is gone.
 */
struct shelf_listing;
struct shelf_listing *shelf_listing_new(const struct shelf *s, fuse_ino_t dir);
void shelf_answer_listing(fuse_req_t req, struct shelf *s,
			  struct shelf_listing *l, size_t size, off_t off,
			  bool plus);

/* --- shelf_about.c: requests --- */

void shelf_statfs(fuse_req_t req, fuse_ino_t ino);
void shelf_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		    size_t size);
void shelf_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

/* --- shelf_notice.c --- */

/* shelf_notice - the text of the file that a closed backup shows */
int shelf_notice(const struct shelf *s, const struct shelf_volume *v,
		 struct buf *out);

#endif
