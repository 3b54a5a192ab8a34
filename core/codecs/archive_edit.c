/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "archive_edit.h"

#include <errno.h>
#include <stdlib.h>

/* An archive of a file has about fifty objects. */
#define OBJECTS_MAX 65536
#define UIDS_MAX 4 /* one behind the other, as in mbfile.c */

/* A mark says from where an object can be reached, by references and UIDs. */
enum mark {
	USED = 1,     /* from the base as it was */
	STRANGER = 2, /* from an entry of $objects that nothing refers to */
	KEPT = 4,     /* from the base without what was dropped */
};

/* The number of an object that a container refers to. */
static uint64_t ref_at(const struct bplist *bp, const struct bplist_obj *o,
		       uint64_t at)
{
	const uint8_t *p = o->data.ptr + at * bp->ref_size;
	uint64_t n = 0;

	for (unsigned i = 0; i < bp->ref_size; i++)
		n = n << 8 | p[i];
	return n;
}

static uint64_t refs_of(const struct bplist_obj *o)
{
	switch (o->type) {
	case BPLIST_ARRAY:
		return o->count;
	case BPLIST_DICT:
		return 2 * o->count;
	default:
		return 0;
	}
}

static int find(const struct bplist *bp, const struct bplist_obj *dict,
		const char *key, uint64_t *ref)
{
	struct bplist_obj k;

	if (dict->type != BPLIST_DICT)
		return -EBADMSG;
	for (uint64_t i = 0; i < dict->count; i++) {
		if (bplist_get(bp, ref_at(bp, dict, i), &k) < 0)
			return -EBADMSG;
		if (k.type == BPLIST_ASCII && view_is(k.data, key)) {
			*ref = ref_at(bp, dict, dict->count + i);
			return 0;
		}
	}
	return -ENOENT;
}

static bool uid_of(const struct bplist *bp, const struct bplist_obj *o,
		   uint64_t *uid)
{
	struct bplist_obj value = *o;

	if (o->type == BPLIST_DICT) {
		if (o->count != 1 ||
		    bplist_lookup(bp, o, "CF$UID", &value) < 0 ||
		    value.type != BPLIST_INT)
			return false;
	} else if (o->type != BPLIST_UID) {
		return false;
	}
	*uid = value.integer < 0 ? UINT64_MAX : (uint64_t)value.integer;
	return true;
}

bool archive_is_uid(const struct archive_edit *e, const struct bplist_obj *o)
{
	uint64_t uid;

	return uid_of(&e->base, o, &uid);
}

/* The number of an entry of $objects. */
static uint64_t entry_ref(const struct archive_edit *e, uint64_t uid)
{
	return ref_at(&e->base, &e->list_obj, uid);
}

/* From a value to the object that is meant. */
static int follow(const struct archive_edit *e, uint64_t *ref,
		  struct bplist_obj *o)
{
	uint64_t uid;

	for (int i = 0; i < UIDS_MAX; i++) {
		if (bplist_get(&e->base, *ref, o) < 0)
			return -EBADMSG;
		if (!uid_of(&e->base, o, &uid))
			return 0;
		if (uid == 0)
			return -ENOENT;
		if (uid >= e->list_obj.count)
			return -EBADMSG;
		*ref = entry_ref(e, uid);
	}
	return -EBADMSG;
}

/* --- what can be reached ------------------------------------------------- */

static int reach(struct archive_edit *e, enum mark mark, uint64_t ref)
{
	if (ref >= e->base.count)
		return -EBADMSG;
	if (!(e->marks[ref] & mark)) {
		e->marks[ref] |= mark;
		e->stack[e->stack_len++] = (uint32_t)ref;
	}
	return 0;
}

static bool is_dropped(const struct archive_edit *e, uint64_t key_ref)
{
	struct bplist_obj key;

	if (!e->dropped_count || bplist_get(&e->base, key_ref, &key) < 0 ||
	    key.type != BPLIST_ASCII)
		return false;
	for (unsigned i = 0; i < e->dropped_count; i++)
		if (view_is(key.data, e->dropped[i]))
			return true;
	return false;
}

