/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GLANCES_H
#define GLANCES_H

#include "mb/record.h"

/*
 * What manifest_glance tells, of records that a scan has passed by. Who lists a
 * domain asks for its records next, and by then the scan has had each of them
 * in its hands: to find it again costs more than to decode it.
 *
 * Safe from several threads.
 */
struct glances;

/* So many records in a row are all kept; of more, some drop out. */
#define GLANCES_MAX (48 << 10)

/* glances_new - NULL without memory; what is not used takes none */
struct glances *glances_new(void);
void glances_free(struct glances *g);

/* glances_keep - @handle: of the record, not negative */
void glances_keep(struct glances *g, int64_t handle,
		  const struct mb_record *rec);

/* glances_find - fill @rec; false: it is not known (any more) */
bool glances_find(struct glances *g, int64_t handle, struct mb_record *rec);

#endif
