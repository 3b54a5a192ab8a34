/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "cleanup.h"
#include "mb/err.h"

/*
 * A place to make something in: the folder ".larder-NAME" in another one,
 * which is there as long as the scratch is, and what a killed run left in it
 * is cleared away by the next one. What is made is a folder in it, and can be
 * kept under a name of its own.
 */
struct scratch;

/*
 * scratch_open
 * @parent: folder that has to be there
 *
 * Returns 0; -EBUSY if another process has it; errors of the system.
 */
int scratch_open(struct scratch **out, const char *parent, const char *name,
		 struct mb_err *err);
/* Removes it with what was not kept. */
void scratch_free(struct scratch *scratch);
MB_DEFINE_AUTO(struct scratch, scratch_free)

/* The empty folder to fill, and its path; borrowed. */
int scratch_get_fd(const struct scratch *scratch);
const char *scratch_get_path(const struct scratch *scratch);

/*
 * scratch_keep - the folder becomes @name in the parent
 * @path: takes its path, the caller's to free
 *
 * Returns 0; -EEXIST; errors of the system. After 0 it survives a crash.
 */
int scratch_keep(struct scratch *scratch, const char *name, char **path,
		 struct mb_err *err);

#endif
