/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "language.h"
#include "shelf_inside.h"

/* As a shell takes it; with what could mislead a terminal as numbers. */
static int add_quoted(struct buf *out, const char *dir, const char *name)
{
	const char *const parts[] = { dir, *name ? "/" : "", name };
	int rc = buf_add(out, "$'", 2);

	for (size_t i = 0; i < 3; i++)
		for (const char *c = parts[i]; *c && rc == 0; c++) {
			char text[8] = { *c };

			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				snprintf(text, sizeof(text), "\\%03o", *c);
			else if (*c == '\'' || *c == '\\')
				snprintf(text, sizeof(text), "\\%c", *c);
			rc = buf_add(out, text, strlen(text));
		}
	return rc ? rc : buf_add(out, "'", 1);
}

static int add_text(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text));
}

/* Only an odd path needs the other form of quotes, which not all shells have. */
static int add_path(struct buf *out, const char *dir, const char *name)
{
	size_t start = out->len;
	int rc = add_quoted(out, dir, name);

	if (rc == 0 && !memchr(out->ptr + start, '\\', out->len - start)) {
		memmove(out->ptr + start, out->ptr + start + 1,
			out->len - start - 1);
		out->len--;
	}
	return rc;
}

/* A text, and behind it a command with a path. */
static int add_advice(struct buf *out, const char *text, const char *command,
		      const char *dir, const char *name, const char *end)
{
	int rc = add_text(out, text);

	if (rc == 0)
		rc = add_text(out, "\n\n    ");
	if (rc == 0)
		rc = add_text(out, command);
	if (rc == 0)
		rc = add_path(out, dir, name);
	return rc ? rc : add_text(out, end);
}

static int add_locked(const struct shelf *s, const struct shelf_volume *v,
		      struct buf *out)
{
	int rc = add_advice(
		out,
		_("To have its key kept for some hours, with which it "
		  "opens here too:"),
		"larder mount --remember ", s->path, v->folder, "\n\n");

	return rc ? rc :
		    add_advice(out,
			       _("Or mount the whole folder again, with the "
				 "password in a file:"),
			       "larderfs -o passfile=FILE ", s->path, "",
			       " MOUNTPOINT\n");
}

static int add_notice(const struct shelf *s, const struct shelf_volume *v,
		      struct buf *out)
{
	bool locked = v->failed == SHELF_LOCKED;
	int rc = add_text(out,
			  locked ? _("This backup is encrypted, and closed: ") :
				   _("This backup cannot be opened: "));

	if (rc == 0)
		rc = add_text(out, v->why.text);
	if (rc == 0)
		rc = add_text(out, ".\n\n");
	if (rc == 0)
		rc = locked ? add_locked(s, v, out) :
			      add_advice(out,
					 _("What is damaged, what can be had:"),
					 "larder salvage ", s->path, v->folder,
					 "\n");
	return rc;
}

int shelf_notice(const struct shelf *s, const struct shelf_volume *v,
		 struct buf *out)
{
	int rc;

	language_for_people(true);
	rc = add_notice(s, v, out);
	language_for_people(false);
	return rc;
}
