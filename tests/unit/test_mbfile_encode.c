/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "bplist.h"
#include "bplist_writer.h"
#include "fixture.h"
#include "mbfile.h"
#include "record.h"
#include "tap.h"
#include "vectors.h"

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

/* The record of the format's vectors. */
static struct mb_record example(void)
{
	return (struct mb_record){
		.path = slice("Documents/hello.txt"),
		.mode = 0100644,
		.uid = 501,
		.gid = 501,
		.inode = 123456,
		.size = 5,
		.protection_class = 3,
		.mtime.tv_sec = 1700000000,
		.ctime.tv_sec = 1700000001,
		.birth.tv_sec = 1699999999,
	};
}

static struct view no_bytes(void)
{
	return view_of(NULL, 0);
}

/* ---- the content of archives, told by libplist ---- */

static plist_t parse(const void *ptr, size_t len)
{
	plist_t node = NULL;

	plist_from_bin(ptr, (uint32_t)len, &node);
	if (!CHECK(node))
		abort();
	return node;
}

static uint64_t uid_of(plist_t node)
{
	uint64_t uid = 0;

	if (plist_get_node_type(node) == PLIST_UID)
		plist_get_uid_val(node, &uid);
	else if (plist_get_node_type(node) == PLIST_DICT &&
		 plist_dict_get_item(node, "CF$UID"))
		plist_get_uint_val(plist_dict_get_item(node, "CF$UID"), &uid);
	return uid;
}

static void tell(struct bytes *b, plist_t objects, plist_t node);

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void tell_dict(struct bytes *b, plist_t objects, plist_t dict)
{
	plist_dict_iter iter = NULL;
	char *keys[64], *key;
	size_t count = 0;
	plist_t value;

	plist_dict_new_iter(dict, &iter);
	for (;;) {
		key = NULL;
		plist_dict_next_item(dict, iter, &key, &value);
		if (!key)
			break;
		keys[count++] = key;
	}
	free(iter);
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < count; i++) {
		add_text(b, keys[i]);
		add_text(b, "=");
		tell(b, objects, plist_dict_get_item(dict, keys[i]));
		add_text(b, " ");
		free(keys[i]);
	}
}

/* A value as text, with what it refers to in its place. */
static void tell(struct bytes *b, plist_t objects, plist_t node)
{
	char text[40], *string = NULL;
	const char *data;
	uint64_t number, len;
	double real;

	if (uid_of(node)) {
		tell(b, objects,
		     plist_array_get_item(objects, (uint32_t)uid_of(node)));
		return;
	}
	switch (plist_get_node_type(node)) {
	case PLIST_DICT:
		add_text(b, "{ ");
		tell_dict(b, objects, node);
		add_text(b, "}");
		return;
	case PLIST_ARRAY:
		add_text(b, "[ ");
		for (uint32_t i = 0; i < plist_array_get_size(node); i++) {
			tell(b, objects, plist_array_get_item(node, i));
			add_text(b, " ");
		}
		add_text(b, "]");
		return;
	case PLIST_STRING:
		plist_get_string_val(node, &string);
		add_text(b, "'");
		add_text(b, string);
		add_text(b, "'");
		free(string);
		return;
	case PLIST_DATA:
		data = plist_get_data_ptr(node, &len);
		for (uint64_t i = 0; i < len; i++) {
			sprintf(text, "%02x", (unsigned char)data[i]);
			add_text(b, text);
		}
		return;
	case PLIST_REAL:
		plist_get_real_val(node, &real);
		sprintf(text, "%g", real);
		break;
	case PLIST_UINT:
		plist_get_uint_val(node, &number);
		sprintf(text, "%" PRId64, (int64_t)number);
		break;
	default:
		sprintf(text, "<%d>", (int)plist_get_node_type(node));
	}
	add_text(b, text);
}

/* The top object of an archive. */
static char *told(const void *ptr, size_t len)
{
	plist_t root = parse(ptr, len);
	plist_t objects = plist_dict_get_item(root, "$objects");
	plist_t top =
		plist_dict_get_item(plist_dict_get_item(root, "$top"), "root");
	struct bytes b = { 0 };

	tell(&b, objects, top);
	add_be(&b, 0, 1);
	plist_free(root);
	return (char *)b.ptr;
}

static struct buf encoded; /* of the last call */

static void encode(const struct mb_record *rec, struct view xattrs,
		   struct view base)
{
	encoded.len = 0;
	CHECK_INT(mbfile_encode(&encoded, rec, xattrs, base), 0);
}

static void check_told(const char *want)
{
	char *got = told(encoded.ptr, encoded.len);

	CHECK_TEXT(got, want);
	free(got);
}

static void check_same_content(const char *hex)
{
	struct bytes b = unhex(hex);
	char *want = told(b.ptr, b.len);

	check_told(want);
	free(want);
	drop(&b);
}

static struct mb_record back;

