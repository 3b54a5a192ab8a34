/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choose_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "watch.h"

/* --- which ------------------------------------------------------------- */

void describe_device(char *out, size_t size, struct device *device)
{
	mb_auto(free) char *name = device_get_text(device, NULL, "DeviceName");
	mb_auto(free) char *type = device_get_text(device, NULL, "ProductType");
	mb_auto(free) char *ios =
		device_get_text(device, NULL, "ProductVersion");
	const char *type_text = type ? type : _("unknown model");
	const char *ios_text = ios ? ios : _("unknown");
	struct mb_err line; /* for its printable text */

	if (name)
		mb_err_set(&line, 0, "%s (%s, iOS %s)", name, type_text,
			   ios_text);
	else
		mb_err_set(&line, 0, "%s, iOS %s", type_text, ios_text);
	snprintf(out, size, "%s", line.text);
}

static bool fits(const struct device_seen *seen, const char *udid, bool network)
{
	if (udid && strcasecmp(seen->udid, udid))
		return false;
	return network ? seen->network : seen->usb;
}

static void list_choices(const struct device_seen *seen, size_t count,
			 bool network)
{
	fprintf(stderr, _("larder: attached %s:\n"),
		network ? _("over the network") : _("by USB"));
	for (size_t i = 0; i < count; i++) {
		mb_auto(device_free) struct device *device = NULL;
		struct mb_err line;

		if (!fits(&seen[i], NULL, network))
			continue;
		if (device_open(&device, seen[i].udid,
				network ? DEVICE_NETWORK : DEVICE_USB,
				&line) == 0)
			describe_device(line.text, sizeof(line.text), device);
		fprintf(stderr, "  %s  %s\n", seen[i].udid, line.text);
	}
}

static int none_fits(const struct device_seen *seen, size_t count,
		     const char *udid, bool network, struct mb_err *err)
{
	for (size_t i = 0; i < count; i++)
		if (fits(&seen[i], udid, !network))
			return mb_err_set(
				err, -ENODEV,
				network ?
					_("%s is attached by USB, and is not on the network: leave out --network") :
					_("%s is attached over the network only: add --network"),
				udid ? udid : _("the device"));
	if (udid)
		return mb_err_set(
			err, -ENODEV,
			"%s is not attached: \"larder devices\" lists what is",
			udid);
	return mb_err_set(
		err, -ENODEV,
		"no iPhone or iPad is attached: plug it in and unlock it; \"larder doctor\" looks for a cause");
}

int choose_device(struct device **out, const char *udid, bool network,
		  struct mb_err *err)
{
	mb_auto(free) struct device_seen *seen = NULL;
	const struct device_seen *found = NULL;
	size_t count, fitting = 0;
	int rc;

	rc = device_list(&seen, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (!fits(&seen[i], udid, network))
			continue;
		found = &seen[i];
		fitting++;
	}
	if (!fitting)
		return none_fits(seen, count, udid, network, err);
	if (fitting > 1) {
		list_choices(seen, count, network);
		return mb_err_set(
			err, -ENOTUNIQ,
			"several devices are attached, choose one with --udid");
	}
	return device_open(out, found->udid,
			   network ? DEVICE_NETWORK : DEVICE_USB, err);
}

/* --- and when ---------------------------------------------------------- */

struct reason {
	const char *name;    /* in JSON */
	const char *message; /* what the user is asked for */
	const char *late;    /* why it failed in the end */
};

static const struct reason locked = {
	"locked",
	N_("unlock the device and leave it unlocked"),
	N_("the device is still locked: unlock it and try again"),
};
static const struct reason trust = {
	"trust",
	N_("tap \"Trust\" on the device and enter its passcode"),
	N_("nobody answered the device's question whether to trust this computer: unlock it, tap \"Trust\" and try again"),
};
static const struct reason busy = {
	"busy",
	N_("another program is using the device"),
	N_("another program is still using the device: close it, or wait until it is done, and try again"),
};

/*
 * Both are -EHOSTDOWN; what device.c says of the dialog names its button.
 *
 * TRANSLATORS: the button, as it is called in the message that begins with
 * "the device asks whether to trust this computer".
 */
static const struct reason *reason_of(int rc, const struct mb_err *err)
{
	if (rc == -EBUSY)
		return &busy;
	return strstr(err->text, _("\"Trust\"")) ? &trust : &locked;
}

static void announce(const struct reason *reason, const struct common *c)
{
	json_object *o;

	if (!c->json) {
		say(c, "larder: waiting: %s", _(reason->message));
		return;
	}
	o = json_event("waiting");
	json_add_text(o, "reason", reason->name);
	json_add_text(o, "message", _(reason->message));
	json_print(o);
	fflush(stdout);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#define RETRY_MS 1000

static int wait_for(int (*attempt)(struct device *, struct mb_err *),
		    struct device *device, int64_t timeout_ms,
		    const struct common *c, struct mb_err *err)
{
	const struct reason *reason = NULL, *said = NULL;
	int64_t end = now_ms() + timeout_ms;

	for (;;) {
		int rc = attempt(device, err);

		if (rc != -EHOSTDOWN && rc != -EBUSY)
			return rc;
		reason = reason_of(rc, err);
		if (now_ms() >= end)
			return mb_err_set(err, -ETIMEDOUT, "%s",
					  _(reason->late));
		if (reason != said)
			announce(reason, c);
		said = reason;
		if (watch_pause(RETRY_MS) < 0)
			return mb_err_set(err, -ECANCELED, "cancelled");
	}
}

int wait_for_session(struct device *device, int64_t timeout_ms,
		     const struct common *c, struct mb_err *err)
{
	return wait_for(device_start_session, device, timeout_ms, c, err);
}

int wait_for_pairing(struct device *device, int64_t timeout_ms,
		     const struct common *c, struct mb_err *err)
{
	return wait_for(device_pair, device, timeout_ms, c, err);
}

int wait_for_unpairing(struct device *device, int64_t timeout_ms,
		       const struct common *c, struct mb_err *err)
{
	return wait_for(device_unpair, device, timeout_ms, c, err);
}
