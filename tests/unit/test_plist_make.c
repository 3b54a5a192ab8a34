/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "fixture.h"
#include "info_plist.h"
#include "manifest_plist.h"
#include "plistx.h"
#include "status_plist.h"
#include "tap.h"

#define DATE 1700000000

static plist_t parse(const struct buf *b)
{
	plist_t node = NULL;

	if (b->len > 8 && !memcmp(b->ptr, "bplist00", 8))
		plist_from_bin((char *)b->ptr, (uint32_t)b->len, &node);
	else
		plist_from_xml((char *)b->ptr, (uint32_t)b->len, &node);
	if (!CHECK(node && plist_get_node_type(node) == PLIST_DICT))
		abort();
	return node;
}

static bool is_binary(const struct buf *b)
{
	return b->len > 8 && !memcmp(b->ptr, "bplist00", 8);
}

static bool has_text(plist_t dict, const char *key, const char *want)
{
	const char *got = plistx_text(dict, key);

	return CHECK_TEXT(got, want);
}

static bool has_bool(plist_t dict, const char *key, bool want)
{
	bool got;

	return CHECK_AT(plistx_bool(dict, key, &got) && got == want, "%s", key);
}

static bool has_data(plist_t dict, const char *key, const char *want)
{
	struct view v;

	return CHECK_AT(plistx_data(dict, key, &v), "%s", key) &&
	       CHECK_BYTES(v.ptr, v.len, want, strlen(want));
}

static bool has_date(plist_t dict, const char *key, int64_t want)
{
	int64_t got = 0;

	return CHECK_AT(plistx_date(dict, key, &got), "%s", key) &&
	       CHECK_INT(got, want);
}

/* ---- Manifest.plist ---- */

/* One with what is known, what is not, and three applications. */
static plist_t manifest_of_tomorrow(void)
{
	static const char *const ids[] = { "com.example.one", "com.example.two",
					   "com.example.\xc3\xbc" };
	plist_t dict = plist_new_dict(), lockdown = plist_new_dict();
	plist_t apps = plist_new_dict(), list = plist_new_array();

	plist_dict_set_item(dict, "Version", plist_new_string("10.0"));
	plist_dict_set_item(dict, "SystemDomainsVersion",
			    plist_new_string("24.0"));
	plist_dict_set_item(dict, "IsEncrypted", plist_new_bool(1));
	plist_dict_set_item(dict, "WasPasscodeSet", plist_new_bool(1));
	plist_dict_set_item(dict, "Date", plistx_new_date(DATE));
	plist_dict_set_item(dict, "BackupKeyBag", plist_new_data("bag", 3));
	plist_dict_set_item(dict, "ManifestKey", plist_new_data("key", 3));
	plist_dict_set_item(lockdown, "DeviceName", plist_new_string("x"));
	plist_dict_set_item(dict, "Lockdown", lockdown);
	for (size_t i = 0; i < COUNT(ids); i++) {
		plist_t app = plist_new_dict();

		plist_dict_set_item(app, "CFBundleIdentifier",
				    plist_new_string(ids[i]));
		plist_dict_set_item(apps, ids[i], app);
	}
	plist_dict_set_item(dict, "Applications", apps);
	plist_array_append_item(list, plist_new_uint((uint64_t)-13));
	plist_array_append_item(list, plist_new_uint(UINT32_MAX));
	plist_array_append_item(list, plist_new_real(0.5));
	plist_dict_set_item(dict, "Tomorrow", list);
	plist_dict_set_item(dict, "Reference", plist_new_uid(5));
	return dict;
}

static const char *folder_with(const char *name, plist_t node)
{
	const char *dir = temp_dir();
	struct bytes b = plist_bytes(node);

	put_file(dir, name, b.ptr, b.len);
	drop(&b);
	return dir;
}

static plist_t make(const char *dir, const struct manifest_plist_edit *edit)
{
	struct buf out = { 0 };
	int fd = dir ? open_dir(dir) : -1;
	struct mb_err err = { 0 };
	plist_t node;

	CHECK_INT(manifest_plist_make(&out, fd, dir ? "Manifest.plist" : NULL,
				      edit, &err),
		  0);
	CHECK_TEXT(err.text, "");
	CHECK(is_binary(&out));
	node = parse(&out);
	buf_release(&out);
	if (fd >= 0)
		close(fd);
	return node;
}