static void decode(void)
{
	if (record_reset(&back, MBFILE_ROOM(encoded.len)) < 0)
		abort();
	CHECK_INT(mbfile_decode(&back, view_of(encoded.ptr, encoded.len)), 0);
}

static bool same_slice(struct mb_slice a, struct mb_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* what a decoder finds in the last archive is the record */
static bool is_back(const struct mb_record *rec, struct view xattrs)
{
	decode();
	return back.mode == rec->mode && back.uid == rec->uid &&
	       back.gid == rec->gid && back.inode == rec->inode &&
	       back.size == rec->size && back.bsd_flags == rec->bsd_flags &&
	       back.protection_class == rec->protection_class &&
	       back.mtime.tv_sec == rec->mtime.tv_sec &&
	       back.ctime.tv_sec == rec->ctime.tv_sec &&
	       back.birth.tv_sec == rec->birth.tv_sec &&
	       back.wrapped_key_len == rec->wrapped_key_len &&
	       !memcmp(back.wrapped_key, rec->wrapped_key,
		       rec->wrapped_key_len == 44 ? 44 : 0) &&
	       back.digest_len == rec->digest_len &&
	       !memcmp(back.digest, rec->digest, rec->digest_len) &&
	       same_slice(back.target, rec->target) &&
	       back.xattrs.len == xattrs.len &&
	       (!xattrs.len ||
		!memcmp(back.xattrs.ptr, xattrs.ptr, xattrs.len));
}

/* ---- from nothing ---- */

CASE(a_regular_file_as_devices_write_it)
{
	struct mb_record rec = example();

	encode(&rec, no_bytes(), no_bytes());
	check_same_content(MBFILE_FILE);
	CHECK(is_back(&rec, no_bytes()));
}

CASE(a_directory_as_devices_write_it)
{
	struct mb_record rec = example();

	rec.path = slice("Documents");
	rec.mode = 040755;
	rec.size = 0;
	rec.protection_class = 0;
	encode(&rec, no_bytes(), no_bytes());
	check_same_content(MBFILE_DIR);
}

CASE(a_symbolic_link_as_devices_write_it)
{
	struct mb_record rec = example();

	rec.path = slice("Documents/link");
	rec.target = slice("hello.txt");
	rec.mode = 0120755;
	rec.size = 0;
	rec.protection_class = 0;
	encode(&rec, no_bytes(), no_bytes());
	check_same_content(MBFILE_LINK);
	CHECK(is_back(&rec, no_bytes()));
}

/* the example with all that a record can have */
static struct mb_record full_example(struct buf *xattrs)
{
	static const struct mbfile_xattr xattr = { { "com.example.note", 16 },
						   { "abc", 3 } };
	struct bytes key = unhex(WRAPPED_FILE_KEY);
	struct bytes digest = unhex("05ee09516f8382f84113672ec80fa7c3d55d8d49");
	struct mb_record rec = example();
	size_t left_out = 99;

	memcpy(rec.wrapped_key, key.ptr, rec.wrapped_key_len = 44);
	memcpy(rec.digest, digest.ptr, rec.digest_len = 20);
	CHECK_INT(mbfile_encode_xattrs(xattrs, &xattr, 1, &left_out), 0);
	CHECK_INT(left_out, 0);
	drop(&key);
	drop(&digest);
	return rec;
}

CASE(an_encrypted_file_as_devices_write_it)
{
	struct buf xattrs = { 0 };
	struct mb_record rec = full_example(&xattrs);
	struct view list = view_of(xattrs.ptr, xattrs.len);
	struct bytes b = unhex(MBFILE_ENCRYPTED);
	plist_t want, got;

	encode(&rec, list, no_bytes());
	CHECK(is_back(&rec, list));
	/* two lists with the same attributes need not be the same bytes */
	if (record_reset(&back, MBFILE_ROOM(b.len)) < 0)
		abort();
	mbfile_decode(&back, view_of(b.ptr, b.len));
	want = parse(back.xattrs.ptr, back.xattrs.len);
	got = parse(xattrs.ptr, xattrs.len);
	CHECK_INT(plist_dict_get_size(got), plist_dict_get_size(want));
	CHECK(plist_compare_node_value(
		plist_dict_get_item(got, "com.example.note"),
		plist_dict_get_item(want, "com.example.note")));
	plist_free(want);
	plist_free(got);
	/* and with the same bytes all else is the same */
	encode(&rec, view_of(back.xattrs.ptr, back.xattrs.len), no_bytes());
	check_same_content(MBFILE_ENCRYPTED);
	drop(&b);
	buf_release(&xattrs);
}

CASE(the_frame_is_that_of_an_archiver)
{
	struct mb_record rec = example();
	struct bytes b = { 0 };
	plist_t root, objects;

	encode(&rec, no_bytes(), no_bytes());
	root = parse(encoded.ptr, encoded.len);
	objects = plist_dict_get_item(root, "$objects");
	CHECK_INT(uid_of(plist_dict_get_item(plist_dict_get_item(root, "$top"),
					     "root")),
		  1);
	plist_dict_remove_item(root, "$objects");
	tell(&b, NULL, plist_dict_get_item(root, "$archiver"));
	tell(&b, NULL, plist_dict_get_item(root, "$version"));
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, "'NSKeyedArchiver'100000");
	CHECK_INT(plist_dict_get_size(root), 3);
	plist_free(root);
	drop(&b);
	root = parse(encoded.ptr, encoded.len);
	objects = plist_dict_get_item(root, "$objects");
	tell(&b, NULL, plist_array_get_item(objects, 0));
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, "'$null'");
	plist_free(root);
	drop(&b);
}

