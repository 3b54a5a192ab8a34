/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UNMOUNT_H
#define UNMOUNT_H

#include <stdbool.h>

#include "mb/err.h"

/*
 * unmount - end a mount of larderfs
 * @lazy: take it away at once, and end it when nobody uses it any more
 *
 * Returns 0; -EBUSY, the line says who uses it, as far as one may know; -EPERM;
 * errors of the system.
 */
int unmount(const char *mountpoint, bool lazy, struct mb_err *err);

#endif
