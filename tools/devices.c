/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "bplist.h"
#include "device.h"
#include "plistx.h"
#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder devices [--json] [DIR]\n"),
	N_("\n"
	   "Lists the iPhones and iPads that are attached, one a line: model, iOS,\n"
	   "by USB or network, whether this computer is paired with it, whether its\n"
	   "backups are encrypted, and when it was last backed up to a computer, as\n"
	   "far as it says without being paired or unlocked.\n"),
	N_("\n"
	   "With DIR, the last backup is the one in DIR, a folder of backups.\n"),
	N_("\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

enum known { NO, YES, UNKNOWN };

/* What is known of a device; NULL, 0 and UNKNOWN where it does not say. */
struct row {
	const struct device_seen *seen;
	char *name, *type, *ios;
	bool paired;
	enum known encrypted;
	int64_t last_backup; /* Unix time */
	bool never;	     /* there is none in DIR */
};

static void row_release(struct row *r)
{
	free(r->name);
	free(r->type);
	free(r->ios);
}

static void complain(const struct row *r, const struct common *c,
		     struct mb_err *err)
{
	mb_err_prefix(err, err->code, "%s", r->seen->udid);
	say(c, "larder: %s", err->text);
}

/* --- asking ------------------------------------------------------------ */

/* The device counts seconds since 2001, and might change to a date. */
static int64_t backup_date(plist_t backup)
{
	plist_t node = plistx_get(backup, "LastiTunesBackupDate");
	uint64_t s = 0;
	int64_t date = 0;
	double real = 0;

	if (!node || plistx_date(backup, "LastiTunesBackupDate", &date))
		return date;
	if (plist_get_node_type(node) == PLIST_UINT) {
		plist_get_uint_val(node, &s);
	} else if (plist_get_node_type(node) == PLIST_REAL) {
		plist_get_real_val(node, &real);
		s = real > 0 && real < INT_MAX ? (uint64_t)real : 0;
	}
	return s && s <= INT_MAX ? (int64_t)s + PLIST_EPOCH : 0;
}

static void ask_backup(struct row *r, struct device *device)
{
	mb_auto(plistx_free) plist_t backup =
		device_get(device, "com.apple.mobile.backup", NULL);
	bool on;

	if (plistx_bool(backup, "WillEncrypt", &on))
		r->encrypted = on ? YES : NO;
	r->last_backup = backup_date(backup);
}

/*
 * A session only where there are keys already: to ask for it otherwise would
 * bring up the trust dialog.
 */
static int ask(struct row *r, struct mb_err *err)
{
	mb_auto(device_free) struct device *device = NULL;
	int rc;

	rc = device_open(&device, r->seen->udid, DEVICE_EITHER, err);
	if (rc < 0)
		return rc;
	r->paired = device_is_paired(device);
	if (r->paired)
		rc = device_start_session(device, err);
	r->name = device_get_text(device, NULL, "DeviceName");
	r->type = device_get_text(device, NULL, "ProductType");
	r->ios = device_get_text(device, NULL, "ProductVersion");
	if (r->paired && rc == 0)
		ask_backup(r, device);
	return rc;
}

static int look_into(const char *dir, struct row *r, const struct common *c,
		     struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	char path[PATH_MAX];
	int rc;

	r->last_backup = 0;
	r->never = true;
	if (snprintf(path, sizeof(path), "%s/%s", dir, r->seen->udid) >=
	    (int)sizeof(path))
		return 0;
	rc = open_backup(&b, path, c, err);
	if (rc == -ENOENT)
		return 0;
	r->never = false;
	if (rc == 0)
		r->last_backup = mb_backup_get_info(b)->date;
	return rc;
}

static void fill(struct row *r, const char *dir, const struct common *c)
{
	struct mb_err err;

	if (ask(r, &err) < 0)
		complain(r, c, &err);
	if (dir && look_into(dir, r, c, &err) < 0)
		complain(r, c, &err);
}

/* --- telling ----------------------------------------------------------- */

/* All but the name, which may be of any width. */
enum { UDID, MODEL, IOS, BY, PAIRED, ENCRYPTED, LAST, CELLS };

struct line {
	char cell[CELLS][64];
};

static void set_word(struct line *line, int cell, const char *word)
{
	snprintf(line->cell[cell], sizeof(line->cell[cell]), "%s", word);
}

static void make_head(struct line *line)
{
	static const char *const names[CELLS] = {
		N_("UDID"),   N_("MODEL"),     N_("IOS"),	  N_("BY"),
		N_("PAIRED"), N_("ENCRYPTED"), N_("LAST BACKUP"),
	};

	for (int i = 0; i < CELLS; i++)
		set_word(line, i, _(names[i]));
}

static const char *by(const struct device_seen *seen)
{
	if (seen->usb && seen->network)
		return _("both");
	return seen->usb ? _("USB") : _("network");
}

/* These are ASCII on every real device. */
static void set_cell(struct line *line, int cell, const char *text)
{
	char *out = line->cell[cell];

	snprintf(out, sizeof(line->cell[cell]), "%s",
		 text && *text ? text : "-");
	for (; *out; out++)
		if (*out < ' ' || *out > '~')
			*out = '?';
}

static void make_line(struct line *line, const struct row *r)
{
	static const char *const words[] = { N_("no"), N_("yes"),
					     N_("unknown") };

	set_cell(line, UDID, r->seen->udid);
	set_cell(line, MODEL, r->type);
	set_cell(line, IOS, r->ios);
	set_word(line, BY, by(r->seen));
	set_word(line, PAIRED, _(words[r->paired]));
	set_word(line, ENCRYPTED, _(words[r->encrypted]));
	set_word(line, LAST, r->never ? _("never") : _("unknown"));
	if (r->last_backup)
		format_time(line->cell[LAST], sizeof(line->cell[LAST]),
			    r->last_backup);
}

static void widen(int width[CELLS], const struct line *line)
{
	for (int i = 0; i < CELLS; i++)
		if (text_width(line->cell[i]) > width[i])
			width[i] = text_width(line->cell[i]);
}

static void print_line(const struct line *line, const int width[CELLS],
		       const char *name)
{
	for (int i = 0; i < CELLS; i++)
		print_padded(line->cell[i], width[i] + 2);
	print_name(name, strlen(name));
	putchar('\n');
}

static int print_table(const struct row *rows, size_t count)
{
	mb_auto(free) struct line *lines = calloc(count, sizeof(*lines));
	struct line head;
	int width[CELLS] = { 0 };

	if (!lines)
		return -ENOMEM;
	make_head(&head);
	widen(width, &head);
	for (size_t i = 0; i < count; i++) {
		make_line(&lines[i], &rows[i]);
		widen(width, &lines[i]);
	}
	print_line(&head, width, _("NAME"));
	for (size_t i = 0; i < count; i++)
		print_line(&lines[i], width, rows[i].name ? rows[i].name : "-");
	return 0;
}

static void print_row_json(const struct row *r)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "udid", r->seen->udid);
	json_add_text(o, "name", r->name);
	json_add_text(o, "product_type", r->type);
	json_add_text(o, "ios", r->ios);
	json_object_object_add(o, "usb", json_object_new_boolean(r->seen->usb));
	json_object_object_add(o, "network",
			       json_object_new_boolean(r->seen->network));
	json_object_object_add(o, "paired", json_object_new_boolean(r->paired));
	json_object_object_add(o, "encrypted",
			       r->encrypted == UNKNOWN ?
				       NULL :
				       json_object_new_boolean(r->encrypted));
	json_add_time(o, "last_backup", r->last_backup);
	json_print(o);
}

