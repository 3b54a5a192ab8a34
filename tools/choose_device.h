/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CHOOSE_DEVICE_H
#define CHOOSE_DEVICE_H

#include "device.h"
#include "tool.h"

/* How commands come to a device, and wait for its user. */

/*
 * choose_device - the one that is meant, opened
 * @udid: from --udid, or NULL: the only one that is attached
 * @network: look on the network instead of USB
 *
 * Returns 0; -ENOTUNIQ if there are several, after listing them on standard
 * error; -ENODEV; -ENOTCONN.
 */
int choose_device(struct device **out, const char *udid, bool network,
		  struct mb_err *err);

/*
 * wait_for_session - device_start_session, with the user being told what to do
 * @timeout_ms: how long it may take
 *
 * What is waited for is said once each time it changes: a line on standard
 * error or, with --json, an event on standard output,
 *
 *   {"event":"waiting","reason":"locked"|"trust"|"busy","message":...}
 *
 * Returns 0; -ETIMEDOUT; -ECANCELED; -ECONNREFUSED; -ENODEV.
 */
int wait_for_session(struct device *device, int64_t timeout_ms,
		     const struct common *c, struct mb_err *err);

/* wait_for_pairing - the same with device_pair */
int wait_for_pairing(struct device *device, int64_t timeout_ms,
		     const struct common *c, struct mb_err *err);

/* wait_for_unpairing - the same with device_unpair */
int wait_for_unpairing(struct device *device, int64_t timeout_ms,
		       const struct common *c, struct mb_err *err);

/* "Anna's iPhone (iPhone12,1, iOS 16.1)", as far as it says; printable */
void describe_device(char *out, size_t size, struct device *device);

#endif
