/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a payload tells once it has been read: by its digest, by its padding,
 * and by itself, if it is a database. A cipher without sums yields something
 * for any key, and padding is right by chance once in 256 times; that what
 * came out is noise is the only sign then.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_inside.h"
#include "database_check.h"
#include "mb/reader.h"
#include "record.h"

MB_DEFINE_AUTO(struct mb_reader, mb_reader_free)

static const char *stored_place(const struct mb_record *rec,
				const struct check *c, char out[64])
{
	snprintf(out, 64, c->b->places.flat_first ? "%s" : "%.2s/%s",
		 rec->file_id, rec->file_id);
	return out;
}

/* --- digest --------------------------------------------------------------- */

/* 1: it fits what is read; 0: it does not; an error */
static int fits_digest(struct check_reading *r, const struct mb_record *rec,
		       struct payload *p, bool stored)
{
	mb_auto(digest_free) struct digest *digest = NULL;
	int64_t off = 0, end = payload_stored_len(p);
	uint8_t sum[DIGEST_LEN_MAX];
	struct payload_extent extent;
	int rc = digest_new(&digest, rec->digest_len);

	if (rc == 0 && !stored) {
		rc = payload_measure(p, rec->size, &extent);
		end = extent.readable;
	}
	while (rc == 0 && off < end) {
		size_t want = end - off < CHECK_BUF_LEN ? (size_t)(end - off) :
							  CHECK_BUF_LEN;
		ssize_t n = stored ?
				    payload_pread_stored(p, r->buf, want, off) :
				    payload_pread(p, r->buf, want, off);

		if (check_cancelled(r->c))
			return -ECANCELED;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		rc = digest_add(digest, r->buf, (size_t)n);
		off += n;
	}
	if (rc == 0)
		rc = digest_finish(digest, sum);
	return rc < 0 ? rc : !memcmp(sum, rec->digest, rec->digest_len);
}

int check_digest(struct check_reading *r, const struct mb_record *rec,
		 struct payload *stored)
{
	mb_auto(payload_free) struct payload *plain = NULL;
	char place[64];
	int rc = fits_digest(r, rec, stored, true);

	if (rc == -ECANCELED || rc == 1)
		return rc;
	stored_place(rec, r->c, place);
	if (rc < 0) {
		check_say(r->c, CHECK_FINDING(STORED, "payload"), rec, place,
			  "cannot be read: %s", strerror(-rc));
		return 0;
	}
	/* some writers take the digest before they encrypt */
	if (check_is_keyed(r->c, rec) && check_has_keys(r->c) &&
	    check_open_payload(r->c, rec, true, &plain, NULL) == 0) {
		rc = fits_digest(r, rec, plain, false);
		if (rc == -ECANCELED || rc == 1)
			return rc;
	}
	check_say(r->c, CHECK_FINDING(STORED, "digest"), rec, place,
		  "its bytes do not have the recorded %s",
		  rec->digest_len == SHA1_LEN ? "SHA-1" : "SHA-256");
	return 0;
}

int check_fits_digest(struct check *c, const struct mb_record *rec)
{
	mb_auto(payload_free) struct payload *p = NULL;
	struct check_reading r = { .c = c };
	int rc = 0;

	if (!rec->digest_len || check_open_payload(c, rec, false, &p, NULL) < 0)
		return 0;
	r.buf = malloc(CHECK_BUF_LEN);
	rc = r.buf ? fits_digest(&r, rec, p, true) : -ENOMEM;
	free(r.buf);
	return rc == 1 || rc == -ECANCELED || rc == -ENOMEM ? rc : 0;
}

/* --- noise ---------------------------------------------------------------- */

#define NOISE_LEN 4096
#define NOISE_LEN_MIN 12

/*
 * Is a piece what a cipher yields for a wrong key? By the number of bits that
 * are set, of bytes from the upper half, and of different bytes. Text, lists,
 * and the heads of media and archives are far off; what is compressed or
 * encrypted is not, so this counts only where something else is odd.
 */
static bool is_noise(const uint8_t *p, size_t len)
{
	bool seen[256] = { false };
	double n = (double)len, bits = 0, upper = 0, kinds = 0, expected;

	if (len < NOISE_LEN_MIN)
		return false;
	for (size_t i = 0; i < len; i++) {
		for (unsigned b = p[i]; b; b &= b - 1)
			bits++;
		upper += p[i] >> 7;
		kinds += !seen[p[i]];
		seen[p[i]] = true;
	}
	expected = 256 * (1 - pow(255.0 / 256, n));
	/* four times the deviation that chance has */
	return fabs(bits - 4 * n) < 4 * sqrt(2 * n) &&
	       fabs(upper - n / 2) < 4 * sqrt(n / 4) &&
	       kinds > expected - 4 * sqrt(expected) - 1;
}

