/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <errno.h>
#include <fuse_opt.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "completion.h"
#include "language.h"
#include "log.h"
#include "remembered.h"
#include "ways.h"

static const char *const help[] = {
	N_("usage: larderfs BACKUP MOUNTPOINT [-f] [-o OPTION[,OPTION...]]\n"
	   "       mount -t larderfs BACKUP MOUNTPOINT [-o OPTION[,OPTION...]]\n"
	   "       larderfs --capabilities [BACKUP]\n"),
	N_("\n"
	   "Shows an iPhone or iPad backup as a read-only tree: DOMAIN/PATH; of a\n"
	   "folder of backups all: DEVICE/DATE/DOMAIN/PATH.\n"
	   "Unmount with: umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT\n"),
	N_("\n"
	   "  -f                 stay in the foreground\n"
	   "  -d                 the same, and print every request\n"
	   "  -o OPTION[,...]    how to mount, see below\n"
	   "  -h, --help         this text\n"
	   "  -V, --version      version\n"
	   "  --capabilities     which of the fast ways to read are open here, and\n"
	   "                     what stands against the others\n"),
	N_("\n"
	   "password, otherwise asked for on the terminal:\n"
	   "  passfile=FILE      first line of FILE (also: LARDER_PASSFILE=FILE\n"
	   "                     in the environment)\n"
	   "  extpass=COMMAND    first line that a shell command prints\n"
	   "  keyfile=FILE       a derived key, written by \"larder key\"\n"
	   "  remember[=TIME]    need no password again for 8h, or for TIME;\n"
	   "                     =login: have the desktop keep the key\n"
	   "  dialog             ask in a window of the desktop instead\n"),
	N_("\n"
	   "options:\n"
	   "  uid=N gid=N        owner of everything (default: who mounts)\n"
	   "  umask=M fmask=M dmask=M   octal; permissions of all, files, folders\n"
	   "  allow_other        let other users in, by owner and permissions\n"
	   "  view=domains|device   with device its own paths instead of domains\n"
	   "  salvage            of a damaged or unfinished backup what there is;\n"
	   "                     files that are no longer listed in lost+found/\n"
	   "  idle=SECONDS       unmount when not used for so long\n"
	   "  rmdir              remove the mountpoint in the end\n"
	   "  ways=NAME[:NAME...]   only these ways to read: for tests\n"
	   "  nofail             no failure if there is no such backup (fstab)\n"
	   "  _netdev,user,noauto,x-...   accepted, as in fstab\n"),
	N_("\n"
	   "exit status: 0 mounted, 1 failed, 2 usage, 3 not a backup,\n"
	   "  5 cancelled, 12 wrong password, 13 password needed, 26 damage found\n"),
	NULL,
};

/* For mount(8), fstab or systemd, or true of every mount of ours anyway. */
static const char *const accepted[] = {
	"ro",	    "rw",	  "auto",	"noauto",      "_netdev",
	"user",	    "users",	  "nouser",	"owner",       "group",
	"defaults", "sync",	  "async",	"dirsync",     "atime",
	"noatime",  "relatime",	  "norelatime", "strictatime", "nostrictatime",
	"diratime", "nodiratime", "lazytime",	"nolazytime",  "nonempty",
	"loud",	    "silent",	  "suid",	"nosuid",      "dev",
	"nodev",
};

/* Those that the kernel or libfuse acts upon. */
static const char *const passed_on[] = {
	"exec",	      "noexec",	      "allow_other",
	"allow_root", "auto_unmount", "default_permissions",
};

/* The same, with a value: labels, which mount(8) drops where nothing has any. */
static const char *const labels[] = {
	"context=",
	"fscontext=",
	"defcontext=",
	"rootcontext=",
};

static bool is_in(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}
#define IS_IN(word, list) is_in(word, list, sizeof(list) / sizeof(*(list)))

static bool add_fuse(struct options *o, const char *option)
{
	return fuse_opt_add_opt_escaped(&o->fuse, option) == 0;
}

static bool set_text(const char **field, const char *value)
{
	free((char *)*field);
	*field = strdup(value);
	return *field != NULL;
}

static bool set_number(unsigned *field, const char *value, int base,
		       unsigned long max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, base);
	if (*value < '0' || *value > '9' || *end || errno || n > max)
		return false;
	*field = (unsigned)n;
	return true;
}

