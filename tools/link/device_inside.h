/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEVICE_INSIDE_H
#define DEVICE_INSIDE_H

#include "device.h"

/* What device.c and device_link.c share, in libimobiledevice's types. */
struct idevice_private;
struct lockdownd_service_descriptor;

/*
 * device_link_open - connect to a service that was started
 *
 * Returns 0; -EPIPE; -ECANCELED; -ETIMEDOUT; -ENOMEM.
 */
int device_link_open(struct link **out, struct idevice_private *device,
		     const struct lockdownd_service_descriptor *service);

/*
 * device_guard_next - watch_guard for a socket that a call is about to open
 *
 * libimobiledevice does not tell the sockets of some of its clients. But a
 * new descriptor is always the lowest one that is free. If another thread
 * takes that in between, the guard is without effect.
 *
 * Returns the descriptor that it will be.
 */
int device_guard_next(void);

#endif
