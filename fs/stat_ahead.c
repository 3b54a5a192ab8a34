/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stat_ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brief_lock.h"
#include "clock.h"
#include "pace.h"
#include "thread.h"

/* A node's place is its number modulo this. */
#define PLACES 2048

/* So many entries ahead of the walker: from the first to the last. */
#define WINDOW_MIN 32
#define WINDOW_MAX 1024

/* So many are looked at together. */
#define BATCH 16
_Static_assert(BATCH <= MB_STATS_MAX, "the tree looks at them at once");

/* An entry from memory takes a tenth of that, if the machine is not busy. */
#define SLOW_NS 100000

/* Where both are at work in one folder, the thread keeps so far ahead. */
#define LEAP 16

/* So many domains one after the other, and it goes on. */
#define DOMAINS_MIN 2

#define STACK 256
#define SUBFOLDERS_SEEN 4096 /* of the children of one folder */

/* Children that are still to be looked at. */
struct task {
	uint32_t dir;
	uint32_t next, end;
};

/* Those that are being looked at; of whom the walker needs none up to @passed. */
struct batch {
	uint32_t first, count;
	uint32_t passed;
	struct mb_stat stats[BATCH];
};

struct stat_ahead {
	struct mb_tree *tree;
	enum mb_view view;
	struct pace lookers;
	struct batch batches[PACE_MAX]; /* one each */
	unsigned waiting;		/* of the lookers, for work */
	pthread_t loader;
	pthread_mutex_t lock;
	pthread_cond_t work, entered;
	unsigned window, held;
	struct task now;
	/* the last domain that was entered, and how many in a row before it */
	uint32_t domain;
	unsigned domains;
	uint32_t to_load; /* a domain, or 0 */
	/* folders that come next, the last one first */
	uint32_t stack[STACK];
	unsigned depth;
	uint32_t nodes[PLACES]; /* 0: the place is free */
	struct mb_stat stats[PLACES];
};

/* The folders among the children, so that the first is on top. */
static void push_subfolders(struct stat_ahead *sa, uint32_t first,
			    uint32_t count)
{
	uint32_t found[STACK];
	unsigned n = 0;

	if (count > SUBFOLDERS_SEEN)
		count = SUBFOLDERS_SEEN;
	for (uint32_t i = 0; i < count && n < STACK - sa->depth; i++)
		if (mb_tree_get_type(sa->tree, first + i) == MB_DIR)
			found[n++] = first + i;
	while (n)
		sa->stack[sa->depth++] = found[--n];
}

/* The next folder from the stack; false if there is none. */
static bool next_folder(struct stat_ahead *sa)
{
	uint32_t dir, first, count;

	do {
		if (!sa->depth)
			return false;
		dir = sa->stack[--sa->depth];
	} while (mb_tree_children(sa->tree, dir, &first, &count, NULL) < 0);
	sa->now = (struct task){ dir, first, first + count };
	push_subfolders(sa, first, count);
	return true;
}

/* Each looker has a batch to go on with. */
static unsigned window_of(const struct stat_ahead *sa)
{
	unsigned wanted = sa->lookers.wanted;
	unsigned least = wanted > 1 ? 2 * BATCH * wanted : 0;

	return sa->window > least ? sa->window : least;
}

/* The next ones to look at; false if there are none, or enough has been done. */
static bool next_batch(struct stat_ahead *sa, struct batch *b)
{
	while (sa->held < window_of(sa)) {
		b->first = sa->now.next;
		b->count = sa->now.end - sa->now.next;
		b->passed = 0;
		if (b->count > BATCH)
			b->count = BATCH;
		sa->now.next += b->count;
		if (b->count)
			return true;
		if (!next_folder(sa))
			return false;
	}
	return false;
}

static void keep_batch(struct stat_ahead *sa, const struct batch *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		uint32_t node = b->first + i;
		unsigned place = node % PLACES;

		if (node <= b->passed)
			continue;
		sa->held += !sa->nodes[place];
		sa->nodes[place] = node;
		sa->stats[place] = b->stats[i];
	}
}

