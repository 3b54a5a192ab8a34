/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/folder.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define UDID "00008110-000A1B2C3D4E5F67"
#define OLD "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"

CASE(the_udid_in_front_of_a_name)
{
	CHECK_INT(mb_folder_udid_len(UDID), 25);
	CHECK_INT(mb_folder_udid_len(OLD), 40);
	CHECK_INT(mb_folder_udid_len(UDID "-20240615-100000"), 25);
	CHECK_INT(mb_folder_udid_len(OLD "-20240615-100000"), 40);
	CHECK_INT(mb_folder_udid_len(OLD "0"), 0);
	CHECK_INT(mb_folder_udid_len("00008110"), 0);
	CHECK_INT(mb_folder_udid_len("00008110-"), 0);
	CHECK_INT(mb_folder_udid_len("pictures"), 0);
	CHECK_INT(mb_folder_udid_len(""), 0);
}

static const char *with(const char *one, const char *other)
{
	const char *dir = temp_dir();

	if (one)
		put_text(dir, one, "x");
	if (other)
		put_text(dir, other, "x");
	return dir;
}

static bool is_backup(const char *dir)
{
	int fd = open_dir(dir);
	bool is = mb_folder_is_backup(fd);

	close(fd);
	return is;
}

CASE(a_manifest_or_two_of_the_lists_make_a_backup)
{
	const char *linked = temp_dir();

	CHECK(is_backup(with("Manifest.db", NULL)));
	CHECK(is_backup(with("Manifest.mbdb", NULL)));
	CHECK(is_backup(with("Info.plist", "Status.plist")));
	CHECK(!is_backup(with("Manifest.plist", NULL)));
	CHECK(!is_backup(with("Info.plist", "other")));
	CHECK(!is_backup(temp_dir()));
	CHECK_INT(symlink("/etc/passwd", in(linked, "Manifest.db")), 0);
	CHECK(!is_backup(linked));
}

static char found[200];

static int note(void *arg, const char *name, int fd)
{
	size_t len = strlen(found);

	CHECK(fd >= 0);
	snprintf(found + len, sizeof(found) - len, "%s,", name);
	return arg ? *(int *)arg : 0;
}

static int each(const char *dir, int *end)
{
	int fd = open_dir(dir), rc;

	*found = '\0';
	rc = mb_folder_each(fd, note, end);
	close(fd);
	return rc;
}

CASE(only_folders_of_the_folder_itself_are_found)
{
	const char *dir = temp_dir();

	put_text(dir, UDID "/Manifest.db", "x");
	put_text(dir, ".larder-x/Manifest.db", "x");
	put_text(dir, "deep/er/Manifest.db", "x");
	put_text(dir, "other/file", "x");
	put_text(dir, "Manifest.plist", "of something else");
	CHECK_INT(symlink(UDID, in(dir, "link")), 0);
	CHECK_INT(each(dir, NULL), 0);
	CHECK_TEXT(found, UDID ",");
	CHECK(mb_folder_holds_any(dir));
	CHECK(!mb_folder_holds_any(in(dir, "other")));
	CHECK(!mb_folder_holds_any(in(dir, UDID)));
	CHECK(!mb_folder_holds_any(in(dir, "missing")));
	CHECK(!mb_folder_holds_any(in(dir, "Manifest.plist")));
}

CASE(what_is_in_a_backup_is_none)
{
	const char *dir = temp_dir(), *unfinished = temp_dir();

	put_text(dir, "Manifest.db", "x");
	put_text(dir, UDID "/Manifest.db", "x");
	CHECK_INT(each(dir, NULL), 0);
	CHECK_TEXT(found, "");
	/* nor the one that a device is making */
	put_text(unfinished, "Snapshot/Manifest.db", "x");
	CHECK_INT(each(unfinished, NULL), 0);
	CHECK_TEXT(found, "");
	CHECK(!mb_folder_holds_any(unfinished));
}

CASE(the_walk_ends_when_it_is_told_to)
{
	const char *dir = temp_dir();
	int end = -ECANCELED;

	put_text(dir, "one/Manifest.db", "x");
	put_text(dir, "two/Manifest.db", "x");
	CHECK_INT(each(dir, &end), -ECANCELED);
	CHECK_INT(strlen(found), 4);
	CHECK_INT(each(dir, NULL), 0);
	CHECK_INT(strlen(found), 8);
}

int main(void)
{
	RUN(the_udid_in_front_of_a_name);
	RUN(a_manifest_or_two_of_the_lists_make_a_backup);
	RUN(only_folders_of_the_folder_itself_are_found);
	RUN(what_is_in_a_backup_is_none);
	RUN(the_walk_ends_when_it_is_told_to);
	return tap_end();
}
