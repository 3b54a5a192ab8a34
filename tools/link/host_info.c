/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host_info.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "apps.h"
#include "language.h"
#include "models.h"
#include "plistx.h"
#include "watch.h"

/* A value of the phone's is a line; its settings are a page or two. */
#define TEXT_MAX 4096
#define SETTINGS_MAX (1u << 20)
#define SETTINGS_DEPTH 16
#define FILE_MAX (2u << 20)

/* --- the list ---------------------------------------------------------- */

/* U+FFFE and U+FFFF are characters that XML does not have. */
static bool is_noncharacter(const char *p, size_t left)
{
	return left >= 3 && !memcmp(p, "\xef\xbf", 2) &&
	       (unsigned char)p[2] >= 0xbe;
}

/* A copy with "?" for what XML cannot hold; libplist writes anything. */
static char *clean_text(const char *text)
{
	size_t len = strlen(text);
	char *out = malloc(len + 1);

	if (!out)
		return NULL;
	memcpy(out, text, len + 1);
	for (size_t at = 0; at < len;) {
		size_t good = at + utf8_valid_prefix(out + at, len - at);

		for (; at < good; at++) {
			if ((unsigned char)out[at] < ' ')
				out[at] = '?';
			else if (is_noncharacter(out + at, good - at))
				memset(out + at, '?', 3);
		}
		if (at < len)
			out[at++] = '?';
	}
	return out;
}

static void set_text(plist_t dict, const char *key, const char *text)
{
	mb_auto(free) char *clean = text ? clean_text(text) : NULL;

	if (clean)
		plist_dict_set_item(dict, key, plist_new_string(clean));
}

static const char *text_of(plist_t node)
{
	const char *text = NULL;

	if (node && plist_get_node_type(node) == PLIST_STRING)
		text = plist_get_string_ptr(node, NULL);
	return text && strlen(text) <= TEXT_MAX ? text : NULL;
}

/* Info.plist's name of a value <- lockdownd's */
static const struct {
	const char *key, *from;
} names[] = {
	{ "Build Version", "BuildVersion" },
	{ "Device Name", "DeviceName" },
	{ "Display Name", "DeviceName" },
	{ "ICCID", "IntegratedCircuitCardIdentity" },
	{ "IMEI", "InternationalMobileEquipmentIdentity" },
	{ "IMEI 2", "InternationalMobileEquipmentIdentity2" },
	{ "MEID", "MobileEquipmentIdentifier" },
	{ "Phone Number", "PhoneNumber" },
	{ "Product Type", "ProductType" },
	{ "Product Version", "ProductVersion" },
	{ "Serial Number", "SerialNumber" },
};

static void set_values(plist_t root, const struct host_facts *f)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		set_text(root, names[i].key,
			 text_of(plistx_get(f->values, names[i].from)));
}

static void set_product_name(plist_t root, const struct host_facts *f)
{
	const char *type = text_of(plistx_get(f->values, "ProductType"));

	if (type)
		set_text(root, "Product Name", models_name(type));
}

static void set_identity(plist_t root, const struct host_facts *f)
{
	char guid[2 * sizeof(f->guid) + 1], upper[65];
	size_t i;

	hex_encode(guid, f->guid, sizeof(f->guid));
	for (i = 0; guid[i]; i++)
		guid[i] = (char)toupper((unsigned char)guid[i]);
	set_text(root, "GUID", guid);
	for (i = 0; f->udid[i] && i < sizeof(upper) - 1; i++)
		upper[i] = (char)toupper((unsigned char)f->udid[i]);
	upper[i] = '\0';
	set_text(root, "Unique Identifier", upper);
	set_text(root, "Target Identifier", f->udid);
	set_text(root, "Target Type", "Device");
	plist_dict_set_item(root, "Last Backup Date", plistx_new_date(f->now));
}

static plist_t copy_value(plist_t node, int depth, size_t *left);

static plist_t copy_dict(plist_t node, int depth, size_t *left)
{
	mb_auto(free) plist_dict_iter iter = NULL;
	plist_t copy = plist_new_dict();

	plist_dict_new_iter(node, &iter);
	while (iter) {
		mb_auto(free) char *key = NULL, *clean = NULL;
		plist_t item = NULL;

		plist_dict_next_item(node, iter, &key, &item);
		if (!key)
			break;
		item = copy_value(item, depth, left);
		clean = clean_text(key);
		if (item && clean)
			plist_dict_set_item(copy, clean, item);
		else
			plist_free(item);
	}
	return copy;
}

static plist_t copy_array(plist_t node, int depth, size_t *left)
{
	mb_auto(free) plist_array_iter iter = NULL;
	plist_t copy = plist_new_array();

	plist_array_new_iter(node, &iter);
	while (iter) {
		plist_t item = NULL;

		plist_array_next_item(node, iter, &item);
		if (!item)
			break;
		item = copy_value(item, depth, left);
		if (item)
			plist_array_append_item(copy, item);
	}
	return copy;
}

