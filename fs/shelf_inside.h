/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_INSIDE_H
#define SHELF_INSIDE_H

#include "bytes.h"
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
	struct mb_err why; /* locked or damaged */
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

/* --- shelf.c --- */

/* Under the lock. */
struct shelf_place *shelf_place_of(const struct shelf *s,
				   const struct shelf_device *d);
/* Its inode; and the device that it is, NULL if that is gone. */
fuse_ino_t shelf_device_ino(const struct shelf *s,
			    const struct shelf_device *d);
const struct shelf_device *shelf_device_at(const struct shelf *s,
					   fuse_ino_t ino);
struct shelf_volume *shelf_find(const struct shelf *s, fuse_ino_t ino);

/* shelf_take - the volume of an inode, until shelf_put; NULL if it is gone */
struct shelf_volume *shelf_take(struct shelf *s, fuse_ino_t ino);
void shelf_put(struct shelf *s, struct shelf_volume *v);

/*
 * shelf_settle - close what nobody uses and the kernel has forgotten, and what
 * is not to stay open then
 * @req: any that has not been answered
 */
void shelf_settle(struct shelf *s, fuse_req_t req);

/* shelf_enter - open it, if it is not open: can take seconds */
void shelf_enter(struct shelf *s, struct shelf_volume *v);
/* Is there a reason to? Under the lock. */
bool shelf_is_worth_entering(const struct shelf_volume *v);

/*
 * shelf_aside - do something in a thread of its own
 *
 * Returns 0 or a negative errno.
 */
int shelf_aside(struct shelf *s, void *(*run)(void *arg), void *arg);
void shelf_aside_ends(struct shelf *s);

/* --- shelf_keeper.c --- */

/* shelf_is_fresh - has all been seen that has happened in the folder? */
bool shelf_is_fresh(struct shelf *s);
/* shelf_await - wait until it is, but not for ever */
void shelf_await(struct shelf *s);
int shelf_keeper_start(struct shelf *s);
void shelf_keeper_end(struct shelf *s);

/*
 * shelf_replace - another list takes the place of the one before
 * @list: taken over
 */
void shelf_replace(struct shelf *s, struct shelf_list *list);

/* shelf_let_go - have the kernel forget what has this name in a folder */
void shelf_let_go(struct shelf *s, fuse_ino_t dir, const char *name);

/* --- shelf_notice.c --- */

/* shelf_notice - the text of the file that a closed backup shows */
int shelf_notice(const struct shelf *s, const struct shelf_volume *v,
		 struct buf *out);

#endif
