/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUZZ_H
#define FUZZ_H

/*
 * A target takes any bytes and does with them what a program would do with a
 * stranger's file. What must hold for all input is asserted with MUST.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                         \
	do {                                                               \
		if (!(cond)) {                                             \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#cond);                                    \
			abort();                                           \
		}                                                          \
	} while (0)

/* A private folder in memory, gone at exit. */
int fuzz_dir_fd(void);
const char *fuzz_dir(void);
/* Replace a file in it. */
void fuzz_put(const char *name, const uint8_t *data, size_t size);

/* Read every byte, so that a sanitizer sees what is lent out too long. */
void fuzz_touch(const void *ptr, size_t len);

#endif
