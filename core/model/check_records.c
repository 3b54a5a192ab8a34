/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every record, in two passes over the manifest. The first one notes the IDs:
 * 32 bytes a record. With these, the second one knows of each record whether
 * there is another for its place, and what the folder above it is: the ID of a
 * place is computed from its domain and path.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check_inside.h"
#include "mbdb.h"
#include "record.h"

/* --- items ---------------------------------------------------------------- */

static int compare_items(const void *va, const void *vb)
{
	const struct check_item *a = va, *b = vb;
	int diff = memcmp(a->id, b->id, sizeof(a->id));

	if (!diff)
		diff = (a->handle > b->handle) - (a->handle < b->handle);
	return diff;
}

void check_items_range(const struct check *c, const uint8_t id[SHA1_LEN],
		       size_t *first, size_t *end)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(c->items[middle].id, id, SHA1_LEN) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first = *end = low;
	while (*end < c->count && !memcmp(c->items[*end].id, id, SHA1_LEN))
		++*end;
}

static int add_item(struct check *c, const char *hex_id, enum mb_type type,
		    unsigned bits, int64_t handle)
{
	struct check_item item = {
		.type = (uint8_t)type,
		.bits = (uint8_t)bits,
		.handle = handle,
	};

	if (!hex_decode(item.id, sizeof(item.id), hex_id))
		return 0;
	if (c->count == c->cap) {
		size_t cap = c->cap ? c->cap + c->cap / 2 : 1024;
		void *items = reallocarray(c->items, cap, sizeof(*c->items));

		if (!items)
			return -ENOMEM;
		c->items = items;
		c->cap = cap;
	}
	c->items[c->count++] = item;
	return 0;
}

struct check_item *check_payload_item(const struct check *c, const char *hex_id,
				      int64_t handle)
{
	uint8_t id[SHA1_LEN];
	size_t at, end;

	if (!hex_decode(id, sizeof(id), hex_id))
		return NULL;
	for (check_items_range(c, id, &at, &end); at < end; at++)
		if ((c->items[at].bits & ITEM_PAYLOAD) &&
		    c->items[at].handle == handle)
			return &c->items[at];
	return NULL;
}

/* --- first pass ----------------------------------------------------------- */

static void count_entry(struct mb_check_counts *counts, enum mb_type type)
{
	atomic_fetch_add(type == MB_DIR	 ? &counts->folders :
			 type == MB_LINK ? &counts->links :
					   &counts->files,
			 1);
}

static int collect_row(void *arg, const struct manifest_row *row)
{
	const struct mb_record *rec = row->rec;
	struct check *c = arg;
	char place[2 * SHA1_LEN + 1];
	unsigned bits = rec->digest_len ? ITEM_DIGEST : 0;
	int rc;

	if (!row->is_entry)
		return add_item(c, rec->file_id, 0, ITEM_PAYLOAD, row->handle);
	count_entry(c->counts, rec->type);
	rc = record_file_id(place, rec->domain, rec->path);
	if (rc < 0)
		return rc;
	if (!strcmp(place, rec->file_id))
		return add_item(c, place, rec->type,
				bits | ITEM_PLACE | ITEM_PAYLOAD, row->handle);
	rc = add_item(c, place, rec->type, ITEM_PLACE, row->handle);
	return rc < 0 ? rc :
			add_item(c, rec->file_id, rec->type,
				 bits | ITEM_PAYLOAD, row->handle);
}

static int add_lost_id(void *arg, struct mb_slice id)
{
	char hex[2 * SHA1_LEN + 1];

	if (id.len != 2 * SHA1_LEN)
		return 0;
	memcpy(hex, id.ptr, id.len);
	hex[id.len] = '\0';
	return add_item(arg, hex, 0, ITEM_PAYLOAD, 0);
}

/* Whose records are lost still is no orphan, if the index tells. */
static int know_lost_ids(struct check *c)
{
	int rc = manifest_audit_each_id(c->audit, add_lost_id, c);

	if (rc == -ENOMEM || rc == -ECANCELED)
		return rc;
	if (rc < 0)
		atomic_store(&c->counts->orphans_unknown, true);
	return 0;
}

