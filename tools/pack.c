/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "secret.h"
#include "stage.h"
#include "tool.h"
#include "work.h"

static const char usage[] =
	"usage: larder pack [options] TREE BACKUP\n"
	"\n"
	"Writes a mount, a copy or an edited tree of it, or any folder with the\n"
	"layout DOMAIN/PATH, as a backup: the new folder BACKUP.\n"
	"\n"
	"  --unencrypted      in the clear\n"
	"  --new-passfile FILE  encrypted anew; the password: FILE's first line\n"
	"  --new-password     encrypted anew; the password is asked for\n"
	"  --iterations N     of its key derivation (default 10000000)\n"
	"  --base BACKUP      the backup that TREE was copied from\n" SELECTION_HELP_TEXT
		COMMON_HELP_TEXT "\n"
	"Encrypted as the backup that TREE comes from, unless told otherwise.\n";

enum {
	OPT_UNENCRYPTED = COMMON_END,
	OPT_NEW_PASSFILE,
	OPT_NEW_PASSWORD,
	OPT_ITERATIONS,
	OPT_BASE,
};

#define ITERATIONS_MAX 200000000

struct wish {
	const char *tree, *backup, *base;
	enum mb_encryption encryption;
	const char *new_passfile; /* NULL: asked for */
	uint32_t iterations;
	struct selection selection;
};

struct pack {
	struct common common;
	struct wish wish;
	struct work work;
	struct source *source;
	struct stage stage;
	struct secret password; /* a new one */
	char *path;		/* of the backup, when it is there */
};

static void pack_release(struct pack *p)
{
	/* what is to be removed may take longer than Ctrl-C waits */
	work_end(&p->work);
	stage_release(&p->stage);
	source_free(p->source);
	work_release(&p->work);
	selection_release(&p->wish.selection);
	secret_release(&p->password);
	free(p->path);
}

static inline void mb_auto_pack_release(struct pack *p)
{
	pack_release(p);
}

/* --- progress ------------------------------------------------------------ */

static void look(void *arg, struct progress_state *state)
{
	struct pack *p = arg;
	state->files = p->stage.counts.files;
	state->bytes = p->stage.counts.bytes;
}

static void on_odd(void *arg, const char *path, const char *line)
{
	struct pack *p = arg;

	progress_warn(p->work.progress, "%s: %s", path, line);
}

/* --- the work ------------------------------------------------------------ */

/* Where the backup is to be: the folder above it, and its name there. */
static int find_place(const struct wish *wish, char **parent, char **name,
		      struct mb_err *err)
{
	mb_auto(free) char *a = strdup(wish->backup);
	mb_auto(free) char *b = strdup(wish->backup);
	struct stat st;

	if (lstat(wish->backup, &st) == 0)
		return mb_err_set(err, -EEXIST, "%s is there already",
				  wish->backup);
	if (!a || !b || !(*parent = strdup(dirname(a))) ||
	    !(*name = strdup(basename(b))))
		return mb_err_set(err, -ENOMEM, "out of memory");
	if (strlen(*name) > 200 || !strcmp(*name, "..") || !strcmp(*name, "."))
		return mb_err_set(err, -EINVAL, "%s: no name for a backup",
				  wish->backup);
	return 0;
}

static int get_password(struct pack *p, struct mb_err *err)
{
	int rc;

	if (p->wish.encryption != MB_NEW_PASSWORD)
		return 0;
	rc = p->wish.new_passfile ?
		     secret_from_file(&p->password, p->wish.new_passfile, err) :
		     secret_new_from_terminal(
			     &p->password,
			     "New backup password: ", "The same again: ", err);
	return rc < 0 ? rc : secret_check_text(&p->password, err);
}

static int open_source(struct pack *p, struct mb_err *err)
{
	int rc = source_open(&p->source, p->wish.tree, p->wish.base, err);

	if (rc < 0)
		return rc;
	if (source_was_encrypted(p->source) && p->wish.encryption == MB_AS_LIKE)
		return mb_err_set(
			err, -ENOTUNIQ,
			"%s: its backup was encrypted, and is not there: say --base, --unencrypted or --new-passfile",
			p->wish.tree);
	return load_backup(source_get_base(p->source), &p->common, err);
}

static int scan(struct pack *p, struct mb_err *err)
{
	const struct source_observer observer = {
		.odd = on_odd,
		.damaged = on_odd,
		.cancelled = watch_cancelled,
		.arg = p,
	};

	progress_begin(p->work.progress, "reading");
	if (source_get_base(p->source))
		mb_backup_on_note(source_get_base(p->source), work_note,
				  &p->work);
	return source_scan(p->source, &p->wish.selection, &observer, err);
}

static int fill(struct pack *p, struct mb_err *err)
{
	struct mb_writer_wish wish = {
		.partial = !selection_is_all(&p->wish.selection),
		.encryption = p->wish.encryption,
		.password = p->password.text,
		.password_len = p->password.len,
		.iterations = p->wish.iterations,
		.cancelled = watch_cancelled,
		.note = work_note,
		.arg = &p->work,
	};

	progress_begin(p->work.progress, "packing");
	return stage_fill(&p->stage, p->source, &wish, true, err);
}

