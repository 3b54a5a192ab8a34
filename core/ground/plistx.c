/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plistx.h"

#include <errno.h>

#include "beneath.h"
#include "bplist.h"

#define MAX_DEPTH 64
#define MAX_NODES 1000000

static bool starts(const uint8_t *p, const uint8_t *end, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(end - p) >= len && !memcmp(p, text, len);
}

static const uint8_t *find(const uint8_t *p, const uint8_t *end,
			   const char *text)
{
	while ((p = memchr(p, *text, (size_t)(end - p))) &&
	       !starts(p, end, text))
		p++;
	return p;
}

/* Is a ">" at @end surely outside of quotes, whichever count as such? */
static bool quotes_are_closed(const uint8_t *p, const uint8_t *end)
{
	size_t single = 0, twofold = 0;

	for (; p < end; p++) {
		single += *p == '\'';
		twofold += *p == '"';
	}
	return single % 2 == 0 && twofold % 2 == 0 && !(single && twofold);
}

/*
 * The end of the markup that begins behind a "<", NULL if it cannot be told
 * with certainty. What libplist takes for a tag and we do not must not exist,
 * nor the other way round, or nesting could be hidden in comments and quotes.
 */
static const uint8_t *markup_end(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *close;

	if (starts(p, end, "!--"))
		return find(p + 3, end, "-->");
	if (starts(p, end, "![CDATA["))
		return find(p, end, "]]>");
	close = find(p, end, *p == '?' ? "?>" : ">");
	if (!close || !quotes_are_closed(p, close) ||
	    memchr(p, '<', (size_t)(close - p)) ||
	    (*p == '!' && memchr(p, '[', (size_t)(close - p))))
		return NULL;
	return close;
}

static bool is_end_tag(const uint8_t *p, const uint8_t *close, const char *name)
{
	size_t len = strlen(name);

	return starts(p, close, name) &&
	       (p + len == close || strchr(" \t\r\n", p[len]));
}

/*
 * Counts tags and the nesting of containers: libplist frees what it has read
 * by recursion.
 */
static int check_xml(struct view data)
{
	const uint8_t *p = data.ptr, *end = data.ptr + data.len;
	unsigned depth = 0, tags = 0;

	while ((p = memchr(p, '<', (size_t)(end - p)))) {
		const uint8_t *close;

		if (++p == end || ++tags > 2 * MAX_NODES)
			return -EBADMSG;
		close = markup_end(p, end);
		if (!close)
			return -EBADMSG;
		if (is_end_tag(p, close, "/dict") ||
		    is_end_tag(p, close, "/array")) {
			if (depth)
				depth--;
		} else if ((starts(p, close, "dict") ||
			    starts(p, close, "array")) &&
			   close[-1] != '/' && ++depth > MAX_DEPTH) {
			return -EBADMSG;
		}
		p = close;
	}
	return 0;
}

static bool looks_like_xml(struct view data)
{
	size_t at = 0;

	while (at < data.len && data.ptr[at] && strchr(" \t\r\n", data.ptr[at]))
		at++;
	return at < data.len && data.ptr[at] == '<';
}

int plistx_parse(plist_t *out, struct view data, const char *what,
		 struct mb_err *err)
{
	struct bplist bp;

	*out = NULL;
	if (data.len >= 3 && !memcmp(data.ptr, "\xef\xbb\xbf", 3))
		data = view_of(data.ptr + 3, data.len - 3); /* a BOM */
	if (data.len > UINT32_MAX)
		return mb_err_set(err, -EBADMSG, "%s: too large", what);
	if (data.len >= 8 && !memcmp(data.ptr, "bplist", 6)) {
		if (bplist_open(&bp, data) < 0 ||
		    bplist_check(&bp, MAX_DEPTH, MAX_NODES) < 0)
			return mb_err_set(err, -EBADMSG,
					  "%s: damaged property list", what);
		plist_from_bin((const char *)data.ptr, (uint32_t)data.len, out);
	} else if (looks_like_xml(data)) {
		if (check_xml(data) < 0)
			return mb_err_set(
				err, -EBADMSG,
				"%s: property list is nested too deeply or too large",
				what);
		plist_from_xml((const char *)data.ptr, (uint32_t)data.len, out);
	} else {
		return mb_err_set(err, -EBADMSG, "%s: not a property list",
				  what);
	}
	if (!*out)
		return mb_err_set(err, -EBADMSG, "%s: damaged property list",
				  what);
	return 0;
}

int plistx_read(plist_t *out, int dir_fd, const char *path, size_t limit,
		struct mb_err *err)
{
	mb_auto(buf_release) struct buf data = { 0 };
	int rc;

	*out = NULL;
	rc = beneath_read_file(dir_fd, path, limit, &data, err);
	if (rc == -EFBIG)
		return mb_err_prefix(err, -EBADMSG, "property list");
	if (rc < 0)
		return rc;
	return plistx_parse(out, view_of(data.ptr, data.len), path, err);
}