CASE(numbers_at_their_limits_come_back)
{
	struct mb_record rec = example();
	struct bytes b = { 0 };

	rec.uid = 0xfffffffe;
	rec.gid = 0xffffffff;
	rec.inode = UINT64_MAX - 1;
	rec.size = INT64_MAX;
	rec.bsd_flags = 0x80000001;
	rec.protection_class = 255;
	rec.mode = 0107777;
	encode(&rec, no_bytes(), no_bytes());
	CHECK(is_back(&rec, no_bytes()));
	/* a device reads these as int32: -2 fits, 4294967294 does not */
	check_told("{ $class={ $classes=[ 'MBFile' 'NSObject' ] "
		   "$classname='MBFile' } "
		   "Birth=1699999999 Flags=-2147483647 GroupID=-1 "
		   "InodeNumber=-2 LastModified=1700000000 "
		   "LastStatusChange=1700000001 Mode=36863 "
		   "ProtectionClass=255 RelativePath='Documents/hello.txt' "
		   "Size=9223372036854775807 UserID=-2 }");
	rec.inode = INT64_MAX;
	rec.size = -1;
	encode(&rec, no_bytes(), no_bytes());
	CHECK(is_back(&rec, no_bytes()));
	drop(&b);
}

CASE(times_before_1970_come_back)
{
	static const int64_t times[] = { -1, -86400, INT32_MIN, 0, INT32_MAX };

	for (size_t i = 0; i < COUNT(times); i++) {
		struct mb_record rec = example();

		rec.mtime.tv_sec = rec.ctime.tv_sec = rec.birth.tv_sec =
			times[i];
		encode(&rec, no_bytes(), no_bytes());
		CHECK_AT(is_back(&rec, no_bytes()), "%" PRId64, times[i]);
	}
}

CASE(times_that_a_device_cannot_hold_are_the_nearest)
{
	struct mb_record rec = example();

	rec.mtime.tv_sec = (time_t)INT32_MAX + 1;
	rec.ctime.tv_sec = (time_t)INT32_MIN - 1;
	rec.birth.tv_sec = INT64_MAX;
	encode(&rec, no_bytes(), no_bytes());
	decode();
	CHECK_INT(back.mtime.tv_sec, INT32_MAX);
	CHECK_INT(back.ctime.tv_sec, INT32_MIN);
	CHECK_INT(back.birth.tv_sec, INT32_MAX);
}

CASE(a_fraction_of_a_second_is_left_out)
{
	struct mb_record rec = example();

	rec.mtime.tv_nsec = 999999999;
	encode(&rec, no_bytes(), no_bytes());
	check_same_content(MBFILE_FILE);
}

CASE(a_digest_of_sha256_comes_back)
{
	struct mb_record rec = example();

	memset(rec.digest, 0xd1, rec.digest_len = 32);
	encode(&rec, no_bytes(), no_bytes());
	CHECK(is_back(&rec, no_bytes()));
}

CASE(a_key_that_is_unusable_is_left_out)
{
	struct mb_record rec = example();

	rec.wrapped_key_len = 1;
	encode(&rec, no_bytes(), no_bytes());
	check_same_content(MBFILE_FILE);
}

CASE(names_beyond_ascii_come_back)
{
	struct mb_record rec = example();
	char *text;

	rec.path = slice("Library/\xc3\x9c"
			 "bung \xf0\x9f\x93\xb1");
	rec.target = slice("../\xe2\x82\xac");
	encode(&rec, no_bytes(), no_bytes());
	CHECK(is_back(&rec, no_bytes()));
	text = told(encoded.ptr, encoded.len);
	CHECK(strstr(text, "RelativePath='Library/\xc3\x9c"
			   "bung \xf0\x9f\x93\xb1'"));
	free(text);
}

CASE(names_that_are_no_utf8_become_what_text_can_be)
{
	struct mb_record rec = example();
	char *text;

	rec.path = slice("a\xff"
			 "b");
	rec.target = slice("\xfe\xff");
	encode(&rec, no_bytes(), no_bytes());
	text = told(encoded.ptr, encoded.len);
	CHECK(strstr(text, "RelativePath='a\xef\xbf\xbd"
			   "b'"));
	CHECK(strstr(text, "Target='\xef\xbf\xbd\xef\xbf\xbd'"));
	free(text);
}

/* ---- from another archive ---- */

/*
 * @objects holds "$null" and @file; @cf: references are dictionaries.
 */
