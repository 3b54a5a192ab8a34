/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Info.plist as the host writes it. The device is made here: its values, and
 * its services behind links that answer what a case wants.
 */
#include "host_info.h"

#include <errno.h>

#include "apps.h"
#include "plistx.h"
#include "tap.h"

#define UDID "00008101-000a11111111001e"

/* --- a device ---------------------------------------------------------- */

struct device {
	plist_t values, settings;
	int apps, per_reply; /* of which every second is from the store */
	size_t item_len;     /* of metadata and icons */
	bool no_browse, no_icons, gone;
	const char *browse_error;
	int refuse_icon; /* the number of one, from 1; 0: none */
	int icons_asked, icons_until_closed;
	int ahead, most_ahead; /* requests that wait for an answer */
};

/* The service's end of a link: what is sent is answered into @out. */
struct service {
	struct link link;
	struct device *device;
	void (*answer)(struct service *s, plist_t request);
	struct buf out;
	size_t at;
};

static void put(struct service *s, plist_t message)
{
	char *ptr = NULL;
	uint32_t len = 0;

	plist_to_bin(message, &ptr, &len);
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_u8(&s->out, (uint8_t)(len >> shift));
	buf_add(&s->out, ptr, len);
	free(ptr);
	plist_free(message);
}

static ssize_t service_recv(struct link *link, void *out, size_t len)
{
	struct service *s = (struct service *)link;

	s->device->ahead = 0;
	if (len > s->out.len - s->at)
		len = s->out.len - s->at;
	if (len > 1000)
		len = 1000; /* messages arrive in pieces */
	memcpy(out, s->out.ptr + s->at, len);
	s->at += len;
	return (ssize_t)len;
}

static int service_send(struct link *link, const void *ptr, size_t len)
{
	struct service *s = (struct service *)link;
	struct cursor c = cursor_over(view_of(ptr, len));
	struct view body = { 0 };
	uint32_t body_len;
	plist_t request = NULL;

	CHECK(cursor_be32(&c, &body_len) && cursor_take(&c, body_len, &body) &&
	      !cursor_left(&c));
	CHECK_INT(plistx_parse(&request, body, "request", NULL), 0);
	s->answer(s, request);
	plist_free(request);
	return 0;
}

static void service_free(struct link *link)
{
	struct service *s = (struct service *)link;

	buf_release(&s->out);
	free(s);
}

static void check_browse(plist_t request)
{
	plist_t options = plistx_get(request, "ClientOptions");
	plist_t attributes = plistx_get(options, "ReturnAttributes");

	CHECK_TEXT(plistx_text(request, "Command"), "Browse");
	CHECK_TEXT(plistx_text(options, "ApplicationType"), "User");
	CHECK_INT(plist_array_get_size(attributes), 3);
}

static plist_t make_data(size_t len)
{
	char *zeros = calloc(1, len);
	plist_t data = plist_new_data(zeros, len);

	free(zeros);
	return data;
}

static plist_t make_app(const struct device *d, int i)
{
	plist_t app = plist_new_dict();
	char id[40];

	snprintf(id, sizeof(id), "com.example.app%05d", i);
	plist_dict_set_item(app, "CFBundleIdentifier", plist_new_string(id));
	if (i % 2)
		return app;
	plist_dict_set_item(app, "ApplicationSINF", plist_new_data("sinf", 4));
	plist_dict_set_item(app, "iTunesMetadata", make_data(d->item_len));
	return app;
}

static void answer_browse(struct service *s, plist_t request)
{
	struct device *d = s->device;
	plist_t reply;

	check_browse(request);
	for (int i = 0; i < d->apps;) {
		plist_t list = plist_new_array();

		for (int n = 0; n < d->per_reply && i < d->apps; n++, i++)
			plist_array_append_item(list, make_app(d, i));
		reply = plist_new_dict();
		plist_dict_set_item(reply, "Status",
				    plist_new_string("BrowsingApplications"));
		plist_dict_set_item(reply, "CurrentList", list);
		put(s, reply);
	}
	reply = plist_new_dict();
	if (d->browse_error)
		plist_dict_set_item(reply, "Error",
				    plist_new_string(d->browse_error));
	else
		plist_dict_set_item(reply, "Status",
				    plist_new_string("Complete"));
	put(s, reply);
}

