/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_RECORD_H
#define MB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum mb_type {
	MB_FILE = 1,
	MB_DIR = 2,
	MB_LINK = 4,
}; /* the values of the manifest's flags column: iphone-backup(5), MANIFEST.DB */

/* Text or bytes inside a record; not terminated, may hold NUL. */
struct mb_slice {
	const char *ptr;
	size_t len;
};

static inline struct mb_slice mb_slice_of(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

/* As memcmp(3); of two with the same front the shorter one comes first. */
static inline int mb_slice_compare(struct mb_slice a, struct mb_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int diff = len ? memcmp(a.ptr, b.ptr, len) : 0;

	return diff ? diff : (a.len > b.len) - (a.len < b.len);
}

static inline bool mb_slice_equal(struct mb_slice a, struct mb_slice b)
{
	return a.len == b.len && mb_slice_compare(a, b) == 0;
}

/*
 * One entry of a manifest, whichever generation it came from. The slices
 * point into memory that the record owns.
 */
struct mb_record {
	struct mb_slice domain;
	struct mb_slice path;	/* relative to the domain, "" for its root */
	struct mb_slice target; /* of a symbolic link */
	char file_id[41];	/* "" where the manifest's is unusable */
	enum mb_type type;
	uint32_t mode; /* recorded st_mode; the permissions are 07777 of it */
	uint32_t uid, gid;
	uint64_t inode; /* on the device */
	int64_t size;	/* recorded; negative: unusable */
	uint32_t bsd_flags;
	uint8_t protection_class; /* 0: none or unknown */
	struct timespec mtime, ctime, birth;

	uint8_t wrapped_key[44]; /* u32 LE class, RFC 3394 wrapped file key */
	uint8_t wrapped_key_len; /* 0: none; other than 44: unusable */
	uint8_t digest[32];
	uint8_t digest_len; /* 20, 32, or 0 for none */

	/*
	 * NULL, or what is wrong with the record. What could be read of it
	 * stands above, the rest is zero.
	 */
	const char *damage;

	/* private */
	struct mb_slice archive; /* the file column as stored; or empty */
	struct mb_slice row_id;	 /* fileID as stored, usable or not; or empty */
	struct mb_slice xattrs;
	bool as_stored; /* what is stored is its content, encrypted or not */
	enum { MB_XATTRS_NONE, MB_XATTRS_PLIST, MB_XATTRS_MBDB } xattrs_form;
	unsigned char *mem;
	size_t mem_len, mem_cap;
};

/* True for the domain of an app's own data: "AppDomain-<bundle identifier>". */
bool mb_is_app_domain(struct mb_slice domain, const char *bundle_id);

/*
 * A caller's record starts as {0}, can be filled any number of times (the
 * memory is used again) and is released in the end.
 */
void mb_record_release(struct mb_record *rec);

/*
 * mb_record_each_xattr - the extended attributes that the file had
 * @each: gets borrowed name and value; a result other than 0 ends the walk
 *
 * Returns 0, or what @each returned. Malformed attributes are left out.
 */
int mb_record_each_xattr(const struct mb_record *rec,
			 int (*each)(void *arg, struct mb_slice name,
				     struct mb_slice value),
			 void *arg);

#endif
