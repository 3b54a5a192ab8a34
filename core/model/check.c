/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "check_inside.h"

const char *mb_check_level_name(enum mb_check_level level)
{
	static const char *const names[] = {
		[MB_CHECK_STRUCTURE] = "structure",
		[MB_CHECK_STORED] = "stored",
		[MB_CHECK_CONTENT] = "content",
	};

	return names[level];
}

/* --- what its parts share ------------------------------------------------- */

void check_say(struct check *c, struct mb_finding f,
	       const struct mb_record *rec, const char *file, const char *fmt,
	       ...)
{
	struct mb_err line; /* for its printable text */
	char text[sizeof(line.text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&line, 0, "%s", text);
	if (rec) {
		f.domain = rec->domain;
		f.path = rec->path;
	}
	f.file = file;
	f.reason = line.text;
	pthread_mutex_lock(&c->lock);
	atomic_fetch_add(f.note ? &c->counts->notes[f.level] :
				  &c->counts->findings[f.level],
			 1);
	c->wish->found(c->wish->arg, &f);
	pthread_mutex_unlock(&c->lock);
}

bool check_cancelled(const struct check *c)
{
	return c->wish->cancelled && c->wish->cancelled();
}

bool check_is_keyed(const struct check *c, const struct mb_record *rec)
{
	return (c->b->info.encrypted || c->encryption_unknown) &&
	       rec->wrapped_key_len;
}

bool check_has_keys(const struct check *c)
{
	return c->b->unlocked && !c->encryption_unknown;
}

int check_open_payload(struct check *c, const struct mb_record *rec,
		       bool decrypted, struct payload **out, struct mb_err *err)
{
	uint8_t key[KEY_LEN];
	int rc = 0;

	if (decrypted)
		rc = backup_unwrap_file_key(c->b, rec, key, err);
	if (rc < 0)
		return rc;
	rc = payload_find(out, &c->b->places, rec->file_id,
			  decrypted ? key : NULL);
	crypto_wipe(key, sizeof(key));
	return rc < 0 ? mb_err_set(err, rc, "cannot be read: %s",
				   strerror(-rc)) :
			0;
}

/* --- opening -------------------------------------------------------------- */

int mb_check_open(struct mb_backup **out, const char *path, struct mb_err *err)
{
	const struct backup_opening how = { .check = true, .list_fd = -1 };

	return backup_open(out, path, &how, err);
}

bool mb_check_can_unlock(const struct mb_backup *b)
{
	return b->info.encrypted && !b->bad_keybag.code;
}

int mb_check_unlock(struct mb_backup *b, const uint8_t key[MB_DERIVED_KEY_LEN],
		    struct mb_err *err)
{
	struct mb_err reason;
	int rc;

	if (!mb_check_can_unlock(b))
		return 0;
	rc = keyring_unlock(&b->keyring, &b->keybag, key, &reason);
	/* the key fits, and some classes can be had */
	if (rc == -EBADMSG)
		b->bad_keybag = reason;
	else if (rc < 0)
		return mb_err_set(err, rc, "%s: %s", b->info.source,
				  reason.text);
	b->unlocked = true;
	return 0;
}

int mb_check_identity(struct mb_backup *b, char out[MB_IDENTITY_LEN + 1],
		      struct mb_err *err)
{
	const char *name = backup_manifest_name(b);
	mb_auto(buf_release) struct buf plist = { 0 };
	uint8_t digest[SHA1_LEN];
	struct stat st = { 0 };
	int64_t about[5];
	int rc;

	if (b->manifest_fd >= 0)
		beneath_stat(b->manifest_fd, name, &st);
	about[0] = st.st_size;
	about[1] = (int64_t)st.st_ino;
	about[2] = (int64_t)st.st_dev;
	about[3] = st.st_mtim.tv_sec;
	about[4] = st.st_mtim.tv_nsec;
	if (b->plist_fd >= 0)
		beneath_read_file(b->plist_fd, "Manifest.plist", 16u << 20,
				  &plist, NULL);
	rc = crypto_sha1(digest, view_of(about, sizeof(about)),
			 view_of(plist.ptr, plist.len));
	if (rc < 0)
		return mb_err_set(err, rc, "cipher library failed");
	hex_encode(out, digest, sizeof(digest));
	return 0;
}

/* --- the manifest --------------------------------------------------------- */

static int open_audit(struct check *c, struct payload *p, struct mb_err *err)
{
	return c->b->info.format == MB_FORMAT_DB ?
		       manifest_audit_open_db(&c->audit, p, c->wish->cancelled,
					      err) :
		       manifest_audit_open_mbdb(&c->audit, p,
						c->wish->cancelled, err);
}

/* Messages about the manifest mostly say first which file they are about. */
static void say_manifest(struct check *c, const char *name, const char *text)
{
	static const char *const names[] = { "Manifest.plist", "Manifest.db",
					     "Manifest.mbdb" };

	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			size_t len = strlen(names[i]);

			if (strncmp(text, names[i], len) != 0 ||
			    strncmp(text + len, ": ", 2) != 0)
				continue;
			name = names[i];
			text += len + 2;
			again = true;
		}
	}
	if (!strncmp(text, "ManifestKey", strlen("ManifestKey")))
		name = "Manifest.plist";
	check_say(c, CHECK_FINDING(STRUCTURE, "manifest"), NULL, name, "%s",
		  text);
}

