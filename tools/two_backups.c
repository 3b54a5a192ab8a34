/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "two_backups.h"

#include <errno.h>
#include <string.h>

#include "crew.h"
#include "key_file.h"

/* What is needed to unlock one of two. */
struct lock {
	struct mb_backup *backup; /* NULL: nothing is needed */
	const char *path;
	const struct unlock_source *source;
	struct secret password; /* empty: the key is there */
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc;
	struct mb_err err;
};

static void wipe_locks(struct lock locks[2])
{
	for (int i = 0; i < 2; i++) {
		secret_release(&locks[i].password);
		explicit_bzero(locks[i].key, sizeof(locks[i].key));
	}
}

static inline void mb_auto_wipe_locks(struct lock (*locks)[2])
{
	wipe_locks(*locks);
}

/* Two of one device have one name: the prompt says the folder too. */
static int get_password(struct lock *l, struct mb_err *err)
{
	const struct mb_backup_info *info = mb_backup_get_info(l->backup);
	struct mb_err prompt; /* for its printable text */
	int rc;

	if (info->device_name)
		mb_err_set(&prompt, 0,
			   "Backup password of %s (%s): ", info->device_name,
			   l->path);
	else
		mb_err_set(&prompt, 0, "Backup password of %s: ", l->path);
	rc = unlock_get_password(l->source, prompt.text, &l->password, err);
	return rc < 0 ? mb_err_prefix(err, rc, "%s", l->path) : 0;
}

/* A key or a password. */
static int get_secret(struct lock *l, struct mb_err *err)
{
	int rc;

	if (!l->source->keyfile)
		return get_password(l, err);
	rc = key_file_read(l->source->keyfile, l->backup, l->key, err);
	return rc < 0 ? mb_err_prefix(err, rc, "%s", l->path) : 0;
}

static void derive_step(void *arg, size_t i)
{
	struct lock *l = (struct lock *)arg + i;

	if (l->password.len)
		l->rc = unlock_derive_from(l->backup, &l->password, l->key,
					   &l->err);
}

static int derive(struct lock locks[2], struct mb_err *err)
{
	mb_auto(crew_free) struct crew *crew = NULL;
	bool both = locks[0].password.len && locks[1].password.len;

	if (crew_open(&crew) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	crew_each(crew, 2, both ? 2 : 3, derive_step, locks);
	for (int i = 0; i < 2; i++)
		if (locks[i].rc < 0)
			return mb_err_set(err, locks[i].rc, "%s: %s",
					  locks[i].path, locks[i].err.text);
	return 0;
}

static bool same_keybag(struct mb_backup *const backups[2])
{
	return memcmp(mb_backup_get_keybag_id(backups[0]),
		      mb_backup_get_keybag_id(backups[1]), 16) == 0;
}

/* What opens the first one, tried on the second one. */
static int unlock_alike(struct lock locks[2], struct mb_err *err)
{
	int rc = mb_backup_unlock(locks[1].backup, locks[0].key, err);

	if (rc != -EKEYREJECTED)
		return rc;
	/* its password was changed, and its key bag kept the identity */
	secret_release(&locks[0].password);
	rc = get_secret(&locks[1], err);
	if (rc == 0)
		rc = derive(locks, err);
	return rc < 0 ? rc :
			mb_backup_unlock(locks[1].backup, locks[1].key, err);
}

static int unlock_two(struct two_backups *two, const char *const paths[2],
		      const struct unlock_source *source,
		      const struct unlock_source *other, struct mb_err *err)
{
	mb_auto(wipe_locks) struct lock locks[2] = { 0 };
	bool own = other->keyfile || other->passfile || other->extpass;
	bool alike;
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		locks[i].path = paths[i];
		locks[i].source = i && own ? other : source;
		if (mb_backup_get_info(two->backup[i])->encrypted)
			locks[i].backup = two->backup[i];
	}
	alike = locks[0].backup && locks[1].backup && !own &&
		same_keybag(two->backup);
	for (int i = 0; i < (alike ? 1 : 2) && rc == 0; i++)
		if (locks[i].backup)
			rc = get_secret(&locks[i], err);
	if (rc == 0)
		rc = derive(locks, err);
	for (int i = 0; i < (alike ? 1 : 2) && rc == 0; i++)
		if (locks[i].backup)
			rc = mb_backup_unlock(locks[i].backup, locks[i].key,
					      err);
	return rc == 0 && alike ? unlock_alike(locks, err) : rc;
}

int two_backups_open(struct two_backups *two, const char *const paths[2],
		     const struct unlock_source *source,
		     const struct unlock_source *other, struct mb_err *err)
{
	int rc = 0;

	for (int i = 0; i < 2 && rc == 0; i++)
		rc = mb_backup_open(&two->backup[i], paths[i], err);
	if (rc == 0)
		rc = unlock_two(two, paths, source, other, err);
	for (int i = 0; i < 2 && rc == 0; i++) {
		rc = mb_backup_load(two->backup[i], err);
		if (rc == 0)
			rc = mb_tree_open(&two->tree[i], two->backup[i],
					  MB_VIEW_DOMAINS, err);
	}
	return rc;
}

void two_backups_release(struct two_backups *two)
{
	for (int i = 0; i < 2; i++) {
		mb_tree_free(two->tree[i]);
		mb_backup_free(two->backup[i]);
	}
}
