/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libimobiledevice/afc.h>
#include <libimobiledevice/lockdown.h>
#include <string.h>

#include "bytes.h"
#include "device_inside.h"
#include "watch.h"

#define AFC_SERVICE "com.apple.afc"
#define SYNC_LOCK "/com.apple.itunes.lock_sync"
/* One answer holds as much: the device has it in memory at once. */
#define CHUNK (64u << 10)

struct media {
	afc_client_t afc;
	int fd;	       /* of its connection; -1: not known */
	uint64_t lock; /* open file, if has_lock_file */
	bool has_lock_file, locked;
};

/* --- errors -------------------------------------------------------------- */

static int code_of(afc_error_t error)
{
	switch (error) {
	case AFC_E_OBJECT_NOT_FOUND:
		return -ENOENT;
	case AFC_E_OBJECT_IS_DIR:
		return -EISDIR;
	case AFC_E_PERM_DENIED:
		return -EACCES;
	case AFC_E_NO_SPACE_LEFT:
		return -ENOSPC;
	case AFC_E_OP_WOULD_BLOCK:
	case AFC_E_OBJECT_BUSY:
		return -EBUSY;
	case AFC_E_MUX_ERROR:
	case AFC_E_NOT_ENOUGH_DATA:
	case AFC_E_OP_HEADER_INVALID:
		return -ENODEV;
	case AFC_E_NO_MEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* The end of a guarded call. */
static int finish(afc_error_t error, const char *path, struct mb_err *err)
{
	int rc = watch_unguard();

	if (rc == -ECANCELED)
		return mb_err_set(err, rc, "cancelled");
	if (rc == -ETIMEDOUT)
		return mb_err_set(err, rc,
				  "the device has been silent for too long");
	if (error == AFC_E_SUCCESS)
		return 0;
	rc = code_of(error);
	if (rc == -ENODEV)
		return mb_err_set(
			err, rc,
			"the media folder of the device cannot be reached: was it unplugged?");
	if (rc == -EIO)
		return mb_err_set(err, rc, "%s on the device: AFC error %d",
				  path, (int)error);
	return mb_err_set(err, rc, "%s on the device: %s", path, strerror(-rc));
}

/* Nothing is begun after a cancellation, but what is open is closed. */
static int begin(struct media *media, struct mb_err *err)
{
	if (watch_cancelled())
		return mb_err_set(err, -ECANCELED, "cancelled");
	watch_guard(media->fd);
	return 0;
}

/* --- open and close ------------------------------------------------------ */

int media_open(struct media **out, struct device *device, struct mb_err *err)
{
	mb_auto(media_free) struct media *media = calloc(1, sizeof(*media));
	lockdownd_service_descriptor_t service = NULL;
	afc_error_t error;
	int rc;

	if (!media)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = device_start_service(device, AFC_SERVICE, false, &service, err);
	if (rc < 0)
		return rc;
	media->fd = device_guard_next();
	error = afc_client_new(device_get_handle(device), service, &media->afc);
	lockdownd_service_descriptor_free(service);
	rc = finish(error, "/", err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&media);
	return 0;
}

static void close_file(struct media *media, uint64_t file)
{
	watch_guard(media->fd);
	afc_file_close(media->afc, file);
	watch_unguard();
}

void media_free(struct media *media)
{
	if (!media)
		return;
	if (media->afc) {
		media_unlock(media);
		watch_guard(media->fd);
		afc_client_free(media->afc);
		watch_unguard();
	}
	free(media);
}

/* --- files --------------------------------------------------------------- */

static int open_file(struct media *media, const char *path,
		     afc_file_mode_t mode, uint64_t *file, struct mb_err *err)
{
	int rc = begin(media, err);

	if (rc < 0)
		return rc;
	return finish(afc_file_open(media->afc, path, mode, file), path, err);
}

/* Up to CHUNK more bytes; their number. */
static int read_chunk(struct media *media, uint64_t file, const char *path,
		      struct buf *out, struct mb_err *err)
{
	uint32_t got = 0;
	int rc;

	if (buf_reserve(out, CHUNK) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	rc = begin(media, err);
	if (rc < 0)
		return rc;
	rc = finish(afc_file_read(media->afc, file, (char *)out->ptr + out->len,
				  CHUNK, &got),
		    path, err);
	if (rc < 0)
		return rc;
	out->len += got;
	return (int)got;
}

int media_read(struct media *media, const char *path, size_t limit,
	       struct buf *out, struct mb_err *err)
{
	uint64_t file;
	int rc = open_file(media, path, AFC_FOPEN_RDONLY, &file, err);

	out->len = 0;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	do
		rc = read_chunk(media, file, path, out, err);
	while (rc > 0 && out->len <= limit);
	close_file(media, file);
	if (rc >= 0 && out->len > limit)
		rc = mb_err_set(err, -EFBIG,
				"%s on the device: more than %zu bytes", path,
				limit);
	return rc < 0 ? rc : 0;
}

static int write_all(struct media *media, uint64_t file, const char *path,
		     struct view content, struct mb_err *err)
{
	while (content.len) {
		uint32_t len =
			content.len < CHUNK ? (uint32_t)content.len : CHUNK;
		uint32_t done = 0;
		int rc = begin(media, err);

		if (rc < 0)
			return rc;
		rc = finish(afc_file_write(media->afc, file,
					   (const char *)content.ptr, len,
					   &done),
			    path, err);
		if (rc < 0)
			return rc;
		if (!done || done > len)
			return mb_err_set(err, -EIO,
					  "%s on the device: not written",
					  path);
		content.ptr += done;
		content.len -= done;
	}
	return 0;
}

int media_write(struct media *media, const char *path, const void *ptr,
		size_t len, struct mb_err *err)
{
	uint64_t file;
	int rc = open_file(media, path, AFC_FOPEN_WR, &file, err);

	if (rc < 0)
		return rc;
	rc = write_all(media, file, path, view_of(ptr, len), err);
	close_file(media, file);
	return rc;
}

int media_make_dir(struct media *media, const char *path, struct mb_err *err)
{
	int rc = begin(media, err);

	if (rc < 0)
		return rc;
	return finish(afc_make_directory(media->afc, path), path, err);
}

int media_remove(struct media *media, const char *path, struct mb_err *err)
{
	watch_guard(media->fd);
	return finish(afc_remove_path(media->afc, path), path, err);
}

/* --- the lock ------------------------------------------------------------ */

int media_lock(struct media *media, struct mb_err *err)
{
	int rc = 0;

	if (!media->has_lock_file)
		rc = open_file(media, SYNC_LOCK, AFC_FOPEN_RW, &media->lock,
			       err);
	if (rc < 0)
		return rc;
	media->has_lock_file = true;
	rc = begin(media, err);
	if (rc < 0)
		return rc;
	rc = finish(afc_file_lock(media->afc, media->lock, AFC_LOCK_EX),
		    SYNC_LOCK, err);
	media->locked = rc == 0;
	return rc;
}

void media_unlock(struct media *media)
{
	if (media->locked) {
		watch_guard(media->fd);
		afc_file_lock(media->afc, media->lock, AFC_LOCK_UN);
		watch_unguard();
	}
	if (media->has_lock_file)
		close_file(media, media->lock);
	media->has_lock_file = media->locked = false;
}
