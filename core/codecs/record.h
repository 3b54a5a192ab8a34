/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RECORD_H
#define RECORD_H

#include "bytes.h"
#include "crypto.h"
#include "mb/record.h"

MB_DEFINE_AUTO_VALUE(struct mb_record, mb_record_release)

/*
 * record_reset - empty a record for a new content, using its memory again
 * @room: most bytes that record_keep is going to copy into it
 *
 * Returns 0 or -ENOMEM.
 */
int record_reset(struct mb_record *rec, size_t room);

/*
 * record_keep - copy bytes into the record's memory and point @slice at them
 *
 * Returns 0; -ENOMEM if it is more than was announced.
 */
int record_keep(struct mb_record *rec, struct mb_slice *slice, const void *ptr,
		size_t len);

/* record_file_id - lower-case hex of SHA-1(domain "-" path): LAYOUT */
int record_file_id(char out[2 * SHA1_LEN + 1], struct mb_slice domain,
		   struct mb_slice path);

#endif
