/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is cut into pieces. Those that a request wants and those of the window
 * behind it are in slots of one pool. Whoever needs a piece that nobody has
 * begun reads it himself; so two cores share the work, and the thread that is
 * ahead need not be any faster than the reader.
 */
#include "ahead.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "data.h"
#include "ops.h"
#include "thread.h"

/* Small enough to stay in a core's own cache from disk to kernel. */
#define PIECE (256 << 10)
#define WINDOW 6 /* pieces */
#define STREAMS 4
#define SLOTS 24

/* A request has 1 MiB at most, which can touch one more. */
#define TOUCHED_MAX 6

/* Smaller files have been read before it would pay. */
#define FILE_MIN (1 << 20)

/* So much from front to back, in pieces that are not small, is a stream. */
#define RUN_MIN (128 << 10)
#define LEN_MIN (32 << 10)

struct slot {
	struct stream *stream; /* NULL: free */
	int64_t piece;
	enum { BEING_READ, READY, FAILED } state;
	unsigned pins; /* answers that are made from it */
	unsigned long used;
	size_t len;
	char *bytes; /* PIECE, allocated when first used */
};

struct stream {
	struct open_file *file; /* NULL: none */
	unsigned long used;
	int64_t begin, end; /* read so far without a gap */
	int64_t run;	    /* bytes */
	bool active;
};

struct ahead {
	struct mount *mount;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for the thread */
	pthread_cond_t ready; /* a slot is, or is not in use any more */
	unsigned long now;
	struct stream streams[STREAMS];
	struct slot slots[SLOTS];
	bool started, runs, ending;
	pthread_t thread;
};

struct ahead *ahead_new(struct mount *m)
{
	struct ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->mount = m;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	pthread_cond_init(&a->ready, NULL);
	return a;
}

/* ---- slots: all under the lock ---- */

static struct slot *slot_of(struct ahead *a, const struct stream *s,
			    int64_t piece)
{
	for (struct slot *slot = a->slots; slot < a->slots + SLOTS; slot++)
		if (slot->stream == s && slot->piece == piece)
			return slot;
	return NULL;
}

static bool in_use(const struct slot *slot)
{
	return slot->stream && (slot->state == BEING_READ || slot->pins);
}

/* A slot that is to be filled by the caller; NULL if all are in use. */
static struct slot *take_slot(struct ahead *a, struct stream *s, int64_t piece)
{
	struct slot *best = NULL;

	for (struct slot *slot = a->slots; slot < a->slots + SLOTS; slot++) {
		if (in_use(slot))
			continue;
		if (!best || !slot->stream ||
		    (best->stream && slot->used < best->used))
			best = slot;
		if (!slot->stream)
			break;
	}
	if (best && !best->bytes)
		best->bytes = data_pages(PIECE);
	if (!best || !best->bytes)
		return NULL;
	best->stream = s;
	best->piece = piece;
	best->state = BEING_READ;
	best->used = ++a->now;
	return best;
}

/* Gives up the lock meanwhile. */
static void fill_slot(struct ahead *a, struct slot *slot)
{
	struct open_file *f = slot->stream->file;
	int64_t off = slot->piece * PIECE;
	int64_t left = f->size - off;
	size_t len = left < PIECE ? (size_t)left : PIECE;
	ssize_t n;

	pthread_mutex_unlock(&a->lock);
	n = data_read(f, slot->bytes, len, off);
	pthread_mutex_lock(&a->lock);
	slot->state = n == (ssize_t)len ? READY : FAILED;
	slot->len = len;
	pthread_cond_broadcast(&a->ready);
}

/* ---- streams: all under the lock ---- */

static struct stream *stream_of(struct ahead *a, const struct open_file *f)
{
	for (struct stream *s = a->streams; s < a->streams + STREAMS; s++)
		if (s->file == f)
			return s;
	return NULL;
}

static bool is_busy(struct ahead *a, const struct stream *s)
{
	for (struct slot *slot = a->slots; slot < a->slots + SLOTS; slot++)
		if (slot->stream == s && in_use(slot))
			return true;
	return false;
}

