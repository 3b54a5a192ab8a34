/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "beneath.h"
#include "crew.h"
#include "mb/rekey.h"
#include "packing.h"

static const char *const usage[] = {
	N_("usage: larder rekey [options] BACKUP\n"
	   "       larder rekey --decrypt-to DEST [options] BACKUP\n"
	   "       larder rekey --encrypt-to DEST [options] BACKUP\n"),
	N_("\n"
	   "Gives an encrypted backup another password, without a device: its keys\n"
	   "are wrapped anew, and nothing else of it changes. Or writes all of it as\n"
	   "another backup, the new folder DEST, decrypted or encrypted anew.\n"),
	N_("\n"
	   "  --new-passfile FILE  the new password: FILE's first line\n"
	   "                     (otherwise it is asked for)\n"
	   "  --iterations N     of its key derivation\n"
	   "  --decrypt-to DEST  write a backup without encryption\n"
	   "  --encrypt-to DEST  write a backup with new keys\n"),
	COMMON_HELP_TEXT,
	N_("\n"
	   "Key files of the old password do not open what has a new one.\n"),
	NULL,
};

enum {
	OPT_NEW_PASSFILE = COMMON_END,
	OPT_ITERATIONS,
	OPT_DECRYPT_TO,
	OPT_ENCRYPT_TO,
};

/* --- in place ------------------------------------------------------------ */

struct change {
	const struct packing *wish;
	struct mb_backup *backup;
	int lock_fd;
	struct mb_rekey *rekey;
	struct secret new_password;
	uint8_t old_key[MB_DERIVED_KEY_LEN];
	struct mb_rekey_result result;
	/* of the derivation that the other thread does */
	int new_rc;
	struct mb_err new_err;
};

static void change_release(struct change *c)
{
	mb_rekey_free(c->rekey);
	mb_backup_free(c->backup);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	secret_release(&c->new_password);
	explicit_bzero(c->old_key, sizeof(c->old_key));
}

MB_DEFINE_AUTO_VALUE(struct change, change_release)

static void derive_new(void *arg, size_t i)
{
	struct change *c = arg;

	(void)i;
	c->new_rc = mb_rekey_derive(c->rekey, c->new_password.text,
				    c->new_password.len, &c->new_err);
}

static void say_deriving(const struct change *c)
{
	if (isatty(STDERR_FILENO) && !c->wish->common.quiet)
		fputs(_("Making the new key, this takes some seconds ..."),
		      stderr);
}

static void say_derived(const struct change *c)
{
	if (isatty(STDERR_FILENO) && !c->wish->common.quiet)
		fputs("\r\033[K", stderr);
}

/* Both at once: nobody needs to be asked, and nothing is known to be wrong. */
static int derive_both(struct change *c, struct mb_err *err)
{
	const struct unlock_source *from = &c->wish->common.unlock;
	mb_auto(secret_release) struct secret old = { 0 };
	mb_auto(crew_free) struct crew *crew = NULL;
	int rc = unlock_get_password(from, "", &old, err);

	if (rc == 0)
		rc = new_password(&c->new_password, c->wish->new_passfile, err);
	if (rc == 0 && crew_open(&crew) < 0)
		rc = mb_err_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	say_deriving(c);
	crew_start(crew, derive_new, c);
	rc = mb_backup_derive(c->backup, old.text, old.len, c->old_key, err);
	crew_finish(crew);
	say_derived(c);
	if (rc == 0 && c->new_rc < 0)
		*err = c->new_err;
	return rc < 0 ? rc : c->new_rc;
}

/* The old one first: a wrong one is told before anybody thinks of a new one. */
static int derive_in_turn(struct change *c, struct mb_err *err)
{
	int rc = unlock_derive(c->backup, &c->wish->common.unlock, c->old_key,
			       err);

	if (rc == 0)
		rc = mb_backup_unlock(c->backup, c->old_key, err);
	if (rc == 0)
		rc = new_password(&c->new_password, c->wish->new_passfile, err);
	if (rc < 0)
		return rc;
	say_deriving(c);
	derive_new(c, 0);
	say_derived(c);
	if (c->new_rc < 0)
		*err = c->new_err;
	return c->new_rc;
}

static int derive(struct change *c, struct mb_err *err)
{
	const struct unlock_source *from = &c->wish->common.unlock;
	bool asks = !unlock_source_given(from) || !c->wish->new_passfile;
	int rc;

	/* a key file is there at once */
	if (asks || from->keyfile)
		return derive_in_turn(c, err);
	rc = derive_both(c, err);
	return rc < 0 ? rc : mb_backup_unlock(c->backup, c->old_key, err);
}

/*
 * While a device makes a new version of it, aside, nothing is to be changed in
 * what that one will replace: staging's folder is the lock.
 */
