/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VERIFY_INSIDE_H
#define VERIFY_INSIDE_H

#include "mb/check.h"
#include "tool.h"
#include "work.h"

/* What the parts of "larder verify" share. */

struct verify_wish {
	const char *backup;
	bool level_given;
	enum mb_check_level level;
	struct mb_check_sample sample;
	const char *sample_text; /* as given; NULL: all */
	bool resume;
	const char *state; /* NULL: beside the backup */
	const char *record, *against;
	bool notes; /* list them */
};

/* Notes by their flaw, for the summary. */
#define VERIFY_NOTE_KINDS 16

struct verify {
	struct common common;
	struct verify_wish wish;
	struct work work;
	struct mb_backup *backup;
	struct verify_state *state; /* NULL: none is kept */
	struct mb_check_counts counts;
	bool checked; /* a level was */
	struct {
		const char *flaw;
		uint64_t count;
	} notes[VERIFY_NOTE_KINDS];
	/* of --record and --against */
	atomic_uint_fast64_t sum_files, sum_bytes, sum_total;
	uint64_t sum_findings, unlisted;
};

/* --- verify_report.c ------------------------------------------------------ */

/* As mb_check_wish.found; @arg: struct verify */
void verify_say(void *arg, const struct mb_finding *finding);
/* The same of what a list of sums says. */
void verify_say_sum(struct verify *v, const char *flaw, bool note,
		    const char *path, const char *reason);
void verify_summary(struct verify *v);
uint64_t verify_findings(const struct verify *v);

/* --- verify_state.c ------------------------------------------------------- */

struct verify_state;

/*
 * verify_state_open - where it is kept; nothing is written yet
 * @from: filled if there is something to go on with and that is wanted; its
 *	list is borrowed from the state
 *
 * That none can be kept is said, and no error: *out is NULL then.
 *
 * Returns 0; -EINVAL if it would be in the backup; -ENOMEM.
 */
int verify_state_open(struct verify_state **out, struct verify *v,
		      struct mb_check_mark *from, bool *resumes,
		      struct mb_err *err);
/* As mb_check_wish.mark; @arg: struct verify */
void verify_state_mark(void *arg, const struct mb_check_mark *mark);
/* It came to its end. */
void verify_state_remove(struct verify_state *s);
/* Where it is, if something has been written. */
const char *verify_state_path(const struct verify_state *s);
void verify_state_free(struct verify_state *s);

/* --- verify_sums.c -------------------------------------------------------- */

/* --record, --against: 0 or an error; what is found is said */
int verify_record(struct verify *v, struct mb_err *err);
int verify_against(struct verify *v, struct mb_err *err);

/* Is the folder that a file is in the backup's, or below it? -EINVAL if so */
int verify_keep_out(const struct verify *v, const char *path,
		    struct mb_err *err);

#endif
