/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "glances.h"
#include "record.h"
#include "tap.h"
#include "vectors.h"

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

/* ---- opening ---- */

static struct bytes notes; /* lines, "|" behind each */

static void on_note(void *arg, const char *line)
{
	(void)arg;
	add_text(&notes, line);
	add_text(&notes, "|");
}

static struct payload *payload_of(struct bytes b, const uint8_t *key)
{
	const char *dir = temp_dir();
	int fd = open_dir(dir);
	struct payload *p = NULL;

	put_file(dir, "manifest", b.ptr, b.len);
	if (payload_open(&p, fd, "manifest", key) < 0)
		abort();
	close(fd);
	return p;
}

static int open_db(struct manifest **m, struct bytes b, struct mb_err *err)
{
	int rc = manifest_open_db(m, payload_of(b, NULL), err);

	drop(&notes);
	if (rc == 0)
		manifest_on_note(*m, on_note, NULL);
	return rc;
}

/* what a database built by SQL alone does when it is opened */
static int open_sql(const char *text, struct mb_err *err)
{
	struct bytes b = manifest_db(text, NULL, 0);
	struct manifest *m = NULL;
	int rc = open_db(&m, b, err);

	if (rc == 0)
		manifest_free(m);
	drop(&b);
	return rc;
}

/* ---- listings, as text to compare ---- */

static int list_domain(void *arg, struct mb_slice domain, int64_t root)
{
	add(arg, domain.ptr, domain.len);
	add_text(arg, root == MANIFEST_NO_RECORD ? "|" : "/|");
	return 0;
}

