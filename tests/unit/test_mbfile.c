/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mbfile.h"

#include <errno.h>
#include <sys/stat.h>

#include "fixture.h"
#include "record.h"
#include "tap.h"
#include "vectors.h"

static struct mb_record rec;

static int decode(struct bytes b)
{
	if (record_reset(&rec, MBFILE_ROOM(b.len)) < 0)
		abort();
	return mbfile_decode(&rec, view_of(b.ptr, b.len));
}

static bool slice_is(struct mb_slice s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.ptr, text, s.len);
}

static void check_common(void)
{
	CHECK_INT(rec.mtime.tv_sec, 1700000000);
	CHECK_INT(rec.ctime.tv_sec, 1700000001);
	CHECK_INT(rec.birth.tv_sec, 1699999999);
	CHECK_INT(rec.mtime.tv_nsec, 0);
	CHECK(rec.uid == 501 && rec.gid == 501 && rec.inode == 123456);
	CHECK_INT(rec.bsd_flags, 0);
}

CASE(the_regular_file_of_the_format)
{
	struct bytes b = unhex(MBFILE_FILE);

	CHECK_INT(decode(b), 0);
	check_common();
	CHECK_INT(rec.mode, 33188);
	CHECK_INT(rec.size, 5);
	CHECK_INT(rec.protection_class, 3);
	CHECK(!rec.wrapped_key_len && !rec.digest_len && !rec.target.ptr);
	CHECK_INT(rec.xattrs_form, MB_XATTRS_NONE);
	drop(&b);
}

CASE(the_directory_of_the_format)
{
	struct bytes b = unhex(MBFILE_DIR);

	CHECK_INT(decode(b), 0);
	check_common();
	CHECK_INT(rec.mode, 16877);
	CHECK_INT(rec.size, 0);
	CHECK_INT(rec.protection_class, 0);
	drop(&b);
}

CASE(the_symbolic_link_of_the_format)
{
	struct bytes b = unhex(MBFILE_LINK);

	CHECK_INT(decode(b), 0);
	check_common();
	CHECK_INT(rec.mode, 41453);
	CHECK(slice_is(rec.target, "hello.txt"));
	drop(&b);
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

static void check_xattrs(const char *want)
{
	struct bytes b = { 0 };

	CHECK_INT(mb_record_each_xattr(&rec, note_xattr, &b), 0);
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

CASE(the_encrypted_file_of_the_format)
{
	struct bytes b = unhex(MBFILE_ENCRYPTED);
	struct bytes key = unhex(WRAPPED_FILE_KEY);
	struct bytes digest = unhex("05ee09516f8382f84113672ec80fa7c3d55d8d49");

	CHECK_INT(decode(b), 0);
	check_common();
	CHECK_BYTES(rec.wrapped_key, rec.wrapped_key_len, key.ptr, key.len);
	CHECK_BYTES(rec.digest, rec.digest_len, digest.ptr, digest.len);
	check_xattrs("com.example.note=abc;");
	drop(&b);
	drop(&key);
	drop(&digest);
}

static int stop_at_once(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)name, (void)value;
	++*(int *)arg;
	return -EINTR;
}

CASE(a_walk_of_attributes_ends_when_asked_to)
{
	struct bytes b = unhex(MBFILE_ENCRYPTED);
	int calls = 0;

	CHECK_INT(decode(b), 0);
	CHECK_INT(mb_record_each_xattr(&rec, stop_at_once, &calls), -EINTR);
	CHECK_INT(calls, 1);
	drop(&b);
}

/*
 * Archives in the shapes of other writers. @file is the MBFile dictionary;
 * @objects the array, "$null" and @file already in it.
 */
struct shape {
	plist_t root, file, objects;
};

static struct shape shape_new(void)
{
	struct shape s = { plist_new_dict(), plist_new_dict(),
			   plist_new_array() };
	plist_t top = plist_new_dict();

	plist_array_append_item(s.objects, plist_new_string("$null"));
	plist_array_append_item(s.objects, s.file);
	plist_dict_set_item(top, "root", plist_new_uid(1));
	plist_dict_set_item(s.root, "$top", top);
	plist_dict_set_item(s.root, "$objects", s.objects);
	plist_dict_set_item(s.file, "Mode", plist_new_uint(33188));
	return s;
}

static void set(struct shape *s, const char *key, plist_t value)
{
	plist_dict_set_item(s->file, key, value);
}

/* put an object into the array; its UID */
static plist_t refer(struct shape *s, plist_t object)
{
	plist_array_append_item(s->objects, object);
	return plist_new_uid(plist_array_get_size(s->objects) - 1);
}

static plist_t cf_uid(uint64_t number)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, "CF$UID", plist_new_uint(number));
	return dict;
}

