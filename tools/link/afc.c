/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afc.h"

#include <errno.h>
#include <inttypes.h>

static const char magic[8] = {
	'C', 'F', 'A', '6', 'L', 'P', 'A', 'A',
};

/* --- requests ------------------------------------------------------------ */

static uint8_t *put_le64(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*out++ = (uint8_t)(value >> 8 * i);
	return out;
}

static uint8_t *put_bytes(uint8_t *out, const void *ptr, size_t len)
{
	if (len)
		memcpy(out, ptr, len);
	return out + len;
}

int afc_encode(struct buf *out, uint64_t number,
	       const struct afc_request *request)
{
	size_t path_len = request->path ? strlen(request->path) + 1 : 0;
	size_t part = AFC_HEAD + 8 * (size_t)request->arg_count + path_len;
	size_t whole = part + request->data.len;
	uint8_t *p;

	if (buf_reserve(out, whole) < 0)
		return -ENOMEM;
	p = put_bytes(out->ptr + out->len, magic, sizeof(magic));
	p = put_le64(p, whole);
	p = put_le64(p, part);
	p = put_le64(p, number);
	p = put_le64(p, request->op);
	for (int i = 0; i < request->arg_count; i++)
		p = put_le64(p, request->args[i]);
	p = put_bytes(p, request->path, path_len);
	put_bytes(p, request->data.ptr, request->data.len);
	out->len += whole;
	return 0;
}

/* --- replies ------------------------------------------------------------- */

static uint64_t le64_at(const uint8_t *p)
{
	return le32_at(p) | (uint64_t)le32_at(p + 4) << 32;
}

/* A status and a handle may have more behind their number, not less. */
static int check_body(uint64_t op, uint64_t len, struct mb_err *err)
{
	switch (op) {
	case AFC_DATA:
		return 0;
	case AFC_STATUS:
	case AFC_OPENED:
		if (len >= 8)
			return 0;
		return mb_err_set(err, -EPROTO,
				  "media folder: reply %" PRIu64
				  " with %" PRIu64 " bytes",
				  op, len);
	default:
		return mb_err_set(err, -EPROTO,
				  "media folder: unknown reply %" PRIu64, op);
	}
}

static int check_head(const uint8_t *head, uint64_t number, struct mb_err *err)
{
	uint64_t whole = le64_at(head + 8), part = le64_at(head + 16);
	uint64_t answers = le64_at(head + 24);

	if (part < AFC_HEAD || part > whole || whole > AFC_HEAD + AFC_REPLY_MAX)
		return mb_err_set(err, -EPROTO,
				  "media folder: a reply of length %" PRIu64
				  ", %" PRIu64,
				  whole, part);
	if (answers != number)
		return mb_err_set(err, -EPROTO,
				  "media folder: a reply to request %" PRIu64
				  " instead of %" PRIu64,
				  answers, number);
	return check_body(le64_at(head + 32), whole - AFC_HEAD, err);
}

int afc_decode(struct cursor *in, uint64_t number, struct afc_reply *reply,
	       struct mb_err *err)
{
	size_t there = cursor_left(in);
	struct cursor c = *in;
	struct view head, body;
	int rc;

	if (there &&
	    memcmp(c.ptr, magic, there < sizeof(magic) ? there : sizeof(magic)))
		return mb_err_set(err, -EPROTO,
				  "media folder: this is no reply");
	if (!cursor_take(&c, AFC_HEAD, &head))
		return 0;
	rc = check_head(head.ptr, number, err);
	if (rc < 0)
		return rc;
	if (!cursor_take(&c, (size_t)le64_at(head.ptr + 8) - AFC_HEAD, &body))
		return 0;
	*in = c;
	*reply = (struct afc_reply){ .op = (enum afc_op)head.ptr[32] };
	if (reply->op == AFC_DATA)
		reply->data = body;
	else
		reply->value = le64_at(body.ptr);
	return 1;
}