static void check_domains(struct manifest *m, const char *want)
{
	struct bytes b = { 0 };

	CHECK_INT(manifest_each_domain_do(m, list_domain, &b, NULL), 0);
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct listing {
	char *lines[1000];
	size_t count;
	bool sizes;
};

static int list_entry(void *arg, const struct manifest_entry *e)
{
	struct listing *l = arg;
	char line[200];

	snprintf(line, sizeof(line), "%.*s:%d:%lld", (int)e->path.len,
		 e->path.ptr, (int)e->type, l->sizes ? (long long)e->size : 0);
	l->lines[l->count++] = strdup(line);
	return l->count == COUNT(l->lines) ? -EOVERFLOW : 0;
}

/* "path:type:size" of each entry, sorted, "|" behind each */
static void check_scan(struct manifest *m, const char *domain, bool sizes,
		       const char *want)
{
	struct listing l = { .sizes = sizes };
	struct bytes b = { 0 };

	CHECK_INT(manifest_scan(m, slice(domain), sizes, list_entry, &l, NULL),
		  0);
	qsort(l.lines, l.count, sizeof(*l.lines), compare_lines);
	for (size_t i = 0; i < l.count; i++) {
		add_text(&b, l.lines[i]);
		add_text(&b, "|");
		free(l.lines[i]);
	}
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

struct finding {
	const char *path;
	int64_t handle;
};

static int find_entry(void *arg, const struct manifest_entry *e)
{
	struct finding *f = arg;

	if (e->path.len == strlen(f->path) &&
	    !memcmp(e->path.ptr, f->path, e->path.len))
		f->handle = e->handle;
	return 0;
}

static int64_t find(struct manifest *m, const char *domain, const char *path)
{
	struct finding f = { path, MANIFEST_NO_RECORD };

	manifest_scan(m, slice(domain), false, find_entry, &f, NULL);
	return f.handle;
}

static int get(struct manifest *m, const char *domain, const char *path,
	       struct mb_record *rec)
{
	return manifest_get(m, find(m, domain, path), rec, NULL);
}

static int glance(struct manifest *m, const char *domain, const char *path,
		  struct mb_record *rec)
{
	return manifest_glance(m, find(m, domain, path), rec, NULL);
}

static bool slice_is(struct mb_slice s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.ptr, text, s.len);
}

/* ---- a manifest of every usual kind of entry ---- */

static const struct entry sample[] = {
	{ .domain = "HomeDomain", .path = "", .mode = 040755 },
	{ .domain = "HomeDomain", .path = "Library", .mode = 040755 },
	{ .domain = "HomeDomain",
	  .path = "Library/sms.db",
	  .size = 4096,
	  .mtime = 1700000000,
	  .class = 3 },
	{ .domain = "CameraRollDomain", .path = "Media/a.jpg", .size = 77 },
	{ .domain = "AppDomain-x",
	  .path = "link",
	  .mode = 0120755,
	  .target = "Library/sms.db" },
	{ .domain = "AppDomain-x", .path = "", .mode = 040700 },
};

#define SAMPLE_DOMAINS "AppDomain-x/|CameraRollDomain|HomeDomain/|"

static void check_sample(struct manifest *m)
{
	struct mb_record rec = { 0 };
	char id[41];

	check_domains(m, SAMPLE_DOMAINS);
	check_scan(m, "HomeDomain", true,
		   ":2:0|Library/sms.db:1:4096|Library:2:0|");
	check_scan(m, "HomeDomain", false,
		   ":2:0|Library/sms.db:1:0|Library:2:0|");
	check_scan(m, "AppDomain-x", true, ":2:0|link:4:0|");
	check_scan(m, "CameraRollDomain", true, "Media/a.jpg:1:77|");
	check_scan(m, "", true, "");
	check_scan(m, "Home", true, "");
	check_scan(m, "HomeDomain2", true, "");
	check_scan(m, "homedomain", true, "");
	CHECK_INT(get(m, "HomeDomain", "Library/sms.db", &rec), 0);
	CHECK(slice_is(rec.domain, "HomeDomain"));
	CHECK(slice_is(rec.path, "Library/sms.db"));
	file_id(id, "HomeDomain", "Library/sms.db");
	CHECK_TEXT(rec.file_id, id);
	CHECK_INT(rec.type, MB_FILE);
	CHECK_INT(rec.mode, 0100644);
	CHECK_INT(rec.size, 4096);
	CHECK_INT(rec.mtime.tv_sec, 1700000000);
	CHECK_INT(rec.protection_class, 3);
	CHECK_TEXT(rec.damage, NULL);
	CHECK_INT(get(m, "AppDomain-x", "link", &rec), 0);
	CHECK_INT(rec.type, MB_LINK);
	CHECK(slice_is(rec.target, "Library/sms.db"));
	CHECK_INT(manifest_get(m, 99999999, &rec, NULL) < 0, true);
	mb_record_release(&rec);
}

CASE(every_schema_reads_the_same)
{
	static const char *const schemas[] = { schema_old, schema_new,
					       schema_bare };
	static const char *const pages[] = { "PRAGMA page_size=512;",
					     "PRAGMA page_size=4096;",
					     "PRAGMA page_size=65536;" };

	for (size_t i = 0; i < COUNT(schemas); i++)
		for (size_t j = 0; j < COUNT(pages); j++) {
			char text[2000];
			struct manifest *m;
			struct bytes b;

			snprintf(text, sizeof(text), "%s%s", pages[j],
				 schemas[i]);
			b = manifest_db(text, sample, COUNT(sample));
			if (CHECK_INT(open_db(&m, b, NULL), 0)) {
				check_sample(m);
				CHECK(!notes.ptr);
				manifest_free(m);
			}
			drop(&b);
		}
}

CASE(an_encrypted_database_with_and_without_padding)
{
	static const char *const schemas[] = { schema_old, schema_bare };
	struct bytes key = unhex(MANIFEST_KEY);

	for (size_t i = 0; i < 4; i++) {
		struct bytes b =
			manifest_db(schemas[i / 2], sample, COUNT(sample));
		struct bytes cipher =
			aes_cbc(true, key.ptr, b.ptr, b.len, i % 2);
		struct manifest *m;

		CHECK_INT(cipher.len, b.len + (i % 2 ? 16 : 0));
		if (CHECK_INT(manifest_open_db(&m, payload_of(cipher, key.ptr),
					       NULL),
			      0)) {
			check_sample(m);
			manifest_free(m);
		}
		drop(&b);
		drop(&cipher);
	}
	drop(&key);
}

CASE(the_wrong_key_is_no_database)
{
	struct bytes key = unhex(MANIFEST_KEY), b, cipher;
	struct manifest *m;
	struct mb_err err;

	b = manifest_db(schema_old, sample, COUNT(sample));
	cipher = aes_cbc(true, key.ptr, b.ptr, b.len, true);
	key.ptr[0] ^= 1;
	CHECK_INT(manifest_open_db(&m, payload_of(cipher, key.ptr), &err),
		  -EBADMSG);
	CHECK_TEXT(err.text, "Manifest.db: not an SQLite database");
	drop(&b);
	drop(&cipher);
	drop(&key);
}

CASE(databases_in_utf16)
{
	static const char *const encodings[] = {
		"PRAGMA encoding='UTF-16le';", "PRAGMA encoding='UTF-16be';"
	};
	static const char *const schemas[] = { schema_old, schema_new,
					       schema_bare };

	for (size_t i = 0; i < COUNT(encodings); i++)
		for (size_t j = 0; j < COUNT(schemas); j++) {
			char text[2000];
			struct manifest *m;
			struct bytes b;

			snprintf(text, sizeof(text), "%s%s", encodings[i],
				 schemas[j]);
			b = manifest_db(text, sample, COUNT(sample));
			if (CHECK_INT(open_db(&m, b, NULL), 0)) {
				check_sample(m);
				manifest_free(m);
			}
			drop(&b);
		}
}

CASE(names_beyond_ascii_in_every_encoding)
{
	static const struct entry odd[] = {
		{ .domain = "\xc3\x9c"
			    "Domain",
		  .path = "\xf0\x9f\x93\xb1",
		  .size = 1 },
		{ .domain = "z", .path = "x", .size = 2 },
	};
	static const char *const encodings[] = {
		"", "PRAGMA encoding='UTF-16le';", "PRAGMA encoding='UTF-16be';"
	};

	for (size_t i = 0; i < COUNT(encodings); i++) {
		char text[2000];
		struct manifest *m;
		struct bytes b;

		snprintf(text, sizeof(text), "%s%s", encodings[i], schema_old);
		b = manifest_db(text, odd, COUNT(odd));
		CHECK_INT(open_db(&m, b, NULL), 0);
		check_scan(m,
			   "\xc3\x9c"
			   "Domain",
			   true, "\xf0\x9f\x93\xb1:1:1|");
		check_scan(m, "z", true, "x:1:2|");
		manifest_free(m);
		drop(&b);
	}
}

/* as left behind by a program that looked at a decrypted copy */
CASE(a_database_left_in_wal_mode_opens)
{
	struct bytes b = manifest_db(schema_old, sample, COUNT(sample));
	struct manifest *m;

	CHECK_INT(b.ptr[18], 1);
	b.ptr[18] = b.ptr[19] = 2;
	if (CHECK_INT(open_db(&m, b, NULL), 0)) {
		check_sample(m);
		manifest_free(m);
	}
	drop(&b);
}

CASE(bytes_behind_the_last_page_do_not_matter)
{
	for (size_t extra = 1; extra < 4096; extra *= 3) {
		struct bytes b = manifest_db(schema_old, sample, COUNT(sample));
		struct manifest *m;

		add_noise(&b, extra);
		if (CHECK_INT(open_db(&m, b, NULL), 0)) {
			check_sample(m);
			manifest_free(m);
		}
		drop(&b);
	}
}

/* ---- what cannot be read ---- */

CASE(what_is_no_database_is_refused)
{
	static const char *const bad[] = {
		"",
		"x",
		"SQLite format 3",
		("SQLite format 4 but otherwise as long as a header is, "
		 "which is why this goes on and on for a hundred bytes....."),
	};
	struct manifest *m;
	struct mb_err err;

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct bytes b = { 0 };

		add_text(&b, bad[i]);
		CHECK_INT(open_db(&m, b, &err), -EBADMSG);
		CHECK(!strncmp(err.text, "Manifest.db: ", 13));
		drop(&b);
	}
}

CASE(impossible_page_sizes_are_refused)
{
	static const unsigned sizes[] = {
		0, 2, 256, 511, 513, 1000, 4097, 65535
	};
	struct bytes b = manifest_db(schema_old, sample, COUNT(sample));
	struct manifest *m;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		b.ptr[16] = (uint8_t)(sizes[i] >> 8);
		b.ptr[17] = (uint8_t)sizes[i];
		CHECK_AT(open_db(&m, b, NULL) == -EBADMSG, "%u", sizes[i]);
	}
	drop(&b);
}

