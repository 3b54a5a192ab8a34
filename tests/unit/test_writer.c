/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crew.h"
#include "new_backup.h"

/* ---- all of a golden backup is kept ---- */

/* the same length, content and end; @converted: damage may become a gap */
static void check_same_content(struct mb_backup *a, const struct mb_record *x,
			       struct mb_backup *b, const struct mb_record *y,
			       bool converted)
{
	int rc_a, rc_b;
	struct bytes one = content_of(a, x, &rc_a);
	struct bytes two = content_of(b, y, &rc_b);

	if (converted && rc_a < 0) {
		CHECK_AT(rc_b < 0, "%.60s", x->path.ptr);
		CHECK_INT(two.len, 0);
	} else {
		CHECK_AT(rc_a == rc_b, "%.60s", x->path.ptr);
		CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	}
	drop(&one);
	drop(&two);
}

CASE(what_is_kept_of_a_backup_of_any_shape_is_the_same)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct mb_backup *b;
		struct records r;

		begin(golden(shapes[i]), MB_AS_LIKE);
		keep_all();
		b = commit(PASSWORD);
		r = list_all(b);
		CHECK_INT(b->info.encrypted, made.like->info.encrypted);
		CHECK_INT(b->info.format, MB_FORMAT_DB);
		CHECK_INT(b->domain_count, made.like->domain_count);
		if (CHECK_INT(r.count, made.base.count))
			for (size_t k = 0; k < r.count; k++) {
				struct mb_record *x = &made.base.list[k];

				check_looks_same(x, &r.list[k]);
				check_stored_same(x, &r.list[k]);
				check_same_content(made.like, x, b, &r.list[k],
						   false);
			}
		CHECK_INT(made.counts.entries, made.base.count);
		CHECK_INT(made.counts.written, 0);
		CHECK_TEXT(made.notes, "");
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

CASE(what_is_kept_is_shared_and_not_copied)
{
	static const struct example list[] = {
		{ "HomeDomain", "", .mode = 040755 },
		{ PUT("HomeDomain", "a", "one") },
		{ PUT("HomeDomain", "b", "two") },
	};
	const char *from = temp_dir();
	struct stat a, b;

	put_example(from, list, COUNT(list), true);
	begin(from, MB_AS_LIKE);
	keep_all();
	CHECK_INT(made.counts.shared, 2);
	CHECK_INT(made.counts.files, 2);
	CHECK_INT(made.counts.entries, 3);
	if (!made.counts.copied) {
		stat(in(from, example_payload("HomeDomain", "a")), &a);
		stat(in(made.dir, example_payload("HomeDomain", "a")), &b);
		/* a reflink has an inode of its own */
		CHECK(a.st_ino == b.st_ino || a.st_nlink == 1);
	}
	end();
}

CASE(the_property_lists_of_the_backup_stay)
{
	const char *from = golden("db-encrypted");
	static const char *const lists[] = { "Lockdown", "Applications" };
	struct bytes one, two;
	struct mb_backup *b;
	plist_t x, y;
	char *text;

	begin(from, MB_AS_LIKE);
	b = commit(PASSWORD);
	one = read_file(in(from, "Info.plist"));
	two = read_file(in(made.dir, "Info.plist"));
	CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	drop(&one);
	drop(&two);
	x = read_plist(from, "Manifest.plist");
	y = read_plist(made.dir, "Manifest.plist");
	one = data_of(x, "BackupKeyBag");
	two = data_of(y, "BackupKeyBag");
	CHECK(one.len);
	CHECK_BYTES(two.ptr, two.len, one.ptr, one.len);
	drop(&one);
	drop(&two);
	/* two manifests under one key would tell what they have in common */
	one = data_of(x, "ManifestKey");
	two = data_of(y, "ManifestKey");
	CHECK(one.len == 44 && two.len == 44 && memcmp(one.ptr, two.ptr, 44));
	drop(&one);
	drop(&two);
	for (size_t i = 0; i < COUNT(lists); i++)
		CHECK_INT(
			plist_dict_get_size(plist_dict_get_item(y, lists[i])),
			plist_dict_get_size(plist_dict_get_item(x, lists[i])));
	plist_free(x);
	plist_free(y);
	y = read_plist(made.dir, "Status.plist");
	text = text_of(y, "SnapshotState");
	CHECK_TEXT(text, "finished");
	free(text);
	plist_free(y);
	CHECK_INT(b->info.date, made.like->info.date);
	mb_backup_free(b);
	end();
}

