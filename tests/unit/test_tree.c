/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/tree.h"

#include <errno.h>
#include <pthread.h>

#include "fixture.h"
#include "tap.h"

/* ---- a backup from entries, and its tree ---- */

struct scene {
	struct mb_backup *backup;
	struct mb_tree *tree;
	const char *dir;
	struct bytes notes;
};

static void on_note(void *arg, const char *line)
{
	add_text(arg, line);
	add_text(arg, "|");
}

static int scene_open(struct scene *s, const char *dir, enum mb_view view)
{
	int rc;

	*s = (struct scene){ .dir = dir };
	rc = mb_backup_open(&s->backup, dir, NULL);
	if (rc == 0)
		mb_backup_on_note(s->backup, on_note, &s->notes);
	if (rc == 0)
		rc = mb_backup_load(s->backup, NULL);
	if (rc == 0)
		rc = mb_tree_open(&s->tree, s->backup, view, NULL);
	return rc;
}

static void scene_close(struct scene *s)
{
	mb_tree_free(s->tree);
	mb_backup_free(s->backup);
	drop(&s->notes);
}

static const char *put_entries(const struct entry *entries, size_t count,
			       bool as_mbdb)
{
	const char *dir = temp_dir();
	struct bytes b = as_mbdb ? mbdb(entries, count) :
				   manifest_db(schema_old, entries, count);

	put_manifest_plist(dir, as_mbdb ? "9.1" : "10.0", 0, NULL, NULL);
	put_file(dir, as_mbdb ? "Manifest.mbdb" : "Manifest.db", b.ptr, b.len);
	drop(&b);
	return dir;
}

static bool scene_of(struct scene *s, const struct entry *entries, size_t count,
		     enum mb_view view)
{
	return CHECK_INT(
		scene_open(s, put_entries(entries, count, false), view), 0);
}
#define SCENE(s, entries, view) scene_of(s, entries, COUNT(entries), view)