CASE(a_database_cut_off_anywhere_is_survived)
{
	struct bytes b = manifest_db(schema_old, sample, COUNT(sample));

	for (size_t len = 0; len < b.len; len += 97) {
		struct bytes cut = { .ptr = b.ptr, .len = len };
		struct listing l = { 0 };
		struct bytes domains = { 0 };
		struct manifest *m;
		int rc = open_db(&m, cut, NULL);

		CHECK_AT(rc == 0 || rc == -EBADMSG, "%zu: %d", len, rc);
		if (rc < 0)
			continue;
		rc = manifest_each_domain_do(m, list_domain, &domains, NULL);
		CHECK_AT(rc == 0 || rc == -EBADMSG, "%zu: %d", len, rc);
		rc = manifest_scan(m, slice("HomeDomain"), true, list_entry, &l,
				   NULL);
		CHECK_AT(rc == 0 || rc == -EBADMSG, "%zu: %d", len, rc);
		while (l.count)
			free(l.lines[--l.count]);
		drop(&domains);
		manifest_free(m);
	}
	drop(&b);
}

CASE(files_must_be_an_ordinary_table)
{
	struct mb_err err;

	CHECK_INT(open_sql("CREATE TABLE Other (a);", &err), -EBADMSG);
	CHECK_TEXT(err.text, "Manifest.db: has no table Files");
	CHECK_INT(open_sql("CREATE TABLE T (fileID, domain, relativePath, "
			   "flags, file); CREATE VIEW Files AS SELECT * FROM "
			   "T;",
			   &err),
		  -EBADMSG);
	CHECK_TEXT(err.text, "Manifest.db: Files is no ordinary table");
	CHECK_INT(open_sql("CREATE VIRTUAL TABLE Files USING fts5(fileID, "
			   "domain, relativePath, flags, file);",
			   &err),
		  -EBADMSG);
	CHECK_TEXT(err.text, "Manifest.db: Files is no ordinary table");
	CHECK_INT(open_sql("CREATE TABLE T (domain); "
			   "CREATE INDEX Files ON T(domain);",
			   &err),
		  -EBADMSG);
}

CASE(a_table_without_row_numbers_is_refused)
{
	struct mb_err err;

	CHECK_INT(open_sql("CREATE TABLE Files (fileID TEXT PRIMARY KEY, "
			   "domain TEXT, relativePath TEXT, flags INTEGER, "
			   "file BLOB) WITHOUT ROWID;",
			   &err),
		  -EBADMSG);
	CHECK(!strncmp(err.text, "Manifest.db: ", 13));
}

CASE(missing_columns_are_refused)
{
	static const char *const columns[] = { "fileID", "domain",
					       "relativePath", "flags",
					       "file" };
	struct mb_err err;

	for (size_t i = 0; i < COUNT(columns); i++) {
		char text[300] = "CREATE TABLE Files (other";

		for (size_t j = 0; j < COUNT(columns); j++)
			if (i != j) {
				strcat(text, ", ");
				strcat(text, columns[j]);
			}
		strcat(text, ");");
		CHECK_AT(open_sql(text, &err) == -EBADMSG, "%s", text);
		CHECK(strstr(err.text, columns[i]));
	}
}

/* one operation of them could be made to take hours */
CASE(computed_columns_are_refused)
{
	struct mb_err err;

	CHECK_INT(open_sql("CREATE TABLE Files (fileID, domain, relativePath, "
			   "flags, file BLOB AS (zeroblob(10)));",
			   &err),
		  -EBADMSG);
	CHECK_INT(open_sql("CREATE TABLE Files (fileID, domain, relativePath, "
			   "flags, file BLOB, x AS (zeroblob(10)) STORED);",
			   &err),
		  -EBADMSG);
}

CASE(triggers_and_views_beside_the_table_do_nothing)
{
	static const char more[] =
		"CREATE TRIGGER t AFTER INSERT ON Files BEGIN "
		"SELECT RAISE(IGNORE); END;"
		"CREATE VIEW v AS SELECT load_extension('x');";
	char text[2000];
	struct manifest *m;
	struct bytes b;

	snprintf(text, sizeof(text), "%s%s", schema_old, more);
	b = manifest_db(text, sample, COUNT(sample));
	CHECK_INT(open_db(&m, b, NULL), 0);
	check_sample(m);
	manifest_free(m);
	drop(&b);
}

/* an index that is no help: partial, of another collation, second column */
CASE(indexes_that_do_not_help_are_not_relied_on)
{
	static const char *const indexes[] = {
		"CREATE INDEX i ON Files(domain) WHERE flags = 1;",
		"CREATE INDEX i ON Files(domain COLLATE NOCASE);",
		"CREATE INDEX i ON Files(relativePath, domain);",
		"CREATE INDEX i ON Files(lower(domain));",
		"CREATE INDEX i ON Files(domain DESC);",
	};

	for (size_t i = 0; i < COUNT(indexes); i++) {
		char text[2000];
		struct manifest *m;
		struct bytes b;

		snprintf(text, sizeof(text), "%s%s", schema_bare, indexes[i]);
		b = manifest_db(text, sample, COUNT(sample));
		if (CHECK_INT(open_db(&m, b, NULL), 0)) {
			check_sample(m);
			manifest_free(m);
		}
		drop(&b);
	}
}

/* ---- odd rows ---- */

static struct bytes db_with(const char *schema, const char *rows)
{
	char text[4000];

	snprintf(text, sizeof(text), "%s%s", schema, rows);
	return manifest_db(text, sample, COUNT(sample));
}

CASE(rows_without_a_file_column_are_no_entries)
{
	static const char rows[] =
		"INSERT INTO Files(fileID, flags) VALUES ('a', 8);"
		"INSERT INTO Files VALUES ('b', 'HomeDomain', 'x', 1, NULL);"
		"INSERT INTO Files VALUES ('c', 'HomeDomain', 'y', 1, x'');";

	for (int i = 0; i < 2; i++) {
		struct bytes b = db_with(i ? schema_bare : schema_old, rows);
		struct manifest *m;

		CHECK_INT(open_db(&m, b, NULL), 0);
		check_sample(m);
		manifest_free(m);
		drop(&b);
	}
}

