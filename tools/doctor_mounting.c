/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"

static void look_at_fuse(struct doctor *d)
{
	mb_auto(close) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int error = errno;
	char install[64];
	struct stat st;

	install_command(install, sizeof(install), "fuse3");
	if (fd >= 0)
		doctor_found(d, "fuse", FINE, NULL, "/dev/fuse can be opened");
	else if (stat("/dev/fuse", &st) < 0)
		doctor_found(
			d, "fuse", FAILED, "sudo modprobe fuse",
			"there is no /dev/fuse: backups cannot be mounted");
	else
		doctor_found(d, "fuse", FAILED, "sudo chmod 666 /dev/fuse",
			     "/dev/fuse: %s: backups cannot be mounted",
			     strerror(error));
	if (in_path("fusermount3"))
		doctor_found(d, "fusermount3", FINE, NULL, "is installed");
	else
		doctor_found(d, "fusermount3", FAILED, install,
			     "is not installed: only root can mount backups");
}

static void look_for_larderfs(struct doctor *d)
{
	char beside[PATH_MAX + 16];

	if (larderfs_beside(beside, sizeof(beside)))
		doctor_found(d, "larderfs", FINE, NULL, "%s", beside);
	else if (in_path("larderfs"))
		doctor_found(d, "larderfs", FINE, NULL, "found in PATH");
	else
		doctor_found(d, "larderfs", FAILED,
			     _("meson install -C build, in larder's sources"),
			     "neither beside larder nor in PATH");
}

void doctor_look_at_mounting(struct doctor *d)
{
	look_at_fuse(d);
	look_for_larderfs(d);
}
