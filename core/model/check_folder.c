/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "check_inside.h"
#include "plistx.h"
#include "status_plist.h"

#define PLIST_MAX (64u << 20)

/* --- property lists ------------------------------------------------------- */

bool check_is_bare_copy(const struct mb_backup *b)
{
	struct stat st;

	return beneath_stat(b->dir_fd, "Status.plist", &st) == -ENOENT &&
	       b->plist_fd < 0;
}

static void check_list(struct check *c, int dir_fd, const char *name)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	struct mb_err err;
	int rc = plistx_read(&dict, dir_fd, name, PLIST_MAX, &err);

	if (rc == 0 && plist_get_node_type(dict) != PLIST_DICT)
		rc = mb_err_set(&err, -EBADMSG, "%s: not a dictionary", name);
	if (rc == 0)
		return;
	if (rc == -ENOENT)
		check_say(c,
			  check_is_bare_copy(c->b) ?
				  CHECK_NOTE(STRUCTURE, "bare") :
				  CHECK_FINDING(STRUCTURE, "plist"),
			  NULL, name, "missing");
	else
		check_say(c, CHECK_FINDING(STRUCTURE, "plist"), NULL, name,
			  "%s",
			  !strncmp(err.text, name, strlen(name)) &&
					  !strncmp(err.text + strlen(name),
						   ": ", 2) ?
				  err.text + strlen(name) + 2 :
				  err.text);
}

/* Strip "Manifest.plist: " in front of what is said about it anyway. */
static const char *without_name(const char *text)
{
	static const char name[] = "Manifest.plist: ";

	return strncmp(text, name, strlen(name)) ? text : text + strlen(name);
}

static void check_state(struct check *c)
{
	bool snapshot = false;
	struct stat st;

	snapshot = beneath_stat(c->b->dir_fd, "Snapshot", &st) == 0 &&
		   S_ISDIR(st.st_mode);
	/* said with the manifest that is not there yet */
	if (c->b->manifest_fd < 0)
		return;
	if (c->b->info.never_complete)
		check_say(
			c, CHECK_FINDING(STRUCTURE, "interrupted"), NULL,
			"Snapshot",
			"the first backup was interrupted before it was complete: only what had arrived is there");
	else if (!c->b->info.complete)
		check_say(c, CHECK_FINDING(STRUCTURE, "interrupted"), NULL,
			  "Status.plist", "a backup was interrupted (\"%s\")%s",
			  c->b->info.snapshot_state,
			  !snapshot ? "" :
			  !strcmp(c->b->info.snapshot_state, "moving") ?
				      ", and is partly in Snapshot" :
				      ", and Snapshot is left of it");
	else if (snapshot)
		check_say(c, CHECK_FINDING(STRUCTURE, "interrupted"), NULL,
			  "Snapshot", "left of a backup that was interrupted");
}

void check_property_lists(struct check *c)
{
	struct mb_backup *b = c->b;

	check_list(c, b->dir_fd, "Info.plist");
	if (b->bad_plist.code)
		check_say(c, CHECK_FINDING(STRUCTURE, "plist"), NULL,
			  "Manifest.plist", "%s",
			  without_name(b->bad_plist.text));
	else if (b->plist_fd >= 0 || b->manifest_fd >= 0)
		check_list(c, b->plist_fd >= 0 ? b->plist_fd : b->dir_fd,
			   "Manifest.plist");
	check_list(c, b->dir_fd, "Status.plist");
	if (b->bad_keybag.code)
		check_say(c, CHECK_FINDING(STRUCTURE, "keybag"), NULL,
			  "Manifest.plist", "%s",
			  without_name(b->bad_keybag.text));
	check_state(c);
}

/* --- what is in the folder ------------------------------------------------ */

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* What belongs to a backup, besides payloads. */
static bool is_known(const char *name)
{
	static const char *const names[] = { "Info.plist",    "Manifest.plist",
					     "Status.plist",  "Manifest.db",
					     "Manifest.mbdb", "Manifest.mbdx",
					     "Snapshot",      NULL };

	return is_one_of(name, names);
}

/* What programs leave behind, also ours; nothing of a backup is in it. */
static bool is_harmless(const char *name)
{
	static const char *const names[] = { ".DS_Store",
					     ".localized",
					     "Thumbs.db",
					     "desktop.ini",
					     "Icon\r",
					     "_unback_",
					     ".larder-rekey",
					     "Manifest.db-wal",
					     "Manifest.db-shm",
					     "Manifest.db-journal",
					     NULL };

	return is_one_of(name, names) || !strncmp(name, "._", 2);
}

