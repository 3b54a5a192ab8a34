/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is asked of lockdownd, the door of a device. One connection is kept
 * for all of it.
 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <libimobiledevice/libimobiledevice.h>
#include <libimobiledevice/lockdown.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <usbmuxd.h>

#include "blocking.h"
#include "device_inside.h"
#include "language.h"
#include "plistx.h"
#include "watch.h"

#define LABEL "larder"

struct device {
	char udid[64];
	idevice_t handle;
	lockdownd_client_t lockdown; /* NULL: not connected */
	int lockdown_fd;	     /* -1: not known */
	bool session;
	int version; /* -1: not asked yet */
};

/* --- what is attached ---------------------------------------------------- */

/* A UDID becomes a part of paths and messages. */
static bool is_udid(const char *text)
{
	return *text && !text[strspn(text, "0123456789abcdefghijklmnopqrstuv"
					   "wxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")];
}

static void add_seen(struct device_seen *list, size_t *count,
		     const usbmuxd_device_info_t *info)
{
	struct device_seen *seen = list;

	if (!is_udid(info->udid))
		return;
	while (seen < list + *count && strcmp(seen->udid, info->udid))
		seen++;
	if (seen == list + *count) {
		snprintf(seen->udid, sizeof(seen->udid), "%s", info->udid);
		(*count)++;
	}
	if (info->conn_type == CONNECTION_TYPE_USB)
		seen->usb = true;
	else
		seen->network = true;
}

static int by_udid(const void *a, const void *b)
{
	const struct device_seen *x = a, *y = b;

	return strcmp(x->udid, y->udid);
}

int device_list(struct device_seen **out, size_t *count, struct mb_err *err)
{
	usbmuxd_device_info_t *infos = NULL;
	int n = usbmuxd_get_device_list(&infos);

	*out = NULL;
	*count = 0;
	if (n < 0)
		return mb_err_set(
			err, -ENOTCONN,
			"usbmuxd, through which devices are reached, does not answer: \"larder doctor\" says why");
	if (n > 0) {
		*out = calloc((size_t)n, sizeof(**out));
		for (int i = 0; *out && i < n; i++)
			add_seen(*out, count, &infos[i]);
		if (*out)
			qsort(*out, *count, sizeof(**out), by_udid);
	}
	usbmuxd_device_list_free(&infos);
	return n > 0 && !*out ? mb_err_set(err, -ENOMEM, "out of memory") : 0;
}

static bool is_attached(const char *udid)
{
	mb_auto(free) struct device_seen *seen = NULL;
	size_t count;

	if (device_list(&seen, &count, NULL) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(seen[i].udid, udid))
			return true;
	return false;
}

static int gone(struct mb_err *err)
{
	return mb_err_set(err, -ENODEV,
			  "the device has gone: was it unplugged?");
}

/* --- open and close ------------------------------------------------------ */

static enum idevice_options lookup(enum device_reach reach)
{
	switch (reach) {
	case DEVICE_USB:
		return IDEVICE_LOOKUP_USBMUX;
	case DEVICE_NETWORK:
		return IDEVICE_LOOKUP_NETWORK;
	default:
		return IDEVICE_LOOKUP_USBMUX | IDEVICE_LOOKUP_NETWORK;
	}
}

/* Listed all the same: 1.4.0 knows fewer forms of a network address. */
static int not_found(const char *udid, enum device_reach reach,
		     struct mb_err *err)
{
	mb_auto(free) struct device_seen *seen = NULL;
	size_t count;
	int rc = device_list(&seen, &count, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(seen[i].udid, udid) &&
		    ((seen[i].usb && reach != DEVICE_NETWORK) ||
		     (seen[i].network && reach != DEVICE_USB)))
			return mb_err_set(
				err, -ENODEV,
				"%s is listed, but libimobiledevice %s cannot open it",
				udid, LIBIMOBILEDEVICE_VERSION);
	return mb_err_set(err, -ENODEV, "%s is not attached", udid);
}