/* What only hides names: a key, unwrapped, of a new backup. */
static void manifest_key_of(struct mb_backup *b, uint8_t key[KEY_LEN])
{
	CHECK_INT(keyring_unwrap(&b->keyring, key, b->manifest_key, 0), 0);
}

CASE(each_manifest_has_a_key_of_its_own)
{
	uint8_t keys[3][KEY_LEN];
	struct mb_backup *b;

	for (int i = 0; i < 2; i++) {
		begin(golden("db-encrypted"), MB_AS_LIKE);
		manifest_key_of(made.like, keys[2]);
		b = commit(PASSWORD);
		manifest_key_of(b, keys[i]);
		mb_backup_free(b);
		end();
	}
	CHECK(memcmp(keys[0], keys[1], KEY_LEN));
	CHECK(memcmp(keys[0], keys[2], KEY_LEN));
}

CASE(a_record_that_is_damaged_is_kept_word_for_word)
{
	struct bytes garbage = unhex("62706c697374ff"), manifest;
	const struct entry entries[] = {
		{ .domain = "HomeDomain", .path = "f", .blob = &garbage }
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;

	manifest = manifest_db(schema_old, entries, 1);
	put_manifest_plist(from, "10.0", 0, NULL, NULL);
	put_file(from, "Manifest.db", manifest.ptr, manifest.len);
	begin(from, MB_AS_LIKE);
	CHECK(made.base.list[0].damage);
	keep_all();
	b = commit("");
	r = list_all(b);
	CHECK_TEXT(r.list[0].damage, made.base.list[0].damage);
	CHECK_BYTES(r.list[0].archive.ptr, r.list[0].archive.len, garbage.ptr,
		    garbage.len);
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&manifest);
	drop(&garbage);
}

/* ---- other keys ---- */

/* In clear there is no padding to tell that the recorded size is too large. */
static void check_looks_converted(const struct mb_record *x,
				  struct mb_backup *b,
				  const struct mb_record *y)
{
	struct mb_record want = *x;

	if (made.like->info.encrypted && !b->info.encrypted &&
	    y->type == MB_FILE) {
		int rc;
		struct bytes content = content_of(made.like, x, &rc);

		if (rc == 0 && (int64_t)content.len < x->size)
			want.size = (int64_t)content.len;
		if (rc == 0)
			CHECK_INT(mb_reader_check(b, y, NULL), 0);
		drop(&content);
	}
	check_looks_same(&want, y);
}

static void check_converted(const char *password, bool encrypted)
{
	struct mb_backup *b = commit(password);
	struct records r = list_all(b);

	CHECK_INT(b->info.encrypted, encrypted);
	CHECK_INT(b->info.manifest_encrypted, encrypted);
	if (!CHECK_INT(r.count, made.base.count))
		return;
	for (size_t k = 0; k < r.count; k++) {
		struct mb_record *x = &made.base.list[k], *y = &r.list[k];

		check_looks_converted(x, b, y);
		/* what was not encrypted before has no way to lose a digest */
		CHECK_INT(y->digest_len ? y->digest_len : x->digest_len,
			  x->digest_len);
		if (y->type != MB_FILE)
			continue;
		if (!encrypted)
			CHECK_INT(y->wrapped_key_len, 0);
		else if (x->wrapped_key_len == 44 && y->wrapped_key_len)
			CHECK(memcmp(x->wrapped_key, y->wrapped_key, 44));
		check_same_content(made.like, x, b, y,
				   encrypted || made.like->info.encrypted);
	}
	forget(&r);
	mb_backup_free(b);
}

/* ---- two threads ---- */

#define MANY 1500

static atomic_int keep_failed;

