/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two passes over the pages. The first notes where rows are, and which is the
 * best for each file ID; the second reads these again for their domains. A
 * row's handle is the offset of its record in the database.
 */
#include "manifest_carved.h"

#include <errno.h>
#include <stdlib.h>

#include "db_image.h"
#include "domain_index.h"
#include "mbdb.h"
#include "mbfile.h"
#include "record.h"

#define SCAN_WINDOW (1u << 20)
#define READ_WINDOW (16u << 10)

enum rank {
	RANK_LISTED, /* a cell of a leaf */
	RANK_FOUND,  /* looks like a row, on a page that is damaged */
	RANK_FREE,
};

/* A row as the first pass notes it. */
struct copy {
	int64_t handle;
	int64_t rowid;
	uint8_t id[SHA1_LEN];
	uint8_t rank;
	bool unneeded;
};

struct manifest_carved {
	struct manifest base;
	struct payload *payload;
	struct db_image image;
	struct domain_index index;
};

struct carving {
	struct manifest_carved *m;
	struct carved *carved;
	struct copy *copies;
	size_t count, cap;
	struct buf record;
	/* of overflow pages: each belongs to one row, so to read twice as many
	 * as there are is more than enough for both passes */
	int64_t budget;
	uint8_t *wanted; /* pages that a page of the table leads to */
	uint8_t *good;	 /* pages of the table that can be read */
};

static int64_t overflow_budget(const struct db_image *im)
{
	return 1000 + 2 * (int64_t)im->count;
}

/* ---- first pass ---- */

/* 1: it is a row of Files; 0: it is not */
static int check_row(struct carving *c, const struct db_row *row,
		     struct view page)
{
	struct view front = view_of(page.ptr + row->at, row->local);
	uint64_t want = DB_ROW_FRONT(row);
	int rc;

	if (row->column_len[DB_DOMAIN] > MANIFEST_PATH_MAX ||
	    row->column_len[DB_PATH] > MANIFEST_PATH_MAX)
		return 0;
	if (front.len < want) {
		rc = db_image_record(&c->m->image, row, page, want, &c->record,
				     &c->budget);
		if (rc < 0)
			return rc;
		front = view_of(c->record.ptr, c->record.len);
		if (front.len < want) {
			c->carved->lost_rows++;
			return 0;
		}
	}
	return db_row_is_sound(row, front);
}

static int add_copy(struct carving *c, const struct db_row *row,
		    struct view page, uint32_t number, enum rank rank)
{
	struct view record = view_of(page.ptr + row->at, row->local);
	struct mb_slice id = db_row_slice(row, record, DB_FILE_ID);
	char hex[2 * SHA1_LEN + 1];
	struct copy *copy;

	if (c->count == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 1024;

		copy = reallocarray(c->copies, cap, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		c->copies = copy;
		c->cap = cap;
	}
	copy = &c->copies[c->count];
	*copy = (struct copy){ .rank = (uint8_t)rank, .rowid = row->rowid };
	copy->handle =
		(int64_t)(number - 1) * c->m->image.page_len + (int64_t)row->at;
	/* a record can begin so near to the end that its ID is elsewhere */
	if (id.len < 2 * SHA1_LEN)
		id.ptr = (const char *)c->record.ptr + row->column[DB_FILE_ID];
	memcpy(hex, id.ptr, 2 * SHA1_LEN);
	hex[2 * SHA1_LEN] = '\0';
	for (int i = 0; i < 2 * SHA1_LEN; i++)
		if (hex[i] >= 'A' && hex[i] <= 'F')
			hex[i] += 'a' - 'A';
	if (hex_decode(copy->id, sizeof(copy->id), hex))
		c->count++;
	return 0;
}

static int take_row(struct carving *c, const struct db_row *row,
		    struct view page, uint32_t number, enum rank rank)
{
	int rc = check_row(c, row, page);

	return rc == 1 ? add_copy(c, row, page, number, rank) : rc;
}

/* Cells do not overlap: what they have in all is no more than the page has. */
static int take_cells(struct carving *c, const struct db_page *p,
		      uint32_t number, enum rank rank)
{
	size_t left = p->bytes.len;
	struct db_row row;
	int rc = 0;

	for (size_t i = 0; i < p->count && rc == 0; i++) {
		if (!db_row_cell(&row, p, i))
			continue;
		if (row.local > left)
			break;
		left -= row.local;
		rc = take_row(c, &row, p->bytes, number, rank);
	}
	return rc;
}

static int search_rows(struct carving *c, struct view page, uint32_t number,
		       enum rank rank)
{
	struct db_row row;
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && db_row_find(&row, page, at)) {
		size_t before = c->count;

		rc = take_row(c, &row, page, number, rank);
		at = row.at + (c->count > before ? row.local : 1);
	}
	return rc;
}

