/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "complete.h"
#include "device.h"

void complete_devices(const struct completion *c)
{
	mb_auto(free) struct device_seen *seen = NULL;
	size_t count = 0;

	if (device_list(&seen, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		mb_auto(device_free) struct device *device = NULL;
		mb_auto(free) char *name = NULL;

		if (device_open(&device, seen[i].udid, DEVICE_EITHER, NULL) ==
		    0)
			name = device_get_text(device, NULL, "DeviceName");
		completion_offer(c, seen[i].udid, name);
	}
}
