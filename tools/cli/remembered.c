/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "remembered.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bytes.h"

#define KEYBAG_ID_LEN 16
#define PREFIX "larder:"
#define NAME_SIZE (sizeof(PREFIX) + 2 * KEYBAG_ID_LEN)
#define TYPE "user"

/* possessor: everything; user, group, others: nothing (keyctl_setperm(3)) */
#define ONLY_POSSESSOR 0x3f000000

static long keyctl(int operation, unsigned long a, unsigned long b,
		   unsigned long c, unsigned long d)
{
	long rc = syscall(SYS_keyctl, operation, a, b, c, d);

	return rc < 0 ? -errno : rc;
}

static void make_name(char out[NAME_SIZE], const struct mb_backup *backup)
{
	strcpy(out, PREFIX);
	hex_encode(out + strlen(PREFIX), mb_backup_get_keybag_id(backup),
		   KEYBAG_ID_LEN);
}

/*
 * A process possesses what its own keyrings lead to. A login's session leads to
 * the user's keyring, that of a service of systemd or of su(1) may not.
 */
static void possess(void)
{
	keyctl(KEYCTL_LINK, (unsigned long)KEY_SPEC_USER_KEYRING,
	       (unsigned long)KEY_SPEC_PROCESS_KEYRING, 0, 0);
}

/* Its number, or a negative errno. */
static long find(const char *name)
{
	possess();
	return keyctl(KEYCTL_SEARCH, (unsigned long)KEY_SPEC_USER_KEYRING,
		      (unsigned long)TYPE, (unsigned long)name, 0);
}

/* Of no use from this moment on, and wiped as soon as nobody reads it. */
static int invalidate(long number)
{
	return (int)keyctl(KEYCTL_INVALIDATE, (unsigned long)number, 0, 0, 0);
}

static bool parse_unit(const char *end, unsigned long *factor)
{
	static const char units[] = "smhd";
	static const unsigned long factors[] = { 1, 60, 3600, 86400 };
	const char *unit = *end ? strchr(units, *end) : units;

	if (!unit || (*end && end[1]))
		return false;
	*factor = factors[unit - units];
	return true;
}

bool remembered_parse(const char *text, unsigned *seconds)
{
	const unsigned long max = 30 * 86400;
	unsigned long n, factor;
	char *end;

	if (!strcmp(text, "login")) {
		*seconds = REMEMBERED_LOGIN;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || n < 1 || n > max || !parse_unit(end, &factor) ||
	    n * factor > max)
		return false;
	*seconds = (unsigned)(n * factor);
	return true;
}

int remembered_put(const struct mb_backup *backup,
		   const uint8_t key[MB_DERIVED_KEY_LEN], unsigned seconds,
		   struct mb_err *err)
{
	char name[NAME_SIZE];
	long number, rc;

	make_name(name, backup);
	possess();
	number = syscall(SYS_add_key, TYPE, name, key,
			 (size_t)MB_DERIVED_KEY_LEN, KEY_SPEC_USER_KEYRING);
	rc = number < 0 ? -errno : 0;
	if (rc == 0)
		rc = keyctl(KEYCTL_SET_TIMEOUT, (unsigned long)number, seconds,
			    0, 0);
	if (rc == 0)
		rc = keyctl(KEYCTL_SETPERM, (unsigned long)number,
			    ONLY_POSSESSOR, 0, 0);
	if (rc == 0)
		return 0;
	if (number >= 0)
		invalidate(number);
	return mb_err_set(err, (int)rc, "the kernel does not keep the key: %s",
			  strerror((int)-rc));
}

int remembered_get(const struct mb_backup *backup,
		   uint8_t key[MB_DERIVED_KEY_LEN])
{
	char name[NAME_SIZE];
	long number, n;

	make_name(name, backup);
	number = find(name);
	if (number < 0)
		return -ENOKEY;
	n = keyctl(KEYCTL_READ, (unsigned long)number, (unsigned long)key,
		   MB_DERIVED_KEY_LEN, 0);
	if (n == MB_DERIVED_KEY_LEN)
		return 0;
	explicit_bzero(key, MB_DERIVED_KEY_LEN);
	return -ENOKEY;
}

int remembered_forget(const struct mb_backup *backup)
{
	char name[NAME_SIZE];
	long number;

	make_name(name, backup);
	number = find(name);
	return number < 0 ? -ENOKEY : invalidate(number);
}

/* "user;0;0;3f000000;larder:..." */
static bool is_ours(int32_t number)
{
	char text[256] = "";
	const char *name;

	if (keyctl(KEYCTL_DESCRIBE, (unsigned long)number, (unsigned long)text,
		   sizeof(text) - 1, 0) < 0)
		return false;
	name = strrchr(text, ';');
	return !strncmp(text, TYPE ";", strlen(TYPE) + 1) && name &&
	       !strncmp(name + 1, PREFIX, strlen(PREFIX)) &&
	       strlen(name + 1) == NAME_SIZE - 1;
}

int remembered_forget_all(void)
{
	int32_t numbers[1024]; /* a user may have 200 keys: proc(5), maxkeys */
	long len, rc = 0;
	int count = 0;

	possess();
	len = keyctl(KEYCTL_READ, (unsigned long)KEY_SPEC_USER_KEYRING,
		     (unsigned long)numbers, sizeof(numbers), 0);
	if (len < 0)
		return len == -ENOSYS || len == -EPERM ? 0 : (int)len;
	if ((size_t)len > sizeof(numbers))
		len = sizeof(numbers);
	for (size_t i = 0; i < (size_t)len / sizeof(*numbers); i++) {
		int gone = is_ours(numbers[i]) ? invalidate(numbers[i]) : 1;

		count += gone == 0;
		if (gone < 0)
			rc = gone;
	}
	return rc < 0 ? (int)rc : count;
}