static void note_children(struct carving *c, const struct db_page *p)
{
	for (size_t i = 0; i <= p->count; i++) {
		uint32_t child = db_page_child(p, i);

		if (child <= c->m->image.count)
			set_bit(c->wanted, child);
	}
}

static int take_page(struct carving *c, struct view bytes, uint32_t number)
{
	bool is_free = db_image_is_free(&c->m->image, number);
	struct db_page p;

	db_page_look(&p, bytes, number == 1);
	if (!is_free && (p.kind == DB_PAGE_LEAF || p.kind == DB_PAGE_INNER))
		set_bit(c->good, number);
	switch (p.kind) {
	case DB_PAGE_LEAF:
		return take_cells(c, &p, number,
				  is_free ? RANK_FREE : RANK_LISTED);
	case DB_PAGE_INNER:
		if (!is_free)
			note_children(c, &p);
		return 0;
	case DB_PAGE_OTHER:
		return search_rows(c, bytes, number,
				   is_free ? RANK_FREE : RANK_FOUND);
	default:
		return 0;
	}
}

static int find_copies(struct carving *c)
{
	mb_auto(db_window_release) struct db_window w = { .want = SCAN_WINDOW };
	const struct db_image *im = &c->m->image;
	int rc = 0;

	for (uint32_t page = 1; page <= im->count && rc == 0; page++) {
		struct view bytes;

		rc = db_image_page(im, &w, page, &bytes);
		if (rc == 0)
			rc = take_page(c, bytes, page);
	}
	return rc;
}

static void count_damage(struct carving *c)
{
	const struct db_image *im = &c->m->image;

	c->carved->pages = im->count;
	c->carved->recorded = im->recorded;
	for (uint32_t page = 2; page <= im->count; page++)
		c->carved->damaged_pages += bit_of(c->wanted, page) &&
					    !bit_of(c->good, page) &&
					    !db_image_is_free(im, page);
}

/* ---- the best of each ---- */

static int compare_copies(const void *va, const void *vb)
{
	const struct copy *a = va, *b = vb;
	int diff = memcmp(a->id, b->id, sizeof(a->id));

	if (!diff)
		diff = a->rank - b->rank;
	if (!diff)
		diff = (a->rowid < b->rowid) - (a->rowid > b->rowid);
	if (!diff)
		diff = (a->handle < b->handle) - (a->handle > b->handle);
	return diff;
}

static int compare_handles(const void *va, const void *vb)
{
	const struct copy *a = va, *b = vb;

	return (a->handle > b->handle) - (a->handle < b->handle);
}

static bool has_payload(const struct payload_places *places,
			const uint8_t id[SHA1_LEN])
{
	char hex[2 * SHA1_LEN + 1];
	struct payload_place place;

	hex_encode(hex, id, SHA1_LEN);
	return payload_locate(&place, places, hex) == 0;
}

static void choose_copies(struct carving *c,
			  const struct payload_places *places)
{
	size_t kept = 0;

	if (c->count)
		qsort(c->copies, c->count, sizeof(*c->copies), compare_copies);
	for (size_t i = 0; i < c->count; i++) {
		struct copy *copy = &c->copies[i];

		/* the first of an ID is the best, and has decided */
		if (i && !memcmp(copy[-1].id, copy->id, sizeof(copy->id)))
			copy->unneeded = true;
		else
			copy->unneeded = copy->rank == RANK_FREE &&
					 !has_payload(places, copy->id);
	}
	for (size_t i = 0; i < c->count; i++)
		if (!c->copies[i].unneeded)
			c->copies[kept++] = c->copies[i];
	c->count = kept;
	if (kept)
		qsort(c->copies, kept, sizeof(*c->copies), compare_handles);
}

/* ---- reading a row again ---- */

static int row_at(const struct manifest_carved *m, struct db_window *w,
		  int64_t handle, struct db_row *row, struct view *page)
{
	const struct db_image *im = &m->image;
	int64_t number = handle / im->page_len + 1;
	int rc;

	if (handle < 0 || number > im->count)
		return -ENOENT;
	rc = db_image_page(im, w, (uint32_t)number, page);
	if (rc < 0)
		return rc;
	return db_row_at(row, *page, (size_t)(handle % im->page_len)) ? 0 :
									-ENOENT;
}

/* ---- second pass ---- */

