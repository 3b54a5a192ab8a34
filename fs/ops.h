/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPS_H
#define OPS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mb/tree.h"
#include "options.h"

/*
 * Kernel request, one call into core/, reply. Nothing under a mount ever
 * changes, so the kernel may keep whatever it has been told, for ever.
 */

/* What the requests of one mount share; the session's user data. */
struct mount {
	const struct options *options;
	struct mb_backup *backup;
	struct mb_tree *tree;
	/* called once, when the kernel has shaken hands */
	void (*on_ready)(struct mount *m);
	int ready_fd;
	struct fuse_session *session;
	/* what the kernel has open, to be closed if it never says so */
	pthread_mutex_t handles_lock;
	struct handle *handles;
	/* for idle= */
	atomic_llong last_request_s; /* monotonic */
	/* statfs, computed when first asked for */
	pthread_mutex_t totals_lock;
	bool totals_known;
	struct mb_totals totals;
};

extern const struct fuse_lowlevel_ops fs_ops;

/*
 * fs_close_all - close what is still open when the session has ended: its keys
 * are not to outlive the mount
 */
void fs_close_all(struct mount *m);

/* fs_is_busy - does the kernel have a file open? */
bool fs_is_busy(struct mount *m);

/* errno for the kernel, from an error of core/ */
int fs_errno(int rc);

/* Seconds of a clock that never jumps. */
long long monotonic_s(void);

#endif
