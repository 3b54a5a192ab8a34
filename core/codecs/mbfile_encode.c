/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbfile.h"

#include <errno.h>

#include "archive_edit.h"
#include "record.h"

/* One record on its way into an archive. */
struct encoding {
	struct archive_edit archive;
	const struct mb_record *rec;
	struct view xattrs;
	/* what the base says; without one, nothing */
	struct mb_record was;
	bool has_base;
};

enum key {
	BIRTH,
	DIGEST,
	ENCRYPTION_KEY,
	EXTENDED_ATTRIBUTES,
	FLAGS,
	GROUP_ID,
	INODE_NUMBER,
	LAST_MODIFIED,
	LAST_STATUS_CHANGE,
	MODE,
	PROTECTION_CLASS,
	RELATIVE_PATH,
	SIZE,
	TARGET,
	TARGET_BYTES,
	USER_ID,
	KEY_COUNT,
};

static const char *const names[] = {
	[BIRTH] = "Birth",
	[DIGEST] = "Digest",
	[ENCRYPTION_KEY] = "EncryptionKey",
	[EXTENDED_ATTRIBUTES] = "ExtendedAttributes",
	[FLAGS] = "Flags",
	[GROUP_ID] = "GroupID",
	[INODE_NUMBER] = "InodeNumber",
	[LAST_MODIFIED] = "LastModified",
	[LAST_STATUS_CHANGE] = "LastStatusChange",
	[MODE] = "Mode",
	[PROTECTION_CLASS] = "ProtectionClass",
	[RELATIVE_PATH] = "RelativePath",
	[SIZE] = "Size",
	[TARGET] = "Target",
	[TARGET_BYTES] = "TargetBytes",
	[USER_ID] = "UserID",
};

/* --- does the base say the same? ----------------------------------------- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_digest(const struct mb_record *a, const struct mb_record *b)
{
	return a->digest_len == b->digest_len &&
	       !memcmp(a->digest, b->digest, a->digest_len);
}

/* An unusable key is the same as another one: mbfile_decode kept neither. */
static bool same_key(const struct mb_record *a, const struct mb_record *b)
{
	return a->wrapped_key_len == b->wrapped_key_len &&
	       (a->wrapped_key_len != sizeof(a->wrapped_key) ||
		!memcmp(a->wrapped_key, b->wrapped_key,
			sizeof(a->wrapped_key)));
}

