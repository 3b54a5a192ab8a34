/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "restore_plan.h"

#include <errno.h>
#include <unistd.h>

#include "fixture.h"
#include "source_inside.h"
#include "tap.h"

/* A source that says what a case wants; no file is looked at. */
static struct source source;
static struct restore_plan plan;

static void new_plan(void)
{
	memset(&source, 0, sizeof(source));
	source.path = (char *)"/a/tree";
	source.totals = (struct source_totals){ .entries = 3,
						.files = 2,
						.bytes = 1000 };
	memset(&plan, 0, sizeof(plan));
	plan.source = &source;
	plan.free_bytes = plan.capacity_bytes = plan.find_my = -1;
}

static bool judged(bool force, const char *want)
{
	plan_judge(&plan, force);
	if (!want)
		return plan.problem_count == 0;
	return plan.problem_count == 1 && strstr(plan.problems[0].text, want);
}

/* ---- problems ---- */

CASE(what_is_not_known_is_no_problem)
{
	new_plan();
	CHECK(judged(false, NULL));
	CHECK(!plan.damaged);
	new_plan();
	source.about.product_version = "17.5";
	CHECK(judged(false, NULL));
	new_plan();
	plan.version = (char *)"17.5";
	CHECK(judged(false, NULL));
}

CASE(nothing_to_restore)
{
	new_plan();
	source.totals.entries = 0;
	CHECK(judged(false, "nothing to restore"));
}

CASE(a_backup_of_a_newer_system)
{
	static const struct {
		const char *backup, *device;
		bool newer;
	} all[] = {
		{ "17.5.1", "17.5.1", false }, { "17.5.1", "17.5", true },
		{ "17.5", "17.5.1", false },   { "16.10", "16.9", true },
		{ "16.9", "16.10", false },    { "9.3.5", "10.0", false },
		{ "10.0", "9.3.5", true },     { "16.1", "16.0.3", true },
		{ "16.0.3", "16.1", false },   { "18.0", "17.7.2", true },
		{ "16.0", "16.0.1", false },   { "16.0.10", "16.0.9", true },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		new_plan();
		source.about.product_version = all[i].backup;
		plan.version = (char *)all[i].device;
		CHECK_AT(judged(false,
				all[i].newer ? "update the device" : NULL),
			 "%s on %s", all[i].backup, all[i].device);
		if (!all[i].newer)
			continue;
		CHECK(strstr(plan.problems[0].text, all[i].backup));
		CHECK(strstr(plan.problems[0].text, all[i].device));
	}
}

CASE(find_my_only_if_it_is_on)
{
	new_plan();
	plan.find_my = 1;
	CHECK(judged(false, "Find My"));
	new_plan();
	plan.find_my = 0;
	CHECK(judged(false, NULL));
}

/* what is free counts little: a restore replaces what is there */
CASE(more_than_a_device_can_hold)
{
	new_plan();
	plan.capacity_bytes = 999;
	CHECK(judged(false, "do not fit"));
	new_plan();
	plan.capacity_bytes = 1000;
	plan.free_bytes = 0;
	CHECK(judged(false, NULL));
	new_plan();
	plan.capacity_bytes = 0;
	CHECK(judged(false, "do not fit"));
}

CASE(damage_is_a_problem_unless_it_is_forced)
{
	new_plan();
	source.totals.damaged = 7;
	CHECK(judged(false, "7 of the backup's files are damaged"));
	CHECK(strstr(plan.problems[0].text, "--force-damaged"));
	CHECK(plan.damaged);
	new_plan();
	source.totals.damaged = 7;
	CHECK(judged(true, NULL));
	CHECK(!plan.damaged);
}

CASE(all_problems_are_found_and_damage_is_the_last)
{
	new_plan();
	source.totals.entries = 0;
	source.totals.damaged = 1;
	source.about.product_version = "99\nbeep\a";
	plan.version = (char *)"1";
	plan.find_my = 1;
	plan.capacity_bytes = 1;
	plan_judge(&plan, false);
	CHECK_INT(plan.problem_count, 5);
	CHECK(strstr(plan.problems[4].text, "damaged"));
	/* it can go to a terminal, whoever wrote the backup */
	CHECK(!strpbrk(plan.problems[1].text, "\n\a"));
}

