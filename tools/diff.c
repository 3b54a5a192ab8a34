/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "comparison.h"
#include "diff_report.h"
#include "selection.h"
#include "tool.h"
#include "tree_pairs.h"
#include "two_backups.h"
#include "work.h"

static const char *const usage[] = {
	N_("usage: larder diff [options] A B\n"),
	N_("\n"
	   "Lists what was added, removed and changed from backup A to backup B.\n"),
	N_("\n"
	   "  --content          compare all contents, also where the records agree\n"
	   "  --ignore-times     a file whose time alone differs is unchanged\n"
	   "  --summary          only the sums of each domain\n"
	   "  --exit-code        exit status 1 if there are differences\n"),
	SELECTION_HELP_TEXT,
	COMMON_HELP_TEXT,
	N_("\n"
	   "Where the password of B is another one:\n"),
	N_("\n"
	   "  --other-passfile FILE, --other-extpass COMMAND, --other-keyfile FILE\n"),
	NULL,
};

enum {
	OPT_CONTENT = COMMON_END,
	OPT_IGNORE_TIMES,
	OPT_SUMMARY,
	OPT_EXIT_CODE,
	OPT_OTHER_PASSFILE,
	OPT_OTHER_EXTPASS,
	OPT_OTHER_KEYFILE,
};

/* So many entries are compared at once, before what came out is reported. */
#define AT_ONCE 512

/* Whose notes are passed on. */
struct noted {
	const struct diff *diff;
	const char *path;
};

struct diff {
	struct common common;
	struct unlock_source other; /* of B */
	struct selection selection;
	bool exit_code;
	struct work work;
	struct two_backups two;
	struct noted noted[2];
	atomic_uint_fast64_t files; /* that are dealt with */
	struct crew *crew;
	struct comparer comparer;
	struct diff_report report;
	struct comparison *list; /* that are still to be compared */
	size_t count;
	struct mb_err *err;
};

static void diff_release(struct diff *d)
{
	work_end(&d->work);
	for (size_t i = 0; i < d->count; i++)
		comparison_release(&d->list[i]);
	free(d->list);
	comparer_release(&d->comparer);
	crew_free(d->crew);
	two_backups_release(&d->two);
	work_release(&d->work);
	selection_release(&d->selection);
}

static inline void mb_auto_diff_release(struct diff *d)
{
	diff_release(d);
}

static void look(void *arg, struct progress_state *state)
{
	struct diff *d = arg;

	state->files = d->files;
	state->bytes = d->comparer.bytes;
}

static void note(void *arg, const char *line)
{
	const struct noted *noted = arg;

	progress_note(noted->diff->work.progress, "%s: %s", noted->path, line);
}

/* --- the work ------------------------------------------------------------ */

/* Compare and report what has been gathered. */
static int settle(struct diff *d)
{
	int rc = comparer_run(&d->comparer, d->list, d->count, d->err);

	for (size_t i = 0; i < d->count; i++) {
		if (rc == 0)
			rc = diff_report_entry(&d->report, &d->list[i], d->err);
		comparison_release(&d->list[i]);
		d->files++;
	}
	d->count = 0;
	return rc;
}

static int enter_domain(void *arg, struct mb_slice domain)
{
	struct diff *d = arg;

	return selection_wants(&d->selection, domain) ? 0 : TREE_PAIRS_SKIP;
}

static int visit(void *arg, const struct tree_pair *pair)
{
	struct diff *d = arg;
	struct comparison one = { 0 };

	if (watch_cancelled())
		return work_cancelled(d->err);
	/* what no record describes is no entry */
	for (int i = 0; i < 2; i++)
		if (pair->node[i] &&
		    !mb_tree_is_made_up(d->two.tree[i], pair->node[i]))
			one.node[i] = pair->node[i];
	if ((!one.node[0] && !one.node[1]) ||
	    !selection_has(&d->selection, pair->domain, pair->path))
		return 0;
	d->list[d->count++] = one;
	return d->count == AT_ONCE ? settle(d) : 0;
}

static int leave_domain(void *arg, struct mb_slice domain)
{
	struct diff *d = arg;
	int rc = settle(d);

	if (rc == 0)
		diff_report_domain(&d->report, domain);
	return rc;
}

