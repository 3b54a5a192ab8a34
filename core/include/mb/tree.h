/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_TREE_H
#define MB_TREE_H

#include "backup.h"
#include "reader.h"

/*
 * The entries of a loaded backup as folders and files with names that a file
 * system can show. Immutable: a node, once seen, stays what it is. Everything
 * here is safe from several threads.
 *
 * A node's number is its inode number. The root is MB_ROOT; 0 is none.
 * Children of a folder have consecutive numbers, in the byte order of their
 * names.
 */
struct mb_tree;

#define MB_ROOT 1u

enum mb_view {
	MB_VIEW_DOMAINS, /* <domain>/<path>, a domain read when first entered */
	MB_VIEW_DEVICE,	 /* the device's own paths, all read at once */
};

/*
 * mb_tree_open - the tree of a backup, which must outlive it
 *
 * Returns 0; -EBADMSG; -ENOMEM.
 */
int mb_tree_open(struct mb_tree **out, struct mb_backup *backup,
		 enum mb_view view, struct mb_err *err);
void mb_tree_free(struct mb_tree *tree);

/*
 * mb_tree_children - the folder's entries are @first to @first + @count - 1
 *
 * Returns 0; -ENOTDIR; -EBADMSG if the manifest is damaged here.
 */
int mb_tree_children(struct mb_tree *tree, uint32_t dir, uint32_t *first,
		     uint32_t *count, struct mb_err *err);

/* mb_tree_lookup - a child by its shown name; as above, and -ENOENT */
int mb_tree_lookup(struct mb_tree *tree, uint32_t dir, const char *name,
		   size_t name_len, uint32_t *node, struct mb_err *err);

/* mb_tree_walk - a node by its path of shown names, from the root */
int mb_tree_walk(struct mb_tree *tree, const char *path, uint32_t *node,
		 struct mb_err *err);

/*
 * mb_tree_find - the node at the place of an entry of the phone
 *
 * Of several entries that would be shown under one name it may be another's:
 * mb_tree_record tells. As mb_tree_lookup.
 */
int mb_tree_find(struct mb_tree *tree, struct mb_slice domain,
		 struct mb_slice path, uint32_t *node, struct mb_err *err);

/*
 * mb_shown_name - how a domain, or a component of a path, is shown
 *
 * As long as it is the only one of its folder that would be shown so; others
 * get "%" and more behind it: larderfs(8), NAMES.
 */
#define MB_SHOWN_MAX 255
void mb_shown_name(char out[MB_SHOWN_MAX + 1], struct mb_slice component);

/*
 * mb_path_next - the next component of a path, as recorded
 * @at: where to go on, starts at 0
 *
 * A slash that begins the path, follows another one or ends the path separates
 * nothing: it is part of the component. False at the end.
 */
bool mb_path_next(struct mb_slice path, size_t *at, struct mb_slice *component);

/*
 * mb_shown_attribute - how a file's own attribute is shown: "user.<name>"
 * @out: that name; "user.%larder..." for one that would pass for ours
 *
 * Returns false if a kernel would not take it: then it is not shown.
 */
#define MB_ATTRIBUTE_MAX 255
bool mb_shown_attribute(char out[MB_ATTRIBUTE_MAX + 1], struct mb_slice name,
			struct mb_slice value);

/* The name that is shown, terminated; borrowed. "" for the root. */
const char *mb_tree_get_name(const struct mb_tree *tree, uint32_t node);
/*
 * mb_tree_get_path - the shown path from the root, without a leading slash
 * @out: terminated; the front is cut off, marked by "...", if it is too long
 * @size: of @out, at least 4
 */
void mb_tree_get_path(const struct mb_tree *tree, uint32_t node, char *out,
		      size_t size);
uint32_t mb_tree_get_parent(const struct mb_tree *tree, uint32_t node);
/* True for a folder that no record of the manifest describes, at no cost. */
bool mb_tree_is_made_up(const struct mb_tree *tree, uint32_t node);
enum mb_type mb_tree_get_type(const struct mb_tree *tree, uint32_t node);

struct mb_stat {
	enum mb_type type;
	uint32_t permissions; /* 07777 */
	int64_t size;	      /* of a link: of its target's text */
	struct timespec mtime, ctime, birth;
	bool made_up; /* the manifest has no record of this folder */
};

/*
 * mb_tree_stat - what an entry looks like
 *
 * The size is the one that reading will find, so a file's payload is looked
 * at. A damaged record or payload is no error here.
 */
int mb_tree_stat(struct mb_tree *tree, uint32_t node, struct mb_stat *st,
		 struct mb_err *err);

/* How many at once, at most. */
#define MB_STATS_MAX 16

/*
 * mb_tree_stat_some - entries in a row, in less time than one after the other
 * @first: of @count nodes, up to MB_STATS_MAX
 *
 * Returns 0, or the error of one of them; then some of @st are not filled.
 */
int mb_tree_stat_some(struct mb_tree *tree, uint32_t first, unsigned count,
		      struct mb_stat st[], struct mb_err *err);

/*
 * mb_tree_record - the record behind a node, in the caller's @rec
 *
 * For a folder that was made up, only domain and path are filled (for the
 * root, not even these). Returns 0; 1 if made up; -EBADMSG.
 */
int mb_tree_record(struct mb_tree *tree, uint32_t node, struct mb_record *rec,
		   struct mb_err *err);

/* mb_tree_open_file - as mb_reader_open; -EISDIR, -ELOOP for other types */
int mb_tree_open_file(struct mb_tree *tree, uint32_t node,
		      struct mb_reader **out, struct mb_err *err);

/* mb_tree_stat_open - mb_tree_stat of a file whose content is open */
int mb_tree_stat_open(struct mb_tree *tree, uint32_t node,
		      const struct mb_reader *reader, struct mb_stat *st,
		      struct mb_err *err);

/* True the first time it is asked for a node: to report a damage once. */
bool mb_tree_first_report(struct mb_tree *tree, uint32_t node);

/* The same, to do once what is worth doing when a file is opened. */
bool mb_tree_first_open(struct mb_tree *tree, uint32_t node);
/* Has it been asked for it? */
bool mb_tree_is_opened(struct mb_tree *tree, uint32_t node);

#endif
