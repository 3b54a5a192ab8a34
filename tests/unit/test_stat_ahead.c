/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stat_ahead.h"

#include <sched.h>
#include <stdatomic.h>

#include "clock.h"
#include "tap.h"

/*
 * A tree as the real one numbers its nodes, level by level: a root, its
 * folders, their subfolders, and the files in these.
 */
#define FOLDERS 40
#define SUBFOLDERS 10
#define FILES 12

#define FIRST_FOLDER (MB_ROOT + 1)
#define FIRST_SUBFOLDER (FIRST_FOLDER + FOLDERS)
#define FIRST_FILE (FIRST_SUBFOLDER + FOLDERS * SUBFOLDERS)
#define NODES_END (FIRST_FILE + FOLDERS * SUBFOLDERS * FILES)

/* A walker that has listed so many folders is known to be one. */
#define KNOWN_BY 100
/* So many entries are ahead of it then, at least. */
#define AHEAD 300

static struct example {
	struct stat_ahead *sa;
	uint32_t empty;			      /* a folder; 0: none is */
	atomic_bool entered[FIRST_SUBFOLDER]; /* ahead: these, and the root */
	atomic_uint looked[NODES_END];	      /* how often ahead */
	atomic_uint looked_total;
	/* of the walker: folders listed, entries met, those not looked at */
	unsigned folders, met, alone;
} ex;

/* ---- what is asked of the tree ---- */

enum mb_type mb_tree_get_type(const struct mb_tree *tree, uint32_t node)
{
	(void)tree;
	return node < FIRST_FILE ? MB_DIR : MB_FILE;
}

uint32_t mb_tree_get_parent(const struct mb_tree *tree, uint32_t node)
{
	(void)tree;
	if (node >= FIRST_FILE)
		return FIRST_SUBFOLDER + (node - FIRST_FILE) / FILES;
	if (node >= FIRST_SUBFOLDER)
		return FIRST_FOLDER + (node - FIRST_SUBFOLDER) / SUBFOLDERS;
	return MB_ROOT;
}

static struct span {
	uint32_t first, count;
} children_of(uint32_t dir)
{
	struct span t;

	if (dir == MB_ROOT)
		t = (struct span){ FIRST_FOLDER, FOLDERS };
	else if (dir < FIRST_SUBFOLDER)
		t = (struct span){ FIRST_SUBFOLDER +
					   (dir - FIRST_FOLDER) * SUBFOLDERS,
				   SUBFOLDERS };
	else
		t = (struct span){ FIRST_FILE + (dir - FIRST_SUBFOLDER) * FILES,
				   FILES };
	if (dir == ex.empty)
		t.count = 0;
	return t;
}

int mb_tree_children(struct mb_tree *tree, uint32_t dir, uint32_t *first,
		     uint32_t *count, struct mb_err *err)
{
	struct span t = children_of(dir);

	(void)tree;
	(void)err;
	if (dir < FIRST_SUBFOLDER)
		ex.entered[dir] = true;
	*first = t.first;
	*count = t.count;
	return 0;
}

int mb_tree_stat_some(struct mb_tree *tree, uint32_t first, unsigned count,
		      struct mb_stat st[], struct mb_err *err)
{
	(void)tree;
	(void)err;
	for (unsigned i = 0; i < count; i++) {
		st[i] = (struct mb_stat){ .size = first + i };
		ex.looked[first + i]++;
	}
	ex.looked_total += count;
	return 0;
}

/* ---- a program that walks ---- */

static bool begin(enum mb_view view)
{
	memset(&ex, 0, sizeof(ex));
	ex.sa = stat_ahead_new(NULL, view);
	return CHECK(ex.sa);
}

static void end(void)
{
	stat_ahead_free(ex.sa);
}

/* Once something has failed, nothing is waited for. */
static long long patience_end_ns(void)
{
	return monotonic_ns() + (tap.bad ? 0 : 20 * NS_PER_S);
}

/* False, and said, if it is not so for some time. */
static bool wait_until(bool (*is_so)(unsigned), unsigned arg, const char *what)
{
	long long end_ns = patience_end_ns();

	while (!is_so(arg))
		if (monotonic_ns() < end_ns)
			sched_yield();
		else
			return CHECK_AT(false, "%s %u, after %u folders", what,
					arg, ex.folders);
	return true;
}

