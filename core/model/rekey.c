/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/rekey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "opened.h"
#include "share.h"
#include "workdir.h"

#define LIST "Manifest.plist"
/* In the backup: what is being made, and what was there before. */
#define ASIDE ".larder-rekey"
/* Where two files cannot change places, the old one has a second name. */
#define BEFORE "before"

struct mb_rekey {
	struct mb_backup *backup;
	struct buf stored; /* the key bag as it is */
	struct keybag bag; /* as it is to be */
	uint8_t new_key[KEY_LEN];
	bool derived;
};

MB_DEFINE_AUTO(struct mb_rekey, mb_rekey_free)
MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)

static int no_memory(struct mb_err *err)
{
	return mb_err_set(err, -ENOMEM, "out of memory");
}

/* --- before -------------------------------------------------------------- */

static int check_state(const struct mb_backup *b, struct mb_err *err)
{
	if (!b->info.encrypted)
		return mb_err_set(err, -EINVAL,
				  "%s: not encrypted: it has no password",
				  b->info.source);
	/* the device would go on with the key bag that it has given */
	if (!b->info.complete || b->plist_fd != b->dir_fd)
		return mb_err_set(
			err, -EBUSY,
			"%s: the backup was interrupted (%s): let the device finish it first",
			b->info.source, b->info.snapshot_state);
	return 0;
}

static int roll_salts(struct keybag *bag, struct mb_err *err)
{
	int rc = crypto_random(bag->salt, sizeof(bag->salt));

	if (rc == 0 && bag->has_double)
		rc = crypto_random(bag->double_salt, sizeof(bag->double_salt));
	return rc < 0 ? mb_err_set(err, rc, "no random numbers") : 0;
}

static int set_iterations(struct keybag *bag, uint32_t iterations,
			  struct mb_err *err)
{
	if (!iterations)
		return 0;
	if (!bag->has_double)
		return mb_err_set(
			err, -EINVAL,
			"its key bag is of before iOS 10.2: the iterations of its derivation stay as they are");
	if (iterations > KEYBAG_DOUBLE_ITERATIONS_MAX)
		return mb_err_set(err, -EINVAL, "more than %u iterations",
				  KEYBAG_DOUBLE_ITERATIONS_MAX);
	bag->double_iterations = iterations;
	return 0;
}