CASE(rows_of_wrong_types_are_read_as_far_as_they_can_be)
{
	static const char rows[] =
		"INSERT INTO Files VALUES ('e1', 'Odd', 5, 1, x'00');"
		"INSERT INTO Files VALUES ('e2', 'Odd', x'6161', 1, x'00');"
		"INSERT INTO Files VALUES ('e3', 'Odd', 'text', 1, 'text');"
		"INSERT INTO Files VALUES (4, 'Odd', 'id', 'one', 77);"
		"INSERT INTO Files VALUES ('e5', 'Odd', NULL, 1, x'00');"
		"INSERT INTO Files VALUES ('e6', 'Odd', 1.5, x'01', x'00');";

	for (int i = 0; i < 2; i++) {
		struct bytes b = db_with(i ? schema_bare : schema_old, rows);
		struct mb_record rec = { 0 };
		struct manifest *m;

		CHECK_INT(open_db(&m, b, NULL), 0);
		check_scan(m, "Odd", true,
			   "1.5:0:0|5:1:0|aa:1:0|id:0:0|text:1:0|");
		CHECK(!notes.ptr); /* counting does not say it again */
		check_scan(m, "Odd", false,
			   "1.5:0:0|5:1:0|aa:1:0|id:0:0|text:1:0|");
		add_be(&notes, 0, 1);
		CHECK(strstr((char *)notes.ptr, "1 records of Odd left out"));
		CHECK_INT(get(m, "Odd", "text", &rec), 0);
		CHECK_TEXT(rec.damage, "file record cannot be read");
		CHECK_INT(rec.type, MB_FILE);
		CHECK_INT(get(m, "Odd", "id", &rec), 0);
		CHECK_TEXT(rec.file_id, "");
		CHECK_INT(rec.type, MB_FILE);
		mb_record_release(&rec);
		check_scan(m, "HomeDomain", true,
			   ":2:0|Library/sms.db:1:4096|Library:2:0|");
		manifest_free(m);
		drop(&b);
	}
}

CASE(domains_that_are_no_text_are_left_out_and_noted)
{
	static const char rows[] =
		"INSERT INTO Files VALUES ('a', 5, 'x', 1, x'00');"
		"INSERT INTO Files VALUES ('b', x'41', 'x', 1, x'00');"
		"INSERT INTO Files VALUES ('c', NULL, 'x', 1, x'00');";
	struct bytes b = db_with("CREATE TABLE Files (fileID, domain, "
				 "relativePath, flags, file);"
				 "CREATE INDEX i ON Files(domain);",
				 rows);
	struct manifest *m;

	CHECK_INT(open_db(&m, b, NULL), 0);
	check_domains(m, SAMPLE_DOMAINS);
	add_be(&notes, 0, 1);
	CHECK(strstr((char *)notes.ptr, "whose domain is no text"));
	manifest_free(m);
	drop(&b);
}

CASE(file_ids_must_be_forty_digits)
{
	static const struct {
		const char *id;
		bool good;
	} ids[] = {
		{ "3d0d7e5fb2ce288813306e4d4636395e047a3d28", true },
		{ "3D0D7E5FB2CE288813306E4D4636395E047A3D28", true },
		{ "3d0d7e5fb2ce288813306e4d4636395e047a3d2", false },
		{ "3d0d7e5fb2ce288813306e4d4636395e047a3d288", false },
		{ "../../../../../../../../../../etc/passwd", false },
		{ "", false },
		{ "3d0d7e5fb2ce288813306e4d4636395e047a3d2g", false },
	};

	for (size_t i = 0; i < COUNT(ids); i++) {
		struct entry e = { .domain = "D",
				   .path = "f",
				   .id = ids[i].id };
		struct bytes b = manifest_db(schema_old, &e, 1);
		struct mb_record rec = { 0 };
		struct manifest *m;

		CHECK_INT(open_db(&m, b, NULL), 0);
		CHECK_INT(get(m, "D", "f", &rec), 0);
		CHECK_TEXT(rec.file_id, ids[i].good ? ids[i].id : "");
		CHECK(slice_is(rec.row_id, ids[i].id));
		CHECK_TEXT(rec.damage,
			   ids[i].good ? NULL : "file ID is malformed");
		mb_record_release(&rec);
		manifest_free(m);
		drop(&b);
	}
}

CASE(a_record_brings_its_archive_along)
{
	const struct entry good = { .domain = "D", .path = "f", .size = 3 };
	struct bytes blob = mbfile(&good), odd = { 0 };

	add_text(&odd, "no archive");
	for (int i = 0; i < 2; i++) {
		const struct bytes *want = i ? &odd : &blob;
		struct entry e = { .domain = "D", .path = "f", .blob = want };
		struct bytes b = manifest_db(schema_old, &e, 1);
		struct mb_record rec = { 0 };
		struct manifest *m;

		CHECK_INT(open_db(&m, b, NULL), 0);
		CHECK_INT(get(m, "D", "f", &rec), 0);
		CHECK_BYTES(rec.archive.ptr, rec.archive.len, want->ptr,
			    want->len);
		CHECK((rec.damage != NULL) == i);
		mb_record_release(&rec);
		manifest_free(m);
		drop(&b);
	}
	drop(&blob);
	drop(&odd);
}

CASE(the_type_is_in_the_low_bits_of_the_flags_or_in_the_mode)
{
	static const struct {
		int flags;
		unsigned mode;
		enum mb_type in_scan, type;
	} rows[] = {
		{ 1, 0100644, MB_FILE, MB_FILE },
		{ 2, 040755, MB_DIR, MB_DIR },
		{ 4, 0120755, MB_LINK, MB_LINK },
		{ 1 | 32, 0100644, MB_FILE, MB_FILE },
		{ 2 | 128, 040755, MB_DIR, MB_DIR },
		{ 1, 040755, MB_FILE, MB_FILE }, /* flags go before mode */
		{ 3, 0120755, 0, MB_LINK },
		{ 7, 040755, 0, MB_DIR },
		{ -1, 040755, 0, MB_DIR },
		{ 32, 0100644, 0, MB_FILE },
		{ -1, 010644, 0, MB_FILE }, /* a FIFO: none that we know */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct entry e = { .domain = "D",
				   .path = "f",
				   .flags = rows[i].flags,
				   .mode = rows[i].mode };
		struct bytes b = manifest_db(schema_old, &e, 1);
		struct mb_record rec = { 0 };
		struct manifest *m;
		char want[20];

		CHECK_INT(open_db(&m, b, NULL), 0);
		snprintf(want, sizeof(want), "f:%d:0|", (int)rows[i].in_scan);
		check_scan(m, "D", false, want);
		CHECK_INT(get(m, "D", "f", &rec), 0);
		CHECK_INT(rec.type, rows[i].type);
		CHECK((rec.damage != NULL) == (rows[i].mode == 010644));
		mb_record_release(&rec);
		manifest_free(m);
		drop(&b);
	}
}

