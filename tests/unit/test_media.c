/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The media folder against a device that is made here: it reads requests from
 * what is sent, and answers from a table of files.
 */
#include "media.h"

#include <errno.h>

#include "tap.h"
#include "watch.h"

#define HEAD_LEN 40
#define LOCK_FILE "/com.apple.itunes.lock_sync"
#define LIMIT (1u << 20)

/* --- a device ------------------------------------------------------------ */

struct file {
	const char *path;
	struct buf content;
	size_t at; /* of the handle, which is the file's number */
	int open;
};

struct phone {
	struct link link;
	struct buf in, out; /* requests; answers */
	size_t at;	    /* of the answers, what was received */
	size_t step;	    /* bytes a read of the link, 0: as many as fit */
	size_t piece;	    /* most bytes of an answer, 0: as asked for */
	struct file files[4];
	char log[600]; /* operations, as digits; "." for a wait */

	int refuse_op; /* with @code */
	uint64_t code;
	int break_op; /* answered by... */
	const char *broken_by;
	size_t broken_len;
	int end_op; /* answered by the end of the link: end_rc */
	int end_rc;
	bool ended, locked, too_small, closed;
};

static uint64_t get(const uint8_t *p)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | p[i];
	return value;
}

static void put(struct buf *b, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		buf_add_u8(b, (uint8_t)(value >> 8 * i));
}

static void answer(struct phone *p, uint64_t number, int op, const void *ptr,
		   size_t len)
{
	buf_add(&p->out, "CFA6LPAA", 8);
	put(&p->out, HEAD_LEN + len);
	put(&p->out, HEAD_LEN + len);
	put(&p->out, number);
	put(&p->out, (uint64_t)op);
	buf_add(&p->out, ptr, len);
}

static void answer_number(struct phone *p, uint64_t number, int op,
			  uint64_t value)
{
	struct buf b = { 0 };

	put(&b, value);
	answer(p, number, op, b.ptr, b.len);
	buf_release(&b);
}

static struct file *find(struct phone *p, const char *path)
{
	for (size_t i = 0; i < 4; i++)
		if (p->files[i].path && !strcmp(p->files[i].path, path))
			return &p->files[i];
	return NULL;
}

static struct file *add_file(struct phone *p, const char *path, const void *ptr,
			     size_t len)
{
	struct file *f = p->files;

	while (f->path)
		f++;
	f->path = strdup(path);
	buf_add(&f->content, ptr, len);
	return f;
}

static void open_file(struct phone *p, uint64_t number, const uint8_t *body)
{
	uint64_t mode = get(body);
	struct file *f = find(p, (const char *)body + 8);

	if (!f && mode == 1) {
		answer_number(p, number, 0x01, 8);
		return;
	}
	if (!f)
		f = add_file(p, (const char *)body + 8, "", 0);
	if (mode == 4)
		f->content.len = 0;
	f->at = 0;
	f->open++;
	answer_number(p, number, 0x0e, (uint64_t)(f - p->files) + 100);
}

static void read_file(struct phone *p, uint64_t number, struct file *f,
		      uint64_t size)
{
	size_t left = f->content.len - f->at;

	if (p->piece && size > p->piece)
		size = p->piece;
	if (size > left)
		size = left;
	/* NULL stands for no bytes, and must not be added to */
	answer(p, number, 0x02, size ? f->content.ptr + f->at : NULL,
	       (size_t)size);
	f->at += (size_t)size;
}

static void do_lock(struct phone *p, uint64_t number, uint64_t how)
{
	CHECK(how == (p->locked ? 12 : 6));
	p->locked = !p->locked;
	answer_number(p, number, 0x01, 0);
}

static void do_request(struct phone *p, uint64_t number, int op,
		       const uint8_t *body, size_t len)
{
	struct file *f = NULL;

	if (op == 0x0f || op == 0x10 || op == 0x14 || op == 0x1b) {
		CHECK(len >= 8 && get(body) >= 100 && get(body) < 104);
		f = &p->files[get(body) - 100];
		CHECK(f->open);
	}
	if (op == 0x0d) {
		open_file(p, number, body);
	} else if (op == 0x0f) {
		read_file(p, number, f, get(body + 8));
	} else if (op == 0x1b) {
		do_lock(p, number, get(body + 8));
	} else {
		if (op == 0x10)
			buf_add(&f->content, body + 8, len - 8);
		if (op == 0x14)
			f->open--;
		answer_number(p, number, 0x01, 0);
	}
}