/* There is none, or it takes Manifest.plist to read it. */
static void say_no_manifest(struct check *c)
{
	struct stat st;
	bool snapshot = beneath_stat(c->b->dir_fd, "Snapshot", &st) == 0;

	if (c->b->manifest_fd >= 0) {
		if (!c->b->bad_plist.code)
			say_manifest(c, backup_manifest_name(c->b),
				     c->b->bad_manifest.text);
	} else if (snapshot || !c->b->info.complete) {
		check_say(
			c, CHECK_FINDING(STRUCTURE, "interrupted"), NULL,
			snapshot ? "Snapshot" : "Status.plist",
			"the backup was interrupted before it was first complete");
	} else {
		check_say(c, CHECK_FINDING(STRUCTURE, "manifest"), NULL,
			  backup_manifest_name(c->b), "missing");
	}
}

/*
 * Without it there are no records. An error is one that ends the check; what
 * is wrong with the manifest is said.
 */
static int open_manifest(struct check *c, struct mb_err *err)
{
	struct payload *p = NULL;
	struct mb_err reason;
	const char *name = backup_manifest_name(c->b);
	int rc;

	if (c->b->bad_manifest.code) {
		say_no_manifest(c);
		return 0;
	}
	if (c->b->info.manifest_encrypted && c->b->bad_keybag.code &&
	    !c->b->unlocked)
		return 0;
	rc = backup_open_whole_manifest(c->b, &p, &reason);
	if (rc == 0)
		rc = open_audit(c, p, &reason);
	if (rc == 0)
		rc = manifest_audit_inspect(c->audit, &reason);
	if (rc == -ENOKEY || rc == -ECANCELED || rc == -ENOMEM ||
	    rc == -EACCES || rc == -EPERM)
		return mb_err_set(err, rc, "%s: %s", c->b->info.source,
				  reason.text);
	if (rc < 0)
		say_manifest(c, name, reason.text);
	return 0;
}

/* Whoever mounts it opens it in another way, which has to work too. */
static int try_to_load(struct check *c, struct mb_err *err)
{
	struct mb_err reason;
	size_t cut;
	int rc;

	if (!c->audit || atomic_load(&c->counts->findings[MB_CHECK_STRUCTURE]))
		return 0;
	rc = mb_backup_load(c->b, &reason);
	if (rc == 0)
		return 0;
	if (rc == -ENOMEM)
		return mb_err_set(err, rc, "out of memory");
	cut = strlen(c->b->info.source) + strlen(": ");
	say_manifest(c, backup_manifest_name(c->b),
		     cut < strlen(reason.text) ? reason.text + cut :
						 reason.text);
	return 0;
}

/* --- all of it ------------------------------------------------------------ */

static int check_levels(struct check *c, struct mb_err *err)
{
	int rc;

	check_property_lists(c);
	rc = open_manifest(c, err);
	if (rc < 0)
		return rc;
	if (!c->audit) {
		atomic_store(&c->counts->orphans_unknown, true);
		return 0;
	}
	rc = try_to_load(c, err);
	if (rc == 0)
		rc = check_collect(c, err);
	if (rc == 0)
		rc = check_records(c, err);
	if (rc == 0)
		rc = check_folder(c, err);
	if (rc == 0 && c->wish->level > MB_CHECK_STRUCTURE)
		rc = check_payloads(c, err);
	return rc;
}

int mb_check(struct mb_backup *b, const struct mb_check_wish *wish,
	     struct mb_err *err)
{
	struct check c = {
		.b = b,
		.wish = wish,
		.counts = wish->counts,
		.encryption_unknown =
			b->bad_plist.code ||
			(b->plist_fd < 0 && !check_is_bare_copy(b)),
		.keys_damaged = b->bad_keybag.code != 0,
	};
	int rc;

	pthread_mutex_init(&c.lock, NULL);
	rc = check_levels(&c, err);
	if (rc == -ECANCELED)
		mb_err_set(err, rc, "cancelled");
	manifest_audit_free(c.audit);
	free(c.items);
	pthread_mutex_destroy(&c.lock);
	return rc;
}
