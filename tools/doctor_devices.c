/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "choose_device.h"
#include "device.h"
#include "doctor.h"
#include "plistx.h"

/* --- usbmuxd ----------------------------------------------------------- */

static const char *muxer_address(void)
{
	const char *address = getenv("USBMUXD_SOCKET_ADDRESS");

	return address && *address ? address : NULL;
}

/* Why it does not answer; 0 if it does, or cannot be tried here (TCP). */
static int try_socket(void)
{
	const char *address = muxer_address(), *path = "/var/run/usbmuxd";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	mb_auto(close) int fd = -1;

	if (address && strncmp(address, "UNIX:", 5))
		return 0;
	if (address)
		path = address + 5;
	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (void *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

static bool usbmuxd_installed(void)
{
	return in_path("usbmuxd") || access("/usr/sbin/usbmuxd", X_OK) == 0 ||
	       access("/usr/lib/systemd/system/usbmuxd.service", F_OK) == 0;
}

static void muxer_failed(struct doctor *d, const struct mb_err *err)
{
	const char *mend = "sudo systemctl start usbmuxd";
	char install[64];
	int rc = try_socket();

	if (muxer_address()) {
		doctor_found(d, "usbmuxd", FAILED_DEVICE,
			     "unset USBMUXD_SOCKET_ADDRESS",
			     "not reached at USBMUXD_SOCKET_ADDRESS=%s: %s",
			     muxer_address(),
			     rc ? strerror(-rc) : _("no answer"));
		return;
	}
	if (!usbmuxd_installed()) {
		install_command(install, sizeof(install), "usbmuxd");
		doctor_found(d, "usbmuxd", FAILED_DEVICE, install,
			     "is not installed");
		return;
	}
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		doctor_found(
			d, "usbmuxd", FAILED_DEVICE, mend,
			"does not run; it is started when a device is plugged in");
	else
		doctor_found(d, "usbmuxd", FAILED_DEVICE,
			     "sudo systemctl restart usbmuxd", "%s",
			     rc ? strerror(-rc) : err->text);
}

/* --- what is plugged in ------------------------------------------------ */

static unsigned read_hex(const char *device, const char *name)
{
	char path[512];
	unsigned value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/usb/devices/%.200s/%s", device,
		 name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%4x", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

/* Does the kernel see an iPhone, iPad or iPod? */
static bool seen_by_kernel(void)
{
	DIR *dir = opendir("/sys/bus/usb/devices");
	const struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		unsigned product = read_hex(e->d_name, "idProduct");

		found = read_hex(e->d_name, "idVendor") == 0x05ac &&
			product >= 0x1290 && product <= 0x12af;
	}
	if (dir)
		closedir(dir);
	return found;
}

static void no_device(struct doctor *d)
{
	if (!muxer_address() && seen_by_kernel())
		doctor_found(d, "device", FAILED_DEVICE,
			     "sudo systemctl restart usbmuxd",
			     "one is plugged in, but usbmuxd does not list it");
	else
		doctor_found(
			d, "device", FAILED_DEVICE,
			_("plug it in with a cable that carries data, and unlock it"),
			"no iPhone or iPad is attached");
}

/* --- one device -------------------------------------------------------- */

static void look_at_encryption(struct doctor *d, struct device *device)
{
	mb_auto(plistx_free) plist_t backup =
		device_get(device, "com.apple.mobile.backup", NULL);
	bool on;

	if (!plistx_bool(backup, "WillEncrypt", &on))
		doctor_found(d, "encryption", NOTE, NULL,
			     "the device does not say");
	else if (on)
		doctor_found(d, "encryption", FINE, NULL,
			     "backups are encrypted");
	else
		doctor_found(
			d, "encryption", NOTE, "larder password on",
			"off: backups lack passwords, Health and call history, and anyone can read them");
}

static void not_paired(struct doctor *d, const char *udid, const char *finding)
{
	char mend[128];

	snprintf(mend, sizeof(mend), "larder pair --udid %s", udid);
	doctor_found(d, "paired", FAILED_DEVICE, mend, "%s", finding);
}

static void look_at_session(struct doctor *d, struct device *device)
{
	struct mb_err err;
	int rc = device_start_session(device, &err);

	if (rc == -ECONNREFUSED) {
		not_paired(d, device_get_udid(device), err.text);
		return;
	}
	doctor_found(d, "paired", FINE, NULL, "this computer has its keys");
	if (rc == 0) {
		doctor_found(d, "session", FINE, NULL, "starts");
		look_at_encryption(d, device);
	} else {
		doctor_found(
			d, "session", FAILED_DEVICE,
			rc == -EHOSTDOWN ?
				_("unlock the device, and try again") :
				_("plug the device in again, and try again"),
			"%s", err.text);
	}
}

/* Never starts to pair: that would bring up the trust dialog. */
static void look_at_device(struct doctor *d, const struct device_seen *seen)
{
	mb_auto(device_free) struct device *device = NULL;
	struct mb_err err;
	char about[512];

	if (device_open(&device, seen->udid, DEVICE_EITHER, &err) < 0) {
		doctor_found(d, "device", FAILED_DEVICE,
			     _("plug the device in again, and try again"),
			     "%s: %s", seen->udid, err.text);
		return;
	}
	describe_device(about, sizeof(about), device);
	doctor_found(d, "device", FINE, NULL, "%s %s, by %s", seen->udid, about,
		     !seen->network ? _("USB") :
		     seen->usb	    ? _("USB and network") :
				      _("network"));
	if (device_is_paired(device))
		look_at_session(d, device);
	else
		not_paired(d, seen->udid, _("not paired with this computer"));
}

static void look_at_network(struct doctor *d, const struct device_seen *seen,
			    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!seen[i].network)
			continue;
		doctor_found(d, "network", FINE, NULL,
			     "devices on the network are listed");
		return;
	}
	if (in_path("netmuxd") || in_path("usbmuxd2"))
		doctor_found(
			d, "network", NOTE, NULL,
			"a muxer for the network is installed, but lists no device");
	else
		doctor_found(
			d, "network", NOTE, NULL,
			"usbmuxd lists devices on USB only; --network needs netmuxd or usbmuxd2");
}

void doctor_look_at_devices(struct doctor *d)
{
	mb_auto(free) struct device_seen *seen = NULL;
	size_t count = 0;
	struct mb_err err;

	if (device_list(&seen, &count, &err) < 0) {
		muxer_failed(d, &err);
		return;
	}
	doctor_found(d, "usbmuxd", FINE, NULL, "answers%s%s",
		     muxer_address() ? _(" at ") : "",
		     muxer_address() ? muxer_address() : "");
	if (!count)
		no_device(d);
	for (size_t i = 0; i < count; i++)
		look_at_device(d, &seen[i]);
	look_at_network(d, seen, count);
}
