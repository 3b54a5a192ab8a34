/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "device_job.h"
#include "secret.h"

static const char *const usage[] = {
	N_("usage: larder password on|change|off [--udid UDID] [--network]\n"),
	N_("\n"
	   "Sets, changes or removes the backup password of a connected device. With\n"
	   "one, the device encrypts its backups, and puts more into them. Whoever\n"
	   "forgets it cannot read them any more.\n"),
	N_("\n"
	   "  on                 set a password: asked for twice, or --new-passfile\n"
	   "  change             the old one: --passfile; the new one: --new-passfile\n"
	   "  off                the old one: --passfile\n"),
	N_("\n"
	   "  --new-passfile FILE  the new password: the first line of FILE\n"),
	DEVICE_HELP_TEXT,
	COMMON_HELP_TEXT,
	N_("\n"
	   "Devices with a passcode ask for it. Backups that are there keep the\n"
	   "password that they were made with.\n"),
	NULL,
};

enum { OPT_NEW_PASSFILE = DEVICE_END };

enum action { ACTION_ON, ACTION_CHANGE, ACTION_OFF };

static const char *const action_names[] = { "on", "change", "off" };

struct wish {
	struct device_wish device;
	enum action action;
	const char *new_passfile;
};

struct passwords {
	struct secret old, new;
};

static void passwords_release(struct passwords *p)
{
	secret_release(&p->old);
	secret_release(&p->new);
}

static inline void mb_auto_passwords_release(struct passwords *p)
{
	passwords_release(p);
}

static int get_new(const struct wish *wish, const struct common *c,
		   struct secret *s, struct mb_err *err)
{
	if (wish->new_passfile)
		return secret_from_file(s, wish->new_passfile, err);
	/* where there is no old one, --passfile can only mean the new one */
	if (wish->action == ACTION_ON && unlock_source_given(&c->unlock))
		return unlock_get_password(&c->unlock, "", s, err);
	return secret_new_from_terminal(s, _("New backup password: "),
					_("The same again: "), err);
}

static int get_passwords(struct passwords *p, const struct wish *wish,
			 const struct common *c, struct mb_err *err)
{
	int rc = 0;

	if (wish->action != ACTION_ON)
		rc = unlock_get_password(&c->unlock,
					 _("Present backup password: "),
					 &p->old, err);
	if (rc == 0 && wish->action != ACTION_OFF)
		rc = get_new(wish, c, &p->new, err);
	if (rc == 0)
		rc = secret_check_text(&p->old, err);
	if (rc == 0)
		rc = secret_check_text(&p->new, err);
	return rc;
}

static bool is_on(struct device_job *job)
{
	return device_get_bool(job->device, "com.apple.mobile.backup",
			       "WillEncrypt");
}

/* Before anybody types a password in vain. */
static int check_state(struct device_job *job, const struct wish *wish,
		       struct mb_err *err)
{
	if (wish->action == ACTION_ON && is_on(job))
		return mb_err_set(
			err, -EALREADY,
			"%s has a backup password: \"larder password change\" sets another",
			job->name);
	if (wish->action != ACTION_ON && !is_on(job))
		return mb_err_set(
			err, -EALREADY,
			"%s has no backup password: \"larder password on\" sets one",
			job->name);
	return 0;
}

static plist_t make_request(struct device_job *job, const struct passwords *p)
{
	plist_t request = plist_new_dict();

	plist_dict_set_item(request, "TargetIdentifier",
			    plist_new_string(job->udid));
	if (p->old.len)
		plist_dict_set_item(request, "OldPassword",
				    plist_new_string(p->old.text));
	if (p->new.len)
		plist_dict_set_item(request, "NewPassword",
				    plist_new_string(p->new.text));
	return request;
}

static int ask_device(struct device_job *job, const struct passwords *p,
		      struct mb_err *err)
{
	int rc = device_job_connect(job, err);

	if (rc == 0)
		rc = device_job_ask(job, "ChangePassword", make_request(job, p),
				    NULL, err);
	if (rc == -EKEYREJECTED && p->old.len)
		mb_err_set(err, rc, "wrong backup password: %s",
			   _("the device keeps the one it has"));
	return rc;
}

static void report(struct device_job *job, const struct wish *wish)
{
	json_object *o;

	if (job->common->json) {
		o = json_event("finished");
		json_add_text(o, "udid", job->udid);
		json_object_object_add(
			o, "encryption",
			json_object_new_boolean(wish->action != ACTION_OFF));
		progress_event(job->progress, o);
		return;
	}
	if (wish->action == ACTION_OFF)
		printf(_("%s: backup password removed; the next backup is not encrypted\n"),
		       job->name);
	else
		printf(wish->action == ACTION_ON ?
			       _("%s: backup password set; the next backup is a full one\n") :
			       _("%s: backup password changed; the next backup is a full one\n"),
		       job->name);
}

static int change(struct device_job *job, const struct wish *wish,
		  const struct common *c, struct mb_err *err)
{
	mb_auto(passwords_release) struct passwords p = { 0 };
	int rc = device_job_start(job, &wish->device, c, err);

	if (rc == 0)
		rc = device_job_find(job, &wish->device, err);
	if (rc == 0)
		rc = device_job_begin(job, err);
	if (rc == 0)
		rc = check_state(job, wish, err);
	if (rc < 0)
		return rc;
	device_job_pause(job);
	rc = get_passwords(&p, wish, c, err);
	if (rc == 0)
		rc = device_job_resume(job, err);
	if (rc == 0)
		rc = ask_device(job, &p, err);
	if (rc == 0)
		report(job, wish);
	return rc;
}

static bool parse_action(const char *text, enum action *action)
{
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(text, action_names[i]))
			continue;
		*action = (enum action)i;
		return true;
	}
	return false;
}

/* Returns 0, or an exit status. */
static int parse(struct wish *wish, struct common *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "new-passfile", required_argument, NULL, OPT_NEW_PASSFILE },
		DEVICE_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_NEW_PASSFILE) {
			wish->new_passfile = optarg;
		} else if ((taken = device_option(&wish->device, &cmd_password,
						  option, optarg))) {
			if (taken < 0)
				return EXIT_USAGE;
		} else if (!common_option(c, &cmd_password, option, optarg)) {
			return usage_error(&cmd_password, NULL);
		}
	}
	/* a password as an argument could be seen by everybody */
	if (argc - optind != 1 || !parse_action(argv[optind], &wish->action))
		return usage_error(&cmd_password,
				   "password takes one of on, change, off");
	if (c->unlock.keyfile)
		return usage_error(&cmd_password,
				   "a device takes passwords, no key file");
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(device_job_close) struct device_job job = { 0 };
	struct wish wish = { 0 };
	struct common c = { 0 };
	struct mb_err err;
	int rc = parse(&wish, &c, argc, argv);

	if (rc)
		return rc;
	rc = change(&job, &wish, &c, &err);
	if (rc == 0)
		return finish_output();
	return device_job_fail(&job, rc, &err);
}

const struct command cmd_password = {
	.name = "password",
	.summary = N_("set, change or remove a device's backup password"),
	.usage = usage,
	.run = run,
};
