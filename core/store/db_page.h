/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DB_PAGE_H
#define DB_PAGE_H

#include "bytes.h"
#include "mb/record.h"

/*
 * A page of an SQLite database without SQLite, which refuses all of a database
 * once a part is damaged. The format is that of sqlite.org/fileformat2.html;
 * what it says of a page counts only as far as the page itself bears it out.
 */

#define DB_HEADER_LEN 100 /* of the database, in front of page 1 */
#define DB_PAGE_LEN_MIN 512
#define DB_PAGE_LEN_MAX 65536

enum db_page_kind {
	DB_PAGE_OTHER, /* overflow, pointer map, free, damaged */
	DB_PAGE_EMPTY, /* nothing but zeros */
	DB_PAGE_LEAF,  /* rows of a table */
	DB_PAGE_INNER, /* of a table: leads to its leaves */
	DB_PAGE_INDEX,
};

/* Where a page has its cells. */
struct db_page {
	struct view bytes; /* the usable ones */
	enum db_page_kind kind;
	size_t cells;	  /* of the pointer array */
	size_t count;	  /* of pointers */
	uint32_t last;	  /* child behind all cells, of DB_PAGE_INNER */
	bool to_the_brim; /* a cell of DB_PAGE_LEAF ends with the page */
};

/*
 * db_page_look - what a page is
 * @bytes: of the page, without what is reserved at its end
 * @first: page 1, which has the database's header in front
 */
void db_page_look(struct db_page *page, struct view bytes, bool first);

/* The child of a cell of DB_PAGE_INNER; @i = count: the last one. */
uint32_t db_page_child(const struct db_page *page, size_t i);

enum {
	DB_FILE_ID,
	DB_DOMAIN,
	DB_PATH,
	DB_FLAGS,
	DB_FILE,
	DB_COLUMNS,
};

/*
 * A row of the table Files, as its record header describes it. The record may
 * go on in overflow pages.
 */
struct db_row {
	size_t at;	   /* of the record in its page */
	size_t local;	   /* bytes of it in the page */
	uint64_t len;	   /* of the whole record */
	uint32_t overflow; /* page that it goes on in; 0: none */
	int64_t rowid;	   /* 0 where unknown */
	uint64_t type[DB_COLUMNS];
	uint64_t column[DB_COLUMNS]; /* offset in the record */
	uint64_t column_len[DB_COLUMNS];
};

/* What is taken for a record's longest; SQLite itself is told the same. */
#define DB_ROW_MAX (16u << 20)
/* A row has at least a header, a file ID and the front of an archive. */
#define DB_ROW_MIN 54

/*
 * db_row_at - the record at an offset of a page, if it may be one of Files
 *
 * By its header alone: five columns of the right types, the first as long as a
 * file ID is.
 */
bool db_row_at(struct db_row *row, struct view page, size_t at);

/* db_row_cell - the same by the @i-th cell of a leaf, which has to agree */
bool db_row_cell(struct db_row *row, const struct db_page *page, size_t i);

/*
 * db_row_find - the next record from @at on that looks like one of Files, where
 * no cell leads; false if there is none
 */
bool db_row_find(struct db_row *row, struct view page, size_t at);

/* Bytes of the record up to the archive and its magic. */
#define DB_ROW_FRONT(row) ((row)->column[DB_FILE] + 8)

/*
 * db_row_is_sound - do the bytes look like a row of Files?
 * @front: of the record, DB_ROW_FRONT bytes or more
 */
bool db_row_is_sound(const struct db_row *row, struct view front);

/* A column of text or bytes, as far as @record goes. */
struct mb_slice db_row_slice(const struct db_row *row, struct view record,
			     unsigned column);
/* The type that the flags tell; 0 if none. */
enum mb_type db_row_type(const struct db_row *row, struct view record);

#endif
