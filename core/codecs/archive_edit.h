/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ARCHIVE_EDIT_H
#define ARCHIVE_EDIT_H

#include "bplist.h"
#include "bplist_writer.h"

/*
 * An NSKeyedArchiver archive that is made by setting values of its top object:
 * from nothing, or from another archive, the base, of which everything else
 * survives.
 *
 * An archive is a list of objects, $objects, in which values refer to others by
 * UID, their place in it (iphone-backup(5), FILE RECORD). The base is not
 * unfolded: its objects are copied as they lie, with other numbers.
 *
 * The order of calls: archive_begin; archive_look_up, archive_drop;
 * archive_seal; archive_set and archive_refer; archive_finish.
 */

/* Most values that can be dropped, set, or referred to. */
#define ARCHIVE_EDITS_MAX 24

struct archive_edit {
	struct bplist_writer out; /* objects of the new archive are put here */
	/* what is new: pairs of the top object, entries of $objects */
	struct {
		uint32_t key, value;
	} pairs[ARCHIVE_EDITS_MAX];
	struct {
		uint64_t uid;
		uint32_t number;
	} entries[ARCHIVE_EDITS_MAX];
	const char *dropped[ARCHIVE_EDITS_MAX];
	unsigned pair_count, entry_count, dropped_count;
	uint64_t next_uid; /* to be tried */

	/* of the base; without one its count of objects is 0 */
	struct bplist base;
	uint64_t list, top; /* numbers of $objects and of the top object */
	struct bplist_obj list_obj, top_obj;
	bool uids_are_dicts; /* as they become on the way through XML */
	uint8_t *marks;	     /* for each object */
	uint32_t *stack;     /* room for each object */
	size_t stack_len;
};

/*
 * archive_begin
 * @base: must outlive @e; empty: none
 *
 * Returns 0; -EBADMSG if the base cannot be read; -ENOMEM. Release @e in any
 * case.
 */
int archive_begin(struct archive_edit *e, struct view base);
void archive_release(struct archive_edit *e);
MB_DEFINE_AUTO_VALUE(struct archive_edit, archive_release)

/*
 * archive_look_up - a value of the base's top object, through its UIDs
 * @direct: if not NULL, the value itself, perhaps a UID
 *
 * Returns 0; -ENOENT; -EBADMSG.
 */
int archive_look_up(const struct archive_edit *e, const char *key,
		    struct bplist_obj *direct, struct bplist_obj *value);

/* Does a value of the base refer to another? */
bool archive_is_uid(const struct archive_edit *e, const struct bplist_obj *o);

/* archive_drop - a value of the base's top object goes; @key is static */
void archive_drop(struct archive_edit *e, const char *key);

/* archive_seal - no more is dropped: places that become free are found */
void archive_seal(struct archive_edit *e);

/* archive_set - a value of the top object; the base has none, or it dropped */
void archive_set(struct archive_edit *e, const char *key, uint32_t value);

/*
 * archive_refer - put an object into $objects
 *
 * Returns the number of a value that refers to it.
 */
uint32_t archive_refer(struct archive_edit *e, uint32_t number);

/* archive_class - the class object of an object, in $objects, as a value */
uint32_t archive_class(struct archive_edit *e, const char *const *names,
		       size_t count);

/* archive_finish - appended to @out; 0 or -ENOMEM, @out then unchanged */
int archive_finish(struct archive_edit *e, struct buf *out);

#endif
