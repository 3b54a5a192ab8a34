/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "own_mounts.h"

#include <errno.h>
#include <string.h>

void own_mounts_release(struct own_mounts *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].mountpoint);
		free(list->items[i].backup);
	}
	free(list->items);
	found_list_release(&list->found);
	*list = (struct own_mounts){ 0 };
}

static int add(struct own_mounts *list, const struct mount_line *line)
{
	struct own_mount *items =
		reallocarray(list->items, list->count + 1, sizeof(*items));
	struct own_mount *item;

	if (!items)
		return -ENOMEM;
	list->items = items;
	item = &items[list->count++];
	*item = (struct own_mount){ .mountpoint = strdup(line->path),
				    .backup = strdup(line->source) };
	return item->mountpoint && item->backup ? 0 : -ENOMEM;
}

int own_mounts_read(struct own_mounts *list, bool everybodys,
		    struct mb_err *err)
{
	mb_auto(mount_table_release) struct mount_table table = { 0 };
	int rc = mount_table_read(&table);

	*list = (struct own_mounts){ 0 };
	for (size_t i = 0; rc == 0 && i < table.count; i++) {
		const struct mount_line *line = &table.lines[i];

		if (mount_is_ours(line) &&
		    (everybodys || mount_get_user(line) == getuid()))
			rc = add(list, line);
	}
	if (rc == 0)
		return 0;
	own_mounts_release(list);
	return mb_err_set(err, rc, "/proc/self/mountinfo: %s", strerror(-rc));
}

int own_mounts_describe(struct own_mounts *list, struct mb_err *err)
{
	mb_auto(free) char **folders = calloc(list->count + 1, sizeof(char *));
	/* a backup that is out of reach has no name, and needs no message */
	struct find_wish wish = { .folders = folders,
				  .folder_count = list->count,
				  .only_these = true };
	int rc;

	if (!folders)
		return mb_err_set(err, -ENOMEM, "out of memory");
	if (!list->count || list->found.count)
		return 0;
	for (size_t i = 0; i < list->count; i++)
		folders[i] = list->items[i].backup;
	rc = find_backups(&list->found, &wish, err);
	for (size_t i = 0; rc == 0 && i < list->count; i++)
		for (size_t j = 0; j < list->found.count; j++)
			if (!list->found.items[j].problem &&
			    !strcmp(list->found.items[j].path,
				    list->items[i].backup))
				list->items[i].about = &list->found.items[j];
	return rc;
}
