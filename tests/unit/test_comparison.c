/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "comparison.h"

#include <errno.h>
#include <unistd.h>

#include "backup_example.h"
#include "fixture.h"
#include "tap.h"

static struct mb_err err;

static struct mb_record record(void)
{
	return (struct mb_record){
		.type = MB_FILE,
		.mode = 0100644,
		.uid = 501,
		.gid = 501,
		.inode = 7,
		.size = 100,
		.protection_class = 3,
		.mtime = { 1600000000, 5 },
		.ctime = { 1600000001, 5 },
		.birth = { 1600000002, 5 },
		.digest_len = 20,
	};
}

CASE(each_field_has_its_word)
{
	struct mb_record a = record(), b;

#define DIFFER(field, value) \
	(b = record(), b.field = (value), records_differ(&a, &b, false))
	CHECK_INT(DIFFER(type, MB_DIR), DIFFERS_TYPE);
	CHECK_INT(DIFFER(mode, 0100600), DIFFERS_MODE);
	CHECK_INT(DIFFER(mode, 0104644), DIFFERS_MODE);
	CHECK_INT(DIFFER(uid, 0), DIFFERS_OWNER);
	CHECK_INT(DIFFER(gid, 0), DIFFERS_OWNER);
	CHECK_INT(DIFFER(mtime.tv_sec, 1), DIFFERS_TIMES);
	CHECK_INT(DIFFER(mtime.tv_nsec, 6), DIFFERS_TIMES);
	CHECK_INT(DIFFER(protection_class, 4), DIFFERS_PROTECTION);
	/* what a file has after a restore, or what is no property of it */
	CHECK_INT(DIFFER(ctime.tv_sec, 1), 0);
	CHECK_INT(DIFFER(birth.tv_sec, 1), 0);
	CHECK_INT(DIFFER(inode, 1), 0);
	CHECK_INT(DIFFER(size, 1), 0);
	CHECK_INT(DIFFER(digest[3], 1), 0);
	CHECK_INT(DIFFER(mode, 0644), 0);
	CHECK_INT(DIFFER(type, MB_FILE), 0);
#undef DIFFER
}

CASE(less_than_a_second_is_left_aside_where_one_has_no_such)
{
	struct mb_record a = record(), b = record();

	b.mtime.tv_nsec = b.ctime.tv_nsec = b.birth.tv_nsec = 0;
	CHECK_INT(records_differ(&a, &b, false), DIFFERS_TIMES);
	CHECK_INT(records_differ(&a, &b, true), 0);
	CHECK(!records_promise(&a, &b, false));
	CHECK(records_promise(&a, &b, true));
	b.mtime.tv_sec++;
	CHECK_INT(records_differ(&a, &b, true), DIFFERS_TIMES);
	CHECK(!records_promise(&a, &b, true));
}

CASE(targets_are_of_links)
{
	struct mb_record a = record(), b = record();

	a.target = mb_slice_of("one");
	b.target = mb_slice_of("two");
	CHECK_INT(records_differ(&a, &b, false), 0);
	a.type = b.type = MB_LINK;
	CHECK_INT(records_differ(&a, &b, false), DIFFERS_TARGET);
	b.target = mb_slice_of("one");
	CHECK_INT(records_differ(&a, &b, false), 0);
}

CASE(a_record_promises_only_if_all_of_it_agrees)
{
	struct mb_record a = record(), b = record();

	CHECK(records_promise(&a, &b, false));
#define BROKEN(field, value) \
	(b = record(), b.field = (value), !records_promise(&a, &b, false))
	CHECK(BROKEN(size, 99));
	CHECK(BROKEN(inode, 8));
	CHECK(BROKEN(mtime.tv_sec, 1));
	CHECK(BROKEN(ctime.tv_sec, 1));
	CHECK(BROKEN(ctime.tv_nsec, 1));
	CHECK(BROKEN(birth.tv_sec, 1));
	CHECK(BROKEN(digest_len, 0));
	CHECK(BROKEN(digest_len, 32));
	CHECK(BROKEN(digest[19], 1));
	/* behind the digest there is nothing */
	CHECK(!BROKEN(digest[20], 1));
	CHECK(!BROKEN(mode, 0100600));
#undef BROKEN
}

static void set_xattrs(struct mb_record *rec, struct bytes *plist,
		       const char *names)
{
	plist_t list = plist_new_dict();

	for (; *names; names += 2)
		plist_dict_set_item(list, (char[]){ names[0], 0 },
				    plist_new_data(names + 1, 1));
	*plist = plist_bytes(list);
	rec->xattrs = (struct mb_slice){ (char *)plist->ptr, plist->len };
	rec->xattrs_form = MB_XATTRS_PLIST;
}

CASE(attributes_are_a_set_of_names_and_values)
{
	static const struct {
		const char *ours, *theirs;
		bool same;
	} rows[] = {
		{ "a1b2", "a1b2", true },  { "a1b2c3", "c3a1b2", true },
		{ "a1b2", "a1b3", false }, { "a1b2", "a1", false },
		{ "a1b2", "a1c2", false }, { "", "a1", false },
		{ "", "", true },	   { "a1b2", "a2b1", false },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mb_record a = record(), b = record();
		struct bytes ours, theirs;

		set_xattrs(&a, &ours, rows[i].ours);
		set_xattrs(&b, &theirs, rows[i].theirs);
		CHECK_AT(records_differ(&a, &b, false) ==
				 (rows[i].same ? 0 : DIFFERS_ATTRIBUTES),
			 "%s, %s", rows[i].ours, rows[i].theirs);
		drop(&ours);
		drop(&theirs);
	}
}

