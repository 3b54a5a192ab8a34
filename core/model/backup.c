/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "info_plist.h"
#include "opened.h"
#include "status_plist.h"

#define ARRAY_LEN(array) (sizeof(array) / sizeof(*(array)))

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)

void backup_note(struct mb_backup *b, const char *fmt, ...)
{
	char text[sizeof(b->early_notes[0].text)];
	struct mb_err line;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&line, 0, "%s", text);
	if (b->note)
		b->note(b->note_arg, line.text);
	else if (b->early_count < ARRAY_LEN(b->early_notes))
		b->early_notes[b->early_count++] = line;
}

void backup_flaw(struct mb_backup *b, const char *fmt, ...)
{
	struct mb_err line;
	char text[sizeof(line.text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	if (b->salvage)
		backup_keep_flaw(b, text);
	backup_note(b, "%s", text);
}

static void pass_note(void *arg, const char *line)
{
	backup_note(arg, "%s", line);
}

void mb_backup_on_note(struct mb_backup *b,
		       void (*note)(void *arg, const char *line), void *arg)
{
	b->note = note;
	b->note_arg = arg;
	for (unsigned i = 0; note && i < b->early_count; i++)
		note(arg, b->early_notes[i].text);
	b->early_count = 0;
}

const struct mb_backup_info *mb_backup_get_info(const struct mb_backup *b)
{
	return &b->info;
}

int mb_backup_get_fd(const struct mb_backup *b)
{
	return b->dir_fd;
}

const uint8_t *mb_backup_get_keybag_id(const struct mb_backup *b)
{
	return b->keybag.uuid;
}

void mb_backup_get_derivation(const struct mb_backup *b,
			      uint8_t out[MB_DERIVATION_LEN])
{
	const struct keybag *bag = &b->keybag;
	uint32_t second = bag->has_double ? bag->double_iterations : 0;

	memset(out, 0, MB_DERIVATION_LEN);
	memcpy(out, bag->salt, 20);
	memcpy(out + 20, &bag->iterations, 4);
	memcpy(out + 24, &second, 4);
	if (second)
		memcpy(out + 28, bag->double_salt, 20);
}

static bool has_file(int dir_fd, const char *name)
{
	struct stat st;

	return dir_fd >= 0 &&
	       fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

static bool has_records(int dir_fd)
{
	return has_file(dir_fd, "Manifest.db") ||
	       has_file(dir_fd, "Manifest.mbdb");
}

static bool has_manifest(int dir_fd)
{
	return has_file(dir_fd, "Manifest.plist") || has_records(dir_fd);
}

/* A person may point at a file of the backup instead of its folder. */
static int open_folder(struct mb_backup *b, const char *path,
		       struct mb_err *err)
{
	char real[PATH_MAX], *slash;
	struct stat st;

	if (!realpath(path, real) || stat(real, &st) < 0)
		return mb_err_set(err, -errno, "%s: %s", path, strerror(errno));
	slash = strrchr(real, '/');
	if (!S_ISDIR(st.st_mode) && (!strcmp(slash, "/Manifest.plist") ||
				     !strcmp(slash, "/Manifest.db") ||
				     !strcmp(slash, "/Manifest.mbdb")))
		slash[slash == real] = '\0';
	b->dir_fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir_fd < 0)
		return errno == ENOTDIR ?
			       mb_err_set(err, -ENOENT,
					  "%s: not a backup: not a folder",
					  path) :
			       mb_err_set(err, -errno, "%s: %s", path,
					  strerror(errno));
	b->info.source = strdup(real);
	return b->info.source ? 0 : mb_err_set(err, -ENOMEM, "out of memory");
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && !strcmp(name + len - end_len, end);
}

#define FOUND_MAX 5

/* Backups inside a folder: the first few names in their order, and how many. */
struct found {
	char names[FOUND_MAX][256];
	unsigned count;
};

static void add_found(struct found *f, const char *name)
{
	unsigned kept = f->count < FOUND_MAX ? f->count : FOUND_MAX, at = 0;

	while (at < kept && strcmp(f->names[at], name) < 0)
		at++;
	f->count++;
	if (at == FOUND_MAX)
		return;
	if (kept == FOUND_MAX)
		kept--;
	memmove(f->names[at + 1], f->names[at],
		(kept - at) * sizeof(f->names[0]));
	snprintf(f->names[at], sizeof(f->names[at]), "%s", name);
}

static int found_error(const struct found *f, const char *path,
		       struct mb_err *err)
{
	char list[400] = "";

	for (unsigned i = 0; i < f->count && i < FOUND_MAX; i++) {
		size_t len = strlen(list);

		snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
			 f->names[i]);
	}
	return mb_err_set(
		err, -ENOENT,
		"%s: a folder of backups, not a backup; it holds %u: %s%s",
		path, f->count, list, f->count > FOUND_MAX ? ", ..." : "");
}

/* Why there is no manifest here: the line that helps the person most. */
static int explain_absence(struct mb_backup *b, const char *path,
			   struct mb_err *err)
{
	mb_auto(close) int fd = openat(b->dir_fd, ".", O_RDONLY | O_CLOEXEC);
	mb_auto(close) int snapshot = beneath_open_dir(b->dir_fd, "Snapshot");
	struct found found = { .count = 0 };
	struct dirent *e;
	bool mdinfo = false;
	DIR *dir;

	if (snapshot >= 0 || (b->info.snapshot_state && !b->info.complete))
		return mb_err_set(
			err, -ENOENT,
			"%s: the backup was interrupted before it was first complete, and has no manifest yet; a mount with -o salvage shows what has arrived",
			path);
	dir = fd < 0 ? NULL : fdopendir(mb_steal_fd(&fd));
	while (dir && (e = readdir(dir))) {
		mb_auto(close) int sub = -1;

		if (ends_with(e->d_name, ".mdinfo") ||
		    ends_with(e->d_name, ".mdbackup"))
			mdinfo = true;
		if (e->d_name[0] == '.')
			continue;
		sub = beneath_open_dir(b->dir_fd, e->d_name);
		if (has_manifest(sub))
			add_found(&found, e->d_name);
	}
	if (dir)
		closedir(dir);
	if (mdinfo)
		return mb_err_set(
			err, -ENOTSUP,
			"%s: a backup of iOS 3 or older, which is not read",
			path);
	if (found.count)
		return found_error(&found, path, err);
	if (has_file(b->dir_fd, "Manifest.plist"))
		return mb_err_set(err, -EBADMSG, "%s: Manifest.db is missing",
				  path);
	return mb_err_set(err, -ENOENT,
			  "%s: not a backup: it has no Manifest.plist", path);
}

/*
 * What the state says about where to look (iphone-backup(5), PROPERTY LISTS).
 * While the device moves a snapshot into place, it counts before the folder.
 * So it does if there is nothing else: a first backup that was interrupted.
 */
static void choose_places(struct mb_backup *b, enum snapshot_state state)
{
	mb_auto(close) int snapshot = beneath_open_dir(b->dir_fd, "Snapshot");
	bool alone = !has_records(b->dir_fd);
	bool first = state == SNAPSHOT_MOVING || alone;

	if (alone && state != SNAPSHOT_MOVING && has_records(snapshot)) {
		b->info.never_complete = true;
		b->info.complete = false;
	}
	b->manifest_fd = first && has_records(snapshot) ? snapshot :
			 alone				? -1 :
							  b->dir_fd;
	if (first || b->salvage)
		b->snapshot_fd = mb_steal_fd(&snapshot);
	if (b->snapshot_fd >= 0 && first)
		b->places.dir_fds[b->places.count++] = b->snapshot_fd;
	b->places.dir_fds[b->places.count++] = b->dir_fd;
	/* a payload that arrived for the backup to be may be all there is */
	if (b->snapshot_fd >= 0 && !first)
		b->places.dir_fds[b->places.count++] = b->snapshot_fd;
}

static void read_state(struct mb_backup *b)
{
	enum snapshot_state state;
	struct mb_err err;
	int rc;

	rc = status_plist_read(&state, b->dir_fd, "Status.plist", &err);
	if (rc < 0 && rc != -ENOENT)
		backup_flaw(b, "%s", err.text);
	b->info.snapshot_state = snapshot_state_name(state);
	b->info.complete =
		state == SNAPSHOT_UNKNOWN || state == SNAPSHOT_FINISHED;
	choose_places(b, state);
	if (b->info.never_complete)
		backup_flaw(
			b,
			"interrupted before it was first complete: only what had arrived is there");
}

static char *take(char **from)
{
	return mb_steal(from);
}

static const char *first_of(char **a, char **b)
{
	return *a ? take(a) : *b ? take(b) : NULL;
}

static void read_info(struct mb_backup *b, struct manifest_plist *plist)
{
	struct mb_backup_info *info = &b->info;
	struct info_plist host;
	struct mb_err err;
	int rc;

	rc = info_plist_read(&host, b->dir_fd, "Info.plist", &err);
	if (rc < 0 && rc != -ENOENT)
		backup_flaw(b, "%s", err.text);
	info->udid = first_of(&host.udid, &plist->udid);
	info->device_name = first_of(&host.device_name, &plist->device_name);
	info->product_type = first_of(&host.product_type, &plist->product_type);
	info->product_name = take(&host.product_name);
	info->product_version =
		first_of(&host.product_version, &plist->product_version);
	info->build_version =
		first_of(&host.build_version, &plist->build_version);
	info->serial_number =
		first_of(&host.serial_number, &plist->serial_number);
	info->date = plist->date ? plist->date : host.date;
	info_plist_release(&host);
}

static bool is_sqlite(int dir_fd)
{
	static const char magic[16] = "SQLite format 3";
	mb_auto(close) int fd = beneath_open_file(dir_fd, "Manifest.db", NULL);
	char front[sizeof(magic)];

	return fd >= 0 &&
	       pread_full(fd, front, sizeof(front), 0) ==
		       (ssize_t)sizeof(front) &&
	       !memcmp(front, magic, sizeof(magic));
}

/*
 * Which manifest, and what of the backup is encrypted. The database's own
 * first bytes decide, not the version: iOS 10.0 and 10.1 left it in clear, and
 * other tools decrypt it in place.
 */
static int detect(struct mb_backup *b, const struct manifest_plist *plist,
		  bool has_plist, struct mb_err *err)
{
	bool db = has_file(b->manifest_fd, "Manifest.db");
	bool mbdb = has_file(b->manifest_fd, "Manifest.mbdb");
	bool plain;

	b->info.encrypted = plist->encrypted;
	if (b->manifest_fd < 0) { /* there is none: the one that it had */
		b->places.flat_first =
			plist->version > 0 && plist->version < 10;
		b->info.format =
			b->places.flat_first ? MB_FORMAT_MBDB : MB_FORMAT_DB;
		return 0;
	}
	if (mbdb && (!db || (plist->version > 0 && plist->version < 10))) {
		b->info.format = MB_FORMAT_MBDB;
		b->places.flat_first = true;
		return 0;
	}
	b->info.format = MB_FORMAT_DB;
	plain = is_sqlite(b->manifest_fd);
	if (plain || (!b->info.encrypted && !plist->key.len && has_plist))
		return 0;
	if (!has_plist)
		return mb_err_set(
			err, -EBADMSG,
			"Manifest.db is encrypted or damaged, and Manifest.plist with its key is missing");
	if (!plist->key.len)
		return mb_err_set(
			err, -EBADMSG,
			"Manifest.db: no SQLite database, and Manifest.plist has no ManifestKey for it");
	if (plist->key.len != STORED_KEY_LEN)
		return mb_err_set(
			err, -EBADMSG,
			"Manifest.plist: ManifestKey has %zu bytes instead of %d",
			plist->key.len, STORED_KEY_LEN);
	memcpy(b->manifest_key, plist->key.ptr, STORED_KEY_LEN);
	b->info.encrypted = b->info.manifest_encrypted = true;
	return 0;
}

/*
 * In a salvage, what cannot be read is a flaw, and no reason to end; for a
 * check it is remembered.
 */
static int tolerate(struct mb_backup *b, struct mb_err *slot, int rc,
		    const struct mb_err *err)
{
	/* what the system denies us is no damage */
	if (rc >= 0 || rc == -ENOMEM || rc == -EACCES || rc == -EPERM ||
	    rc == -EMFILE || rc == -ENFILE || !(b->salvage || b->tolerant))
		return rc;
	if (b->salvage)
		backup_flaw(b, "%s", err->text);
	else if (!slot->code)
		*slot = *err;
	return 0;
}

/* 1: @plist is there; 0: there is none */
static int read_plist(struct mb_backup *b, int list_fd,
		      struct manifest_plist *plist, struct mb_err *err)
{
	const int fds[] = {
		list_fd >= 0 ? list_fd : b->places.dir_fds[0],
		list_fd >= 0 ? list_fd : b->dir_fd,
	};
	int rc = 0;

	/* which of two, if they differ, whoever has the records decides */
	b->plist_fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(fds) && b->plist_fd < 0; i++) {
		if (!has_file(fds[i], "Manifest.plist"))
			continue;
		rc = manifest_plist_read(plist, fds[i], "Manifest.plist", err);
		if (rc == 0 || !b->salvage)
			b->plist_fd = fds[i];
	}
	if (b->plist_fd >= 0 && rc == 0)
		return 1;
	return tolerate(b, &b->bad_plist, rc, err);
}

