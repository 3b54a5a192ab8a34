/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SOURCE_H
#define SOURCE_H

#include "mb/backup.h"
#include "mb/tree.h"
#include "mb/writer.h"
#include "selection.h"

/*
 * What is to be restored or packed, whatever it is: a backup, a mount of one,
 * or a tree that was copied from a mount, edited, or made by hand. A tree has
 * a base if the backup is known from which it came; what did not change since
 * is the base's.
 *
 * In the order of use: source_open; source_get_base, which the caller unlocks;
 * source_scan; then entries, numbered from 0.
 */
struct source;

/*
 * source_open - find out what @path is
 * @base: the backup that a tree was copied from; NULL: the one that its
 *        attribute names, if it is there
 *
 * Returns 0; -ENOENT if it is none of these; -ESTALE if the backup is another
 * version than a mount shows; as mb_backup_open.
 */
int source_open(struct source **out, const char *path, const char *base,
		struct mb_err *err);
void source_free(struct source *s);
MB_DEFINE_AUTO(struct source, source_free)

/* Told what is odd or damaged: the shown path, and a line; by any thread. */
struct source_observer {
	void (*odd)(void *arg, const char *path, const char *line);
	/* of entries that are as in the base; NULL: not looked for */
	void (*damaged)(void *arg, const char *path, const char *line);
	bool (*cancelled)(void);
	void *arg;
};

/* The absolute path of what was opened; borrowed. */
const char *source_get_path(const struct source *s);

/* Borrowed; NULL: there is none. */
struct mb_backup *source_get_base(const struct source *s);

/*
 * source_keep_out - nothing may be written into what is only to be read
 * @folder: that is to be written in
 *
 * Returns 0; -EINVAL if it is the source or its backup, or inside of one.
 */
int source_keep_out(const struct source *s, const char *folder,
		    struct mb_err *err);

/*
 * True for a backup or a mount: all of it is there, with what a device needs
 * around it, and nothing was interrupted, so it can be served as it is.
 */
bool source_is_whole(const struct source *s);

/* The base that a tree names was encrypted, but is not there. */
bool source_was_encrypted(const struct source *s);

/* What is known of the device without a base; strings borrowed. */
const struct mb_backup_info *source_get_about(const struct source *s);

struct source_totals {
	uint64_t entries, files, bytes;
	uint64_t changed, added, removed; /* entries; beside the base */
	uint64_t damaged;
};

/*
 * source_scan - what is in it
 * @selection: patterns note what they match
 *
 * The base is unlocked and loaded.
 *
 * Returns 0; -ECANCELED; -EBADMSG; errors of the system, with the path.
 */
int source_scan(struct source *s, struct selection *selection,
		const struct source_observer *observer, struct mb_err *err);

const struct source_totals *source_get_totals(const struct source *s);
/* Domains with entries, sorted; borrowed. */
size_t source_get_domains(const struct source *s, struct mb_slice **out);

/*
 * source_write - pass entry @i to a writer; errors of both
 *
 * Safe from several threads, as is the observer of what is odd.
 */
int source_write(struct source *s, size_t i, struct mb_writer *writer,
		 struct mb_err *err);

/*
 * source_compare - does the new backup hold each entry, and nothing else?
 * @made: the tree of what was written, MB_VIEW_DOMAINS
 *
 * Entries of the base have to be there with a payload that can be right;
 * others are compared with the source, content included.
 *
 * Returns 0; -EIO with the first difference; as source_scan.
 */
int source_compare(struct source *s, struct mb_backup *made_backup,
		   struct mb_tree *made, bool (*cancelled)(void),
		   struct mb_err *err);

#endif
