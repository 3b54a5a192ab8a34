/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content_type.h"
#include "db_image.h"
#include "fixture.h"
#include "lost_found.h"
#include "manifest_carved.h"
#include "record.h"
#include "tap.h"

#define ROWS 60
#define PAGE 4096

/* ---- databases that SQLite has made ---- */

static struct entry entries[ROWS];
static char paths[ROWS][700];

/* Two domains, a folder, a link, and paths from short to long. */
static struct bytes sound_db(const char *pragma)
{
	char schema[1000];

	for (int i = 0; i < ROWS; i++) {
		memset(paths[i], 'p', sizeof(paths[i]));
		snprintf(paths[i], sizeof(paths[i]), "f%02d", i);
		if (i % 7 ==
		    3) { /* needs overflow pages where pages are small */
			memset(paths[i] + 3, 'x', 600);
			paths[i][603] = '\0';
		}
		entries[i] = (struct entry){
			.domain = i % 2 ? "HomeDomain" : "MediaDomain",
			.path = i == 1 ? "" : paths[i],
			.mode = i == 1 ? 040755 : 0100640,
			.size = i,
			.mtime = 1000 + i,
		};
	}
	snprintf(schema, sizeof(schema), "%s;%s", pragma, schema_old);
	return manifest_db(schema, entries, ROWS);
}

struct opened {
	struct manifest *m;
	struct carved carved;
	struct mb_err err;
	const char *dir;
	int dir_fd;
};

/* An empty folder holds the payloads. */
static int open_carved(struct opened *o, const struct bytes *b,
		       const uint8_t *key)
{
	struct payload_places places = { .count = 1 };
	struct payload *p = NULL;

	*o = (struct opened){ .dir = temp_dir() };
	put_file(o->dir, "manifest", b->ptr, b->len);
	o->dir_fd = open_dir(o->dir);
	places.dir_fds[0] = o->dir_fd;
	if (payload_open(&p, o->dir_fd, "manifest", key) < 0)
		abort();
	return manifest_open_carved(&o->m, p, &places, &o->carved, &o->err);
}

static void close_it(struct opened *o)
{
	manifest_free(o->m);
	close(o->dir_fd);
}

static int check_entry(void *arg, const struct manifest_entry *e)
{
	bool *seen = arg;
	char text[800];

	snprintf(text, sizeof(text), "%.*s", (int)e->path.len, e->path.ptr);
	for (int i = 0; i < ROWS; i++) {
		if (strcmp(text, entries[i].path))
			continue;
		CHECK(!seen[i]);
		seen[i] = true;
		CHECK_INT(e->type, i == 1 ? MB_DIR : MB_FILE);
		CHECK_INT(e->size, i);
		return 0;
	}
	CHECK_AT(false, "%s", text);
	return 0;
}

static int check_record(void *arg, const struct manifest_entry *e)
{
	struct manifest *m = arg;
	struct mb_record rec = { 0 };
	char id[41];

	CHECK_INT(manifest_get(m, e->handle, &rec, NULL), 0);
	CHECK(!rec.damage);
	CHECK(mb_slice_equal(rec.path, e->path));
	CHECK_INT(record_file_id(id, rec.domain, rec.path), 0);
	CHECK_TEXT(rec.file_id, id);
	CHECK_INT(rec.mtime.tv_sec, 1000 + rec.size);
	mb_record_release(&rec);
	return 0;
}

static int count_id(void *arg, struct mb_slice id, enum mb_type type)
{
	(void)type;
	CHECK_INT(id.len, 40);
	++*(int *)arg;
	return 0;
}

/* Everything that is there is right; returns how many there are. */
static int check_rows(struct opened *o)
{
	static const char *const domains[] = { "HomeDomain", "MediaDomain" };
	bool seen[ROWS] = { false };
	int count = 0, ids = 0;

	for (size_t i = 0; i < COUNT(domains); i++) {
		struct mb_slice domain = mb_slice_of(domains[i]);

		CHECK_INT(manifest_scan(o->m, domain, true, check_entry, seen,
					NULL),
			  0);
		CHECK_INT(manifest_scan(o->m, domain, false, check_record, o->m,
					NULL),
			  0);
	}
	for (int i = 0; i < ROWS; i++)
		count += seen[i];
	CHECK_INT(manifest_each_id_do(o->m, count_id, &ids, NULL), 0);
	CHECK_INT(ids, count);
	CHECK_INT(o->carved.rows, count);
	return count;
}

