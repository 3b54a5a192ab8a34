/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <sys/types.h>

#include "cleanup.h"

/*
 * A byte pipe to one service of a device, behind three functions, so that
 * what is spoken over it can be tested without a device.
 */
struct link {
	/*
	 * recv - wait for at least one byte, then take what is there
	 * @len: at least LINK_RECV_MIN
	 *
	 * Returns bytes; 0 when the other side has closed; -ECANCELED;
	 * -ETIMEDOUT after silence (watch.h); -EIO.
	 */
	ssize_t (*recv)(struct link *link, void *out, size_t len);
	/* send - all of it; 0, -ECANCELED, -ETIMEDOUT, -EPIPE or -EIO */
	int (*send)(struct link *link, const void *ptr, size_t len);
	/* closes */
	void (*free)(struct link *link);
};

/*
 * A whole TLS record fits, so that no decrypted byte stays behind where
 * poll(2) cannot see it.
 */
#define LINK_RECV_MIN 16384

static inline void link_free(struct link *link)
{
	if (link)
		link->free(link);
}
MB_DEFINE_AUTO(struct link, link_free)

#endif