static void take_request(struct phone *p, const uint8_t *head, size_t len)
{
	int op = head[32];
	uint64_t number = get(head + 24);

	snprintf(p->log + strlen(p->log), sizeof(p->log) - strlen(p->log),
		 "%02x", op);
	if (op == p->end_op)
		p->ended = true;
	if (p->ended)
		return;
	if (op == p->break_op)
		buf_add(&p->out, p->broken_by, p->broken_len);
	else if (op == p->refuse_op)
		answer_number(p, number, 0x01, p->code);
	else
		do_request(p, number, op, head + HEAD_LEN, len - HEAD_LEN);
}

static int phone_send(struct link *link, const void *ptr, size_t len)
{
	struct phone *p = (struct phone *)link;
	size_t at = 0;

	buf_add(&p->in, ptr, len);
	while (p->in.len - at >= HEAD_LEN) {
		const uint8_t *head = p->in.ptr + at;
		uint64_t whole = get(head + 8);

		if (!CHECK(whole <= p->in.len - at))
			break; /* requests are sent whole */
		take_request(p, head, (size_t)whole);
		at += (size_t)whole;
	}
	p->in.len = 0;
	return 0;
}

static ssize_t phone_recv(struct link *link, void *out, size_t len)
{
	struct phone *p = (struct phone *)link;
	size_t n = p->out.len - p->at, end = strlen(p->log);

	p->too_small |= len < LINK_RECV_MIN;
	if (watch_cancelled())
		return -ECANCELED;
	if (end && p->log[end - 1] != '.' && end + 1 < sizeof(p->log))
		strcpy(p->log + end, ".");
	if (!n) {
		CHECK(p->ended || p->break_op);
		return p->end_rc;
	}
	if (n > len)
		n = len;
	if (p->step && n > p->step)
		n = p->step;
	memcpy(out, p->out.ptr + p->at, n);
	p->at += n;
	return (ssize_t)n;
}

static void phone_close(struct link *link)
{
	struct phone *p = (struct phone *)link;

	p->closed = true;
}

static struct media *begin(struct phone *p)
{
	struct media *media = NULL;

	*p = (struct phone){
		.link = { phone_recv, phone_send, phone_close },
	};
	CHECK_INT(media_new(&media, &p->link, NULL), 0);
	return media;
}

/* Says goodbye, and looks at what is left on the device. */
static void end(struct phone *p, struct media *media)
{
	media_free(media);
	CHECK(p->closed);
	CHECK(!p->too_small);
	for (size_t i = 0; i < 4; i++) {
		if (!p->ended && !p->break_op)
			CHECK_INT(p->files[i].open, 0);
		free((char *)p->files[i].path);
		buf_release(&p->files[i].content);
	}
	if (!p->ended && !p->break_op)
		CHECK(!p->locked);
	buf_release(&p->in);
	buf_release(&p->out);
}

/* --- reading ------------------------------------------------------------- */

CASE(a_file_is_read_whole)
{
	struct buf content = { 0 };
	struct phone p;
	struct media *media = begin(&p);

	add_file(&p, "/a", "hello", 5);
	CHECK_INT(media_read(media, "/a", LIMIT, &content, NULL), 0);
	CHECK_BYTES(content.ptr, content.len, "hello", 5);
	CHECK_TEXT(p.log, "0d.0f.0f.14.");
	buf_release(&content);
	end(&p, media);
}

CASE(a_file_that_is_not_there_is_empty)
{
	struct buf content = { 0 };
	struct phone p;
	struct media *media = begin(&p);

	buf_add(&content, "old", 3);
	CHECK_INT(media_read(media, "/a", LIMIT, &content, NULL), 0);
	CHECK_INT(content.len, 0);
	CHECK_TEXT(p.log, "0d.");
	buf_release(&content);
	end(&p, media);
}