int device_open(struct device **out, const char *udid, enum device_reach reach,
		struct mb_err *err)
{
	mb_auto(device_free) struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return mb_err_set(err, -ENOMEM, "out of memory");
	device->lockdown_fd = device->version = -1;
	/* a device that goes while it is written to is an error, not an end */
	signal(SIGPIPE, SIG_IGN);
	snprintf(device->udid, sizeof(device->udid), "%s", udid);
	if (idevice_new_with_options(&device->handle, udid, lookup(reach)) !=
	    IDEVICE_E_SUCCESS)
		return not_found(udid, reach, err);
	*out = mb_steal(&device);
	return 0;
}

/* @broken: it does not answer, so do not wait for it to say goodbye */
static void disconnect(struct device *device, bool broken)
{
	if (!device->lockdown)
		return;
	if (broken && device->lockdown_fd >= 0)
		shutdown(device->lockdown_fd, SHUT_RDWR);
	watch_guard(device->lockdown_fd);
	lockdownd_client_free(device->lockdown);
	watch_unguard();
	device->lockdown = NULL;
	device->lockdown_fd = -1;
	device->session = false;
}

void device_free(struct device *device)
{
	if (!device)
		return;
	disconnect(device, false);
	idevice_free(device->handle);
	free(device);
}

const char *device_get_udid(const struct device *device)
{
	return device->udid;
}

/* --- what lockdownd says ------------------------------------------------- */

static const struct {
	lockdownd_error_t error;
	int code;
	const char *text;
} answers[] = {
	{ LOCKDOWN_E_PASSWORD_PROTECTED, -EHOSTDOWN,
	  N_("the device is locked: unlock it and try again") },
	{ LOCKDOWN_E_ESCROW_LOCKED, -EHOSTDOWN,
	  N_("the device is locked: unlock it and try again") },
	{ LOCKDOWN_E_PAIRING_DIALOG_RESPONSE_PENDING, -EHOSTDOWN,
	  N_("the device asks whether to trust this computer: tap \"Trust\" on it, enter its passcode, and try again") },
	{ LOCKDOWN_E_USER_DENIED_PAIRING, -ECONNREFUSED,
	  N_("\"Don't Trust\" was tapped on the device: to be asked again, run \"larder pair\"") },
	{ LOCKDOWN_E_PAIRING_FAILED, -ECONNREFUSED,
	  N_("the device refused to trust this computer: unplug it, plug it in again, and run \"larder pair\"") },
	{ LOCKDOWN_E_INVALID_HOST_ID, -ECONNREFUSED,
	  N_("the device does not trust this computer any more: run \"larder pair\"") },
	{ LOCKDOWN_E_MISSING_HOST_ID, -ECONNREFUSED,
	  N_("the device does not trust this computer any more: run \"larder pair\"") },
	{ LOCKDOWN_E_INVALID_PAIR_RECORD, -ECONNREFUSED,
	  N_("the device does not accept this computer's keys: run \"larder pair\"") },
	{ LOCKDOWN_E_MISSING_PAIR_RECORD, -ECONNREFUSED,
	  N_("the device does not accept this computer's keys: run \"larder pair\"") },
	{ LOCKDOWN_E_INVALID_CONF, -ECONNREFUSED,
	  N_("this computer's keys for the device are damaged: run \"larder pair\"") },
	{ LOCKDOWN_E_SSL_ERROR, -ECONNREFUSED,
	  N_("the device does not accept this computer's keys: run \"larder pair\"") },
	{ LOCKDOWN_E_PAIRING_PROHIBITED_OVER_THIS_CONNECTION, -ECONNREFUSED,
	  N_("the device begins to trust a computer by USB only: plug it in") },
	{ LOCKDOWN_E_MC_PROTECTED, -ECONNREFUSED,
	  N_("whoever manages the device does not let it trust this computer") },
	{ LOCKDOWN_E_MC_CHALLENGE_REQUIRED, -ECONNREFUSED,
	  N_("whoever manages the device does not let it trust this computer") },
	{ LOCKDOWN_E_RECEIVE_TIMEOUT, -ETIMEDOUT,
	  N_("the device does not answer: unlock it, plug it in again, and try again") },
	{ LOCKDOWN_E_SERVICE_LIMIT, -EBUSY,
	  N_("other programs keep the device busy: close them and try again") },
	{ LOCKDOWN_E_SAVE_PAIR_RECORD_FAILED, -EIO,
	  N_("usbmuxd could not store the keys for the device") },
};