/* ---- entries of two backups ---- */

static const struct example first[] = {
	{ PUT("HomeDomain", "same", "the same") },
	{ PUT("HomeDomain", "content", "one content") },
	{ PUT("HomeDomain", "length", "short") },
	{ PUT("HomeDomain", "gone", "lost"), .missing = true },
	{ .domain = "HomeDomain", .path = "folder", .mode = 040755 },
};

static const struct example second[] = {
	{ PUT("HomeDomain", "same", "the same"), .class = 4 },
	{ PUT("HomeDomain", "content", "two content"), .class = 1 },
	{ PUT("HomeDomain", "length", "much longer") },
	{ PUT("HomeDomain", "gone", "here") },
	{ PUT("HomeDomain", "folder", "is a file now") },
};

struct two {
	struct comparer c;
	struct crew *crew;
};

static void open_one(struct two *two, int side, const struct example *list,
		     size_t count, bool encrypted)
{
	struct bytes key = unhex(PASSCODE_KEY);
	const char *dir = temp_dir();

	put_example(dir, list, count, encrypted);
	if (mb_backup_open(&two->c.backup[side], dir, &err) < 0 ||
	    mb_backup_unlock(two->c.backup[side], key.ptr, &err) < 0 ||
	    mb_backup_load(two->c.backup[side], &err) < 0 ||
	    mb_tree_open(&two->c.tree[side], two->c.backup[side],
			 MB_VIEW_DOMAINS, &err) < 0)
		abort();
	drop(&key);
}

static void open_two(struct two *two, bool encrypted)
{
	*two = (struct two){ 0 };
	open_one(two, 0, first, COUNT(first), false);
	open_one(two, 1, second, COUNT(second), encrypted);
	if (crew_open(&two->crew) < 0)
		abort();
	two->c.crew = two->crew;
	CHECK_INT(comparer_open(&two->c), 0);
}

static void close_two(struct two *two)
{
	comparer_release(&two->c);
	for (int i = 0; i < 2; i++) {
		mb_tree_free(two->c.tree[i]);
		mb_backup_free(two->c.backup[i]);
	}
	crew_free(two->crew);
}

static struct comparison pair_of(struct two *two, const char *ours,
				 const char *theirs)
{
	struct comparison one = { 0 };
	const char *names[] = { ours, theirs };

	for (int i = 0; i < 2; i++)
		if (names[i])
			CHECK_INT(mb_tree_walk(two->c.tree[i], names[i],
					       &one.node[i], &err),
				  0);
	return one;
}

#define AT(name) "HomeDomain/" name

static void compare_all(bool encrypted)
{
	struct two two;

	open_two(&two, encrypted);
	two.c.all_contents = true;
	{
		struct comparison list[] = {
			pair_of(&two, AT("same"), AT("same")),
			pair_of(&two, AT("content"), AT("content")),
			pair_of(&two, AT("length"), AT("length")),
			pair_of(&two, AT("gone"), AT("gone")),
			pair_of(&two, AT("folder"), AT("folder")),
			pair_of(&two, AT("gone"), NULL),
			pair_of(&two, NULL, AT("length")),
			pair_of(&two, "HomeDomain", "HomeDomain"),
		};
		const unsigned want[] = {
			DIFFERS_PROTECTION,
			DIFFERS_PROTECTION | DIFFERS_CONTENT,
			DIFFERS_CONTENT | DIFFERS_SIZE,
			0,
			DIFFERS_TYPE | DIFFERS_MODE | DIFFERS_PROTECTION,
			0,
			0,
		};

		CHECK_INT(comparer_run(&two.c, list, 7, &err), 0);
		for (size_t i = 0; i < 7; i++) {
			CHECK_AT(list[i].what == want[i], "%zu: %#x", i,
				 list[i].what);
			CHECK_AT((list[i].rc[0] == -ENODATA) ==
					 (i == 3 || i == 5),
				 "%zu", i);
			CHECK_AT(!list[i].rc[1], "%zu", i);
			comparison_release(&list[i]);
		}
		CHECK_INT(list[2].size[0], 5);
		CHECK_INT(list[2].size[1], 11);
		CHECK_INT(list[4].size[1], 13);
		CHECK_INT(list[6].size[1], 11);
		CHECK_INT(two.c.files, 2);
		CHECK_INT(two.c.bytes, 8 + 11);
	}
	close_two(&two);
}

CASE(entries_of_two_plain_backups_are_compared)
{
	compare_all(false);
}

CASE(entries_of_a_plain_and_an_encrypted_backup_are_compared)
{
	compare_all(true);
}

static bool always(void)
{
	return true;
}

CASE(what_was_cancelled_says_so)
{
	struct two two;

	open_two(&two, false);
	two.c.cancelled = always;
	{
		struct comparison one =
			pair_of(&two, AT("content"), AT("content"));

		CHECK_INT(comparer_run(&two.c, &one, 1, &err), -ECANCELED);
		CHECK_INT(two.c.files, 0);
		comparison_release(&one);
	}
	close_two(&two);
}

int main(void)
{
	RUN(each_field_has_its_word);
	RUN(less_than_a_second_is_left_aside_where_one_has_no_such);
	RUN(targets_are_of_links);
	RUN(a_record_promises_only_if_all_of_it_agrees);
	RUN(attributes_are_a_set_of_names_and_values);
	RUN(entries_of_two_plain_backups_are_compared);
	RUN(entries_of_a_plain_and_an_encrypted_backup_are_compared);
	RUN(what_was_cancelled_says_so);
	return tap_end();
}
