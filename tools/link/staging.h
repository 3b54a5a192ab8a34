/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAGING_H
#define STAGING_H

#include <stdbool.h>

#include "cleanup.h"
#include "clone.h"
#include "mb/err.h"

/*
 * The next version of a backup, made beside the last good one, which nothing
 * touches: all work happens in a clone of it, and one rename puts the clone
 * in its place when it is complete and on disk.
 *
 * In the folder DIR that holds backups:
 *
 *   <UDID>                    the last good one
 *   <UDID>-YYYYMMDD-HHMMSS    versions before it that were kept
 *   .larder-<UDID>/           while a run lasts, or if versions are kept:
 *       staging/<UDID>        the clone that is being worked on
 *       ready                 complete; about to change places with <UDID>,
 *                             or it has, and is then the version before
 *       intent                what is to become of that (see staging.c)
 *       kept                  names of the kept versions, one a line
 *
 * A run that is killed leaves this behind, and the next one clears it away.
 */
struct staging;

/*
 * staging_open - clear away what a killed run left, and clone the last backup
 * @dir: the folder that holds backups; made if only it is missing
 * @udid: name of the backup in it
 *
 * If DIR/<UDID> is a symbolic link, the backup is where it leads, and so is
 * everything else.
 *
 * Returns 0; -EBUSY if another process works on this backup; -ECANCELED;
 * errors of the system.
 */
int staging_open(struct staging **out, const char *dir, const char *udid,
		 struct mb_err *err);

/* What was not committed is removed. */
void staging_free(struct staging *staging);
MB_DEFINE_AUTO(struct staging, staging_free)

/* The folder that holds the clone <UDID>; borrowed. */
int staging_get_fd(const struct staging *staging);
/* Path of the clone, and of the backup that it will become; borrowed. */
const char *staging_get_path(const struct staging *staging);
const char *staging_get_target(const struct staging *staging);

/* True if there was a backup, of which this is a clone. */
bool staging_has_base(const struct staging *staging);
const struct clone_result *staging_get_clone(const struct staging *staging);

/*
 * staging_commit - bring the clone to disk and put it in its place
 * @keep: how many earlier versions stay; -1: as many as there are, and the
 *        one that is replaced goes
 *
 * After 0 the new version is what a crash leaves; trouble with earlier
 * versions is then no failure, and in @note.
 *
 * Returns 0; errors of the system, the last good backup then being in place.
 */
int staging_commit(struct staging *staging, int keep,
		   void (*note)(void *arg, const char *line), void *arg,
		   struct mb_err *err);

#endif
