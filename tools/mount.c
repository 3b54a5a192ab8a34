/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "instance.h"
#include "mb/folder.h"
#include "mount_home.h"
#include "named_backup.h"
#include "remembered.h"

extern char **environ;

static const char usage[] =
	"usage: larder mount [--open] [-o OPTION[,...]] BACKUP [MOUNTPOINT]\n"
	"\n"
	"Mounts a backup as files, and prints where. BACKUP is a folder; or the\n"
	"UDID or the name of a device whose backup \"larder find\" finds; or a\n"
	"folder of backups, all of which are mounted as one tree.\n"
	"\n"
	"Without MOUNTPOINT a folder is made, named after the device, in\n"
	"$XDG_RUNTIME_DIR/larder; \"larder umount\" removes it.\n"
	"\n"
	"  --open             open it in the file manager\n"
	"  -o OPTION[,...]    of larderfs(8): view=device, idle=SECONDS, ...\n"
	"  --instance         BACKUP is the instance of a systemd unit, escaped\n" COMMON_HELP_TEXT;

struct wish {
	struct common common;
	const char *backup, *mountpoint, *options;
	char remember[40]; /* the option of larderfs */
	bool open, instance;
};

/* --- larderfs ------------------------------------------------------------ */

#define ARGS_MAX 16

/* What was given here, passed on; no secrets are among it. */
static void make_args(const char *args[ARGS_MAX], struct wish *wish,
		      const char *backup, const char *mountpoint)
{
	const struct unlock_source *from = &wish->common.unlock;
	int n = 0;

	args[n++] = "larderfs";
	if (wish->options) {
		args[n++] = "-o";
		args[n++] = wish->options;
	}
	if (from->remember_s == REMEMBERED_LOGIN) {
		args[n++] = "-o";
		args[n++] = "remember=login";
	} else if (from->remember_s) {
		snprintf(wish->remember, sizeof(wish->remember), "remember=%u",
			 from->remember_s);
		args[n++] = "-o";
		args[n++] = wish->remember;
	}
	if (from->keyfile) {
		args[n++] = "--keyfile";
		args[n++] = from->keyfile;
	}
	if (from->passfile) {
		args[n++] = "--passfile";
		args[n++] = from->passfile;
	}
	if (from->extpass) {
		args[n++] = "--extpass";
		args[n++] = from->extpass;
	}
	args[n++] = "--";
	args[n++] = backup;
	args[n++] = mountpoint;
	args[n] = NULL;
}

/*
 * It asks for the password, and says itself what is wrong. Ctrl-C is for it;
 * we are to clean up behind it.
 *
 * Returns its exit status, or a negative errno.
 */
