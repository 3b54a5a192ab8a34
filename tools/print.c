/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "tool.h"

static void print_valid(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == 0xc2 && p[i + 1] < 0xa0) { /* C1, as UTF-8 */
			printf("\\%03o\\%03o", p[i], p[i + 1]);
			i++;
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			printf("\\%03o", p[i]);
		} else {
			putchar(p[i]);
		}
	}
}

void print_name(const char *name, size_t len)
{
	for (size_t at = 0; at < len; at++) {
		size_t valid = utf8_valid_prefix(name + at, len - at);

		print_valid((const unsigned char *)name + at, valid);
		at += valid;
		if (at < len)
			printf("\\%03o", (unsigned char)name[at]);
	}
}

void print_padded(const char *text, int width)
{
	fputs(text, stdout);
	for (int i = text_width(text); i < width; i++)
		putchar(' ');
}

int text_width(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

const char *type_name(enum mb_type type)
{
	switch (type) {
	case MB_DIR:
		return N_("folder");
	case MB_LINK:
		return N_("link");
	default:
		return N_("file");
	}
}

void format_bytes(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {
		"kB", "MB", "GB", "TB", "PB", "EB"
	};
	double n = (double)bytes;
	int unit = -1;

	if (bytes < 1000) {
		snprintf(out, size, "%u B", (unsigned)bytes);
		return;
	}
	while (n >= 999.95 && unit < 5) {
		n /= 1000;
		unit++;
	}
	snprintf(out, size, "%.1f %s", n, units[unit]);
}

void format_time(char *out, size_t size, int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!localtime_r(&t, &tm) ||
	    !strftime(out, size, "%Y-%m-%d %H:%M:%S %z", &tm))
		snprintf(out, size, "@%lld", (long long)unix_s);
}

void format_duration(char *out, size_t size, double seconds)
{
	long s = (long)(seconds + 0.5);

	if (s < 60)
		snprintf(out, size, "%.1f s", seconds);
	else if (s < 3600)
		snprintf(out, size, _("%ld min %ld s"), s / 60, s % 60);
	else
		snprintf(out, size, _("%ld h %ld min"), s / 3600,
			 s % 3600 / 60);
}

json_object *json_text(const char *text, size_t len)
{
	mb_auto(buf_release) struct buf clean = { 0 };
	json_object *o;

	for (size_t at = 0; at < len;) {
		size_t good = utf8_valid_prefix(text + at, len - at);

		if (buf_add(&clean, text + at, good) < 0)
			return NULL;
		at += good;
		if (at < len && buf_add(&clean, "\xef\xbf\xbd", 3) < 0)
			return NULL;
		at++;
	}
	o = json_object_new_string_len((const char *)clean.ptr, (int)clean.len);
	return o;
}

void json_add_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key,
			       text ? json_text(text, strlen(text)) : NULL);
}

json_object *json_event(const char *name)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "event", name);
	return o;
}

void json_add_time(json_object *o, const char *key, int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	char text[32];
	struct tm tm;

	if (unix_s && gmtime_r(&t, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		json_add_text(o, key, text);
	else
		json_add_text(o, key, NULL);
}

void json_add_bool(json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void json_add_count(json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void json_print(json_object *o)
{
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
