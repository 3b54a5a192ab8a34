/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DIFF_REPORT_H
#define DIFF_REPORT_H

#include "comparison.h"
#include "progress.h"

/* What larder diff prints: larder-diff(1), OUTPUT. */

struct diff_counts {
	uint64_t added, removed, changed, unchanged;
	uint64_t damaged; /* also counted above, if anything else is known */
	/* of files: added, removed, and new where the content has changed */
	uint64_t added_bytes, removed_bytes, changed_bytes;
};

struct diff_report {
	struct progress *progress;
	const char *paths[2]; /* of the backups, as they were given */
	struct mb_tree *tree[2];
	bool json, summary;
	/* private */
	struct diff_counts domain, all;
	uint64_t domains; /* that differ */
	int failed;	  /* the first error that is no damage; or 0 */
};

/* An entry, or two, that have been compared. Returns 0; as mb_tree_record. */
int diff_report_entry(struct diff_report *r, const struct comparison *one,
		      struct mb_err *err);
/* All of a domain has been reported. */
void diff_report_domain(struct diff_report *r, struct mb_slice domain);
/* All has. @compared: whose entries they were */
void diff_report_end(struct diff_report *r, const struct comparer *compared);

#endif
