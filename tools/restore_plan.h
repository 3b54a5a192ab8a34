/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RESTORE_PLAN_H
#define RESTORE_PLAN_H

#include "device.h"
#include "source.h"
#include "tool.h"

/* What a restore will do, and what stands against it. */

struct restore_options { /* what is sent: larder-restore(1) */
	bool reboot, preserve_settings, remove_others;
};

#define PLAN_PROBLEMS_MAX 8

struct restore_plan {
	struct source *source;
	bool partial, staged;
	struct restore_options options;
	size_t apps; /* to be installed by the device */

	/* of the device; udid NULL without one */
	const char *udid; /* borrowed */
	char *about, *name, *version;
	int64_t free_bytes, capacity_bytes; /* -1: unknown */
	int find_my;			    /* -1: unknown */

	struct mb_err problems[PLAN_PROBLEMS_MAX];
	size_t problem_count;
	bool damaged; /* one of them is that the backup is damaged */
};

/* plan_ask_device - its part; a device that does not say leaves it unknown */
void plan_ask_device(struct restore_plan *plan, struct device *device);

/*
 * plan_judge - find the problems
 * @force_damaged: damage is none
 */
void plan_judge(struct restore_plan *plan, bool force_damaged);

/* On standard output: for people, and the event "plan". */
void plan_print(struct restore_plan *plan);
json_object *plan_event(struct restore_plan *plan);

/* The options as the device takes them; the caller's. */
plist_t plan_make_options(const struct restore_options *options,
			  const char *password);

void plan_release(struct restore_plan *plan);

#endif
