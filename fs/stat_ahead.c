/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stat_ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brief_lock.h"
#include "clock.h"
#include "pace.h"
#include "thread.h"

/* So many entries ahead of the walker: from the first to the last. */
#define WINDOW_MIN 32
#define WINDOW_MAX 2048

/* So many are looked at together, if the folder has as many. */
#define BATCH 16
_Static_assert(BATCH <= MB_STATS_MAX, "the tree looks at them at once");

/* As many are kept. */
#define BATCHES 256
_Static_assert(BATCHES > WINDOW_MAX / BATCH + PACE_MAX,
	       "whole ones are as far ahead as can be");

/* An entry from memory takes a tenth of that, if the machine is not busy. */
#define SLOW_NS 100000

/* Where both are at work in one folder, the thread keeps so far ahead. */
#define LEAP 16

/*
 * So many domains one after the other, and it goes on; the more there were, the
 * more of them are loaded ahead. Of small ones the walker needs many in no time.
 */
#define DOMAINS_MIN 2
#define DOMAINS_AHEAD 4

#define STACK 256
#define SUBFOLDERS_SEEN 4096 /* of the children of one folder */

/* Children that are still to be looked at. */
struct task {
	uint32_t dir;
	uint32_t next, end;
};

/* Some of them, that are looked at together. */
struct batch {
	uint32_t first, count;
	uint64_t before; /* so many entries were in those before it */
	enum { KNOWN, FAILED, LOOKING } state;
};

struct stat_ahead {
	struct mb_tree *tree;
	enum mb_view view;
	struct pace lookers;
	unsigned waiting; /* of the lookers, for work */
	pthread_t loader;
	pthread_mutex_t lock;
	pthread_cond_t work, entered;
	unsigned window;
	struct task now;
	/*
	 * In the order in which the walker will come by; a batch's place is its
	 * number modulo BATCHES. Up to @begun they have been begun, the walker
	 * has come to @at, and none before @oldest is of use.
	 */
	struct batch batches[BATCHES];
	struct mb_stat stats[BATCHES][BATCH];
	uint64_t oldest, at, begun;
	/* entries: in all of them, and up to the walker */
	uint64_t entries, passed;
	uint32_t listed; /* the folder that was asked for last */
	/* the last domain that was entered, and how many in a row before it */
	uint32_t domain;
	unsigned domains;
	uint32_t domains_end;
	uint32_t loaded; /* the last one ahead that is on the stack, or was */
	/* folders that come next, the last one first */
	uint32_t stack[STACK];
	unsigned depth;
};

static struct batch *batch_at(struct stat_ahead *sa, uint64_t number)
{
	return &sa->batches[number % BATCHES];
}

static bool has(const struct batch *b, uint32_t node)
{
	return node >= b->first && node - b->first < b->count;
}

/* The batch of an entry, mostly where the walker is; false if there is none. */
static bool find_batch(struct stat_ahead *sa, uint32_t node, uint64_t *number)
{
	for (*number = sa->at; *number < sa->begun; ++*number)
		if (has(batch_at(sa, *number), node))
			return true;
	for (*number = sa->oldest; *number < sa->at; ++*number)
		if (has(batch_at(sa, *number), node))
			return true;
	return false;
}

/* The walker is behind all that has been begun. */
static void pass_all(struct stat_ahead *sa)
{
	sa->at = sa->begun;
	sa->passed = sa->entries;
}

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

/*
 * The place of the next batch is free: not much is ahead of the walker, and
 * nobody is at the one that was there.
 */
static bool has_place(struct stat_ahead *sa)
{
	return sa->entries - sa->passed < window_of(sa) &&
	       sa->begun - sa->at < BATCHES &&
	       batch_at(sa, sa->begun)->state != LOOKING;
}

/* The next ones to look at; NULL if there are none, or enough has been done. */
static struct batch *next_batch(struct stat_ahead *sa)
{
	while (has_place(sa)) {
		struct batch *b = batch_at(sa, sa->begun);
		uint32_t count = sa->now.end - sa->now.next;

		if (!count) {
			if (!next_folder(sa))
				return NULL;
			continue;
		}
		b->first = sa->now.next;
		b->count = count < BATCH ? count : BATCH;
		b->before = sa->entries;
		b->state = LOOKING;
		sa->now.next += b->count;
		sa->entries += b->count;
		sa->begun++;
		if (sa->begun - sa->oldest > BATCHES)
			sa->oldest++;
		return b;
	}
	return NULL;
}

static void look_at(struct stat_ahead *sa, struct batch *b)
{
	struct mb_stat *stats = sa->stats[b - sa->batches];
	long long start_ns = monotonic_ns();
	int rc;

	pthread_mutex_unlock(&sa->lock);
	rc = mb_tree_stat_some(sa->tree, b->first, b->count, stats, NULL);
	pthread_mutex_lock(&sa->lock);
	b->state = rc < 0 ? FAILED : KNOWN;
	pace_note(&sa->lookers, start_ns, b->count);
}

