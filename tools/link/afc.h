/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AFC_H
#define AFC_H

#include <stdint.h>

#include "bytes.h"
#include "mb/err.h"

/*
 * The packets of AFC, the protocol of the media folder, without I/O. All
 * numbers are u64 little-endian; source of the layout: libimobiledevice, and
 * what its tools say on the wire.
 *
 *      0  "CFA6LPAA"
 *      8  length of all
 *     16  length without the bytes that are written to a file
 *     24  number of the request, the same in the reply
 *     32  operation
 *     40  what belongs to the operation
 */
#define AFC_HEAD 40
/* Longest reply that is taken, behind its head. */
#define AFC_REPLY_MAX (1u << 20)

enum afc_op {
	/* replies */
	AFC_STATUS = 0x01, /* a code */
	AFC_DATA = 0x02,   /* bytes, also none */
	AFC_OPENED = 0x0e, /* a handle */

	/* requests, each with its arguments, and the reply if it succeeds */
	AFC_REMOVE = 0x08,   /* path; status */
	AFC_MAKE_DIR = 0x09, /* path, also one that is there; status */
	AFC_OPEN = 0x0d,     /* mode, path; opened */
	AFC_READ = 0x0f,     /* handle, length; data, none at the end */
	AFC_WRITE = 0x10,    /* handle, data; status */
	AFC_CLOSE = 0x14,    /* handle; status */
	AFC_LOCK = 0x1b,     /* handle, afc_lock; status */
};

enum afc_mode {
	AFC_READ_ONLY = 1,
	AFC_READ_WRITE = 2, /* is created if it is not there */
	AFC_REPLACE = 4,    /* created, or emptied */
};

/* As flock(2) has them on the device; with the bit of not waiting. */
enum afc_lock { AFC_LOCK_EXCLUSIVE = 6, AFC_UNLOCK = 12 };

/* The codes of a status that mean something here. */
enum afc_code {
	AFC_OK = 0,
	AFC_NOT_FOUND = 8,
	AFC_IS_DIR = 9,
	AFC_DENIED = 10,
	AFC_EXISTS = 16,
	AFC_BUSY = 17,
	AFC_NO_SPACE = 18,
	AFC_WOULD_BLOCK = 19,
	AFC_NOT_EMPTY = 33,
};

struct afc_request {
	enum afc_op op;
	uint64_t args[2];
	int arg_count;
	const char *path; /* NULL: none */
	struct view data;
};

/* afc_encode - append a request; 0, or -ENOMEM and @out is unchanged */
int afc_encode(struct buf *out, uint64_t number,
	       const struct afc_request *request);

struct afc_reply {
	enum afc_op op;	  /* one of the replies */
	uint64_t value;	  /* the code, or the handle */
	struct view data; /* of AFC_DATA; borrowed from the input */
};

/*
 * afc_decode - take the next reply
 * @in: moved past it; any cut will do, what cannot become a reply is refused
 *      before it is complete
 * @number: of the request that it must answer
 *
 * Returns 1; 0 if more bytes are needed; -EPROTO: it cannot be known then
 * where the next reply begins.
 */
int afc_decode(struct cursor *in, uint64_t number, struct afc_reply *reply,
	       struct mb_err *err);

#endif
