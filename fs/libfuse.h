/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBFUSE_H
#define LIBFUSE_H

/* The FUSE library, 3.10 and later; what 3.10 and 3.11 lack is here. */

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 12)

#include <stdlib.h>

static inline struct fuse_loop_config *fuse_loop_cfg_create(void)
{
	return calloc(1, sizeof(struct fuse_loop_config));
}

static inline void fuse_loop_cfg_destroy(struct fuse_loop_config *config)
{
	free(config);
}

/* They start a thread whenever all are busy. */
static inline void
fuse_loop_cfg_set_max_threads(struct fuse_loop_config *config, unsigned count)
{
	(void)config, (void)count;
}

static inline void
fuse_loop_cfg_set_idle_threads(struct fuse_loop_config *config, unsigned count)
{
	config->max_idle_threads = count;
}

#endif

#endif
