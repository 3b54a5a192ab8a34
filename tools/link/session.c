/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "device_error.h"
#include "plistx.h"
#include "stream.h"
#include "wire.h"

/* What stands for an argument that is not there. */
#define NO_PARAMETER "___EmptyParameterString___"

/* The newest DeviceLink that is known to work this way. */
#define DEVICELINK_MAX 400

/* How much is sent at once. */
#define SEND_LEN (8 * (WIRE_HUNK_HEAD + WIRE_HUNK_DATA))

/* A big file is given to the disk in pieces of this, while the rest comes. */
#define WRITE_OUT_LEN (8 << 20)

/* 2001-01-01, where the dates of property lists begin, in Unix seconds */
#define APPLE_EPOCH 978307200

struct session {
	struct stream in;
	struct session_counts *counts;
	struct session_observer observer;
	struct mb_err failure; /* the first on this side */
	bool greeted;	       /* so that a goodbye is understood */
	bool broken;	       /* the link cannot be used any more */
};

void session_end_release(struct session_end *end)
{
	free(end->description);
	end->description = NULL;
}

/* --- saying things ------------------------------------------------------- */

static void warn(struct session *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void warn(struct session *s, const char *fmt, ...)
{
	char line[400];
	struct mb_err printable;
	va_list ap;

	if (!s->observer.warning)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	mb_err_set(&printable, 0, "%s", line);
	s->observer.warning(s->observer.arg, printable.text);
}

/* An operation failed here: keep the first, say each. */
static void note_failure(struct session *s, const struct mb_err *what)
{
	if (s->failure.code == 0)
		s->failure = *what;
	else
		warn(s, "%s", what->text);
}

int session_get_failure(const struct session *s, struct mb_err *err)
{
	if (s->failure.code < 0 && err)
		*err = s->failure;
	return s->failure.code;
}

/* --- messages ------------------------------------------------------------ */

/* After a failure of the link nothing more is sent on it. */
static int on_link(struct session *s, int rc)
{
	if (rc < 0)
		s->broken = true;
	return rc;
}

/* Sends an array and frees it. */
static int send_array(struct session *s, plist_t array, struct mb_err *err)
{
	int rc;

	if (s->broken)
		rc = mb_err_set(err, -ENODEV, "the connection is broken");
	else
		rc = on_link(s, stream_send(&s->in, array, STREAM_BINARY, err));
	plist_free(array);
	return rc;
}

static plist_t message_new(const char *name)
{
	plist_t array = plist_new_array();

	plist_array_append_item(array, plist_new_string(name));
	return array;
}

/* The name of a message, or NULL: its first element, a text. */
static const char *message_name(plist_t message)
{
	plist_t first;

	if (plist_get_node_type(message) != PLIST_ARRAY ||
	    plist_array_get_size(message) < 1)
		return NULL;
	first = plist_array_get_item(message, 0);
	return plist_get_node_type(first) == PLIST_STRING ?
		       plist_get_string_ptr(first, NULL) :
		       NULL;
}

/* An element of a message, of that type, or NULL. */
static plist_t message_get(plist_t message, uint32_t i, plist_type type)
{
	plist_t node;

	if (i >= plist_array_get_size(message))
		return NULL;
	node = plist_array_get_item(message, i);
	return plist_get_node_type(node) == type ? node : NULL;
}

static int recv_message(struct session *s, plist_t *out, struct mb_err *err)
{
	int rc = on_link(s, stream_recv(&s->in, out, err));

	if (rc == 0)
		s->counts->messages++;
	if (rc == 0 && !message_name(*out)) {
		plist_free(*out);
		*out = NULL;
		rc = mb_err_set(err, -EPROTO,
				"the device sent a message without a name");
	}
	return rc;
}

/* A signed number, whichever way this libplist can write it. */
static plist_t new_int(int64_t value)
{
#ifdef HAVE_PLIST_NEW_INT
	return plist_new_int(value);
#else
	return plist_new_uint((uint64_t)value);
#endif
}

/*
 * Every operation of the device ends with this.
 * @code: of a status response: device_error.h
 * @payload: used up; NULL: none
 */
static int answer_code(struct session *s, int code, const char *text,
		       plist_t payload, struct mb_err *err)
{
	plist_t array = message_new("DLMessageStatusResponse");

	plist_array_append_item(array, new_int(code));
	plist_array_append_item(
		array, plist_new_string(text && *text ? text : NO_PARAMETER));
	plist_array_append_item(
		array, payload ? payload : plist_new_string(NO_PARAMETER));
	return send_array(s, array, err);
}

static int answer(struct session *s, int rc, struct mb_err *err)
{
	return answer_code(s, device_status_of(rc),
			   rc < 0 ? strerror(-rc) : NULL, plist_new_dict(),
			   err);
}

/*
 * The result of one operation on the host's files: what the device may not
 * know how to handle ends the session, everything else is told to it.
 */
static int answer_operation(struct session *s, int rc, struct mb_err *err)
{
	if (rc == -EPROTO)
		return rc;
	if (rc < 0)
		note_failure(s, err);
	return answer(s, rc, err);
}

/* A message whose parameters make no sense is answered all the same. */
static int answer_malformed(struct session *s, plist_t message,
			    struct mb_err *err)
{
	warn(s, "the device sent a malformed %s", message_name(message));
	return answer(s, -EINVAL, err);
}

static struct host_name name_of(plist_t node)
{
	uint64_t len = 0;
	const char *text = plist_get_string_ptr(node, &len);

	return (struct host_name){ text ? text : "", text ? (size_t)len : 0 };
}

static struct host_name name_of_text(const char *text)
{
	return (struct host_name){ text, strlen(text) };
}

/* The device's own idea of how far it is. */
static void note_progress(struct session *s, plist_t message, uint32_t i)
{
	plist_t node = message_get(message, i, PLIST_REAL);
	uint64_t whole = 0;
	double real = 0;

	if (node) {
		plist_get_real_val(node, &real);
	} else if ((node = message_get(message, i, PLIST_UINT))) {
		plist_get_uint_val(node, &whole);
		real = whole <= 100 ? (double)whole : 0;
	}
	if (real > 0 && real <= 100)
		s->counts->percent = (unsigned)real;
}

/* --- upload: device to host ---------------------------------------------- */

struct incoming {
	struct session *s;
	const struct host_dir *dir;
	const struct upload *upload;
	int fd; /* of the current file; -1: none, its data is dropped */
	int rc; /* the first failure of this upload */
	int64_t len, written_out; /* of the current file */
};

static struct host_name current_name(const struct incoming *in)
{
	return (struct host_name){ in->upload->host_path,
				   in->upload->host_path_len };
}

/* From here on the file's data is dropped, to its end. */
static void give_up_file(struct incoming *in, int rc, struct mb_err *why)
{
	note_failure(in->s, why);
	if (in->rc == 0)
		in->rc = rc;
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
}

static int begin_file(struct incoming *in, struct mb_err *err)
{
	struct host_name name = current_name(in);
	struct mb_err why;
	bool replaced = false;

	in->len = in->written_out = 0;
	if (in->dir)
		in->fd = host_dir_create(in->dir, name, &replaced, &why);
	else
		in->fd = mb_err_set(&why, -EPERM,
				    "the device sent a file unasked");
	if (in->fd == -EPROTO) {
		in->fd = -1;
		return mb_err_set(err, -EPROTO, "%s", why.text);
	}
	if (in->fd < 0) {
		int rc = in->fd;

		in->fd = -1;
		give_up_file(in, rc, &why);
		return 0;
	}
	if (host_dir_is_payload(in->dir, name))
		atomic_fetch_add(replaced ? &in->s->counts->changed :
					    &in->s->counts->added,
				 1);
	return 0;
}

static void write_failed(struct incoming *in, int rc)
{
	struct mb_err why;

	mb_err_set(&why, rc, "cannot write %s: %s", in->upload->host_path,
		   strerror(-rc));
	give_up_file(in, rc, &why);
}

static void write_data(struct incoming *in)
{
	struct view data = in->upload->data;
	int rc;

	in->s->counts->received_bytes += data.len;
	if (in->fd < 0)
		return;
	rc = write_full(in->fd, data.ptr, data.len);
	if (rc < 0) {
		write_failed(in, rc);
		return;
	}
	in->len += (int64_t)data.len;
	if (in->len - in->written_out < WRITE_OUT_LEN)
		return;
	/* only sets it going: success is known when all is synced */
	sync_file_range(in->fd, in->written_out, in->len - in->written_out,
			SYNC_FILE_RANGE_WRITE);
	in->written_out = in->len;
}

static void end_file(struct incoming *in)
{
	int fd = in->fd;

	in->fd = -1;
	if (fd >= 0 && close(fd) < 0)
		write_failed(in, -errno);
	in->s->counts->received_files++;
}

/* The device could not read a file of its own; it knows, and goes on. */
static void device_failed(struct incoming *in)
{
	end_file(in);
	warn(in->s, "the device could not read %s: %s", in->upload->device_path,
	     in->upload->text);
}

/* Returns 1 at the end of the list. */
static int take_step(struct incoming *in, int step, struct mb_err *err)
{
	switch (step) {
	case UPLOAD_FILE:
		return begin_file(in, err);
	case UPLOAD_DATA:
		write_data(in);
		return 0;
	case UPLOAD_DONE:
		end_file(in);
		return 0;
	case UPLOAD_FAILED:
		device_failed(in);
		return 0;
	case UPLOAD_END:
		return 1;
	default:
		return 0;
	}
}

static int receive_files(struct incoming *in, struct upload *u,
			 struct mb_err *err)
{
	struct stream *stream = &in->s->in;
	int rc = 0;

	upload_init(u);
	while (rc == 0) {
		struct cursor c = cursor_over(stream_unread(stream));
		size_t before = cursor_left(&c);
		int step = upload_next(u, &c, err);

		stream_skip(stream, before - cursor_left(&c));
		if (step < 0)
			rc = step;
		else if (step == UPLOAD_MORE)
			rc = on_link(in->s, stream_fill(stream, err));
		else
			rc = take_step(in, step, err);
	}
	if (in->fd >= 0)
		close(in->fd);
	return rc < 0 ? rc : 0;
}

static int on_upload(struct session *s, const struct host_dir *dir,
		     plist_t message, struct mb_err *err)
{
	mb_auto(free) struct upload *u = malloc(sizeof(*u));
	struct incoming in = { .s = s, .dir = dir, .upload = u, .fd = -1 };
	int rc;

	if (!u)
		return mb_err_set(err, -ENOMEM, "out of memory");
	note_progress(s, message, 2);
	rc = receive_files(&in, u, err);
	if (rc < 0)
		return rc;
	return answer(s, in.rc, err);
}

/* --- download: host to device -------------------------------------------- */

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
	return rc < 0 ? on_link(s, stream_error(rc, err)) : 0;
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
			    new_int(device_status_of(cause)));
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
			note_failure(out->s, err);
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
			note_failure(out->s, err);
		return put_failure(out, name, fd, err);
	}
	return put_content(out, name, fd, err);
}