static size_t value_len(plist_t node)
{
	uint64_t len = 0;

	if (plist_get_node_type(node) == PLIST_STRING)
		plist_get_string_ptr(node, &len);
	else if (plist_get_node_type(node) == PLIST_DATA)
		plist_get_data_ptr(node, &len);
	return (size_t)len + 64; /* something for the node itself */
}

/*
 * What XML can hold of @node, or NULL; @left is how much may still be taken.
 * A UID, for one, would come back from XML as something else.
 */
static plist_t copy_value(plist_t node, int depth, size_t *left)
{
	mb_auto(free) char *clean = NULL;
	size_t len = value_len(node);

	if (!depth || len > *left)
		return NULL;
	*left -= len;
	switch (plist_get_node_type(node)) {
	case PLIST_BOOLEAN:
	case PLIST_UINT:
	case PLIST_REAL:
	case PLIST_DATE:
	case PLIST_DATA:
		return plist_copy(node);
	case PLIST_STRING:
		clean = clean_text(plist_get_string_ptr(node, NULL));
		return clean ? plist_new_string(clean) : NULL;
	case PLIST_ARRAY:
		return copy_array(node, depth - 1, left);
	case PLIST_DICT:
		return copy_dict(node, depth - 1, left);
	default:
		return NULL;
	}
}

static void set_settings(plist_t root, const struct host_facts *f)
{
	plist_t settings = NULL;
	size_t left = SETTINGS_MAX;

	if (f->settings && plist_get_node_type(f->settings) == PLIST_DICT)
		settings = copy_value(f->settings, SETTINGS_DEPTH, &left);
	plist_dict_set_item(root, "iTunes Settings",
			    settings ? settings : plist_new_dict());
}

/* Also where there is nothing: readers want to find these keys. */
static void move(plist_t root, const char *key, plist_t *node, plist_t empty)
{
	if (*node) {
		plist_free(empty);
		empty = mb_steal(node);
	}
	plist_dict_set_item(root, key, empty);
}

int host_info_compose(struct host_facts *f, struct buf *xml)
{
	mb_auto(plistx_free) plist_t root = plist_new_dict();
	const char *version = text_of(f->itunes_version);
	char *text = NULL;
	uint32_t len = 0;

	set_values(root, f);
	set_product_name(root, f);
	set_identity(root, f);
	set_settings(root, f);
	/* what idevicebackup2 writes: the version that restores need least */
	set_text(root, "iTunes Version", version ? version : "10.0.1");
	move(root, "Installed Applications", &f->identifiers,
	     plist_new_array());
	move(root, "Applications", &f->entries, plist_new_dict());
	move(root, "iTunes Files", &f->files, plist_new_dict());
	if (f->books)
		plist_dict_set_item(root, "iBooks Data 2", mb_steal(&f->books));
	plist_to_xml(root, &text, &len);
	if (!text)
		return -ENOMEM;
	/* not copied: with icons it can be many MB */
	buf_release(xml);
	*xml = (struct buf){ .ptr = (uint8_t *)text, .len = len, .cap = len };
	return 0;
}

void host_facts_release(struct host_facts *f)
{
	plist_free(f->values);
	plist_free(f->settings);
	plist_free(f->itunes_version);
	plist_free(f->identifiers);
	plist_free(f->entries);
	plist_free(f->files);
	plist_free(f->books);
	*f = (struct host_facts){ 0 };
}

/* --- the gathering ----------------------------------------------------- */

struct gathering {
	struct device *device;
	void (*note)(void *arg, const char *line);
	void *arg;
};

static void note(const struct gathering *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void note(const struct gathering *g, const char *fmt, ...)
{
	char line[600];
	struct mb_err clean;
	va_list ap;

	if (!g->note)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&clean, 0, "%s", line);
	g->note(g->arg, clean.text);
}

/*
 * A part that could not be had, or the end of it all? A link says -ENODEV
 * also when only its service has ended.
 */
static int tolerate(const struct gathering *g, int rc, const char *what,
		    struct mb_err *err)
{
	if (rc == 0 || rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (rc == -ENODEV) {
		plist_t alive = device_get(g->device, NULL, "ProductVersion");

		if (watch_cancelled()) {
			plist_free(alive);
			return mb_err_set(err, -ECANCELED, "cancelled");
		}
		if (!alive)
			return rc;
		plist_free(alive);
	}
	note(g, "%s: %s", what, err->text);
	return 0;
}

static int browse(const struct gathering *g, struct apps *apps,
		  struct mb_err *err)
{
	mb_auto(link_free) struct link *link = NULL;
	int rc;

