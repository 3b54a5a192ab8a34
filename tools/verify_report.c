/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "colour.h"
#include "verify_inside.h"

/* --- one finding ---------------------------------------------------------- */

static void print_finding(const void *result)
{
	const struct mb_finding *f = result;

	if (f->note)
		printf("%s%s%s", colour(stdout, COLOUR_NOTE), _("note: "),
		       colour(stdout, COLOUR_END));
	if (f->domain.ptr) {
		print_name(f->domain.ptr, f->domain.len);
		if (f->path.len) {
			putchar('/');
			print_name(f->path.ptr, f->path.len);
		}
	} else if (f->file) {
		print_name(f->file, strlen(f->file));
	}
	printf(": %s\n", f->reason);
}

static json_object *finding_object(const struct mb_finding *f,
				   const char *level)
{
	json_object *o = json_event(f->note ? "note" : "finding");

	json_add_text(o, "level", level);
	json_add_text(o, "flaw", f->flaw);
	json_object_object_add(
		o, "domain",
		f->domain.ptr ? json_text(f->domain.ptr, f->domain.len) : NULL);
	json_object_object_add(
		o, "path",
		f->domain.ptr ?
			json_text(f->path.len ? f->path.ptr : "", f->path.len) :
			NULL);
	json_add_text(o, "file", f->file);
	json_add_text(o, "message", f->reason);
	return o;
}

static void count_note(struct verify *v, const char *flaw)
{
	for (int i = 0; i < VERIFY_NOTE_KINDS; i++) {
		if (v->notes[i].flaw && strcmp(v->notes[i].flaw, flaw) != 0)
			continue;
		v->notes[i].flaw = flaw;
		v->notes[i].count++;
		return;
	}
}

static void say_finding(struct verify *v, const struct mb_finding *f,
			const char *level)
{
	if (f->note)
		count_note(v, f->flaw);
	if (v->common.json)
		progress_event(v->work.progress, finding_object(f, level));
	/* standard output is the list's then */
	else if (v->wish.record && !strcmp(v->wish.record, "-"))
		progress_warn(v->work.progress, "%s%.*s%s%.*s: %s",
			      f->note ? _("note: ") : "",
			      f->domain.ptr ? (int)f->domain.len :
					      (int)strlen(f->file),
			      f->domain.ptr ? f->domain.ptr : f->file,
			      f->path.len ? "/" : "", (int)f->path.len,
			      f->path.len ? f->path.ptr : "", f->reason);
	else if (!f->note || v->wish.notes)
		progress_result(v->work.progress, print_finding, f);
}

void verify_say(void *arg, const struct mb_finding *f)
{
	say_finding(arg, f, mb_check_level_name(f->level));
}

void verify_say_sum(struct verify *v, const char *flaw, bool note,
		    const char *path, const char *reason)
{
	const struct mb_finding f = {
		.note = note,
		.flaw = flaw,
		.file = path,
		.reason = reason,
	};

	if (note)
		v->unlisted++;
	else
		v->sum_findings++;
	say_finding(v, &f, "sums");
}

/* --- the summary ---------------------------------------------------------- */

uint64_t verify_findings(const struct verify *v)
{
	return v->counts.findings[0] + v->counts.findings[1] +
	       v->counts.findings[2] + v->sum_findings;
}

static uint64_t check_notes(const struct verify *v)
{
	return v->counts.notes[0] + v->counts.notes[1] + v->counts.notes[2];
}

/* A number in words of ngettext(): in one of some buffers, for a single call */
static const char *count_of(const char *fmt, uint64_t n)
	__attribute__((format(printf, 1, 0)));

static const char *count_of(const char *fmt, uint64_t n)
{
	static char texts[4][64];
	static unsigned next;
	char *text = texts[next++ % 4];

	snprintf(text, sizeof(texts[0]), fmt, n);
	return text;
}

static void say_found(FILE *to, uint64_t n)
{
	if (n)
		fprintf(to, ": %s\n",
			count_of(ngettext("%" PRIu64 " finding",
					  "%" PRIu64 " findings", n),
				 n));
	else
		fputs(_(": no damage\n"), to);
}

static void say_structure(FILE *to, const struct mb_check_counts *n)
{
	fprintf(to, _("structure: %s, %s, %s; there: %s"),
		count_of(ngettext("%" PRIu64 " file", "%" PRIu64 " files",
				  n->files),
			 n->files),
		count_of(ngettext("%" PRIu64 " folder", "%" PRIu64 " folders",
				  n->folders),
			 n->folders),
		count_of(ngettext("%" PRIu64 " link", "%" PRIu64 " links",
				  n->links),
			 n->links),
		count_of(ngettext("%" PRIu64 " payload", "%" PRIu64 " payloads",
				  n->payloads),
			 n->payloads));
	say_found(to, n->findings[MB_CHECK_STRUCTURE]);
}