/* Before the first byte goes out: a stream cannot be broken off. */
static int check_names(const struct outgoing *out, plist_t names,
		       uint32_t count, struct mb_err *err)
{
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
	int rc = check_names(out, names, count, err);

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

static int on_download(struct session *s, const struct host_dir *dir,
		       plist_t message, struct mb_err *err)
{
	mb_auto(free) uint8_t *buf = malloc(SEND_LEN);
	plist_t names = dir ? message_get(message, 1, PLIST_ARRAY) : NULL;
	struct outgoing out = { .s = s, .dir = dir, .buf = buf };
	int rc;

	if (!buf)
		return mb_err_set(err, -ENOMEM, "out of memory");
	note_progress(s, message, 3);
	out.failed = plist_new_dict();
	/* without a list too: an empty one is what the device can follow */
	rc = send_files(&out, names, err);
	if (rc < 0) {
		plist_free(out.failed);
		return rc;
	}
	if (!names) {
		plist_free(out.failed);
		return answer_malformed(s, message, err);
	}
	if (plist_dict_get_size(out.failed) == 0)
		return answer_code(s, 0, NULL, out.failed, err);
	return answer_code(s, DEVICE_STATUS_MULTI, "Multi status", out.failed,
			   err);
}

/* --- the other operations ------------------------------------------------ */

static int on_free_space(struct session *s, const struct host_dir *dir,
			 plist_t message, struct mb_err *err)
{
	uint64_t bytes = 0;
	int rc = dir ? host_dir_free_space(dir, &bytes, err) : -EPERM;

	(void)message;
	if (rc < 0)
		return answer(s, rc, err);
	return answer_code(s, 0, NULL, plist_new_uint(bytes), err);
}

/* Nothing here is ours to delete. */
static int on_purge(struct session *s, const struct host_dir *dir,
		    plist_t message, struct mb_err *err)
{
	(void)dir, (void)message;
	return answer(s, -EOPNOTSUPP, err);
}

static int add_entry(void *arg, const char *name, const struct stat *st)
{
	plist_t entry = plist_new_dict();
	const char *type = S_ISREG(st->st_mode) ? "DLFileTypeRegular" :
			   S_ISDIR(st->st_mode) ? "DLFileTypeDirectory" :
						  "DLFileTypeUnknown";

	/* property lists hold UTF-8, and a device gives no other names */
	if (utf8_valid_prefix(name, strlen(name)) != strlen(name)) {
		plist_free(entry);
		return 0;
	}
	plist_dict_set_item(entry, "DLFileType", plist_new_string(type));
	plist_dict_set_item(entry, "DLFileSize",
			    plist_new_uint((uint64_t)st->st_size));
	plist_dict_set_item(
		entry, "DLFileModificationDate",
		plist_new_date((int32_t)(st->st_mtime - APPLE_EPOCH), 0));
	plist_dict_set_item(arg, name, entry);
	return 0;
}

static int on_list(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	plist_t name = message_get(message, 1, PLIST_STRING);
	plist_t entries;
	int rc;

	if (!name || !dir)
		return answer_malformed(s, message, err);
	entries = plist_new_dict();
	rc = host_dir_list(dir, name_of(name), add_entry, entries, err);
	if (rc == 0)
		return answer_code(s, 0, NULL, entries, err);
	plist_free(entries);
	return answer_operation(s, rc, err);
}

static int on_create_dir(struct session *s, const struct host_dir *dir,
			 plist_t message, struct mb_err *err)
{
	plist_t name = message_get(message, 1, PLIST_STRING);
	int rc;

	if (!name || !dir)
		return answer_malformed(s, message, err);
	rc = host_dir_make_dir(dir, name_of(name), err);
	if (rc == -EPROTO)
		return rc;
	/* the device makes sure of folders that it knows to be there */
	if (rc < 0 && rc != -EEXIST)
		note_failure(s, err);
	return answer_code(s, device_status_of(rc),
			   rc < 0 ? strerror(-rc) : NULL, NULL, err);
}

static int move_item(struct session *s, const struct host_dir *dir,
		     const char *from, plist_t to, struct mb_err *err)
{
	struct host_name name;
	bool replaced;
	int rc;

	if (plist_get_node_type(to) != PLIST_STRING)
		return mb_err_set(err, -EINVAL,
				  "the device moves %s to what is no name",
				  from);
	name = name_of(to);
	rc = host_dir_move(dir, name_of_text(from), name, &replaced, err);
	if (rc == 0 && host_dir_is_payload(dir, name))
		atomic_fetch_add(
			replaced ? &s->counts->changed : &s->counts->added, 1);
	return rc;
}

static int on_move(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	plist_t items = message_get(message, 1, PLIST_DICT);
	plist_dict_iter it = NULL;
	int rc = 0;

	if (!items || !dir)
		return answer_malformed(s, message, err);
	note_progress(s, message, 3);
	plist_dict_new_iter(items, &it);
	while (rc == 0) {
		mb_auto(free) char *from = NULL;
		plist_t to = NULL;

		plist_dict_next_item(items, it, &from, &to);
		if (!from)
			break;
		rc = move_item(s, dir, from, to, err);
	}
	free(it);
	return answer_operation(s, rc, err);
}

/* Goes on after an error, and reports the first. */
static int on_remove(struct session *s, const struct host_dir *dir,
		     plist_t message, struct mb_err *err)
{
	plist_t items = message_get(message, 1, PLIST_ARRAY);
	uint32_t count = items ? plist_array_get_size(items) : 0;
	int first = 0;

	if (!items || !dir)
		return answer_malformed(s, message, err);
	note_progress(s, message, 3);
	for (uint32_t i = 0; i < count; i++) {
		plist_t item = plist_array_get_item(items, i);
		struct mb_err why;
		bool removed;
		int rc;

		if (plist_get_node_type(item) != PLIST_STRING)
			return answer_malformed(s, message, err);
		rc = host_dir_remove(dir, name_of(item), &removed, &why);
		if (rc == -EPROTO)
			return mb_err_set(err, rc, "%s", why.text);
		if (removed && host_dir_is_payload(dir, name_of(item)))
			s->counts->removed++;
		if (rc < 0)
			note_failure(s, &why);
		if (rc < 0 && first == 0)
			first = rc;
	}
	return answer(s, first, err);
}

static int on_copy(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	plist_t from = message_get(message, 1, PLIST_STRING);
	plist_t to = message_get(message, 2, PLIST_STRING);

	if (!from || !to || !dir)
		return answer_malformed(s, message, err);
	return answer_operation(
		s, host_dir_copy(dir, name_of(from), name_of(to), err), err);
}

/* No answer is expected. */
static int on_ping(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	(void)s, (void)dir, (void)message, (void)err;
	return 0;
}

static int on_disconnect(struct session *s, const struct host_dir *dir,
			 plist_t message, struct mb_err *err)
{
	plist_t reason = message_get(message, 1, PLIST_STRING);
	const char *text = reason ? plist_get_string_ptr(reason, NULL) : NULL;

	(void)dir;
	s->broken = true;
	if (!text || !*text || !strcmp(text, NO_PARAMETER))
		text = "no reason given";
	return mb_err_set(err, -ENODEV, "the device ended the connection: %s",
			  text);
}

static const struct operation {
	const char *name;
	int (*run)(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err);
} operations[] = {
	{ "DLMessageUploadFiles", on_upload },
	{ "DLMessageDownloadFiles", on_download },
	{ "DLMessageMoveItems", on_move },
	{ "DLMessageMoveFiles", on_move },
	{ "DLMessageRemoveItems", on_remove },
	{ "DLMessageRemoveFiles", on_remove },
	{ "DLMessageCreateDirectory", on_create_dir },
	{ "DLContentsOfDirectory", on_list },
	{ "DLMessageGetFreeDiskSpace", on_free_space },
	{ "DLMessagePurgeDiskSpace", on_purge },
	{ "DLMessageCopyItem", on_copy },
	{ "DLMessagePing", on_ping },
	{ "DLMessageDisconnect", on_disconnect },
};

static int dispatch(struct session *s, const struct host_dir *dir,
		    plist_t message, struct mb_err *err)
{
	const char *name = message_name(message);

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (!strcmp(name, operations[i].name))
			return operations[i].run(s, dir, message, err);
	warn(s, "the device sent an unknown message, %s", name);
	return answer(s, -EOPNOTSUPP, err);
}

/* --- requests ------------------------------------------------------------ */

static int take_end(struct session_end *end, plist_t message,
		    struct mb_err *err)
{
	plist_t dict = message_get(message, 1, PLIST_DICT);
	plist_t code = plistx_get(dict, "ErrorCode");
	uint64_t value = 0;

	if (!code || plist_get_node_type(code) != PLIST_UINT)
		return mb_err_set(err, -EPROTO,
				  "the device ended without a result");
	plist_get_uint_val(code, &value);
	end->code = (int64_t)value;
	free(end->description);
	end->description = plistx_copy_text(dict, "ErrorDescription");
	return 0;
}

int session_serve(struct session *s, const struct host_dir *dir,
		  struct session_end *end, struct mb_err *err)
{
	for (;;) {
		mb_auto(plistx_free) plist_t message = NULL;
		int rc = recv_message(s, &message, err);

		if (rc < 0)
			return rc;
		if (!strcmp(message_name(message), "DLMessageProcessMessage"))
			return take_end(end, message, err);
		rc = dispatch(s, dir, message, err);
		if (rc < 0)
			return rc;
	}
}

int session_request(struct session *s, const char *name, plist_t request,
		    struct mb_err *err)
{
	plist_t array = message_new("DLMessageProcessMessage");

	plist_dict_set_item(request, "MessageName", plist_new_string(name));
	plist_array_append_item(array, request);
	return send_array(s, array, err);
}

/* --- hello and goodbye --------------------------------------------------- */

static int expect(struct session *s, const char *name, plist_t *out,
		  struct mb_err *err)
{
	int rc = recv_message(s, out, err);

	if (rc == 0 && strcmp(message_name(*out), name) != 0)
		rc = mb_err_set(err, -EPROTO,
				"the device said %s instead of %s",
				message_name(*out), name);
	return rc;
}

static int exchange_versions(struct session *s, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t theirs = NULL, ready = NULL;
	uint64_t major = 0;
	plist_t node, ours;
	int rc;

	rc = expect(s, "DLMessageVersionExchange", &theirs, err);
	if (rc < 0)
		return rc;
	node = message_get(theirs, 1, PLIST_UINT);
	if (!node)
		return mb_err_set(err, -EPROTO,
				  "the device did not say its version");
	plist_get_uint_val(node, &major);
	if (major > DEVICELINK_MAX)
		return mb_err_set(
			err, -EPROTONOSUPPORT,
			"the device speaks DeviceLink %" PRIu64
			", larder only up to %d: look for a newer larder",
			major, DEVICELINK_MAX);
	ours = message_new("DLMessageVersionExchange");
	plist_array_append_item(ours, plist_new_string("DLVersionsOk"));
	plist_array_append_item(ours, plist_new_uint(major));
	rc = send_array(s, ours, err);
	if (rc < 0)
		return rc;
	return expect(s, "DLMessageDeviceReady", &ready, err);
}

static int say_hello(struct session *s, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t response = NULL;
	plist_t hello = plist_new_dict(), versions = plist_new_array();
	struct session_end end = { 0 };
	int rc;

	plist_array_append_item(versions, plist_new_real(2.0));
	plist_array_append_item(versions, plist_new_real(2.1));
	plist_dict_set_item(hello, "SupportedProtocolVersions", versions);
	rc = session_request(s, "Hello", hello, err);
	if (rc == 0)
		rc = expect(s, "DLMessageProcessMessage", &response, err);
	if (rc == 0)
		rc = take_end(&end, response, err);
	session_end_release(&end);
	if (rc < 0)
		return rc;
	if (end.code != 0)
		return mb_err_set(
			err, -EPROTONOSUPPORT,
			"the device speaks neither version 2.0 nor 2.1 of the backup protocol");
	return 0;
}

int session_open(struct session **out, struct link *link,
		 struct session_counts *counts,
		 const struct session_observer *observer, struct mb_err *err)
{
	mb_auto(session_free) struct session *s = calloc(1, sizeof(*s));
	int rc;

	if (!s || stream_init(&s->in, link) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->counts = counts;
	if (observer)
		s->observer = *observer;
	rc = exchange_versions(s, err);
	if (rc == 0) {
		s->greeted = true;
		rc = say_hello(s, err);
	}
	if (rc < 0)
		return rc;
	*out = mb_steal(&s);
	return 0;
}

void session_free(struct session *s)
{
	plist_t goodbye;

	if (!s)
		return;
	if (s->greeted && !s->broken) {
		goodbye = message_new("DLMessageDisconnect");
		plist_array_append_item(goodbye,
					plist_new_string(NO_PARAMETER));
		send_array(s, goodbye, NULL);
	}
	stream_release(&s->in);
	free(s);
}
