/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>

#include "packing.h"

static const char *const usage[] = {
	N_("usage: larder pack [options] TREE BACKUP\n"),
	N_("\n"
	   "Writes a mount, a copy or an edited tree of it, or any folder with the\n"
	   "layout DOMAIN/PATH, as a backup: the new folder BACKUP.\n"),
	N_("\n"
	   "  --unencrypted      in the clear\n"
	   "  --new-passfile FILE  encrypted anew; the password: FILE's first line\n"
	   "  --new-password     encrypted anew; the password is asked for\n"
	   "  --iterations N     of its key derivation (default 10000000)\n"
	   "  --base BACKUP      the backup that TREE was copied from\n"),
	SELECTION_HELP_TEXT,
	COMMON_HELP_TEXT,
	N_("\n"
	   "Encrypted as the backup that TREE comes from, unless told otherwise.\n"),
	NULL,
};

enum {
	OPT_UNENCRYPTED = COMMON_END,
	OPT_NEW_PASSFILE,
	OPT_NEW_PASSWORD,
	OPT_ITERATIONS,
	OPT_BASE,
};

/* 1: taken; 0: another; -1: wrong, which has been said */
static int take_option(struct packing *p, int option, const char *value)
{
	bool new = option == OPT_NEW_PASSFILE || option == OPT_NEW_PASSWORD;

	if (option == OPT_UNENCRYPTED || new) {
		if (p->encryption != MB_AS_LIKE) {
			usage_error(
				&cmd_pack,
				"only one of --unencrypted, --new-passfile, --new-password");
			return -1;
		}
		p->encryption = new ? MB_NEW_PASSWORD : MB_IN_CLEAR;
		if (option == OPT_NEW_PASSFILE)
			p->new_passfile = value;
		return 1;
	}
	if (option == OPT_BASE) {
		p->base = value;
		return 1;
	}
	if (option != OPT_ITERATIONS)
		return 0;
	if (parse_iterations(value, &p->iterations))
		return 1;
	usage_error(&cmd_pack, "--iterations takes a number, 1 to %d",
		    ITERATIONS_MAX);
	return -1;
}

/* Returns 0, or an exit status. */
static int parse(struct packing *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "unencrypted", no_argument, NULL, OPT_UNENCRYPTED },
		{ "new-passfile", required_argument, NULL, OPT_NEW_PASSFILE },
		{ "new-password", no_argument, NULL, OPT_NEW_PASSWORD },
		{ "iterations", required_argument, NULL, OPT_ITERATIONS },
		{ "base", required_argument, NULL, OPT_BASE },
		SELECTION_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		taken = take_option(p, option, optarg);
		if (taken == 0)
			taken = selection_option(&p->selection, &cmd_pack,
						 option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken &&
		    !common_option(&p->common, &cmd_pack, option, optarg))
			return usage_error(&cmd_pack, NULL);
	}
	if (argc - optind != 2)
		return usage_error(&cmd_pack, "pack takes a TREE and a BACKUP");
	if (p->iterations && p->encryption != MB_NEW_PASSWORD)
		return usage_error(&cmd_pack,
				   "--iterations belongs to a new password");
	p->from = argv[optind];
	p->to = argv[optind + 1];
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(packing_release) struct packing p = { .doing = "packing" };
	struct mb_err err;
	int rc = parse(&p, argc, argv);

	if (rc)
		return rc;
	rc = packing_run(&p, &err);
	if (rc < 0)
		return packing_fail(&p, rc, &err);
	return packing_report(&p);
}

const struct command cmd_pack = {
	.name = "pack",
	.summary = N_("write a mounted, copied or edited tree as a backup"),
	.usage = usage,
	.run = run,
};