CASE(several_files_cost_the_round_trips_of_one)
{
	struct media_file files[] = { { .path = "/none" },
				      { .path = "/a" },
				      { .path = "/b" },
				      { .path = "/none" },
				      { .path = "/empty" } };
	struct phone p;
	struct media *media = begin(&p);

	add_file(&p, "/b", "bb", 2);
	add_file(&p, "/a", "a", 1);
	add_file(&p, "/empty", "", 0);
	CHECK_INT(media_read_files(media, files, 5, LIMIT, NULL), 0);
	CHECK_TEXT(p.log, "0d0d0d0d0d.0f0f0f.0f0f.141414.");
	CHECK_BYTES(files[1].content.ptr, files[1].content.len, "a", 1);
	CHECK_BYTES(files[2].content.ptr, files[2].content.len, "bb", 2);
	for (size_t i = 0; i < 5; i++) {
		CHECK_INT(files[i].err.code, 0);
		if (i != 1 && i != 2)
			CHECK_INT(files[i].content.len, 0);
		buf_release(&files[i].content);
	}
	end(&p, media);
}

CASE(long_files_arrive_however_they_are_cut)
{
	static const size_t cuts[][2] = {
		{ 0, 0 }, { 1, 30000 }, { 39, 0 }, { 16384, 0 }, { 0, 7001 },
	};
	size_t len = 300000;
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct media_file files[] = { { .path = "/a" },
					      { .path = "/b" } };
		struct phone p;
		struct media *media = begin(&p);

		p.step = cuts[i][0];
		p.piece = cuts[i][1];
		add_file(&p, "/a", bytes, len);
		add_file(&p, "/b", bytes + 1, len - 1);
		CHECK_INT(media_read_files(media, files, 2, LIMIT, NULL), 0);
		CHECK_BYTES(files[0].content.ptr, files[0].content.len, bytes,
			    len);
		CHECK_BYTES(files[1].content.ptr, files[1].content.len,
			    bytes + 1, len - 1);
		buf_release(&files[0].content);
		buf_release(&files[1].content);
		end(&p, media);
	}
	free(bytes);
}

CASE(a_file_at_the_limit_is_read_and_one_beyond_it_is_not)
{
	struct media_file files[] = { { .path = "/at" }, { .path = "/over" } };
	struct phone p;
	struct media *media = begin(&p);

	add_file(&p, "/at", "0123456789", 10);
	add_file(&p, "/over", "0123456789a", 11);
	CHECK_INT(media_read_files(media, files, 2, 10, NULL), 0);
	CHECK_INT(files[0].content.len, 10);
	CHECK_INT(files[0].err.code, 0);
	CHECK_INT(files[1].err.code, -EFBIG);
	CHECK_INT(files[1].content.len, 0);
	buf_release(&files[0].content);
	end(&p, media);
}

CASE(a_file_that_is_refused_leaves_the_others)
{
	static const struct {
		int op;
		uint64_t code;
		int want;
	} noes[] = {
		{ 0x0d, 9, -EISDIR },	  { 0x0d, 10, -EACCES },
		{ 0x0f, 9, -EISDIR },	  { 0x0f, 20, -EIO },
		{ 0x0f, 1u << 31, -EIO },
	};

	for (size_t i = 0; i < sizeof(noes) / sizeof(*noes); i++) {
		struct mb_err err = { 0 };
		struct buf content = { 0 };
		struct phone p;
		struct media *media = begin(&p);

		add_file(&p, "/a", "hello", 5);
		p.refuse_op = noes[i].op;
		p.code = noes[i].code;
		CHECK_INT(media_read(media, "/a", LIMIT, &content, &err),
			  noes[i].want);
		CHECK_INT(err.code, noes[i].want);
		CHECK(strstr(err.text, "/a on the device"));
		CHECK_INT(content.len, 0);
		p.refuse_op = 0;
		CHECK_INT(media_read(media, "/a", LIMIT, &content, NULL), 0);
		CHECK_INT(content.len, 5);
		buf_release(&content);
		end(&p, media);
	}
}

/* --- writing ------------------------------------------------------------- */

CASE(a_file_is_replaced)
{
	struct phone p;
	struct media *media = begin(&p);

	add_file(&p, "/a", "longer than before", 18);
	CHECK_INT(media_write(media, "/a", "new", 3, NULL), 0);
	CHECK_BYTES(p.files[0].content.ptr, p.files[0].content.len, "new", 3);
	CHECK_TEXT(p.log, "0d.10.14.");
	end(&p, media);
}

CASE(a_long_file_is_written_in_pieces)
{
	size_t len = 200000;
	char *bytes = malloc(len);
	struct phone p;
	struct media *media = begin(&p);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i / 3);
	CHECK_INT(media_write(media, "/new", bytes, len, NULL), 0);
	CHECK_BYTES(p.files[0].content.ptr, p.files[0].content.len, bytes, len);
	CHECK_TEXT(p.log, "0d.10.10.10.10.14.");
	free(bytes);
	end(&p, media);
}

