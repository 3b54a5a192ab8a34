/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "payload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "beneath.h"

struct payload {
	int fd;
	int64_t stored_len;
	struct cbc *cbc; /* NULL for a plain one */
};

int payload_open(struct payload **out, int dir_fd, const char *path,
		 const uint8_t key[KEY_LEN])
{
	mb_auto(payload_free) struct payload *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->fd = beneath_open_file(dir_fd, path, &p->stored_len);
	if (p->fd < 0)
		return p->fd;
	if (key) {
		rc = cbc_new(&p->cbc, key);
		if (rc < 0)
			return rc;
	}
	*out = mb_steal(&p);
	return 0;
}

/* The @i-th place where a payload can be; false if there are no more. */
static bool candidate(struct payload_place *place,
		      const struct payload_places *places, const char *file_id,
		      unsigned i)
{
	bool flat = i % 2 != (unsigned)places->flat_first;
	char *at = place->path, *end = at + sizeof(place->path) - 1;
	size_t len;

	if (i / 2 >= places->count)
		return false;
	place->dir_fd = places->dir_fds[i / 2];
	if (!flat) {
		at = stpncpy(at, file_id, 2);
		*at++ = '/';
	}
	len = strnlen(file_id, (size_t)(end - at));
	memcpy(at, file_id, len);
	at[len] = '\0';
	return true;
}

static bool is_absent(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR;
}

int payload_locate(struct payload_place *place,
		   const struct payload_places *places, const char *file_id)
{
	for (unsigned i = 0; candidate(place, places, file_id, i); i++) {
		struct stat st;
		int rc = beneath_stat(place->dir_fd, place->path, &st);

		if (is_absent(rc))
			continue;
		if (rc == 0 && !S_ISREG(st.st_mode))
			rc = -EBADMSG;
		place->stored_len = rc < 0 ? 0 : st.st_size;
		return rc;
	}
	return -ENOENT;
}

int payload_find(struct payload **out, const struct payload_places *places,
		 const char *file_id, const uint8_t key[KEY_LEN])
{
	struct payload_place place;

	for (unsigned i = 0; candidate(&place, places, file_id, i); i++) {
		int rc = payload_open(out, place.dir_fd, place.path, key);

		if (!is_absent(rc))
			return rc;
	}
	return -ENOENT;
}

void payload_free(struct payload *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	cbc_free(p->cbc);
	free(p);
}

int64_t payload_stored_len(const struct payload *p)
{
	return p->stored_len;
}

int payload_plain_fd(const struct payload *p)
{
	return p->cbc ? -1 : p->fd;
}

int64_t payload_solid_len(const struct payload *p)
{
	const int64_t trusted = INT64_C(1) << 30;
	struct stat st;
	int64_t solid = 0;

	if (fstat(p->fd, &st) == 0)
		solid = (int64_t)st.st_blocks * 512;
	if (solid < trusted)
		solid = trusted;
	return solid < p->stored_len ? solid : p->stored_len;
}

