/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree_example.h"

/* ---- what it is ---- */

CASE(a_folder_with_a_manifest_is_a_backup)
{
	const char *dir = temp_dir();

	put_example(dir, sample, COUNT(sample), false);
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_get_base(now.s));
	CHECK_TEXT(source_get_path(now.s), dir);
	CHECK_TEXT(source_get_about(now.s)->source, dir);
	CHECK(!source_is_whole(now.s)); /* it has no Info.plist */
	put_text(dir, "Info.plist", "<plist><dict/></plist>");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_is_whole(now.s));
	put_status(dir, "uploading");
	CHECK_INT(enter_source(dir, NULL) == 0 && source_is_whole(now.s), 0);
	put_status(dir, "finished");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(source_is_whole(now.s));
	unlink(in(dir, "Status.plist"));
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(!source_is_whole(now.s));
	leave();
}

CASE(a_copy_names_its_backup)
{
	struct pair p = make_pair(true, true);

	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_TEXT(source_get_path(now.s), p.copy);
	CHECK_TEXT(source_get_about(now.s)->source, p.backup);
	CHECK(source_get_base(now.s));
	CHECK(!source_is_whole(now.s));
	CHECK(!source_was_encrypted(now.s));
	leave();
}

/* An overlay's root is not the mount's, but ".larder" in it is. */
CASE(what_the_root_does_not_say_a_folder_in_it_may)
{
	struct pair p = make_pair(false, true);
	struct bytes list = read_file(in(p.backup, "Manifest.plist"));

	CHECK_INT(removexattr(p.copy, OURS "source"), 0);
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	drop(&list);
	set_text(in(p.copy, ".larder"), OURS "source", p.backup);
	must_scan(p.copy, NULL);
	CHECK_TEXT(source_get_about(now.s)->source, p.backup);
	CHECK_TEXT(edits(), "");
	leave();
}

CASE(the_base_that_is_given_is_the_one)
{
	struct pair p = make_pair(false, true), other = make_pair(false, true);

	CHECK_INT(enter_source(p.copy, other.backup), 0);
	CHECK_TEXT(source_get_about(now.s)->source, other.backup);
	CHECK_INT(enter_source(p.copy, in(p.backup, "absent")), -ENOENT);
	CHECK(strstr(now.err.text, p.copy));
	leave();
}

CASE(a_copy_without_its_backup_is_a_tree)
{
	struct pair p = make_pair(false, true);

	set_text(p.copy, OURS "source", "/no/such/folder/anywhere");
	set_text(p.copy, OURS "udid", "00008110-000A1B2C3D4E5F67");
	set_text(p.copy, OURS "encrypted", "yes");
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK(!source_get_base(now.s));
	CHECK(source_was_encrypted(now.s));
	CHECK_TEXT(source_get_about(now.s)->udid, "00008110-000A1B2C3D4E5F67");
	/* with it, it is known from there */
	CHECK_INT(enter_source(p.copy, p.backup), 0);
	CHECK(!source_was_encrypted(now.s));
	set_text(p.copy, OURS "encrypted", "no");
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK(!source_was_encrypted(now.s));
	leave();
}

CASE(any_folder_of_domains_is_a_tree_and_others_are_not)
{
	const char *dir = temp_dir();

	CHECK_INT(enter_source(dir, NULL), -ENOENT);
	CHECK(strstr(now.err.text, dir));
	put_text(dir, "some/thing", "");
	CHECK_INT(enter_source(dir, NULL), -ENOENT);
	put_text(dir, "HomeDomain/a", "");
	CHECK_INT(enter_source(dir, NULL), 0);
	CHECK(!source_get_base(now.s));
	CHECK_INT(enter_source(in(dir, "absent"), NULL), -ENOENT);
	leave();
}

CASE(a_part_of_a_tree_is_refused)
{
	struct pair p = make_pair(false, true);

	CHECK_INT(enter_source(in(p.copy, "HomeDomain"), NULL), -ENOENT);
	CHECK(strstr(now.err.text, "--only"));
	leave();
}

CASE(a_mount_of_another_version_is_refused)
{
	struct pair p = make_pair(false, true);
	struct bytes list = read_file(in(p.backup, "Manifest.plist"));

	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	CHECK_INT(enter_source(p.copy, NULL), 0);
	list.ptr[list.len / 2] ^= 1;
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len);
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	CHECK(strstr(now.err.text, "mount anew"));
	put_file(p.copy, ".larder/Manifest.plist", list.ptr, list.len - 1);
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	/* of one that is gone, it cannot be read */
	unlink(in(p.copy, ".larder/Manifest.plist"));
	CHECK_INT(enter_source(p.copy, NULL), -ESTALE);
	drop(&list);
	leave();
}

