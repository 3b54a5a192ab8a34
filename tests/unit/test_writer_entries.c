/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "new_backup.h"

/* ---- a disk that fails when a case says so ---- */

static int write_error; /* 0: it does not */

ssize_t __real_write(int fd, const void *ptr, size_t len);
ssize_t __wrap_write(int fd, const void *ptr, size_t len);

ssize_t __wrap_write(int fd, const void *ptr, size_t len)
{
	if (!write_error)
		return __real_write(fd, ptr, len);
	errno = write_error;
	return -1;
}

/* ---- entries that are added ---- */

CASE(a_backup_from_nothing)
{
	static const struct mb_backup_info about = {
		.device_name = "Bob",
		.udid = "00008110-000A1B2C3D4E5F67",
		.product_type = "iPhone14,5",
		.product_version = "17.5.1",
	};
	struct mb_entry folder = new_file("HomeDomain", "");
	struct mb_entry file = new_file("HomeDomain", "new \xc3\x9c");
	struct mb_entry link = new_file("HomeDomain", "link");
	const struct mb_record *rec;
	struct mb_backup *b;
	struct records r;
	char id[41];

	begin(NULL, MB_AS_LIKE);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.about = &about;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	folder.type = MB_DIR;
	link.type = MB_LINK;
	link.target = slice("new");
	CHECK_INT(mb_writer_add(made.w, &folder, NULL), 0);
	CHECK_INT(add_word(&file, "hello"), 0);
	CHECK_INT(mb_writer_add(made.w, &link, NULL), 0);
	b = commit("");
	CHECK(!b->info.encrypted);
	CHECK(b->info.complete);
	CHECK_TEXT(b->info.device_name, "Bob");
	CHECK_TEXT(b->info.udid, "00008110-000A1B2C3D4E5F67");
	CHECK_TEXT(b->info.product_version, "17.5.1");
	CHECK(b->info.date > EXAMPLE_TIME);
	r = list_all(b);
	CHECK_INT(r.count, 3);
	rec = record_of(&r, "HomeDomain", "");
	CHECK_INT(rec->type, MB_DIR);
	CHECK_INT(rec->mode, 040640);
	CHECK_INT(rec->digest_len, 0);
	rec = record_of(&r, "HomeDomain", "link");
	CHECK_INT(rec->type, MB_LINK);
	CHECK_INT(rec->mode, 0120640);
	CHECK(same(rec->target, slice("new")));
	rec = record_of(&r, "HomeDomain", "new \xc3\x9c");
	file_id(id, "HomeDomain", "new \xc3\x9c");
	CHECK_TEXT(rec->file_id, id);
	CHECK_INT(rec->mode, 0100640);
	CHECK_INT(rec->uid, 501);
	CHECK_INT(rec->gid, 250);
	CHECK_INT(rec->bsd_flags, 0x8000);
	CHECK_INT(rec->inode, 77);
	CHECK_INT(rec->size, 5);
	CHECK_INT(rec->mtime.tv_sec, EXAMPLE_TIME + 10);
	CHECK_INT(rec->ctime.tv_sec, EXAMPLE_TIME + 20);
	CHECK_INT(rec->birth.tv_sec, -5);
	CHECK_INT(rec->wrapped_key_len, 0);
	CHECK(has_content(b, rec, "hello", 5));
	CHECK_INT(made.counts.written, 1);
	CHECK_INT(made.counts.bytes, 5);
	CHECK_INT(made.counts.files, 1);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(from_nothing_under_a_password)
{
	struct mb_entry file = new_file("HomeDomain", "f");
	struct mb_backup *b;
	struct records r;

	begin(NULL, MB_NEW_PASSWORD);
	CHECK_INT(add_word(&file, "hello"), 0);
	b = commit("a new one");
	CHECK(b->info.encrypted && b->info.manifest_encrypted);
	r = list_all(b);
	CHECK_INT(r.list[0].wrapped_key_len, 44);
	CHECK(has_content(b, &r.list[0], "hello", 5));
	forget(&r);
	mb_backup_free(b);
	end();
}

/* with keys and without, read in odd pieces */
CASE(content_of_any_length)
{
	static const size_t lengths[] = { 0,	  1,	  15,	  16,	  17,
					  4095,	  4096,	  65535,  65536,  65537,
					  262143, 262144, 262145, 1000001 };
	struct bytes noise = { 0 };

	add_noise(&noise, 1000001);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_backup *b;
		struct records r;
		char path[20];

		begin(golden(encrypted ? "db-encrypted" : "db-plain"),
		      MB_AS_LIKE);
		for (size_t i = 0; i < COUNT(lengths); i++) {
			struct supply s = { .ptr = noise.ptr,
					    .len = lengths[i],
					    .at_most = i % 2 ? 1000 : 0 };
			struct mb_entry e;

			snprintf(path, sizeof(path), "of %zu", lengths[i]);
			e = new_file("HomeDomain", path);
			CHECK_INT(add_supply(&e, &s), 0);
		}
		b = commit(PASSWORD);
		r = list_all(b);
		for (size_t i = 0; i < COUNT(lengths); i++) {
			const struct mb_record *rec;

			snprintf(path, sizeof(path), "of %zu", lengths[i]);
			rec = record_of(&r, "HomeDomain", path);
			CHECK_INT(rec->size, lengths[i]);
			CHECK_INT(mb_reader_check(b, rec, NULL), 0);
			CHECK_AT(has_content(b, rec, noise.ptr, lengths[i]),
				 "%zu bytes", lengths[i]);
		}
		forget(&r);
		mb_backup_free(b);
		end();
	}
	drop(&noise);
}

