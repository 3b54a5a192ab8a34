/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bytes.h"
#include "fixture.h"
#include "tap.h"
#include "upload_example.h"

/* As short as in the examples of the wire. */
#define U "U"
#define EMPTY "___EmptyParameterString___"

/* What a device says on the wire, written by another program. */
#define VERSION_300                                                            \
	"0000005062706c6973743030a30102035f1018444c4d65737361676556657273696f" \
	"6e45786368616e676511012c1000080c272a00000000000001010000000000000004" \
	"0000000000000000000000000000002c"
#define READY                                                                  \
	"0000004362706c6973743030a1015f1014444c4d6573736167654465766963655265" \
	"616479080a0000000000000101000000000000000200000000000000000000000000" \
	"000021"
#define RESPONSE_0                                                             \
	"0000009162706c6973743030a201025f1017444c4d65737361676550726f63657373" \
	"4d657373616765d3030405060708594572726f72436f64655b4d6573736167654e61" \
	"6d655f100f50726f746f636f6c56657273696f6e100058526573706f6e7365234000" \
	"cccccccccccd080b252c364254565f00000000000001010000000000000009000000" \
	"00000000000000000000000068"

/* ---- a system that fails on purpose ---- */

static struct {
	int write_error, close_error, read_error;
	int64_t write_left, read_left; /* bytes until then */
} broken;

int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *ptr, size_t len);
ssize_t __wrap_write(int fd, const void *ptr, size_t len);
ssize_t __wrap_pread(int fd, void *out, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *out, size_t len, off_t off);

int __wrap_close(int fd)
{
	bool written = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
	int rc = __real_close(fd);

	if (!written || !broken.close_error)
		return rc;
	errno = broken.close_error;
	return -1;
}

ssize_t __wrap_write(int fd, const void *ptr, size_t len)
{
	if (!broken.write_error)
		return __real_write(fd, ptr, len);
	if (!broken.write_left) {
		errno = broken.write_error;
		return -1;
	}
	if ((int64_t)len > broken.write_left)
		len = (size_t)broken.write_left;
	broken.write_left -= (int64_t)len;
	return __real_write(fd, ptr, len);
}

ssize_t __wrap_pread64(int fd, void *out, size_t len, off_t off)
{
	if (broken.read_error && off >= broken.read_left) {
		errno = broken.read_error;
		return -1;
	}
	return syscall(SYS_pread64, fd, out, len, off);
}

ssize_t __wrap_pread(int fd, void *out, size_t len, off_t off)
{
	return __wrap_pread64(fd, out, len, off);
}

/* ---- a device in memory ---- */

#define SENDS_MAX 4000

struct device {
	struct link link;
	struct bytes in; /* all that the device will say */
	size_t at, step; /* bytes a read; 0: as many as fit */
	ssize_t after;	 /* what a read returns at the end */
	struct bytes out;
	int sends;
	size_t sent_at[SENDS_MAX]; /* how much had been read then */
	int send_error, sends_left;
};

static ssize_t device_recv(struct link *link, void *out, size_t len)
{
	struct device *d = (struct device *)link;
	size_t n = d->in.len - d->at;

	CHECK(len >= LINK_RECV_MIN);
	if (!n)
		return d->after;
	if (n > len)
		n = len;
	if (d->step && n > d->step)
		n = d->step;
	memcpy(out, d->in.ptr + d->at, n);
	d->at += n;
	return (ssize_t)n;
}

static int device_send(struct link *link, const void *ptr, size_t len)
{
	struct device *d = (struct device *)link;

	CHECK(len > 0);
	if (d->send_error && !d->sends_left)
		return d->send_error;
	d->sends_left--;
	if (d->sends < SENDS_MAX)
		d->sent_at[d->sends] = d->at;
	d->sends++;
	add(&d->out, ptr, len);
	return 0;
}

/* ---- one conversation ---- */

struct talk {
	struct device d;
	const char *path, *outside;
	struct host_dir dir;
	bool without_dir;
	struct session *s;
	struct session_counts counts;
	struct session_end end;
	struct mb_err err;
	int warnings;
	char warning[600]; /* the last */
	size_t read;	   /* of what was sent */
	int descriptor;	   /* the lowest free one, at the begin */
};

static void on_warning(void *arg, const char *line)
{
	struct talk *t = arg;

	t->warnings++;
	snprintf(t->warning, sizeof(t->warning), "%s", line);
	for (const char *p = line; *p; p++)
		CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static int free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static struct talk *talk_new(void)
{
	struct talk *t = calloc(1, sizeof(*t));

	memset(&broken, 0, sizeof(broken));
	t->path = temp_dir();
	t->outside = temp_dir();
	put_text(t->outside, "precious", "untouched");
	put_text(t->path, U "/Status.plist", "abc");
	put_text(t->path, U "/00/file", "content");
	put_text(t->path, "beside", "nobody's");
	mkdir(in(t->path, U "/Snapshot"), 0700);
	mkdir(in(t->path, U "/Snapshot/00"), 0700);
	mkdir(in(t->path, U "/Snapshot/2d"), 0700);
	symlink(t->outside, in(t->path, U "/out"));
	t->dir = (struct host_dir){ .fd = open_dir(t->path), .udid = U };
	t->descriptor = free_descriptor();
	t->d.link = (struct link){ device_recv, device_send, NULL };
	return t;
}

static void say(struct talk *t, plist_t message)
{
	struct bytes b = plist_bytes(message);

	add_be(&t->d.in, b.len, 4);
	add(&t->d.in, b.ptr, b.len);
	drop(&b);
}

static plist_t message(const char *name)
{
	plist_t array = plist_new_array();

	plist_array_append_item(array, plist_new_string(name));
	return array;
}

static plist_t with(plist_t array, plist_t item)
{
	plist_array_append_item(array, item);
	return array;
}

static plist_t with_text(plist_t array, const char *text)
{
	return with(array, plist_new_string(text));
}

static plist_t pair(const char *key, const char *value)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, key, plist_new_string(value));
	return dict;
}

static plist_t upload_message(void)
{
	return with(
		with(with(message("DLMessageUploadFiles"), plist_new_dict()),
		     plist_new_real(1.5)),
		plist_new_uint(100));
}

static void say_download(struct talk *t, const char *a, const char *b,
			 const char *c)
{
	plist_t names = plist_new_array();

	if (a)
		with_text(names, a);
	if (b)
		with_text(names, b);
	if (c)
		with_text(names, c);
	say(t, with(with(with(with(message("DLMessageDownloadFiles"), names),
			      plist_new_dict()),
			 plist_new_real(0)),
		    plist_new_uint(0)));
}

static void say_path(struct talk *t, const char *path)
{
	add_be(&t->d.in, strlen(path), 4);
	add_text(&t->d.in, path);
}

static void say_hunk(struct talk *t, uint8_t code, const void *ptr, size_t len)
{
	add_be(&t->d.in, len + 1, 4);
	add_be(&t->d.in, code, 1);
	add(&t->d.in, ptr, len);
}

static void say_file(struct talk *t, const char *host_path, const char *text)
{
	say_path(t, "/.b/1/file");
	say_path(t, host_path);
	say_hunk(t, 0x0c, text, strlen(text));
	say_hunk(t, 0x00, NULL, 0);
}

static void say_no_more_files(struct talk *t)
{
	add_be(&t->d.in, 0, 4);
}

static void say_hello(struct talk *t)
{
	add_hex(&t->d.in, VERSION_300 READY RESPONSE_0);
}

static void say_end(struct talk *t, int code)
{
	plist_t dict = pair("MessageName", "Response");

	plist_dict_set_item(dict, "ErrorCode", plist_new_uint((uint64_t)code));
	plist_dict_set_item(dict, "ErrorDescription",
			    plist_new_string("words"));
	say(t, with(message("DLMessageProcessMessage"), dict));
}

static plist_t hear(struct talk *t)
{
	plist_t node = NULL;
	uint32_t len;
	const uint8_t *p = t->d.out.ptr + t->read;

	if (!CHECK(t->d.out.len - t->read >= 4))
		return NULL;
	len = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
	if (!CHECK(len <= t->d.out.len - t->read - 4))
		return NULL;
	plist_from_bin((const char *)p + 4, len, &node);
	t->read += 4 + len;
	CHECK(node && plist_get_node_type(node) == PLIST_ARRAY);
	return node;
}

static bool is_text_node(plist_t node, const char *want)
{
	return node && plist_get_node_type(node) == PLIST_STRING &&
	       !strcmp(plist_get_string_ptr(node, NULL), want);
}

static plist_t item(plist_t array, uint32_t i)
{
	return array && i < plist_array_get_size(array) ?
		       plist_array_get_item(array, i) :
		       NULL;
}

