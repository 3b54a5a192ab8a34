/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/backup.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup_example.h"
#include "bytes.h"
#include "fixture.h"
#include "mb/tree.h"
#include "tap.h"
#include "vectors.h"

/* ---- folders ---- */

static const struct entry sample[] = {
	{ .domain = "HomeDomain", .path = "", .mode = 040755 },
	{ .domain = "HomeDomain", .path = "a.txt", .size = 5 },
	{ .domain = "HomeDomain",
	  .path = "link",
	  .mode = 0120755,
	  .target = "a.txt" },
	{ .domain = "MediaDomain", .path = "b.bin", .size = 100 },
};

/* with the file key of the worked example, under class 3 */
static struct bytes sample_db(bool encrypted_files)
{
	struct bytes wrapped = unhex(WRAPPED_FILE_KEY), b;
	struct entry entries[COUNT(sample)];

	memcpy(entries, sample, sizeof(sample));
	for (size_t i = 0; i < COUNT(sample); i++)
		if (encrypted_files && !entries[i].mode)
			entries[i].wrapped = wrapped.ptr, entries[i].class = 3;
	b = manifest_db(schema_old, entries, COUNT(entries));
	drop(&wrapped);
	return b;
}

static void put_sample(const char *dir, const char *sub)
{
	struct bytes b = sample_db(false);
	char name[60];

	snprintf(name, sizeof(name), "%sManifest.db", sub);
	put_file(dir, name, b.ptr, b.len);
	drop(&b);
}

static const char *plain_backup(void)
{
	const char *dir = temp_dir();

	put_manifest_plist(dir, "10.0", 0, NULL, NULL);
	put_sample(dir, "");
	return dir;
}

static void put_encrypted_db(const char *dir, bool in_clear)
{
	struct bytes key = unhex(MANIFEST_KEY), b = sample_db(true), cipher;

	cipher = aes_cbc(true, key.ptr, b.ptr, b.len, true);
	if (in_clear)
		put_file(dir, "Manifest.db", b.ptr, b.len);
	else
		put_file(dir, "Manifest.db", cipher.ptr, cipher.len);
	drop(&key);
	drop(&b);
	drop(&cipher);
}

/* "hello" in a.txt, 100 bytes 00.. in b.bin */
static void put_payloads(const char *dir)
{
	struct bytes hello = unhex("d97cbabb6ca49db8e469ed22fec5137c");
	struct bytes hundred = unhex(CIPHER_100);
	char id[41], name[50];

	file_id(id, "HomeDomain", "a.txt");
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	put_file(dir, name, hello.ptr, hello.len);
	file_id(id, "MediaDomain", "b.bin");
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	put_file(dir, name, hundred.ptr, hundred.len);
	drop(&hello);
	drop(&hundred);
}

static const char *encrypted_backup(const char *keybag_hex)
{
	struct bytes bag = unhex(keybag_hex);
	struct bytes key = unhex(WRAPPED_MANIFEST_KEY);
	const char *dir = temp_dir();

	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	put_encrypted_db(dir, false);
	put_payloads(dir);
	drop(&bag);
	drop(&key);
	return dir;
}

static struct mb_backup *must_open(const char *path)
{
	struct mb_backup *b = NULL;
	struct mb_err err = { 0 };
	int rc = mb_backup_open(&b, path, &err);

	CHECK_AT(rc == 0, "%s", err.text);
	return b;
}

/* what opening says, and the backup freed again */
static int try_open(const char *path, struct mb_err *err)
{
	struct mb_backup *b = NULL;
	int rc;

	memset(err, 0, sizeof(*err));
	rc = mb_backup_open(&b, path, err);
	CHECK((rc == 0) == (b != NULL));
	mb_backup_free(b);
	return rc;
}

static int unlock_with(struct mb_backup *b, const char *password,
		       struct mb_err *err)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = mb_backup_derive(b, password, strlen(password), key, err);

	return rc < 0 ? rc : mb_backup_unlock(b, key, err);
}

static uint64_t count_records(struct mb_backup *b)
{
	struct mb_totals sum = { 0 };

	CHECK_INT(mb_backup_each_domain(b, NULL, NULL, &sum, NULL), 0);
	return sum.records;
}

/* ---- which kind ---- */

CASE(a_plain_backup_opens_and_loads)
{
	struct mb_backup *b = must_open(plain_backup());
	const struct mb_backup_info *info = mb_backup_get_info(b);
	uint8_t key[MB_DERIVED_KEY_LEN] = { 0 };

	CHECK(!info->encrypted && !info->manifest_encrypted);
	CHECK_INT(info->format, MB_FORMAT_DB);
	CHECK_INT(info->date, 1700000000);
	CHECK(info->complete && !info->snapshot_state);
	CHECK_INT(mb_backup_derive(b, "x", 1, key, NULL), -EINVAL);
	CHECK_INT(mb_backup_unlock(b, key, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 4);
	mb_backup_free(b);
	mb_backup_free(NULL);
}

CASE(the_folder_is_told_absolute_with_links_resolved)
{
	const char *dir = plain_backup(), *elsewhere = temp_dir();
	struct mb_backup *b;
	struct stat a, c;
	char real[4096];

	realpath(dir, real);
	symlink(dir, in(elsewhere, "link"));
	b = must_open(in(elsewhere, "link"));
	CHECK_TEXT(mb_backup_get_info(b)->source, real);
	stat(dir, &a);
	fstat(mb_backup_get_fd(b), &c);
	CHECK(a.st_ino == c.st_ino && a.st_dev == c.st_dev);
	mb_backup_free(b);
}

CASE(a_file_of_the_backup_stands_for_its_folder)
{
	const char *dir = plain_backup();
	struct mb_err err;

	CHECK_INT(try_open(in(dir, "Manifest.plist"), &err), 0);
	CHECK_INT(try_open(in(dir, "Manifest.db"), &err), 0);
	put_text(dir, "Info.plist", "");
	CHECK_INT(try_open(in(dir, "Info.plist"), &err), -ENOENT);
	CHECK(strstr(err.text, "not a folder"));
}

CASE(a_database_alone_is_a_decrypted_copy)
{
	const char *dir = temp_dir();
	struct mb_backup *b;

	put_sample(dir, "");
	b = must_open(dir);
	CHECK(!mb_backup_get_info(b)->encrypted);
	CHECK_INT(mb_backup_get_info(b)->date, 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 4);
	mb_backup_free(b);
}

CASE(an_encrypted_database_alone_cannot_be_read)
{
	const char *dir = temp_dir();
	struct mb_err err;

	put_encrypted_db(dir, false);
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "Manifest.plist with its key is missing"));
}