struct shape {
	plist_t root, file, objects;
	bool cf;
};

static plist_t reference(const struct shape *s, uint64_t uid)
{
	plist_t dict;

	if (!s->cf)
		return plist_new_uid(uid);
	dict = plist_new_dict();
	plist_dict_set_item(dict, "CF$UID", plist_new_uint(uid));
	return dict;
}

/* put an object into the array; a value that refers to it */
static plist_t refer(struct shape *s, plist_t object)
{
	plist_array_append_item(s->objects, object);
	return reference(s, plist_array_get_size(s->objects) - 1);
}

static void set(struct shape *s, const char *key, plist_t value)
{
	plist_dict_set_item(s->file, key, value);
}

static plist_t data(const char *hex)
{
	struct bytes b = unhex(hex);
	plist_t node = plist_new_data((char *)b.ptr, b.len);

	drop(&b);
	return node;
}

static plist_t dict_with(const char *key, plist_t value)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, key, value);
	return dict;
}

/* the example's path, mode and class: no other key */
static struct shape shape_new(bool cf)
{
	struct shape s = { plist_new_dict(), plist_new_dict(),
			   plist_new_array(), cf };

	plist_array_append_item(s.objects, plist_new_string("$null"));
	plist_array_append_item(s.objects, s.file);
	plist_dict_set_item(s.root, "$version", plist_new_uint(100000));
	plist_dict_set_item(s.root, "$archiver",
			    plist_new_string("NSKeyedArchiver"));
	plist_dict_set_item(s.root, "$top",
			    dict_with("root", reference(&s, 1)));
	plist_dict_set_item(s.root, "$objects", s.objects);
	set(&s, "RelativePath", refer(&s, plist_new_string("a/b")));
	set(&s, "Mode", plist_new_uint(0100644));
	return s;
}

static struct mb_record shape_record(void)
{
	return (struct mb_record){ .path = slice("a/b"), .mode = 0100644 };
}

static struct view shape_view(struct shape *s)
{
	static struct bytes b;

	drop(&b);
	b = plist_bytes(s->root);
	return view_of(b.ptr, b.len);
}

CASE(an_unchanged_record_keeps_all_of_its_archive)
{
	static const char *const blobs[] = { MBFILE_FILE, MBFILE_DIR,
					     MBFILE_LINK, MBFILE_ENCRYPTED };
	static const char *const paths[] = { "Documents/hello.txt", "Documents",
					     "Documents/link",
					     "Documents/hello.txt" };

	for (size_t i = 0; i < COUNT(blobs); i++) {
		struct bytes b = unhex(blobs[i]);
		struct mb_record rec = { 0 };

		if (record_reset(&rec, MBFILE_ROOM(b.len)) < 0)
			abort();
		mbfile_decode(&rec, view_of(b.ptr, b.len));
		rec.path = slice(paths[i]);
		encode(&rec, view_of(rec.xattrs.ptr, rec.xattrs.len),
		       view_of(b.ptr, b.len));
		CHECK_INT(encoded.len, b.len);
		check_same_content(blobs[i]);
		mb_record_release(&rec);
		drop(&b);
	}
}

CASE(a_changed_record_is_what_it_would_be_without_a_base)
{
	static const char *const blobs[] = { MBFILE_FILE, MBFILE_DIR,
					     MBFILE_LINK, MBFILE_ENCRYPTED };

	for (size_t from = 0; from < COUNT(blobs); from++) {
		struct buf xattrs = { 0 };
		struct mb_record rec = full_example(&xattrs);
		struct view list = view_of(xattrs.ptr, xattrs.len);
		struct bytes base = unhex(blobs[from]);
		char *want;

		rec.path = slice("other");
		rec.target = slice("target");
		rec.mode = 0120600;
		rec.uid = 0xfffffffe;
		rec.inode = 1ULL << 40;
		rec.size = 1LL << 40;
		rec.mtime.tv_sec = -5;
		memset(rec.digest, 1, rec.digest_len = 32);
		memset(rec.wrapped_key, 2, 44);
		for (int bare = 0; bare < 2; bare++) {
			if (bare) {
				rec.target = (struct mb_slice){ 0 };
				rec.wrapped_key_len = rec.digest_len = 0;
				list = no_bytes();
			}
			encode(&rec, list, no_bytes());
			want = told(encoded.ptr, encoded.len);
			encode(&rec, list, view_of(base.ptr, base.len));
			check_told(want);
			CHECK(is_back(&rec, list));
			free(want);
		}
		buf_release(&xattrs);
		drop(&base);
	}
}

static bool holds(const void *bytes, size_t len)
{
	return memmem(encoded.ptr, encoded.len, bytes, len);
}

