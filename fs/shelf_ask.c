/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shelf_inside.h"

static int check_sources(const struct unlock_source *from, struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };

	if (from->keyfile && access(from->keyfile, R_OK) < 0)
		return mb_err_set(err, -EIO, "key file %s: %s", from->keyfile,
				  strerror(errno));
	return from->passfile ?
		       secret_from_file(&password, from->passfile, err) :
		       0;
}

/* Those that nothing opens so far, at the front of @locked. */
static size_t find_locked(struct shelf *s, struct mb_backup **locked)
{
	size_t count = 0;

	for (size_t i = 0; i < s->list.count; i++) {
		const struct shelf_item *item = s->list.items[i];
		struct mb_backup *b = NULL;

		if (!item->encrypted ||
		    shelf_open_backup(&b, s->dir_fd, s->path, item->name.folder,
				      s->options->salvage, &item->stamp,
				      NULL) < 0)
			continue;
		if (shelf_keys_unlock(&s->keys, b, NULL) < 0)
			locked[count++] = b;
		else
			mb_backup_free(b);
	}
	return count;
}

static int ask_for(struct shelf *s, struct mb_backup **locked, size_t count,
		   struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };
	struct mb_err prompt; /* for its printable text */
	size_t opened = 0;
	int rc;

	mb_err_set(
		&prompt, 0,
		"Password of the encrypted backups in %s (none: they stay closed): ",
		s->path);
	rc = secret_from_terminal(&password, prompt.text, err);
	if (rc == -ENOKEY)
		return 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		int opens = shelf_keys_try(&s->keys, locked[i], &password, err);

		opened += opens == 0;
		if (opens < 0 && opens != -EKEYREJECTED && opens != -EBADMSG)
			rc = opens;
	}
	if (rc == 0 && !opened)
		rc = mb_err_set(err, -EKEYREJECTED,
				"%s: wrong password: it opens no backup",
				s->path);
	return rc;
}

int shelf_ask(struct shelf *s, struct mb_err *err)
{
	struct mb_backup **locked;
	size_t count;
	int rc = check_sources(&s->source, err);

	if (rc < 0 || unlock_source_given(&s->source) ||
	    !(isatty(STDIN_FILENO) || isatty(STDERR_FILENO)))
		return rc;
	locked = calloc(s->list.count + 1, sizeof(*locked));
	if (!locked)
		return mb_err_set(err, -ENOMEM, "out of memory");
	count = find_locked(s, locked);
	if (count)
		rc = ask_for(s, locked, count, err);
	while (count)
		mb_backup_free(locked[--count]);
	free(locked);
	return rc;
}