int check_collect(struct check *c, struct mb_err *err)
{
	const char *name = backup_manifest_name(c->b);
	struct mb_err loss;
	int rc;

	rc = manifest_audit_each(c->audit, collect_row, c, &c->rows_lost,
				 &loss);
	/* what SQLite's own check found is said already */
	if (rc == 0 && c->rows_lost &&
	    !atomic_load(&c->counts->findings[MB_CHECK_STRUCTURE]))
		check_say(c, CHECK_FINDING(STRUCTURE, "manifest"), NULL, name,
			  "%s", loss.text);
	if (rc == 0 && c->rows_lost)
		rc = know_lost_ids(c);
	if (rc < 0)
		return mb_err_set(err, rc, "%s: %s", name, strerror(-rc));
	if (c->count)
		qsort(c->items, c->count, sizeof(*c->items), compare_items);
	return 0;
}

/* --- second pass: places -------------------------------------------------- */

struct second_pass {
	struct check *c;
	/* the folder that was looked up last, "domain-path", and what it is */
	struct buf above;
	enum { ABOVE_FOLDER, ABOVE_MISSING, ABOVE_NO_FOLDER } above_is;
	struct check_odd odd;
};

/* Which of several records for one place counts: by its ID, else the first. */
static bool is_principal(const struct check *c, const char *place,
			 int64_t handle)
{
	const struct check_item *best = NULL;
	uint8_t id[SHA1_LEN];
	size_t at, end;

	if (!hex_decode(id, sizeof(id), place))
		return true;
	for (check_items_range(c, id, &at, &end); at < end; at++) {
		const struct check_item *item = &c->items[at];

		if (!(item->bits & ITEM_PLACE))
			continue;
		if (!best || (item->bits & ~best->bits & ITEM_PAYLOAD))
			best = item;
	}
	return !best || best->handle == handle;
}

/* The type of the record for a place; 0 if there is none. */
static int type_at(const struct check *c, const char *place)
{
	uint8_t id[SHA1_LEN];
	size_t at, end;

	if (!hex_decode(id, sizeof(id), place))
		return 0;
	for (check_items_range(c, id, &at, &end); at < end; at++)
		if (c->items[at].bits & ITEM_PLACE)
			return c->items[at].type;
	return 0;
}

static struct mb_slice folder_of(struct mb_slice path)
{
	while (path.len && path.ptr[path.len - 1] != '/')
		path.len--;
	if (path.len)
		path.len--;
	return path;
}

/* Paths of devices are not deeper; crafted ones would cost too much. */
#define DEPTH_MAX 64

/* What is above a place: the nearest folder that has a record. */
static int look_above(struct second_pass *p, struct mb_slice domain,
		      struct mb_slice folder)
{
	p->above_is = ABOVE_FOLDER;
	for (unsigned up = 0; up < DEPTH_MAX; up++) {
		char place[2 * SHA1_LEN + 1];
		int rc = record_file_id(place, domain, folder), type;

		if (rc < 0)
			return rc;
		type = type_at(p->c, place);
		if (type == MB_FILE || type == MB_LINK)
			p->above_is = ABOVE_NO_FOLDER;
		else if (!type && !up)
			p->above_is = ABOVE_MISSING;
		if (type || !folder.len)
			return 0;
		folder = folder_of(folder);
	}
	return 0;
}

static int remember_above(struct second_pass *p, struct mb_slice domain,
			  struct mb_slice folder)
{
	p->above.len = 0;
	return buf_add(&p->above, domain.ptr, domain.len) < 0 ||
			       buf_add_u8(&p->above, 0) < 0 ||
			       buf_add(&p->above, folder.ptr, folder.len) < 0 ?
		       -ENOMEM :
		       0;
}