CASE(an_mbdb_alone_and_with_its_plist)
{
	struct bytes m = mbdb(sample, COUNT(sample));
	const char *dir = temp_dir();

	put_file(dir, "Manifest.mbdb", m.ptr, m.len);
	for (int i = 0; i < 2; i++) {
		struct mb_backup *b = must_open(dir);

		CHECK_INT(mb_backup_get_info(b)->format, MB_FORMAT_MBDB);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		CHECK_INT(count_records(b), 4);
		mb_backup_free(b);
		put_manifest_plist(dir, "9.1", 0, NULL, NULL);
	}
	drop(&m);
}

CASE(with_both_manifests_the_version_decides)
{
	static const struct {
		const char *version;
		int format;
	} cases[] = {
		{ "9.1", MB_FORMAT_MBDB }, { "4.0", MB_FORMAT_MBDB },
		{ "10.0", MB_FORMAT_DB },  { "11", MB_FORMAT_DB },
		{ NULL, MB_FORMAT_DB },	   { "nonsense", MB_FORMAT_DB },
		{ "nan", MB_FORMAT_DB },   { "-3", MB_FORMAT_DB },
	};
	struct bytes m = mbdb(sample, 2);
	const char *dir = plain_backup();

	put_file(dir, "Manifest.mbdb", m.ptr, m.len);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mb_backup *b;

		put_manifest_plist(dir, cases[i].version, 0, NULL, NULL);
		b = must_open(dir);
		CHECK_AT((int)mb_backup_get_info(b)->format == cases[i].format,
			 "%s", cases[i].version ? cases[i].version : "(none)");
		mb_backup_free(b);
	}
	drop(&m);
}

/* ---- no backup ---- */

CASE(what_is_no_backup_is_told)
{
	const char *dir = temp_dir();
	struct mb_err err;

	CHECK_INT(try_open(in(dir, "absent"), &err), -ENOENT);
	CHECK(strstr(err.text, "absent"));
	CHECK_INT(try_open(dir, &err), -ENOENT);
	CHECK(strstr(err.text, "not a backup: it has no Manifest.plist"));
	put_text(dir, "file", "");
	CHECK_INT(try_open(in(dir, "file"), &err), -ENOENT);
	put_manifest_plist(dir, "10.0", 0, NULL, NULL);
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "Manifest.db is missing"));
}

CASE(a_folder_of_backups_names_them)
{
	const char *dir = temp_dir();
	struct mb_err err;
	char name[80];

	put_text(dir, "note.txt", "");
	mkdir(in(dir, "empty"), 0700);
	put_text(dir, "AAAA/Manifest.plist", "x");
	put_text(dir, "BBBB/Manifest.db", "x");
	put_text(dir, ".hidden/Manifest.db", "x");
	symlink("AAAA", in(dir, "CCCC"));
	CHECK_INT(try_open(dir, &err), -ENOENT);
	CHECK(strstr(err.text, "a folder of backups, not a backup"));
	CHECK(strstr(err.text, "AAAA") && strstr(err.text, "BBBB"));
	CHECK(!strstr(err.text, "CCCC") && !strstr(err.text, "hidden") &&
	      !strstr(err.text, "..."));
	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "x\x1b[31m%d/Manifest.mbdb", i);
		put_text(dir, name, "x");
	}
	CHECK_INT(try_open(dir, &err), -ENOENT);
	CHECK(strstr(err.text, ", ..."));
	CHECK(!strchr(err.text, '\x1b'));
}

CASE(ios_3_is_known_and_not_read)
{
	const char *dir = temp_dir();
	struct mb_err err;

	put_text(dir, "3d0d7e5fb2ce288813306e4d4636395e047a3d28.mdinfo", "");
	CHECK_INT(try_open(dir, &err), -ENOTSUP);
	CHECK(strstr(err.text, "iOS 3"));
	/* iOS 4 and later wrote into the same folder */
	put_sample(dir, "");
	CHECK_INT(try_open(dir, &err), 0);
}

CASE(a_manifest_plist_that_cannot_be_trusted_is_refused)
{
	const char *dir = plain_backup();
	struct mb_err err;

	put_text(dir, "Manifest.plist", "junk");
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "Manifest.plist"));
	put_text(dir, "Manifest.plist",
		 "<plist><dict><key>IsEncrypted</key><string>no</string>"
		 "</dict></plist>");
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "IsEncrypted"));
	put_text(dir, "Manifest.plist", "<plist><array/></plist>");
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	put_text(dir, "Manifest.plist", "<plist><dict/></plist>");
	CHECK_INT(try_open(dir, &err), 0);
}

