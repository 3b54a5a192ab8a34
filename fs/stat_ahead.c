/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stat_ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brief_lock.h"
#include "thread.h"

/* A node's place is its number modulo this. */
#define PLACES 2048

/* So many entries ahead of the walker: from the first to the last. */
#define WINDOW_MIN 32
#define WINDOW_MAX 1024

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
	unsigned turn; /* another one after each change by the walker */
};

struct stat_ahead {
	struct mb_tree *tree;
	enum mb_view view;
	pthread_t looker, loader;
	pthread_mutex_t lock;
	pthread_cond_t work, entered;
	bool ending, waiting;
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

/* The next node to look at; 0 if there is none, or enough has been done. */
static uint32_t next_node(struct stat_ahead *sa)
{
	while (sa->held < sa->window) {
		uint32_t dir, first, count;

		if (sa->now.next < sa->now.end)
			return sa->now.next++;
		if (!sa->depth)
			return 0;
		dir = sa->stack[--sa->depth];
		if (mb_tree_children(sa->tree, dir, &first, &count, NULL) < 0)
			continue;
		sa->now = (struct task){ dir, first, first + count,
					 sa->now.turn };
		push_subfolders(sa, first, count);
	}
	return 0;
}

static void keep(struct stat_ahead *sa, uint32_t node, const struct mb_stat *st)
{
	unsigned place = node % PLACES;

	sa->held += !sa->nodes[place];
	sa->nodes[place] = node;
	sa->stats[place] = *st;
}

static void *look(void *arg)
{
	struct stat_ahead *sa = arg;

	pthread_mutex_lock(&sa->lock);
	while (!sa->ending) {
		uint32_t node = next_node(sa);
		unsigned turn = sa->now.turn;
		struct mb_stat st;
		int rc;

		if (!node) {
			sa->waiting = true;
			pthread_cond_wait(&sa->work, &sa->lock);
			sa->waiting = false;
			continue;
		}
		pthread_mutex_unlock(&sa->lock);
		rc = mb_tree_stat(sa->tree, node, &st, NULL);
		pthread_mutex_lock(&sa->lock);
		/* unless the walker has passed by, or gone elsewhere */
		if (rc == 0 && turn == sa->now.turn)
			keep(sa, node, &st);
	}
	pthread_mutex_unlock(&sa->lock);
	return NULL;
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
	while (!sa->ending) {
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

static void end(struct stat_ahead *sa)
{
	pthread_mutex_lock(&sa->lock);
	sa->ending = true;
	pthread_cond_signal(&sa->work);
	pthread_cond_signal(&sa->entered);
	pthread_mutex_unlock(&sa->lock);
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
	if (thread_start(&sa->looker, look, sa))
		goto fail;
	if (thread_start(&sa->loader, load, sa)) {
		end(sa);
		pthread_join(sa->looker, NULL);
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
	end(sa);
	pthread_join(sa->looker, NULL);
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
	sa->now = (struct task){ .turn = sa->now.turn + 1 };
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
				 end, sa->now.turn + 1 };
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
	} else if (dir != sa->now.dir) {
		if (!pop_to(sa, dir))
			forget_all(sa);
		leap(sa, dir, from, end);
		push_subfolders(sa, first, count);
	}
	if (!at && sa->view == MB_VIEW_DOMAINS &&
	    mb_tree_get_parent(sa->tree, dir) == MB_ROOT)
		note_domain(sa, dir);
	if (sa->waiting && sa->held < sa->window / 2)
		pthread_cond_signal(&sa->work);
	pthread_mutex_unlock(&sa->lock);
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
	} else if (node + 1 >= sa->now.next && node < sa->now.end) {
		leap(sa, sa->now.dir, node, sa->now.end);
	}
	pthread_mutex_unlock(&sa->lock);
	return found;
}
