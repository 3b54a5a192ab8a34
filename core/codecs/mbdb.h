/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MBDB_H
#define MBDB_H

#include "bytes.h"
#include "mb/record.h"

/* Manifest.mbdb of iOS 4 to 9: a magic, then records, nothing else
 * (iphone-backup(5), MANIFEST.MBDB). */

#define MBDB_MAGIC_LEN 6
#define MBDB_RECORD_MIN 50
/* five strings, and 255 properties of two strings each, of 65534 bytes */
#define MBDB_RECORD_MAX (40 + 5 * 65536 + 255 * 2 * 65536)

/* The parts of a record that an index needs, borrowed from its bytes. */
struct mbdb_head {
	struct mb_slice domain;
	struct mb_slice path;
	uint16_t mode;
	int64_t size;
	size_t len; /* of the whole record */
};

/*
 * mbdb_head - look at the record at the front of @data
 *
 * Returns 0; -EBADMSG if it is malformed; -EAGAIN if @data ends within it.
 */
int mbdb_head(struct mbdb_head *head, struct view data);

/*
 * mbdb_decode - the whole record at the front of @data
 * @rec: its slices borrow from @data; file_id is left alone
 *
 * Returns as mbdb_head.
 */
int mbdb_decode(struct mb_record *rec, struct view data);

/* the type in a mode, 0 if it has none that a backup can hold */
enum mb_type mode_type(uint32_t mode);

/* the stored form of properties, for mb_record_each_xattr */
int mbdb_each_xattr(struct view properties,
		    int (*each)(void *arg, struct mb_slice name,
				struct mb_slice value),
		    void *arg);

#endif
