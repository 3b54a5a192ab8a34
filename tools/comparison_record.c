/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two records say about their entries. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "comparison.h"

static bool same_time(struct timespec a, struct timespec b, bool whole_seconds)
{
	return a.tv_sec == b.tv_sec &&
	       (whole_seconds || a.tv_nsec == b.tv_nsec);
}

/* --- extended attributes ------------------------------------------------- */

struct attribute {
	char *name; /* a copy: what a walk lends is gone with the call */
	size_t name_len;
	struct mb_slice value; /* of the record */
};

struct attributes {
	struct attribute *list;
	size_t count, cap;
};

static int collect(void *arg, struct mb_slice name, struct mb_slice value)
{
	struct attributes *a = arg;
	char *copy;

	if (a->count == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 8;
		void *list = reallocarray(a->list, cap, sizeof(*a->list));

		if (!list)
			return -ENOMEM;
		a->list = list;
		a->cap = cap;
	}
	copy = malloc(name.len + 1);
	if (!copy)
		return -ENOMEM;
	if (name.len)
		memcpy(copy, name.ptr, name.len);
	a->list[a->count++] = (struct attribute){ copy, name.len, value };
	return 0;
}

static int compare_attribute(const void *va, const void *vb)
{
	const struct attribute *a = va, *b = vb;
	int diff = mb_slice_compare((struct mb_slice){ a->name, a->name_len },
				    (struct mb_slice){ b->name, b->name_len });

	return diff ? diff : mb_slice_compare(a->value, b->value);
}

static int gather(struct attributes *a, const struct mb_record *rec)
{
	int rc = mb_record_each_xattr(rec, collect, a);

	if (rc == 0 && a->count)
		qsort(a->list, a->count, sizeof(*a->list), compare_attribute);
	return rc;
}

static void attributes_release(struct attributes *a)
{
	while (a->count)
		free(a->list[--a->count].name);
	free(a->list);
}

/* The order in which they are stored means nothing. */
static bool same_attributes(const struct mb_record *a,
			    const struct mb_record *b)
{
	struct attributes ours = { 0 }, theirs = { 0 };
	bool same = gather(&ours, a) == 0 && gather(&theirs, b) == 0 &&
		    ours.count == theirs.count;

	for (size_t i = 0; same && i < ours.count; i++)
		same = compare_attribute(&ours.list[i], &theirs.list[i]) == 0;
	attributes_release(&ours);
	attributes_release(&theirs);
	return same;
}

/* --- records ------------------------------------------------------------- */

unsigned records_differ(const struct mb_record *a, const struct mb_record *b,
			bool whole_seconds)
{
	unsigned what = 0;

	if (a->type != b->type)
		what |= DIFFERS_TYPE;
	if ((a->mode & 07777) != (b->mode & 07777))
		what |= DIFFERS_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		what |= DIFFERS_OWNER;
	if (!same_time(a->mtime, b->mtime, whole_seconds))
		what |= DIFFERS_TIMES;
	if (a->type == MB_LINK && b->type == MB_LINK &&
	    !mb_slice_equal(a->target, b->target))
		what |= DIFFERS_TARGET;
	if (a->protection_class != b->protection_class)
		what |= DIFFERS_PROTECTION;
	if (!same_attributes(a, b))
		what |= DIFFERS_ATTRIBUTES;
	return what;
}

bool records_promise(const struct mb_record *a, const struct mb_record *b,
		     bool whole_seconds)
{
	return a->size == b->size && a->inode == b->inode &&
	       same_time(a->mtime, b->mtime, whole_seconds) &&
	       same_time(a->ctime, b->ctime, whole_seconds) &&
	       same_time(a->birth, b->birth, whole_seconds) &&
	       a->digest_len == b->digest_len &&
	       memcmp(a->digest, b->digest, a->digest_len) == 0;
}