static void look(void *arg, unsigned number)
{
	struct stat_ahead *sa = arg;
	struct batch *b;

	pthread_mutex_lock(&sa->lock);
	while (!sa->lookers.ended) {
		if (pace_rest(&sa->lookers, number, &sa->work))
			continue;
		b = next_batch(sa);
		if (b) {
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

/* The next domain to load; 0 if that is far enough ahead. */
static uint32_t next_to_load(const struct stat_ahead *sa)
{
	uint32_t dir = (sa->loaded > sa->domain ? sa->loaded : sa->domain) + 1;
	unsigned ahead;

	if (sa->domains < DOMAINS_MIN || dir >= sa->domains_end)
		return 0;
	ahead = sa->domains - DOMAINS_MIN + 1;
	if (ahead > DOMAINS_AHEAD)
		ahead = DOMAINS_AHEAD;
	return dir - sa->domain <= ahead ? dir : 0;
}

static void *load(void *arg)
{
	struct stat_ahead *sa = arg;
	uint32_t dir, first, count;
	int rc;

	pthread_mutex_lock(&sa->lock);
	while (!sa->lookers.ended) {
		dir = next_to_load(sa);
		if (!dir) {
			pthread_cond_wait(&sa->entered, &sa->lock);
			continue;
		}
		sa->loaded = dir;
		pthread_mutex_unlock(&sa->lock);
		rc = mb_tree_children(sa->tree, dir, &first, &count, NULL);
		pthread_mutex_lock(&sa->lock);
		/* unless it has been entered by now, or all was forgotten */
		if (rc == 0 && dir == sa->loaded && dir > sa->domain)
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
	sa->depth = 0;
	sa->window = WINDOW_MIN;
	sa->now = (struct task){ 0 };
	pass_all(sa);
	sa->oldest = sa->at;
	sa->loaded = 0;
}

/*
 * Who has entered some domains one after the other will enter the next one,
 * and what takes longest is to load it.
 */
static void note_domain(struct stat_ahead *sa, uint32_t dir)
{
	uint32_t first, count;

	if (dir == sa->domain ||
	    mb_tree_children(sa->tree, MB_ROOT, &first, &count, NULL) < 0)
		return;
	sa->domains = dir == sa->domain + 1 ? sa->domains + 1 : 0;
	sa->domain = dir;
	sa->domains_end = first + count;
	if (next_to_load(sa))
		pthread_cond_signal(&sa->entered);
}

/* The walker is at a node: what comes next is left to it. */
static void leap(struct stat_ahead *sa, uint32_t dir, uint32_t node,
		 uint32_t end)
{
	sa->now = (struct task){ dir, end - node > LEAP ? node + LEAP : end,
				 end };
	pass_all(sa);
}

static void call_if_low(struct stat_ahead *sa)
{
	if (sa->waiting && sa->entries - sa->passed < window_of(sa) / 2)
		pthread_cond_signal(&sa->work);
}

/* The walker asks for the entries of a folder, from @from up to @end. */
static void arrive(struct stat_ahead *sa, uint32_t dir, uint32_t first,
		   uint32_t from, uint32_t end)
{
	uint64_t number;

	if (find_batch(sa, from, &number)) {
		if (batch_at(sa, number)->state == KNOWN)
			sa->window *= sa->window < WINDOW_MAX ? 2 : 1;
	} else if (dir != sa->now.dir && dir != sa->listed) {
		if (!pop_to(sa, dir))
			forget_all(sa);
		leap(sa, dir, from, end);
		push_subfolders(sa, first, end - first);
	}
	sa->listed = dir;
}

void stat_ahead_listing(struct stat_ahead *sa, uint32_t dir, uint32_t first,
			uint32_t count, uint32_t at)
{
	/* of domains nobody knows yet which will be entered */
	if (!sa || (dir == MB_ROOT && sa->view == MB_VIEW_DOMAINS))
		return;
	pthread_mutex_lock(&sa->lock);
	if (at < count)
		arrive(sa, dir, first, first + at, first + count);
	if (!at && sa->view == MB_VIEW_DOMAINS &&
	    mb_tree_get_parent(sa->tree, dir) == MB_ROOT)
		note_domain(sa, dir);
	call_if_low(sa);
	pthread_mutex_unlock(&sa->lock);
}

/* The walker is at the batch, and has all up to the entry. */
static void note_passed(struct stat_ahead *sa, uint64_t number, uint32_t node)
{
	const struct batch *b = batch_at(sa, number);

	if (number < sa->at)
		return;
	sa->at = number;
	sa->passed = b->before + (node - b->first) + 1;
	if (sa->lookers.wanted > 1)
		call_if_low(sa);
}

bool stat_ahead_take(struct stat_ahead *sa, uint32_t node, struct mb_stat *st)
{
	uint64_t number;
	bool known = false;

	if (!sa)
		return false;
	pthread_mutex_lock(&sa->lock);
	if (find_batch(sa, node, &number)) {
		const struct batch *b = batch_at(sa, number);

		known = b->state == KNOWN;
		if (known)
			*st = sa->stats[number % BATCHES][node - b->first];
		note_passed(sa, number, node);
	} else if (node >= sa->now.next && node < sa->now.end) {
		leap(sa, sa->now.dir, node, sa->now.end);
	}
	pthread_mutex_unlock(&sa->lock);
	return known;
}
