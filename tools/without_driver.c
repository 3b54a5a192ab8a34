/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "complete.h"
#include "doctor.h"

/* In place of what has to do with mounts, in a larder without a driver. */

#define PART N_("its driver")

const struct command cmd_mount = { .name = "mount", .left_out = PART };
const struct command cmd_mounts = { .name = "mounts", .left_out = PART };
const struct command cmd_umount = { .name = "umount", .left_out = PART };

void doctor_look_at_mounting(struct doctor *d)
{
	doctor_found(d, "larderfs", NOTE, NULL,
		     "this larder was built without %s", _(PART));
}

void complete_mounted(const struct completion *c)
{
	(void)c;
}
