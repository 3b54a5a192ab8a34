/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ls.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "crew.h"
#include "tree_walk.h"

static const char *const usage[] = {
	N_("usage: larder ls [-lR] [--passfile FILE] [--json] [--salvage] BACKUP\n"
	   "                 [DOMAIN[/PATH]]\n"),
	N_("\n"
	   "Lists the domains of a backup, or what is in a folder of a domain.\n"),
	N_("\n"
	   "  -l, --long         permissions, size, time and target too\n"
	   "  -R, --recursive    everything below, by its path\n"
	   "  --salvage          of a damaged backup, what there is: larder-salvage(1)\n"),
	N_("\n"
	   "Everything below, in other forms:\n"),
	N_("\n"
	   "  --csv              a table with all that is recorded\n"
	   "  --bodyfile         for the Sleuth Kit's timeline, mactime(1)\n"
	   "  --sha256           digests of the contents, for sha256sum -c; with\n"
	   "                     --csv or --json a column or key\n"),
	COMMON_HELP_TEXT,
	NULL,
};

enum { OPT_CSV = COMMON_END, OPT_BODYFILE, OPT_SHA256, OPT_SALVAGE };

/* Files are hashed by both cores, so many at a time. */
#define BATCH 64

struct item {
	uint32_t node;
	int rc; /* of hashing it */
	uint8_t sha256[MB_SHA256_LEN];
	struct mb_err err;
};

struct listing {
	const struct common *common;
	struct ls_style style;
	bool recursive;
	bool hashes; /* contents are read */
	struct mb_tree *tree;
	struct crew *crew;
	struct item *items; /* that wait, with @hashes */
	size_t count;
	uint64_t unreadable;
};

static void listing_release(struct listing *l)
{
	crew_free(l->crew);
	free(l->items);
	mb_tree_free(l->tree);
}

/* Whole paths, where entries of several folders are listed. */
static const char *name_of(const struct listing *l, uint32_t node)
{
	static char path[1 << 18];

	if (!l->recursive)
		return mb_tree_get_name(l->tree, node);
	mb_tree_get_path(l->tree, node, path, sizeof(path));
	return path;
}

/* --- contents ------------------------------------------------------------- */

static void hash_item(void *arg, size_t i)
{
	struct listing *l = arg;
	struct item *item = &l->items[i];
	struct mb_reader *reader;

	item->rc = 1;
	if (mb_tree_get_type(l->tree, item->node) != MB_FILE)
		return;
	item->rc = mb_tree_open_file(l->tree, item->node, &reader, &item->err);
	if (item->rc < 0)
		return;
	item->rc = mb_reader_sha256(reader, item->sha256, &item->err);
	mb_reader_free(reader);
}

static void say_unreadable(struct listing *l, const struct item *item)
{
	struct mb_err line;
	char path[300];

	l->unreadable++;
	mb_tree_get_path(l->tree, item->node, path, sizeof(path));
	mb_err_set(&line, 0, "%s: %s", path, item->err.text);
	fprintf(stderr, "larder: %s\n", line.text);
}

static int print_items(struct listing *l, struct mb_err *err)
{
	int rc = 0;

	crew_each(l->crew, l->count, 2, hash_item, l);
	for (size_t i = 0; i < l->count && rc == 0; i++) {
		const struct item *item = &l->items[i];

		if (item->rc < 0)
			say_unreadable(l, item);
		rc = ls_print(&l->style, l->tree, item->node,
			      name_of(l, item->node),
			      item->rc == 0 ? item->sha256 : NULL, err);
	}
	l->count = 0;
	return rc;
}

/* --- entries -------------------------------------------------------------- */

static int list_entry(struct listing *l, uint32_t node, struct mb_err *err)
{
	if (!l->hashes)
		return ls_print(&l->style, l->tree, node, name_of(l, node),
				NULL, err);
	l->items[l->count++].node = node;
	return l->count == BATCH ? print_items(l, err) : 0;
}

/* For the nodes below the folder that is listed, and not for itself. */
struct listed {
	struct listing *listing;
	uint32_t folder;
	struct mb_err *err;
};

static int list_node(void *arg, uint32_t node)
{
	const struct listed *listed = arg;
	int rc;

	if (node == listed->folder)
		return 0;
	rc = list_entry(listed->listing, node, listed->err);
	return rc == 0 && !listed->listing->recursive ? TREE_WALK_SKIP : rc;
}