CASE(nothing_may_be_written_into_it)
{
	struct pair p = make_pair(false, true);
	char beside[300];

	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_INT(source_keep_out(now.s, p.copy, &now.err), -EINVAL);
	CHECK_INT(source_keep_out(now.s, in(p.copy, "HomeDomain/Library"),
				  &now.err),
		  -EINVAL);
	CHECK_INT(source_keep_out(now.s, p.backup, &now.err), -EINVAL);
	CHECK(strstr(now.err.text, p.backup));
	CHECK_INT(symlink(p.backup, in(temp_dir(), "link")), 0);
	CHECK_INT(source_keep_out(now.s, in(p.copy, ".."), &now.err), 0);
	CHECK_INT(source_keep_out(now.s, temp_dir(), &now.err), 0);
	/* a name that only begins alike */
	snprintf(beside, sizeof(beside), "%s2x", p.copy);
	mkdir(beside, 0700);
	CHECK_INT(source_keep_out(now.s, beside, &now.err), 0);
	CHECK_INT(source_keep_out(now.s, in(p.copy, "not/there"), &now.err), 0);
	leave();
}

CASE(nor_by_a_link)
{
	struct pair p = make_pair(false, true);
	const char *dir = temp_dir();

	CHECK_INT(symlink(p.backup, in(dir, "link")), 0);
	CHECK_INT(enter_source(p.copy, NULL), 0);
	CHECK_INT(source_keep_out(now.s, in(dir, "link"), &now.err), -EINVAL);
	leave();
}

/* ---- what is in it ---- */

CASE(a_backup_is_listed_whole)
{
	struct pair p = make_pair(true, true);
	const struct source_totals *t;
	struct mb_slice *domains;

	must_scan(p.backup, NULL);
	t = source_get_totals(now.s);
	CHECK_INT(t->entries, COUNT(sample));
	CHECK_INT(t->files, 4);
	CHECK_INT(t->bytes, 14 + 15 + 0 + 12);
	CHECK_INT(t->changed + t->added + t->removed + t->damaged, 0);
	CHECK_INT(source_get_domains(now.s, &domains), 2);
	CHECK_TEXT(domains[0].ptr, "AppDomain-com.example.app");
	CHECK_TEXT(domains[1].ptr, "HomeDomain");
	leave();
}

CASE(a_copy_that_was_not_edited_is_the_backup)
{
	for (int i = 0; i < 4; i++) {
		struct pair p = make_pair(i & 1, i & 2);
		const struct source_totals *t;

		must_scan(p.copy, NULL);
		t = source_get_totals(now.s);
		CHECK_TEXT(edits(), "");
		CHECK_INT(t->entries, COUNT(sample));
		CHECK_INT(t->bytes, 14 + 15 + 0 + 12);
		CHECK_INT(t->changed + t->added + t->removed + t->damaged, 0);
		CHECK_TEXT(said(&now.odd), "");
		leave();
	}
}

CASE(each_edit_is_found)
{
	static const struct {
		const char *name;
		void (*edit)(const char *dir);
		const char *found;
	} all[] = {
		{ "same size and time", same_size_and_time,
		  "changed HomeDomain/a.txt\n" },
		{ "shorter", shorter, "changed HomeDomain/a.txt\n" },
		{ "longer", longer, "changed HomeDomain/a.txt\n" },
		{ "mode", another_mode,
		  "touched HomeDomain/Library\ntouched HomeDomain/b.txt\n" },
		{ "time", another_time,
		  "touched HomeDomain/Library\ntouched HomeDomain/b.txt\n"
		  "touched HomeDomain/link\n" },
		{ "more attributes", more_attributes,
		  "touched HomeDomain/Library\ntouched HomeDomain/a.txt\n" },
		{ "fewer attributes", fewer_attributes,
		  "touched HomeDomain/b.txt\n" },
		{ "other attributes", other_attributes,
		  "touched HomeDomain/b.txt\n" },
		{ "target", another_target, "changed HomeDomain/link\n" },
		{ "file for link", file_for_link, "changed HomeDomain/link\n" },
		{ "folder for file", folder_for_file,
		  "added HomeDomain/a.txt/in it\n"
		  "changed HomeDomain/a.txt\n" },
		{ "link for folder", link_for_folder,
		  "changed HomeDomain/Library\n" },
		{ "new", new_entries,
		  "added HomeDomain/Library/new\n"
		  "added HomeDomain/Library/new/deep\n"
		  "added HomeDomain/Library/new/deep/file\n"
		  "added HomeDomain/new link\n"
		  "added NewDomain/\n"
		  "added NewDomain/file\n" },
		{ "odd names", odd_names,
		  "added HomeDomain/.hidden\n"
		  "added HomeDomain/caf\xe9 100%2F\n\n" },
		{ "moved", moved_file, "added HomeDomain/c.txt\n" },
		{ "replaced by the same", replaced_by_the_same, "" },
		{ "changed places", changed_places,
		  "changed AppDomain-com.example.app/one\n"
		  "changed HomeDomain/b.txt\n" },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);
			const char *found;

			all[i].edit(p.copy);
			must_scan(p.copy, NULL);
			found = edits();
			CHECK_AT(!strcmp(found, all[i].found), "%s:\n%s",
				 all[i].name, found);
			leave();
		}
}