CASE(what_is_taken_away_leaves_nothing_behind)
{
	struct bytes base = unhex(MBFILE_ENCRYPTED);
	struct bytes key = unhex(WRAPPED_FILE_KEY);
	struct mb_record rec = example();

	rec.path = slice("x");
	encode(&rec, no_bytes(), view_of(base.ptr, base.len));
	CHECK(!holds(key.ptr, key.len));
	CHECK(!holds("com.example.note", 16));
	CHECK(!holds("hello.txt", 9));
	CHECK(!holds("NSMutableData", 13));
	drop(&base);
	drop(&key);
}

CASE(changing_again_and_again_does_not_grow_an_archive)
{
	struct buf xattrs = { 0 };
	struct mb_record rec = full_example(&xattrs);
	struct buf base = { 0 };
	size_t first = 0;

	encode(&rec, view_of(xattrs.ptr, xattrs.len), no_bytes());
	for (int i = 0; i < 50; i++) {
		base.len = 0;
		buf_add(&base, encoded.ptr, encoded.len);
		rec.path = slice(i % 2 ? "one" : "two");
		memset(rec.wrapped_key, i, 44);
		xattrs.ptr[0] = (uint8_t)i;
		encode(&rec, view_of(xattrs.ptr, xattrs.len),
		       view_of(base.ptr, base.len));
		if (!i)
			first = encoded.len;
		CHECK_INT(encoded.len, first);
	}
	CHECK(is_back(&rec, view_of(xattrs.ptr, xattrs.len)));
	buf_release(&base);
	buf_release(&xattrs);
}

/* a scalar, a reference, and one that leads to more */
static struct shape shape_of_tomorrow(bool cf)
{
	struct shape s = shape_new(cf);
	plist_t inner = plist_new_dict(), list = plist_new_array();

	set(&s, "Number", plist_new_uint(7));
	set(&s, "Text", refer(&s, plist_new_string("later")));
	plist_array_append_item(list, plist_new_real(1.5));
	plist_array_append_item(list, refer(&s, data("abcd")));
	plist_dict_set_item(inner, "list", list);
	plist_dict_set_item(inner, "text", refer(&s, plist_new_string("deep")));
	set(&s, "Object", refer(&s, inner));
	return s;
}

CASE(what_is_not_known_survives)
{
	for (int cf = 0; cf < 2; cf++) {
		struct shape s = shape_of_tomorrow(cf);
		struct mb_record rec = shape_record();
		struct view base = shape_view(&s);

		encode(&rec, no_bytes(), base);
		check_told("{ Mode=33188 Number=7 Object={ list=[ 1.5 abcd ] "
			   "text='deep' } RelativePath='a/b' Text='later' }");
		rec.path = slice("c");
		rec.target = slice("t");
		rec.mode = 0100600;
		rec.size = 3;
		memset(rec.wrapped_key, 0xee, rec.wrapped_key_len = 44);
		encode(&rec, no_bytes(), base);
		CHECK(is_back(&rec, no_bytes()));
		check_told(
			"{ EncryptionKey={ $class={ "
			"$classes=[ 'NSMutableData' 'NSData' 'NSObject' ] "
			"$classname='NSMutableData' } NS.data="
			"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
			"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee } "
			"Mode=33152 Number=7 Object={ list=[ 1.5 abcd ] "
			"text='deep' } RelativePath='c' Size=3 Target='t' "
			"Text='later' }");
	}
}

CASE(references_that_are_dictionaries_stay_such)
{
	struct shape s = shape_of_tomorrow(true);
	struct mb_record rec = shape_record();
	struct bplist bp;
	struct bplist_obj o;

	rec.path = slice("c");
	rec.target = slice("t");
	encode(&rec, no_bytes(), shape_view(&s));
	CHECK(is_back(&rec, no_bytes()));
	CHECK_INT(bplist_open(&bp, view_of(encoded.ptr, encoded.len)), 0);
	for (uint64_t ref = 0; ref < bp.count; ref++)
		CHECK(bplist_get(&bp, ref, &o) == 0 && o.type != BPLIST_UID);
}

/* NSKeyedArchiver puts one object where two values are equal */
CASE(an_object_that_others_refer_to_is_not_changed_for_them)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();

	set(&s, "Target", plist_new_uid(2));
	set(&s, "Tomorrow", plist_new_uid(2));
	rec.target = slice("a/b");
	rec.path = slice("new");
	encode(&rec, no_bytes(), shape_view(&s));
	check_told("{ Mode=33188 RelativePath='new' Target='a/b' "
		   "Tomorrow='a/b' }");
	s = shape_new(false);
	set(&s, "Target", plist_new_uid(2));
	rec.path = slice("a/b");
	rec.target = (struct mb_slice){ 0 };
	encode(&rec, no_bytes(), shape_view(&s));
	check_told("{ Mode=33188 RelativePath='a/b' }");
}

