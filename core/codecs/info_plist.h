/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INFO_PLIST_H
#define INFO_PLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
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

/*
 * info_plist_make - an Info.plist from what is known of the device
 * @out: gets it appended, XML
 * @guid: of this backup, random
 *
 * What @info lacks is left out. It lists no applications.
 *
 * Returns 0 or -ENOMEM.
 */
int info_plist_make(struct buf *out, const struct info_plist *info,
		    const uint8_t guid[16]);

/*
 * info_plist_applications - the Applications of an Info.plist, for a device
 *	that is to install them (RestoreApplications.plist)
 * @xml: gets the dictionary appended, bundle identifiers and their entries
 * @keeps: which of them; NULL: all
 * @count: of those; 0: nothing was appended, nothing is to be installed
 *
 * Returns 0; -ENOENT; -EBADMSG; -ENOMEM; errors of the system.
 */
int info_plist_applications(struct buf *xml, int dir_fd, const char *path,
			    bool (*keeps)(void *arg, const char *bundle_id),
			    void *arg, size_t *count, struct mb_err *err);

#endif
