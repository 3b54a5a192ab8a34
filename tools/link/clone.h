/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLONE_H
#define CLONE_H

#include <stdint.h>

enum clone_how {
	CLONE_COPY, /* files of its own; reflinks where the file system can */
	/*
	 * Reflinks, else hard links, else copies. Nobody may write into a
	 * hard-linked file then: it has to be replaced by a new one.
	 */
	CLONE_SHARE,
};

struct clone_result {
	uint64_t reflinked, linked, copied; /* files */
};

/*
 * clone_entry - a file, or a folder with everything in it, a second time
 * @to: must not be there; the folder above it must
 * @result: may be NULL; counted up
 *
 * @from and @to are relative paths beneath their folders. Symbolic links stay
 * what they are; sockets, devices and FIFOs are left out. Nothing is synced.
 *
 * Returns 0; -ECANCELED; the first error of the system, @to then being
 * incomplete.
 */
int clone_entry(int from_fd, const char *from, int to_fd, const char *to,
		enum clone_how how, struct clone_result *result);

#endif
