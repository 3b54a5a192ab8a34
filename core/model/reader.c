/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "opened.h"

struct mb_reader {
	struct payload *payload; /* NULL for an empty file without one */
	struct payload_extent extent;
};

MB_DEFINE_AUTO(struct mb_reader, mb_reader_free)

int backup_unwrap_file_key(const struct mb_backup *b,
			   const struct mb_record *rec, uint8_t key[KEY_LEN],
			   struct mb_err *err)
{
	int rc;

	if (rec->wrapped_key_len != STORED_KEY_LEN)
		return mb_err_set(err, -EBADMSG,
				  "file key is not %d bytes long",
				  STORED_KEY_LEN);
	rc = keyring_unwrap(&b->keyring, key, rec->wrapped_key,
			    rec->protection_class);
	if (rc == -ENOKEY)
		return mb_err_set(
			err, rc,
			"no key for protection class %u in the key bag",
			le32_at(rec->wrapped_key));
	return rc < 0 ? mb_err_set(err, rc, "file key is damaged") : 0;
}

/* 1: the payload has a key; 0: it is plain; or why it cannot be had */
static int is_keyed(const struct mb_backup *b, const struct mb_record *rec,
		    struct mb_err *err)
{
	if (!b->info.encrypted || rec->as_stored)
		return 0; /* a key is left over in decrypted copies */
	if (!b->unlocked)
		return mb_err_set(err, -ENOKEY,
				  b->info.keys_lost ?
					  "encrypted, and its key is lost" :
					  "password needed");
	if (!rec->wrapped_key_len)
		return rec->damage ?
			       mb_err_set(err, -EBADMSG, "%s", rec->damage) :
			       0;
	return 1;
}

/* 1: @key is filled; 0: the payload is plain */
static int file_key(struct mb_backup *b, const struct mb_record *rec,
		    uint8_t key[KEY_LEN], struct mb_err *err)
{
	int rc = is_keyed(b, rec, err);

	if (rc != 1)
		return rc;
	rc = backup_unwrap_file_key(b, rec, key, err);
	return rc < 0 ? rc : 1;
}

/* Why a payload cannot be had. */
static int explain_absence(const struct mb_record *rec, int rc,
			   struct mb_err *err)
{
	if (rc == -ENOENT)
		return mb_err_set(err, -ENODATA, "payload %s is missing",
				  rec->file_id);
	if (rc == -ELOOP || rc == -EXDEV || rc == -EBADMSG || rc == -EISDIR)
		return mb_err_set(
			err, -ENODATA,
			"payload %s is no regular file inside the backup",
			rec->file_id);
	return mb_err_set(err, rc, "payload %s: %s", rec->file_id,
			  strerror(-rc));
}

static int find_payload(struct mb_reader *r, struct mb_backup *b,
			const struct mb_record *rec, const uint8_t key[KEY_LEN],
			struct mb_err *err)
{
	int rc;

	if (!rec->file_id[0])
		return mb_err_set(err, -ENODATA, "file ID is malformed");
	rc = payload_find(&r->payload, &b->places, rec->file_id, key);
	if (rc == -ENOENT && !rec->size && !rec->damage)
		return 0;
	if (rc == 0)
		rc = payload_measure(r->payload, rec->size, &r->extent);
	return rc < 0 ? explain_absence(rec, rc, err) : 0;
}

int mb_reader_open(struct mb_reader **out, struct mb_backup *b,
		   const struct mb_record *rec, struct mb_err *err)
{
	mb_auto(mb_reader_free) struct mb_reader *r = calloc(1, sizeof(*r));
	uint8_t key[KEY_LEN];
	int rc;

	if (!r)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = file_key(b, rec, key, err);
	if (rc >= 0)
		rc = find_payload(r, b, rec, rc ? key : NULL, err);
	crypto_wipe(key, sizeof(key));
	if (rc < 0)
		return rc;
	*out = mb_steal(&r);
	return 0;
}

static int64_t plain_size(const struct mb_backup *b,
			  const struct mb_record *rec)
{
	struct payload_place place;
	int rc = payload_locate(&place, &b->places, rec->file_id);

	return rc < 0 ? rc : place.stored_len;
}

static_assert(MB_SIZES_MAX <= UNWRAP_MAX, "all keys are unwrapped at once");

/* Without the means to read: sizes, or errors. */
static void sizes_at_a_glance(const struct mb_backup *b,
			      const struct mb_record *const recs[],
			      int64_t sizes[], unsigned count)
{
	struct stored_key keys[MB_SIZES_MAX];
	unsigned of[MB_SIZES_MAX], n = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct mb_record *rec = recs[i];
		int rc = rec->file_id[0] ? is_keyed(b, rec, NULL) : -ENODATA;

		if (rc == 1 && rec->wrapped_key_len == STORED_KEY_LEN) {
			keys[n].stored = rec->wrapped_key;
			keys[n].other_class = rec->protection_class;
			of[n++] = i;
		}
		sizes[i] = rc ? -EBADMSG : plain_size(b, rec);
	}
	keyring_unwrap_some(&b->keyring, keys, n);
	for (unsigned i = 0; i < n; i++) {
		const struct mb_record *rec = recs[of[i]];

		if (keys[i].rc == 0)
			sizes[of[i]] =
				payload_expected_size(&b->places, rec->file_id,
						      keys[i].key, rec->size);
	}
	crypto_wipe(keys, n * sizeof(*keys));
}