CASE(a_negative_size_is_damage)
{
	struct entry e = { .domain = "D", .path = "f", .size = -5 };
	struct bytes b = manifest_db(schema_old, &e, 1);
	struct mb_record rec = { 0 };
	struct manifest *m;

	CHECK_INT(open_db(&m, b, NULL), 0);
	CHECK_INT(get(m, "D", "f", &rec), 0);
	CHECK(rec.size < 0);
	CHECK_TEXT(rec.damage, "recorded size is negative");
	mb_record_release(&rec);
	manifest_free(m);
	drop(&b);
}

CASE(paths_beyond_the_longest_are_left_out_and_noted)
{
	char path[MANIFEST_PATH_MAX + 2];
	struct entry entries[2] = { { .domain = "D", .path = path },
				    { .domain = "D", .path = "f" } };
	struct manifest *m;
	struct bytes b;

	memset(path, 'x', sizeof(path));
	path[MANIFEST_PATH_MAX + 1] = '\0';
	b = manifest_db(schema_old, entries, 2);
	CHECK_INT(open_db(&m, b, NULL), 0);
	check_scan(m, "D", false, "f:1:0|");
	add_be(&notes, 0, 1);
	CHECK(strstr((char *)notes.ptr, "1 records of D left out"));
	manifest_free(m);
	drop(&b);
	path[MANIFEST_PATH_MAX] = '\0';
	b = manifest_db(schema_old, entries, 1);
	CHECK_INT(open_db(&m, b, NULL), 0);
	CHECK(!notes.ptr);
	{
		struct mb_record rec = { 0 };

		CHECK_INT(get(m, "D", path, &rec), 0);
		CHECK_INT(rec.path.len, MANIFEST_PATH_MAX);
		mb_record_release(&rec);
	}
	manifest_free(m);
	drop(&b);
}

/* a row number of -1 must not pass for "no record" */
CASE(negative_row_numbers_are_left_out_and_noted)
{
	static const char rows[] =
		"INSERT INTO Files(rowid, fileID, domain, relativePath, flags,"
		" file) VALUES (-1, 'a', 'Odd', 'minus', 1, x'00'),"
		" (-5, 'b', 'Odd', '', 2, x'00'),"
		" (0, 'c', 'Odd', 'zero', 1, x'00');";

	for (int i = 0; i < 2; i++) {
		struct bytes b = db_with(i ? schema_bare : schema_old, rows);
		struct manifest *m;

		CHECK_INT(open_db(&m, b, NULL), 0);
		check_domains(m, "AppDomain-x/|CameraRollDomain|HomeDomain/|"
				 "Odd|");
		drop(&notes);
		check_scan(m, "Odd", false, "zero:1:0|");
		CHECK(notes.ptr);
		manifest_free(m);
		drop(&b);
	}
}

CASE(text_with_nul_is_kept_whole)
{
	struct bytes b = db_with(
		schema_old,
		"INSERT INTO Files VALUES ('a', 'Odd', "
		"CAST(x'610062' AS TEXT), 1, x'00');"
		"INSERT INTO Files VALUES ('b', CAST(x'4f0064' AS TEXT), "
		"'x', 1, x'00');");
	struct mb_record rec = { 0 };
	struct bytes domains = { 0 };
	struct listing l = { 0 };
	struct manifest *m;

	CHECK_INT(open_db(&m, b, NULL), 0);
	CHECK_INT(manifest_each_domain_do(m, list_domain, &domains, NULL), 0);
	CHECK(memmem(domains.ptr, domains.len, "|O\0d|", 5));
	CHECK_INT(manifest_scan(m, (struct mb_slice){ "O\0d", 3 }, false,
				list_entry, &l, NULL),
		  0);
	CHECK_INT(l.count, 1);
	while (l.count)
		free(l.lines[--l.count]);
	CHECK_INT(manifest_scan(m, slice("O"), false, list_entry, &l, NULL), 0);
	CHECK_INT(l.count, 0);
	mb_record_release(&rec);
	drop(&domains);
	manifest_free(m);
	drop(&b);
}

static int stop(void *arg, const struct manifest_entry *e)
{
	(void)e;
	return ++*(int *)arg == 2 ? -EINTR : 0;
}

/* as UTF-8 it is another text, which the index does not have */
CASE(half_a_surrogate_pair_in_a_domain_is_no_endless_loop)
{
	for (int i = 0; i < 2; i++) {
		char text[2000];
		struct bytes domains = { 0 }, b;
		struct manifest *m;

		snprintf(text, sizeof(text),
			 "PRAGMA encoding='UTF-16le'; %s"
			 "INSERT INTO Files VALUES ('a', CAST(x'ffdf' AS "
			 "TEXT), 'x', 1, x'00');",
			 i ? schema_bare : schema_old);
		b = manifest_db(text, NULL, 0);
		CHECK_INT(open_db(&m, b, NULL), 0);
		CHECK_INT(
			manifest_each_domain_do(m, list_domain, &domains, NULL),
			i ? 0 : -EBADMSG);
		CHECK(domains.len < 20);
		drop(&domains);
		manifest_free(m);
		drop(&b);
	}
}

CASE(a_scan_ends_when_asked_to)
{
	for (int i = 0; i < 2; i++) {
		struct bytes b = manifest_db(i ? schema_bare : schema_old,
					     sample, COUNT(sample));
		struct manifest *m;
		int calls = 0;

		CHECK_INT(open_db(&m, b, NULL), 0);
		CHECK_INT(manifest_scan(m, slice("HomeDomain"), false, stop,
					&calls, NULL),
			  -EINTR);
		CHECK_INT(calls, 2);
		manifest_free(m);
		drop(&b);
	}
}

static int count(void *arg, const struct manifest_entry *e)
{
	(void)e;
	++*(uint64_t *)arg;
	return 0;
}

