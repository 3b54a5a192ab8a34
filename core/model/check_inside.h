/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CHECK_INSIDE_H
#define CHECK_INSIDE_H

#include <pthread.h>

#include "manifest_audit.h"
#include "mb/check.h"
#include "opened.h"

/* What the parts of a check share; callers do not see it. */

/*
 * One for each record, in the order of IDs. A record whose stored ID is not
 * the one that its domain and path make has two: by one it is found as a
 * place, by the other its payload.
 */
struct check_item {
	uint8_t id[SHA1_LEN];
	uint8_t type; /* enum mb_type; 0: working state of the device */
	uint8_t bits;
	int64_t handle;
};

enum {
	ITEM_PLACE = 1,	  /* the ID is what domain and path make */
	ITEM_PAYLOAD = 2, /* the ID names the payload */
	ITEM_MET = 4,	  /* which has been met in the folder */
	ITEM_READ = 8,	  /* and is to be read */
	ITEM_DIGEST = 16, /* its digest is recorded */
	ITEM_AGAIN = 32,  /* read before, and found damaged */
	ITEM_DAMAGED = 64,
};

struct check {
	struct mb_backup *b;
	const struct mb_check_wish *wish;
	struct mb_check_counts *counts;
	struct manifest_audit *audit; /* NULL: it cannot be read */
	/* nothing says whether it is encrypted: a key in a record counts */
	bool encryption_unknown;
	bool rows_lost;
	/* class keys are damaged: what no key fits is their fault */
	bool keys_damaged;
	struct check_item *items;
	size_t count, cap;
	pthread_mutex_t lock; /* of what is called */
};

/* check_say - a finding, or a note; @rec and @file may be NULL */
void check_say(struct check *c, struct mb_finding f,
	       const struct mb_record *rec, const char *file, const char *fmt,
	       ...) __attribute__((format(printf, 5, 6)));

#define CHECK_FINDING(at, word) \
	((struct mb_finding){ .level = MB_CHECK_##at, .flaw = (word) })
#define CHECK_NOTE(at, word)            \
	((struct mb_finding){           \
		.level = MB_CHECK_##at, \
		.flaw = (word),         \
		.note = true,           \
	})

bool check_cancelled(const struct check *c);

/* check_items_range - the items of an ID, which may be none */
void check_items_range(const struct check *c, const uint8_t id[SHA1_LEN],
		       size_t *first, size_t *end);

/* Is a record's payload encrypted with a key of its own? */
bool check_is_keyed(const struct check *c, const struct mb_record *rec);
/* And can it be decrypted? */
bool check_has_keys(const struct check *c);

/*
 * check_open_payload - as it is stored, or @decrypted
 *
 * Returns 0; -ENOKEY, -EBADMSG if there is no key for it, @err says why;
 * errors of the system.
 */
int check_open_payload(struct check *c, const struct mb_record *rec,
		       bool decrypted, struct payload **out,
		       struct mb_err *err);

/* check_records.c: 0 or an error that ends the check */
int check_collect(struct check *c, struct mb_err *err);
int check_records(struct check *c, struct mb_err *err);

/* the item by which a record's payload is found, or NULL */
struct check_item *check_payload_item(const struct check *c, const char *hex_id,
				      int64_t handle);

/* check_lengths.c */
struct odd_length;
struct check_odd {
	struct check *c;
	struct odd_length *list; /* the owner frees it */
	size_t count, cap;
};
/*
 * check_length - can a payload be what the record says?
 *
 * Returns 1; 0 if it cannot, which has been or will be said; an error.
 */
int check_length(struct check_odd *odd, const struct mb_record *rec,
		 int64_t handle, int64_t stored_len);
/* check_say_odd - what became of those whose lengths are odd */
int check_say_odd(struct check_odd *odd);
/* A payload's path below the folder, where it is or should be; NULL */
const char *check_place_of(const struct check *c, const struct mb_record *rec,
			   char out[64]);

/* check_folder.c */
/* A copy that another tool decrypted has none of the device's own lists. */
bool check_is_bare_copy(const struct mb_backup *b);
void check_property_lists(struct check *c);
int check_folder(struct check *c, struct mb_err *err);

/* check_payloads.c */
int check_payloads(struct check *c, struct mb_err *err);

/* check_content.c: one payload, of which enough is known to be there */
struct check_reading {
	struct check *c;
	uint8_t *buf; /* CHECK_BUF_LEN bytes */
};
#define CHECK_BUF_LEN (1u << 20)

/*
 * check_digest - the stored bytes against the recorded digest
 *
 * Returns 1 if they fit; 0 if not, which has been said; -ECANCELED.
 */
int check_digest(struct check_reading *r, const struct mb_record *rec,
		 struct payload *stored);
/* check_fits_digest - the same without a word; 1; 0, also if unread; -ECANCELED;
 * -ENOMEM */
int check_fits_digest(struct check *c, const struct mb_record *rec);
/*
 * check_end - padding and length of a payload that has been read
 *
 * @sure: its digest fits, so it is what the device stored. Returns true if it
 * is good, and what is wrong has been said.
 */
bool check_end(struct check_reading *r, const struct mb_record *rec,
	       struct payload *p, bool keyed, bool sure, int64_t *size);
/* check_inside - what the content tells about itself; -ECANCELED, -ENOMEM */
int check_inside(struct check_reading *r, const struct mb_record *rec,
		 struct payload *p, int64_t size, bool *damaged);

#endif
