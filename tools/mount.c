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

#include "dialog.h"
#include "instance.h"
#include "mb/folder.h"
#include "mount_home.h"
#include "named_backup.h"
#include "own_mounts.h"
#include "remembered.h"

extern char **environ;

static const char *const usage[] = {
	N_("usage: larder mount [--open] [--dialog] [-o OPTION[,...]]\n"
	   "                    BACKUP [MOUNTPOINT]\n"),
	N_("\n"
	   "Mounts a backup as files, and prints where. BACKUP is a folder; or the\n"
	   "UDID or the name of a device whose backup \"larder find\" finds; or a\n"
	   "folder of backups, all of which are mounted as one tree.\n"),
	N_("\n"
	   "Without MOUNTPOINT a folder is made, named after the device, in\n"
	   "$XDG_RUNTIME_DIR/larder; \"larder umount\" removes it.\n"),
	N_("\n"
	   "  --open             open it in the file manager\n"
	   "  --dialog           ask for the password in a window, and say there what\n"
	   "                     is wrong; without MOUNTPOINT, mount where desktops\n"
	   "                     show it, once\n"
	   "  -o OPTION[,...]    of larderfs(8): view=device, idle=SECONDS, ...\n"
	   "  --instance         BACKUP is the instance of a systemd unit, escaped\n"),
	COMMON_HELP_TEXT,
	NULL,
};

struct wish {
	struct common common;
	const char *backup, *mountpoint, *options;
	char remember[40]; /* the option of larderfs */
	bool open, dialog, instance;
};

/* --- larderfs ------------------------------------------------------------ */

#define ARGS_MAX 24

/* What was given here, passed on; no secrets are among it. */
static void make_args(const char *args[ARGS_MAX], struct wish *wish,
		      const char *backup, const char *mountpoint, bool shown)
{
	const struct unlock_source *from = &wish->common.unlock;
	int n = 0;

	args[n++] = "larderfs";
	if (wish->options) {
		args[n++] = "-o";
		args[n++] = wish->options;
	}
	if (wish->dialog) {
		args[n++] = "-o";
		args[n++] = "dialog";
	}
	if (shown) { /* nothing of it is to stay in sight */
		args[n++] = "-o";
		args[n++] = "rmdir";
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

/* What it says, passed on. In @last: its last line, which is the reason. */
static void hear(int from, char *last, size_t size)
{
	size_t len = 0;
	char c;

	*last = '\0';
	while (read(from, &c, 1) == 1) {
		fputc(c, stderr);
		if (c == '\n')
			len = 0;
		else if (len < size - 1) {
			last[len++] = c;
			last[len] = '\0';
		}
	}
	fflush(stderr);
}

/*
 * It asks for the password, and says itself what is wrong. Ctrl-C is for it;
 * we are to clean up behind it.
 * @last: takes the last line that it says; NULL: it has our standard error
 *
 * Returns its exit status, or a negative errno.
 */
static int run_larderfs(const char *const *args, char *last, size_t size,
			struct mb_err *err)
{
	char program[PATH_MAX + 16];
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int fds[2], status, rc;
	sigset_t defaults;
	pid_t pid;

	if (last && pipe2(fds, O_CLOEXEC) < 0)
		return mb_err_set(err, -EIO, "pipe: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	if (last)
		posix_spawn_file_actions_adddup2(&actions, fds[1],
						 STDERR_FILENO);
	if (!larderfs_beside(program, sizeof(program)))
		snprintf(program, sizeof(program), "larderfs"); /* in PATH */
	sigaction(SIGINT, &ignore, &before);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	if (before.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGINT);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(&pid, program, &actions, &attr, (char *const *)args,
			  environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (last) {
		close(fds[1]);
		hear(fds[0], last, size);
		close(fds[0]);
	}
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

/* Of a desktop's user, who has clicked on it before. */
static bool is_mounted_already(struct mounting *m)
{
	mb_auto(own_mounts_release) struct own_mounts list = { 0 };

	if (own_mounts_read(&list, false, NULL) < 0)
		return false;
	for (size_t i = 0; i < list.count && !m->mountpoint; i++)
		if (!strcmp(list.items[i].backup, m->backup))
			m->mountpoint = strdup(list.items[i].mountpoint);
	return m->mountpoint;
}

#define ATTEMPTS 3

static int make_mountpoint(struct mounting *m, enum mount_place place,
			   struct mb_err *err)
{
	int rc = mount_home_open(&m->home, place, true, err);

	if (rc < 0)
		return rc;
	mount_home_sweep(&m->home);
	return mount_home_take(&m->home, m->device, &m->mountpoint, err);
}

static int choose_mountpoint(struct mounting *m, const struct wish *wish,
			     struct mb_err *err)
{
	const char *given = wish->mountpoint;
	int rc;

	if (given) {
		m->mountpoint = realpath(given, NULL);
		return m->mountpoint ?
			       0 :
			       mb_err_set(err, -EIO, "mountpoint %s: %s", given,
					  strerror(errno));
	}
	/* the folder that it is to be in goes with the last mount in there */
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		rc = make_mountpoint(
			m, wish->dialog ? MOUNT_SHOWN : MOUNT_HIDDEN, err);
		if (rc != -ENOENT)
			break;
		mount_home_release(&m->home);
	}
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

static const char *reason_of(const char *line)
{
	static const char name[] = "larderfs: ";
	size_t len = sizeof(name) - 1;

	return strncmp(line, name, len) ? line : line + len;
}

/* An exit status, or a negative errno. */
static int mount_it(struct mounting *m, struct wish *wish, struct mb_err *err)
{
	mb_auto(free) char *path = NULL, *name = NULL;
	const char *args[ARGS_MAX];
	char last[sizeof(err->text)];
	bool already = false;
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
		already = wish->dialog && !wish->mountpoint &&
			  is_mounted_already(m);
	if (rc == 0 && !already)
		rc = choose_mountpoint(m, wish, err);
	if (rc == 0 && !already) {
		make_args(args, wish, m->backup, m->mountpoint,
			  m->home.place == MOUNT_SHOWN);
		rc = run_larderfs(args, wish->dialog ? last : NULL,
				  sizeof(last), err);
		if (rc != EXIT_FINE && m->held >= 0)
			mount_home_give_back(&m->home, m->mountpoint);
		if (rc > 0 && rc != EXIT_CANCELLED && wish->dialog)
			dialog_tell(reason_of(last));
	}
	if (rc != EXIT_FINE)
		return rc;
	tell(m, &wish->common);
	if (wish->open)
		open_file_manager(m->mountpoint, &wish->common);
	return EXIT_FINE;
}

enum {
	OPT_OPEN = COMMON_END,
	OPT_DIALOG,
	OPT_INSTANCE,
};

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "open", no_argument, NULL, OPT_OPEN },
		{ "dialog", no_argument, NULL, OPT_DIALOG },
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
		else if (option == OPT_DIALOG)
			wish.dialog = true;
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
	if (rc < 0 && wish.dialog)
		dialog_tell(err.text);
	if (rc < 0)
		return fail(rc, &err);
	return rc ? rc : finish_output();
}

const struct command cmd_mount = {
	.name = "mount",
	.summary = N_("mount a backup as files, and open it"),
	.usage = usage,
	.run = run,
	.names_backups = true,
};
