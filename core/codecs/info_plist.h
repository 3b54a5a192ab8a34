/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INFO_PLIST_H
#define INFO_PLIST_H

#include <stdint.h>

#include "mb/err.h"

/* Info.plist, written by the host: who the device is (PROPERTY LISTS).
 * Strings are owned, NULL where absent. */
struct info_plist {
	char *device_name;
	char *product_type;
	char *product_name;
	char *product_version;
	char *build_version;
	char *serial_number;
	char *udid;
	int64_t date; /* Unix seconds, 0 if absent */
};

/* Returns 0; -ENOENT; -EBADMSG; errors of the system. */
int info_plist_read(struct info_plist *info, int dir_fd, const char *path,
		    struct mb_err *err);
void info_plist_release(struct info_plist *info);

#endif