/* The file, for the caller to give back. */
static struct open_file *clear_stream(struct ahead *a, struct stream *s)
{
	struct open_file *f = s->file;

	for (struct slot *slot = a->slots; slot < a->slots + SLOTS; slot++)
		if (slot->stream == s)
			slot->stream = NULL;
	*s = (struct stream){ 0 };
	return f;
}

/* A place for a new stream, NULL if all are at work. */
static struct stream *take_place(struct ahead *a, struct open_file **old)
{
	struct stream *best = NULL;

	for (struct stream *s = a->streams; s < a->streams + STREAMS; s++) {
		if (!s->file)
			return s;
		if (!is_busy(a, s) && (!best || s->used < best->used))
			best = s;
	}
	if (best)
		*old = clear_stream(a, best);
	return best;
}

/*
 * Two threads answer, and what the kernel reads ahead by itself can come in
 * another order than it was sent: at either end of what has been read it goes
 * on.
 */
static void follow(struct stream *s, size_t len, int64_t off)
{
	int64_t end = off + (int64_t)len;

	if (off <= s->end && end > s->end && off >= s->begin)
		s->run += end - s->end, s->end = end;
	else if (end == s->begin)
		s->run += (int64_t)len, s->begin = off;
	else if (off >= s->begin && end <= s->end)
		return; /* again */
	else
		*s = (struct stream){
			.file = s->file, .begin = off, .end = end, .run = len
		};
	if (len < LEN_MIN && end < s->file->size)
		s->run = 0;
	s->active = s->run >= RUN_MIN;
}

/* @old: takes a file that is to be given back */
static struct stream *track(struct ahead *a, struct open_file *f, size_t len,
			    int64_t off, struct open_file **old)
{
	struct stream *s = stream_of(a, f);

	if (!s) {
		s = take_place(a, old);
		if (!s)
			return NULL;
		s->file = f;
		s->begin = s->end = off;
		open_files_keep(&a->mount->files, f);
	}
	follow(s, len, off);
	s->used = ++a->now;
	return s;
}

/* ---- the thread ---- */

/* The next piece of the window of a stream that nobody has begun; or -1. */
static int64_t next_piece(struct ahead *a, const struct stream *s)
{
	int64_t first = s->end / PIECE;
	int64_t last = (s->file->size - 1) / PIECE;

	if (last > first + WINDOW - 1)
		last = first + WINDOW - 1;
	for (int64_t piece = first; piece <= last; piece++)
		if (!slot_of(a, s, piece))
			return piece;
	return -1;
}

static struct slot *take_work(struct ahead *a)
{
	struct stream *best = NULL;
	int64_t piece = -1;

	for (struct stream *s = a->streams; s < a->streams + STREAMS; s++) {
		int64_t next = s->file && s->active ? next_piece(a, s) : -1;

		if (next >= 0 && (!best || s->used > best->used)) {
			best = s;
			piece = next;
		}
	}
	return best ? take_slot(a, best, piece) : NULL;
}

