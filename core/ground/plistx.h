/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLISTX_H
#define PLISTX_H

#include <plist/plist.h>
#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "cleanup.h"
#include "mb/err.h"

/*
 * Typed, checked access to libplist nodes: a getter succeeds only if the node
 * is there and of the type that is asked for.
 */

static inline void plistx_free(plist_t node)
{
	plist_free(node);
}
static inline void mb_auto_plistx_free(plist_t *node)
{
	plistx_free(*node);
}

/*
 * plistx_parse - a binary or XML property list
 * @what: its name, for messages
 *
 * libplist expands references and recurses. A list that is cyclic, multiplies
 * its references or nests deeply is therefore refused before libplist sees it.
 *
 * Returns 0; -EBADMSG.
 */
int plistx_parse(plist_t *out, struct view data, const char *what,
		 struct mb_err *err);

/*
 * plistx_read - the same from a file below a folder
 *
 * Returns 0; -ENOENT; -EBADMSG; other errors of the system.
 */
int plistx_read(plist_t *out, int dir_fd, const char *path, size_t limit,
		struct mb_err *err);

/* Borrowed from @dict; NULL if absent (or if @dict is no dictionary). */
plist_t plistx_get(plist_t dict, const char *key);

/* plistx_get_number - a number that is not negative; -1 if there is none */
int64_t plistx_get_number(plist_t dict, const char *key);
/* The string is borrowed until @dict is freed; NULL if absent. */
const char *plistx_text(plist_t dict, const char *key);
/* A copy for the caller to free; NULL if absent. */
char *plistx_copy_text(plist_t dict, const char *key);
bool plistx_bool(plist_t dict, const char *key, bool *out);
/* Borrowed bytes. */
bool plistx_data(plist_t dict, const char *key, struct view *out);
/* A date node for the caller to free. */
plist_t plistx_new_date(int64_t unix_s);
/* Unix time in seconds. */
bool plistx_date(plist_t dict, const char *key, int64_t *out);

/*
 * plistx_set_text - a text that any reader can take
 * @text: NULL: nothing is set
 *
 * What XML cannot hold, control characters and bytes that are no UTF-8,
 * becomes "?".
 *
 * Returns 0 or -ENOMEM.
 */
int plistx_set_text(plist_t dict, const char *key, const char *text);

/*
 * plistx_pick - a copy of a dictionary with some of its keys
 * @keeps: which; NULL: all
 * @count: if not NULL, of the keys that were kept
 *
 * Returns it, for the caller to free; NULL if @dict is none.
 */
plist_t plistx_pick(plist_t dict, bool (*keeps)(void *arg, const char *key),
		    void *arg, size_t *count);

/* Appended to @out, in either form; 0 or -ENOMEM. */
int plistx_write_binary(plist_t node, struct buf *out);
int plistx_write_xml(plist_t node, struct buf *out);

#endif
