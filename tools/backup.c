/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "beneath.h"
#include "bytes.h"
#include "device_job.h"
#include "host_info.h"
#include "plistx.h"
#include "staging.h"
#include "watch.h"

static const char *const usage[] = {
	N_("usage: larder backup [--udid UDID] [--network] [--full] [--keep N] DIR\n"),
	N_("\n"
	   "Makes or updates the backup of a connected device, in DIR/<UDID>. The\n"
	   "backup that is there stays as it is until the new one is complete.\n"),
	N_("\n"
	   "  --full             have everything sent, not only what changed\n"
	   "  --keep N           keep the N versions before this one, beside it\n"),
	DEVICE_HELP_TEXT,
	COMMON_HELP_TEXT,
	N_("\n"
	   "The password is not needed: the device encrypts. With one, it is tried\n"
	   "whether it opens the new backup.\n"),
	NULL,
};

enum { OPT_FULL = DEVICE_END, OPT_KEEP };

struct wish {
	struct device_wish device;
	bool full;
	int keep; /* -1: not said */
	const char *dir;
};

struct backup {
	struct device_job job;
	struct staging *staging;
	const struct wish *wish;
	bool encrypted; /* by the device, with the backup password */
};

/* Room that a device leaves on a host, and folders of a fresh backup. */
#define SPACE_RESERVE (128u << 20)
#define FOLDERS 520

static void backup_release(struct backup *b)
{
	device_job_close(&b->job);
	staging_free(b->staging);
}

static inline void mb_auto_backup_release(struct backup *b)
{
	backup_release(b);
}

/* --- before -------------------------------------------------------------- */

/* What the device holds, programs included; 0 if it does not say. */
static uint64_t get_used(struct device *device)
{
	mb_auto(plistx_free) plist_t usage_of_disk =
		device_get(device, "com.apple.disk_usage", NULL);
	int64_t total = plistx_get_number(usage_of_disk, "TotalDataCapacity");
	int64_t free_bytes =
		plistx_get_number(usage_of_disk, "TotalDataAvailable");

	if (free_bytes < 0)
		free_bytes = 0;
	return total > free_bytes ? (uint64_t)(total - free_bytes) : 0;
}

/*
 * Better to hear it now than after an hour. What a backup will need only the
 * device knows, so that nothing but a full disk is an error here; the device
 * asks for the space that is free before it sends anything.
 */
static int check_space(struct backup *b, struct mb_err *err)
{
	bool first = !staging_has_base(b->staging);
	const char *target = staging_get_target(b->staging);
	uint64_t used = get_used(b->job.device), avail;
	char have[32], need[32];
	struct statvfs v;

	if (fstatvfs(staging_get_fd(b->staging), &v) < 0)
		return mb_err_set(err, -errno, "%s: %s", target,
				  strerror(errno));
	avail = (uint64_t)v.f_bavail * v.f_frsize;
	format_bytes(have, sizeof(have), avail);
	if (!avail || (v.f_files && !v.f_favail))
		return mb_err_set(
			err, -ENOSPC,
			"%s: no %s left: free space, or choose another folder",
			target, avail ? _("inodes") : _("space"));
	if (first && used > avail) {
		format_bytes(need, sizeof(need), used);
		progress_warn(
			b->job.progress,
			"the device holds %s, and %s are free here: the backup may not fit",
			need, have);
	} else if (avail < SPACE_RESERVE) {
		progress_warn(
			b->job.progress,
			"only %s are free here: a device wants 134 MB more than it sends",
			have);
	}
	if (first && v.f_files && v.f_favail < FOLDERS)
		progress_warn(
			b->job.progress,
			"only %llu inodes are free here: the folders of a backup take more",
			(unsigned long long)v.f_favail);
	return 0;
}

static void say_clone(struct backup *b)
{
	const struct clone_result *c = staging_get_clone(b->staging);

	if (c->copied)
		progress_note(b->job.progress,
			      "this file system has no links: %" PRIu64
			      " files of the last backup were copied",
			      c->copied);
}

static void on_info_note(void *arg, const char *line)
{
	struct backup *b = arg;

	progress_note(b->job.progress, "%s", line);
}

static int write_info(struct backup *b, const struct buf *xml,
		      struct mb_err *err)
{
	mb_auto(free) char *path = NULL;