static void *run(void *arg)
{
	struct ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->ending) {
		struct slot *slot = take_work(a);

		if (slot)
			fill_slot(a, slot);
		else
			pthread_cond_wait(&a->work, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void start(struct ahead *a)
{
	if (a->started)
		return;
	a->started = true;
	a->runs = thread_start(&a->thread, run, a) == 0;
	if (a->runs)
		way_works(&a->mount->ways, WAY_AHEAD, "");
	else
		way_fails(&a->mount->ways, WAY_AHEAD, "no thread to be had");
}

/* ---- answers ---- */

/* The pieces of a request, pinned; false if they cannot all be had. */
static bool pin_pieces(struct ahead *a, struct stream *s, int64_t first,
		       unsigned count, struct slot *pinned[TOUCHED_MAX])
{
	bool good = true;

	for (unsigned i = 0; i < count; i++)
		pinned[i] = NULL;
	/* those that are there or have been begun, before they are recycled */
	for (unsigned i = 0; i < count; i++) {
		pinned[i] = slot_of(a, s, first + i);
		if (pinned[i])
			pinned[i]->pins++;
	}
	for (unsigned i = 0; i < count && good; i++) {
		if (pinned[i])
			continue;
		pinned[i] = slot_of(a, s, first + i);
		if (pinned[i]) {
			pinned[i]->pins++;
			continue;
		}
		pinned[i] = take_slot(a, s, first + i);
		if (!pinned[i]) {
			good = false;
			break;
		}
		pinned[i]->pins++;
		fill_slot(a, pinned[i]);
	}
	for (unsigned i = 0; i < count && good; i++) {
		while (pinned[i]->state == BEING_READ)
			pthread_cond_wait(&a->ready, &a->lock);
		good = pinned[i]->state == READY;
	}
	return good;
}

/* What has been read to its end will not be needed again. */
static void unpin_pieces(struct ahead *a, struct slot *pinned[TOUCHED_MAX],
			 unsigned count, int64_t end)
{
	for (unsigned i = 0; i < count; i++) {
		struct slot *slot = pinned[i];

		if (!slot)
			continue;
		slot->pins--;
		if (!in_use(slot) &&
		    (slot->state == FAILED || (slot->piece + 1) * PIECE <= end))
			slot->stream = NULL;
	}
	pthread_cond_broadcast(&a->ready);
}

static void reply(fuse_req_t req, struct slot *pinned[TOUCHED_MAX],
		  unsigned count, size_t len, int64_t off)
{
	struct iovec iov[TOUCHED_MAX];
	size_t skip = (size_t)(off % PIECE);

	for (unsigned i = 0; i < count; i++) {
		size_t n = pinned[i]->len - skip;

		if (n > len)
			n = len;
		iov[i] = (struct iovec){ pinned[i]->bytes + skip, n };
		len -= n;
		skip = 0;
	}
	assert(!len);
	fuse_reply_iov(req, iov, (int)count);
}

static bool answer(struct ahead *a, struct stream *s, fuse_req_t req,
		   size_t len, int64_t off)
{
	struct slot *pinned[TOUCHED_MAX];
	int64_t first = off / PIECE;
	int64_t end = off + (int64_t)len;
	int64_t last = (end - 1) / PIECE;
	unsigned count = (unsigned)(last - first) + 1;
	bool good;

	pthread_cond_signal(&a->work);
	good = pin_pieces(a, s, first, count, pinned);
	if (good) {
		pthread_mutex_unlock(&a->lock);
		reply(req, pinned, count, len, off);
		pthread_mutex_lock(&a->lock);
	}
	unpin_pieces(a, pinned, count, end);
	return good;
}

bool ahead_answers(struct ahead *a, fuse_req_t req, struct open_file *f,
		   size_t len, int64_t off)
{
	struct open_file *old = NULL;
	struct stream *s;
	bool answered = false;

	if (!a || !f->ahead || f->size < FILE_MIN || off >= f->size || !len)
		return false;
	if (len > (uint64_t)(f->size - off))
		len = (size_t)(f->size - off);
	if (len > (TOUCHED_MAX - 1) * PIECE)
		return false;
	pthread_mutex_lock(&a->lock);
	s = track(a, f, len, off, &old);
	if (s && s->active)
		start(a);
	if (s && s->active && a->runs)
		answered = answer(a, s, req, len, off);
	pthread_mutex_unlock(&a->lock);
	if (old)
		open_files_done(&a->mount->files, old, NULL);
	return answered;
}

void ahead_leave(struct ahead *a, struct open_file *f)
{
	struct open_file *old = NULL;
	struct stream *s;

	if (!a || !f->ahead || f->size < FILE_MIN)
		return;
	pthread_mutex_lock(&a->lock);
	while ((s = stream_of(a, f))) {
		s->active = false;
		if (!is_busy(a, s))
			old = clear_stream(a, s);
		else
			pthread_cond_wait(&a->ready, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	if (old)
		open_files_done(&a->mount->files, old, NULL);
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
	if (a->runs)
		pthread_join(a->thread, NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		free(a->slots[i].bytes);
	pthread_cond_destroy(&a->ready);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