CASE(a_manifest_that_is_a_link_is_not_followed)
{
	const char *dir = temp_dir(), *other = plain_backup();
	struct mb_err err;

	symlink(in(other, "Manifest.db"), in(dir, "Manifest.db"));
	CHECK_INT(try_open(dir, &err), -ENOENT);
}

/* ---- property lists ---- */

CASE(who_the_device_is)
{
	const char *dir = plain_backup();
	const struct mb_backup_info *info;
	struct mb_backup *b;
	int64_t len;
	int fd;

	put_text(dir, "Info.plist",
		 "<plist><dict><key>Device Name</key><string>Phone</string>"
		 "<key>Product Type</key><string>iPhone12,1</string>"
		 "<key>Product Name</key><string>iPhone 11</string>"
		 "<key>Product Version</key><string>16.1</string>"
		 "<key>Build Version</key><integer>20</integer>"
		 "<key>Unique Identifier</key><string>UPPER</string>"
		 "<key>Target Identifier</key><string>udid</string>"
		 "</dict></plist>");
	b = must_open(dir);
	info = mb_backup_get_info(b);
	CHECK_TEXT(info->device_name, "Phone");
	CHECK_TEXT(info->product_type, "iPhone12,1");
	CHECK_TEXT(info->product_name, "iPhone 11");
	CHECK_TEXT(info->product_version, "16.1");
	CHECK_TEXT(info->build_version, NULL);
	CHECK_TEXT(info->udid, "udid");
	CHECK_TEXT(info->serial_number, NULL);
	fd = mb_backup_open_plist(b, MB_PLIST_INFO, &len);
	CHECK(fd >= 0 && len > 100);
	close(fd);
	fd = mb_backup_open_plist(b, MB_PLIST_MANIFEST, &len);
	CHECK(fd >= 0);
	close(fd);
	CHECK_INT(mb_backup_open_plist(b, MB_PLIST_STATUS, &len), -ENOENT);
	mb_backup_free(b);
}

CASE(lockdown_values_stand_in_for_a_missing_info_plist)
{
	const char *dir = plain_backup();
	const struct mb_backup_info *info;
	struct mb_backup *b;

	put_text(dir, "Manifest.plist",
		 "<plist><dict><key>Lockdown</key><dict>"
		 "<key>DeviceName</key><string>Phone</string>"
		 "<key>UniqueDeviceID</key><string>udid</string>"
		 "<key>SerialNumber</key><string>SN</string>"
		 "</dict></dict></plist>");
	b = must_open(dir);
	info = mb_backup_get_info(b);
	CHECK_TEXT(info->device_name, "Phone");
	CHECK_TEXT(info->udid, "udid");
	CHECK_TEXT(info->serial_number, "SN");
	mb_backup_free(b);
}

static void keep_note(void *arg, const char *line)
{
	snprintf(arg, 512, "%s", line);
}

CASE(a_damaged_info_or_status_is_only_noted)
{
	const char *dir = plain_backup();
	char note[512] = "";
	struct mb_backup *b;

	put_text(dir, "Info.plist", "junk");
	b = must_open(dir);
	mb_backup_on_note(b, keep_note, note);
	CHECK(strstr(note, "Info.plist"));
	mb_backup_free(b);
	unlink(in(dir, "Info.plist"));
	put_text(dir, "Status.plist", "junk");
	b = must_open(dir);
	mb_backup_on_note(b, keep_note, note);
	CHECK(strstr(note, "Status.plist"));
	CHECK(mb_backup_get_info(b)->complete);
	mb_backup_free(b);
}

static void gather_notes(void *arg, const char *line)
{
	strncat(arg, line, 511 - strlen(arg));
	strncat(arg, "|", 511 - strlen(arg));
}

CASE(several_damaged_lists_are_all_noted)
{
	const char *dir = plain_backup();
	char notes[512] = "";
	struct mb_backup *b;

	put_text(dir, "Info.plist", "junk");
	put_text(dir, "Status.plist", "junk");
	b = must_open(dir);
	mb_backup_on_note(b, gather_notes, notes);
	CHECK_TEXT(notes, "Status.plist: not a property list|"
			  "Info.plist: not a property list|");
	mb_backup_free(b);
}

CASE(a_write_ahead_log_is_left_aside_and_noted)
{
	const char *dir = plain_backup();
	char note[512] = "";
	struct mb_backup *b;

	put_text(dir, "Manifest.db-wal", "anything");
	put_text(dir, "Manifest.db-journal", "anything");
	b = must_open(dir);
	mb_backup_on_note(b, keep_note, note);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK(strstr(note, "Manifest.db-wal"));
	CHECK_INT(count_records(b), 4);
	mb_backup_free(b);
}

/* ---- interrupted backups ---- */

CASE(interrupted_before_it_was_first_complete)
{
	const char *dir = temp_dir();
	struct mb_err err;

	put_status(dir, "uploading");
	put_text(dir, "Snapshot/Manifest.plist", "x");
	CHECK_INT(try_open(dir, &err), -ENOENT);
	CHECK(strstr(err.text, "interrupted before it was first complete"));
}