/* ---- what is sent ---- */

static int flag(plist_t dict, const char *key)
{
	plist_t node = plist_dict_get_item(dict, key);
	uint8_t on = 0;

	if (!node || plist_get_node_type(node) != PLIST_BOOLEAN)
		return -1;
	plist_get_bool_val(node, &on);
	return on;
}

CASE(the_options_are_those_of_the_manual)
{
	for (unsigned bits = 0; bits < 8; bits++) {
		struct restore_options o = { .reboot = bits & 1,
					     .preserve_settings = bits & 2,
					     .remove_others = bits & 4 };
		plist_t dict = plan_make_options(&o, NULL);

		CHECK_INT(plist_dict_get_size(dict), 5);
		CHECK_INT(flag(dict, "RestoreSystemFiles"), 1);
		CHECK_INT(flag(dict, "RestoreShouldReboot"), o.reboot);
		CHECK_INT(flag(dict, "RestorePreserveSettings"),
			  o.preserve_settings);
		CHECK_INT(flag(dict, "RemoveItemsNotRestored"),
			  o.remove_others);
		CHECK_INT(flag(dict, "RestoreDontCopyBackup"), 1);
		plist_free(dict);
	}
}

CASE(a_password_is_among_them)
{
	struct restore_options o = { 0 };
	plist_t dict = plan_make_options(&o, "correct h\xc3\xb6rse");
	char *text = NULL;

	CHECK_INT(plist_dict_get_size(dict), 6);
	plist_get_string_val(plist_dict_get_item(dict, "Password"), &text);
	CHECK_TEXT(text, "correct h\xc3\xb6rse");
	free(text);
	plist_free(dict);
}

/* ---- what is shown ---- */

static void full_plan(void)
{
	static struct mb_slice domains[] = { { "HomeDomain", 10 },
					     { "App\033[2J", 7 } };

	new_plan();
	source.domains = domains;
	source.domain_count = 2;
	source.totals.changed = 4;
	source.totals.added = 5;
	source.totals.removed = 6;
	source.about = (struct mb_backup_info){
		.source = "/the/backup",
		.udid = "S-UDID",
		.device_name = "Bob\033[31m",
		.product_version = "17.5",
		.date = 1700000000,
		.encrypted = true,
	};
	plan.partial = true;
	plan.staged = true;
	plan.options.reboot = true;
	plan.apps = 9;
	plan.udid = "T-UDID";
	plan.about = (char *)"Ann (iPhone14,5, iOS 17.6)";
	plan.name = (char *)"Ann";
	plan.version = (char *)"17.6";
	plan.free_bytes = 5000000000;
	plan.capacity_bytes = 64000000000;
	plan.find_my = 1;
	plan_judge(&plan, false);
}

static void check_json(json_object *o, const char *key, const char *want)
{
	json_object *value = NULL;
	const char *text = "(absent)";

	if (json_object_object_get_ex(o, key, &value))
		text = value ? json_object_to_json_string_ext(
				       value, JSON_C_TO_STRING_PLAIN) :
			       "null";
	CHECK_AT(!strcmp(text, want), "%s: %s", key, text);
}

CASE(the_event_says_everything)
{
	static const struct {
		const char *key, *value;
	} want[] = {
		{ "event", "\"plan\"" },
		{ "from", "\"\\/a\\/tree\"" },
		{ "source", "\"\\/the\\/backup\"" },
		{ "source_udid", "\"S-UDID\"" },
		{ "source_version", "\"17.5\"" },
		{ "source_date", "\"2023-11-14T22:13:20Z\"" },
		{ "encrypted", "true" },
		{ "partial", "true" },
		{ "staged", "true" },
		{ "domains", "[\"App\\u001b[2J\",\"HomeDomain\"]" },
		{ "entries", "3" },
		{ "files", "2" },
		{ "bytes", "1000" },
		{ "changed", "4" },
		{ "added", "5" },
		{ "removed", "6" },
		{ "udid", "\"T-UDID\"" },
		{ "name", "\"Ann\"" },
		{ "version", "\"17.6\"" },
		{ "free_bytes", "5000000000" },
		{ "capacity_bytes", "64000000000" },
		{ "find_my", "true" },
		{ "apps", "9" },
	};
	json_object *o, *list = NULL;

	full_plan();
	o = plan_event(&plan);
	for (size_t i = 0; i < COUNT(want); i++)
		check_json(o, want[i].key, want[i].value);
	CHECK(json_object_object_get_ex(o, "options", &list));
	check_json(list, "RestoreShouldReboot", "true");
	check_json(list, "RestorePreserveSettings", "false");
	check_json(list, "RemoveItemsNotRestored", "false");
	CHECK_INT(json_object_object_length(list), 5);
	CHECK(json_object_object_get_ex(o, "problems", &list));
	CHECK_INT(json_object_array_length(list), 1);
	json_object_put(o);
}

