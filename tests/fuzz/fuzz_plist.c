/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

#include "info_plist.h"
#include "manifest_plist.h"
#include "plistx.h"
#include "status_plist.h"

static void touch_text(const char *text)
{
	if (text)
		fuzz_touch(text, strlen(text));
}

static void look(plist_t node)
{
	static const char *const keys[] = { "a", "IsEncrypted", "Version",
					    "BackupKeyBag", "Date" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct view data = { 0 };
		int64_t date;
		bool flag;

		touch_text(plistx_text(node, keys[i]));
		plistx_bool(node, keys[i], &flag);
		plistx_date(node, keys[i], &date);
		if (plistx_data(node, keys[i], &data))
			fuzz_touch(data.ptr, data.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_plist manifest;
	enum snapshot_state state;
	struct info_plist info;
	struct mb_err err;
	plist_t node;
	int rc;

	rc = plistx_parse(&node, view_of(data, size), "fuzz", &err);
	MUST((rc == 0) == (node != NULL));
	if (rc < 0)
		return 0;
	look(node);
	plistx_free(node);

	fuzz_put("list", data, size);
	if (info_plist_read(&info, fuzz_dir_fd(), "list", &err) == 0) {
		touch_text(info.device_name);
		touch_text(info.udid);
		info_plist_release(&info);
	}
	if (status_plist_read(&state, fuzz_dir_fd(), "list", &err) == 0)
		touch_text(snapshot_state_name(state));
	if (manifest_plist_read(&manifest, fuzz_dir_fd(), "list", &err) == 0) {
		fuzz_touch(manifest.keybag.ptr, manifest.keybag.len);
		touch_text(manifest.udid);
		manifest_plist_release(&manifest);
	}
	return 0;
}