CASE(a_full_device_is_told_and_the_file_closed)
{
	struct mb_err err = { 0 };
	struct phone p;
	struct media *media = begin(&p);

	p.refuse_op = 0x10;
	p.code = 18;
	CHECK_INT(media_write(media, "/a", "x", 1, &err), -ENOSPC);
	CHECK_INT(err.code, -ENOSPC);
	CHECK_TEXT(p.log, "0d.10.14.");
	end(&p, media);
}

CASE(folders_are_made_and_things_removed)
{
	struct phone p;
	struct media *media = begin(&p);

	CHECK_INT(media_make_dir(media, "/iTunesRestore", NULL), 0);
	CHECK_INT(media_remove(media, "/iTunesRestore", NULL), 0);
	p.refuse_op = 0x08;
	p.code = 8;
	CHECK_INT(media_remove(media, "/iTunesRestore", NULL), -ENOENT);
	p.code = 33;
	CHECK_INT(media_remove(media, "/iTunesRestore", NULL), -ENOTEMPTY);
	CHECK_TEXT(p.log, "09.08.08.08.");
	end(&p, media);
}

/* --- the lock ------------------------------------------------------------ */

CASE(the_lock_is_taken_and_given_back)
{
	struct phone p;
	struct media *media = begin(&p);

	CHECK_INT(media_lock(media, NULL), 0);
	CHECK(p.locked);
	CHECK_TEXT(p.files[0].path, LOCK_FILE);
	media_unlock(media);
	CHECK(!p.locked);
	media_unlock(media);
	CHECK_TEXT(p.log, "0d.1b.1b14.");
	end(&p, media);
}

CASE(freeing_gives_the_lock_back)
{
	struct phone p;
	struct media *media = begin(&p);

	CHECK_INT(media_lock(media, NULL), 0);
	end(&p, media);
	CHECK_TEXT(p.log, "0d.1b.1b14.");
}

CASE(a_lock_that_another_has_is_busy_and_can_be_tried_again)
{
	struct phone p;
	struct media *media = begin(&p);

	p.refuse_op = 0x1b;
	p.code = 19;
	CHECK_INT(media_lock(media, NULL), -EBUSY);
	CHECK_INT(media_lock(media, NULL), -EBUSY);
	p.refuse_op = 0;
	CHECK_INT(media_lock(media, NULL), 0);
	CHECK_TEXT(p.log, "0d.1b.1b.1b.");
	end(&p, media);
}

CASE(a_lock_that_was_not_had_is_not_given_back)
{
	struct phone p;
	struct media *media = begin(&p);

	p.refuse_op = 0x1b;
	p.code = 19;
	CHECK_INT(media_lock(media, NULL), -EBUSY);
	end(&p, media);
	CHECK_TEXT(p.log, "0d.1b.14.");
}

/* --- a connection that fails --------------------------------------------- */

#define MAGIC "CFA6LPAA"
#define U64(byte) byte "\0\0\0\0\0\0\0"

static const struct {
	const char *what, *bytes;
	size_t len;
} breaks[] = {
#define BREAK(what, bytes)                     \
	{                                      \
		what, bytes, sizeof(bytes) - 1 \
	}
	BREAK("no packet", "HTTP/1.1 400"),
	BREAK("too long",
	      MAGIC "\0\0\0\1\0\0\0\0" U64("\x28") U64("\1") U64("\2")),
	BREAK("another number",
	      MAGIC U64("\x30") U64("\x30") U64("\2") U64("\1") U64("\0")),
	BREAK("an unknown operation",
	      MAGIC U64("\x30") U64("\x30") U64("\1") U64("\x13") U64("\0")),
	BREAK("a status without a code",
	      MAGIC U64("\x28") U64("\x28") U64("\1") U64("\1")),
	BREAK("data for an open",
	      MAGIC U64("\x28") U64("\x28") U64("\1") U64("\2")),
	BREAK("success without a handle",
	      MAGIC U64("\x30") U64("\x30") U64("\1") U64("\1") U64("\0")),
};

