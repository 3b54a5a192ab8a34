/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STATUS_PLIST_H
#define STATUS_PLIST_H

#include <stdint.h>

#include "bytes.h"
#include "mb/err.h"

/* SnapshotState of Status.plist, the only sign that a backup is complete
 * (PROPERTY LISTS). */
enum snapshot_state {
	SNAPSHOT_UNKNOWN,   /* no Status.plist, or another word */
	SNAPSHOT_UPLOADING, /* the main folder is the backup before */
	SNAPSHOT_MOVING,    /* a mixture: look into Snapshot/ first */
	SNAPSHOT_REMOVING,  /* complete, superfluous payloads may be there */
	SNAPSHOT_FINISHED,
};

/* Returns 0; -ENOENT; -EBADMSG; errors of the system. */
int status_plist_read(enum snapshot_state *state, int dir_fd, const char *path,
		      struct mb_err *err);

/*
 * status_plist_make - the Status.plist of a backup that is complete
 * @out: gets it appended, binary
 * @uuid: of this backup, random
 * @date: Unix seconds
 *
 * Returns 0 or -ENOMEM.
 */
int status_plist_make(struct buf *out, const uint8_t uuid[16], int64_t date);

/* The word in the file; NULL for SNAPSHOT_UNKNOWN. */
const char *snapshot_state_name(enum snapshot_state state);

#endif