/* "name" of a file, "name/" of a folder, "name@" of a link, "|" behind each */
static void check_list(struct scene *s, const char *path, const char *want)
{
	struct bytes b = { 0 };
	uint32_t dir, first, count;

	if (!CHECK_AT(mb_tree_walk(s->tree, path, &dir, NULL) == 0, "%s", path))
		return;
	if (!CHECK_AT(mb_tree_children(s->tree, dir, &first, &count, NULL) == 0,
		      "%s", path))
		return;
	for (uint32_t i = first; i < first + count; i++) {
		const char *name = mb_tree_get_name(s->tree, i);
		enum mb_type type = mb_tree_get_type(s->tree, i);
		uint32_t found = 0;

		add_text(&b, name);
		add_text(&b, type == MB_DIR  ? "/|" :
			     type == MB_LINK ? "@|" :
					       "|");
		CHECK_INT(mb_tree_get_parent(s->tree, i), dir);
		CHECK_INT(mb_tree_lookup(s->tree, dir, name, strlen(name),
					 &found, NULL),
			  0);
		CHECK_INT(found, i);
	}
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

/* "domain:path" of the record behind a node, "?" behind if made up */
static void check_record(struct scene *s, const char *path, const char *want)
{
	struct mb_record rec = { 0 };
	struct bytes b = { 0 };
	uint32_t node;
	int rc;

	if (!CHECK_AT(mb_tree_walk(s->tree, path, &node, NULL) == 0, "%s",
		      path))
		return;
	rc = mb_tree_record(s->tree, node, &rec, NULL);
	CHECK_AT(rc >= 0, "%s: %d", path, rc);
	add(&b, rec.domain.ptr, rec.domain.len);
	add_text(&b, ":");
	add(&b, rec.path.ptr, rec.path.len);
	add_text(&b, rc == 1 ? "?" : "");
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
	mb_record_release(&rec);
}

static struct mb_stat stat_of(struct scene *s, const char *path)
{
	struct mb_stat st = { 0 };
	uint32_t node;

	if (CHECK_AT(mb_tree_walk(s->tree, path, &node, NULL) == 0, "%s", path))
		CHECK_INT(mb_tree_stat(s->tree, node, &st, NULL), 0);
	return st;
}

static bool noted(struct scene *s, const char *text)
{
	return s->notes.ptr &&
	       memmem(s->notes.ptr, s->notes.len, text, strlen(text));
}

#define FILE_AT(d, p)                  \
	{                              \
		.domain = d, .path = p \
	}
#define DIR_AT(d, p)                                   \
	{                                              \
		.domain = d, .path = p, .mode = 040755 \
	}

CASE(an_empty_backup_has_an_empty_root)
{
	static const enum mb_view views[] = { MB_VIEW_DOMAINS, MB_VIEW_DEVICE };

	for (int i = 0; i < 4; i++) {
		struct scene s;

		CHECK_INT(scene_open(&s, put_entries(NULL, 0, i % 2),
				     views[i / 2]),
			  0);
		check_list(&s, "", "");
		CHECK_INT(mb_tree_get_type(s.tree, MB_ROOT), MB_DIR);
		CHECK_TEXT(mb_tree_get_name(s.tree, MB_ROOT), "");
		CHECK_INT(mb_tree_get_parent(s.tree, MB_ROOT), MB_ROOT);
		check_record(&s, "/", ":?");
		CHECK(stat_of(&s, "/").made_up);
		CHECK_INT(stat_of(&s, "/").permissions, 0755);
		scene_close(&s);
	}
}

static const struct entry usual[] = {
	DIR_AT("HomeDomain", ""),
	DIR_AT("HomeDomain", "Library"),
	DIR_AT("HomeDomain", "Library/SMS"),
	{ .domain = "HomeDomain",
	  .path = "Library/SMS/sms.db",
	  .size = 6,
	  .mode = 0100600,
	  .mtime = 1700000000 },
	{ .domain = "HomeDomain",
	  .path = "Library/link",
	  .mode = 0120755,
	  .target = "SMS/sms.db" },
	{ .domain = "AppDomain-x", .path = "Documents/a", .size = 3 },
	FILE_AT("HomeDomain", "Library/SMS/b"),
	FILE_AT("HomeDomain", "Library/SMS.txt"),
};

CASE(domains_hold_folders_files_and_links)
{
	for (int i = 0; i < 2; i++) {
		struct scene s;

		CHECK_INT(scene_open(&s, put_entries(usual, COUNT(usual), i),
				     MB_VIEW_DOMAINS),
			  0);
		check_list(&s, "", "AppDomain-x/|HomeDomain/|");
		check_list(&s, "HomeDomain", "Library/|");
		check_list(&s, "HomeDomain/Library", "SMS/|SMS.txt|link@|");
		check_list(&s, "HomeDomain/Library/SMS", "b|sms.db|");
		check_list(&s, "AppDomain-x", "Documents/|");
		check_list(&s, "AppDomain-x/Documents", "a|");
		check_record(&s, "HomeDomain", "HomeDomain:");
		check_record(&s, "AppDomain-x", "AppDomain-x:?");
		check_record(&s, "AppDomain-x/Documents",
			     "AppDomain-x:Documents?");
		check_record(&s, "HomeDomain/Library/SMS/sms.db",
			     "HomeDomain:Library/SMS/sms.db");
		CHECK(!s.notes.ptr);
		scene_close(&s);
	}
}

CASE(stat_tells_what_is_recorded)
{
	struct mb_stat st;
	struct scene s;

	if (!SCENE(&s, usual, MB_VIEW_DOMAINS))
		return;
	st = stat_of(&s, "HomeDomain/Library/SMS/sms.db");
	CHECK_INT(st.type, MB_FILE);
	CHECK_INT(st.permissions, 0600);
	CHECK_INT(st.mtime.tv_sec, 1700000000);
	CHECK_INT(st.ctime.tv_sec, 1700000001);
	CHECK_INT(st.birth.tv_sec, 1699999999);
	CHECK_INT(st.size, 6); /* the payload is missing */
	CHECK(!st.made_up);
	st = stat_of(&s, "HomeDomain/Library/link");
	CHECK_INT(st.type, MB_LINK);
	CHECK_INT(st.size, 10);
	st = stat_of(&s, "AppDomain-x/Documents");
	CHECK(st.made_up && st.type == MB_DIR);
	CHECK_INT(st.permissions, 0755);
	CHECK_INT(st.mtime.tv_sec, 1700000000); /* date of the backup */
	CHECK(!stat_of(&s, "HomeDomain/Library").made_up);
	scene_close(&s);
}

CASE(lookups_that_find_nothing)
{
	uint32_t node = 77, dir;
	struct mb_err err;
	struct scene s;

	if (!SCENE(&s, usual, MB_VIEW_DOMAINS))
		return;
	CHECK_INT(mb_tree_lookup(s.tree, MB_ROOT, "HomeDomai", 9, &node, NULL),
		  -ENOENT);
	CHECK_INT(
		mb_tree_lookup(s.tree, MB_ROOT, "HomeDomainX", 11, &node, NULL),
		-ENOENT);
	CHECK_INT(
		mb_tree_lookup(s.tree, MB_ROOT, "HomeDomainX", 10, &node, NULL),
		0);
	CHECK_INT(mb_tree_lookup(s.tree, MB_ROOT, "", 0, &node, NULL), -ENOENT);
	CHECK_INT(mb_tree_lookup(s.tree, MB_ROOT, "..", 2, &node, NULL),
		  -ENOENT);
	CHECK_INT(mb_tree_walk(s.tree, "HomeDomain/Library/none", &node, &err),
		  -ENOENT);
	CHECK_TEXT(err.text, "none: no such entry");
	CHECK_INT(mb_tree_walk(s.tree, "HomeDomain/Library/SMS.txt/x", &node,
			       NULL),
		  -ENOTDIR);
	CHECK_INT(mb_tree_walk(s.tree, "//HomeDomain///Library/", &dir, NULL),
		  0);
	CHECK_INT(mb_tree_lookup(s.tree, dir, "SMS", 3, &node, NULL), 0);
	scene_close(&s);
}

static int read_all(struct scene *s, const char *path, char *out, size_t len)
{
	struct mb_stat open, closed;
	struct mb_reader *reader;
	uint32_t node;
	ssize_t n;
	int rc = mb_tree_walk(s->tree, path, &node, NULL);

	if (rc == 0)
		rc = mb_tree_open_file(s->tree, node, &reader, NULL);
	if (rc < 0)
		return rc;
	CHECK_INT(mb_tree_stat_open(s->tree, node, reader, &open, NULL), 0);
	CHECK_INT(mb_tree_stat(s->tree, node, &closed, NULL), 0);
	CHECK_INT(open.size, closed.size);
	CHECK_INT(open.permissions, closed.permissions);
	CHECK_INT(open.mtime.tv_sec, closed.mtime.tv_sec);
	n = mb_reader_pread(reader, out, len, 0);
	mb_reader_free(reader);
	return (int)n;
}

CASE(files_open_and_other_types_do_not)
{
	char out[10] = "", id[41], name[50];
	struct scene s;

	if (!SCENE(&s, usual, MB_VIEW_DOMAINS))
		return;
	file_id(id, "HomeDomain", "Library/SMS/sms.db");
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	put_text(s.dir, name, "content");
	CHECK_INT(read_all(&s, "HomeDomain/Library/SMS/sms.db", out, 10), 7);
	CHECK_TEXT(out, "content");
	CHECK_INT(stat_of(&s, "HomeDomain/Library/SMS/sms.db").size, 7);
	CHECK_INT(read_all(&s, "AppDomain-x/Documents/a", out, 10), -ENODATA);
	CHECK_INT(read_all(&s, "HomeDomain/Library/SMS/b", out, 10), 0);
	CHECK_INT(read_all(&s, "HomeDomain/Library", out, 10), -EISDIR);
	CHECK_INT(read_all(&s, "HomeDomain/Library/link", out, 10), -ELOOP);
	scene_close(&s);
}

/* ---- what no record describes ---- */

CASE(parents_without_a_record_are_made_up)
{
	static const struct entry entries[] = {
		FILE_AT("D", "a/b/c/d/file"),
		FILE_AT("D", "a/b/other"),
		DIR_AT("D", "a/b/c"),
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "D", "a/|");
	check_list(&s, "D/a", "b/|");
	check_list(&s, "D/a/b", "c/|other|");
	check_list(&s, "D/a/b/c", "d/|");
	check_list(&s, "D/a/b/c/d", "file|");
	check_record(&s, "D", "D:?");
	check_record(&s, "D/a", "D:a?");
	check_record(&s, "D/a/b", "D:a/b?");
	check_record(&s, "D/a/b/c", "D:a/b/c");
	check_record(&s, "D/a/b/c/d", "D:a/b/c/d?");
	CHECK(stat_of(&s, "D/a").made_up && !stat_of(&s, "D/a/b/c").made_up);
	scene_close(&s);
}

CASE(the_path_of_a_made_up_folder_is_the_recorded_one_not_the_shown)
{
	static const struct entry entries[] = {
		FILE_AT("a/b", "/x/../y//z"),
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "", "a%2Fb/|");
	check_list(&s, "a%2Fb", "%2Fx/|");
	check_list(&s, "a%2Fb/%2Fx", "%2E%2E/|");
	check_list(&s, "a%2Fb/%2Fx/%2E%2E", "y/|");
	check_list(&s, "a%2Fb/%2Fx/%2E%2E/y", "%2Fz|");
	check_record(&s, "a%2Fb", "a/b:?");
	check_record(&s, "a%2Fb/%2Fx", "a/b:/x?");
	check_record(&s, "a%2Fb/%2Fx/%2E%2E", "a/b:/x/..?");
	check_record(&s, "a%2Fb/%2Fx/%2E%2E/y", "a/b:/x/../y?");
	check_record(&s, "a%2Fb/%2Fx/%2E%2E/y/%2Fz", "a/b:/x/../y//z");
	scene_close(&s);
}

CASE(the_folder_larder_of_the_root_stays_free)
{
	static const struct entry entries[] = {
		FILE_AT(".larder", ".larder"),
		FILE_AT("%2Elarder", "x"),
		FILE_AT("D", ".larder"),
	};
	struct scene s;
	uint32_t node;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "", "%2Elarder/|%2Elarder%2/|D/|");
	CHECK_INT(mb_tree_lookup(s.tree, MB_ROOT, ".larder", 7, &node, NULL),
		  -ENOENT);
	check_list(&s, "D", ".larder|");
	check_record(&s, "%2Elarder", "%2Elarder:?");
	check_record(&s, "%2Elarder%2", ".larder:?");
	check_list(&s, "%2Elarder%2", ".larder|");
	scene_close(&s);
}

