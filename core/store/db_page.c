/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "db_page.h"

/* Types of pages: fileformat2, 1.6. B-tree Pages */
enum {
	INDEX_INNER = 2,
	TABLE_INNER = 5,
	INDEX_LEAF = 10,
	TABLE_LEAF = 13,
};

#define LEAF_HEADER_LEN 8
#define INNER_HEADER_LEN 12
#define ID_LEN 40
#define ID_TYPE (13 + 2 * ID_LEN) /* text of 40 bytes: 0x5d */

static size_t be16_at(const uint8_t *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* One to nine bytes, seven bits each, eight of the ninth. */
static bool take_varint(struct cursor *c, uint64_t *out)
{
	const uint8_t *start = c->ptr;
	uint64_t n = 0;
	uint8_t byte;

	for (int i = 0; i < 9; i++) {
		if (!cursor_u8(c, &byte)) {
			c->ptr = start;
			return false;
		}
		if (i == 8) {
			n = n << 8 | byte;
			break;
		}
		n = n << 7 | (byte & 0x7f);
		if (!(byte & 0x80))
			break;
	}
	*out = n;
	return true;
}

static struct cursor cursor_from(struct view page, size_t at)
{
	return cursor_over(view_of(page.ptr + at, page.len - at));
}

static bool all_zero(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i])
			return false;
	return true;
}

static size_t pointer_at(const struct db_page *p, size_t i)
{
	return be16_at(p->bytes.ptr + p->cells + 2 * i);
}

/*
 * Of a record of @len bytes so many are in the cell, the others in overflow
 * pages: fileformat2, 1.6, "U, P, X, M, K".
 */
static size_t local_len(uint64_t len, size_t usable)
{
	size_t most = usable - 35;
	size_t least = (usable - 12) * 32 / 255 - 23;
	uint64_t fair;

	if (len <= most)
		return (size_t)len;
	fair = least + (len - least) % (usable - 4);
	return fair <= most ? (size_t)fair : least;
}

/* Where a leaf's cell ends, 0 if it cannot be one. */
static size_t cell_end(struct view page, size_t at, uint64_t *len,
		       int64_t *rowid, size_t *record)
{
	struct cursor c = cursor_from(page, at);
	size_t local, begin;
	uint64_t row;

	if (!take_varint(&c, len) || !take_varint(&c, &row) || *len > INT32_MAX)
		return 0;
	begin = page.len - cursor_left(&c);
	local = local_len(*len, page.len);
	if (local > page.len - begin)
		return 0;
	*rowid = (int64_t)row;
	*record = begin;
	if (local == *len)
		return begin + local;
	return page.len - begin - local < 4 ? 0 : begin + local + 4;
}

/* Do all pointers of a leaf lead to cells? */
static bool check_leaf(struct db_page *p, size_t cells_begin)
{
	for (size_t i = 0; i < p->count; i++) {
		size_t at = pointer_at(p, i), record, end;
		int64_t rowid;
		uint64_t len;

		if (at < cells_begin || at >= p->bytes.len)
			return false;
		end = cell_end(p->bytes, at, &len, &rowid, &record);
		if (!end)
			return false;
		p->to_the_brim |= end == p->bytes.len;
	}
	return true;
}

static bool check_inner(struct db_page *p, size_t cells_begin)
{
	for (size_t i = 0; i < p->count; i++) {
		size_t at = pointer_at(p, i);

		if (at < cells_begin || at + 5 > p->bytes.len ||
		    !be32_at(p->bytes.ptr + at))
			return false;
	}
	return p->last != 0;
}

void db_page_look(struct db_page *p, struct view bytes, bool first)
{
	size_t header = first ? DB_HEADER_LEN : 0, content, header_len;
	const uint8_t *h = bytes.ptr + header;
	bool inner;

	*p = (struct db_page){ .bytes = bytes, .kind = DB_PAGE_OTHER };
	if (bytes.len < DB_PAGE_LEN_MIN - 32)
		return;
	if (h[0] != INDEX_INNER && h[0] != TABLE_INNER && h[0] != INDEX_LEAF &&
	    h[0] != TABLE_LEAF) {
		if (all_zero(bytes))
			p->kind = DB_PAGE_EMPTY;
		return;
	}
	inner = h[0] == INDEX_INNER || h[0] == TABLE_INNER;
	header_len = inner ? INNER_HEADER_LEN : LEAF_HEADER_LEN;
	p->count = be16_at(h + 3);
	content = be16_at(h + 5);
	p->cells = header + header_len;
	if (!content)
		content = DB_PAGE_LEN_MAX;
	/* the fragmented bytes of a page are at most 60 */
	if (p->cells + 2 * p->count > bytes.len ||
	    content < p->cells + 2 * p->count || content > bytes.len ||
	    be16_at(h + 1) >= bytes.len || h[7] > 60)
		return;
	if (inner)
		p->last = be32_at(h + 8);
	if (h[0] == TABLE_LEAF && check_leaf(p, content))
		p->kind = DB_PAGE_LEAF;
	else if (h[0] == TABLE_INNER && check_inner(p, content))
		p->kind = DB_PAGE_INNER;
	else if (h[0] == INDEX_INNER || h[0] == INDEX_LEAF)
		p->kind = DB_PAGE_INDEX;
}