static int take_keybag(struct mb_backup *b, const struct manifest_plist *plist,
		       struct mb_err *err)
{
	int rc;

	if (!b->info.encrypted || b->info.keys_lost)
		return 0;
	if (plist->keybag.len)
		rc = keybag_decode(
			&b->keybag,
			view_of(plist->keybag.ptr, plist->keybag.len), err);
	else
		rc = mb_err_set(
			err, -EBADMSG,
			"Manifest.plist: encrypted, but has no key bag");
	b->info.keys_lost = rc < 0;
	return tolerate(b, &b->bad_keybag, rc, err);
}

/* The order of these steps: each needs what those before have found. */
static int look(struct mb_backup *b, int list_fd, struct manifest_plist *plist,
		struct mb_err *err)
{
	int has_plist = read_plist(b, list_fd, plist, err);
	int rc;

	if (has_plist < 0)
		return has_plist;
	rc = tolerate(b, &b->bad_manifest, detect(b, plist, has_plist, err),
		      err);
	if (rc == 0 && b->salvage && !has_plist)
		rc = backup_judge_encryption(b, err);
	/* each file's key was in its record */
	if (b->manifest_fd < 0 && b->info.encrypted && !b->tolerant)
		b->info.keys_lost = true;
	return rc < 0 ? rc : take_keybag(b, plist, err);
}

