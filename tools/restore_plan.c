/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "restore_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choose_device.h"
#include "plistx.h"

/* So many domains are named; of a whole backup none, they are hundreds. */
#define DOMAINS_SHOWN 20

/* --- the device ---------------------------------------------------------- */

static int get_find_my(struct device *device)
{
	mb_auto(plistx_free) plist_t node =
		device_get(device, "com.apple.fmip", "IsAssociated");
	uint8_t on = 0;

	if (!node || plist_get_node_type(node) != PLIST_BOOLEAN)
		return -1;
	plist_get_bool_val(node, &on);
	return on;
}

void plan_ask_device(struct restore_plan *plan, struct device *device)
{
	mb_auto(plistx_free) plist_t disk =
		device_get(device, "com.apple.disk_usage", NULL);
	char about[512];

	plan->udid = device_get_udid(device);
	describe_device(about, sizeof(about), device);
	plan->about = strdup(about);
	plan->name = device_get_text(device, NULL, "DeviceName");
	plan->version = device_get_text(device, NULL, "ProductVersion");
	plan->find_my = get_find_my(device);
	plan->capacity_bytes = plistx_get_number(disk, "TotalDataCapacity");
	plan->free_bytes = plistx_get_number(disk, "AmountDataAvailable");
	if (plan->free_bytes < 0)
		plan->free_bytes =
			plistx_get_number(disk, "TotalDataAvailable");
}

void plan_release(struct restore_plan *plan)
{
	free(plan->about);
	free(plan->name);
	free(plan->version);
	plan->about = plan->name = plan->version = NULL;
}

/* --- problems ------------------------------------------------------------ */

static void problem(struct restore_plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void problem(struct restore_plan *plan, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (plan->problem_count == PLAN_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&plan->problems[plan->problem_count++], 0, "%s", text);
}

/* "16.1" against "16.0.3": as strverscmp(3) has it for such numbers. */
static bool is_newer(const char *version, const char *than)
{
	return strverscmp(version, than) > 0;
}

void plan_judge(struct restore_plan *plan, bool force_damaged)
{
	const struct mb_backup_info *info = source_get_about(plan->source);
	const struct source_totals *t = source_get_totals(plan->source);
	char need[32], have[32];

	if (!t->entries)
		problem(plan, "there is nothing to restore");
	if (info->product_version && plan->version &&
	    is_newer(info->product_version, plan->version))
		problem(plan,
			"the backup is of iOS %s, and the device has %s: update the device first",
			info->product_version, plan->version);
	if (plan->find_my == 1)
		problem(plan,
			"Find My is on: turn it off in the settings of the device, under the name at the top");
	format_bytes(need, sizeof(need), t->bytes);
	if (plan->capacity_bytes >= 0 &&
	    t->bytes > (uint64_t)plan->capacity_bytes) {
		format_bytes(have, sizeof(have),
			     (uint64_t)plan->capacity_bytes);
		problem(plan, "%s do not fit: the device has room for %s", need,
			have);
	}
	if (t->damaged && !force_damaged) {
		plan->damaged = true;
		problem(plan,
			"%" PRIu64
			" of the backup's files are damaged: --force-damaged restores in spite of it",
			t->damaged);
	}
}

/* --- for people ---------------------------------------------------------- */

static void line(const char *label, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void line(const char *label, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	print_padded(*label ? _(label) : "", 12);
	print_name(text, strlen(text));
	putchar('\n');
}

static void print_source(const struct restore_plan *plan)
{
	const struct mb_backup_info *info = source_get_about(plan->source);
	char when[64] = "";

	if (info->date)
		format_time(when, sizeof(when), info->date);
	if (info->device_name || info->product_version || info->date)
		line(N_("backup"), "%s%s%s%s%s%s",
		     info->device_name ? info->device_name : _("a device"),
		     info->product_version ? _(", iOS ") : "",
		     info->product_version ? info->product_version : "",
		     info->date ? ", " : "", when,
		     info->encrypted ? _(", encrypted") : "");
	if (info->source)
		line(N_("from"), "%s", info->source);
}

static void print_domains(const struct restore_plan *plan)
{
	struct mb_slice *domains;
	size_t count = source_get_domains(plan->source, &domains);

	for (size_t i = 0; plan->partial && i < count; i++) {
		if (i == DOMAINS_SHOWN) {
			line("", "... and %zu more domains", count - i);
			break;
		}
		line("", "%.*s", (int)domains[i].len, domains[i].ptr);
	}
}

static void print_content(const struct restore_plan *plan)
{
	const struct source_totals *t = source_get_totals(plan->source);
	struct mb_slice *domains;
	size_t count = source_get_domains(plan->source, &domains);
	char bytes[32];

	format_bytes(bytes, sizeof(bytes), t->bytes);
	line(N_("content"), "%zu domains, %" PRIu64 " files, %s", count,
	     t->files, bytes);
	print_domains(plan);
	if (t->changed || t->added || t->removed)
		line(N_("edited"),
		     "%" PRIu64 " entries changed, %" PRIu64 " added, %" PRIu64
		     " removed",
		     t->changed, t->added, t->removed);
}

static void print_device(const struct restore_plan *plan)
{
	char free_bytes[32], capacity[32];

	if (!plan->udid) {
		line(N_("to"), "no device is attached");
		return;
	}
	line(N_("to"), "%s, %s", plan->about, plan->udid);
	if (plan->free_bytes >= 0 && plan->capacity_bytes >= 0) {
		format_bytes(free_bytes, sizeof(free_bytes),
			     (uint64_t)plan->free_bytes);
		format_bytes(capacity, sizeof(capacity),
			     (uint64_t)plan->capacity_bytes);
		line("", "%s free of %s", free_bytes, capacity);
	}
	if (plan->free_bytes >= 0 &&
	    source_get_totals(plan->source)->bytes > (uint64_t)plan->free_bytes)
		line("", "which may not be enough");
	if (plan->find_my >= 0)
		line(N_("Find My"), plan->find_my ? _("on") : _("off"));
}

void plan_print(struct restore_plan *plan)
{
	const struct restore_options *o = &plan->options;

	print_source(plan);
	print_content(plan);
	print_device(plan);
	line(N_("other data"), o->remove_others ?
				       _("on the device are removed") :
				       _("on the device stay as they are"));
	line(N_("settings"), o->preserve_settings ?
				     _("of the device stay") :
				     _("are those of the backup"));
	if (plan->apps)
		line(N_("apps"), "%zu, to be installed by the device",
		     plan->apps);
	line(N_("restart"), o->reboot ? _("at the end") : _("none"));
	if (plan->staged)
		line(N_("staged"), "as a backup of its own first");
	for (size_t i = 0; i < plan->problem_count; i++)
		line(N_("problem"), "%s", plan->problems[i].text);
}

/* --- for programs -------------------------------------------------------- */

static void add_known(json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key,
			       value < 0 ? NULL : json_object_new_int64(value));
}

static json_object *list_domains(const struct restore_plan *plan)
{
	json_object *list = json_object_new_array();
	struct mb_slice *domains;
	size_t count = source_get_domains(plan->source, &domains);

	for (size_t i = 0; i < count; i++)
		json_object_array_add(
			list, json_text(domains[i].ptr, domains[i].len));
	return list;
}

static json_object *list_problems(const struct restore_plan *plan)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < plan->problem_count; i++)
		json_object_array_add(
			list, json_object_new_string(plan->problems[i].text));
	return list;
}

