/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "named_backup.h"
#include "remembered.h"
#include "secret_service.h"

static const char *const usage[] = {
	N_("usage: larder lock [BACKUP]...\n"
	   "       larder lock --all\n"),
	N_("\n"
	   "Forgets the keys that --remember has kept: all of them, or those of the\n"
	   "backups; those of --remember=login too. What is mounted stays so:\n"
	   "\"larder umount\" ends it.\n"),
	N_("\n"
	   "  --all              all of them, as without BACKUP\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

/* What has been forgotten. */
struct forgotten {
	int count;  /* by the kernel */
	bool login; /* by the desktop */
};

static int forget(struct forgotten *f, const char *word, const struct common *c,
		  struct mb_err *err)
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
	f->login |= secret_service_forget(b);
	rc = remembered_forget(b);
	f->count += rc == 0;
	return rc < 0 && rc != -ENOKEY ?
		       mb_err_set(err, -EIO, "%s: not forgotten: %s", path,
				  strerror(-rc)) :
		       0;
}

static int forget_all(struct forgotten *f, struct mb_err *err)
{
	int rc;

	f->login = secret_service_forget(NULL);
	rc = remembered_forget_all();
	if (rc < 0)
		return mb_err_set(err, -EIO, "not forgotten: %s",
				  strerror(-rc));
	f->count = rc;
	return 0;
}

static void tell(const struct forgotten *f, const struct common *c)
{
	json_object *o;

	if (!c->json) {
		say(c,
		    ngettext("larder: %d key is forgotten%s",
			     "larder: %d keys are forgotten%s", f->count),
		    f->count,
		    f->login ? _(", and what the desktop has kept") : "");
		return;
	}
	o = json_object_new_object();
	json_add_count(o, "forgotten", (uint64_t)f->count);
	json_add_bool(o, "login", f->login);
	json_print(o);
}

enum { OPT_ALL = COMMON_END };

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPT_ALL }, COMMON_OPTIONS, { 0 }
	};
	int option, status = EXIT_FINE, rc;
	struct forgotten f = { 0 };
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
	if (argc == optind && forget_all(&f, &err) < 0)
		status = fail(-EIO, &err);
	for (; optind < argc; optind++) {
		rc = forget(&f, argv[optind], &c, &err);
		if (rc < 0)
			status = fail(rc, &err);
	}
	if (f.count || f.login || !status)
		tell(&f, &c);
	rc = finish_output();
	return status ? status : rc;
}

const struct command cmd_lock = {
	.name = "lock",
	.summary = N_("forget the keys that --remember has kept"),
	.usage = usage,
	.run = run,
	.names_backups = true,
};
