/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbfile.h"

#include <errno.h>
#include <math.h>

#include "bplist.h"
#include "record.h"

#define DEREFERENCES_MAX \
	4 /* UID -> NS.data -> UID -> data is the longest seen */
#define XATTRS_MAX 256

struct archive {
	struct bplist bp;
	struct bplist_obj objects;
};

/*
 * A value is an object itself or a UID into $objects. Through XML, a UID has
 * become a dictionary with the single key CF$UID. UID 0 is "$null", absent.
 */
static int dereference(const struct archive *a, struct bplist_obj *o)
{
	struct bplist_obj uid;
	int rc;

	for (int i = 0; i < DEREFERENCES_MAX; i++) {
		if (o->type == BPLIST_UID) {
			uid.integer = o->integer;
		} else if (o->type == BPLIST_DICT && o->count == 1) {
			rc = bplist_lookup(&a->bp, o, "CF$UID", &uid);
			if (rc == -ENOENT)
				return 0;
			if (rc < 0)
				return rc;
		} else {
			return 0;
		}
		if (uid.integer <= 0 ||
		    (uint64_t)uid.integer >= a->objects.count)
			return uid.integer == 0 ? -ENOENT : -EBADMSG;
		rc = bplist_item(&a->bp, &a->objects, (uint64_t)uid.integer, o);
		if (rc < 0)
			return rc;
	}
	return -EBADMSG;
}

/* Bytes stand inline, behind a UID, or as NS.data of an NSData object. */
static bool data_value(const struct archive *a, struct bplist_obj o,
		       struct view *out)
{
	struct bplist_obj inner;

	if (dereference(a, &o) < 0)
		return false;
	if (o.type == BPLIST_DICT) {
		if (bplist_lookup(&a->bp, &o, "NS.data", &inner) < 0 ||
		    dereference(a, &inner) < 0)
			return false;
		o = inner;
	}
	if (o.type != BPLIST_DATA)
		return false;
	*out = o.data;
	return true;
}

static int64_t integer_value(const struct archive *a,
			     const struct bplist_obj *value)
{
	struct bplist_obj o;

	if (value->type == BPLIST_INT) /* nearly always */
		return value->integer;
	o = *value;
	if (dereference(a, &o) < 0)
		return 0;
	switch (o.type) {
	case BPLIST_BOOL:
	case BPLIST_INT:
		return o.integer;
	case BPLIST_REAL:
		if (o.real >= -9e18 && o.real <= 9e18)
			return (int64_t)o.real;
		return 0;
	default:
		return 0;
	}
}

static struct timespec time_of(double seconds)
{
	double whole = floor(seconds);
	struct timespec ts = { 0 };

	if (!(whole >= -1e15 && whole <= 1e15))
		return ts;
	ts.tv_sec = (time_t)whole;
	ts.tv_nsec = (long)((seconds - whole) * 1e9 + 0.5);
	if (ts.tv_nsec > 999999999)
		ts.tv_nsec = 999999999;
	return ts;
}

static struct timespec time_since_2001(double seconds)
{
	struct timespec ts = time_of(seconds);

	ts.tv_sec += PLIST_EPOCH;
	return ts;
}

static struct timespec time_of_integer(int64_t seconds)
{
	struct timespec ts = { 0 };

	if (seconds >= -1000000000000000 && seconds <= 1000000000000000)
		ts.tv_sec = seconds;
	/* 32 bits on the device: a 4-byte value may be negative */
	if (seconds > INT32_MAX && seconds <= UINT32_MAX)
		ts.tv_sec = (int32_t)(uint32_t)seconds;
	return ts;
}

/* Unix seconds; foreign writers: real, date, or NSDate behind a UID. */
static struct timespec time_value(const struct archive *a,
				  const struct bplist_obj *value)
{
	struct bplist_obj inner, o;
	struct timespec ts = { 0 };

	if (value->type == BPLIST_INT)
		return time_of_integer(value->integer);
	o = *value;
	if (dereference(a, &o) < 0)
		return ts;
	switch (o.type) {
	case BPLIST_INT:
		return time_of_integer(o.integer);
	case BPLIST_REAL:
		return time_of(o.real);
	case BPLIST_DATE:
		return time_since_2001(o.real);
	case BPLIST_DICT:
		if (bplist_lookup(&a->bp, &o, "NS.time", &inner) == 0 &&
		    (inner.type == BPLIST_REAL || inner.type == BPLIST_INT))
			return time_since_2001(inner.type == BPLIST_REAL ?
						       inner.real :
						       (double)inner.integer);
		return ts;
	default:
		return ts;
	}
}

static int target_value(struct mb_record *rec, const struct archive *a,
			struct bplist_obj o)
{
	mb_auto(buf_release) struct buf text = { 0 };
	int rc;

	if (rec->target.ptr || dereference(a, &o) < 0)
		return 0;
	if (o.type == BPLIST_ASCII) {
		rec->target = (struct mb_slice){ (const char *)o.data.ptr,
						 o.data.len };
		return 0;
	}
	if (o.type != BPLIST_UTF16)
		return 0;
	rc = bplist_text(&o, &text);
	if (rc < 0)
		return rc;
	return record_keep(rec, &rec->target, text.ptr, text.len);
}

