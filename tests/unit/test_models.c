/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models.h"

#include "tap.h"

CASE(models_have_names_and_strangers_none)
{
	CHECK_TEXT(models_name("iPhone14,5"), "iPhone 13");
	CHECK_TEXT(models_name("iPhone1,1"), "iPhone");
	CHECK_TEXT(models_name("iPhone3,2"), "iPhone 4");
	CHECK_TEXT(models_name("iPad16,6"), "iPad Pro 13-inch (M4)");
	CHECK_TEXT(models_name("iPod9,1"), "iPod touch (7th generation)");
	CHECK(!models_name("iPhone14"));
	CHECK(!models_name("iPhone14,55"));
	CHECK(!models_name("Phone14,5"));
	CHECK(!models_name(""));
	CHECK(!models_name(" "));
}

int main(void)
{
	RUN(models_have_names_and_strangers_none);
	return tap_end();
}
