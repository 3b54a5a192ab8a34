/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MBFILE_H
#define MBFILE_H

#include "bytes.h"
#include "mb/record.h"

/*
 * The file column of Manifest.db: an NSKeyedArchiver archive of one MBFile
 * object (iphone-backup(5), FILE RECORD).
 */

/* What mbfile_decode keeps in the record, at most: a target as UTF-8. */
#define MBFILE_ROOM(blob_len) (2 * (blob_len))

/*
 * mbfile_decode - fill a record from an archive
 * @rec: its domain, path, file_id and type are left alone
 * @blob: is borrowed: the record's slices point into it, so it must live (and
 *        stay in place) as long as they are used
 *
 * What is of the wrong type counts as zero, as the format's tolerance asks.
 *
 * Returns 0; -EBADMSG if the archive cannot be read, @rec then holds what was
 * understood; -ENOMEM.
 */
int mbfile_decode(struct mb_record *rec, struct view blob);

/* the property list form of extended attributes, for mb_record_each_xattr */
int mbfile_each_xattr(struct view plist,
		      int (*each)(void *arg, struct mb_slice name,
				  struct mb_slice value),
		      void *arg);

#endif
