/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEVICE_JOB_H
#define DEVICE_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "host_dir.h"
#include "mb/writer.h"
#include "media.h"
#include "notices.h"
#include "progress.h"
#include "session.h"
#include "tool.h"

/*
 * One request to the backup service of a device, from choosing the device to
 * saying goodbye to it, with all waiting made visible. What backup, password
 * and restore have in common.
 */

/* What the user says about it. */
struct device_wish {
	const char *udid; /* NULL: the only one */
	bool network;
	int64_t timeout_ms; /* of silence; 0: the default */
};

/* getopt_long entries and values; a command's own begin at DEVICE_END. */
enum {
	DEVICE_UDID = COMMON_END,
	DEVICE_NETWORK_ONLY,
	DEVICE_TIMEOUT,
	DEVICE_END,
};

#define DEVICE_OPTIONS                                                 \
	{ "udid", required_argument, NULL, DEVICE_UDID },              \
		{ "network", no_argument, NULL, DEVICE_NETWORK_ONLY }, \
	{                                                              \
		"timeout", required_argument, NULL, DEVICE_TIMEOUT     \
	}

#define DEVICE_HELP_TEXT                                                          \
	N_("  --udid UDID        which device, if several are attached\n"         \
	   "  --network          on the network instead of USB\n"                 \
	   "  --timeout S        give up after S seconds without a sign of the\n" \
	   "                     device (default 2400; a minute for unlocking)\n")

/*
 * device_option - take an option if it is one of these
 *
 * Returns 1; 0 if it is another; -1 if it is wrong, which has been said.
 */
int device_option(struct device_wish *wish, const struct command *command,
		  int option, const char *value);

struct device_job {
	struct device *device;
	struct progress *progress;
	struct notices *notices; /* NULL if the service is not there */
	struct media *media;	 /* likewise */
	struct link *link;
	struct session *session;
	struct session_counts counts;
	/* what is written on this host before a request; NULL: nothing */
	const struct mb_writer_counts *staged;
	const struct common *common;
	char *udid;
	char *name;	    /* of the device; printable */
	int64_t unlock_ms;  /* how long the user may take to unlock it */
	int64_t timeout_ms; /* how long it may be silent during a request */
	bool synced;	    /* the sync lock is ours */
	bool watched;	    /* watch_start was called */

	/* for the watching thread */
	atomic_bool asked;	       /* a request is out */
	atomic_uint_fast64_t asked_at; /* messages that had come before */
	atomic_bool hinted;	       /* the passcode was mentioned */
	atomic_bool refused;	       /* cancelled on the device */
};

/*
 * device_job_start - progress, and watching for Ctrl-C
 * @job: zero
 *
 * Whatever it returns, device_job_close follows.
 */
int device_job_start(struct device_job *job, const struct device_wish *wish,
		     const struct common *c, struct mb_err *err);

/*
 * device_job_find - the device that is meant
 *
 * The UDID is known then.
 *
 * Returns 0; what choose_device returns.
 */
int device_job_find(struct device_job *job, const struct device_wish *wish,
		    struct mb_err *err);

/*
 * device_job_begin - wait until the device talks to us
 *
 * Its name is known then.
 *
 * Returns 0; what wait_for_session returns.
 */
int device_job_begin(struct device_job *job, struct mb_err *err);

/*
 * device_job_sync - announce a sync, so that no other program begins one
 *
 * A device without these services is backed up all the same.
 *
 * Returns 0; -EBUSY if another program syncs; -ECANCELED.
 */
int device_job_sync(struct device_job *job, struct mb_err *err);

/* device_job_connect - to the backup service; the lockdown session ends */
int device_job_connect(struct device_job *job, struct mb_err *err);

/*
 * device_job_ask - a request, until the device has answered
 * @request: used up
 * @dir: the files that the device may work on, or NULL
 *
 * Returns 0 if it succeeded; an error in the device's words, or -EREMOTEIO
 * and others of device_error.h; what session_serve returns.
 */
int device_job_ask(struct device_job *job, const char *name, plist_t request,
		   const struct host_dir *dir, struct mb_err *err);

/* Says goodbye, as far as there is somebody: the device is free again. */
void device_job_leave(struct device_job *job);

/*
 * device_job_pause, device_job_resume - leave Ctrl-C to others meanwhile, to
 * ask for a password, say
 */
void device_job_pause(struct device_job *job);
int device_job_resume(struct device_job *job, struct mb_err *err);

void device_job_close(struct device_job *job);

/*
 * device_job_fail - as fail(), and with --json the event "error"
 *
 * Statuses about backups to read do not apply.
 */
int device_job_fail(struct device_job *job, int rc, const struct mb_err *err);

static inline void mb_auto_device_job_close(struct device_job *job)
{
	device_job_close(job);
}

#endif
