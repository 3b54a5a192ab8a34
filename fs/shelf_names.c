/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "bytes.h"
#include "mb/folder.h"

#define UDID_SHORT 8
#define UDID_MAX 40

static bool is_set(const char *text)
{
	return text && *text;
}

static const char *key_of(const struct shelf_name *n)
{
	return is_set(n->udid) ? n->udid : n->folder;
}

static bool same_device(const struct shelf_name *a, const struct shelf_name *b)
{
	return is_set(a->udid) == is_set(b->udid) &&
	       !strcasecmp(key_of(a), key_of(b));
}

/* A device's own folder, and not one of an earlier version beside it? */
static bool is_current(const struct shelf_name *n)
{
	size_t len = mb_folder_udid_len(n->folder);

	return len && !n->folder[len];
}

/* By device, then by date; of one date, the device's own folder is the last. */
static int compare(const void *one, const void *other)
{
	const struct shelf_name *a = *(struct shelf_name *const *)one;
	const struct shelf_name *b = *(struct shelf_name *const *)other;
	int rc = is_set(b->udid) - is_set(a->udid);

	if (!rc)
		rc = strcasecmp(key_of(a), key_of(b));
	if (!rc)
		rc = (a->date > b->date) - (a->date < b->date);
	if (!rc)
		rc = is_current(a) - is_current(b);
	return rc ? rc : strcmp(a->folder, b->folder);
}

/* The ending is kept whole, the name in front of it is cut if need be. */
static void append(char out[MB_SHOWN_MAX + 1], const char *ending)
{
	size_t len = strlen(out), end_len = strlen(ending);

	if (len + end_len > MB_SHOWN_MAX)
		len = utf8_valid_prefix(out, MB_SHOWN_MAX - end_len);
	memcpy(out + len, ending, end_len + 1);
}

static void append_number(char out[MB_SHOWN_MAX + 1], unsigned number)
{
	char ending[16];

	snprintf(ending, sizeof(ending), " (%u)", number);
	append(out, ending);
}

/* --- devices ------------------------------------------------------------- */

/* The last name that it had. */
static const char *name_of(struct shelf_name *const *first, size_t count)
{
	while (count--)
		if (is_set(first[count]->device_name))
			return first[count]->device_name;
	return NULL;
}

static void name_device(struct shelf_device *d, const char *name, bool has_udid,
			size_t udid_len)
{
	char udid[MB_SHOWN_MAX + 1], ending[UDID_MAX + 4];

	mb_shown_name(d->text, mb_slice_of(name ? name : d->key));
	if (!name || !has_udid)
		return;
	/* what a backup says is its UDID can be any text */
	mb_shown_name(udid, mb_slice_of(d->key));
	snprintf(ending, sizeof(ending), " (%.*s)", (int)udid_len, udid);
	append(d->text, ending);
}

static bool is_taken(const struct shelf_device *devices, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(devices[i].text, devices[at].text))
			return true;
	return false;
}

static void number_device(struct shelf_device *devices, size_t at)
{
	char plain[MB_SHOWN_MAX + 1];

	strcpy(plain, devices[at].text);
	for (unsigned number = 2; is_taken(devices, at); number++) {
		strcpy(devices[at].text, plain);
		append_number(devices[at].text, number);
	}
}

/* --- backups ------------------------------------------------------------- */

static void name_backup(struct shelf_name *n)
{
	time_t date = (time_t)n->date;
	struct tm tm;

	if (!n->date || !localtime_r(&date, &tm) ||
	    !strftime(n->text, sizeof(n->text), "%Y-%m-%d %H.%M", &tm))
		strcpy(n->text, "undated");
}

/* Sorted by date, those of one minute stand together. */
static void name_backups(struct shelf_name *const *first, size_t count,
			 size_t device)
{
	char plain[MB_SHOWN_MAX + 1] = "";
	unsigned number = 1;

	for (size_t i = 0; i < count; i++) {
		first[i]->device = device;
		name_backup(first[i]);
		number = strcmp(first[i]->text, plain) ? 1 : number + 1;
		strcpy(plain, first[i]->text);
		if (number > 1)
			append_number(first[i]->text, number);
	}
}

/* --- all ----------------------------------------------------------------- */

/* Where a device's backups begin; @at: takes the end of them. */
static size_t next_device(struct shelf_name *const *names, size_t count,
			  size_t *at)
{
	size_t first = *at;

	while (*at < count && same_device(names[first], names[*at]))
		++*at;
	return first;
}

static void name_all_devices(struct shelf_name *const *names, size_t count,
			     struct shelf_device *devices, size_t found)
{
	bool *clashes = calloc(found, sizeof(*clashes));

	/* first briefly; then those that are equal with all of their UDID */
	for (int round = 0; round < 2; round++) {
		for (size_t at = 0, i = 0; i < found; i++) {
			size_t first = next_device(names, count, &at);

			if (round && (!clashes || !clashes[i]))
				continue;
			name_device(&devices[i],
				    name_of(names + first, at - first),
				    is_set(names[first]->udid),
				    round ? UDID_MAX : UDID_SHORT);
		}
		for (size_t i = 0; !round && clashes && i < found; i++)
			for (size_t j = 0; j < i; j++)
				if (!strcmp(devices[i].text, devices[j].text))
					clashes[i] = clashes[j] = true;
	}
	free(clashes);
	for (size_t i = 0; i < found; i++)
		number_device(devices, i);
}

ssize_t shelf_names_make(struct shelf_name **names, size_t count,
			 struct shelf_device **devices)
{
	struct shelf_device *all = calloc(count + 1, sizeof(*all));
	size_t found = 0;

	if (!all)
		return -ENOMEM;
	qsort(names, count, sizeof(*names), compare);
	for (size_t at = 0; at < count; found++) {
		size_t first = next_device(names, count, &at);
		struct shelf_device *d = &all[found];

		*d = (struct shelf_device){ .key = key_of(names[first]),
					    .date = names[at - 1]->date,
					    .latest = -1 };
		name_backups(names + first, at - first, found);
		for (size_t i = first; i < at; i++)
			if (names[i]->complete)
				d->latest = (ssize_t)i;
	}
	name_all_devices(names, count, all, found);
	*devices = all;
	return (ssize_t)found;
}