static int rows_of(const struct bytes *b)
{
	struct opened o;
	int count;

	if (!CHECK_INT(open_carved(&o, b, NULL), 0))
		return -1;
	count = check_rows(&o);
	close_it(&o);
	return count;
}

CASE(a_sound_database_is_recovered_whole)
{
	static const char *const pragmas[] = { "", "PRAGMA page_size=512",
					       "PRAGMA page_size=65536",
					       "PRAGMA auto_vacuum=2",
					       "PRAGMA page_size=1024" };

	for (size_t i = 0; i < COUNT(pragmas); i++) {
		struct bytes b = sound_db(pragmas[i]);

		CHECK_AT(rows_of(&b) == ROWS, "%s", pragmas[i]);
		drop(&b);
	}
}

CASE(the_length_of_pages_is_found_without_a_header)
{
	static const int lens[] = { 512, 1024, 2048, 4096, 8192 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		char pragma[50];
		struct bytes b;

		snprintf(pragma, sizeof(pragma), "PRAGMA page_size=%d",
			 lens[i]);
		b = sound_db(pragma);
		memset(b.ptr, 0, 100);
		CHECK_AT(rows_of(&b) == ROWS, "%s", pragma);
		drop(&b);
	}
}

/* The first page of a kind that has some cells; 0 if there is none. */
static uint32_t page_of(const struct bytes *b, size_t page_len, uint8_t kind)
{
	for (size_t at = page_len; at < b->len; at += page_len)
		if (b->ptr[at] == kind &&
		    (b->ptr[at + 3] << 8 | b->ptr[at + 4]) >=
			    (kind == 5 ? 1 : 3))
			return (uint32_t)(at / page_len) + 1;
	return 0;
}

CASE(pages_that_lead_to_others_are_not_needed)
{
	struct bytes b = sound_db("PRAGMA page_size=512");
	uint32_t page;

	while ((page = page_of(&b, 512, 5)))
		memset(b.ptr + (page - 1) * 512, 0, 512);
	CHECK_INT(rows_of(&b), ROWS);
	drop(&b);
}

CASE(a_leaf_of_zeros_costs_its_own_rows)
{
	struct bytes b = sound_db("PRAGMA page_size=4096");
	uint32_t page = page_of(&b, PAGE, 13);
	size_t rows = (size_t)b.ptr[(page - 1) * PAGE + 3] << 8 |
		      b.ptr[(page - 1) * PAGE + 4];
	struct opened o;

	memset(b.ptr + (page - 1) * PAGE, 0, PAGE);
	CHECK_INT(open_carved(&o, &b, NULL), 0);
	CHECK_INT(check_rows(&o), ROWS - (int)rows);
	CHECK_INT(o.carved.damaged_pages, 1);
	close_it(&o);
	drop(&b);
}

CASE(rows_are_found_where_the_head_of_a_page_is_damaged)
{
	struct bytes b = sound_db("PRAGMA page_size=4096");
	uint32_t page;

	/* kind, cell count and the first pointers, as a cipher block garbles */
	while ((page = page_of(&b, PAGE, 13)))
		memset(b.ptr + (page - 1) * PAGE, 0xa5, 16);
	CHECK_INT(rows_of(&b), ROWS);
	drop(&b);
}

CASE(an_encrypted_one_is_read_through_its_key)
{
	static const uint8_t key[32] = { 1, 2, 3 };
	struct bytes b = sound_db("");
	struct bytes c = aes_cbc(true, key, b.ptr, b.len, true);
	struct opened o;

	memset(c.ptr, 0xff, 128); /* the header */
	CHECK_INT(open_carved(&o, &c, key), 0);
	CHECK_INT(check_rows(&o), ROWS);
	close_it(&o);
	CHECK_INT(open_carved(&o, &c, NULL), 0); /* noise */
	CHECK_INT(o.carved.rows, 0);
	close_it(&o);
	drop(&b);
	drop(&c);
}

struct damage {
	struct manifest *m;
	int damaged, sound;
};

