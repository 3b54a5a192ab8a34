/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_SUMS_H
#define MB_SUMS_H

#include <stdatomic.h>

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/*
 * SHA-256 of the files of a folder as they are stored, whatever they are.
 * What other programs leave in any folder (.DS_Store, Thumbs.db and the like)
 * and may change at any time is left out.
 */
#define MB_SUM_LEN 32

struct mb_sums_wish {
	/* only the names: @sum is NULL then */
	bool names_only;
	/*
	 * Called for each regular file, in the byte order of their paths.
	 * Borrowed for the call. A result other than 0 ends it.
	 */
	int (*each)(void *arg, const char *path, const uint8_t *sum);
	bool (*cancelled)(void); /* true ends it by -ECANCELED */
	void *arg;
	/* counted up; another thread may look; may be NULL */
	atomic_uint_fast64_t *files, *bytes;
};

/*
 * mb_sums_each - every regular file below a folder, read by two threads
 *
 * Links are not followed, and are left out, as is what is no file.
 *
 * Returns 0; what @each returned; -ECANCELED; -ENOMEM; errors of the system.
 */
int mb_sums_each(int dir_fd, const struct mb_sums_wish *wish,
		 struct mb_err *err);

/*
 * mb_sum_file - of one file, by its path below a folder
 * @wish: cancelled and bytes
 *
 * Returns 0; -ENOENT; -EBADMSG, -ELOOP, -EXDEV if it is no regular file below
 * the folder; -ECANCELED; errors of the system.
 */
int mb_sum_file(int dir_fd, const char *path, const struct mb_sums_wish *wish,
		uint8_t sum[MB_SUM_LEN]);

/* mb_sums_path_is_inside - relative, and without "." and ".." */
bool mb_sums_path_is_inside(const char *path);

#endif