/* Raw bytes, as they are on the wire. */
static void hear_hex(struct talk *t, const char *hex)
{
	struct bytes want = unhex(hex);

	if (CHECK(t->d.out.len - t->read >= want.len)) {
		CHECK_BYTES(t->d.out.ptr + t->read, want.len, want.ptr,
			    want.len);
		t->read += want.len;
	}
	drop(&want);
}

/* Returns the payload, to be freed; the low 32 bits of a code count. */
static plist_t hear_status(struct talk *t, int code)
{
	plist_t status = hear(t), payload = NULL;
	uint64_t value = 0;

	if (!status)
		return NULL;
	CHECK_INT(plist_array_get_size(status), 4);
	CHECK(is_text_node(item(status, 0), "DLMessageStatusResponse"));
	plist_get_uint_val(item(status, 1), &value);
	CHECK_INT((int32_t)(uint32_t)value, code);
	CHECK(item(status, 2) &&
	      plist_get_node_type(item(status, 2)) == PLIST_STRING);
	CHECK(is_text_node(item(status, 2), EMPTY) == (code == 0));
	if (item(status, 3))
		payload = plist_copy(item(status, 3));
	plist_free(status);
	return payload;
}

static void expect_status(struct talk *t, int code)
{
	plist_free(hear_status(t, code));
}

static void hear_hello(struct talk *t)
{
	plist_t version = hear(t), hello = hear(t), dict, versions;
	double value = 0;
	uint64_t major = 0;

	CHECK_INT(plist_array_get_size(version), 3);
	CHECK(is_text_node(item(version, 0), "DLMessageVersionExchange"));
	CHECK(is_text_node(item(version, 1), "DLVersionsOk"));
	plist_get_uint_val(item(version, 2), &major);
	CHECK_INT(major, 300);
	CHECK_INT(plist_array_get_size(hello), 2);
	CHECK(is_text_node(item(hello, 0), "DLMessageProcessMessage"));
	dict = item(hello, 1);
	CHECK(is_text_node(plist_dict_get_item(dict, "MessageName"), "Hello"));
	versions = plist_dict_get_item(dict, "SupportedProtocolVersions");
	CHECK_INT(plist_array_get_size(versions), 2);
	plist_get_real_val(item(versions, 0), &value);
	CHECK(value == 2.0);
	plist_get_real_val(item(versions, 1), &value);
	CHECK(value == 2.1);
	plist_free(version);
	plist_free(hello);
}

static void hear_goodbye(struct talk *t)
{
	plist_t goodbye = hear(t);

	CHECK_INT(plist_array_get_size(goodbye), 2);
	CHECK(is_text_node(item(goodbye, 0), "DLMessageDisconnect"));
	CHECK(is_text_node(item(goodbye, 1), EMPTY));
	plist_free(goodbye);
	CHECK_INT(t->read, t->d.out.len);
}

/* Says hello and serves what the device wants; what was sent is then read. */
static int serve(struct talk *t)
{
	const struct session_observer observer = { on_warning, t };
	struct bytes rest = t->d.in;
	int rc;

	t->d.in = (struct bytes){ 0 };
	say_hello(t);
	add(&t->d.in, rest.ptr, rest.len);
	drop(&rest);
	rc = session_open(&t->s, &t->d.link, &t->counts, &observer, &t->err);
	if (!CHECK_INT(rc, 0))
		return rc;
	hear_hello(t);
	return session_serve(t->s, t->without_dir ? NULL : &t->dir, &t->end,
			     &t->err);
}

static int hello_len(void)
{
	return (int)strlen(VERSION_300 READY RESPONSE_0) / 2;
}

/* The end of each conversation: nothing is left open, nothing got out. */
static void talk_free(struct talk *t)
{
	struct stat st;

	session_free(t->s);
	session_end_release(&t->end);
	CHECK_INT(free_descriptor(), t->descriptor);
	__real_close(t->dir.fd);
	CHECK(is_text(t->outside, "precious", "untouched"));
	CHECK(stat(t->outside, &st) == 0 && st.st_nlink == 2);
	CHECK(is_text(t->path, "beside", "nobody's"));
	memset(&broken, 0, sizeof(broken));
	drop(&t->d.in);
	drop(&t->d.out);
	free(t);
}

/* All went well to the end, and both said goodbye. */
static void finish(struct talk *t)
{
	session_free(t->s);
	t->s = NULL;
	hear_goodbye(t);
	talk_free(t);
}

/* ---- hello and goodbye ---- */

CASE(hello_and_goodbye_are_said_once)
{
	struct talk *t = talk_new();

	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_INT(t->end.code, 0);
	finish(t);
}

static int open_only(struct talk *t)
{
	return session_open(&t->s, &t->d.link, &t->counts, NULL, &t->err);
}

static plist_t version_message(uint64_t major)
{
	return with(with(message("DLMessageVersionExchange"),
			 plist_new_uint(major)),
		    plist_new_uint(0));
}

CASE(the_devices_own_version_is_answered_up_to_400)
{
	struct talk *t = talk_new();
	plist_t version;
	uint64_t major = 0;

	say(t, version_message(400));
	add_hex(&t->d.in, READY RESPONSE_0);
	CHECK_INT(open_only(t), 0);
	version = hear(t);
	plist_get_uint_val(item(version, 2), &major);
	CHECK_INT(major, 400);
	plist_free(version);
	plist_free(hear(t));
	finish(t);
}

CASE(a_newer_device_is_refused_with_its_version)
{
	struct talk *t = talk_new();

	say(t, version_message(401));
	CHECK_INT(open_only(t), -EPROTONOSUPPORT);
	CHECK(strstr(t->err.text, "401"));
	CHECK(!t->s);
	CHECK_INT(t->d.out.len, 0);
	talk_free(t);
}

CASE(a_device_that_speaks_another_version_of_backups_is_refused)
{
	struct talk *t = talk_new();

	add_hex(&t->d.in, VERSION_300 READY);
	say_end(t, 1);
	CHECK_INT(open_only(t), -EPROTONOSUPPORT);
	CHECK(!t->s);
	hear_hello(t);
	hear_goodbye(t);
	talk_free(t);
}

CASE(a_strange_greeting_is_refused)
{
	static const char *const greetings[] = { "DLMessageDeviceReady",
						 "DLMessageVersionExchange", "",
						 "x" };

	for (size_t i = 0; i < COUNT(greetings); i++) {
		struct talk *t = talk_new();

		say(t, message(greetings[i]));
		CHECK_INT(open_only(t), -EPROTO);
		CHECK(!t->s && *t->err.text);
		talk_free(t);
	}
}

CASE(a_request_is_one_message)
{
	struct talk *t = talk_new();
	plist_t request, dict;

	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_INT(session_request(t->s, "Backup", pair("TargetIdentifier", U),
				  NULL),
		  0);
	request = hear(t);
	CHECK_INT(plist_array_get_size(request), 2);
	CHECK(is_text_node(item(request, 0), "DLMessageProcessMessage"));
	dict = item(request, 1);
	CHECK_INT(plist_dict_get_size(dict), 2);
	CHECK(is_text_node(plist_dict_get_item(dict, "MessageName"), "Backup"));
	CHECK(is_text_node(plist_dict_get_item(dict, "TargetIdentifier"), U));
	plist_free(request);
	finish(t);
}

/* ---- uploads ---- */

CASE(an_upload_becomes_files_however_it_is_cut)
{
	static const size_t steps[] = { 0, 1, 2, 3, 7, 100 };

	for (size_t i = 0; i < COUNT(steps); i++) {
		struct talk *t = talk_new();

		t->d.step = steps[i];
		say(t, upload_message());
		add_hex(&t->d.in, UPLOAD_EXAMPLE);
		say_end(t, 0);
		CHECK_INT(serve(t), 0);
		expect_status(t, 0);
		CHECK(is_text(t->path,
			      U "/Snapshot/2d/"
				"2debd89c089c76aa1203149ceed4d7ca4bb692af",
			      "hello"));
		CHECK(is_text(t->path, U "/Snapshot/00/x", ""));
		CHECK_INT(t->warnings, 1);
		CHECK(strstr(t->warning, "/.b/1/bad"));
		CHECK(strstr(t->warning, "Operation not permitted"));
		CHECK_INT(t->counts.received_bytes, 5);
		CHECK_INT(session_get_failure(t->s, NULL), 0);
		finish(t);
	}
}

CASE(an_uploaded_file_takes_the_place_of_the_old_and_not_its_inode)
{
	struct talk *t = talk_new();

	link(in(t->path, U "/Status.plist"), in(t->path, "last-good"));
	say(t, upload_message());
	say_file(t, U "/Status.plist", "new");
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	CHECK(is_text(t->path, U "/Status.plist", "new"));
	CHECK(is_text(t->path, "last-good", "abc"));
	finish(t);
}

