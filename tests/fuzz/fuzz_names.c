/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "names.h"

static void check_name(const char *name)
{
	size_t len = strnlen(name, NAME_SHOWN_MAX + 1);

	MUST(len && len <= NAME_SHOWN_MAX);
	MUST(!strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mb_slice path = { (const char *)data, size }, c;
	char name[NAME_SHOWN_MAX + 1];
	struct buf root = { 0 };
	size_t at = 0, next = 0;

	while (names_next(path, &at, &c)) {
		/* nothing between two components but one slash */
		MUST(c.len && c.ptr == path.ptr + next);
		next = (size_t)(c.ptr - path.ptr) + c.len + 1;
		MUST(next == size + 1 || path.ptr[next - 1] == '/');
		names_show(name, c);
		check_name(name);
		if (names_is_plain(c))
			MUST(strlen(name) == c.len &&
			     !memcmp(name, c.ptr, c.len));
		names_append(name, "%file");
		check_name(name);
		names_append(name, "%4294967295");
		check_name(name);
	}
	MUST(next == (size ? size + 1 : 0));
	MUST(names_device_root(path, &root) == 0);
	MUST(root.len && root.ptr[0] != '/' && !memchr(root.ptr, 0, root.len));
	buf_release(&root);
	return 0;
}