static void put_be(uint8_t *p, uint32_t value, int len)
{
	while (len--)
		*p++ = (uint8_t)(value >> 8 * len);
}

/*
 * The table's root becomes the first of eight branch pages whose children are
 * all the next one, the last one's the leaf: 200^8 rows in a few pages. The
 * schema is in page 1, the table's root is page 2.
 */
static void multiply_rows(struct bytes *b, unsigned page_len)
{
	enum { DEPTH = 8, CHILDREN = 200 };
	uint32_t pages = (uint32_t)(b->len / page_len), leaf = pages + DEPTH;
	struct bytes more = { .ptr = calloc(DEPTH, page_len),
			      .len = DEPTH * page_len };

	add(b, more.ptr, more.len);
	memcpy(b->ptr + (leaf - 1) * page_len, b->ptr + page_len, page_len);
	for (uint32_t i = 0; i < DEPTH; i++) {
		uint32_t number = i ? pages + i : 2, next = pages + i + 1;
		uint8_t *page = b->ptr + (number - 1) * page_len;

		memset(page, 0, page_len);
		page[0] = 5;
		put_be(page + 3, CHILDREN, 2);
		put_be(page + 5, page_len - 5 * CHILDREN, 2);
		put_be(page + 8, next, 4);
		for (uint32_t c = 0; c < CHILDREN; c++) {
			uint32_t at = page_len - 5 * (c + 1);

			put_be(page + 12 + 2 * c, at, 2);
			put_be(page + at, next, 4);
			page[at + 4] = 100;
		}
	}
	put_be(b->ptr + 28, leaf, 4); /* length in pages */
	drop(&more);
}

#define TABLE_ALONE                                                \
	"PRAGMA page_size=4096; CREATE TABLE Files (fileID TEXT, " \
	"domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);"

/* Reading must come to an end, and before memory does. */
CASE(rows_that_multiply_come_to_an_end)
{
	static char text[2][100001];
	static struct bytes blob = { .ptr = (uint8_t *)"x", .len = 1 };
	struct entry rows[2] = {
		{ .domain = "A", .path = "a", .blob = &blob },
		{ .domain = "B", .path = "b", .blob = &blob },
	};

	for (int i = 0; i < 2; i++)
		memset(text[i], 'x' + i, 100000);
	for (int form = 0; form < 2; form++) {
		struct manifest *m;
		struct mb_err err;
		struct bytes b;

		if (form == 1) /* long ones, in turns */
			rows[0].domain = text[0], rows[1].domain = text[1];
		b = manifest_db(TABLE_ALONE, rows, 2);
		CHECK_INT(open_db(&m, b, NULL), 0);
		manifest_free(m);
		multiply_rows(&b, 4096);
		CHECK_INT(open_db(&m, b, &err), -EBADMSG);
		CHECK_TEXT(err.text, "Manifest.db: damaged (reading it goes "
				     "in circles)");
		drop(&b);
	}
}

/* ---- Manifest.mbdb ---- */

static int open_mbdb(struct manifest **m, struct bytes b, struct mb_err *err)
{
	return manifest_open_mbdb(m, payload_of(b, NULL), err);
}

CASE(the_mbdb_of_the_format)
{
	struct bytes b = unhex(MBDB);
	struct mb_record rec = { 0 };
	struct manifest *m;

	CHECK_INT(open_mbdb(&m, b, NULL), 0);
	check_domains(m, "AppDomain-com.example.app/|");
	check_scan(m, "AppDomain-com.example.app", true,
		   ":2:0|Documents/enc.txt:1:5|Documents/hello.txt:1:5|"
		   "Documents/link:4:0|");
	CHECK_INT(manifest_get(m, 81, &rec, NULL), 0);
	CHECK(slice_is(rec.path, "Documents/hello.txt"));
	CHECK_TEXT(rec.file_id, "2debd89c089c76aa1203149ceed4d7ca4bb692af");
	CHECK_INT(manifest_get(m, 6, &rec, NULL), 0);
	CHECK_TEXT(rec.file_id, "67e75d794d584e8e39294ff6365fd02ea3d9097c");
	CHECK_INT(manifest_get(m, 218, &rec, NULL), 0);
	CHECK_TEXT(rec.file_id, "4e6525d2b4bd66bcee3b26766566b14068519683");
	CHECK(slice_is(rec.target, "hello.txt"));
	CHECK_INT(manifest_get(m, 316, &rec, NULL), 0);
	CHECK_TEXT(rec.file_id, "5e3ab781b39404d7f1cc6342b635b7aeb035face");
	CHECK_INT(rec.wrapped_key_len, 44);
	/* there are none in an mbdb */
	CHECK(!rec.archive.len && !rec.row_id.len);
	CHECK_INT(manifest_get(m, 452, &rec, NULL), -EBADMSG);
	CHECK_INT(manifest_get(m, 1 << 30, &rec, NULL), -EBADMSG);
	mb_record_release(&rec);
	manifest_free(m);
	drop(&b);
}

CASE(an_mbdb_reads_as_the_database_does)
{
	struct bytes b = mbdb(sample, COUNT(sample));
	struct manifest *m;

	CHECK_INT(open_mbdb(&m, b, NULL), 0);
	check_sample(m);
	manifest_free(m);
	drop(&b);
}

CASE(an_mbdb_cut_off_anywhere_is_malformed)
{
	struct bytes b = unhex(MBDB);
	struct manifest *m;
	struct mb_err err;

	for (size_t len = 0; len < b.len; len++) {
		struct bytes cut = { .ptr = b.ptr, .len = len };
		int want = len == 6 || len == 81 || len == 218 || len == 316 ?
				   0 :
				   -EBADMSG;
		int rc = open_mbdb(&m, cut, &err);

		CHECK_AT(rc == want, "%zu bytes: %d", len, rc);
		if (rc == 0)
			manifest_free(m);
		if (len == 100)
			CHECK_TEXT(err.text,
				   "Manifest.mbdb: record 2 at offset 81 is "
				   "damaged or cut off");
	}
	drop(&b);
}

CASE(other_versions_and_magics_of_mbdb_are_told)
{
	struct bytes b = unhex(MBDB);
	struct manifest *m;
	struct mb_err err;

	b.ptr[4] = 6;
	CHECK_INT(open_mbdb(&m, b, &err), -ENOTSUP);
	CHECK_TEXT(err.text, "Manifest.mbdb: version 6.0 is not read");
	b.ptr[0] = 'x';
	CHECK_INT(open_mbdb(&m, b, &err), -EBADMSG);
	drop(&b);
}