	rc = device_connect(g->device, "com.apple.mobile.installation_proxy",
			    false, &link, err);
	if (rc == 0)
		rc = apps_browse(apps, link, err);
	return tolerate(g, rc, _("Info.plist lacks apps"), err);
}

static int add_icons(const struct gathering *g, struct apps *apps,
		     struct mb_err *err)
{
	mb_auto(link_free) struct link *link = NULL;
	int rc;

	if (!plist_dict_get_size(apps->entries))
		return 0;
	rc = device_connect(g->device, "com.apple.springboardservices", false,
			    &link, err);
	if (rc == 0)
		rc = apps_add_icons(apps, link, err);
	return tolerate(g, rc, _("Info.plist lacks icons"), err);
}

static int gather_apps(const struct gathering *g, struct host_facts *f,
		       struct mb_err *err)
{
	mb_auto(apps_release) struct apps apps = { 0 };
	int rc = apps_init(&apps);

	if (rc == 0)
		rc = browse(g, &apps, err);
	if (rc == 0)
		rc = add_icons(g, &apps, err);
	if (rc < 0)
		return rc;
	if (apps.left_out)
		note(g, "Info.plist lacks %zu apps: too many or too large",
		     apps.left_out);
	if (apps.icons_left_out)
		note(g, "Info.plist lacks %zu icons: too large",
		     apps.icons_left_out);
	f->identifiers = mb_steal(&apps.identifiers);
	f->entries = mb_steal(&apps.entries);
	return 0;
}

#define BOOKS "/Books/iBooksData2.plist"
#define ITUNES "/iTunes_Control/iTunes/"

static const char *const paths[] = {
	BOOKS,
	ITUNES "ApertureAlbumPrefs",
	ITUNES "IC-Info.sidb",
	ITUNES "IC-Info.sidv",
	ITUNES "PhotosFolderAlbums",
	ITUNES "PhotosFolderName",
	ITUNES "PhotosFolderPrefs",
	ITUNES "VoiceMemos.plist",
	ITUNES "iPhotoAlbumPrefs",
	ITUNES "iTunesApplicationIDs",
	ITUNES "iTunesPrefs",
	ITUNES "iTunesPrefs.plist",
};
#define PATH_COUNT (sizeof(paths) / sizeof(*paths))

static void take_file(const struct gathering *g, struct host_facts *f,
		      const struct media_file *file)
{
	plist_t data;

	if (file->err.code)
		note(g, "Info.plist lacks %s", file->err.text);
	if (!file->content.len)
		return;
	data = plist_new_data((const char *)file->content.ptr,
			      file->content.len);
	if (!strcmp(file->path, BOOKS))
		f->books = data;
	else
		plist_dict_set_item(f->files, file->path + strlen(ITUNES),
				    data);
}

static int gather_files(const struct gathering *g, struct media *media,
			struct host_facts *f, struct mb_err *err)
{
	struct media_file files[PATH_COUNT] = { 0 };
	int rc;

	f->files = plist_new_dict();
	for (size_t i = 0; i < PATH_COUNT; i++)
		files[i].path = paths[i];
	rc = media_read_files(media, files, PATH_COUNT, FILE_MAX, err);
	for (size_t i = 0; i < PATH_COUNT; i++) {
		if (rc == 0)
			take_file(g, f, &files[i]);
		buf_release(&files[i].content);
	}
	return tolerate(g, rc, _("Info.plist lacks iTunes files"), err);
}

static int gather(const struct gathering *g, struct media *media,
		  struct host_facts *f, struct mb_err *err)
{
	int rc;

	f->udid = device_get_udid(g->device);
	f->now = time(NULL);
	if (getrandom(f->guid, sizeof(f->guid), 0) != sizeof(f->guid))
		return mb_err_set(err, -EIO, "getrandom: %s", strerror(errno));
	f->values = device_get(g->device, NULL, NULL);
	if (!f->values) {
		rc = mb_err_set(err, -ENODEV, "the device does not answer");
		rc = tolerate(g, rc, _("Info.plist lacks the device's values"),
			      err);
		if (rc < 0)
			return rc;
	}
	f->settings = device_get(g->device, "com.apple.iTunes", NULL);
	f->itunes_version = device_get(g->device, "com.apple.mobile.iTunes",
				       "MinITunesVersion");
	rc = gather_apps(g, f, err);
	if (rc == 0 && media)
		rc = gather_files(g, media, f, err);
	return rc;
}

int host_info_make(struct device *device, struct media *media, struct buf *xml,
		   void (*on_note)(void *arg, const char *line), void *arg,
		   struct mb_err *err)
{
	mb_auto(host_facts_release) struct host_facts facts = { 0 };
	struct gathering g = { device, on_note, arg };
	int rc = gather(&g, media, &facts, err);

	if (rc == 0)
		rc = host_info_compose(&facts, xml);
	return rc == -ENOMEM ? mb_err_set(err, rc, "out of memory") : rc;
}