static int pack(struct pack *p, struct mb_err *err)
{
	mb_auto(free) char *parent = NULL, *name = NULL;
	int rc = find_place(&p->wish, &parent, &name, err);

	if (rc == 0)
		rc = open_source(p, err);
	if (rc == 0)
		rc = source_keep_out(p->source, parent, err);
	if (rc == 0)
		rc = get_password(p, err);
	if (rc == 0)
		rc = work_begin(&p->work, &p->common, look, p, err);
	if (rc == 0)
		rc = scan(p, err);
	if (rc == 0)
		rc = scratch_open(&p->stage.scratch, parent, name, err);
	if (rc == 0)
		rc = fill(p, err);
	if (rc == 0 && watch_cancelled())
		rc = work_cancelled(err);
	if (rc == 0)
		rc = scratch_keep(p->stage.scratch, name, &p->path, err);
	if (p->work.progress)
		progress_end(p->work.progress);
	return rc;
}

/* --- after --------------------------------------------------------------- */

static void print_summary(struct pack *p)
{
	const struct mb_writer_counts *n = &p->stage.counts;
	const struct source_totals *t = source_get_totals(p->source);
	json_object *o = json_event("finished");

	json_add_text(o, "backup", p->path);
	json_add_bool(o, "encrypted",
		      mb_backup_get_info(p->stage.made)->encrypted);
	json_add_count(o, "entries", n->entries);
	json_add_count(o, "files", n->files);
	json_add_count(o, "bytes", t->bytes);
	json_add_count(o, "changed", t->changed);
	json_add_count(o, "added", t->added);
	json_add_count(o, "removed", t->removed);
	json_add_count(o, "payloads_shared", n->shared);
	json_add_count(o, "payloads_copied", n->copied);
	json_add_count(o, "payloads_written", n->written);
	progress_add_seconds(p->work.progress, o);
	progress_event(p->work.progress, o);
}

static void say_summary(struct pack *p)
{
	const struct mb_writer_counts *n = &p->stage.counts;
	const struct source_totals *t = source_get_totals(p->source);
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), t->bytes);
	printf("%s\n", p->path);
	printf("%" PRIuFAST64 " files, %s: %" PRIuFAST64
	       " payloads shared, %" PRIuFAST64 " written; %" PRIu64
	       " entries changed, %" PRIu64 " added, %" PRIu64 " removed; %s\n",
	       n->files, bytes, n->shared, n->written, t->changed, t->added,
	       t->removed,
	       mb_backup_get_info(p->stage.made)->encrypted ? "encrypted" :
							      "not encrypted");
	if (n->copied)
		progress_note(
			p->work.progress,
			"%" PRIuFAST64
			" payloads were copied: the backup is on another file system, or it has no links",
			n->copied);
}

/* --- options ------------------------------------------------------------- */

static bool parse_iterations(const char *text, uint32_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = (uint32_t)n;
	return end != text && !*end && *text != '-' && n >= 1 &&
	       n <= ITERATIONS_MAX;
}

/* 1: taken; 0: another; -1: wrong, which has been said */
static int take_option(struct wish *wish, int option, const char *value)
{
	bool new = option == OPT_NEW_PASSFILE || option == OPT_NEW_PASSWORD;

	if (option == OPT_UNENCRYPTED || new) {
		if (wish->encryption != MB_AS_LIKE) {
			usage_error(
				&cmd_pack,
				"only one of --unencrypted, --new-passfile, --new-password");
			return -1;
		}
		wish->encryption = new ? MB_NEW_PASSWORD : MB_IN_CLEAR;
		if (option == OPT_NEW_PASSFILE)
			wish->new_passfile = value;
		return 1;
	}
	if (option == OPT_BASE) {
		wish->base = value;
		return 1;
	}
	if (option != OPT_ITERATIONS)
		return 0;
	if (parse_iterations(value, &wish->iterations))
		return 1;
	usage_error(&cmd_pack, "--iterations takes a number, 1 to %d",
		    ITERATIONS_MAX);
	return -1;
}

/* Returns 0, or an exit status. */
static int parse(struct wish *wish, struct common *c, int argc, char **argv)
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
		taken = take_option(wish, option, optarg);
		if (taken == 0)
			taken = selection_option(&wish->selection, &cmd_pack,
						 option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken && !common_option(c, &cmd_pack, option, optarg))
			return usage_error(&cmd_pack, NULL);
	}
	if (argc - optind != 2)
		return usage_error(&cmd_pack, "pack takes a TREE and a BACKUP");
	if (wish->iterations && wish->encryption != MB_NEW_PASSWORD)
		return usage_error(&cmd_pack,
				   "--iterations belongs to a new password");
	wish->tree = argv[optind];
	wish->backup = argv[optind + 1];
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(pack_release) struct pack p = { 0 };
	struct mb_err err;
	int rc = parse(&p.wish, &p.common, argc, argv);

	if (rc)
		return rc;
	rc = pack(&p, &err);
	if (rc < 0)
		return progress_fail(p.work.progress, &p.common, rc, &err);
	if (p.common.json)
		print_summary(&p);
	else if (!p.common.quiet)
		say_summary(&p);
	return finish_output();
}

const struct command cmd_pack = {
	.name = "pack",
	.summary = "write a mounted, copied or edited tree as a backup",
	.usage = usage,
	.run = run,
};