/* records of every length around the window of 256 KiB */
CASE(records_longer_than_a_window)
{
	struct bytes b = unhex("6d6264620500"), blob = { 0 };
	struct mb_record rec = { 0 };
	struct manifest *m;
	int64_t long_at = 0;
	char path[40];

	add_noise(&blob, 65534);
	for (int i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "a%04d/%.*s", i, i % 30,
			 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		add_mbdb(&b, &(struct entry){
				     .domain = "D", .path = path, .size = i });
		if (i % 2000 != 1000)
			continue;
		long_at = (int64_t)b.len;
		add_mbdb(&b, &(struct entry){ .domain = "D", .path = "long" });
		b.ptr[b.len - 1] = 255;
		for (int p = 0; p < 255; p++) {
			add_be(&b, 1, 2);
			add_be(&b, 'p', 1);
			add_be(&b, blob.len, 2);
			add(&b, blob.ptr, blob.len);
		}
	}
	CHECK_INT(open_mbdb(&m, b, NULL), 0);
	{
		uint64_t rows = 0;

		CHECK_INT(
			manifest_scan(m, slice("D"), true, count, &rows, NULL),
			0);
		CHECK_INT(rows, 2001);
	}
	CHECK_INT(manifest_get(m, long_at, &rec, NULL), 0);
	CHECK(slice_is(rec.path, "long"));
	CHECK(rec.xattrs.len > 255 * 65534);
	CHECK_INT(get(m, "D", "a1999/xxxxxxxxxxxxxxxxxxx", &rec), 0);
	CHECK_INT(rec.size, 1999);
	mb_record_release(&rec);
	manifest_free(m);
	drop(&b);
	drop(&blob);
}

CASE(a_mode_without_a_type_is_damage)
{
	struct entry e = { .domain = "D", .path = "f", .mode = 0644 };
	struct bytes b = mbdb(&e, 1);
	struct mb_record rec = { 0 };
	struct manifest *m;

	CHECK_INT(open_mbdb(&m, b, NULL), 0);
	check_scan(m, "D", false, "f:1:0|");
	CHECK_INT(get(m, "D", "f", &rec), 0);
	CHECK_INT(rec.type, MB_FILE);
	CHECK_TEXT(rec.damage, "mode tells no type");
	mb_record_release(&rec);
	manifest_free(m);
	drop(&b);
}

/* Zeros read as one empty record after the other. */
CASE(a_hole_of_terabytes_in_an_mbdb_is_refused_at_once)
{
	const char *dir = temp_dir();
	struct manifest *m = NULL;
	struct payload *p = NULL;
	struct mb_err err;
	int fd = open_dir(dir);

	put_file(dir, "manifest", "mbdb\5\0", 6);
	CHECK_INT(truncate(in(dir, "manifest"), (off_t)1 << 40), 0);
	CHECK_INT(payload_open(&p, fd, "manifest", NULL), 0);
	close(fd);
	CHECK_INT(manifest_open_mbdb(&m, p, &err), -EBADMSG);
	CHECK_TEXT(err.text, "Manifest.mbdb: 1099511627776 bytes are more "
			     "than any device writes");
}

/* What a scan may cost follows from the length: of what is really there. */
CASE(a_hole_of_terabytes_buys_a_database_nothing)
{
	struct entry rows[2] = {
		{ .domain = "A", .path = "a" },
		{ .domain = "B", .path = "b" },
	};
	struct bytes b = manifest_db(TABLE_ALONE, rows, 2);
	const char *dir = temp_dir();
	struct payload *p = NULL;
	int fd = open_dir(dir);

	put_file(dir, "manifest", b.ptr, b.len);
	CHECK_INT(truncate(in(dir, "manifest"), (off_t)1 << 40), 0);
	CHECK_INT(payload_open(&p, fd, "manifest", NULL), 0);
	close(fd);
	CHECK(payload_stored_len(p) == INT64_C(1) << 40);
	CHECK(payload_solid_len(p) == INT64_C(1) << 30);
	payload_free(p);
	drop(&b);
}

/* ---- glances ---- */

static int list_handle(void *arg, const struct manifest_entry *e)
{
	add(arg, &e->handle, sizeof(e->handle));
	return 0;
}

static void check_glance(struct manifest *m, int64_t handle)
{
	struct mb_record glance = { 0 }, whole = { 0 };

	CHECK_INT(manifest_get(m, handle, &whole, NULL), 0);
	CHECK_INT(manifest_glance(m, handle, &glance, NULL), 0);
	CHECK_TEXT(glance.file_id, whole.file_id);
	CHECK_TEXT(glance.damage, whole.damage);
	CHECK_INT(glance.type, whole.type);
	CHECK_INT(glance.mode, whole.mode);
	CHECK_INT(glance.size, whole.size);
	CHECK_INT(glance.target.len, whole.target.len);
	CHECK_INT(glance.mtime.tv_sec, whole.mtime.tv_sec);
	CHECK_INT(glance.ctime.tv_sec, whole.ctime.tv_sec);
	CHECK_INT(glance.birth.tv_sec, whole.birth.tv_sec);
	CHECK_INT(glance.mtime.tv_nsec, whole.mtime.tv_nsec);
	CHECK_INT(glance.protection_class, whole.protection_class);
	CHECK_INT(glance.as_stored, whole.as_stored);
	CHECK_INT(glance.wrapped_key_len, whole.wrapped_key_len);
	CHECK(!memcmp(glance.wrapped_key, whole.wrapped_key,
		      sizeof(whole.wrapped_key)));
	mb_record_release(&glance);
	mb_record_release(&whole);
}

