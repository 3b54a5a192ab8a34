/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <stdlib.h>

#include "tap.h"

static void check(const char *instance, const char *want)
{
	char *got = instance_decode(instance);

	if (want)
		CHECK_TEXT(got ? got : "nothing", want);
	else
		CHECK_AT(!got, "%s is %s", instance, got);
	free(got);
}

CASE(a_udid_is_itself_escaped_or_not)
{
	check("00008110-000A1B2C3D4E5F67", "00008110-000A1B2C3D4E5F67");
	check("00008110\\x2d000A1B2C3D4E5F67", "00008110-000A1B2C3D4E5F67");
	check("0123456789abcdef0123456789abcdef01234567",
	      "0123456789abcdef0123456789abcdef01234567");
}

CASE(a_name_is_any_bytes)
{
	check("Anna\\x27s\\x20iPhone", "Anna's iPhone");
	check("J\\xc3\\xb6rg\\x5cx", "J\303\266rg\\x");
	check("Anna-Maria", "Anna-Maria");
	check("\\x2dAnna-Maria", "-Anna-Maria");
	check("", "");
}

CASE(a_path_begins_with_its_slash)
{
	check("-srv-backup-00008110\\x2d000A1B2C3D4E5F67",
	      "/srv/backup/00008110-000A1B2C3D4E5F67");
	check("-home-anna\\x20b-\\x2ebackup", "/home/anna b/.backup");
	check("-", "/");
}

CASE(what_is_no_escape_is_refused)
{
	check("a\\", NULL);
	check("a\\x", NULL);
	check("a\\x2", NULL);
	check("a\\x2g", NULL);
	check("a\\y20", NULL);
	check("a\\x00b", NULL);
}

int main(void)
{
	RUN(a_udid_is_itself_escaped_or_not);
	RUN(a_name_is_any_bytes);
	RUN(a_path_begins_with_its_slash);
	RUN(what_is_no_escape_is_refused);
	return tap_end();
}
