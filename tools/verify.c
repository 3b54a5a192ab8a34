/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_inside.h"

static const char *const usage[] = {
	N_("usage: larder verify [options] BACKUP\n"),
	N_("\n"
	   "Checks whether a backup is good. Nothing is written into it.\n"),
	N_("\n"
	   "  --structure        property lists, manifest, every record, what is in the\n"
	   "                     folder (default)\n"
	   "  --stored           and payloads against their digests, where there are any\n"
	   "  --content          and decrypts all of it, checks padding, lengths and\n"
	   "                     databases\n"
	   "  --sample HOW       of the payloads only some, at random: 5%, 500, 10G\n"
	   "  --resume           goes on where a check was broken off\n"
	   "  --state FILE       where that is kept (default: beside the backup)\n"
	   "  --record FILE      writes the SHA-256 of all stored files; \"-\": to\n"
	   "                     standard output\n"
	   "  --against FILE     compares the stored files with such a list\n"
	   "  --notes            lists also what is odd but no damage\n"),
	COMMON_HELP_TEXT,
	N_("\n"
	   "Ends with status 26 if damage is found.\n"),
	NULL,
};

enum {
	OPT_STRUCTURE = COMMON_END,
	OPT_STORED,
	OPT_CONTENT,
	OPT_SAMPLE,
	OPT_RESUME,
	OPT_STATE,
	OPT_RECORD,
	OPT_AGAINST,
	OPT_NOTES,
};

static void verify_release(struct verify *v)
{
	work_end(&v->work);
	verify_state_free(v->state);
	mb_backup_free(v->backup);
	work_release(&v->work);
}

static inline void mb_auto_verify_release(struct verify *v)
{
	verify_release(v);
}

/* --- progress ------------------------------------------------------------- */

static void look(void *arg, struct progress_state *state)
{
	struct verify *v = arg;
	uint64_t all = v->counts.chosen_bytes, done = v->counts.read_bytes;

	if (v->sum_total) {
		state->files = v->sum_files;
		done = v->sum_bytes;
		all = v->sum_total;
	} else {
		state->files =
			v->counts.read ? v->counts.read : v->counts.payloads;
	}
	state->bytes = done;
	if (all)
		state->percent = (unsigned)(done >= all ? 100 :
							  (double)done * 100 /
								  (double)all);
}

static void no_note(void *arg, const char *line)
{
	(void)arg, (void)line;
}

/* --- the check ------------------------------------------------------------ */

static bool wants_level(const struct verify_wish *wish)
{
	return wish->level_given || (!wish->record && !wish->against);
}

/* A password that nothing needs is not asked for, but used if it is given. */
static int unlock_for_check(struct verify *v, struct mb_err *err)
{
	const struct mb_backup_info *info = mb_backup_get_info(v->backup);
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc;

	if (!mb_check_can_unlock(v->backup))
		return 0;
	if (!info->manifest_encrypted && v->wish.level < MB_CHECK_CONTENT &&
	    !unlock_source_given(&v->common.unlock))
		return 0;
	rc = unlock_derive(v->backup, &v->common.unlock, key, err);
	if (rc == 0)
		rc = mb_check_unlock(v->backup, key, err);
	explicit_bzero(key, sizeof(key));
	return rc;
}

static int check(struct verify *v, struct mb_err *err)
{
	struct mb_check_mark from = { 0 };
	struct mb_check_wish wish = {
		.level = v->wish.level,
		.sample = v->wish.sample,
		.found = verify_say,
		.mark = verify_state_mark,
		.cancelled = watch_cancelled,
		.arg = v,
		.counts = &v->counts,
	};
	bool resumes = false;
	int rc = 0;

	if (v->wish.level > MB_CHECK_STRUCTURE)
		rc = verify_state_open(&v->state, v, &from, &resumes, err);
	if (rc < 0)
		return rc;
	if (resumes)
		wish.from = &from;
	progress_begin(v->work.progress, "checking");
	rc = mb_check(v->backup, &wish, err);
	progress_end(v->work.progress);
	if (rc == 0)
		verify_state_remove(v->state);
	else if (rc == -ECANCELED && verify_state_path(v->state))
		progress_note(v->work.progress,
			      "go on later with --resume: it is kept in %s",
			      verify_state_path(v->state));
	v->checked = rc == 0;
	return rc;
}

/* That a file has gone does not mean that there is no backup. */
static int of_a_file(int rc)
{
	return rc == -ENOENT ? -EIO : rc;
}

