/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef COMPARISON_H
#define COMPARISON_H

#include <stdatomic.h>

#include "crew.h"
#include "mb/tree.h"

/* What can differ between two entries: larder-diff(1), DESCRIPTION. */
enum difference {
	DIFFERS_TYPE = 1 << 0,
	DIFFERS_CONTENT = 1 << 1,
	DIFFERS_SIZE = 1 << 2,
	DIFFERS_MODE = 1 << 3,
	DIFFERS_OWNER = 1 << 4,
	DIFFERS_TIMES = 1 << 5,
	DIFFERS_TARGET = 1 << 6,
	DIFFERS_ATTRIBUTES = 1 << 7,
	DIFFERS_PROTECTION = 1 << 8,
};

#define DIFFERENCES 9

/* difference_name - the word for 1 << @number */
const char *difference_name(unsigned number);

/* Two backups whose entries are compared, and how. */
struct comparer {
	struct mb_backup *backup[2];
	struct mb_tree *tree[2];
	struct crew *crew;
	bool all_contents; /* also where the records say that they are equal */
	bool ignore_times;
	bool (*cancelled)(void);
	/* counted up; another thread may look */
	atomic_uint_fast64_t files; /* whose contents were compared */
	atomic_uint_fast64_t bytes; /* of each of the two */
	/* private */
	bool whole_seconds; /* one of them has no others */
	struct {
		atomic_flag taken;
		char *bytes;
	} rooms[2];
};

/* comparer_open - what has to be done before; 0 or -ENOMEM */
int comparer_open(struct comparer *c);
void comparer_release(struct comparer *c);

/* An entry of one backup, and of the other, and what came out. */
struct comparison {
	uint32_t node[2]; /* 0: no such entry */

	unsigned what; /* of enum difference; only where both are there */
	enum mb_type type[2];
	/*
	 * Of files and the text of links: the true one where the payload was
	 * looked at, otherwise the recorded one.
	 */
	int64_t size[2];
	/*
	 * What is damaged or cannot be read: the contents then were not, or
	 * not wholly, compared.
	 */
	int rc[2];
	char *why[2]; /* one line, NULL if nothing is */
	bool large;   /* private */
};

void comparison_release(struct comparison *c);

/*
 * comparer_run - compare each of @list, with both threads of the crew
 *
 * Returns 0; -ECANCELED; -ENOMEM.
 */
int comparer_run(struct comparer *c, struct comparison *list, size_t count,
		 struct mb_err *err);

/*
 * records_differ - what is not the same in two records, but for the content of
 * files
 * @whole_seconds: what is less than a second is no difference
 */
unsigned records_differ(const struct mb_record *a, const struct mb_record *b,
			bool whole_seconds);

/* records_promise - do two records of files say that the content is the same? */
bool records_promise(const struct mb_record *a, const struct mb_record *b,
		     bool whole_seconds);

#endif
