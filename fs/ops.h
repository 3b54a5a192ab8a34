/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPS_H
#define OPS_H

#include <pthread.h>
#include <stdatomic.h>

#include "libfuse.h"
#include "open_files.h"
#include "options.h"
#include "volume.h"
#include "ways.h"
#include "workers.h"

/*
 * Kernel request, one call into core/, reply. Nothing under a mount ever
 * changes, so the kernel may keep whatever it has been told, for ever.
 */

/* What the requests of one mount share; the session's user data. */
struct mount {
	const struct options *options;
	struct volume volume;
	struct shelf *shelf; /* a folder of backups: instead of the volume */
	/* called once, when the kernel has shaken hands */
	void (*on_ready)(struct mount *m);
	int ready_fd;
	struct fuse_session *session;
	struct workers workers;
	struct ways ways;
	struct open_files files;
	struct ahead *ahead; /* NULL: nobody does that */
	atomic_bool greeted; /* of handshake.c */
	bool offers_mmap;
	atomic_bool asked;   /* for anything, once */
	atomic_bool opened;  /* a file, once */
	bool stays_awake;    /* wakeful.h */
	bool has_workers;    /* workers.h */
	char read_ahead[64]; /* what sets it, "" if unknown: read_ahead.h */
	/* for idle= */
	atomic_llong last_request_s; /* monotonic */
};

extern const struct fuse_lowlevel_ops fs_ops;

/* fs_mount - the mount that a request is for; idle= counts from it */
struct mount *fs_mount(fuse_req_t req);

/* fs_set_owner - owner and permissions, as the options say */
void fs_set_owner(const struct mount *m, struct stat *st);

/* fs_reply_entry - an answer to lookup, which is counted (fs_known) */
void fs_reply_entry(fuse_req_t req, struct mount *m,
		    const struct fuse_entry_param *e);

/*
 * fs_known - the kernel has been told of so many entries of the backup of an
 * inode, or (less than 0) has not
 */
void fs_known(struct mount *m, fuse_ino_t ino, int more);

/* fs_volume - the backup that an inode is an entry of */
struct volume *fs_volume(struct mount *m, fuse_ino_t ino);

/* fs_report - one line about a damaged entry, however often it is met */
void fs_report(struct volume *v, uint32_t node, const char *what);

/* What statfs counts in, and what a file is read by that is not a film. */
#define FS_BLOCK_SIZE 4096

/* fs_reply_xattr - a value or a list of names; or @rc, an error of core/ */
void fs_reply_xattr(fuse_req_t req, int rc, const struct buf *value,
		    size_t size);

/* errno for the kernel, from an error of core/ */
int fs_errno(int rc);

#endif
