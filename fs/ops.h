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
	/* for idle= */
	atomic_uint open_files;
	atomic_llong last_request_s; /* monotonic */
	/* statfs, computed when first asked for */
	pthread_mutex_t totals_lock;
	bool totals_known;
	struct mb_totals totals;
};

extern const struct fuse_lowlevel_ops fs_ops;

/* errno for the kernel, from an error of core/ */
int fs_errno(int rc);

/* Seconds of a clock that never jumps. */
long long monotonic_s(void);

#endif
