/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beneath.h"
#include "fixture.h"
#include "tap.h"

#define NAME ".larder-work"

static const char *dir;
static int dir_fd;
static struct mb_err err;

static void new_folder(void)
{
	if (dir)
		close(dir_fd);
	dir = temp_dir();
	dir_fd = open_dir(dir);
	err = (struct mb_err){ 0 };
}

CASE(a_folder_is_made_and_given)
{
	struct stat st;
	int fd;

	new_folder();
	fd = workdir_open(dir_fd, NAME, &err);
	if (!CHECK(fd >= 0))
		return;
	CHECK_INT(stat(in(dir, NAME), &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	/* what is in it may be a backup, which is nobody else's business */
	CHECK_INT(st.st_mode & 077, 0);
	CHECK_INT(beneath_make_dir(fd, "x", 0700), 0);
	CHECK(exists(dir, NAME "/x"));
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

CASE(what_another_left_is_there)
{
	int fd;

	new_folder();
	put_text(dir, NAME "/left", "over");
	fd = workdir_open(dir_fd, NAME, &err);
	CHECK(fd >= 0);
	CHECK(is_text(dir, NAME "/left", "over"));
	close(fd);
}

CASE(a_second_one_is_told_that_it_is_in_use)
{
	int fd, rc;

	new_folder();
	fd = workdir_open(dir_fd, NAME, &err);
	rc = workdir_open(dir_fd, NAME, &err);
	CHECK_INT(rc, -EBUSY);
	CHECK_INT(err.code, -EBUSY);
	CHECK(strstr(err.text, NAME));
	/* another name is another folder */
	rc = workdir_open(dir_fd, NAME "2", &err);
	CHECK(rc >= 0);
	close(rc);
	close(fd);
	fd = workdir_open(dir_fd, NAME, &err);
	CHECK(fd >= 0);
	close(fd);
}

CASE(who_is_killed_leaves_the_folder_to_the_next)
{
	int ready[2], fd, status;
	char c;
	pid_t pid;

	new_folder();
	CHECK_INT(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		fd = workdir_open(dir_fd, NAME, NULL);
		c = fd >= 0 ? 'y' : 'n';
		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_INT(read(ready[0], &c, 1), 1);
	CHECK_INT(c, 'y');
	CHECK_INT(workdir_open(dir_fd, NAME, &err), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fd = workdir_open(dir_fd, NAME, &err);
	CHECK(fd >= 0);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

/* The lock of a folder that is gone protects nothing. */
CASE(a_folder_that_was_removed_is_made_anew)
{
	struct stat held, there;
	int first, second;

	new_folder();
	first = workdir_open(dir_fd, NAME, &err);
	CHECK_INT(beneath_remove(dir_fd, NAME), 0);
	second = workdir_open(dir_fd, NAME, &err);
	CHECK(second >= 0);
	CHECK_INT(fstat(second, &held), 0);
	CHECK_INT(stat(in(dir, NAME), &there), 0);
	CHECK_INT(held.st_ino, there.st_ino);
	close(first);
	/* the first one's end is not the second one's */
	CHECK_INT(workdir_open(dir_fd, NAME, &err), -EBUSY);
	close(second);
}

#define WORKERS 4
#define ROUNDS 500

static atomic_int inside, rounds_done, twice, lost, odd;

static void *work(void *arg)
{
	(void)arg;
	for (int done = 0; done < ROUNDS;) {
		int fd = workdir_open(dir_fd, NAME, NULL);

		if (fd < 0) {
			odd += fd != -EBUSY;
			continue;
		}
		if (atomic_fetch_add(&inside, 1))
			twice++;
		/* in a folder that was removed nothing can be made */
		if (beneath_make_dir(fd, "x", 0700) < 0)
			lost++;
		atomic_fetch_sub(&inside, 1);
		/* as its owner does in the end, in this order */
		beneath_remove(dir_fd, NAME);
		close(fd);
		done++;
		rounds_done++;
	}
	return NULL;
}

CASE(of_many_only_one_is_inside_at_a_time)
{
	pthread_t threads[WORKERS];

	new_folder();
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(rounds_done, WORKERS * ROUNDS);
	CHECK_INT(twice, 0);
	CHECK_INT(lost, 0);
	CHECK_INT(odd, 0);
	CHECK(!exists(dir, NAME));
}

CASE(what_is_no_folder_is_refused)
{
	new_folder();
	put_text(dir, "file", "content");
	CHECK_INT(workdir_open(dir_fd, "file", &err), -ENOTDIR);
	CHECK(strstr(err.text, "file"));
	CHECK_INT(symlink(temp_dir(), in(dir, "link")), 0);
	CHECK_INT(workdir_open(dir_fd, "link", &err), -ELOOP);
	CHECK_INT(symlink("nowhere", in(dir, "dangling")), 0);
	CHECK_INT(workdir_open(dir_fd, "dangling", &err), -ELOOP);
	CHECK(!exists(dir, "nowhere"));
	CHECK_INT(workdir_open(dir_fd, "../out", &err), -EXDEV);
	CHECK(is_text(dir, "file", "content"));
}

CASE(where_nothing_can_be_made)
{
	int gone;

	new_folder();
	gone = open_dir(dir);
	rmdir(dir);
	CHECK_INT(workdir_open(gone, NAME, &err), -ENOENT);
	CHECK_INT(err.code, -ENOENT);
	close(gone);
}

int main(void)
{
	RUN(a_folder_is_made_and_given);
	RUN(what_another_left_is_there);
	RUN(a_second_one_is_told_that_it_is_in_use);
	RUN(who_is_killed_leaves_the_folder_to_the_next);
	RUN(a_folder_that_was_removed_is_made_anew);
	RUN(of_many_only_one_is_inside_at_a_time);
	RUN(what_is_no_folder_is_refused);
	RUN(where_nothing_can_be_made);
	return tap_end();
}
