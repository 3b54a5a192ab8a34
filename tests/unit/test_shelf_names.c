/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf_names.h"

#include <time.h>

#include "tap.h"

#define UDID "00008110-000A1B2C3D4E5F67"
#define OTHER "00008110-000A1B2C3D4E5F68"
#define OLD "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"

#define DAY 86400
#define NOON 1718452800 /* 2024-06-15 12:00 UTC */

#define MAX 8

#define BACKUP(in, of, called, at, whole)                                    \
	{                                                                    \
		.folder = in, .udid = of, .device_name = called, .date = at, \
		.complete = whole                                            \
	}

/* Named together; where they come to stand is found by their folder. */
struct example {
	struct shelf_name names[MAX];
	struct shelf_name *sorted[MAX];
	struct shelf_device *devices;
	size_t count;
	ssize_t device_count;
};

static void make(struct example *e)
{
	e->count = 0;
	while (e->count < MAX && e->names[e->count].folder) {
		e->sorted[e->count] = &e->names[e->count];
		e->count++;
	}
	e->device_count = shelf_names_make(e->sorted, e->count, &e->devices);
}

static void release(struct example *e)
{
	free(e->devices);
}

static const char *device_of(const struct example *e, size_t at)
{
	return e->devices[e->names[at].device].text;
}

static const char *latest_of(const struct example *e, size_t at)
{
	ssize_t latest = e->devices[e->names[at].device].latest;

	return latest < 0 ? "" : e->sorted[latest]->folder;
}

CASE(a_backup_is_named_by_device_and_local_time)
{
	struct example e = { .names = { BACKUP(UDID, UDID, "Anna's iPhone",
					       NOON, true) } };

	make(&e);
	CHECK_INT(e.device_count, 1);
	CHECK_TEXT(device_of(&e, 0), "Anna's iPhone (00008110)");
	CHECK_TEXT(e.names[0].text, "2024-06-15 12.00");
	CHECK_INT(e.devices[0].date, NOON);
	release(&e);
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	make(&e);
	CHECK_TEXT(e.names[0].text, "2024-06-15 21.00");
	release(&e);
	setenv("TZ", "UTC", 1);
	tzset();
}

CASE(versions_of_a_device_stand_together_the_newest_complete_one_is_latest)
{
	struct example e = { .names = {
				     BACKUP(UDID, UDID, "Anna", NOON + 2 * DAY,
					    false),
				     BACKUP(OLD, OLD, "Ben", NOON, true),
				     BACKUP(UDID "-20240614-120000", UDID,
					    "Anna", NOON - DAY, true),
				     BACKUP(UDID "-20240616-120000",
					    "00008110-000a1b2c3d4e5f67", "Anna",
					    NOON + DAY, true),
			     } };

	make(&e);
	CHECK_INT(e.device_count, 2);
	CHECK_TEXT(device_of(&e, 3), "Anna (00008110)");
	CHECK_INT(e.names[0].device, e.names[2].device);
	CHECK_INT(e.names[0].device, e.names[3].device);
	CHECK_TEXT(latest_of(&e, 0), UDID "-20240616-120000");
	CHECK_TEXT(latest_of(&e, 1), OLD);
	CHECK_INT(e.devices[e.names[0].device].date, NOON + 2 * DAY);
	release(&e);
}

CASE(of_one_date_the_own_folder_of_the_device_is_the_latest)
{
	struct example e = { .names = {
				     BACKUP(UDID "-20240615-120000", UDID,
					    "Anna", NOON, true),
				     BACKUP(UDID, UDID, "Anna", NOON, true),
				     BACKUP(UDID "-20240615-120001", UDID,
					    "Anna", NOON, true),
			     } };

	make(&e);
	CHECK_TEXT(latest_of(&e, 0), UDID);
	CHECK_TEXT(e.names[0].text, "2024-06-15 12.00");
	CHECK_TEXT(e.names[2].text, "2024-06-15 12.00 (2)");
	CHECK_TEXT(e.names[1].text, "2024-06-15 12.00 (3)");
	release(&e);
}

CASE(a_device_without_a_complete_backup_has_no_latest)
{
	struct example e = { .names = {
				     BACKUP(UDID, UDID, NULL, NOON, false) } };

	make(&e);
	CHECK_INT(e.devices[0].latest, -1);
	CHECK_TEXT(device_of(&e, 0), UDID);
	release(&e);
}