static plist_t dict_with(const char *key, plist_t value)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, key, value);
	return dict;
}

static int decode_shape(struct shape *s)
{
	static struct bytes b;

	drop(&b);
	b = plist_bytes(s->root);
	return decode(b);
}

static plist_t some_data(size_t len, uint8_t fill)
{
	char bytes[100];

	memset(bytes, fill, sizeof(bytes));
	return plist_new_data(bytes, len);
}

CASE(a_digest_in_each_of_its_encodings)
{
	for (int form = 0; form < 5; form++) {
		struct shape s = shape_new();
		plist_t data = some_data(form == 4 ? 32 : 20, 0xd1);
		uint8_t want[32];

		switch (form) {
		case 1:
			data = refer(&s, data);
			break;
		case 2:
			data = refer(&s, dict_with("NS.data", data));
			break;
		case 3:
			data = refer(&s, dict_with("NS.data", refer(&s, data)));
			break;
		}
		set(&s, "Digest", data);
		CHECK_INT(decode_shape(&s), 0);
		memset(want, 0xd1, sizeof(want));
		CHECK_BYTES(rec.digest, rec.digest_len, want,
			    form == 4 ? 32 : 20);
	}
}

CASE(a_digest_of_another_length_or_type_is_none)
{
	static const size_t lens[] = { 0, 1, 19, 21, 31, 33, 64 };
	struct shape s;

	for (size_t i = 0; i < COUNT(lens); i++) {
		s = shape_new();
		set(&s, "Digest", some_data(lens[i], 1));
		CHECK_INT(decode_shape(&s), 0);
		CHECK_INT(rec.digest_len, 0);
	}
	s = shape_new();
	set(&s, "Digest", plist_new_string("01234567890123456789"));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.digest_len, 0);
}

CASE(a_key_in_each_of_its_encodings)
{
	uint8_t want[44];

	memset(want, 0xe2, sizeof(want));
	for (int form = 0; form < 4; form++) {
		struct shape s = shape_new();
		plist_t data = some_data(44, 0xe2);

		switch (form) {
		case 1:
			data = refer(&s, data);
			break;
		case 2:
			data = refer(&s, dict_with("NS.data", data));
			break;
		case 3: /* NS.data behind another UID: seen from third parties */
			data = refer(&s, dict_with("NS.data", refer(&s, data)));
			break;
		}
		set(&s, "EncryptionKey", data);
		CHECK_INT(decode_shape(&s), 0);
		CHECK_BYTES(rec.wrapped_key, rec.wrapped_key_len, want, 44);
	}
}

CASE(a_key_of_another_length_does_not_pass_for_none)
{
	static const size_t lens[] = { 0, 1, 40, 43, 45, 76 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct shape s = shape_new();

		set(&s, "EncryptionKey", some_data(lens[i], 1));
		CHECK_INT(decode_shape(&s), 0);
		CHECK(rec.wrapped_key_len != 0 && rec.wrapped_key_len != 44);
	}
}

