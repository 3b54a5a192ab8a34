/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_error.h"
#include "language.h"
#include "plistx.h"
#include "session_inside.h"

/* What stands for an argument that is not there. */
#define NO_PARAMETER "___EmptyParameterString___"

/* The newest DeviceLink that is known to work this way. */
#define DEVICELINK_MAX 400

/* A full disk fails file by file. */
#define FAILURES_SAID 10

void session_end_release(struct session_end *end)
{
	free(end->description);
	end->description = NULL;
}

/* --- saying things ------------------------------------------------------- */

void session_warn(struct session *s, const char *fmt, ...)
{
	char line[400];
	struct mb_err printable;
	va_list ap;

	if (!s->observer.warning)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&printable, 0, "%s", line);
	s->observer.warning(s->observer.arg, printable.text);
}

/* An operation failed here: keep the first, say each. */
void session_note_failure(struct session *s, const struct mb_err *what)
{
	if (s->failures++ == 0)
		s->failure = *what;
	else if (s->failures < FAILURES_SAID)
		session_warn(s, "%s", what->text);
	else if (s->failures == FAILURES_SAID)
		session_warn(s, "and more of this kind");
}

int session_get_failure(const struct session *s, struct mb_err *err)
{
	if (s->failure.code < 0 && err)
		*err = s->failure;
	return s->failure.code;
}

/* --- messages ------------------------------------------------------------ */

int session_after_recv(struct session *s, int rc)
{
	if (rc == -ENODEV)
		s->broken = true;
	return rc;
}

int session_after_send(struct session *s, int rc)
{
	if (rc < 0)
		s->broken = true;
	return rc;
}

static int send_kept(struct session *s, plist_t array, struct mb_err *err)
{
	if (s->broken)
		return mb_err_set(err, -ENODEV, "the connection is broken");
	return session_after_send(
		s, stream_send(&s->in, array, STREAM_BINARY, err));
}

