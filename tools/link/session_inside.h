/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SESSION_INSIDE_H
#define SESSION_INSIDE_H

#include <stdbool.h>

#include "crew.h"
#include "session.h"
#include "stream.h"

/* What session.c shares with upload.c and download.c. */

struct session {
	struct stream in;
	struct session_counts *counts;
	struct session_observer observer;
	struct crew *crew;
	uint8_t *chunk;	       /* of download.c, made when first needed */
	struct mb_err failure; /* the first on this side */
	unsigned failures;
	bool greeted; /* so that a goodbye is understood */
	bool broken;  /* the link cannot be used any more */
};

/* The operations that move files; as all: 0 once answered, or the end. */
int session_upload(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err);
int session_download(struct session *s, const struct host_dir *dir,
		     plist_t message, struct mb_err *err);

/* A line for the observer. */
void session_warn(struct session *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* An operation failed here: the first is kept, others are said. */
void session_note_failure(struct session *s, const struct mb_err *what);

/*
 * What the link returned, noted: once it is gone, or a message went out by
 * half, nothing more is sent. Who only gave up waiting can still say goodbye.
 * Both return @rc.
 */
int session_after_recv(struct session *s, int rc);
int session_after_send(struct session *s, int rc);

/*
 * session_answer_code - what every operation of the device ends with
 * @code: of a status response: device_error.h
 * @payload: used up; NULL: none
 */
int session_answer_code(struct session *s, int code, const char *text,
			plist_t payload, struct mb_err *err);
/* The same for 0, or a negative errno of ours. */
int session_answer(struct session *s, int rc, struct mb_err *err);
/* For parameters that make no sense. */
int session_answer_malformed(struct session *s, plist_t message,
			     struct mb_err *err);

/* A file of the device has come to its place: counted if it is a payload. */
void session_count_payload(struct session *s, const struct host_dir *dir,
			   struct host_name name, bool replaced);

/* The device's own idea of how far it is, element @i of a message. */
void session_note_progress(struct session *s, plist_t message, uint32_t i);

/* An element of a message, of that type, or NULL. */
plist_t message_get(plist_t message, uint32_t i, plist_type type);
/* Borrowed from a text node. */
struct host_name name_of(plist_t node);
/* A signed number, whichever way this libplist can write it. */
plist_t session_new_int(int64_t value);

#endif