uint32_t db_page_child(const struct db_page *p, size_t i)
{
	return i < p->count ? be32_at(p->bytes.ptr + pointer_at(p, i)) :
			      p->last;
}

/* Length of a column by its serial type; false for those that are reserved. */
static bool type_len(uint64_t type, uint64_t *len)
{
	static const uint8_t fixed[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0 };

	if (type >= 12)
		*len = (type - 12) / 2;
	else if (type < sizeof(fixed))
		*len = fixed[type];
	return type >= 12 || type < sizeof(fixed);
}

static bool is_text(uint64_t type)
{
	return type >= 13 && type % 2;
}

/* The types that the columns of a record have, and have to have. */
static bool check_types(const struct db_row *row)
{
	return row->type[DB_FILE_ID] == ID_TYPE &&
	       is_text(row->type[DB_DOMAIN]) && is_text(row->type[DB_PATH]) &&
	       (row->type[DB_FLAGS] <= 6 || row->type[DB_FLAGS] == 8 ||
		row->type[DB_FLAGS] == 9) &&
	       row->type[DB_FILE] >= 12 && row->type[DB_FILE] % 2 == 0 &&
	       row->column_len[DB_FILE] >= 8;
}

bool db_row_at(struct db_row *row, struct view page, size_t at)
{
	uint64_t header_len;
	struct cursor c;

	*row = (struct db_row){ .at = at };
	if (at >= page.len)
		return false;
	c = cursor_from(page, at);
	if (!take_varint(&c, &header_len))
		return false;
	row->len = header_len;
	for (int i = 0; i < DB_COLUMNS; i++) {
		if (!take_varint(&c, &row->type[i]) ||
		    !type_len(row->type[i], &row->column_len[i]))
			return false;
		row->column[i] = row->len;
		row->len += row->column_len[i];
		if (row->len > DB_ROW_MAX)
			return false;
	}
	if (header_len != page.len - at - cursor_left(&c) || !check_types(row))
		return false;
	row->local = local_len(row->len, page.len);
	if (row->local > page.len - at)
		return false;
	if (row->local == row->len)
		return true;
	if (page.len - at - row->local < 4)
		return false;
	row->overflow = be32_at(page.ptr + at + row->local);
	return true;
}

bool db_row_cell(struct db_row *row, const struct db_page *p, size_t i)
{
	size_t at = pointer_at(p, i), record;
	int64_t rowid;
	uint64_t len;

	if (at >= p->bytes.len ||
	    !cell_end(p->bytes, at, &len, &rowid, &record) ||
	    !db_row_at(row, p->bytes, record) || row->len != len)
		return false;
	row->rowid = rowid;
	return true;
}

/*
 * The first column's type is one byte that is rare, and in front of it is the
 * length of the header: six bytes, or some more for long texts.
 */
bool db_row_find(struct db_row *row, struct view page, size_t at)
{
	const uint8_t *p = page.ptr;

	for (; at + DB_ROW_MIN <= page.len; at++) {
		const uint8_t *found =
			memchr(p + at + 1, ID_TYPE, page.len - at - 1);

		if (!found)
			return false;
		at = (size_t)(found - p) - 1;
		if (p[at] >= 6 && p[at] <= 16 && db_row_at(row, page, at))
			return true;
	}
	return false;
}

static bool is_id(const uint8_t *p)
{
	for (int i = 0; i < ID_LEN; i++)
		if (!((p[i] >= '0' && p[i] <= '9') ||
		      (p[i] >= 'a' && p[i] <= 'f') ||
		      (p[i] >= 'A' && p[i] <= 'F')))
			return false;
	return true;
}

bool db_row_is_sound(const struct db_row *row, struct view front)
{
	return front.len >= DB_ROW_FRONT(row) &&
	       is_id(front.ptr + row->column[DB_FILE_ID]) &&
	       !memcmp(front.ptr + row->column[DB_FILE], "bplist00", 8);
}

struct mb_slice db_row_slice(const struct db_row *row, struct view record,
			     unsigned column)
{
	uint64_t at = row->column[column], len = row->column_len[column];

	if (at >= record.len)
		return (struct mb_slice){ "", 0 };
	if (len > record.len - at)
		len = record.len - at;
	return (struct mb_slice){ (const char *)record.ptr + at, (size_t)len };
}

enum mb_type db_row_type(const struct db_row *row, struct view record)
{
	struct mb_slice s = db_row_slice(row, record, DB_FLAGS);
	unsigned flags = 0;

	/* the low bits are those of the last byte; two types have none */
	if (row->type[DB_FLAGS] == 9)
		flags = 1;
	else if (s.len)
		flags = (unsigned char)s.ptr[s.len - 1] & 7;
	return flags == MB_FILE || flags == MB_DIR || flags == MB_LINK ?
		       (enum mb_type)flags :
		       0;
}
