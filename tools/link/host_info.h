/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOST_INFO_H
#define HOST_INFO_H

#include <plist/plist.h>
#include <stdint.h>

#include "bytes.h"
#include "device.h"
#include "media.h"

/*
 * host_info_make - Info.plist, the one part of a backup that the host writes:
 * iphone-backup(5), INFO.PLIST
 * @device: with a session
 * @media: of the same device, or NULL: then without the iTunes files
 * @xml: the caller releases it
 * @note: called with a line about what could not be had (no icons, say)
 *
 * A service that does not answer costs its part of the list, not the backup.
 *
 * Returns 0; -ECANCELED; -ENODEV if the device has gone; -ENOMEM.
 */
int host_info_make(struct device *device, struct media *media, struct buf *xml,
		   void (*note)(void *arg, const char *line), void *arg,
		   struct mb_err *err);

/*
 * What Info.plist is made of. Nodes may be NULL, and of any type: a device
 * can answer what it likes.
 */
struct host_facts {
	const char *udid; /* as the folder spells it */
	plist_t values;	  /* lockdownd's global domain */
	plist_t settings; /* its domain com.apple.iTunes */
	plist_t itunes_version;
	plist_t identifiers; /* apps.h */
	plist_t entries;
	plist_t files; /* dictionary from name to data */
	plist_t books; /* data */
	int64_t now;   /* Unix time */
	uint8_t guid[16];
};

void host_facts_release(struct host_facts *facts);
MB_DEFINE_AUTO_VALUE(struct host_facts, host_facts_release)

/*
 * host_info_compose - the property list, as XML
 * @facts: the large parts are moved out of it
 *
 * Only values of the type that Apple's software writes are taken over, and no
 * text that XML cannot hold.
 *
 * Returns 0; -ENOMEM.
 */
int host_info_compose(struct host_facts *facts, struct buf *xml);

#endif