/* The front, the middle and the end, and the first bytes for themselves. */
static bool is_all_noise(struct check_reading *r, struct payload *p,
			 int64_t size)
{
	const int64_t offs[] = { 0, size / 2, size - NOISE_LEN };

	for (size_t i = 0; i < sizeof(offs) / sizeof(*offs); i++) {
		int64_t off = offs[i] > 0 ? offs[i] : 0;
		size_t len = size - off < NOISE_LEN ? (size_t)(size - off) :
						      NOISE_LEN;
		ssize_t n = payload_pread(p, r->buf, len, off);

		if (n <= 0 || !is_noise(r->buf, (size_t)n))
			return false;
		if (!i && n > 64 && !is_noise(r->buf, 64))
			return false;
	}
	return true;
}

/* --- padding and length --------------------------------------------------- */

/* Zeros from the recorded end on: how some writers pad, and no damage. */
static bool is_padded_with_zeros(struct payload *p, int64_t recorded)
{
	int64_t end = payload_stored_len(p), begin = end - BLOCK_LEN;
	uint8_t last[BLOCK_LEN];
	bool zeros = true;

	if (recorded < begin || recorded >= end ||
	    payload_pread(p, last, BLOCK_LEN, begin) != BLOCK_LEN)
		return false;
	for (int64_t i = recorded - begin; i < BLOCK_LEN; i++)
		zeros &= !last[i];
	crypto_wipe(last, sizeof(last));
	return zeros;
}

static bool say_bad_padding(struct check_reading *r,
			    const struct mb_record *rec, struct payload *p,
			    const char *place)
{
	int64_t len = payload_stored_len(p);

	if (is_padded_with_zeros(p, rec->size)) {
		check_say(r->c, CHECK_NOTE(CONTENT, "padding"), rec, place,
			  "padded with zeros");
		return true;
	}
	if (len > BLOCK_LEN && is_all_noise(r, p, len - BLOCK_LEN))
		check_say(
			r->c, CHECK_FINDING(CONTENT, "noise"), rec, place,
			"its key yields noise: another file's key or payload");
	else
		check_say(
			r->c, CHECK_FINDING(CONTENT, "padding"), rec, place,
			len > BLOCK_LEN ?
				"its last block is damaged: bad padding" :
				"it is damaged, or its key is another file's: bad padding");
	return false;
}

/* The padding is good, but not that of the recorded size. */
static bool judge_size(struct check_reading *r, const struct mb_record *rec,
		       struct payload *p, int64_t size, bool sure,
		       const char *place)
{
	int64_t padding = payload_stored_len(p) - size;

	/* two bytes or more are right by chance too seldom to count */
	if (!sure && padding == 1 && is_all_noise(r, p, size)) {
		check_say(
			r->c, CHECK_FINDING(CONTENT, "noise"), rec, place,
			"its key yields noise, and a length of %lld bytes instead of %lld: another file's key or payload",
			(long long)size, (long long)rec->size);
		return false;
	}
	check_say(
		r->c, CHECK_NOTE(CONTENT, "size"), rec, place,
		"%lld bytes instead of %lld: it changed while it was backed up",
		(long long)size, (long long)rec->size);
	return true;
}

bool check_end(struct check_reading *r, const struct mb_record *rec,
	       struct payload *p, bool keyed, bool sure, int64_t *size)
{
	struct payload_extent e;
	char place[64];
	int rc;

	if (!keyed) {
		*size = payload_stored_len(p);
		return true;
	}
	stored_place(rec, r->c, place);
	rc = payload_measure(p, rec->size, &e);
	if (rc < 0) {
		check_say(r->c, CHECK_FINDING(CONTENT, "payload"), rec, place,
			  "cannot be read: %s", strerror(-rc));
		return false;
	}
	*size = e.size;
	if (e.damage[0])
		return say_bad_padding(r, rec, p, place);
	if (e.size != rec->size)
		return judge_size(r, rec, p, e.size, sure, place);
	return true;
}

/* --- databases ------------------------------------------------------------ */

static ssize_t read_payload(void *arg, void *out, size_t len, int64_t off)
{
	return payload_pread(arg, out, len, off);
}