/* Without a manifest, a check still needs a sign that it is a backup. */
static int tolerate_absence(struct mb_backup *b, const char *path,
			    struct mb_err *err)
{
	int rc = explain_absence(b, path, err);
	struct mb_err reason = *err;
	size_t cut = strlen(path) + strlen(": ");

	if (rc == -ENOTSUP || !(has_file(b->dir_fd, "Manifest.plist") ||
				has_file(b->dir_fd, "Status.plist")))
		return rc;
	/* of what is in the folder, its own path need not be said */
	if (cut < strlen(reason.text))
		memmove(reason.text, reason.text + cut,
			strlen(reason.text + cut) + 1);
	return tolerate(b, &b->bad_manifest, rc, &reason);
}

int backup_open(struct mb_backup **out, const char *path,
		const struct backup_opening *how, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = calloc(1, sizeof(*b));
	mb_auto(manifest_plist_release) struct manifest_plist plist = { 0 };
	struct mb_err own;
	int rc;

	if (!b)
		return mb_err_set(err, -ENOMEM, "out of memory");
	b->dir_fd = b->snapshot_fd = b->plist_fd = b->manifest_fd = -1;
	b->salvage = how->salvage;
	b->tolerant = how->check;
	if (!err)
		err = &own;
	rc = open_folder(b, path, err);
	if (rc < 0)
		return rc;
	read_state(b);
	if (b->manifest_fd < 0 && !(b->salvage && backup_has_remains(b)))
		rc = tolerate_absence(b, path, err);
	if (rc < 0)
		return rc;
	rc = look(b, how->list_fd, &plist, err);
	if (rc < 0)
		return mb_err_prefix(err, rc, "%s", path);
	if (!b->info.encrypted)
		b->unlocked = true;
	read_info(b, &plist);
	*out = mb_steal(&b);
	return 0;
}

