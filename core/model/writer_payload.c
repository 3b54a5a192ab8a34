/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stored contents of a new backup: written, shared, or converted. */
#include <stdio.h>
#include <string.h>

#include "beneath.h"
#include "mb/reader.h"
#include "writer_inside.h"

static int place_failed(struct mb_err *err, int rc, const char *path)
{
	return mb_err_set(err, rc, "cannot create %s: %s", path, strerror(-rc));
}

/* "xx/<file ID>", with its folder made. */
static int make_place(struct mb_writer *w, char path[64], const char *file_id,
		      struct mb_err *err)
{
	uint8_t first;
	char folder[3];
	int rc;

	snprintf(folder, sizeof(folder), "%.2s", file_id);
	snprintf(path, 64, "%s/%s", folder, file_id);
	if (!hex_decode(&first, 1, folder))
		return place_failed(err, -EINVAL, path);
	/* of two threads that find none, one makes it */
	if (atomic_load(&w->folders[first / 64]) >> first % 64 & 1)
		return 0;
	rc = beneath_make_dir(w->dir_fd, folder, 0777);
	if (rc < 0 && rc != -EEXIST)
		return place_failed(err, rc, folder);
	atomic_fetch_or(&w->folders[first / 64], (uint64_t)1 << first % 64);
	return 0;
}

static bool is_cancelled(const struct mb_writer *w)
{
	return w->wish.cancelled && w->wish.cancelled();
}

static int copy_content(struct mb_writer *w, struct payload_writer *p,
			uint8_t *piece, const struct mb_content *content,
			int64_t *size)
{
	for (*size = 0;;) {
		ssize_t n;
		int rc;

		if (is_cancelled(w))
			return -ECANCELED;
		n = content->read(content->arg, piece, CONTENT_PIECE, *size);
		if (n <= 0)
			return (int)n;
		rc = payload_write(p, piece, (size_t)n);
		if (rc < 0)
			return rc;
		*size += n;
		w->wish.counts->bytes += (uint64_t)n;
	}
}

/* A key for one content, wrapped in the record. */
static int new_key(struct mb_writer *w, struct mb_record *rec,
		   uint8_t key[KEY_LEN], struct mb_err *err)
{
	uint32_t class = writer_pick_class(&w->keyring, rec->protection_class);
	int rc = crypto_random(key, KEY_LEN);

	if (rc == 0)
		rc = keyring_wrap(&w->keyring, rec->wrapped_key, key, class);
	if (rc < 0)
		return mb_err_set(err, rc, "no key for protection class %u: %s",
				  class, strerror(-rc));
	rec->protection_class = (uint8_t) class;
	rec->wrapped_key_len = STORED_KEY_LEN;
	return 0;
}

static int fill_payload(struct mb_writer *w, struct mb_record *rec,
			const char *path, const uint8_t *key,
			const struct mb_content *content, struct mb_err *err)
{
	mb_auto(payload_writer_free) struct payload_writer *p = NULL;
	struct writer_seat *seat;
	int rc = payload_create(&p, w->dir_fd, path, key, rec->digest_len);

	if (rc < 0)
		return place_failed(err, rc, path);
	seat = writer_take_seat(w);
	if (!seat)
		return writer_no_memory(err);
	rc = copy_content(w, p, seat->piece, content, &rec->size);
	writer_leave_seat(w, seat);
	if (rc == 0)
		rc = payload_finish(p, rec->digest);
	if (rc == -ECANCELED)
		return mb_err_set(err, rc, "cancelled");
	if (rc < 0)
		return mb_err_set(err, rc, "%.*s-%.*s: %s", SHOW(rec->domain),
				  SHOW(rec->path), strerror(-rc));
	return 0;
}

