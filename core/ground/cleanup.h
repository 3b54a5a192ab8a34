/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLEANUP_H
#define CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

/*
 * Plain ownership by the compiler's cleanup attribute:
 *
 *   mb_auto(thing_free) struct thing *x = ...;   freed when x leaves scope
 *   *out = mb_steal(&x);                         handed out instead
 *
 * A type takes part by MB_DEFINE_AUTO(struct thing, thing_free) behind the
 * declaration of its free function.
 */
#define mb_auto(fn) __attribute__((cleanup(mb_auto_##fn)))

#define MB_DEFINE_AUTO(type, fn)                  \
	static inline void mb_auto_##fn(type **p) \
	{                                         \
		fn(*p);                           \
	}

/* the same for a struct held by value, with its release function */
#define MB_DEFINE_AUTO_VALUE(type, fn)           \
	static inline void mb_auto_##fn(type *p) \
	{                                        \
		fn(p);                           \
	}

#define mb_steal(p)                         \
	({                                  \
		__typeof__(*(p)) v_ = *(p); \
		*(p) = NULL;                \
		v_;                         \
	})

static inline void mb_auto_free(void *p)
{
	free(*(void **)p);
}

static inline void mb_auto_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline int mb_steal_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#endif