static int prepare(struct diff *d)
{
	struct comparer *c = &d->comparer;

	d->list = calloc(AT_ONCE, sizeof(*d->list));
	if (!d->list || crew_open(&d->crew) < 0)
		return mb_err_set(d->err, -ENOMEM, "out of memory");
	for (int i = 0; i < 2; i++) {
		c->backup[i] = d->two.backup[i];
		c->tree[i] = d->report.tree[i] = d->two.tree[i];
		d->noted[i] = (struct noted){ d, d->report.paths[i] };
		mb_backup_on_note(d->two.backup[i], note, &d->noted[i]);
	}
	c->crew = d->crew;
	c->cancelled = watch_cancelled;
	d->report.progress = d->work.progress;
	d->report.json = d->common.json;
	if (comparer_open(c) < 0)
		return mb_err_set(d->err, -ENOMEM, "out of memory");
	return 0;
}

static int diff(struct diff *d)
{
	const struct pair_visitor visitor = {
		.enter_domain = enter_domain,
		.visit = visit,
		.leave_domain = leave_domain,
		.arg = d,
	};
	int rc = two_backups_open(&d->two, d->report.paths, &d->common.unlock,
				  &d->other, d->err);

	if (rc == 0)
		rc = work_begin(&d->work, &d->common, look, d, d->err);
	if (rc == 0)
		rc = prepare(d);
	if (rc < 0)
		return rc;
	progress_begin(d->work.progress, "comparing");
	rc = tree_pairs_walk(d->two.tree, d->crew, &visitor, d->err);
	progress_end(d->work.progress);
	if (rc == 0)
		rc = selection_check(&d->selection, d->err);
	return rc;
}

/* --- options ------------------------------------------------------------- */

static bool take_option(struct diff *d, int option, char *value)
{
	switch (option) {
	case OPT_CONTENT:
		d->comparer.all_contents = true;
		return true;
	case OPT_IGNORE_TIMES:
		d->comparer.ignore_times = true;
		return true;
	case OPT_SUMMARY:
		d->report.summary = true;
		return true;
	case OPT_EXIT_CODE:
		d->exit_code = true;
		return true;
	case OPT_OTHER_PASSFILE:
		d->other.passfile = value;
		return true;
	case OPT_OTHER_EXTPASS:
		d->other.extpass = value;
		return true;
	case OPT_OTHER_KEYFILE:
		d->other.keyfile = value;
		return true;
	default:
		return false;
	}
}

/* Returns 0, or an exit status. */
static int parse(struct diff *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "content", no_argument, NULL, OPT_CONTENT },
		{ "ignore-times", no_argument, NULL, OPT_IGNORE_TIMES },
		{ "summary", no_argument, NULL, OPT_SUMMARY },
		{ "exit-code", no_argument, NULL, OPT_EXIT_CODE },
		{ "other-passfile", required_argument, NULL,
		  OPT_OTHER_PASSFILE },
		{ "other-extpass", required_argument, NULL, OPT_OTHER_EXTPASS },
		{ "other-keyfile", required_argument, NULL, OPT_OTHER_KEYFILE },
		SELECTION_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		taken = take_option(d, option, optarg);
		if (!taken)
			taken = selection_option(&d->selection, &cmd_diff,
						 option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken &&
		    !common_option(&d->common, &cmd_diff, option, optarg))
			return usage_error(&cmd_diff, NULL);
	}
	if (argc - optind != 2)
		return usage_error(&cmd_diff,
				   "diff takes two backups, A and B");
	d->report.paths[0] = argv[optind];
	d->report.paths[1] = argv[optind + 1];
	return 0;
}

/* Damage stands above what else there is to say. */
static int exit_status(const struct diff *d)
{
	const struct diff_counts *n = &d->report.all;

	if (n->damaged)
		return d->report.failed ? EXIT_FAILED : EXIT_DAMAGED;
	if (d->exit_code && (n->added || n->removed || n->changed))
		return EXIT_FAILED;
	return EXIT_FINE;
}

static int run(int argc, char **argv)
{
	struct mb_err err;
	mb_auto(diff_release) struct diff d = { .err = &err };
	int rc = parse(&d, argc, argv);

	if (rc)
		return rc;
	rc = diff(&d);
	if (rc < 0)
		return progress_fail(d.work.progress, &d.common, rc, &err);
	diff_report_end(&d.report, &d.comparer);
	rc = finish_output();
	return rc ? rc : exit_status(&d);
}

const struct command cmd_diff = {
	.name = "diff",
	.summary =
		N_("what was added, removed and changed between two backups"),
	.usage = usage,
	.run = run,
};