static void say_stored(FILE *to, const struct mb_check_counts *n)
{
	fprintf(to, _("stored: %s compared with the recorded digest"),
		count_of(ngettext("%" PRIu64 " payload", "%" PRIu64 " payloads",
				  n->digests),
			 n->digests));
	say_found(to, n->findings[MB_CHECK_STORED]);
}

static void say_content(FILE *to, const struct verify *v)
{
	const struct mb_check_counts *n = &v->counts;
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), n->read_bytes);
	fprintf(to, _("content: %s read (%s), %s checked"),
		count_of(ngettext("%" PRIu64 " payload", "%" PRIu64 " payloads",
				  n->read),
			 n->read),
		bytes,
		count_of(ngettext("%" PRIu64 " database",
				  "%" PRIu64 " databases", n->databases),
			 n->databases));
	say_found(to, n->findings[MB_CHECK_CONTENT]);
}

/* What is not known, and how it could be. */
static void say_unchecked(FILE *to, const struct verify *v)
{
	const struct mb_check_counts *n = &v->counts;

	if (v->wish.level < MB_CHECK_STORED)
		fputs(_("not checked: payloads against their digests (--stored)\n"),
		      to);
	if (v->wish.level < MB_CHECK_CONTENT)
		fputs(_("not checked: keys, padding, true lengths and databases (--content)\n"),
		      to);
	if (v->wish.level == MB_CHECK_STORED && n->payloads > n->digests &&
	    !v->wish.sample_text)
		fprintf(to, _("not checked: %s without a digest\n"),
			count_of(ngettext("%" PRIu64 " payload",
					  "%" PRIu64 " payloads",
					  n->payloads - n->digests),
				 n->payloads - n->digests));
	if (v->wish.sample_text && n->payloads)
		fprintf(to,
			_("not checked: what is not in the sample, which is %.1f %% of the payloads, %.1f %% of their bytes\n"),
			100.0 * (double)n->chosen / (double)n->payloads,
			n->payload_bytes ? 100.0 * (double)n->chosen_bytes /
						   (double)n->payload_bytes :
					   100.0);
	if (n->unjudged_lengths)
		fprintf(to,
			_("not checked: %s of encrypted payloads, which takes the password\n"),
			count_of(ngettext("%" PRIu64 " odd length",
					  "%" PRIu64 " odd lengths",
					  n->unjudged_lengths),
				 n->unjudged_lengths));
	if (n->locked)
		fprintf(to, _("not checked: %s without a key\n"),
			count_of(ngettext("%" PRIu64 " encrypted payload",
					  "%" PRIu64 " encrypted payloads",
					  n->locked),
				 n->locked));
	if (n->unjudged_databases)
		fprintf(to,
			_("not checked: %s that SQLite cannot judge here (--notes)\n"),
			count_of(ngettext("%" PRIu64 " database",
					  "%" PRIu64 " databases",
					  n->unjudged_databases),
				 n->unjudged_databases));
	if (n->orphans_unknown)
		fputs(_("not checked: files in no record, as records are lost\n"),
		      to);
	if (v->wish.level == MB_CHECK_CONTENT && n->without_digest)
		fprintf(to,
			_("not checked: single bytes of %s without a digest (--record, then --against)\n"),
			count_of(ngettext("%" PRIu64 " payload",
					  "%" PRIu64 " payloads",
					  n->without_digest),
				 n->without_digest));
}

static void say_notes(FILE *to, const struct verify *v)
{
	const char *sep = "";

	if (!check_notes(v) && !v->unlisted)
		return;
	fputs(_("notes: "), to);
	for (int i = 0; i < VERIFY_NOTE_KINDS && v->notes[i].flaw; i++) {
		fprintf(to, "%s%" PRIu64 " %s", sep, v->notes[i].count,
			v->notes[i].flaw);
		sep = ", ";
	}
	fputs(v->wish.notes ? "\n" : _(" (--notes lists them)\n"), to);
}

static void say_sums(FILE *to, const struct verify *v)
{
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), v->sum_bytes);
	if (v->wish.against) {
		fprintf(to, _("against %s: %s, %s"), v->wish.against,
			count_of(ngettext("%" PRIu64 " file",
					  "%" PRIu64 " files", v->sum_files),
				 v->sum_files),
			bytes);
		say_found(to, v->sum_findings);
	} else if (v->wish.record) {
		fprintf(to, _("recorded: %s, %s, in %s\n"),
			count_of(ngettext("%" PRIu64 " file",
					  "%" PRIu64 " files", v->sum_files),
				 v->sum_files),
			bytes,
			!strcmp(v->wish.record, "-") ? _("standard output") :
						       v->wish.record);
	}
}

