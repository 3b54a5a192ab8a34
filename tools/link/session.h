/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SESSION_H
#define SESSION_H

#include <plist/plist.h>
#include <stdatomic.h>
#include <stdint.h>

#include "host_dir.h"
#include "link.h"
#include "mb/err.h"

/*
 * A conversation with the backup service of a device: what is asked of it,
 * and the file operations that it then wants from this host. The same loop
 * serves backup, restore and changes of the password.
 *
 * Whatever the device sends, it gets an answer, or the conversation ends with
 * -EPROTO; nothing that it sends touches more than a host_dir.
 */
struct session;

/* What has happened so far; another thread may look. */
struct session_counts {
	atomic_uint_fast64_t received_files, received_bytes;
	atomic_uint_fast64_t sent_files, sent_bytes;
	/* payloads: put in their place, in place of another, taken away */
	atomic_uint_fast64_t added, changed, removed;
	atomic_uint_fast64_t messages;
	atomic_uint percent; /* as the device says, 0 to 100 */
};

/* Who is told; each may be NULL. */
struct session_observer {
	/* a line about something that is odd but no end */
	void (*warning)(void *arg, const char *line);
	void *arg;
};

/* How a request ended: the device's own words. */
struct session_end {
	int64_t code; /* 0, or of MBErrorDomain: device_error.h */
	char *description;
};

void session_end_release(struct session_end *end);

static inline void mb_auto_session_end_release(struct session_end *end)
{
	session_end_release(end);
}

/*
 * session_open - say hello on a fresh link to the backup service
 * @link, @counts, @observer: borrowed until the session is freed
 *
 * Returns 0; -EPROTONOSUPPORT for a protocol that is too new or too old; -EPROTO;
 * -ENODEV; -ECANCELED; -ETIMEDOUT.
 */
int session_open(struct session **out, struct link *link,
		 struct session_counts *counts,
		 const struct session_observer *observer, struct mb_err *err);

/* Tells the device that this is the end, as far as it still listens. */
void session_free(struct session *session);
MB_DEFINE_AUTO(struct session, session_free)

/*
 * session_request - ask for something
 * @name: "Backup", "ChangePassword", ...
 * @request: its parameters, used up
 */
int session_request(struct session *session, const char *name, plist_t request,
		    struct mb_err *err);

/*
 * session_serve - do what the device wants until it says how it ended
 * @dir: the files it may work on; NULL: none
 *
 * An operation that fails here is reported to the device, which then ends the
 * request; the first such failure is kept (session_get_failure).
 *
 * Returns 0 if the device gave an answer, which is in @end; -EPROTO; -ENODEV
 * if it has gone; -ECANCELED; -ETIMEDOUT.
 */
int session_serve(struct session *session, const struct host_dir *dir,
		  struct session_end *end, struct mb_err *err);

/* The first failure on this side: 0 if there was none. */
int session_get_failure(const struct session *session, struct mb_err *err);

#endif