plist_t plistx_get(plist_t dict, const char *key)
{
	if (!dict || plist_get_node_type(dict) != PLIST_DICT)
		return NULL;
	return plist_dict_get_item(dict, key);
}

int64_t plistx_get_number(plist_t dict, const char *key)
{
	plist_t node = plistx_get(dict, key);
	uint64_t value = 0;

	if (plist_get_node_type(node) != PLIST_UINT)
		return -1;
	plist_get_uint_val(node, &value);
	return value <= INT64_MAX ? (int64_t)value : -1;
}

static plist_t get_typed(plist_t dict, const char *key, plist_type type)
{
	plist_t node = plistx_get(dict, key);

	return node && plist_get_node_type(node) == type ? node : NULL;
}

const char *plistx_text(plist_t dict, const char *key)
{
	plist_t node = get_typed(dict, key, PLIST_STRING);
	uint64_t len;

	return node ? plist_get_string_ptr(node, &len) : NULL;
}

char *plistx_copy_text(plist_t dict, const char *key)
{
	const char *value = plistx_text(dict, key);

	return value ? strdup(value) : NULL;
}

bool plistx_bool(plist_t dict, const char *key, bool *out)
{
	plist_t node = get_typed(dict, key, PLIST_BOOLEAN);
	uint8_t value = 0;

	if (!node)
		return false;
	plist_get_bool_val(node, &value);
	*out = value;
	return true;
}

bool plistx_data(plist_t dict, const char *key, struct view *out)
{
	plist_t node = get_typed(dict, key, PLIST_DATA);
	const char *ptr;
	uint64_t len = 0;

	if (!node)
		return false;
	ptr = plist_get_data_ptr(node, &len);
	*out = view_of(ptr, len);
	return true;
}

#ifdef HAVE_PLIST_NEW_UNIX_DATE

static int64_t date_of(plist_t node)
{
	int64_t unix_s = 0;

	plist_get_unix_date_val(node, &unix_s);
	return unix_s;
}

plist_t plistx_new_date(int64_t unix_s)
{
	return plist_new_unix_date(unix_s);
}

#else

static int64_t date_of(plist_t node)
{
	int32_t sec = 0, usec = 0;

	plist_get_date_val(node, &sec, &usec);
	return (int64_t)sec + PLIST_EPOCH;
}

plist_t plistx_new_date(int64_t unix_s)
{
	return plist_new_date((int32_t)(unix_s - PLIST_EPOCH), 0);
}

#endif

bool plistx_date(plist_t dict, const char *key, int64_t *out)
{
	plist_t node = get_typed(dict, key, PLIST_DATE);

	if (node)
		*out = date_of(node);
	return node;
}

/* U+FFFE and U+FFFF are characters that XML does not have. */
static bool is_noncharacter(const char *p, size_t left)
{
	return left >= 3 && !memcmp(p, "\xef\xbf", 2) && (uint8_t)p[2] >= 0xbe;
}

static void clean_text(char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t good = at + utf8_valid_prefix(text + at, len - at);

		for (; at < good; at++) {
			if ((uint8_t)text[at] < ' ')
				text[at] = '?';
			else if (is_noncharacter(text + at, good - at))
				memset(text + at, '?', 3);
		}
		if (at < len)
			text[at++] = '?';
	}
}

int plistx_set_text(plist_t dict, const char *key, const char *text)
{
	mb_auto(free) char *clean = text ? strdup(text) : NULL;

	if (!text)
		return 0;
	if (!clean)
		return -ENOMEM;
	clean_text(clean, strlen(clean));
	plist_dict_set_item(dict, key, plist_new_string(clean));
	return 0;
}

plist_t plistx_pick(plist_t dict, bool (*keeps)(void *arg, const char *key),
		    void *arg, size_t *count)
{
	mb_auto(free) plist_dict_iter iter = NULL;
	plist_t picked;
	size_t kept = 0;

	if (!dict || plist_get_node_type(dict) != PLIST_DICT)
		return NULL;
	picked = plist_new_dict();
	plist_dict_new_iter(dict, &iter);
	while (iter) {
		mb_auto(free) char *key = NULL;
		plist_t value = NULL;

		plist_dict_next_item(dict, iter, &key, &value);
		if (!key)
			break;
		if (keeps && !keeps(arg, key))
			continue;
		plist_dict_set_item(picked, key, plist_copy(value));
		kept++;
	}
	if (count)
		*count = kept;
	return picked;
}

static int take_written(struct buf *out, char *text, uint32_t len)
{
	int rc = text ? buf_add(out, text, len) : -ENOMEM;

	free(text);
	return rc;
}

int plistx_write_binary(plist_t node, struct buf *out)
{
	char *text = NULL;
	uint32_t len = 0;

	plist_to_bin(node, &text, &len);
	return take_written(out, text, len);
}

int plistx_write_xml(plist_t node, struct buf *out)
{
	char *text = NULL;
	uint32_t len = 0;

	plist_to_xml(node, &text, &len);
	return take_written(out, text, len);
}