static void keep_one(void *arg, size_t i)
{
	struct mb_err err;

	(void)arg;
	if (mb_writer_keep(made.w, &made.base.list[i], &err) < 0)
		keep_failed++;
}

CASE(entries_can_be_kept_by_several_threads_at_once)
{
	static const enum mb_encryption how[] = { MB_IN_CLEAR, MB_NEW_PASSWORD,
						  MB_AS_LIKE };
	static struct example list[MANY];
	static char paths[MANY][32], contents[MANY][64];
	const char *from = temp_dir();
	struct crew *crew = NULL;

	for (int i = 0; i < MANY; i++) {
		snprintf(paths[i], sizeof(paths[i]), "file %d", i);
		snprintf(contents[i], sizeof(contents[i]), "%d is in it", i);
		list[i] = (struct example){ .domain = i % 3 ? "HomeDomain" :
							      "MediaDomain",
					    .path = paths[i],
					    .content = contents[i] };
	}
	put_example(from, list, MANY, true);
	CHECK_INT(crew_open(&crew), 0);
	for (size_t i = 0; i < COUNT(how); i++) {
		begin(from, how[i]);
		crew_each(crew, made.base.count, 2, keep_one, NULL);
		CHECK_INT(keep_failed, 0);
		CHECK_INT(made.counts.entries, MANY);
		CHECK_INT(made.counts.shared + made.counts.written, MANY);
		if (how[i] == MB_AS_LIKE)
			mb_backup_free(commit(PASSWORD));
		else
			check_converted(how[i] == MB_IN_CLEAR ? "" :
								"a new one",
					how[i] != MB_IN_CLEAR);
		end();
	}
	crew_free(crew);
}

CASE(in_clear_everything_that_can_be_read_is_there)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		plist_t list;

		begin(golden(shapes[i]), MB_IN_CLEAR);
		keep_all();
		CHECK_INT(made.counts.written > 0, made.like->info.encrypted);
		check_converted("", false);
		list = read_plist(made.dir, "Manifest.plist");
		CHECK_INT(flag_of(list, "IsEncrypted"), 0);
		CHECK(!plist_dict_get_item(list, "ManifestKey"));
		plist_free(list);
		end();
	}
}

CASE(a_new_password_opens_it_and_the_old_does_not)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct mb_backup *b;

		begin(golden(shapes[i]), MB_NEW_PASSWORD);
		keep_all();
		check_converted("a new one", true);
		b = open_locked(made.dir);
		CHECK_INT(unlock_with(b, PASSWORD), -EKEYREJECTED);
		CHECK_INT(b->keybag.double_iterations, 3);
		CHECK_INT(b->keybag.iterations, KEYBAG_ITERATIONS);
		mb_backup_free(b);
		end();
	}
}

CASE(what_cannot_be_read_is_left_out_with_a_note)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "good", "good") },
		{ PUT("HomeDomain", "gone", "gone"), .missing = true },
		{ PUT("HomeDomain", "cut", "sixteen bytes are") },
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;

	put_example(from, list, COUNT(list), true);
	put_text(from, example_payload("HomeDomain", "cut"), "no whole block");
	begin(from, MB_IN_CLEAR);
	keep_all();
	CHECK_INT(made.counts.entries, 3);
	CHECK_INT(made.counts.written, 1);
	CHECK(strstr(made.notes, "HomeDomain-gone: left without content"));
	CHECK(strstr(made.notes, "HomeDomain-cut: left without content"));
	CHECK(!strstr(made.notes, "good"));
	CHECK_INT(count_payloads(), 1);
	b = commit("");
	r = list_all(b);
	CHECK(has_content(b, record_of(&r, "HomeDomain", "good"), "good", 4));
	CHECK_INT(record_of(&r, "HomeDomain", "gone")->size, 4);
	CHECK_INT(record_of(&r, "HomeDomain", "cut")->size, 17);
	CHECK_INT(mb_reader_check(b, record_of(&r, "HomeDomain", "cut"), NULL),
		  -ENODATA);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(a_locked_backup_is_nothing_to_be_like)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_backup *like = open_locked(golden("db-encrypted"));

		CHECK_INT(begin_as(like, how[i]), -ENOKEY);
		CHECK(!made.w);
		CHECK(!exists(made.dir, "Manifest.db"));
		end();
	}
}