int mb_backup_open(struct mb_backup **out, const char *path, struct mb_err *err)
{
	const struct backup_opening how = { .list_fd = -1 };

	return backup_open(out, path, &how, err);
}

int mb_backup_open_salvage(struct mb_backup **out, const char *path,
			   struct mb_err *err)
{
	const struct backup_opening how = { .salvage = true, .list_fd = -1 };

	return backup_open(out, path, &how, err);
}

static void unload(struct mb_backup *b)
{
	manifest_free(b->manifest);
	b->manifest = NULL;
	while (b->domain_count)
		free(b->domains[--b->domain_count].name);
	free(b->domains);
	b->domains = NULL;
}

void mb_backup_free(struct mb_backup *b)
{
	if (!b)
		return;
	unload(b);
	if (b->dir_fd >= 0)
		close(b->dir_fd);
	if (b->snapshot_fd >= 0)
		close(b->snapshot_fd);
	free((char *)b->info.source);
	free((char *)b->info.udid);
	free((char *)b->info.device_name);
	free((char *)b->info.product_type);
	free((char *)b->info.product_name);
	free((char *)b->info.product_version);
	free((char *)b->info.build_version);
	free((char *)b->info.serial_number);
	keyring_wipe(&b->keyring);
	backup_forget_salvage(b);
	free(b);
}

