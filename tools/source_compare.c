/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a new backup holds a source: nothing missing, nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source_inside.h"

#define READ_PIECE (256 * 1024)

/* Entries by domain and path: open addressing, at most half full. */
struct lookup {
	struct slot {
		uint64_t hash;
		uint32_t number; /* counted from 1; 0: free */
		bool found;
	} * slots;
	size_t size; /* a power of two */
};

struct judge {
	struct source *s;
	struct mb_backup *backup;
	struct mb_tree *made;
	bool (*cancelled)(void);
	struct lookup lookup;
	struct mb_record ours, theirs;
	size_t found;
};

static int differs(const struct judge *j, const struct mb_record *rec,
		   const char *what, struct mb_err *err)
{
	(void)j;
	return mb_err_set(err, -EIO,
			  "what was staged is not what there is: %.*s/%.*s: %s",
			  (int)(rec->domain.len < 150 ? rec->domain.len : 150),
			  rec->domain.ptr,
			  (int)(rec->path.len < 200 ? rec->path.len : 200),
			  rec->path.ptr, what);
}

/* Domain and path of entry @i: its own, or of its record. */
static int identity_of(struct judge *j, size_t i, struct mb_slice *domain,
		       struct mb_slice *path, struct mb_err *err)
{
	const struct source_entry *entry = &j->s->entries[i];
	int rc;

	if (entry->fresh) {
		*domain = entry->fresh->identity.domain;
		*path = entry->fresh->identity.path;
		return 0;
	}
	rc = source_entry_record(j->s, entry, &j->ours, err);
	*domain = j->ours.domain;
	*path = j->ours.path;
	return rc < 0 ? rc : 0;
}

static int fill_lookup(struct judge *j, struct mb_err *err)
{
	struct lookup *l = &j->lookup;

	for (l->size = 16; l->size < 2 * j->s->count;)
		l->size *= 2;
	l->slots = calloc(l->size, sizeof(*l->slots));
	if (!l->slots)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < j->s->count; i++) {
		uint64_t hash = j->s->entries[i].hash;
		size_t at = hash & (l->size - 1);

		while (l->slots[at].number)
			at = (at + 1) & (l->size - 1);
		l->slots[at] = (struct slot){ hash, (uint32_t)i + 1, false };
	}
	return 0;
}

/* The entry that @theirs should be; j->ours then is its record, if kept. */
static int find(struct judge *j, size_t *number, struct mb_err *err)
{
	const struct mb_record *rec = &j->theirs;
	uint64_t hash = source_hash(rec->domain, rec->path);
	struct lookup *l = &j->lookup;

	for (size_t at = hash & (l->size - 1); l->slots[at].number;
	     at = (at + 1) & (l->size - 1)) {
		struct slot *slot = &l->slots[at];
		struct mb_slice domain, path;
		int rc;

		if (slot->hash != hash || slot->found)
			continue;
		rc = identity_of(j, slot->number - 1, &domain, &path, err);
		if (rc < 0)
			return rc;
		if (!mb_slice_equal(domain, rec->domain) ||
		    !mb_slice_equal(path, rec->path))
			continue;
		slot->found = true;
		*number = slot->number - 1;
		return 0;
	}
	return differs(j, rec, _("should not be there"), err);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec;
}

/* To the end, which is more than a check of it: the source can be damaged. */
static bool can_be_read(struct judge *j, const struct mb_record *rec)
{
	mb_auto(mb_reader_free) struct mb_reader *reader = NULL;
	mb_auto(free) char *piece = malloc(READ_PIECE);
	int64_t off = 0;
	ssize_t n;

	if (!piece || mb_reader_open(&reader, j->s->base, rec, NULL) < 0)
		return !piece;
	do {
		n = mb_reader_pread(reader, piece, READ_PIECE, off);
		off += n > 0 ? n : 0;
	} while (n > 0 && !(j->cancelled && j->cancelled()));
	return n == 0;
}

static int64_t true_size(struct mb_backup *backup, const struct mb_record *rec)
{
	mb_auto(mb_reader_free) struct mb_reader *reader = NULL;

	return mb_reader_open(&reader, backup, rec, NULL) < 0 ?
		       -1 :
		       mb_reader_get_size(reader);
}

