/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INSTANCE_H
#define INSTANCE_H

/*
 * instance_decode - what the instance of a systemd unit stands for
 * @instance: as systemctl(1) is given it, or systemd-escape(1) writes it
 *
 * A path has "-" for each slash, the first one included. Elsewhere, as in a
 * UDID that nobody has escaped, "-" is itself.
 *
 * Returns what the caller frees; NULL if an escape is none, or for want of
 * memory.
 */
char *instance_decode(const char *instance);

#endif