CASE(objects_that_nothing_refers_to_survive)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();
	plist_t stray = plist_new_dict(), root, objects;
	struct bytes b = { 0 };

	/* it knows the path too, which therefore stays */
	plist_dict_set_item(stray, "of", plist_new_uid(2));
	plist_array_append_item(s.objects, stray);
	plist_array_append_item(s.objects, plist_new_string("stray"));
	rec.path = slice("new");
	rec.target = slice("t");
	encode(&rec, no_bytes(), shape_view(&s));
	check_told("{ Mode=33188 RelativePath='new' Target='t' }");
	root = parse(encoded.ptr, encoded.len);
	objects = plist_dict_get_item(root, "$objects");
	CHECK_INT(plist_array_get_size(objects), 7);
	for (uint32_t i = 2; i < 5; i++) {
		tell(&b, objects, plist_array_get_item(objects, i));
		add_text(&b, "|");
	}
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, "'a/b'|{ of='a/b' }|'stray'|");
	drop(&b);
	plist_free(root);
}

/* an absent value can be written as a reference to "$null" */
CASE(the_object_for_nothing_stays_in_front)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();
	struct bytes b = { 0 };
	plist_t root;

	set(&s, "Target", plist_new_uid(0));
	rec.target = slice("t");
	encode(&rec, no_bytes(), shape_view(&s));
	check_told("{ Mode=33188 RelativePath='a/b' Target='t' }");
	root = parse(encoded.ptr, encoded.len);
	tell(&b, NULL,
	     plist_array_get_item(plist_dict_get_item(root, "$objects"), 0));
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, "'$null'");
	drop(&b);
	plist_free(root);
}

CASE(values_of_the_frame_survive)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();
	plist_t root;

	plist_dict_set_item(s.root, "$more", plist_new_string("x"));
	plist_dict_set_item(plist_dict_get_item(s.root, "$top"), "other",
			    refer(&s, plist_new_string("y")));
	rec.size = 9;
	encode(&rec, no_bytes(), shape_view(&s));
	root = parse(encoded.ptr, encoded.len);
	CHECK(plist_dict_get_item(root, "$more"));
	CHECK_INT(uid_of(plist_dict_get_item(plist_dict_get_item(root, "$top"),
					     "other")),
		  3);
	plist_free(root);
}

CASE(a_digest_keeps_its_form)
{
	static const char old[] = "1111111111111111111111111111111111111111";
	static const char *const want[] = {
		"{ Digest=%s Mode=33188 RelativePath='a/b' }",
		"{ Digest=%s Mode=33188 RelativePath='a/b' }",
		"{ Digest={ $class={ $classes=[ 'NSMutableData' 'NSData' "
		"'NSObject' ] $classname='NSMutableData' } NS.data=%s } "
		"Mode=33188 RelativePath='a/b' }",
	};

	for (int form = 0; form < 3; form++) {
		struct shape s = shape_new(false);
		struct mb_record rec = shape_record();
		plist_t digest = data(old), root, top;
		char text[500];

		if (form == 2)
			digest = dict_with("NS.data", digest);
		set(&s, "Digest", form ? refer(&s, digest) : digest);
		memset(rec.digest, 0x22, rec.digest_len = 20);
		encode(&rec, no_bytes(), shape_view(&s));
		snprintf(text, sizeof(text), want[form],
			 "2222222222222222222222222222222222222222");
		check_told(text);
		root = parse(encoded.ptr, encoded.len);
		top = plist_array_get_item(
			plist_dict_get_item(root, "$objects"), 1);
		CHECK_INT(
			plist_get_node_type(plist_dict_get_item(top, "Digest")),
			form ? PLIST_UID : PLIST_DATA);
		plist_free(root);
	}
}

CASE(a_time_in_another_form_stays_while_it_is_the_same)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();
	struct view base;

	set(&s, "LastModified", plist_new_real(1700000000.25));
	set(&s, "Birth", refer(&s, dict_with("NS.time", plist_new_real(5))));
	base = shape_view(&s);
	rec.mtime = (struct timespec){ 1700000000, 250000000 };
	rec.birth.tv_sec = 978307205;
	encode(&rec, no_bytes(), base);
	check_told("{ Birth={ NS.time=5 } LastModified=1.7e+09 Mode=33188 "
		   "RelativePath='a/b' }");
	rec.mtime.tv_nsec = 0;
	rec.birth.tv_sec = -9;
	encode(&rec, no_bytes(), base);
	check_told("{ Birth=-9 LastModified=1700000000 Mode=33188 "
		   "RelativePath='a/b' }");
}

CASE(a_key_that_is_unusable_stays_as_it_is)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();

	set(&s, "EncryptionKey", refer(&s, data("1234")));
	rec.wrapped_key_len = 1;
	rec.size = 4;
	encode(&rec, no_bytes(), shape_view(&s));
	check_told("{ EncryptionKey=1234 Mode=33188 RelativePath='a/b' "
		   "Size=4 }");
}

/* the text of a path that is no text is made only once */
CASE(a_path_that_is_no_utf8_compares_with_its_text)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();
	struct view base;

	rec.path = slice("a\xff");
	encode(&rec, no_bytes(), shape_view(&s));
	s = (struct shape){ .root = parse(encoded.ptr, encoded.len) };
	plist_dict_set_item(s.root, "$marker", plist_new_uint(1));
	base = shape_view(&s);
	encode(&rec, no_bytes(), base);
	CHECK_INT(encoded.len, base.len);
}