static int add_to_index(struct carving *c, struct db_window *w,
			const struct copy *copy)
{
	struct mb_slice domain, path;
	struct db_row row;
	struct view page, front;
	int rc = row_at(c->m, w, copy->handle, &row, &page);

	if (rc < 0)
		return rc;
	rc = db_image_record(&c->m->image, &row, page, row.column[DB_FLAGS],
			     &c->record, &c->budget);
	if (rc < 0)
		return rc;
	front = view_of(c->record.ptr, c->record.len);
	domain = db_row_slice(&row, front, DB_DOMAIN);
	path = db_row_slice(&row, front, DB_PATH);
	if (front.len < row.column[DB_FLAGS]) {
		c->carved->lost_rows++;
		return 0;
	}
	c->carved->rows++;
	c->carved->free_rows += copy->rank == RANK_FREE;
	return domain_index_add(&c->m->index, domain, copy->handle, !path.len);
}

static int build_index(struct carving *c)
{
	mb_auto(db_window_release) struct db_window w = { .want = SCAN_WINDOW };
	int rc = 0;

	c->budget = overflow_budget(&c->m->image);
	for (size_t i = 0; i < c->count && rc == 0; i++)
		rc = add_to_index(c, &w, &c->copies[i]);
	if (rc == 0)
		domain_index_seal(&c->m->index);
	return rc;
}

static int carve(struct manifest_carved *m, const struct payload_places *places,
		 struct carved *carved)
{
	struct carving c = { .m = m, .carved = carved };
	int rc = db_image_open(&m->image, m->payload);

	c.budget = overflow_budget(&m->image);
	c.wanted = db_image_bits(&m->image);
	c.good = db_image_bits(&m->image);
	if (rc == 0 && (!c.wanted || !c.good))
		rc = -ENOMEM;
	if (rc == 0)
		rc = find_copies(&c);
	if (rc == 0) {
		count_damage(&c);
		choose_copies(&c, places);
		rc = build_index(&c);
	}
	free(c.copies);
	free(c.wanted);
	free(c.good);
	buf_release(&c.record);
	return rc;
}

/* ---- as a manifest ---- */

/*
 * @full: the whole record, else only what an entry needs
 */
static int read_record(struct manifest_carved *m, struct db_window *w,
		       int64_t handle, bool full, struct db_row *row,
		       struct buf *out, int64_t *budget)
{
	struct view page;
	int rc = row_at(m, w, handle, row, &page);

	return rc < 0 ? rc :
			db_image_record(&m->image, row, page,
					full ? row->len : row->column[DB_FILE],
					out, budget);
}

static int fill_record(struct mb_record *rec, const struct db_row *row,
		       struct view record)
{
	struct mb_slice id = db_row_slice(row, record, DB_FILE_ID);
	struct mb_slice domain = db_row_slice(row, record, DB_DOMAIN);
	struct mb_slice path = db_row_slice(row, record, DB_PATH);
	struct mb_slice blob = db_row_slice(row, record, DB_FILE);
	int rc;

	rc = record_reset(rec, record.len + MBFILE_ROOM(blob.len));
	if (rc < 0 || record_keep(rec, &rec->row_id, id.ptr, id.len) ||
	    record_keep(rec, &rec->domain, domain.ptr, domain.len) ||
	    record_keep(rec, &rec->path, path.ptr, path.len) ||
	    record_keep(rec, &rec->archive, blob.ptr, blob.len))
		return -ENOMEM;
	rc = mbfile_decode(rec, view_of(rec->archive.ptr, rec->archive.len));
	if (rc == -ENOMEM)
		return rc;
	if (record.len < row->len)
		rec->damage =
			"file record is cut off: an overflow page is lost";
	else if (rc < 0)
		rec->damage = "file record cannot be read";
	else if (rec->size < 0)
		rec->damage = "recorded size is negative";
	rec->type = db_row_type(row, record);
	if (!rec->type)
		rec->type = mode_type(rec->mode);
	if (!rec->type) {
		rec->type = MB_FILE;
		if (!rec->damage)
			rec->damage = "neither flags nor mode tell a type";
	}
	if (id.len == 2 * SHA1_LEN)
		memcpy(rec->file_id, id.ptr, id.len);
	return 0;
}

static int carved_get(struct manifest *base, int64_t handle,
		      struct mb_record *rec, struct mb_err *err)
{
	struct manifest_carved *m = (struct manifest_carved *)base;
	mb_auto(db_window_release) struct db_window w = { 0 };
	mb_auto(buf_release) struct buf record = { 0 };
	struct db_row row;
	int rc;

