/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_CHECK_H
#define MB_CHECK_H

#include <stdatomic.h>

#include "backup.h"

/*
 * Is a backup good? It is only read. Each level holds the one before.
 */
enum mb_check_level {
	/* property lists, manifest, records, and what is in the folder */
	MB_CHECK_STRUCTURE,
	/* payloads that have a digest in their record, against it */
	MB_CHECK_STORED,
	/* every payload: read, decrypted, its padding and length; databases */
	MB_CHECK_CONTENT,
};

/* "structure", "stored", "content" */
const char *mb_check_level_name(enum mb_check_level level);

/*
 * Something that is wrong, or a note: odd, but no damage. Everything is
 * borrowed for the call. It is about an entry (@domain is not NULL), or about
 * a file of the backup's folder (@file is not NULL), or both: an entry and its
 * payload.
 */
struct mb_finding {
	enum mb_check_level level; /* that looks for such things */
	bool note;
	const char *flaw; /* one word of larder-verify(1), FLAWS */
	struct mb_slice domain, path;
	const char *file;   /* relative to the folder */
	const char *reason; /* one line, printable */
};

/* What has been done; another thread may look. */
struct mb_check_counts {
	/* records that are entries, by type */
	atomic_uint_fast64_t files, folders, links;
	/* by level */
	atomic_uint_fast64_t findings[3], notes[3];
	/* encrypted payloads of another length than recorded: no key */
	atomic_uint_fast64_t unjudged_lengths;
	/* what is not in any record was not looked for: records are lost */
	atomic_bool orphans_unknown;

	/* payloads: there, and of a possible length */
	atomic_uint_fast64_t payloads, payload_bytes;
	/* that the level reads, all or the sample */
	atomic_uint_fast64_t chosen, chosen_bytes;
	/* of these: read by now */
	atomic_uint_fast64_t read, read_bytes;
	atomic_uint_fast64_t digests; /* compared */
	atomic_uint_fast64_t without_digest;
	atomic_uint_fast64_t databases; /* checked by SQLite */
	/* whose content could not be judged, each with a note */
	atomic_uint_fast64_t unjudged_databases;
	/* encrypted, and not decrypted: no key */
	atomic_uint_fast64_t locked;
};

/* How far the payloads have been read: enough to go on later. */
struct mb_check_mark {
	uint64_t done; /* in an order of our own */
	uint64_t seed; /* of the sample */
	/* of damaged ones among these, by file ID: they are looked at again */
	const uint8_t (*found)[20];
	size_t found_count;
	uint64_t read, read_bytes, digests, without_digest, databases,
		unjudged_databases, locked;
};

struct mb_check_sample {
	enum {
		MB_SAMPLE_ALL,
		MB_SAMPLE_PART,
		MB_SAMPLE_FILES,
		MB_SAMPLE_BYTES
	} of;
	double part; /* above 0, up to 1 */
	uint64_t amount;
};

struct mb_check_wish {
	enum mb_check_level level;
	struct mb_check_sample sample; /* of the payloads that are read */
	/* NULL, or where to go on; borrowed for mb_check */
	const struct mb_check_mark *from;
	/* called from any thread, one at a time */
	void (*found)(void *arg, const struct mb_finding *finding);
	/* every few seconds, and in the end if it did not come to it; as
	 * above; may be NULL */
	void (*mark)(void *arg, const struct mb_check_mark *mark);
	/* asked now and then: true ends it by -ECANCELED */
	bool (*cancelled)(void);
	void *arg;
	struct mb_check_counts *counts; /* counted up */
};

/*
 * mb_check_open - as mb_backup_open, for a backup that may be damaged
 *
 * What mb_backup_open would not accept becomes a finding of mb_check, unless
 * there is no sign of a backup at all. Only mb_check can use the result.
 */
int mb_check_open(struct mb_backup **out, const char *path, struct mb_err *err);

/* Is it encrypted, and is its key bag there to be unlocked? */
bool mb_check_can_unlock(const struct mb_backup *backup);

/*
 * mb_check_unlock - as mb_backup_unlock
 *
 * Class keys that are damaged become findings, as long as one opens.
 */
int mb_check_unlock(struct mb_backup *backup,
		    const uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err);

/*
 * mb_check - look at everything that the level says
 *
 * Without the password of an encrypted backup, what needs it is counted as not
 * judged. Damage is no error.
 *
 * Returns 0; -ECANCELED; -ENOKEY if the names are encrypted and it is locked;
 * -ENOMEM; errors of the system that are not about one file.
 */
int mb_check(struct mb_backup *backup, const struct mb_check_wish *wish,
	     struct mb_err *err);

/*
 * mb_check_identity - which state of which backup it is, as hexadecimal
 *
 * Another one when its manifest was written anew.
 */
#define MB_IDENTITY_LEN 40
int mb_check_identity(struct mb_backup *backup, char out[MB_IDENTITY_LEN + 1],
		      struct mb_err *err);

#endif