/* Another folder may have taken its place: a backup that a device has made. */
static bool is_in_place(const struct mb_backup *b)
{
	struct stat held, there;

	return fstat(b->dir_fd, &held) == 0 &&
	       stat(b->info.source, &there) == 0 &&
	       held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

/* The stored key bag, which must be the one that the backup was opened with. */
static int read_keybag(const struct mb_backup *b, struct buf *out,
		       struct mb_err *err)
{
	mb_auto(manifest_plist_release) struct manifest_plist list = { 0 };
	struct keybag bag;
	int rc = manifest_plist_read(&list, b->dir_fd, LIST, err);

	if (rc == 0)
		rc = keybag_decode(
			&bag, view_of(list.keybag.ptr, list.keybag.len), err);
	if (rc < 0)
		return rc;
	if (memcmp(&bag, &b->keybag, sizeof(bag)) || !is_in_place(b))
		return mb_err_set(err, -ESTALE,
				  "it has changed meanwhile: try again");
	*out = list.keybag;
	list.keybag = (struct buf){ 0 };
	return 0;
}

int mb_rekey_open(struct mb_rekey **out, struct mb_backup *b,
		  uint32_t iterations, struct mb_err *err)
{
	mb_auto(mb_rekey_free) struct mb_rekey *r = NULL;
	int rc = check_state(b, err);

	if (rc < 0)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return no_memory(err);
	r->backup = b;
	r->bag = b->keybag;
	rc = set_iterations(&r->bag, iterations, err);
	if (rc == 0)
		rc = read_keybag(b, &r->stored, err);
	if (rc < 0)
		return mb_err_prefix(err, rc, "%s", b->info.source);
	rc = roll_salts(&r->bag, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&r);
	return 0;
}

void mb_rekey_free(struct mb_rekey *r)
{
	if (!r)
		return;
	buf_release(&r->stored);
	crypto_wipe(r->new_key, sizeof(r->new_key));
	free(r);
}

int mb_rekey_derive(struct mb_rekey *r, const char *password,
		    size_t password_len, struct mb_err *err)
{
	int rc;

	/* it is what says that there is no password */
	if (!password_len)
		return mb_err_set(err, -EINVAL,
				  "the new password must not be empty");
	rc = keyring_derive(r->new_key, &r->bag,
			    view_of(password, password_len), err);
	r->derived = rc == 0;
	return rc;
}

/* --- the new list, aside ------------------------------------------------- */

/* Everything else that it holds stays. */
static int make_list(const struct mb_rekey *r, struct buf *out,
		     struct mb_err *err)
{
	mb_auto(manifest_plist_release) struct manifest_plist list = { 0 };
	mb_auto(buf_release) struct buf bag = { 0 };
	struct manifest_plist_edit edit = { .encrypted = -1 };
	int dir_fd = r->backup->dir_fd;
	int rc = keybag_replace(&bag, view_of(r->stored.ptr, r->stored.len),
				&r->bag, err);

	if (rc == 0)
		rc = manifest_plist_read(&list, dir_fd, LIST, err);
	if (rc < 0)
		return rc;
	edit.keybag = view_of(bag.ptr, bag.len);
	edit.key = view_of(list.key.ptr, list.key.len);
	return manifest_plist_make(out, dir_fd, LIST, &edit, err);
}

/* Whoever could read the old one can read the new one, and nobody else. */
static int take_owner(int fd, int dir_fd)
{
	struct stat old, now;
	int rc = beneath_stat(dir_fd, LIST, &old);

	if (rc < 0)
		return rc;
	if (fstat(fd, &now) < 0)
		return -errno;
	if ((now.st_uid != old.st_uid || now.st_gid != old.st_gid) &&
	    fchown(fd, old.st_uid, old.st_gid) < 0)
		return -errno;
	/* some file systems have no modes to change */
	if ((now.st_mode & 07777) != (old.st_mode & 07777) &&
	    fchmod(fd, old.st_mode & 07777) < 0 && errno != EPERM)
		return -errno;
	return 0;
}

static int write_aside(const struct mb_rekey *r, int work_fd,
		       const struct buf *list)
{
	int fd = beneath_create_file(work_fd, LIST, 0600);
	int rc;

	if (fd < 0)
		return fd;
	rc = write_full(fd, list->ptr, list->len);
	if (rc == 0)
		rc = take_owner(fd, r->backup->dir_fd);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc < 0 ? rc : beneath_sync(work_fd);
}

/* --- proofs -------------------------------------------------------------- */

/* Wrapped back under the old key, each class is what it was. */
static bool same_classes(const struct keybag *made, const struct keybag *old,
			 const uint8_t new_key[KEY_LEN],
			 const uint8_t old_key[KEY_LEN])
{
	struct keybag back = *made;

	if (keyring_rewrap(&back, new_key, old_key, NULL) < 0 ||
	    back.class_count != old->class_count)
		return false;
	for (unsigned i = 0; i < old->class_count; i++)
		if (back.classes[i].number != old->classes[i].number ||
		    memcmp(back.classes[i].wrapped, old->classes[i].wrapped,
			   sizeof(old->classes[i].wrapped)))
			return false;
	return true;
}

static bool same_keys(const struct keyring *a, const struct keyring *b)
{
	return a->count == b->count &&
	       !memcmp(a->numbers, b->numbers,
		       a->count * sizeof(a->numbers[0])) &&
	       !memcmp(a->keys, b->keys, a->count * sizeof(a->keys[0]));
}

static bool opens(const struct keybag *bag, const uint8_t key[KEY_LEN])
{
	struct keyring ring;
	bool yes = keyring_unlock(&ring, bag, key, NULL) != -EKEYREJECTED;

	keyring_wipe(&ring);
	return yes;
}

/*
 * What the new password opens is what the old one opened, and the old one
 * opens nothing: told by the reader, from what is stored.
 * @list_fd: the folder with the new list; -1: where it belongs
 */
static int prove(const struct mb_rekey *r, int list_fd,
		 const uint8_t old_key[KEY_LEN], struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *made = NULL;
	const struct mb_backup *b = r->backup;
	const struct backup_opening how = { .list_fd = list_fd };
	int rc = backup_open(&made, b->info.source, &how, err);

	if (rc == 0)
		rc = mb_backup_unlock(made, r->new_key, err);
	if (rc == 0)
		rc = mb_backup_load(made, err);
	if (rc < 0)
		return rc;
	if (!same_keys(&made->keyring, &b->keyring) ||
	    !same_classes(&made->keybag, &b->keybag, r->new_key, old_key) ||
	    memcmp(made->manifest_key, b->manifest_key, STORED_KEY_LEN) ||
	    opens(&made->keybag, old_key))
		return mb_err_set(err, -EIO,
				  "the new key bag is not what it should be");
	return 0;
}

/* --- the change ---------------------------------------------------------- */

static bool cannot(int error)
{
	return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

static int sync_file(int dir_fd, const char *name)
{
	mb_auto(close) int fd = beneath_open_file(dir_fd, name, NULL);

	return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

/*
 * @linked: the old list is not where the new one was, but has a name of its
 * own there
 */
static int change_places(int dir_fd, int work_fd, bool *linked)
{
	struct sharing sharing = { .how = SHARE_LINK };
	int rc;

	*linked = false;
	if (renameat2(work_fd, LIST, dir_fd, LIST, RENAME_EXCHANGE) == 0)
		return 0;
	if (!cannot(errno))
		return -errno;
	rc = share_file(&sharing, dir_fd, LIST, work_fd, BEFORE);
	if (rc == 0)
		rc = sync_file(work_fd, BEFORE);
	if (rc == 0)
		rc = beneath_sync(work_fd);
	if (rc == 0)
		rc = renameat(work_fd, LIST, dir_fd, LIST) < 0 ? -errno : 0;
	*linked = rc == 0;
	return rc;
}

static int change_back(int dir_fd, int work_fd, bool linked)
{
	int rc = linked ? renameat(work_fd, BEFORE, dir_fd, LIST) :
			  renameat2(work_fd, LIST, dir_fd, LIST,
				    RENAME_EXCHANGE);

	return rc < 0 ? -errno : beneath_sync(dir_fd);
}

/*
 * From here on one of the two lists is in its place at any moment, whole and
 * on the disk.
 */
static int replace(const struct mb_rekey *r, int work_fd,
		   const uint8_t old_key[KEY_LEN], struct mb_err *err)
{
	int dir_fd = r->backup->dir_fd;
	struct mb_err why;
	bool linked;
	int back, rc = change_places(dir_fd, work_fd, &linked);

	if (rc < 0)
		return mb_err_set(err, rc, "cannot replace %s: %s", LIST,
				  strerror(-rc));
	rc = beneath_sync(dir_fd);
	if (rc == 0)
		rc = beneath_sync(work_fd);
	if (rc < 0)
		mb_err_set(&why, rc, "%s: cannot sync: %s", LIST,
			   strerror(-rc));
	else
		rc = prove(r, -1, old_key, &why);
	if (rc == 0)
		return 0;
	back = change_back(dir_fd, work_fd, linked);
	if (back == 0)
		return mb_err_set(err, rc, "%s", why.text);
	return mb_err_set(
		err, rc,
		"%.200s; and the old list could not be put back (%s): the new password may be the right one",
		why.text, strerror(-back));
}

/* --- around it ----------------------------------------------------------- */

static int clear(int work_fd)
{
	static const char *const names[] = { LIST, BEFORE };

	for (int i = 0; i < 2; i++) {
		int rc = beneath_remove(work_fd, names[i]);

		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	return 0;
}

/* The old list opens with the old password: it must not stay unnoticed. */
static void remove_aside(const struct mb_rekey *r)
{
	int rc = beneath_remove(r->backup->dir_fd, ASIDE);

	if (rc == 0)
		rc = beneath_sync(r->backup->dir_fd);
	if (rc < 0)
		backup_note(r->backup, "%s/%s cannot be removed: %s",
			    r->backup->info.source, ASIDE, strerror(-rc));
}

static int change(const struct mb_rekey *r, int work_fd,
		  const uint8_t old_key[KEY_LEN], struct mb_err *err)
{
	mb_auto(buf_release) struct buf stored = { 0 }, list = { 0 };
	/* the same as before: nobody else can change it from here on */
	int rc = read_keybag(r->backup, &stored, err);

	if (rc == 0)
		rc = make_list(r, &list, err);
	/* of a run that was killed */
	if (rc == 0 && (rc = clear(work_fd)) < 0)
		mb_err_set(err, rc, ASIDE ": %s", strerror(-rc));
	if (rc < 0)
		return rc;
	rc = write_aside(r, work_fd, &list);
	if (rc < 0)
		return mb_err_set(err, rc, "cannot write a new %s: %s", LIST,
				  strerror(-rc));
	rc = prove(r, work_fd, old_key, err);
	return rc < 0 ? rc : replace(r, work_fd, old_key, err);
}

int mb_rekey_commit(struct mb_rekey *r, const uint8_t old_key[KEY_LEN],
		    struct mb_rekey_result *result, struct mb_err *err)
{
	struct mb_backup *b = r->backup;
	mb_auto(close) int work_fd = -1;
	int classes, rc;

	if (!b->unlocked || !r->derived)
		return mb_err_set(err, -ENOKEY, "password needed");
	/* what is damaged before is not to look as if this had done it */
	rc = mb_backup_load(b, err);
	if (rc < 0)
		return rc;
	rc = classes = keyring_rewrap(&r->bag, old_key, r->new_key, err);
	if (rc >= 0)
		rc = work_fd = workdir_open(b->dir_fd, ASIDE, err);
	if (rc >= 0) {
		rc = change(r, work_fd, old_key, err);
		remove_aside(r);
	}
	if (rc < 0)
		return mb_err_prefix(err, rc, "%s", b->info.source);
	*result = (struct mb_rekey_result){
		.classes = (unsigned)classes,
		.iterations = r->bag.has_double ? r->bag.double_iterations : 0,
	};
	return 0;
}
