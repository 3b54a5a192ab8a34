/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbdb.h"

#include <errno.h>
#include <sys/stat.h>

#include "fixture.h"
#include "tap.h"
#include "vectors.h"

static bool slice_is(struct mb_slice s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.ptr, text, s.len);
}

static int note_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	struct bytes *b = arg;

	add(b, name.ptr, name.len);
	add_text(b, "=");
	add(b, value.ptr, value.len);
	add_text(b, ";");
	return 0;
}

CASE(the_four_records_of_the_format)
{
	static const size_t lens[] = { 75, 137, 98, 136 };
	static const char *const paths[] = { "", "Documents/hello.txt",
					     "Documents/link",
					     "Documents/enc.txt" };
	static const unsigned modes[] = { 040755, 0100644, 0120755, 0100644 };
	struct bytes b = unhex(MBDB);
	size_t at = MBDB_MAGIC_LEN;

	for (int i = 0; i < 4; i++) {
		struct view rest = view_of(b.ptr + at, b.len - at);
		struct mb_record rec = { 0 };
		struct mbdb_head head;

		CHECK_INT(mbdb_head(&head, rest), 0);
		CHECK_INT(head.len, lens[i]);
		CHECK(slice_is(head.domain, "AppDomain-com.example.app"));
		CHECK(slice_is(head.path, paths[i]));
		CHECK_INT(head.mode, modes[i]);
		CHECK_INT(head.size, i == 1 || i == 3 ? 5 : 0);
		CHECK_INT(mbdb_decode(&rec, rest), 0);
		CHECK(slice_is(rec.path, paths[i]));
		CHECK_INT(rec.mode, modes[i]);
		CHECK_INT(rec.type, i == 0 ? MB_DIR :
				    i == 2 ? MB_LINK :
					     MB_FILE);
		CHECK_INT(rec.size, head.size);
		CHECK(rec.uid == 501 && rec.gid == 501);
		CHECK_INT(rec.mtime.tv_sec, 1700000000);
		CHECK_INT(rec.ctime.tv_sec, 1700000001);
		CHECK_INT(rec.birth.tv_sec, 1699999999);
		at += head.len;
	}
	CHECK_INT(at, b.len);
	drop(&b);
}