static void answer_icon(struct service *s, plist_t request)
{
	struct device *d = s->device;
	plist_t reply = plist_new_dict();
	const char *id = plistx_text(request, "bundleId");

	CHECK_TEXT(plistx_text(request, "command"), "getIconPNGData");
	if (++d->ahead > d->most_ahead)
		d->most_ahead = d->ahead;
	d->icons_asked++;
	if (d->icons_until_closed && d->icons_asked > d->icons_until_closed) {
		plist_free(reply);
		return;
	}
	if (d->icons_asked == d->refuse_icon)
		plist_dict_set_item(reply, "Error", plist_new_string("no"));
	else if (d->item_len > 100)
		plist_dict_set_item(reply, "pngData", make_data(d->item_len));
	else
		/* so that each can be told from the others */
		plist_dict_set_item(reply, "pngData",
				    plist_new_data(id, strlen(id)));
	put(s, reply);
}

int device_connect(struct device *device, const char *service, bool escrow,
		   struct link **out, struct mb_err *err)
{
	bool icons = !strcmp(service, "com.apple.springboardservices");
	struct service *s;

	CHECK(!escrow);
	if (!icons)
		CHECK_TEXT(service, "com.apple.mobile.installation_proxy");
	if (device->gone)
		return mb_err_set(err, -ENODEV, "the device has gone");
	if (icons ? device->no_icons : device->no_browse)
		return mb_err_set(err, -ENOTSUP, "no %s", service);
	s = calloc(1, sizeof(*s));
	*s = (struct service){ { service_recv, service_send, service_free },
			       .device = device,
			       .answer = icons ? answer_icon : answer_browse };
	*out = &s->link;
	return 0;
}

const char *device_get_udid(const struct device *device)
{
	(void)device;
	return UDID;
}

plist_t device_get(struct device *device, const char *domain, const char *key)
{
	if (device->gone && key)
		return NULL;
	if (!domain && !key)
		return device->values ? plist_copy(device->values) : NULL;
	if (!domain)
		return plist_new_string("16.1");
	if (!strcmp(domain, "com.apple.iTunes"))
		return device->settings ? plist_copy(device->settings) : NULL;
	CHECK_TEXT(domain, "com.apple.mobile.iTunes");
	CHECK_TEXT(key, "MinITunesVersion");
	return plist_new_string("12.8");
}

static void answer_file(struct media_file *file)
{
	if (!strcmp(file->path, "/iTunes_Control/iTunes/iTunesPrefs"))
		buf_add(&file->content, "prefs", 5);
	else if (!strcmp(file->path, "/Books/iBooksData2.plist"))
		buf_add(&file->content, "books", 5);
	else if (!strcmp(file->path, "/iTunes_Control/iTunes/VoiceMemos.plist"))
		mb_err_set(&file->err, -EFBIG, "too large");
}

int media_read_files(struct media *media, struct media_file *files,
		     size_t count, size_t limit, struct mb_err *err)
{
	(void)media, (void)limit, (void)err;
	CHECK(count <= MEDIA_FILES_MAX);
	for (size_t i = 0; i < count; i++)
		answer_file(&files[i]);
	return 0;
}

/* --- making the list --------------------------------------------------- */

struct made {
	struct buf xml;
	plist_t root;
	int notes;
	char first_note[600], note[600]; /* and the last */
	struct mb_err err;
};

static void on_note(void *arg, const char *line)
{
	struct made *m = arg;

	if (!m->notes++)
		snprintf(m->first_note, sizeof(m->first_note), "%s", line);
	snprintf(m->note, sizeof(m->note), "%s", line);
}

static int make(struct made *m, struct device *d)
{
	int rc;

	*m = (struct made){ 0 };
	rc = host_info_make(d, (struct media *)d, &m->xml, on_note, m, &m->err);
	if (rc == 0)
		CHECK_INT(plistx_parse(&m->root,
				       view_of(m->xml.ptr, m->xml.len),
				       "Info.plist", &m->err),
			  0);
	return rc;
}

static void release(struct made *m, struct device *d)
{
	buf_release(&m->xml);
	plist_free(m->root);
	plist_free(d->values);
	plist_free(d->settings);
}

