/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "device_job.h"
#include "question.h"
#include "restore_plan.h"
#include "stage.h"
#include "watch.h"

static const char *const usage[] = {
	N_("usage: larder restore [--udid UDID] [--network] [options] FROM\n"),
	N_("\n"
	   "Puts a backup back on a connected device: its folder, a mount of it, or a\n"
	   "copied or edited tree of files. Shows what it is going to do, and asks.\n"),
	N_("\n"
	   "  --dry-run          only show it\n"
	   "  --yes              do not ask\n"
	   "  --merge            keep what else is on the device\n"
	   "  --remove           remove it, also with --only and its like\n"
	   "  --no-reboot        no restart of the device at the end\n"
	   "  --no-settings      the settings of the device stay\n"
	   "  --no-apps          the device does not install the backup's apps\n"
	   "  --force-damaged    also if files of the backup are damaged\n"
	   "  --staging DIR      where to put what has to be staged\n"
	   "  --keep-staged      keep it, and print where it is\n"
	   "  --base BACKUP      the backup that FROM was copied from\n"),
	SELECTION_HELP_TEXT,
	DEVICE_HELP_TEXT,
	COMMON_HELP_TEXT,
	NULL,
};

enum {
	OPT_DRY_RUN = DEVICE_END,
	OPT_YES,
	OPT_MERGE,
	OPT_REMOVE,
	OPT_NO_REBOOT,
	OPT_NO_SETTINGS,
	OPT_NO_APPS,
	OPT_FORCE_DAMAGED,
	OPT_STAGING,
	OPT_KEEP_STAGED,
	OPT_BASE,
};

#define APPS_DIR "/iTunesRestore"
#define APPS_FILE APPS_DIR "/RestoreApplications.plist"

struct wish {
	struct device_wish device;
	struct selection selection;
	const char *from, *base, *staging;
	bool dry_run, yes, merge, remove, no_reboot, no_settings, no_apps;
	bool force_damaged, keep_staged;
};

struct restore {
	struct common common;
	struct wish wish;
	struct device_job job;
	struct source *source;
	struct stage stage;
	struct restore_plan plan;
	struct secret password; /* empty if the backup is not encrypted */
	struct buf apps;	/* RestoreApplications.plist, as XML */
	bool apps_sent;
	char *kept; /* path of what was staged, with --keep-staged */
};

static void restore_release(struct restore *r)
{
	device_job_close(&r->job);
	/* after the watch has ended: it may take longer than Ctrl-C waits */
	stage_release(&r->stage);
	source_free(r->source);
	plan_release(&r->plan);
	secret_release(&r->password);
	buf_release(&r->apps);
	selection_release(&r->wish.selection);
	free(r->kept);
}

static inline void mb_auto_restore_release(struct restore *r)
{
	restore_release(r);
}

/* --- what is to be restored ---------------------------------------------- */

static bool is_partial(const struct restore *r)
{
	return !selection_is_all(&r->wish.selection);
}

static bool is_staged(const struct restore *r)
{
	return is_partial(r) || !source_is_whole(r->source);
}

/*
 * The device has to be told the password; a derived key cannot be turned back
 * into one.
 */
static int check_secret(const struct restore *r, struct mb_err *err)
{
	struct mb_backup *base = source_get_base(r->source);

	if (!base || !mb_backup_get_info(base)->encrypted || r->wish.dry_run ||
	    r->password.len)
		return 0;
	return mb_err_set(
		err, -ENOKEY,
		"%s: the device wants the password itself: a key file is not enough",
		r->wish.from);
}