int mb_backup_derive(struct mb_backup *b, const char *password,
		     size_t password_len, uint8_t key[MB_DERIVED_KEY_LEN],
		     struct mb_err *err)
{
	if (!b->info.encrypted)
		return mb_err_set(err, -EINVAL, "%s: not encrypted, has no key",
				  b->info.source);
	return keyring_derive(key, &b->keybag, view_of(password, password_len),
			      err);
}

int mb_backup_unlock(struct mb_backup *b, const uint8_t key[MB_DERIVED_KEY_LEN],
		     struct mb_err *err)
{
	struct mb_err why = { 0 };
	int rc;

	if (!b->info.encrypted || b->info.keys_lost)
		return 0;
	rc = keyring_unlock(&b->keyring, &b->keybag, key, &why);
	/* the key fits, and some classes can be had */
	if (rc == -EBADMSG && b->salvage) {
		backup_flaw(b, "%s", why.text);
		rc = 0;
	}
	if (rc < 0) {
		keyring_wipe(&b->keyring);
		return mb_err_set(err, rc, "%s: %s", b->info.source, why.text);
	}
	b->unlocked = true;
	return 0;
}

static int add_domain(void *arg, struct mb_slice name, int64_t root)
{
	struct mb_backup *b = arg;
	struct backup_domain *d;

	if (name.len > MANIFEST_PATH_MAX) {
		backup_note(b, "a domain is left out: its name has %zu bytes",
			    name.len);
		return 0;
	}
	/* grows at powers of two */
	if (!(b->domain_count & (b->domain_count - 1))) {
		size_t cap = b->domain_count ? 2 * b->domain_count : 1;

		d = reallocarray(b->domains, cap, sizeof(*d));
		if (!d)
			return -ENOMEM;
		b->domains = d;
	}
	d = &b->domains[b->domain_count];
	d->name = malloc(name.len + 1);
	if (!d->name)
		return -ENOMEM;
	memcpy(d->name, name.ptr, name.len);
	d->name[name.len] = '\0';
	d->name_len = name.len;
	d->root = root;
	b->domain_count++;
	return 0;
}

static int open_key(struct mb_backup *b, uint8_t key[KEY_LEN],
		    struct mb_err *err)
{
	int rc = b->unlocked ?
			 keyring_unwrap(&b->keyring, key, b->manifest_key, 0) :
			 -ENOKEY;

	if (rc == -ENOKEY && b->unlocked)
		return mb_err_set(
			err, -EBADMSG,
			"ManifestKey needs class %u, which the key bag lacks",
			le32_at(b->manifest_key));
	if (rc == -ENOKEY)
		return mb_err_set(err, rc, "password needed");
	return rc < 0 ? mb_err_set(err, rc, "ManifestKey is damaged") : 0;
}

const char *backup_manifest_name(const struct mb_backup *b)
{
	return b->info.format == MB_FORMAT_DB ? "Manifest.db" : "Manifest.mbdb";
}

int backup_open_manifest(struct mb_backup *b, bool encrypted,
			 struct payload **out, struct mb_err *err)
{
	const char *name = backup_manifest_name(b);
	uint8_t key[KEY_LEN];
	int rc = 0;

	if (encrypted)
		rc = open_key(b, key, err);
	if (rc < 0)
		return rc;
	rc = payload_open(out, b->manifest_fd, name, encrypted ? key : NULL);
	crypto_wipe(key, sizeof(key));
	return rc < 0 ? mb_err_set(err, rc, "%s: %s", name, strerror(-rc)) : 0;
}

