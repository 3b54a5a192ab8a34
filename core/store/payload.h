/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include "crypto.h"

/*
 * The stored content of one record, or any other file of a backup that is
 * stored the same way (Manifest.db): plain, or AES-256-CBC with a zero IV and
 * PKCS#7 padding (iphone-backup(5), PAYLOADS).
 */
struct payload;

/*
 * payload_open - a file below the backup's folder
 * @path: relative to @dir_fd, no links followed
 * @key: NULL for a plain one
 *
 * Returns 0; -ENOENT; -EBADMSG if it is no regular file; errors of the system.
 */
int payload_open(struct payload **out, int dir_fd, const char *path,
		 const uint8_t key[KEY_LEN]);

/* The folders in which payloads are, and how they are named (LAYOUT). */
struct payload_places {
	int dir_fds[2]; /* tried in this order; borrowed */
	unsigned count;
	bool flat_first; /* "<id>" before "<id[0:2]>/<id>"; both are tried */
};

/*
 * payload_find - open the payload of a file ID
 *
 * Returns as payload_open; -ENOENT if it is in none of the places.
 */
int payload_find(struct payload **out, const struct payload_places *places,
		 const char *file_id, const uint8_t key[KEY_LEN]);

struct payload_place {
	int dir_fd; /* borrowed */
	char path[64];
	int64_t stored_len;
};

/*
 * payload_locate - where the payload of a file ID is, without opening it
 *
 * Returns 0; -ENOENT; -EBADMSG if it is no regular file; errors of the system.
 */
int payload_locate(struct payload_place *place,
		   const struct payload_places *places, const char *file_id);

/*
 * payload_expected_size - the true length of an encrypted payload that is as
 * long as its recorded size makes it, and well padded: nearly every one
 *
 * Costs less than to open and measure it.
 *
 * Returns the length; -EAGAIN if it has to be measured; -ENOENT; errors of the
 * system.
 */
int64_t payload_expected_size(const struct payload_places *places,
			      const char *file_id, const uint8_t key[KEY_LEN],
			      int64_t recorded);

void payload_free(struct payload *p);
MB_DEFINE_AUTO(struct payload, payload_free)

/* Length of the stored file, in bytes. */
int64_t payload_stored_len(const struct payload *p);

/* The stored file of a plain payload; -1 of an encrypted one. Borrowed. */
int payload_plain_fd(const struct payload *p);

/*
 * payload_solid_len - the same, without the holes of a large sparse file
 *
 * For limits that follow from the length: a hole of a terabyte costs a crafted
 * backup nothing. Not every file system tells, so up to 1 GiB count anyway.
 */
int64_t payload_solid_len(const struct payload *p);

/*
 * payload_pread - read plaintext
 * @off: plaintext offset in bytes
 *
 * Any offset and length; short only at the end of the stored whole blocks:
 * padding is not looked at. What is read from disk follows @len. Safe from
 * several threads.
 *
 * Returns bytes read, 0 at the end; -EIO and other errors of the system.
 */
ssize_t payload_pread(struct payload *p, void *out, size_t len, int64_t off);

/* payload_pread_stored - the same of the bytes as they are stored */
ssize_t payload_pread_stored(struct payload *p, void *out, size_t len,
			     int64_t off);

struct payload_extent {
	int64_t size;	  /* what to show as the file's length */
	int64_t readable; /* bytes from the front that can be right */
	char damage[128]; /* one line, "" if there is nothing to say */
};

/*
 * payload_measure - true length, by the padding
 * @recorded: Size of the record, a hint; negative if unusable
 *
 * Reads at most one block. Returns 0 or an error of the system.
 */
int payload_measure(struct payload *p, int64_t recorded,
		    struct payload_extent *extent);

/* ---- writing (payload_create.c) ---- */

/*
 * A new stored file, written from front to back. One thread at a time.
 *
 * The caller removes a file that was not finished, or could not be.
 */
struct payload_writer;

/*
 * payload_create - begin a file below the backup's folder
 * @path: relative to @dir_fd, no links followed; never opens what is there
 * @key: NULL for a plain one; else new for this content (PAYLOADS)
 * @digest_len: SHA1_LEN or SHA256_LEN: the digest of what is stored is wanted;
 *	0: it is not
 *
 * Returns 0; -EEXIST; -EINVAL for another @digest_len; errors of the system.
 */
int payload_create(struct payload_writer **out, int dir_fd, const char *path,
		   const uint8_t key[KEY_LEN], size_t digest_len);

/*
 * payload_write - append plaintext
 *
 * Small pieces are gathered. After an error each later call returns it again.
 *
 * Returns 0; errors of the system, also of an earlier piece.
 */
int payload_write(struct payload_writer *w, const void *ptr, size_t len);

/*
 * payload_finish - the rest, padding, and what close(2) says; the last call
 * @digest: @digest_len bytes; may be NULL if none was asked for
 *
 * Nothing is synced. Returns 0 or errors of the system.
 */
int payload_finish(struct payload_writer *w, uint8_t *digest);

void payload_writer_free(struct payload_writer *w);
MB_DEFINE_AUTO(struct payload_writer, payload_writer_free)

#endif