/* Its connection cannot be used any more. */
static bool is_broken(const struct device *device, lockdownd_error_t error)
{
	char byte;

	switch (error) {
	case LOCKDOWN_E_MUX_ERROR:
	case LOCKDOWN_E_SSL_ERROR:
	case LOCKDOWN_E_PLIST_ERROR: /* also for no answer at all */
	case LOCKDOWN_E_RECEIVE_TIMEOUT:
		return true;
	case LOCKDOWN_E_UNKNOWN_ERROR: /* also for words that are new */
		return recv(device->lockdown_fd, &byte, 1,
			    MSG_PEEK | MSG_DONTWAIT) >= 0 ||
		       errno != EAGAIN;
	default:
		return false;
	}
}

static int explain(const struct device *device, lockdownd_error_t error,
		   struct mb_err *err)
{
	if (error == LOCKDOWN_E_MUX_ERROR || !is_attached(device->udid))
		return gone(err);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
		if (answers[i].error == error)
			return mb_err_set(err, answers[i].code, "%s",
					  _(answers[i].text));
	return mb_err_set(err, -EPROTO,
			  "the device refuses, with lockdown error %d",
			  (int)error);
}

static int cancelled(struct mb_err *err)
{
	return mb_err_set(err, -ECANCELED, "cancelled");
}

/*
 * The end of a guarded call to lockdownd: what it means for the connection,
 * and for the user.
 */
static int finish(struct device *device, lockdownd_error_t error,
		  struct mb_err *err)
{
	bool session = device->session, broken;
	int rc = watch_unguard();

	broken = rc < 0 || is_broken(device, error);
	if (broken)
		disconnect(device, true);
	if (rc == -ECANCELED)
		return cancelled(err);
	if (rc == -ETIMEDOUT)
		error = LOCKDOWN_E_RECEIVE_TIMEOUT;
	else if (broken && session)
		error = LOCKDOWN_E_MUX_ERROR; /* not at its begin */
	return error == LOCKDOWN_E_SUCCESS ? 0 : explain(device, error, err);
}

