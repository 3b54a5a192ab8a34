/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_DB_RECORD_H
#define MANIFEST_DB_RECORD_H

#include <sqlite3.h>

#include "mb/record.h"

/*
 * manifest_db_record - the record in a row of Manifest.db
 * @row: its columns are fileID, domain, relativePath, flags, file
 *
 * A damaged one is no error: rec->damage says so. Returns 0 or -ENOMEM.
 */
int manifest_db_record(struct mb_record *rec, sqlite3_stmt *row);

#endif
