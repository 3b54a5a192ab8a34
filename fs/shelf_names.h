/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHELF_NAMES_H
#define SHELF_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mb/tree.h"

/*
 * What the folders of a shelf are called: "<Device name> (<UDID>)", of the UDID
 * as much as tells it apart, and in it a backup by its date, local time.
 * larderfs(8), A FOLDER OF BACKUPS, has the rules for people.
 */

/* Text is NULL where it is not known; any bytes. */
struct shelf_name {
	const char *folder; /* that the backup is in */
	const char *udid;
	const char *device_name;
	int64_t date; /* Unix seconds; 0: unknown */
	bool complete;
	/* made by shelf_names_make */
	size_t device;
	char text[MB_SHOWN_MAX + 1];
};

struct shelf_device {
	const char *key; /* UDID, or the folder if there is none; borrowed */
	char text[MB_SHOWN_MAX + 1];
	int64_t date;	/* of its newest backup */
	ssize_t latest; /* its newest complete backup, -1 if there is none */
};

/*
 * shelf_names_make - group by device, and name all
 * @names: changes places: sorted by device and date
 * @devices: for the caller to free
 *
 * Returns how many devices there are; -ENOMEM.
 */
ssize_t shelf_names_make(struct shelf_name **names, size_t count,
			 struct shelf_device **devices);

#endif