CASE(uids_that_went_through_xml_are_dictionaries)
{
	struct shape s = shape_new();

	plist_dict_set_item(s.root, "$top", dict_with("root", cf_uid(1)));
	plist_array_append_item(s.objects, plist_new_string("target"));
	plist_array_append_item(s.objects, some_data(20, 3));
	set(&s, "Target", cf_uid(2));
	set(&s, "Digest", cf_uid(3));
	set(&s, "Size", plist_new_uint(12));
	CHECK_INT(decode_shape(&s), 0);
	CHECK(slice_is(rec.target, "target"));
	CHECK_INT(rec.digest_len, 20);
	CHECK_INT(rec.size, 12);
}

CASE(times_as_integer_real_date_and_nsdate)
{
	struct shape s = shape_new();

	set(&s, "LastModified", plist_new_real(1700000000.25));
	set(&s, "LastStatusChange", plist_new_date(1700000000 - 978307200, 0));
	set(&s, "Birth", refer(&s, dict_with("NS.time", plist_new_real(-0.5))));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.mtime.tv_sec, 1700000000);
	CHECK_INT(rec.mtime.tv_nsec, 250000000);
	CHECK_INT(rec.ctime.tv_sec, 1700000000);
	CHECK_INT(rec.birth.tv_sec, 978307199);
	CHECK_INT(rec.birth.tv_nsec, 500000000);
	s = shape_new();
	set(&s, "LastModified", new_int(-86400));
	set(&s, "LastStatusChange", plist_new_uint(0xffffffff));
	set(&s, "Birth", refer(&s, plist_new_uint(77)));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.mtime.tv_sec, -86400);
	CHECK_INT(rec.ctime.tv_sec, -1);
	CHECK_INT(rec.birth.tv_sec, 77);
}

CASE(impossible_times_are_zero)
{
	static const double bad[] = { 1e300, -1e300, __builtin_inf(),
				      -__builtin_inf(), __builtin_nan("") };

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct shape s = shape_new();

		set(&s, "LastModified", plist_new_real(bad[i]));
		set(&s, "Birth", plist_new_uint(INT64_MAX));
		CHECK_INT(decode_shape(&s), 0);
		CHECK_INT(rec.mtime.tv_sec, 0);
		CHECK_INT(rec.mtime.tv_nsec, 0);
		CHECK_INT(rec.birth.tv_sec, 0);
	}
}

CASE(times_just_before_a_whole_second_stay_below_it)
{
	struct shape s = shape_new();

	set(&s, "LastModified", plist_new_real(0.99999999999));
	set(&s, "Birth", plist_new_real(-1e-12));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.mtime.tv_sec, 0);
	CHECK_INT(rec.mtime.tv_nsec, 999999999);
	CHECK(rec.birth.tv_nsec >= 0 && rec.birth.tv_nsec <= 999999999);
}

CASE(values_of_another_type_count_as_zero)
{
	static const char *const keys[] = {
		"Mode",		"Size",
		"LastModified", "LastStatusChange",
		"Birth",	"UserID",
		"GroupID",	"InodeNumber",
		"Flags",	"ProtectionClass",
		"Target",	"EncryptionKey",
		"Digest",	"ExtendedAttributes",
	};

	for (int form = 0; form < 5; form++) {
		struct shape s = shape_new();

		for (size_t i = 0; i < COUNT(keys); i++)
			set(&s, keys[i],
			    form == 0 ? plist_new_dict() :
			    form == 1 ? plist_new_array() :
			    form == 2 ? plist_new_uid(0) :
			    form == 3 ? plist_new_uid(9999) :
					dict_with("a", plist_new_uint(1)));
		CHECK_INT(decode_shape(&s), 0);
		CHECK(!rec.mode && !rec.size && !rec.mtime.tv_sec &&
		      !rec.ctime.tv_sec && !rec.birth.tv_sec && !rec.uid &&
		      !rec.gid && !rec.inode && !rec.bsd_flags &&
		      !rec.protection_class && !rec.target.ptr &&
		      !rec.wrapped_key_len && !rec.digest_len &&
		      !rec.xattrs.ptr);
	}
}