static bool set_mode(int *field, const char *mask)
{
	unsigned n;
	bool good = set_number(&n, mask, 8, 0777);

	if (good)
		*field = 0777 & ~(int)n;
	return good;
}

static bool set_view(enum mb_view *field, const char *value)
{
	bool device = !strcmp(value, "device");

	*field = device ? MB_VIEW_DEVICE : MB_VIEW_DOMAINS;
	return device || !strcmp(value, "domains");
}

/* One option of ours; false if its value is bad, or, not @known, it is none. */
static bool set_value(struct options *o, const char *name, const char *value,
		      bool *known)
{
	*known = true;
	if (!strcmp(name, "passfile"))
		return set_text(&o->unlock.passfile, value);
	if (!strcmp(name, "extpass"))
		return set_text(&o->unlock.extpass, value);
	if (!strcmp(name, "keyfile"))
		return set_text(&o->unlock.keyfile, value);
	if (!strcmp(name, "remember"))
		return remembered_parse(value, &o->unlock.remember_s);
	if (!strcmp(name, "uid"))
		return set_number(&o->uid, value, 10, UINT32_MAX - 1);
	if (!strcmp(name, "gid"))
		return set_number(&o->gid, value, 10, UINT32_MAX - 1);
	if (!strcmp(name, "umask"))
		return set_mode(&o->file_mode, value) &&
		       set_mode(&o->dir_mode, value);
	if (!strcmp(name, "fmask"))
		return set_mode(&o->file_mode, value);
	if (!strcmp(name, "dmask"))
		return set_mode(&o->dir_mode, value);
	if (!strcmp(name, "idle"))
		return set_number(&o->idle_s, value, 10, 1000000000);
	if (!strcmp(name, "view"))
		return set_view(&o->view, value);
	if (!strcmp(name, "ways"))
		return ways_named(value, &o->ways);
	*known = false;
	return false;
}

/* One that has no value; false if it is none. */
static bool set_flag(struct options *o, const char *name)
{
	if (!strcmp(name, "salvage"))
		o->salvage = true;
	else if (!strcmp(name, "dialog"))
		o->unlock.dialog = true;
	else if (!strcmp(name, "rmdir"))
		o->rmdir = true;
	else if (!strcmp(name, "remember"))
		o->unlock.remember_s = REMEMBERED_S;
	else if (!strcmp(name, "nofail"))
		o->nofail = true;
	else
		return false;
	return true;
}

static bool set_option(struct options *o, char *option)
{
	char *value = strchr(option, '=');
	bool known = false;

	if (!*option || !strncmp(option, "x-", 2) ||
	    !strncmp(option, "X-", 2) || !strncmp(option, "comment=", 8) ||
	    !strncmp(option, "user=", 5) || IS_IN(option, accepted))
		return true;
	if (IS_IN(option, passed_on)) {
		o->shared |= !strncmp(option, "allow_", 6);
		return add_fuse(o, option);
	}
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++)
		if (!strncmp(option, labels[i], strlen(labels[i])))
			return add_fuse(o, option);
	if (!strcmp(option, "remount")) {
		log_line(
			"a mount cannot be changed: unmount it, and mount it again");
		return false;
	}
	if (value) {
		bool good;

		*value = '\0';
		good = set_value(o, option, value + 1, &known);
		*value = '=';
		if (good)
			return true;
	} else if (set_flag(o, option)) {
		return true;
	}
	if (o->sloppy && !known)
		return true;
	log_line("unknown option%s: %s", value ? _(" or value") : "", option);
	return false;
}

/* "a,b=c\,d": a comma behind a backslash belongs to the value. */
static bool set_options(struct options *o, const char *list)
{
	char *text = malloc(strlen(list) + 1), *to = text;
	bool good = text != NULL;

	for (const char *from = list; good; from++) {
		if (from[0] == '\\' && (from[1] == ',' || from[1] == '\\')) {
			*to++ = *++from;
		} else if (*from == ',' || !*from) {
			*to = '\0';
			good = set_option(o, text);
			to = text;
			if (!*from)
				break;
		} else {
			*to++ = *from;
		}
	}
	free(text);
	return good;
}

enum {
	LONG_PASSFILE = 256,
	LONG_EXTPASS,
	LONG_KEYFILE,
	LONG_CAPABILITIES,
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "passfile", required_argument, NULL, LONG_PASSFILE },
	{ "extpass", required_argument, NULL, LONG_EXTPASS },
	{ "keyfile", required_argument, NULL, LONG_KEYFILE },
	{ "capabilities", no_argument, NULL, LONG_CAPABILITIES },
	{ 0 },
};

