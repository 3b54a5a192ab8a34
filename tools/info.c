/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder info [--passfile FILE] [--json] BACKUP\n"),
	N_("\n"
	   "Says what a backup is: device, iOS, date, encrypted or not, complete or\n"
	   "interrupted, and how many files and bytes each domain has. The last\n"
	   "needs the password where the manifest is encrypted; without one, only\n"
	   "the rest is said.\n"),
	COMMON_HELP_TEXT,
	NULL,
};

struct report {
	json_object *domains; /* NULL without --json */
};

static int each_domain(void *arg, struct mb_slice domain,
		       const struct mb_totals *t)
{
	struct report *r = arg;
	json_object *o;
	char bytes[32];

	if (!r->domains) {
		format_bytes(bytes, sizeof(bytes), t->bytes);
		printf("%10" PRIu64 "  %9s  ", t->files, bytes);
		print_name(domain.ptr, domain.len);
		putchar('\n');
		return 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "domain", json_text(domain.ptr, domain.len));
	json_object_object_add(o, "files", json_object_new_uint64(t->files));
	json_object_object_add(o, "bytes", json_object_new_uint64(t->bytes));
	json_object_object_add(o, "records",
			       json_object_new_uint64(t->records));
	json_object_array_add(r->domains, o);
	return 0;
}

static void print_line(const char *label, const char *text)
{
	if (!text)
		return;
	print_padded(_(label), 12);
	putchar(' ');
	print_name(text, strlen(text));
	putchar('\n');
}

/* "text (more)", as far as they are known */
static void print_pair(const char *label, const char *text, const char *more)
{
	char line[600];

	if (!text)
		text = _("unknown");
	if (more)
		snprintf(line, sizeof(line), "%s (%s)", text, more);
	print_line(label, more ? line : text);
}

static void print_state(const struct mb_backup_info *info)
{
	if (!info->snapshot_state)
		print_pair("state:", NULL, _("no Status.plist"));
	else if (info->complete)
		print_line("state:", _("complete"));
	else
		print_pair("state:", _("interrupted"), info->snapshot_state);
}

static void print_text(const struct mb_backup_info *info)
{
	char date[64];

	print_line("backup:", info->source);
	print_line("device:", info->device_name);
	if (info->product_name)
		print_pair("model:", info->product_name, info->product_type);
	else
		print_pair("model:", info->product_type, NULL);
	print_pair("iOS:", info->product_version, info->build_version);
	print_line("serial:", info->serial_number);
	print_line("UDID:", info->udid);
	format_time(date, sizeof(date), info->date);
	print_line("date:", info->date ? date : _("unknown"));
	print_line("encrypted:", info->encrypted ? _("yes") : _("no"));
	print_state(info);
	print_line("manifest:", info->format == MB_FORMAT_DB ? "Manifest.db" :
							       "Manifest.mbdb");
}

static json_object *make_json(const struct mb_backup_info *info)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "source", info->source);
	json_add_text(o, "device_name", info->device_name);
	json_add_text(o, "product_type", info->product_type);
	json_add_text(o, "product_name", info->product_name);
	json_add_text(o, "ios", info->product_version);
	json_add_text(o, "build", info->build_version);
	json_add_text(o, "serial_number", info->serial_number);
	json_add_text(o, "udid", info->udid);
	json_add_time(o, "date", info->date);
	json_object_object_add(o, "encrypted",
			       json_object_new_boolean(info->encrypted));
	json_object_object_add(
		o, "manifest_encrypted",
		json_object_new_boolean(info->manifest_encrypted));
	json_add_text(o, "manifest",
		      info->format == MB_FORMAT_DB ? "db" : "mbdb");
	json_object_object_add(o, "complete",
			       json_object_new_boolean(info->complete));
	json_add_text(o, "snapshot_state", info->snapshot_state);
	return o;
}

/* 1: the records can be read; 0: they are locked, and no password was given */
static int try_load(struct mb_backup *b, const struct common *c,
		    struct mb_err *err)
{
	bool locked = mb_backup_get_info(b)->manifest_encrypted;
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = 0;

	if (unlock_source_given(&c->unlock))
		rc = unlock(b, &c->unlock, err);
	else if (locked && unlock_remembered(b, key) < 0)
		return 0;
	explicit_bzero(key, sizeof(key));
	if (rc == 0)
		rc = mb_backup_load(b, err);
	return rc < 0 ? rc : 1;
}

static void finish_text(const struct common *c, bool loaded,
			const struct mb_totals *sum)
{
	char bytes[32];

	if (!loaded) {
		say(c,
		    "\nWith the password (--passfile, --extpass) also: files and bytes by domain.");
		return;
	}
	format_bytes(bytes, sizeof(bytes), sum->bytes);
	printf(_("%10" PRIu64 "  %9s  in all\n"), sum->files, bytes);
}

static void add_number(json_object *o, const char *key, bool known, uint64_t n)
{
	json_object_object_add(o, key,
			       known ? json_object_new_uint64(n) : NULL);
}

/* @domains becomes part of @o */
static void finish_json(json_object *o, bool loaded,
			const struct mb_totals *sum, json_object *domains)
{
	json_object_object_add(o, "locked", json_object_new_boolean(!loaded));
	add_number(o, "files", loaded, sum->files);
	add_number(o, "bytes", loaded, sum->bytes);
	add_number(o, "records", loaded, sum->records);
	json_object_object_add(o, "domains", domains);
	json_print(o);
}

static int report(struct mb_backup *b, const struct common *c,
		  struct mb_err *err)
{
	const struct mb_backup_info *info = mb_backup_get_info(b);
	struct mb_totals sum = { 0 };
	struct report r = { 0 };
	int loaded, rc = 0;

	loaded = try_load(b, c, err);
	if (loaded < 0)
		return loaded;
	if (loaded && c->json)
		r.domains = json_object_new_array();
	if (!c->json)
		print_text(info);
	if (!c->json && loaded)
		printf("\n%10s  %9s  %s\n", _("files"), _("bytes"),
		       _("domain"));
	if (loaded)
		rc = mb_backup_each_domain(b, each_domain, &r, &sum, err);
	if (rc < 0)
		json_object_put(r.domains);
	else if (c->json)
		finish_json(make_json(info), loaded, &sum, r.domains);
	else
		finish_text(c, loaded, &sum);
	return rc;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	struct common c = { 0 };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!common_option(&c, &cmd_info, option, optarg))
			return usage_error(&cmd_info, NULL);
	if (argc - optind != 1)
		return usage_error(&cmd_info, "info takes one BACKUP");
	rc = open_backup(&b, argv[optind], &c, &err);
	if (rc == 0)
		rc = report(b, &c, &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_info = {
	.name = "info",
	.summary = N_("what a backup is: device, iOS, date, domains"),
	.usage = usage,
	.run = run,
};
