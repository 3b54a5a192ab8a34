/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#include "bytes.h"
#include "mb/err.h"

/*
 * How files travel between the messages of the backup service, without I/O.
 * Lengths are u32 big-endian. A hunk is a length, one code byte, and the rest
 * of the length; source of the layout: idevicebackup2 and what it says on the
 * wire.
 *
 * Upload (device to host), for each file, then a zero length:
 *     length, path on the device, length, path on the host, hunks
 * Download (host to device), for each file, then a zero length:
 *     length, path as it was asked for, hunks
 */
enum wire_code {
	WIRE_DONE = 0x00,	   /* the file is complete */
	WIRE_HOST_FAILED = 0x06,   /* the host cannot go on: text */
	WIRE_DEVICE_FAILED = 0x0b, /* the device cannot go on: text */
	WIRE_DATA = 0x0c,
};

/* Longest path that is taken, in bytes; idevicebackup2 has the same limit. */
#define WIRE_PATH_MAX 4096
/* The text of a failure is kept up to this length. */
#define WIRE_TEXT_MAX 500

/* What a piece of an upload is. */
enum upload_step {
	UPLOAD_MORE,   /* nothing yet: more bytes are needed */
	UPLOAD_FILE,   /* a file begins: device_path, host_path */
	UPLOAD_DATA,   /* data: a part of a hunk's, borrowed from the input */
	UPLOAD_DONE,   /* the file is complete */
	UPLOAD_FAILED, /* the device could not read it: text */
	UPLOAD_END,    /* of the list */
};

struct upload {
	/* private */
	enum {
		AT_DEVICE_PATH_LEN,
		AT_DEVICE_PATH,
		AT_HOST_PATH_LEN,
		AT_HOST_PATH,
		AT_HUNK_LEN,
		AT_CODE,
		AT_DATA,
		AT_TEXT,
	} at;
	uint32_t left; /* bytes of what is being read */
	uint8_t number[4];
	uint8_t number_len;
	size_t text_len;

	/* terminated, but can hold NUL: the lengths count */
	char device_path[WIRE_PATH_MAX + 1];
	char host_path[WIRE_PATH_MAX + 1];
	size_t device_path_len, host_path_len;
	char text[WIRE_TEXT_MAX + 1];
	struct view data;
};

/* upload_init - at the begin of an upload's list */
void upload_init(struct upload *u);

/*
 * upload_next - take bytes of an upload up to the next thing that they tell
 * @in: moved past what was taken; any cut into pieces will do
 *
 * Returns an upload_step; -EPROTO if the bytes are no upload: it cannot be
 * known then where the next message begins.
 */
int upload_next(struct upload *u, struct cursor *in, struct mb_err *err);

/* A download's hunk carries at most this: a device holds a whole one at once */
#define WIRE_HUNK_DATA 32768
/* length and code */
#define WIRE_HUNK_HEAD 5

void wire_put_be32(uint8_t *out, uint32_t value);
/* wire_put_hunk - the head of a hunk with @len bytes behind it */
void wire_put_hunk(uint8_t out[WIRE_HUNK_HEAD], enum wire_code code,
		   uint32_t len);

#endif
