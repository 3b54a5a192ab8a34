/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that a device sends. Most are small, and come by the hundred: these
 * are gathered, and made by two threads when the device waits for its answer
 * anyway. What is larger is written as it comes, by one thread while the other
 * receives.
 *
 * A file that cannot be written is read to its end all the same, so that the
 * next message is found where it begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "session_inside.h"
#include "wire.h"

/* A file up to this is gathered, until there are so many, or so much. */
#define SMALL_LEN (64 << 10)
#define GATHER_COUNT 256
#define GATHER_LEN (2 << 20)

/* A large file is written in pieces of this. */
#define CHUNK_LEN (512 << 10)

/* A big file is given to the disk in pieces of this, while the rest comes. */
#define WRITE_OUT_LEN (8 << 20)

/* A small file, complete or not yet; its name and data are in the bytes. */
struct small {
	size_t name_at, name_len;
	size_t data_at, data_len;
	bool replaced;
	int rc;
	struct mb_err *why; /* NULL if it went well */
};

/* A large file, which belongs to the second thread while it is busy. */
struct writing {
	bool busy;
	int fd;
	int rc;
	int64_t off, written_out;
	const uint8_t *ptr;
	size_t len;
};

struct incoming {
	struct session *s;
	const struct host_dir *dir;
	const struct upload *upload;
	int rc; /* the first failure of this upload */

	/* the current file */
	enum { DROPPED, GATHERED, WRITTEN } mode;
	struct writing writing; /* WRITTEN */
	uint8_t *chunks[2];	/* WRITTEN: one fills, one is written */
	unsigned filling;
	size_t filled;

	/* what is gathered; the current one is the last */
	struct small small[GATHER_COUNT];
	size_t small_count;
	struct buf bytes;
};

static void note_failed(struct incoming *in, int rc, const struct mb_err *why)
{
	session_note_failure(in->s, why);
	if (in->rc == 0)
		in->rc = rc;
}

static int cannot_write(struct host_name name, int rc, struct mb_err *why)
{
	return mb_err_set(why, rc, "cannot write %.*s: %s", (int)name.len,
			  name.ptr, strerror(-rc));
}

/* --- small files ---------------------------------------------------------- */

static struct host_name small_name(const struct incoming *in,
				   const struct small *f)
{
	return (struct host_name){ (const char *)in->bytes.ptr + f->name_at,
				   f->name_len };
}

static int make_small(const struct incoming *in, struct small *f,
		      struct mb_err *why)
{
	struct host_name name = small_name(in, f);
	int fd = host_dir_create(in->dir, name, &f->replaced, why);
	int rc;

	if (fd < 0)
		return fd;
	rc = write_full(fd, in->bytes.ptr + f->data_at, f->data_len);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc < 0 ? cannot_write(name, rc, why) : 0;
}

/* In either thread. */
static void make_one(void *arg, size_t i)
{
	struct incoming *in = arg;
	struct small *f = &in->small[i];
	struct mb_err why;

	f->rc = make_small(in, f, &why);
	if (f->rc < 0 && (f->why = malloc(sizeof(why))))
		*f->why = why;
}

static void settle_small(struct incoming *in, struct small *f)
{
	static const struct mb_err no_memory = { -ENOMEM, "out of memory" };

	if (f->rc == 0)
		session_count_payload(in->s, in->dir, small_name(in, f),
				      f->replaced);
	else
		note_failed(in, f->rc, f->why ? f->why : &no_memory);
	free(f->why);
}

/*
 * Make all that is gathered: what a device sends in one go is quickly there,
 * the files take time, and it waits for an answer. No file is being received.
 */
static void make_gathered(struct incoming *in)
{
	crew_each(in->s->crew, in->small_count, CREW_SMALL_STEPS, make_one, in);
	for (size_t i = 0; i < in->small_count; i++)
		settle_small(in, &in->small[i]);
	in->small_count = 0;
	in->bytes.len = 0;
}

/* Of two files of one name the last one stays. */
static bool is_gathered(const struct incoming *in, struct host_name name)
{
	for (size_t i = 0; i < in->small_count; i++) {
		struct host_name other = small_name(in, &in->small[i]);

		if (other.len == name.len &&
		    !memcmp(other.ptr, name.ptr, name.len))
			return true;
	}
	return false;
}

