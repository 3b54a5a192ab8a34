/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dialog.h"
#include "key_file.h"
#include "language.h"
#include "remembered.h"
#include "secret_service.h"

static const char *environment_passfile(void)
{
	const char *path = getenv("LARDER_PASSFILE");

	return path && *path ? path : NULL;
}

bool unlock_password_given(const struct unlock_source *source)
{
	return source->passfile || source->extpass || environment_passfile();
}

bool unlock_source_given(const struct unlock_source *source)
{
	return source->keyfile || unlock_password_given(source);
}

int unlock_get_password(const struct unlock_source *source, const char *prompt,
			struct secret *s, struct mb_err *err)
{
	if (source->passfile)
		return secret_from_file(s, source->passfile, err);
	if (source->extpass)
		return secret_from_command(s, source->extpass, err);
	if (environment_passfile())
		return secret_from_file(s, environment_passfile(), err);
	if (source->dialog)
		return secret_from_dialog(s, prompt, err);
	return secret_from_terminal(s, prompt, err);
}

static int get_password(struct mb_backup *backup,
			const struct unlock_source *source, const char *before,
			struct secret *s, struct mb_err *err)
{
	const struct mb_backup_info *info = mb_backup_get_info(backup);
	bool asks = !unlock_password_given(source);
	struct mb_err prompt; /* for its printable text */
	int rc;

	mb_err_set(&prompt, 0, "%sBackup password of %s: ", before,
		   info->device_name ? info->device_name : info->source);
	rc = unlock_get_password(source, prompt.text, s, err);
	return rc < 0 && asks ? mb_err_prefix(err, rc, "%s", info->source) : rc;
}

int unlock_derive_from(struct mb_backup *backup, const struct secret *password,
		       uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	bool terminal = isatty(STDERR_FILENO);
	int rc;

	if (terminal)
		fputs(_("Unlocking, this takes some seconds ..."), stderr);
	rc = mb_backup_derive(backup, password->text, password->len, key, err);
	if (terminal)
		fputs("\r\033[K", stderr);
	return rc;
}

#define DIALOG_ATTEMPTS 3

static int derive(struct mb_backup *backup, const struct unlock_source *source,
		  struct secret *password, uint8_t key[MB_DERIVED_KEY_LEN],
		  struct mb_err *err)
{
	bool dialog = source->dialog && !unlock_password_given(source);
	const char *before = "";
	int rc;

	for (int attempt = 1;; attempt++) {
		rc = get_password(backup, source, before, password, err);
		if (rc == 0)
			rc = unlock_derive_from(backup, password, key, err);
		if (rc < 0 || !dialog || attempt == DIALOG_ATTEMPTS)
			return rc;
		/* a terminal is asked again by repeating the command */
		if (mb_backup_unlock(backup, key, NULL) != -EKEYREJECTED)
			return 0;
		before = _("That is not the password. ");
	}
}

void unlock_remember(struct mb_backup *backup,
		     const struct unlock_source *source,
		     const uint8_t key[MB_DERIVED_KEY_LEN])
{
	struct mb_err err;
	int rc = 0;

	if (source->remember_s == REMEMBERED_LOGIN)
		rc = secret_service_put(backup, key, &err);
	else if (source->remember_s)
		rc = remembered_put(backup, key, source->remember_s, &err);
	if (rc < 0)
		fprintf(stderr, _("%s: not remembered: %s\n"),
			program_invocation_short_name, err.text);
}

/* 0; -ENOKEY; other errors if there is something else wrong */
static int try_key(struct mb_backup *backup, uint8_t key[MB_DERIVED_KEY_LEN],
		   int got)
{
	int rc = got < 0 ? got : mb_backup_unlock(backup, key, NULL);

	if (rc < 0)
		explicit_bzero(key, MB_DERIVED_KEY_LEN);
	return rc;
}

int unlock_remembered(struct mb_backup *backup, uint8_t key[MB_DERIVED_KEY_LEN])
{
	int rc = try_key(backup, key, remembered_get(backup, key));

	if (rc == -EKEYREJECTED)
		remembered_forget(backup);
	if (rc == 0)
		return 0;
	rc = try_key(backup, key, secret_service_get(backup, key));
	if (rc == -EKEYREJECTED)
		secret_service_forget(backup);
	return rc < 0 ? -ENOKEY : 0;
}

int unlock_derive(struct mb_backup *backup, const struct unlock_source *source,
		  uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	mb_auto(secret_release) struct secret password = { 0 };
	int rc;

	if (!unlock_source_given(source) && unlock_remembered(backup, key) == 0)
		rc = 0;
	else if (source->keyfile)
		rc = key_file_read(source->keyfile, backup, key, err);
	else
		rc = derive(backup, source, &password, key, err);
	if (rc < 0)
		return rc;
	rc = mb_backup_unlock(backup, key, err);
	if (rc == 0)
		unlock_remember(backup, source, key);
	/* it fits; of what is damaged, whoever unlocks with it is told */
	return rc == -EBADMSG ? 0 : rc;
}

/* Nobody is asked for a password that opens nothing. */
static bool needs_unlocking(const struct mb_backup *backup)
{
	const struct mb_backup_info *info = mb_backup_get_info(backup);

	return info->encrypted && !info->keys_lost;
}

int unlock_keep(struct mb_backup *backup, const struct unlock_source *source,
		struct secret *password, struct mb_err *err)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc;

	if (!needs_unlocking(backup))
		return 0;
	if (source->keyfile && !unlock_password_given(source))
		rc = key_file_read(source->keyfile, backup, key, err);
	else
		rc = derive(backup, source, password, key, err);
	if (rc == 0)
		rc = mb_backup_unlock(backup, key, err);
	if (rc == 0)
		unlock_remember(backup, source, key);
	explicit_bzero(key, sizeof(key));
	return rc;
}

int unlock(struct mb_backup *backup, const struct unlock_source *source,
	   struct mb_err *err)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc;

	if (!needs_unlocking(backup))
		return 0;
	rc = unlock_derive(backup, source, key, err);
	if (rc == 0)
		rc = mb_backup_unlock(backup, key, err);
	explicit_bzero(key, sizeof(key));
	return rc;
}