/* ---- duplicates ---- */

static char good_id[41];

CASE(of_duplicates_the_one_with_the_right_file_id_is_shown)
{
	struct entry entries[] = {
		{ .domain = "D",
		  .path = "f",
		  .size = 1,
		  .id = "0000000000000000000000000000000000000001" },
		{ .domain = "D", .path = "f", .size = 2, .id = good_id },
		{ .domain = "D",
		  .path = "f",
		  .size = 3,
		  .id = "0000000000000000000000000000000000000003" },
		FILE_AT("D", "g"),
	};
	struct scene s;

	file_id(good_id, "D", "f");
	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "D", "f|g|");
	CHECK_INT(stat_of(&s, "D/f").size, 2);
	CHECK(noted(&s, "D/f: 3 records for one path, one is shown"));
	scene_close(&s);
}

CASE(of_duplicates_that_are_all_wrong_the_last_is_shown)
{
	static const struct entry entries[] = {
		{ .domain = "D",
		  .path = "f",
		  .size = 1,
		  .id = "0000000000000000000000000000000000000001" },
		{ .domain = "D",
		  .path = "f",
		  .size = 2,
		  .id = "0000000000000000000000000000000000000002" },
		{ .domain = "D",
		  .path = "f",
		  .size = 3,
		  .id = "0000000000000000000000000000000000000003" },
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "D", "f|");
	CHECK_INT(stat_of(&s, "D/f").size, 3);
	scene_close(&s);
}