/* Row 7 and others have one place; which is known last does not matter. */
CASE(a_glance_shows_what_the_record_does)
{
	static const char rows[] =
		"INSERT INTO Files(rowid, fileID, domain, relativePath, flags, "
		"file) VALUES (7, 'e1', 'HomeDomain', 'x', 2, x'00'),"
		"(7 + %d, 'e2', 'HomeDomain', 'y', 4, x'0000'),"
		"(7 + 2 * %d, 'e3', 'Odd', 'z', 0, x'00'),"
		"(0, 'e4', 'Odd', 'zero', 1, x'00');";
	static const char *const domains[] = { "HomeDomain", "CameraRollDomain",
					       "AppDomain-x", "Odd" };
	char text[1000];

	snprintf(text, sizeof(text), rows, GLANCES_MAX, GLANCES_MAX);
	for (int i = 0; i < 3; i++) {
		struct bytes b =
			i == 2 ? mbdb(sample, COUNT(sample)) :
				 db_with(i ? schema_bare : schema_old, text);
		struct bytes handles = { 0 };
		struct manifest *m;
		struct mb_record rec = { 0 };
		int64_t handle;

		CHECK_INT(i == 2 ? open_mbdb(&m, b, NULL) :
				   open_db(&m, b, NULL),
			  0);
		/* by sizes nothing is kept, so that it is found by itself */
		for (size_t j = 0; j < COUNT(domains); j++)
			manifest_scan(m, slice(domains[j]), true, list_handle,
				      &handles, NULL);
		for (size_t j = 0; j <= COUNT(domains); j++) {
			for (size_t at = 0; at < handles.len;
			     at += sizeof(handle)) {
				memcpy(&handle, handles.ptr + at,
				       sizeof(handle));
				check_glance(m, handle);
			}
			if (j < COUNT(domains))
				find(m, domains[j], "");
		}
		CHECK_INT(manifest_glance(m, 99999999, &rec, NULL) < 0, true);
		mb_record_release(&rec);
		manifest_free(m);
		drop(&handles);
		drop(&b);
	}
}

/* Of what has been scanned nothing is looked for again. */
CASE(glances_are_kept)
{
	struct glances *g = glances_new();
	struct mb_record rec = { .size = 5, .type = MB_LINK }, out = { 0 };

	CHECK(!glances_find(g, 0, &out));
	glances_keep(g, 0, &rec);
	rec.size = 6;
	glances_keep(g, GLANCES_MAX - 1, &rec);
	CHECK(glances_find(g, 0, &out));
	CHECK_INT(out.size, 5);
	CHECK_INT(out.type, MB_LINK);
	CHECK(glances_find(g, GLANCES_MAX - 1, &out));
	CHECK_INT(out.size, 6);
	CHECK(!glances_find(g, GLANCES_MAX, &out));
	glances_keep(g, GLANCES_MAX, &rec);
	CHECK(!glances_find(g, 0, &out));
	glances_free(g);
}

/* ---- threads ---- */

static void *use_much(void *arg)
{
	struct manifest *m = arg;
	uintptr_t bad = 0;

	for (int i = 0; i < 40; i++) {
		struct mb_record rec = { 0 };
		uint64_t rows = 0;

		bad += manifest_scan(m, slice("HomeDomain"), i % 2, count,
				     &rows, NULL) != 0;
		bad += rows != 3;
		bad += get(m, "HomeDomain", "Library/sms.db", &rec) != 0;
		bad += rec.size != 4096;
		bad += glance(m, "HomeDomain", "Library/sms.db", &rec) != 0;
		bad += rec.size != 4096;
		mb_record_release(&rec);
	}
	return (void *)bad;
}

CASE(eight_threads_use_one_manifest)
{
	for (int i = 0; i < 3; i++) {
		struct bytes b =
			i == 2 ? mbdb(sample, COUNT(sample)) :
				 manifest_db(i ? schema_bare : schema_old,
					     sample, COUNT(sample));
		pthread_t threads[8];
		struct manifest *m;
		void *bad;

		CHECK_INT(i == 2 ? open_mbdb(&m, b, NULL) :
				   open_db(&m, b, NULL),
			  0);
		for (int t = 0; t < 8; t++)
			pthread_create(&threads[t], NULL, use_much, m);
		for (int t = 0; t < 8; t++) {
			pthread_join(threads[t], &bad);
			CHECK_INT((uintptr_t)bad, 0);
		}
		manifest_free(m);
		drop(&b);
	}
}

int main(void)
{
	RUN(every_schema_reads_the_same);
	RUN(an_encrypted_database_with_and_without_padding);
	RUN(the_wrong_key_is_no_database);
	RUN(databases_in_utf16);
	RUN(names_beyond_ascii_in_every_encoding);
	RUN(a_database_left_in_wal_mode_opens);
	RUN(bytes_behind_the_last_page_do_not_matter);
	RUN(what_is_no_database_is_refused);
	RUN(impossible_page_sizes_are_refused);
	RUN(a_database_cut_off_anywhere_is_survived);
	RUN(files_must_be_an_ordinary_table);
	RUN(a_table_without_row_numbers_is_refused);
	RUN(missing_columns_are_refused);
	RUN(computed_columns_are_refused);
	RUN(triggers_and_views_beside_the_table_do_nothing);
	RUN(indexes_that_do_not_help_are_not_relied_on);
	RUN(rows_without_a_file_column_are_no_entries);
	RUN(rows_of_wrong_types_are_read_as_far_as_they_can_be);
	RUN(domains_that_are_no_text_are_left_out_and_noted);
	RUN(file_ids_must_be_forty_digits);
	RUN(a_record_brings_its_archive_along);
	RUN(the_type_is_in_the_low_bits_of_the_flags_or_in_the_mode);
	RUN(a_negative_size_is_damage);
	RUN(paths_beyond_the_longest_are_left_out_and_noted);
	RUN(negative_row_numbers_are_left_out_and_noted);
	RUN(text_with_nul_is_kept_whole);
	RUN(half_a_surrogate_pair_in_a_domain_is_no_endless_loop);
	RUN(a_scan_ends_when_asked_to);
	RUN(rows_that_multiply_come_to_an_end);
	RUN(the_mbdb_of_the_format);
	RUN(an_mbdb_reads_as_the_database_does);
	RUN(an_mbdb_cut_off_anywhere_is_malformed);
	RUN(other_versions_and_magics_of_mbdb_are_told);
	RUN(records_longer_than_a_window);
	RUN(a_mode_without_a_type_is_damage);
	RUN(a_hole_of_terabytes_in_an_mbdb_is_refused_at_once);
	RUN(a_hole_of_terabytes_buys_a_database_nothing);
	RUN(a_glance_shows_what_the_record_does);
	RUN(glances_are_kept);
	RUN(eight_threads_use_one_manifest);
	drop(&notes);
	return tap_end();
}
