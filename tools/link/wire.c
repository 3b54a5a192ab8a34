/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include <errno.h>
#include <string.h>

void upload_init(struct upload *u)
{
	u->at = AT_DEVICE_PATH_LEN;
	u->number_len = 0;
}

/* True once all four bytes of a length are there; they are in @left then. */
static bool take_length(struct upload *u, struct cursor *in)
{
	uint8_t byte;

	while (u->number_len < 4) {
		if (!cursor_u8(in, &byte))
			return false;
		u->number[u->number_len++] = byte;
	}
	u->left = (uint32_t)u->number[0] << 24 | u->number[1] << 16 |
		  u->number[2] << 8 | u->number[3];
	u->number_len = 0;
	return true;
}

/* As much as there is of the @left bytes. */
static struct view take_some(struct upload *u, struct cursor *in)
{
	size_t len = cursor_left(in);
	struct view v = { 0 };

	if (len > u->left)
		len = u->left;
	cursor_take(in, len, &v);
	u->left -= (uint32_t)len;
	return v;
}

/* True once the whole path is there. */
static bool take_path(struct upload *u, struct cursor *in, char *path,
		      size_t *path_len)
{
	struct view v = take_some(u, in);

	if (v.len)
		memcpy(path + *path_len, v.ptr, v.len);
	*path_len += v.len;
	path[*path_len] = '\0';
	return u->left == 0;
}

static int begin_path(struct upload *u, const char *whose, size_t *path_len,
		      struct mb_err *err)
{
	if (u->left > WIRE_PATH_MAX)
		return mb_err_set(
			err, -EPROTO,
			"the device sent a %s path of %u bytes, over %d", whose,
			u->left, WIRE_PATH_MAX);
	*path_len = 0;
	u->at++;
	return UPLOAD_MORE;
}

/* True once the whole text is there; what is too long of it is dropped. */
static bool take_text(struct upload *u, struct cursor *in)
{
	struct view v = take_some(u, in);

	if (v.len > WIRE_TEXT_MAX - u->text_len)
		v.len = WIRE_TEXT_MAX - u->text_len;
	if (v.len)
		memcpy(u->text + u->text_len, v.ptr, v.len);
	u->text_len += v.len;
	u->text[u->text_len] = '\0';
	return u->left == 0;
}

/* The code byte of a hunk: what follows. */
static int take_code(struct upload *u, uint8_t code, struct mb_err *err)
{
	u->left--;
	switch (code) {
	case WIRE_DATA:
		u->at = AT_DATA;
		return UPLOAD_MORE;
	case WIRE_DONE:
		if (u->left)
			return mb_err_set(
				err, -EPROTO,
				"the device sent %u bytes behind the end of a file",
				u->left);
		u->at = AT_DEVICE_PATH_LEN;
		return UPLOAD_DONE;
	case WIRE_HOST_FAILED:
	case WIRE_DEVICE_FAILED:
		u->text_len = 0;
		u->at = AT_TEXT;
		return UPLOAD_MORE;
	default:
		return mb_err_set(err, -EPROTO,
				  "the device sent a hunk of unknown code %d",
				  code);
	}
}

/*
 * One step of the machine. UPLOAD_MORE with @moved set: another step can be
 * taken, even if no byte is left (a path of no bytes is complete at once).
 */
static int step(struct upload *u, struct cursor *in, bool *moved,
		struct mb_err *err)
{
	uint8_t code;

	*moved = true;
	switch (u->at) {
	case AT_DEVICE_PATH_LEN:
		if (!take_length(u, in))
			break;
		if (u->left == 0)
			return UPLOAD_END;
		return begin_path(u, "device", &u->device_path_len, err);
	case AT_DEVICE_PATH:
		if (!take_path(u, in, u->device_path, &u->device_path_len))
			break;
		u->at = AT_HOST_PATH_LEN;
		return UPLOAD_MORE;
	case AT_HOST_PATH_LEN:
		if (!take_length(u, in))
			break;
		return begin_path(u, "host", &u->host_path_len, err);
	case AT_HOST_PATH:
		if (!take_path(u, in, u->host_path, &u->host_path_len))
			break;
		u->at = AT_HUNK_LEN;
		return UPLOAD_FILE;
	case AT_HUNK_LEN:
		if (!take_length(u, in))
			break;
		if (u->left == 0)
			return mb_err_set(err, -EPROTO,
					  "the device sent a hunk of no bytes");
		u->at = AT_CODE;
		return UPLOAD_MORE;
	case AT_CODE:
		if (!cursor_u8(in, &code))
			break;
		return take_code(u, code, err);
	case AT_DATA:
		u->data = take_some(u, in);
		if (u->left == 0)
			u->at = AT_HUNK_LEN;
		else if (!u->data.len)
			break;
		return u->data.len ? UPLOAD_DATA : UPLOAD_MORE;
	case AT_TEXT:
		if (!take_text(u, in))
			break;
		u->at = AT_DEVICE_PATH_LEN;
		return UPLOAD_FAILED;
	}
	*moved = false;
	return UPLOAD_MORE;
}

int upload_next(struct upload *u, struct cursor *in, struct mb_err *err)
{
	bool moved;
	int rc;

	do
		rc = step(u, in, &moved, err);
	while (rc == UPLOAD_MORE && moved);
	return rc;
}

void wire_put_be32(uint8_t *out, uint32_t value)
{
	out[0] = (uint8_t)(value >> 24);
	out[1] = (uint8_t)(value >> 16);
	out[2] = (uint8_t)(value >> 8);
	out[3] = (uint8_t)value;
}

void wire_put_hunk(uint8_t out[WIRE_HUNK_HEAD], enum wire_code code,
		   uint32_t len)
{
	wire_put_be32(out, len + 1);
	out[4] = (uint8_t)code;
}