CASE(of_duplicates_in_an_mbdb_the_last_is_shown)
{
	static const struct entry entries[] = {
		{ .domain = "D", .path = "f", .size = 1 },
		{ .domain = "D", .path = "f", .size = 2 },
		{ .domain = "D", .path = "d", .mode = 040700 },
		{ .domain = "D", .path = "d", .mode = 040711 },
	};
	struct scene s;

	CHECK_INT(scene_open(&s, put_entries(entries, COUNT(entries), true),
			     MB_VIEW_DOMAINS),
		  0);
	check_list(&s, "D", "d/|f|");
	CHECK_INT(stat_of(&s, "D/f").size, 2);
	CHECK_INT(stat_of(&s, "D/d").permissions, 0711);
	CHECK(noted(&s, "D/f: 2 records") && noted(&s, "D/d: 2 records"));
	scene_close(&s);
}

CASE(of_several_records_of_a_domains_root_the_last_counts)
{
	static const struct entry entries[] = {
		{ .domain = "D", .path = "", .mode = 040701, .id = "a" },
		{ .domain = "D", .path = "", .mode = 040702, .id = "b" },
		FILE_AT("D", "f"),
	};

	for (int i = 0; i < 2; i++) {
		struct scene s;

		CHECK_INT(scene_open(&s,
				     put_entries(entries, COUNT(entries), i),
				     MB_VIEW_DOMAINS),
			  0);
		check_list(&s, "D", "f|");
		CHECK_INT(stat_of(&s, "D").permissions, 0702);
		scene_close(&s);
	}
}

CASE(a_file_that_is_also_a_folder_stands_beside_it)
{
	static const struct entry entries[] = {
		{ .domain = "D", .path = "a", .size = 5 },
		FILE_AT("D", "a/below"),
		{ .domain = "D", .path = "b", .size = 6, .id = "x" },
		DIR_AT("D", "b"),
		{ .domain = "D", .path = "c", .mode = 0120755, .target = "t" },
		FILE_AT("D", "c/below"),
		FILE_AT("D", "a%file"),
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "D", "a/|a%file|a%file%2|b/|b%file|c/|c%file@|");
	check_list(&s, "D/a", "below|");
	check_list(&s, "D/b", "");
	check_list(&s, "D/c", "below|");
	check_record(&s, "D/a", "D:a?");
	check_record(&s, "D/b", "D:b");
	check_record(&s, "D/b%file", "D:b");
	CHECK_INT(stat_of(&s, "D/b%file").size, 6);
	check_record(&s, "D/a%file", "D:a");
	check_record(&s, "D/a%file%2", "D:a%file");
	CHECK_INT(stat_of(&s, "D/a%file").size, 5);
	scene_close(&s);
}

/* ---- collisions of shown names ---- */

CASE(names_that_come_out_equal_get_a_number)
{
	static const struct entry entries[] = {
		FILE_AT("D", "%2F"), FILE_AT("D", "/"), FILE_AT("D", "%2F%2"),
		FILE_AT("D", "x/%"), DIR_AT("E", "."),	FILE_AT("E", "%2E"),
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "E", "%2E|%2E%2/|");
	check_record(&s, "E/%2E", "E:%2E");
	check_record(&s, "E/%2E%2", "E:.");
	/* the number is taken: who has that name by itself keeps it */
	check_record(&s, "D/%2F", "D:%2F");
	check_record(&s, "D/%2F%2", "D:%2F%2");
	{
		uint32_t dir, first, count;

		mb_tree_walk(s.tree, "D", &dir, NULL);
		CHECK_INT(mb_tree_children(s.tree, dir, &first, &count, NULL),
			  0);
		CHECK_INT(count, 4);
		for (uint32_t i = first + 1; i < first + count; i++)
			CHECK(strcmp(mb_tree_get_name(s.tree, i - 1),
				     mb_tree_get_name(s.tree, i)) < 0);
	}
	scene_close(&s);
}