static json_object *list_options(const struct restore_options *options)
{
	json_object *o = json_object_new_object();

	json_add_bool(o, "RestoreSystemFiles", true);
	json_add_bool(o, "RestoreShouldReboot", options->reboot);
	json_add_bool(o, "RestorePreserveSettings", options->preserve_settings);
	json_add_bool(o, "RemoveItemsNotRestored", options->remove_others);
	json_add_bool(o, "RestoreDontCopyBackup", true);
	return o;
}

json_object *plan_event(struct restore_plan *plan)
{
	const struct mb_backup_info *info = source_get_about(plan->source);
	const struct source_totals *t = source_get_totals(plan->source);
	json_object *o = json_event("plan");

	json_add_text(o, "from", source_get_path(plan->source));
	json_add_text(o, "source", info->source);
	json_add_text(o, "source_udid", info->udid);
	json_add_text(o, "source_name", info->device_name);
	json_add_text(o, "source_version", info->product_version);
	json_add_time(o, "source_date", info->date);
	json_add_bool(o, "encrypted", info->encrypted);
	json_add_bool(o, "partial", plan->partial);
	json_add_bool(o, "staged", plan->staged);
	json_object_object_add(o, "domains", list_domains(plan));
	json_add_count(o, "entries", t->entries);
	json_add_count(o, "files", t->files);
	json_add_count(o, "bytes", t->bytes);
	json_add_count(o, "changed", t->changed);
	json_add_count(o, "added", t->added);
	json_add_count(o, "removed", t->removed);
	json_add_text(o, "udid", plan->udid);
	json_add_text(o, "name", plan->name);
	json_add_text(o, "version", plan->version);
	add_known(o, "free_bytes", plan->free_bytes);
	add_known(o, "capacity_bytes", plan->capacity_bytes);
	json_object_object_add(o, "find_my",
			       plan->find_my < 0 ?
				       NULL :
				       json_object_new_boolean(plan->find_my));
	json_object_object_add(o, "options", list_options(&plan->options));
	json_add_count(o, "apps", plan->apps);
	json_object_object_add(o, "problems", list_problems(plan));
	return o;
}

/* --- for the device ------------------------------------------------------ */

plist_t plan_make_options(const struct restore_options *options,
			  const char *password)
{
	plist_t dict = plist_new_dict();

	plist_dict_set_item(dict, "RestoreSystemFiles", plist_new_bool(1));
	plist_dict_set_item(dict, "RestoreShouldReboot",
			    plist_new_bool(options->reboot));
	plist_dict_set_item(dict, "RestorePreserveSettings",
			    plist_new_bool(options->preserve_settings));
	plist_dict_set_item(dict, "RemoveItemsNotRestored",
			    plist_new_bool(options->remove_others));
	/* it would be a copy of what is only served here */
	plist_dict_set_item(dict, "RestoreDontCopyBackup", plist_new_bool(1));
	if (password)
		plist_dict_set_item(dict, "Password",
				    plist_new_string(password));
	return dict;
}