static void set_key(struct mb_record *rec, struct view data)
{
	/* an unusable key must not pass for "no key" */
	rec->wrapped_key_len = 1;
	if (data.len == sizeof(rec->wrapped_key)) {
		memcpy(rec->wrapped_key, data.ptr, data.len);
		rec->wrapped_key_len = sizeof(rec->wrapped_key);
	}
}

static void set_digest(struct mb_record *rec, struct view data)
{
	if (data.len == 20 || data.len == 32) {
		memcpy(rec->digest, data.ptr, data.len);
		rec->digest_len = (uint8_t)data.len;
	}
}

/* The fields whose values are more than a number. */
static int set_bytes(struct mb_record *rec, const struct archive *a,
		     struct view key, const struct bplist_obj *value)
{
	struct mb_slice *slice;
	struct view data;

	if (view_is(key, "Target"))
		return target_value(rec, a, *value);
	if (view_is(key, "EncryptionKey")) {
		if (data_value(a, *value, &data))
			set_key(rec, data);
		return 0;
	}
	if (view_is(key, "Digest")) {
		if (data_value(a, *value, &data))
			set_digest(rec, data);
		return 0;
	}
	/* ours: a target that is no text, whose Target is spoilt */
	if (view_is(key, "TargetBytes"))
		slice = &rec->target;
	else if (view_is(key, "ExtendedAttributes"))
		slice = &rec->xattrs;
	else
		return 0;
	if (!data_value(a, *value, &data))
		return 0;
	*slice = (struct mb_slice){ (const char *)data.ptr, data.len };
	if (slice == &rec->xattrs)
		rec->xattrs_form = MB_XATTRS_PLIST;
	return 0;
}

/* By the length of the key: hardly two fields have the same. */
static int set_field(struct mb_record *rec, const struct archive *a,
		     struct view key, const struct bplist_obj *value)
{
	switch (key.len) {
	case 4:
		if (view_is(key, "Mode"))
			rec->mode = (uint32_t)integer_value(a, value);
		else if (view_is(key, "Size"))
			rec->size = integer_value(a, value);
		return 0;
	case 5:
		if (view_is(key, "Birth"))
			rec->birth = time_value(a, value);
		else if (view_is(key, "Flags"))
			rec->bsd_flags = (uint32_t)integer_value(a, value);
		return 0;
	case 7:
		if (view_is(key, "GroupID"))
			rec->gid = (uint32_t)integer_value(a, value);
		return 0;
	case 12:
		if (view_is(key, "LastModified"))
			rec->mtime = time_value(a, value);
		return 0;
	case 15:
		if (view_is(key, "ProtectionClass"))
			rec->protection_class =
				(uint8_t)integer_value(a, value);
		return 0;
	case 16:
		if (view_is(key, "LastStatusChange"))
			rec->ctime = time_value(a, value);
		return 0;
	case 6:
		if (!view_is(key, "UserID"))
			break;
		rec->uid = (uint32_t)integer_value(a, value);
		return 0;
	case 11:
		if (!view_is(key, "InodeNumber"))
			break;
		rec->inode = (uint64_t)integer_value(a, value);
		return 0;
	}
	return set_bytes(rec, a, key, value);
}

int mbfile_decode(struct mb_record *rec, struct view blob)
{
	struct archive a;
	struct bplist_obj root, top, key, value;
	int rc;

	if (bplist_open(&a.bp, blob) < 0 ||
	    bplist_get(&a.bp, a.bp.root, &root) < 0 ||
	    bplist_lookup(&a.bp, &root, "$objects", &a.objects) < 0 ||
	    a.objects.type != BPLIST_ARRAY ||
	    bplist_lookup(&a.bp, &root, "$top", &top) < 0 ||
	    bplist_lookup(&a.bp, &top, "root", &value) < 0 ||
	    dereference(&a, &value) < 0 || value.type != BPLIST_DICT)
		return -EBADMSG;
	root = value;
	for (uint64_t i = 0; i < root.count; i++) {
		rc = bplist_pair(&a.bp, &root, i, &key, &value);
		if (rc < 0)
			return rc;
		if (key.type != BPLIST_ASCII)
			continue;
		rc = set_field(rec, &a, key.data, &value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int mbfile_each_xattr(struct view plist,
		      int (*each)(void *arg, struct mb_slice name,
				  struct mb_slice value),
		      void *arg)
{
	struct bplist bp;
	struct bplist_obj dict, key, value;
	int rc;

	if (bplist_open(&bp, plist) < 0 ||
	    bplist_get(&bp, bp.root, &dict) < 0 || dict.type != BPLIST_DICT)
		return 0;
	for (uint64_t i = 0; i < dict.count && i < XATTRS_MAX; i++) {
		mb_auto(buf_release) struct buf name = { 0 };

		if (bplist_pair(&bp, &dict, i, &key, &value) < 0 ||
		    value.type != BPLIST_DATA || bplist_text(&key, &name) < 0)
			continue;
		rc = each(arg,
			  (struct mb_slice){ (const char *)name.ptr, name.len },
			  (struct mb_slice){ (const char *)value.data.ptr,
					     value.data.len });
		if (rc)
			return rc;
	}
	return 0;
}