CASE(collisions_do_not_depend_on_the_order_of_records)
{
	static const struct entry forth[] = { FILE_AT("D", "."),
					      FILE_AT("D", "%2E") };
	static const struct entry back[] = { FILE_AT("D", "%2E"),
					     FILE_AT("D", ".") };
	struct scene s;

	if (SCENE(&s, forth, MB_VIEW_DOMAINS))
		check_record(&s, "D/%2E%2", "D:.");
	scene_close(&s);
	if (SCENE(&s, back, MB_VIEW_DOMAINS))
		check_record(&s, "D/%2E%2", "D:.");
	scene_close(&s);
}

CASE(forty_long_names_with_one_beginning)
{
	static char paths[40][301];
	struct entry entries[40];
	struct scene s;
	uint32_t dir, first, count;

	/* plain 255 bytes: as cut; and raw ones that are cut to the same */
	for (int i = 0; i < 40; i++) {
		memset(paths[i], 'x', 300);
		snprintf(paths[i] + 250, 51, "%d", i);
		entries[i] = (struct entry){ .domain = "D", .path = paths[i] };
	}
	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	mb_tree_walk(s.tree, "D", &dir, NULL);
	CHECK_INT(mb_tree_children(s.tree, dir, &first, &count, NULL), 0);
	CHECK_INT(count, 40);
	for (uint32_t i = first; i < first + count; i++)
		CHECK(strlen(mb_tree_get_name(s.tree, i)) <= 255);
	scene_close(&s);
}

/*
 * Each name that numbering gives is there already, so that it gives the next:
 * with "%2E" and the number of each pass behind it, cut as long names are.
 */
static void plan_names(char names[][256], unsigned count)
{
	strcpy(names[0], ".");
	strcpy(names[1], "%2E");
	for (unsigned i = 2; i < count; i++) {
		size_t len = strlen(names[i - 1]);
		char number[32];

		snprintf(number, sizeof(number), "%%%u", 2 + (i - 2) * count);
		if (len + strlen(number) > 255)
			len = 255 - strlen(number);
		snprintf(names[i], 256, "%.*s%s", (int)len, names[i - 1],
			 number);
	}
}

CASE(a_chain_of_taken_names_is_followed_or_refused_soon)
{
	static const unsigned counts[] = { 20, 20000 };
	static char names[20000][256];
	static struct entry entries[20000];

	for (int i = 0; i < 2; i++) {
		uint32_t dir, first, count;
		struct scene s;
		int rc;

		plan_names(names, counts[i]);
		for (unsigned e = 0; e < counts[i]; e++)
			entries[e] = (struct entry){ .domain = "D",
						     .path = names[e] };
		CHECK_INT(scene_open(&s, put_entries(entries, counts[i], true),
				     MB_VIEW_DOMAINS),
			  0);
		mb_tree_walk(s.tree, "D", &dir, NULL);
		rc = mb_tree_children(s.tree, dir, &first, &count, NULL);
		CHECK_INT(rc, i ? -EBADMSG : 0);
		CHECK(rc < 0 || count == counts[i]);
		scene_close(&s);
	}
}

/* ---- depth and breadth ---- */

CASE(a_path_of_ten_thousand_folders)
{
	char *path = malloc(20002);
	struct entry e = { .domain = "D", .path = path };
	uint32_t node, first, count;
	struct mb_record rec = { 0 };
	struct scene s;
	size_t depth;

	for (int i = 0; i < 10000; i++)
		memcpy(path + 2 * i, "d/", 2);
	strcpy(path + 20000, "f");
	CHECK_INT(scene_open(&s, put_entries(&e, 1, true), MB_VIEW_DOMAINS), 0);
	CHECK_INT(mb_tree_walk(s.tree, "D", &node, NULL), 0);
	for (depth = 0; mb_tree_get_type(s.tree, node) == MB_DIR; depth++) {
		if (!CHECK_INT(mb_tree_children(s.tree, node, &first, &count,
						NULL),
			       0) ||
		    !CHECK_INT(count, 1))
			break;
		if (depth == 5000) {
			CHECK_INT(mb_tree_record(s.tree, node, &rec, NULL), 1);
			CHECK_INT(rec.path.len, 9999);
		}
		node = first;
	}
	CHECK_INT(depth, 10001);
	CHECK_TEXT(mb_tree_get_name(s.tree, node), "f");
	mb_record_release(&rec);
	scene_close(&s);
	free(path);
}

/* more than one chunk of nodes (65,536) and of names (1 MiB) */
CASE(a_folder_of_a_hundred_thousand_files)
{
	enum { N = 100000 };
	struct bytes b = unhex("6d6264620500");
	const char *dir = temp_dir();
	uint32_t node, first, count;
	struct scene s;
	char name[40];

	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "a fairly long name %06u",
			 (i * 7919u) % N);
		add_mbdb(&b, &(struct entry){ .domain = "D",
					      .path = name,
					      .size = (i * 7919u) % N });
	}
	put_file(dir, "Manifest.mbdb", b.ptr, b.len);
	CHECK_INT(scene_open(&s, dir, MB_VIEW_DOMAINS), 0);
	CHECK_INT(mb_tree_walk(s.tree, "D", &node, NULL), 0);
	CHECK_INT(mb_tree_children(s.tree, node, &first, &count, NULL), 0);
	CHECK_INT(count, N);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "a fairly long name %06u", i);
		if (!CHECK_TEXT(mb_tree_get_name(s.tree, first + i), name))
			break;
	}
	CHECK_INT(
		mb_tree_lookup(s.tree, node, name, strlen(name), &count, NULL),
		0);
	CHECK_INT(count, first + N - 1);
	CHECK_INT(stat_of(&s, "D/a fairly long name 077777").size, 77777);
	scene_close(&s);
	drop(&b);
}

