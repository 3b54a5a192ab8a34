/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mount_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void line_release(struct mount_line *line)
{
	free(line->path);
	free(line->type);
	free(line->source);
	free(line->options);
}

void mount_table_release(struct mount_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		line_release(&table->lines[i]);
	free(table->lines);
	*table = (struct mount_table){ 0 };
}

/* A field of the line, with its \040 and the like undone: proc(5) */
static char *take_field(char **at)
{
	char *from = strsep(at, " \n"), *field, *to;

	if (!from)
		return NULL;
	field = to = malloc(strlen(from) + 1);
	while (field && *from) {
		unsigned octal;

		if (*from == '\\' && sscanf(from + 1, "%3o", &octal) == 1) {
			*to++ = (char)octal;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	if (to)
		*to = '\0';
	return field;
}

static void skip_fields(char **at, int count)
{
	while (count-- > 0)
		strsep(at, " \n");
}

/* "36 35 98:0 /root /path opts tags - type source options" */
static bool parse(struct mount_line *line, char *text)
{
	char *front = text, *back = strstr(text, " - ");

	*line = (struct mount_line){ 0 };
	if (!back)
		return false;
	*back = '\0';
	back += 3;
	skip_fields(&front, 4);
	line->path = take_field(&front);
	line->type = take_field(&back);
	line->source = take_field(&back);
	line->options = take_field(&back);
	if (line->path && line->type && line->source && line->options)
		return true;
	line_release(line);
	return false;
}

/* Later lines lie on top of earlier ones. */
static int add(struct mount_table *table, struct mount_line line)
{
	struct mount_line *lines;

	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->lines[i].path, line.path) != 0)
			continue;
		line_release(&table->lines[i]);
		table->lines[i] = line;
		return 0;
	}
	lines = reallocarray(table->lines, table->count + 1, sizeof(*lines));
	if (!lines) {
		line_release(&line);
		return -ENOMEM;
	}
	table->lines = lines;
	lines[table->count++] = line;
	return 0;
}

int mount_table_read(struct mount_table *table)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	mb_auto(free) char *text = NULL;
	struct mount_line line;
	size_t cap = 0;
	int rc = 0;

	*table = (struct mount_table){ 0 };
	if (!file)
		return -errno;
	while (rc == 0 && getline(&text, &cap, file) > 0)
		if (parse(&line, text))
			rc = add(table, line);
	fclose(file);
	if (rc < 0)
		mount_table_release(table);
	return rc;
}

const struct mount_line *mount_table_at(const struct mount_table *table,
					const char *path)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->lines[i].path, path))
			return &table->lines[i];
	return NULL;
}

bool mount_is_ours(const struct mount_line *line)
{
	return line && !strcmp(line->type, MOUNT_TYPE_LARDERFS);
}

uid_t mount_get_user(const struct mount_line *line)
{
	static const char name[] = "user_id=";
	const char *at = line->options;

	while (at && strncmp(at, name, strlen(name)) != 0) {
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
	}
	return at ? (uid_t)strtoul(at + strlen(name), NULL, 10) : (uid_t)-1;
}
