/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notices.h"

#include <errno.h>
#include <string.h>

#include "plistx.h"
#include "stream.h"
#include "watch.h"

#define NOTICES_SERVICE "com.apple.mobile.notification_proxy"
/* How long the service may take to say goodbye. */
#define GOODBYE_MS 250
#define GOODBYE_STEP_MS 10

struct notices {
	struct link now; /* the same link, which does not wait */
	struct link *link;
	struct stream stream; /* over now */
	struct link *attached;
	bool ended;
	void (*on_notice)(void *arg, const char *name);
	void *arg;
};

static ssize_t recv_now(struct link *now, void *out, size_t len)
{
	struct notices *n = (struct notices *)now;

	return device_recv_now(n->link, out, len);
}

static int send_on(struct link *now, const void *ptr, size_t len)
{
	struct notices *n = (struct notices *)now;

	return n->link->send(n->link, ptr, len);
}

int notices_open(struct notices **out, struct device *device,
		 void (*on_notice)(void *arg, const char *name), void *arg,
		 struct mb_err *err)
{
	mb_auto(notices_free) struct notices *n = calloc(1, sizeof(*n));
	int rc;

	if (!n || stream_init(&n->stream, &n->now) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	n->now = (struct link){ .recv = recv_now, .send = send_on };
	n->on_notice = on_notice;
	n->arg = arg;
	rc = device_connect(device, NOTICES_SERVICE, false, &n->link, err);
	if (rc < 0)
		return rc;
	*out = mb_steal(&n);
	return 0;
}

/* --- to the device ------------------------------------------------------- */

static int send_command(struct notices *n, const char *command,
			const char *name, struct mb_err *err)
{
	mb_auto(plistx_free) plist_t request = plist_new_dict();
	int rc;

	plist_dict_set_item(request, "Command", plist_new_string(command));
	if (name)
		plist_dict_set_item(request, "Name", plist_new_string(name));
	rc = stream_send(&n->stream, request, STREAM_XML, err);
	n->ended |= rc < 0;
	return rc;
}

int notices_observe(struct notices *n, const char *name, struct mb_err *err)
{
	return send_command(n, "ObserveNotification", name, err);
}

int notices_post(struct notices *n, const char *name, struct mb_err *err)
{
	return send_command(n, "PostNotification", name, err);
}

/* --- and from it --------------------------------------------------------- */

static void take(struct notices *n, plist_t message)
{
	const char *command = plistx_text(message, "Command");
	const char *name = plistx_text(message, "Name");

	if (!command)
		return;
	if (!strcmp(command, "ProxyDeath"))
		n->ended = true;
	else if (!strcmp(command, "RelayNotification") && name && n->on_notice)
		n->on_notice(n->arg, name);
}

/* What is there; more may come unless it has ended. */
static void take_all(struct notices *n)
{
	while (!n->ended) {
		mb_auto(plistx_free) plist_t message = NULL;
		int rc = stream_recv(&n->stream, &message, NULL);

		if (rc == -EAGAIN)
			return;
		if (rc < 0)
			n->ended = true;
		else
			take(n, message);
	}
}

static void on_readable(void *arg)
{
	struct notices *n = arg;

	take_all(n);
	/* a link at its end stays readable */
	if (n->ended)
		device_observe(n->attached, NULL, NULL, NULL);
}

void notices_attach(struct notices *n, struct link *link)
{
	if (n->ended)
		return;
	n->attached = link;
	device_observe(link, n->link, on_readable, n);
}

/* The service answers a farewell, and may be killed if nobody listens. */
static void say_goodbye(struct notices *n)
{
	n->on_notice = NULL;
	if (send_command(n, "Shutdown", NULL, NULL) < 0)
		return;
	for (int ms = 0; ms < GOODBYE_MS; ms += GOODBYE_STEP_MS) {
		take_all(n);
		if (n->ended || watch_pause(GOODBYE_STEP_MS) < 0)
			return;
	}
}

void notices_free(struct notices *n)
{
	if (!n)
		return;
	if (n->link && !n->ended)
		say_goodbye(n);
	link_free(n->link);
	stream_release(&n->stream);
	free(n);
}
