/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "use_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	use_manifest(data, size, manifest_open_db);
	return 0;
}
