/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plistx.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"

#define XML_HEAD                                                  \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"            \
	"<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" " \
	"\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"   \
	"<plist version=\"1.0\">"

static int parse(struct bytes b)
{
	plist_t node = NULL;
	struct mb_err err;
	int rc = plistx_parse(&node, view_of(b.ptr, b.len), "test", &err);

	CHECK((rc == 0) == (node != NULL));
	plistx_free(node);
	return rc;
}

static int parse_text(const char *text)
{
	struct bytes b = { 0 };
	int rc;

	add_text(&b, text);
	rc = parse(b);
	drop(&b);
	return rc;
}

static struct bytes repeated(const char *head, const char *piece,
			     unsigned count, const char *end_piece,
			     const char *tail)
{
	struct bytes b = { 0 };
	size_t len = strlen(piece), end_len = strlen(end_piece);

	b.ptr = malloc(strlen(head) + strlen(tail) +
		       (size_t)count * (len + end_len) + 1);
	memcpy(b.ptr, head, b.len = strlen(head));
	for (unsigned i = 0; i < count; i++, b.len += len)
		memcpy(b.ptr + b.len, piece, len);
	for (unsigned i = 0; i < count; i++, b.len += end_len)
		memcpy(b.ptr + b.len, end_piece, end_len);
	memcpy(b.ptr + b.len, tail, strlen(tail));
	b.len += strlen(tail);
	return b;
}

CASE(xml_and_binary_lists_are_read)
{
	plist_t dict = plist_new_dict();
	struct bytes b;

	plist_dict_set_item(dict, "a", plist_new_string("b"));
	b = plist_bytes(dict);
	CHECK_INT(parse(b), 0);
	drop(&b);
	CHECK_INT(parse_text(XML_HEAD "<dict><key>a</key><array><integer>1"
				      "</integer></array></dict></plist>"),
		  0);
	CHECK_INT(parse_text("\xef\xbb\xbf" XML_HEAD "<dict/></plist>"), 0);
	CHECK_INT(parse_text("\n\t " XML_HEAD "<true/></plist>"), 0);
}

CASE(what_is_no_list_is_refused)
{
	CHECK_INT(parse_text(""), -EBADMSG);
	CHECK_INT(parse_text(" "), -EBADMSG);
	CHECK_INT(parse_text("\xef\xbb\xbf"), -EBADMSG);
	CHECK_INT(parse_text("hello"), -EBADMSG);
	CHECK_INT(parse_text("bplist"), -EBADMSG);
	CHECK_INT(parse_text("bplist00"), -EBADMSG);
	CHECK_INT(parse_text("bplist15 and something that is long enough"),
		  -EBADMSG);
	CHECK_INT(parse_text("<"), -EBADMSG);
	CHECK_INT(parse_text("<html><body>not found</body></html>"), -EBADMSG);
	CHECK_INT(parse_text(XML_HEAD "<dict><key>a</key>"), -EBADMSG);
	CHECK_INT(parse((struct bytes){ 0 }), -EBADMSG);
}

CASE(nesting_to_64_is_read_and_no_deeper)
{
	struct bytes b =
		repeated(XML_HEAD, "<array>", 64, "</array>", "</plist>");

	CHECK_INT(parse(b), 0);
	drop(&b);
	b = repeated(XML_HEAD, "<array>", 65, "</array>", "</plist>");
	CHECK_INT(parse(b), -EBADMSG);
	drop(&b);
	b = repeated(XML_HEAD, "<array/>", 1000, "", "</plist>");
	CHECK(parse(b) == 0 || parse(b) == -EBADMSG);
	drop(&b);
}

CASE(a_million_nested_arrays_are_refused)
{
	static const char *const pieces[][2] = {
		{ "<array>", "</array>" },
		{ "<array>", "" },
		{ "<dict><key>a</key>", "</dict>" },
		{ "< array>", "</array>" },
		{ "<array\n>", "</array>" },
		{ "<array x='/'>", "</array>" },
		{ "<array x=\">\">", "</array>" },
	};

	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct bytes b = repeated(XML_HEAD, pieces[i][0], 1000000,
					  pieces[i][1], "</plist>");

		CHECK_AT(parse(b) == -EBADMSG, "%s", pieces[i][0]);
		drop(&b);
	}
}

/* ends of containers where a parser does not see them */
CASE(ends_that_are_no_tags_do_not_hide_nesting)
{
	static const char *const pieces[] = {
		"<array><!-- </array> -->",
		"<array><!-- > </array> -->",
		"<array><string><![CDATA[</array>]]></string>",
		"<array><string>a<![CDATA[]]]></array>]]></string>",
		"<array><? </array> ?>",
		"<array><?x > </array> ?>",
		"<array><string x='</array>'>a</string>",
		"<array></arrayx>",
		"<array></array x",
		"<array><!DOCTYPE </array> >",
		"<array><!DOCTYPE x [ </array> ]>",
		"<array></dictx >",
		"<dict><key><!-- </dict> -->a</key>",
	};

	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct bytes b =
			repeated(XML_HEAD, pieces[i], 200000, "", "</plist>");

		CHECK_AT(parse(b) == -EBADMSG, "%s", pieces[i]);
		drop(&b);
		b = repeated(XML_HEAD, pieces[i], 200000, "</array>",
			     "</plist>");
		CHECK_AT(parse(b) == -EBADMSG, "%s, closed", pieces[i]);
		drop(&b);
	}
}

