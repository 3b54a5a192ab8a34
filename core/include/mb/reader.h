/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_READER_H
#define MB_READER_H

#include <sys/types.h>

#include "backup.h"

/* One open file of a backup. */
struct mb_reader;

/*
 * mb_reader_open - the content of a record of type MB_FILE
 *
 * Returns 0; -ENODATA if its payload is missing or is not a plain file inside
 * the backup; -ENOKEY if the key bag cannot decrypt it, or the backup is
 * locked; -EBADMSG if its record or key is damaged; errors of the system.
 */
int mb_reader_open(struct mb_reader **out, struct mb_backup *backup,
		   const struct mb_record *rec, struct mb_err *err);
void mb_reader_free(struct mb_reader *reader);

/*
 * mb_reader_find_size - the size that opening a record's content would find
 *
 * The recorded one if it could not be opened. Cheaper than to open it: of most
 * payloads it reads the padding and nothing else, of a plain one nothing.
 */
int64_t mb_reader_find_size(struct mb_backup *backup,
			    const struct mb_record *rec);

/* How many at once, at most. */
#define MB_SIZES_MAX 16

/*
 * mb_reader_find_sizes - several, in less time than one after the other
 * @recs: of type MB_FILE
 * @count: up to MB_SIZES_MAX
 */
void mb_reader_find_sizes(struct mb_backup *backup,
			  const struct mb_record *const recs[], int64_t sizes[],
			  unsigned count);

/*
 * mb_reader_check - could a record's content be read, as far as can be told
 * without reading it?
 *
 * Looks at the record, whether its payload is there, and whether that has a
 * length that it can have: not shorter than recorded if it is plain; whole
 * cipher blocks with good padding if it is encrypted and not as long as the
 * recorded size makes it. Entries that are no files are fine.
 *
 * Returns 0; -EBADMSG, -ENODATA or -ENOKEY if it is damaged; errors of the
 * system.
 */
int mb_reader_check(struct mb_backup *backup, const struct mb_record *rec,
		    struct mb_err *err);

/*
 * True length in bytes: what the padding of an encrypted payload tells, the
 * stored length of a plain one, the recorded size where the payload is
 * damaged (iphone-backup(5), PAYLOADS).
 */
int64_t mb_reader_get_size(const struct mb_reader *reader);

/*
 * What is wrong with the payload, one line, or NULL. Borrowed. With *fatal
 * set, some bytes below the size cannot be read.
 */
const char *mb_reader_get_damage(const struct mb_reader *reader, bool *fatal);

/*
 * mb_reader_pread - bytes at any offset, any length
 *
 * Short only at the end of the file or before damage. Safe from several
 * threads.
 *
 * Returns bytes read; 0 at the end; -EIO where the bytes cannot be right.
 */
ssize_t mb_reader_pread(struct mb_reader *reader, void *out, size_t len,
			int64_t off);

/*
 * mb_reader_get_plain_fd - the file that is stored, if its bytes are the
 * content: to share it or to have the kernel copy it
 *
 * Returns a descriptor, borrowed, for reading; -1 if the content is encrypted,
 * or if it is empty and stored nowhere.
 */
int mb_reader_get_plain_fd(const struct mb_reader *reader);

#define MB_SHA256_LEN 32

/*
 * mb_reader_sha256 - the digest of the content, all of which is read
 *
 * Returns 0; -EIO if not all can be read; -ENOMEM.
 */
int mb_reader_sha256(struct mb_reader *reader, uint8_t out[MB_SHA256_LEN],
		     struct mb_err *err);

#endif
