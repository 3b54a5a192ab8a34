/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "diff_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "colour.h"

/* Longer than any path of shown names. */
#define PATH_SIZE (1 << 18)

enum event { SAME, ADDED, REMOVED, CHANGED };

static enum event event_of(const struct comparison *one)
{
	if (!one->node[0])
		return ADDED;
	if (!one->node[1])
		return REMOVED;
	return one->what ? CHANGED : SAME;
}

/* The backup, 0 or 1, that an entry is shown of: the second, if it has it. */
static int side_of(const struct comparison *one)
{
	return one->node[1] ? 1 : 0;
}

/* --- counting ------------------------------------------------------------ */

static uint64_t file_bytes(const struct comparison *one, int side)
{
	return one->type[side] == MB_FILE ? (uint64_t)one->size[side] : 0;
}

static void count(struct diff_counts *n, const struct comparison *one)
{
	bool damaged = one->rc[0] || one->rc[1];

	n->damaged += damaged;
	switch (event_of(one)) {
	case ADDED:
		n->added++;
		n->added_bytes += file_bytes(one, 1);
		break;
	case REMOVED:
		n->removed++;
		n->removed_bytes += file_bytes(one, 0);
		break;
	case CHANGED:
		n->changed++;
		if (one->what & (DIFFERS_CONTENT | DIFFERS_TYPE))
			n->changed_bytes += file_bytes(one, 1);
		break;
	case SAME:
		n->unchanged += !damaged;
		break;
	}
}

static bool is_damage(int rc)
{
	return rc == -EBADMSG || rc == -ENODATA || rc == -ENOKEY || rc == -EIO;
}

/* --- text ---------------------------------------------------------------- */

static void print_what(unsigned what)
{
	const char *between = "\t(";

	for (unsigned i = 0; i < DIFFERENCES; i++) {
		if (!(what & 1u << i))
			continue;
		printf("%s%s", between, _(difference_name(i)));
		between = ", ";
	}
	putchar(')');
}

static void print_size(const struct comparison *one, int side)
{
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), (uint64_t)one->size[side]);
	fputs(one->type[side] == MB_FILE ? bytes :
					   _(type_name(one->type[side])),
	      stdout);
}

/* A path has no tab: it would be printed as \011. */
static void print_text(const struct comparison *one, enum event event,
		       const char *path)
{
	fputs(colour(stdout, event == ADDED   ? COLOUR_GOOD :
			     event == REMOVED ? COLOUR_BAD :
						COLOUR_NOTE),
	      stdout);
	printf("%c ", event == ADDED ? '+' : event == REMOVED ? '-' : 'M');
	print_name(path, strlen(path));
	fputs(colour(stdout, COLOUR_END), stdout);
	if (event == CHANGED)
		print_what(one->what);
	if (event != CHANGED) {
		putchar('\t');
		print_size(one, side_of(one));
	} else if (one->what & (DIFFERS_TYPE | DIFFERS_SIZE)) {
		putchar('\t');
		print_size(one, 0);
		fputs(" -> ", stdout);
		print_size(one, 1);
	}
	putchar('\n');
}

/* --- JSON ---------------------------------------------------------------- */

static void add_slice(json_object *o, const char *key, struct mb_slice text)
{
	json_object_object_add(o, key, json_text(text.ptr, text.len));
}

static json_object *json_what(unsigned what)
{
	json_object *list = json_object_new_array();

	for (unsigned i = 0; i < DIFFERENCES; i++)
		if (what & 1u << i)
			json_object_array_add(
				list,
				json_object_new_string(difference_name(i)));
	return list;
}

static void print_json(struct diff_report *r, const struct comparison *one,
		       enum event event, const struct mb_record *rec)
{
	static const char *const names[] = {
		[ADDED] = "added",
		[REMOVED] = "removed",
		[CHANGED] = "changed",
	};
	json_object *o = json_event(names[event]);
	int side = side_of(one);

	add_slice(o, "domain", rec->domain);
	add_slice(o, "path", rec->path);
	json_add_text(o, "type", type_name(one->type[side]));
	if (event == CHANGED && one->what & DIFFERS_TYPE)
		json_add_text(o, "old_type", type_name(one->type[0]));
	json_object_object_add(o, "size",
			       json_object_new_int64(one->size[side]));
	if (event == CHANGED) {
		json_object_object_add(o, "old_size",
				       json_object_new_int64(one->size[0]));
		json_object_object_add(o, "what", json_what(one->what));
	}
	progress_event(r->progress, o);
}

/* --- entries ------------------------------------------------------------- */

static int say_difference(struct diff_report *r, const struct comparison *one,
			  enum event event, struct mb_err *err)
{
	static char path[PATH_SIZE];
	int side = side_of(one);
	bool mixed = isatty(STDOUT_FILENO);
	struct mb_record rec = { 0 };
	int rc = 0;

	if (r->json) {
		rc = mb_tree_record(r->tree[side], one->node[side], &rec, err);
		if (rc >= 0)
			print_json(r, one, event, &rec);
		mb_record_release(&rec);
		return rc < 0 ? rc : 0;
	}
	mb_tree_get_path(r->tree[side], one->node[side], path, sizeof(path));
	/* the line of progress is on the same terminal */
	if (mixed)
		progress_hold(r->progress);
	print_text(one, event, path);
	if (mixed)
		progress_resume(r->progress);
	return 0;
}