CASE(what_only_some_records_have)
{
	struct bytes b = unhex(MBDB), seen = { 0 };
	struct bytes key = unhex(WRAPPED_FILE_KEY);
	struct bytes digest = unhex("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
	struct mb_record rec = { 0 };

	CHECK_INT(mbdb_decode(&rec, view_of(b.ptr + 81, 137)), 0);
	CHECK_BYTES(rec.digest, rec.digest_len, digest.ptr, digest.len);
	CHECK_INT(rec.protection_class, 3);
	CHECK_INT(rec.inode, 123456);
	CHECK_INT(rec.wrapped_key_len, 0);
	CHECK_INT(mb_record_each_xattr(&rec, note_xattr, &seen), 0);
	CHECK_BYTES(seen.ptr, seen.len, "com.example.note=abc;", 21);
	rec = (struct mb_record){ 0 };
	CHECK_INT(mbdb_decode(&rec, view_of(b.ptr + 218, 98)), 0);
	CHECK(slice_is(rec.target, "hello.txt"));
	CHECK_INT(rec.digest_len, 0);
	rec = (struct mb_record){ 0 };
	CHECK_INT(mbdb_decode(&rec, view_of(b.ptr + 316, 136)), 0);
	CHECK_BYTES(rec.wrapped_key, rec.wrapped_key_len, key.ptr, key.len);
	CHECK_INT(rec.inode, 123457);
	drop(&b);
	drop(&key);
	drop(&seen);
	drop(&digest);
}

CASE(a_record_cut_off_anywhere_asks_for_more)
{
	static const size_t at[] = { 6, 81, 218, 316, 452 };
	struct bytes b = unhex(MBDB);

	for (int i = 0; i < 4; i++)
		for (size_t len = 0; len < at[i + 1] - at[i]; len++) {
			uint8_t *copy = malloc(len ? len : 1);
			struct mb_record rec = { 0 };
			struct mbdb_head head;

			memcpy(copy, b.ptr + at[i], len);
			CHECK_AT(mbdb_head(&head, view_of(copy, len)) ==
					 -EAGAIN,
				 "%zu bytes", len);
			CHECK_AT(mbdb_decode(&rec, view_of(copy, len)) ==
					 -EAGAIN,
				 "%zu bytes", len);
			free(copy);
		}
	drop(&b);
}

CASE(any_changed_byte_is_survived)
{
	struct bytes b = unhex(MBDB);

	for (size_t at = 81; at < 81 + 137; at++)
		for (int change = 1; change < 256; change++) {
			uint8_t *copy = malloc(137);
			struct mb_record rec = { 0 };
			struct bytes seen = { 0 };
			int rc;

			memcpy(copy, b.ptr + 81, 137);
			copy[at - 81] ^= (uint8_t)change;
			rc = mbdb_decode(&rec, view_of(copy, 137));
			CHECK(rc == 0 || rc == -EAGAIN || rc == -EBADMSG);
			mb_record_each_xattr(&rec, note_xattr, &seen);
			drop(&seen);
			free(copy);
		}
	drop(&b);
}

CASE(a_record_without_a_domain_is_malformed)
{
	struct bytes b = { 0 };
	struct mbdb_head head;

	add_mbdb(&b, &(struct entry){ .domain = "", .path = "x" });
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), 0);
	CHECK_INT(head.domain.len, 0);
	b.ptr[0] = b.ptr[1] = 0xff;
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), -EBADMSG);
	drop(&b);
}

CASE(absent_and_empty_strings_are_the_same)
{
	struct bytes b = unhex("000141"
			       "0000"
			       "0000"
			       "0000"
			       "0000");
	struct bytes c = unhex("000141"
			       "ffff"
			       "ffff"
			       "ffff"
			       "ffff");
	struct mb_record rec = { 0 };
	struct mbdb_head head;

	add_noise(&b, 38);
	add_be(&b, 0, 2);
	add(&c, b.ptr + 11, 40);
	CHECK_INT(b.len, MBDB_RECORD_MIN + 1);
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), 0);
	CHECK_INT(head.len, b.len);
	CHECK_INT(mbdb_head(&head, view_of(c.ptr, c.len)), 0);
	CHECK_INT(head.len, c.len);
	CHECK_INT(mbdb_decode(&rec, view_of(c.ptr, c.len)), 0);
	CHECK(!rec.path.len && !rec.target.len && !rec.digest_len &&
	      !rec.wrapped_key_len);
	drop(&b);
	drop(&c);
}

CASE(the_longest_strings_have_65534_bytes)
{
	struct bytes b = { 0 }, text = { 0 };
	struct mbdb_head head;

	add_noise(&text, 65534);
	add_be(&b, 65534, 2);
	add(&b, text.ptr, text.len);
	add_be(&b, 65534, 2);
	add(&b, text.ptr, text.len);
	add_hex(&b, "ffffffffffff");
	add_noise(&b, 38);
	add_be(&b, 0, 2);
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), 0);
	CHECK_INT(head.domain.len, 65534);
	CHECK_BYTES(head.path.ptr, head.path.len, text.ptr, text.len);
	CHECK_INT(head.len, b.len);
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len - 1)), -EAGAIN);
	drop(&b);
	drop(&text);
}

CASE(times_are_signed)
{
	struct mb_record rec = { 0 };
	struct bytes b = { 0 };

	add_mbdb(&b, &(struct entry){
			     .domain = "D", .path = "x", .mtime = -86400 });
	CHECK_INT(mbdb_decode(&rec, view_of(b.ptr, b.len)), 0);
	CHECK_INT(rec.mtime.tv_sec, -86400);
	CHECK_INT(rec.birth.tv_sec, -86401);
	drop(&b);
}

