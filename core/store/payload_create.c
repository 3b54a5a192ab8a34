/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "payload.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "beneath.h"

/*
 * What goes to the system in one call. Small files take one; for large ones,
 * a piece is still in the processor's cache when it is digested and written.
 */
#define PIECE_LEN (64 << 10)

_Static_assert(PIECE_LEN % BLOCK_LEN == 0, "a piece is whole blocks");

struct payload_writer {
	int fd;
	int rc;			/* the first error */
	struct cbc_writer *cbc; /* NULL for a plain one */
	struct digest *digest;	/* NULL if none is wanted */
	size_t len;		/* gathered, always less than a piece */
	uint8_t *piece;		/* PIECE_LEN; NULL until it is needed */
};

int payload_create(struct payload_writer **out, int dir_fd, const char *path,
		   const uint8_t key[KEY_LEN], size_t digest_len)
{
	mb_auto(payload_writer_free) struct payload_writer *w = NULL;
	int rc = 0;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->fd = -1;
	if (digest_len)
		rc = digest_new(&w->digest, digest_len);
	if (key && rc == 0)
		rc = cbc_writer_new(&w->cbc, key);
	if (rc < 0)
		return rc;
	/* last, so that nothing is left of what cannot be begun */
	w->fd = beneath_create_file(dir_fd, path, 0666);
	if (w->fd < 0)
		return w->fd;
	*out = mb_steal(&w);
	return 0;
}

void payload_writer_free(struct payload_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	/* plaintext of an encrypted file that was given up */
	if (w->cbc && w->piece)
		crypto_wipe(w->piece, w->len);
	cbc_writer_free(w->cbc);
	digest_free(w->digest);
	free(w->piece);
	free(w);
}

static int need_piece(struct payload_writer *w)
{
	if (!w->piece)
		w->piece = malloc(PIECE_LEN);
	return w->piece ? 0 : -ENOMEM;
}

/* @len: at most a piece, and whole blocks of an encrypted file */
static int store(struct payload_writer *w, const uint8_t *from, size_t len)
{
	int rc = 0;

	if (w->cbc) {
		rc = need_piece(w);
		if (rc == 0)
			rc = cbc_writer_add(w->cbc, from, w->piece, len);
		from = w->piece;
	}
	if (w->digest && rc == 0)
		rc = digest_add(w->digest, from, len);
	return rc < 0 ? rc : write_full(w->fd, from, len);
}

static int store_gathered(struct payload_writer *w)
{
	int rc = store(w, w->piece, w->len);

	w->len = 0;
	return rc;
}

static int gather(struct payload_writer *w, const uint8_t *from, size_t len)
{
	int rc = need_piece(w);

	if (rc < 0)
		return rc;
	memcpy(w->piece + w->len, from, len);
	w->len += len;
	return w->len == PIECE_LEN ? store_gathered(w) : 0;
}

int payload_write(struct payload_writer *w, const void *ptr, size_t len)
{
	const uint8_t *from = ptr;

	while (len && w->rc == 0) {
		size_t n = PIECE_LEN - w->len;

		if (n > len)
			n = len;
		/* a whole piece need not be gathered */
		w->rc = n == PIECE_LEN ? store(w, from, n) : gather(w, from, n);
		from += n;
		len -= n;
	}
	return w->rc;
}

/* PKCS#7: also after whole blocks, and in an empty file. */
static int pad(struct payload_writer *w)
{
	size_t n = BLOCK_LEN - w->len % BLOCK_LEN;
	int rc = need_piece(w);

	if (rc < 0)
		return rc;
	memset(w->piece + w->len, (int)n, n);
	w->len += n;
	return 0;
}

int payload_finish(struct payload_writer *w, uint8_t *digest)
{
	int rc = w->rc;

	if (rc == 0 && w->cbc)
		rc = pad(w);
	if (rc == 0 && w->len)
		rc = store_gathered(w);
	if (rc == 0 && w->digest && digest)
		rc = digest_finish(w->digest, digest);
	if (close(w->fd) < 0 && rc == 0)
		rc = -errno;
	w->fd = -1;
	return rc;
}