/* One path can be written in several ways: these are not compared. */
static bool is_plain(struct host_name name)
{
	return !memmem(name.ptr, name.len, "//", 2) &&
	       !memmem(name.ptr, name.len, "/.", 2);
}

static int begin_small(struct incoming *in, struct host_name name)
{
	struct small *f = &in->small[in->small_count];

	*f = (struct small){ .name_at = in->bytes.len, .name_len = name.len };
	if (buf_add(&in->bytes, name.ptr, name.len) < 0)
		return -ENOMEM;
	f->data_at = in->bytes.len;
	in->small_count++;
	return 0;
}

/* The current file is no small one after all. */
static void forget_small(struct incoming *in)
{
	in->bytes.len = in->small[--in->small_count].name_at;
}

/* --- one file, from its name to its end ----------------------------------- */

static struct host_name current_name(const struct incoming *in)
{
	return (struct host_name){ in->upload->host_path,
				   in->upload->host_path_len };
}

/* In the second thread. */
static void write_chunk(void *arg, size_t i)
{
	struct writing *w = arg;

	(void)i;
	w->rc = write_full(w->fd, w->ptr, w->len);
	w->off += (int64_t)w->len;
	if (w->rc < 0 || w->off - w->written_out < WRITE_OUT_LEN)
		return;
	/* only sets it going: success is known when all is synced */
	sync_file_range(w->fd, w->written_out, w->off - w->written_out,
			SYNC_FILE_RANGE_WRITE);
	w->written_out = w->off;
}

/* Waits for it; 0 or what it failed with. */
static int finish_chunk(struct incoming *in)
{
	if (in->writing.busy)
		crew_finish(in->s->crew);
	in->writing.busy = false;
	return in->writing.rc;
}

/* From here on the file's data is dropped. */
static void drop_file(struct incoming *in, int rc, const struct mb_err *why)
{
	note_failed(in, rc, why);
	if (in->mode == WRITTEN) {
		finish_chunk(in);
		close(in->writing.fd);
	}
	if (in->mode == GATHERED)
		forget_small(in);
	in->mode = DROPPED;
}

static void write_failed(struct incoming *in, int rc)
{
	struct mb_err why;

	cannot_write(current_name(in), rc, &why);
	drop_file(in, rc, &why);
}

static bool make_chunks(struct incoming *in)
{
	for (int i = 0; i < 2; i++)
		if (!in->chunks[i])
			in->chunks[i] = malloc(CHUNK_LEN);
	return in->chunks[0] && in->chunks[1];
}

/* The current file is written as it comes. */
static void open_file(struct incoming *in)
{
	struct mb_err why;
	bool replaced;
	int fd = host_dir_create(in->dir, current_name(in), &replaced, &why);

	if (fd < 0) {
		drop_file(in, fd, &why);
		return;
	}
	session_count_payload(in->s, in->dir, current_name(in), replaced);
	in->mode = WRITTEN;
	in->writing = (struct writing){ .fd = fd };
	in->filled = 0;
	if (!make_chunks(in))
		write_failed(in, -ENOMEM);
}

static int begin_file(struct incoming *in, struct mb_err *err)
{
	struct host_name name = current_name(in);
	struct mb_err why;
	int rc;

	in->mode = DROPPED;
	if (!in->dir) {
		mb_err_set(&why, -EPERM, "the device sent a file unasked");
		drop_file(in, -EPERM, &why);
		return 0;
	}
	rc = host_dir_check(in->dir, name, err);
	if (rc < 0)
		return rc;
	if (!is_plain(name) || is_gathered(in, name))
		make_gathered(in);
	if (!is_plain(name)) {
		open_file(in);
		return 0;
	}
	rc = begin_small(in, name);
	if (rc < 0)
		write_failed(in, rc);
	else
		in->mode = GATHERED;
	return 0;
}

/* What is filled is written, when what was before it has been. */
static void hand_over(struct incoming *in)
{
	int rc = finish_chunk(in);

	if (rc < 0) {
		write_failed(in, rc);
		return;
	}
	in->writing.ptr = in->chunks[in->filling];
	in->writing.len = in->filled;
	in->writing.busy = true;
	crew_start(in->s->crew, write_chunk, &in->writing);
	in->filling ^= 1;
	in->filled = 0;
}