static int list(struct listing *l, uint32_t node, struct mb_err *err)
{
	struct listed listed = { l, node, err };
	const struct tree_visitor visitor = { .enter = list_node,
					      .arg = &listed };
	int rc;

	ls_print_header(&l->style);
	if (mb_tree_get_type(l->tree, node) == MB_DIR)
		rc = tree_walk(l->tree, node, &visitor, err);
	else
		rc = list_entry(l, node, err);
	return rc == 0 && l->hashes ? print_items(l, err) : rc;
}

static int prepare_hashing(struct listing *l, struct mb_err *err)
{
	if (!l->hashes)
		return 0;
	l->items = calloc(BATCH, sizeof(*l->items));
	return l->items && crew_open(&l->crew) == 0 ?
		       0 :
		       mb_err_set(err, -ENOMEM, "out of memory");
}

static int list_backup(struct listing *l, const char *path, const char *where,
		       struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	uint32_t node;
	int rc;

	rc = open_loaded(&b, path, l->common, err);
	if (rc == 0)
		rc = mb_tree_open(&l->tree, b, MB_VIEW_DOMAINS, err);
	if (rc == 0)
		rc = prepare_hashing(l, err);
	if (rc == 0)
		rc = mb_tree_walk(l->tree, where, &node, err);
	if (rc == -ENOENT && l->tree) /* a backup, without this entry */
		rc = -ENOTDIR;
	if (rc == -ENOTDIR)
		rc = mb_err_set(err, -EINVAL, "%s: no such entry in the backup",
				where);
	if (rc == 0)
		rc = list(l, node, err);
	listing_release(l);
	return rc;
}

/* --- options -------------------------------------------------------------- */

/* false: a second form, which has been said */
static bool set_format(struct ls_style *style, enum ls_format format)
{
	if (style->format != LS_NAMES && style->format != format) {
		usage_error(&cmd_ls,
			    "only one of --long, --json, --csv, --bodyfile");
		return false;
	}
	style->format = format;
	return true;
}

/* Returns 0, or an exit status. */
static int settle(struct listing *l, bool detailed)
{
	struct ls_style *s = &l->style;

	if (l->common->json && !set_format(s, LS_JSON))
		return EXIT_USAGE;
	/* JSON has all of it anyway */
	if (detailed && !l->common->json && !set_format(s, LS_LONG))
		return EXIT_USAGE;
	if (s->sha256 && s->format != LS_CSV && s->format != LS_JSON &&
	    s->format != LS_NAMES)
		return usage_error(
			&cmd_ls,
			"--sha256 goes alone, or with --csv or --json");
	if (s->sha256 && s->format == LS_NAMES)
		s->format = LS_SUMS;
	l->hashes = s->sha256;
	if (s->format >= LS_CSV)
		l->recursive = true;
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "long", no_argument, NULL, 'l' },
		{ "recursive", no_argument, NULL, 'R' },
		{ "salvage", no_argument, NULL, OPT_SALVAGE },
		{ "csv", no_argument, NULL, OPT_CSV },
		{ "bodyfile", no_argument, NULL, OPT_BODYFILE },
		{ "sha256", no_argument, NULL, OPT_SHA256 },
		COMMON_OPTIONS,
		{ 0 }
	};
	struct common c = { 0 };
	struct listing l = { .common = &c };
	struct mb_err err;
	bool detailed = false;
	int option, rc;

	while ((option = getopt_long(argc, argv, "hlR", options, NULL)) != -1) {
		if (option == 'l')
			detailed = true;
		else if (option == 'R')
			l.recursive = true;
		else if (option == OPT_SALVAGE)
			c.salvage = true;
		else if (option == OPT_SHA256)
			l.style.sha256 = true;
		else if (option == OPT_CSV || option == OPT_BODYFILE) {
			if (!set_format(&l.style,
					option == OPT_CSV ? LS_CSV : LS_BODY))
				return EXIT_USAGE;
		} else if (!common_option(&c, &cmd_ls, option, optarg))
			return usage_error(&cmd_ls, NULL);
	}
	rc = settle(&l, detailed);
	if (rc)
		return rc;
	if (argc - optind != 1 && argc - optind != 2)
		return usage_error(
			&cmd_ls,
			"ls takes a BACKUP and at most one DOMAIN[/PATH]");
	rc = list_backup(&l, argv[optind],
			 argc - optind == 2 ? argv[optind + 1] : "", &err);
	if (rc == 0 && l.unreadable)
		rc = mb_err_set(&err, -EBADMSG,
				ngettext("%llu file could not be read whole",
					 "%llu files could not be read whole",
					 l.unreadable),
				(unsigned long long)l.unreadable);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_ls = {
	.name = "ls",
	.summary = N_("list domains, or the files of one"),
	.usage = usage,
	.run = run,
};