static void look_at(struct stat_ahead *sa, struct batch *b)
{
	long long start_ns = monotonic_ns();
	int rc;

	pthread_mutex_unlock(&sa->lock);
	rc = mb_tree_stat_some(sa->tree, b->first, b->count, b->stats, NULL);
	pthread_mutex_lock(&sa->lock);
	if (rc == 0)
		keep_batch(sa, b);
	pace_note(&sa->lookers, start_ns, b->count);
	b->count = 0;
}

static void look(void *arg, unsigned number)
{
	struct stat_ahead *sa = arg;
	struct batch *b = &sa->batches[number];

	pthread_mutex_lock(&sa->lock);
	while (!sa->lookers.ended) {
		if (pace_rest(&sa->lookers, number, &sa->work))
			continue;
		if (next_batch(sa, b)) {
			look_at(sa, b);
			continue;
		}
		sa->waiting++;
		pthread_cond_wait(&sa->work, &sa->lock);
		sa->waiting--;
	}
	pthread_mutex_unlock(&sa->lock);
}

/* Below all that is on the stack. */
static void push_below(struct stat_ahead *sa, uint32_t dir)
{
	if (sa->depth == STACK)
		return;
	memmove(sa->stack + 1, sa->stack, sa->depth * sizeof(*sa->stack));
	sa->stack[0] = dir;
	sa->depth++;
	if (sa->waiting)
		pthread_cond_signal(&sa->work);
}

static void *load(void *arg)
{
	struct stat_ahead *sa = arg;
	uint32_t dir, first, count;
	int rc;

	pthread_mutex_lock(&sa->lock);
	while (!sa->lookers.ended) {
		dir = sa->to_load;
		if (!dir) {
			pthread_cond_wait(&sa->entered, &sa->lock);
			continue;
		}
		sa->to_load = 0;
		pthread_mutex_unlock(&sa->lock);
		rc = mb_tree_children(sa->tree, dir, &first, &count, NULL);
		pthread_mutex_lock(&sa->lock);
		/* unless it has been entered by now */
		if (rc == 0 && dir == sa->domain + 1)
			push_below(sa, dir);
	}
	pthread_mutex_unlock(&sa->lock);
	return NULL;
}

static void destroy(struct stat_ahead *sa)
{
	pthread_cond_destroy(&sa->entered);
	pthread_cond_destroy(&sa->work);
	pthread_mutex_destroy(&sa->lock);
	free(sa);
}

static void end_lookers(struct stat_ahead *sa)
{
	pthread_mutex_lock(&sa->lock);
	pthread_cond_broadcast(&sa->work);
	pthread_cond_signal(&sa->entered);
	pace_end(&sa->lookers);
	pthread_mutex_unlock(&sa->lock);
	pace_join(&sa->lookers);
}

struct stat_ahead *stat_ahead_new(struct mb_tree *tree, enum mb_view view)
{
	struct stat_ahead *sa = calloc(1, sizeof(*sa));

	if (!sa)
		return NULL;
	sa->tree = tree;
	sa->view = view;
	brief_lock_init(&sa->lock);
	pthread_cond_init(&sa->work, NULL);
	pthread_cond_init(&sa->entered, NULL);
	if (pace_start(&sa->lookers, &sa->lock, look, sa, SLOW_NS))
		goto fail;
	if (thread_start(&sa->loader, load, sa)) {
		end_lookers(sa);
		goto fail;
	}
	return sa;
fail:
	destroy(sa);
	return NULL;
}

void stat_ahead_free(struct stat_ahead *sa)
{
	if (!sa)
		return;
	end_lookers(sa);
	pthread_join(sa->loader, NULL);
	destroy(sa);
}

/* Is the folder on the stack? Then those above have been passed over. */
static bool pop_to(struct stat_ahead *sa, uint32_t dir)
{
	for (unsigned i = sa->depth; i--;)
		if (sa->stack[i] == dir) {
			sa->depth = i;
			return true;
		}
	return false;
}

