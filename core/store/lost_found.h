/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LOST_FOUND_H
#define LOST_FOUND_H

#include "manifest.h"
#include "mb/salvage.h"

/*
 * Payloads that no record names: files of a backup whose name is a file ID.
 * Each becomes an entry of the domain "lost+found" with a path
 *
 *   <type>/<file ID>.<ext>      by what it holds
 *   encrypted/<file ID>         where its key was in the record
 *
 * Files are looked into when the entries are first asked for. All functions
 * are safe from several threads.
 */
struct lost_found;

#define LOST_DOMAIN MB_LOST_DOMAIN
#define LOST_ENCRYPTED MB_LOST_ENCRYPTED

/*
 * lost_found_open - find them
 * @known: file IDs that records name, sorted, SHA1_LEN bytes each; borrowed for
 *	the call
 * @encrypted: they are encrypted, so there is nothing to be seen in them
 *
 * Returns 0; -ENOMEM; errors of the system. A folder that cannot be read is
 * left out.
 */
int lost_found_open(struct lost_found **out,
		    const struct payload_places *places, const uint8_t *known,
		    size_t known_count, bool encrypted);
void lost_found_free(struct lost_found *lost);

size_t lost_found_count(const struct lost_found *lost);

/* lost_found_scan - as manifest_scan; handles are numbers below the count */
int lost_found_scan(struct lost_found *lost, bool sizes,
		    manifest_each_entry *each, void *arg, struct mb_err *err);

/*
 * lost_found_seems_encrypted - do they look like ciphertext?
 *
 * Of some, by their lengths and by what libmagic cannot make of them. Returns
 * 1; 0, also if there are none; -ENOMEM.
 */
int lost_found_seems_encrypted(struct lost_found *lost);

/* lost_found_get - as manifest_get */
int lost_found_get(struct lost_found *lost, int64_t handle,
		   struct mb_record *rec, struct mb_err *err);

#endif
