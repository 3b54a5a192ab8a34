/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LS_H
#define LS_H

#include "mb/tree.h"
#include "tool.h"

/* How "larder ls" shows entries; ls.c walks, ls_print.c prints. */

enum ls_format {
	LS_NAMES,
	LS_LONG,
	LS_JSON,
	LS_CSV,	 /* RFC 4180 */
	LS_BODY, /* of the Sleuth Kit, version 3 */
	LS_SUMS, /* BSD checksum lines, of files only */
};

struct ls_style {
	enum ls_format format;
	bool sha256; /* a column or key, with LS_CSV and LS_JSON */
};

/* Before the first entry. */
void ls_print_header(const struct ls_style *style);

/*
 * ls_print - one entry
 * @name: shown
 * @sha256: of a file's content; NULL if it has none, or none that can be read
 *
 * Returns 0 or what kept it from being looked at.
 */
int ls_print(const struct ls_style *style, struct mb_tree *tree, uint32_t node,
	     const char *name, const uint8_t *sha256, struct mb_err *err);

#endif