static void forget_all(struct stat_ahead *sa)
{
	memset(sa->nodes, 0, sizeof(sa->nodes));
	sa->held = sa->depth = 0;
	sa->window = WINDOW_MIN;
	sa->now = (struct task){ 0 };
	for (unsigned i = 0; i < PACE_MAX; i++)
		sa->batches[i].passed = UINT32_MAX;
}

/*
 * Who has entered some domains one after the other will enter the next one,
 * and what takes longest is to load it.
 */
static void note_domain(struct stat_ahead *sa, uint32_t dir)
{
	uint32_t first, count;

	if (mb_tree_children(sa->tree, MB_ROOT, &first, &count, NULL) < 0)
		return;
	sa->domains = dir == sa->domain + 1 ? sa->domains + 1 : 0;
	sa->domain = dir;
	if (sa->domains < DOMAINS_MIN || dir + 1 >= first + count)
		return;
	sa->to_load = dir + 1;
	pthread_cond_signal(&sa->entered);
}

/* The walker is at a node: what comes next is left to it. */
static void leap(struct stat_ahead *sa, uint32_t dir, uint32_t node,
		 uint32_t end)
{
	sa->now = (struct task){ dir, end - node > LEAP ? node + LEAP : end,
				 end };
}

/* The one that an entry is being looked at with, or NULL. */
static struct batch *batch_of(struct stat_ahead *sa, uint32_t node)
{
	for (unsigned i = 0; i < PACE_MAX; i++) {
		struct batch *b = &sa->batches[i];

		if (node >= b->first && node - b->first < b->count)
			return b;
	}
	return NULL;
}

static void call_if_low(struct stat_ahead *sa)
{
	if (sa->waiting && sa->held < window_of(sa) / 2)
		pthread_cond_signal(&sa->work);
}

void stat_ahead_listing(struct stat_ahead *sa, uint32_t dir, uint32_t first,
			uint32_t count, uint32_t at)
{
	uint32_t from = first + at, end = first + count;
	bool done;

	/* of domains nobody knows yet which will be entered */
	if (!sa || !count || at >= count ||
	    (dir == MB_ROOT && sa->view == MB_VIEW_DOMAINS))
		return;
	pthread_mutex_lock(&sa->lock);
	done = sa->nodes[from % PLACES] == from;
	if (done) {
		sa->window *= sa->window < WINDOW_MAX ? 2 : 1;
	} else if (dir != sa->now.dir && !batch_of(sa, from)) {
		if (!pop_to(sa, dir))
			forget_all(sa);
		leap(sa, dir, from, end);
		push_subfolders(sa, first, count);
	}
	if (!at && sa->view == MB_VIEW_DOMAINS &&
	    mb_tree_get_parent(sa->tree, dir) == MB_ROOT)
		note_domain(sa, dir);
	call_if_low(sa);
	pthread_mutex_unlock(&sa->lock);
}

/* The walker has come to an entry that is not there yet, or never will be. */
static void pass(struct stat_ahead *sa, uint32_t node)
{
	struct batch *b = batch_of(sa, node);

	if (b)
		b->passed = node;
	else if (node >= sa->now.next && node < sa->now.end)
		leap(sa, sa->now.dir, node, sa->now.end);
}

bool stat_ahead_take(struct stat_ahead *sa, uint32_t node, struct mb_stat *st)
{
	unsigned place = node % PLACES;
	bool found;

	if (!sa)
		return false;
	pthread_mutex_lock(&sa->lock);
	found = sa->nodes[place] == node;
	if (found) {
		*st = sa->stats[place];
		sa->nodes[place] = 0;
		sa->held--;
		if (sa->lookers.wanted > 1)
			call_if_low(sa);
	} else {
		pass(sa, node);
	}
	pthread_mutex_unlock(&sa->lock);
	return found;
}