CASE(what_is_gone_is_counted)
{
	struct pair p = make_pair(false, true);
	const struct source_totals *t;

	unlink(in(p.copy, "HomeDomain/Library/deep"));
	rmdir(in(p.copy, "HomeDomain/Library"));
	unlink(in(p.copy, "HomeDomain/link"));
	set_times(in(p.copy, "HomeDomain"), EXAMPLE_TIME);
	unlink(in(p.copy, "AppDomain-com.example.app/one"));
	rmdir(in(p.copy, "AppDomain-com.example.app"));
	must_scan(p.copy, NULL);
	t = source_get_totals(now.s);
	CHECK_TEXT(edits(), "");
	CHECK_INT(t->removed, 5);
	CHECK_INT(t->entries, COUNT(sample) - 5);
	leave();
}

CASE(what_a_phone_cannot_have_is_left_out_and_told)
{
	struct pair p = make_pair(false, true);

	mkfifo(in(p.copy, "HomeDomain/fifo"), 0600);
	put_text(p.copy, "not in a domain", "x");
	put_text(p.copy, ".Trash-0/files/old", "x");
	set_times(in(p.copy, "HomeDomain"), EXAMPLE_TIME);
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "");
	CHECK(strstr(said(&now.odd), "HomeDomain/fifo: left out"));
	CHECK(strstr(said(&now.odd), "not in a domain: left out"));
	CHECK(strstr(said(&now.odd), ".Trash-0: left out"));
	CHECK_AT(!strstr(said(&now.odd), "/old"), "%s", said(&now.odd));
	leave();
}

/* A mount with umask= or mode options shows no recorded ones. */
CASE(permissions_that_a_mount_gave_are_no_edit)
{
	struct pair p = make_pair(false, true);

	set_text(p.copy, OURS "file-mode", "400");
	set_text(p.copy, OURS "dir-mode", "500");
	for (size_t i = 0; i < COUNT(sample); i++) {
		char path[200];

		snprintf(path, sizeof(path), "%s/%s", sample[i].domain,
			 sample[i].path);
		if (!sample[i].target)
			chmod(in(p.copy, path),
			      example_is_file(&sample[i]) ? 0400 : 0500);
	}
	chmod(in(p.copy, "HomeDomain/a.txt"), 0500);
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "touched HomeDomain/a.txt\n");
	chmod(in(p.copy, "HomeDomain"), 0700);
	chmod(in(p.copy, "HomeDomain/Library"), 0700);
	chmod(in(p.copy, "AppDomain-com.example.app"), 0700);
	leave();
}

CASE(who_new_entries_belong_to)
{
	struct pair p = make_pair(false, true);
	const struct source_entry *e;

	put_text(p.copy, "HomeDomain/new", "x");
	put_text(p.copy, "AppDomain-com.example.app/d/new", "x");
	put_text(p.copy, "NewDomain/new", "x");
	rename(in(p.copy, "AppDomain-com.example.app/one"),
	       in(p.copy, "NewDomain/moved"));
	set_text(in(p.copy, "NewDomain/moved"), OURS "uid", "33");
	must_scan(p.copy, NULL);
	/* as the first file beside it */
	e = entry_of("HomeDomain", "new");
	CHECK_INT(e->fresh->neighbour.uid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 4);
	/* as above it */
	e = entry_of("AppDomain-com.example.app", "d/new");
	CHECK_INT(e->fresh->neighbour.protection_class, 1);
	/* nobody near */
	e = entry_of("NewDomain", "new");
	CHECK_INT(e->fresh->neighbour.uid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 3);
	/* who was moved brings along who it is */
	e = entry_of("NewDomain", "moved");
	CHECK_INT(e->fresh->neighbour.uid, 33);
	CHECK_INT(e->fresh->neighbour.gid, 501);
	CHECK_INT(e->fresh->neighbour.protection_class, 1);
	leave();
}

