/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WRITER_INSIDE_H
#define WRITER_INSIDE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "manifest_writer.h"
#include "mb/writer.h"
#include "opened.h"
#include "share.h"

/* What writer.c shares with writer_payload.c. */

#define CONTENT_PIECE (256 * 1024)

/* What a thread needs for itself while it makes a payload. */
struct writer_seat {
	struct writer_seat *next;
	struct sharing sharing;
	uint8_t piece[CONTENT_PIECE];
};

struct mb_writer {
	int dir_fd;
	struct mb_backup *like;
	struct mb_writer_wish wish;
	bool encrypted; /* the new one */
	/* payloads can be had from @like as they are stored */
	bool same_keys;
	struct keyring keyring;
	struct buf new_keybag;	      /* as stored; empty: like's stays */
	uint8_t derived_key[KEY_LEN]; /* of a new password */
	uint8_t manifest_key[STORED_KEY_LEN];
	atomic_uint_fast64_t folders[4]; /* a bit for each of 00 to ff */

	/* what several threads share, under the lock */
	pthread_mutex_t lock;
	struct manifest_writer *manifest;
	struct writer_seat *free_seats;
	/* domains that have entries, each once; for wish.partial */
	char **domains;
	size_t domain_count;
};

/* The name of an entry for a message, as the arguments of %.*s-%.*s. */
#define SHOWN_MAX 200
#define SHOW(slice) \
	(int)((slice).len < SHOWN_MAX ? (slice).len : SHOWN_MAX), (slice).ptr

static inline int writer_no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

void writer_note(struct mb_writer *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The class that a key is wrapped under: the wanted one, or what comes close. */
uint32_t writer_pick_class(const struct keyring *ring, uint32_t wanted);

/*
 * A seat for the calling thread, to be given back; NULL without memory. There
 * are as many as there have been threads at a time.
 */
struct writer_seat *writer_take_seat(struct mb_writer *w);
void writer_leave_seat(struct mb_writer *w, struct writer_seat *seat);

/* --- writer_payload.c: each fills in what the record says of its payload -- */

/*
 * A payload with new content; the record gets key, size and digest of it.
 * After an error no file is left.
 */
int writer_write_payload(struct mb_writer *w, struct mb_record *rec,
			 const struct mb_content *content, struct mb_err *err);

/* The stored file of @like as it is; what is missing there stays missing. */
int writer_share_payload(struct mb_writer *w, const struct mb_record *rec,
			 struct mb_err *err);

/* Decrypted, or encrypted anew; left out if it cannot be read. */
int writer_convert_payload(struct mb_writer *w, struct mb_record *rec,
			   struct mb_err *err);

#endif
