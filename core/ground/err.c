/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"

/* C0 and DEL are one byte, C1 (0x80 to 0x9f) are C2 80 to C2 9F in UTF-8. */
static void hide_controls(unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
		else if (p[i] == 0xc2 && p[i + 1] < 0xa0)
			p[i] = p[i + 1] = '?';
	}
}

/* What is no UTF-8 goes too: to an 8-bit terminal, 0x9b begins a command. */
static void make_printable(char *text)
{
	while (*text) {
		size_t len = utf8_valid_prefix(text, strlen(text));

		hide_controls((unsigned char *)text, len);
		text += len;
		if (*text)
			*text++ = '?';
	}
}

static const char *as_it_is(const char *format)
{
	return format;
}

static const char *(*language)(const char *format) = as_it_is;

void mb_err_translate(const char *(*translate)(const char *format))
{
	language = translate;
}

const char *mb_err_translated(const char *format)
{
	return language(format);
}

int mb_err_set(struct mb_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), mb_err_translated(fmt), ap);
	va_end(ap);
	make_printable(err->text);
	return code;
}

int mb_err_prefix(struct mb_err *err, int code, const char *fmt, ...)
{
	char rest[sizeof(err->text)];
	va_list ap;
	int n;

	if (!err)
		return code;
	memcpy(rest, err->text, sizeof(rest));
	va_start(ap, fmt);
	n = vsnprintf(err->text, sizeof(err->text), mb_err_translated(fmt), ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->text))
		snprintf(err->text + n, sizeof(err->text) - n, ": %.*s",
			 (int)sizeof(err->text) - n, rest);
	err->code = code;
	make_printable(err->text);
	return code;
}
