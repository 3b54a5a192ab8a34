/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apps.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "plistx.h"
#include "stream.h"

int apps_init(struct apps *apps)
{
	*apps = (struct apps){ .identifiers = plist_new_array(),
			       .entries = plist_new_dict() };
	return apps->identifiers && apps->entries ? 0 : -ENOMEM;
}

void apps_release(struct apps *apps)
{
	plist_free(apps->identifiers);
	plist_free(apps->entries);
	*apps = (struct apps){ 0 };
}

/* An identifier is a reverse domain name: iphone-backup(5), DOMAINS. */
static bool is_identifier(const char *text)
{
	size_t len = strlen(text);

	if (!len || len > 255)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	return utf8_valid_prefix(text, len) == len;
}

/* True if @len more bytes are within the limits; they then count. */
static bool spend(struct apps *apps, size_t len)
{
	if (len > APPS_BYTES_MAX - apps->bytes)
		return false;
	apps->bytes += len;
	return true;
}

static void set_data(plist_t dict, const char *key, struct view data)
{
	plist_dict_set_item(dict, key,
			    plist_new_data((const char *)data.ptr, data.len));
}

/* Only apps from the store have both: others are listed by name alone. */
static void take_entry(struct apps *apps, const char *id, plist_t app)
{
	struct view sinf, metadata;
	plist_t entry;

	if (!plistx_data(app, "ApplicationSINF", &sinf) ||
	    !plistx_data(app, "iTunesMetadata", &metadata))
		return;
	if (sinf.len > APPS_ITEM_MAX || metadata.len > APPS_ITEM_MAX ||
	    !spend(apps, sinf.len + metadata.len)) {
		apps->left_out++;
		return;
	}
	entry = plist_new_dict();
	set_data(entry, "ApplicationSINF", sinf);
	set_data(entry, "iTunesMetadata", metadata);
	plist_dict_set_item(apps->entries, id, entry);
}

static void take_app(struct apps *apps, plist_t app)
{
	const char *id = plistx_text(app, "CFBundleIdentifier");

	if (!id || !is_identifier(id))
		return;
	if (plist_array_get_size(apps->identifiers) >= APPS_MAX) {
		apps->left_out++;
		return;
	}
	plist_array_append_item(apps->identifiers, plist_new_string(id));
	take_entry(apps, id, app);
}

/* By iterator: an item by its number is searched from the first one. */
static void take_list(struct apps *apps, plist_t list)
{
	mb_auto(free) plist_array_iter iter = NULL;
	plist_t app;

	if (!list || plist_get_node_type(list) != PLIST_ARRAY)
		return;
	plist_array_new_iter(list, &iter);
	if (!iter)
		return;
	for (;;) {
		plist_array_next_item(list, iter, &app);
		if (!app)
			break;
		take_app(apps, app);
	}
}

static int send_browse(struct stream *s, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t request = plist_new_dict();
	plist_t options = plist_new_dict(), attributes = plist_new_array();

	plist_array_append_item(attributes,
				plist_new_string("CFBundleIdentifier"));
	plist_array_append_item(attributes,
				plist_new_string("ApplicationSINF"));
	plist_array_append_item(attributes, plist_new_string("iTunesMetadata"));
	plist_dict_set_item(options, "ApplicationType",
			    plist_new_string("User"));
	plist_dict_set_item(options, "ReturnAttributes", attributes);
	plist_dict_set_item(request, "Command", plist_new_string("Browse"));
	plist_dict_set_item(request, "ClientOptions", options);
	return stream_send(s, request, STREAM_XML, err);
}

/* 1: more to come; 0: that was all */
static int take_reply(struct apps *apps, plist_t reply, struct mb_err *err)
{
	const char *status = plistx_text(reply, "Status");
	const char *error = plistx_text(reply, "Error");

	if (error)
		return mb_err_set(err, -EPROTO, "list of apps refused: %s",
				  error);
	if (status && !strcmp(status, "Complete"))
		return 0;
	if (!status || strcmp(status, "BrowsingApplications"))
		return mb_err_set(err, -EPROTO, "list of apps: answer unknown");
	take_list(apps, plistx_get(reply, "CurrentList"));
	return 1;
}

