/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Manifest.mbdb has no index: one pass at the start finds where each record
 * begins (its handle) and to which domain it belongs. The records stay on disk
 * and are decoded when asked for.
 */
#include <errno.h>
#include <stdlib.h>

#include "domain_index.h"
#include "manifest.h"
#include "mbdb.h"
#include "record.h"

#define WINDOW_LEN (256u << 10)

/*
 * Real ones have some 200 bytes a file. A hole in a sparse file reads as
 * records of 50 zeros each, so the length has to have a limit.
 */
#define MBDB_LEN_MAX (INT64_C(1) << 30)

struct manifest_mbdb {
	struct manifest base;
	struct payload *payload;
	struct domain_index index;
};

/* A piece of the file in memory, moved along by the reads. */
struct window {
	struct payload *payload;
	struct buf buf;
	int64_t begin;
};

static int window_fill(struct window *w, int64_t off, size_t len)
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
 * The record at @off, by @decode. A window that ends within the record is
 * filled anew from its start, and only then, longer.
 */
static int window_record(struct window *w, int64_t off, size_t len,
			 int (*decode)(void *out, struct view data), void *out)
{
	for (;;) {
		int rc = -EAGAIN;

		if (off >= w->begin && off - w->begin < (int64_t)w->buf.len)
			rc = decode(
				out,
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

static int decode_head(void *out, struct view data)
{
	return mbdb_head(out, data);
}

static int build_index(struct manifest_mbdb *m, struct mb_err *err)
{
	int64_t end = payload_stored_len(m->payload), off;
	struct window w = { .payload = m->payload };
	struct mbdb_head head;
	uint64_t seen = 0;
	int rc = 0;

	for (off = MBDB_MAGIC_LEN; off < end; off += (int64_t)head.len) {
		rc = window_record(&w, off, WINDOW_LEN, decode_head, &head);
		if (rc < 0)
			break;
		rc = domain_index_add(&m->index, head.domain, off,
				      !head.path.len);
		if (rc < 0)
			break;
		seen++;
	}
	buf_release(&w.buf);
	if (rc == -EBADMSG)
		return mb_err_set(
			err, rc,
			"record %llu at offset %lld is damaged or cut off",
			(unsigned long long)seen + 1, (long long)off);
	if (rc < 0)
		return mb_err_set(err, rc, "cannot read it: %s", strerror(-rc));
	domain_index_seal(&m->index);
	return 0;
}

static int mbdb_get(struct manifest *base, int64_t handle,
		    struct mb_record *rec, struct mb_err *err)
{
	struct manifest_mbdb *m = (struct manifest_mbdb *)base;
	struct window w = { .payload = m->payload };
	struct mb_slice stored;
	struct mbdb_head head;
	int rc;

	rc = window_record(&w, handle, 1024, decode_head, &head);
	if (rc == 0)
		rc = record_reset(rec, head.len);
	if (rc == 0)
		rc = record_keep(rec, &stored, w.buf.ptr + (handle - w.begin),
				 head.len);
	buf_release(&w.buf);
	if (rc == 0)
		rc = mbdb_decode(rec, view_of(stored.ptr, stored.len));
	if (rc == 0)
		rc = record_file_id(rec->file_id, rec->domain, rec->path);
	if (rc < 0)
		return mb_err_set(err, rc, "Manifest.mbdb: record at %lld: %s",
				  (long long)handle, strerror(-rc));
	if (!rec->type) {
		rec->type = MB_FILE;
		rec->damage = "mode tells no type";
	}
	return 0;
}

static int mbdb_each_domain(struct manifest *base, manifest_each_domain *each,
			    void *arg, struct mb_err *err)
{
	struct manifest_mbdb *m = (struct manifest_mbdb *)base;

	(void)err;
	return domain_index_each(&m->index, each, arg);
}

static int mbdb_scan(struct manifest *base, struct mb_slice domain, bool sizes,
		     manifest_each_entry *each, void *arg, struct mb_err *err)
{
	struct manifest_mbdb *m = (struct manifest_mbdb *)base;
	struct window w = { .payload = m->payload };
	size_t first, count;
	int rc = 0;

	(void)sizes; /* at no cost here */
	domain_index_range(&m->index, domain, &first, &count);
	for (size_t i = first; i < first + count && !rc; i++) {
		struct manifest_entry entry = {
			.handle = m->index.entries[i].handle
		};
		struct mbdb_head head;

		rc = window_record(&w, entry.handle, WINDOW_LEN, decode_head,
				   &head);
		if (rc < 0) {
			mb_err_set(err, rc, "Manifest.mbdb: record at %lld: %s",
				   (long long)entry.handle, strerror(-rc));
			break;
		}
		entry.path = head.path;
		entry.type = mode_type(head.mode);
		if (!entry.type) /* as mbdb_get has it */
			entry.type = MB_FILE;
		entry.size = head.size;
		rc = each(arg, &entry);
	}
	buf_release(&w.buf);
	return rc;
}

static void mbdb_free(struct manifest *base)
{
	struct manifest_mbdb *m = (struct manifest_mbdb *)base;

	domain_index_release(&m->index);
	payload_free(m->payload);
	free(m);
}

static const struct manifest_ops mbdb_ops = {
	.free = mbdb_free,
	.each_domain = mbdb_each_domain,
	.scan = mbdb_scan,
	.get = mbdb_get,
};

int manifest_open_mbdb(struct manifest **out, struct payload *p,
		       struct mb_err *err)
{
	struct manifest_mbdb *m = calloc(1, sizeof(*m));
	uint8_t magic[MBDB_MAGIC_LEN];
	ssize_t n;
	int rc;

	if (!m) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	m->base.ops = &mbdb_ops;
	m->payload = p;
	n = payload_pread(p, magic, sizeof(magic), 0);
	if (n < 0)
		rc = mb_err_set(err, (int)n, "cannot read it: %s",
				strerror((int)-n));
	else if (n < MBDB_MAGIC_LEN || memcmp(magic, "mbdb", 4))
		rc = mb_err_set(err, -EBADMSG, "does not begin with \"mbdb\"");
	else if (magic[4] != 5 || magic[5] != 0)
		rc = mb_err_set(err, -ENOTSUP, "version %u.%u is not read",
				magic[4], magic[5]);
	else if (payload_stored_len(p) > MBDB_LEN_MAX)
		rc = mb_err_set(err, -EBADMSG,
				"%lld bytes are more than any device writes",
				(long long)payload_stored_len(p));
	else
		rc = build_index(m, err);
	if (rc < 0) {
		mb_err_prefix(err, rc, "Manifest.mbdb");
		mbdb_free(&m->base);
		return rc;
	}
	*out = &m->base;
	return 0;
}