CASE(what_is_not_known_is_null_in_the_event)
{
	static const char *const keys[] = {
		"source",	  "source_udid", "source_name",
		"source_version", "source_date", "udid",
		"name",		  "version",	 "free_bytes",
		"capacity_bytes", "find_my",
	};
	json_object *o;

	new_plan();
	o = plan_event(&plan);
	for (size_t i = 0; i < COUNT(keys); i++)
		check_json(o, keys[i], "null");
	check_json(o, "problems", "[]");
	check_json(o, "domains", "[]");
	json_object_put(o);
}

/* what plan_print writes; freed by the caller */
static char *printed(void)
{
	const char *dir = temp_dir();
	int saved = dup(STDOUT_FILENO);
	struct bytes b;

	fflush(stdout);
	if (!freopen(in(dir, "out"), "w", stdout))
		abort();
	plan_print(&plan);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	b = read_file(in(dir, "out"));
	add_be(&b, 0, 1);
	return (char *)b.ptr;
}

CASE(a_person_sees_the_same)
{
	static const char *const want[] = {
		"Bob",
		"iOS 17.5",
		"encrypted",
		"/the/backup",
		"2 domains, 2 files",
		"HomeDomain",
		"4 entries changed, 5 added, 6 removed",
		"Ann (iPhone14,5, iOS 17.6), T-UDID",
		"5.0 GB free of 64.0 GB",
		"stay as they are",
		"9, to be installed",
		"at the end",
		"staged",
		"Find My is on",
	};
	char *text;

	full_plan();
	text = printed();
	for (size_t i = 0; i < COUNT(want); i++)
		CHECK_AT(strstr(text, want[i]), "%s", want[i]);
	CHECK(!strchr(text, '\033'));
	free(text);
}

CASE(of_very_many_domains_some_are_named)
{
	struct mb_slice domains[30];
	char *text, *line;
	int lines = 0;

	new_plan();
	for (size_t i = 0; i < COUNT(domains); i++)
		domains[i] = mb_slice_of("HomeDomain");
	source.domains = domains;
	source.domain_count = COUNT(domains);
	text = printed();
	CHECK(!strstr(text, "HomeDomain")); /* all of it: hundreds */
	free(text);
	plan.partial = true;
	text = printed();
	for (line = text; (line = strstr(line, "HomeDomain")); line++)
		lines++;
	CHECK_INT(lines, 20);
	CHECK(strstr(text, "... and 10 more domains"));
	free(text);
}

CASE(without_a_device_the_plan_says_so)
{
	char *text;

	new_plan();
	text = printed();
	CHECK(strstr(text, "no device is attached"));
	CHECK(!strstr(text, "Find My"));
	free(text);
}

int main(void)
{
	RUN(what_is_not_known_is_no_problem);
	RUN(nothing_to_restore);
	RUN(a_backup_of_a_newer_system);
	RUN(find_my_only_if_it_is_on);
	RUN(more_than_a_device_can_hold);
	RUN(damage_is_a_problem_unless_it_is_forced);
	RUN(all_problems_are_found_and_damage_is_the_last);
	RUN(the_options_are_those_of_the_manual);
	RUN(a_password_is_among_them);
	RUN(the_event_says_everything);
	RUN(what_is_not_known_is_null_in_the_event);
	RUN(a_person_sees_the_same);
	RUN(of_very_many_domains_some_are_named);
	RUN(without_a_device_the_plan_says_so);
	return tap_end();
}