CASE(while_uploading_the_backup_before_counts)
{
	const char *dir = plain_backup();
	struct mb_backup *b;

	put_status(dir, "uploading");
	put_text(dir, "Snapshot/Manifest.plist", "junk");
	put_text(dir, "Snapshot/Manifest.db", "junk");
	b = must_open(dir);
	CHECK_TEXT(mb_backup_get_info(b)->snapshot_state, "uploading");
	CHECK(!mb_backup_get_info(b)->complete);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 4);
	mb_backup_free(b);
}

CASE(removing_and_finished_are_read_as_they_are)
{
	static const char *const states[] = { "removing", "finished",
					      "tomorrow" };

	for (size_t i = 0; i < COUNT(states); i++) {
		const char *dir = plain_backup();
		struct mb_backup *b;

		put_status(dir, states[i]);
		put_text(dir, "Snapshot/Manifest.db", "junk");
		b = must_open(dir);
		CHECK_TEXT(mb_backup_get_info(b)->snapshot_state,
			   i < 2 ? states[i] : NULL);
		CHECK_INT(mb_backup_get_info(b)->complete, i > 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		mb_backup_free(b);
	}
}

static char read_first(struct mb_backup *b, const char *path)
{
	struct mb_reader *reader;
	struct mb_tree *tree;
	uint32_t node;
	char c = '-';

	if (!CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DOMAINS, NULL), 0))
		return '!';
	if (mb_tree_walk(tree, path, &node, NULL) == 0 &&
	    mb_tree_open_file(tree, node, &reader, NULL) == 0) {
		mb_reader_pread(reader, &c, 1, 0);
		mb_reader_free(reader);
	}
	mb_tree_free(tree);
	return c;
}

CASE(while_moving_the_snapshot_counts_before_the_folder)
{
	static const struct entry new_entries[] = {
		{ .domain = "HomeDomain", .path = "a.txt", .size = 1 },
		{ .domain = "HomeDomain", .path = "new", .size = 1 },
		{ .domain = "HomeDomain", .path = "moved", .size = 1 },
	};
	const char *dir = plain_backup();
	struct bytes m = manifest_db(schema_old, new_entries, 3);
	char id[41], name[70];
	struct mb_backup *b;

	put_status(dir, "moving");
	put_file(dir, "Snapshot/Manifest.db", m.ptr, m.len);
	file_id(id, "HomeDomain", "a.txt");
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	put_text(dir, name, "o"); /* the old one */
	snprintf(name, sizeof(name), "Snapshot/%.2s/%s", id, id);
	put_text(dir, name, "a");
	file_id(id, "HomeDomain", "new");
	snprintf(name, sizeof(name), "Snapshot/%.2s/%s", id, id);
	put_text(dir, name, "n");
	file_id(id, "HomeDomain", "moved");
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	put_text(dir, name, "m");
	b = must_open(dir);
	CHECK_TEXT(mb_backup_get_info(b)->snapshot_state, "moving");
	CHECK(!mb_backup_get_info(b)->complete);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 3);
	CHECK_INT(read_first(b, "HomeDomain/a.txt"), 'a');
	CHECK_INT(read_first(b, "HomeDomain/new"), 'n');
	CHECK_INT(read_first(b, "HomeDomain/moved"), 'm');
	mb_backup_free(b);
	/* its manifest has been moved already: the folder's is the new one */
	put_file(dir, "Manifest.db", m.ptr, m.len);
	unlink(in(dir, "Snapshot/Manifest.db"));
	b = must_open(dir);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 3);
	CHECK_INT(read_first(b, "HomeDomain/a.txt"), 'a');
	mb_backup_free(b);
	drop(&m);
}

/* ---- encrypted ones ---- */

CASE(the_right_password_opens_everything)
{
	static const char *const bags[] = { KEYBAG_MODERN, KEYBAG_LEGACY };
	uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33 };

	for (int i = 0; i < 2; i++) {
		struct mb_backup *b = must_open(encrypted_backup(bags[i]));

		CHECK(mb_backup_get_info(b)->encrypted);
		CHECK(mb_backup_get_info(b)->manifest_encrypted);
		CHECK(!memcmp(mb_backup_get_keybag_id(b), uuid, 4));
		CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		CHECK_INT(count_records(b), 4);
		CHECK_INT(read_first(b, "HomeDomain/a.txt"), 'h');
		CHECK_INT(read_first(b, "MediaDomain/b.bin"), 0);
		mb_backup_free(b);
	}
}

CASE(the_derived_key_is_the_vectors)
{
	struct mb_backup *b = must_open(encrypted_backup(KEYBAG_MODERN));
	struct bytes want = unhex(PASSCODE_KEY);
	uint8_t key[MB_DERIVED_KEY_LEN];

	CHECK_INT(mb_backup_derive(b, PASSWORD, 13, key, NULL), 0);
	CHECK_BYTES(key, 32, want.ptr, want.len);
	CHECK_INT(mb_backup_unlock(b, want.ptr, NULL), 0);
	drop(&want);
	mb_backup_free(b);
}

CASE(what_a_derivation_depends_on_tells_key_bags_apart)
{
	struct mb_backup *const backups[] = {
		must_open(encrypted_backup(KEYBAG_MODERN)),
		must_open(encrypted_backup(KEYBAG_MODERN)),
		must_open(encrypted_backup(KEYBAG_LEGACY)),
		must_open(plain_backup()),
	};
	uint8_t of[4][MB_DERIVATION_LEN], none[MB_DERIVATION_LEN] = { 0 };

	for (int i = 0; i < 4; i++)
		mb_backup_get_derivation(backups[i], of[i]);
	CHECK(!memcmp(of[0], of[1], sizeof(none)));
	CHECK(memcmp(of[0], of[2], sizeof(none)) != 0);
	CHECK(!memcmp(of[3], none, sizeof(none)));
	for (int i = 0; i < 4; i++)
		mb_backup_free(backups[i]);
}

