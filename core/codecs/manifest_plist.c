/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_plist.h"

#include <errno.h>
#include <stdlib.h>

#include "plistx.h"

#define MANIFEST_PLIST_MAX (16u << 20)

static int copy_data(struct buf *out, plist_t dict, const char *key)
{
	struct view v;

	return plistx_data(dict, key, &v) ? buf_add(out, v.ptr, v.len) : 0;
}

int manifest_plist_read(struct manifest_plist *plist, int dir_fd,
			const char *path, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	plist_t lockdown;
	const char *version;
	int rc;

	*plist = (struct manifest_plist){ 0 };
	rc = plistx_read(&dict, dir_fd, path, MANIFEST_PLIST_MAX, err);
	if (rc < 0)
		return rc;
	if (plist_get_node_type(dict) != PLIST_DICT)
		return mb_err_set(err, -EBADMSG, "%s: not a dictionary", path);
	/* a wrong guess here would show ciphertext as files */
	if (plistx_get(dict, "IsEncrypted") &&
	    !plistx_bool(dict, "IsEncrypted", &plist->encrypted))
		return mb_err_set(err, -EBADMSG,
				  "%s: IsEncrypted is not a boolean", path);
	version = plistx_text(dict, "Version");
	plist->version = version ? strtod(version, NULL) : 0;
	if (copy_data(&plist->keybag, dict, "BackupKeyBag") < 0 ||
	    copy_data(&plist->key, dict, "ManifestKey") < 0) {
		manifest_plist_release(plist);
		return mb_err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	plistx_date(dict, "Date", &plist->date);
	lockdown = plistx_get(dict, "Lockdown");
	plist->device_name = plistx_copy_text(lockdown, "DeviceName");
	plist->product_type = plistx_copy_text(lockdown, "ProductType");
	plist->product_version = plistx_copy_text(lockdown, "ProductVersion");
	plist->build_version = plistx_copy_text(lockdown, "BuildVersion");
	plist->serial_number = plistx_copy_text(lockdown, "SerialNumber");
	plist->udid = plistx_copy_text(lockdown, "UniqueDeviceID");
	return 0;
}

void manifest_plist_release(struct manifest_plist *plist)
{
	buf_release(&plist->keybag);
	buf_release(&plist->key);
	free(plist->device_name);
	free(plist->product_type);
	free(plist->product_version);
	free(plist->build_version);
	free(plist->serial_number);
	free(plist->udid);
	*plist = (struct manifest_plist){ 0 };
}

static plist_t new_data(struct view v)
{
	return plist_new_data((const char *)v.ptr, v.len);
}

/* What recent devices accept as the least. */
static plist_t make_least(void)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, "Version", plist_new_string("10.0"));
	plist_dict_set_item(dict, "SystemDomainsVersion",
			    plist_new_string("20.0"));
	plist_dict_set_item(dict, "Lockdown", plist_new_dict());
	plist_dict_set_item(dict, "Applications", plist_new_dict());
	plist_dict_set_item(dict, "WasPasscodeSet", plist_new_bool(0));
	plist_dict_set_item(dict, "IsEncrypted", plist_new_bool(0));
	return dict;
}

static void apply(plist_t dict, const struct manifest_plist_edit *edit)
{
	const char *version = plistx_text(dict, "Version");
	plist_t apps = NULL;

	if (edit->encrypted >= 0)
		plist_dict_set_item(dict, "IsEncrypted",
				    plist_new_bool(edit->encrypted != 0));
	if (edit->keybag.len)
		plist_dict_set_item(dict, "BackupKeyBag",
				    new_data(edit->keybag));
	if (edit->key.len)
		plist_dict_set_item(dict, "ManifestKey", new_data(edit->key));
	else if (plistx_get(dict, "ManifestKey"))
		plist_dict_remove_item(dict, "ManifestKey");
	if (edit->manifest_db && !(version && strtod(version, NULL) >= 10))
		plist_dict_set_item(dict, "Version", plist_new_string("10.0"));
	if (edit->date)
		plist_dict_set_item(dict, "Date", plistx_new_date(edit->date));
	if (edit->keeps_app)
		apps = plistx_pick(plistx_get(dict, "Applications"),
				   edit->keeps_app, edit->arg, NULL);
	if (apps)
		plist_dict_set_item(dict, "Applications", apps);
}

int manifest_plist_make(struct buf *out, int dir_fd, const char *path,
			const struct manifest_plist_edit *edit,
			struct mb_err *err)
{
	mb_auto(plistx_free) plist_t dict = NULL;
	int rc;

	if (path) {
		rc = plistx_read(&dict, dir_fd, path, MANIFEST_PLIST_MAX, err);
		if (rc < 0)
			return rc;
		if (plist_get_node_type(dict) != PLIST_DICT)
			return mb_err_set(err, -EBADMSG, "%s: not a dictionary",
					  path);
	} else {
		dict = make_least();
	}
	apply(dict, edit);
	if (plistx_write_binary(dict, out) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	return 0;
}
