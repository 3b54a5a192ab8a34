/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "choose_device.h"
#include "device_error.h"
#include "watch.h"

#define BACKUP_SERVICE "com.apple.mobilebackup2"

/*
 * A device waits up to 30 minutes for its passcode, and may think as long
 * about what is new on it.
 */
#define TIMEOUT_MS (2400 * 1000)
/* Who plugs in a device stands beside it. */
#define UNLOCK_TIMEOUT_MS (60 * 1000)

/* Services that only tell of the device answer at once, or never. */
#define ANSWER_TIMEOUT_MS (30 * 1000)

/* How long another program may hold the sync lock, and how often to look. */
#define SYNC_LOCK_TRIES 50
#define SYNC_LOCK_PAUSE_MS 200

/*
 * From iOS 16.1 on each backup asks for the passcode, and from iOS 13 on each
 * change of the password.
 */
/* So long a device takes to put up its dialog, or to begin without. */
#define PASSCODE_HINT_MS 3000

#define NOTE_SYNC "com.apple.itunes-mobdev."
#define NOTE_CLIENT "com.apple.itunes-client."
#define NOTE_DIALOG "com.apple.LocalAuthentication.ui."

int device_option(struct device_wish *wish, const struct command *command,
		  int option, const char *value)
{
	switch (option) {
	case DEVICE_UDID:
		wish->udid = value;
		return 1;
	case DEVICE_NETWORK_ONLY:
		wish->network = true;
		return 1;
	case DEVICE_TIMEOUT:
		if (parse_timeout(value, &wish->timeout_ms))
			return 1;
		usage_error(command, "--timeout takes seconds, 1 to 86400");
		return -1;
	default:
		return 0;
	}
}

/* --- what the watching thread does --------------------------------------- */

static void look(void *arg, struct progress_state *state)
{
	const struct device_job *job = arg;
	const struct mb_writer_counts *staged = job->staged;

	if (staged) {
		state->files = staged->files;
		state->bytes = staged->bytes;
		return;
	}
	state->files = job->counts.received_files + job->counts.sent_files;
	state->bytes = job->counts.received_bytes + job->counts.sent_bytes;
	state->percent = job->counts.percent;
}

static void tick(void *arg, int64_t idle_ms)
{
	struct device_job *job = arg;

	if (job->asked && job->counts.messages == job->asked_at &&
	    idle_ms > PASSCODE_HINT_MS && !job->hinted) {
		job->hinted = true;
		progress_wait(
			job->progress, "device",
			"waiting for the device: if it asks for its passcode, enter it");
	}
	progress_tick(job->progress, idle_ms);
}

/* --- notifications ------------------------------------------------------- */

static void on_notice(void *arg, const char *name)
{
	struct device_job *job = arg;

	if (!strcmp(name, NOTE_CLIENT "syncCancelRequest")) {
		job->refused = true;
		watch_cancel();
	} else if (!strcmp(name, NOTE_DIALOG "presented")) {
		job->hinted = true;
		progress_wait(job->progress, "passcode",
			      "waiting: enter the passcode on the device");
	} else if (!strcmp(name, NOTE_DIALOG "dismissed")) {
		progress_note(job->progress, "the device goes on");
	}
}

static void observe(struct device_job *job)
{
	static const char *const names[] = {
		NOTE_CLIENT "syncCancelRequest",
		NOTE_DIALOG "presented",
		NOTE_DIALOG "dismissed",
	};
	struct mb_err err;

	if (notices_open(&job->notices, job->device, on_notice, job, &err) < 0)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		notices_observe(job->notices, names[i], NULL);
}

static void post(struct device_job *job, const char *name)
{
	if (job->notices)
		notices_post(job->notices, name, NULL);
}

/* --- the way to the device ----------------------------------------------- */

int device_job_start(struct device_job *job, const struct device_wish *wish,
		     const struct common *c, struct mb_err *err)
{
	int rc;

	job->common = c;
	job->unlock_ms =
		wish->timeout_ms ? wish->timeout_ms : UNLOCK_TIMEOUT_MS;
	rc = progress_open(&job->progress, c, look, job, err);
	if (rc == 0)
		rc = watch_start(tick, job, err);
	if (rc < 0)
		return rc;
	job->watched = true;
	job->timeout_ms = wish->timeout_ms ? wish->timeout_ms : TIMEOUT_MS;
	watch_set_timeout(job->timeout_ms < ANSWER_TIMEOUT_MS ?
				  job->timeout_ms :
				  ANSWER_TIMEOUT_MS);
	return 0;
}

int device_job_find(struct device_job *job, const struct device_wish *wish,
		    struct mb_err *err)
{
	int rc;

	rc = choose_device(&job->device, wish->udid, wish->network, err);
	if (rc < 0)
		return rc;
	job->udid = strdup(device_get_udid(job->device));
	return job->udid ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
}