static int count_damage(void *arg, const struct manifest_entry *e)
{
	struct damage *d = arg;
	struct mb_record rec = { 0 };

	CHECK_INT(manifest_get(d->m, e->handle, &rec, NULL), 0);
	CHECK(mb_slice_equal(rec.path, e->path));
	CHECK_INT(strlen(rec.file_id), 40);
	if (rec.damage)
		CHECK(strstr(rec.damage, "an overflow page is lost"));
	else
		CHECK_INT(rec.mtime.tv_sec, 1000 + rec.size);
	d->damaged += rec.damage != NULL;
	d->sound += !rec.damage;
	mb_record_release(&rec);
	return 0;
}

CASE(a_broken_chain_of_overflow_pages_costs_its_record)
{
	struct bytes b = sound_db("PRAGMA page_size=512");
	struct damage d = { 0 };
	struct opened o;

	/* each chain ends where its last page but one leads on to the last */
	for (size_t at = 512; at < b.len; at += 512)
		if (!b.ptr[at] && !b.ptr[at + 1] &&
		    (b.ptr[at + 2] || b.ptr[at + 3])) {
			size_t next =
				(size_t)(b.ptr[at + 2] << 8 | b.ptr[at + 3]) -
				1;

			if (next * 512 < b.len && !b.ptr[next * 512 + 2] &&
			    !b.ptr[next * 512 + 3])
				memset(b.ptr + at, 0, 4);
		}
	CHECK_INT(open_carved(&o, &b, NULL), 0);
	d.m = o.m;
	CHECK_INT(manifest_scan(o.m, mb_slice_of("HomeDomain"), true,
				count_damage, &d, NULL),
		  0);
	CHECK_INT(manifest_scan(o.m, mb_slice_of("MediaDomain"), false,
				count_damage, &d, NULL),
		  0);
	CHECK_INT(d.damaged + d.sound, ROWS);
	CHECK(d.damaged > 5);
	close_it(&o);
	drop(&b);
}

/* ---- rows that had been deleted ---- */

/* Deletes what is in MediaDomain, which leaves whole pages free. */
static struct bytes db_with_free_pages(void)
{
	static const char more[] =
		"DROP INDEX FilesDomainIdx; DROP INDEX FilesRelativePathIdx;"
		"DROP INDEX FilesFlagsIdx; VACUUM; PRAGMA secure_delete=OFF;"
		"DELETE FROM Files WHERE rowid <= 40;";
	struct bytes b = sound_db(""), out;
	const char *dir = temp_dir();
	sqlite3 *db;

	put_file(dir, "db", b.ptr, b.len);
	if (sqlite3_open(in(dir, "db"), &db) != SQLITE_OK)
		abort();
	sql(db, more);
	sqlite3_close(db);
	out = read_file(in(dir, "db"));
	drop(&b);
	return out;
}

CASE(a_deleted_row_counts_if_its_payload_is_there)
{
	struct bytes b = db_with_free_pages();
	struct payload_places places = { .count = 1 };
	struct payload *p = NULL;
	struct opened o;
	char id[41], name[70];

	CHECK_INT(open_carved(&o, &b, NULL), 0);
	CHECK_INT(check_rows(&o), ROWS - 40);
	manifest_free(o.m);
	for (int i = 0; i < 40; i++) {
		file_id(id, entries[i].domain, entries[i].path);
		snprintf(name, sizeof(name), "%.2s/%s", id, id);
		put_text(o.dir, name, "");
	}
	places.dir_fds[0] = o.dir_fd;
	if (payload_open(&p, o.dir_fd, "manifest", NULL) < 0)
		abort();
	CHECK_INT(manifest_open_carved(&o.m, p, &places, &o.carved, &o.err), 0);
	/* a page that was used again has none of its old rows */
	CHECK(check_rows(&o) > ROWS - 40);
	CHECK_INT(o.carved.free_rows, o.carved.rows - (ROWS - 40));
	close_it(&o);
	drop(&b);
}

/* ---- hostile ones ---- */

CASE(pointers_that_all_lead_to_one_cell_are_one_row)
{
	struct bytes b = sound_db("");
	uint32_t page = page_of(&b, PAGE, 13);
	uint8_t *p = b.ptr + (page - 1) * PAGE;
	int rows = p[3] << 8 | p[4];

	for (int i = 1; 8 + 2 * i + 2 <= (p[5] << 8 | p[6]); i++) {
		memcpy(p + 8 + 2 * i, p + 8, 2);
		p[3] = (uint8_t)((i + 1) >> 8);
		p[4] = (uint8_t)(i + 1);
	}
	CHECK_INT(rows_of(&b), ROWS - rows + 1);
	drop(&b);
}

