/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "exit_status.h"
#include "language.h"
#include "log.h"
#include "mb/folder.h"
#include "mb/salvage.h"
#include "mountpoint.h"
#include "options.h"
#include "serve.h"
#include "ways.h"

static void note(void *arg, const char *line)
{
	(void)arg;
	log_line("%s", line);
}

/* A core file would put keys and plaintext on disk. */
static void forbid_core_files(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

/* mount -N: all paths are those of another mount namespace. */
static int enter_namespace(const char *path, struct mb_err *err)
{
	mb_auto(close) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		return mb_err_set(err, -EIO, "mount namespace %s: %s", path,
				  strerror(errno));
	return 0;
}

/* "nofail", as mount(8) has it: a disk that is not there today. */
static bool may_be_missing(const struct options *o)
{
	return o->helper && o->nofail && access(o->backup, F_OK) < 0 &&
	       (errno == ENOENT || errno == ENOTDIR);
}

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)
MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

static int run_shelf(const struct options *o)
{
	struct shelf *shelf = NULL;
	char *mountpoint = NULL;
	struct mb_err err;
	int rc;

	exit_when_interrupted(true);
	rc = shelf_open(&shelf, o, &err);
	if (rc == 0)
		rc = mountpoint_check(o->mountpoint, shelf_get_fd(shelf),
				      &mountpoint, &err);
	if (rc == 0)
		rc = shelf_ask(shelf, &err);
	exit_when_interrupted(false);
	if (rc < 0) {
		log_line("%s", err.text);
		rc = exit_status_of(rc);
	} else if (!o->fake) {
		rc = serve_shelf(o, shelf, mountpoint);
	}
	shelf_free(shelf);
	free(mountpoint);
	return rc;
}

static int open_it(struct mb_backup **backup, const struct options *o,
		   struct mb_err *err)
{
	return o->salvage ? mb_backup_open_salvage(backup, o->backup, err) :
			    mb_backup_open(backup, o->backup, err);
}

static int run_backup(const struct options *o)
{
	mb_auto(mb_backup_free) struct mb_backup *backup = NULL;
	mb_auto(mb_tree_free) struct mb_tree *tree = NULL;
	char *mountpoint = NULL;
	struct mb_err err;
	int rc;

	exit_when_interrupted(true);
	/* all that can be wrong is found before anything is mounted */
	rc = open_it(&backup, o, &err);
	if (rc == 0) {
		mb_backup_on_note(backup, note, NULL);
		rc = mountpoint_check(o->mountpoint, mb_backup_get_fd(backup),
				      &mountpoint, &err);
	}
	if (rc == 0)
		rc = unlock(backup, &o->unlock, &err);
	if (rc == 0)
		rc = mb_backup_load(backup, &err);
	if (rc == 0)
		rc = mb_tree_open(&tree, backup, o->view, &err);
	exit_when_interrupted(false);
	if (rc < 0) {
		log_line("%s", err.text);
		rc = may_be_missing(o) ? EXIT_FINE : exit_status_of(rc);
	} else if (!o->fake) {
		rc = serve(o, backup, tree, mountpoint);
	}
	free(mountpoint);
	return rc;
}

static int run(const struct options *o)
{
	struct mb_err err;
	int rc = o->namespace ? enter_namespace(o->namespace, &err) : 0;

	if (rc < 0) {
		log_line("%s", err.text);
		return exit_status_of(rc);
	}
	return mb_folder_holds_any(o->backup) ? run_shelf(o) : run_backup(o);
}

/* Of this machine and user; and of a backup, for which no password is needed. */
static int print_capabilities(const struct options *o)
{
	mb_auto(mb_backup_free) struct mb_backup *backup = NULL;
	mb_auto(buf_release) struct buf text = { 0 };
	struct ways ways;
	struct mb_err err;
	bool one = o->backup && !mb_folder_holds_any(o->backup);
	int rc = one ? mb_backup_open(&backup, o->backup, &err) : 0;

	if (rc < 0) {
		log_line("%s", err.text);
		return exit_status_of(rc);
	}
	ways_init(&ways, o->ways, backup);
	if (ways_describe(&ways, &text) < 0 ||
	    fwrite(text.ptr, 1, text.len, stdout) != text.len || fflush(stdout))
		return EXIT_FAILED;
	return EXIT_FINE;
}

int main(int argc, char **argv)
{
	struct options o;
	int rc = EXIT_USAGE;

	forbid_core_files();
	language_begin();
	switch (options_parse(&o, argc, argv)) {
	case OPTIONS_RUN:
		rc = o.capabilities ? print_capabilities(&o) : run(&o);
		break;
	case OPTIONS_DONE:
		rc = EXIT_FINE;
		break;
	case OPTIONS_BAD:
		break;
	}
	options_release(&o);
	return rc;
}