	if (asprintf(&path, "%s/Info.plist", b->job.udid) < 0) {
		path = NULL;
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	/* another file than the last backup's, which may share it */
	return beneath_write_file(staging_get_fd(b->staging), path,
				  view_of(xml->ptr, xml->len), 0666, err);
}

/* --- two things at once: the clone here, and questions to the device ------ */

struct cloning {
	struct backup *b;
	struct mb_err err;
	int rc;
};

static void *run_cloning(void *arg)
{
	struct cloning *c = arg;

	c->rc = staging_open(&c->b->staging, c->b->wish->dir, c->b->job.udid,
			     &c->err);
	return NULL;
}

/* What the host has to know of the device, and to write about it. */
static int ask_device(struct backup *b, struct buf *xml, struct mb_err *err)
{
	int rc = device_job_begin(&b->job, err);

	if (rc < 0)
		return rc;
	b->encrypted = device_get_bool(b->job.device, "com.apple.mobile.backup",
				       "WillEncrypt");
	progress_note(b->job.progress, "backing up %s to %s/%s, %s",
		      b->job.name, b->wish->dir, b->job.udid,
		      b->encrypted ? _("encrypted") : _("not encrypted"));
	rc = device_job_sync(&b->job, err);
	if (rc == 0)
		rc = host_info_make(b->job.device, b->job.media, xml,
				    on_info_note, b, err);
	return rc;
}

static int prepare(struct backup *b, struct mb_err *err)
{
	mb_auto(buf_release) struct buf xml = { 0 };
	struct cloning cloning = { .b = b };
	pthread_t thread;
	bool aside = pthread_create(&thread, NULL, run_cloning, &cloning) == 0;
	int rc;

	rc = ask_device(b, &xml, err);
	if (aside)
		pthread_join(thread, NULL);
	else if (rc == 0)
		run_cloning(&cloning);
	if (rc == 0 && cloning.rc < 0) {
		*err = cloning.err;
		rc = cloning.rc;
	}
	if (rc < 0)
		return rc;
	say_clone(b);
	rc = check_space(b, err);
	return rc < 0 ? rc : write_info(b, &xml, err);
}

/* --- the backup itself --------------------------------------------------- */

static plist_t make_request(const char *udid, const struct wish *wish)
{
	plist_t request = plist_new_dict(), options;

	plist_dict_set_item(request, "TargetIdentifier",
			    plist_new_string(udid));
	plist_dict_set_item(request, "SourceIdentifier",
			    plist_new_string(udid));
	if (wish->full) {
		options = plist_new_dict();
		plist_dict_set_item(options, "ForceFullBackup",
				    plist_new_bool(1));
		plist_dict_set_item(request, "Options", options);
	}
	return request;
}

static int transfer(struct backup *b, struct mb_err *err)
{
	const char *udid = b->job.udid;
	const struct host_dir dir = { .fd = staging_get_fd(b->staging),
				      .udid = udid };
	int rc;

	progress_begin(b->job.progress, "backing up");
	rc = device_job_ask(&b->job, "Backup", make_request(udid, b->wish),
			    &dir, err);
	progress_end(b->job.progress);
	if (rc == -EKEYREJECTED)
		return mb_err_set(
			err, -ENOKEY,
			"the device is only backed up encrypted: set a backup password with \"larder password on\"");
	return rc;
}

/* With a password at hand: does it open what the device has made? */
static int try_password(struct backup *b, struct mb_backup *made)
{
	const struct unlock_source *source = &b->job.common->unlock;
	struct mb_err err;
	int rc;

	if (!unlock_source_given(source))
		return 0;
	rc = unlock(made, source, &err);
	if (rc < 0)
		progress_warn(b->job.progress,
			      "the password does not open the new backup: %s",
			      err.text);
	return rc == 0;
}

/* Nothing takes the place of a good backup that is not one itself. */
static int verify(struct backup *b, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *made = NULL;
	const struct mb_backup_info *info;
	bool locked;
	int rc;

	rc = mb_backup_open(&made, staging_get_path(b->staging), err);
	if (rc < 0)
		return rc;
	info = mb_backup_get_info(made);
	if (!info->snapshot_state || !info->complete)
		return mb_err_set(
			err, -EBADMSG,
			"the device says that it has finished, but Status.plist does not (\"%s\")",
			info->snapshot_state ? info->snapshot_state :
					       _("none"));
	b->encrypted = info->encrypted;
	locked = info->manifest_encrypted;
	if (info->encrypted && try_password(b, made))
		locked = false;
	return locked ? 0 : mb_backup_load(made, err);
}

static int commit(struct backup *b, struct mb_err *err)
{
	int rc;

	if (watch_cancelled())
		return mb_err_set(err, -ECANCELED, "cancelled");
	rc = verify(b, err);
	if (rc < 0)
		return mb_err_prefix(err, rc, "the new backup is not good");
	return staging_commit(b->staging, b->wish->keep, on_info_note, b, err);
}

static int make_backup(struct backup *b, const struct common *c,
		       struct mb_err *err)
{
	int rc = device_job_start(&b->job, &b->wish->device, c, err);