/* 70,000 domains, and none is taken for an entry of another */
CASE(many_domains)
{
	enum { N = 70000 };
	struct bytes b = unhex("6d6264620500");
	const char *dir = temp_dir();
	uint32_t first, count;
	struct scene s;
	char name[40];

	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "D%05u", (i * 7919u) % N);
		add_mbdb(&b, &(struct entry){ .domain = name, .path = "f" });
	}
	put_file(dir, "Manifest.mbdb", b.ptr, b.len);
	CHECK_INT(scene_open(&s, dir, MB_VIEW_DOMAINS), 0);
	CHECK_INT(mb_tree_children(s.tree, MB_ROOT, &first, &count, NULL), 0);
	CHECK_INT(count, N);
	check_list(&s, "D00000", "f|");
	check_list(&s, "D69999", "f|");
	check_record(&s, "D43210/f", "D43210:f");
	check_record(&s, "D43210", "D43210:?");
	scene_close(&s);
	drop(&b);
}

/* longer than a key can tell: two would be one, and nodes get mixed up */
CASE(domains_beyond_the_longest_are_left_out_and_noted)
{
	static char long_one[2][70001];
	struct entry entries[] = {
		FILE_AT(long_one[0], "a"),
		FILE_AT(long_one[1], "b"),
		FILE_AT("D", "f"),
	};
	struct scene s;

	for (int i = 0; i < 2; i++) {
		memset(long_one[i], 'A', 70000);
		long_one[i][69999] = (char)('0' + i);
	}
	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "", "D/|");
	check_list(&s, "D", "f|");
	check_record(&s, "D/f", "D:f");
	CHECK(noted(&s, "left out"));
	scene_close(&s);
	if (SCENE(&s, entries, MB_VIEW_DEVICE))
		check_list(&s, "", "D/|");
	scene_close(&s);
}

/* ---- the device's view ---- */

CASE(domains_of_one_folder_on_the_device_merge)
{
	static const struct entry entries[] = {
		DIR_AT("HomeDomain", ""),
		DIR_AT("HomeDomain", "Media"),
		{ .domain = "HomeDomain", .path = "Media/note", .size = 1 },
		{ .domain = "CameraRollDomain",
		  .path = "Media",
		  .mode = 040700 },
		FILE_AT("CameraRollDomain", "Media/DCIM/a.jpg"),
		FILE_AT("BooksDomain", "book"),
		FILE_AT("AppDomain-com.example", "Documents/d"),
		FILE_AT("TomorrowDomain", "t"),
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DEVICE))
		return;
	check_list(&s, "", "TomorrowDomain/|private/|");
	check_list(&s, "private/var/mobile", "Containers/|Media/|");
	check_list(&s, "private/var/mobile/Media", "Books/|DCIM/|note|");
	check_list(&s, "private/var/mobile/Media/Books", "book|");
	check_list(&s, "private/var/mobile/Containers/Data/Application",
		   "com.example/|");
	check_record(&s, "private/var/mobile/Media/DCIM/a.jpg",
		     "CameraRollDomain:Media/DCIM/a.jpg");
	check_record(&s, "private/var/mobile", "HomeDomain:");
	check_record(&s, "private", ":?");
	check_record(&s, "TomorrowDomain/t", "TomorrowDomain:t");
	CHECK(!s.notes.ptr); /* a folder that two domains have is no error */
	scene_close(&s);
}

CASE(one_path_from_two_domains_is_shown_twice)
{
	static const struct entry entries[] = {
		{ .domain = "HomeDomain", .path = "f", .size = 1 },
		{ .domain = "MediaDomain", .path = "f", .size = 2 },
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DEVICE))
		return;
	check_list(&s, "private/var/mobile", "f|f%2|");
	CHECK_INT(stat_of(&s, "private/var/mobile/f").size +
			  stat_of(&s, "private/var/mobile/f%2").size,
		  3);
	scene_close(&s);
}

