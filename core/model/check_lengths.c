/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Payloads whose length is not the one that their record makes: files that
 * changed while they were backed up, damaged ones, and ones that are each
 * other's. Which is which shows when all are known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_inside.h"
#include "record.h"

struct odd_length {
	int64_t stored, expected; /* bytes; of encrypted ones, blocks */
	int64_t handle;
	bool keyed;
	enum { ODD_NOTE, ODD_UNJUDGED, ODD_DAMAGED } verdict;
	size_t other; /* index of whose payload it fits; or SIZE_MAX */
};

const char *check_place_of(const struct check *c, const struct mb_record *rec,
			   char out[64])
{
	struct payload_place place;

	if (!rec->file_id[0])
		return NULL;
	if (payload_locate(&place, &c->b->places, rec->file_id) == -ENOENT)
		snprintf(out, 64, c->b->places.flat_first ? "%s" : "%.2s/%s",
			 rec->file_id, rec->file_id);
	else
		snprintf(out, 64, "%s", place.path);
	return out;
}

static int add_odd(struct check_odd *p, const struct odd_length *odd)
{
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		void *list = reallocarray(p->list, cap, sizeof(*p->list));

		if (!list)
			return -ENOMEM;
		p->list = list;
		p->cap = cap;
	}
	p->list[p->count++] = *odd;
	return 0;
}

/* The payload by its padding, where its length tells nothing. */
static int judge_by_padding(struct check *c, const struct mb_record *rec)
{
	mb_auto(payload_free) struct payload *p = NULL;
	struct payload_extent extent;
	int rc;

	if (!check_has_keys(c))
		return ODD_UNJUDGED;
	/* a key that does not open is the business of the content level */
	rc = check_open_payload(c, rec, true, &p, NULL);
	if (rc < 0)
		return ODD_UNJUDGED;
	rc = payload_measure(p, rec->size, &extent);
	return rc < 0 || extent.damage[0] ? ODD_DAMAGED : ODD_NOTE;
}

static int64_t cipher_blocks(int64_t size)
{
	return size / BLOCK_LEN + 1;
}

int check_length(struct check_odd *p, const struct mb_record *rec,
		 int64_t handle, int64_t stored_len)
{
	struct check *c = p->c;
	struct odd_length odd = {
		.stored = stored_len,
		.expected = rec->size,
		.handle = handle,
		.keyed = check_is_keyed(c, rec),
		.verdict = stored_len < rec->size ? ODD_DAMAGED : ODD_NOTE,
		.other = SIZE_MAX,
	};
	char place[64];
	int rc;

	if (stored_len == rec->size && !odd.keyed)
		return 1;
	if (odd.keyed && stored_len % BLOCK_LEN == 0 &&
	    stored_len / BLOCK_LEN == cipher_blocks(rec->size))
		return 1;
	/* few are odd, so that a digest may settle it at once */
	rc = check_fits_digest(c, rec);
	if (rc < 0)
		return rc;
	if (rc && !odd.keyed)
		odd.verdict = ODD_NOTE;
	if (!odd.keyed) {
		rc = add_odd(p, &odd);
		return rc < 0 ? rc : odd.verdict == ODD_NOTE;
	}
	if (!stored_len && !rec->size)
		return 1;
	if (stored_len % BLOCK_LEN) { /* whatever a digest says */
		check_say(
			c, CHECK_FINDING(STRUCTURE, "length"), rec,
			check_place_of(c, rec, place),
			"cut off: its %lld stored bytes are not a whole number of cipher blocks",
			(long long)stored_len);
		return 0;
	}
	odd.stored = stored_len / BLOCK_LEN;
	odd.expected = cipher_blocks(rec->size);
	odd.verdict = rc	 ? ODD_NOTE :
		      stored_len ? judge_by_padding(c, rec) :
				   ODD_DAMAGED;
	rc = add_odd(p, &odd);
	return rc < 0 ? rc : odd.verdict != ODD_DAMAGED;
}

/* --- payloads of odd lengths ---------------------------------------------- */

static int compare_lengths(const void *va, const void *vb)
{
	const struct odd_length *a = va, *b = vb;

	if (a->keyed != b->keyed)
		return a->keyed - b->keyed;
	if (a->stored != b->stored)
		return a->stored < b->stored ? -1 : 1;
	if (a->expected != b->expected)
		return a->expected < b->expected ? -1 : 1;
	return (a->handle > b->handle) - (a->handle < b->handle);
}