CASE(the_new_backup_is_unlocked_without_a_password)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_backup *b;

		begin(golden("db-encrypted"), how[i]);
		CHECK_INT(mb_writer_commit(made.w, true, NULL), 0);
		b = open_locked(made.dir);
		CHECK_INT(mb_writer_unlock(made.w, b, NULL), 0);
		CHECK_INT(mb_backup_load(b, NULL), 0);
		mb_backup_free(b);
		end();
	}
}

CASE(another_backup_is_not_unlocked)
{
	struct mb_backup *other = open_locked(golden("mbdb-encrypted"));

	begin(golden("db-encrypted"), MB_AS_LIKE);
	CHECK_INT(mb_writer_unlock(made.w, other, NULL), -EBADMSG);
	CHECK(!other->unlocked);
	end();
	begin(golden("db-encrypted"), MB_NEW_PASSWORD);
	CHECK_INT(mb_writer_unlock(made.w, other, NULL), -EKEYREJECTED);
	mb_backup_free(other);
	end();
}

/* ---- apps ---- */

static plist_t apps(const char *const *ids, size_t count)
{
	plist_t dict = plist_new_dict();

	for (size_t i = 0; i < count; i++)
		plist_dict_set_item(dict, ids[i], plist_new_dict());
	return dict;
}

CASE(of_a_part_only_apps_with_data_are_listed)
{
	static const char *const ids[] = { "com.example.app",
					   "com.example.app2", "com.example" };
	const struct example list[] = {
		{ "HomeDomain", "", .mode = 040755 },
		{ "AppDomain-com.example.app", "", .mode = 040755 },
		{ "AppDomainGroup-group.com.example", "", .mode = 040755 },
		{ "AppDomain-com.example.app2", "", .mode = 040755 },
	};

	for (int partial = 0; partial < 2; partial++) {
		const char *from = temp_dir();
		plist_t dict;
		struct bytes b;

		put_example(from, list, COUNT(list), false);
		dict = read_plist(from, "Manifest.plist");
		plist_dict_set_item(dict, "Applications",
				    apps(ids, COUNT(ids)));
		b = plist_bytes(dict);
		put_file(from, "Manifest.plist", b.ptr, b.len);
		drop(&b);
		begin(from, MB_AS_LIKE);
		mb_writer_free(made.w);
		unlink(in(made.dir, "Manifest.db"));
		made.wish.partial = partial;
		CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL),
			  0);
		CHECK_INT(keep("HomeDomain", ""), 0);
		CHECK_INT(keep("AppDomainGroup-group.com.example", ""), 0);
		CHECK_INT(keep("AppDomain-com.example.app", ""), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		dict = read_plist(made.dir, "Manifest.plist");
		CHECK_INT(plist_dict_get_size(
				  plist_dict_get_item(dict, "Applications")),
			  partial ? 1 : 3);
		CHECK(plist_dict_get_item(
			plist_dict_get_item(dict, "Applications"),
			"com.example.app"));
		plist_free(dict);
		end();
	}
}

/* ---- where payloads are ---- */