CASE(a_wrong_password_changes_nothing)
{
	struct mb_backup *b = must_open(encrypted_backup(KEYBAG_MODERN));
	struct mb_err err;

	CHECK_INT(unlock_with(b, "wrong", &err), -EKEYREJECTED);
	CHECK(strstr(err.text, "wrong password"));
	CHECK_INT(mb_backup_load(b, &err), -ENOKEY);
	CHECK_INT(unlock_with(b, "", NULL), -EKEYREJECTED);
	CHECK_INT(unlock_with(b, PASSWORD " ", NULL), -EKEYREJECTED);
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	mb_backup_free(b);
}

CASE(a_locked_backup_tells_that_a_password_is_needed)
{
	struct mb_backup *b = must_open(encrypted_backup(KEYBAG_MODERN));
	struct mb_totals sum;
	struct mb_err err;

	CHECK_INT(mb_backup_load(b, &err), -ENOKEY);
	CHECK(strstr(err.text, "password needed"));
	CHECK_INT(mb_backup_each_domain(b, NULL, NULL, &sum, NULL), -ENOKEY);
	mb_backup_free(b);
}

/* iOS 10.0 and 10.1: names in clear, contents not */
CASE(a_manifest_in_clear_loads_locked_and_its_files_do_not_open)
{
	struct bytes bag = unhex(KEYBAG_LEGACY);
	const char *dir = temp_dir();
	struct mb_reader *reader;
	struct mb_tree *tree;
	struct mb_backup *b;
	struct mb_stat st;
	uint32_t node;

	put_manifest_plist(dir, "10.0", 1, &bag, NULL);
	put_encrypted_db(dir, true);
	put_payloads(dir);
	b = must_open(dir);
	CHECK(mb_backup_get_info(b)->encrypted);
	CHECK(!mb_backup_get_info(b)->manifest_encrypted);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DOMAINS, NULL), 0);
	CHECK_INT(mb_tree_walk(tree, "HomeDomain/a.txt", &node, NULL), 0);
	CHECK_INT(mb_tree_open_file(tree, node, &reader, NULL), -ENOKEY);
	CHECK_INT(mb_tree_stat(tree, node, &st, NULL), 0);
	CHECK_INT(st.size, 5);
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_tree_open_file(tree, node, &reader, NULL), 0);
	mb_reader_free(reader);
	mb_tree_free(tree);
	mb_backup_free(b);
	drop(&bag);
}

static void record_at(struct mb_tree *tree, const char *path,
		      struct mb_record *rec)
{
	uint32_t node;

	CHECK_INT(mb_tree_walk(tree, path, &node, NULL), 0);
	CHECK_INT(mb_tree_record(tree, node, rec, NULL), 0);
}

/* What is wrong with one of them is none of the others' business. */
CASE(sizes_that_are_found_together)
{
	static const int64_t want[] = { 5, 100, 7, 8, 9, 100, 5, 0 };
	struct mb_record a = { 0 }, b = { 0 }, recs[COUNT(want)];
	const struct mb_record *list[MB_SIZES_MAX];
	int64_t sizes[MB_SIZES_MAX];
	struct mb_tree *tree;
	struct mb_backup *backup = must_open(encrypted_backup(KEYBAG_MODERN));

	CHECK_INT(unlock_with(backup, PASSWORD, NULL), 0);
	CHECK_INT(mb_backup_load(backup, NULL), 0);
	CHECK_INT(mb_tree_open(&tree, backup, MB_VIEW_DOMAINS, NULL), 0);
	record_at(tree, "HomeDomain/a.txt", &a);
	record_at(tree, "MediaDomain/b.bin", &b);
	for (size_t i = 0; i < COUNT(recs); i++)
		recs[i] = i % 2 ? b : a;
	recs[2].wrapped_key[20] ^= 1; /* then what is recorded counts */
	recs[2].size = 7;
	recs[3].wrapped_key_len = 1;
	recs[3].size = 8;
	recs[4].file_id[0] = '\0';
	recs[4].size = 9;
	recs[5].size = 5000;	     /* the payload is shorter */
	recs[6].wrapped_key[0] = 77; /* no such class; another one fits */
	recs[6].protection_class = a.wrapped_key[0];
	recs[7].wrapped_key[1] = 1;
	recs[7].protection_class = 0;
	recs[7].size = -3;
	for (size_t i = 0; i < MB_SIZES_MAX; i++)
		list[i] = &recs[i % COUNT(recs)];
	mb_reader_find_sizes(backup, list, sizes, MB_SIZES_MAX);
	for (size_t i = 0; i < MB_SIZES_MAX; i++) {
		CHECK_INT(sizes[i], want[i % COUNT(want)]);
		CHECK_INT(mb_reader_find_size(backup, list[i]), sizes[i]);
	}
	mb_record_release(&a);
	mb_record_release(&b);
	mb_tree_free(tree);
	mb_backup_free(backup);
}