static int lock_out_staging(struct change *c, struct mb_err *err)
{
	const char *path = mb_backup_get_info(c->backup)->source;
	mb_auto(close) int parent = -1, fd = -1;
	mb_auto(free) char *name = NULL;

	if (asprintf(&name, ".larder-%s", strrchr(path, '/') + 1) < 0) {
		name = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	parent = openat(mb_backup_get_fd(c->backup), "..",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = parent < 0 ? -1 : beneath_open_dir(parent, name);
	/* there is none, or there are no locks: nobody else */
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		c->lock_fd = mb_steal_fd(&fd);
	else
		return mb_err_set(err, -EBUSY,
				  "%s: another larder makes a backup of it",
				  path);
	return 0;
}

static int open_for_change(struct change *c, struct mb_err *err)
{
	const struct packing *wish = c->wish;
	int rc = open_backup(&c->backup, wish->from, &wish->common, err);

	if (rc < 0)
		return rc;
	if (!mb_backup_get_info(c->backup)->encrypted)
		return mb_err_set(
			err, -EINVAL,
			"%s: not encrypted: --encrypt-to writes an encrypted one",
			wish->from);
	rc = lock_out_staging(c, err);
	return rc < 0 ? rc :
			mb_rekey_open(&c->rekey, c->backup, wish->iterations,
				      err);
}

/*
 * Ctrl-C waits for the end of it, which is less than a second away, and then
 * has come too late.
 */
static int commit(struct change *c, struct mb_err *err)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set, old;
	int rc;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	rc = mb_rekey_commit(c->rekey, c->old_key, &c->result, err);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (rc == 0)
			signal(numbers[i], SIG_IGN);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static void report(const struct change *c)
{
	const char *path = mb_backup_get_info(c->backup)->source;
	json_object *o;

	if (c->wish->common.json) {
		o = json_event("finished");
		json_add_text(o, "backup", path);
		json_add_count(o, "classes", c->result.classes);
		json_add_count(o, "iterations", c->result.iterations);
		json_print(o);
		return;
	}
	if (c->wish->common.quiet)
		return;
	print_name(path, strlen(path));
	putchar('\n');
	say(&c->wish->common,
	    "larder: it has the new password; key files of the old one no longer open it, and \"larder key\" writes new ones");
}

static int change_password(const struct packing *wish)
{
	mb_auto(change_release) struct change c = { .wish = wish,
						    .lock_fd = -1 };
	struct mb_err err;
	int rc = open_for_change(&c, &err);

	if (rc == 0)
		rc = derive(&c, &err);
	if (rc == 0)
		rc = commit(&c, &err);
	if (rc < 0)
		return progress_fail(NULL, &wish->common, rc, &err);
	report(&c);
	return finish_output();
}

/* --- as another backup --------------------------------------------------- */

/* Anything that pack takes is not meant here, only what is a backup. */
static int check_from(const struct packing *p, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	const struct mb_backup_info *info;
	int rc = mb_backup_open(&b, p->from, err);

	if (rc < 0)
		return rc;
	info = mb_backup_get_info(b);
	if (!info->encrypted && p->encryption == MB_IN_CLEAR)
		return mb_err_set(err, -EINVAL, "%s: not encrypted", p->from);
	if (!info->complete)
		say(&p->common,
		    "larder: %s: the backup was interrupted: what it has is written",
		    p->from);
	return 0;
}

static int convert(struct packing *p)
{
	struct mb_err err;
	int rc = check_from(p, &err);

	if (rc == 0)
		rc = packing_run(p, &err);
	if (rc < 0)
		return packing_fail(p, rc, &err);
	return packing_report(p);
}

/* --- options ------------------------------------------------------------- */

/* 1: taken; 0: another; -1: wrong, which has been said */
static int take_option(struct packing *p, int option, const char *value)
{
	switch (option) {
	case OPT_NEW_PASSFILE:
		p->new_passfile = value;
		return 1;
	case OPT_ITERATIONS:
		if (parse_iterations(value, &p->iterations))
			return 1;
		usage_error(&cmd_rekey, "--iterations takes a number, 1 to %d",
			    ITERATIONS_MAX);
		return -1;
	case OPT_DECRYPT_TO:
	case OPT_ENCRYPT_TO:
		if (p->to) {
			usage_error(
				&cmd_rekey,
				"only one of --decrypt-to and --encrypt-to");
			return -1;
		}
		p->to = value;
		p->encryption = option == OPT_DECRYPT_TO ? MB_IN_CLEAR :
							   MB_NEW_PASSWORD;
		p->doing = option == OPT_DECRYPT_TO ? _("decrypting") :
						      _("encrypting");
		return 1;
	default:
		return 0;
	}
}

/* Returns 0, or an exit status. */
static int parse(struct packing *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "new-passfile", required_argument, NULL, OPT_NEW_PASSFILE },
		{ "iterations", required_argument, NULL, OPT_ITERATIONS },
		{ "decrypt-to", required_argument, NULL, OPT_DECRYPT_TO },
		{ "encrypt-to", required_argument, NULL, OPT_ENCRYPT_TO },
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		taken = take_option(p, option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken &&
		    !common_option(&p->common, &cmd_rekey, option, optarg))
			return usage_error(&cmd_rekey, NULL);
	}
	if (argc - optind != 1)
		return usage_error(&cmd_rekey, "rekey takes a BACKUP");
	if (p->encryption == MB_IN_CLEAR && (p->new_passfile || p->iterations))
		return usage_error(
			&cmd_rekey,
			"--new-passfile and --iterations do not go with --decrypt-to");
	p->from = argv[optind];
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(packing_release) struct packing p = { .strict = true };
	int rc = parse(&p, argc, argv);

	if (rc)
		return rc;
	return p.to ? convert(&p) : change_password(&p);
}

const struct command cmd_rekey = {
	.name = "rekey",
	.summary = N_(
		"change a backup's password, or decrypt or encrypt all of it"),
	.usage = usage,
	.run = run,
};
