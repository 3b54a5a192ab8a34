/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "open_ahead.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "brief_lock.h"
#include "clock.h"
#include "data.h"
#include "ops.h"
#include "pace.h"

/* Files ahead of the reader, and where each takes long. */
#define SLOTS_FAST 4
#define SLOTS PACE_MAX

/* A small file from memory takes a fifth of that, if the machine is not busy. */
#define SLOW_NS 400000

/* Longer than who reads small files one after the other takes for one. */
#define ENOUGH_NS 100000

/* If so many took longer, the next one does too. */
#define MISSES_MAX 8

/* So many files of a folder one after the other, and it goes on. */
#define RUN_MIN 2

/* Between two files there may be a folder or what nobody wants. */
#define NEAR 4

struct slot {
	uint32_t node; /* 0: free */
	enum { BUSY, OPENED, FAILED, TAKEN } state;
	struct mb_reader *reader;
	struct mb_stat st;
	size_t len;
	bool has_content;
	bool offered; /* to the kernel, which may not have wanted it */
	char *bytes;  /* OPEN_AHEAD_CONTENT, allocated when first used */
};

struct open_ahead {
	struct mount *mount;
	struct mb_tree *tree;
	fuse_ino_t base; /* of the tree's inodes */
	bool contents;
	struct pace openers;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	atomic_uint calls; /* for work; rises with the lock held */
	unsigned misses;   /* none came before ENOUGH_NS, one after the other */
	uint32_t last;	   /* file that was opened */
	unsigned run;
	struct slot slots[SLOTS];
};

static struct slot *slot_of(struct open_ahead *oa, uint32_t node)
{
	for (struct slot *s = oa->slots; s < oa->slots + SLOTS; s++)
		if (s->node == node)
			return s;
	return NULL;
}

static bool is_next(const struct open_ahead *oa, uint32_t node)
{
	return node > oa->last && node - oa->last <= NEAR;
}

static unsigned reach(const struct open_ahead *oa)
{
	return oa->openers.wanted > 1 ? SLOTS : SLOTS_FAST;
}

/* Has the reader gone elsewhere? */
static bool is_stale(const struct open_ahead *oa, const struct slot *s)
{
	return s->state == OPENED &&
	       (s->node <= oa->last || s->node - oa->last > SLOTS);
}

static void empty_slot(struct slot *s)
{
	mb_reader_free(s->reader);
	s->reader = NULL;
	s->node = 0;
}

/* A slot for one of the files that come next; NULL if there is no more to do. */
static struct slot *take_file(struct open_ahead *oa)
{
	uint32_t parent, first, count, node, end;
	struct slot *s;

	if (oa->run < RUN_MIN)
		return NULL;
	parent = mb_tree_get_parent(oa->tree, oa->last);
	if (mb_tree_children(oa->tree, parent, &first, &count, NULL) < 0)
		return NULL;
	end = first + count;
	if (end - oa->last > reach(oa))
		end = oa->last + 1 + reach(oa);
	for (node = oa->last + 1; node < end; node++)
		if (mb_tree_get_type(oa->tree, node) == MB_FILE &&
		    !slot_of(oa, node))
			break;
	if (node >= end)
		return NULL;
	for (s = oa->slots; s < oa->slots + SLOTS; s++)
		if (!s->node || s->state == FAILED || is_stale(oa, s)) {
			empty_slot(s);
			s->node = node;
			s->state = BUSY;
			return s;
		}
	return NULL;
}

/* A slot whose content the kernel may have, the one that is needed first. */
static struct slot *take_offer(struct open_ahead *oa)
{
	struct slot *best = NULL;

	if (oa->run < RUN_MIN)
		return NULL;
	for (struct slot *s = oa->slots; s < oa->slots + SLOTS; s++)
		if (s->node && s->state == OPENED && s->has_content &&
		    !s->offered && !is_stale(oa, s) &&
		    (!best || s->node < best->node))
			best = s;
	if (best)
		best->state = BUSY;
	return best;
}

static bool read_content(struct open_ahead *oa, struct slot *s)
{
	int64_t size = mb_reader_get_size(s->reader);
	bool fatal;

	/* the kernel has it already, or had it */
	if (!oa->contents || size <= 0 || size > OPEN_AHEAD_CONTENT ||
	    mb_tree_is_opened(oa->tree, s->node) ||
	    mb_reader_get_damage(s->reader, &fatal))
		return false;
	if (!s->bytes)
		s->bytes = data_pages(OPEN_AHEAD_CONTENT);
	s->len = (size_t)size;
	return s->bytes &&
	       mb_reader_pread(s->reader, s->bytes, s->len, 0) == size;
}

/* Returns 0, or why it cannot be opened. */
static int open_file(struct open_ahead *oa, struct slot *s)
{
	int rc = mb_tree_open_file(oa->tree, s->node, &s->reader, NULL);

	if (rc == 0)
		rc = mb_tree_stat_open(oa->tree, s->node, s->reader, &s->st,
				       NULL);
	s->has_content = rc == 0 && read_content(oa, s);
	s->offered = false;
	return rc;
}

static void offer(struct open_ahead *oa, struct slot *s)
{
	s->offered = true;
	if (data_store(oa->mount, oa->base | s->node, s->bytes, s->len))
		mb_tree_first_open(oa->tree, s->node);
}

