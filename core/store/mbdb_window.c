/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbdb_window.h"

#include <errno.h>

int window_fill(struct window *w, int64_t off, size_t len)
{
	ssize_t n;

	w->buf.len = 0;
	if (buf_reserve(&w->buf, len) < 0)
		return -ENOMEM;
	n = payload_pread(w->payload, w->buf.ptr, len, off);
	if (n < 0)
		return (int)n;
	w->begin = off;
	w->buf.len = (size_t)n;
	return 0;
}

/*
 * A window that ends within the record is filled anew from its start, and only
 * then, longer.
 */
int window_head(struct window *w, int64_t off, size_t len,
		struct mbdb_head *head)
{
	for (;;) {
		int rc = -EAGAIN;

		if (off >= w->begin && off - w->begin < (int64_t)w->buf.len)
			rc = mbdb_head(
				head,
				view_of(w->buf.ptr + (off - w->begin),
					w->buf.len - (size_t)(off - w->begin)));
		if (rc != -EAGAIN)
			return rc;
		if (off == w->begin && w->buf.len) {
			/* from its start and still cut: the end of the file,
			 * or an unusually long record */
			if (w->buf.len < len || len > MBDB_RECORD_MAX)
				return -EBADMSG;
			len *= 4;
		}
		rc = window_fill(w, off, len);
		if (rc < 0)
			return rc;
		if (!w->buf.len)
			return -EBADMSG;
	}
}

const uint8_t *window_at(const struct window *w, int64_t off)
{
	return w->buf.ptr + (off - w->begin);
}

int mbdb_check_front(struct payload *p, struct mb_err *err)
{
	uint8_t magic[MBDB_MAGIC_LEN];
	ssize_t n = payload_pread(p, magic, sizeof(magic), 0);

	if (n < 0)
		return mb_err_set(err, (int)n, "cannot read it: %s",
				  strerror((int)-n));
	if (n < MBDB_MAGIC_LEN || memcmp(magic, "mbdb", 4))
		return mb_err_set(err, -EBADMSG,
				  "does not begin with \"mbdb\"");
	if (magic[4] != 5 || magic[5] != 0)
		return mb_err_set(err, -ENOTSUP, "version %u.%u is not read",
				  magic[4], magic[5]);
	if (payload_stored_len(p) > MBDB_LEN_MAX)
		return mb_err_set(err, -EBADMSG,
				  "%lld bytes are more than any device writes",
				  (long long)payload_stored_len(p));
	return 0;
}