static plist_t made_values(void)
{
	static const char *const texts[][2] = {
		{ "DeviceName", "J\xc3\xbcrgen's <phone> & more" },
		{ "ProductType", "iPhone12,1" },
		{ "ProductVersion", "16.1" },
		{ "BuildVersion", "20B82" },
		{ "SerialNumber", "C39QQQQQQQQQ" },
		{ "InternationalMobileEquipmentIdentity", "350000000000001" },
		{ "InternationalMobileEquipmentIdentity2", "350000000000002" },
		{ "PhoneNumber", "+49 1" },
	};
	plist_t values = plist_new_dict();

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		plist_dict_set_item(values, texts[i][0],
				    plist_new_string(texts[i][1]));
	return values;
}

static struct device made_device(int apps)
{
	return (struct device){ .values = made_values(),
				.settings = plist_new_dict(),
				.apps = apps,
				.per_reply = 7,
				.item_len = 10 };
}

static plist_t entry_of(const struct made *m, const char *id)
{
	return plistx_get(plistx_get(m->root, "Applications"), id);
}

CASE(a_device_with_apps_is_described_in_full)
{
	struct device d = made_device(10);
	struct made m;
	struct view data;
	int64_t date;

	CHECK_INT(make(&m, &d), 0);
	CHECK_TEXT(plistx_text(m.root, "Device Name"),
		   "J\xc3\xbcrgen's <phone> & more");
	CHECK_TEXT(plistx_text(m.root, "Display Name"),
		   "J\xc3\xbcrgen's <phone> & more");
	CHECK_TEXT(plistx_text(m.root, "Product Type"), "iPhone12,1");
	CHECK_TEXT(plistx_text(m.root, "Product Name"), "iPhone 11");
	CHECK_TEXT(plistx_text(m.root, "Product Version"), "16.1");
	CHECK_TEXT(plistx_text(m.root, "Build Version"), "20B82");
	CHECK_TEXT(plistx_text(m.root, "IMEI"), "350000000000001");
	CHECK_TEXT(plistx_text(m.root, "IMEI 2"), "350000000000002");
	CHECK_TEXT(plistx_text(m.root, "Phone Number"), "+49 1");
	CHECK(!plistx_get(m.root, "MEID"));
	CHECK_TEXT(plistx_text(m.root, "Target Identifier"), UDID);
	CHECK_TEXT(plistx_text(m.root, "Target Type"), "Device");
	CHECK_TEXT(plistx_text(m.root, "Unique Identifier"),
		   "00008101-000A11111111001E");
	CHECK_TEXT(plistx_text(m.root, "iTunes Version"), "12.8");
	CHECK(plistx_date(m.root, "Last Backup Date", &date) &&
	      date > 1700000000);
	CHECK_INT(plist_array_get_size(
			  plistx_get(m.root, "Installed Applications")),
		  10);
	CHECK_INT(plist_dict_get_size(plistx_get(m.root, "Applications")), 5);
	CHECK(plistx_data(entry_of(&m, "com.example.app00004"),
			  "ApplicationSINF", &data) &&
	      view_is(data, "sinf"));
	CHECK(plistx_data(m.root, "iBooks Data 2", &data) &&
	      view_is(data, "books"));
	CHECK_INT(plist_dict_get_size(plistx_get(m.root, "iTunes Files")), 1);
	CHECK(plistx_data(plistx_get(m.root, "iTunes Files"), "iTunesPrefs",
			  &data) &&
	      view_is(data, "prefs"));
	CHECK_INT(m.notes, 1); /* of the file that is too large */
	release(&m, &d);
}

CASE(the_guid_is_32_upper_case_digits_and_another_each_time)
{
	struct device d = made_device(0);
	struct made a, b;
	const char *guid;

	make(&a, &d);
	make(&b, &d);
	guid = plistx_text(a.root, "GUID");
	CHECK_INT(strlen(guid), 32);
	CHECK_INT(strspn(guid, "0123456789ABCDEF"), 32);
	CHECK(strcmp(guid, plistx_text(b.root, "GUID")));
	buf_release(&b.xml);
	plist_free(b.root);
	release(&a, &d);
}

CASE(every_icon_belongs_to_its_app)
{
	struct device d = made_device(200);
	struct made m;
	struct view png;

	CHECK_INT(make(&m, &d), 0);
	for (int i = 0; i < 200; i += 2) {
		char id[40];

		snprintf(id, sizeof(id), "com.example.app%05d", i);
		CHECK_AT(plistx_data(entry_of(&m, id), "PlaceholderIcon",
				     &png) &&
				 view_is(png, id),
			 "%s", id);
	}
	release(&m, &d);
}

