/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "choose_device.h"
#include "device_job.h"
#include "tool.h"

static const char *const usage[] = {
	N_("usage: larder pair [--udid UDID] [--network] [--remove] [--timeout S]\n"),
	N_("\n"
	   "Makes this computer and a device trust each other, which everything else\n"
	   "needs. The user unlocks the device, taps \"Trust\" on it and enters its\n"
	   "passcode; that is waited for.\n"),
	N_("\n"
	   "  --udid UDID        which device, if several are attached\n"
	   "  --network          on the network instead of USB\n"
	   "  --remove           end the trust instead, on both sides\n"
	   "  --timeout S        give up after S seconds (default 60)\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

enum { OPT_REMOVE = DEVICE_END };

static void report(struct device *device, const struct common *c, bool remove)
{
	const char *event = remove ? N_("unpaired") : N_("paired");
	char about[512];

	if (c->json) {
		mb_auto(free) char *name =
			device_get_text(device, NULL, "DeviceName");
		json_object *o = json_event(event);

		json_add_text(o, "udid", device_get_udid(device));
		json_add_text(o, "name", name);
		json_print(o);
	} else {
		describe_device(about, sizeof(about), device);
		printf("%s: %s %s\n", _(event), device_get_udid(device), about);
	}
}

static int pair(const struct device_wish *wish, bool remove,
		const struct common *c, struct mb_err *err)
{
	mb_auto(device_free) struct device *device = NULL;
	int rc = choose_device(&device, wish->udid, wish->network, err);

	if (rc < 0)
		return rc;
	if (!remove)
		rc = wait_for_pairing(device, wish->timeout_ms, c, err);
	else if (device_is_paired(device))
		rc = wait_for_unpairing(device, wish->timeout_ms, c, err);
	if (rc == 0)
		report(device, c, remove);
	return rc;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "remove", no_argument, NULL,
						   OPT_REMOVE },
						 DEVICE_OPTIONS,
						 COMMON_OPTIONS,
						 { 0 } };
	struct device_wish wish = { .timeout_ms = 60 * 1000 };
	struct common c = { 0 };
	bool remove = false;
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		rc = device_option(&wish, &cmd_pair, option, optarg);
		if (rc < 0)
			return EXIT_USAGE;
		if (option == OPT_REMOVE)
			remove = true;
		else if (!rc && !common_option(&c, &cmd_pair, option, optarg))
			return usage_error(&cmd_pair, NULL);
	}
	if (argc != optind)
		return usage_error(&cmd_pair, "pair takes options only");
	rc = pair(&wish, remove, &c, &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_pair = {
	.name = "pair",
	.summary = N_("make this computer and a device trust each other"),
	.usage = usage,
	.run = run,
};