static void print_summary(const struct verify *v)
{
	bool to_pipe = v->wish.record && !strcmp(v->wish.record, "-");
	FILE *to = to_pipe ? stderr : stdout;
	uint64_t n = verify_findings(v);

	if (v->checked) {
		say_structure(to, &v->counts);
		if (v->wish.level >= MB_CHECK_STORED)
			say_stored(to, &v->counts);
		if (v->wish.level >= MB_CHECK_CONTENT)
			say_content(to, v);
		say_unchecked(to, v);
	}
	say_sums(to, v);
	say_notes(to, v);
	fputs(colour(to, n ? COLOUR_BAD : COLOUR_GOOD), to);
	if (n)
		fprintf(to, _("%s: this backup is damaged\n"),
			count_of(ngettext("%" PRIu64 " finding",
					  "%" PRIu64 " findings", n),
				 n));
	else if (v->checked || v->wish.against)
		fputs(_("no damage found\n"), to);
	fputs(colour(to, COLOUR_END), to);
}

static json_object *structure_object(const struct mb_check_counts *n)
{
	json_object *o = json_object_new_object();

	json_add_count(o, "findings", n->findings[MB_CHECK_STRUCTURE]);
	json_add_count(o, "files", n->files);
	json_add_count(o, "folders", n->folders);
	json_add_count(o, "links", n->links);
	json_add_count(o, "payloads", n->payloads);
	json_add_count(o, "payload_bytes", n->payload_bytes);
	json_add_count(o, "lengths_not_checked", n->unjudged_lengths);
	json_add_bool(o, "orphans_checked", !n->orphans_unknown);
	return o;
}

static json_object *stored_object(const struct mb_check_counts *n)
{
	json_object *o = json_object_new_object();

	json_add_count(o, "findings", n->findings[MB_CHECK_STORED]);
	json_add_count(o, "digests", n->digests);
	json_add_count(o, "without_digest", n->payloads - n->digests);
	return o;
}

static json_object *content_object(const struct mb_check_counts *n)
{
	json_object *o = json_object_new_object();

	json_add_count(o, "findings", n->findings[MB_CHECK_CONTENT]);
	json_add_count(o, "payloads", n->read);
	json_add_count(o, "bytes", n->read_bytes);
	json_add_count(o, "databases", n->databases);
	json_add_count(o, "databases_not_checked", n->unjudged_databases);
	json_add_count(o, "locked", n->locked);
	return o;
}

static json_object *sample_object(const struct mb_check_counts *n)
{
	json_object *o = json_object_new_object();

	json_add_count(o, "payloads", n->chosen);
	json_add_count(o, "bytes", n->chosen_bytes);
	return o;
}

static json_object *sums_object(const struct verify *v)
{
	json_object *o = json_object_new_object();

	json_add_count(o, "findings", v->sum_findings);
	json_add_count(o, "files", v->sum_files);
	json_add_count(o, "bytes", v->sum_bytes);
	json_add_count(o, "unlisted", v->unlisted);
	return o;
}

static void print_json(struct verify *v)
{
	const struct mb_backup_info *info = mb_backup_get_info(v->backup);
	json_object *o = json_event("finished");
	bool stored = v->checked && v->wish.level >= MB_CHECK_STORED;
	bool content = v->checked && v->wish.level >= MB_CHECK_CONTENT;

	json_add_text(o, "backup", info->source);
	json_add_text(o, "level",
		      v->checked ? mb_check_level_name(v->wish.level) : NULL);
	json_add_bool(o, "encrypted", info->encrypted);
	json_add_count(o, "findings", verify_findings(v));
	json_add_count(o, "notes", check_notes(v) + v->unlisted);
	json_object_object_add(o, "structure",
			       v->checked ? structure_object(&v->counts) :
					    NULL);
	json_object_object_add(o, "stored",
			       stored ? stored_object(&v->counts) : NULL);
	json_object_object_add(o, "content",
			       content ? content_object(&v->counts) : NULL);
	json_object_object_add(o, "sample",
			       v->wish.sample_text ? sample_object(&v->counts) :
						     NULL);
	json_object_object_add(
		o, "sums",
		v->wish.record || v->wish.against ? sums_object(v) : NULL);
	progress_add_seconds(v->work.progress, o);
	progress_event(v->work.progress, o);
}

void verify_summary(struct verify *v)
{
	if (v->common.json)
		print_json(v);
	else if (!v->common.quiet)
		print_summary(v);
}
