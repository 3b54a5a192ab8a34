/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "colour.h"

static const char *const usage[] = {
	N_("usage: larder doctor [--json] [DIR]\n"),
	N_("\n"
	   "Looks at what backups need and says for each thing that is wrong how to\n"
	   "mend it: usbmuxd, devices, pairing; the folder for backups DIR (default:\n"
	   "the working folder), its space and what its file system can do; what\n"
	   "mounting needs.\n"),
	N_("\n"
	   "Ends with 0 if nothing failed, 4 if only devices did, else 1.\n"),
	N_("\n"
	   "  --json             output for machines\n"),
	NULL,
};

/* --- results ----------------------------------------------------------- */

static const char *const words[] = { N_("ok"), N_("note"), N_("FAILED"),
				     N_("FAILED") };
static const enum colour colours[] = { COLOUR_GOOD, COLOUR_NOTE, COLOUR_BAD,
				       COLOUR_BAD };
static const char *const json_words[] = { "ok", "note", "failed", "failed" };

static void print_json(const char *check, enum verdict verdict,
		       const char *finding, const char *mend)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "check", check);
	json_add_text(o, "status", json_words[verdict]);
	json_add_text(o, "finding", finding);
	json_add_text(o, "mend", mend);
	json_print(o);
}

void doctor_found(struct doctor *d, const char *check, enum verdict verdict,
		  const char *mend, const char *fmt, ...)
{
	char text[400];
	struct mb_err finding; /* for its printable text */
	int width = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&finding, 0, "%s", text);
	for (int i = 0; i <= FAILED; i++)
		if (text_width(_(words[i])) > width)
			width = text_width(_(words[i]));
	d->device_failed |= verdict == FAILED_DEVICE;
	d->other_failed |= verdict == FAILED;
	if (d->common->json) {
		print_json(check, verdict, finding.text, mend);
	} else {
		fputs(colour(stdout, colours[verdict]), stdout);
		print_padded(_(words[verdict]), width);
		printf("%s  %s: %s\n", colour(stdout, COLOUR_END), check,
		       finding.text);
		if (mend)
			printf("%*s    -> %s\n", width, "", mend);
	}
	fflush(stdout); /* some checks take a while */
}

/* --- this system ------------------------------------------------------- */

/* True if a line of os-release for @key names @id among its words. */
static bool line_names(const char *line, const char *key, const char *id)
{
	size_t key_len = strlen(key), id_len = strlen(id);
	const char *at;

	if (strncmp(line, key, key_len) || line[key_len] != '=')
		return false;
	for (at = line + key_len; (at = strstr(at, id)); at += id_len)
		if (strchr("=\"' ", at[-1]) && strchr("\"' \n", at[id_len]))
			return true;
	return false;
}

static bool distribution_is(const char *id)
{
	FILE *f = fopen("/etc/os-release", "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = line_names(line, "ID", id) ||
			line_names(line, "ID_LIKE", id);
	if (f)
		fclose(f);
	return found;
}

void install_command(char *out, size_t size, const char *package)
{
	const char *how = _("install the package");

	if (distribution_is("debian") || distribution_is("ubuntu"))
		how = "sudo apt install";
	else if (distribution_is("fedora") || distribution_is("rhel"))
		how = "sudo dnf install";
	else if (distribution_is("arch"))
		how = "sudo pacman -S";
	snprintf(out, size, "%s %s", how, package);
}

bool in_path(const char *program)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path,
			 program);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* --- the whole --------------------------------------------------------- */

static void tell_versions(struct doctor *d)
{
	doctor_found(d, "versions", FINE, NULL, "larder %s, built with %s",
		     LARDER_VERSION, LIBRARY_VERSIONS);
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct common c = { 0 };
	struct doctor d = { .common = &c };
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if (!common_option(&c, &cmd_doctor, option, optarg))
			return usage_error(&cmd_doctor, NULL);
	if (argc - optind > 1)
		return usage_error(&cmd_doctor, "doctor takes at most a DIR");
	tell_versions(&d);
	doctor_look_at_devices(&d);
	doctor_look_at_folder(&d, optind < argc ? argv[optind] : ".");
	doctor_look_at_mounting(&d);
	rc = finish_output();
	if (rc != EXIT_FINE || d.other_failed)
		return EXIT_FAILED;
	return d.device_failed ? EXIT_DEVICE : EXIT_FINE;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = N_("what is wrong with this computer, and how to mend it"),
	.usage = usage,
	.run = run,
};