CASE(keys_and_digests_of_another_length)
{
	for (unsigned len = 0; len < 64; len++) {
		struct bytes b = unhex("000141"
				       "0000"
				       "ffff");
		struct mb_record rec = { 0 };

		add_be(&b, len, 2); /* digest */
		add_noise(&b, len);
		add_be(&b, len, 2); /* key */
		add_noise(&b, len);
		add_noise(&b, 39);
		add_be(&b, 0, 1);
		CHECK_INT(mbdb_decode(&rec, view_of(b.ptr, b.len)), 0);
		CHECK_INT(rec.digest_len, len == 20 || len == 32 ? len : 0);
		CHECK_AT((rec.wrapped_key_len == 44) == (len == 44) &&
				 (rec.wrapped_key_len != 0) == (len != 0),
			 "%u bytes", len);
		drop(&b);
	}
}

CASE(properties_are_walked_in_order)
{
	struct bytes b = { 0 }, seen = { 0 };
	struct view all;
	int calls = 0;

	for (int i = 0; i < 255; i++) {
		add_be(&b, 1, 2);
		add_be(&b, (uint64_t)('a' + i % 26), 1);
		if (i == 7)
			add_be(&b, 0xffff, 2); /* no value */
		else
			add_hex(&b, "0002"
				    "0001");
	}
	all = view_of(b.ptr, b.len);
	CHECK_INT(mbdb_each_xattr(all, note_xattr, &seen), 0);
	CHECK_INT(seen.len, 255 * 5 - 2);
	CHECK(!memcmp(seen.ptr, "a=\0\1;b=\0\1;", 10));
	(void)calls;
	/* a tail that is no property is left out */
	drop(&seen);
	all.len -= 1;
	CHECK_INT(mbdb_each_xattr(all, note_xattr, &seen), 0);
	CHECK_INT(seen.len, 254 * 5 - 2);
	drop(&b);
	drop(&seen);
}

CASE(the_property_count_decides_the_length)
{
	struct bytes b = { 0 };
	struct mbdb_head head;
	size_t plain;

	add_mbdb(&b, &(struct entry){ .domain = "D", .path = "x" });
	plain = b.len;
	b.ptr[plain - 1] = 2;
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), -EAGAIN);
	add_hex(&b, "000161"
		    "000162"
		    "ffff"
		    "ffff");
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len)), 0);
	CHECK_INT(head.len, plain + 10);
	CHECK_INT(mbdb_head(&head, view_of(b.ptr, b.len - 1)), -EAGAIN);
	drop(&b);
}

CASE(modes_tell_three_types)
{
	CHECK_INT(mode_type(0100644), MB_FILE);
	CHECK_INT(mode_type(040755), MB_DIR);
	CHECK_INT(mode_type(0120777), MB_LINK);
	CHECK_INT(mode_type(0), 0);
	CHECK_INT(mode_type(010644), 0);  /* a FIFO */
	CHECK_INT(mode_type(060644), 0);  /* a block device */
	CHECK_INT(mode_type(0140644), 0); /* a socket */
	CHECK_INT(mode_type(0xffffffff), 0);
}

int main(void)
{
	RUN(the_four_records_of_the_format);
	RUN(what_only_some_records_have);
	RUN(a_record_cut_off_anywhere_asks_for_more);
	RUN(any_changed_byte_is_survived);
	RUN(a_record_without_a_domain_is_malformed);
	RUN(absent_and_empty_strings_are_the_same);
	RUN(the_longest_strings_have_65534_bytes);
	RUN(times_are_signed);
	RUN(keys_and_digests_of_another_length);
	RUN(properties_are_walked_in_order);
	RUN(the_property_count_decides_the_length);
	RUN(modes_tell_three_types);
	return tap_end();
}