static bool is_above(const struct second_pass *p, struct mb_slice domain,
		     struct mb_slice folder)
{
	return p->above.len == domain.len + 1 + folder.len &&
	       !memcmp(p->above.ptr, domain.ptr, domain.len) &&
	       !p->above.ptr[domain.len] &&
	       (!folder.len ||
		!memcmp(p->above.ptr + domain.len + 1, folder.ptr, folder.len));
}

static int check_folder_above(struct second_pass *p,
			      const struct mb_record *rec)
{
	struct mb_slice folder = folder_of(rec->path);
	struct mb_record above = { .domain = rec->domain, .path = folder };
	int rc;

	if (!rec->path.len)
		return 0;
	/* neighbours mostly share their folder */
	if (!is_above(p, rec->domain, folder)) {
		rc = look_above(p, rec->domain, folder);
		if (rc == 0)
			rc = remember_above(p, rec->domain, folder);
		if (rc < 0)
			return rc;
		if (p->above_is == ABOVE_MISSING)
			check_say(p->c, CHECK_NOTE(STRUCTURE, "no-folder"),
				  &above, NULL,
				  "a folder without a record of its own");
	}
	if (p->above_is == ABOVE_NO_FOLDER)
		check_say(p->c, CHECK_FINDING(STRUCTURE, "parent"), rec, NULL,
			  "lies below something that is no folder");
	return 0;
}

/* A path as devices have them, and accept them: components, and no tricks. */
static bool is_possible_path(struct mb_slice path)
{
	size_t begin = 0;

	if (!path.len)
		return true;
	for (size_t i = 0; i <= path.len; i++) {
		size_t len = i - begin;

		if (i < path.len && !path.ptr[i])
			return false;
		if (i < path.len && path.ptr[i] != '/')
			continue;
		if (!len || (len == 1 && path.ptr[begin] == '.') ||
		    (len == 2 && path.ptr[begin] == '.' &&
		     path.ptr[begin + 1] == '.'))
			return false;
		begin = i + 1;
	}
	return path.len <= MANIFEST_PATH_MAX;
}

static bool is_possible_domain(struct mb_slice domain)
{
	return domain.len && !memchr(domain.ptr, '/', domain.len) &&
	       !memchr(domain.ptr, '\0', domain.len) && domain.ptr[0] != '.';
}

/* --- second pass: payloads ------------------------------------------------ */

/* -ENOENT if it is missing, which is not said; 1 if it is to be read; 0 */
static int check_presence(struct second_pass *p, const struct mb_record *rec,
			  int64_t handle)
{
	struct check *c = p->c;
	struct payload_place place;
	int rc = payload_locate(&place, &c->b->places, rec->file_id);

	if (rc == -ENOENT)
		return rec->size ? rc : 0;
	if (rc < 0) {
		bool odd = rc == -EBADMSG || rc == -ELOOP || rc == -EXDEV ||
			   rc == -EISDIR;

		check_say(
			c, CHECK_FINDING(STRUCTURE, "payload"), rec, place.path,
			odd ? "its payload is no regular file inside the backup" :
			      "its payload cannot be looked at: %s",
			strerror(-rc));
		return 0;
	}
	atomic_fetch_add(&c->counts->payloads, 1);
	atomic_fetch_add(&c->counts->payload_bytes, (uint64_t)place.stored_len);
	return check_length(&p->odd, rec, handle, place.stored_len);
}

static int check_payload(struct second_pass *p, const struct mb_record *rec,
			 int64_t handle, bool is_named_wrong, bool is_extra)
{
	struct check *c = p->c;
	struct check_item *item;
	char place[64];
	int rc;

	if (!rec->file_id[0])
		return 0;
	rc = check_presence(p, rec, handle);
	if (rc == -ENOENT && (is_extra || is_named_wrong))
		return 0; /* said with what is wrong with the record */
	if (rc == -ENOENT) {
		check_say(c, CHECK_FINDING(STRUCTURE, "missing"), rec,
			  check_place_of(c, rec, place),
			  "its payload is missing");
		return 0;
	}
	if (rc == 1) {
		item = check_payload_item(c, rec->file_id, handle);
		if (item)
			item->bits |= ITEM_READ;
	}
	return rc < 0 ? rc : 0;
}