int device_job_begin(struct device_job *job, struct mb_err *err)
{
	char about[512];
	int rc =
		wait_for_session(job->device, job->unlock_ms, job->common, err);

	if (rc < 0)
		return rc;
	if (job->name) /* begun again */
		return 0;
	describe_device(about, sizeof(about), job->device);
	job->name = strdup(about);
	return job->name ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
}

static int lock_media(struct device_job *job, struct mb_err *err)
{
	bool said = false;
	int rc;

	for (int i = 0; i < SYNC_LOCK_TRIES; i++) {
		rc = media_lock(job->media, err);
		if (rc != -EBUSY)
			return rc;
		if (!said)
			progress_wait(
				job->progress, "busy",
				"waiting: another program syncs with the device");
		said = true;
		if (watch_pause(SYNC_LOCK_PAUSE_MS) < 0)
			return mb_err_set(err, -ECANCELED, "cancelled");
	}
	return mb_err_set(
		err, rc,
		"another program syncs with the device: end it and try again");
}

int device_job_sync(struct device_job *job, struct mb_err *err)
{
	struct mb_err why;
	int rc;

	observe(job);
	if (media_open(&job->media, job->device, &why) < 0) {
		progress_note(job->progress, "%s", why.text);
		return watch_cancelled() ?
			       mb_err_set(err, -ECANCELED, "cancelled") :
			       0;
	}
	post(job, NOTE_SYNC "syncWillStart");
	post(job, NOTE_SYNC "syncLockRequest");
	rc = lock_media(job, &why);
	if (rc == -EBUSY || rc == -ECANCELED) {
		*err = why;
		return rc;
	}
	job->synced = rc == 0;
	if (rc < 0)
		progress_note(job->progress, "%s", why.text);
	else
		post(job, NOTE_SYNC "syncDidStart");
	return 0;
}

static void on_warning(void *arg, const char *line)
{
	struct device_job *job = arg;

	progress_warn(job->progress, "%s", line);
}

int device_job_connect(struct device_job *job, struct mb_err *err)
{
	const struct session_observer observer = { on_warning, job };
	int rc;

	if (!job->notices)
		observe(job);
	rc = device_connect(job->device, BACKUP_SERVICE, true, &job->link, err);
	if (rc < 0)
		return rc;
	if (job->notices)
		notices_attach(job->notices, job->link);
	device_stop_session(job->device);
	return session_open(&job->session, job->link, &job->counts, &observer,
			    err);
}

/* What the device says, and what went wrong here before it did. */
static int judge(struct device_job *job, const char *name,
		 const struct session_end *end, struct mb_err *err)
{
	struct mb_err ours;
	int rc;

	if (end->code == 0)
		return 0;
	rc = strcmp(name, "Restore") ?
		     device_error_describe(end->code, end->description, err) :
		     device_error_describe_restore(end->code, end->description,
						   err);
	if (session_get_failure(job->session, &ours) < 0) {
		progress_note(job->progress, "%s", err->text);
		*err = ours;
		rc = ours.code;
	}
	return rc;
}

int device_job_ask(struct device_job *job, const char *name, plist_t request,
		   const struct host_dir *dir, struct mb_err *err)
{
	mb_auto(session_end_release) struct session_end end = { 0 };
	int rc = session_request(job->session, name, request, err);

	if (rc < 0)
		return rc;
	watch_set_timeout(job->timeout_ms);
	job->asked_at = job->counts.messages;
	job->asked = true;
	rc = session_serve(job->session, dir, &end, err);
	job->asked = false;
	if (rc == 0)
		rc = judge(job, name, &end, err);
	if (rc == -ECANCELED && job->refused)
		mb_err_set(err, rc, "cancelled on the device");
	return rc;
}

void device_job_leave(struct device_job *job)
{
	session_free(mb_steal(&job->session));
	link_free(mb_steal(&job->link));
	if (job->synced) {
		media_unlock(job->media);
		post(job, NOTE_SYNC "syncDidFinish");
		job->synced = false;
	}
	media_free(mb_steal(&job->media));
	notices_free(mb_steal(&job->notices));
	device_free(mb_steal(&job->device));
}

void device_job_pause(struct device_job *job)
{
	watch_stop();
	job->watched = false;
}

int device_job_resume(struct device_job *job, struct mb_err *err)
{
	int rc = watch_start(tick, job, err);

	job->watched = rc == 0;
	return rc;
}

void device_job_close(struct device_job *job)
{
	if (job->progress)
		progress_end(job->progress);
	device_job_leave(job);
	if (job->watched)
		watch_stop();
	progress_free(job->progress);
	free(job->udid);
	free(job->name);
	*job = (struct device_job){ 0 };
}

int device_job_fail(struct device_job *job, int rc, const struct mb_err *err)
{
	/* no backup to read was asked for, so this is no fault of one */
	if (rc == -ENOENT || rc == -ENOTSUP || rc == -EBADMSG || rc == -ENODATA)
		rc = -EREMOTEIO;
	return progress_fail(job->progress, job->common, rc, err);
}
