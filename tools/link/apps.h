/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef APPS_H
#define APPS_H

#include <plist/plist.h>
#include <stddef.h>

#include "cleanup.h"
#include "link.h"
#include "mb/err.h"

/*
 * The apps that the user installed, as Info.plist lists them. Only links are
 * needed, no device.
 *
 * All of it is held in memory until Info.plist is written, so a device that
 * makes things up is stopped at these. Real phones have some hundred apps and
 * 20 to 60 kB of each.
 */
#define APPS_MAX 10000
#define APPS_ITEM_MAX (1u << 20)
#define APPS_BYTES_MAX (16u << 20)

struct apps {
	plist_t identifiers; /* array of text: Installed Applications */
	plist_t entries;     /* dictionary by identifier: Applications */
	size_t bytes;	     /* what the entries hold */
	/* beyond the limits */
	size_t left_out, icons_left_out;
};

int apps_init(struct apps *apps);
void apps_release(struct apps *apps);
MB_DEFINE_AUTO_VALUE(struct apps, apps_release)

/*
 * apps_browse - the list, from com.apple.mobile.installation_proxy
 *
 * Keeps what came before a failure.
 *
 * Returns 0; -EPROTO; as stream_recv.
 */
int apps_browse(struct apps *apps, struct link *link, struct mb_err *err);

/*
 * apps_add_icons - an icon for each entry, from com.apple.springboardservices
 *
 * An icon that is refused is left out.
 *
 * Returns 0; as stream_recv.
 */
int apps_add_icons(struct apps *apps, struct link *link, struct mb_err *err);

#endif