CASE(a_key_bag_that_is_damaged_or_missing)
{
	struct bytes bag = unhex(KEYBAG_MODERN);
	struct bytes key = unhex(WRAPPED_MANIFEST_KEY);
	const char *dir = temp_dir();
	struct mb_backup *b;
	struct mb_err err;

	put_encrypted_db(dir, false);
	put_manifest_plist(dir, "10.0", 1, NULL, &key);
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "key bag"));
	bag.len -= 5;
	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "runs past the end"));
	bag.len += 5;
	/* one class key: "the password fits, the bag is damaged" */
	bag.ptr[200 + 68 + 10] ^= 1;
	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	b = must_open(dir);
	CHECK_INT(unlock_with(b, PASSWORD, &err), -EBADMSG);
	CHECK(strstr(err.text, "is damaged"));
	CHECK_INT(unlock_with(b, "wrong", &err), -EKEYREJECTED);
	mb_backup_free(b);
	drop(&bag);
	drop(&key);
}

CASE(a_manifest_key_that_is_damaged_or_of_another_class)
{
	struct bytes bag = unhex(KEYBAG_MODERN);
	struct bytes key = unhex(WRAPPED_MANIFEST_KEY);
	const char *dir = temp_dir();
	struct mb_backup *b;
	struct mb_err err;

	put_encrypted_db(dir, false);
	key.ptr[20] ^= 1;
	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	b = must_open(dir);
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_backup_load(b, &err), -EBADMSG);
	CHECK(strstr(err.text, "ManifestKey is damaged"));
	mb_backup_free(b);
	key.ptr[20] ^= 1;
	key.ptr[0] = 11;
	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	b = must_open(dir);
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_backup_load(b, &err), -EBADMSG);
	CHECK(strstr(err.text, "class 11"));
	mb_backup_free(b);
	key.len = 43;
	put_manifest_plist(dir, "10.0", 1, &bag, &key);
	CHECK_INT(try_open(dir, &err), -EBADMSG);
	CHECK(strstr(err.text, "43 bytes"));
	drop(&bag);
	drop(&key);
}

CASE(an_encrypted_manifest_that_is_cut_off_or_under_another_key)
{
	const char *dir = encrypted_backup(KEYBAG_MODERN);
	struct bytes db = read_file(in(dir, "Manifest.db"));
	struct mb_backup *b;
	struct mb_err err;

	put_file(dir, "Manifest.db", db.ptr, db.len - 3);
	b = must_open(dir);
	unlock_with(b, PASSWORD, NULL);
	CHECK_INT(mb_backup_load(b, &err), -EBADMSG);
	CHECK(strstr(err.text, "cut off"));
	mb_backup_free(b);
	db.ptr[3] ^= 1;
	put_file(dir, "Manifest.db", db.ptr, db.len);
	b = must_open(dir);
	unlock_with(b, PASSWORD, NULL);
	CHECK_INT(mb_backup_load(b, &err), -EBADMSG);
	CHECK(strstr(err.text, "not an SQLite database"));
	mb_backup_free(b);
	drop(&db);
}

/* a copy that another tool decrypted in place, key still in the list */
CASE(a_decrypted_database_is_read_whatever_the_key_says)
{
	const char *dir = encrypted_backup(KEYBAG_MODERN);
	struct mb_backup *b;

	put_encrypted_db(dir, true);
	b = must_open(dir);
	CHECK(!mb_backup_get_info(b)->manifest_encrypted);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(count_records(b), 4);
	mb_backup_free(b);
}

CASE(a_manifest_key_without_the_flag_means_encrypted)
{
	struct bytes bag = unhex(KEYBAG_MODERN);
	struct bytes key = unhex(WRAPPED_MANIFEST_KEY);
	const char *dir = encrypted_backup(KEYBAG_MODERN);
	struct mb_backup *b;

	put_manifest_plist(dir, "10.0", -1, &bag, &key);
	b = must_open(dir);
	CHECK(mb_backup_get_info(b)->encrypted);
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	mb_backup_free(b);
	drop(&bag);
	drop(&key);
}

CASE(after_a_failed_load_nothing_passes_for_loaded)
{
	const char *dir = plain_backup();
	struct bytes db = read_file(in(dir, "Manifest.db"));
	struct mb_totals sum;
	struct mb_backup *b;

	/* all pages but the first, which has the schema */
	memset(db.ptr + 4096, 0xff, db.len - 4096);
	put_file(dir, "Manifest.db", db.ptr, db.len);
	b = must_open(dir);
	CHECK_INT(mb_backup_load(b, NULL), -EBADMSG);
	CHECK_INT(mb_backup_load(b, NULL), -EBADMSG);
	CHECK_INT(mb_backup_each_domain(b, NULL, NULL, &sum, NULL), -ENOKEY);
	mb_backup_free(b);
	drop(&db);
}

/* ---- totals ---- */

static int note_totals(void *arg, struct mb_slice domain,
		       const struct mb_totals *t)
{
	char line[100];

	snprintf(line, sizeof(line), "%.*s %d %d %d|", (int)domain.len,
		 domain.ptr, (int)t->records, (int)t->files, (int)t->bytes);
	add_text(arg, line);
	return 0;
}

static int refuse(void *arg, struct mb_slice domain, const struct mb_totals *t)
{
	(void)arg, (void)domain, (void)t;
	return 42;
}

CASE(totals_by_domain)
{
	struct mb_backup *b = must_open(plain_backup());
	struct mb_totals sum = { 0 };
	struct bytes seen = { 0 };

	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(mb_backup_each_domain(b, note_totals, &seen, &sum, NULL), 0);
	add_be(&seen, 0, 1);
	CHECK_TEXT((char *)seen.ptr, "HomeDomain 3 1 5|MediaDomain 1 1 100|");
	CHECK(sum.records == 4 && sum.files == 2 && sum.bytes == 105);
	CHECK_INT(mb_backup_each_domain(b, refuse, NULL, NULL, NULL), 42);
	mb_backup_free(b);
	drop(&seen);
}