CASE(numbers_may_be_reals)
{
	struct shape s = shape_new();

	set(&s, "Size", plist_new_real(4096.9));
	set(&s, "UserID", plist_new_real(1e300));
	set(&s, "GroupID", plist_new_real(__builtin_nan("")));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.size, 4096);
	CHECK(rec.uid == 0 && rec.gid == 0);
}

CASE(a_negative_size_is_told_as_it_is)
{
	struct shape s = shape_new();

	set(&s, "Size", new_int(-1));
	CHECK_INT(decode_shape(&s), 0);
	CHECK(rec.size < 0);
}

CASE(a_target_beyond_ascii_becomes_utf8)
{
	struct shape s = shape_new();

	set(&s, "Target",
	    refer(&s, plist_new_string("../\xc3\x9c"
				       "bung \xf0\x9f\x93\xb1")));
	CHECK_INT(decode_shape(&s), 0);
	CHECK(slice_is(rec.target, "../\xc3\x9c"
				   "bung \xf0\x9f\x93\xb1"));
}

/* all the blob is UTF-16 text of which each unit becomes three bytes */
CASE(the_longest_target_fits)
{
	struct shape s = shape_new();
	struct bytes text = { 0 };

	for (int i = 0; i < 20000; i++)
		add_text(&text, "\xe2\x82\xac");
	add_be(&text, 0, 1);
	set(&s, "Target", refer(&s, plist_new_string((char *)text.ptr)));
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.target.len, 60000);
	drop(&text);
}

CASE(references_in_a_circle_are_absent_values)
{
	struct shape s = shape_new();

	plist_array_append_item(s.objects, plist_new_uid(3));
	plist_array_append_item(s.objects, plist_new_uid(2));
	set(&s, "Target", plist_new_uid(2));
	set(&s, "Size", plist_new_uid(3));
	set(&s, "Digest", refer(&s, dict_with("NS.data", plist_new_uid(2))));
	CHECK_INT(decode_shape(&s), 0);
	CHECK(!rec.target.ptr && !rec.size && !rec.digest_len);
	CHECK_INT(rec.mode, 33188);
}

CASE(an_archive_without_its_parts_is_malformed)
{
	struct shape s = shape_new();

	plist_dict_remove_item(s.root, "$top");
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_remove_item(s.root, "$objects");
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_set_item(s.root, "$objects", plist_new_string("none"));
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_set_item(s.root, "$top", plist_new_dict());
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_set_item(s.root, "$top",
			    dict_with("root", plist_new_uid(0)));
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_set_item(s.root, "$top",
			    dict_with("root", plist_new_uid(2)));
	CHECK_INT(decode_shape(&s), -EBADMSG);
	s = shape_new();
	plist_dict_set_item(s.root, "$top",
			    dict_with("root", refer(&s, plist_new_array())));
	CHECK_INT(decode_shape(&s), -EBADMSG);
}

CASE(keys_that_are_not_known_are_passed_over)
{
	struct shape s = shape_new();

	set(&s, "Size", plist_new_uint(3));
	set(&s, "Tomorrow", plist_new_dict());
	set(&s, "mode", plist_new_uint(1));
	set(&s,
	    "\xc3\x9c"
	    "bung",
	    plist_new_uint(1)); /* a UTF-16 key */
	CHECK_INT(decode_shape(&s), 0);
	CHECK_INT(rec.size, 3);
	CHECK_INT(rec.mode, 33188);
}

CASE(attributes_in_an_odd_list_are_left_out)
{
	static const char *const odd[] = { "", "bplist00", "hello" };
	struct bytes list;
	struct shape s;
	plist_t dict;

	for (size_t i = 0; i < COUNT(odd); i++) {
		s = shape_new();
		set(&s, "ExtendedAttributes",
		    plist_new_data(odd[i], strlen(odd[i])));
		CHECK_INT(decode_shape(&s), 0);
		check_xattrs("");
	}
	dict = plist_new_dict();
	plist_dict_set_item(dict, "text", plist_new_string("x"));
	plist_dict_set_item(dict, "good", plist_new_data("y", 1));
	plist_dict_set_item(dict, "\xc3\xbc", plist_new_data("", 0));
	list = plist_bytes(dict);
	s = shape_new();
	set(&s, "ExtendedAttributes",
	    refer(&s, plist_new_data((char *)list.ptr, list.len)));
	CHECK_INT(decode_shape(&s), 0);
	check_xattrs("good=y;\xc3\xbc=;");
	drop(&list);
}

