/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "named_backup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "find.h"

static bool is(const char *text, const char *word)
{
	return text && !strcasecmp(text, word);
}

static bool folder_is(const struct found *f, const char *word)
{
	const char *slash = strrchr(f->path, '/');

	return slash && !strcmp(slash + 1, word);
}

/* The better a word fits, the more; 0: not at all. */
static int fit(const struct found *f, const char *word)
{
	bool device = is(f->udid, word) || is(f->device_name, word);

	if (f->problem)
		return folder_is(f, word) ? 1 : 0;
	if (f->kind == FOUND_CURRENT && (device || folder_is(f, word)))
		return 4;
	if (folder_is(f, word))
		return 3;
	return device ? 2 : 0;
}

static void list_them(const struct found_list *list, const char *word, int best,
		      const struct common *c)
{
	char date[64];

	for (size_t i = 0; i < list->count; i++) {
		const struct found *f = &list->items[i];
		struct mb_err line; /* for its printable text */

		if (fit(f, word) != best)
			continue;
		format_time(date, sizeof(date), f->date);
		mb_err_set(&line, 0, "  %s  %s", f->date ? date : "-", f->path);
		say(c, "%s", line.text);
	}
}

static int choose(char **path, const struct found_list *list, const char *word,
		  const struct common *c, struct mb_err *err)
{
	const struct found *chosen = NULL;
	size_t count = 0;
	int best = 1;

	for (size_t i = 0; i < list->count; i++) {
		int fits = fit(&list->items[i], word);

		if (fits > best)
			count = 0;
		if (fits < best)
			continue;
		best = fits;
		chosen = &list->items[i];
		count++;
	}
	if (!count)
		return mb_err_set(
			err, -ENOENT,
			"%s: no such folder, and no backup of a device of this name was found",
			word);
	if (count > 1) {
		list_them(list, word, best, c);
		return mb_err_set(
			err, -ENOTUNIQ,
			"%s: there are %zu backups of this name: give the folder",
			word, count);
	}
	*path = strdup(chosen->path);
	return *path ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
}

static void note(void *arg, const char *line)
{
	say(arg, "larder: %s", line);
}

int named_backup(char **path, const char *word, const struct common *c,
		 struct mb_err *err)
{
	mb_auto(found_list_release) struct found_list list = { 0 };
	struct find_wish wish = { .note = note, .arg = (void *)c };
	struct stat st;
	int rc;

	if (strchr(word, '/') || lstat(word, &st) == 0) {
		*path = strdup(word);
		return *path ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
	}
	rc = find_backups(&list, &wish, err);
	return rc < 0 ? rc : choose(path, &list, word, c, err);
}
