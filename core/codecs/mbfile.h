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

/*
 * mbfile_encode - an archive of a record
 * @out: gets the archive appended
 * @rec: path, target, mode, uid, gid, inode, size, bsd_flags,
 *	protection_class, times, wrapped_key and digest are what counts
 * @xattrs: what is to stand in ExtendedAttributes: as mbfile_encode_xattrs
 *	makes it; empty: none
 * @base: an archive that is changed into the new one, or empty
 *
 * Without a base it is as devices write it. With one, what says the same as
 * @rec stays in the form in which it was written, what says something else is
 * replaced, and what @rec lacks (target, key, digest, attributes) is taken
 * away. All else survives: keys that are not known with whatever they refer
 * to, objects that nothing refers to. A base that cannot be read counts as
 * none.
 *
 * What the format cannot hold: Times have whole seconds in 32 bits, so that
 * one before December 1901 or after January 2038 becomes the nearest that
 * there is. Text is Unicode: each byte of @rec's path or target that is not
 * part of valid UTF-8 becomes U+FFFD; the bytes of a path survive in the
 * manifest's column, those of a target in a key of ours, TargetBytes. A key of
 * another length than 44 bytes is only kept if the base has it, else it is left
 * out.
 *
 * Returns 0 or -ENOMEM, @out then unchanged.
 */
int mbfile_encode(struct buf *out, const struct mb_record *rec,
		  struct view xattrs, struct view base);

struct mbfile_xattr {
	struct mb_slice name, value; /* borrowed */
};

/*
 * mbfile_encode_xattrs - the property list form of extended attributes
 * @out: gets it appended; nothing if no attribute is left
 * @left_out: how many were left out, their names being no valid UTF-8
 *
 * Returns 0 or -ENOMEM, @out then unchanged.
 */
int mbfile_encode_xattrs(struct buf *out, const struct mbfile_xattr *xattrs,
			 size_t count, size_t *left_out);

/* the property list form of extended attributes, for mb_record_each_xattr */
int mbfile_each_xattr(struct view plist,
		      int (*each)(void *arg, struct mb_slice name,
				  struct mb_slice value),
		      void *arg);

#endif
