/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bplist_writer.h"

#include "bplist.h"
#include "fixture.h"
#include "tap.h"

/* What libplist makes of a list of one object. */
static plist_t read_back(struct bplist_writer *w, uint32_t root)
{
	struct buf out = { 0 };
	plist_t node = NULL;

	CHECK_INT(bplist_finish(w, root, &out), 0);
	plist_from_bin((const char *)out.ptr, (uint32_t)out.len, &node);
	CHECK(node);
	bplist_writer_release(w);
	buf_release(&out);
	return node;
}

CASE(integers_at_the_borders_of_their_widths)
{
	static const int64_t values[] = {
		0,	    1,		 127,	    128,       255,
		256,	    65535,	 65536,	    INT32_MAX, 0x80000000,
		UINT32_MAX, 0x100000000, INT64_MAX, -1,	       -2,
		-255,	    INT32_MIN,	 INT64_MIN,
	};

	for (size_t i = 0; i < COUNT(values); i++) {
		struct bplist_writer w = { 0 };
		struct bplist_obj o;
		struct buf out = { 0 };
		struct bplist bp;
		uint64_t got = 0;
		plist_t node;

		bplist_finish(&w, bplist_put_int(&w, values[i]), &out);
		CHECK_INT(bplist_open(&bp, view_of(out.ptr, out.len)), 0);
		CHECK_INT(bplist_get(&bp, bp.root, &o), 0);
		CHECK(o.type == BPLIST_INT);
		CHECK_INT(o.integer, values[i]);
		buf_release(&out);
		bplist_writer_release(&w);
		node = read_back(&w, bplist_put_int(&w, values[i]));
		plist_get_uint_val(node, &got);
		CHECK_INT(got, values[i]);
		plist_free(node);
	}
}

CASE(small_integers_are_short)
{
	struct bplist_writer w = { 0 };
	struct bytes want = unhex("1005"
				  "110100"
				  "1200010000"
				  "130000000100000000"
				  "13ffffffffffffffff");

	bplist_put_int(&w, 5);
	bplist_put_int(&w, 256);
	bplist_put_int(&w, 65536);
	bplist_put_int(&w, 1LL << 32);
	bplist_put_int(&w, -1);
	CHECK_BYTES(w.objects.ptr, w.objects.len, want.ptr, want.len);
	bplist_writer_release(&w);
	drop(&want);
}

CASE(text_of_every_length_and_script)
{
	static const char *const texts[] = {
		"",
		"a",
		"fourteen chars",
		"fifteen letters",
		"\xc3\x9c-bung",
		"\xf0\x9f\x93\xb1 and \xe2\x82\xac",
		"\xef\xbf\xbf",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct bplist_writer w = { 0 };
		plist_t node = read_back(
			&w, bplist_put_text(&w, texts[i], strlen(texts[i])));
		uint64_t len;

		CHECK_TEXT(plist_get_string_ptr(node, &len), texts[i]);
		plist_free(node);
	}
}

CASE(bytes_that_are_no_utf8_become_replacement_characters)
{
	static const char *const texts[][2] = {
		{ "a\xff"
		  "b",
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\x80\xc3\x9c", "\xef\xbf\xbd\xc3\x9c" },
		{ "\xf8\x88\x80\x80\x80",
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
		  "\xbd" },
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct bplist_writer w = { 0 };
		plist_t node =
			read_back(&w, bplist_put_text(&w, texts[i][0],
						      strlen(texts[i][0])));
		uint64_t len;

		CHECK_TEXT(plist_get_string_ptr(node, &len), texts[i][1]);
		plist_free(node);
	}
}

CASE(containers_of_any_size)
{
	static const size_t sizes[] = {
		0, 1, 14, 15, 16, 255, 256, 300, 70000
	};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct bplist_writer w = { 0 };
		uint64_t last = 1;
		uint32_t array;
		plist_t node;

		for (size_t k = 0; k < sizes[i]; k++)
			bplist_put_int(&w, (int64_t)k);
		array = bplist_begin(&w, BPLIST_KIND_ARRAY, sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			bplist_add_ref(&w, (uint32_t)k);
		node = read_back(&w, array);
		CHECK_INT(plist_array_get_size(node), sizes[i]);
		if (sizes[i]) {
			plist_get_uint_val(
				plist_array_get_item(node,
						     (uint32_t)sizes[i] - 1),
				&last);
			CHECK_INT(last, sizes[i] - 1);
		}
		plist_free(node);
	}
}

CASE(containers_can_refer_ahead)
{
	struct bplist_writer w = { 0 };
	uint32_t dict = bplist_begin(&w, BPLIST_KIND_DICT, 2);
	uint64_t uid = 0, len = 0;
	plist_t node;

	for (uint32_t i = 1; i <= 4; i++)
		bplist_add_ref(&w, dict + i);
	CHECK_INT(bplist_next(&w), dict + 1);
	bplist_put_text(&w, "uid", 3);
	bplist_put_text(&w, "data", 4);
	bplist_put_uid(&w, 300);
	bplist_put_data(&w, "\0\1\2", 3);
	node = read_back(&w, dict);
	plist_get_uid_val(plist_dict_get_item(node, "uid"), &uid);
	CHECK_INT(uid, 300);
	CHECK_BYTES(plist_get_data_ptr(plist_dict_get_item(node, "data"), &len),
		    3, "\0\1\2", 3);
	CHECK_INT(len, 3);
	plist_free(node);
}

CASE(a_list_is_appended_to_what_is_there)
{
	struct bplist_writer w = { 0 };
	struct buf out = { 0 };

	buf_add(&out, "front", 5);
	CHECK_INT(bplist_finish(&w, bplist_put_int(&w, 1), &out), 0);
	CHECK_BYTES(out.ptr, 13, "frontbplist00", 13);
	bplist_writer_release(&w);
	buf_release(&out);
}

int main(void)
{
	RUN(integers_at_the_borders_of_their_widths);
	RUN(small_integers_are_short);
	RUN(text_of_every_length_and_script);
	RUN(bytes_that_are_no_utf8_become_replacement_characters);
	RUN(containers_of_any_size);
	RUN(containers_can_refer_ahead);
	RUN(a_list_is_appended_to_what_is_there);
	return tap_end();
}