/* Sends an array and frees it. */
static int send_array(struct session *s, plist_t array, struct mb_err *err)
{
	int rc = send_kept(s, array, err);

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
plist_t message_get(plist_t message, uint32_t i, plist_type type)
{
	plist_t node;

	if (i >= plist_array_get_size(message))
		return NULL;
	node = plist_array_get_item(message, i);
	return plist_get_node_type(node) == type ? node : NULL;
}

static int recv_message(struct session *s, plist_t *out, struct mb_err *err)
{
	int rc = session_after_recv(s, stream_recv(&s->in, out, err));

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
plist_t session_new_int(int64_t value)
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
int session_answer_code(struct session *s, int code, const char *text,
			plist_t payload, struct mb_err *err)
{
	plist_t array = message_new("DLMessageStatusResponse");

	plist_array_append_item(array, session_new_int(code));
	plist_array_append_item(
		array, plist_new_string(text && *text ? text : NO_PARAMETER));
	plist_array_append_item(
		array, payload ? payload : plist_new_string(NO_PARAMETER));
	return send_array(s, array, err);
}

int session_answer(struct session *s, int rc, struct mb_err *err)
{
	return session_answer_code(s, device_status_of(rc),
				   rc < 0 ? strerror(-rc) : NULL,
				   plist_new_dict(), err);
}

/* The device is told before it is left. */
static int end_by_violation(struct session *s)
{
	session_answer(s, -EPERM, NULL);
	return -EPROTO;
}

/*
 * The result of one operation on the host's files: what the device may not
 * know how to handle ends the session, everything else is told to it.
 */
static int answer_operation(struct session *s, int rc, struct mb_err *err)
{
	if (rc == -EPROTO)
		return end_by_violation(s);
	if (rc < 0)
		session_note_failure(s, err);
	return session_answer(s, rc, err);
}

/* A message whose parameters make no sense is answered all the same. */
int session_answer_malformed(struct session *s, plist_t message,
			     struct mb_err *err)
{
	session_warn(s, "the device sent a malformed %s",
		     message_name(message));
	return session_answer(s, -EINVAL, err);
}

struct host_name name_of(plist_t node)
{
	uint64_t len = 0;
	const char *text = plist_get_string_ptr(node, &len);

	return (struct host_name){ text ? text : "", text ? (size_t)len : 0 };
}

static struct host_name name_of_text(const char *text)
{
	return (struct host_name){ text, strlen(text) };
}

void session_count_payload(struct session *s, const struct host_dir *dir,
			   struct host_name name, bool replaced)
{
	if (host_dir_is_payload(dir, name))
		atomic_fetch_add(
			replaced ? &s->counts->changed : &s->counts->added, 1);
}

/* The device's own idea of how far it is. */
void session_note_progress(struct session *s, plist_t message, uint32_t i)
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

/* --- the other operations ------------------------------------------------ */

static int on_free_space(struct session *s, const struct host_dir *dir,
			 plist_t message, struct mb_err *err)
{
	uint64_t bytes = 0;
	int rc = dir ? host_dir_free_space(dir, &bytes, err) : -EPERM;

	(void)message;
	if (rc < 0)
		return session_answer(s, rc, err);
	return session_answer_code(s, 0, NULL, plist_new_uint(bytes), err);
}

/* Nothing here is ours to delete. */
static int on_purge(struct session *s, const struct host_dir *dir,
		    plist_t message, struct mb_err *err)
{
	(void)dir, (void)message;
	return session_answer(s, -EOPNOTSUPP, err);
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
	plist_dict_set_item(entry, "DLFileModificationDate",
			    plistx_new_date(st->st_mtime));
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
		return session_answer_malformed(s, message, err);
	entries = plist_new_dict();
	rc = host_dir_list(dir, name_of(name), add_entry, entries, err);
	if (rc == 0)
		return session_answer_code(s, 0, NULL, entries, err);
	plist_free(entries);
	return answer_operation(s, rc, err);
}

static int on_create_dir(struct session *s, const struct host_dir *dir,
			 plist_t message, struct mb_err *err)
{
	plist_t name = message_get(message, 1, PLIST_STRING);
	int rc;

	if (!name || !dir)
		return session_answer_malformed(s, message, err);
	rc = host_dir_make_dir(dir, name_of(name), err);
	if (rc == -EPROTO)
		return end_by_violation(s);
	/* the device makes sure of folders that it knows to be there */
	if (rc < 0 && rc != -EEXIST)
		session_note_failure(s, err);
	return session_answer_code(s, device_status_of(rc),
				   rc < 0 ? strerror(-rc) : NULL, NULL, err);
}

struct move {
	char *from;
	plist_t to;
	bool replaced;
	int rc;
	struct mb_err *why; /* NULL if it went well */
};

struct moves {
	const struct host_dir *dir;
	struct move *list;
	size_t count;
};

static void moves_release(struct moves *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->list[i].from);
		free(m->list[i].why);
	}
	free(m->list);
}
MB_DEFINE_AUTO_VALUE(struct moves, moves_release)

static int collect_moves(struct moves *m, plist_t items)
{
	plist_dict_iter it = NULL;

	m->list = calloc(plist_dict_get_size(items) + 1, sizeof(*m->list));
	if (!m->list)
		return -ENOMEM;
	plist_dict_new_iter(items, &it);
	for (;;) {
		struct move *move = &m->list[m->count];

		plist_dict_next_item(items, it, &move->from, &move->to);
		if (!move->from)
			break;
		m->count++;
	}
	free(it);
	return 0;
}

static int run_move(const struct moves *m, struct move *move,
		    struct mb_err *err)
{
	if (plist_get_node_type(move->to) != PLIST_STRING)
		return mb_err_set(err, -EINVAL,
				  "the device moves %s to what is no name",
				  move->from);
	return host_dir_move(m->dir, name_of_text(move->from),
			     name_of(move->to), &move->replaced, err);
}

/* In either thread of the crew. */
static void move_one(void *arg, size_t i)
{
	struct moves *m = arg;
	struct move *move = &m->list[i];
	struct mb_err why;

	move->rc = run_move(m, move, &why);
	if (move->rc < 0 && (move->why = malloc(sizeof(why))))
		*move->why = why;
}

