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
#include "manifest_carved.h"
#include "mbdb.h"
#include "mbdb_window.h"
#include "record.h"

struct manifest_mbdb {
	struct manifest base;
	struct payload *payload;
	struct domain_index index;
};

static int build_index(struct manifest_mbdb *m, struct mb_err *err)
{
	int64_t end = payload_stored_len(m->payload), off;
	struct window w = { .payload = m->payload };
	struct mbdb_head head;
	uint64_t seen = 0;
	int rc = 0;

	for (off = MBDB_MAGIC_LEN; off < end; off += (int64_t)head.len) {
		rc = window_head(&w, off, WINDOW_LEN, &head);
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

/* ---- one that is damaged ---- */

/* Longest record that is looked for behind damage; real ones have some 200. */
#define PIECE_MAX (256u << 10)
#define PIECES_WINDOW (4 * PIECE_MAX)
/* So often a record is tried where none may be. */
#define TRIES_MAX 4000000

struct pieces {
	struct manifest_mbdb *m;
	struct carved *carved;
	struct window w;
	int64_t end;
	unsigned tries;
};

static bool is_plain_text(struct mb_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < 0x20)
			return false;
	return utf8_valid_prefix(s.ptr, s.len) == s.len;
}

/* "HomeDomain", "AppDomain-com.example": so devices name all of them. */
static bool is_usual_domain(struct mb_slice s)
{
	return s.len >= 6 && s.len <= 512 &&
	       memmem(s.ptr, s.len, "Domain", 6) && is_plain_text(s);
}

/*
 * The bytes from an offset on, as many as a record may have or as there are.
 */
static int piece_at(struct pieces *p, int64_t off, struct view *v)
{
	int64_t behind = off - p->w.begin;
	int rc;

	if (behind < 0 || behind > (int64_t)p->w.buf.len ||
	    ((int64_t)p->w.buf.len - behind < PIECE_MAX &&
	     p->w.begin + (int64_t)p->w.buf.len < p->end)) {
		rc = window_fill(&p->w, off, PIECES_WINDOW);
		if (rc < 0)
			return rc;
		behind = 0;
	}
	*v = view_of(p->w.buf.ptr + behind, p->w.buf.len - (size_t)behind);
	return 0;
}

enum likeness { NO_RECORD, LIKE_A_RECORD, SURELY_A_RECORD };

static enum likeness likeness_of(struct mbdb_head *head, struct view v)
{
	struct mb_record rec = { 0 };

	if (v.len < MBDB_RECORD_MIN || mbdb_head(head, v) < 0 ||
	    !mode_type(head->mode) || head->size < 0 ||
	    mbdb_decode(&rec, v) < 0 || rec.protection_class > 32)
		return NO_RECORD;
	return is_usual_domain(head->domain) && is_plain_text(head->path) &&
			       rec.mtime.tv_sec && rec.inode ?
		       SURELY_A_RECORD :
		       LIKE_A_RECORD;
}

/*
 * Is there a record at the front of @v? One whose lengths are damaged is
 * followed by what is none.
 */
static bool is_record(struct mbdb_head *head, struct view v)
{
	enum likeness first = likeness_of(head, v);
	struct mbdb_head next;

	if (first != LIKE_A_RECORD || head->len == v.len)
		return first != NO_RECORD;
	return likeness_of(&next, view_of(v.ptr + head->len,
					  v.len - head->len)) != NO_RECORD;
}

/* The same where none is known to begin: two in a row, or the last one. */
static bool is_new_start(struct mbdb_head *head, struct view v)
{
	struct mbdb_head next;

	return likeness_of(head, v) == SURELY_A_RECORD &&
	       (head->len == v.len ||
		likeness_of(&next,
			    view_of(v.ptr + head->len, v.len - head->len)) ==
			SURELY_A_RECORD);
}

/* At a glance: a length and a letter, as of any usual domain. */
static bool may_start(struct view v)
{
	return v.len >= MBDB_RECORD_MIN && v.ptr[0] <= 2 &&
	       (v.ptr[0] || v.ptr[1] >= 6) && v.ptr[2] >= 'A' &&
	       v.ptr[2] <= 'Z';
}

/* The next offset from @off on where it goes on; p->end if nowhere. */
static int find_start(struct pieces *p, int64_t *off)
{
	struct mbdb_head head;
	struct view v;

	while (*off < p->end) {
		int rc = piece_at(p, *off, &v);
		size_t at = 0, room = v.len;

		if (rc < 0)
			return rc;
		if (!v.len)
			break;
		if (*off + (int64_t)v.len < p->end)
			room -= PIECE_MAX - 1;
		for (; at < room; at++) {
			struct view rest = view_of(v.ptr + at, v.len - at);

			if (!may_start(rest))
				continue;
			if (++p->tries > TRIES_MAX)
				goto out_of_tries;
			if (is_new_start(&head, rest)) {
				*off += (int64_t)at;
				return 0;
			}
		}
		*off += (int64_t)at;
	}
out_of_tries:
	*off = p->end;
	return 0;
}

static int take_pieces(struct pieces *p)
{
	int64_t off = MBDB_MAGIC_LEN, from;
	struct mbdb_head head;
	struct view v;
	int rc;

	while (off < p->end) {
		rc = piece_at(p, off, &v);
		if (rc < 0)
			return rc;
		if (is_record(&head, v)) {
			rc = domain_index_add(&p->m->index, head.domain, off,
					      !head.path.len);
			if (rc < 0)
				return rc;
			p->carved->rows++;
			off += (int64_t)head.len;
			continue;
		}
		from = off++;
		rc = find_start(p, &off);
		if (rc < 0)
			return rc;
		p->carved->skipped += (uint64_t)(off - from);
	}
	domain_index_seal(&p->m->index);
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

	rc = window_head(&w, handle, 1024, &head);
	if (rc == 0)
		rc = record_reset(rec, head.len);
	if (rc == 0)
		rc = record_keep(rec, &stored, window_at(&w, handle), head.len);
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

		rc = window_head(&w, entry.handle, WINDOW_LEN, &head);
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

static int mbdb_each_id(struct manifest *base, manifest_each_id *each,
			void *arg, struct mb_err *err)
{
	struct manifest_mbdb *m = (struct manifest_mbdb *)base;
	mb_auto(free) int64_t *handles = domain_index_handles(&m->index);
	struct window w = { .payload = m->payload };
	int rc = 0;

	if (!handles)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < m->index.count && !rc; i++) {
		char id[2 * SHA1_LEN + 1];
		struct mbdb_head head;

		rc = window_head(&w, handles[i], WINDOW_LEN, &head);
		/* zeros where records were: no device writes one like that */
		if (rc == 0 && !head.domain.len && !head.path.len && !head.mode)
			rc = -EBADMSG;
		if (rc == 0)
			rc = record_file_id(id, head.domain, head.path);
		if (rc < 0)
			mb_err_set(err, rc, "Manifest.mbdb: record at %lld: %s",
				   (long long)handles[i], strerror(-rc));
		else
			rc = each(arg, mb_slice_of(id), mode_type(head.mode));
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
	.each_id = mbdb_each_id,
	.get = mbdb_get,
};

int manifest_open_mbdb(struct manifest **out, struct payload *p,
		       struct mb_err *err)
{
	struct manifest_mbdb *m = calloc(1, sizeof(*m));
	int rc;

	if (!m) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	m->base.ops = &mbdb_ops;
	m->payload = p;
	rc = mbdb_check_front(p, err);
	if (rc == 0)
		rc = build_index(m, err);
	if (rc < 0) {
		mb_err_prefix(err, rc, "Manifest.mbdb");
		mbdb_free(&m->base);
		return rc;
	}
	*out = &m->base;
	return 0;
}

int manifest_open_mbdb_pieces(struct manifest **out, struct payload *p,
			      struct carved *carved, struct mb_err *err)
{
	struct manifest_mbdb *m = calloc(1, sizeof(*m));
	struct pieces pieces = { .m = m, .carved = carved, .w.payload = p };
	int rc;

	*carved = (struct carved){ 0 };
	if (!m) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	m->base.ops = &mbdb_ops;
	m->payload = p;
	pieces.end = payload_stored_len(p);
	if (pieces.end > MBDB_LEN_MAX)
		pieces.end = MBDB_LEN_MAX;
	rc = take_pieces(&pieces);
	buf_release(&pieces.w.buf);
	if (rc < 0) {
		mbdb_free(&m->base);
		return mb_err_set(err, rc, "Manifest.mbdb: %s", strerror(-rc));
	}
	*out = &m->base;
	return 0;
}