CASE(equal_names_get_more_of_the_udid)
{
	struct example e = { .names = {
				     BACKUP(UDID, UDID, "iPhone", NOON, true),
				     BACKUP(OTHER, OTHER, "iPhone", NOON, true),
				     BACKUP(OLD, OLD, "iPhone", NOON, true),
			     } };

	make(&e);
	CHECK_TEXT(device_of(&e, 0), "iPhone (" UDID ")");
	CHECK_TEXT(device_of(&e, 1), "iPhone (" OTHER ")");
	CHECK_TEXT(device_of(&e, 2), "iPhone (5f3e1c0a)");
	release(&e);
}

CASE(without_a_udid_each_folder_is_a_device_of_its_own)
{
	struct example e = { .names = {
				     BACKUP("one", NULL, "Anna", NOON, true),
				     BACKUP("other", "", "Anna", NOON, true),
				     BACKUP("third", NULL, NULL, 0, true),
			     } };

	make(&e);
	CHECK_INT(e.device_count, 3);
	CHECK_TEXT(device_of(&e, 0), "Anna");
	CHECK_TEXT(device_of(&e, 1), "Anna (2)");
	CHECK_TEXT(device_of(&e, 2), "third");
	CHECK_TEXT(e.names[2].text, "undated");
	release(&e);
}

CASE(a_device_that_was_renamed_has_its_last_name)
{
	struct example e = { .names = {
				     BACKUP(UDID, UDID, "New", NOON, true),
				     BACKUP(UDID "-20240614-120000", UDID,
					    "Old", NOON - DAY, true),
			     } };

	make(&e);
	CHECK_TEXT(device_of(&e, 1), "New (00008110)");
	release(&e);
}

CASE(hostile_names_are_file_names)
{
	char is_long[400];
	struct example e = { .names = {
				     BACKUP("a", "../../../etc/passwd", "../..",
					    NOON, true),
				     BACKUP("b", "x", "..", NOON, true),
				     BACKUP("c", NULL, "..", NOON, true),
				     BACKUP("d", OLD, is_long, INT64_MAX, true),
				     BACKUP("e", UDID, "", INT64_MIN, true),
			     } };

	for (size_t i = 0; i + 2 < sizeof(is_long); i += 2)
		memcpy(is_long + i, "\xc3\xa4", 3);
	make(&e);
	CHECK_INT(e.device_count, 5);
	CHECK_TEXT(device_of(&e, 0), "..%2F.. (..%2F..%)");
	CHECK_TEXT(device_of(&e, 1), "%2E%2E (x)");
	CHECK_TEXT(device_of(&e, 2), "%2E%2E");
	for (size_t i = 0; i < e.count; i++) {
		CHECK_AT(strlen(device_of(&e, i)) <= 255, "%zu", i);
		CHECK_AT(*device_of(&e, i) && *e.names[i].text, "%zu", i);
		CHECK_AT(!strchr(device_of(&e, i), '/'), "%zu", i);
	}
	CHECK(strstr(device_of(&e, 3), "\xc3\xa4 (5f3e1c0a)") != NULL ||
	      strstr(device_of(&e, 3), " (5f3e1c0a)") != NULL);
	release(&e);
}

CASE(names_that_come_out_equal_are_told_apart)
{
	struct example e = { .names = {
				     BACKUP("a", NULL, "X (00008110)", NOON,
					    true),
				     BACKUP(UDID, UDID, "X", NOON, true),
				     BACKUP("X (00008110) (2)", NULL, NULL,
					    NOON, true),
			     } };

	make(&e);
	for (ssize_t i = 0; i < e.device_count; i++)
		for (ssize_t j = 0; j < i; j++)
			CHECK(strcmp(e.devices[i].text, e.devices[j].text) !=
			      0);
	release(&e);
}

CASE(nothing_has_no_devices)
{
	struct example e = { 0 };

	make(&e);
	CHECK_INT(e.device_count, 0);
	release(&e);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	RUN(a_backup_is_named_by_device_and_local_time);
	RUN(versions_of_a_device_stand_together_the_newest_complete_one_is_latest);
	RUN(of_one_date_the_own_folder_of_the_device_is_the_latest);
	RUN(a_device_without_a_complete_backup_has_no_latest);
	RUN(equal_names_get_more_of_the_udid);
	RUN(without_a_udid_each_folder_is_a_device_of_its_own);
	RUN(a_device_that_was_renamed_has_its_last_name);
	RUN(hostile_names_are_file_names);
	RUN(names_that_come_out_equal_are_told_apart);
	RUN(nothing_has_no_devices);
	return tap_end();
}
