/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef NOTICES_H
#define NOTICES_H

#include "device.h"

/*
 * Notifications between a host and a device (notification_proxy): one
 * connection for all that is posted and observed. libimobiledevice's own
 * client sleeps a second between two looks, and the same at its end.
 */
struct notices;

/*
 * notices_open - connect
 * @on_notice: gets the name of each observed notification, from within a wait
 *             on the link that notices_attach names
 */
int notices_open(struct notices **out, struct device *device,
		 void (*on_notice)(void *arg, const char *name), void *arg,
		 struct mb_err *err);
/* Says goodbye as the service expects it, and closes. */
void notices_free(struct notices *notices);
MB_DEFINE_AUTO(struct notices, notices_free)

int notices_observe(struct notices *notices, const char *name,
		    struct mb_err *err);
int notices_post(struct notices *notices, const char *name, struct mb_err *err);

/* Observed notifications are read while @link is waited on. */
void notices_attach(struct notices *notices, struct link *link);

#endif