static void check_tomorrow(plist_t dict)
{
	plist_t list = plist_dict_get_item(dict, "Tomorrow");
	uint64_t number = 0;
	double real = 0;

	has_bool(dict, "WasPasscodeSet", true);
	has_text(dict, "SystemDomainsVersion", "24.0");
	has_text(plist_dict_get_item(dict, "Lockdown"), "DeviceName", "x");
	plist_get_uint_val(plist_array_get_item(list, 0), &number);
	CHECK_INT(number, -13);
	plist_get_uint_val(plist_array_get_item(list, 1), &number);
	CHECK_INT(number, UINT32_MAX);
	plist_get_real_val(plist_array_get_item(list, 2), &real);
	CHECK(real == 0.5);
	plist_get_uid_val(plist_dict_get_item(dict, "Reference"), &number);
	CHECK_INT(number, 5);
}

CASE(a_manifest_list_without_an_edit_loses_only_its_key)
{
	const char *dir = folder_with("Manifest.plist", manifest_of_tomorrow());
	struct manifest_plist_edit edit = { .encrypted = -1 };
	plist_t dict = make(dir, &edit);

	check_tomorrow(dict);
	has_text(dict, "Version", "10.0");
	has_bool(dict, "IsEncrypted", true);
	has_data(dict, "BackupKeyBag", "bag");
	has_date(dict, "Date", DATE);
	CHECK(!plist_dict_get_item(dict, "ManifestKey"));
	CHECK_INT(
		plist_dict_get_size(plist_dict_get_item(dict, "Applications")),
		3);
	CHECK_INT(plist_dict_get_size(dict), 10);
	plist_free(dict);
}

CASE(all_that_is_said_is_changed_and_nothing_else)
{
	const char *dir = folder_with("Manifest.plist", manifest_of_tomorrow());
	struct manifest_plist_edit edit = {
		.encrypted = 0,
		.keybag = view_of("new bag", 7),
		.key = view_of("new key", 7),
		.manifest_db = true,
		.date = DATE + 1,
	};
	plist_t dict = make(dir, &edit);

	check_tomorrow(dict);
	has_text(dict, "Version", "10.0");
	has_bool(dict, "IsEncrypted", false);
	has_data(dict, "BackupKeyBag", "new bag");
	has_data(dict, "ManifestKey", "new key");
	has_date(dict, "Date", DATE + 1);
	CHECK_INT(plist_dict_get_size(dict), 11);
	plist_free(dict);
}

CASE(a_version_is_raised_and_never_lowered)
{
	static const char *const versions[][2] = {
		{ "9.1", "10.0" },  { "10.0", "10.0" }, { "10.5", "10.5" },
		{ "11.0", "11.0" }, { "", "10.0" },	{ NULL, "10.0" },
	};

	for (size_t i = 0; i < COUNT(versions); i++) {
		plist_t before = plist_new_dict(), dict;
		struct manifest_plist_edit edit = { .encrypted = -1,
						    .manifest_db = true };

		if (versions[i][0])
			plist_dict_set_item(before, "Version",
					    plist_new_string(versions[i][0]));
		dict = make(folder_with("Manifest.plist", before), &edit);
		has_text(dict, "Version", versions[i][1]);
		plist_free(dict);
	}
}

static bool is_not_two(void *arg, const char *id)
{
	++*(int *)arg;
	return strcmp(id, "com.example.two") != 0;
}

CASE(applications_stay_as_they_are_asked_for)
{
	const char *dir = folder_with("Manifest.plist", manifest_of_tomorrow());
	int asked = 0;
	struct manifest_plist_edit edit = { .encrypted = -1,
					    .keeps_app = is_not_two,
					    .arg = &asked };
	plist_t dict = make(dir, &edit), apps;

	CHECK_INT(asked, 3);
	apps = plist_dict_get_item(dict, "Applications");
	CHECK_INT(plist_dict_get_size(apps), 2);
	has_text(plist_dict_get_item(apps, "com.example.\xc3\xbc"),
		 "CFBundleIdentifier", "com.example.\xc3\xbc");
	CHECK(plist_dict_get_item(apps, "com.example.one"));
	check_tomorrow(dict);
	plist_free(dict);
}

