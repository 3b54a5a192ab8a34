/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbdb.h"

#include <errno.h>
#include <sys/stat.h>

#define ABSENT 0xffff

struct raw {
	struct mb_slice domain, path, target, digest, key;
	uint16_t mode;
	uint64_t inode;
	uint32_t uid, gid, mtime, ctime, birth;
	uint64_t size;
	uint8_t protection_class;
	struct view properties;
};

static bool take_string(struct cursor *c, struct mb_slice *out)
{
	uint16_t len;
	struct view v;

	if (!cursor_be16(c, &len))
		return false;
	*out = (struct mb_slice){ (const char *)c->ptr, 0 };
	if (len == ABSENT)
		return true;
	if (!cursor_take(c, len, &v))
		return false;
	out->len = v.len;
	return true;
}

static bool take_record(struct cursor *c, struct raw *r)
{
	struct mb_slice skipped;
	const uint8_t *start;
	uint8_t count;

	if (!take_string(c, &r->domain) || !take_string(c, &r->path) ||
	    !take_string(c, &r->target) || !take_string(c, &r->digest) ||
	    !take_string(c, &r->key) || !cursor_be16(c, &r->mode) ||
	    !cursor_be64(c, &r->inode) || !cursor_be32(c, &r->uid) ||
	    !cursor_be32(c, &r->gid) || !cursor_be32(c, &r->mtime) ||
	    !cursor_be32(c, &r->ctime) || !cursor_be32(c, &r->birth) ||
	    !cursor_be64(c, &r->size) || !cursor_u8(c, &r->protection_class) ||
	    !cursor_u8(c, &count))
		return false;
	start = c->ptr;
	while (count--)
		if (!take_string(c, &skipped) || !take_string(c, &skipped))
			return false;
	r->properties = view_of(start, (size_t)(c->ptr - start));
	return true;
}

enum mb_type mode_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return MB_FILE;
	case S_IFDIR:
		return MB_DIR;
	case S_IFLNK:
		return MB_LINK;
	default:
		return 0;
	}
}

static int decode(struct raw *r, struct view data, size_t *len)
{
	struct cursor c = cursor_over(data);

	if (!take_record(&c, r))
		return -EAGAIN;
	*len = data.len - cursor_left(&c);
	/* the first string is never absent: null here means we are lost */
	if (data.ptr[0] == 0xff && data.ptr[1] == 0xff)
		return -EBADMSG;
	return 0;
}

int mbdb_head(struct mbdb_head *head, struct view data)
{
	struct raw r;
	int rc;

	rc = decode(&r, data, &head->len);
	if (rc < 0)
		return rc;
	head->domain = r.domain;
	head->path = r.path;
	head->mode = r.mode;
	head->size = (int64_t)r.size;
	return 0;
}

int mbdb_decode(struct mb_record *rec, struct view data)
{
	struct raw r;
	size_t len;
	int rc;

	rc = decode(&r, data, &len);
	if (rc < 0)
		return rc;
	rec->domain = r.domain;
	rec->path = r.path;
	rec->target = r.target;
	rec->mode = r.mode;
	rec->type = mode_type(r.mode);
	rec->inode = r.inode;
	rec->uid = r.uid;
	rec->gid = r.gid;
	/* signed, as one public reader has them: dates before 1970 */
	rec->mtime.tv_sec = (int32_t)r.mtime;
	rec->ctime.tv_sec = (int32_t)r.ctime;
	rec->birth.tv_sec = (int32_t)r.birth;
	rec->size = (int64_t)r.size;
	rec->protection_class = r.protection_class;
	if (r.key.len) {
		rec->wrapped_key_len = 1;
		if (r.key.len == sizeof(rec->wrapped_key)) {
			memcpy(rec->wrapped_key, r.key.ptr, r.key.len);
			rec->wrapped_key_len = sizeof(rec->wrapped_key);
		}
	}
	if (r.digest.len == 20 || r.digest.len == 32) {
		memcpy(rec->digest, r.digest.ptr, r.digest.len);
		rec->digest_len = (uint8_t)r.digest.len;
	}
	if (r.properties.len) {
		rec->xattrs = (struct mb_slice){ (const char *)r.properties.ptr,
						 r.properties.len };
		rec->xattrs_form = MB_XATTRS_MBDB;
	}
	return 0;
}

int mbdb_each_xattr(struct view properties,
		    int (*each)(void *arg, struct mb_slice name,
				struct mb_slice value),
		    void *arg)
{
	struct cursor c = cursor_over(properties);
	struct mb_slice name, value;
	int rc;

	while (take_string(&c, &name) && take_string(&c, &value)) {
		rc = each(arg, name, value);
		if (rc)
			return rc;
	}
	return 0;
}