static int say_damage(struct diff_report *r, const struct comparison *one,
		      int side, struct mb_err *err)
{
	static char path[PATH_SIZE];
	const char *why =
		one->why[side] ? one->why[side] : strerror(-one->rc[side]);
	struct mb_record rec = { 0 };
	json_object *o;
	int rc;

	if (!is_damage(one->rc[side]) && !r->failed)
		r->failed = one->rc[side];
	if (!r->json) {
		mb_tree_get_path(r->tree[side], one->node[side], path,
				 sizeof(path));
		progress_warn(r->progress, "%s: %s: %s", r->paths[side], path,
			      why);
		return 0;
	}
	rc = mb_tree_record(r->tree[side], one->node[side], &rec, err);
	if (rc >= 0) {
		o = json_event("damaged");
		json_add_text(o, "backup", r->paths[side]);
		add_slice(o, "domain", rec.domain);
		add_slice(o, "path", rec.path);
		json_add_text(o, "message", why);
		progress_event(r->progress, o);
	}
	mb_record_release(&rec);
	return rc < 0 ? rc : 0;
}

int diff_report_entry(struct diff_report *r, const struct comparison *one,
		      struct mb_err *err)
{
	enum event event = event_of(one);
	int rc = 0;

	count(&r->domain, one);
	if (event != SAME && !r->summary)
		rc = say_difference(r, one, event, err);
	for (int side = 0; side < 2 && rc == 0; side++)
		if (one->rc[side])
			rc = say_damage(r, one, side, err);
	return rc;
}

/* --- sums ---------------------------------------------------------------- */

static bool differs(const struct diff_counts *n)
{
	return n->added || n->removed || n->changed || n->damaged;
}

static void add_counts(json_object *o, const struct diff_counts *n)
{
	json_add_count(o, "added", n->added);
	json_add_count(o, "removed", n->removed);
	json_add_count(o, "changed", n->changed);
	json_add_count(o, "unchanged", n->unchanged);
	json_add_count(o, "damaged", n->damaged);
	json_add_count(o, "added_bytes", n->added_bytes);
	json_add_count(o, "removed_bytes", n->removed_bytes);
	json_add_count(o, "changed_bytes", n->changed_bytes);
}

static void print_cell(uint64_t number, uint64_t bytes)
{
	char text[32];

	format_bytes(text, sizeof(text), bytes);
	printf("%8" PRIu64 " %9s", number, text);
}

static void print_row(const struct diff_counts *n, struct mb_slice name)
{
	print_cell(n->added, n->added_bytes);
	print_cell(n->removed, n->removed_bytes);
	print_cell(n->changed, n->changed_bytes);
	fputs("  ", stdout);
	print_name(name.ptr, name.len);
	putchar('\n');
}

static void print_head(void)
{
	printf("%18s%18s%18s  %s\n", _("added"), _("removed"), _("changed"),
	       _("domain"));
}

static void sum_up(struct diff_counts *all, const struct diff_counts *n)
{
	all->added += n->added;
	all->removed += n->removed;
	all->changed += n->changed;
	all->unchanged += n->unchanged;
	all->damaged += n->damaged;
	all->added_bytes += n->added_bytes;
	all->removed_bytes += n->removed_bytes;
	all->changed_bytes += n->changed_bytes;
}

static void say_domain(struct diff_report *r, struct mb_slice domain)
{
	bool mixed = isatty(STDOUT_FILENO);

	if (r->json) {
		json_object *o = json_event("domain");

		add_slice(o, "domain", domain);
		add_counts(o, &r->domain);
		progress_event(r->progress, o);
		return;
	}
	if (mixed)
		progress_hold(r->progress);
	if (r->domains == 1)
		print_head();
	print_row(&r->domain, domain);
	if (mixed)
		progress_resume(r->progress);
}

void diff_report_domain(struct diff_report *r, struct mb_slice domain)
{
	if (differs(&r->domain)) {
		r->domains++;
		if (r->summary)
			say_domain(r, domain);
	}
	sum_up(&r->all, &r->domain);
	r->domain = (struct diff_counts){ 0 };
}

static void say_totals(struct diff_report *r)
{
	const struct diff_counts *n = &r->all;
	char added[32], removed[32], changed[32], damaged[64] = "";

	format_bytes(added, sizeof(added), n->added_bytes);
	format_bytes(removed, sizeof(removed), n->removed_bytes);
	format_bytes(changed, sizeof(changed), n->changed_bytes);
	if (n->damaged)
		snprintf(damaged, sizeof(damaged), _(", %" PRIu64 " damaged"),
			 n->damaged);
	progress_note(r->progress,
		      "%" PRIu64 " added (%s), %" PRIu64 " removed (%s), "
		      "%" PRIu64 " changed (%s), %" PRIu64 " unchanged%s",
		      n->added, added, n->removed, removed, n->changed, changed,
		      n->unchanged, damaged);
}

void diff_report_end(struct diff_report *r, const struct comparer *compared)
{
	json_object *o;

	if (!r->json) {
		if (r->summary && r->domains > 1)
			print_row(&r->all, mb_slice_of(_("all")));
		fflush(stdout);
		say_totals(r);
		return;
	}
	o = json_event("finished");
	add_counts(o, &r->all);
	json_add_count(o, "domains", r->domains);
	json_add_count(o, "contents_compared", compared->files);
	json_add_count(o, "bytes_compared", compared->bytes);
	progress_add_seconds(r->progress, o);
	progress_event(r->progress, o);
}
