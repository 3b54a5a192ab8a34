/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that a device asks for. What is to be sent is gathered in a chunk: the
 * first one of a message is small, so that the device soon has something to
 * do, and each is twice as large as the one before it, up to a limit.
 *
 * The next few files are opened ahead, and the system is told to read them:
 * payloads lie all over a disk, which can fetch several while one is sent. (A
 * second thread that reads was tried: nothing was faster.)
 *
 * A file that cannot be read, or not to its end, is told to the device in the
 * stream and in the status; the others go out all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "device_error.h"
#include "plistx.h"
#include "session_inside.h"
#include "wire.h"

#define HUNK_LEN (WIRE_HUNK_HEAD + WIRE_HUNK_DATA)
/* Of a failure, strerror's. */
#define TEXT_MAX 200
/* The largest chunk, of eight hunks, and when the first one is sent. */
#define CHUNK_LEN (8 * HUNK_LEN + WIRE_HUNK_HEAD + TEXT_MAX)
#define FIRST_LEN (16 << 10)

/* So many files are open at once, and so much of each is read early. */
#define AHEAD 16
#define AHEAD_LEN (1 << 20)

struct outgoing {
	struct session *s;
	const struct host_dir *dir;
	plist_t names; /* NULL: none */
	uint32_t count;
	plist_t failed; /* what could not be sent: name -> error */

	uint32_t next;	 /* the present file, or the one that comes */
	uint32_t opened; /* behind the last one that was opened ahead */
	int fds[AHEAD];	 /* of file i at i % AHEAD; negative if it failed */
	bool in_file;	 /* the present one's name is sent */
	int64_t off;	 /* in it */
	bool complete;	 /* nothing is left to gather */

	uint8_t *buf; /* CHUNK_LEN */
	size_t len;
	size_t enough; /* the chunk is sent when there is as much */
};

/* --- open files ---------------------------------------------------------- */

static struct host_name name_at(const struct outgoing *out, uint32_t i)
{
	return name_of(plist_array_get_item(out->names, i));
}

static int *present_fd(struct outgoing *out)
{
	return &out->fds[out->next % AHEAD];
}

static void open_ahead(struct outgoing *out)
{
	while (out->opened < out->count && out->opened < out->next + AHEAD) {
		int fd = host_dir_open(out->dir, name_at(out, out->opened),
				       NULL, NULL);

		if (fd >= 0)
			posix_fadvise(fd, 0, AHEAD_LEN, POSIX_FADV_WILLNEED);
		out->fds[out->opened++ % AHEAD] = fd;
	}
}

/* What could not be opened ahead gets a second chance, and tells why not. */
static int open_present(struct outgoing *out, struct mb_err *why)
{
	int *fd = present_fd(out);

	open_ahead(out);
	if (*fd < 0)
		*fd = host_dir_open(out->dir, name_at(out, out->next), NULL,
				    why);
	return *fd;
}

static void end_file(struct outgoing *out)
{
	if (*present_fd(out) >= 0)
		close(*present_fd(out));
	out->in_file = false;
	out->next++;
}

/* --- gathering ----------------------------------------------------------- */

static bool has_room(const struct outgoing *out, size_t len)
{
	return CHUNK_LEN - out->len >= len;
}

static void put_hunk(struct outgoing *out, enum wire_code code,
		     const char *text, size_t len)
{
	wire_put_hunk(out->buf + out->len, code, (uint32_t)len);
	memcpy(out->buf + out->len + WIRE_HUNK_HEAD, text, len);
	out->len += WIRE_HUNK_HEAD + len;
}

/* Ends a file that could not be sent, in the stream and in the status. */
static void fail_file(struct outgoing *out, int cause)
{
	struct host_name name = name_at(out, out->next);
	const char *text = strerror(-cause);
	char key[WIRE_PATH_MAX + 1];
	plist_t entry = plist_new_dict();

	snprintf(key, sizeof(key), "%.*s", (int)name.len, name.ptr);
	plist_dict_set_item(entry, "DLFileErrorString", plist_new_string(text));
	plist_dict_set_item(entry, "DLFileErrorCode",
			    session_new_int(device_status_of(cause)));
	plist_dict_set_item(out->failed, key, entry);
	put_hunk(out, WIRE_HOST_FAILED, text, strnlen(text, TEXT_MAX));
	end_file(out);
}

/* The end of the list; false: no room. */
static bool put_end(struct outgoing *out)
{
	if (!has_room(out, 4))
		return false;
	wire_put_be32(out->buf + out->len, 0);
	out->len += 4;
	out->complete = true;
	return true;
}

