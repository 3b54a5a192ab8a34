/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mb/salvage.h"
#include "mb/tree.h"
#include "tool.h"
#include "tree_walk.h"
#include "work.h"

static const char *const usage[] = {
	N_("usage: larder salvage [--passfile FILE] [--json] BACKUP\n"),
	N_("\n"
	   "Says what is damaged in a backup, and what of it can still be had, though\n"
	   "its lists are damaged or missing. Changes nothing: what is found, a mount\n"
	   "with -o salvage shows.\n"),
	COMMON_HELP_TEXT,
	NULL,
};

/* What became of the content of files that are listed. */
enum fate { FATE_FINE, FATE_DAMAGED, FATE_MISSING, FATE_NO_KEY, FATES };

/* Payloads that nothing lists, of one kind. */
struct kind {
	uint32_t node;
	uint64_t files, bytes;
};

struct salvage {
	struct common common;
	struct mb_backup *backup;
	struct mb_tree *tree;
	struct work work;
	uint64_t entries; /* without those of lost+found */
	/* of these; another thread shows them */
	atomic_uint_fast64_t files, bytes;
	uint64_t fates[FATES];
	uint32_t lost; /* node of lost+found, 0 if there is none */
	uint32_t first_kind, kind_count;
	struct kind *kinds;
	uint64_t lost_bytes;
	uint64_t locked; /* payloads nobody has a key of */
	struct mb_record rec;
	struct mb_err *err;
};

/* While it is opened: what is damaged, which the report says. */
static void no_note(void *arg, const char *line)
{
	(void)arg, (void)line;
}

static void note(void *arg, const char *line)
{
	const struct salvage *s = arg;

	say(&s->common, "larder: %s", line);
}

/* ---- looking at it all ---- */

static void look(void *arg, struct progress_state *state)
{
	const struct salvage *s = arg;

	*state =
		(struct progress_state){ .files = s->files, .bytes = s->bytes };
}

static enum fate fate_of(struct salvage *s)
{
	switch (mb_reader_check(s->backup, &s->rec, NULL)) {
	case 0:
		return FATE_FINE;
	case -ENODATA:
		return FATE_MISSING;
	case -ENOKEY:
		return FATE_NO_KEY;
	default:
		return FATE_DAMAGED;
	}
}

static int count_entry(struct salvage *s, uint32_t node)
{
	int rc;

	if (mb_tree_is_made_up(s->tree, node))
		return 0;
	s->entries++;
	if (mb_tree_get_type(s->tree, node) != MB_FILE)
		return 0;
	s->files++;
	rc = mb_tree_record(s->tree, node, &s->rec, s->err);
	if (rc < 0) {
		s->fates[FATE_DAMAGED]++;
		return rc == -ENOMEM ? rc : 0;
	}
	if (s->rec.size > 0)
		s->bytes += (uint64_t)s->rec.size;
	s->fates[fate_of(s)]++;
	return 0;
}

static bool is_kind(const struct salvage *s, uint32_t node)
{
	return node >= s->first_kind && node - s->first_kind < s->kind_count;
}

static int count_lost(struct salvage *s, uint32_t node)
{
	uint32_t parent = mb_tree_get_parent(s->tree, node);
	struct mb_stat st;
	struct kind *kind;
	int rc;

	if (!is_kind(s, parent))
		return 0;
	rc = mb_tree_stat(s->tree, node, &st, s->err);
	if (rc < 0)
		return rc;
	kind = &s->kinds[parent - s->first_kind];
	kind->files++;
	kind->bytes += (uint64_t)st.size;
	s->lost_bytes += (uint64_t)st.size;
	return 0;
}

/* Below lost+found, unless a backup has a domain of this name anyway. */
static bool is_lost(struct salvage *s, uint32_t node)
{
	if (!s->lost || node == s->lost)
		return node == s->lost && s->lost;
	while (node != MB_ROOT && node != s->lost)
		node = mb_tree_get_parent(s->tree, node);
	return node == s->lost;
}

static int enter(void *arg, uint32_t node)
{
	struct salvage *s = arg;

	if (watch_cancelled())
		return -ECANCELED;
	return is_lost(s, node) ? count_lost(s, node) : count_entry(s, node);
}

static int find_kinds(struct salvage *s)
{
	int rc;

	if (!mb_backup_get_salvage(s->backup)->lost)
		return 0;
	rc = mb_tree_walk(s->tree, MB_LOST_DOMAIN, &s->lost, s->err);
	if (rc == 0)
		rc = mb_tree_children(s->tree, s->lost, &s->first_kind,
				      &s->kind_count, s->err);
	if (rc < 0)
		return rc;
	s->kinds = calloc(s->kind_count + 1, sizeof(*s->kinds));
	if (!s->kinds)
		return mb_err_set(s->err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < s->kind_count; i++)
		s->kinds[i].node = s->first_kind + i;
	return 0;
}

