/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_CARVED_H
#define MANIFEST_CARVED_H

#include "manifest.h"

/* What has been found in a manifest that is damaged. */
struct carved {
	uint64_t pages;		/* of Manifest.db, that are there */
	uint64_t recorded;	/* pages that it had; 0: unknown */
	uint64_t damaged_pages; /* that should hold rows, and cannot be read */
	uint64_t skipped;	/* bytes of Manifest.mbdb */
	uint64_t rows;		/* recovered */
	uint64_t free_rows;	/* of these, from pages that were free */
	uint64_t lost_rows;	/* met, but not to be put together */
};

/*
 * manifest_open_carved - the rows that can be found in a damaged Manifest.db
 * @p: becomes the manifest's own, also on failure
 * @places: rows from free pages, which may have been deleted, count only if
 *          their payload is there
 *
 * Every page is looked at for itself. Of several rows for one file ID the best
 * counts: one that a page lists before one that only looks like a row, and
 * both before one from a free page; then the newest.
 *
 * Returns 0, also if there are none; -ENOMEM; errors of the system.
 */
int manifest_open_carved(struct manifest **out, struct payload *p,
			 const struct payload_places *places,
			 struct carved *carved, struct mb_err *err);

/*
 * manifest_open_mbdb_pieces - the records that can be read of a Manifest.mbdb
 * @p: as above
 *
 * Behind what cannot be a record it goes on where two follow each other that
 * can be ones.
 */
int manifest_open_mbdb_pieces(struct manifest **out, struct payload *p,
			      struct carved *carved, struct mb_err *err);

#endif
