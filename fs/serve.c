/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "exit_status.h"
#include "handshake.h"
#include "idle.h"
#include "log.h"
#include "mountpoint.h"
#include "ops.h"
#include "read_ahead.h"

/* Where they cannot stand by: more are slower, for metadata and data alike. */
#define WORKERS_MIN 2

/*
 * From here on nobody looks at our terminal. Not before: who asks an automount
 * for its mountpoint waits until something is mounted, but for those in the
 * process group of systemd, which mount(8) and we are.
 */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	log_to_system();
	if (setsid() < 0)
		log_line("cannot leave the terminal: %s", strerror(errno));
	if (chdir("/") < 0)
		log_line("/: %s", strerror(errno));
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/* The kernel has shaken hands: the parent may say that it is mounted. */
static void tell_parent(struct mount *m)
{
	char good = EXIT_FINE;

	if (m->ready_fd < 0)
		return;
	leave_terminal();
	if (write(m->ready_fd, &good, 1) < 0)
		log_line("cannot tell the parent: %s", strerror(errno));
	close(m->ready_fd);
	m->ready_fd = -1;
}

static bool add_option(struct fuse_args *args, const char *option)
{
	return fuse_opt_add_arg(args, "-o") == 0 &&
	       fuse_opt_add_arg(args, option) == 0;
}

/* fsname=..., with the commas and backslashes of a path escaped */
static bool add_source(struct fuse_args *args, const char *source)
{
	char *options = NULL, *option = NULL;
	bool good;

	good = asprintf(&option, "fsname=%s", source) >= 0 &&
	       fuse_opt_add_opt_escaped(&options, option) == 0 &&
	       add_option(args, options);
	free(option);
	free(options);
	return good;
}

static bool make_args(struct fuse_args *args, const struct options *o,
		      struct ways *ways, const char *source)
{
	bool good = fuse_opt_add_arg(args, "larderfs") == 0 &&
		    add_option(args, "ro,nosuid,nodev,subtype=larderfs") &&
		    add_source(args, source);

	/* other users are let in as far as owner and permissions say */
	if (good && o->shared)
		good = add_option(args, "default_permissions");
	if (good && *o->fuse)
		good = add_option(args, o->fuse);
	if (good && way_is_open(ways, WAY_IO_URING))
		good = add_option(args, "io_uring");
	if (good && o->debug)
		good = fuse_opt_add_arg(args, "-d") == 0;
	return good;
}

static int loop(struct mount *m)
{
	unsigned count =
		way_is_open(&m->ways, WAY_WORKERS) ? WORKERS_MAX : WORKERS_MIN;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, count);
	fuse_loop_cfg_set_idle_threads(config, count);
	rc = fuse_session_loop_mt(m->session, config);
	fuse_loop_cfg_destroy(config);
	return rc;
}

/* libfuse takes a signal while it mounts for a failure: it waits until then. */
static int mount_whole(struct fuse_session *session, const char *mountpoint)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = fuse_session_mount(session, mountpoint);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int mount_and_loop(struct mount *m, const char *mountpoint)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	int rc = EXIT_FAILED;

	if (make_args(&args, m->options, &m->ways,
		      m->shelf ? shelf_get_path(m->shelf) :
				 mb_backup_get_info(m->volume.backup)->source))
		session =
			fuse_session_new(&args, m->shelf ? &shelf_ops : &fs_ops,
					 sizeof(fs_ops), m);
	fuse_opt_free_args(&args);
	if (!session)
		return EXIT_FAILED;
	m->session = session;
	workers_init(&m->workers);
	data_init(m);
	if (m->shelf && shelf_start(m->shelf, m) < 0) {
		log_line("cannot watch %s", shelf_get_path(m->shelf));
		goto out_destroy;
	}
	if (fuse_set_signal_handlers(session) < 0)
		goto out_destroy;
	if (mount_whole(session, mountpoint) < 0) {
		log_line("cannot mount on %s", mountpoint);
		goto out_handlers;
	}
	handshake_prepare(m);
	read_ahead_find(m, mountpoint);
	if (m->options->idle_s && idle_start(m, mountpoint) < 0)
		log_line("cannot watch for idleness: it stays mounted");
	/* a signal is a way to end it, not a failure */
	rc = loop(m) < 0 ? EXIT_FAILED : EXIT_FINE;
	fuse_session_unmount(session);
	if (m->options->rmdir)
		mountpoint_remove(mountpoint);
out_handlers:
	fuse_remove_signal_handlers(session);
out_destroy:
	if (m->shelf)
		shelf_end(m->shelf);
	data_end(m);
	fuse_session_destroy(session);
	workers_end(&m->workers);
	return rc;
}

/* What the child says, or that it has died without a word. */
static int wait_for_child(pid_t child, int from)
{
	char status = EXIT_FAILED;
	ssize_t n;
	int how;

	do
		n = read(from, &status, 1);
	while (n < 0 && errno == EINTR);
	close(from);
	if (n == 1)
		return status;
	while (waitpid(child, &how, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(how) && WEXITSTATUS(how) ? WEXITSTATUS(how) :
						    EXIT_FAILED;
}

static int serve_mount(struct mount *m, const char *mountpoint)
{
	int fds[2];
	pid_t child;

	if (m->options->foreground)
		return mount_and_loop(m, mountpoint);
	if (pipe2(fds, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		log_line("cannot go to the background: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (child) {
		close(fds[1]);
		return wait_for_child(child, fds[0]);
	}
	close(fds[0]);
	m->ready_fd = fds[1];
	return mount_and_loop(m, mountpoint);
}

int serve(const struct options *o, struct mb_backup *backup,
	  struct mb_tree *tree, const char *mountpoint)
{
	struct mount m = {
		.options = o,
		.on_ready = tell_parent,
		.ready_fd = -1,
	};

	volume_init(&m.volume, 0, backup, tree);
	ways_init(&m.ways, o->ways, backup);
	return serve_mount(&m, mountpoint);
}

int serve_shelf(const struct options *o, struct shelf *shelf,
		const char *mountpoint)
{
	struct mount m = {
		.options = o,
		.shelf = shelf,
		.on_ready = tell_parent,
		.ready_fd = -1,
	};

	ways_init(&m.ways, o->ways, NULL);
	return serve_mount(&m, mountpoint);
}