static int open_from(struct restore *r, struct mb_err *err)
{
	struct mb_backup *base;
	int rc = source_open(&r->source, r->wish.from, r->wish.base, err);

	if (rc < 0)
		return rc;
	if (source_was_encrypted(r->source))
		return mb_err_set(
			err, -ENOENT,
			"%s: the backup that it was copied from is not there: --base BACKUP says where it is",
			r->wish.from);
	base = source_get_base(r->source);
	if (!base)
		return 0;
	rc = load_backup_keep(base, &r->common, &r->password, err);
	if (rc == 0 && r->password.len)
		rc = secret_check_text(&r->password, err);
	return rc < 0 ? rc : check_secret(r, err);
}

static void on_odd(void *arg, const char *path, const char *line)
{
	struct restore *r = arg;

	progress_warn(r->job.progress, "%s: %s", path, line);
}

static void on_damaged(void *arg, const char *path, const char *line)
{
	struct restore *r = arg;
	json_object *o;

	if (!r->common.json) {
		progress_warn(r->job.progress, "damaged: %s: %s", path, line);
		return;
	}
	o = json_event("damaged");
	json_object_object_add(o, "path", json_text(path, strlen(path)));
	json_add_text(o, "message", line);
	progress_event(r->job.progress, o);
}

static void on_line(void *arg, const char *line)
{
	struct restore *r = arg;

	progress_warn(r->job.progress, "%s", line);
}

static int scan(struct restore *r, struct mb_err *err)
{
	const struct source_observer observer = {
		.odd = on_odd,
		.damaged = on_damaged,
		.cancelled = watch_cancelled,
		.arg = r,
	};

	if (source_get_base(r->source))
		mb_backup_on_note(source_get_base(r->source), on_line, r);
	return source_scan(r->source, &r->wish.selection, &observer, err);
}

/* --- the plan ------------------------------------------------------------ */

static bool keeps_app(void *arg, const char *bundle_id)
{
	struct restore *r = arg;
	struct mb_slice *domains;
	size_t count = source_get_domains(r->source, &domains);

	if (!is_partial(r))
		return true;
	for (size_t i = 0; i < count; i++)
		if (mb_is_app_domain(domains[i], bundle_id))
			return true;
	return false;
}

/* An Info.plist that cannot be read costs the list of apps, nothing else. */
static void list_apps(struct restore *r)
{
	struct mb_backup *base = source_get_base(r->source);
	struct mb_err why;
	char *xml = NULL;
	size_t len = 0;

	if (r->wish.no_apps || !base)
		return;
	if (mb_backup_list_apps(base, keeps_app, r, &xml, &len, &r->plan.apps,
				&why) < 0)
		progress_warn(r->job.progress, "no apps are installed: %s",
			      why.text);
	r->apps = (struct buf){ (uint8_t *)xml, len, len };
}

static void make_plan(struct restore *r)
{
	struct restore_plan *plan = &r->plan;
	const struct wish *w = &r->wish;

	plan->source = r->source;
	plan->partial = is_partial(r);
	plan->staged = is_staged(r);
	plan->options = (struct restore_options){
		.reboot = !w->no_reboot,
		.preserve_settings = w->no_settings || plan->partial,
		.remove_others = w->remove || (!w->merge && !plan->partial),
	};
	plan->free_bytes = plan->capacity_bytes = plan->find_my = -1;
	list_apps(r);
	if (r->job.device)
		plan_ask_device(plan, r->job.device);
	plan_judge(plan, w->force_damaged);
}

static void show_plan(struct restore *r)
{
	if (r->common.json)
		progress_event(r->job.progress, plan_event(&r->plan));
	else if (!r->common.quiet || r->wish.dry_run)
		plan_print(&r->plan);
	fflush(stdout);
}

static int check_plan(struct restore *r, struct mb_err *err)
{
	const struct restore_plan *plan = &r->plan;

	if (!plan->problem_count)
		return 0;
	/* all of them have been shown; the error is the first */
	return mb_err_set(
		err, plan->damaged ? -EBADMSG : -EPERM, "%s",
		plan->problems[plan->damaged ? plan->problem_count - 1 : 0]
			.text);
}