/* decode a copy that ends where the blob does, and look at all of the result */
static int decode_copy(const uint8_t *ptr, size_t len)
{
	struct bytes seen = { 0 };
	uint8_t *copy = malloc(len ? len : 1);
	int rc;

	memcpy(copy, ptr, len);
	rc = decode((struct bytes){ .ptr = copy, .len = len });
	add(&seen, rec.target.ptr, rec.target.len);
	mb_record_each_xattr(&rec, note_xattr, &seen);
	drop(&seen);
	free(copy);
	return rc;
}

static const char *const blobs[] = { MBFILE_FILE, MBFILE_DIR, MBFILE_LINK,
				     MBFILE_ENCRYPTED };

CASE(an_archive_cut_off_anywhere_is_malformed)
{
	for (size_t i = 0; i < COUNT(blobs); i++) {
		struct bytes b = unhex(blobs[i]);

		for (size_t len = 0; len < b.len; len++)
			CHECK_AT(decode_copy(b.ptr, len) == -EBADMSG,
				 "%zu of %zu bytes", len, b.len);
		drop(&b);
	}
}

CASE(any_changed_byte_is_survived)
{
	static const uint8_t changes[] = { 0x01, 0x02, 0x04, 0x08, 0x10,
					   0x20, 0x40, 0x80, 0xff };

	for (size_t i = 0; i < COUNT(blobs); i++) {
		struct bytes b = unhex(blobs[i]);

		for (size_t at = 0; at < b.len; at++)
			for (size_t c = 0; c < COUNT(changes); c++) {
				int rc;

				b.ptr[at] ^= changes[c];
				rc = decode_copy(b.ptr, b.len);
				CHECK_AT(rc == 0 || rc == -EBADMSG,
					 "byte %zu ^ %02x: %d", at, changes[c],
					 rc);
				b.ptr[at] ^= changes[c];
			}
		drop(&b);
	}
}

int main(void)
{
	RUN(the_regular_file_of_the_format);
	RUN(the_directory_of_the_format);
	RUN(the_symbolic_link_of_the_format);
	RUN(the_encrypted_file_of_the_format);
	RUN(a_walk_of_attributes_ends_when_asked_to);
	RUN(a_digest_in_each_of_its_encodings);
	RUN(a_digest_of_another_length_or_type_is_none);
	RUN(a_key_in_each_of_its_encodings);
	RUN(a_key_of_another_length_does_not_pass_for_none);
	RUN(uids_that_went_through_xml_are_dictionaries);
	RUN(times_as_integer_real_date_and_nsdate);
	RUN(impossible_times_are_zero);
	RUN(times_just_before_a_whole_second_stay_below_it);
	RUN(values_of_another_type_count_as_zero);
	RUN(numbers_may_be_reals);
	RUN(a_negative_size_is_told_as_it_is);
	RUN(a_target_beyond_ascii_becomes_utf8);
	RUN(the_longest_target_fits);
	RUN(references_in_a_circle_are_absent_values);
	RUN(an_archive_without_its_parts_is_malformed);
	RUN(keys_that_are_not_known_are_passed_over);
	RUN(attributes_in_an_odd_list_are_left_out);
	RUN(an_archive_cut_off_anywhere_is_malformed);
	RUN(any_changed_byte_is_survived);
	mb_record_release(&rec);
	decode_shape(&(struct shape){ .root = plist_new_dict() });
	mb_record_release(&rec);
	return tap_end();
}