static int reach_kept_pairs(struct archive_edit *e, enum mark mark)
{
	const struct bplist_obj *top = &e->top_obj;

	for (uint64_t i = 0; i < top->count; i++) {
		uint64_t key = ref_at(&e->base, top, i);

		if (is_dropped(e, key))
			continue;
		if (reach(e, mark, key) < 0 ||
		    reach(e, mark, ref_at(&e->base, top, top->count + i)) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int reach_children(struct archive_edit *e, enum mark mark, uint64_t ref,
			  const struct bplist_obj *o)
{
	uint64_t uid;
	int rc = 0;

	if (ref == e->list)
		return 0; /* its entries are reached by UIDs alone */
	if (ref == e->top)
		/* a stranger that knows it is not its owner */
		return mark == STRANGER ? 0 : reach_kept_pairs(e, mark);
	if (uid_of(&e->base, o, &uid)) {
		/* what refers to nothing would refer to what is new */
		if (uid >= e->list_obj.count)
			return -EBADMSG;
		rc = reach(e, mark, entry_ref(e, uid));
	}
	for (uint64_t i = 0; i < refs_of(o) && rc == 0; i++)
		rc = reach(e, mark, ref_at(&e->base, o, i));
	return rc;
}

/* All bytes of an object. */
static struct view raw_object(const struct bplist *bp, uint64_t ref,
			      const struct bplist_obj *o)
{
	uint64_t off = 0;
	const uint8_t *start;
	size_t len = 1;

	for (unsigned i = 0; i < bp->offset_size; i++)
		off = off << 8 | bp->table[ref * bp->offset_size + i];
	start = bp->data.ptr + off;
	switch (o->type) {
	case BPLIST_NULL:
	case BPLIST_BOOL:
		break;
	case BPLIST_INT:
	case BPLIST_REAL:
	case BPLIST_DATE:
		len += (size_t)1 << (*start & 0x0f);
		break;
	case BPLIST_UID:
		len += (*start & 0x0f) + 1;
		break;
	default:
		len = (size_t)(o->data.ptr + o->data.len - start);
	}
	return view_of(start, len);
}

/*
 * Reach everything that is to be reached from what is on the stack. In a sound
 * list objects do not overlap. Where they do, a small list could stand for a
 * huge one, so this ends as soon as there is more than the list could hold.
 */
static int spread(struct archive_edit *e, enum mark mark)
{
	size_t total = 0;

	while (e->stack_len) {
		uint64_t ref = e->stack[--e->stack_len];
		struct bplist_obj o;

		if (bplist_get(&e->base, ref, &o) < 0)
			return -EBADMSG;
		total += raw_object(&e->base, ref, &o).len;
		if (total > e->base.data.len ||
		    reach_children(e, mark, ref, &o) < 0)
			return -EBADMSG;
	}
	return 0;
}

/* --- the base ------------------------------------------------------------ */

static int open_base(struct archive_edit *e, struct view base)
{
	struct bplist_obj root, o;
	uint64_t ref;

	if (bplist_open(&e->base, base) < 0 || e->base.count > OBJECTS_MAX ||
	    bplist_get(&e->base, e->base.root, &root) < 0 ||
	    find(&e->base, &root, "$objects", &e->list) < 0 ||
	    bplist_get(&e->base, e->list, &e->list_obj) < 0 ||
	    e->list_obj.type != BPLIST_ARRAY || !e->list_obj.count)
		return -EBADMSG;
	if (find(&e->base, &root, "$top", &ref) < 0 ||
	    bplist_get(&e->base, ref, &o) < 0 ||
	    find(&e->base, &o, "root", &ref) < 0 ||
	    bplist_get(&e->base, ref, &o) < 0)
		return -EBADMSG;
	e->uids_are_dicts = o.type == BPLIST_DICT && archive_is_uid(e, &o);
	e->top = ref;
	if (follow(e, &e->top, &e->top_obj) < 0 ||
	    e->top_obj.type != BPLIST_DICT)
		return -EBADMSG;
	return 0;
}

static int survey_base(struct archive_edit *e)
{
	/* from where archive_seal begins too: what it reaches is among this */
	if (reach(e, USED, e->base.root) < 0 ||
	    reach(e, USED, entry_ref(e, 0)) < 0 || spread(e, USED) < 0)
		return -EBADMSG;
	for (uint64_t uid = 0; uid < e->list_obj.count; uid++) {
		uint64_t ref = entry_ref(e, uid);

		if (ref >= e->base.count)
			return -EBADMSG;
		if (!(e->marks[ref] & USED))
			reach(e, STRANGER, ref);
	}
	return spread(e, STRANGER);
}

int archive_begin(struct archive_edit *e, struct view base)
{
	int rc;

	*e = (struct archive_edit){ .next_uid = 1 };
	if (!base.len) {
		e->next_uid = 2; /* behind "$null" and the top object */
		return 0;
	}
	rc = open_base(e, base);
	if (rc == 0) {
		e->marks = calloc(e->base.count, sizeof(*e->marks));
		e->stack = calloc(e->base.count, sizeof(*e->stack));
		rc = e->marks && e->stack ? survey_base(e) : -ENOMEM;
	}
	return rc;
}

void archive_release(struct archive_edit *e)
{
	bplist_writer_release(&e->out);
	free(e->marks);
	free(e->stack);
	e->marks = NULL;
	e->stack = NULL;
}

int archive_look_up(const struct archive_edit *e, const char *key,
		    struct bplist_obj *direct, struct bplist_obj *value)
{
	uint64_t ref;
	int rc;

	if (!e->base.count)
		return -ENOENT;
	rc = find(&e->base, &e->top_obj, key, &ref);
	if (rc == 0 && direct)
		rc = bplist_get(&e->base, ref, direct);
	return rc < 0 ? rc : follow(e, &ref, value);
}

void archive_drop(struct archive_edit *e, const char *key)
{
	if (e->dropped_count < ARCHIVE_EDITS_MAX)
		e->dropped[e->dropped_count++] = key;
}

void archive_seal(struct archive_edit *e)
{
	if (!e->base.count)
		return;
	reach(e, KEPT, e->base.root);
	reach(e, KEPT, entry_ref(e, 0)); /* "$null" */
	/* cannot fail: it was gone through in archive_begin */
	spread(e, KEPT);
}

static bool is_kept(const struct archive_edit *e, uint64_t ref)
{
	return e->marks[ref] & (KEPT | STRANGER);
}

/* --- what is new --------------------------------------------------------- */

void archive_set(struct archive_edit *e, const char *key, uint32_t value)
{
	if (e->pair_count == ARCHIVE_EDITS_MAX) {
		e->out.failed = true;
		return;
	}
	e->pairs[e->pair_count].key =
		bplist_put_text(&e->out, key, strlen(key));
	e->pairs[e->pair_count++].value = value;
}

/* Places of dropped objects come first, then those behind the last. */
static uint64_t take_uid(struct archive_edit *e)
{
	while (e->next_uid < e->list_obj.count &&
	       is_kept(e, entry_ref(e, e->next_uid)))
		e->next_uid++;
	return e->next_uid++;
}

static uint32_t put_uid(struct archive_edit *e, uint64_t uid)
{
	uint32_t key, value, dict;

	if (!e->uids_are_dicts)
		return bplist_put_uid(&e->out, uid);
	key = bplist_put_text(&e->out, "CF$UID", strlen("CF$UID"));
	value = bplist_put_int(&e->out, (int64_t)uid);
	dict = bplist_begin(&e->out, BPLIST_KIND_DICT, 1);
	bplist_add_ref(&e->out, key);
	bplist_add_ref(&e->out, value);
	return dict;
}

uint32_t archive_refer(struct archive_edit *e, uint32_t number)
{
	uint64_t uid;

	if (e->entry_count == ARCHIVE_EDITS_MAX) {
		e->out.failed = true;
		return 0;
	}
	uid = take_uid(e);
	e->entries[e->entry_count].uid = uid;
	e->entries[e->entry_count++].number = number;
	return put_uid(e, uid);
}

uint32_t archive_class(struct archive_edit *e, const char *const *names,
		       size_t count)
{
	struct bplist_writer *w = &e->out;
	uint32_t keys[2], first, array, dict;

	keys[0] = bplist_put_text(w, "$classname", strlen("$classname"));
	keys[1] = bplist_put_text(w, "$classes", strlen("$classes"));
	first = bplist_next(w);
	for (size_t i = 0; i < count; i++)
		bplist_put_text(w, names[i], strlen(names[i]));
	array = bplist_begin(w, BPLIST_KIND_ARRAY, count);
	for (size_t i = 0; i < count; i++)
		bplist_add_ref(w, first + (uint32_t)i);
	dict = bplist_begin(w, BPLIST_KIND_DICT, 2);
	bplist_add_ref(w, keys[0]);
	bplist_add_ref(w, keys[1]);
	bplist_add_ref(w, first);
	bplist_add_ref(w, array);
	return archive_refer(e, dict);
}

/* --- the new archive ----------------------------------------------------- */

/* The number in the new list of each object of the base that stays. */
static uint32_t *number_base(const struct archive_edit *e)
{
	uint32_t *numbers = calloc(e->base.count, sizeof(*numbers));
	uint32_t next = bplist_next(&e->out);

	for (uint64_t ref = 0; numbers && ref < e->base.count; ref++)
		if (is_kept(e, ref))
			numbers[ref] = next++;
	return numbers;
}

static void put_top(struct archive_edit *e, const uint32_t *numbers)
{
	const struct bplist_obj *top = &e->top_obj;
	uint64_t count = e->pair_count;

	for (uint64_t i = 0; i < top->count; i++)
		count += !is_dropped(e, ref_at(&e->base, top, i));
	bplist_begin(&e->out, BPLIST_KIND_DICT, count);
	/* first all keys, then all values */
	for (uint64_t side = 0; side < 2; side++) {
		for (uint64_t i = 0; i < top->count; i++)
			if (!is_dropped(e, ref_at(&e->base, top, i)))
				bplist_add_ref(
					&e->out,
					numbers[ref_at(&e->base, top,
						       side * top->count + i)]);
		for (unsigned i = 0; i < e->pair_count; i++)
			bplist_add_ref(&e->out, side ? e->pairs[i].value :
						       e->pairs[i].key);
	}
}

/* @entries are in the order of their UIDs. */
static void put_list(struct archive_edit *e, const uint32_t *numbers)
{
	uint64_t count = e->list_obj.count;
	unsigned next = 0;

	if (e->entry_count && e->entries[e->entry_count - 1].uid >= count)
		count = e->entries[e->entry_count - 1].uid + 1;
	bplist_begin(&e->out, BPLIST_KIND_ARRAY, count);
	for (uint64_t uid = 0; uid < count; uid++) {
		uint64_t ref;

		if (next < e->entry_count && e->entries[next].uid == uid) {
			bplist_add_ref(&e->out, e->entries[next++].number);
			continue;
		}
		ref = entry_ref(e, uid);
		/* a place that is free, and not needed, is "$null" */
		if (!is_kept(e, ref))
			ref = entry_ref(e, 0);
		bplist_add_ref(&e->out, numbers[ref]);
	}
}

static void put_base_object(struct archive_edit *e, const uint32_t *numbers,
			    uint64_t ref)
{
	struct bplist_obj o;
	struct view raw;

	bplist_get(&e->base, ref, &o);
	raw = raw_object(&e->base, ref, &o);
	if (o.type != BPLIST_ARRAY && o.type != BPLIST_DICT) {
		bplist_put_raw(&e->out, raw);
		return;
	}
	bplist_begin(&e->out, (enum bplist_kind)(raw.ptr[0] & 0xf0), o.count);
	for (uint64_t i = 0; i < refs_of(&o); i++)
		bplist_add_ref(&e->out, numbers[ref_at(&e->base, &o, i)]);
}

static int finish_base(struct archive_edit *e, struct buf *out)
{
	mb_auto(free) uint32_t *numbers = number_base(e);

	if (!numbers)
		return -ENOMEM;
	for (uint64_t ref = 0; ref < e->base.count; ref++) {
		if (!is_kept(e, ref))
			continue;
		if (ref == e->list)
			put_list(e, numbers);
		else if (ref == e->top)
			put_top(e, numbers);
		else
			put_base_object(e, numbers, ref);
	}
	return bplist_finish(&e->out, numbers[e->base.root], out);
}

static uint32_t put_dict(struct bplist_writer *w, const uint32_t *keys,
			 const uint32_t *values, size_t count)
{
	uint32_t dict = bplist_begin(w, BPLIST_KIND_DICT, count);

	for (size_t i = 0; i < count; i++)
		bplist_add_ref(w, keys[i]);
	for (size_t i = 0; i < count; i++)
		bplist_add_ref(w, values[i]);
	return dict;
}

/* As NSKeyedArchiver makes them. */
static int finish_new(struct archive_edit *e, struct buf *out)
{
	static const char *const names[] = { "$version", "$archiver", "$top",
					     "$objects" };
	struct bplist_writer *w = &e->out;
	uint32_t keys[4], values[4], null, top, root_key, root_uid;

	null = bplist_put_text(w, "$null", strlen("$null"));
	top = bplist_next(w);
	put_top(e, NULL);
	for (size_t i = 0; i < 4; i++)
		keys[i] = bplist_put_text(w, names[i], strlen(names[i]));
	values[0] = bplist_put_int(w, 100000);
	values[1] = bplist_put_text(w, "NSKeyedArchiver",
				    strlen("NSKeyedArchiver"));
	root_key = bplist_put_text(w, "root", strlen("root"));
	root_uid = put_uid(e, 1);
	values[2] = put_dict(w, &root_key, &root_uid, 1);
	values[3] = bplist_begin(w, BPLIST_KIND_ARRAY, 2 + e->entry_count);
	bplist_add_ref(w, null);
	bplist_add_ref(w, top);
	for (unsigned i = 0; i < e->entry_count; i++)
		bplist_add_ref(w, e->entries[i].number);
	return bplist_finish(w, put_dict(w, keys, values, 4), out);
}

int archive_finish(struct archive_edit *e, struct buf *out)
{
	return e->base.count ? finish_base(e, out) : finish_new(e, out);
}
