/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "mbfile.h"
#include "record.h"

static int touch(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)arg;
	fuzz_touch(name.ptr, name.len);
	fuzz_touch(value.ptr, value.len);
	return 0;
}

static void must_equal(struct mb_slice a, struct mb_slice b)
{
	MUST(a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len)));
}

/* A new archive has whole seconds in 32 bits; a base may have others. */
static void must_be_near(struct timespec a, struct timespec b)
{
	int64_t nearest = a.tv_sec;

	if (nearest > INT32_MAX)
		nearest = INT32_MAX;
	if (nearest < INT32_MIN)
		nearest = INT32_MIN;
	MUST(b.tv_sec == a.tv_sec || b.tv_sec == nearest);
}

static void must_be_same(const struct mb_record *a, const struct mb_record *b)
{
	MUST(a->mode == b->mode && a->uid == b->uid && a->gid == b->gid);
	MUST(a->inode == b->inode && a->size == b->size);
	MUST(a->bsd_flags == b->bsd_flags);
	MUST(a->protection_class == b->protection_class);
	must_be_near(a->mtime, b->mtime);
	must_be_near(a->ctime, b->ctime);
	must_be_near(a->birth, b->birth);
	must_equal(a->target, b->target);
	must_equal(a->xattrs, b->xattrs);
	MUST(a->digest_len == b->digest_len &&
	     !memcmp(a->digest, b->digest, a->digest_len));
	/* a key of another length is kept only where the base can be */
	if (a->wrapped_key_len != sizeof(a->wrapped_key))
		return;
	MUST(a->wrapped_key_len == b->wrapped_key_len);
	MUST(!memcmp(a->wrapped_key, b->wrapped_key, a->wrapped_key_len));
}

/* What was decoded, encoded again, decodes to the same. */
static void go_round(const struct mb_record *rec, struct view base)
{
	struct mb_record again = { 0 };
	struct buf out = { 0 };

	MUST(mbfile_encode(&out, rec, view_of(rec->xattrs.ptr, rec->xattrs.len),
			   base) == 0);
	MUST(record_reset(&again, MBFILE_ROOM(out.len)) == 0);
	MUST(mbfile_decode(&again, view_of(out.ptr, out.len)) == 0);
	must_be_same(rec, &again);
	mb_record_release(&again);
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mb_record rec = { 0 };

	MUST(record_reset(&rec, MBFILE_ROOM(size)) == 0);
	mbfile_decode(&rec, view_of(data, size));
	fuzz_touch(rec.target.ptr, rec.target.len);
	MUST(rec.mtime.tv_nsec >= 0 && rec.mtime.tv_nsec < 1000000000);
	MUST(rec.wrapped_key_len <= sizeof(rec.wrapped_key));
	MUST(rec.digest_len <= sizeof(rec.digest));
	mb_record_each_xattr(&rec, touch, NULL);
	go_round(&rec, view_of(NULL, 0));
	go_round(&rec, view_of(data, size));
	mb_record_release(&rec);
	return 0;
}