CASE(attributes_that_are_no_numbers_are_nobodys)
{
	static const char *const bad[] = {
		"", "x", "5x", "-1", "4294967296", "99999999999999999999999"
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct pair p = make_pair(false, true);
		const struct source_entry *e;

		put_text(p.copy, "NewDomain/f", "x");
		set_text(in(p.copy, "NewDomain/f"), OURS "uid", bad[i]);
		set_text(in(p.copy, "NewDomain/f"), OURS "protection-class",
			 bad[i]);
		must_scan(p.copy, NULL);
		e = entry_of("NewDomain", "f");
		CHECK_AT(e->fresh->neighbour.uid == 501, "\"%s\": %u", bad[i],
			 e->fresh->neighbour.uid);
		CHECK_AT(e->fresh->neighbour.protection_class == 3, "\"%s\"",
			 bad[i]);
		leave();
	}
}

/* all of the example have the number 7 */
CASE(an_edited_name_of_a_file_with_several_is_a_file_of_its_own)
{
	struct pair p = make_pair(false, true);
	uint64_t edited, added;

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "HomeDomain/new", "new");
	put_text(p.copy, "AppDomain-com.example.app/one", "edited");
	must_scan(p.copy, NULL);
	edited = entry_of("HomeDomain", "a.txt")->fresh->inode;
	added = entry_of("HomeDomain", "new")->fresh->inode;
	CHECK(edited > 7 && added > 7 && edited != added);
	/* alone in its domain */
	CHECK_INT(entry_of("AppDomain-com.example.app", "one")->fresh->inode,
		  0);
	leave();
}

CASE(a_selection_takes_what_is_above_along)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };
	const char *places[] = { p.backup, p.copy };

	for (size_t i = 0; i < COUNT(places); i++) {
		struct mb_slice *domains;

		CHECK_INT(enter_source(places[i], NULL), 0);
		selection_option(&now.selection, &command, SELECTION_ONLY,
				 "HomeDomain/Library/deep");
		CHECK_INT(scan(), 0);
		CHECK_INT(source_get_totals(now.s)->entries, 3);
		CHECK_INT(source_get_totals(now.s)->files, 1);
		CHECK_INT(source_get_totals(now.s)->removed, 0);
		CHECK_INT(source_get_domains(now.s, &domains), 1);
		leave();
	}
}

CASE(a_selection_sees_only_its_edits)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "HomeDomain/Library/new", "new");
	unlink(in(p.copy, "HomeDomain/b.txt"));
	unlink(in(p.copy, "AppDomain-com.example.app/one"));
	CHECK_INT(enter_source(p.copy, NULL), 0);
	selection_option(&now.selection, &command, SELECTION_ONLY,
			 "HomeDomain/Library");
	selection_option(&now.selection, &command, SELECTION_ONLY, "App*");
	CHECK_INT(scan(), 0);
	/* folders whose names changed have another time */
	CHECK_TEXT(edits(), "added HomeDomain/Library/new\n"
			    "touched AppDomain-com.example.app/\n"
			    "touched HomeDomain/\n"
			    "touched HomeDomain/Library\n");
	CHECK_INT(source_get_totals(now.s)->removed, 1);
	leave();
}

CASE(a_pattern_that_matches_nothing_is_an_error)
{
	struct pair p = make_pair(false, true);
	static const struct command command = { .name = "test" };

	CHECK_INT(enter_source(p.copy, NULL), 0);
	selection_option(&now.selection, &command, SELECTION_ONLY, "None");
	CHECK_INT(scan(), -ENOENT);
	CHECK(strstr(now.err.text, "None"));
	leave();
}