/* ---- can a file be read? ---- */

static const struct example checked[] = {
	{ .domain = "D", .path = "dir", .mode = 040755 },
	{ .domain = "D", .path = "link", .mode = 0120755, .target = "x" },
	{ PUT("D", "good", "sixteen bytes is") },
	{ PUT("D", "empty", "") },
	{ PUT("D", "gone", "x"), .missing = true },
	{ PUT("D", "gone and empty", ""), .missing = true },
	{ PUT("D", "short", "sixteen bytes is") },
	{ PUT("D", "long", "sixteen bytes is") },
	{ PUT("D", "cut", "sixteen bytes is") },
	{ PUT("D", "symlink", "x") },
	{ PUT("D", "folder", "x") },
};

/* What a check says of an entry; reading it agrees. */
static int check_entry(struct mb_backup *b, const char *path, bool *readable)
{
	struct mb_record rec = { 0 };
	struct mb_reader *reader = NULL;
	struct mb_tree *tree = NULL;
	struct mb_err err = { 0 };
	char shown[40], piece[64];
	uint32_t node = 0;
	bool fatal = false;
	int rc;

	snprintf(shown, sizeof(shown), "D/%s", path);
	CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DOMAINS, NULL), 0);
	CHECK_INT(mb_tree_walk(tree, shown, &node, NULL), 0);
	CHECK_INT(mb_tree_record(tree, node, &rec, NULL), 0);
	rc = mb_reader_check(b, &rec, &err);
	CHECK_INT(err.code, rc);
	*readable = rec.type != MB_FILE;
	if (!*readable && mb_reader_open(&reader, b, &rec, NULL) == 0) {
		mb_reader_get_damage(reader, &fatal);
		*readable = !fatal && mb_reader_pread(reader, piece,
						      sizeof(piece), 0) >= 0;
		mb_reader_free(reader);
	}
	mb_record_release(&rec);
	mb_tree_free(tree);
	return rc;
}

static void spoil(const char *dir, bool encrypted)
{
	struct bytes key = unhex(FILE_KEY), other;
	const char *path;

	other = aes_cbc(true, key.ptr, "thirty-two bytes are these here.", 32,
			true);
	put_file(dir, example_payload("D", "long"), other.ptr, other.len);
	if (!encrypted) {
		put_text(dir, example_payload("D", "short"), "fifteen bytes i");
	} else {
		drop(&other);
		other = aes_cbc(true, key.ptr, "short", 5, true);
		put_file(dir, example_payload("D", "short"), other.ptr,
			 other.len);
	}
	put_text(dir, example_payload("D", "cut"), "no whole block");
	path = example_payload("D", "symlink");
	unlink(in(dir, path));
	CHECK_INT(symlink("/etc/passwd", in(dir, path)), 0);
	path = example_payload("D", "folder");
	unlink(in(dir, path));
	mkdir(in(dir, path), 0700);
	drop(&other);
	drop(&key);
}

CASE(what_a_check_says_is_what_reading_finds)
{
	/* of a plain file, only the length tells */
	static const struct {
		const char *path;
		int plain, encrypted;
	} want[] = {
		{ "dir", 0, 0 },
		{ "link", 0, 0 },
		{ "good", 0, 0 },
		{ "empty", 0, 0 },
		{ "gone", -ENODATA, -ENODATA },
		{ "gone and empty", 0, 0 },
		{ "short", -EBADMSG, 0 },
		{ "long", 0, 0 },
		{ "cut", -EBADMSG, -EBADMSG },
		{ "symlink", -ENODATA, -ENODATA },
		{ "folder", -ENODATA, -ENODATA },
	};

	for (int encrypted = 0; encrypted < 2; encrypted++) {
		const char *dir = temp_dir();
		struct mb_backup *b;
		bool readable;

		put_example(dir, checked, COUNT(checked), encrypted);
		spoil(dir, encrypted);
		b = must_open(dir);
		if (encrypted)
			CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		for (size_t i = 0; i < COUNT(want); i++) {
			int rc = check_entry(b, want[i].path, &readable);
			int should =
				encrypted ? want[i].encrypted : want[i].plain;

			CHECK_AT(rc == should, "%s: %d", want[i].path, rc);
			/* what is short in clear can be read, as it is */
			CHECK_AT(readable == (rc == 0) ||
					 (!encrypted && readable),
				 "%s", want[i].path);
		}
		mb_backup_free(b);
	}
}

/* The digest of an entry's content as text, or what kept it from being read. */
static const char *sha256_of(struct mb_backup *b, const char *path, bool *plain)
{
	static char hex[2 * MB_SHA256_LEN + 1];
	uint8_t digest[MB_SHA256_LEN];
	struct mb_reader *reader;
	struct mb_tree *tree;
	uint32_t node = 0;
	int rc;

	CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DOMAINS, NULL), 0);
	CHECK_INT(mb_tree_walk(tree, path, &node, NULL), 0);
	rc = mb_tree_open_file(tree, node, &reader, NULL);
	if (rc == 0) {
		*plain = mb_reader_get_plain_fd(reader) >= 0;
		rc = mb_reader_sha256(reader, digest, NULL);
		mb_reader_free(reader);
	}
	mb_tree_free(tree);
	snprintf(hex, sizeof(hex), "%d", rc);
	if (rc == 0)
		hex_encode(hex, digest, sizeof(digest));
	return hex;
}