CASE(icons_are_asked_for_ahead_but_not_without_bound)
{
	struct device d = made_device(200);
	struct made m;

	CHECK_INT(make(&m, &d), 0);
	CHECK_INT(d.icons_asked, 100);
	CHECK(d.most_ahead > 1 && d.most_ahead <= 16);
	release(&m, &d);
}

CASE(an_icon_that_is_refused_is_left_out_alone)
{
	struct device d = made_device(6);
	struct made m;

	d.refuse_icon = 2;
	CHECK_INT(make(&m, &d), 0);
	CHECK(plistx_get(entry_of(&m, "com.example.app00000"),
			 "PlaceholderIcon"));
	CHECK(!plistx_get(entry_of(&m, "com.example.app00002"),
			  "PlaceholderIcon"));
	CHECK(plistx_get(entry_of(&m, "com.example.app00004"),
			 "PlaceholderIcon"));
	release(&m, &d);
}

CASE(icons_that_end_half_way_cost_the_rest_of_them)
{
	struct device d = made_device(100);
	struct made m;

	d.icons_until_closed = 3;
	CHECK_INT(make(&m, &d), 0);
	CHECK(plistx_get(entry_of(&m, "com.example.app00004"),
			 "PlaceholderIcon"));
	CHECK(!plistx_get(entry_of(&m, "com.example.app00006"),
			  "PlaceholderIcon"));
	CHECK_INT(plist_dict_get_size(plistx_get(m.root, "Applications")), 50);
	CHECK_INT(m.notes, 2);
	release(&m, &d);
}

CASE(services_that_are_not_there_cost_only_their_part)
{
	struct device d = made_device(4);
	struct made m;

	d.no_browse = true;
	CHECK_INT(make(&m, &d), 0);
	CHECK(plistx_get(m.root, "Applications"));
	CHECK_INT(plist_array_get_size(
			  plistx_get(m.root, "Installed Applications")),
		  0);
	CHECK_INT(m.notes, 2);
	release(&m, &d);
}

CASE(a_refused_list_of_apps_is_noted_without_its_escapes)
{
	struct device d = made_device(0);
	struct made m;

	d.browse_error = "no\x1b[2J";
	CHECK_INT(make(&m, &d), 0);
	CHECK_INT(m.notes, 2);
	CHECK(!strchr(m.note, 0x1b));
	release(&m, &d);
}

CASE(a_device_that_has_gone_ends_it)
{
	struct device d = made_device(4);
	struct made m;

	d.gone = true;
	CHECK_INT(make(&m, &d), -ENODEV);
	release(&m, &d);
	d = (struct device){ .gone = true }; /* from the first question on */
	CHECK_INT(make(&m, &d), -ENODEV);
}

CASE(too_many_apps_are_cut_off_with_a_note)
{
	struct device d = made_device(APPS_MAX + 100);
	struct made m;

	d.per_reply = 5000;
	CHECK_INT(make(&m, &d), 0);
	CHECK_INT(plist_array_get_size(
			  plistx_get(m.root, "Installed Applications")),
		  APPS_MAX);
	CHECK_INT(m.notes, 2);
	release(&m, &d);
}

CASE(large_icons_stop_at_the_limit)
{
	struct device d = made_device(60);
	struct made m;

	d.item_len = APPS_ITEM_MAX / 2; /* 30 apps of 1 MiB with the icon */
	CHECK_INT(make(&m, &d), 0);
	CHECK_INT(plist_dict_get_size(plistx_get(m.root, "Applications")), 30);
	CHECK(m.xml.len < 2 * APPS_BYTES_MAX);
	CHECK_INT(m.notes, 2);
	release(&m, &d);
}

