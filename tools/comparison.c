/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A list is compared by both threads, an entry at a time: the manifest of one
 * backup is asked while the other thread asks that of the other one. Contents
 * of large files come after the rest, one file at a time, by pieces that both
 * threads take in turn.
 */
#include "comparison.h"
#include "language.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

MB_DEFINE_AUTO(struct mb_reader, mb_reader_free)

/* What is read of each of two files at a time, and what makes one large. */
#define PIECE ((size_t)256 << 10)
#define LARGE ((int64_t)(4 * PIECE))
/* How many pieces of a large one are begun before it is looked whether they
 * are still wanted. */
#define PIECES_AT_ONCE ((size_t)256)

const char *difference_name(unsigned number)
{
	static const char *const names[DIFFERENCES] = {
		N_("type"),   N_("content"),	N_("size"),
		N_("mode"),   N_("owner"),	N_("times"),
		N_("target"), N_("attributes"), N_("protection"),
	};

	return names[number];
}

int comparer_open(struct comparer *c)
{
	for (int i = 0; i < 2; i++)
		if (mb_backup_get_info(c->backup[i])->format == MB_FORMAT_MBDB)
			c->whole_seconds = true;
	for (int i = 0; i < 2; i++) {
		atomic_flag_clear(&c->rooms[i].taken);
		c->rooms[i].bytes = malloc(2 * PIECE);
		if (!c->rooms[i].bytes)
			return -ENOMEM;
	}
	return 0;
}

void comparer_release(struct comparer *c)
{
	for (int i = 0; i < 2; i++)
		free(c->rooms[i].bytes);
}

void comparison_release(struct comparison *c)
{
	free(c->why[0]);
	free(c->why[1]);
	c->why[0] = c->why[1] = NULL;
}

/* A thread's own room for two pieces: there are no more threads than rooms. */
static int take_room(struct comparer *c)
{
	if (!atomic_flag_test_and_set(&c->rooms[0].taken))
		return 0;
	atomic_flag_test_and_set(&c->rooms[1].taken);
	return 1;
}

static void set_damage(struct comparison *one, int side, int rc,
		       const char *why)
{
	one->rc[side] = rc;
	free(one->why[side]);
	one->why[side] = strdup(why);
}

static bool is_cancelled(const struct comparer *c)
{
	return c->cancelled && c->cancelled();
}

/* --- contents ------------------------------------------------------------ */

/*
 * Open an entry of type MB_FILE, and note its true size and what is damaged.
 * Returns true if all of it can be read.
 */
static bool open_content(struct comparer *c, struct comparison *one, int side,
			 const struct mb_record *rec, struct mb_reader **reader)
{
	struct mb_err err;
	const char *damage;
	bool fatal;
	int rc = mb_reader_open(reader, c->backup[side], rec, &err);

	if (rc < 0) {
		set_damage(one, side, rc, err.text);
		return false;
	}
	one->size[side] = mb_reader_get_size(*reader);
	damage = mb_reader_get_damage(*reader, &fatal);
	if (damage)
		set_damage(one, side, -EBADMSG, damage);
	return !fatal;
}

/* The contents of two files of one size. */
struct contents {
	struct comparer *c;
	struct mb_reader *reader[2];
	int64_t size;
	int64_t begin; /* of the pieces that are being compared */
	atomic_bool differ;
	atomic_int rc[2]; /* of reading them */
};