static int verify(struct verify *v, struct mb_err *err)
{
	int rc = mb_check_open(&v->backup, v->wish.backup, err);

	if (rc < 0)
		return rc;
	mb_backup_on_note(v->backup, no_note, NULL);
	if (v->wish.record && strcmp(v->wish.record, "-") != 0)
		rc = verify_keep_out(v, v->wish.record, err);
	if (rc == 0 && wants_level(&v->wish))
		rc = unlock_for_check(v, err);
	if (rc == 0)
		rc = work_begin(&v->work, &v->common, look, v, err);
	if (rc == 0 && wants_level(&v->wish))
		rc = check(v, err);
	if (rc == 0 && v->wish.against)
		rc = of_a_file(verify_against(v, err));
	if (rc == 0 && v->wish.record)
		rc = of_a_file(verify_record(v, err));
	return rc;
}

/* --- options -------------------------------------------------------------- */

static bool parse_sample(struct mb_check_sample *s, const char *text)
{
	static const char units[] = "kMGT";
	const char *unit;
	double number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	number = strtod(text, &end);
	if (!strcmp(end, "%")) {
		s->of = MB_SAMPLE_PART;
		s->part = number / 100;
		return number > 0 && number <= 100;
	}
	if (!*end) {
		s->of = MB_SAMPLE_FILES;
		s->amount = (uint64_t)number;
		return number >= 1 && number < 1e15;
	}
	unit = strchr(units, *end == 'K' ? 'k' : *end);
	if (!unit || (end[1] && strcmp(end + 1, "B") != 0))
		return false;
	for (; unit >= units; unit--)
		number *= 1000;
	s->of = MB_SAMPLE_BYTES;
	s->amount = (uint64_t)number;
	return number >= 1 && number < 1e18;
}

/* 1: taken; 0: another; -1: wrong, which has been said */
static int take_option(struct verify_wish *wish, int option, const char *value)
{
	switch (option) {
	case OPT_STRUCTURE:
	case OPT_STORED:
	case OPT_CONTENT:
		wish->level_given = true;
		if (wish->level < (enum mb_check_level)(option - OPT_STRUCTURE))
			wish->level =
				(enum mb_check_level)(option - OPT_STRUCTURE);
		return 1;
	case OPT_SAMPLE:
		wish->sample_text = value;
		if (parse_sample(&wish->sample, value))
			return 1;
		usage_error(
			&cmd_verify,
			"--sample takes a share (5%%), a number of files (500) or of bytes (10G)");
		return -1;
	case OPT_RESUME:
		wish->resume = true;
		return 1;
	case OPT_STATE:
		wish->state = value;
		return 1;
	case OPT_RECORD:
		wish->record = value;
		return 1;
	case OPT_AGAINST:
		wish->against = value;
		return 1;
	case OPT_NOTES:
		wish->notes = true;
		return 1;
	default:
		return 0;
	}
}

static int check_wish(const struct verify_wish *wish, const struct common *c)
{
	bool reads = wants_level(wish) && wish->level > MB_CHECK_STRUCTURE;

	if (wish->record && wish->against)
		return usage_error(&cmd_verify,
				   "only one of --record, --against");
	if (wish->record && !strcmp(wish->record, "-") && c->json)
		return usage_error(
			&cmd_verify,
			"--record - and --json both write to standard output");
	if (!reads && (wish->sample_text || wish->resume || wish->state))
		return usage_error(
			&cmd_verify,
			"--sample, --resume and --state belong to --stored or --content");
	return 0;
}

/* Returns 0, or an exit status. */
static int parse(struct verify_wish *wish, struct common *c, int argc,
		 char **argv)
{
	static const struct option options[] = {
		{ "structure", no_argument, NULL, OPT_STRUCTURE },
		{ "stored", no_argument, NULL, OPT_STORED },
		{ "content", no_argument, NULL, OPT_CONTENT },
		{ "sample", required_argument, NULL, OPT_SAMPLE },
		{ "resume", no_argument, NULL, OPT_RESUME },
		{ "state", required_argument, NULL, OPT_STATE },
		{ "record", required_argument, NULL, OPT_RECORD },
		{ "against", required_argument, NULL, OPT_AGAINST },
		{ "notes", no_argument, NULL, OPT_NOTES },
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		taken = take_option(wish, option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken && !common_option(c, &cmd_verify, option, optarg))
			return usage_error(&cmd_verify, NULL);
	}
	if (argc - optind != 1)
		return usage_error(&cmd_verify, "verify takes one BACKUP");
	wish->backup = argv[optind];
	return check_wish(wish, c);
}

static int run(int argc, char **argv)
{
	mb_auto(verify_release) struct verify v = { 0 };
	struct mb_err err;
	int rc = parse(&v.wish, &v.common, argc, argv), status;

	if (rc)
		return rc;
	rc = verify(&v, &err);
	if (rc < 0)
		return progress_fail(v.work.progress, &v.common, rc, &err);
	verify_summary(&v);
	status = finish_output();
	return status ? status : verify_findings(&v) ? EXIT_DAMAGED : EXIT_FINE;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = N_("check whether a backup is good"),
	.usage = usage,
	.run = run,
};
