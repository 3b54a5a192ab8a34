/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packing.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void packing_release(struct packing *p)
{
	/* what is to be removed may take longer than Ctrl-C waits */
	work_end(&p->work);
	stage_release(&p->stage);
	source_free(p->source);
	work_release(&p->work);
	selection_release(&p->selection);
	secret_release(&p->password);
	free(p->path);
}

/* --- progress ------------------------------------------------------------ */

static void look(void *arg, struct progress_state *state)
{
	struct packing *p = arg;
	state->files = p->stage.counts.files;
	state->bytes = p->stage.counts.bytes;
}

static void on_odd(void *arg, const char *path, const char *line)
{
	struct packing *p = arg;

	progress_warn(p->work.progress, "%s: %s", path, line);
}

/* --- the work ------------------------------------------------------------ */

/* Where the backup is to be: the folder above it, and its name there. */
static int find_place(const struct packing *p, char **parent, char **name,
		      struct mb_err *err)
{
	mb_auto(free) char *a = strdup(p->to);
	mb_auto(free) char *b = strdup(p->to);
	struct stat st;

	if (lstat(p->to, &st) == 0)
		return mb_err_set(err, -EEXIST, "%s is there already", p->to);
	if (!a || !b || !(*parent = strdup(dirname(a))) ||
	    !(*name = strdup(basename(b))))
		return mb_err_set(err, -ENOMEM, "out of memory");
	if (strlen(*name) > 200 || !strcmp(*name, "..") || !strcmp(*name, "."))
		return mb_err_set(err, -EINVAL, "%s: no name for a backup",
				  p->to);
	return 0;
}

int new_password(struct secret *s, const char *passfile, struct mb_err *err)
{
	int rc = passfile ?
			 secret_from_file(s, passfile, err) :
			 secret_new_from_terminal(s, _("New backup password: "),
						  _("The same again: "), err);

	return rc < 0 ? rc : secret_check_text(s, err);
}

static int get_password(struct packing *p, struct mb_err *err)
{
	return p->encryption == MB_NEW_PASSWORD ?
		       new_password(&p->password, p->new_passfile, err) :
		       0;
}

static int open_source(struct packing *p, struct mb_err *err)
{
	int rc = source_open(&p->source, p->from, p->base, err);

	if (rc < 0)
		return rc;
	if (source_was_encrypted(p->source) && p->encryption == MB_AS_LIKE)
		return mb_err_set(
			err, -ENOTUNIQ,
			"%s: its backup was encrypted, and is not there: say --base, --unencrypted or --new-passfile",
			p->from);
	return load_backup(source_get_base(p->source), &p->common, err);
}

static int scan(struct packing *p, struct mb_err *err)
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
	return source_scan(p->source, &p->selection, &observer, err);
}

static int fill(struct packing *p, struct mb_err *err)
{
	struct mb_writer_wish wish = {
		.partial = !selection_is_all(&p->selection),
		.encryption = p->encryption,
		.password = p->password.text,
		.password_len = p->password.len,
		.iterations = p->iterations,
		.cancelled = watch_cancelled,
		.note = work_note,
		.arg = &p->work,
	};

	progress_begin(p->work.progress, p->doing);
	return stage_fill(&p->stage, p->source, &wish, true, err);
}

int packing_run(struct packing *p, struct mb_err *err)
{
	mb_auto(free) char *parent = NULL, *name = NULL;
	int rc = find_place(p, &parent, &name, err);

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

int packing_fail(struct packing *p, int rc, const struct mb_err *err)
{
	return progress_fail(p->work.progress, &p->common, rc, err);
}

static void print_summary(struct packing *p)
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
	if (p->strict)
		json_add_count(o, "payloads_left_out", n->left_out);
	progress_add_seconds(p->work.progress, o);
	progress_event(p->work.progress, o);
}

static void say_summary(struct packing *p)
{
	const struct mb_writer_counts *n = &p->stage.counts;
	const struct source_totals *t = source_get_totals(p->source);
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), t->bytes);
	printf("%s\n", p->path);
	printf(_("%" PRIuFAST64 " files, %s: %" PRIuFAST64
		 " payloads shared, %" PRIuFAST64 " written; %" PRIu64
		 " entries changed, %" PRIu64 " added, %" PRIu64
		 " removed; %s\n"),
	       n->files, bytes, n->shared, n->written, t->changed, t->added,
	       t->removed,
	       mb_backup_get_info(p->stage.made)->encrypted ?
		       _("encrypted") :
		       _("not encrypted"));
	if (n->copied)
		progress_note(
			p->work.progress,
			"%" PRIuFAST64
			" payloads were copied: the backup is on another file system, or it has no links",
			n->copied);
}

int packing_report(struct packing *p)
{
	uint64_t left_out = p->strict ? p->stage.counts.left_out : 0;
	int status;

	if (p->common.json)
		print_summary(p);
	else if (!p->common.quiet)
		say_summary(p);
	status = finish_output();
	if (!left_out || status)
		return status;
	if (!p->common.json)
		fprintf(stderr,
			_("larder: %" PRIu64
			  " files are there without their content, which could not be read\n"),
			left_out);
	return EXIT_DAMAGED;
}

/* --- options ------------------------------------------------------------- */

bool parse_iterations(const char *text, uint32_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = (uint32_t)n;
	return end != text && !*end && *text != '-' && n >= 1 &&
	       n <= ITERATIONS_MAX;
}
