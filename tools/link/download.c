/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beneath.h"
#include "device_error.h"
#include "plistx.h"
#include "session_inside.h"
#include "wire.h"

/* How much is sent at once. */
#define SEND_LEN (8 * (WIRE_HUNK_HEAD + WIRE_HUNK_DATA))

struct outgoing {
	struct session *s;
	const struct host_dir *dir;
	uint8_t *buf; /* SEND_LEN */
	size_t len;
	plist_t failed; /* what could not be sent: name -> error */
};

static int flush_out(struct outgoing *out, struct mb_err *err)
{
	struct session *s = out->s;
	int rc = 0;

	if (out->len)
		rc = s->in.link->send(s->in.link, out->buf, out->len);
	out->len = 0;
	return rc < 0 ? session_after_send(s, stream_error(rc, err)) : 0;
}

/* Room for @len bytes, at most SEND_LEN. */
static int make_room(struct outgoing *out, size_t len, struct mb_err *err)
{
	return SEND_LEN - out->len < len ? flush_out(out, err) : 0;
}

static int put_hunk(struct outgoing *out, enum wire_code code, const char *text,
		    struct mb_err *err)
{
	size_t len = strlen(text);
	int rc = make_room(out, WIRE_HUNK_HEAD + len, err);

	if (rc < 0)
		return rc;
	wire_put_hunk(out->buf + out->len, code, (uint32_t)len);
	memcpy(out->buf + out->len + WIRE_HUNK_HEAD, text, len);
	out->len += WIRE_HUNK_HEAD + len;
	return 0;
}

static int put_name(struct outgoing *out, struct host_name name,
		    struct mb_err *err)
{
	int rc = make_room(out, 4 + name.len, err);

	if (rc < 0)
		return rc;
	wire_put_be32(out->buf + out->len, (uint32_t)name.len);
	memcpy(out->buf + out->len + 4, name.ptr, name.len);
	out->len += 4 + name.len;
	return 0;
}

/* Tells of a file that could not be sent, in the stream and in the status. */
static int put_failure(struct outgoing *out, struct host_name name, int cause,
		       struct mb_err *err)
{
	char key[WIRE_PATH_MAX + 1];
	plist_t entry = plist_new_dict();

	snprintf(key, sizeof(key), "%.*s", (int)name.len, name.ptr);
	plist_dict_set_item(entry, "DLFileErrorString",
			    plist_new_string(strerror(-cause)));
	plist_dict_set_item(entry, "DLFileErrorCode",
			    session_new_int(device_status_of(cause)));
	plist_dict_set_item(out->failed, key, entry);
	return put_hunk(out, WIRE_HOST_FAILED, strerror(-cause), err);
}

static int put_content(struct outgoing *out, struct host_name name, int fd,
		       struct mb_err *err)
{
	int64_t off = 0;

	for (;;) {
		uint8_t *at;
		ssize_t n;
		int rc = make_room(out, WIRE_HUNK_HEAD + WIRE_HUNK_DATA, err);

		if (rc < 0)
			return rc;
		at = out->buf + out->len;
		n = pread_full(fd, at + WIRE_HUNK_HEAD, WIRE_HUNK_DATA, off);
		if (n < 0) {
			mb_err_set(err, (int)n, "cannot read %.*s: %s",
				   (int)name.len, name.ptr, strerror((int)-n));
			session_note_failure(out->s, err);
			return put_failure(out, name, (int)n, err);
		}
		if (n == 0)
			break;
		wire_put_hunk(at, WIRE_DATA, (uint32_t)n);
		out->len += WIRE_HUNK_HEAD + (size_t)n;
		out->s->counts->sent_bytes += (uint64_t)n;
		off += n;
	}
	out->s->counts->sent_files++;
	return put_hunk(out, WIRE_DONE, "", err);
}

static int send_file(struct outgoing *out, struct host_name name,
		     struct mb_err *err)
{
	mb_auto(close) int fd = -1;
	int rc = put_name(out, name, err);

	if (rc < 0)
		return rc;
	fd = host_dir_open(out->dir, name, NULL, err);
	if (fd < 0) {
		/* that there is no backup yet is no failure */
		if (fd != -ENOENT)
			session_note_failure(out->s, err);
		return put_failure(out, name, fd, err);
	}
	return put_content(out, name, fd, err);
}

/* Before the first byte goes out: a stream cannot be broken off. */
static int check_names(const struct outgoing *out, plist_t names,
		       struct mb_err *err)
{
	uint32_t count = names ? plist_array_get_size(names) : 0;

	for (uint32_t i = 0; i < count; i++) {
		plist_t node = plist_array_get_item(names, i);
		int rc;

		if (plist_get_node_type(node) != PLIST_STRING)
			return mb_err_set(
				err, -EPROTO,
				"the device asked for a file without a name");
		rc = host_dir_check(out->dir, name_of(node), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int send_files(struct outgoing *out, plist_t names, struct mb_err *err)
{
	uint32_t count = names ? plist_array_get_size(names) : 0;
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = send_file(out, name_of(plist_array_get_item(names, i)),
			       err);
	if (rc == 0)
		rc = make_room(out, 4, err);
	if (rc < 0)
		return rc;
	wire_put_be32(out->buf + out->len, 0);
	out->len += 4;
	return flush_out(out, err);
}

/* Ends with the status, which is used up with what has failed. */
static int answer(struct outgoing *out, plist_t message, bool listed,
		  struct mb_err *err)
{
	if (listed && plist_dict_get_size(out->failed))
		return session_answer_code(out->s, DEVICE_STATUS_MULTI,
					   "Multi status", out->failed, err);
	if (listed)
		return session_answer_code(out->s, 0, NULL, out->failed, err);
	plist_free(out->failed);
	return session_answer_malformed(out->s, message, err);
}

int session_download(struct session *s, const struct host_dir *dir,
		     plist_t message, struct mb_err *err)
{
	mb_auto(free) uint8_t *buf = malloc(SEND_LEN);
	plist_t names = dir ? message_get(message, 1, PLIST_ARRAY) : NULL;
	struct outgoing out = { .s = s, .dir = dir, .buf = buf };
	int violation, rc;

	if (!buf)
		return mb_err_set(err, -ENOMEM, "out of memory");
	session_note_progress(s, message, 3);
	violation = check_names(&out, names, err);
	if (violation < 0)
		names = NULL;
	out.failed = plist_new_dict();
	/* without a list too: an empty one is what the device can follow */
	rc = send_files(&out, names, violation < 0 ? NULL : err);
	if (rc < 0) {
		plist_free(out.failed);
		return violation < 0 ? violation : rc;
	}
	rc = answer(&out, message, names != NULL, violation < 0 ? NULL : err);
	return violation < 0 ? violation : rc;
}