static int ask_user(struct restore *r, struct mb_err *err)
{
	int rc;

	if (r->wish.yes)
		return 0;
	/* a device does not keep a session open for as long as people think */
	device_stop_session(r->job.device);
	device_job_pause(&r->job);
	rc = question_yes(_("Restore? [y/N] "));
	if (rc == -ENOTTY)
		return mb_err_set(
			err, -ENOTUNIQ,
			"nobody can be asked here: --yes restores without a question");
	if (rc == 0)
		return mb_err_set(err, -ECANCELED, "nothing was restored");
	return device_job_resume(&r->job, err);
}

/* --- staging ------------------------------------------------------------- */

/* The folder to stage in: as told, beside the backup, or where all may write. */
static int open_scratch_in(struct restore *r, const char *parent,
			   struct mb_err *err)
{
	const char *udid = source_get_about(r->source)->udid;
	char name[NAME_MAX];
	int rc = source_keep_out(r->source, parent, err);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "restore-%.64s",
		 udid && !strchr(udid, '/') ? udid : r->job.udid);
	return scratch_open(&r->stage.scratch, parent, name, err);
}

static int open_scratch(struct restore *r, struct mb_err *err)
{
	const char *source = source_get_about(r->source)->source;
	const char *elsewhere = getenv("TMPDIR");
	mb_auto(free) char *copy = NULL;
	int rc = -EACCES;

	if (r->wish.staging)
		return open_scratch_in(r, r->wish.staging, err);
	if (source) {
		copy = strdup(source);
		if (!copy)
			return mb_err_set(err, -ENOMEM, "out of memory");
		rc = open_scratch_in(r, dirname(copy), err);
	}
	if (rc == -EACCES || rc == -EROFS || rc == -EPERM)
		rc = open_scratch_in(
			r, elsewhere && *elsewhere ? elsewhere : "/var/tmp",
			err);
	return rc;
}

static int stage(struct restore *r, struct mb_err *err)
{
	struct mb_writer_wish wish = {
		.partial = is_partial(r),
		.encryption = MB_AS_LIKE,
		.cancelled = watch_cancelled,
		.note = on_line,
		.arg = r,
	};
	int rc = open_scratch(r, err);

	if (rc < 0)
		return rc;
	progress_note(r->job.progress, "staging in %s",
		      scratch_get_path(r->stage.scratch));
	r->job.staged = &r->stage.counts;
	progress_begin(r->job.progress, "staging");
	rc = stage_fill(&r->stage, r->source, &wish, r->wish.keep_staged, err);
	progress_end(r->job.progress);
	r->job.staged = NULL;
	return rc;
}

/* --- the device ---------------------------------------------------------- */

/* By which the device calls the backup; a folder's name, not a path. */
static const char *identifier(const struct restore *r)
{
	const char *udid = source_get_about(r->source)->udid;

	for (const char *p = udid; p && *p; p++)
		if (!strchr("0123456789abcdefABCDEF-", *p))
			udid = NULL;
	return udid && *udid && strlen(udid) <= 64 ? udid : r->job.udid;
}

static int keep_staged(struct restore *r, struct mb_err *err)
{
	char name[NAME_MAX], stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	if (!r->wish.keep_staged || !r->stage.scratch)
		return 0;
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
	snprintf(name, sizeof(name), "%s-staged-%s", identifier(r), stamp);
	return scratch_keep(r->stage.scratch, name, &r->kept, err);
}

static int send_apps(struct restore *r, struct mb_err *err)
{
	int rc;

	if (!r->plan.apps) {
		/* one that a restore which failed left would count */
		if (r->job.media)
			media_remove(r->job.media, APPS_FILE, NULL);
		return 0;
	}
	if (!r->job.media) {
		progress_warn(
			r->job.progress,
			"no apps are installed: the media folder cannot be reached");
		return 0;
	}
	r->apps_sent = true;
	rc = media_make_dir(r->job.media, APPS_DIR, err);
	return rc < 0 ? rc :
			media_write(r->job.media, APPS_FILE, r->apps.ptr,
				    r->apps.len, err);
}