/* As an archive holds it: bplist_put_text. */
static int add_text(struct buf *out, struct mb_slice text)
{
	for (size_t at = 0; at < text.len;) {
		size_t good = utf8_valid_prefix(text.ptr + at, text.len - at);

		if (buf_add(out, text.ptr + at, good) < 0)
			return -ENOMEM;
		at += good;
		if (at++ < text.len && buf_add(out, "\xef\xbf\xbd", 3) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool same_path(const struct encoding *e)
{
	mb_auto(buf_release) struct buf is = { 0 };
	mb_auto(buf_release) struct buf wanted = { 0 };
	struct bplist_obj o;

	if (archive_look_up(&e->archive, names[RELATIVE_PATH], NULL, &o) < 0 ||
	    bplist_text(&o, &is) < 0 || add_text(&wanted, e->rec->path) < 0)
		return false;
	return is.len == wanted.len &&
	       (!is.len || !memcmp(is.ptr, wanted.ptr, is.len));
}

static bool says_the_same(const struct encoding *e, enum key key)
{
	const struct mb_record *a = &e->was, *b = e->rec;

	switch (key) {
	case BIRTH:
		return same_time(a->birth, b->birth);
	case DIGEST:
		return same_digest(a, b);
	case ENCRYPTION_KEY:
		return same_key(a, b);
	case EXTENDED_ATTRIBUTES:
		return mb_slice_equal(
			a->xattrs,
			(struct mb_slice){ (const char *)e->xattrs.ptr,
					   e->xattrs.len });
	case FLAGS:
		return a->bsd_flags == b->bsd_flags;
	case GROUP_ID:
		return a->gid == b->gid;
	case INODE_NUMBER:
		return a->inode == b->inode;
	case LAST_MODIFIED:
		return same_time(a->mtime, b->mtime);
	case LAST_STATUS_CHANGE:
		return same_time(a->ctime, b->ctime);
	case MODE:
		return a->mode == b->mode;
	case PROTECTION_CLASS:
		return a->protection_class == b->protection_class;
	case RELATIVE_PATH:
		return same_path(e);
	case SIZE:
		return a->size == b->size;
	case TARGET:
	case TARGET_BYTES:
		return mb_slice_equal(a->target, b->target);
	case USER_ID:
		return a->uid == b->uid;
	case KEY_COUNT:
		break;
	}
	return false;
}

/* --- values -------------------------------------------------------------- */

/*
 * Devices encode these as int32, which on the way back must fit: a UID of
 * 0xfffffffe is -2.
 */
static uint32_t put_int32(struct encoding *e, uint32_t value)
{
	return bplist_put_int(&e->archive.out, (int32_t)value);
}

static uint32_t put_time(struct encoding *e, struct timespec ts)
{
	int64_t seconds = ts.tv_sec;

	if (seconds < INT32_MIN)
		seconds = INT32_MIN;
	if (seconds > INT32_MAX)
		seconds = INT32_MAX;
	return bplist_put_int(&e->archive.out, seconds);
}

static uint32_t put_text(struct encoding *e, struct mb_slice text)
{
	return archive_refer(&e->archive, bplist_put_text(&e->archive.out,
							  text.ptr, text.len));
}

/* An NSMutableData object, which is what a device's key is. */
static uint32_t put_data_object(struct encoding *e, uint32_t data)
{
	static const char *const classes[] = { "NSMutableData", "NSData",
					       "NSObject" };
	struct bplist_writer *w = &e->archive.out;
	uint32_t keys[2], class, dict;

	class = archive_class(&e->archive, classes, 3);
	keys[0] = bplist_put_text(w, "$class", strlen("$class"));
	keys[1] = bplist_put_text(w, "NS.data", strlen("NS.data"));
	dict = bplist_begin(w, BPLIST_KIND_DICT, 2);
	bplist_add_ref(w, keys[0]);
	bplist_add_ref(w, keys[1]);
	bplist_add_ref(w, class);
	bplist_add_ref(w, data);
	return archive_refer(&e->archive, dict);
}

enum data_form { INLINE, REFERRED, OBJECT };

/* The form that the base has for a value, else the usual one. */
static enum data_form form_in_base(const struct encoding *e, enum key key,
				   enum data_form usual)
{
	struct bplist_obj direct, value;

	if (archive_look_up(&e->archive, names[key], &direct, &value) < 0)
		return usual;
	if (value.type == BPLIST_DICT)
		return OBJECT;
	if (value.type != BPLIST_DATA)
		return usual;
	return archive_is_uid(&e->archive, &direct) ? REFERRED : INLINE;
}

static uint32_t put_data(struct encoding *e, enum key key, enum data_form usual,
			 struct view bytes)
{
	uint32_t data = bplist_put_data(&e->archive.out, bytes.ptr, bytes.len);

	switch (form_in_base(e, key, usual)) {
	case REFERRED:
		return archive_refer(&e->archive, data);
	case OBJECT:
		return put_data_object(e, data);
	default:
		return data;
	}
}

static uint32_t put_value(struct encoding *e, enum key key)
{
	const struct mb_record *rec = e->rec;

	switch (key) {
	case BIRTH:
		return put_time(e, rec->birth);
	case DIGEST:
		return put_data(e, key, INLINE,
				view_of(rec->digest, rec->digest_len));
	case ENCRYPTION_KEY:
		return put_data(
			e, key, OBJECT,
			view_of(rec->wrapped_key, rec->wrapped_key_len));
	case EXTENDED_ATTRIBUTES:
		return put_data(e, key, REFERRED, e->xattrs);
	case FLAGS:
		return put_int32(e, rec->bsd_flags);
	case GROUP_ID:
		return put_int32(e, rec->gid);
	case INODE_NUMBER:
		/* an int64 of the device */
		return bplist_put_int(&e->archive.out, (int64_t)rec->inode);
	case LAST_MODIFIED:
		return put_time(e, rec->mtime);
	case LAST_STATUS_CHANGE:
		return put_time(e, rec->ctime);
	case MODE:
		return put_int32(e, rec->mode);
	case PROTECTION_CLASS:
		return bplist_put_int(&e->archive.out, rec->protection_class);
	case RELATIVE_PATH:
		return put_text(e, rec->path);
	case SIZE:
		return bplist_put_int(&e->archive.out, rec->size);
	case TARGET:
		return put_text(e, rec->target);
	case TARGET_BYTES:
		return bplist_put_data(&e->archive.out, rec->target.ptr,
				       rec->target.len);
	case USER_ID:
		return put_int32(e, rec->uid);
	case KEY_COUNT:
		break;
	}
	return 0;
}

/* Is there something to write? Numbers are always written. */
static bool has_value(const struct encoding *e, enum key key)
{
	switch (key) {
	case DIGEST:
		return e->rec->digest_len;
	case ENCRYPTION_KEY:
		return e->rec->wrapped_key_len == sizeof(e->rec->wrapped_key);
	case EXTENDED_ATTRIBUTES:
		return e->xattrs.len;
	case TARGET:
		return e->rec->target.len;
	case TARGET_BYTES: /* what the text cannot hold */
		return utf8_valid_prefix(e->rec->target.ptr,
					 e->rec->target.len) !=
		       e->rec->target.len;
	default:
		return true;
	}
}

/* --- the archive --------------------------------------------------------- */

/* 0; -EBADMSG if the base cannot be read */
static int take_base(struct encoding *e, struct view base)
{
	int rc = archive_begin(&e->archive, base);

	e->has_base = base.len;
	if (rc == 0 && base.len)
		rc = record_reset(&e->was, MBFILE_ROOM(base.len));
	if (rc == 0 && base.len)
		rc = mbfile_decode(&e->was, base);
	return rc;
}

static int encode(struct encoding *e, struct view base, struct buf *out)
{
	static const char *const classes[] = { "MBFile", "NSObject" };
	bool stays[KEY_COUNT];
	int rc = take_base(e, base);

	if (rc < 0)
		return rc;
	for (enum key key = 0; key < KEY_COUNT; key++) {
		stays[key] = e->has_base && says_the_same(e, key);
		if (e->has_base && !stays[key])
			archive_drop(&e->archive, names[key]);
	}
	archive_seal(&e->archive);
	for (enum key key = 0; key < KEY_COUNT; key++)
		if (!stays[key] && has_value(e, key))
			archive_set(&e->archive, names[key], put_value(e, key));
	if (!e->has_base)
		archive_set(&e->archive, "$class",
			    archive_class(&e->archive, classes, 2));
	return archive_finish(&e->archive, out);
}

int mbfile_encode(struct buf *out, const struct mb_record *rec,
		  struct view xattrs, struct view base)
{
	int rc;

	do {
		struct encoding e = { .rec = rec, .xattrs = xattrs };

		rc = encode(&e, base, out);
		archive_release(&e.archive);
		mb_record_release(&e.was);
		if (rc == -ENOMEM)
			return rc;
		base = view_of(NULL, 0);
	} while (rc < 0);
	return 0;
}

int mbfile_encode_xattrs(struct buf *out, const struct mbfile_xattr *xattrs,
			 size_t count, size_t *left_out)
{
	mb_auto(bplist_writer_release) struct bplist_writer w = { 0 };
	uint32_t dict;
	size_t kept = 0;

	/* a name and its value have numbers that follow each other */
	for (size_t i = 0; i < count; i++) {
		struct mb_slice name = xattrs[i].name, value = xattrs[i].value;

		if (utf8_valid_prefix(name.ptr, name.len) != name.len)
			continue;
		bplist_put_text(&w, name.ptr, name.len);
		bplist_put_data(&w, value.ptr, value.len);
		kept++;
	}
	*left_out = count - kept;
	if (!kept)
		return 0;
	dict = bplist_begin(&w, BPLIST_KIND_DICT, kept);
	for (size_t i = 0; i < 2 * kept; i += 2)
		bplist_add_ref(&w, (uint32_t)i);
	for (size_t i = 1; i < 2 * kept; i += 2)
		bplist_add_ref(&w, (uint32_t)i);
	return bplist_finish(&w, dict, out);
}