/* All of the vector or an error: the caller asks only for what is there. */
static int preadv_exact(int fd, struct iovec *iov, int count, int64_t off)
{
	while (count) {
		ssize_t n = preadv(fd, iov, count, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* shrunk since it was opened */
		off += n;
		while (count && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/*
 * Decrypting a block needs its ciphertext and the block before it, which is
 * its IV. So the plaintext [off, off + len) takes the blocks around it and one
 * more. Whole blocks go straight into the caller's buffer; only a first and a
 * last block that the caller wants in part pass through an edge.
 */
static ssize_t pread_cbc(struct payload *p, uint8_t *out, size_t len,
			 int64_t off)
{
	uint8_t iv[BLOCK_LEN] = { 0 }, next_iv[BLOCK_LEN];
	uint8_t first[BLOCK_LEN], last[BLOCK_LEN];
	size_t skip = (size_t)(off % BLOCK_LEN);
	size_t front = skip ? BLOCK_LEN - skip : 0; /* wanted of the first */
	size_t whole, back;
	uint8_t *middle;
	struct iovec iov[4];
	int n = 0, rc;
	int64_t from = off - (int64_t)skip;

	if (front > len)
		front = len;
	whole = (len - front) / BLOCK_LEN * BLOCK_LEN;
	back = len - front - whole; /* wanted of the last */
	middle = out + front;

	if (from) {
		iov[n++] = (struct iovec){ iv, BLOCK_LEN };
		from -= BLOCK_LEN;
	}
	if (skip)
		iov[n++] = (struct iovec){ first, BLOCK_LEN };
	if (whole)
		iov[n++] = (struct iovec){ middle, whole };
	if (back)
		iov[n++] = (struct iovec){ last, BLOCK_LEN };
	rc = preadv_exact(p->fd, iov, n, from);
	if (rc < 0)
		return rc;

	if (skip) {
		memcpy(next_iv, first, BLOCK_LEN);
		rc = cbc_decrypt(p->cbc, iv, first, BLOCK_LEN);
		memcpy(out, first + skip, front);
		memcpy(iv, next_iv, BLOCK_LEN);
	}
	if (whole && rc == 0) {
		memcpy(next_iv, middle + whole - BLOCK_LEN, BLOCK_LEN);
		rc = cbc_decrypt(p->cbc, iv, middle, whole);
		memcpy(iv, next_iv, BLOCK_LEN);
	}
	if (back && rc == 0) {
		rc = cbc_decrypt(p->cbc, iv, last, BLOCK_LEN);
		memcpy(middle + whole, last, back);
	}
	return rc < 0 ? rc : (ssize_t)len;
}

ssize_t payload_pread(struct payload *p, void *out, size_t len, int64_t off)
{
	int64_t end = p->stored_len;

	if (off < 0)
		return -EINVAL;
	if (p->cbc)
		end -= end % BLOCK_LEN;
	if (off >= end || !len)
		return 0;
	if (len > (uint64_t)(end - off))
		len = (size_t)(end - off);
	if (len > SSIZE_MAX / 2)
		len = SSIZE_MAX / 2;
	return p->cbc ? pread_cbc(p, out, len, off) :
			pread_full(p->fd, out, len, off);
}

ssize_t payload_pread_stored(struct payload *p, void *out, size_t len,
			     int64_t off)
{
	return pread_full(p->fd, out, len, off);
}

/* Length of the PKCS#7 padding at the end of a block, 0 if it is none. */
static unsigned padding_of(const uint8_t block[BLOCK_LEN])
{
	unsigned n = block[BLOCK_LEN - 1];

	if (n < 1 || n > BLOCK_LEN)
		return 0;
	for (unsigned i = BLOCK_LEN - n; i < BLOCK_LEN; i++)
		if (block[i] != n)
			return 0;
	return n;
}

/*
 * The last two blocks, and that nothing comes behind them: so its length need
 * not be asked for.
 */
static int64_t size_by_padding(int fd, const uint8_t key[KEY_LEN],
			       int64_t recorded)
{
	int64_t stored = recorded / BLOCK_LEN * BLOCK_LEN + BLOCK_LEN;
	uint8_t end[2 * BLOCK_LEN + 1] = { 0 };
	/* of a single block the one before is zeros */
	size_t skip = stored > BLOCK_LEN ? 0 : BLOCK_LEN;
	size_t want = 2 * BLOCK_LEN - skip;
	unsigned padding;
	ssize_t n = pread(fd, end + skip, want + 1, stored - (int64_t)want);

	if (n != (ssize_t)want ||
	    crypto_decrypt_block(key, end, end + BLOCK_LEN) < 0)
		return -EAGAIN;
	padding = padding_of(end + BLOCK_LEN);
	crypto_wipe(end, sizeof(end));
	return padding ? stored - padding : -EAGAIN;
}

int64_t payload_expected_size(const struct payload_places *places,
			      const char *file_id, const uint8_t key[KEY_LEN],
			      int64_t recorded)
{
	struct payload_place place;

	if (recorded < 0 || recorded > INT64_MAX - BLOCK_LEN)
		return -EAGAIN;
	for (unsigned i = 0; candidate(&place, places, file_id, i); i++) {
		int64_t size;
		int fd = beneath_open_to_read(place.dir_fd, place.path);

		if (is_absent(fd))
			continue;
		size = fd < 0 ? fd : size_by_padding(fd, key, recorded);
		if (fd >= 0)
			close(fd);
		return size;
	}
	return -ENOENT;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	while (len--)
		if (*p++)
			return false;
	return true;
}

#define SAY(extent, ...) \
	snprintf((extent)->damage, sizeof((extent)->damage), __VA_ARGS__)

static void measure_plain(const struct payload *p, int64_t recorded,
			  struct payload_extent *e)
{
	/*
	 * Files change while they are backed up; that the stored length is
	 * another than the recorded one is no sign of damage.
	 */
	(void)recorded;
	e->size = e->readable = p->stored_len;
}

static void measure_cut(const struct payload *p, int64_t recorded,
			struct payload_extent *e)
{
	int64_t whole = p->stored_len - p->stored_len % BLOCK_LEN;

	e->size = recorded >= 0 ? recorded : whole;
	e->readable = e->size < whole ? e->size : whole;
	SAY(e, "payload of %lld bytes is cut off: not a whole number of blocks",
	    (long long)p->stored_len);
}

/* The last block is no padding: PAYLOADS, True length. */
static void measure_unpadded(const uint8_t last[BLOCK_LEN], int64_t stored,
			     int64_t recorded, struct payload_extent *e)
{
	int64_t begin = stored - BLOCK_LEN; /* of the last block */

	e->size = e->readable = recorded >= 0 ? recorded : stored;
	if (recorded > stored) {
		e->readable = stored;
		SAY(e, "payload is cut off: %lld of %lld bytes",
		    (long long)stored, (long long)recorded);
	} else if (recorded <= begin && recorded >= 0) {
		SAY(e, "bad padding, recorded size of %lld bytes taken",
		    (long long)recorded);
	} else if (recorded == stored) {
		SAY(e, "no padding, recorded size of %lld bytes taken",
		    (long long)recorded);
	} else if (recorded > begin && all_zero(last + (recorded - begin),
						(size_t)(stored - recorded))) {
		SAY(e, "padded with zeros, recorded size of %lld bytes taken",
		    (long long)recorded);
	} else {
		e->readable = begin;
		SAY(e, "last block is damaged (bad padding)");
	}
}

int payload_measure(struct payload *p, int64_t recorded,
		    struct payload_extent *extent)
{
	uint8_t last[BLOCK_LEN];
	unsigned padding;
	ssize_t n;

	*extent = (struct payload_extent){ 0 };
	if (!p->cbc) {
		measure_plain(p, recorded, extent);
		return 0;
	}
	if (p->stored_len == 0) {
		extent->size = recorded > 0 ? recorded : 0;
		if (recorded > 0)
			SAY(extent, "payload is empty, %lld bytes recorded",
			    (long long)recorded);
		return 0;
	}
	if (p->stored_len % BLOCK_LEN) {
		measure_cut(p, recorded, extent);
		return 0;
	}
	n = payload_pread(p, last, BLOCK_LEN, p->stored_len - BLOCK_LEN);
	if (n != BLOCK_LEN)
		return n < 0 ? (int)n : -EIO;
	padding = padding_of(last);
	if (padding)
		extent->size = extent->readable = p->stored_len - padding;
	else
		measure_unpadded(last, p->stored_len, recorded, extent);
	crypto_wipe(last, sizeof(last));
	return 0;
}