CASE(duplicates_are_duplicates_within_their_domain_alone)
{
	static const struct entry entries[] = {
		{ .domain = "HomeDomain", .path = "f", .size = 1, .id = "a" },
		{ .domain = "MediaDomain", .path = "f", .size = 2, .id = "b" },
		{ .domain = "HomeDomain", .path = "f", .size = 4, .id = "c" },
		{ .domain = "MediaDomain",
		  .path = "f",
		  .mode = 040755,
		  .id = "d" },
		{ .domain = "HomeDomain",
		  .path = "f",
		  .mode = 040755,
		  .id = "e" },
	};
	struct scene s;

	if (!SCENE(&s, entries, MB_VIEW_DEVICE))
		return;
	check_list(&s, "private/var/mobile", "f/|f%file|f%file%2|");
	CHECK_INT(stat_of(&s, "private/var/mobile/f%file").size, 4);
	CHECK_INT(stat_of(&s, "private/var/mobile/f%file%2").size, 2);
	scene_close(&s);
}

CASE(larder_stays_free_in_the_devices_view_too)
{
	static const struct entry entries[] = { FILE_AT(".larder", "x") };
	struct scene s;

	if (SCENE(&s, entries, MB_VIEW_DEVICE))
		check_list(&s, "", "%2Elarder/|");
	scene_close(&s);
}

/* ---- damage ---- */

CASE(a_record_without_a_readable_blob_is_shown)
{
	static const struct bytes junk = { .ptr = (uint8_t *)"junk", .len = 4 };
	static const struct entry entries[] = {
		{ .domain = "D", .path = "f", .blob = &junk },
		{ .domain = "D", .path = "d", .mode = 040755, .blob = &junk },
		{ .domain = "D", .path = "?", .flags = -1, .blob = &junk },
	};
	struct scene s;
	char out[4];

	if (!SCENE(&s, entries, MB_VIEW_DOMAINS))
		return;
	check_list(&s, "D", "?|d/|f|");
	CHECK_INT(stat_of(&s, "D/f").permissions, 0);
	CHECK_INT(read_all(&s, "D/f", out, 4), -ENODATA);
	scene_close(&s);
}

CASE(a_damage_is_reported_once)
{
	struct scene s;
	uint32_t node;

	if (!SCENE(&s, usual, MB_VIEW_DOMAINS))
		return;
	mb_tree_walk(s.tree, "AppDomain-x/Documents/a", &node, NULL);
	CHECK(mb_tree_first_report(s.tree, node));
	CHECK(!mb_tree_first_report(s.tree, node));
	CHECK(mb_tree_first_report(s.tree, MB_ROOT));
	scene_close(&s);
}

CASE(a_node_tells_its_path_and_cuts_a_long_ones_front)
{
	char out[40];
	struct scene s;
	uint32_t node;

	if (!SCENE(&s, usual, MB_VIEW_DOMAINS))
		return;
	mb_tree_get_path(s.tree, MB_ROOT, out, sizeof(out));
	CHECK_TEXT(out, "");
	mb_tree_walk(s.tree, "HomeDomain/Library/SMS/sms.db", &node, NULL);
	mb_tree_get_path(s.tree, node, out, sizeof(out));
	CHECK_TEXT(out, "HomeDomain/Library/SMS/sms.db");
	for (size_t size = 4; size <= sizeof(out); size++) {
		memset(out, 'x', sizeof(out));
		mb_tree_get_path(s.tree, node, out, size);
		if (!CHECK(memchr(out, 0, size)))
			continue;
		CHECK_AT(!strcmp(out, "HomeDomain/Library/SMS/sms.db") ||
				 !strncmp(out, "...", 3),
			 "%zu: %s", size, out);
	}
	scene_close(&s);
}

/* ---- threads ---- */

static uint64_t walk(struct mb_tree *tree, uint32_t dir)
{
	struct mb_stat some[MB_STATS_MAX];
	uint32_t first, count;
	uint64_t sum = dir;

	if (mb_tree_children(tree, dir, &first, &count, NULL) < 0)
		return 0;
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t at = (i - first) % MB_STATS_MAX;
		uint32_t left = first + count - i;
		struct mb_stat st;

		if (!at &&
		    mb_tree_stat_some(tree, i,
				      left < MB_STATS_MAX ? left : MB_STATS_MAX,
				      some, NULL) < 0)
			return 0;

		sum = sum * 31 + strlen(mb_tree_get_name(tree, i));
		if (mb_tree_stat(tree, i, &st, NULL) < 0)
			return 0;
		if (st.type != some[at].type || st.size != some[at].size ||
		    st.permissions != some[at].permissions ||
		    st.mtime.tv_sec != some[at].mtime.tv_sec ||
		    st.made_up != some[at].made_up)
			return 0;
		sum += (uint64_t)st.size;
		if (st.type == MB_DIR)
			sum += walk(tree, i);
	}
	return sum;
}

struct walker {
	struct mb_tree *tree;
	uint32_t domain, domains, from;
	uint64_t sum;
};

static void *walk_domains(void *arg)
{
	struct walker *w = arg;

	/* each begins with another domain, so that they load at once */
	for (uint32_t i = 0; i < w->domains; i++) {
		uint32_t at = (w->from + i) % w->domains;
		uint32_t first, count;

		mb_tree_children(w->tree, w->domain + at, &first, &count, NULL);
		w->sum += count * (at + 1);
	}
	walk(w->tree, MB_ROOT);
	return NULL;
}

