/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "wire.h"

/*
 * The first byte is how many bytes arrive at once; the rest is an upload. What
 * it tells must not depend on that.
 */
struct telling {
	struct upload u;
	uint64_t hash; /* of all that was told; data as if in one piece */
	size_t files, data_len;
	bool in_file;
	int rc;
	struct mb_err err;
};

static void mix(struct telling *t, const void *ptr, size_t len)
{
	const uint8_t *p = ptr;

	while (len--)
		t->hash = (t->hash ^ *p++) * 0x100000001b3;
}

static void mix_number(struct telling *t, size_t n)
{
	mix(t, &n, sizeof(n));
}

static void begin_file(struct telling *t)
{
	const struct upload *u = &t->u;

	MUST(!t->in_file);
	MUST(u->device_path_len <= WIRE_PATH_MAX);
	MUST(u->host_path_len <= WIRE_PATH_MAX);
	MUST(!u->device_path[u->device_path_len]);
	MUST(!u->host_path[u->host_path_len]);
	mix_number(t, u->device_path_len);
	mix(t, u->device_path, u->device_path_len);
	mix_number(t, u->host_path_len);
	mix(t, u->host_path, u->host_path_len);
	t->in_file = true;
	t->files++;
}

static void take(struct telling *t, int step, const uint8_t *piece, size_t len)
{
	const struct upload *u = &t->u;

	switch (step) {
	case UPLOAD_FILE:
		begin_file(t);
		break;
	case UPLOAD_DATA:
		MUST(t->in_file && u->data.len && u->data.len <= len);
		MUST(u->data.ptr >= piece &&
		     u->data.ptr + u->data.len <= piece + len);
		mix(t, u->data.ptr, u->data.len);
		t->data_len += u->data.len;
		break;
	case UPLOAD_DONE:
	case UPLOAD_FAILED:
		MUST(t->in_file);
		mix_number(t, (size_t)step);
		if (step == UPLOAD_FAILED) {
			MUST(strlen(u->text) <= WIRE_TEXT_MAX);
			mix(t, u->text, strlen(u->text));
		}
		t->in_file = false;
		break;
	case UPLOAD_END:
		MUST(!t->in_file);
		break;
	default:
		MUST(false);
	}
}

/* Returns how many bytes were taken. */
static size_t tell(struct telling *t, const uint8_t *data, size_t size,
		   size_t at_once)
{
	size_t at = 0;

	memset(t, 0, sizeof(*t));
	upload_init(&t->u);
	do {
		size_t len = size - at < at_once ? size - at : at_once;
		uint8_t *piece = malloc(len + 1);
		struct cursor c = cursor_over(view_of(piece, len));

		MUST(piece);
		memcpy(piece, data + at, len);
		do {
			t->rc = upload_next(&t->u, &c, &t->err);
			if (t->rc > 0)
				take(t, t->rc, piece, len);
		} while (t->rc > 0 && t->rc != UPLOAD_END);
		MUST(t->rc != UPLOAD_MORE || !cursor_left(&c));
		at += len - cursor_left(&c);
		free(piece);
	} while (t->rc == UPLOAD_MORE && at < size);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct telling whole, pieces;
	size_t a, b;

	if (!size)
		return 0;
	a = tell(&whole, data + 1, size - 1, size);
	b = tell(&pieces, data + 1, size - 1, data[0] ? data[0] : 1);
	MUST(whole.rc == pieces.rc);
	MUST(whole.hash == pieces.hash);
	MUST(whole.files == pieces.files);
	MUST(whole.data_len == pieces.data_len);
	if (whole.rc < 0) {
		MUST(whole.rc == -EPROTO && whole.err.code == -EPROTO);
		MUST(!strcmp(whole.err.text, pieces.err.text));
	} else {
		MUST(a == b);
	}
	return 0;
}