static bool is_socket(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

typedef lockdownd_error_t connect_fn(idevice_t, lockdownd_client_t *,
				     const char *label);

static int connect_by(struct device *device, connect_fn *how,
		      struct mb_err *err)
{
	struct blocking blocking;
	lockdownd_error_t error;
	int fd;

	if (watch_cancelled())
		return cancelled(err);
	blocking_begin(&blocking);
	fd = device_guard_next();
	error = how(device->handle, &device->lockdown, LABEL);
	blocking_end(&blocking);
	if (error == LOCKDOWN_E_SUCCESS && is_socket(fd)) {
		device->lockdown_fd = fd;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	return finish(device, error, err);
}

static int connect_plainly(struct device *device, struct mb_err *err)
{
	if (device->lockdown)
		return 0;
	return connect_by(device, lockdownd_client_new, err);
}

/* --- trust --------------------------------------------------------------- */

bool device_is_paired(struct device *device)
{
	char *record = NULL;
	uint32_t len = 0;
	int rc = usbmuxd_read_pair_record(device->udid, &record, &len);

	free(record);
	return rc == 0 && len;
}

/*
 * By the library's own handshake, which learns the version of iOS: TLS
 * depends on it.
 */
int device_start_session(struct device *device, struct mb_err *err)
{
	int rc;

	if (device->session)
		return 0;
	disconnect(device, false);
	rc = connect_by(device, lockdownd_client_new_with_handshake, err);
	device->session = rc == 0;
	return rc;
}

void device_stop_session(struct device *device)
{
	if (device->session)
		disconnect(device, false);
}

int device_pair(struct device *device, struct mb_err *err)
{
	int rc;

	if (device_is_paired(device)) {
		rc = device_start_session(device, err);
		if (rc != -ECONNREFUSED)
			return rc;
	}
	rc = connect_plainly(device, err);
	if (rc < 0)
		return rc;
	watch_guard(device->lockdown_fd);
	return finish(device, lockdownd_pair(device->lockdown, NULL), err);
}

int device_unpair(struct device *device, struct mb_err *err)
{
	lockdownd_error_t error;
	int rc;

	device_stop_session(device);
	rc = connect_plainly(device, err);
	if (rc < 0)
		return rc;
	watch_guard(device->lockdown_fd);
	error = lockdownd_unpair(device->lockdown, NULL);
	if (error == LOCKDOWN_E_INVALID_HOST_ID) {
		/* it has forgotten us; so do we */
		usbmuxd_delete_pair_record(device->udid);
		error = LOCKDOWN_E_SUCCESS;
	}
	return finish(device, error, err);
}

/* --- values -------------------------------------------------------------- */

plist_t device_get(struct device *device, const char *domain, const char *key)
{
	plist_t value = NULL;
	lockdownd_error_t error;

	if (connect_plainly(device, NULL) < 0)
		return NULL;
	watch_guard(device->lockdown_fd);
	error = lockdownd_get_value(device->lockdown, domain, key, &value);
	if (finish(device, error, NULL) < 0) {
		plist_free(value);
		return NULL;
	}
	return value;
}

char *device_get_text(struct device *device, const char *domain,
		      const char *key)
{
	mb_auto(plistx_free) plist_t value = device_get(device, domain, key);
	char *text = NULL;

	if (value && plist_get_node_type(value) == PLIST_STRING)
		plist_get_string_val(value, &text);
	return text;
}

bool device_get_bool(struct device *device, const char *domain, const char *key)
{
	mb_auto(plistx_free) plist_t value = device_get(device, domain, key);
	uint8_t on = 0;

	if (value && plist_get_node_type(value) == PLIST_BOOLEAN)
		plist_get_bool_val(value, &on);
	return on;
}

/* --- services ------------------------------------------------------------ */

static lockdownd_error_t ask_for_service(struct device *device,
					 const char *service, bool escrow,
					 lockdownd_service_descriptor_t *out)
{
	lockdownd_error_t error = LOCKDOWN_E_INVALID_CONF;

	if (escrow)
		error = lockdownd_start_service_with_escrow_bag(
			device->lockdown, service, out);
	/* also where the keys came without an escrow bag, as from old iOS */
	if (error == LOCKDOWN_E_INVALID_CONF)
		error = lockdownd_start_service(device->lockdown, service, out);
	return error;
}

/* @out: to be freed with lockdownd_service_descriptor_free */
static int start_service(struct device *device, const char *service,
			 bool escrow, struct lockdownd_service_descriptor **out,
			 struct mb_err *err)
{
	lockdownd_error_t error;

	*out = NULL;
	if (watch_cancelled())
		return cancelled(err);
	if (!device->session)
		return gone(err); /* it was lost */
	watch_guard(device->lockdown_fd);
	error = ask_for_service(device, service, escrow, out);
	if (error == LOCKDOWN_E_INVALID_SERVICE ||
	    error == LOCKDOWN_E_SERVICE_PROHIBITED) {
		watch_unguard();
		return mb_err_set(err, -EPROTONOSUPPORT, "the device has no %s",
				  service);
	}
	return finish(device, error, err);
}

int device_connect(struct device *device, const char *service, bool escrow,
		   struct link **out, struct mb_err *err)
{
	lockdownd_service_descriptor_t descriptor = NULL;
	int rc = start_service(device, service, escrow, &descriptor, err);

	if (rc < 0)
		return rc;
	rc = device_link_open(out, device->handle, descriptor);
	lockdownd_service_descriptor_free(descriptor);
	switch (rc) {
	case 0:
		return 0;
	case -ECANCELED:
		return cancelled(err);
	case -ETIMEDOUT:
		return explain(device, LOCKDOWN_E_RECEIVE_TIMEOUT, err);
	case -ENOMEM:
		return mb_err_set(err, rc, "out of memory");
	default:
		return gone(err);
	}
}
