/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status_plist.h"

#include <stdio.h>
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

static void uuid_text(char out[37], const uint8_t uuid[16])
{
	static const int lens[] = { 4, 2, 2, 2, 6 };

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		for (int n = 0; n < lens[i]; n++)
			out += sprintf(out, "%02X", *uuid++);
		*out++ = '-';
	}
	out[-1] = '\0';
}

int status_plist_make(struct buf *out, const uint8_t uuid[16], int64_t date)
{
	mb_auto(plistx_free) plist_t dict = plist_new_dict();
	char text[37];

	uuid_text(text, uuid);
	/* the newest version; devices accept 2.4 and up */
	plist_dict_set_item(dict, "Version", plist_new_string("3.3"));
	plist_dict_set_item(dict, "UUID", plist_new_string(text));
	plist_dict_set_item(dict, "Date", plistx_new_date(date));
	plist_dict_set_item(dict, "BackupState", plist_new_string("new"));
	plist_dict_set_item(dict, "SnapshotState",
			    plist_new_string(names[SNAPSHOT_FINISHED]));
	plist_dict_set_item(dict, "IsFullBackup", plist_new_bool(1));
	return plistx_write_binary(dict, out);
}