int writer_write_payload(struct mb_writer *w, struct mb_record *rec,
			 const struct mb_content *content, struct mb_err *err)
{
	uint8_t key[KEY_LEN];
	char path[64];
	int rc = make_place(w, path, rec->file_id, err);

	rec->wrapped_key_len = 0;
	if (rec->digest_len != SHA256_LEN)
		rec->digest_len = SHA1_LEN;
	if (rc == 0 && w->encrypted)
		rc = new_key(w, rec, key, err);
	if (rc == 0) {
		rc = fill_payload(w, rec, path, w->encrypted ? key : NULL,
				  content, err);
		if (rc < 0 && rc != -EEXIST)
			beneath_remove(w->dir_fd, path);
	}
	crypto_wipe(key, sizeof(key));
	if (rc == 0)
		w->wish.counts->written++;
	return rc;
}

int writer_share_payload(struct mb_writer *w, const struct mb_record *rec,
			 struct mb_err *err)
{
	struct payload_place from;
	struct writer_seat *seat;
	uint64_t copied;
	char to[64];
	int rc;

	if (!rec->file_id[0])
		return 0;
	rc = payload_locate(&from, &w->like->places, rec->file_id);
	if (rc == -ENOENT || rc == -EBADMSG)
		return 0; /* what is missing stays missing */
	if (rc == 0)
		rc = make_place(w, to, rec->file_id, err);
	if (rc < 0)
		return mb_err_set(err, rc, "payload %s: %s", rec->file_id,
				  strerror(-rc));
	seat = writer_take_seat(w);
	if (!seat)
		return writer_no_memory(err);
	copied = seat->sharing.copied;
	rc = share_file(&seat->sharing, from.dir_fd, from.path, w->dir_fd, to);
	copied = seat->sharing.copied - copied;
	writer_leave_seat(w, seat);
	if (rc == -ECANCELED)
		return mb_err_set(err, rc, "cancelled");
	if (rc < 0)
		return mb_err_set(err, rc, "payload %s: %s", rec->file_id,
				  strerror(-rc));
	w->wish.counts->shared++;
	w->wish.counts->copied += copied;
	return 0;
}

/* What is read of @like, and whether it was that which failed. */
struct kept_content {
	struct mb_reader *reader;
	bool failed;
};

static ssize_t read_kept(void *arg, void *out, size_t len, int64_t off)
{
	struct kept_content *kept = arg;
	ssize_t n = mb_reader_pread(kept->reader, out, len, off);

	kept->failed = n < 0;
	return n;
}

MB_DEFINE_AUTO(struct mb_reader, mb_reader_free)

static bool is_damage(int rc)
{
	return rc == -ENODATA || rc == -EBADMSG || rc == -EIO || rc == -ENOKEY;
}

int writer_convert_payload(struct mb_writer *w, struct mb_record *rec,
			   struct mb_err *err)
{
	mb_auto(mb_reader_free) struct mb_reader *reader = NULL;
	struct kept_content kept = { 0 };
	struct mb_content content = { .read = read_kept, .arg = &kept };
	uint8_t digest_len = rec->digest_len;
	int64_t size = rec->size;
	struct mb_err why;
	int rc = mb_reader_open(&reader, w->like, rec, &why);

	rec->wrapped_key_len = 0;
	kept.reader = reader;
	kept.failed = rc < 0;
	if (rc == 0)
		rc = writer_write_payload(w, rec, &content, &why);
	if (rc == 0) {
		/*
		 * It is what the entry looks like that is kept. But in clear
		 * there is no padding to tell that a file is shorter than was
		 * recorded: it would pass for cut off.
		 */
		rec->digest_len = digest_len;
		if (w->encrypted || rec->size > size)
			rec->size = size;
		return 0;
	}
	if (!kept.failed || !is_damage(rc)) {
		if (err)
			*err = why;
		return rc;
	}
	w->wish.counts->left_out++;
	writer_note(w, "%.*s-%.*s: left without content: %s", SHOW(rec->domain),
		    SHOW(rec->path), why.text);
	rec->digest_len = 0;
	rec->size = size;
	return 0;
}