/* The status of an upload that failed comes when the list is over. */
static void check_drained(struct talk *t, int code, int failure)
{
	size_t list_end = t->d.in.len + (size_t)hello_len();

	t->d.step = 1;
	say(t, message("DLMessageGetFreeDiskSpace"));
	say_end(t, 104);
	CHECK_INT(serve(t), 0);
	expect_status(t, code);
	/* version, hello, status */
	CHECK_INT(t->d.sent_at[2], list_end);
	expect_status(t, 0);
	CHECK_INT(t->end.code, 104);
	CHECK_INT(session_get_failure(t->s, &t->err), failure);
	CHECK_INT(t->err.code, failure);
	CHECK(*t->err.text);
	memset(&broken, 0, sizeof(broken));
	finish(t);
}

CASE(a_file_that_cannot_be_created_is_drained_and_told_afterwards)
{
	struct talk *t = talk_new();

	say(t, upload_message());
	say_file(t, U "/no/folder/file", "these bytes are dropped");
	say_no_more_files(t);
	check_drained(t, -6, -ENOENT);
}

CASE(files_behind_one_that_failed_are_stored)
{
	struct talk *t = talk_new();
	const char *path = t->path;

	say(t, upload_message());
	say_file(t, U "/before", "before");
	say_file(t, U "/Status.plist/file", "dropped");
	say_file(t, U "/no/file", "dropped");
	say_file(t, U "/behind", "behind");
	say_no_more_files(t);
	/* the first failure is the one that counts */
	check_drained(t, -8, -ENOTDIR);
	CHECK(is_text(path, U "/before", "before"));
	CHECK(is_text(path, U "/behind", "behind"));
}

CASE(a_link_in_the_way_of_an_upload_is_not_followed)
{
	struct talk *t = talk_new();

	say(t, upload_message());
	say_file(t, U "/out/precious", "overwritten");
	say_no_more_files(t);
	check_drained(t, -10, -ELOOP);
}

static void say_long_upload(struct talk *t)
{
	struct bytes noise = { 0 };

	add_noise(&noise, 3000);
	say(t, upload_message());
	say_path(t, "/.b/1/long");
	say_path(t, U "/long");
	for (int i = 0; i < 5; i++)
		say_hunk(t, 0x0c, noise.ptr, noise.len);
	say_hunk(t, 0x00, NULL, 0);
	say_no_more_files(t);
	drop(&noise);
}

CASE(a_full_disk_is_drained_and_told_as_such)
{
	static const int errors[][2] = {
		{ ENOSPC, -15 }, { EDQUOT, -15 }, { EIO, -11 }, { EFBIG, -1 }
	};

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct talk *t = talk_new();

		say_long_upload(t);
		broken.write_error = errors[i][0];
		broken.write_left = 4000;
		check_drained(t, errors[i][1], -errors[i][0]);
	}
}

CASE(an_error_that_comes_when_a_file_is_closed_is_told)
{
	struct talk *t = talk_new();

	say(t, upload_message());
	say_file(t, U "/file", "content");
	say_no_more_files(t);
	broken.close_error = EIO;
	check_drained(t, -11, -EIO);
}

CASE(a_large_file_arrives_whole)
{
	struct talk *t = talk_new();
	struct bytes noise = { 0 }, got;

	add_noise(&noise, 20000000);
	say(t, upload_message());
	say_path(t, "/.b/1/large");
	say_path(t, U "/large");
	/* of any length, as far as a number goes */
	say_hunk(t, 0x0c, noise.ptr, 12345678);
	for (size_t at = 12345678, n; at < noise.len; at += n) {
		n = noise.len - at < 32768 ? noise.len - at : 32768;
		say_hunk(t, 0x0c, noise.ptr + at, n);
	}
	say_hunk(t, 0x00, NULL, 0);
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	got = read_file(in(t->path, U "/large"));
	CHECK_BYTES(got.ptr, got.len, noise.ptr, noise.len);
	CHECK_INT(t->counts.received_bytes, noise.len);
	drop(&got);
	drop(&noise);
	finish(t);
}

CASE(hundreds_of_files_in_one_list_become_what_they_are)
{
	struct talk *t = talk_new();
	char name[64], text[64];

	say(t, upload_message());
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), U "/%02x/%040x", i % 2 ? 0 : 0xdd,
			 (unsigned)i);
		snprintf(text, sizeof(text), "content of file %d", i);
		say_file(t, name, text);
	}
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	/* one of the two folders is missing */
	expect_status(t, -6);
	for (int i = 1; i < 1000; i += 2) {
		snprintf(name, sizeof(name), U "/00/%040x", (unsigned)i);
		snprintf(text, sizeof(text), "content of file %d", i);
		CHECK_AT(is_text(t->path, name, text), "%s", name);
	}
	CHECK_INT(t->counts.added, 500);
	CHECK_INT(session_get_failure(t->s, NULL), -ENOENT);
	finish(t);
}

CASE(of_two_files_of_one_name_the_last_stays)
{
	char large[100001];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	for (int i = 0; i < 60; i++) {
		struct talk *t = talk_new();
		const char *last = i % 3 == 1 ? large : "last";

		say(t, upload_message());
		say_file(t, U "/file", i % 3 == 2 ? large : "first");
		say_file(t, U "/file", last);
		say_no_more_files(t);
		say_end(t, 0);
		CHECK_INT(serve(t), 0);
		expect_status(t, 0);
		CHECK_AT(is_text(t->path, U "/file", last), "in run %d", i);
		finish(t);
	}
}

CASE(what_is_no_upload_ends_the_conversation)
{
	static const char *const bad[] = {
		/* a path of 4097 bytes, one that leads out */
		"00001001",
		"00000001610000000665202020202000000000",
		/* hunks: of nothing, of an unknown code, behind the end */
		"000000016100000003552f6100000000",
		"000000016100000003552f6100000001ff",
		"000000016100000003552f61000000020000",
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct talk *t = talk_new();

		say(t, upload_message());
		add_hex(&t->d.in, bad[i]);
		say_end(t, 0);
		CHECK_AT(serve(t) == -EPROTO, "%s", bad[i]);
		CHECK_INT(t->err.code, -EPROTO);
		/* no status in the middle of a stream */
		CHECK_INT(t->d.sends, 2);
		talk_free(t);
	}
}

/* ---- downloads ---- */

CASE(a_download_is_what_the_wire_shows_and_a_missing_file_is_told)
{
	struct talk *t = talk_new();
	plist_t payload, entry;
	uint64_t code = 0;

	say_download(t, U "/Status.plist", U "/Manifest.plist", NULL);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "0000000e552f5374617475732e706c697374"
		    "000000040c616263"
		    "0000000100"
		    "00000010552f4d616e69666573742e706c697374"
		    "0000001a06"
		    "4e6f20737563682066696c65206f72206469726563746f7279"
		    "00000000");
	payload = hear_status(t, -13);
	CHECK_INT(plist_dict_get_size(payload), 1);
	entry = plist_dict_get_item(payload, U "/Manifest.plist");
	if (CHECK(entry)) {
		CHECK(is_text_node(
			plist_dict_get_item(entry, "DLFileErrorString"),
			"No such file or directory"));
		plist_get_uint_val(
			plist_dict_get_item(entry, "DLFileErrorCode"), &code);
		CHECK_INT((int32_t)(uint32_t)code, -6);
	}
	plist_free(payload);
	/* that there is no backup yet is no failure */
	CHECK_INT(session_get_failure(t->s, NULL), 0);
	CHECK_INT(t->counts.sent_files, 1);
	CHECK_INT(t->counts.sent_bytes, 3);
	finish(t);
}

CASE(downloads_go_on_behind_a_missing_file)
{
	struct talk *t = talk_new();
	plist_t payload;

	say_download(t, U "/no", U "/00/file", U "/out/precious");
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "00000004552f6e6f"
		    "0000001a06"
		    "4e6f20737563682066696c65206f72206469726563746f7279"
		    "00000009552f30302f66696c6500000008"
		    "0c636f6e74656e74"
		    "0000000100"
		    "0000000e552f6f75742f707265"
		    "63696f7573");
	/* too many levels of symbolic links, in whatever words */
	t->read += 4 + 1 + strlen(strerror(ELOOP));
	hear_hex(t, "00000000");
	payload = hear_status(t, -13);
	CHECK_INT(plist_dict_get_size(payload), 2);
	CHECK(plist_dict_get_item(payload, U "/no"));
	CHECK(plist_dict_get_item(payload, U "/out/precious"));
	plist_free(payload);
	CHECK_INT(session_get_failure(t->s, NULL), -ELOOP);
	finish(t);
}

CASE(a_download_of_nothing_is_an_empty_list)
{
	struct talk *t = talk_new();
	plist_t payload;

	say_download(t, NULL, NULL, NULL);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "00000000");
	payload = hear_status(t, 0);
	CHECK(payload && plist_get_node_type(payload) == PLIST_DICT &&
	      plist_dict_get_size(payload) == 0);
	plist_free(payload);
	finish(t);
}