/* Payloads that come into their place: no move can touch what another does. */
static bool are_independent(const struct moves *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct move *move = &m->list[i];

		if (plist_get_node_type(move->to) != PLIST_STRING ||
		    !host_dir_is_payload(m->dir, name_of(move->to)) ||
		    host_dir_is_payload(m->dir, name_of_text(move->from)))
			return false;
	}
	return true;
}

static int settle_move(struct session *s, const struct moves *m,
		       const struct move *move, struct mb_err *err)
{
	if (move->rc < 0)
		return mb_err_set(err, move->rc, "%s",
				  move->why ? move->why->text :
					      "out of memory");
	session_count_payload(s, m->dir, name_of(move->to), move->replaced);
	return 0;
}

static int on_move(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	mb_auto(moves_release) struct moves m = { .dir = dir };
	plist_t items = message_get(message, 1, PLIST_DICT);
	bool together;
	int rc = 0;

	if (!items || !dir)
		return session_answer_malformed(s, message, err);
	session_note_progress(s, message, 3);
	if (collect_moves(&m, items) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	together = are_independent(&m);
	if (together)
		crew_each(s->crew, m.count, CREW_SMALL_STEPS, move_one, &m);
	/* others in their order, up to the first that fails */
	for (size_t i = 0; i < m.count && rc == 0; i++) {
		if (!together)
			move_one(&m, i);
		rc = settle_move(s, &m, &m.list[i], err);
	}
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
		return session_answer_malformed(s, message, err);
	session_note_progress(s, message, 3);
	for (uint32_t i = 0; i < count; i++) {
		plist_t item = plist_array_get_item(items, i);
		struct mb_err why;
		bool removed;
		int rc;

		if (plist_get_node_type(item) != PLIST_STRING)
			return session_answer_malformed(s, message, err);
		rc = host_dir_remove(dir, name_of(item), &removed, &why);
		if (rc == -EPROTO) {
			mb_err_set(err, rc, "%s", why.text);
			return end_by_violation(s);
		}
		if (removed && host_dir_is_payload(dir, name_of(item)))
			s->counts->removed++;
		if (rc < 0)
			session_note_failure(s, &why);
		if (rc < 0 && first == 0)
			first = rc;
	}
	return session_answer(s, first, err);
}

static int on_copy(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	plist_t from = message_get(message, 1, PLIST_STRING);
	plist_t to = message_get(message, 2, PLIST_STRING);

	if (!from || !to || !dir)
		return session_answer_malformed(s, message, err);
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
		text = _("no reason given");
	return mb_err_set(err, -ENODEV, "the device ended the connection: %s",
			  text);
}

static const struct operation {
	const char *name;
	int (*run)(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err);
} operations[] = {
	{ "DLMessageUploadFiles", session_upload },
	{ "DLMessageDownloadFiles", session_download },
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
	session_warn(s, "the device sent an unknown message, %s", name);
	return session_answer(s, -EOPNOTSUPP, err);
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

/* libplist keeps texts as they are; ours that are secret are not to stay. */
static void wipe_passwords(plist_t request)
{
	static const char *const keys[] = { "OldPassword", "NewPassword",
					    "Password" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		plist_t node = plistx_get(request, keys[i]);
		uint64_t len = 0;
		const char *text =
			node && plist_get_node_type(node) == PLIST_STRING ?
				plist_get_string_ptr(node, &len) :
				NULL;

		if (text)
			explicit_bzero((void *)(uintptr_t)text, (size_t)len);
	}
}

int session_request(struct session *s, const char *name, plist_t request,
		    struct mb_err *err)
{
	plist_t array = message_new("DLMessageProcessMessage");
	int rc;

	plist_dict_set_item(request, "MessageName", plist_new_string(name));
	plist_array_append_item(array, request);
	rc = send_kept(s, array, err);
	wipe_passwords(request);
	plist_free(array);
	return rc;
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

	if (!s || stream_init(&s->in, link) < 0 || crew_open(&s->crew) < 0)
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
	crew_free(s->crew);
	free(s->chunk);
	stream_release(&s->in);
	free(s);
}
