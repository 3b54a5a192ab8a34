/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status_plist.h"

#include <string.h>

#include "plistx.h"

#define STATUS_MAX (1u << 20)

static const char *const names[] = {
	[SNAPSHOT_UPLOADING] = "uploading",
	[SNAPSHOT_MOVING] = "moving",
	[SNAPSHOT_REMOVING] = "removing",
	[SNAPSHOT_FINISHED] = "finished",
};

int status_plist_read(enum snapshot_state *state, int dir_fd, const char *path,
		      struct mb_err *err)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	const char *word;
	int rc;

	*state = SNAPSHOT_UNKNOWN;
	rc = plistx_read(&dict, dir_fd, path, STATUS_MAX, err);
	if (rc < 0)
		return rc;
	word = plistx_text(dict, "SnapshotState");
	for (size_t i = 0; word && i < sizeof(names) / sizeof(*names); i++)
		if (names[i] && !strcmp(word, names[i]))
			*state = (enum snapshot_state)i;
	return 0;
}

const char *snapshot_state_name(enum snapshot_state state)
{
	return names[state];
}