static const struct example sample[] = {
	{ "HomeDomain", "", .mode = 040755 },
	{ PUT("HomeDomain", "a.txt", "what it was before") },
	{ "HomeDomain", "link", .mode = 0120755, .target = "a.txt" },
	{ "AppDomain-com.example.app", "d", .mode = 040700 },
	{ PUT("AppDomain-com.example.app", "d/b.bin", "class one"),
	  .class = 1 },
};

static const char *sample_backup(bool encrypted)
{
	const char *dir = temp_dir();

	put_example(dir, sample, COUNT(sample), encrypted);
	return dir;
}

static void begin_sample(bool encrypted)
{
	begin(sample_backup(encrypted), MB_AS_LIKE);
}

/* decrypted by OpenSSL, with the key that only the class key opens */
CASE(a_changed_file_has_a_key_and_a_digest_of_its_own)
{
	struct mb_entry e = new_file("HomeDomain", "a.txt");
	const char *from = sample_backup(true);
	struct bytes was =
		read_file(in(from, example_payload("HomeDomain", "a.txt")));
	struct bytes stored, plain, old = unhex(FILE_KEY);
	const struct mb_record *rec;
	uint8_t key[KEY_LEN];
	struct mb_backup *b;
	struct records r;
	char digest[41], shown[41];

	begin(from, MB_AS_LIKE);
	e.base = record_of(&made.base, "HomeDomain", "a.txt");
	CHECK_INT(add_word(&e, "what it is now"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	rec = record_of(&r, "HomeDomain", "a.txt");
	CHECK_INT(rec->wrapped_key_len, 44);
	CHECK_INT(keyring_unwrap(&b->keyring, key, rec->wrapped_key, 0), 0);
	CHECK(memcmp(key, old.ptr, KEY_LEN));
	stored =
		read_file(in(made.dir, example_payload("HomeDomain", "a.txt")));
	plain = aes_cbc(false, key, stored.ptr, stored.len, true);
	CHECK_BYTES(plain.ptr, plain.len, "what it is now", 14);
	sha1_hex(digest, stored.ptr, stored.len);
	CHECK_INT(rec->digest_len, 20);
	hex_encode(shown, rec->digest, 20);
	CHECK_TEXT(shown, digest);
	drop(&stored);
	/* the old payload is nobody's business */
	stored = read_file(in(from, example_payload("HomeDomain", "a.txt")));
	CHECK_BYTES(stored.ptr, stored.len, was.ptr, was.len);
	drop(&stored);
	drop(&plain);
	drop(&old);
	drop(&was);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(two_equal_contents_have_different_keys)
{
	struct mb_entry one = new_file("HomeDomain", "1");
	struct mb_entry two = new_file("HomeDomain", "2");
	struct bytes a, b;

	begin_sample(true);
	CHECK_INT(add_word(&one, "equal"), 0);
	CHECK_INT(add_word(&two, "equal"), 0);
	a = read_file(in(made.dir, example_payload("HomeDomain", "1")));
	b = read_file(in(made.dir, example_payload("HomeDomain", "2")));
	CHECK(a.len == 16 && b.len == 16 && memcmp(a.ptr, b.ptr, 16));
	drop(&a);
	drop(&b);
	end();
}

static struct mb_record copy_with_digest(const struct mb_record *rec,
					 uint8_t len)
{
	struct mb_record copy = *rec;

	copy.digest_len = len;
	return copy;
}

/* of a backup whose files have SHA-256, a new one has it too */
CASE(the_digest_is_of_the_kind_that_it_was)
{
	static const uint8_t had[] = { 0, 20, 32, 7 };

	begin_sample(false);
	for (size_t i = 0; i < COUNT(had); i++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		struct mb_record base = copy_with_digest(
			record_of(&made.base, "HomeDomain", "a.txt"), had[i]);
		struct mb_backup *b;
		struct records r;
		uint8_t want[32];

		end();
		begin_sample(false);
		base = copy_with_digest(
			record_of(&made.base, "HomeDomain", "a.txt"), had[i]);
		e.base = &base;
		CHECK_INT(add_word(&e, "now"), 0);
		b = commit("");
		r = list_all(b);
		EVP_Digest("now", 3, want, NULL,
			   had[i] == 32 ? EVP_sha256() : EVP_sha1(), NULL);
		CHECK_BYTES(r.list[0].digest, r.list[0].digest_len, want,
			    had[i] == 32 ? 32 : 20);
		forget(&r);
		mb_backup_free(b);
	}
	end();
}

/* the key bag has 1, 3 and 4; 11 is bound to the device */
CASE(a_class_that_the_key_bag_lacks_becomes_another)
{
	static const struct {
		uint8_t wanted, got;
	} classes[] = { { 1, 1 }, { 2, 3 }, { 3, 3 },  { 4, 4 },
			{ 0, 3 }, { 9, 3 }, { 11, 3 }, { 255, 3 } };
	struct mb_backup *b;
	struct records r;
	char path[10];

	begin_sample(true);
	for (size_t i = 0; i < COUNT(classes); i++) {
		struct mb_entry e;

		snprintf(path, sizeof(path), "%d", classes[i].wanted);
		e = new_file("HomeDomain", path);
		e.protection_class = classes[i].wanted;
		CHECK_INT(add_word(&e, path), 0);
	}
	b = commit(PASSWORD);
	r = list_all(b);
	for (size_t i = 0; i < COUNT(classes); i++) {
		const struct mb_record *rec;

		snprintf(path, sizeof(path), "%d", classes[i].wanted);
		rec = record_of(&r, "HomeDomain", path);
		CHECK_AT(rec->protection_class == classes[i].got, "%s", path);
		CHECK_INT(le32_at(rec->wrapped_key), classes[i].got);
		CHECK(has_content(b, rec, path, strlen(path)));
	}
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(without_keys_a_class_is_only_what_the_record_says)
{
	struct mb_entry e = new_file("HomeDomain", "f");
	struct mb_backup *b;
	struct records r;

	begin_sample(false);
	e.protection_class = 2;
	CHECK_INT(add_word(&e, "x"), 0);
	b = commit("");
	r = list_all(b);
	CHECK_INT(r.list[0].protection_class, 2);
	CHECK_INT(r.list[0].wrapped_key_len, 0);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(without_new_content_payload_and_key_are_the_old_ones)
{
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		const struct mb_record *was, *rec;
		struct mb_backup *b;
		struct records r;

		begin_sample(encrypted);
		was = record_of(&made.base, "HomeDomain", "a.txt");
		e.base = was;
		CHECK_INT(mb_writer_add(made.w, &e, NULL), 0);
		CHECK_INT(made.counts.shared, 1);
		CHECK_INT(made.counts.written, 0);
		b = commit(PASSWORD);
		r = list_all(b);
		rec = record_of(&r, "HomeDomain", "a.txt");
		CHECK_INT(rec->mode, 0100640);
		CHECK_INT(rec->mtime.tv_sec, EXAMPLE_TIME + 10);
		CHECK_INT(rec->size, was->size);
		CHECK_BYTES(rec->wrapped_key, rec->wrapped_key_len,
			    was->wrapped_key, was->wrapped_key_len);
		CHECK(has_content(b, rec, "what it was before", 18));
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

/* what newer devices write, and nobody knows yet */
CASE(what_is_not_understood_of_a_record_survives_an_edit)
{
	const struct example list[] = { { PUT("HomeDomain", "f", "old"),
					  .xattr = "a", .xattr_value = "1" } };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes blob;
	struct mb_backup *b;
	struct mb_record base;
	struct records r;
	const char *from = temp_dir();
	plist_t root;

	put_example(from, list, 1, true);
	begin(from, MB_AS_LIKE);
	base = *record_of(&made.base, "HomeDomain", "f");
	root = read_plist_bytes(base.archive.ptr, base.archive.len);
	plist_dict_set_item(
		plist_array_get_item(plist_dict_get_item(root, "$objects"), 1),
		"Unknown", plist_new_string("MARK-UNKNOWN"));
	blob = plist_bytes(root);
	base.archive = (struct mb_slice){ (char *)blob.ptr, blob.len };
	e.base = &base;
	CHECK_INT(add_word(&e, "new"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	CHECK(memmem(r.list[0].archive.ptr, r.list[0].archive.len,
		     "MARK-UNKNOWN", 12));
	CHECK(has_content(b, &r.list[0], "new", 3));
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&blob);
}

/* the same where the keys change: decrypted, and encrypted anew */
CASE(without_new_content_the_old_is_converted)
{
	static const enum mb_encryption how[] = { MB_IN_CLEAR,
						  MB_NEW_PASSWORD };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_entry e = new_file("HomeDomain", "a.txt");
		struct mb_backup *b;
		struct records r;

		begin(sample_backup(true), how[i]);
		e.base = record_of(&made.base, "HomeDomain", "a.txt");
		CHECK_INT(mb_writer_add(made.w, &e, NULL), 0);
		CHECK_INT(made.counts.written, 1);
		b = commit("a new one");
		r = list_all(b);
		CHECK_INT(r.list[0].mode, 0100640);
		CHECK(has_content(b, &r.list[0], "what it was before", 18));
		forget(&r);
		mb_backup_free(b);
		end();
	}
}

CASE(a_file_without_content_is_refused)
{
	struct mb_entry e = new_file("HomeDomain", "f");

	begin_sample(false);
	CHECK_INT(mb_writer_add(made.w, &e, &made.err), -EINVAL);
	CHECK_INT(made.counts.entries, 0);
	end();
}

/* a folder in place of the file, a file in place of the link */
CASE(an_entry_may_be_of_another_type_than_the_one_it_replaces)
{
	struct mb_entry folder = new_file("HomeDomain", "a.txt");
	struct mb_entry file = new_file("HomeDomain", "link");
	const struct mb_record *rec;
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	folder.type = MB_DIR;
	folder.base = record_of(&made.base, "HomeDomain", "a.txt");
	file.base = record_of(&made.base, "HomeDomain", "link");
	CHECK_INT(mb_writer_add(made.w, &folder, NULL), 0);
	CHECK_INT(add_word(&file, "a file"), 0);
	b = commit(PASSWORD);
	r = list_all(b);
	rec = record_of(&r, "HomeDomain", "a.txt");
	CHECK_INT(rec->type, MB_DIR);
	CHECK_INT(rec->mode, 040640);
	CHECK_INT(rec->size, 0);
	CHECK_INT(rec->wrapped_key_len, 0);
	CHECK_INT(rec->digest_len, 0);
	rec = record_of(&r, "HomeDomain", "link");
	CHECK_INT(rec->type, MB_FILE);
	CHECK_INT(rec->target.len, 0);
	CHECK(has_content(b, rec, "a file", 6));
	CHECK_INT(count_payloads(), 1);
	forget(&r);
	mb_backup_free(b);
	end();
}

/* ---- attributes ---- */

static struct records with_attributes(struct mb_entry *e,
				      const struct mb_xattr *list, size_t count,
				      struct mb_backup **b)
{
	e->xattrs = list;
	e->xattr_count = count;
	CHECK_INT(add_word(e, "x"), 0);
	*b = commit(PASSWORD);
	return list_all(*b);
}

CASE(attributes_of_an_entry)
{
	const struct mb_xattr list[] = {
		{ slice("a"), slice("1") },
		{ slice("com.example.\xc3\x9c"), { "\0\xff", 2 } },
		{ slice("empty"), slice("") },
	};
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes want = { 0 }, got;
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	r = with_attributes(&e, list, COUNT(list), &b);
	got = xattrs_of(&r.list[0]);
	for (size_t i = 0; i < COUNT(list); i++)
		add_pair(&want, list[i].name, list[i].value);
	CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
	CHECK_TEXT(made.notes, "");
	drop(&got);
	drop(&want);
	forget(&r);
	mb_backup_free(b);
	end();
}

CASE(a_name_that_is_no_text_is_left_out_with_a_note)
{
	const struct mb_xattr list[] = { { slice("caf\xe9"), slice("1") },
					 { slice("good"), slice("2") } };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes want = { 0 }, got;
	struct mb_backup *b;
	struct records r;

	begin_sample(false);
	r = with_attributes(&e, list, COUNT(list), &b);
	got = xattrs_of(&r.list[0]);
	add_pair(&want, list[1].name, list[1].value);
	CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
	CHECK(strstr(made.notes, "HomeDomain-f: its attributes"));
	drop(&got);
	drop(&want);
	forget(&r);
	mb_backup_free(b);
	end();
}

/* 2048 bytes are the most that a device keeps */
CASE(more_attributes_than_a_device_keeps_are_left_out_with_a_note)
{
	char large[2048];
	struct mb_entry e;

	memset(large, 'x', sizeof(large));
	for (size_t len = 1900; len <= sizeof(large); len++) {
		const struct mb_xattr list[] = { { slice("a"),
						   { large, len } } };
		const struct mbfile_xattr same_list[] = { { list[0].name,
							    list[0].value } };
		struct buf encoded = { 0 };
		struct mb_backup *b;
		struct records r;
		size_t left_out;

		mbfile_encode_xattrs(&encoded, same_list, 1, &left_out);
		if (encoded.len < 2048 || encoded.len > 2049) {
			buf_release(&encoded);
			continue;
		}
		e = new_file("HomeDomain", "f");
		begin_sample(false);
		r = with_attributes(&e, list, 1, &b);
		CHECK_INT(r.list[0].xattrs.len > 0, encoded.len == 2048);
		CHECK_INT(strstr(made.notes, "more than a device keeps") !=
				  NULL,
			  encoded.len == 2049);
		CHECK(has_content(b, &r.list[0], "x", 1));
		forget(&r);
		mb_backup_free(b);
		end();
		buf_release(&encoded);
	}
}

CASE(attributes_of_the_base_are_those_that_the_entry_says)
{
	struct mb_record base = { 0 };
	struct mb_entry e = new_file("HomeDomain", "f");
	struct bytes archive = unhex(MBFILE_ENCRYPTED);
	struct mb_backup *b;
	struct records r;

	begin_sample(true);
	base.archive = (struct mb_slice){ (char *)archive.ptr, archive.len };
	base.type = MB_FILE;
	e.base = &base;
	r = with_attributes(&e, NULL, 0, &b);
	CHECK_INT(r.list[0].xattrs.len, 0);
	forget(&r);
	mb_backup_free(b);
	end();
	drop(&archive);
}

/* ---- what goes wrong ---- */

CASE(a_content_that_ends_in_an_error_leaves_no_payload)
{
	static const size_t after[] = { 1, 70000, 600000 };
	struct bytes noise = { 0 };

	add_noise(&noise, 700000);
	for (size_t i = 0; i < COUNT(after); i++) {
		struct supply s = { noise.ptr, noise.len, 50000,
				    after[i],  -ESTALE,	  false };
		struct mb_entry e = new_file("HomeDomain", "f");

		begin_sample(i % 2);
		CHECK_INT(add_supply(&e, &s), -ESTALE);
		CHECK_INT(made.err.code, -ESTALE);
		CHECK(strstr(made.err.text, "HomeDomain-f"));
		CHECK_INT(count_payloads(), 0);
		CHECK_INT(made.counts.entries, 0);
		CHECK_INT(made.counts.written, 0);
		/* and can be tried again */
		CHECK_INT(add_word(&e, "now"), 0);
		CHECK_INT(count_payloads(), 1);
		end();
	}
	drop(&noise);
}

CASE(cancelled_in_the_middle_of_a_content)
{
	struct bytes noise = { 0 };
	struct supply s = { .len = 700000, .fails_at = 1, .cancels = true };
	struct mb_entry e = new_file("HomeDomain", "f");

	add_noise(&noise, 700000);
	s.ptr = noise.ptr;
	begin(NULL, MB_NEW_PASSWORD);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.cancelled = is_cancelled;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	CHECK_INT(add_supply(&e, &s), -ECANCELED);
	CHECK_TEXT(made.err.text, "cancelled");
	CHECK_INT(count_payloads(), 0);
	cancelled = false;
	end();
	drop(&noise);
}

CASE(cancelled_while_keys_change)
{
	begin(sample_backup(true), MB_IN_CLEAR);
	mb_writer_free(made.w);
	unlink(in(made.dir, "Manifest.db"));
	made.wish.cancelled = is_cancelled;
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), 0);
	cancelled = true;
	CHECK_INT(keep("HomeDomain", "a.txt"), -ECANCELED);
	CHECK_TEXT(made.err.text, "cancelled");
	CHECK_TEXT(made.notes, "");
	CHECK_INT(count_payloads(), 0);
	cancelled = false;
	end();
}

CASE(an_entry_that_is_there_already)
{
	struct mb_entry e = new_file("HomeDomain", "a.txt");

	begin_sample(true);
	CHECK_INT(keep("HomeDomain", "a.txt"), 0);
	CHECK_INT(keep("HomeDomain", "a.txt"), -EEXIST);
	CHECK_INT(add_word(&e, "another"), -EEXIST);
	/* what was there is what is there */
	CHECK_INT(count_payloads(), 1);
	CHECK_INT(made.counts.entries, 1);
	CHECK_INT(keep("HomeDomain", "link"), 0);
	CHECK_INT(keep("HomeDomain", "link"), -EEXIST);
	end();
}

CASE(a_folder_that_holds_a_manifest_already)
{
	begin_sample(false);
	CHECK_INT(mb_writer_open(&made.w, made.fd, &made.wish, NULL), -EEXIST);
	end();
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* as on a full disk, but for the number */
CASE(a_payload_that_cannot_be_written_leaves_nothing)
{
	struct bytes noise = { 0 };
	int rc;

	add_noise(&noise, 700000);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		struct mb_entry e = new_file("HomeDomain", "f");

		begin_sample(encrypted);
		limit_files(300000);
		rc = add_bytes(&e, noise.ptr, noise.len);
		limit_files(0);
		CHECK_INT(rc, -EFBIG);
		CHECK_INT(count_payloads(), 0);
		CHECK_INT(made.counts.written, 0);
		end();
	}
	drop(&noise);
}

CASE(a_conversion_that_cannot_be_written_is_an_error_and_no_gap)
{
	static char text[40000];
	const struct example list[] = { { PUT("HomeDomain", "large", text) } };
	const char *from = temp_dir();
	int rc;

	memset(text, 'x', sizeof(text) - 1);
	put_example(from, list, 1, true);
	begin(from, MB_NEW_PASSWORD);
	limit_files(30000);
	rc = keep("HomeDomain", "large");
	limit_files(0);
	CHECK_INT(rc, -EFBIG);
	CHECK_TEXT(made.notes, "");
	CHECK_INT(made.counts.entries, 0);
	CHECK_INT(count_payloads(), 0);
	end();
}

/* EIO of the disk that is written to, not of what is read */
CASE(a_disk_that_fails_is_not_taken_for_damage_of_what_is_kept)
{
	static const int errors[] = { EIO, ENOSPC };
	int rc;

	for (size_t i = 0; i < COUNT(errors); i++) {
		begin(sample_backup(true), MB_IN_CLEAR);
		write_error = errors[i];
		rc = keep("HomeDomain", "a.txt");
		write_error = 0;
		CHECK_INT(rc, -errors[i]);
		CHECK_INT(made.err.code, -errors[i]);
		CHECK_TEXT(made.notes, "");
		CHECK_INT(made.counts.entries, 0);
		CHECK_INT(count_payloads(), 0);
		end();
	}
}

/* the manifest, and a list before and after it */
CASE(a_commit_that_fails_makes_no_backup)
{
	static const rlim_t limits[] = { 1, 3000, 20000 };
	int rc;

	for (size_t i = 0; i < COUNT(limits); i++) {
		begin(golden("db-encrypted"), MB_AS_LIKE);
		keep_all();
		limit_files(limits[i]);
		rc = mb_writer_commit(made.w, false, &made.err);
		limit_files(0);
		CHECK_INT(rc, -EFBIG);
		CHECK_INT(made.err.code, rc);
		CHECK(!exists(made.dir, "Status.plist"));
		end();
	}
}

/* ---- nothing is ever in clear ---- */

CASE(of_an_encrypted_backup_nothing_is_in_clear)
{
	static const enum mb_encryption how[] = { MB_AS_LIKE, MB_NEW_PASSWORD,
						  MB_IN_CLEAR };
	static const char *const marks[] = { "MARK-NAME",      "MARK-CONTENT",
					     "MARK-ATTRIBUTE", "MARK-TARGET",
					     "what it was",    "MBFile" };
	const struct mb_xattr list[] = { { slice("a"),
					   slice("MARK-ATTRIBUTE") } };

	for (size_t i = 0; i < COUNT(how); i++) {
		struct mb_entry e = new_file("HomeDomain", "MARK-NAME");
		struct mb_entry link = new_file("HomeDomain", "l");
		bool clear = how[i] == MB_IN_CLEAR;

		begin(sample_backup(true), how[i]);
		keep_all();
		e.xattrs = list;
		e.xattr_count = 1;
		link.type = MB_LINK;
		link.target = slice("MARK-TARGET");
		CHECK_INT(add_word(&e, "MARK-CONTENT"), 0);
		CHECK_INT(mb_writer_add(made.w, &link, NULL), 0);
		/* while it is made, and afterwards */
		for (size_t k = 0; !clear && k < COUNT(marks); k++)
			CHECK_INT(files_with(marks[k]), 0);
		CHECK_INT(mb_writer_commit(made.w, false, NULL), 0);
		for (size_t k = 0; k < COUNT(marks); k++)
			CHECK_AT((files_with(marks[k]) > 0) == clear, "%s",
				 marks[k]);
		CHECK_INT(files_with("a new one"), 0);
		end();
	}
}

int main(void)
{
	RUN(a_backup_from_nothing);
	RUN(from_nothing_under_a_password);
	RUN(content_of_any_length);
	RUN(a_changed_file_has_a_key_and_a_digest_of_its_own);
	RUN(two_equal_contents_have_different_keys);
	RUN(the_digest_is_of_the_kind_that_it_was);
	RUN(a_class_that_the_key_bag_lacks_becomes_another);
	RUN(without_keys_a_class_is_only_what_the_record_says);
	RUN(without_new_content_payload_and_key_are_the_old_ones);
	RUN(what_is_not_understood_of_a_record_survives_an_edit);
	RUN(without_new_content_the_old_is_converted);
	RUN(a_file_without_content_is_refused);
	RUN(an_entry_may_be_of_another_type_than_the_one_it_replaces);
	RUN(attributes_of_an_entry);
	RUN(a_name_that_is_no_text_is_left_out_with_a_note);
	RUN(more_attributes_than_a_device_keeps_are_left_out_with_a_note);
	RUN(attributes_of_the_base_are_those_that_the_entry_says);
	RUN(a_content_that_ends_in_an_error_leaves_no_payload);
	RUN(cancelled_in_the_middle_of_a_content);
	RUN(cancelled_while_keys_change);
	RUN(an_entry_that_is_there_already);
	RUN(a_folder_that_holds_a_manifest_already);
	RUN(a_payload_that_cannot_be_written_leaves_nothing);
	RUN(a_conversion_that_cannot_be_written_is_an_error_and_no_gap);
	RUN(a_disk_that_fails_is_not_taken_for_damage_of_what_is_kept);
	RUN(a_commit_that_fails_makes_no_backup);
	RUN(of_an_encrypted_backup_nothing_is_in_clear);
	return tap_end();
}