static void write_through(struct incoming *in, const uint8_t *ptr, size_t len)
{
	while (len && in->mode == WRITTEN) {
		size_t n = CHUNK_LEN - in->filled;

		if (n > len)
			n = len;
		memcpy(in->chunks[in->filling] + in->filled, ptr, n);
		in->filled += n;
		ptr += n;
		len -= n;
		if (in->filled == CHUNK_LEN)
			hand_over(in);
	}
}

/* Up to its last byte, and closed. */
static void end_written(struct incoming *in)
{
	int rc;

	hand_over(in);
	if (in->mode != WRITTEN)
		return;
	rc = finish_chunk(in);
	if (rc < 0) {
		write_failed(in, rc);
		return;
	}
	in->mode = DROPPED;
	if (close(in->writing.fd) < 0)
		write_failed(in, -errno);
}

/* A gathered file has grown too large: what there is of it is written. */
static void grow_up(struct incoming *in)
{
	struct small f = in->small[in->small_count - 1];

	forget_small(in); /* its bytes stay until others are gathered */
	in->mode = DROPPED;
	open_file(in);
	if (in->mode == WRITTEN)
		write_through(in, in->bytes.ptr + f.data_at, f.data_len);
}

static void gather(struct incoming *in, struct view data)
{
	struct small *f = &in->small[in->small_count - 1];

	if (buf_add(&in->bytes, data.ptr, data.len) < 0) {
		write_failed(in, -ENOMEM);
		return;
	}
	f->data_len += data.len;
}

static void take_data(struct incoming *in)
{
	struct view data = in->upload->data;

	in->s->counts->received_bytes += data.len;
	if (in->mode == GATHERED &&
	    in->small[in->small_count - 1].data_len + data.len > SMALL_LEN)
		grow_up(in);
	if (in->mode == GATHERED)
		gather(in, data);
	else if (in->mode == WRITTEN)
		write_through(in, data.ptr, data.len);
}

static void end_file(struct incoming *in)
{
	if (in->mode == WRITTEN)
		end_written(in);
	in->mode = DROPPED;
	in->s->counts->received_files++;
	if (in->small_count == GATHER_COUNT || in->bytes.len >= GATHER_LEN)
		make_gathered(in);
}

/* The device could not read a file of its own; it knows, and goes on. */
static void device_failed(struct incoming *in)
{
	end_file(in);
	session_warn(in->s, "the device could not read %s: %s",
		     in->upload->device_path, in->upload->text);
}

/* --- the list ------------------------------------------------------------- */

/* Returns 1 at its end. */
static int take_step(struct incoming *in, int step, struct mb_err *err)
{
	switch (step) {
	case UPLOAD_FILE:
		return begin_file(in, err);
	case UPLOAD_DATA:
		take_data(in);
		return 0;
	case UPLOAD_DONE:
		end_file(in);
		return 0;
	case UPLOAD_FAILED:
		device_failed(in);
		return 0;
	case UPLOAD_END:
		make_gathered(in);
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
			rc = session_after_recv(in->s,
						stream_fill(stream, err));
		else
			rc = take_step(in, step, err);
	}
	if (in->mode == WRITTEN) {
		finish_chunk(in);
		close(in->writing.fd);
	}
	return rc < 0 ? rc : 0;
}

static void incoming_free(struct incoming *in)
{
	if (in) {
		buf_release(&in->bytes);
		free(in->chunks[0]);
		free(in->chunks[1]);
	}
	free(in);
}
MB_DEFINE_AUTO(struct incoming, incoming_free)

int session_upload(struct session *s, const struct host_dir *dir,
		   plist_t message, struct mb_err *err)
{
	mb_auto(incoming_free) struct incoming *in = calloc(1, sizeof(*in));
	mb_auto(free) struct upload *u = malloc(sizeof(*u));
	int rc;

	if (!in || !u)
		return mb_err_set(err, -ENOMEM, "out of memory");
	in->s = s;
	in->dir = dir;
	in->upload = u;
	session_note_progress(s, message, 2);
	rc = receive_files(in, u, err);
	return rc < 0 ? rc : session_answer(s, in->rc, err);
}