CASE(comments_and_cdata_in_a_sound_list_are_fine)
{
	CHECK_INT(parse_text(XML_HEAD "<!-- <array> > - -- --><dict><key>a"
				      "</key><string><![CDATA[<array>]]>"
				      "</string></dict></plist>"),
		  0);
}

CASE(references_that_multiply_are_refused)
{
	struct bytes b = { 0 };

	add_text(&b, "bplist00");
	for (int i = 0; i < 40; i++) {
		add_be(&b, 0xa2, 1);
		add_be(&b, (uint64_t)i + 1, 1);
		add_be(&b, (uint64_t)i + 1, 1);
	}
	add_hex(&b, "1001");
	for (int i = 0; i <= 40; i++)
		add_be(&b, 8 + 3 * (uint64_t)i, 1);
	add_hex(&b, "000000000000"
		    "0101");
	add_be(&b, 41, 8);
	add_be(&b, 0, 8);
	add_be(&b, 8 + 3 * 40 + 2, 8);
	CHECK_INT(parse(b), -EBADMSG);
	/* and one that goes in a circle */
	b.ptr[8 + 3 * 39 + 1] = 0;
	CHECK_INT(parse(b), -EBADMSG);
	drop(&b);
}

CASE(getters_hand_out_what_is_there)
{
	plist_t dict = plist_new_dict();
	struct view data;
	int64_t date = 0;
	bool flag = false;
	char *copy;

	plist_dict_set_item(dict, "text", plist_new_string("hello"));
	plist_dict_set_item(dict, "empty", plist_new_string(""));
	plist_dict_set_item(dict, "yes", plist_new_bool(1));
	plist_dict_set_item(dict, "data", plist_new_data("\0\1\2", 3));
	plist_dict_set_item(dict, "none", plist_new_data("", 0));
	plist_dict_set_item(dict, "date", plist_new_date(721692800, 0));
	CHECK_TEXT(plistx_text(dict, "text"), "hello");
	CHECK_TEXT(plistx_text(dict, "empty"), "");
	copy = plistx_copy_text(dict, "text");
	CHECK_TEXT(copy, "hello");
	free(copy);
	CHECK(plistx_bool(dict, "yes", &flag) && flag);
	CHECK(plistx_data(dict, "data", &data));
	CHECK_BYTES(data.ptr, data.len, "\0\1\2", 3);
	CHECK(plistx_data(dict, "none", &data) && data.len == 0);
	CHECK(plistx_date(dict, "date", &date));
	CHECK_INT(date, 1700000000);
	CHECK(plistx_get(dict, "text") && !plistx_get(dict, "other"));
	plist_free(dict);
}

CASE(values_of_another_type_count_as_absent)
{
	static const char *const keys[] = { "int",  "real", "array",
					    "dict", "uid",  "absent" };
	plist_t dict = plist_new_dict(), list = plist_new_array();
	struct view data;
	int64_t date = 5;
	bool flag = true;

	plist_dict_set_item(dict, "int", plist_new_uint(1));
	plist_dict_set_item(dict, "real", plist_new_real(1));
	plist_dict_set_item(dict, "array", plist_new_array());
	plist_dict_set_item(dict, "dict", plist_new_dict());
	plist_dict_set_item(dict, "uid", plist_new_uid(1));
	for (size_t i = 0; i < COUNT(keys); i++) {
		CHECK(!plistx_text(dict, keys[i]));
		CHECK(!plistx_copy_text(dict, keys[i]));
		CHECK(!plistx_bool(dict, keys[i], &flag));
		CHECK(!plistx_data(dict, keys[i], &data));
		CHECK(!plistx_date(dict, keys[i], &date));
	}
	CHECK(flag && date == 5);
	CHECK(!plistx_get(NULL, "a") && !plistx_text(NULL, "a"));
	CHECK(!plistx_get(list, "a") && !plistx_data(list, "a", &data));
	plist_free(dict);
	plist_free(list);
}

CASE(text_that_xml_cannot_hold_is_set_cleaned)
{
	static const char *const texts[][2] = {
		{ "", "" },
		{ "a\tb\n", "a?b?" },
		{ "\xc3\x9c\xff\xc3", "\xc3\x9c??" },
		{ "\xef\xbf\xbe \xef\xbf\xbf \xef\xbf\xbd",
		  "??? ??? \xef\xbf\xbd" },
		{ "<&>\"'", "<&>\"'" },
	};
	plist_t dict = plist_new_dict();

	for (size_t i = 0; i < COUNT(texts); i++) {
		CHECK_INT(plistx_set_text(dict, "a", texts[i][0]), 0);
		CHECK_TEXT(plistx_text(dict, "a"), texts[i][1]);
	}
	CHECK_INT(plistx_set_text(dict, "b", NULL), 0);
	CHECK(!plistx_get(dict, "b"));
	plist_free(dict);
}

