/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FIND_H
#define FIND_H

#include "cleanup.h"
#include "mb/backup.h"

/* Backups on the disks of this computer: where they are, and what they are. */

enum found_kind {
	FOUND_CURRENT,	/* the device's own folder, named by its UDID */
	FOUND_KEPT,	/* a version that larder has kept beside it */
	FOUND_ARCHIVED, /* a copy that Apple's software has kept */
	FOUND_OTHER,	/* in a folder of another name */
};

/* Text is NULL where it is not known. */
struct found {
	char *path;
	char *problem; /* why it cannot be read; what is below is not known */
	char *udid;
	char *device_name;
	char *product_type;
	char *product_name;
	char *ios;
	int64_t date;	       /* Unix seconds; 0: unknown */
	uint64_t bytes, files; /* stored */
	uint64_t dev, ino;     /* of the folder */
	enum found_kind kind;
	bool sized; /* bytes and files are known */
	bool encrypted, complete;
};

/* Sorted: by device, the newest first; what cannot be read comes last. */
struct found_list {
	struct found *items;
	size_t count;
};

void found_list_release(struct found_list *list);
MB_DEFINE_AUTO_VALUE(struct found_list, found_list_release)

struct find_wish {
	/* to look through; none: the usual places, and all mounted disks */
	char *const *folders;
	size_t folder_count;
	bool only_these; /* @folders are backups: nothing below them */
	bool sizes;
	/* a place that has been silent for so long is left; 0: as usual */
	int64_t silence_ms;
	/* a line about a place that could not be looked through; or NULL */
	void (*note)(void *arg, const char *line);
	void *arg;
};

/*
 * find_backups - before any other thread
 *
 * Each place is looked through in a process of its own: one on a network that
 * does not answer holds up neither the others nor, for long, this call.
 *
 * Returns 0; errors of the system.
 */
int find_backups(struct found_list *list, const struct find_wish *wish,
		 struct mb_err *err);

/* "current", "kept", "archived", "other" */
const char *found_kind_name(enum found_kind kind);

/* The model by its name, or by its identifier; NULL. */
const char *found_get_model(const struct found *found);

#endif
