/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "ops.h"

/*
 * What kernel and daemon agree upon before the first request.
 */

/*
 * handshake_prepare - between mount and loop
 *
 * A file that is read past the page cache can be mapped by several programs
 * only if the kernel is told to allow it. libfuse has words for that from 3.17
 * on; 3.14 to 3.16 let us see and complete what they send.
 */
void handshake_prepare(struct mount *m);

/*
 * handshake_proved - by the first request behind it: did it come by the way
 * that was agreed upon?
 */
void handshake_proved(struct mount *m, fuse_req_t req);

/* handshake - choose among what the kernel offers; the session's init */
void handshake(void *userdata, struct fuse_conn_info *conn);

#endif