CASE(applications_that_are_no_dictionary_are_left_alone)
{
	plist_t before = plist_new_dict(), dict;
	int asked = 0;
	struct manifest_plist_edit edit = { .encrypted = -1,
					    .keeps_app = is_not_two,
					    .arg = &asked };

	plist_dict_set_item(before, "Applications", plist_new_string("none"));
	dict = make(folder_with("Manifest.plist", before), &edit);
	has_text(dict, "Applications", "none");
	CHECK_INT(asked, 0);
	plist_free(dict);
	dict = make(folder_with("Manifest.plist", plist_new_dict()), &edit);
	CHECK(!plist_dict_get_item(dict, "Applications"));
	plist_free(dict);
}

CASE(a_manifest_list_from_nothing_has_the_least)
{
	struct manifest_plist_edit edit = {
		.encrypted = 1,
		.keybag = view_of("bag", 3),
		.key = view_of("key", 3),
		.manifest_db = true,
		.date = DATE,
	};
	plist_t dict = make(NULL, &edit);

	has_text(dict, "Version", "10.0");
	has_text(dict, "SystemDomainsVersion", "20.0");
	has_bool(dict, "WasPasscodeSet", false);
	has_bool(dict, "IsEncrypted", true);
	has_data(dict, "BackupKeyBag", "bag");
	has_data(dict, "ManifestKey", "key");
	has_date(dict, "Date", DATE);
	CHECK(plist_get_node_type(plist_dict_get_item(dict, "Lockdown")) ==
	      PLIST_DICT);
	CHECK(plist_get_node_type(plist_dict_get_item(dict, "Applications")) ==
	      PLIST_DICT);
	CHECK_INT(plist_dict_get_size(dict), 9);
	plist_free(dict);
	edit = (struct manifest_plist_edit){ .encrypted = -1 };
	dict = make(NULL, &edit);
	has_bool(dict, "IsEncrypted", false);
	CHECK(!plist_dict_get_item(dict, "ManifestKey"));
	plist_free(dict);
}

CASE(the_reader_understands_what_was_made)
{
	const char *dir = temp_dir();
	struct manifest_plist_edit edit = {
		.encrypted = 1,
		.keybag = view_of("bag", 3),
		.key = view_of("key", 3),
		.date = DATE,
	};
	struct manifest_plist plist;
	struct buf out = { 0 };
	int fd = open_dir(dir);

	CHECK_INT(manifest_plist_make(&out, -1, NULL, &edit, NULL), 0);
	put_file(dir, "Manifest.plist", out.ptr, out.len);
	CHECK_INT(manifest_plist_read(&plist, fd, "Manifest.plist", NULL), 0);
	CHECK(plist.encrypted && plist.version == 10);
	CHECK_BYTES(plist.keybag.ptr, plist.keybag.len, "bag", 3);
	CHECK_BYTES(plist.key.ptr, plist.key.len, "key", 3);
	CHECK_INT(plist.date, DATE);
	manifest_plist_release(&plist);
	buf_release(&out);
	close(fd);
}

CASE(a_list_that_cannot_be_read_makes_none)
{
	struct manifest_plist_edit edit = { .encrypted = -1 };
	const char *dir = folder_with("array.plist", plist_new_array());
	struct bytes deep = { 0 };
	struct buf out = { 0 };
	int fd = open_dir(dir);
	struct mb_err err;
	size_t count;

	add_text(&deep, "<?xml version=\"1.0\"?><plist>");
	for (int i = 0; i < 1000; i++)
		add_text(&deep, "<dict><key>a</key>");
	put_file(dir, "deep.plist", deep.ptr, deep.len);
	put_text(dir, "odd.plist", "no list");
	CHECK_INT(manifest_plist_make(&out, fd, "array.plist", &edit, &err),
		  -EBADMSG);
	CHECK(strstr(err.text, "array.plist"));
	CHECK_INT(manifest_plist_make(&out, fd, "deep.plist", &edit, &err),
		  -EBADMSG);
	CHECK_INT(manifest_plist_make(&out, fd, "odd.plist", &edit, &err),
		  -EBADMSG);
	CHECK_INT(manifest_plist_make(&out, fd, "none.plist", &edit, &err),
		  -ENOENT);
	CHECK_INT(info_plist_applications(&out, fd, "deep.plist", NULL, NULL,
					  &count, &err),
		  -EBADMSG);
	CHECK_INT(info_plist_applications(&out, fd, "none.plist", NULL, NULL,
					  &count, &err),
		  -ENOENT);
	CHECK_INT(out.len, 0);
	drop(&deep);
	close(fd);
}