static int run_larderfs(const char *const *args, struct mb_err *err)
{
	char program[PATH_MAX + 16];
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int status, rc;
	pid_t pid;

	if (!larderfs_beside(program, sizeof(program)))
		snprintf(program, sizeof(program), "larderfs"); /* in PATH */
	sigaction(SIGINT, &ignore, &before);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	if (before.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGINT);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(&pid, program, NULL, &attr, (char *const *)args,
			  environ);
	posix_spawnattr_destroy(&attr);
	if (rc == 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	sigaction(SIGINT, &before, NULL);
	if (rc)
		return mb_err_set(err, -EIO, "%s: %s", program, strerror(rc));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

/* --- the file manager ---------------------------------------------------- */

/* Nobody waits for it, and nothing of it is heard. */
static void open_file_manager(const char *path, const struct common *c)
{
	const char *argv[] = { "xdg-open", path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid;
	int rc;

	posix_spawn_file_actions_init(&actions);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null",
						 O_RDWR, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	rc = posix_spawnp(&pid, argv[0], &actions, &attr, (char **)argv,
			  environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		say(c, "larder: cannot open a file manager: xdg-open: %s",
		    strerror(rc));
}

/* --- the mount ----------------------------------------------------------- */

struct mounting {
	struct mount_home home;
	char *backup;	  /* path */
	char *device;	  /* name, or what stands in for it */
	char *mountpoint; /* path */
	int held;	  /* the folder that we have made, or -1 */
};

static void mounting_release(struct mounting *m)
{
	free(m->backup);
	free(m->device);
	free(m->mountpoint);
	if (m->held >= 0)
		close(m->held);
	mount_home_release(&m->home);
}

static int keep_names(struct mounting *m, const char *source,
		      const char *device, struct mb_err *err)
{
	const char *slash = source ? strrchr(source, '/') : NULL;

	m->backup = source ? strdup(source) : NULL;
	m->device = strdup(device && *device ? device :
			   slash && slash[1] ? slash + 1 :
					       "backup");
	return m->backup && m->device ?
		       0 :
		       mb_err_set(err, -ENOMEM, "out of memory");
}

/* Who it is; and whether there is any use in going on. */
static int look_at_backup(struct mounting *m, const char *path,
			  struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	mb_auto(free) char *folder = NULL;
	const struct mb_backup_info *info;
	int rc;

	/* of several each is looked at when it is entered */
	if (mb_folder_holds_any(path)) {
		folder = realpath(path, NULL);
		return keep_names(m, folder, NULL, err);
	}
	rc = mb_backup_open(&b, path, err);
	if (rc < 0)
		return rc;
	info = mb_backup_get_info(b);
	return keep_names(m, info->source, info->device_name, err);
}

static int choose_mountpoint(struct mounting *m, const char *given,
			     struct mb_err *err)
{
	int rc;

	if (given) {
		m->mountpoint = realpath(given, NULL);
		return m->mountpoint ?
			       0 :
			       mb_err_set(err, -EIO, "mountpoint %s: %s", given,
					  strerror(errno));
	}
	rc = mount_home_open(&m->home, true, err);
	if (rc < 0)
		return rc;
	mount_home_sweep(&m->home);
	rc = mount_home_take(&m->home, m->device, &m->mountpoint, err);
	if (rc < 0)
		return rc;
	m->held = rc;
	return 0;
}

static void tell(const struct mounting *m, const struct common *c)
{
	if (c->json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "mountpoint", m->mountpoint);
		json_add_text(o, "backup", m->backup);
		json_add_text(o, "device_name", m->device);
		json_print(o);
	} else {
		print_name(m->mountpoint, strlen(m->mountpoint));
		putchar('\n');
	}
}

/* An exit status, or a negative errno. */
static int mount_it(struct mounting *m, struct wish *wish, struct mb_err *err)
{
	mb_auto(free) char *path = NULL, *name = NULL;
	const char *args[ARGS_MAX];
	int rc;

	name = wish->instance ? instance_decode(wish->backup) :
				strdup(wish->backup);
	if (!name)
		return mb_err_set(err, -EINVAL,
				  "%s: not what systemd-escape(1) writes",
				  wish->backup);
	rc = named_backup(&path, name, &wish->common, err);
	if (rc == 0)
		rc = look_at_backup(m, path, err);
	if (rc == 0)
		rc = choose_mountpoint(m, wish->mountpoint, err);
	if (rc < 0)
		return rc;
	make_args(args, wish, m->backup, m->mountpoint);
	rc = run_larderfs(args, err);
	if (rc != EXIT_FINE && m->held >= 0)
		rmdir(m->mountpoint);
	if (rc != EXIT_FINE)
		return rc;
	tell(m, &wish->common);
	if (wish->open)
		open_file_manager(m->mountpoint, &wish->common);
	return EXIT_FINE;
}

enum {
	OPT_OPEN = COMMON_END,
	OPT_INSTANCE,
};

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "open", no_argument, NULL, OPT_OPEN },
		{ "instance", no_argument, NULL, OPT_INSTANCE },
		COMMON_OPTIONS,
		{ 0 }
	};
	struct wish wish = { 0 };
	struct mounting m = { .held = -1 };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "ho:", options, NULL)) != -1) {
		if (option == OPT_OPEN)
			wish.open = true;
		else if (option == OPT_INSTANCE)
			wish.instance = true;
		else if (option == 'o' && !wish.options)
			wish.options = optarg;
		else if (option == 'o')
			return usage_error(&cmd_mount,
					   "-o is given once: a,b,c");
		else if (!common_option(&wish.common, &cmd_mount, option,
					optarg))
			return usage_error(&cmd_mount, NULL);
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage_error(
			&cmd_mount,
			"mount takes a BACKUP and at most one MOUNTPOINT");
	wish.backup = argv[optind];
	wish.mountpoint = argv[optind + 1];
	rc = mount_it(&m, &wish, &err);
	mounting_release(&m);
	if (rc < 0)
		return fail(rc, &err);
	return rc ? rc : finish_output();
}

const struct command cmd_mount = {
	.name = "mount",
	.summary = "mount a backup as files, and open it",
	.usage = usage,
	.run = run,
};