CASE(a_base_that_cannot_be_read_counts_as_none)
{
	static const char *const odd[] = {
		"", "x", "bplist00", "bplist00 and then no list, but text"
	};
	struct mb_record rec = example();
	struct shape s;

	for (size_t i = 0; i < COUNT(odd); i++) {
		encode(&rec, no_bytes(), view_of(odd[i], strlen(odd[i])));
		check_same_content(MBFILE_FILE);
	}
	s = shape_new(false);
	plist_dict_remove_item(s.root, "$top");
	encode(&rec, no_bytes(), shape_view(&s));
	check_same_content(MBFILE_FILE);
	s = shape_new(false);
	plist_dict_set_item(s.root, "$objects", plist_new_array());
	encode(&rec, no_bytes(), shape_view(&s));
	check_same_content(MBFILE_FILE);
}

/* An archive of @count objects, all of which are one large value. */
static struct bytes bomb(unsigned count, unsigned value_len)
{
	struct shape s = shape_new(false);
	struct bytes b, value = { 0 }, out = { 0 };
	struct bplist bp;
	unsigned at;

	add_noise(&value, value_len);
	set(&s, "Tomorrow", plist_new_data((char *)value.ptr, value.len));
	for (unsigned i = 0; i < count; i++)
		plist_array_append_item(s.objects, plist_new_uint(1000 + i));
	b = plist_bytes(s.root);
	drop(&value);
	bplist_open(&bp, view_of(b.ptr, b.len));
	/* every small integer's place becomes that of the value */
	add(&out, b.ptr, b.len);
	at = 0;
	for (uint64_t ref = 0; ref < bp.count; ref++) {
		struct bplist_obj o;

		bplist_get(&bp, ref, &o);
		if (o.type == BPLIST_DATA)
			at = (unsigned)ref;
	}
	for (uint64_t ref = 0; ref < bp.count; ref++) {
		struct bplist_obj o;

		bplist_get(&bp, ref, &o);
		if (o.type == BPLIST_INT && o.integer >= 1000 &&
		    o.integer < 1000 + count)
			memcpy(out.ptr + (bp.table - b.ptr) +
				       ref * bp.offset_size,
			       bp.table + at * bp.offset_size, bp.offset_size);
	}
	drop(&b);
	return out;
}

CASE(objects_that_overlap_do_not_multiply)
{
	struct bytes b = bomb(20000, 1 << 20);
	struct mb_record rec = example();

	encode(&rec, no_bytes(), view_of(b.ptr, b.len));
	CHECK(encoded.len < 1000);
	check_same_content(MBFILE_FILE);
	drop(&b);
}

CASE(references_in_a_circle_end)
{
	struct shape s = shape_new(false);
	struct mb_record rec = shape_record();

	plist_array_append_item(s.objects, plist_new_uid(4));
	plist_array_append_item(s.objects, plist_new_uid(3));
	set(&s, "Target", plist_new_uid(3));
	set(&s, "Round", plist_new_uid(4));
	set(&s, "Self", plist_new_uid(1));
	set(&s, "Beyond", plist_new_uid(99999));
	rec.size = 8;
	encode(&rec, no_bytes(), shape_view(&s));
	CHECK(is_back(&rec, no_bytes()));
}

/* a copy that ends where the base does, so that a sanitizer sees more */
static void encode_copy(const struct mb_record *rec, struct view xattrs,
			struct bytes base)
{
	uint8_t *copy = malloc(base.len ? base.len : 1);

	memcpy(copy, base.ptr, base.len);
	encode(rec, xattrs, view_of(copy, base.len));
	free(copy);
}

CASE(any_changed_byte_of_a_base_is_survived)
{
	static const uint8_t changes[] = { 0x01, 0x04, 0x10, 0x80, 0xff };
	struct buf xattrs = { 0 };
	struct mb_record rec = full_example(&xattrs), bare = example();
	struct view list = view_of(xattrs.ptr, xattrs.len);
	struct bytes b = unhex(MBFILE_ENCRYPTED);

	rec.path = slice("p");
	rec.target = slice("t");
	rec.size = 4711;
	rec.inode = 1;
	for (size_t at = 0; at < b.len; at++)
		for (size_t c = 0; c < COUNT(changes); c++) {
			b.ptr[at] ^= changes[c];
			encode_copy(&rec, list, b);
			CHECK_AT(is_back(&rec, list), "byte %zu ^ %02x", at,
				 changes[c]);
			encode_copy(&bare, no_bytes(), b);
			CHECK_AT(is_back(&bare, no_bytes()),
				 "byte %zu ^ %02x, bare", at, changes[c]);
			b.ptr[at] ^= changes[c];
		}
	buf_release(&xattrs);
	drop(&b);
}