/* Where the recorded size was not the true one, it may have been put right. */
static bool same_size(struct judge *j)
{
	const struct mb_record *a = &j->ours, *b = &j->theirs;

	return a->size == b->size ||
	       (b->type == MB_FILE && true_size(j->s->base, a) == b->size &&
		true_size(j->backup, b) == b->size);
}

static int compare_kept(struct judge *j, struct mb_err *err)
{
	const struct mb_record *a = &j->ours, *b = &j->theirs;
	struct mb_err why;

	if (a->type != b->type || a->mode != b->mode || !same_size(j) ||
	    !same_time(a->mtime, b->mtime) || a->uid != b->uid ||
	    a->gid != b->gid || !mb_slice_equal(a->target, b->target))
		return differs(j, b, _("its record differs"), err);
	/* what is damaged there cannot be whole here */
	if (mb_reader_check(j->backup, b, &why) < 0 &&
	    mb_reader_check(j->s->base, a, NULL) == 0 && can_be_read(j, a))
		return differs(j, b, why.text, err);
	return 0;
}

static int compare_fresh(struct judge *j, const struct source_entry *entry,
			 struct mb_err *err)
{
	mb_auto(present_release) struct present p = { .fd = -1 };
	const struct mb_record *rec = &j->theirs;
	const struct mb_entry *e = &p.entry;
	int rc = source_describe(j->s, entry, &p, err);

	if (rc < 0)
		return rc;
	if (rec->type != e->type || (rec->mode & 07777) != e->permissions ||
	    rec->uid != e->uid || rec->gid != e->gid ||
	    !same_time(rec->mtime, e->mtime))
		return differs(j, rec, _("its record differs"), err);
	if (!attributes_equal(&p.attributes, rec))
		return differs(j, rec, _("its attributes differ"), err);
	if (e->type == MB_LINK && !mb_slice_equal(rec->target, e->target))
		return differs(j, rec, _("its target differs"), err);
	if (e->type != MB_FILE)
		return 0;
	rc = same_content(j->backup, rec, p.file, p.st.st_size, j->cancelled,
			  err);
	return rc < 0 ? rc :
	       rc     ? 0 :
			differs(j, rec, _("its content differs"), err);
}

static int compare_node(void *arg, uint32_t node, struct mb_err *err)
{
	struct judge *j = arg;
	const struct source_entry *entry;
	size_t number = 0;
	int rc;

	if (mb_tree_is_made_up(j->made, node))
		return 0;
	rc = mb_tree_record(j->made, node, &j->theirs, err);
	if (rc < 0)
		return rc;
	if (j->cancelled && j->cancelled())
		return mb_err_set(err, -ECANCELED, "cancelled");
	rc = find(j, &number, err);
	if (rc < 0)
		return rc;
	j->found++;
	entry = &j->s->entries[number];
	return entry->fresh ? compare_fresh(j, entry, err) :
			      compare_kept(j, err);
}

/* Something is missing: the first that is. */
static int name_missing(struct judge *j, struct mb_err *err)
{
	for (size_t at = 0; at < j->lookup.size; at++) {
		struct slot *slot = &j->lookup.slots[at];
		struct mb_record missing = { 0 };
		int rc;

		if (!slot->number || slot->found)
			continue;
		rc = identity_of(j, slot->number - 1, &missing.domain,
				 &missing.path, err);
		return rc < 0 ? rc : differs(j, &missing, _("is missing"), err);
	}
	return 0;
}

int source_compare(struct source *s, struct mb_backup *backup,
		   struct mb_tree *made, bool (*cancelled)(void),
		   struct mb_err *err)
{
	struct judge j = {
		.s = s, .backup = backup, .made = made, .cancelled = cancelled
	};
	int rc;

	/* what is odd was said when it was written */
	s->observer.odd = NULL;
	rc = fill_lookup(&j, err);

	if (rc == 0)
		rc = source_each_node(made, MB_ROOT, compare_node, &j, err);
	if (rc == 0 && j.found < s->count)
		rc = name_missing(&j, err);
	free(j.lookup.slots);
	mb_record_release(&j.ours);
	mb_record_release(&j.theirs);
	return rc;
}