	if (rc == 0)
		rc = device_job_find(&b->job, &b->wish->device, err);
	if (rc == 0)
		rc = prepare(b, err);
	if (rc == 0)
		rc = device_job_connect(&b->job, err);
	if (rc == 0)
		rc = transfer(b, err);
	device_job_leave(&b->job);
	return rc < 0 ? rc : commit(b, err);
}

/* --- after --------------------------------------------------------------- */

static void say_summary(const struct backup *b)
{
	const struct session_counts *n = &b->job.counts;
	char bytes[32], took[32];

	format_bytes(bytes, sizeof(bytes), n->received_bytes);
	format_duration(took, sizeof(took), progress_seconds(b->job.progress));
	printf("%s\n", staging_get_target(b->staging));
	printf(_("%" PRIuFAST64 " files new, %" PRIuFAST64
		 " changed, %" PRIuFAST64 " removed; %s received in %s; %s\n"),
	       n->added, n->changed, n->removed, bytes, took,
	       b->encrypted ? _("encrypted") : _("not encrypted"));
	if (!b->encrypted)
		progress_note(
			b->job.progress,
			"an unencrypted backup lacks saved passwords, Wi-Fi and website passwords, Health data and the call history; \"larder password on\" turns encryption on");
}

static void print_summary(const struct backup *b)
{
	const struct session_counts *n = &b->job.counts;
	json_object *o = json_event("finished");

	json_add_text(o, "backup", staging_get_target(b->staging));
	json_add_text(o, "udid", b->job.udid);
	json_add_bool(o, "encrypted", b->encrypted);
	json_add_bool(o, "first", !staging_has_base(b->staging));
	json_add_count(o, "files_new", n->added);
	json_add_count(o, "files_changed", n->changed);
	json_add_count(o, "files_removed", n->removed);
	json_add_count(o, "bytes_received", n->received_bytes);
	progress_add_seconds(b->job.progress, o);
	progress_event(b->job.progress, o);
}

static void say_what_is_left(const struct backup *b)
{
	if (!b->staging || !b->job.progress)
		return;
	if (staging_has_base(b->staging))
		progress_note(b->job.progress,
			      "the backup before is as it was: %s",
			      staging_get_target(b->staging));
	else
		progress_note(b->job.progress, "no backup was made");
}

static int finish(struct backup *b, int rc, const struct common *c,
		  const struct mb_err *err)
{
	int status;

	if (rc == 0) {
		if (c->json)
			print_summary(b);
		else if (!c->quiet)
			say_summary(b);
		return finish_output();
	}
	/* for programs the error is the end */
	if (c->json)
		say_what_is_left(b);
	status = device_job_fail(&b->job, rc, err);
	if (!c->json)
		say_what_is_left(b);
	return status;
}

static bool parse_keep(const char *text, int *keep)
{
	char *end;
	long n = strtol(text, &end, 10);

	*keep = (int)n;
	return end != text && !*end && n >= 0 && n <= 100000;
}

/* Returns 0, or an exit status. */
static int parse(struct wish *wish, struct common *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "full", no_argument, NULL, OPT_FULL },
		{ "keep", required_argument, NULL, OPT_KEEP },
		DEVICE_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_FULL) {
			wish->full = true;
		} else if (option == OPT_KEEP) {
			if (!parse_keep(optarg, &wish->keep))
				return usage_error(&cmd_backup,
						   "--keep takes a number");
		} else if ((taken = device_option(&wish->device, &cmd_backup,
						  option, optarg))) {
			if (taken < 0)
				return EXIT_USAGE;
		} else if (!common_option(c, &cmd_backup, option, optarg)) {
			return usage_error(&cmd_backup, NULL);
		}
	}
	if (argc - optind != 1)
		return usage_error(&cmd_backup, "backup takes one DIR");
	wish->dir = argv[optind];
	return 0;
}

static int run(int argc, char **argv)
{
	mb_auto(backup_release) struct backup b = { 0 };
	struct wish wish = { .keep = -1 };
	struct common c = { 0 };
	struct mb_err err;
	int rc = parse(&wish, &c, argc, argv);

	if (rc)
		return rc;
	b.wish = &wish;
	rc = make_backup(&b, &c, &err);
	return finish(&b, rc, &c, &err);
}

const struct command cmd_backup = {
	.name = "backup",
	.summary = N_("make or update the backup of a connected device"),
	.usage = usage,
	.run = run,
};