CASE(a_chain_in_circles_ends)
{
	struct bytes b = sound_db("PRAGMA page_size=512");
	struct opened o;

	for (size_t at = 512; at < b.len; at += 512)
		if (b.ptr[at] == 0) { /* overflow: each leads to itself */
			b.ptr[at + 2] = (uint8_t)((at / 512 + 1) >> 8);
			b.ptr[at + 3] = (uint8_t)(at / 512 + 1);
		}
	CHECK_INT(open_carved(&o, &b, NULL), 0);
	close_it(&o);
	/* the free list too */
	memcpy(b.ptr + 32, "\0\0\0\2\0\0\0\11", 8);
	memcpy(b.ptr + 512, "\0\0\0\2\0\0\0\1\0\0\0\3", 12);
	CHECK_INT(open_carved(&o, &b, NULL), 0);
	close_it(&o);
	drop(&b);
}

CASE(nothing_is_made_of_nothing)
{
	static const size_t lens[] = { 0, 1, 99, 100, 511, 5000 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct bytes b = { 0 };
		struct opened o;

		add_noise(&b, lens[i]);
		CHECK_INT(open_carved(&o, &b, NULL), 0);
		CHECK_INT(o.carved.rows, 0);
		close_it(&o);
		drop(&b);
	}
}

/* ---- Manifest.mbdb ---- */

static int open_pieces(struct opened *o, const struct bytes *b)
{
	struct payload *p = NULL;

	*o = (struct opened){ .dir = temp_dir() };
	put_file(o->dir, "manifest", b->ptr, b->len);
	o->dir_fd = open_dir(o->dir);
	if (payload_open(&p, o->dir_fd, "manifest", NULL) < 0)
		abort();
	return manifest_open_mbdb_pieces(&o->m, p, &o->carved, &o->err);
}

