/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"

#define KEYBAG_ID_LEN 16
#define MAGIC "larder-key 1\n"
#define FORMAT MAGIC "keybag %s\nkey %s\n"
#define TEXT_LEN                                             \
	(sizeof(MAGIC) - 1 + 7 + 2 * KEYBAG_ID_LEN + 1 + 4 + \
	 2 * MB_DERIVED_KEY_LEN + 1)

static int parse(const char *text, uint8_t id[KEYBAG_ID_LEN],
		 uint8_t key[MB_DERIVED_KEY_LEN])
{
	char id_hex[2 * KEYBAG_ID_LEN + 1], key_hex[2 * MB_DERIVED_KEY_LEN + 1];
	int n, end = 0;

	n = sscanf(text, MAGIC "keybag %32[0-9a-fA-F] key %64[0-9a-fA-F] %n",
		   id_hex, key_hex, &end);
	if (n != 2 || strncmp(text, MAGIC, strlen(MAGIC)) || !end ||
	    text[end] || !hex_decode(id, KEYBAG_ID_LEN, id_hex) ||
	    !hex_decode(key, MB_DERIVED_KEY_LEN, key_hex))
		n = -EINVAL;
	explicit_bzero(key_hex, sizeof(key_hex));
	return n < 0 ? n : 0;
}

int key_file_read(const char *path, const struct mb_backup *backup,
		  uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	mb_auto(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[TEXT_LEN + 16];
	uint8_t id[KEYBAG_ID_LEN];
	ssize_t n;
	int rc;

	if (fd < 0)
		return mb_err_set(err, -EIO, "key file %s: %s", path,
				  strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return mb_err_set(err, -EIO, "key file %s: %s", path,
				  strerror(errno));
	text[n] = '\0';
	rc = parse(text, id, key);
	explicit_bzero(text, sizeof(text));
	if (rc < 0)
		return mb_err_set(err, rc, "%s: not a key file of larder",
				  path);
	if (memcmp(id, mb_backup_get_keybag_id(backup), sizeof(id)))
		return mb_err_set(
			err, -EKEYREJECTED,
			"%s: key of another backup, or from before its password changed",
			path);
	return 0;
}

/* May what stands at @path be replaced? */
static int check_replaceable(const char *path, struct mb_err *err)
{
	mb_auto(close) int fd = -1;
	char front[sizeof(MAGIC) - 1];
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 :
					 mb_err_set(err, -EIO, "%s: %s", path,
						    strerror(errno));
	fd = S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0 && (st.st_size == 0 ||
			(read(fd, front, sizeof(front)) == sizeof(front) &&
			 !memcmp(front, MAGIC, sizeof(front)))))
		return 0;
	return mb_err_set(err, -EEXIST,
			  "%s: exists and is no key file, left alone", path);
}

int key_file_write(const char *path, const struct mb_backup *backup,
		   const uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	char id_hex[2 * KEYBAG_ID_LEN + 1], key_hex[2 * MB_DERIVED_KEY_LEN + 1];
	char text[TEXT_LEN + 1], aside[PATH_MAX];
	int fd, rc;

	rc = check_replaceable(path, err);
	if (rc < 0)
		return rc;
	if (snprintf(aside, sizeof(aside), "%s.XXXXXX", path) >=
	    (int)sizeof(aside))
		return mb_err_set(err, -EIO, "%s: name too long", path);
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0)
		return mb_err_set(err, -EIO, "%s: %s", path, strerror(errno));
	hex_encode(id_hex, mb_backup_get_keybag_id(backup), KEYBAG_ID_LEN);
	hex_encode(key_hex, key, MB_DERIVED_KEY_LEN);
	snprintf(text, sizeof(text), FORMAT, id_hex, key_hex);
	rc = fchmod(fd, 0600) < 0 ? -errno : 0; /* whatever the umask is */
	if (rc == 0)
		rc = write_full(fd, text, strlen(text));
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	explicit_bzero(text, sizeof(text));
	explicit_bzero(key_hex, sizeof(key_hex));
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(aside, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(aside);
		return mb_err_set(err, -EIO, "%s: %s", path, strerror(-rc));
	}
	return 0;
}
