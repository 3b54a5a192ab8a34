/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "info_plist.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static void upper(char *text)
{
	for (; *text; text++)
		*text = (char)toupper((unsigned char)*text);
}

static int set_identity(plist_t dict, const struct info_plist *info,
			const uint8_t guid[16])
{
	mb_auto(free) char *udid = info->udid ? strdup(info->udid) : NULL;
	char text[2 * 16 + 1];

	if (info->udid && !udid)
		return -ENOMEM;
	hex_encode(text, guid, 16);
	upper(text);
	if (udid)
		upper(udid);
	if (plistx_set_text(dict, "GUID", text) < 0 ||
	    plistx_set_text(dict, "Unique Identifier", udid) < 0)
		return -ENOMEM;
	return plistx_set_text(dict, "Target Identifier", info->udid);
}

static int set_facts(plist_t dict, const struct info_plist *info)
{
	const struct {
		const char *key, *text;
	} facts[] = {
		{ "Build Version", info->build_version },
		{ "Device Name", info->device_name },
		{ "Display Name", info->device_name },
		{ "Product Name", info->product_name },
		{ "Product Type", info->product_type },
		{ "Product Version", info->product_version },
		{ "Serial Number", info->serial_number },
		{ "Target Type", "Device" },
	};

	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
		if (plistx_set_text(dict, facts[i].key, facts[i].text) < 0)
			return -ENOMEM;
	return 0;
}

int info_plist_make(struct buf *out, const struct info_plist *info,
		    const uint8_t guid[16])
{
	mb_auto(plistx_free) plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, "Applications", plist_new_dict());
	if (info->date)
		plist_dict_set_item(dict, "Last Backup Date",
				    plistx_new_date(info->date));
	if (set_facts(dict, info) < 0 || set_identity(dict, info, guid) < 0)
		return -ENOMEM;
	return plistx_write_xml(dict, out);
}

int info_plist_applications(struct buf *xml, int dir_fd, const char *path,
			    bool (*keeps)(void *arg, const char *bundle_id),
			    void *arg, size_t *count, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	mb_auto(plistx_free) plist_t apps = NULL;
	int rc;

	*count = 0;
	rc = plistx_read(&dict, dir_fd, path, INFO_MAX, err);
	if (rc < 0)
		return rc;
	apps = plistx_pick(plistx_get(dict, "Applications"), keeps, arg, count);
	if (*count && plistx_write_xml(apps, xml) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	return 0;
}
