/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "mount_home.h"
#include "own_mounts.h"
#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder mounts [--json]\n"),
	N_("\n"
	   "Lists the backups that you have mounted, and where.\n"),
	N_("\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

static void print_text(const char *text)
{
	print_name(text, strlen(text));
}

static void print_line(const struct own_mount *m)
{
	char date[64];

	print_text(m->backup);
	fputs(_(" on "), stdout);
	print_text(m->mountpoint);
	if (m->about) {
		fputs(" (", stdout);
		print_text(m->about->device_name ? m->about->device_name :
						   _("unnamed device"));
		format_time(date, sizeof(date), m->about->date);
		printf(", %s)", m->about->date ? date : _("no date"));
	}
	putchar('\n');
}

static void print_json(const struct own_mount *m)
{
	const struct found *about = m->about;
	json_object *o = json_object_new_object();

	json_add_text(o, "mountpoint", m->mountpoint);
	json_add_text(o, "backup", m->backup);
	json_add_text(o, "device_name", about ? about->device_name : NULL);
	json_add_text(o, "udid", about ? about->udid : NULL);
	json_add_time(o, "date", about ? about->date : 0);
	json_print(o);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	mb_auto(own_mounts_release) struct own_mounts list = { 0 };
	struct common c = { 0 };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!common_option(&c, &cmd_mounts, option, optarg))
			return usage_error(&cmd_mounts, NULL);
	if (argc != optind)
		return usage_error(&cmd_mounts, "mounts takes no argument");
	mount_home_sweep_any();
	rc = own_mounts_read(&list, false, &err);
	if (rc == 0)
		rc = own_mounts_describe(&list, &err);
	if (rc < 0)
		return fail(rc, &err);
	for (size_t i = 0; i < list.count; i++) {
		if (c.json)
			print_json(&list.items[i]);
		else
			print_line(&list.items[i]);
	}
	return finish_output();
}

const struct command cmd_mounts = {
	.name = "mounts",
	.summary = N_("the backups that are mounted, and where"),
	.usage = usage,
	.run = run,
};
