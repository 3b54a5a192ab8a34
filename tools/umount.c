/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "beneath.h"
#include "mount_home.h"
#include "own_mounts.h"
#include "tool.h"
#include "unmount.h"

static const char *const usage[] = {
	N_("usage: larder umount [--lazy] [MOUNTPOINT | BACKUP | NAME]...\n"
	   "       larder umount --all [--lazy]\n"),
	N_("\n"
	   "Unmounts what \"larder mount\" or larderfs has mounted, and removes the\n"
	   "folder if larder had made it. NAME is the name or the UDID of a device.\n"
	   "Without any of them: the one that is mounted.\n"),
	N_("\n"
	   "  --all              all that \"larder mounts\" lists\n"
	   "  --lazy             also what is in use: it goes when that ends\n"
	   "  --json             output for machines\n"
	   "  --quiet            no messages but errors\n"),
	NULL,
};

struct wish {
	struct common common;
	bool all, lazy;
};

/* --- which --------------------------------------------------------------- */

/*
 * A path as the mount table has it. Its last component is not looked at: the
 * mount there may not answer any more.
 */
static char *resolve_above(const char *word)
{
	mb_auto(free) char *path = strdup(word);
	char real[PATH_MAX], *slash, *whole;
	size_t len = strlen(word);

	while (path && len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = path ? strrchr(path, '/') : NULL;
	if (!path || !strcmp(path, "."))
		return path ? realpath(path, NULL) : NULL;
	if (slash)
		*slash = '\0';
	if (!realpath(!slash ? "." : slash == path ? "/" : path, real))
		return NULL;
	return asprintf(&whole, "%s/%s", strcmp(real, "/") ? real : "",
			slash ? slash + 1 : path) < 0 ?
		       NULL :
		       whole;
}

static bool is(const char *text, const char *word)
{
	return text && !strcasecmp(text, word);
}

/* What a word can name; of one kind only, the first that there is any of. */
enum { BY_PATH, BY_BACKUP, BY_NAME, WAYS };

static bool names(const struct own_mount *m, int way, const char *word,
		  const char *path, const char *backup)
{
	const char *slash = strrchr(m->mountpoint, '/');

	switch (way) {
	case BY_PATH:
		return path && !strcmp(m->mountpoint, path);
	case BY_BACKUP:
		return backup && !strcmp(m->backup, backup);
	default:
		return (slash && is(slash + 1, word)) ||
		       (m->about && (is(m->about->device_name, word) ||
				     is(m->about->udid, word)));
	}
}

static int ambiguous(const struct own_mounts *list, const bool *chosen,
		     const char *word, const struct common *c,
		     struct mb_err *err)
{
	struct mb_err line; /* for its printable text */

	for (size_t i = 0; i < list->count; i++) {
		if (!chosen[i])
			continue;
		mb_err_set(&line, 0, "  %s", list->items[i].mountpoint);
		say(c, "%s", line.text);
	}
	mb_err_set(err, -ENOTUNIQ, "several are mounted: give the mountpoint");
	return word ? mb_err_prefix(err, -ENOTUNIQ, "%s", word) : -ENOTUNIQ;
}

/* @chosen: takes one flag for each of the list */
static int choose(struct own_mounts *list, const char *word, bool *chosen,
		  const struct common *c, struct mb_err *err)
{
	mb_auto(free) char *path = resolve_above(word);
	mb_auto(free) char *backup = NULL;
	size_t count = 0;

	for (int way = 0; way < WAYS && !count; way++) {
		if (way == BY_BACKUP)
			backup = realpath(word, NULL);
		if (way == BY_NAME && own_mounts_describe(list, err) < 0)
			return err->code;
		for (size_t i = 0; i < list->count; i++) {
			chosen[i] =
				names(&list->items[i], way, word, path, backup);
			count += chosen[i];
		}
	}
	if (count > 1)
		return ambiguous(list, chosen, word, c, err);
	return count ? 0 :
		       mb_err_set(
			       err, -EINVAL,
			       "%s: no backup is mounted there, or of this name",
			       word);
}

/* --- the command --------------------------------------------------------- */

static int end(const struct own_mount *m, const struct wish *wish,
	       struct mb_err *err)
{
	int rc = unmount(m->mountpoint, wish->lazy, err);

	if (rc == 0 && wish->common.json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "mountpoint", m->mountpoint);
		json_add_text(o, "backup", m->backup);
		json_print(o);
	}
	return rc;
}

static int end_chosen(const struct own_mounts *list, const bool *chosen,
		      const struct wish *wish)
{
	int status = EXIT_FINE;
	struct mb_err err;

	/* what is mounted later can stand in what is there already */
	for (size_t i = list->count; i-- > 0;)
		if (chosen[i] && end(&list->items[i], wish, &err) < 0)
			status = fail(-EIO, &err);
	return status;
}

static int umount_word(const char *word, const struct wish *wish)
{
	mb_auto(own_mounts_release) struct own_mounts list = { 0 };
	mb_auto(free) bool *chosen = NULL;
	struct mb_err err;
	int rc;

	/* root may end what others have mounted, if told which */
	rc = own_mounts_read(&list, word && geteuid() == 0, &err);
	if (rc < 0)
		return fail(rc, &err);
	chosen = calloc(list.count + 1, sizeof(*chosen));
	if (!chosen)
		return fail(-ENOMEM,
			    &(struct mb_err){ .text = "out of memory" });
	if (word) {
		rc = choose(&list, word, chosen, &wish->common, &err);
	} else {
		memset(chosen, true, list.count);
		if (!wish->all && list.count > 1)
			rc = ambiguous(&list, chosen, NULL, &wish->common,
				       &err);
		else if (!wish->all && !list.count)
			rc = mb_err_set(&err, -EINVAL, "nothing is mounted");
	}
	return rc < 0 ? fail(rc, &err) : end_chosen(&list, chosen, wish);
}

enum {
	OPT_ALL = COMMON_END,
	OPT_LAZY,
};

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPT_ALL },
		{ "lazy", no_argument, NULL, OPT_LAZY },
		COMMON_OPTIONS,
		{ 0 }
	};
	struct wish wish = { 0 };
	int option, status = EXIT_FINE, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_ALL)
			wish.all = true;
		else if (option == OPT_LAZY)
			wish.lazy = true;
		else if (!common_option(&wish.common, &cmd_umount, option,
					optarg))
			return usage_error(&cmd_umount, NULL);
	}
	if (wish.all && argc != optind)
		return usage_error(&cmd_umount, "--all, or which");
	if (argc == optind)
		status = umount_word(NULL, &wish);
	for (; optind < argc; optind++) {
		rc = umount_word(argv[optind], &wish);
		status = status ? status : rc;
	}
	mount_home_sweep_any();
	rc = finish_output();
	return status ? status : rc;
}

const struct command cmd_umount = {
	.name = "umount",
	.summary = N_("unmount a backup"),
	.usage = usage,
	.run = run,
};