/* ---- Status.plist ---- */

CASE(a_status_says_that_the_backup_is_complete)
{
	static const uint8_t uuid[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					  0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98,
					  0x76, 0x54, 0x32, 0x10 };
	const char *dir = temp_dir();
	enum snapshot_state state;
	struct buf out = { 0 };
	int fd = open_dir(dir);
	plist_t dict;

	CHECK_INT(status_plist_make(&out, uuid, DATE), 0);
	CHECK(is_binary(&out));
	dict = parse(&out);
	has_text(dict, "Version", "3.3");
	has_text(dict, "UUID", "01234567-89AB-CDEF-FEDC-BA9876543210");
	has_text(dict, "BackupState", "new");
	has_text(dict, "SnapshotState", "finished");
	has_bool(dict, "IsFullBackup", true);
	has_date(dict, "Date", DATE);
	CHECK_INT(plist_dict_get_size(dict), 6);
	plist_free(dict);
	put_file(dir, "Status.plist", out.ptr, out.len);
	CHECK_INT(status_plist_read(&state, fd, "Status.plist", NULL), 0);
	CHECK_INT(state, SNAPSHOT_FINISHED);
	buf_release(&out);
	close(fd);
}

/* ---- Info.plist ---- */

static const uint8_t guid[16] = { 0xab, 0xcd, [15] = 0x0f };

CASE(a_device_that_is_known_is_described)
{
	char name[] = "Anna's <iPhone> & \xc3\x9c\x01\xff",
	     udid[] = "00008110-000a1b2c";
	struct info_plist info = {
		.device_name = name,
		.product_type = (char *)"iPhone12,1",
		.product_name = (char *)"iPhone 11",
		.product_version = (char *)"16.1",
		.build_version = (char *)"20B82",
		.serial_number = (char *)"SERIAL",
		.udid = udid,
		.date = DATE,
	};
	const char *dir = temp_dir();
	struct buf out = { 0 };
	struct info_plist back;
	int fd = open_dir(dir);
	plist_t dict;

	CHECK_INT(info_plist_make(&out, &info, guid), 0);
	CHECK(!memcmp(out.ptr, "<?xml", 5));
	dict = parse(&out);
	has_text(dict, "Device Name", "Anna's <iPhone> & \xc3\x9c??");
	has_text(dict, "Display Name", "Anna's <iPhone> & \xc3\x9c??");
	has_text(dict, "Product Type", "iPhone12,1");
	has_text(dict, "Product Name", "iPhone 11");
	has_text(dict, "Product Version", "16.1");
	has_text(dict, "Build Version", "20B82");
	has_text(dict, "Serial Number", "SERIAL");
	has_text(dict, "Target Type", "Device");
	has_text(dict, "Target Identifier", "00008110-000a1b2c");
	has_text(dict, "Unique Identifier", "00008110-000A1B2C");
	has_text(dict, "GUID", "ABCD000000000000000000000000000F");
	has_date(dict, "Last Backup Date", DATE);
	CHECK_INT(
		plist_dict_get_size(plist_dict_get_item(dict, "Applications")),
		0);
	plist_free(dict);
	put_file(dir, "Info.plist", out.ptr, out.len);
	CHECK_INT(info_plist_read(&back, fd, "Info.plist", NULL), 0);
	CHECK_TEXT(back.udid, udid);
	CHECK_INT(back.date, DATE);
	info_plist_release(&back);
	buf_release(&out);
	close(fd);
}

CASE(what_is_not_known_of_a_device_is_left_out)
{
	struct info_plist info = { 0 };
	struct buf out = { 0 };
	plist_t dict;

	CHECK_INT(info_plist_make(&out, &info, guid), 0);
	dict = parse(&out);
	CHECK_INT(plist_dict_get_size(dict), 3);
	has_text(dict, "Target Type", "Device");
	CHECK(plist_dict_get_item(dict, "GUID") &&
	      plist_dict_get_item(dict, "Applications"));
	plist_free(dict);
	buf_release(&out);
}