static int count_all(struct salvage *s)
{
	const struct tree_visitor visitor = { .enter = enter, .arg = s };
	int rc;

	progress_begin(s->work.progress, "looking");
	rc = find_kinds(s);
	if (rc == 0)
		rc = tree_walk(s->tree, MB_ROOT, &visitor, s->err);
	progress_end(s->work.progress);
	if (rc == -ECANCELED)
		return work_cancelled(s->err);
	for (uint32_t i = 0; i < s->kind_count; i++)
		if (!strcmp(mb_tree_get_name(s->tree, s->kinds[i].node),
			    MB_LOST_ENCRYPTED))
			s->locked = s->kinds[i].files;
	return rc;
}

/* ---- the report ---- */

static bool is_damaged(const struct salvage *s)
{
	const struct mb_salvage *found = mb_backup_get_salvage(s->backup);

	return found->flaw_count || found->lost ||
	       s->fates[FATE_FINE] < s->files;
}

static const char *records_word(const struct mb_salvage *found)
{
	static const char *const words[] = {
		[MB_RECORDS_WHOLE] = "whole",
		[MB_RECORDS_RECOVERED] = "recovered",
		[MB_RECORDS_NONE] = "none",
	};

	return words[found->records];
}

static void print_line(const char *text)
{
	fputs("  ", stdout);
	print_name(text, strlen(text));
	putchar('\n');
}

static void print_flaws(const struct mb_salvage *found)
{
	if (found->flaw_count)
		puts(_("damaged:"));
	for (size_t i = 0; i < found->flaw_count; i++)
		print_line(found->flaws[i]);
	if (found->flaw_count)
		putchar('\n');
}

static void print_count(uint64_t count, const char *what)
{
	if (count)
		printf("%10" PRIu64 "  %s\n", count, what);
}

static void print_pages(const struct mb_salvage *found)
{
	if (found->records == MB_RECORDS_WHOLE)
		return;
	print_count(found->pages, _("pages of Manifest.db"));
	if (found->pages_recorded > found->pages)
		print_count(found->pages_recorded - found->pages,
			    _("pages cut off"));
	print_count(found->pages_damaged, _("pages damaged"));
	print_count(found->bytes_skipped, _("bytes of Manifest.mbdb damaged"));
	print_count(found->broken, _("records damaged beyond use"));
	print_count(found->from_free,
		    _("deleted records, whose files are still there"));
}

static void print_entries(const struct salvage *s)
{
	const struct mb_salvage *found = mb_backup_get_salvage(s->backup);

	if (found->records == MB_RECORDS_NONE) {
		puts(_("listed: nothing, as there is no manifest that can be read"));
		print_pages(found);
		return;
	}
	puts(found->records == MB_RECORDS_RECOVERED ?
		     _("listed, as far as could be recovered:") :
		     _("listed:"));
	printf(_("%10" PRIu64 "  entries\n"), s->entries);
	printf(_("%10" PRIu64 "  files with their content\n"),
	       s->fates[FATE_FINE]);
	print_count(s->fates[FATE_MISSING],
		    _("files whose content is missing"));
	print_count(s->fates[FATE_DAMAGED],
		    _("files damaged, or their records"));
	print_count(s->fates[FATE_NO_KEY], _("files whose key is lost"));
	print_pages(found);
}

static void print_lost(const struct salvage *s)
{
	char bytes[32];

	if (!s->kind_count)
		return;
	printf(_("\nnot listed, in %s/:\n"), MB_LOST_DOMAIN);
	for (uint32_t i = 0; i < s->kind_count; i++) {
		format_bytes(bytes, sizeof(bytes), s->kinds[i].bytes);
		printf("%10" PRIu64 "  %9s  ", s->kinds[i].files, bytes);
		puts(mb_tree_get_name(s->tree, s->kinds[i].node));
	}
	format_bytes(bytes, sizeof(bytes), s->lost_bytes);
	printf(_("%10" PRIu64 "  %9s  in all\n"),
	       mb_backup_get_salvage(s->backup)->lost, bytes);
	if (s->locked)
		puts(_("\nThe encrypted ones are lost: the key of each was in its record."));
}

