/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "complete.h"
#include "doctor.h"

/* In place of what talks to devices, in a larder that is built without. */

#define PART N_("devices")

const struct command cmd_backup = { .name = "backup", .left_out = PART };
const struct command cmd_devices = { .name = "devices", .left_out = PART };
const struct command cmd_pair = { .name = "pair", .left_out = PART };
const struct command cmd_password = { .name = "password", .left_out = PART };
const struct command cmd_restore = { .name = "restore", .left_out = PART };

void doctor_look_at_devices(struct doctor *d)
{
	doctor_found(d, "device", NOTE, NULL,
		     "this larder was built without %s", _(PART));
}

void complete_devices(const struct completion *c)
{
	(void)c;
}
