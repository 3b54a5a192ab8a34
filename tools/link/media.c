/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests are numbered, gathered, and sent when an answer is waited for. The
 * device answers them in order. So what is independent is asked together, and
 * the answers are taken one after the other: a round trip for all of it.
 */
#include "media.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "afc.h"
#include "device.h"
#include "stream.h"
#include "watch.h"

#define AFC_SERVICE "com.apple.afc"
#define SYNC_LOCK "/com.apple.itunes.lock_sync"
/* One request's data: the device has it in memory at once. */
#define CHUNK (64u << 10)

struct media {
	struct link *link;
	struct stream stream;
	struct buf requests; /* not sent yet */
	uint64_t asked, answered;
	struct mb_err failure; /* of the connection; code 0: it is good */
	uint64_t lock;	       /* a handle, if has_lock_file */
	bool has_lock_file, locked;
};

/* --- requests and answers ------------------------------------------------ */

/* The connection has failed, and media->failure says why. */
static int failed(struct media *media, struct mb_err *err)
{
	media->requests.len = 0;
	if (err)
		*err = media->failure;
	return media->failure.code;
}

static int out_of_memory(struct media *media, struct mb_err *err)
{
	mb_err_set(&media->failure, -ENOMEM, "out of memory");
	return failed(media, err);
}

static int add(struct media *media, const struct afc_request *request,
	       struct mb_err *err)
{
	if (afc_encode(&media->requests, media->asked + 1, request) < 0)
		return out_of_memory(media, err);
	media->asked++;
	return 0;
}

static int ask(struct media *media, const struct afc_request *request,
	       struct mb_err *err)
{
	if (!media->failure.code && watch_cancelled())
		mb_err_set(&media->failure, -ECANCELED, "cancelled");
	if (media->failure.code)
		return failed(media, err);
	return add(media, request, err);
}

/* As ask, for what undoes something: that is sent after Ctrl-C, too. */
static int ask_at_last(struct media *media, const struct afc_request *request,
		       struct mb_err *err)
{
	if (media->failure.code && media->failure.code != -ECANCELED)
		return failed(media, err);
	return add(media, request, err);
}

static int send_requests(struct media *media)
{
	int rc = 0;

	if (media->requests.len)
		rc = media->link->send(media->link, media->requests.ptr,
				       media->requests.len);
	media->requests.len = 0;
	return rc < 0 ? stream_error(rc, &media->failure) : 0;
}

/* @reply: its data is borrowed until the next one */
static int take_reply(struct media *media, struct afc_reply *reply)
{
	for (;;) {
		struct view unread = stream_unread(&media->stream);
		struct cursor in = cursor_over(unread);
		int rc = afc_decode(&in, media->answered + 1, reply,
				    &media->failure);

		if (rc > 0) {
			media->answered++;
			stream_skip(&media->stream,
				    unread.len - cursor_left(&in));
			return 0;
		}
		if (rc == 0)
			rc = stream_fill(&media->stream, &media->failure);
		if (rc < 0)
			return rc;
	}
}

static int code_of(uint64_t code)
{
	switch (code) {
	case AFC_NOT_FOUND:
		return -ENOENT;
	case AFC_IS_DIR:
		return -EISDIR;
	case AFC_DENIED:
		return -EACCES;
	case AFC_EXISTS:
		return -EEXIST;
	case AFC_NO_SPACE:
		return -ENOSPC;
	case AFC_BUSY:
	case AFC_WOULD_BLOCK:
		return -EBUSY;
	case AFC_NOT_EMPTY:
		return -ENOTEMPTY;
	default:
		return -EIO;
	}
}

static int refused(uint64_t code, const char *path, struct mb_err *err)
{
	int rc = code_of(code);

	if (rc == -EIO)
		return mb_err_set(err, rc,
				  "%s on the device: AFC error %" PRIu64, path,
				  code);
	return mb_err_set(err, rc, "%s on the device: %s", path, strerror(-rc));
}

/*
 * The answer to the oldest request that has none: 0 if it is @wanted, or
 * the device's no; after that media->failure is still unset.
 */
static int take(struct media *media, enum afc_op wanted, const char *path,
		struct afc_reply *reply, struct mb_err *err)
{
	if (send_requests(media) < 0 || media->failure.code ||
	    take_reply(media, reply) < 0)
		return failed(media, err);
	if (reply->op == AFC_STATUS && reply->value != AFC_OK)
		return refused(reply->value, path, err);
	if (reply->op == wanted)
		return 0;
	mb_err_set(&media->failure, -EPROTO,
		   "media folder: reply %d where %d fits", (int)reply->op,
		   (int)wanted);
	return failed(media, err);
}