CASE(damage_of_what_is_kept_is_told)
{
	struct pair p = make_pair(true, true);
	const char *places[] = { p.backup, p.copy };

	unlink(in(p.backup, example_payload("HomeDomain", "b.txt")));
	unlink(in(p.backup, example_payload("HomeDomain", "a.txt")));
	for (size_t i = 0; i < COUNT(places); i++) {
		must_scan(places[i], NULL);
		/* what has its content in the tree needs none of the backup */
		CHECK_INT(source_get_totals(now.s)->damaged, i ? 0 : 2);
		if (!i)
			CHECK(strstr(said(&now.damaged),
				     "HomeDomain/a.txt: payload"));
		else
			CHECK_TEXT(edits(), "changed HomeDomain/a.txt\n"
					    "changed HomeDomain/b.txt\n");
		leave();
	}
}

CASE(a_scan_can_be_cancelled)
{
	struct pair p = make_pair(false, true);
	const char *places[] = { p.backup, p.copy };

	for (size_t i = 0; i < COUNT(places); i++) {
		CHECK_INT(enter_source(places[i], NULL), 0);
		now.cancelled = true;
		CHECK_INT(scan(), -ECANCELED);
		CHECK_TEXT(now.err.text, "cancelled");
		leave();
	}
}

/* ---- without a base ---- */

CASE(a_tree_of_nobodys_is_all_new)
{
	const char *dir = temp_dir();

	put_text(dir, "HomeDomain/a/b", "x");
	CHECK_INT(symlink("b", in(dir, "HomeDomain/a/c")), 0);
	must_scan(dir, NULL);
	CHECK_TEXT(edits(), "added HomeDomain/\nadded HomeDomain/a\n"
			    "added HomeDomain/a/b\nadded HomeDomain/a/c\n");
	CHECK_INT(source_get_totals(now.s)->removed, 0);
	CHECK(entry_of("HomeDomain", "a/b")->fresh->inode);
	leave();
}

/* "A/b" cannot be a name: a mount shows "A%2Fb", and says what it was */
CASE(names_that_had_to_be_escaped_are_known_by_their_attributes)
{
	const char *dir = temp_dir();

	put_text(dir, "A%2FbDomain/100%2F", "x");
	put_text(dir, "A%2FbDomain/lie%2F", "x");
	put_text(dir, "A%2FbDomain/same", "x");
	set_text(in(dir, "A%2FbDomain"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain"), OURS "path", "");
	set_text(in(dir, "A%2FbDomain/100%2F"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain/100%2F"), OURS "path", "100%2F");
	set_text(in(dir, "A%2FbDomain/lie%2F"), OURS "domain", "A/bDomain");
	set_text(in(dir, "A%2FbDomain/lie%2F"), OURS "path", "../up");
	must_scan(dir, NULL);
	CHECK(!strstr(edits(), "up"));
	CHECK(strstr(edits(), "added A/bDomain/lie%2F\n"));
	CHECK(strstr(edits(), "added A/bDomain/same\n"));
	leave();
}

int main(void)
{
	RUN(trees_need_a_file_system_with_attributes_of_users);
	if (tap.skip)
		return tap_end();
	RUN(a_folder_with_a_manifest_is_a_backup);
	RUN(a_copy_names_its_backup);
	RUN(what_the_root_does_not_say_a_folder_in_it_may);
	RUN(the_base_that_is_given_is_the_one);
	RUN(a_copy_without_its_backup_is_a_tree);
	RUN(any_folder_of_domains_is_a_tree_and_others_are_not);
	RUN(a_part_of_a_tree_is_refused);
	RUN(a_mount_of_another_version_is_refused);
	RUN(nothing_may_be_written_into_it);
	RUN(nor_by_a_link);
	RUN(a_backup_is_listed_whole);
	RUN(a_copy_that_was_not_edited_is_the_backup);
	RUN(each_edit_is_found);
	RUN(what_is_gone_is_counted);
	RUN(what_a_phone_cannot_have_is_left_out_and_told);
	RUN(permissions_that_a_mount_gave_are_no_edit);
	RUN(who_new_entries_belong_to);
	RUN(attributes_that_are_no_numbers_are_nobodys);
	RUN(an_edited_name_of_a_file_with_several_is_a_file_of_its_own);
	RUN(a_selection_takes_what_is_above_along);
	RUN(a_selection_sees_only_its_edits);
	RUN(a_pattern_that_matches_nothing_is_an_error);
	RUN(damage_of_what_is_kept_is_told);
	RUN(a_scan_can_be_cancelled);
	RUN(a_tree_of_nobodys_is_all_new);
	RUN(names_that_had_to_be_escaped_are_known_by_their_attributes);
	return tap_end();
}
