/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SOURCE_INSIDE_H
#define SOURCE_INSIDE_H

#include <limits.h>
#include <sys/stat.h>

#include "bytes.h"
#include "mb/reader.h"
#include "source.h"

/* What source.c shares with source_tree.c and source_entry.c. */

enum source_change {
	SOURCE_KEPT,	/* as in the base */
	SOURCE_TOUCHED, /* the content is the base's, other things are not */
	SOURCE_CHANGED, /* new content in place of the base's */
	SOURCE_ADDED,
};

/* Where an entry is in a backup; owned. */
struct identity {
	struct mb_slice domain, path;
};

/* Who an entry without a record belongs to: as its neighbours. */
struct neighbour {
	uint32_t uid, gid;
	uint8_t protection_class; /* of files */
};

/* Of an entry that is not kept. */
struct source_new {
	char *file; /* path in the file system */
	struct identity identity;
	struct neighbour neighbour;
	uint64_t inode; /* 0: as the base has it */
};

void source_new_free(struct source_new *fresh);

struct source_entry {
	uint64_t hash; /* of domain and path: source_hash */
	uint32_t node; /* in the base's tree; 0: none */
	uint8_t change;
	uint8_t type;
	bool hidden;		  /* its node is one of the tree by domains */
	struct source_new *fresh; /* NULL if kept */
};

struct source {
	char *path;			 /* absolute */
	struct source_observer observer; /* from source_scan on */
	bool is_tree;
	struct mb_backup *base;
	struct mb_tree *tree; /* of the base; from source_scan on */
	/* a tree in the view of a device does not show every folder's record */
	struct mb_tree *by_domain; /* or NULL */
	enum mb_view view;
	/* the permissions that a mount gave all files, folders; -1: recorded */
	int file_mode, dir_mode;
	/* the permissions that the tree shows; the others are the base's */
	uint32_t mode_mask;
	struct mb_backup_info about;
	char *about_udid;
	bool was_encrypted;

	struct source_entry *entries;
	size_t count, cap;
	struct mb_slice *domains; /* owned, each once */
	size_t domain_count;
	struct source_totals totals;
};

/* The pair is copied; -ENOMEM. */
int identity_set(struct identity *id, struct mb_slice domain,
		 struct mb_slice path);
void identity_release(struct identity *id);

/*
 * source_add - one more entry
 * @entry: all but its hash; what is fresh is taken over, also on failure
 * @size: of a file's content
 *
 * Returns its number, or -ENOMEM.
 */
ssize_t source_add(struct source *s, struct source_entry entry,
		   const struct identity *id, int64_t size);

/* Tells the observer if an entry that is the base's is damaged. */
void source_check(struct source *s, const struct source_observer *o,
		  uint32_t node, const struct mb_record *rec);

/* A bit a node. */
struct node_set {
	uint8_t *bits;
	size_t len;
};

bool node_set_has(const struct node_set *set, uint32_t node);
int node_set_add(struct node_set *set, uint32_t node); /* or -ENOMEM */

/*
 * source_each_node - @top, unless it is the root, and all that is below it
 *
 * Folders come before what is in them. Depth, which a backup may make up,
 * costs no stack.
 */
int source_each_node(struct mb_tree *t, uint32_t top,
		     int (*each)(void *arg, uint32_t node, struct mb_err *err),
		     void *arg, struct mb_err *err);

/* source_tree.c: the scan of a tree of the file system */
int source_scan_tree(struct source *s, struct selection *selection,
		     const struct source_observer *observer,
		     struct mb_err *err);

MB_DEFINE_AUTO_VALUE(struct mb_record, mb_record_release)
MB_DEFINE_AUTO(struct mb_reader, mb_reader_free)

/* FNV-1a: for tables, not against who makes names up */
uint64_t hash_of(struct mb_slice text);
uint64_t source_hash(struct mb_slice domain, struct mb_slice path);

/* --- source_entry.c: an entry of a tree, as it is in the file system ------ */

/* "PATH: reason", the front of a long path cut off; returns @rc */
int source_failed(struct mb_err *err, int rc, const char *file);

/* "user.larder.NAME" of a file, as text; false if it has none */
bool source_get_text(const char *file, const char *name, struct buf *out);

/* The attributes that are a file's own, in the names that a phone has. */
struct attributes {
	struct mb_xattr *items;
	size_t count;
	struct buf names, values; /* what the items point into */
	bool marked; /* it has attributes of the mount, so none was lost */
};

void attributes_release(struct attributes *a);

/*
 * attributes_read - those of a file and, where the file system has lost them,
 * those of the record it came from
 * @base: or NULL
 */
int attributes_read(struct attributes *a, const char *file,
		    const struct mb_record *base, struct mb_err *err);

/* Does a record have the same? */
bool attributes_equal(const struct attributes *a, const struct mb_record *rec);

/*
 * same_content - does a file have the bytes of a record's payload?
 *
 * Returns 1; 0 if not, or if the payload cannot be read; errors of the system.
 */
int same_content(struct mb_backup *backup, const struct mb_record *rec,
		 const char *file, int64_t size, bool (*cancelled)(void),
		 struct mb_err *err);

/* The permissions that an entry is meant to have. */
uint32_t source_permissions(const struct source *s, const struct stat *st,
			    const struct mb_record *base);

/* Everything that a struct mb_entry borrows; {.fd = -1} to begin with. */
struct present {
	struct stat st;
	struct mb_record base;
	struct attributes attributes;
	char target[PATH_MAX];
	int fd;
	const char *file;
	struct mb_content content;
	struct mb_entry entry;
	struct mb_err err; /* of reading the content */
};

void present_release(struct present *p);
MB_DEFINE_AUTO_VALUE(struct present, present_release)

/* source_describe - all of an entry that is not kept, as it is now */
int source_describe(struct source *s, const struct source_entry *entry,
		    struct present *p, struct mb_err *err);

/* The record of an entry that has a node. */
int source_entry_record(struct source *s, const struct source_entry *entry,
			struct mb_record *rec, struct mb_err *err);

/* A node's record; 1: a folder without one, which has at most an identity. */
int source_record(struct source *s, uint32_t node, struct mb_record *rec,
		  struct mb_err *err);

#endif