CASE(an_empty_file_is_only_its_end)
{
	struct talk *t = talk_new();

	put_text(t->path, U "/e", "");
	say_download(t, U "/e", NULL, NULL);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "00000003552f65"
		    "0000000100"
		    "00000000");
	expect_status(t, 0);
	finish(t);
}

CASE(the_name_is_sent_back_as_it_was_asked_for)
{
	struct talk *t = talk_new();

	put_text(t->path, U "/e", "");
	say_download(t, U "//./e", NULL, NULL);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "00000006552f2f2e2f65"
		    "0000000100"
		    "00000000");
	expect_status(t, 0);
	finish(t);
}

/* Takes a file's hunks from what was sent; its content. */
static struct bytes hear_content(struct talk *t, size_t *largest)
{
	struct bytes content = { 0 };

	*largest = 0;
	while (t->read + 5 <= t->d.out.len) {
		const uint8_t *p = t->d.out.ptr + t->read;
		size_t len = (size_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];

		if (!CHECK(len && len <= t->d.out.len - t->read - 4))
			break;
		t->read += 4 + len;
		if (p[4] != 0x0c) {
			CHECK_INT(p[4], 0);
			CHECK_INT(len, 1);
			break;
		}
		add(&content, p + 5, len - 1);
		if (len - 1 > *largest)
			*largest = len - 1;
	}
	return content;
}

CASE(hunks_of_a_download_stay_below_what_a_device_can_hold)
{
	static const size_t lens[] = { 32767, 32768, 32769, 1000000 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct talk *t = talk_new();
		struct bytes noise = { 0 }, got;
		size_t largest;

		add_noise(&noise, lens[i]);
		put_file(t->path, U "/f", noise.ptr, noise.len);
		say_download(t, U "/f", NULL, NULL);
		say_end(t, 0);
		CHECK_INT(serve(t), 0);
		hear_hex(t, "00000003552f66");
		got = hear_content(t, &largest);
		CHECK_BYTES(got.ptr, got.len, noise.ptr, noise.len);
		CHECK(largest <= 32768);
		hear_hex(t, "00000000");
		expect_status(t, 0);
		drop(&got);
		drop(&noise);
		finish(t);
	}
}

CASE(an_error_in_the_middle_of_a_file_is_told_behind_its_data)
{
	struct talk *t = talk_new();
	struct bytes noise = { 0 };
	plist_t payload;

	add_noise(&noise, 40000);
	put_file(t->path, U "/f", noise.ptr, noise.len);
	broken.read_error = EIO;
	broken.read_left = 32768;
	say_download(t, U "/f", NULL, NULL);
	say_end(t, 103);
	CHECK_INT(serve(t), 0);
	hear_hex(t, "00000003552f66"
		    "000080010c");
	CHECK_BYTES(t->d.out.ptr + t->read, 32768, noise.ptr, 32768);
	t->read += 32768;
	hear_hex(t, "0000001306"
		    "496e7075742f6f7574707574206572726f72"
		    "00000000");
	payload = hear_status(t, -13);
	CHECK(plist_dict_get_item(payload, U "/f"));
	plist_free(payload);
	CHECK_INT(session_get_failure(t->s, NULL), -EIO);
	drop(&noise);
	finish(t);
}

CASE(many_small_files_leave_in_few_sends)
{
	struct talk *t = talk_new();
	plist_t names = plist_new_array();

	for (int i = 0; i < 1000; i++)
		with_text(names, U "/Status.plist");
	say(t, with(message("DLMessageDownloadFiles"), names));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_AT(t->d.sends < 10, "%d sends", t->d.sends);
	CHECK_INT(t->counts.sent_files, 1000);
	talk_free(t);
}

/* A device takes these as they come: everything is in its place. */
static void hear_file(struct talk *t, const char *name, struct view want)
{
	struct bytes head = { 0 }, got;
	size_t largest;

	add_be(&head, strlen(name), 4);
	add_text(&head, name);
	if (CHECK(t->d.out.len - t->read >= head.len)) {
		CHECK_BYTES(t->d.out.ptr + t->read, head.len, head.ptr,
			    head.len);
		t->read += head.len;
	}
	got = hear_content(t, &largest);
	CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
	drop(&got);
	drop(&head);
}

#define FILES_OF_ALL_LENGTHS 75

/* Around what a hunk and a chunk hold, and small ones between them. */
static size_t length_of(int i)
{
	static const size_t lens[] = { 0,     1,      500,    32763, 32768,
				       32769, 65536,  100000, 3,     262184,
				       7,     262389, 600000, 16379, 9 };

	return lens[i % (int)COUNT(lens)];
}

static plist_t make_files_of_all_lengths(struct talk *t, struct bytes *noise)
{
	plist_t names = plist_new_array();
	char name[32];

	add_noise(noise, 1 << 20);
	for (int i = 0; i < FILES_OF_ALL_LENGTHS; i++) {
		snprintf(name, sizeof(name), U "/%d", i);
		put_file(t->path, name, noise->ptr + i, length_of(i));
		with_text(names, name);
	}
	return with(message("DLMessageDownloadFiles"), names);
}

CASE(files_of_all_lengths_leave_whole_and_in_their_order)
{
	struct talk *t = talk_new();
	struct bytes noise = { 0 };
	char name[32];

	say(t, make_files_of_all_lengths(t, &noise));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	for (int i = 0; i < FILES_OF_ALL_LENGTHS; i++) {
		snprintf(name, sizeof(name), U "/%d", i);
		hear_file(t, name, view_of(noise.ptr + i, length_of(i)));
	}
	hear_hex(t, "00000000");
	expect_status(t, 0);
	CHECK_INT(t->counts.sent_files, FILES_OF_ALL_LENGTHS);
	drop(&noise);
	finish(t);
}

CASE(a_device_that_stops_reading_ends_a_download_anywhere)
{
	static const int errors[][2] = { { -EPIPE, -ENODEV },
					 { -ETIMEDOUT, -ETIMEDOUT },
					 { -ECANCELED, -ECANCELED } };

	for (int left = 2; left < 25; left += 2) {
		struct talk *t = talk_new();
		struct bytes noise = { 0 };

		say(t, make_files_of_all_lengths(t, &noise));
		say_end(t, 0);
		t->d.send_error = errors[left % 3][0];
		t->d.sends_left = left;
		CHECK_INT(serve(t), errors[left % 3][1]);
		CHECK_INT(t->d.sends, left);
		drop(&noise);
		talk_free(t);
	}
}

CASE(thousands_of_missing_files_are_told_one_by_one)
{
	struct talk *t = talk_new();
	plist_t names = plist_new_array(), payload;
	char name[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), U "/%05d", i);
		with_text(names, name);
	}
	say(t, with(message("DLMessageDownloadFiles"), names));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	for (int i = 0; i < 20000; i++) {
		CHECK_INT(atoi((char *)t->d.out.ptr + t->read + 4 + 2), i);
		t->read += 4 + strlen(U "/00000") + 4;
		CHECK_INT(t->d.out.ptr[t->read], 0x06);
		t->read += 1 + strlen(strerror(ENOENT));
	}
	hear_hex(t, "00000000");
	payload = hear_status(t, -13);
	CHECK_INT(plist_dict_get_size(payload), 20000);
	plist_free(payload);
	finish(t);
}

CASE(files_behind_one_that_breaks_off_leave_whole)
{
	struct talk *t = talk_new();
	struct bytes noise = { 0 };
	plist_t payload;

	add_noise(&noise, 400000);
	put_file(t->path, U "/large", noise.ptr, noise.len);
	put_file(t->path, U "/small", noise.ptr, 500);
	broken.read_error = EIO;
	broken.read_left = 300000;
	say_download(t, U "/small", U "/large", U "/small");
	say_end(t, 103);
	CHECK_INT(serve(t), 0);
	hear_file(t, U "/small", view_of(noise.ptr, 500));
	/* nine whole hunks are before the one that breaks off */
	t->read += 4 + strlen(U "/large") + 10 * (size_t)(32768 + 5);
	hear_hex(t, "0000001306"
		    "496e7075742f6f7574707574206572726f72");
	hear_file(t, U "/small", view_of(noise.ptr, 500));
	hear_hex(t, "00000000");
	payload = hear_status(t, -13);
	CHECK_INT(plist_dict_get_size(payload), 1);
	CHECK(plist_dict_get_item(payload, U "/large"));
	plist_free(payload);
	CHECK_INT(t->counts.sent_files, 2);
	drop(&noise);
	finish(t);
}

/* ---- the other operations ---- */