/* A request that is answered by a status. */
static int exchange(struct media *media, const struct afc_request *request,
		    const char *path, struct mb_err *err)
{
	struct afc_reply reply;
	int rc = ask(media, request, err);

	return rc < 0 ? rc : take(media, AFC_STATUS, path, &reply, err);
}

/* --- open and close ------------------------------------------------------ */

int media_new(struct media **out, struct link *link, struct mb_err *err)
{
	mb_auto(media_free) struct media *media = calloc(1, sizeof(*media));

	if (!media) {
		link_free(link);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	media->link = link;
	if (stream_init(&media->stream, link) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	*out = mb_steal(&media);
	return 0;
}

int media_open(struct media **out, struct device *device, struct mb_err *err)
{
	struct link *link;
	int rc = device_connect(device, AFC_SERVICE, false, &link, err);

	return rc < 0 ? rc : media_new(out, link, err);
}

void media_free(struct media *media)
{
	if (!media)
		return;
	media_unlock(media);
	link_free(media->link);
	stream_release(&media->stream);
	buf_release(&media->requests);
	free(media);
}

static int ask_open(struct media *media, const char *path, enum afc_mode mode,
		    struct mb_err *err)
{
	const struct afc_request request = {
		.op = AFC_OPEN,
		.args = { mode },
		.arg_count = 1,
		.path = path,
	};

	return ask(media, &request, err);
}

static int take_opened(struct media *media, const char *path, uint64_t *handle,
		       struct mb_err *err)
{
	struct afc_reply reply;
	int rc = take(media, AFC_OPENED, path, &reply, err);

	if (rc == 0)
		*handle = reply.value;
	return rc;
}

static struct afc_request close_request(uint64_t handle)
{
	return (struct afc_request){
		.op = AFC_CLOSE,
		.args = { handle },
		.arg_count = 1,
	};
}

/* --- reading ------------------------------------------------------------- */

static int open_files(struct media *media, struct media_file *files,
		      size_t count, struct mb_err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = ask_open(media, files[i].path, AFC_READ_ONLY, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct media_file *f = &files[i];
		struct mb_err why;
		int no = take_opened(media, f->path, &f->handle, &why);

		f->open = no == 0;
		f->ended = no < 0;
		if (media->failure.code)
			rc = failed(media, err);
		else if (no < 0 && no != -ENOENT)
			f->err = why;
	}
	return rc;
}

/* One byte beyond the limit, to know that there is more. */
static int ask_read(struct media *media, struct media_file *f, size_t limit,
		    struct mb_err *err)
{
	size_t left = limit - f->content.len;

	f->asked = left < CHUNK ? left + 1 : CHUNK;
	return ask(media,
		   &(const struct afc_request){
			   .op = AFC_READ,
			   .args = { f->handle, f->asked },
			   .arg_count = 2,
		   },
		   err);
}

/* That one file is not had; the others go on. */
static void give_up(struct media_file *f)
{
	buf_release(&f->content);
	f->ended = true;
}

static int take_read(struct media *media, struct media_file *f, size_t limit,
		     struct mb_err *err)
{
	struct afc_reply reply;
	struct mb_err why;
	int no = take(media, AFC_DATA, f->path, &reply, &why);

	if (media->failure.code)
		return failed(media, err);
	if (no < 0) {
		f->err = why;
		give_up(f);
		return 0;
	}
	if (reply.data.len > f->asked) {
		mb_err_set(&media->failure, -EPROTO,
			   "media folder: %zu bytes where %zu were asked for",
			   reply.data.len, f->asked);
		return failed(media, err);
	}
	if (buf_add(&f->content, reply.data.ptr, reply.data.len) < 0)
		return out_of_memory(media, err);
	f->ended = reply.data.len == 0;
	if (f->content.len > limit) {
		mb_err_set(&f->err, -EFBIG,
			   "%s on the device: more than %zu bytes", f->path,
			   limit);
		give_up(f);
	}
	return 0;
}

/* A piece of each file that has not ended; how many there were. */
static int read_pieces(struct media *media, struct media_file *files,
		       size_t count, size_t limit, struct mb_err *err)
{
	int n = 0, rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		if (!files[i].ended)
			rc = ask_read(media, &files[i], limit, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (!files[i].ended) {
			rc = take_read(media, &files[i], limit, err);
			n++;
		}
	return rc < 0 ? rc : n;
}

/* Nothing is lost if the device will not. */
static int close_files(struct media *media, struct media_file *files,
		       size_t count, struct mb_err *err)
{
	struct afc_reply reply;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		const struct afc_request request =
			close_request(files[i].handle);

		if (files[i].open)
			rc = ask(media, &request, err);
	}
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (files[i].open) {
			take(media, AFC_STATUS, files[i].path, &reply, NULL);
			files[i].open = false;
			if (media->failure.code)
				rc = failed(media, err);
		}
	return rc;
}

int media_read_files(struct media *media, struct media_file *files,
		     size_t count, size_t limit, struct mb_err *err)
{
	int rc;

	assert(count <= MEDIA_FILES_MAX);
	rc = open_files(media, files, count, err);
	if (rc < 0)
		return rc;
	do
		rc = read_pieces(media, files, count, limit, err);
	while (rc > 0);
	return rc < 0 ? rc : close_files(media, files, count, err);
}

int media_read(struct media *media, const char *path, size_t limit,
	       struct buf *out, struct mb_err *err)
{
	struct media_file file = { .path = path };
	int rc = media_read_files(media, &file, 1, limit, err);

	if (rc == 0 && file.err.code) {
		rc = file.err.code;
		if (err)
			*err = file.err;
	}
	buf_release(out);
	if (rc == 0)
		*out = file.content;
	else
		buf_release(&file.content);
	return rc;
}

/* --- writing ------------------------------------------------------------- */

static int write_all(struct media *media, uint64_t handle, const char *path,
		     struct view content, struct mb_err *err)
{
	int rc = 0;

	while (rc == 0 && content.len) {
		size_t len = content.len < CHUNK ? content.len : CHUNK;
		const struct afc_request request = {
			.op = AFC_WRITE,
			.args = { handle },
			.arg_count = 1,
			.data = { content.ptr, len },
		};

		rc = exchange(media, &request, path, err);
		content.ptr += len;
		content.len -= len;
	}
	return rc;
}

int media_write(struct media *media, const char *path, const void *ptr,
		size_t len, struct mb_err *err)
{
	struct afc_request request;
	uint64_t handle = 0;
	int rc = ask_open(media, path, AFC_REPLACE, err);

	if (rc == 0)
		rc = take_opened(media, path, &handle, err);
	if (rc < 0)
		return rc;
	rc = write_all(media, handle, path, view_of(ptr, len), err);
	request = close_request(handle);
	if (rc < 0)
		/* the first error counts */
		exchange(media, &request, path, NULL);
	else
		rc = exchange(media, &request, path, err);
	return rc;
}

int media_make_dir(struct media *media, const char *path, struct mb_err *err)
{
	const struct afc_request request = { .op = AFC_MAKE_DIR, .path = path };

	return exchange(media, &request, path, err);
}

int media_remove(struct media *media, const char *path, struct mb_err *err)
{
	const struct afc_request request = { .op = AFC_REMOVE, .path = path };
	struct afc_reply reply;
	int rc = ask_at_last(media, &request, err);

	return rc < 0 ? rc : take(media, AFC_STATUS, path, &reply, err);
}

/* --- the lock ------------------------------------------------------------ */

static struct afc_request lock_request(uint64_t handle, enum afc_lock how)
{
	return (struct afc_request){
		.op = AFC_LOCK,
		.args = { handle, how },
		.arg_count = 2,
	};
}

static int open_lock_file(struct media *media, struct mb_err *err)
{
	int rc = ask_open(media, SYNC_LOCK, AFC_READ_WRITE, err);

	if (rc == 0)
		rc = take_opened(media, SYNC_LOCK, &media->lock, err);
	media->has_lock_file = rc == 0;
	return rc;
}

int media_lock(struct media *media, struct mb_err *err)
{
	struct afc_request request;
	int rc = media->has_lock_file ? 0 : open_lock_file(media, err);

	if (rc < 0)
		return rc;
	request = lock_request(media->lock, AFC_LOCK_EXCLUSIVE);
	rc = exchange(media, &request, SYNC_LOCK, err);
	media->locked = rc == 0;
	return rc;
}

void media_unlock(struct media *media)
{
	const struct afc_request unlock = lock_request(media->lock, AFC_UNLOCK);
	const struct afc_request close_it = close_request(media->lock);
	struct afc_reply reply;

	if (media->locked)
		ask_at_last(media, &unlock, NULL);
	if (media->has_lock_file)
		ask_at_last(media, &close_it, NULL);
	if (media->locked)
		take(media, AFC_STATUS, SYNC_LOCK, &reply, NULL);
	if (media->has_lock_file)
		take(media, AFC_STATUS, SYNC_LOCK, &reply, NULL);
	media->has_lock_file = media->locked = false;
}