static bool is_lower_hex(const char *name, size_t len)
{
	return strlen(name) == len && strspn(name, "0123456789abcdef") == len;
}

static void say_stray(struct check *c, const char *path, const char *name,
		      bool is_dir)
{
	if (is_harmless(name))
		check_say(c, CHECK_NOTE(STRUCTURE, "foreign"), NULL, path,
			  "left by a program");
	else
		check_say(c, CHECK_FINDING(STRUCTURE, "orphan"), NULL, path,
			  is_dir ? "no folder of a backup" :
				   "no file of a backup");
}

/* While the device moves a snapshot into place, what it has removed from the
 * backup is still there. */
static struct mb_finding orphan(const struct check *c)
{
	const char *state = c->b->info.snapshot_state;

	return state && (!strcmp(state, "moving") ||
			 !strcmp(state, "removing")) ?
		       CHECK_NOTE(STRUCTURE, "orphan") :
		       CHECK_FINDING(STRUCTURE, "orphan");
}

/* A file in a payload's place: does a record say so? */
static void check_payload_file(struct check *c, const char *path,
			       const char *name, bool is_file)
{
	uint8_t id[SHA1_LEN];
	size_t at, end, first;
	int other = 0;

	if (!hex_decode(id, sizeof(id), name))
		return;
	check_items_range(c, id, &first, &end);
	for (at = first; at < end; at++) {
		struct check_item *item = &c->items[at];

		if (item->type == MB_DIR || item->type == MB_LINK) {
			other = item->type;
			continue;
		}
		if (item->bits & ITEM_MET) {
			check_say(c, orphan(c), NULL, path,
				  "a second payload of this file ID");
			return;
		}
		for (; at < end; at++)
			c->items[at].bits |= ITEM_MET;
		return;
	}
	if (other)
		check_say(c, orphan(c), NULL, path, "a payload of a %s",
			  other == MB_DIR ? "folder" : "symbolic link");
	else if (is_file && !atomic_load(&c->counts->orphans_unknown))
		check_say(c, orphan(c), NULL, path, "in no record");
	else if (!is_file)
		say_stray(c, path, name, true);
}

static bool is_dir(int fd, const struct dirent *e, bool *is_file)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN) {
		*is_file = e->d_type == DT_REG;
		return e->d_type == DT_DIR;
	}
	if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*is_file = S_ISREG(st.st_mode);
	return S_ISDIR(st.st_mode);
}

static int each_name(struct check *c, int dir_fd, const char *folder,
		     int (*each)(struct check *c, const char *folder,
				 const char *name, bool dir, bool file))
{
	struct dirent *e;
	int fd, rc = 0;
	DIR *dir;

	fd = *folder ? beneath_open_dir(dir_fd, folder) :
		       openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		rc = fd < -1 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		check_say(c, CHECK_FINDING(STRUCTURE, "payload"), NULL, folder,
			  "cannot be looked into: %s", strerror(-rc));
		return 0;
	}
	while (rc == 0 && (e = readdir(dir))) {
		bool file = false, folder_too = is_dir(fd, e, &file);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = check_cancelled(c) ?
			     -ECANCELED :
			     each(c, folder, e->d_name, folder_too, file);
	}
	closedir(dir);
	return rc;
}

static int check_in_hashed(struct check *c, const char *folder,
			   const char *name, bool dir, bool file)
{
	char path[3 + 256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (is_lower_hex(name, 2 * SHA1_LEN) && !strncmp(name, folder, 2))
		check_payload_file(c, path, name, file);
	else
		say_stray(c, path, name, dir);
	return 0;
}

static int check_hashed(struct check *c, const char *folder, const char *name,
			bool dir, bool file)
{
	(void)folder, (void)file;
	return dir && is_lower_hex(name, 2) ?
		       each_name(c, c->b->dir_fd, name, check_in_hashed) :
		       0;
}

static int check_flat(struct check *c, const char *folder, const char *name,
		      bool dir, bool file)
{
	(void)folder;
	if (is_lower_hex(name, 2 * SHA1_LEN))
		check_payload_file(c, name, name, file);
	else if (!is_known(name) && !(dir && is_lower_hex(name, 2)))
		say_stray(c, name, name, dir);
	return 0;
}

int check_folder(struct check *c, struct mb_err *err)
{
	/* where payloads are looked for first, they are met first */
	bool flat = c->b->places.flat_first;
	int rc = each_name(c, c->b->dir_fd, "",
			   flat ? check_flat : check_hashed);

	if (rc == 0)
		rc = each_name(c, c->b->dir_fd, "",
			       flat ? check_hashed : check_flat);
	return rc < 0 ? mb_err_set(err, rc, "%s", strerror(-rc)) : 0;
}
