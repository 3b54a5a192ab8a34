/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_SALVAGE_H
#define MANIFEST_SALVAGE_H

#include "lost_found.h"
#include "manifest.h"

/*
 * manifest_salvage_new - the records of a manifest, and lost+found
 * @inner: NULL if there is no manifest at all
 *
 * Both become the new one's own, also on failure. Returns 0 or -ENOMEM.
 */
int manifest_salvage_new(struct manifest **out, struct manifest *inner,
			 struct lost_found *lost);

#endif
