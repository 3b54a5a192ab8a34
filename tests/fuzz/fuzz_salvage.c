/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "manifest_carved.h"
#include "use_manifest.h"

static int open_carved(struct manifest **out, struct payload *p,
		       struct mb_err *err)
{
	const struct payload_places places = { .dir_fds = { fuzz_dir_fd() },
					       .count = 1 };
	struct carved carved;

	return manifest_open_carved(out, p, &places, &carved, err);
}

static int open_pieces(struct manifest **out, struct payload *p,
		       struct mb_err *err)
{
	struct carved carved;

	return manifest_open_mbdb_pieces(out, p, &carved, err);
}

/* any bytes as a Manifest.db, and as a Manifest.mbdb, that is damaged */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	use_manifest(data, size, open_carved);
	use_manifest(data, size, open_pieces);
	return 0;
}