/* One step, if there is one to be made. With the lock held, but for its time. */
static bool work_on(struct open_ahead *oa)
{
	struct slot *file = take_file(oa);
	struct slot *s = file ? file : take_offer(oa);
	long long start_ns;
	int rc = 0;

	if (!s)
		return false;
	start_ns = monotonic_ns();
	pthread_mutex_unlock(&oa->lock);
	if (file)
		rc = open_file(oa, s);
	else
		offer(oa, s);
	pthread_mutex_lock(&oa->lock);
	s->state = rc < 0 ? FAILED : OPENED;
	if (file)
		pace_note(&oa->openers, start_ns, 1);
	pthread_cond_broadcast(&oa->done);
	return true;
}

/* With the lock held, as the two below. */
static void call(struct open_ahead *oa)
{
	oa->calls++;
	pthread_cond_signal(&oa->work);
}

/*
 * While nothing has to be waited for, the reader comes back before a thread has
 * fallen asleep and been woken; and a processor that is idle meanwhile would
 * draw the reader, or who answers it, away from the other's.
 */
static void stay_awake(struct open_ahead *oa, unsigned calls,
		       long long start_ns)
{
	pthread_mutex_unlock(&oa->lock);
	while (oa->calls == calls && monotonic_ns() - start_ns < ENOUGH_NS)
		sched_yield();
	pthread_mutex_lock(&oa->lock);
}

static void wait_for_call(struct open_ahead *oa)
{
	long long start_ns = monotonic_ns();
	unsigned calls = oa->calls;

	if (oa->mount->stays_awake && oa->openers.wanted == 1 &&
	    oa->misses < MISSES_MAX)
		stay_awake(oa, calls, start_ns);
	while (oa->calls == calls)
		pthread_cond_wait(&oa->work, &oa->lock);
	if (monotonic_ns() - start_ns < ENOUGH_NS)
		oa->misses = 0;
	else if (oa->misses < MISSES_MAX)
		oa->misses++;
}

static void run(void *arg, unsigned number)
{
	struct open_ahead *oa = arg;

	pthread_mutex_lock(&oa->lock);
	while (!oa->openers.ended)
		if (!pace_rest(&oa->openers, number, &oa->work) && !work_on(oa))
			wait_for_call(oa);
	pthread_mutex_unlock(&oa->lock);
}

struct open_ahead *open_ahead_new(struct mount *m, const struct volume *v,
				  bool contents)
{
	struct open_ahead *oa = calloc(1, sizeof(*oa));
	int rc;

	if (!oa)
		return NULL;
	oa->mount = m;
	oa->tree = v->tree;
	oa->base = volume_ino(v, 0);
	oa->contents = contents;
	brief_lock_init(&oa->lock);
	pthread_cond_init(&oa->work, NULL);
	pthread_cond_init(&oa->done, NULL);
	rc = pace_start(&oa->openers, &oa->lock, run, oa, SLOW_NS);
	if (rc == 0)
		return oa;
	pthread_cond_destroy(&oa->done);
	pthread_cond_destroy(&oa->work);
	pthread_mutex_destroy(&oa->lock);
	free(oa);
	return NULL;
}

void open_ahead_free(struct open_ahead *oa)
{
	if (!oa)
		return;
	pthread_mutex_lock(&oa->lock);
	oa->calls++;
	pthread_cond_broadcast(&oa->work);
	pace_end(&oa->openers);
	pthread_mutex_unlock(&oa->lock);
	pace_join(&oa->openers);
	for (struct slot *s = oa->slots; s < oa->slots + SLOTS; s++) {
		empty_slot(s);
		free(s->bytes);
	}
	pthread_cond_destroy(&oa->done);
	pthread_cond_destroy(&oa->work);
	pthread_mutex_destroy(&oa->lock);
	free(oa);
}

bool open_ahead_take(struct open_ahead *oa, uint32_t node, struct opened *out)
{
	struct slot *s;
	bool found;

	if (!oa)
		return false;
	pthread_mutex_lock(&oa->lock);
	oa->run = is_next(oa, node) ? oa->run + 1 : 0;
	oa->last = node;
	s = slot_of(oa, node);
	/* else open_ahead_done does it, when there is a slot to be had */
	if (!s && oa->run >= RUN_MIN)
		call(oa);
	/* who would have to wait gets on with another one */
	while (s && s->node == node && s->state == BUSY)
		if (!work_on(oa))
			pthread_cond_wait(&oa->done, &oa->lock);
	found = s && s->node == node && s->state == OPENED;
	if (found) {
		s->state = TAKEN;
		*out = (struct opened){
			.reader = s->reader,
			.content = s->has_content ? s->bytes : NULL,
			.len = s->len,
		};
		s->reader = NULL;
	}
	pthread_mutex_unlock(&oa->lock);
	return found;
}

void open_ahead_done(struct open_ahead *oa, uint32_t node)
{
	struct slot *s;

	pthread_mutex_lock(&oa->lock);
	s = slot_of(oa, node);
	s->node = 0;
	if (oa->run >= RUN_MIN)
		call(oa);
	pthread_mutex_unlock(&oa->lock);
}

bool open_ahead_stat(struct open_ahead *oa, uint32_t node, struct mb_stat *st)
{
	const struct slot *s;
	bool found;

	if (!oa)
		return false;
	pthread_mutex_lock(&oa->lock);
	s = slot_of(oa, node);
	found = s && s->state == OPENED;
	if (found)
		*st = s->st;
	pthread_mutex_unlock(&oa->lock);
	return found;
}