CASE(a_device_that_breaks_the_protocol_is_not_spoken_with_again)
{
	for (size_t i = 0; i < sizeof(breaks) / sizeof(*breaks); i++) {
		struct buf content = { 0 };
		struct mb_err first = { 0 }, err = { 0 };
		struct phone p;
		struct media *media = begin(&p);
		int rc;

		p.break_op = 0x0d;
		p.broken_by = breaks[i].bytes;
		p.broken_len = breaks[i].len;
		rc = media_read(media, "/a", LIMIT, &content, &first);
		CHECK_AT(rc == -EPROTO && first.code == rc, "%s: %d",
			 breaks[i].what, rc);
		CHECK_INT(media_lock(media, &err), -EPROTO);
		CHECK_TEXT(err.text, first.text);
		CHECK_INT(media_remove(media, "/a", NULL), -EPROTO);
		end(&p, media);
		CHECK_TEXT(p.log, "0d.");
	}
}

CASE(more_data_than_was_asked_for_breaks_the_protocol)
{
	static const char twelve[] = MAGIC U64("\x34") U64("\x34") U64("\2")
		U64("\2") "0123456789ab";
	struct buf content = { 0 };
	struct phone p;
	struct media *media = begin(&p);

	add_file(&p, "/a", "", 0);
	p.break_op = 0x0f;
	p.broken_by = twelve;
	p.broken_len = sizeof(twelve) - 1;
	CHECK_INT(media_read(media, "/a", 10, &content, NULL), -EPROTO);
	CHECK_INT(content.len, 0);
	end(&p, media);
}

CASE(a_device_that_goes_is_told_whenever_it_does)
{
	static const int ops[] = { 0x0d, 0x0f, 0x14 };
	static const int ends[][2] = { { 0, -ENODEV },
				       { -EIO, -ENODEV },
				       { -ETIMEDOUT, -ETIMEDOUT } };

	for (size_t i = 0; i < 9; i++) {
		struct media_file files[] = { { .path = "/a" },
					      { .path = "/b" } };
		struct mb_err err = { 0 };
		struct phone p;
		struct media *media = begin(&p);

		add_file(&p, "/a", "a", 1);
		add_file(&p, "/b", "b", 1);
		p.end_op = ops[i / 3];
		p.end_rc = ends[i % 3][0];
		CHECK_INT(media_read_files(media, files, 2, LIMIT, &err),
			  ends[i % 3][1]);
		CHECK_INT(err.code, ends[i % 3][1]);
		buf_release(&files[0].content);
		buf_release(&files[1].content);
		CHECK_INT(media_make_dir(media, "/x", NULL), ends[i % 3][1]);
		end(&p, media);
	}
}

/* Must be the last one: it cannot be undone. */
CASE(after_ctrl_c_nothing_is_begun_but_the_lock_given_back)
{
	struct buf content = { 0 };
	struct phone p;
	struct media *media = begin(&p);

	CHECK_INT(media_lock(media, NULL), 0);
	watch_cancel();
	CHECK_INT(media_read(media, "/a", LIMIT, &content, NULL), -ECANCELED);
	CHECK_INT(media_write(media, "/a", "x", 1, NULL), -ECANCELED);
	CHECK_INT(media_make_dir(media, "/a", NULL), -ECANCELED);
	CHECK_TEXT(p.log, "0d.1b.");
	CHECK_INT(media_remove(media, "/a", NULL), -ECANCELED);
	end(&p, media);
	CHECK_TEXT(p.log, "0d.1b.081b14");
}

int main(void)
{
	RUN(a_file_is_read_whole);
	RUN(a_file_that_is_not_there_is_empty);
	RUN(several_files_cost_the_round_trips_of_one);
	RUN(long_files_arrive_however_they_are_cut);
	RUN(a_file_at_the_limit_is_read_and_one_beyond_it_is_not);
	RUN(a_file_that_is_refused_leaves_the_others);
	RUN(a_file_is_replaced);
	RUN(a_long_file_is_written_in_pieces);
	RUN(a_full_device_is_told_and_the_file_closed);
	RUN(folders_are_made_and_things_removed);
	RUN(the_lock_is_taken_and_given_back);
	RUN(freeing_gives_the_lock_back);
	RUN(a_lock_that_another_has_is_busy_and_can_be_tried_again);
	RUN(a_lock_that_was_not_had_is_not_given_back);
	RUN(a_device_that_breaks_the_protocol_is_not_spoken_with_again);
	RUN(more_data_than_was_asked_for_breaks_the_protocol);
	RUN(a_device_that_goes_is_told_whenever_it_does);
	RUN(after_ctrl_c_nothing_is_begun_but_the_lock_given_back);
	return tap_end();
}
