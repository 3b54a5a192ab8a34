/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "find_inside.h"
#include "language.h"
#include "models.h"

#define TEXTS 7

/* The texts of one, in a fixed order. */
static void list_texts(struct found *f, char **texts[TEXTS])
{
	texts[0] = &f->path;
	texts[1] = &f->problem;
	texts[2] = &f->udid;
	texts[3] = &f->device_name;
	texts[4] = &f->product_type;
	texts[5] = &f->product_name;
	texts[6] = &f->ios;
}

void found_release(struct found *found)
{
	char **texts[TEXTS];

	list_texts(found, texts);
	for (int i = 0; i < TEXTS; i++)
		free(*texts[i]);
	*found = (struct found){ 0 };
}

void found_list_release(struct found_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		found_release(&list->items[i]);
	free(list->items);
	*list = (struct found_list){ 0 };
}

/*
 * From one process of ours to another: the struct as it is, and behind it each
 * text that its pointer says is there, terminated.
 */
int found_encode(struct buf *out, const struct found *found)
{
	struct found copy = *found;
	char **texts[TEXTS];
	int rc = buf_add(out, found, sizeof(*found));

	list_texts(&copy, texts);
	for (int i = 0; i < TEXTS && rc == 0; i++)
		if (*texts[i])
			rc = buf_add(out, *texts[i], strlen(*texts[i]) + 1);
	return rc;
}

int found_decode(struct found *found, struct view bytes)
{
	char **texts[TEXTS];
	size_t at = sizeof(*found);
	int rc = 0;

	*found = (struct found){ 0 };
	if (bytes.len < at)
		return -EBADMSG;
	memcpy(found, bytes.ptr, at);
	list_texts(found, texts);
	for (int i = 0; i < TEXTS; i++) {
		const char *text = (const char *)bytes.ptr + at;
		bool there = *texts[i];

		*texts[i] = NULL;
		if (!there || rc < 0)
			continue;
		if (!memchr(text, '\0', bytes.len - at)) {
			rc = -EBADMSG;
			continue;
		}
		*texts[i] = strdup(text);
		at += strlen(text) + 1;
		if (!*texts[i])
			rc = -ENOMEM;
	}
	if (rc == 0 && (!found->path || (unsigned)found->kind > FOUND_OTHER))
		rc = -EBADMSG;
	if (rc < 0)
		found_release(found);
	return rc;
}

int found_list_add(struct found_list *list, struct found *found)
{
	struct found *items;

	/* one disk can be mounted twice, one folder be reached in two ways */
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].ino == found->ino &&
		    list->items[i].dev == found->dev) {
			found_release(found);
			return 0;
		}
	}
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items) {
		found_release(found);
		return -ENOMEM;
	}
	list->items = items;
	items[list->count++] = *found;
	*found = (struct found){ 0 };
	return 0;
}

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare(const void *left, const void *right)
{
	const struct found *a = left, *b = right;
	int diff = !!a->problem - !!b->problem;

	if (!diff)
		diff = compare_text(a->device_name, b->device_name);
	if (!diff)
		diff = compare_text(a->udid, b->udid);
	if (!diff)
		diff = (a->date < b->date) - (a->date > b->date);
	return diff ? diff : strcmp(a->path, b->path);
}

void found_list_sort(struct found_list *list)
{
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), compare);
}

const char *found_kind_name(enum found_kind kind)
{
	static const char *const names[] = {
		[FOUND_CURRENT] = N_("current"),
		[FOUND_KEPT] = N_("kept"),
		[FOUND_ARCHIVED] = N_("archived"),
		[FOUND_OTHER] = N_("other"),
	};

	return names[kind];
}

const char *found_get_model(const struct found *found)
{
	const char *name = found->product_name;

	if (!name && found->product_type)
		name = models_name(found->product_type);
	return name ? name : found->product_type;
}
