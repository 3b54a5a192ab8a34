/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "complete.h"
#include "tool.h"

static const struct command *const commands[] = {
	&cmd_devices, &cmd_pair,  &cmd_backup,	&cmd_restore, &cmd_password,
	&cmd_find,    &cmd_mount, &cmd_umount,	&cmd_mounts,  &cmd_lock,
	&cmd_info,    &cmd_ls,	  &cmd_extract, &cmd_diff,    &cmd_verify,
	&cmd_salvage, &cmd_pack,  &cmd_rekey,	&cmd_key,     &cmd_doctor,
};

#define COUNT (sizeof(commands) / sizeof(*commands))

static void print_help(FILE *to)
{
	fputs(_("usage: larder COMMAND [ARGUMENT...]\n\n"), to);
	for (size_t i = 0; i < COUNT; i++)
		if (!commands[i]->left_out)
			fprintf(to, "  %-9s %s\n", commands[i]->name,
				_(commands[i]->summary));
	fputs(cmd_mount.left_out ?
		      _("\n\"larder COMMAND --help\" tells more.\n") :
		      _("\n\"larder COMMAND --help\" tells more; larderfs(8) mounts a backup.\n"),
	      to);
}

int main(int argc, char **argv)
{
	static char name[] = "larder";

	/* a core file would put keys on disk */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	exit_when_interrupted(true);
	language_begin();
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish_output();
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("larder " LARDER_VERSION);
		return finish_output();
	}
	if (!strcmp(argv[1], "--complete"))
		return complete(commands, COUNT, (const char *const *)argv + 2,
				(size_t)argc - 2);
	for (size_t i = 0; i < COUNT; i++) {
		if (strcmp(argv[1], commands[i]->name))
			continue;
		if (commands[i]->left_out) {
			fprintf(stderr,
				_("larder: this larder was built without %s: there is no \"%s\"\n"),
				_(commands[i]->left_out), argv[1]);
			return EXIT_USAGE;
		}
		argv[1] = name; /* getopt's messages begin with it */
		return commands[i]->run(argc - 1, argv + 1);
	}
	fprintf(stderr, _("larder: no command \"%s\"\n"), argv[1]);
	print_help(stderr);
	return EXIT_USAGE;
}
