/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long it takes to decode the file records of a Manifest.db in clear:
 * with mbfile_decode, and with libplist. Both decode the same, which is looked
 * at first. Prints the seconds of each, and how many records there are.
 */
#include <err.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libplist_record.h"
#include "mbfile.h"
#include "record.h"

#define TURN 100 /* records */
#define TIMES 5

static struct blob {
	size_t at, len;
} * blobs;
static size_t count;
static struct buf all;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct view view_at(size_t i)
{
	return view_of(all.ptr + blobs[i].at, blobs[i].len);
}

static void load(const char *path)
{
	sqlite3_stmt *get;
	sqlite3 *db;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) ||
	    sqlite3_prepare_v2(db, "SELECT file FROM Files", -1, &get, NULL))
		errx(1, "%s: %s", path, sqlite3_errmsg(db));
	while (sqlite3_step(get) == SQLITE_ROW) {
		const void *ptr = sqlite3_column_blob(get, 0);
		size_t len = (size_t)sqlite3_column_bytes(get, 0);

		if (count % 1024 == 0)
			blobs = realloc(blobs, (count + 1024) * sizeof(*blobs));
		if (!blobs || buf_add(&all, ptr, len) < 0)
			err(1, "memory");
		blobs[count++] = (struct blob){ all.len - len, len };
	}
	sqlite3_finalize(get);
	sqlite3_close(db);
}

static void decode(struct mb_record *rec, size_t i)
{
	struct view blob = view_at(i);

	if (record_reset(rec, MBFILE_ROOM(blob.len)) < 0 ||
	    mbfile_decode(rec, blob) < 0)
		errx(1, "record %zu cannot be decoded", i);
}

static plist_t decode_with_libplist(struct mb_record *rec, size_t i)
{
	struct view blob = view_at(i);
	plist_t archive = libplist_record(rec, blob.ptr, blob.len);

	if (!archive)
		errx(1, "record %zu cannot be decoded with libplist", i);
	return archive;
}

static void must_agree(size_t i)
{
	struct mb_record ours = { 0 }, theirs = { 0 };
	plist_t archive = decode_with_libplist(&theirs, i);

	decode(&ours, i);
	if (ours.mode != theirs.mode || ours.size != theirs.size ||
	    ours.mtime.tv_sec != theirs.mtime.tv_sec ||
	    ours.protection_class != theirs.protection_class ||
	    ours.wrapped_key_len != theirs.wrapped_key_len ||
	    memcmp(ours.wrapped_key, theirs.wrapped_key,
		   sizeof(ours.wrapped_key)))
		errx(1, "record %zu is not what libplist makes of it", i);
	plist_free(archive);
	mb_record_release(&ours);
}

static double time_ours(struct mb_record *rec, size_t from, size_t to)
{
	double begin = now();

	for (size_t i = from; i < to; i++)
		decode(rec, i);
	return now() - begin;
}

static double time_libplist(size_t from, size_t to)
{
	double begin = now();

	for (size_t i = from; i < to; i++) {
		struct mb_record rec = { 0 };

		plist_free(decode_with_libplist(&rec, i));
	}
	return now() - begin;
}

/* The least counts: what else the machine does can only add to a time. */
static void take_turns(struct mb_record *rec, size_t from, size_t to,
		       double *ours, double *libplist)
{
	double least = INFINITY, least_libplist = INFINITY;

	for (int i = 0; i < TIMES; i++) {
		least = fmin(least, time_ours(rec, from, to));
		least_libplist = fmin(least_libplist, time_libplist(from, to));
	}
	*ours += least;
	*libplist += least_libplist;
}

int main(int argc, char **argv)
{
	double ours = 0, libplist = 0;
	struct mb_record rec = { 0 };

	if (argc != 2)
		errx(2, "usage: decode MANIFEST.DB");
	load(argv[1]);
	for (size_t i = 0; i < count; i++)
		must_agree(i);
	for (size_t from = 0, to; from < count; from = to) {
		to = from + TURN < count ? from + TURN : count;
		take_turns(&rec, from, to, &ours, &libplist);
	}
	printf("%.9f %.9f %zu\n", ours, libplist, count);
	mb_record_release(&rec);
	free(blobs);
	buf_release(&all);
	return 0;
}
