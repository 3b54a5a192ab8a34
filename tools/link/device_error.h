/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEVICE_ERROR_H
#define DEVICE_ERROR_H

#include <stdint.h>

#include "mb/err.h"

/*
 * The numbers by which a device's backup service says what went wrong
 * (MBErrorDomain), and those by which a host tells it (status responses).
 * Sources: idevicebackup2, public logs, and names in Apple's frameworks.
 */

/* As far as they decide something here. */
enum {
	DEVICE_ERROR_HOST_FULL = 105,
	DEVICE_ERROR_CANCELLED = 202,
	DEVICE_ERROR_PASSWORD = 207,
	DEVICE_ERROR_LOCKED = 208,
};

/*
 * device_error_describe - a sentence about it, and what to do
 * @description: the device's own words, or NULL
 *
 * Returns the error that it is here: -ECANCELED, -EHOSTDOWN (locked),
 * -EKEYREJECTED (password), -ENOSPC, -EBUSY, -EREMOTEIO for the rest.
 */
int device_error_describe(int64_t code, const char *description,
			  struct mb_err *err);

/* device_error_describe_restore - the same where a restore was asked for */
int device_error_describe_restore(int64_t code, const char *description,
				  struct mb_err *err);

/* Of a status response: some files failed, and its payload says which. */
#define DEVICE_STATUS_MULTI (-13)

/* What a status response says of a negative errno of ours; 0 for 0. */
int device_status_of(int rc);

#endif
