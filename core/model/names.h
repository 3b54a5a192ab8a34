/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef NAMES_H
#define NAMES_H

#include "bytes.h"
#include "mb/record.h"
#include "mb/tree.h"

/*
 * From the names of a manifest, which can be any bytes, to names that a file
 * system can show. larderfs(8), NAMES, has the rules for people.
 */

#define NAME_SHOWN_MAX MB_SHOWN_MAX

/*
 * names_next - the next component of a path
 * @at: where to go on, starts at 0
 *
 * A slash that begins the path, follows another one or ends the path separates
 * nothing: it is part of the component.
 *
 * Returns false at the end.
 */
bool names_next(struct mb_slice path, size_t *at, struct mb_slice *component);

/* names_is_plain - does a component need no change to be shown? */
bool names_is_plain(struct mb_slice component);

/*
 * names_show - the shown form of any component or domain
 * @out: terminated, at most NAME_SHOWN_MAX bytes, one path component
 */
void names_show(char out[NAME_SHOWN_MAX + 1], struct mb_slice component);

/* names_append - put an ending behind a shown name, cutting it if need be */
void names_append(char name[NAME_SHOWN_MAX + 1], const char *ending);

/*
 * names_device_root - where on the device a domain's files are
 * @out: takes the path without a leading slash, components separated by one
 *
 * Containers have random names on the device that a backup does not hold; the
 * identifier stands in. Unknown domains are their own root.
 *
 * Returns 0 or -ENOMEM.
 */
int names_device_root(struct mb_slice domain, struct buf *out);

#endif