	rc = read_record(m, &w, handle, true, &row, &record, NULL);
	if (rc == 0)
		rc = fill_record(rec, &row, view_of(record.ptr, record.len));
	return rc < 0 ? mb_err_set(err, rc, "Manifest.db: record at %lld: %s",
				   (long long)handle, strerror(-rc)) :
			0;
}

static int carved_each_domain(struct manifest *base, manifest_each_domain *each,
			      void *arg, struct mb_err *err)
{
	struct manifest_carved *m = (struct manifest_carved *)base;

	(void)err;
	return domain_index_each(&m->index, each, arg);
}

static int scan_one(const struct db_row *row, struct view record, bool sizes,
		    struct mb_record *rec, struct manifest_entry *entry)
{
	struct mb_slice blob = db_row_slice(row, record, DB_FILE);

	entry->path = db_row_slice(row, record, DB_PATH);
	entry->type = db_row_type(row, record);
	if (!sizes)
		return 0;
	if (record_reset(rec, MBFILE_ROOM(blob.len)) < 0 ||
	    mbfile_decode(rec, view_of(blob.ptr, blob.len)) == -ENOMEM)
		return -ENOMEM;
	entry->size = rec->size;
	if (!entry->type)
		entry->type = mode_type(rec->mode);
	return 0;
}

static int carved_scan(struct manifest *base, struct mb_slice domain,
		       bool sizes, manifest_each_entry *each, void *arg,
		       struct mb_err *err)
{
	struct manifest_carved *m = (struct manifest_carved *)base;
	mb_auto(db_window_release) struct db_window w = { .want = READ_WINDOW };
	mb_auto(buf_release) struct buf record = { 0 };
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	int64_t budget = overflow_budget(&m->image);
	size_t first, count;
	int rc = 0;

	domain_index_range(&m->index, domain, &first, &count);
	for (size_t i = first; i < first + count && !rc; i++) {
		struct manifest_entry entry = {
			.handle = m->index.entries[i].handle
		};
		struct db_row row;

		rc = read_record(m, &w, entry.handle, sizes, &row, &record,
				 &budget);
		if (rc == 0)
			rc = scan_one(&row, view_of(record.ptr, record.len),
				      sizes, &rec, &entry);
		if (rc < 0)
			return mb_err_set(
				err, rc, "Manifest.db: record at %lld: %s",
				(long long)entry.handle, strerror(-rc));
		rc = each(arg, &entry);
	}
	return rc;
}

/* In the order in which they are stored, so that each page is read once. */
static int carved_each_id(struct manifest *base, manifest_each_id *each,
			  void *arg, struct mb_err *err)
{
	struct manifest_carved *m = (struct manifest_carved *)base;
	mb_auto(db_window_release) struct db_window w = { .want = SCAN_WINDOW };
	mb_auto(buf_release) struct buf record = { 0 };
	mb_auto(free) int64_t *handles = domain_index_handles(&m->index);
	int64_t budget = overflow_budget(&m->image);
	int rc = 0;

	if (!handles)
		return mb_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < m->index.count && !rc; i++) {
		struct view v;
		struct db_row row;

		rc = read_record(m, &w, handles[i], false, &row, &record,
				 &budget);
		if (rc < 0)
			return mb_err_set(err, rc, "Manifest.db: %s",
					  strerror(-rc));
		v = view_of(record.ptr, record.len);
		rc = each(arg, db_row_slice(&row, v, DB_FILE_ID),
			  db_row_type(&row, v));
	}
	return rc;
}

static void carved_free(struct manifest *base)
{
	struct manifest_carved *m = (struct manifest_carved *)base;

	domain_index_release(&m->index);
	db_image_release(&m->image);
	payload_free(m->payload);
	free(m);
}

static const struct manifest_ops carved_ops = {
	.free = carved_free,
	.each_domain = carved_each_domain,
	.scan = carved_scan,
	.each_id = carved_each_id,
	.get = carved_get,
};

int manifest_open_carved(struct manifest **out, struct payload *p,
			 const struct payload_places *places,
			 struct carved *carved, struct mb_err *err)
{
	struct manifest_carved *m = calloc(1, sizeof(*m));
	int rc;

	*carved = (struct carved){ 0 };
	if (!m) {
		payload_free(p);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	m->base.ops = &carved_ops;
	m->payload = p;
	rc = carve(m, places, carved);
	if (rc < 0) {
		carved_free(&m->base);
		return mb_err_set(err, rc, "Manifest.db: %s", strerror(-rc));
	}
	*out = &m->base;
	return 0;
}
