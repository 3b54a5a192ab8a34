/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBPLIST_RECORD_H
#define LIBPLIST_RECORD_H

#include "mb/record.h"

#include <plist/plist.h>

/*
 * A file record as libplist reads it: what mbfile_decode is compared with, in
 * what it finds and in how long it takes. Shares nothing with core but the
 * struct.
 *
 * libplist_record - fill @rec from an archive
 * @rec: empty; its slices point into what is returned
 *
 * Returns the archive, to be freed with plist_free; NULL if there is no file
 * record in it.
 */
plist_t libplist_record(struct mb_record *rec, const void *blob, size_t len);

#endif
