/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define PLACE ".larder-test"

static struct mb_err err;

static struct scratch *open_in(const char *dir)
{
	struct scratch *s = NULL;

	if (!CHECK_AT(scratch_open(&s, dir, "test", &err) == 0, "%s", err.text))
		abort();
	return s;
}

static void make_something(struct scratch *s)
{
	put_text(scratch_get_path(s), "in/it", "content");
}

CASE(there_is_an_empty_folder_to_fill)
{
	const char *dir = temp_dir();
	struct scratch *s = open_in(dir);
	struct stat by_path, by_fd;

	CHECK_INT(stat(scratch_get_path(s), &by_path), 0);
	CHECK_INT(fstat(scratch_get_fd(s), &by_fd), 0);
	CHECK_INT(by_path.st_ino, by_fd.st_ino);
	CHECK(S_ISDIR(by_path.st_mode) && !(by_path.st_mode & 077));
	CHECK(strstr(scratch_get_path(s), "/" PLACE "/"));
	CHECK_INT(rmdir(scratch_get_path(s)), 0);
	scratch_free(s);
}

CASE(it_is_gone_afterwards_with_everything_in_it)
{
	const char *dir = temp_dir();
	struct scratch *s = open_in(dir);

	put_text(dir, "beside", "it");
	make_something(s);
	CHECK(exists(dir, PLACE "/backup/in/it"));
	scratch_free(s);
	CHECK(!exists(dir, PLACE));
	CHECK(is_text(dir, "beside", "it"));
	scratch_free(NULL);
}

CASE(what_is_kept_has_a_name_of_its_own)
{
	const char *dir = temp_dir();
	struct scratch *s = open_in(dir);
	char *path = NULL;

	make_something(s);
	CHECK_INT(scratch_keep(s, "kept", &path, &err), 0);
	CHECK(is_text(dir, "kept/in/it", "content"));
	CHECK_TEXT(path, in(dir, "kept"));
	free(path);
	/* the lock is held until the end */
	CHECK(exists(dir, PLACE));
	scratch_free(s);
	CHECK(!exists(dir, PLACE));
	CHECK(is_text(dir, "kept/in/it", "content"));
}

CASE(nothing_is_ever_kept_over_something)
{
	const char *dir = temp_dir();
	struct scratch *s = open_in(dir);
	char *path = NULL;

	make_something(s);
	put_text(dir, "file", "theirs");
	mkdir(in(dir, "empty"), 0700);
	CHECK_INT(symlink("nowhere", in(dir, "link")), 0);
	CHECK_INT(scratch_keep(s, "file", &path, &err), -EEXIST);
	CHECK(strstr(err.text, "file"));
	CHECK_INT(scratch_keep(s, "empty", &path, &err), -EEXIST);
	CHECK_INT(scratch_keep(s, "link", &path, &err), -EEXIST);
	CHECK(!path);
	CHECK(is_text(dir, "file", "theirs"));
	CHECK(!exists(dir, "empty/in"));
	/* it is still there, for another name */
	CHECK_INT(scratch_keep(s, "free", &path, &err), 0);
	free(path);
	scratch_free(s);
	CHECK(is_text(dir, "free/in/it", "content"));
}

CASE(two_of_one_name_exclude_each_other)
{
	const char *dir = temp_dir();
	struct scratch *s = open_in(dir), *second = NULL, *other = NULL;

	make_something(s);
	CHECK_INT(scratch_open(&second, dir, "test", &err), -EBUSY);
	CHECK(!second);
	CHECK(strstr(err.text, dir));
	/* what the first one makes is not cleared away */
	CHECK(exists(dir, PLACE "/backup/in/it"));
	CHECK_INT(scratch_open(&other, dir, "other", &err), 0);
	scratch_free(other);
	scratch_free(s);
	second = open_in(dir);
	scratch_free(second);
}

CASE(what_a_killed_run_left_is_cleared_away)
{
	const char *dir = temp_dir();
	static struct scratch *held; /* by the one that is killed */
	struct scratch *s;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		held = open_in(dir);
		make_something(held);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	CHECK(exists(dir, PLACE "/backup/in/it"));
	s = open_in(dir);
	CHECK(exists(dir, PLACE "/backup"));
	CHECK(!exists(dir, PLACE "/backup/in"));
	scratch_free(s);
	CHECK(!exists(dir, PLACE));
}

/* Somebody's link is not followed, neither to fill it nor to empty it. */
CASE(a_link_in_the_place_leads_nowhere)
{
	const char *dir = temp_dir(), *theirs = temp_dir();
	struct scratch *s = NULL;

	put_text(theirs, "backup/precious", "content");
	CHECK_INT(symlink(theirs, in(dir, PLACE)), 0);
	CHECK_INT(scratch_open(&s, dir, "test", &err), -ELOOP);
	CHECK(is_text(theirs, "backup/precious", "content"));
	unlink(in(dir, PLACE));
	mkdir(in(dir, PLACE), 0700);
	CHECK_INT(symlink(in(theirs, "backup"), in(dir, PLACE "/backup")), 0);
	s = open_in(dir);
	make_something(s);
	CHECK(is_text(theirs, "backup/precious", "content"));
	CHECK(!exists(theirs, "backup/in"));
	scratch_free(s);
	CHECK(is_text(theirs, "backup/precious", "content"));
}

CASE(a_folder_that_is_not_there_is_told)
{
	const char *dir = temp_dir();
	struct scratch *s = NULL;

	/* not ENOENT, which would say that there is no backup to read */
	CHECK_INT(scratch_open(&s, in(dir, "absent"), "test", &err), -ENOTDIR);
	CHECK(strstr(err.text, "No such file"));
	CHECK(strstr(err.text, in(dir, "absent")));
	put_text(dir, "file", "");
	CHECK_INT(scratch_open(&s, in(dir, "file"), "test", &err), -ENOTDIR);
	CHECK(!s);
}

CASE(a_path_that_is_a_link_is_the_folder_it_leads_to)
{
	const char *dir = temp_dir(), *other = temp_dir();
	struct scratch *s;
	char *path = NULL;

	CHECK_INT(symlink(dir, in(other, "link")), 0);
	s = open_in(in(other, "link"));
	make_something(s);
	CHECK_INT(scratch_keep(s, "kept", &path, &err), 0);
	CHECK_TEXT(path, in(dir, "kept"));
	free(path);
	scratch_free(s);
	CHECK(is_text(dir, "kept/in/it", "content"));
}

int main(void)
{
	RUN(there_is_an_empty_folder_to_fill);
	RUN(it_is_gone_afterwards_with_everything_in_it);
	RUN(what_is_kept_has_a_name_of_its_own);
	RUN(nothing_is_ever_kept_over_something);
	RUN(two_of_one_name_exclude_each_other);
	RUN(what_a_killed_run_left_is_cleared_away);
	RUN(a_link_in_the_place_leads_nowhere);
	RUN(a_folder_that_is_not_there_is_told);
	RUN(a_path_that_is_a_link_is_the_folder_it_leads_to);
	return tap_end();
}