static bool is_looked_at(uint32_t node)
{
	return ex.looked[node];
}

static bool are_looked_at(unsigned count)
{
	return ex.looked_total >= count;
}

static bool is_entered(uint32_t folder)
{
	return ex.entered[folder];
}

/* What has been looked at is known a moment later, if it has been kept. */
static bool take(uint32_t node, struct mb_stat *st)
{
	long long end_ns = patience_end_ns();

	while (!stat_ahead_take(ex.sa, node, st)) {
		if (!is_looked_at(node))
			return false;
		if (monotonic_ns() > end_ns)
			return CHECK_AT(false, "node %u is not kept", node);
		sched_yield();
	}
	return true;
}

static void list(uint32_t dir)
{
	struct span t = children_of(dir);

	stat_ahead_listing(ex.sa, dir, t.first, t.count, 0);
	ex.folders++;
	for (uint32_t i = 0; i < t.count; i++) {
		struct mb_stat st;

		ex.met++;
		if (!take(t.first + i, &st))
			ex.alone++;
		else
			CHECK_INT(st.size, t.first + i);
	}
}

/* As who is slow: what comes next has been looked at by then. */
static bool list_slowly(uint32_t dir)
{
	struct span t = children_of(dir);

	if (!wait_until(is_looked_at, t.first + t.count - 1, "node"))
		return false;
	list(dir);
	return true;
}

static bool walk_below(uint32_t folder)
{
	struct span t = children_of(folder);

	for (uint32_t i = 0; i < t.count; i++)
		if (!list_slowly(t.first + i))
			return false;
	return true;
}

static unsigned looked_at_twice(void)
{
	unsigned n = 0;

	for (uint32_t node = 0; node < NODES_END; node++)
		n += ex.looked[node] > 1;
	return n;
}

CASE(each_entry_is_looked_at_once_however_far_ahead)
{
	if (!begin(MB_VIEW_DEVICE))
		return;
	list(MB_ROOT);
	for (uint32_t i = 0; i < FOLDERS; i++) {
		unsigned ahead = ex.met - ex.alone + AHEAD;

		if (ex.folders > KNOWN_BY && ahead < NODES_END - 2 * AHEAD &&
		    !wait_until(are_looked_at, ahead, "so many"))
			break;
		if (!list_slowly(FIRST_FOLDER + i) ||
		    !walk_below(FIRST_FOLDER + i))
			break;
	}
	CHECK_INT(looked_at_twice(), 0);
	CHECK_AT(ex.alone < NODES_END / 50, "%u", ex.alone);
	end();
}

CASE(who_leaves_folders_out_is_still_followed)
{
	if (!begin(MB_VIEW_DEVICE))
		return;
	list(MB_ROOT);
	for (uint32_t i = 0; i < FOLDERS; i += 3) {
		list(FIRST_FOLDER + i);
		if (!walk_below(FIRST_FOLDER + i))
			break;
	}
	CHECK_INT(looked_at_twice(), 0);
	CHECK_AT(ex.alone < ex.met / 5, "%u of %u", ex.alone, ex.met);
	end();
}

CASE(who_goes_through_domains_has_more_and_more_loaded_ahead)
{
	if (!begin(MB_VIEW_DOMAINS))
		return;
	/* a domain as good as any other */
	ex.empty = FIRST_FOLDER + 3;
	list(MB_ROOT);
	for (uint32_t i = 0; i < 7; i++) {
		list(FIRST_FOLDER + i);
		if (FIRST_FOLDER + i != ex.empty &&
		    !walk_below(FIRST_FOLDER + i))
			break;
		if (i < 2)
			CHECK(!is_entered(FIRST_FOLDER + i + 1));
		if (i == 2) {
			wait_until(is_entered, FIRST_FOLDER + 3, "folder");
			CHECK(!is_entered(FIRST_FOLDER + 4));
		}
	}
	wait_until(is_entered, FIRST_FOLDER + 6 + 4, "folder");
	CHECK(!is_entered(FIRST_FOLDER + 6 + 5));
	end();
}

int main(void)
{
	RUN(each_entry_is_looked_at_once_however_far_ahead);
	RUN(who_leaves_folders_out_is_still_followed);
	RUN(who_goes_through_domains_has_more_and_more_loaded_ahead);
	return tap_end();
}
