/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "content_type.h"

#include <errno.h>
#include <magic.h>
#include <stdio.h>

struct content_type {
	magic_t by_text; /* looks only whether it is text, which is quick */
	magic_t by_magic;
	magic_t extension;
};

#define UNKNOWN "application/octet-stream"

/*
 * Of text libmagic tries hundreds of regular expressions, line by line: some
 * milliseconds for 4 KiB. What they find stands in the first lines.
 */
#define TEXT_LEN 256

/* The front of what a phone has thousands of, and libmagic no type for. */
static const struct {
	const char *front, *type;
} fronts[] = {
	{ "bplist0", "application/x-bplist" },
};

/*
 * Names that people know, where libmagic has none or puts another first
 * ("jpeg/jpg/jpe/jfif"). Saves looking a second time, too.
 */
static const struct {
	const char *type, *ext;
} extensions[] = {
	{ "application/gzip", "gz" },
	{ "application/json", "json" },
	{ "application/octet-stream", "bin" },
	{ "application/pdf", "pdf" },
	{ "application/vnd.sqlite3", "sqlite" },
	{ "application/x-bplist", "plist" },
	{ "application/x-sqlite3", "sqlite" },
	{ "application/zip", "zip" },
	{ "audio/mpeg", "mp3" },
	{ "audio/x-m4a", "m4a" },
	{ "image/gif", "gif" },
	{ "image/heic", "heic" },
	{ "image/heif", "heif" },
	{ "image/jpeg", "jpg" },
	{ "image/png", "png" },
	{ "image/webp", "webp" },
	{ "inode/x-empty", "" },
	{ "text/csv", "csv" },
	{ "text/html", "html" },
	{ "text/plain", "txt" },
	{ "text/vcard", "vcf" },
	{ "text/x-vcard", "vcf" },
	{ "text/xml", "xml" },
	{ "video/mp4", "mp4" },
	{ "video/quicktime", "mov" },
	{ "video/x-m4v", "m4v" },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static magic_t open_magic(int flags)
{
	magic_t m = magic_open(flags | MAGIC_NO_CHECK_COMPRESS |
			       MAGIC_NO_CHECK_ELF);

	if (m && magic_load(m, NULL) == 0)
		return m;
	if (m)
		magic_close(m);
	return NULL;
}

int content_type_open(struct content_type **out)
{
	struct content_type *ct = calloc(1, sizeof(*ct));

	if (!ct)
		return -ENOMEM;
	ct->by_text = open_magic(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_SOFT);
	ct->by_magic = open_magic(MAGIC_MIME_TYPE);
	ct->extension = open_magic(MAGIC_EXTENSION);
	*out = ct;
	return 0;
}

void content_type_free(struct content_type *ct)
{
	if (!ct)
		return;
	if (ct->by_text)
		magic_close(ct->by_text);
	if (ct->by_magic)
		magic_close(ct->by_magic);
	if (ct->extension)
		magic_close(ct->extension);
	free(ct);
}

static const char *look(magic_t m, struct view v)
{
	const char *found = m ? magic_buffer(m, v.ptr, v.len) : NULL;

	return found ? found : UNKNOWN;
}

/* Borrowed until the next call. */
static const char *type_of(struct content_type *ct, struct view front)
{
	const char *type;

	if (!front.len)
		return "inode/x-empty";
	for (size_t i = 0; i < COUNT(fronts); i++) {
		size_t len = strlen(fronts[i].front);

		if (front.len >= len &&
		    !memcmp(front.ptr, fronts[i].front, len))
			return fronts[i].type;
	}
	type = look(ct->by_text, front);
	if (!strncmp(type, "text/", 5) && front.len > TEXT_LEN)
		front.len = TEXT_LEN;
	/* JSON, tar: it has been looked into */
	if (strcmp(type, UNKNOWN) && strcmp(type, "text/plain"))
		return type;
	return look(ct->by_magic, front);
}

/* As a file name: lower case and what types are made of; false if it is none */
static bool set_name(char *out, size_t size, const char *text, size_t len)
{
	if (!len || len >= size || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (c == '/')
			c = '-';
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    !strchr("-+._", c))
			return false;
		out[i] = c;
	}
	out[len] = '\0';
	return true;
}

static void set_ext(struct content_type *ct, struct view front,
		    const char *type, struct content_kind *kind)
{
	const char *list;
	size_t len;

	for (size_t i = 0; i < COUNT(extensions); i++)
		if (!strcmp(type, extensions[i].type)) {
			snprintf(kind->ext, sizeof(kind->ext), "%s",
				 extensions[i].ext);
			return;
		}
	/* "???" if it knows none, which is no name */
	list = ct->extension ?
		       magic_buffer(ct->extension, front.ptr, front.len) :
		       NULL;
	len = list ? strcspn(list, "/") : 0;
	if (!set_name(kind->ext, sizeof(kind->ext), list, len))
		kind->ext[0] = '\0';
}

void content_type_get(struct content_type *ct, struct view front,
		      struct content_kind *kind)
{
	char type[CONTENT_TYPE_MAX];

	snprintf(type, sizeof(type), "%s", type_of(ct, front));
	*kind = (struct content_kind){ 0 };
	if (!set_name(kind->type, sizeof(kind->type), type, strlen(type))) {
		snprintf(type, sizeof(type), UNKNOWN);
		set_name(kind->type, sizeof(kind->type), type, strlen(type));
	}
	set_ext(ct, front, type, kind);
}