static void print_text(const struct salvage *s)
{
	const struct mb_salvage *found = mb_backup_get_salvage(s->backup);

	if (!is_damaged(s)) {
		printf(_("nothing is damaged: %" PRIu64 " entries, %" PRIu64
			 " files\n"),
		       s->entries, s->files);
		return;
	}
	print_flaws(found);
	print_entries(s);
	print_lost(s);
	puts(_("\nTo see and to copy what there is:\n"
	       "  larderfs -o salvage BACKUP MOUNTPOINT\n"
	       "  larder extract --salvage BACKUP DEST"));
}

static json_object *make_kinds(const struct salvage *s)
{
	json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < s->kind_count; i++) {
		json_object *o = json_object_new_object();

		json_add_text(o, "type",
			      mb_tree_get_name(s->tree, s->kinds[i].node));
		json_add_count(o, "files", s->kinds[i].files);
		json_add_count(o, "bytes", s->kinds[i].bytes);
		json_object_array_add(list, o);
	}
	return list;
}

static void print_json(const struct salvage *s)
{
	const struct mb_salvage *found = mb_backup_get_salvage(s->backup);
	const struct mb_backup_info *info = mb_backup_get_info(s->backup);
	json_object *o = json_event("finished");
	json_object *flaws = json_object_new_array();

	for (size_t i = 0; i < found->flaw_count; i++)
		json_object_array_add(
			flaws,
			json_text(found->flaws[i], strlen(found->flaws[i])));
	json_add_text(o, "source", info->source);
	json_add_bool(o, "damaged", is_damaged(s));
	json_object_object_add(o, "flaws", flaws);
	json_add_text(o, "records", records_word(found));
	json_add_bool(o, "encrypted", info->encrypted);
	json_add_bool(o, "keys_lost", info->keys_lost);
	json_add_count(o, "entries", s->entries);
	json_add_count(o, "files", s->files);
	json_add_count(o, "files_fine", s->fates[FATE_FINE]);
	json_add_count(o, "files_missing", s->fates[FATE_MISSING]);
	json_add_count(o, "files_damaged", s->fates[FATE_DAMAGED]);
	json_add_count(o, "files_without_key", s->fates[FATE_NO_KEY]);
	json_add_count(o, "pages", found->pages);
	json_add_count(o, "pages_cut_off",
		       found->pages_recorded > found->pages ?
			       found->pages_recorded - found->pages :
			       0);
	json_add_count(o, "pages_damaged", found->pages_damaged);
	json_add_count(o, "bytes_skipped", found->bytes_skipped);
	json_add_count(o, "records_broken", found->broken);
	json_add_count(o, "records_deleted", found->from_free);
	json_add_count(o, "lost", found->lost);
	json_add_count(o, "lost_bytes", s->lost_bytes);
	json_add_count(o, "lost_encrypted", s->locked);
	json_object_object_add(o, "types", make_kinds(s));
	json_print(o);
}

static int run_salvage(struct salvage *s, const char *path)
{
	int rc = mb_backup_open_salvage(&s->backup, path, s->err);

	if (rc < 0)
		return rc;
	mb_backup_on_note(s->backup, no_note, NULL);
	rc = unlock(s->backup, &s->common.unlock, s->err);
	if (rc == 0)
		rc = work_begin(&s->work, &s->common, look, s, s->err);
	if (rc == 0)
		rc = mb_backup_load(s->backup, s->err);
	mb_backup_on_note(s->backup, note, s);
	if (rc == 0)
		rc = mb_tree_open(&s->tree, s->backup, MB_VIEW_DOMAINS, s->err);
	if (rc == 0)
		rc = count_all(s);
	work_end(&s->work);
	return rc;
}

static void release(struct salvage *s)
{
	work_release(&s->work);
	mb_record_release(&s->rec);
	free(s->kinds);
	mb_tree_free(s->tree);
	mb_backup_free(s->backup);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct salvage s = { 0 };
	struct mb_err err;
	int option, rc;

	s.err = &err;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!common_option(&s.common, &cmd_salvage, option, optarg))
			return usage_error(&cmd_salvage, NULL);
	if (argc - optind != 1)
		return usage_error(&cmd_salvage, "salvage takes one BACKUP");
	rc = run_salvage(&s, argv[optind]);
	if (rc < 0) {
		rc = fail(rc, &err);
	} else {
		if (s.common.json)
			print_json(&s);
		else
			print_text(&s);
		rc = finish_output();
		if (rc == EXIT_FINE && is_damaged(&s))
			rc = EXIT_DAMAGED;
	}
	release(&s);
	return rc;
}

const struct command cmd_salvage = {
	.name = "salvage",
	.summary = N_("what can still be had of a damaged backup"),
	.usage = usage,
	.run = run,
};