static bool is_short(void *arg, const char *key)
{
	return strlen(key) <= *(size_t *)arg;
}

CASE(a_dictionary_is_copied_with_some_of_its_keys)
{
	plist_t dict = plist_new_dict(), list = plist_new_array(), copy;
	size_t limit = 1, count = 9;

	plist_array_append_item(list, plist_new_string("inner"));
	plist_dict_set_item(dict, "a", list);
	plist_dict_set_item(dict, "long", plist_new_uint(1));
	copy = plistx_pick(dict, is_short, &limit, &count);
	CHECK_INT(count, 1);
	CHECK_INT(plist_dict_get_size(copy), 1);
	CHECK_INT(plist_array_get_size(plistx_get(copy, "a")), 1);
	CHECK(plistx_get(copy, "a") != list);
	plist_free(copy);
	copy = plistx_pick(dict, NULL, NULL, NULL);
	CHECK_INT(plist_dict_get_size(copy), 2);
	plist_free(copy);
	plist_free(dict);
	list = plist_new_array();
	CHECK(!plistx_pick(list, NULL, NULL, &count));
	CHECK(!plistx_pick(NULL, NULL, NULL, &count));
	plist_free(list);
}

/* a hostile list has as many keys as it may have */
CASE(hundreds_of_thousands_of_keys_are_copied_in_no_time)
{
	plist_t dict = plist_new_dict(), copy;
	size_t count = 0;

	if (getenv("LARDER_TEST_QUICK")) {
		plist_free(dict);
		SKIP("it takes seconds");
		return;
	}
	for (unsigned i = 0; i < 300000; i++) {
		char key[20];

		snprintf(key, sizeof(key), "%u", i);
		plist_dict_set_item(dict, key, plist_new_bool(1));
	}
	copy = plistx_pick(dict, NULL, NULL, &count);
	CHECK_INT(count, 300000);
	plist_free(copy);
	plist_free(dict);
}

CASE(lists_are_written_in_either_form)
{
	plist_t dict = plist_new_dict();
	struct buf out = { 0 };

	plist_dict_set_item(dict, "a", plist_new_string("<b>"));
	CHECK_INT(plistx_write_xml(dict, &out), 0);
	CHECK(memmem(out.ptr, out.len, "<string>&lt;b&gt;</string>", 26));
	CHECK_INT(parse((struct bytes){ .ptr = out.ptr, .len = out.len }), 0);
	out.len = 0;
	CHECK_INT(plistx_write_binary(dict, &out), 0);
	CHECK(!memcmp(out.ptr, "bplist00", 8));
	CHECK_INT(parse((struct bytes){ .ptr = out.ptr, .len = out.len }), 0);
	buf_release(&out);
	plist_free(dict);
}

CASE(files_are_read_below_a_folder)
{
	const char *dir = temp_dir();
	int fd = open_dir(dir);
	struct mb_err err;
	plist_t node;

	put_text(dir, "good.plist", XML_HEAD "<dict/></plist>");
	put_text(dir, "bad.plist", "<plist");
	CHECK_INT(plistx_read(&node, fd, "good.plist", 1000, &err), 0);
	plistx_free(node);
	CHECK_INT(plistx_read(&node, fd, "absent.plist", 1000, &err), -ENOENT);
	CHECK(!node);
	CHECK_INT(plistx_read(&node, fd, "bad.plist", 1000, &err), -EBADMSG);
	CHECK(strstr(err.text, "bad.plist"));
	CHECK_INT(plistx_read(&node, fd, "good.plist", 10, &err), -EBADMSG);
	CHECK(!node);
	close(fd);
}

int main(void)
{
	RUN(xml_and_binary_lists_are_read);
	RUN(what_is_no_list_is_refused);
	RUN(nesting_to_64_is_read_and_no_deeper);
	RUN(a_million_nested_arrays_are_refused);
	RUN(ends_that_are_no_tags_do_not_hide_nesting);
	RUN(comments_and_cdata_in_a_sound_list_are_fine);
	RUN(references_that_multiply_are_refused);
	RUN(getters_hand_out_what_is_there);
	RUN(values_of_another_type_count_as_absent);
	RUN(text_that_xml_cannot_hold_is_set_cleaned);
	RUN(a_dictionary_is_copied_with_some_of_its_keys);
	RUN(hundreds_of_thousands_of_keys_are_copied_in_no_time);
	RUN(lists_are_written_in_either_form);
	RUN(files_are_read_below_a_folder);
	return tap_end();
}