/* All of @len bytes, which ought to be there. */
static int read_piece(struct mb_reader *reader, char *out, size_t len,
		      int64_t off)
{
	while (len) {
		ssize_t n = mb_reader_pread(reader, out, len, off);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		out += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_decided(const struct contents *both)
{
	return both->differ || both->rc[0] < 0 || both->rc[1] < 0 ||
	       is_cancelled(both->c);
}

static void compare_piece(void *arg, size_t i)
{
	struct contents *both = arg;
	struct comparer *c = both->c;
	int64_t off = both->begin + (int64_t)(i * PIECE);
	size_t len = PIECE;
	char *bytes;
	int room, rc[2];

	if (is_decided(both))
		return;
	if (both->size - off < (int64_t)PIECE)
		len = (size_t)(both->size - off);
	room = take_room(c);
	bytes = c->rooms[room].bytes;
	for (int side = 0; side < 2; side++) {
		rc[side] = read_piece(both->reader[side], bytes + side * PIECE,
				      len, off);
		if (rc[side] < 0)
			both->rc[side] = rc[side];
	}
	if (rc[0] == 0 && rc[1] == 0 && memcmp(bytes, bytes + PIECE, len) != 0)
		both->differ = true;
	atomic_flag_clear(&c->rooms[room].taken);
	c->bytes += len;
}

static size_t count_pieces(int64_t len)
{
	return (size_t)((len + (int64_t)PIECE - 1) / (int64_t)PIECE);
}

static void compare_small(struct contents *both)
{
	for (size_t i = 0; i < count_pieces(both->size); i++)
		compare_piece(both, i);
}

/* A stretch at a time: what has been decided is then left soon. */
static void compare_large(struct contents *both)
{
	const int64_t stretch = (int64_t)(PIECES_AT_ONCE * PIECE);

	while (both->begin < both->size && !is_decided(both)) {
		int64_t left = both->size - both->begin;

		crew_each(both->c->crew,
			  count_pieces(left < stretch ? left : stretch), 2,
			  compare_piece, both);
		both->begin += left < stretch ? left : stretch;
	}
}

static void note_reading(const struct contents *both, struct comparison *one)
{
	for (int side = 0; side < 2; side++) {
		struct mb_err why;

		if (both->rc[side] == 0)
			continue;
		mb_err_set(&why, both->rc[side], "payload cannot be read: %s",
			   strerror(-both->rc[side]));
		set_damage(one, side, both->rc[side], why.text);
	}
	if (both->differ)
		one->what |= DIFFERS_CONTENT;
}

/* @alone: no other entry is being compared meanwhile */
static void compare_contents(struct comparer *c, struct comparison *one,
			     const struct mb_record rec[2], bool alone)
{
	mb_auto(mb_reader_free) struct mb_reader *a = NULL;
	mb_auto(mb_reader_free) struct mb_reader *b = NULL;
	struct contents both = { .c = c };
	bool whole = open_content(c, one, 0, &rec[0], &a);

	whole &= open_content(c, one, 1, &rec[1], &b);
	if (!whole)
		return;
	if (one->size[0] != one->size[1]) {
		one->what |= DIFFERS_CONTENT | DIFFERS_SIZE;
		return;
	}
	one->large = !alone && one->size[0] > LARGE;
	if (one->large)
		return;
	both.size = one->size[0];
	both.reader[0] = a;
	both.reader[1] = b;
	if (alone)
		compare_large(&both);
	else
		compare_small(&both);
	note_reading(&both, one);
	c->files++;
}

/* --- entries ------------------------------------------------------------- */

static void fetch(struct comparer *c, struct comparison *one, int side,
		  struct mb_record *rec)
{
	uint32_t node = one->node[side];
	struct mb_err err;
	int rc;

	if (!node)
		return;
	one->type[side] = mb_tree_get_type(c->tree[side], node);
	rc = mb_tree_record(c->tree[side], node, rec, &err);
	if (rc < 0)
		set_damage(one, side, rc, err.text);
	else if (rec->damage)
		set_damage(one, side, -EBADMSG, rec->damage);
	if (rc >= 0 && one->type[side] == MB_FILE && rec->size > 0)
		one->size[side] = rec->size;
	else if (rc >= 0 && one->type[side] == MB_LINK)
		one->size[side] = (int64_t)rec->target.len;
}

static void find_size(struct comparer *c, struct comparison *one, int side,
		      const struct mb_record *rec)
{
	mb_auto(mb_reader_free) struct mb_reader *reader = NULL;

	if (one->node[side] && one->type[side] == MB_FILE && !one->rc[side])
		open_content(c, one, side, rec, &reader);
}

static bool needs_contents(const struct comparer *c,
			   const struct mb_record rec[2])
{
	return rec[0].type == MB_FILE &&
	       (c->all_contents ||
		!records_promise(&rec[0], &rec[1], c->whole_seconds));
}

static void compare(struct comparer *c, struct comparison *one,
		    struct mb_record rec[2], bool alone, int first)
{
	bool comparable;

	fetch(c, one, first, &rec[first]);
	fetch(c, one, !first, &rec[!first]);
	comparable = one->node[0] && one->node[1] && !one->rc[0] && !one->rc[1];
	/* no counterpart, or none of this type */
	if (one->type[0] != one->type[1]) {
		find_size(c, one, 0, &rec[0]);
		find_size(c, one, 1, &rec[1]);
	}
	if (!comparable)
		return;
	one->what = records_differ(&rec[0], &rec[1], c->whole_seconds);
	if (c->ignore_times)
		one->what &= ~(unsigned)DIFFERS_TIMES;
	if (one->type[0] == one->type[1] && needs_contents(c, rec))
		compare_contents(c, one, rec, alone);
}

struct run {
	struct comparer *c;
	struct comparison *list;
};

static void compare_step(void *arg, size_t i)
{
	const struct run *run = arg;
	struct mb_record rec[2] = { 0 };

	if (is_cancelled(run->c))
		return;
	/* the two threads begin with different backups */
	compare(run->c, &run->list[i], rec, false, (int)(i & 1));
	mb_record_release(&rec[0]);
	mb_record_release(&rec[1]);
}

static void compare_alone(struct comparer *c, struct comparison *one)
{
	struct mb_record rec[2] = { 0 };

	compare(c, one, rec, true, 0);
	mb_record_release(&rec[0]);
	mb_record_release(&rec[1]);
}

int comparer_run(struct comparer *c, struct comparison *list, size_t count,
		 struct mb_err *err)
{
	struct run run = { c, list };

	crew_each(c->crew, count, CREW_SMALL_STEPS, compare_step, &run);
	for (size_t i = 0; i < count && !is_cancelled(c); i++)
		if (list[i].large)
			compare_alone(c, &list[i]);
	for (size_t i = 0; i < count; i++)
		for (int side = 0; side < 2; side++)
			if (list[i].rc[side] == -ENOMEM)
				return mb_err_set(err, -ENOMEM,
						  "out of memory");
	return is_cancelled(c) ? mb_err_set(err, -ECANCELED, "cancelled") : 0;
}