/* A file ID that is not the place's: is at least the payload where it says? */
static bool check_file_id(struct check *c, const struct mb_record *rec,
			  const char *place)
{
	struct payload_place at;
	bool here = rec->file_id[0] &&
		    payload_locate(&at, &c->b->places, rec->file_id) == 0;
	bool there = payload_locate(&at, &c->b->places, place) == 0;
	bool is_file = rec->type == MB_FILE && rec->size;

	check_say(c, CHECK_FINDING(STRUCTURE, "file-id"), rec, NULL,
		  "its file ID is %.*s instead of %s%s",
		  rec->row_id.len > 64 ? 64 : (int)rec->row_id.len,
		  rec->row_id.ptr ? rec->row_id.ptr : "", place,
		  !is_file || here ? "" :
		  there		   ? ", under which its payload is" :
				     ", and its payload is missing");
	return is_file && !here;
}

/* --- second pass: records ------------------------------------------------- */

static const char *type_name(int type)
{
	return type == MB_DIR ? "folder" : type == MB_LINK ? "link" : "file";
}

/* What is wrong with what a record says, apart from its ID. */
static void check_fields(struct check *c, const struct mb_record *rec)
{
	int by_mode = mode_type(rec->mode);

	if (rec->damage && rec->file_id[0])
		check_say(c, CHECK_FINDING(STRUCTURE, "record"), rec, NULL,
			  "%s", rec->damage);
	else if (by_mode && by_mode != (int)rec->type)
		check_say(c, CHECK_FINDING(STRUCTURE, "record"), rec, NULL,
			  "a %s by its flags, a %s by its mode",
			  type_name(rec->type), type_name(by_mode));
	else if (rec->type == MB_LINK && !rec->target.len && !rec->damage)
		check_say(c, CHECK_FINDING(STRUCTURE, "record"), rec, NULL,
			  "a symbolic link without a target");
	else if (!is_possible_domain(rec->domain))
		check_say(c, CHECK_FINDING(STRUCTURE, "path"), rec, NULL,
			  "no domain that a device can have");
	else if (!is_possible_path(rec->path))
		check_say(c, CHECK_FINDING(STRUCTURE, "path"), rec, NULL,
			  "no path that a device can have");
}

static int check_row(void *arg, const struct manifest_row *row)
{
	const struct mb_record *rec = row->rec;
	struct second_pass *p = arg;
	char place[2 * SHA1_LEN + 1];
	bool extra, named_wrong = false;
	int rc;

	if (!row->is_entry)
		return 0;
	rc = record_file_id(place, rec->domain, rec->path);
	if (rc < 0)
		return rc;
	extra = !is_principal(p->c, place, row->handle);
	if (extra)
		check_say(p->c, CHECK_FINDING(STRUCTURE, "duplicate"), rec,
			  NULL, "one more record of the same domain and path");
	else if (strcmp(place, rec->file_id) != 0)
		named_wrong = check_file_id(p->c, rec, place);
	check_fields(p->c, rec);
	rc = check_folder_above(p, rec);
	/* of an equal record, the payload is the first one's; of a damaged one,
	 * nothing tells what it should be */
	if (rc == 0 && rec->type == MB_FILE && !rec->damage &&
	    !(extra && !strcmp(place, rec->file_id)))
		rc = check_payload(p, rec, row->handle, named_wrong, extra);
	return rc;
}

int check_records(struct check *c, struct mb_err *err)
{
	struct second_pass p = { .c = c, .odd = { .c = c } };
	struct mb_err loss;
	bool lost;
	int rc;

	rc = manifest_audit_each(c->audit, check_row, &p, &lost, &loss);
	if (rc == 0)
		rc = check_say_odd(&p.odd);
	buf_release(&p.above);
	free(p.odd.list);
	return rc < 0 ? mb_err_set(err, rc, "%s", strerror(-rc)) : 0;
}
