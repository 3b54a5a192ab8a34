/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <errno.h>
#include <stdlib.h>

#include "mbdb.h"
#include "mbfile.h"

int record_reset(struct mb_record *rec, size_t room)
{
	unsigned char *mem = rec->mem;
	size_t cap = rec->mem_cap;

	if (room > cap) {
		cap = room + room / 2;
		mem = realloc(mem, cap);
		if (!mem)
			return -ENOMEM;
	}
	*rec = (struct mb_record){ .mem = mem, .mem_cap = cap };
	return 0;
}

int record_keep(struct mb_record *rec, struct mb_slice *slice, const void *ptr,
		size_t len)
{
	/* growing would leave the other slices behind */
	if (len > rec->mem_cap - rec->mem_len)
		return -ENOMEM;
	if (!len) {
		*slice = (struct mb_slice){ "", 0 };
		return 0;
	}
	memcpy(rec->mem + rec->mem_len, ptr, len);
	*slice = (struct mb_slice){ (char *)rec->mem + rec->mem_len, len };
	rec->mem_len += len;
	return 0;
}

int record_file_id(char out[2 * SHA1_LEN + 1], struct mb_slice domain,
		   struct mb_slice path)
{
	mb_auto(buf_release) struct buf front = { 0 };
	uint8_t digest[SHA1_LEN];
	int rc;

	if (buf_add(&front, domain.ptr, domain.len) < 0 ||
	    buf_add_u8(&front, '-') < 0)
		return -ENOMEM;
	rc = crypto_sha1(digest, view_of(front.ptr, front.len),
			 view_of(path.ptr, path.len));
	if (rc < 0)
		return rc;
	hex_encode(out, digest, sizeof(digest));
	return 0;
}

bool mb_is_app_domain(struct mb_slice domain, const char *bundle_id)
{
	const struct mb_slice prefix = mb_slice_of("AppDomain-");

	if (domain.len < prefix.len ||
	    memcmp(domain.ptr, prefix.ptr, prefix.len) != 0)
		return false;
	domain.ptr += prefix.len;
	domain.len -= prefix.len;
	return mb_slice_equal(domain, mb_slice_of(bundle_id));
}

void mb_record_release(struct mb_record *rec)
{
	free(rec->mem);
	*rec = (struct mb_record){ 0 };
}

int mb_record_each_xattr(const struct mb_record *rec,
			 int (*each)(void *arg, struct mb_slice name,
				     struct mb_slice value),
			 void *arg)
{
	struct view stored = view_of(rec->xattrs.ptr, rec->xattrs.len);

	switch (rec->xattrs_form) {
	case MB_XATTRS_PLIST:
		return mbfile_each_xattr(stored, each, arg);
	case MB_XATTRS_MBDB:
		return mbdb_each_xattr(stored, each, arg);
	default:
		return 0;
	}
}
