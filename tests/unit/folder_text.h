/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FOLDER_TEXT_H
#define FOLDER_TEXT_H

/*
 * What is in a folder, as text: two folders with the same text hold the same,
 * byte for byte.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static void add_entry_text(struct bytes *out, const char *path,
			   const char *shown);

static void add_folder_text(struct bytes *out, const char *path,
			    const char *shown)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		char below[4096], below_shown[4096];

		snprintf(below, sizeof(below), "%s/%s", path, name);
		snprintf(below_shown, sizeof(below_shown), "%s%s%s", shown,
			 *shown ? "/" : "", name);
		if (strcmp(name, ".") && strcmp(name, ".."))
			add_entry_text(out, below, below_shown);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static void add_entry_text(struct bytes *out, const char *path,
			   const char *shown)
{
	char line[9000], target[4096] = "";
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode) &&
	    readlink(path, target, sizeof(target) - 1) < 0)
		*target = '?';
	snprintf(line, sizeof(line), "%o %s %s\n", (unsigned)st.st_mode, shown,
		 target);
	add_text(out, line);
	if (S_ISREG(st.st_mode)) {
		struct bytes content = read_file(path);
		char hash[41];

		sha1_hex(hash, content.ptr, content.len);
		add_text(out, hash);
		add_text(out, "\n");
		drop(&content);
	}
	if (S_ISDIR(st.st_mode))
		add_folder_text(out, path, shown);
}

/* To be freed; "" for a folder that is empty, or not there. */
static char *folder_text(const char *path)
{
	struct bytes out = { 0 };

	add_folder_text(&out, path, "");
	add(&out, "", 1);
	return (char *)out.ptr;
}

#endif
