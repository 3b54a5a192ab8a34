/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device_error.h"

#include <errno.h>
#include <stddef.h>

#include "language.h"

struct device_error {
	int code;
	int rc;
	const char *what;
	const char *advice; /* NULL: none is known */
};

#define RETRY N_("restart the device and try again")

static const struct device_error errors[] = {
	{ 1, -EREMOTEIO, N_("internal error"), RETRY },
	{ 2, -EREMOTEIO, N_("several errors"), RETRY },
	{ 3, -EREMOTEIO, N_("an earlier snapshot is in its way"), RETRY },
	{ 4, -EREMOTEIO, N_("it misses a file of the backup"),
	  N_("try again with --full") },
	{ 5, -EREMOTEIO, N_("a folder was expected"), RETRY },
	{ 6, -EREMOTEIO, N_("a file was expected"), RETRY },
	{ 7, -EREMOTEIO, N_("too many links"), RETRY },
	{ 8, -EREMOTEIO, N_("an attribute is missing"), RETRY },
	{ 10, -EREMOTEIO, N_("it did not understand the request"), NULL },
	{ 11, -EREMOTEIO, N_("it cannot read a file of the backup"),
	  N_("try again with --full") },
	{ 13, -EHOSTDOWN, N_("it is locked"), N_("unlock it and try again") },
	{ 14, -EBUSY, N_("another backup or restore is running"),
	  N_("wait until it has ended, or restart the device") },
	{ 17, -EREMOTEIO, N_("it asks for another attempt"), N_("try again") },
	{ 25, -EBUSY, N_("a restore from iCloud is running"),
	  N_("wait until it has ended") },
	{ 26, -EREMOTEIO, N_("a file is on another volume"), RETRY },
	{ 100, -EREMOTEIO, N_("a system error"), RETRY },
	{ 101, -EREMOTEIO, N_("it cannot read its own files"), RETRY },
	{ 102, -EREMOTEIO, N_("it cannot write its own files"), RETRY },
	{ 103, -EREMOTEIO, N_("it could not read from this computer"),
	  N_("check the disk and the permissions of the backup folder") },
	{ 104, -EREMOTEIO, N_("it could not write to this computer"),
	  N_("check the disk and the permissions of the backup folder") },
	{ DEVICE_ERROR_HOST_FULL, -ENOSPC,
	  N_("there is not enough space on this computer"),
	  N_("free space, or choose another folder") },
	{ 106, -EREMOTEIO, N_("there is not enough space on the device"),
	  N_("free space on it") },
	{ DEVICE_ERROR_CANCELLED, -ECANCELED, N_("cancelled on the device"),
	  NULL },
	{ 203, -EREMOTEIO, N_("the backup is of a version that it cannot use"),
	  N_("update the device, or try again with --full") },
	{ 204, -EREMOTEIO, N_("there is no complete backup"),
	  N_("try again with --full") },
	{ 205, -EREMOTEIO, N_("the backup is damaged"),
	  N_("try again with --full") },
	{ DEVICE_ERROR_PASSWORD, -EKEYREJECTED,
	  N_("the backup password is wrong, or one is required"),
	  N_("see \"larder password --help\"") },
	{ DEVICE_ERROR_LOCKED, -EHOSTDOWN, N_("it is locked"),
	  N_("unlock it, enter the passcode when it asks, and try again") },
	{ 210, -EREMOTEIO, N_("it has no account"), NULL },
	{ 211, -EREMOTEIO, N_("Find My is turned on"),
	  N_("turn it off on the device: Settings, your name, Find My") },
	{ 212, -EREMOTEIO, N_("its setup is not finished"),
	  N_("finish the setup assistant on it") },
	{ 223, -EREMOTEIO, N_("it put the request off"),
	  N_("try again later") },
};

/* What is another matter when a backup is there already. */
static const struct device_error restore_errors[] = {
	{ 4, -EREMOTEIO, N_("it misses a file of the backup"),
	  N_("restore another version of it, or a part with --only") },
	{ 11, -EREMOTEIO, N_("it cannot read a file of the backup"),
	  N_("restore another version of it, or a part with --only") },
	{ 104, -EREMOTEIO,
	  N_("it wanted to write to this computer, which a restore does not do"),
	  NULL },
	{ 106, -EREMOTEIO, N_("there is not enough space on the device"),
	  N_("free space on it, or restore a part with --only") },
	{ 203, -EREMOTEIO,
	  N_("the backup is of a newer iOS, or of a version that it cannot use"),
	  N_("update the device and try again") },
	{ 204, -EREMOTEIO, N_("the backup was not finished"),
	  N_("restore one that was, or finish it with \"larder backup\"") },
	{ 205, -EREMOTEIO, N_("the backup is damaged"),
	  N_("restore another version of it, or a part with --only") },
	{ DEVICE_ERROR_PASSWORD, -EKEYREJECTED,
	  N_("the backup password is wrong, or one is required"),
	  N_("it is the one that was set when the backup was made") },
};

static const struct device_error *find_in(const struct device_error *list,
					  size_t count, int64_t code)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].code == code)
			return &list[i];
	return NULL;
}

static const struct device_error *find(int64_t code)
{
	return find_in(errors, sizeof(errors) / sizeof(*errors), code);
}

static const struct device_error *find_of_restore(int64_t code)
{
	const struct device_error *e =
		find_in(restore_errors,
			sizeof(restore_errors) / sizeof(*restore_errors), code);

	return e ? e : find(code);
}

/* @e: NULL if the code is not known */
static int describe(const struct device_error *e, int64_t code,
		    const char *description, struct mb_err *err)
{
	const char *what =
		e ? e->what : N_("an error that larder does not know");
	const char *advice = e ? e->advice : NULL;

	if (code >= 300 && code <= 307)
		what = N_("a network error between it and iCloud");
	if (!description || !*description)
		description = _("no further words");
	return mb_err_set(err, e ? e->rc : -EREMOTEIO,
			  "the device says: %s (%lld, \"%s\")%s%s", _(what),
			  (long long)code, description, advice ? ": " : "",
			  advice ? _(advice) : "");
}

int device_error_describe(int64_t code, const char *description,
			  struct mb_err *err)
{
	return describe(find(code), code, description, err);
}

int device_error_describe_restore(int64_t code, const char *description,
				  struct mb_err *err)
{
	return describe(find_of_restore(code), code, description, err);
}

/*
 * Status codes of the device's file operations; the device maps them back to
 * errors of its own. Of other errors it knows only that there was one: that
 * this host lets nothing be written (-EROFS) becomes 104 there, that it could
 * not write to the host, which is just what happened.
 */
int device_status_of(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case -ENOENT:
		return -6;
	case -EEXIST:
		return -7;
	case -ENOTDIR:
		return -8;
	case -EISDIR:
		return -9;
	case -ELOOP:
		return -10;
	case -EIO:
		return -11;
	case -ENOSPC:
	case -EDQUOT:
		return -15;
	default:
		return -1;
	}
}
