/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XATTRS_H
#define XATTRS_H

#include "bytes.h"
#include "ops.h"

/*
 * Extended attributes: what a file system cannot show otherwise, as
 * user.larder.*, and those that the file had on the device, as user.<name>.
 * larderfs(8), EXTENDED ATTRIBUTES, is the list.
 */

/* xattrs_get - the value of one into @value; 0, -ENODATA, or an error */
int xattrs_get(struct mount *m, struct volume *v, uint32_t node,
	       const char *name, struct buf *value);

/* xattrs_list - all names, each with its NUL */
int xattrs_list(struct mount *m, struct volume *v, uint32_t node,
		struct buf *names);

#endif
