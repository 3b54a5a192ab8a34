/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEVICE_H
#define DEVICE_H

#include <plist/plist.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "link.h"
#include "mb/err.h"

/*
 * An attached iPhone or iPad. Only device.c and device_link.c know
 * libimobiledevice.
 *
 * Errors here, beside the usual:
 *
 *   ENODEV        no such device, or it has gone
 *   ENOTCONN      usbmuxd cannot be reached
 *   EHOSTDOWN     locked, or its trust dialog is up: to be tried again
 *   ECONNREFUSED  not paired, or the user declined to trust this computer
 *   EBUSY         another program holds it
 *   ECANCELED     Ctrl-C
 */
struct device;

/* A device as usbmuxd lists it, once however it is attached. */
struct device_seen {
	char udid[64];
	bool usb, network;
};

/*
 * device_list - what is attached, sorted by UDID
 * @out: the caller frees it; NULL if there is none
 *
 * Returns 0; -ENOTCONN.
 */
int device_list(struct device_seen **out, size_t *count, struct mb_err *err);

enum device_reach { DEVICE_USB, DEVICE_NETWORK, DEVICE_EITHER /* USB first */ };

/*
 * device_open - find a device
 *
 * It is connected to when something is asked of it. SIGPIPE is ignored from
 * now on.
 *
 * Returns 0; -ENODEV; -ENOTCONN.
 */
int device_open(struct device **out, const char *udid, enum device_reach reach,
		struct mb_err *err);
void device_free(struct device *device);
MB_DEFINE_AUTO(struct device, device_free)

/* Borrowed. */
const char *device_get_udid(const struct device *device);

/* True if this computer has a pair record of the device. */
bool device_is_paired(struct device *device);

/*
 * device_pair - exchange keys; the user has to agree on the device
 *
 * If it was paired before, and still is, that remains, and there is a session
 * then. Keys that the device does not accept any more are replaced.
 *
 * Returns 0; -EHOSTDOWN; -ECONNREFUSED; -ENODEV; -ETIMEDOUT; -ECANCELED.
 */
int device_pair(struct device *device, struct mb_err *err);

/* device_unpair - forget the keys on both sides; as device_pair */
int device_unpair(struct device *device, struct mb_err *err);

/*
 * device_start_session - the encrypted session that services need
 *
 * Pairs if there is no pair record.
 *
 * Returns 0; as device_pair.
 */
int device_start_session(struct device *device, struct mb_err *err);
/* Ends it; services that were opened go on. */
void device_stop_session(struct device *device);

/*
 * device_get - one value of lockdownd
 * @domain: NULL for the global one
 * @key: NULL for all of the domain, a dictionary
 *
 * The caller frees it; NULL if the device does not say.
 */
plist_t device_get(struct device *device, const char *domain, const char *key);
/* A text value, the caller's to free, or NULL. */
char *device_get_text(struct device *device, const char *domain,
		      const char *key);
/* False also if the device does not say. */
bool device_get_bool(struct device *device, const char *domain,
		     const char *key);

/*
 * device_connect - start a service and connect to it, with TLS if it says so
 * @escrow: send the escrow bag, as the backup service needs it
 *
 * Needs a session. While @notes is read (device_observe), it is read whenever
 * a wait on the link takes place.
 *
 * Returns 0; -ENODEV; -EHOSTDOWN if it wants to be unlocked; -EPROTONOSUPPORT
 * if there is no such service.
 */
int device_connect(struct device *device, const char *service, bool escrow,
		   struct link **out, struct mb_err *err);

/*
 * device_recv_now - as the link's recv, but -EAGAIN instead of waiting
 * @link: of device_connect
 */
ssize_t device_recv_now(struct link *link, void *out, size_t len);

/*
 * device_observe - read another link while one is waited on
 * @link, @notes: of device_connect; @notes may be NULL to end it
 * @readable: is to read @notes until -EAGAIN, by device_recv_now
 */
void device_observe(struct link *link, struct link *notes,
		    void (*readable)(void *arg), void *arg);

#endif