/* --- all of them ------------------------------------------------------- */

static int check_dir(const char *dir, struct mb_err *err)
{
	mb_auto(close) int fd = -1;

	if (!dir)
		return 0;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? mb_err_set(err, -EIO, "%s: %s", dir, strerror(errno)) :
			0;
}

static int list(const char *dir, const struct common *c, struct mb_err *err)
{
	mb_auto(free) struct device_seen *seen = NULL;
	mb_auto(free) struct row *rows = NULL;
	size_t count = 0;
	int rc = check_dir(dir, err);

	if (rc == 0)
		rc = device_list(&seen, &count, err);
	if (rc < 0)
		return rc;
	if (!count) {
		say(c,
		    "larder: no iPhone or iPad is attached: plug it in and unlock it; \"larder doctor\" looks for a cause");
		return 0;
	}
	rows = calloc(count, sizeof(*rows));
	if (!rows)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		rows[i] =
			(struct row){ .seen = &seen[i], .encrypted = UNKNOWN };
		fill(&rows[i], dir, c);
	}
	if (!c->json)
		rc = print_table(rows, count);
	for (size_t i = 0; i < count; i++) {
		if (c->json)
			print_row_json(&rows[i]);
		row_release(&rows[i]);
	}
	return rc < 0 ? mb_err_set(err, rc, "out of memory") : 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct common c = { 0 };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!common_option(&c, &cmd_devices, option, optarg))
			return usage_error(&cmd_devices, NULL);
	if (argc - optind > 1)
		return usage_error(&cmd_devices, "devices takes at most a DIR");
	rc = list(argv[optind], &c, &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_devices = {
	.name = "devices",
	.summary = N_("the iPhones and iPads that are attached"),
	.usage = usage,
	.run = run,
};