static enum options_result parse_word(struct options *o, int word,
				      const char *name)
{
	switch (word) {
	case 'h':
		for (const char *const *part = help; *part; part++)
			fputs(_(*part), stdout);
		return OPTIONS_DONE;
	case 'V':
		/* in mount(8)'s helpers too: -v is the verbose one */
		puts("larderfs " LARDER_VERSION);
		return OPTIONS_DONE;
	case 'f':
		/* "fake" is what mount(8) means by it */
		if (o->helper)
			o->fake = true;
		else
			o->foreground = true;
		return OPTIONS_RUN;
	case 'd':
		o->foreground = o->debug = true;
		return OPTIONS_RUN;
	case 'o':
		return set_options(o, optarg) ? OPTIONS_RUN : OPTIONS_BAD;
	case LONG_PASSFILE:
		set_text(&o->unlock.passfile, optarg);
		return OPTIONS_RUN;
	case LONG_EXTPASS:
		set_text(&o->unlock.extpass, optarg);
		return OPTIONS_RUN;
	case LONG_KEYFILE:
		set_text(&o->unlock.keyfile, optarg);
		return OPTIONS_RUN;
	case LONG_CAPABILITIES:
		o->capabilities = true;
		return OPTIONS_RUN;
	case 's':
		o->sloppy = true;
		return OPTIONS_RUN;
	case 'N':
		set_text(&o->namespace, optarg);
		return OPTIONS_RUN;
	case 'n':
	case 'v':
	case 't':
		return OPTIONS_RUN;
	default:
		fprintf(stderr, _("Try \"%s --help\".\n"), name);
		return OPTIONS_BAD;
	}
}

static bool enough_words(const struct options *o, int count, const char *name)
{
	if (o->capabilities ? count <= 1 : count == 2)
		return true;
	log_line("%s: see \"%s --help\"",
		 o->capabilities ? _("takes one BACKUP at most") :
		 count < 2	 ? _("needs a BACKUP and a MOUNTPOINT") :
				   _("takes one BACKUP and one MOUNTPOINT"),
		 name);
	return false;
}

/* "ways=a:b": the last of them */
static bool offer_ways(struct completion *c, const char *kind)
{
	const char *colon = strrchr(c->partial, ':');
	const char *name;

	if (strcmp(kind, "NAME"))
		return false;
	if (colon) {
		c->prefix_len += (size_t)(colon + 1 - c->partial);
		c->partial = colon + 1;
	}
	for (int i = 0; (name = way_name(i)); i++)
		completion_offer(c, name, NULL);
	return true;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];
	int word;

	*o = (struct options){ .uid = getuid(),
			       .gid = getgid(),
			       .ways = WAYS_DEFAULT,
			       .file_mode = -1,
			       .dir_mode = -1 };
	if (argc > 1 && !strcmp(argv[1], "--complete")) {
		struct completion c = { .help = help, .values = offer_ways };

		completion_run(&c, (const char *const *)argv + 2,
			       (size_t)argc - 2);
		return OPTIONS_DONE;
	}
	o->helper = !strncmp(name, "mount.", 6);
	o->fuse = strdup("");
	while ((word = getopt_long(argc, argv,
				   o->helper ? "fdho:VsnvN:t:" : "fdho:V",
				   long_options, NULL)) != -1) {
		enum options_result r = parse_word(o, word, name);

		if (r != OPTIONS_RUN)
			return r;
	}
	if (!enough_words(o, argc - optind, name))
		return OPTIONS_BAD;
	o->backup = optind < argc ? strdup(argv[optind]) : NULL;
	o->mountpoint = o->capabilities ? NULL : strdup(argv[optind + 1]);
	return (o->backup || optind == argc) &&
			       (o->mountpoint || o->capabilities) && o->fuse ?
		       OPTIONS_RUN :
		       OPTIONS_BAD;
}

void options_release(struct options *o)
{
	free(o->backup);
	free(o->mountpoint);
	free(o->fuse);
	free((char *)o->namespace);
	free((char *)o->unlock.passfile);
	free((char *)o->unlock.extpass);
	free((char *)o->unlock.keyfile);
}