CASE(eight_threads_list_everything_at_once)
{
	enum { DOMAINS = 24, FILES = 30 };
	static char domains[DOMAINS][20], paths[DOMAINS * FILES][30];
	static struct entry entries[DOMAINS * FILES];

	for (int i = 0; i < DOMAINS * FILES; i++) {
		snprintf(domains[i % DOMAINS], 20, "D%d", i % DOMAINS);
		snprintf(paths[i], 30, "a%d/b%d/f%d", i / 24 % 3, i % 5, i);
		entries[i] = (struct entry){ .domain = domains[i % DOMAINS],
					     .path = paths[i],
					     .size = i };
	}
	for (int form = 0; form < 3; form++) {
		struct walker walkers[8];
		pthread_t threads[8];
		struct scene s;
		uint32_t first, count;

		CHECK_INT(
			scene_open(
				&s,
				put_entries(entries, COUNT(entries), form == 1),
				form == 2 ? MB_VIEW_DEVICE : MB_VIEW_DOMAINS),
			0);
		mb_tree_children(s.tree, MB_ROOT, &first, &count, NULL);
		CHECK_INT(count, DOMAINS);
		for (uint32_t t = 0; t < 8; t++) {
			walkers[t] = (struct walker){ s.tree, first, count,
						      3 * t, 0 };
			pthread_create(&threads[t], NULL, walk_domains,
				       &walkers[t]);
		}
		for (int t = 0; t < 8; t++)
			pthread_join(threads[t], NULL);
		for (int t = 0; t < 8; t++)
			CHECK_INT(walkers[t].sum,
				  3 * DOMAINS * (DOMAINS + 1) / 2);
		CHECK(walk(s.tree, MB_ROOT) == walk(s.tree, MB_ROOT));
		scene_close(&s);
	}
}

CASE(attributes_are_shown_under_names_that_pass_for_no_others)
{
	char out[MB_ATTRIBUTE_MAX + 1], name[MB_ATTRIBUTE_MAX + 1];
	const struct mb_slice value = { "v", 1 };

	CHECK(mb_shown_attribute(out, mb_slice_of("com.example.a"), value));
	CHECK_TEXT(out, "user.com.example.a");
	CHECK(mb_shown_attribute(out, mb_slice_of("larder.path"), value));
	CHECK_TEXT(out, "user.%larder.path");
	CHECK(mb_shown_attribute(out, mb_slice_of("larder"), value));
	CHECK_TEXT(out, "user.larder");
	CHECK(!mb_shown_attribute(out, mb_slice_of(""), value));
	CHECK(!mb_shown_attribute(out, (struct mb_slice){ "a\0b", 3 }, value));
	memset(name, 'n', sizeof(name));
	CHECK(mb_shown_attribute(out, (struct mb_slice){ name, 250 }, value));
	CHECK_INT(strlen(out), 255);
	CHECK(!mb_shown_attribute(out, (struct mb_slice){ name, 251 }, value));
	CHECK(mb_shown_attribute(out, (struct mb_slice){ name, 1 },
				 (struct mb_slice){ name, 65536 }));
	CHECK(!mb_shown_attribute(out, (struct mb_slice){ name, 1 },
				  (struct mb_slice){ name, 65537 }));
}

int main(void)
{
	RUN(attributes_are_shown_under_names_that_pass_for_no_others);
	RUN(an_empty_backup_has_an_empty_root);
	RUN(domains_hold_folders_files_and_links);
	RUN(stat_tells_what_is_recorded);
	RUN(lookups_that_find_nothing);
	RUN(files_open_and_other_types_do_not);
	RUN(parents_without_a_record_are_made_up);
	RUN(the_path_of_a_made_up_folder_is_the_recorded_one_not_the_shown);
	RUN(the_folder_larder_of_the_root_stays_free);
	RUN(of_duplicates_the_one_with_the_right_file_id_is_shown);
	RUN(of_duplicates_that_are_all_wrong_the_last_is_shown);
	RUN(of_duplicates_in_an_mbdb_the_last_is_shown);
	RUN(of_several_records_of_a_domains_root_the_last_counts);
	RUN(a_file_that_is_also_a_folder_stands_beside_it);
	RUN(names_that_come_out_equal_get_a_number);
	RUN(collisions_do_not_depend_on_the_order_of_records);
	RUN(forty_long_names_with_one_beginning);
	RUN(a_chain_of_taken_names_is_followed_or_refused_soon);
	RUN(a_path_of_ten_thousand_folders);
	RUN(a_folder_of_a_hundred_thousand_files);
	RUN(many_domains);
	RUN(domains_beyond_the_longest_are_left_out_and_noted);
	RUN(domains_of_one_folder_on_the_device_merge);
	RUN(one_path_from_two_domains_is_shown_twice);
	RUN(duplicates_are_duplicates_within_their_domain_alone);
	RUN(larder_stays_free_in_the_devices_view_too);
	RUN(a_record_without_a_readable_blob_is_shown);
	RUN(a_damage_is_reported_once);
	RUN(a_node_tells_its_path_and_cuts_a_long_ones_front);
	RUN(eight_threads_list_everything_at_once);
	return tap_end();
}
