/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "read_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "mountpoint.h"

/* More does not help: messages have 1 MiB at most. */
#define KIB "4096"

void read_ahead_find(struct mount *m, const char *mountpoint)
{
	dev_t device = mountpoint_device(mountpoint);

	m->read_ahead[0] = '\0';
	if (device)
		snprintf(m->read_ahead, sizeof(m->read_ahead),
			 "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
			 minor(device));
}

void read_ahead_raise(struct mount *m)
{
	mb_auto(close) int fd = -1;
	int rc;

	if (!way_is_open(&m->ways, WAY_READ_AHEAD))
		return;
	fd = open(m->read_ahead, O_WRONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : write_full(fd, KIB, strlen(KIB));
	if (rc < 0)
		way_fails(&m->ways, WAY_READ_AHEAD, strerror(-rc));
	else
		way_works(&m->ways, WAY_READ_AHEAD, KIB " KiB");
}
