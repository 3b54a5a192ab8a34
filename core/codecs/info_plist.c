/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "info_plist.h"

#include <errno.h>
#include <stdlib.h>

#include "plistx.h"

/* Icons and settings of every application are in it. */
#define INFO_MAX (64u << 20)

int info_plist_read(struct info_plist *info, int dir_fd, const char *path,
		    struct mb_err *err)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	int rc;

	*info = (struct info_plist){ 0 };
	rc = plistx_read(&dict, dir_fd, path, INFO_MAX, err);
	if (rc < 0)
		return rc;
	info->device_name = plistx_copy_text(dict, "Device Name");
	info->product_type = plistx_copy_text(dict, "Product Type");
	info->product_name = plistx_copy_text(dict, "Product Name");
	info->product_version = plistx_copy_text(dict, "Product Version");
	info->build_version = plistx_copy_text(dict, "Build Version");
	info->serial_number = plistx_copy_text(dict, "Serial Number");
	info->udid = plistx_copy_text(dict, "Target Identifier");
	if (!info->udid)
		info->udid = plistx_copy_text(dict, "Unique Identifier");
	plistx_date(dict, "Last Backup Date", &info->date);
	return 0;
}

void info_plist_release(struct info_plist *info)
{
	free(info->device_name);
	free(info->product_type);
	free(info->product_name);
	free(info->product_version);
	free(info->build_version);
	free(info->serial_number);
	free(info->udid);
	*info = (struct info_plist){ 0 };
}
