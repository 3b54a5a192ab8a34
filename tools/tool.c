/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "colour.h"
#include "mb/salvage.h"
#include "remembered.h"

bool common_option(struct common *c, const struct command *command, int option,
		   char *value)
{
	switch (option) {
	case COMMON_PASSFILE:
		c->unlock.passfile = value;
		return true;
	case COMMON_EXTPASS:
		c->unlock.extpass = value;
		return true;
	case COMMON_KEYFILE:
		c->unlock.keyfile = value;
		return true;
	case COMMON_REMEMBER:
		c->unlock.remember_s = REMEMBERED_S;
		if (value && !remembered_parse(value, &c->unlock.remember_s))
			exit(usage_error(
				command,
				"--remember takes a time such as 30m, 8h or 2d, at most 30d; or login"));
		return true;
	case COMMON_JSON:
		c->json = true;
		language_for_machines();
		return true;
	case COMMON_QUIET:
		c->quiet = true;
		return true;
	case COMMON_HELP:
	case 'h':
		for (const char *const *part = command->usage; *part; part++)
			fputs(_(*part), stdout);
		exit(finish_output());
	default:
		return false;
	}
}

/* "larder: ", before what has gone wrong */
static void print_name_of_error(void)
{
	fprintf(stderr, "%slarder:%s ", colour(stderr, COLOUR_BAD),
		colour(stderr, COLOUR_END));
}

int usage_error(const struct command *command, const char *fmt, ...)
{
	va_list ap;

	if (fmt) {
		print_name_of_error();
		va_start(ap, fmt);
		vfprintf(stderr, _(fmt), ap);
		va_end(ap);
		fputc('\n', stderr);
	}
	fprintf(stderr, _("Try \"larder %s --help\".\n"), command->name);
	return EXIT_USAGE;
}

int fail(int rc, const struct mb_err *err)
{
	fflush(stdout);
	print_name_of_error();
	fprintf(stderr, "%s\n", err->text);
	return exit_status_of(rc);
}

void say(const struct common *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, _(fmt), ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void note(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "larder: %s\n", line);
}

static void no_note(void *arg, const char *line)
{
	(void)arg, (void)line;
}

static int open_any(struct mb_backup **out, const char *path,
		    const struct common *c, struct mb_err *err)
{
	return c->salvage ? mb_backup_open_salvage(out, path, err) :
			    mb_backup_open(out, path, err);
}

int open_backup(struct mb_backup **out, const char *path,
		const struct common *c, struct mb_err *err)
{
	int rc = open_any(out, path, c, err);

	if (rc == 0)
		mb_backup_on_note(*out, c->quiet ? no_note : note, NULL);
	return rc;
}

int load_backup_keep(struct mb_backup *b, const struct common *c,
		     struct secret *password, struct mb_err *err)
{
	int rc;

	if (!b)
		return 0;
	mb_backup_on_note(b, c->quiet ? no_note : note, NULL);
	rc = unlock_keep(b, &c->unlock, password, err);
	return rc < 0 ? rc : mb_backup_load(b, err);
}

int load_backup(struct mb_backup *b, const struct common *c, struct mb_err *err)
{
	int rc;

	if (!b)
		return 0;
	mb_backup_on_note(b, c->quiet ? no_note : note, NULL);
	rc = unlock(b, &c->unlock, err);
	return rc < 0 ? rc : mb_backup_load(b, err);
}

int open_loaded(struct mb_backup **out, const char *path,
		const struct common *c, struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	int rc;

	rc = open_any(&b, path, c, err);
	if (rc == 0)
		rc = load_backup(b, c, err);
	if (rc == 0)
		*out = mb_steal(&b);
	return rc;
}

bool parse_timeout(const char *text, int64_t *ms)
{
	char *end;
	long s = strtol(text, &end, 10);

	if (end == text || *end || s < 1 || s > 86400)
		return false;
	*ms = s * 1000;
	return true;
}

bool larderfs_beside(char *out, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return snprintf(out, size, "%s/larderfs", self) < (int)size &&
	       access(out, X_OK) == 0;
}

int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_FINE;
	fprintf(stderr, _("larder: cannot write the output: %s\n"),
		strerror(errno));
	return EXIT_FAILED;
}
