/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "named_backup.h"
#include "remembered.h"

static const char usage[] =
	"usage: larder lock [BACKUP]...\n"
	"       larder lock --all\n"
	"\n"
	"Forgets the keys that --remember has kept: all of them, or those of the\n"
	"backups. What is mounted stays so: \"larder umount\" ends it.\n"
	"\n"
	"  --all              all of them, as without BACKUP\n"
	"  --json             output for machines\n"
	"  --quiet            no messages but errors\n";

/* How many were forgotten; or a negative errno. */
static int forget(const char *word, const struct common *c, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	mb_auto(free) char *path = NULL;
	int rc = named_backup(&path, word, c, err);

	if (rc == 0)
		rc = mb_backup_open(&b, path, err);
	if (rc < 0)
		return rc;
	if (!mb_backup_get_info(b)->encrypted)
		return 0;
	rc = remembered_forget(b);
	if (rc == -ENOKEY)
		return 0;
	return rc < 0 ? mb_err_set(err, -EIO, "%s: not forgotten: %s", path,
				   strerror(-rc)) :
			1;
}

static int forget_all(struct mb_err *err)
{
	int rc = remembered_forget_all();

	return rc < 0 ? mb_err_set(err, -EIO, "not forgotten: %s",
				   strerror(-rc)) :
			rc;
}

static void tell(int count, const struct common *c)
{
	json_object *o;

	if (!c->json) {
		say(c, "larder: %d %s forgotten", count,
		    count == 1 ? "key is" : "keys are");
		return;
	}
	o = json_object_new_object();
	json_add_count(o, "forgotten", (uint64_t)count);
	json_print(o);
}

enum { OPT_ALL = COMMON_END };

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPT_ALL }, COMMON_OPTIONS, { 0 }
	};
	int option, status = EXIT_FINE, count = 0, rc;
	struct common c = { 0 };
	struct mb_err err;
	bool all = false;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_ALL)
			all = true;
		else if (!common_option(&c, &cmd_lock, option, optarg))
			return usage_error(&cmd_lock, NULL);
	}
	if (all && argc != optind)
		return usage_error(&cmd_lock, "--all, or which");
	if (argc == optind) {
		count = forget_all(&err);
		if (count < 0)
			return fail(count, &err);
	}
	for (; optind < argc; optind++) {
		rc = forget(argv[optind], &c, &err);
		if (rc < 0)
			status = fail(rc, &err);
		else
			count += rc;
	}
	if (count || !status)
		tell(count, &c);
	rc = finish_output();
	return status ? status : rc;
}

const struct command cmd_lock = {
	.name = "lock",
	.summary = "forget the keys that --remember has kept",
	.usage = usage,
	.run = run,
};