CASE(payloads_in_other_places_become_hashed)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "flat", "1") },
		{ PUT("HomeDomain", "snap", "22") },
		{ PUT("HomeDomain", "both", "333") },
		{ PUT("HomeDomain", "fold", "4") }
	};
	const char *from = temp_dir();
	struct mb_backup *b;
	struct records r;
	char name[64];

	put_example(from, list, COUNT(list), false);
	put_status(from, "moving");
	mkdir(in(from, "Snapshot"), 0700);
	rename(in(from, "Manifest.db"), in(from, "Snapshot/Manifest.db"));
	rename(in(from, example_payload("HomeDomain", "flat")),
	       in(from, example_payload("HomeDomain", "flat") + 3));
	snprintf(name, sizeof(name), "Snapshot/%s",
		 example_payload("HomeDomain", "snap"));
	put_text(from, name, "22");
	unlink(in(from, example_payload("HomeDomain", "snap")));
	/* the one in the snapshot is the newer one */
	snprintf(name, sizeof(name), "Snapshot/%s",
		 example_payload("HomeDomain", "both"));
	put_text(from, name, "new");
	begin(from, MB_AS_LIKE);
	keep_all();
	CHECK_INT(made.counts.shared, 4);
	for (size_t i = 0; i < COUNT(list); i++)
		CHECK(exists(made.dir,
			     example_payload(list[i].domain, list[i].path)));
	b = commit("");
	CHECK(b->info.complete);
	r = list_all(b);
	CHECK(has_content(b, record_of(&r, "HomeDomain", "flat"), "1", 1));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "snap"), "22", 2));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "both"), "new", 3));
	CHECK(has_content(b, record_of(&r, "HomeDomain", "fold"), "4", 1));
	forget(&r);
	mb_backup_free(b);
	end();
}

/* The link leads to a secret, the folder to nothing. */
CASE(what_is_no_payload_is_not_taken_for_one)
{
	static const struct example list[] = {
		{ PUT("HomeDomain", "link", "x") },
		{ PUT("HomeDomain", "folder", "x") },
		{ PUT("HomeDomain", "gone", "x"), .missing = true },
		{ PUT("HomeDomain", "good", "x") },
	};
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD };
	char name[64];

	for (size_t i = 0; i < COUNT(how); i++) {
		const char *from = temp_dir(), *path;

		put_example(from, list, COUNT(list), false);
		put_text(from, "secret", "SECRET");
		path = example_payload("HomeDomain", "link");
		unlink(in(from, path));
		CHECK_INT(symlink(in(from, "secret"), in(from, path)), 0);
		path = example_payload("HomeDomain", "folder");
		unlink(in(from, path));
		snprintf(name, sizeof(name), "%s/x", path);
		put_text(from, name, "SECRET");
		begin(from, how[i]);
		keep_all();
		CHECK_INT(made.counts.entries, 4);
		CHECK_INT(count_payloads(), 1);
		CHECK_INT(files_with("SECRET"), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		end();
	}
}

/* Folders on the way that lead out are no way. */
CASE(a_folder_of_payloads_that_is_a_link_is_not_followed)
{
	static const struct example list[] = { { PUT("HomeDomain", "f",
						     "x") } };
	const char *from = temp_dir(), *outside = temp_dir();
	const char *path = example_payload("HomeDomain", "f");
	char folder[3];

	put_example(from, list, 1, false);
	put_text(outside, path + 3, "SECRET");
	snprintf(folder, sizeof(folder), "%.2s", path);
	unlink(in(from, path));
	rmdir(in(from, folder));
	CHECK_INT(symlink(outside, in(from, folder)), 0);
	begin(from, MB_AS_LIKE);
	CHECK_INT(keep("HomeDomain", "f") == 0 || made.err.code == -ELOOP, 1);
	CHECK_INT(files_with("SECRET"), 0);
	end();
}

int main(void)
{
	RUN(what_is_kept_of_a_backup_of_any_shape_is_the_same);
	RUN(what_is_kept_is_shared_and_not_copied);
	RUN(the_property_lists_of_the_backup_stay);
	RUN(each_manifest_has_a_key_of_its_own);
	RUN(a_record_that_is_damaged_is_kept_word_for_word);
	RUN(entries_can_be_kept_by_several_threads_at_once);
	RUN(in_clear_everything_that_can_be_read_is_there);
	RUN(a_new_password_opens_it_and_the_old_does_not);
	RUN(what_cannot_be_read_is_left_out_with_a_note);
	RUN(a_locked_backup_is_nothing_to_be_like);
	RUN(the_new_backup_is_unlocked_without_a_password);
	RUN(another_backup_is_not_unlocked);
	RUN(of_a_part_only_apps_with_data_are_listed);
	RUN(payloads_in_other_places_become_hashed);
	RUN(what_is_no_payload_is_not_taken_for_one);
	RUN(a_folder_of_payloads_that_is_a_link_is_not_followed);
	return tap_end();
}