/* The only one with these lengths; SIZE_MAX if there is none, or several. */
static size_t find_only(const struct check_odd *p, bool keyed, int64_t stored,
			int64_t expected)
{
	struct odd_length want = {
		.keyed = keyed,
		.stored = stored,
		.expected = expected,
		.handle = INT64_MIN,
	};
	size_t low = 0, high = p->count;
	const struct odd_length *o;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_lengths(&p->list[middle], &want) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	o = &p->list[low];
	if (low == p->count || o->keyed != keyed || o->stored != stored ||
	    o->expected != expected)
		return SIZE_MAX;
	if (low + 1 < p->count && o[1].keyed == keyed &&
	    o[1].stored == stored && o[1].expected == expected)
		return SIZE_MAX;
	return low;
}

/*
 * Two files that changed while they were backed up could have just these
 * lengths, but then the padding of both is right.
 */
static void find_swapped(struct check_odd *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct odd_length *a = &p->list[i];
		size_t other;

		if (find_only(p, a->keyed, a->stored, a->expected) != i)
			continue;
		other = find_only(p, a->keyed, a->expected, a->stored);
		if (other == SIZE_MAX || (a->verdict == ODD_NOTE &&
					  p->list[other].verdict == ODD_NOTE))
			continue;
		a->other = other;
	}
}

static int say_swapped(struct check_odd *p, const struct odd_length *odd,
		       const struct mb_record *rec)
{
	mb_auto(mb_record_release) struct mb_record other = { 0 };
	struct check_item *item;
	char place[64];
	int rc;

	rc = manifest_audit_get(p->c->audit, p->list[odd->other].handle, &other,
				NULL);
	if (rc == -ENOMEM)
		return rc;
	check_say(
		p->c, CHECK_FINDING(STRUCTURE, "swapped"), rec,
		check_place_of(p->c, rec, place),
		"its payload is as long as that of %.*s/%.*s should be, and the other way round: swapped",
		(int)other.domain.len, other.domain.ptr, (int)other.path.len,
		other.path.ptr);
	item = check_payload_item(p->c, rec->file_id, odd->handle);
	if (item)
		item->bits &= (uint8_t)~ITEM_READ;
	return 0;
}

static void say_odd(struct check_odd *p, const struct odd_length *odd,
		    const struct mb_record *rec)
{
	int64_t unit = odd->keyed ? BLOCK_LEN : 1;
	char place[64];

	check_place_of(p->c, rec, place);
	if (odd->verdict == ODD_UNJUDGED) {
		atomic_fetch_add(&p->c->counts->unjudged_lengths, 1);
	} else if (odd->verdict == ODD_DAMAGED) {
		check_say(
			p->c, CHECK_FINDING(STRUCTURE, "length"), rec, place,
			odd->stored < odd->expected ?
				"cut off: %lld bytes are stored instead of %lld" :
				"%lld bytes are stored instead of %lld, and their end is no padding",
			(long long)(odd->stored * unit),
			(long long)(odd->expected * unit));
	} else if (!odd->keyed && p->c->b->info.encrypted) {
		/* an encrypted one would be as long */
		bool fits =
			odd->stored == cipher_blocks(odd->expected) * BLOCK_LEN;

		check_say(
			p->c,
			fits ? CHECK_FINDING(STRUCTURE, "key") :
			       CHECK_NOTE(STRUCTURE, "size"),
			rec, place,
			fits ? "its record has no key, and its payload is encrypted" :
			       "%lld bytes are stored instead of %lld",
			(long long)odd->stored, (long long)odd->expected);
	} else if (!odd->keyed) {
		check_say(
			p->c, CHECK_NOTE(STRUCTURE, "size"), rec, place,
			"%lld bytes are stored instead of %lld: it changed while it was backed up",
			(long long)odd->stored, (long long)odd->expected);
	} else if (p->c->wish->level < MB_CHECK_CONTENT) {
		/* the content level says it more exactly */
		check_say(
			p->c, CHECK_NOTE(STRUCTURE, "size"), rec, place,
			"%lld bytes are stored instead of %lld: it changed while it was backed up",
			(long long)(odd->stored * BLOCK_LEN),
			(long long)(odd->expected * BLOCK_LEN));
	}
}

int check_say_odd(struct check_odd *p)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	int rc = 0;

	if (p->count)
		qsort(p->list, p->count, sizeof(*p->list), compare_lengths);
	find_swapped(p);
	for (size_t i = 0; i < p->count && rc == 0; i++) {
		rc = manifest_audit_get(p->c->audit, p->list[i].handle, &rec,
					NULL);
		if (rc < 0)
			rc = rc == -ENOMEM || rc == -ECANCELED ? rc : 0;
		else if (p->list[i].other != SIZE_MAX)
			rc = say_swapped(p, &p->list[i], &rec);
		else
			say_odd(p, &p->list[i], &rec);
	}
	return rc;
}