static plist_t info_with_apps(void)
{
	static const char *const ids[] = { "com.example.one",
					   "com.example.two" };
	plist_t dict = plist_new_dict(), apps = plist_new_dict();

	for (size_t i = 0; i < COUNT(ids); i++) {
		plist_t app = plist_new_dict();

		plist_dict_set_item(app, "ApplicationSINF",
				    plist_new_data("\0sinf", 5));
		plist_dict_set_item(app, "iTunesMetadata",
				    plist_new_data("meta", 4));
		plist_dict_set_item(apps, ids[i], app);
	}
	plist_dict_set_item(dict, "Applications", apps);
	return dict;
}

CASE(applications_to_install_are_a_list_of_their_own)
{
	const char *dir = folder_with("Info.plist", info_with_apps());
	struct buf xml = { 0 };
	int fd = open_dir(dir), asked = 0;
	struct view data = { 0 };
	size_t count = 0;
	plist_t dict;

	CHECK_INT(info_plist_applications(&xml, fd, "Info.plist", is_not_two,
					  &asked, &count, NULL),
		  0);
	CHECK(asked == 2 && count == 1);
	CHECK(!memcmp(xml.ptr, "<?xml", 5));
	dict = parse(&xml);
	CHECK_INT(plist_dict_get_size(dict), 1);
	CHECK(plistx_data(plist_dict_get_item(dict, "com.example.one"),
			  "ApplicationSINF", &data));
	CHECK_BYTES(data.ptr, data.len, "\0sinf", 5);
	plist_free(dict);
	xml.len = 0;
	CHECK_INT(info_plist_applications(&xml, fd, "Info.plist", NULL, NULL,
					  &count, NULL),
		  0);
	CHECK_INT(count, 2);
	dict = parse(&xml);
	CHECK_INT(plist_dict_get_size(dict), 2);
	plist_free(dict);
	buf_release(&xml);
	close(fd);
}

static bool is_none(void *arg, const char *id)
{
	(void)arg, (void)id;
	return false;
}

CASE(without_applications_there_is_nothing_to_install)
{
	plist_t odd = plist_new_dict();
	struct buf xml = { 0 };
	size_t count = 9;
	int fd;

	fd = open_dir(folder_with("Info.plist", info_with_apps()));
	CHECK_INT(info_plist_applications(&xml, fd, "Info.plist", is_none, NULL,
					  &count, NULL),
		  0);
	CHECK(count == 0 && xml.len == 0);
	close(fd);
	plist_dict_set_item(odd, "Applications", plist_new_string("x"));
	fd = open_dir(folder_with("Info.plist", odd));
	count = 9;
	CHECK_INT(info_plist_applications(&xml, fd, "Info.plist", NULL, NULL,
					  &count, NULL),
		  0);
	CHECK(count == 0 && xml.len == 0);
	close(fd);
	fd = open_dir(folder_with("Info.plist", plist_new_array()));
	count = 9;
	CHECK_INT(info_plist_applications(&xml, fd, "Info.plist", NULL, NULL,
					  &count, NULL),
		  0);
	CHECK(count == 0 && xml.len == 0);
	close(fd);
}

int main(void)
{
	RUN(a_manifest_list_without_an_edit_loses_only_its_key);
	RUN(all_that_is_said_is_changed_and_nothing_else);
	RUN(a_version_is_raised_and_never_lowered);
	RUN(applications_stay_as_they_are_asked_for);
	RUN(applications_that_are_no_dictionary_are_left_alone);
	RUN(a_manifest_list_from_nothing_has_the_least);
	RUN(the_reader_understands_what_was_made);
	RUN(a_list_that_cannot_be_read_makes_none);
	RUN(a_status_says_that_the_backup_is_complete);
	RUN(a_device_that_is_known_is_described);
	RUN(what_is_not_known_of_a_device_is_left_out);
	RUN(applications_to_install_are_a_list_of_their_own);
	RUN(without_applications_there_is_nothing_to_install);
	return tap_end();
}