CASE(folders_are_made_with_their_parents)
{
	struct talk *t = talk_new();
	plist_t payload;

	say(t, with(with_text(message("DLMessageCreateDirectory"), U "/a/b/c"),
		    plist_new_dict()));
	say(t, with_text(message("DLMessageCreateDirectory"), U "/a/b"));
	say(t, with_text(message("DLMessageCreateDirectory"),
			 U "/Status.plist/x"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	payload = hear_status(t, 0);
	CHECK(is_text_node(payload, EMPTY));
	plist_free(payload);
	CHECK(exists(t->path, U "/a/b/c"));
	/* a device makes sure of folders: no failure */
	payload = hear_status(t, -7);
	CHECK(is_text_node(payload, EMPTY));
	plist_free(payload);
	expect_status(t, -8);
	CHECK_INT(session_get_failure(t->s, NULL), -ENOTDIR);
	finish(t);
}

CASE(items_are_moved)
{
	struct talk *t = talk_new();
	plist_t items = pair(U "/Status.plist", U "/moved");

	plist_dict_set_item(items, U "/00", plist_new_string(U "/Snapshot"));
	say(t, with(with(with(message("DLMessageMoveItems"), items),
			 plist_new_dict()),
		    plist_new_real(50)));
	say(t, with(message("DLMessageMoveFiles"),
		    pair(U "/moved", U "/Status.plist")));
	say(t, with(message("DLMessageMoveItems"), plist_new_dict()));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	expect_status(t, 0);
	expect_status(t, 0);
	CHECK(is_text(t->path, U "/Status.plist", "abc"));
	CHECK(is_text(t->path, U "/Snapshot/file", "content"));
	CHECK(!exists(t->path, U "/00") && !exists(t->path, U "/moved"));
	CHECK_INT(t->counts.percent, 50);
	finish(t);
}

CASE(the_first_move_that_fails_ends_the_batch)
{
	struct talk *t = talk_new();
	plist_t items = pair(U "/Status.plist", U "/a");

	plist_dict_set_item(items, U "/no", plist_new_string(U "/b"));
	plist_dict_set_item(items, U "/00", plist_new_string(U "/c"));
	say(t, with(message("DLMessageMoveItems"), items));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, -6);
	CHECK(exists(t->path, U "/a"));
	CHECK(exists(t->path, U "/00") && !exists(t->path, U "/c"));
	CHECK_INT(session_get_failure(t->s, NULL), -ENOENT);
	finish(t);
}

static plist_t removal(const char *a, const char *b, const char *c)
{
	return with(
		message("DLMessageRemoveItems"),
		with_text(with_text(with_text(plist_new_array(), a), b), c));
}

CASE(items_are_removed_and_what_is_missing_is_no_error)
{
	struct talk *t = talk_new();

	say(t, removal(U "/no", U "/00", U "/Status.plist"));
	say(t, with(message("DLMessageRemoveFiles"), plist_new_array()));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	expect_status(t, 0);
	CHECK(!exists(t->path, U "/00"));
	CHECK(!exists(t->path, U "/Status.plist"));
	CHECK_INT(session_get_failure(t->s, NULL), 0);
	finish(t);
}

CASE(a_removal_goes_on_behind_an_error_and_tells_it)
{
	struct talk *t = talk_new();

	say(t, removal(U "/out/precious", U "/00", U "/Status.plist"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, -10);
	CHECK(!exists(t->path, U "/00"));
	CHECK(!exists(t->path, U "/Status.plist"));
	CHECK_INT(session_get_failure(t->s, NULL), -ELOOP);
	finish(t);
}

CASE(items_are_copied)
{
	struct talk *t = talk_new();

	say(t, with_text(with_text(message("DLMessageCopyItem"), U),
			 U "-20240102-030405"));
	say(t, with_text(with_text(message("DLMessageCopyItem"), U "/no"),
			 U "/a"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	CHECK(is_text(t->path, U "-20240102-030405/00/file", "content"));
	CHECK(is_text(t->path, U "/00/file", "content"));
	expect_status(t, -6);
	finish(t);
}

CASE(a_folder_is_listed_with_types_lengths_and_dates)
{
	struct talk *t = talk_new();
	struct timespec times[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
	plist_t listing, entry;
	uint64_t len = 0;
	int32_t sec = 0, usec = 0;

	put_text(t->path, U "/not \xff UTF-8", "");
	utimensat(AT_FDCWD, in(t->path, U "/Status.plist"), times, 0);
	say(t, with(with_text(message("DLContentsOfDirectory"), U),
		    plist_new_dict()));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	listing = hear_status(t, 0);
	CHECK_INT(plist_dict_get_size(listing), 4);
	entry = plist_dict_get_item(listing, "Status.plist");
	CHECK(is_text_node(plist_dict_get_item(entry, "DLFileType"),
			   "DLFileTypeRegular"));
	plist_get_uint_val(plist_dict_get_item(entry, "DLFileSize"), &len);
	CHECK_INT(len, 3);
	plist_get_date_val(plist_dict_get_item(entry, "DLFileModificationDate"),
			   &sec, &usec);
	CHECK_INT(sec, 1700000000 - 978307200);
	entry = plist_dict_get_item(listing, "00");
	CHECK(is_text_node(plist_dict_get_item(entry, "DLFileType"),
			   "DLFileTypeDirectory"));
	entry = plist_dict_get_item(listing, "out");
	CHECK(is_text_node(plist_dict_get_item(entry, "DLFileType"),
			   "DLFileTypeUnknown"));
	plist_free(listing);
	finish(t);
}

CASE(a_missing_folder_is_listed_as_empty)
{
	struct talk *t = talk_new();
	plist_t listing;

	say(t, with_text(message("DLContentsOfDirectory"), U "/no"));
	say(t, with_text(message("DLContentsOfDirectory"), U "/Status.plist"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	listing = hear_status(t, 0);
	CHECK(listing && plist_get_node_type(listing) == PLIST_DICT &&
	      plist_dict_get_size(listing) == 0);
	plist_free(listing);
	expect_status(t, -8);
	finish(t);
}

CASE(free_space_is_a_number)
{
	struct talk *t = talk_new();
	struct statvfs v;
	plist_t payload;
	uint64_t bytes = 0;

	say(t, message("DLMessageGetFreeDiskSpace"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	payload = hear_status(t, 0);
	if (CHECK(payload && plist_get_node_type(payload) == PLIST_UINT)) {
		plist_get_uint_val(payload, &bytes);
		fstatvfs(t->dir.fd, &v);
		/* others write to the disk meanwhile */
		CHECK(bytes > v.f_bavail * v.f_frsize / 2);
		CHECK(bytes / 2 < v.f_bavail * v.f_frsize);
	}
	plist_free(payload);
	finish(t);
}

CASE(what_larder_does_not_do_is_answered)
{
	struct talk *t = talk_new();

	say(t, with(message("DLMessagePurgeDiskSpace"), plist_new_uint(1000)));
	say(t, message("DLMessageFromTheFuture\033[2J"));
	say(t, message("DLMessageGetFreeDiskSpace"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, -1);
	expect_status(t, -1);
	CHECK(strstr(t->warning, "DLMessageFromTheFuture?[2J"));
	expect_status(t, 0);
	finish(t);
}

CASE(a_ping_is_not_answered)
{
	struct talk *t = talk_new();

	say(t, with_text(message("DLMessagePing"), "hello?"));
	say(t, message("DLMessagePing"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_INT(t->warnings, 0);
	finish(t);
}

CASE(parameters_that_make_no_sense_are_answered)
{
	static const char *const names[] = {
		"DLMessageMoveItems",	    "DLMessageMoveFiles",
		"DLMessageRemoveItems",	    "DLMessageRemoveFiles",
		"DLMessageCreateDirectory", "DLContentsOfDirectory",
		"DLMessageCopyItem",
	};

	for (size_t i = 0; i < COUNT(names); i++) {
		struct talk *t = talk_new();

		say(t, message(names[i]));
		say(t, with(message(names[i]), plist_new_uint(7)));
		say(t, with(message(names[i]), plist_new_bool(1)));
		say(t, message("DLMessageGetFreeDiskSpace"));
		say_end(t, 0);
		CHECK_AT(serve(t) == 0, "%s", names[i]);
		for (int n = 0; n < 3; n++)
			expect_status(t, -1);
		CHECK_INT(t->warnings, 3);
		CHECK(strstr(t->warning, names[i]));
		expect_status(t, 0);
		finish(t);
	}
}

CASE(elements_that_make_no_sense_are_answered)
{
	struct talk *t = talk_new();
	plist_t items = plist_new_dict();

	plist_dict_set_item(items, U "/Status.plist", plist_new_uint(7));
	say(t, with(message("DLMessageMoveItems"), items));
	say(t, with(message("DLMessageRemoveItems"),
		    with(plist_new_array(), plist_new_uint(7))));
	say(t, with_text(message("DLMessageCopyItem"), U "/Status.plist"));
	say(t, with(with_text(message("DLMessageCopyItem"), U "/Status.plist"),
		    plist_new_uint(7)));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	for (int n = 0; n < 4; n++)
		expect_status(t, -1);
	CHECK(is_text(t->path, U "/Status.plist", "abc"));
	finish(t);
}

CASE(a_download_without_a_list_is_answered_so_that_a_device_can_follow)
{
	struct talk *t = talk_new();

	say(t, message("DLMessageDownloadFiles"));
	say(t, with_text(message("DLMessageDownloadFiles"), U "/Status.plist"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	for (int n = 0; n < 2; n++) {
		hear_hex(t, "00000000");
		expect_status(t, -1);
	}
	finish(t);
}

CASE(an_upload_without_parameters_is_one)
{
	struct talk *t = talk_new();

	say(t, message("DLMessageUploadFiles"));
	say_file(t, U "/file", "content");
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, 0);
	CHECK(is_text(t->path, U "/file", "content"));
	finish(t);
}

CASE(progress_is_taken_as_real_and_as_whole_number)
{
	struct talk *t = talk_new();
	static const double odd[] = { -1, 0, 100.5, 1e300, INFINITY, NAN };

	say(t, with(with(message("DLMessageUploadFiles"), plist_new_dict()),
		    plist_new_real(12.7)));
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_INT(t->counts.percent, 12);
	expect_status(t, 0);
	/* what is out of range leaves it as it was */
	for (size_t i = 0; i < COUNT(odd); i++)
		say(t, with(with(with(message("DLMessageMoveItems"),
				      plist_new_dict()),
				 plist_new_dict()),
			    plist_new_real(odd[i])));
	say(t, with(with(with(message("DLMessageMoveItems"), plist_new_dict()),
			 plist_new_dict()),
		    plist_new_uint(UINT64_MAX)));
	say_end(t, 0);
	CHECK_INT(session_serve(t->s, &t->dir, &t->end, NULL), 0);
	CHECK_INT(t->counts.percent, 12);
	say(t,
	    with(with(with(message("DLMessageRemoveItems"), plist_new_array()),
		      plist_new_dict()),
		 plist_new_uint(99)));
	say_end(t, 0);
	CHECK_INT(session_serve(t->s, &t->dir, &t->end, NULL), 0);
	CHECK_INT(t->counts.percent, 99);
	talk_free(t);
}

#define PAYLOAD(n) U "/00/000000000000000000000000000000000000000" n

CASE(payloads_are_counted_where_they_take_their_place)
{
	struct talk *t = talk_new();

	put_text(t->path, PAYLOAD("1"), "old");
	put_text(t->path, PAYLOAD("2"), "old");
	put_text(t->path, U "/Snapshot/a", "new");
	put_text(t->path, U "/Snapshot/b", "new");
	say(t, upload_message());
	say_file(t, U "/Snapshot/00/0000000000000000000000000000000000000003",
		 "not yet in its place");
	say_file(t, U "/Manifest.db", "no payload");
	say_file(t, PAYLOAD("4"), "new");
	say_no_more_files(t);
	say(t, with(message("DLMessageMoveItems"),
		    pair(U "/Snapshot/a", PAYLOAD("1"))));
	say(t, with(message("DLMessageMoveItems"),
		    pair(U "/Snapshot/b", PAYLOAD("5"))));
	say(t, removal(PAYLOAD("2"), PAYLOAD("9"), U "/Manifest.db"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	CHECK_INT(t->counts.added, 2);
	CHECK_INT(t->counts.changed, 1);
	CHECK_INT(t->counts.removed, 1);
	CHECK_INT(t->counts.received_files, 3);
	talk_free(t);
}

/* ---- without files ---- */

CASE(without_a_folder_nothing_is_touched_and_all_is_answered)
{
	struct talk *t = talk_new();

	t->without_dir = true;
	say(t, upload_message());
	say_file(t, U "/file", "unasked");
	say_no_more_files(t);
	say_download(t, U "/Status.plist", NULL, NULL);
	say(t, message("DLMessageGetFreeDiskSpace"));
	say(t, with_text(message("DLMessageCreateDirectory"), U "/a"));
	say(t, with_text(message("DLContentsOfDirectory"), U));
	say(t, removal(U "/00", U "/00", U "/00"));
	say(t, with(message("DLMessageMoveItems"), pair(U "/00", U "/a")));
	say(t, with_text(with_text(message("DLMessageCopyItem"), U), U "/a"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_status(t, -1);
	hear_hex(t, "00000000");
	for (int n = 0; n < 7; n++)
		expect_status(t, -1);
	CHECK(!exists(t->path, U "/file") && !exists(t->path, U "/a"));
	CHECK(exists(t->path, U "/00"));
	finish(t);
}

/* ---- hostile names ---- */

static plist_t hostile(int i, const char *name)
{
	switch (i) {
	case 0:
		return with(message("DLMessageDownloadFiles"),
			    with_text(with_text(plist_new_array(),
						U "/Status.plist"),
				      name));
	case 1:
		return with(message("DLMessageMoveItems"), pair(name, U "/a"));
	case 2:
		return with(message("DLMessageMoveItems"),
			    pair(U "/Status.plist", name));
	case 3:
		return removal(name, name, name);
	case 4:
		return with_text(message("DLMessageCreateDirectory"), name);
	case 5:
		return with_text(message("DLContentsOfDirectory"), name);
	case 6:
		return with_text(with_text(message("DLMessageCopyItem"), name),
				 U "/a");
	case 7:
		return with_text(with_text(message("DLMessageCopyItem"),
					   U "/Status.plist"),
				 name);
	default:
		return NULL;
	}
}

CASE(a_name_that_leads_out_ends_the_conversation)
{
	static const char *const names[][2] = {
		{ "../evil\033]0;x\a", "../evil?]0;x?" },
		{ "/etc/passwd", "/etc/passwd" },
		{ U "/../../evil", U "/../../evil" },
		{ "other/file", "other/file" },
		{ "", "\"\"" },
	};
	plist_t what;

	for (size_t n = 0; n < COUNT(names); n++)
		for (int i = 0; (what = hostile(i, names[n][0])); i++) {
			struct talk *t = talk_new();

			say(t, what);
			say_end(t, 0);
			CHECK_AT(serve(t) == -EPROTO, "%d: %s", i, names[n][1]);
			CHECK_INT(t->err.code, -EPROTO);
			CHECK_AT(strstr(t->err.text, names[n][1]), "%s",
				 t->err.text);
			/* of a download no file has gone out */
			if (i == 0)
				hear_hex(t, "00000000");
			expect_status(t, -1);
			CHECK(is_text(t->path, U "/Status.plist", "abc"));
			finish(t);
		}
}

CASE(an_upload_that_leads_out_ends_the_conversation)
{
	static const char *const names[][2] = {
		{ "../evil\033", "../evil?" },
		{ "/tmp/evil", "/tmp/evil" },
		{ U "/../evil", U "/../evil" },
		{ U "2/evil", U "2/evil" },
	};

	for (size_t n = 0; n < COUNT(names); n++) {
		struct talk *t = talk_new();

		say(t, upload_message());
		say_file(t, U "/good", "good");
		say_file(t, names[n][0], "evil");
		say_no_more_files(t);
		say_end(t, 0);
		CHECK_INT(serve(t), -EPROTO);
		CHECK_AT(strstr(t->err.text, names[n][1]), "%s", t->err.text);
		CHECK_INT(t->d.sends, 2);
		CHECK(!exists(t->path, "evil"));
		talk_free(t);
	}
}

CASE(zero_bytes_and_endless_names_in_an_upload_end_the_conversation)
{
	struct talk *t = talk_new();
	char name[2000] = U "/";

	say(t, upload_message());
	add_hex(&t->d.in, "0000000161"
			  "00000009552f6100"
			  "2f2e2e2f62");
	CHECK_INT(serve(t), -EPROTO);
	CHECK(strstr(t->err.text, "zero byte"));
	talk_free(t);
	t = talk_new();
	memset(name + 2, 'a', sizeof(name) - 3);
	say(t, upload_message());
	say_file(t, name, "evil");
	CHECK_INT(serve(t), -EPROTO);
	CHECK(strstr(t->err.text, "too long"));
	talk_free(t);
}

/* ---- ends ---- */

CASE(the_devices_last_word_is_its_code_and_description)
{
	struct talk *t = talk_new();

	say_end(t, 208);
	CHECK_INT(serve(t), 0);
	CHECK_INT(t->end.code, 208);
	CHECK_TEXT(t->end.description, "words");
	finish(t);
}

CASE(an_end_without_a_result_is_no_end)
{
	plist_t ends[] = {
		message("DLMessageProcessMessage"),
		with_text(message("DLMessageProcessMessage"), "done"),
		with(message("DLMessageProcessMessage"), plist_new_dict()),
		with(message("DLMessageProcessMessage"),
		     pair("ErrorCode", "0")),
		with(message("DLMessageProcessMessage"),
		     pair("MessageName", "Response")),
	};

	for (size_t i = 0; i < COUNT(ends); i++) {
		struct talk *t = talk_new();

		say(t, ends[i]);
		CHECK_INT(serve(t), -EPROTO);
		CHECK_INT(t->err.code, -EPROTO);
		talk_free(t);
	}
}

CASE(a_device_that_hangs_up_says_why_and_gets_no_goodbye)
{
	static const char *const said[] = { "bored\033", EMPTY, "" };

	for (size_t i = 0; i < COUNT(said); i++) {
		struct talk *t = talk_new();

		say(t, with_text(message("DLMessageDisconnect"), said[i]));
		CHECK_INT(serve(t), -ENODEV);
		CHECK(strstr(t->err.text, i ? "no reason" : "bored?"));
		session_free(t->s);
		t->s = NULL;
		CHECK_INT(t->d.sends, 2);
		talk_free(t);
	}
}

CASE(what_is_no_message_ends_the_conversation)
{
	static const char *const bad[] = {
		/* no property list, nothing, without an end */
		"0000000767617262616765",
		"00000000",
		"7fffffff",
	};
	plist_t nameless[] = { plist_new_array(), plist_new_dict(),
			       plist_new_string("DLMessagePing"),
			       with(plist_new_array(), plist_new_uint(7)) };

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct talk *t = talk_new();

		add_hex(&t->d.in, bad[i]);
		say_end(t, 0);
		CHECK_INT(serve(t), -EPROTO);
		CHECK(*t->err.text);
		talk_free(t);
	}
	for (size_t i = 0; i < COUNT(nameless); i++) {
		struct talk *t = talk_new();

		say(t, nameless[i]);
		say_end(t, 0);
		CHECK_INT(serve(t), -EPROTO);
		talk_free(t);
	}
}

/* A link that ends at each place of a conversation. */
static const int link_errors[][2] = { { 0, -ENODEV },
				      { -EIO, -ENODEV },
				      { -ETIMEDOUT, -ETIMEDOUT },
				      { -ECANCELED, -ECANCELED } };

static struct talk *long_talk(void)
{
	struct talk *t = talk_new();

	say(t, upload_message());
	say_file(t, U "/one", "first");
	say_file(t, U "/two", "second");
	say_no_more_files(t);
	say_download(t, U "/one", NULL, NULL);
	return t;
}

CASE(a_link_that_breaks_anywhere_comes_out_as_what_it_is)
{
	struct talk *whole = long_talk();
	size_t len = whole->d.in.len;

	talk_free(whole);
	for (size_t i = 0; i < COUNT(link_errors); i++)
		for (size_t cut = 0; cut < len; cut += 7) {
			struct talk *t = long_talk();

			t->d.in.len = cut;
			t->d.after = link_errors[i][0];
			CHECK_AT(serve(t) == link_errors[i][1],
				 "cut at %zu, error %d", cut, t->err.code);
			CHECK_INT(t->err.code, link_errors[i][1]);
			CHECK(*t->err.text);
			talk_free(t);
		}
}

CASE(a_broken_link_gets_no_goodbye)
{
	for (size_t i = 0; i < 2; i++) {
		struct talk *t = long_talk();
		int sends;

		t->d.after = link_errors[i][0];
		CHECK_INT(serve(t), -ENODEV);
		sends = t->d.sends;
		session_free(t->s);
		t->s = NULL;
		CHECK_INT(t->d.sends, sends);
		talk_free(t);
	}
}

CASE(who_gives_up_waiting_tells_the_device)
{
	struct talk *t = long_talk();

	t->d.after = -ECANCELED;
	CHECK_INT(serve(t), -ECANCELED);
	expect_status(t, 0);
	hear_hex(t, "00000005552f6f6e65"
		    "000000060c6669727374"
		    "0000000100"
		    "00000000");
	expect_status(t, 0);
	finish(t);
}

CASE(after_a_send_that_failed_nothing_more_is_sent)
{
	static const int errors[][2] = { { -EPIPE, -ENODEV },
					 { -EIO, -ENODEV },
					 { -ETIMEDOUT, -ETIMEDOUT },
					 { -ECANCELED, -ECANCELED } };

	for (size_t i = 0; i < COUNT(errors); i++)
		for (int left = 2; left < 5; left++) {
			struct talk *t = long_talk();

			say_end(t, 0);
			t->d.send_error = errors[i][0];
			t->d.sends_left = left;
			CHECK_INT(serve(t), errors[i][1]);
			CHECK_INT(t->d.sends, left);
			/* it would be in the middle of a message */
			t->d.send_error = 0;
			CHECK(session_request(t->s, "Backup", plist_new_dict(),
					      NULL) < 0);
			session_free(t->s);
			t->s = NULL;
			CHECK_INT(t->d.sends, left);
			talk_free(t);
		}
}

/* ---- a backup that is only served ---- */

#define T "T"
#define PAYLOAD_1 "00/0000000000000000000000000000000000000001"

/* Under another name on this host; to be restored to another device. */
static struct talk *talk_served(void)
{
	struct talk *t = talk_new();

	__real_close(t->dir.fd);
	put_text(t->path, "holidays/Status.plist", "abc");
	put_text(t->path, "holidays/" PAYLOAD_1, "content");
	put_text(t->path, "holidays/notes", "private");
	symlink(t->outside, in(t->path, "holidays/out"));
	t->dir = (struct host_dir){
		.fd = open_dir(in(t->path, "holidays")),
		.udid = U,
		.served = true,
		.target = T,
	};
	return t;
}

static void finish_served(struct talk *t)
{
	CHECK(is_text(t->path, "holidays/Status.plist", "abc"));
	CHECK(is_text(t->path, "holidays/" PAYLOAD_1, "content"));
	CHECK(is_text(t->path, "holidays/notes", "private"));
	CHECK(!exists(t->path, "holidays/" T) && !exists(t->path, T));
	finish(t);
}

static uint64_t code_of(plist_t payload, const char *name)
{
	uint64_t code = 0;
	plist_t entry = plist_dict_get_item(payload, name);

	if (CHECK_AT(entry != NULL, "%s", name))
		plist_get_uint_val(
			plist_dict_get_item(entry, "DLFileErrorCode"), &code);
	return (uint32_t)code;
}

CASE(a_restore_reads_the_files_of_the_backup_and_no_others)
{
	struct talk *t = talk_served();
	plist_t payload;

	say_download(t, U "/Status.plist", U "/" PAYLOAD_1, U "/notes");
	say_download(t, T "/Status.plist", U "/out/precious",
		     U "-20240102-030405/Info.plist");
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	hear_file(t, U "/Status.plist", view_of("abc", 3));
	hear_file(t, U "/" PAYLOAD_1, view_of("content", 7));
	hear_hex(t, "00000007552f6e6f746573"
		    "0000001a06"
		    "4e6f20737563682066696c65206f72206469726563746f7279"
		    "00000000");
	payload = hear_status(t, -13);
	CHECK_INT((int32_t)code_of(payload, U "/notes"), -6);
	plist_free(payload);
	for (size_t i = 0; i < 3; i++) {
		static const size_t lens[] = { sizeof(T "/Status.plist"),
					       sizeof(U "/out/precious"),
					       sizeof(U "-20240102-030405"
							"/Info.plist") };

		t->read += 4 + lens[i] - 1;
		hear_hex(t, "0000001a06"
			    "4e6f20737563682066696c65206f722064697265"
			    "63746f7279");
	}
	hear_hex(t, "00000000");
	payload = hear_status(t, -13);
	CHECK_INT(plist_dict_get_size(payload), 3);
	CHECK_INT((int32_t)code_of(payload, U "/out/precious"), -6);
	plist_free(payload);
	/* that it has asked is no failure of anything */
	CHECK_INT(session_get_failure(t->s, NULL), 0);
	finish_served(t);
}

CASE(an_upload_into_a_served_backup_is_drained_and_the_session_goes_on)
{
	struct talk *t = talk_served();
	struct bytes large = { 0 };
	plist_t payload;

	add_noise(&large, 300000);
	say(t, upload_message());
	say_file(t, U "/Status.plist", "overwritten");
	say_path(t, "/.b/1/large");
	say_path(t, U "/Snapshot/large");
	say_hunk(t, 0x0c, large.ptr, large.len);
	say_hunk(t, 0x00, NULL, 0);
	say_file(t, T "-20240102-030405/Info.plist", "changed");
	say_no_more_files(t);
	say_download(t, U "/Status.plist", NULL, NULL);
	say_end(t, 104);
	CHECK_INT(serve(t), 0);
	expect_status(t, -1);
	hear_file(t, U "/Status.plist", view_of("abc", 3));
	hear_hex(t, "00000000");
	payload = hear_status(t, 0);
	plist_free(payload);
	CHECK_INT(t->end.code, 104);
	CHECK_INT(session_get_failure(t->s, &t->err), -EROFS);
	CHECK(strstr(t->err.text, "create " U "/Snapshot/large"));
	CHECK_INT(t->counts.added + t->counts.changed, 0);
	drop(&large);
	finish_served(t);
}

CASE(what_would_change_a_served_backup_is_refused_and_the_session_goes_on)
{
	struct talk *t = talk_served();

	say(t, with_text(message("DLMessageCreateDirectory"), U "/Snapshot"));
	say(t, with_text(message("DLMessageCreateDirectory"), U));
	say(t, removal(U "/" PAYLOAD_1, U "/no", U));
	say(t, with(message("DLMessageMoveItems"),
		    pair(U "/" PAYLOAD_1, U "/00/moved")));
	say(t, with_text(with_text(message("DLMessageCopyItem"), U),
			 U "-20240102-030405"));
	/* of the target there is nothing to be copied */
	say(t, with_text(with_text(message("DLMessageCopyItem"), T),
			 T "-20240102-030405"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	for (int i = 0; i < 5; i++)
		expect_status(t, -1);
	expect_status(t, -6);
	CHECK_INT(session_get_failure(t->s, NULL), -EROFS);
	CHECK_INT(t->counts.removed + t->counts.added, 0);
	finish_served(t);
}

static void expect_listing(struct talk *t, uint32_t count)
{
	plist_t entries = hear_status(t, 0);

	CHECK_INT(plist_dict_get_size(entries), count);
	plist_free(entries);
}

CASE(a_served_backup_is_listed_without_what_is_no_part_of_it)
{
	struct talk *t = talk_served();

	say(t, with_text(message("DLContentsOfDirectory"), U));
	say(t, with_text(message("DLContentsOfDirectory"), U "/00"));
	say(t, with_text(message("DLContentsOfDirectory"), U "/out"));
	say(t, with_text(message("DLContentsOfDirectory"), T));
	say(t, message("DLMessageGetFreeDiskSpace"));
	say_end(t, 0);
	CHECK_INT(serve(t), 0);
	expect_listing(t, 2);
	expect_listing(t, 1);
	expect_listing(t, 0);
	expect_listing(t, 0);
	expect_status(t, 0);
	CHECK_INT(session_get_failure(t->s, NULL), 0);
	finish_served(t);
}

CASE(a_name_that_leads_out_of_a_served_backup_ends_the_conversation)
{
	static const char *const names[] = {
		"../beside",	     "holidays/notes", "Status.plist",
		U "/../holidays",    "/etc/passwd",    T "/../beside",
		"other/Status.plist"
	};
	plist_t what;

	for (size_t n = 0; n < COUNT(names); n++)
		for (int i = 0; (what = hostile(i, names[n])); i++) {
			struct talk *t = talk_served();

			say(t, what);
			say_end(t, 0);
			CHECK_AT(serve(t) == -EPROTO, "%d: %s", i, names[n]);
			if (i == 0)
				hear_hex(t, "00000000");
			expect_status(t, -1);
			finish_served(t);
		}
}

CASE(an_upload_that_leads_out_of_a_served_backup_ends_the_conversation)
{
	struct talk *t = talk_served();

	say(t, upload_message());
	say_file(t, "../beside", "evil");
	say_no_more_files(t);
	say_end(t, 0);
	CHECK_INT(serve(t), -EPROTO);
	CHECK_INT(t->d.sends, 2);
	talk_free(t);
}

CASE(a_device_that_restarts_after_its_last_word_has_said_it)
{
	for (size_t i = 0; i < COUNT(link_errors); i++) {
		struct talk *t = talk_served();

		say_download(t, U "/Status.plist", NULL, NULL);
		say_end(t, 0);
		t->d.after = link_errors[i][0];
		CHECK_INT(serve(t), 0);
		CHECK_INT(t->end.code, 0);
		/* there is nobody to say goodbye to, and it is no error */
		t->d.send_error = -EPIPE;
		t->d.sends_left = 0;
		session_free(t->s);
		t->s = NULL;
		talk_free(t);
	}
}

CASE(a_device_that_goes_without_its_last_word_has_not_finished)
{
	struct talk *t = talk_served();

	say_download(t, U "/Status.plist", NULL, NULL);
	CHECK_INT(serve(t), -ENODEV);
	talk_free(t);
}

int main(void)
{
	RUN(hello_and_goodbye_are_said_once);
	RUN(the_devices_own_version_is_answered_up_to_400);
	RUN(a_newer_device_is_refused_with_its_version);
	RUN(a_device_that_speaks_another_version_of_backups_is_refused);
	RUN(a_strange_greeting_is_refused);
	RUN(a_request_is_one_message);
	RUN(an_upload_becomes_files_however_it_is_cut);
	RUN(an_uploaded_file_takes_the_place_of_the_old_and_not_its_inode);
	RUN(a_file_that_cannot_be_created_is_drained_and_told_afterwards);
	RUN(files_behind_one_that_failed_are_stored);
	RUN(a_link_in_the_way_of_an_upload_is_not_followed);
	RUN(a_full_disk_is_drained_and_told_as_such);
	RUN(an_error_that_comes_when_a_file_is_closed_is_told);
	RUN(a_large_file_arrives_whole);
	RUN(hundreds_of_files_in_one_list_become_what_they_are);
	RUN(of_two_files_of_one_name_the_last_stays);
	RUN(what_is_no_upload_ends_the_conversation);
	RUN(a_download_is_what_the_wire_shows_and_a_missing_file_is_told);
	RUN(downloads_go_on_behind_a_missing_file);
	RUN(a_download_of_nothing_is_an_empty_list);
	RUN(an_empty_file_is_only_its_end);
	RUN(the_name_is_sent_back_as_it_was_asked_for);
	RUN(hunks_of_a_download_stay_below_what_a_device_can_hold);
	RUN(an_error_in_the_middle_of_a_file_is_told_behind_its_data);
	RUN(many_small_files_leave_in_few_sends);
	RUN(files_of_all_lengths_leave_whole_and_in_their_order);
	RUN(a_device_that_stops_reading_ends_a_download_anywhere);
	RUN(thousands_of_missing_files_are_told_one_by_one);
	RUN(files_behind_one_that_breaks_off_leave_whole);
	RUN(folders_are_made_with_their_parents);
	RUN(items_are_moved);
	RUN(the_first_move_that_fails_ends_the_batch);
	RUN(items_are_removed_and_what_is_missing_is_no_error);
	RUN(a_removal_goes_on_behind_an_error_and_tells_it);
	RUN(items_are_copied);
	RUN(a_folder_is_listed_with_types_lengths_and_dates);
	RUN(a_missing_folder_is_listed_as_empty);
	RUN(free_space_is_a_number);
	RUN(what_larder_does_not_do_is_answered);
	RUN(a_ping_is_not_answered);
	RUN(parameters_that_make_no_sense_are_answered);
	RUN(elements_that_make_no_sense_are_answered);
	RUN(a_download_without_a_list_is_answered_so_that_a_device_can_follow);
	RUN(an_upload_without_parameters_is_one);
	RUN(progress_is_taken_as_real_and_as_whole_number);
	RUN(payloads_are_counted_where_they_take_their_place);
	RUN(without_a_folder_nothing_is_touched_and_all_is_answered);
	RUN(a_name_that_leads_out_ends_the_conversation);
	RUN(an_upload_that_leads_out_ends_the_conversation);
	RUN(zero_bytes_and_endless_names_in_an_upload_end_the_conversation);
	RUN(the_devices_last_word_is_its_code_and_description);
	RUN(an_end_without_a_result_is_no_end);
	RUN(a_device_that_hangs_up_says_why_and_gets_no_goodbye);
	RUN(what_is_no_message_ends_the_conversation);
	RUN(a_link_that_breaks_anywhere_comes_out_as_what_it_is);
	RUN(a_broken_link_gets_no_goodbye);
	RUN(who_gives_up_waiting_tells_the_device);
	RUN(after_a_send_that_failed_nothing_more_is_sent);
	RUN(a_restore_reads_the_files_of_the_backup_and_no_others);
	RUN(an_upload_into_a_served_backup_is_drained_and_the_session_goes_on);
	RUN(what_would_change_a_served_backup_is_refused_and_the_session_goes_on);
	RUN(a_served_backup_is_listed_without_what_is_no_part_of_it);
	RUN(a_name_that_leads_out_of_a_served_backup_ends_the_conversation);
	RUN(an_upload_that_leads_out_of_a_served_backup_ends_the_conversation);
	RUN(a_device_that_restarts_after_its_last_word_has_said_it);
	RUN(a_device_that_goes_without_its_last_word_has_not_finished);
	return tap_end();
}