void mb_reader_find_sizes(struct mb_backup *b,
			  const struct mb_record *const recs[], int64_t sizes[],
			  unsigned count)
{
	sizes_at_a_glance(b, recs, sizes, count);
	for (unsigned i = 0; i < count; i++) {
		mb_auto(mb_reader_free) struct mb_reader *r = NULL;

		if (sizes[i] == -EAGAIN &&
		    mb_reader_open(&r, b, recs[i], NULL) == 0)
			sizes[i] = r->extent.size;
		else if (sizes[i] < 0)
			sizes[i] = recs[i]->size > 0 ? recs[i]->size : 0;
	}
}

int64_t mb_reader_find_size(struct mb_backup *b, const struct mb_record *rec)
{
	int64_t size;

	mb_reader_find_sizes(b, &rec, &size, 1);
	return size;
}

/* What the padding says, for a payload whose length is not the expected one. */
static int check_padding(struct mb_backup *b, const struct mb_record *rec,
			 struct mb_err *err)
{
	mb_auto(mb_reader_free) struct mb_reader *r = NULL;
	int rc = mb_reader_open(&r, b, rec, err);

	if (rc == 0 && r->extent.readable < r->extent.size)
		rc = mb_err_set(err, -EBADMSG, "%s", r->extent.damage);
	return rc;
}

int mb_reader_check(struct mb_backup *b, const struct mb_record *rec,
		    struct mb_err *err)
{
	struct payload_place place;
	uint8_t key[KEY_LEN];
	bool plain;
	int rc;

	if (rec->type != MB_FILE)
		return 0;
	if (rec->damage)
		return mb_err_set(err, -EBADMSG, "%s", rec->damage);
	rc = file_key(b, rec, key, err);
	crypto_wipe(key, sizeof(key));
	if (rc < 0)
		return rc;
	plain = rc == 0;
	rc = payload_locate(&place, &b->places, rec->file_id);
	if (rc == -ENOENT && !rec->size)
		return 0;
	if (rc < 0)
		return explain_absence(rec, rc, err);
	/* no sum of a recorded size, which may be anything */
	if (!plain && place.stored_len % BLOCK_LEN == 0 &&
	    place.stored_len / BLOCK_LEN - 1 == rec->size / BLOCK_LEN)
		return 0;
	if (!plain)
		return check_padding(b, rec, err);
	if (place.stored_len < rec->size)
		return mb_err_set(
			err, -EBADMSG,
			"payload %s is cut off: %lld bytes instead of %lld",
			rec->file_id, (long long)place.stored_len,
			(long long)rec->size);
	return 0;
}

void mb_reader_free(struct mb_reader *r)
{
	if (!r)
		return;
	payload_free(r->payload);
	free(r);
}

int64_t mb_reader_get_size(const struct mb_reader *r)
{
	return r->extent.size;
}

const char *mb_reader_get_damage(const struct mb_reader *r, bool *fatal)
{
	*fatal = r->extent.readable < r->extent.size;
	return r->extent.damage[0] ? r->extent.damage : NULL;
}

ssize_t mb_reader_pread(struct mb_reader *r, void *out, size_t len, int64_t off)
{
	ssize_t n;

	if (off < 0)
		return -EINVAL;
	if (off >= r->extent.size || !len)
		return 0;
	if (off >= r->extent.readable)
		return -EIO;
	if (len > (uint64_t)(r->extent.readable - off))
		len = (size_t)(r->extent.readable - off);
	n = payload_pread(r->payload, out, len, off);
	if (n == 0)
		return -EIO; /* shrunk since it was opened */
	return n;
}

int mb_reader_get_plain_fd(const struct mb_reader *r)
{
	return r->payload ? payload_plain_fd(r->payload) : -1;
}

/* As large as keeps what has just been decrypted in a core's own cache. */
#define DIGEST_CHUNK (256 << 10)

static int digest_content(struct mb_reader *r, struct digest *digest,
			  uint8_t *chunk, size_t len, struct mb_err *err)
{
	for (int64_t off = 0; off < r->extent.size;) {
		ssize_t n = mb_reader_pread(r, chunk, len, off);

		if (n <= 0)
			return mb_err_set(err, -EIO,
					  "cannot be read beyond byte %lld: %s",
					  (long long)off,
					  r->extent.damage[0] ?
						  r->extent.damage :
						  strerror(n ? (int)-n : EIO));
		if (digest_add(digest, chunk, (size_t)n) < 0)
			return mb_err_set(err, -EIO, "cannot be hashed");
		off += n;
	}
	return 0;
}

int mb_reader_sha256(struct mb_reader *r, uint8_t out[MB_SHA256_LEN],
		     struct mb_err *err)
{
	mb_auto(digest_free) struct digest *digest = NULL;
	mb_auto(free) uint8_t *chunk = NULL;
	size_t len = DIGEST_CHUNK;
	int rc;

	if (r->extent.size < DIGEST_CHUNK)
		len = (size_t)r->extent.size + 1;
	chunk = malloc(len);
	if (!chunk || digest_new(&digest, SHA256_LEN) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = digest_content(r, digest, chunk, len, err);
	crypto_wipe(chunk, len);
	if (rc == 0 && digest_finish(digest, out) < 0)
		rc = mb_err_set(err, -EIO, "cannot be hashed");
	return rc;
}