int apps_browse(struct apps *apps, struct link *link, struct mb_err *err)
{
	mb_auto(stream_release) struct stream s = { 0 };
	int rc = stream_init(&s, link);

	if (rc == 0)
		rc = send_browse(&s, err);
	/* each reply is for one app or more */
	for (int n = 0; rc == 0 && n <= APPS_MAX; n++) {
		mb_auto(plistx_free) plist_t reply = NULL;

		rc = stream_recv(&s, &reply, err);
		if (rc == 0)
			rc = take_reply(apps, reply, err);
		if (rc <= 0)
			return rc;
		rc = 0;
	}
	return rc < 0 ? rc : mb_err_set(err, -EPROTO, "list of apps: no end");
}

static int send_icon_request(struct stream *s, const char *id,
			     struct mb_err *err)
{
	mb_auto(plistx_free) plist_t request = plist_new_dict();

	plist_dict_set_item(request, "command",
			    plist_new_string("getIconPNGData"));
	plist_dict_set_item(request, "bundleId", plist_new_string(id));
	return stream_send(s, request, STREAM_BINARY, err);
}

static void take_icon(struct apps *apps, plist_t entry, plist_t reply)
{
	struct view png;

	if (!plistx_data(reply, "pngData", &png) || !png.len)
		return;
	if (png.len <= APPS_ITEM_MAX && spend(apps, png.len))
		set_data(entry, "PlaceholderIcon", png);
	else
		apps->icons_left_out++;
}

/*
 * The service answers in order, so requests can be on their way while an icon
 * comes: a round trip each would be seconds for a full phone. Few enough that
 * they always fit into the socket: else both sides could wait to send.
 */
#define REQUESTS_AHEAD 16

struct icon_walk {
	plist_t entries;
	plist_dict_iter ask, take;
	uint32_t count, asked, taken;
};

static int ask_ahead(struct icon_walk *w, struct stream *s, struct mb_err *err)
{
	int rc = 0;

	while (rc == 0 && w->asked < w->count &&
	       w->asked - w->taken < REQUESTS_AHEAD) {
		mb_auto(free) char *id = NULL;

		plist_dict_next_item(w->entries, w->ask, &id, NULL);
		if (!id)
			return -ENOMEM;
		rc = send_icon_request(s, id, err);
		w->asked++;
	}
	return rc;
}

static int walk_icons(struct icon_walk *w, struct apps *apps, struct stream *s,
		      struct mb_err *err)
{
	while (w->taken < w->count) {
		mb_auto(plistx_free) plist_t reply = NULL;
		plist_t entry = NULL;
		int rc = ask_ahead(w, s, err);

		if (rc == 0)
			rc = stream_recv(s, &reply, err);
		if (rc < 0)
			return rc;
		plist_dict_next_item(w->entries, w->take, NULL, &entry);
		take_icon(apps, entry, reply);
		w->taken++;
	}
	return 0;
}

int apps_add_icons(struct apps *apps, struct link *link, struct mb_err *err)
{
	mb_auto(stream_release) struct stream s = { 0 };
	mb_auto(free) plist_dict_iter ask = NULL;
	mb_auto(free) plist_dict_iter take = NULL;
	struct icon_walk w = { .entries = apps->entries };
	int rc = stream_init(&s, link);

	if (rc < 0)
		return rc;
	plist_dict_new_iter(apps->entries, &ask);
	plist_dict_new_iter(apps->entries, &take);
	w.ask = ask;
	w.take = take;
	w.count = plist_dict_get_size(apps->entries);
	return ask && take ? walk_icons(&w, apps, &s, err) : -ENOMEM;
}
