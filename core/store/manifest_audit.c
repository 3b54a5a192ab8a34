/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_audit.h"

#include <errno.h>
#include <stdlib.h>

#include "mbdb.h"
#include "mbdb_window.h"
#include "record.h"

void manifest_audit_free(struct manifest_audit *a)
{
	if (a)
		a->ops->free(a);
}

int manifest_audit_inspect(struct manifest_audit *a, struct mb_err *err)
{
	return a->ops->inspect(a, err);
}

int manifest_audit_each(struct manifest_audit *a, manifest_audit_row *each,
			void *arg, bool *lost, struct mb_err *loss)
{
	*lost = false;
	return a->ops->each(a, each, arg, lost, loss);
}

int manifest_audit_each_id(struct manifest_audit *a,
			   int (*each)(void *arg, struct mb_slice id),
			   void *arg)
{
	return a->ops->each_id(a, each, arg);
}

int manifest_audit_get(struct manifest_audit *a, int64_t handle,
		       struct mb_record *rec, struct mb_err *err)
{
	return a->ops->get(a, handle, rec, err);
}

/* --- Manifest.mbdb -------------------------------------------------------- */

static int decode_at(struct window *w, int64_t off, size_t len,
		     struct mb_record *rec)
{
	struct mb_slice stored;
	struct mbdb_head head;
	int rc;

	rc = window_head(w, off, len, &head);
	if (rc == 0)
		rc = record_reset(rec, head.len);
	if (rc == 0)
		rc = record_keep(rec, &stored, window_at(w, off), head.len);
	if (rc == 0)
		rc = mbdb_decode(rec, view_of(stored.ptr, stored.len));
	if (rc == 0)
		rc = record_file_id(rec->file_id, rec->domain, rec->path);
	if (rc < 0)
		return rc;
	if (!rec->type) {
		rec->type = MB_FILE;
		rec->damage = "mode tells no type";
	} else if (rec->size < 0) {
		rec->damage = "recorded size is negative";
	}
	return (int)head.len;
}

static int mbdb_each(struct manifest_audit *a, manifest_audit_row *each,
		     void *arg, bool *lost, struct mb_err *loss)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	struct window w = { .payload = a->payload };
	int64_t end = payload_stored_len(a->payload);
	int64_t off = MBDB_MAGIC_LEN;
	uint64_t seen = 0;
	int rc = 0;

	while (off < end && rc == 0) {
		int len = decode_at(&w, off, WINDOW_LEN, &rec);

		if (len < 0) {
			rc = len;
			break;
		}
		rc = a->cancelled && seen % 4096 == 0 && a->cancelled() ?
			     -ECANCELED :
			     each(arg, &(struct manifest_row){
					       .handle = off,
					       .is_entry = true,
					       .rec = &rec,
				       });
		off += len;
		seen++;
	}
	buf_release(&w.buf);
	if (rc != -EBADMSG && rc != -EIO)
		return rc;
	/* without an index, nothing tells where the next record begins */
	*lost = true;
	mb_err_set(
		loss, rc,
		"record %llu at offset %lld is damaged or cut off; what follows is lost",
		(unsigned long long)seen + 1, (long long)off);
	return 0;
}

static int mbdb_each_id(struct manifest_audit *a,
			int (*each)(void *arg, struct mb_slice id), void *arg)
{
	(void)a, (void)each, (void)arg;
	return -ENOTSUP;
}

static int mbdb_get(struct manifest_audit *a, int64_t handle,
		    struct mb_record *rec, struct mb_err *err)
{
	struct window w = { .payload = a->payload };
	int rc = decode_at(&w, handle, 1024, rec);

	buf_release(&w.buf);
	if (rc < 0)
		return mb_err_set(err, rc, "record at %lld: %s",
				  (long long)handle, strerror(-rc));
	return 0;
}

/* mbdb has no sums and no structure but its records: mbdb_each sees it all. */
static int mbdb_inspect(struct manifest_audit *a, struct mb_err *err)
{
	(void)a, (void)err;
	return 0;
}

static void mbdb_free(struct manifest_audit *a)
{
	payload_free(a->payload);
	free(a);
}

static const struct manifest_audit_ops mbdb_ops = {
	.free = mbdb_free,
	.inspect = mbdb_inspect,
	.each = mbdb_each,
	.each_id = mbdb_each_id,
	.get = mbdb_get,
};

int manifest_audit_open_mbdb(struct manifest_audit **out, struct payload *p,
			     bool (*cancelled)(void), struct mb_err *err)
{
	struct manifest_audit *a = calloc(1, sizeof(*a));
	int rc;

	if (!a) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	a->ops = &mbdb_ops;
	a->payload = p;
	a->cancelled = cancelled;
	rc = mbdb_check_front(p, err);
	if (rc < 0) {
		mbdb_free(a);
		return rc;
	}
	*out = a;
	return 0;
}
