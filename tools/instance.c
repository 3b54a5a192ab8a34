/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"

/* "\x2d": the byte, or 0 */
static uint8_t escaped(const char *at)
{
	char digits[3] = { 0 };
	uint8_t byte;

	if (at[1] != 'x')
		return 0;
	memcpy(digits, at + 2, strnlen(at + 2, 2));
	return hex_decode(&byte, 1, digits) ? byte : 0;
}

char *instance_decode(const char *instance)
{
	bool path = *instance == '-';
	mb_auto(free) char *text = strdup(instance);
	char *to = text;

	for (const char *from = instance; text && *from; from++) {
		*to = *from;
		if (*from == '-' && path) {
			*to = '/';
		} else if (*from == '\\') {
			*to = (char)escaped(from);
			if (!*to)
				return NULL;
			from += 3;
		}
		to++;
	}
	if (text)
		*to = '\0';
	return mb_steal(&text);
}