/* A device that was not restored is not to install apps either. */
static void take_apps_back(struct restore *r)
{
	if (!r->apps_sent || !r->job.media)
		return;
	media_remove(r->job.media, APPS_FILE, NULL);
	media_remove(r->job.media, APPS_DIR, NULL);
}

static int ask_device(struct restore *r, struct mb_err *err)
{
	struct mb_backup *served =
		r->stage.made ? r->stage.made : source_get_base(r->source);
	const char *id = identifier(r);
	const struct host_dir dir = {
		.fd = mb_backup_get_fd(served),
		.udid = id,
		.served = true,
		.target = r->job.udid,
	};
	plist_t request = plist_new_dict();
	int rc;

	plist_dict_set_item(request, "TargetIdentifier",
			    plist_new_string(r->job.udid));
	plist_dict_set_item(request, "SourceIdentifier", plist_new_string(id));
	plist_dict_set_item(
		request, "Options",
		plan_make_options(&r->plan.options,
				  mb_backup_get_info(served)->encrypted ?
					  r->password.text :
					  NULL));
	progress_begin(r->job.progress, "restoring");
	rc = device_job_ask(&r->job, "Restore", request, &dir, err);
	progress_end(r->job.progress);
	return rc;
}

static int transfer(struct restore *r, struct mb_err *err)
{
	int rc = device_job_begin(&r->job, err);

	if (rc == 0)
		rc = device_job_sync(&r->job, err);
	if (rc == 0)
		rc = send_apps(r, err);
	if (rc == 0)
		rc = device_job_connect(&r->job, err);
	if (rc == 0)
		rc = ask_device(r, err);
	if (rc < 0)
		take_apps_back(r);
	device_job_leave(&r->job);
	return rc;
}

/* A plan can be had without a device, unless one was asked for by name. */
static int find_device(struct restore *r, struct mb_err *err)
{
	int rc = device_job_find(&r->job, &r->wish.device, err);

	if (r->wish.dry_run && !r->wish.device.udid &&
	    (rc == -ENODEV || rc == -ENOTCONN))
		return 0;
	return rc < 0 ? rc : device_job_begin(&r->job, err);
}

static int restore(struct restore *r, struct mb_err *err)
{
	int rc = open_from(r, err);

	if (rc == 0)
		rc = device_job_start(&r->job, &r->wish.device, &r->common,
				      err);
	if (rc == 0)
		rc = scan(r, err);
	if (rc == 0)
		rc = find_device(r, err);
	if (rc < 0)
		return rc;
	make_plan(r);
	show_plan(r);
	rc = check_plan(r, err);
	if (rc == 0 && !r->wish.dry_run)
		rc = ask_user(r, err);
	if (rc < 0 || r->wish.dry_run)
		return rc;
	if (r->plan.staged) {
		device_stop_session(r->job.device);
		rc = stage(r, err);
	}
	if (rc == 0)
		rc = transfer(r, err);
	return rc < 0 ? rc : keep_staged(r, err);
}

/* --- after --------------------------------------------------------------- */

static void print_summary(const struct restore *r)
{
	const struct session_counts *n = &r->job.counts;
	json_object *o = json_event("finished");

	json_add_text(o, "udid", r->job.udid);
	json_add_count(o, "files_sent", n->sent_files);
	json_add_count(o, "bytes_sent", n->sent_bytes);
	json_add_text(o, "staged", r->kept);
	progress_add_seconds(r->job.progress, o);
	progress_event(r->job.progress, o);
}

