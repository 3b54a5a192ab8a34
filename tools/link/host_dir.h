/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOST_DIR_H
#define HOST_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "mb/err.h"

/*
 * What a device may touch on this host: the only code that turns a name from
 * a device into a path.
 *
 * The device names files as "<UDID>/...". It may also use a folder
 * "<UDID>-YYYYMMDD-HHMMSS" beside it, where it puts a backup away that it
 * replaces. Everything else (absolute names, "..", other devices' folders)
 * breaks the protocol: -EPROTO, and the line shows the name. That, and errors
 * of the system, is what each function returns beside 0.
 *
 * A backup that is *served* is one that a device is restored from. It is only
 * read, and of its folder only what belongs to a backup is shown: the property
 * lists and manifests by their names, and payloads. Other names inside are
 * not there (-ENOENT); whatever would write is refused with -EROFS.
 *
 * Names are as long as said, and can hold any byte.
 */
struct host_dir {
	/* the folder that holds the device's folder; served: the backup's own
	 * folder, whatever its name on this host; borrowed */
	int fd;
	/* by which the device knows the backup: its SourceIdentifier; borrowed */
	const char *udid;
	bool served;
	/*
	 * Served: the UDID of the device itself, or NULL if that is the same;
	 * borrowed. It may look for a backup of its own, and finds none.
	 */
	const char *target;
};

struct host_name {
	const char *ptr;
	size_t len;
};

/* True for "<UDID>-YYYYMMDD-HHMMSS". */
bool host_dir_is_version(const char *udid, const char *name, size_t len);

/* host_dir_check - whether a device may use a name at all: 0 or -EPROTO */
int host_dir_check(const struct host_dir *dir, struct host_name name,
		   struct mb_err *err);

/*
 * host_dir_is_payload - a stored file of the backup, in its place
 *
 * True for "<UDID>/<xx>/<40 hexadecimal digits>" and, in the generation
 * before, "<UDID>/<40 hexadecimal digits>".
 */
bool host_dir_is_payload(const struct host_dir *dir, struct host_name name);

/* Returns a descriptor for reading. */
int host_dir_open(const struct host_dir *dir, struct host_name name,
		  int64_t *len, struct mb_err *err);

/*
 * host_dir_create - replace what is there by a new file, for writing
 * @replaced: there was something
 */
int host_dir_create(const struct host_dir *dir, struct host_name name,
		    bool *replaced, struct mb_err *err);

/* With the folders above it; -EEXIST if it is there. */
int host_dir_make_dir(const struct host_dir *dir, struct host_name name,
		      struct mb_err *err);

/*
 * host_dir_move - what is at @to is removed before
 * @replaced: there was something
 */
int host_dir_move(const struct host_dir *dir, struct host_name from,
		  struct host_name to, bool *replaced, struct mb_err *err);

/* host_dir_remove - 0 with *removed false if there was nothing */
int host_dir_remove(const struct host_dir *dir, struct host_name name,
		    bool *removed, struct mb_err *err);

/* A file, or a folder with everything in it. */
int host_dir_copy(const struct host_dir *dir, struct host_name from,
		  struct host_name to, struct mb_err *err);

/*
 * host_dir_list - the entries of a folder, none if there is no such folder
 * @each: a result other than 0 ends the walk and is returned
 */
int host_dir_list(const struct host_dir *dir, struct host_name name,
		  int (*each)(void *arg, const char *entry,
			      const struct stat *st),
		  void *arg, struct mb_err *err);

/* Bytes that an ordinary user can still write. */
int host_dir_free_space(const struct host_dir *dir, uint64_t *bytes,
			struct mb_err *err);

#endif