CASE(records_of_mbdb_are_found_behind_damage)
{
	static const struct {
		size_t at, len; /* overwritten */
		int rows;
	} rows[] = { { 0, 6, ROWS },
		     { 100, 1, ROWS },
		     { 3000, 500, 0 },
		     { 6, 1, ROWS - 1 },
		     { 3000, 100000, 0 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bytes none = sound_db(""); /* for the entries */
		struct bytes b = mbdb(entries, ROWS);
		size_t len = rows[i].len;
		struct opened o;

		drop(&none);
		if (len > b.len - rows[i].at)
			len = b.len - rows[i].at;
		memset(b.ptr + rows[i].at, 0xee, len);
		CHECK_INT(open_pieces(&o, &b), 0);
		if (i == 0 || i == 3)
			CHECK_INT(o.carved.rows, rows[i].rows);
		else
			CHECK(o.carved.rows > 5);
		CHECK(i != 4 || o.carved.skipped >= len);
		close_it(&o);
		drop(&b);
	}
}

/* ---- what no record names ---- */

static int keep_path(void *arg, const struct manifest_entry *e)
{
	add(arg, e->path.ptr, e->path.len);
	add_text(arg, "|");
	return 0;
}

#define ID(c) c "000000000000000000000000000000000000000"

CASE(payloads_without_a_record_are_named_by_what_they_hold)
{
	static const uint8_t known[] = { 0x30, [19] = 0 };
	const char *dir = temp_dir();
	struct payload_places places = { .count = 1 };
	struct mb_record rec = { 0 };
	struct lost_found *lf = NULL;
	struct bytes b = { 0 };

	put_text(dir, "10/" ID("1"), "bplist00 and so on");
	put_file(dir, "20/" ID("2"), "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
	put_text(dir, "30/" ID("3"), "has a record");
	put_text(dir, ID("4"), "lies flat");
	put_text(dir, "10/" ID("5"), "in a folder of others");
	put_text(dir, "10/10", "no file ID");
	mkdir(in(dir, "60"), 0700);
	mkdir(in(dir, "60/" ID("6")), 0700);
	mkdir(in(dir, "70"), 0700);
	if (symlink("/etc/passwd", in(dir, "70/" ID("7"))) < 0)
		abort();
	places.dir_fds[0] = open_dir(dir);
	CHECK_INT(lost_found_open(&lf, &places, known, 1, false), 0);
	CHECK_INT(lost_found_count(lf), 3);
	CHECK_INT(lost_found_scan(lf, true, keep_path, &b, NULL), 0);
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr,
		   "application-x-bplist/" ID(
			   "1") ".plist|"
				"image-png/" ID("2") ".png|"
						     "text-plain/" ID(
							     "4") ".txt|");
	CHECK_INT(lost_found_get(lf, 2, &rec, NULL), 0);
	CHECK_TEXT(rec.file_id, ID("4"));
	CHECK_INT(rec.size, 9);
	CHECK(rec.as_stored && rec.mtime.tv_sec);
	CHECK_INT(lost_found_get(lf, 3, &rec, NULL), -ENOENT);
	CHECK_INT(lost_found_get(lf, -1, &rec, NULL), -ENOENT);
	lost_found_free(lf);
	CHECK_INT(lost_found_open(&lf, &places, NULL, 0, true), 0);
	CHECK_INT(lost_found_get(lf, 0, &rec, NULL), 0);
	CHECK_BYTES(rec.path.ptr, rec.path.len, "encrypted/" ID("1"), 50);
	lost_found_free(lf);
	mb_record_release(&rec);
	close(places.dir_fds[0]);
	drop(&b);
}

CASE(ciphertext_is_told_from_files)
{
	for (int plain = 0; plain < 2; plain++) {
		const char *dir = temp_dir();
		struct payload_places places = { .count = 1 };
		struct lost_found *lf = NULL;

		for (int i = 0; i < 20; i++) {
			struct bytes b = { 0 };
			char name[70];

			snprintf(name, sizeof(name), "a0/a0%02d%036d", i, 0);
			add_noise(&b, 16 * (size_t)(i + 1) +
					      (size_t)(plain ? i % 3 : 0));
			put_file(dir, name, b.ptr, b.len);
			drop(&b);
		}
		places.dir_fds[0] = open_dir(dir);
		CHECK_INT(lost_found_open(&lf, &places, NULL, 0, false), 0);
		CHECK_INT(lost_found_seems_encrypted(lf), !plain);
		lost_found_free(lf);
		close(places.dir_fds[0]);
	}
}

CASE(types_are_names_of_files)
{
	static const struct {
		const char *front;
		size_t len;
		const char *type, *ext;
	} rows[] = {
		{ "", 0, "inode-x-empty", "" },
		{ "bplist00", 8, "application-x-bplist", "plist" },
		{ "\0\0\0\x24"
		  "ftypheic\0\0\0\0mif1heic",
		  24, "image-heic", "heic" },
		{ "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1", 13, "image-jpeg", "jpg" },
		{ "Dear Anna,\n", 11, "text-plain", "txt" },
		{ "{\"a\": [1, 2]}", 13, "application-json", "json" },
		{ "\1\2\3\4", 4, "application-octet-stream", "bin" },
	};
	struct content_type *ct = NULL;

	CHECK_INT(content_type_open(&ct), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct content_kind kind;

		content_type_get(ct, view_of(rows[i].front, rows[i].len),
				 &kind);
		CHECK_TEXT(kind.type, rows[i].type);
		CHECK_TEXT(kind.ext, rows[i].ext);
	}
	content_type_free(ct);
}

int main(void)
{
	RUN(a_sound_database_is_recovered_whole);
	RUN(the_length_of_pages_is_found_without_a_header);
	RUN(pages_that_lead_to_others_are_not_needed);
	RUN(a_leaf_of_zeros_costs_its_own_rows);
	RUN(rows_are_found_where_the_head_of_a_page_is_damaged);
	RUN(an_encrypted_one_is_read_through_its_key);
	RUN(a_broken_chain_of_overflow_pages_costs_its_record);
	RUN(a_deleted_row_counts_if_its_payload_is_there);
	RUN(pointers_that_all_lead_to_one_cell_are_one_row);
	RUN(a_chain_in_circles_ends);
	RUN(nothing_is_made_of_nothing);
	RUN(records_of_mbdb_are_found_behind_damage);
	RUN(payloads_without_a_record_are_named_by_what_they_hold);
	RUN(ciphertext_is_told_from_files);
	RUN(types_are_names_of_files);
	return tap_end();
}
