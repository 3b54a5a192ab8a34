/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "find.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder find [--no-size] [--timeout SECONDS] [--json] [FOLDER...]\n"),
	N_("\n"
	   "Lists backups, by device, the newest first: date, size, iOS, encrypted or\n"
	   "not, complete or interrupted, whether it is the device's current one, a\n"
	   "version that larder has kept or a copy that Apple's software has made, and\n"
	   "the folder. No password is needed.\n"),
	N_("\n"
	   "Without FOLDER it looks where larder keeps them (~/.local/share/larder and\n"
	   "~/Backup), and on all disks, shares and sticks that are mounted: where\n"
	   "Apple's software on Windows and macOS keeps them, and two folders deep.\n"
	   "In a FOLDER it looks five deep.\n"),
	N_("\n"
	   "  --no-size          do not sum up sizes, which takes a while\n"
	   "  --timeout SECONDS  leave a disk that has been silent for so long\n"
	   "                     (default: 10)\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

static void note(void *arg, const char *line)
{
	say(arg, "larder: %s", line);
}

/* --- for people ---------------------------------------------------------- */

enum { DATE, SIZE, IOS, ENCRYPTED, STATE, KIND, CELLS };

struct line {
	char cell[CELLS][40];
};

/* These are ASCII in every real backup. */
static void set_cell(char cell[40], const char *text)
{
	snprintf(cell, 40, "%s", text && *text ? text : "-");
	for (; *cell; cell++)
		if (*cell < ' ' || *cell > '~')
			*cell = '?';
}

static void set_word(char cell[40], const char *word)
{
	snprintf(cell, 40, "%s", word);
}

static void make_line(struct line *line, const struct found *f)
{
	char ios[40];

	snprintf(ios, sizeof(ios), "iOS %.30s", f->ios ? f->ios : "");
	set_cell(line->cell[IOS], ios);
	if (!f->ios)
		set_word(line->cell[IOS], _("iOS unknown"));
	set_word(line->cell[ENCRYPTED],
		 f->encrypted ? _("encrypted") : _("not encrypted"));
	set_word(line->cell[STATE],
		 f->complete ? _("complete") : _("interrupted"));
	set_word(line->cell[KIND], _(found_kind_name(f->kind)));
	set_cell(line->cell[DATE], NULL);
	set_cell(line->cell[SIZE], NULL);
	if (f->date)
		format_time(line->cell[DATE], sizeof(line->cell[DATE]),
			    f->date);
	if (f->sized)
		format_bytes(line->cell[SIZE], sizeof(line->cell[SIZE]),
			     f->bytes);
}

static void widen(int width[CELLS], const struct line *line)
{
	for (int i = 0; i < CELLS; i++)
		if (text_width(line->cell[i]) > width[i])
			width[i] = text_width(line->cell[i]);
}

static void print_text(const char *text)
{
	print_name(text, strlen(text));
}

/* "Anna's iPhone (iPhone 13, 00008110-...)" */
static void print_device(const struct found *f)
{
	const char *model = found_get_model(f);

	print_text(f->device_name ? f->device_name : _("Unnamed device"));
	if (model || f->udid)
		fputs(" (", stdout);
	if (model)
		print_text(model);
	if (model && f->udid)
		fputs(", ", stdout);
	if (f->udid)
		print_text(f->udid);
	puts(model || f->udid ? ")" : "");
}

static void print_line(const struct line *line, const int width[CELLS],
		       const char *path)
{
	fputs("  ", stdout);
	for (int i = 0; i < CELLS; i++) {
		if (i == SIZE)
			printf("%*s  ", width[i], line->cell[i]);
		else
			print_padded(line->cell[i], width[i] + 2);
	}
	print_text(path);
	putchar('\n');
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static bool same_device(const struct found *a, const struct found *b)
{
	return same_text(a->udid, b->udid) &&
	       same_text(a->device_name, b->device_name);
}

static int print_list(const struct found_list *list)
{
	mb_auto(free) struct line *lines = calloc(list->count, sizeof(*lines));
	int width[CELLS] = { 0 };
	const struct found *last = NULL;

	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].problem)
			continue;
		make_line(&lines[i], &list->items[i]);
		widen(width, &lines[i]);
	}
	for (size_t i = 0; i < list->count; i++) {
		const struct found *f = &list->items[i];

		if (f->problem && (!last || !last->problem))
			puts(_("Cannot be read"));
		else if (!f->problem && (!last || !same_device(f, last)))
			print_device(f);
		last = f;
		if (!f->problem) {
			print_line(&lines[i], width, f->path);
			continue;
		}
		fputs("  ", stdout);
		print_text(f->path);
		fputs(": ", stdout);
		print_text(f->problem);
		putchar('\n');
	}
	return 0;
}

/* --- for machines -------------------------------------------------------- */

static void add_known_bool(json_object *o, const char *key, bool known,
			   bool value)
{
	if (known)
		json_add_bool(o, key, value);
	else
		json_add_text(o, key, NULL);
}

static void add_known_count(json_object *o, const char *key, bool known,
			    uint64_t value)
{
	if (known)
		json_add_count(o, key, value);
	else
		json_add_text(o, key, NULL);
}

static void print_json(const struct found *f)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "path", f->path);
	json_add_text(o, "kind", found_kind_name(f->kind));
	json_add_text(o, "device_name", f->device_name);
	json_add_text(o, "udid", f->udid);
	json_add_text(o, "product_type", f->product_type);
	json_add_text(o, "product_name", f->product_name);
	json_add_text(o, "ios", f->ios);
	json_add_time(o, "date", f->date);
	add_known_bool(o, "encrypted", !f->problem, f->encrypted);
	add_known_bool(o, "complete", !f->problem, f->complete);
	add_known_count(o, "bytes", f->sized, f->bytes);
	add_known_count(o, "files", f->sized, f->files);
	json_add_text(o, "problem", f->problem);
	json_print(o);
}

/* --- the command --------------------------------------------------------- */

static int list(const struct find_wish *wish, const struct common *c,
		struct mb_err *err)
{
	mb_auto(found_list_release) struct found_list found = { 0 };
	int rc = find_backups(&found, wish, err);

	if (rc < 0)
		return rc;
	if (!found.count)
		return mb_err_set(
			err, -ENOENT, "no backup found%s",
			wish->folder_count ?
				"" :
				_("; \"larder find FOLDER\" looks elsewhere"));
	if (!c->json)
		return print_list(&found) < 0 ?
			       mb_err_set(err, -ENOMEM, "out of memory") :
			       0;
	for (size_t i = 0; i < found.count; i++)
		print_json(&found.items[i]);
	return 0;
}

enum {
	OPT_NO_SIZE = COMMON_END,
	OPT_TIMEOUT,
};

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "no-size", no_argument, NULL, OPT_NO_SIZE },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		COMMON_OPTIONS,
		{ 0 }
	};
	struct common c = { 0 };
	struct find_wish wish = { .sizes = true, .note = note, .arg = &c };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_NO_SIZE)
			wish.sizes = false;
		else if (option == OPT_TIMEOUT &&
			 !parse_timeout(optarg, &wish.silence_ms))
			return usage_error(
				&cmd_find,
				"--timeout takes seconds, 1 to 86400");
		else if (option != OPT_TIMEOUT &&
			 !common_option(&c, &cmd_find, option, optarg))
			return usage_error(&cmd_find, NULL);
	}
	wish.folders = argv + optind;
	wish.folder_count = (size_t)(argc - optind);
	rc = list(&wish, &c, &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_find = {
	.name = "find",
	.summary = N_("the backups on this computer's disks"),
	.usage = usage,
	.run = run,
};