CASE(a_base_cut_off_anywhere_counts_as_none)
{
	struct bytes b = unhex(MBFILE_ENCRYPTED);
	struct mb_record rec = example();
	size_t len = b.len;

	for (b.len = 0; b.len < len; b.len++) {
		encode_copy(&rec, no_bytes(), b);
		CHECK(is_back(&rec, no_bytes()));
	}
	drop(&b);
}

/* ---- extended attributes ---- */

static int note_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	add(arg, name.ptr, name.len);
	add_text(arg, "=");
	add(arg, value.ptr, value.len);
	add_text(arg, ";");
	return 0;
}

CASE(attributes_come_back_and_odd_names_are_counted)
{
	const struct mbfile_xattr xattrs[] = {
		{ slice("com.example.a"), slice("1") },
		{ slice("bad\xff"), slice("2") },
		{ slice("\xc3\xbc"), { 0 } },
		{ slice(""), slice("empty name") },
	};
	struct buf out = { 0 };
	struct bytes b = { 0 };
	size_t left_out = 0;

	CHECK_INT(mbfile_encode_xattrs(&out, xattrs, COUNT(xattrs), &left_out),
		  0);
	CHECK_INT(left_out, 1);
	mbfile_each_xattr(view_of(out.ptr, out.len), note_xattr, &b);
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, "com.example.a=1;\xc3\xbc=;=empty name;");
	drop(&b);
	buf_release(&out);
	CHECK_INT(mbfile_encode_xattrs(&out, xattrs + 1, 1, &left_out), 0);
	CHECK_INT(left_out, 1);
	CHECK_INT(out.len, 0);
	CHECK_INT(mbfile_encode_xattrs(&out, NULL, 0, &left_out), 0);
	CHECK(left_out == 0 && out.len == 0);
}

/* ---- speed ---- */

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

CASE(many_records_take_no_time_to_speak_of)
{
	struct buf xattrs = { 0 };
	struct mb_record rec = full_example(&xattrs);
	struct view list = view_of(xattrs.ptr, xattrs.len);
	struct buf base = { 0 };
	double fresh, edited;

	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("it measures time");
		buf_release(&xattrs);
		return;
	}
	fresh = -seconds();
	for (int i = 0; i < 20000; i++)
		encode(&rec, list, no_bytes());
	fresh += seconds();
	buf_add(&base, encoded.ptr, encoded.len);
	edited = -seconds();
	for (int i = 0; i < 20000; i++) {
		rec.size = i + 100;
		encode(&rec, list, view_of(base.ptr, base.len));
	}
	edited += seconds();
	printf("# 20000 records: %.2f s, from others %.2f s\n", fresh, edited);
	/* of the processor: sanitizers and busy machines take their share */
	CHECK(fresh < 8 && edited < 16);
	buf_release(&base);
	buf_release(&xattrs);
}

int main(void)
{
	RUN(a_regular_file_as_devices_write_it);
	RUN(a_directory_as_devices_write_it);
	RUN(a_symbolic_link_as_devices_write_it);
	RUN(an_encrypted_file_as_devices_write_it);
	RUN(the_frame_is_that_of_an_archiver);
	RUN(numbers_at_their_limits_come_back);
	RUN(times_before_1970_come_back);
	RUN(times_that_a_device_cannot_hold_are_the_nearest);
	RUN(a_fraction_of_a_second_is_left_out);
	RUN(a_digest_of_sha256_comes_back);
	RUN(a_key_that_is_unusable_is_left_out);
	RUN(names_beyond_ascii_come_back);
	RUN(names_that_are_no_utf8_become_what_text_can_be);
	RUN(an_unchanged_record_keeps_all_of_its_archive);
	RUN(a_changed_record_is_what_it_would_be_without_a_base);
	RUN(what_is_taken_away_leaves_nothing_behind);
	RUN(changing_again_and_again_does_not_grow_an_archive);
	RUN(what_is_not_known_survives);
	RUN(references_that_are_dictionaries_stay_such);
	RUN(an_object_that_others_refer_to_is_not_changed_for_them);
	RUN(objects_that_nothing_refers_to_survive);
	RUN(the_object_for_nothing_stays_in_front);
	RUN(values_of_the_frame_survive);
	RUN(a_digest_keeps_its_form);
	RUN(a_time_in_another_form_stays_while_it_is_the_same);
	RUN(a_key_that_is_unusable_stays_as_it_is);
	RUN(a_path_that_is_no_utf8_compares_with_its_text);
	RUN(a_base_that_cannot_be_read_counts_as_none);
	RUN(objects_that_overlap_do_not_multiply);
	RUN(references_in_a_circle_end);
	RUN(any_changed_byte_of_a_base_is_survived);
	RUN(a_base_cut_off_anywhere_counts_as_none);
	RUN(attributes_come_back_and_odd_names_are_counted);
	RUN(many_records_take_no_time_to_speak_of);
	mb_record_release(&back);
	buf_release(&encoded);
	shape_view(&(struct shape){ .root = plist_new_dict() });
	return tap_end();
}