int backup_open_whole_manifest(struct mb_backup *b, struct payload **out,
			       struct mb_err *err)
{
	mb_auto(payload_free) struct payload *p = NULL;
	bool encrypted = b->info.manifest_encrypted;
	int rc = backup_open_manifest(b, encrypted, &p, err);

	if (rc < 0)
		return rc;
	if (encrypted && payload_stored_len(p) % BLOCK_LEN)
		return mb_err_set(
			err, -EBADMSG,
			"Manifest.db: cut off: its %lld bytes are not a whole number of cipher blocks",
			(long long)payload_stored_len(p));
	*out = mb_steal(&p);
	return 0;
}

static int open_manifest(struct mb_backup *b, struct mb_err *err)
{
	struct payload *p = NULL;
	int rc = backup_open_whole_manifest(b, &p, err);

	if (rc < 0)
		return rc;
	if (has_file(b->manifest_fd, "Manifest.db-wal"))
		backup_note(
			b,
			"Manifest.db-wal is left aside: changes that another program made");
	return b->info.format == MB_FORMAT_DB ?
		       manifest_open_db(&b->manifest, p, err) :
		       manifest_open_mbdb(&b->manifest, p, err);
}

int mb_backup_load(struct mb_backup *b, struct mb_err *err)
{
	int rc = 0;

	if (b->manifest)
		return 0;
	rc = b->salvage ? backup_find_records(b, err) : open_manifest(b, err);
	if (rc == 0) {
		manifest_on_note(b->manifest, pass_note, b);
		rc = manifest_each_domain_do(b->manifest, add_domain, b, err);
		if (rc == -ENOMEM)
			mb_err_set(err, rc, "out of memory");
	}
	if (rc == 0)
		return 0;
	unload(b); /* half of it must not pass for all when asked again */
	return mb_err_prefix(err, rc, "%s", b->info.source);
}

static int count_entry(void *arg, const struct manifest_entry *entry)
{
	struct mb_totals *t = arg;

	t->records++;
	if (entry->type == MB_DIR || entry->type == MB_LINK)
		return 0;
	t->files++;
	if (entry->size > 0)
		t->bytes += (uint64_t)entry->size;
	return 0;
}

int mb_backup_each_domain(struct mb_backup *b,
			  int (*each)(void *arg, struct mb_slice domain,
				      const struct mb_totals *totals),
			  void *arg, struct mb_totals *sum, struct mb_err *err)
{
	struct mb_totals all = { 0 };

	if (!b->manifest)
		return mb_err_set(err, -ENOKEY, "not loaded");
	for (size_t i = 0; i < b->domain_count; i++) {
		struct mb_slice name = { b->domains[i].name,
					 b->domains[i].name_len };
		struct mb_totals t = { 0 };
		int rc;

		rc = manifest_scan(b->manifest, name, true, count_entry, &t,
				   err);
		if (rc == 0 && each)
			rc = each(arg, name, &t);
		if (rc)
			return rc;
		all.records += t.records;
		all.files += t.files;
		all.bytes += t.bytes;
	}
	if (sum)
		*sum = all;
	return 0;
}

int mb_backup_open_plist(struct mb_backup *b, enum mb_plist which, int64_t *len)
{
	static const char *const names[] = {
		[MB_PLIST_INFO] = "Info.plist",
		[MB_PLIST_MANIFEST] = "Manifest.plist",
		[MB_PLIST_STATUS] = "Status.plist",
	};

	/* the manifest's may be in a snapshot */
	return beneath_open_file(
		which == MB_PLIST_MANIFEST && b->plist_fd >= 0 ? b->plist_fd :
								 b->dir_fd,
		names[which], len);
}

int mb_backup_list_apps(struct mb_backup *b,
			bool (*keeps)(void *arg, const char *bundle_id),
			void *arg, char **xml, size_t *len, size_t *count,
			struct mb_err *err)
{
	struct buf out = { 0 };
	int rc = info_plist_applications(&out, b->dir_fd, "Info.plist", keeps,
					 arg, count, err);

	if (rc == -ENOENT) {
		*count = 0;
		rc = 0;
	}
	if (rc < 0 || !*count)
		buf_release(&out);
	*xml = (char *)out.ptr;
	*len = out.len;
	return rc;
}
