/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "key_file.h"
#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder key [--passfile FILE] [--json] BACKUP [KEYFILE]\n"),
	N_("\n"
	   "Derives the key of an encrypted backup from its password, which takes\n"
	   "seconds, and writes it to KEYFILE with mode 0600, so that\n"
	   "\"larderfs -o keyfile=KEYFILE\" and others need neither the password nor\n"
	   "the time. Whoever has this file can read the backup.\n"),
	N_("\n"
	   "Without KEYFILE it is <UDID>.larder-key in the working folder. The name\n"
	   "of the file is printed.\n"),
	N_("\n"
	   "  -o, --output FILE  the same as KEYFILE (so is --keyfile here)\n"),
	COMMON_HELP_TEXT,
	NULL,
};

static int make_key(const char *path, const char *to, const struct common *c,
		    struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	uint8_t key[MB_DERIVED_KEY_LEN];
	const struct mb_backup_info *info;
	char name[300];
	int rc;

	rc = open_backup(&b, path, c, err);
	if (rc < 0)
		return rc;
	info = mb_backup_get_info(b);
	if (!info->encrypted)
		return mb_err_set(err, -EINVAL,
				  "%s: not encrypted, needs no key", path);
	if (!to) {
		/* the UDID comes from the backup: never more than a name */
		snprintf(name, sizeof(name), "%.200s.larder-key",
			 info->udid && !strchr(info->udid, '/') &&
					 info->udid[0] != '.' ?
				 info->udid :
				 "backup");
		to = name;
	}
	/* a key that does not open the backup is not worth a file */
	rc = unlock_derive(b, &c->unlock, key, err);
	if (rc == 0)
		rc = mb_backup_unlock(b, key, err);
	if (rc == 0)
		rc = key_file_write(to, b, key, err);
	explicit_bzero(key, sizeof(key));
	if (rc < 0)
		return rc;
	if (c->json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "keyfile", to);
		json_print(o);
	} else {
		print_name(to, strlen(to));
		putchar('\n');
	}
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "output", required_argument,
						   NULL, 'o' },
						 COMMON_OPTIONS,
						 { 0 } };
	struct common c = { 0 };
	const char *to = NULL;
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "ho:", options, NULL)) != -1) {
		if (option == 'o' || option == COMMON_KEYFILE)
			to = optarg;
		else if (!common_option(&c, &cmd_key, option, optarg))
			return usage_error(&cmd_key, NULL);
	}
	if (argc - optind == 2 && !to)
		to = argv[optind + 1];
	else if (argc - optind != 1)
		return usage_error(
			&cmd_key, "key takes a BACKUP and at most one KEYFILE");
	rc = make_key(argv[optind], to, &c, &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_key = {
	.name = "key",
	.summary = N_("write the derived key of an encrypted backup to a file"),
	.usage = usage,
	.run = run,
};