CASE(the_digest_of_a_content_is_that_of_what_is_decrypted)
{
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		const char *dir = temp_dir();
		struct mb_backup *b;
		bool plain = false;

		put_example(dir, checked, COUNT(checked), encrypted);
		spoil(dir, encrypted);
		b = must_open(dir);
		if (encrypted)
			CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		CHECK_TEXT(
			sha256_of(b, "D/good", &plain),
			"d55dfdd18c2bcfbde3966ed6778464f7c07aadd51be52a86f25d0df7441d5ad9");
		/* of what is stored as it is, there is a file to share */
		CHECK_INT(plain, !encrypted);
		CHECK_TEXT(
			sha256_of(b, "D/gone and empty", &plain),
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
		CHECK(!plain);
		if (encrypted)
			CHECK_INT(atoi(sha256_of(b, "D/cut", &plain)), -EIO);
		CHECK_INT(atoi(sha256_of(b, "D/gone", &plain)), -ENODATA);
		mb_backup_free(b);
	}
}

CASE(a_check_looks_at_the_key_too)
{
	struct bytes wrapped = unhex(WRAPPED_FILE_KEY);
	const char *dir = temp_dir();
	struct mb_record rec = { .type = MB_FILE, .size = 16 };
	struct mb_backup *b;

	put_example(dir, checked, COUNT(checked), true);
	b = must_open(dir);
	file_id(rec.file_id, "D", "good");
	memcpy(rec.wrapped_key, wrapped.ptr, 44);
	rec.wrapped_key_len = 44;
	rec.protection_class = 3;
	CHECK_INT(mb_reader_check(b, &rec, NULL), -ENOKEY); /* locked */
	CHECK_INT(unlock_with(b, PASSWORD, NULL), 0);
	CHECK_INT(mb_reader_check(b, &rec, NULL), 0);
	/* the padding tells another size, which is no damage */
	rec.size = INT64_MAX;
	CHECK_INT(mb_reader_check(b, &rec, NULL), 0);
	rec.size = 16;
	rec.wrapped_key_len = 43;
	CHECK_INT(mb_reader_check(b, &rec, NULL), -EBADMSG);
	rec.wrapped_key_len = 44;
	rec.wrapped_key[20] ^= 1;
	CHECK_INT(mb_reader_check(b, &rec, NULL), -EBADMSG);
	rec.wrapped_key[0] = rec.protection_class = 9;
	CHECK_INT(mb_reader_check(b, &rec, NULL), -ENOKEY);
	mb_backup_free(b);
	drop(&wrapped);
}

CASE(a_check_of_a_record_that_is_damaged_or_has_no_id)
{
	struct mb_backup *b = must_open(plain_backup());
	struct mb_record rec = { .type = MB_FILE };
	struct mb_err err;

	CHECK_INT(mb_reader_check(b, &rec, &err), -ENODATA);
	file_id(rec.file_id, "D", "x");
	CHECK_INT(mb_reader_check(b, &rec, &err), 0);
	rec.damage = "a reason";
	CHECK_INT(mb_reader_check(b, &rec, &err), -EBADMSG);
	CHECK_TEXT(err.text, "a reason");
	mb_backup_free(b);
}

int main(void)
{
	RUN(a_plain_backup_opens_and_loads);
	RUN(the_folder_is_told_absolute_with_links_resolved);
	RUN(a_file_of_the_backup_stands_for_its_folder);
	RUN(a_database_alone_is_a_decrypted_copy);
	RUN(an_encrypted_database_alone_cannot_be_read);
	RUN(an_mbdb_alone_and_with_its_plist);
	RUN(with_both_manifests_the_version_decides);
	RUN(what_is_no_backup_is_told);
	RUN(a_folder_of_backups_names_them);
	RUN(ios_3_is_known_and_not_read);
	RUN(a_manifest_plist_that_cannot_be_trusted_is_refused);
	RUN(a_manifest_that_is_a_link_is_not_followed);
	RUN(who_the_device_is);
	RUN(lockdown_values_stand_in_for_a_missing_info_plist);
	RUN(a_damaged_info_or_status_is_only_noted);
	RUN(several_damaged_lists_are_all_noted);
	RUN(a_write_ahead_log_is_left_aside_and_noted);
	RUN(interrupted_before_it_was_first_complete);
	RUN(while_uploading_the_backup_before_counts);
	RUN(removing_and_finished_are_read_as_they_are);
	RUN(while_moving_the_snapshot_counts_before_the_folder);
	RUN(the_right_password_opens_everything);
	RUN(the_derived_key_is_the_vectors);
	RUN(what_a_derivation_depends_on_tells_key_bags_apart);
	RUN(a_wrong_password_changes_nothing);
	RUN(a_locked_backup_tells_that_a_password_is_needed);
	RUN(a_manifest_in_clear_loads_locked_and_its_files_do_not_open);
	RUN(sizes_that_are_found_together);
	RUN(a_key_bag_that_is_damaged_or_missing);
	RUN(a_manifest_key_that_is_damaged_or_of_another_class);
	RUN(an_encrypted_manifest_that_is_cut_off_or_under_another_key);
	RUN(a_decrypted_database_is_read_whatever_the_key_says);
	RUN(a_manifest_key_without_the_flag_means_encrypted);
	RUN(after_a_failed_load_nothing_passes_for_loaded);
	RUN(totals_by_domain);
	RUN(what_a_check_says_is_what_reading_finds);
	RUN(the_digest_of_a_content_is_that_of_what_is_decrypted);
	RUN(a_check_looks_at_the_key_too);
	RUN(a_check_of_a_record_that_is_damaged_or_has_no_id);
	return tap_end();
}
