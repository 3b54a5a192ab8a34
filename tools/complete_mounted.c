/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "complete.h"
#include "own_mounts.h"

void complete_mounted(const struct completion *c)
{
	mb_auto(own_mounts_release) struct own_mounts list = { 0 };

	if (own_mounts_read(&list, false, NULL) < 0 ||
	    own_mounts_describe(&list, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		const struct own_mount *m = &list.items[i];
		const char *name = m->about ? m->about->device_name : NULL;

		completion_offer(c, m->mountpoint, name);
		if (name)
			completion_offer(c, name, m->mountpoint);
	}
}
