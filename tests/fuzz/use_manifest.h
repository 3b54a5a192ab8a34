/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef USE_MANIFEST_H
#define USE_MANIFEST_H

#include "manifest.h"

/*
 * Open the bytes as a manifest and read all of it: each domain, each of its
 * entries twice, each record with its attributes.
 */
void use_manifest(const uint8_t *data, size_t size,
		  int (*open)(struct manifest **out, struct payload *p,
			      struct mb_err *err));

#endif