CASE(values_of_another_type_are_not_taken_over)
{
	struct device d = made_device(0);
	struct made m;

	plist_dict_set_item(d.values, "DeviceName", plist_new_array());
	plist_dict_set_item(d.values, "ProductType", plist_new_uint(7));
	plist_dict_set_item(d.values, "PhoneNumber", plist_new_dict());
	plist_free(d.settings);
	d.settings = plist_new_string("settings");
	CHECK_INT(make(&m, &d), 0);
	CHECK(!plistx_get(m.root, "Device Name"));
	CHECK(!plistx_get(m.root, "Product Type"));
	CHECK(!plistx_get(m.root, "Product Name"));
	CHECK(!plistx_get(m.root, "Phone Number"));
	CHECK_TEXT(plistx_text(m.root, "Product Version"), "16.1");
	CHECK_INT(plist_get_node_type(plistx_get(m.root, "iTunes Settings")),
		  PLIST_DICT);
	release(&m, &d);
}

CASE(values_that_are_no_dictionary_leave_the_identity)
{
	struct device d = { .values = plist_new_array() };
	struct made m;

	CHECK_INT(make(&m, &d), 0);
	CHECK_TEXT(plistx_text(m.root, "Target Identifier"), UDID);
	release(&m, &d);
}

CASE(values_that_are_refused_leave_the_identity)
{
	struct device d = { .values = NULL };
	struct made m;

	CHECK_INT(make(&m, &d), 0);
	CHECK_TEXT(plistx_text(m.root, "Target Identifier"), UDID);
	CHECK(strstr(m.first_note, "values") != NULL);
	release(&m, &d);
}

CASE(text_that_xml_cannot_hold_is_replaced)
{
	struct device d = made_device(0);
	struct made m;

	plist_dict_set_item(d.values, "DeviceName",
			    plist_new_string("a\x01\x1b[2J\xffz\xef\xbf\xbf"));
	plist_dict_set_item(d.settings, "key\x02", plist_new_string("v\x03"));
	CHECK_INT(make(&m, &d), 0);
	CHECK_TEXT(plistx_text(m.root, "Device Name"), "a??[2J?z???");
	CHECK_TEXT(plistx_text(plistx_get(m.root, "iTunes Settings"), "key?"),
		   "v?");
	release(&m, &d);
}

static plist_t nested(int depth)
{
	plist_t inner = plist_new_string("inmost");

	while (depth--) {
		plist_t outer = plist_new_dict();

		plist_dict_set_item(outer, "x", inner);
		inner = outer;
	}
	return inner;
}

CASE(settings_are_copied_without_what_xml_lacks_and_not_endlessly)
{
	struct device d = made_device(0);
	plist_t list = plist_new_array(), settings;
	struct made m;
	bool on = false;

	plist_array_append_item(list, plist_new_uid(5));
	plist_array_append_item(list, plist_new_real(1.5));
	plist_dict_set_item(d.settings, "list", list);
	plist_dict_set_item(d.settings, "on", plist_new_bool(1));
	plist_dict_set_item(d.settings, "uid", plist_new_uid(5));
	plist_dict_set_item(d.settings, "deep", nested(200));
	plist_dict_set_item(d.settings, "large", make_data(2u << 20));
	CHECK_INT(make(&m, &d), 0);
	settings = plistx_get(m.root, "iTunes Settings");
	CHECK(plistx_bool(settings, "on", &on) && on);
	CHECK(!plistx_get(settings, "uid"));
	CHECK(!plistx_get(settings, "large"));
	CHECK_INT(plist_array_get_size(plistx_get(settings, "list")), 1);
	release(&m, &d);
}

int main(void)
{
	RUN(a_device_with_apps_is_described_in_full);
	RUN(the_guid_is_32_upper_case_digits_and_another_each_time);
	RUN(every_icon_belongs_to_its_app);
	RUN(icons_are_asked_for_ahead_but_not_without_bound);
	RUN(an_icon_that_is_refused_is_left_out_alone);
	RUN(icons_that_end_half_way_cost_the_rest_of_them);
	RUN(services_that_are_not_there_cost_only_their_part);
	RUN(a_refused_list_of_apps_is_noted_without_its_escapes);
	RUN(a_device_that_has_gone_ends_it);
	RUN(too_many_apps_are_cut_off_with_a_note);
	RUN(large_icons_stop_at_the_limit);
	RUN(values_of_another_type_are_not_taken_over);
	RUN(values_that_are_no_dictionary_leave_the_identity);
	RUN(values_that_are_refused_leave_the_identity);
	RUN(text_that_xml_cannot_hold_is_replaced);
	RUN(settings_are_copied_without_what_xml_lacks_and_not_endlessly);
	return tap_end();
}