static void say_summary(const struct restore *r)
{
	const struct session_counts *n = &r->job.counts;
	char bytes[32], took[32];

	if (r->kept)
		printf("%s\n", r->kept);
	format_bytes(bytes, sizeof(bytes), n->sent_bytes);
	format_duration(took, sizeof(took), progress_seconds(r->job.progress));
	printf(_("restored: %" PRIuFAST64 " files, %s sent in %s%s\n"),
	       n->sent_files, bytes, took,
	       r->plan.options.reboot ? _("; the device restarts") : "");
}

static int finish(struct restore *r, int rc, const struct mb_err *err)
{
	/* until the device is asked for something, it is about the backup */
	if (rc < 0)
		return r->job.counts.messages ?
			       device_job_fail(&r->job, rc, err) :
			       progress_fail(r->job.progress, &r->common, rc,
					     err);
	if (r->wish.dry_run)
		return finish_output();
	if (r->common.json)
		print_summary(r);
	else if (!r->common.quiet)
		say_summary(r);
	return finish_output();
}

/* --- options ------------------------------------------------------------- */

static bool take_flag(struct wish *w, int option, const char *value)
{
	bool *const flags[] = {
		[OPT_DRY_RUN - OPT_DRY_RUN] = &w->dry_run,
		[OPT_YES - OPT_DRY_RUN] = &w->yes,
		[OPT_MERGE - OPT_DRY_RUN] = &w->merge,
		[OPT_REMOVE - OPT_DRY_RUN] = &w->remove,
		[OPT_NO_REBOOT - OPT_DRY_RUN] = &w->no_reboot,
		[OPT_NO_SETTINGS - OPT_DRY_RUN] = &w->no_settings,
		[OPT_NO_APPS - OPT_DRY_RUN] = &w->no_apps,
		[OPT_FORCE_DAMAGED - OPT_DRY_RUN] = &w->force_damaged,
		[OPT_KEEP_STAGED - OPT_DRY_RUN] = &w->keep_staged,
	};

	if (option == OPT_STAGING)
		w->staging = value;
	else if (option == OPT_BASE)
		w->base = value;
	else if (option >= OPT_DRY_RUN && option <= OPT_KEEP_STAGED)
		*flags[option - OPT_DRY_RUN] = true;
	else
		return false;
	return true;
}

/* Returns 0, or an exit status. */
static int parse(struct wish *w, struct common *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
		{ "yes", no_argument, NULL, OPT_YES },
		{ "merge", no_argument, NULL, OPT_MERGE },
		{ "remove", no_argument, NULL, OPT_REMOVE },
		{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
		{ "no-settings", no_argument, NULL, OPT_NO_SETTINGS },
		{ "no-apps", no_argument, NULL, OPT_NO_APPS },
		{ "force-damaged", no_argument, NULL, OPT_FORCE_DAMAGED },
		{ "staging", required_argument, NULL, OPT_STAGING },
		{ "keep-staged", no_argument, NULL, OPT_KEEP_STAGED },
		{ "base", required_argument, NULL, OPT_BASE },
		SELECTION_OPTIONS,
		DEVICE_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (take_flag(w, option, optarg))
			continue;
		taken = selection_option(&w->selection, &cmd_restore, option,
					 optarg);
		if (taken == 0)
			taken = device_option(&w->device, &cmd_restore, option,
					      optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (!taken && !common_option(c, &cmd_restore, option, optarg))
			return usage_error(&cmd_restore, NULL);
	}
	if (argc - optind != 1)
		return usage_error(&cmd_restore, "restore takes one FROM");
	if (w->merge && w->remove)
		return usage_error(&cmd_restore,
				   "only one of --merge and --remove");
	w->from = argv[optind];
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(restore_release) struct restore r = { 0 };
	struct mb_err err;
	int rc = parse(&r.wish, &r.common, argc, argv);

	if (rc)
		return rc;
	rc = restore(&r, &err);
	return finish(&r, rc, &err);
}

const struct command cmd_restore = {
	.name = "restore",
	.summary = N_("put a backup, or an edited tree, back on a device"),
	.usage = usage,
	.run = run,
};