static ssize_t read_reader(void *arg, void *out, size_t len, int64_t off)
{
	return mb_reader_pread(arg, out, len, off);
}

/*
 * The file of a domain that has a name with something appended: its content,
 * or none. @rec is the caller's.
 */
static int open_beside(struct check *c, const struct mb_record *rec,
		       const char *ending, struct mb_reader **out)
{
	mb_auto(mb_record_release) struct mb_record beside = { 0 };
	mb_auto(buf_release) struct buf path = { 0 };
	char place[2 * SHA1_LEN + 1];
	uint8_t id[SHA1_LEN];
	size_t at, end;
	int rc = -ENOENT;

	if (buf_add(&path, rec->path.ptr, rec->path.len) < 0 ||
	    buf_add(&path, ending, strlen(ending)) < 0)
		return -ENOMEM;
	if (record_file_id(place, rec->domain,
			   (struct mb_slice){ (const char *)path.ptr,
					      path.len }) < 0 ||
	    !hex_decode(id, sizeof(id), place))
		return -EIO;
	for (check_items_range(c, id, &at, &end); at < end; at++) {
		if (!(c->items[at].bits & ITEM_PLACE) ||
		    c->items[at].type != MB_FILE)
			continue;
		rc = manifest_audit_get(c->audit, c->items[at].handle, &beside,
					NULL);
		return rc < 0 ? rc : mb_reader_open(out, c->b, &beside, NULL);
	}
	return rc;
}

static bool journal_is_hot(struct check *c, const struct mb_record *rec)
{
	mb_auto(mb_reader_free) struct mb_reader *journal = NULL;
	uint8_t head[JOURNAL_HEAD_LEN];
	ssize_t n;

	if (open_beside(c, rec, "-journal", &journal) < 0)
		return false;
	n = mb_reader_pread(journal, head, sizeof(head), 0);
	return n > 0 && database_journal_is_hot(head, (size_t)n);
}

static int judge_database(struct check *c, const struct mb_record *rec,
			  struct payload *p, int64_t size, struct mb_err *err)
{
	mb_auto(mb_reader_free) struct mb_reader *wal = NULL;
	struct wal_source main = {
		.read = read_payload,
		.arg = p,
		.len = size,
		.cancelled = c->wish->cancelled,
	};
	struct wal_source log = main;
	int rc;

	if (journal_is_hot(c, rec))
		return mb_err_set(
			err, -ENOTSUP,
			"a journal beside it is to be rolled back first");
	rc = open_beside(c, rec, "-wal", &wal);
	if (rc == -ENOMEM)
		return rc;
	/* one that cannot be read has a finding of its own */
	if (rc < 0 && rc != -ENOENT && rc != -ENODATA)
		return mb_err_set(err, -ENOTSUP,
				  "its write-ahead log cannot be read");
	if (wal) {
		log.read = read_reader;
		log.arg = wal;
		log.len = mb_reader_get_size(wal);
	}
	return database_check(&main, wal && log.len ? &log : NULL, err);
}

int check_inside(struct check_reading *r, const struct mb_record *rec,
		 struct payload *p, int64_t size, bool *damaged)
{
	struct check *c = r->c;
	uint8_t head[DATABASE_HEAD_LEN];
	enum database_kind kind;
	struct mb_err err;
	char place[64];
	ssize_t n;
	int rc;

	n = payload_pread(
		p, head,
		size < DATABASE_HEAD_LEN ? (size_t)size : DATABASE_HEAD_LEN, 0);
	kind = n > 0 ? database_kind(head, (size_t)n, size) : DATABASE_NONE;
	if (kind == DATABASE_NONE)
		return 0;
	stored_place(rec, c, place);
	if (kind == DATABASE_SPOILT)
		rc = mb_err_set(
			&err, -EBADMSG,
			"the first block of an SQLite database is damaged");
	else
		rc = judge_database(c, rec, p, size, &err);
	if (rc == -ECANCELED)
		return rc;
	if (rc == 0 || rc == -EBADMSG)
		atomic_fetch_add(&c->counts->databases, 1);
	else
		atomic_fetch_add(&c->counts->unjudged_databases, 1);
	*damaged = rc == -EBADMSG || rc == -EIO;
	if (*damaged)
		check_say(c, CHECK_FINDING(CONTENT, "database"), rec, place,
			  "SQLite database: %s", err.text);
	else if (rc < 0)
		check_say(c, CHECK_NOTE(CONTENT, "database"), rec, place,
			  "SQLite database not checked: %s", err.text);
	return 0;
}