/* The next file's name, and what comes of opening it; false: no room. */
static bool put_name(struct outgoing *out)
{
	struct host_name name = name_at(out, out->next);
	struct mb_err why;
	int fd;

	if (!has_room(out, 4 + name.len + WIRE_HUNK_HEAD + TEXT_MAX))
		return false;
	wire_put_be32(out->buf + out->len, (uint32_t)name.len);
	memcpy(out->buf + out->len + 4, name.ptr, name.len);
	out->len += 4 + name.len;
	out->in_file = true;
	out->off = 0;
	fd = open_present(out, &why);
	if (fd >= 0)
		return true;
	/* that there is no backup yet is no failure */
	if (fd != -ENOENT)
		session_note_failure(out->s, &why);
	fail_file(out, fd);
	return true;
}

static void read_failed(struct outgoing *out, int rc)
{
	struct host_name name = name_at(out, out->next);
	struct mb_err why;

	mb_err_set(&why, rc, "cannot read %.*s: %s", (int)name.len, name.ptr,
		   strerror(-rc));
	session_note_failure(out->s, &why);
	fail_file(out, rc);
}

/* The next of the present file, with its end if it is there; false: no room. */
static bool put_content(struct outgoing *out)
{
	uint8_t *at = out->buf + out->len;
	ssize_t n;

	if (!has_room(out, HUNK_LEN + WIRE_HUNK_HEAD + TEXT_MAX))
		return false;
	n = pread_full(*present_fd(out), at + WIRE_HUNK_HEAD, WIRE_HUNK_DATA,
		       out->off);
	if (n < 0) {
		read_failed(out, (int)n);
		return true;
	}
	if (n > 0) {
		wire_put_hunk(at, WIRE_DATA, (uint32_t)n);
		out->len += WIRE_HUNK_HEAD + (size_t)n;
		out->off += n;
		out->s->counts->sent_bytes += (uint64_t)n;
	}
	if (n < WIRE_HUNK_DATA) {
		put_hunk(out, WIRE_DONE, "", 0);
		out->s->counts->sent_files++;
		end_file(out);
	}
	return true;
}

static void gather(struct outgoing *out)
{
	bool more = true;

	out->len = 0;
	while (more && !out->complete && out->len < out->enough) {
		if (out->in_file)
			more = put_content(out);
		else if (out->next < out->count)
			more = put_name(out);
		else
			more = put_end(out);
	}
}

static int send_files(struct outgoing *out, struct mb_err *err)
{
	struct session *s = out->s;
	int rc = 0;

	out->enough = FIRST_LEN;
	while (rc == 0 && !out->complete) {
		gather(out);
		rc = s->in.link->send(s->in.link, out->buf, out->len);
		out->enough = out->enough < CHUNK_LEN / 2 ? out->enough * 2 :
							    CHUNK_LEN;
	}
	while (out->next < out->opened)
		end_file(out);
	return rc < 0 ? session_after_send(s, stream_error(rc, err)) : 0;
}

/* --- the message --------------------------------------------------------- */

/* Before the first byte goes out: a stream cannot be broken off. */
static int check_names(const struct outgoing *out, struct mb_err *err)
{
	for (uint32_t i = 0; i < out->count; i++) {
		plist_t node = plist_array_get_item(out->names, i);
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

/* Ends with the status, which is used up with what has failed. */
static int answer(struct outgoing *out, plist_t message, struct mb_err *err)
{
	if (out->names && plist_dict_get_size(out->failed))
		return session_answer_code(out->s, DEVICE_STATUS_MULTI,
					   "Multi status", out->failed, err);
	if (out->names)
		return session_answer_code(out->s, 0, NULL, out->failed, err);
	plist_free(out->failed);
	return session_answer_malformed(out->s, message, err);
}

int session_download(struct session *s, const struct host_dir *dir,
		     plist_t message, struct mb_err *err)
{
	plist_t names = dir ? message_get(message, 1, PLIST_ARRAY) : NULL;
	struct outgoing out = { .s = s, .dir = dir, .names = names };
	int violation, rc;

	if (!s->chunk)
		s->chunk = malloc(CHUNK_LEN);
	if (!s->chunk)
		return mb_err_set(err, -ENOMEM, "out of memory");
	out.buf = s->chunk;
	session_note_progress(s, message, 3);
	out.count = names ? plist_array_get_size(names) : 0;
	violation = check_names(&out, err);
	if (violation < 0) {
		out.names = NULL;
		out.count = 0;
	}
	out.failed = plist_new_dict();
	/* without a list too: an empty one is what the device can follow */
	rc = send_files(&out, violation < 0 ? NULL : err);
	if (rc < 0) {
		plist_free(out.failed);
		return violation < 0 ? violation : rc;
	}
	rc = answer(&out, message, violation < 0 ? NULL : err);
	return violation < 0 ? violation : rc;
}
