/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "staging.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fixture.h"
#include "folder_text.h"
#include "host_dir.h"
#include "tap.h"
#include "watch.h"

#define U "00008110-000A1B2C3D4E5F67"
#define STATE ".larder-" U

/*
 * ---- a system that can be stopped, and that tells what was asked of it ----
 *
 * Each call that changes something on the disk is counted before it is made;
 * at the one that is asked for, the process is killed.
 */
static struct {
	int calls;
	int crash_at;	   /* 0: never */
	char log[4000];	   /* one letter a call */
	bool no_exchange;  /* as on many file systems */
	bool no_flags;	   /* as on NFS: renameat2 can nothing but rename */
	int sync_error;	   /* of syncfs */
	int rename_error;  /* when the folders change places */
	bool really_syncs; /* takes its time */
} sys;

static void on_call(char letter)
{
	size_t at = strlen(sys.log);

	if (++sys.calls == sys.crash_at)
		kill(getpid(), SIGKILL);
	if (at + 1 < sizeof(sys.log))
		sys.log[at] = letter;
}

static void calm(void)
{
	memset(&sys, 0, sizeof(sys));
}

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __real_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);
int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
ssize_t __real_write(int fd, const void *ptr, size_t len);
ssize_t __wrap_write(int fd, const void *ptr, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, ...);
ssize_t __real_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags);

static int fail(int error)
{
	errno = error;
	return -1;
}

int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	on_call('r');
	return __real_renameat(from, a, to, b);
}

int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE;

	on_call(exchange ? 'x' : 'n');
	if (exchange && sys.rename_error)
		return fail(sys.rename_error);
	if (sys.no_flags || (exchange && sys.no_exchange))
		return fail(EINVAL);
	return __real_renameat2(from, a, to, b, flags);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	on_call('u');
	return __real_unlinkat(fd, name, flags);
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
	on_call('m');
	return __real_mkdirat(fd, name, mode);
}

int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
	on_call('l');
	return __real_linkat(from, a, to, b, flags);
}

ssize_t __wrap_write(int fd, const void *ptr, size_t len)
{
	on_call('w');
	return __real_write(fd, ptr, len);
}

int __wrap_fsync(int fd)
{
	on_call('f');
	return sys.really_syncs ? __real_fsync(fd) : 0;
}

int __wrap_syncfs(int fd)
{
	on_call('S');
	if (sys.sync_error)
		return fail(sys.sync_error);
	return sys.really_syncs ? __real_syncfs(fd) : 0;
}

/* no reflinks, whatever this runs on */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == FICLONE)
		return fail(EOPNOTSUPP);
	return __real_ioctl(fd, request, arg);
}

ssize_t __wrap_copy_file_range(int in, off_t *in_off, int out, off_t *out_off,
			       size_t len, unsigned flags)
{
	on_call('c');
	return __real_copy_file_range(in, in_off, out, out_off, len, flags);
}

/* ---- backups and what is made of them ---- */

#define PAYLOAD U "/2d/2debd89c089c76aa1203149ceed4d7ca4bb692af"
#define OTHER_PAYLOAD U "/00/0000000000000000000000000000000000000001"

static void set_time(const char *dir, const char *name, int64_t seconds)
{
	struct timespec times[2] = { { seconds, 0 }, { seconds, 0 } };

	utimensat(AT_FDCWD, in(dir, name), times, 0);
}

/* A folder with a backup in it, made in the night of 2023-11-14. */
static const char *make_backup(void)
{
	const char *dir = temp_dir();

	put_text(dir, U "/Status.plist", "finished, version 1");
	put_text(dir, U "/Manifest.db", "manifest of version 1");
	put_text(dir, PAYLOAD, "first payload");
	put_text(dir, OTHER_PAYLOAD, "second payload");
	set_time(dir, U "/Status.plist", 1700000000);
	return dir;
}
#define MADE_AT "20231114-221320"
#define A_SECOND_LATER "20231114-221321"

static struct staging *open_staging(const char *dir)
{
	struct staging *s = NULL;
	struct mb_err err = { 0 };
	int rc = staging_open(&s, dir, U, &err);

	CHECK_AT(rc == 0, "%s", err.text);
	return s;
}

static int write_text(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = fd < 0 ? fd : write(fd, text, len);

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)len ? 0 : -EIO;
}

/* As a device does it: replaced by a new file. */
static int put(struct staging *s, const char *name, const char *text)
{
	const struct host_dir dir = { .fd = staging_get_fd(s), .udid = U };
	struct host_name n = { name, strlen(name) };
	struct host_name above = n;
	bool replaced;

	while (above.len && name[--above.len] != '/')
		;
	host_dir_make_dir(&dir, above, NULL);
	return write_text(host_dir_create(&dir, n, &replaced, NULL), text);
}

/* A whole run: everything of version @version. */
static int work(struct staging *s, int version)
{
	const struct host_dir dir = { .fd = staging_get_fd(s), .udid = U };
	static const struct host_name gone = { OTHER_PAYLOAD,
					       sizeof(OTHER_PAYLOAD) - 1 };
	char text[64];
	bool removed;
	int rc;

	snprintf(text, sizeof(text), "finished, version %d", version);
	rc = put(s, U "/Status.plist", text);
	if (rc == 0)
		rc = put(s, U "/Manifest.db", text);
	if (rc == 0)
		rc = put(s, U "/aa/new-payload", text);
	if (rc == 0)
		rc = host_dir_remove(&dir, gone, &removed, NULL);
	return rc;
}

static void no_note(void *arg, const char *line)
{
	(void)arg;
	CHECK_AT(false, "a note: %s", line);
}

static void count_note(void *arg, const char *line)
{
	CHECK(*line);
	++*(int *)arg;
}

static int run_backup(const char *dir, int version, int keep)
{
	struct staging *s;
	struct mb_err err = { 0 };
	int rc = staging_open(&s, dir, U, &err);

	if (rc < 0)
		return rc;
	rc = work(s, version);
	if (rc == 0)
		rc = staging_commit(s, keep, no_note, NULL, &err);
	staging_free(s);
	return rc;
}

static char *text_of(const char *dir, const char *name)
{
	return folder_text(in(dir, name));
}

static void check_text(const char *dir, const char *name, const char *want)
{
	char *text = text_of(dir, name);

	CHECK_TEXT(text, want);
	free(text);
}

/* ---- the clone ---- */

CASE(work_is_done_in_a_clone_beside_the_last_backup)
{
	const char *dir = make_backup();
	char *before = text_of(dir, U), *real = realpath(dir, NULL);
	struct staging *s = open_staging(dir);
	char path[4096];

	CHECK(staging_has_base(s));
	snprintf(path, sizeof(path), "%s/" STATE "/staging/" U, real);
	CHECK_TEXT(staging_get_path(s), path);
	snprintf(path, sizeof(path), "%s/" U, real);
	CHECK_TEXT(staging_get_target(s), path);
	check_text(dir, STATE "/staging/" U, before);
	CHECK_INT(staging_get_clone(s)->linked, 4);
	/* nobody else is to look into it */
	CHECK_INT(work(s, 2), 0);
	check_text(dir, U, before);
	staging_free(s);
	check_text(dir, U, before);
	CHECK(!exists(dir, STATE));
	free(before);
	free(real);
}

CASE(the_first_backup_begins_with_an_empty_folder)
{
	const char *dir = temp_dir();
	struct staging *s = open_staging(in(dir, "new"));

	CHECK(!staging_has_base(s));
	check_text(dir, "new/" STATE "/staging/" U, "");
	CHECK(exists(dir, "new/" STATE "/staging/" U));
	CHECK_INT(work(s, 1), 0);
	CHECK(!exists(dir, "new/" U));
	CHECK_INT(staging_commit(s, -1, no_note, NULL, NULL), 0);
	staging_free(s);
	CHECK(is_text(dir, "new/" U "/Status.plist", "finished, version 1"));
	CHECK(!exists(dir, "new/" STATE));
}

CASE(a_first_backup_that_is_given_up_leaves_nothing)
{
	const char *dir = temp_dir();
	struct staging *s = open_staging(dir);

	CHECK_INT(work(s, 1), 0);
	staging_free(s);
	check_text(dir, ".", "");
}

CASE(only_the_last_folder_of_the_way_is_made)
{
	const char *dir = temp_dir();
	struct staging *s = NULL;
	struct mb_err err;

	CHECK_INT(staging_open(&s, in(dir, "no/where"), U, &err), -ENOENT);
	CHECK(strstr(err.text, "no/where"));
	CHECK(!s);
	put_text(dir, "file", "");
	CHECK_INT(staging_open(&s, in(dir, "file"), U, &err), -ENOTDIR);
	CHECK(!s);
}

CASE(what_is_no_folder_is_no_backup_and_stays)
{
	const char *dir = temp_dir();
	struct staging *s = NULL;
	struct mb_err err;

	put_text(dir, U, "a file");
	CHECK_INT(staging_open(&s, dir, U, &err), -ENOTDIR);
	CHECK(strstr(err.text, U));
	CHECK(is_text(dir, U, "a file") && !exists(dir, STATE));
}

CASE(a_backup_behind_a_symbolic_link_is_worked_on_where_it_is)
{
	const char *dir = temp_dir(), *disk = make_backup();
	struct stat st;
	struct staging *s;

	rename(in(disk, U), in(disk, "my phone"));
	symlink(in(disk, "my phone"), in(dir, U));
	s = open_staging(dir);
	CHECK(exists(disk, STATE "/staging/" U "/Status.plist"));
	CHECK(!exists(dir, STATE));
	CHECK_INT(work(s, 2), 0);
	CHECK_INT(staging_commit(s, 1, no_note, NULL, NULL), 0);
	staging_free(s);
	CHECK(lstat(in(dir, U), &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(is_text(disk, "my phone/Status.plist", "finished, version 2"));
	CHECK(is_text(disk, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
}

CASE(a_symbolic_link_that_leads_nowhere_is_told)
{
	const char *dir = temp_dir();
	struct staging *s = NULL;
	struct mb_err err;

	symlink("no/where", in(dir, U));
	CHECK_INT(staging_open(&s, dir, U, &err), -ENOENT);
	CHECK(strstr(err.text, "link") && !s);
	CHECK(!exists(dir, STATE));
}

/* ---- one at a time ---- */

CASE(a_second_process_is_refused_and_disturbs_nothing)
{
	/* static: not lost in the eyes of who looks for leaks in the child */
	static char *before;
	static struct staging *s;
	const char *dir = make_backup();
	int status = 0;
	pid_t pid;

	before = text_of(dir, U);
	s = open_staging(dir);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct staging *second = NULL;
		struct mb_err err = { 0 };

		CHECK_INT(staging_open(&second, dir, U, &err), -EBUSY);
		CHECK(strstr(err.text, U) && !second);
		_exit(tap.bad ? 99 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	check_text(dir, STATE "/staging/" U, before);
	CHECK_INT(work(s, 2), 0);
	CHECK_INT(staging_commit(s, -1, no_note, NULL, NULL), 0);
	staging_free(s);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
	CHECK(is_text(dir, PAYLOAD, "first payload"));
	/* and when it has ended, the next one may */
	CHECK_INT(run_backup(dir, 3, -1), 0);
	free(before);
}

CASE(another_device_in_the_same_folder_is_nobodys_hindrance)
{
	const char *dir = make_backup();
	struct staging *s = open_staging(dir), *other = NULL;

	CHECK_INT(staging_open(&other, dir, "other", NULL), 0);
	staging_free(other);
	staging_free(s);
}

/* ---- commit ---- */

CASE(a_commit_puts_the_new_version_in_place_and_removes_the_old)
{
	const char *dir = make_backup();
	struct stat st;

	sys.really_syncs = true;
	CHECK_INT(run_backup(dir, 2, -1), 0);
	calm();
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
	CHECK(is_text(dir, PAYLOAD, "first payload"));
	CHECK(!exists(dir, OTHER_PAYLOAD));
	CHECK(!exists(dir, STATE) && !exists(dir, U "-" MADE_AT));
	/* nobody shares its files any more */
	CHECK(stat(in(dir, PAYLOAD), &st) == 0 && st.st_nlink == 1);
}

CASE(everything_is_on_disk_before_it_takes_its_place)
{
	const char *dir = make_backup();
	struct staging *s = open_staging(dir);
	const char *sync, *ready, *intent, *exchange;

	CHECK_INT(work(s, 2), 0);
	calm();
	CHECK_INT(staging_commit(s, -1, no_note, NULL, NULL), 0);
	sync = strchr(sys.log, 'S');
	ready = strchr(sys.log, 'r');
	intent = strchr(sys.log, 'w');
	exchange = strchr(sys.log, 'x');
	if (CHECK_AT(sync && ready && intent && exchange, "%s", sys.log)) {
		CHECK_AT(sync < ready && ready < intent && intent < exchange,
			 "%s", sys.log);
		/* each step is brought to disk before the next begins */
		CHECK_AT(memchr(ready, 'f', (size_t)(intent - ready)), "%s",
			 sys.log);
		CHECK_AT(exchange[-1] == 'f' && exchange[1] == 'f', "%s",
			 sys.log);
		/* nothing was removed before but what lay in the way */
		CHECK_AT(strrchr(sys.log, 'u') > exchange + 1, "%s", sys.log);
	}
	calm();
	staging_free(s);
}

CASE(without_an_exchange_two_renames_do)
{
	const char *dir = make_backup();

	sys.no_exchange = true;
	CHECK_INT(run_backup(dir, 2, 1), 0);
	calm();
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
	CHECK(is_text(dir, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
	CHECK(!exists(dir, STATE "/previous") && !exists(dir, STATE "/ready"));
}

CASE(a_file_system_that_can_only_rename_will_do)
{
	const char *dir = temp_dir();

	sys.no_flags = true;
	CHECK_INT(run_backup(dir, 1, 2), 0);
	set_time(dir, U "/Status.plist", 1700000000);
	CHECK_INT(run_backup(dir, 2, 2), 0);
	CHECK_INT(run_backup(dir, 3, 2), 0);
	calm();
	CHECK(is_text(dir, U "/Status.plist", "finished, version 3"));
	CHECK(is_text(dir, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
}

/* What was not committed is removed, and the last good backup is in place. */
static void check_failed_commit(int want)
{
	const char *dir = make_backup();
	char *before = text_of(dir, ".");
	struct staging *s = open_staging(dir);
	struct mb_err err = { 0 };

	CHECK_INT(work(s, 2), 0);
	CHECK_INT(staging_commit(s, 1, no_note, NULL, &err), want);
	CHECK_INT(err.code, want);
	CHECK(*err.text);
	staging_free(s);
	check_text(dir, ".", before);
	calm();
	CHECK_INT(run_backup(dir, 3, 1), 0);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 3"));
	free(before);
}

CASE(a_clone_that_does_not_reach_the_disk_does_not_take_its_place)
{
	sys.sync_error = EIO;
	check_failed_commit(-EIO);
}

CASE(a_failed_exchange_leaves_the_last_backup)
{
	sys.rename_error = EIO;
	check_failed_commit(-EIO);
}

CASE(a_clone_that_the_device_removed_is_not_committed)
{
	const char *dir = make_backup();
	char *before = text_of(dir, ".");
	struct staging *s = open_staging(dir);
	const struct host_dir d = { .fd = staging_get_fd(s), .udid = U };
	bool removed;

	CHECK_INT(host_dir_remove(&d, (struct host_name){ U, sizeof(U) - 1 },
				  &removed, NULL),
		  0);
	CHECK_INT(staging_commit(s, 1, no_note, NULL, NULL), -ENOENT);
	staging_free(s);
	check_text(dir, ".", before);
	free(before);
}

/* ---- versions that are kept ---- */

static int count_versions(const char *dir)
{
	struct dirent **names;
	int count = scandir(dir, &names, NULL, NULL), versions = 0;

	for (int i = 0; i < count; i++) {
		versions += !strncmp(names[i]->d_name, U "-", sizeof(U));
		free(names[i]);
	}
	free(names);
	return versions;
}

/* Runs one after the other, each finished at a second of its own. */
static void run_many(const char *dir, int from, int to, int keep)
{
	for (int v = from; v <= to; v++) {
		CHECK_INT(run_backup(dir, v, keep), 0);
		set_time(dir, U "/Status.plist", 1700000000 + v);
	}
}

CASE(as_many_versions_are_kept_as_wished)
{
	const char *dir = make_backup();

	run_many(dir, 2, 6, 2);
	CHECK_INT(count_versions(dir), 2);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 6"));
	CHECK(is_text(dir, U "-20231114-221325/Status.plist",
		      "finished, version 5"));
	CHECK(is_text(dir, U "-20231114-221324/Status.plist",
		      "finished, version 4"));
	run_many(dir, 7, 7, 1);
	CHECK_INT(count_versions(dir), 1);
	CHECK(is_text(dir, U "-20231114-221326/Status.plist",
		      "finished, version 6"));
	/* none, and then nothing of ours is left */
	run_many(dir, 8, 8, 0);
	CHECK_INT(count_versions(dir), 0);
	CHECK(!exists(dir, STATE));
}

CASE(without_a_wish_kept_versions_stay_and_the_replaced_goes)
{
	const char *dir = make_backup();

	run_many(dir, 2, 3, 5);
	CHECK_INT(count_versions(dir), 2);
	run_many(dir, 4, 6, -1);
	CHECK_INT(count_versions(dir), 2);
	CHECK(is_text(dir, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
	CHECK(is_text(dir, U "/Status.plist", "finished, version 6"));
}

CASE(a_kept_version_is_what_it_was_and_shares_what_did_not_change)
{
	const char *dir = make_backup();
	char *before = text_of(dir, U);
	struct stat a, b;

	CHECK_INT(run_backup(dir, 2, 1), 0);
	check_text(dir, U "-" MADE_AT, before);
	stat(in(dir, PAYLOAD), &a);
	stat(in(dir,
		U "-" MADE_AT "/2d/2debd89c089c76aa1203149ceed4d7ca4bb692af"),
	     &b);
	CHECK(a.st_ino == b.st_ino);
	free(before);
}

CASE(two_versions_of_one_second_have_two_names)
{
	const char *dir = make_backup();

	CHECK_INT(run_backup(dir, 2, 5), 0);
	set_time(dir, U "/Status.plist", 1700000000);
	CHECK_INT(run_backup(dir, 3, 5), 0);
	CHECK(is_text(dir, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
	CHECK(is_text(dir, U "-" A_SECOND_LATER "/Status.plist",
		      "finished, version 2"));
}

CASE(only_what_was_kept_by_larder_is_ever_removed)
{
	const char *dir = make_backup();
	char *own;

	/* names like ours, and others */
	put_text(dir, U "-20200101-000000/Status.plist", "the user's");
	put_text(dir, U "-copy/file", "the user's");
	put_text(dir, "other/file", "the user's");
	own = text_of(dir, U "-20200101-000000");
	run_many(dir, 2, 5, 1);
	run_many(dir, 6, 6, 0);
	check_text(dir, U "-20200101-000000", own);
	CHECK(is_text(dir, U "-copy/file", "the user's"));
	CHECK(is_text(dir, "other/file", "the user's"));
	CHECK_INT(count_versions(dir), 2);
	free(own);
}

CASE(a_version_that_the_user_took_is_not_missed)
{
	const char *dir = make_backup();

	run_many(dir, 2, 4, 5);
	CHECK_INT(count_versions(dir), 3);
	rename(in(dir, U "-20231114-221322"), in(dir, "mine"));
	run_many(dir, 5, 5, 3);
	/* 1, 3 and 4: that one is gone does not cost another */
	CHECK_INT(count_versions(dir), 3);
	CHECK(is_text(dir, U "-" MADE_AT "/Status.plist",
		      "finished, version 1"));
	CHECK(is_text(dir, "mine/Status.plist", "finished, version 2"));
}

CASE(a_list_with_odd_lines_harms_nothing)
{
	const char *dir = make_backup();
	char *before;

	put_text(dir, "other/file", "the user's");
	put_text(dir, STATE "/kept",
		 "..\n.\n\n../other\nother/file\n/etc\n" U "\nother");
	before = text_of(dir, "other");
	CHECK_INT(run_backup(dir, 2, 0), 0);
	check_text(dir, "other", before);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
	free(before);
}

/* ---- what a killed run leaves ---- */

struct crash {
	const char *what;
	int keep;
	bool first, no_exchange;
};

/* Two versions kept before, and a folder that only looks like one. */
static const char *make_history(bool first)
{
	const char *dir = first ? temp_dir() : make_backup();

	if (!first) {
		put_text(dir, U "-20210101-000000/Status.plist", "oldest");
		put_text(dir, U "-20210102-000000/Status.plist", "older");
		put_text(dir, STATE "/kept",
			 U "-20210101-000000\n" U "-20210102-000000\n");
	}
	put_text(dir, U "-20200101-000000/Status.plist", "the user's");
	put_text(dir, U "-20200101-000000/Manifest.db", "the user's");
	return dir;
}

static char *old_text, *new_text; /* of the backup; old is "" for a first one */

/* No folder that looks like a backup is anything but a whole one. */
static void check_versions(const char *dir, const struct crash *c, int at)
{
	struct dirent **names;
	int count = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		char status[300];

		snprintf(status, sizeof(status), "%s/Status.plist", name);
		if (!strcmp(name, U "-" MADE_AT)) {
			check_text(dir, name, old_text);
		} else if (!strncmp(name, U "-", sizeof(U))) {
			CHECK_AT(is_text(dir, status, "oldest") ||
					 is_text(dir, status, "older") ||
					 is_text(dir, status, "the user's"),
				 "%s at call %d: half of %s", c->what, at,
				 name);
		}
		free(names[i]);
	}
	free(names);
	CHECK(is_text(dir, U "-20200101-000000/Manifest.db", "the user's"));
}

/* Returns true if it is the new one. */
static bool check_backup(const char *dir, const struct crash *c, int at)
{
	char *text = text_of(dir, U);
	bool is_new = !strcmp(text, new_text);

	CHECK_AT(is_new || !strcmp(text, old_text),
		 "%s at call %d: neither the old nor the new backup: %s",
		 c->what, at, text);
	free(text);
	check_versions(dir, c, at);
	return is_new;
}

/* A run in a process that ends at the call @at; true if it came to its end. */
static bool run_until(const char *dir, const struct crash *c, int at)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		calm();
		tap.bad = 0;
		sys.no_exchange = c->no_exchange;
		sys.crash_at = at;
		_exit(run_backup(dir, 2, c->keep) == 0 && !tap.bad ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK_AT(status == 0 || status == SIGKILL, "%s at call %d: %x", c->what,
		 at, (unsigned)status);
	return status != SIGKILL;
}

/* The next run clears away what is left, and gives up. */
static void recover_and_check(const char *dir, const struct crash *c, int at,
			      bool was_new)
{
	struct staging *s = NULL;
	struct mb_err err = { 0 };

	sys.no_exchange = c->no_exchange;
	CHECK_AT(staging_open(&s, dir, U, &err) == 0, "%s at call %d: %s",
		 c->what, at, err.text);
	staging_free(s);
	CHECK(check_backup(dir, c, at) == was_new);
	CHECK_AT(!exists(dir, STATE "/staging") &&
			 !exists(dir, STATE "/ready") &&
			 !exists(dir, STATE "/previous") &&
			 !exists(dir, STATE "/pruned") &&
			 !exists(dir, STATE "/intent") &&
			 exists(dir, STATE) == exists(dir, STATE "/kept"),
		 "%s at call %d: something is left", c->what, at);
	if (was_new && !c->first)
		CHECK_AT(exists(dir, U "-" MADE_AT) == (c->keep > 0),
			 "%s at call %d: the version before", c->what, at);
}

/* Between two renames there may be no backup at all, but an old one aside. */
static bool look_at_once(const char *dir, const struct crash *c, int at)
{
	if (c->no_exchange && !exists(dir, U) && !c->first) {
		check_text(dir, STATE "/previous", old_text);
		return false;
	}
	return check_backup(dir, c, at);
}

static void learn_texts(const struct crash *c)
{
	const char *dir = make_history(c->first);

	old_text = text_of(dir, U);
	CHECK_INT(run_backup(dir, 2, c->keep), 0);
	new_text = text_of(dir, U);
	CHECK(strcmp(old_text, new_text) != 0);
}

static void crash_everywhere(const struct crash *c)
{
	bool done = false;
	int at = 0;

	learn_texts(c);
	while (!done && tap.bad < 20) {
		const char *dir = make_history(c->first);
		bool is_new;

		done = run_until(dir, c, ++at);
		is_new = look_at_once(dir, c, at);
		if (done)
			CHECK(is_new);
		recover_and_check(dir, c, at, is_new);
		CHECK_INT(run_backup(dir, 3, c->keep), 0);
		CHECK(is_text(dir, U "/Status.plist", "finished, version 3"));
		calm();
	}
	/* it has been somewhere */
	CHECK(at > 20);
	free(old_text);
	free(new_text);
}

static const struct crash crashes[] = {
	{ "keeping one", 1, false, false },
	{ "keeping one, two renames", 1, false, true },
	{ "keeping many", 9, false, false },
	{ "keeping none", 0, false, false },
	{ "no wish", -1, false, false },
	{ "no wish, two renames", -1, false, true },
	{ "the first one", 2, true, false },
};

CASE(wherever_a_run_is_killed_the_backup_is_the_old_or_the_new)
{
	for (size_t i = 0; i < COUNT(crashes); i++)
		crash_everywhere(&crashes[i]);
}

/* The run that clears away is killed as well, at each of its calls. */
static void crash_twice(const struct crash *c)
{
	bool done = false;

	learn_texts(c);
	for (int first = 1; !done && tap.bad < 20; first++) {
		bool done_again = false;

		for (int then = 1; !done_again && tap.bad < 20; then += 5) {
			const char *dir = make_history(c->first);
			bool is_new;

			done = run_until(dir, c, first);
			is_new = look_at_once(dir, c, first);
			if (done)
				break;
			done_again = run_until(dir, c, then);
			if (!done_again && !exists(dir, U) && c->no_exchange)
				continue;
			is_new |= check_backup(dir, c, then);
			if (!done_again && !is_new)
				recover_and_check(dir, c, then, false);
			calm();
		}
	}
	free(old_text);
	free(new_text);
}

CASE(whoever_clears_away_may_be_killed_too)
{
	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("takes seconds");
		return;
	}
	crash_twice(&crashes[4]);
	crash_twice(&crashes[5]);
}

CASE(what_a_torn_intent_says_is_not_believed)
{
	static const char *const intents[] = {
		"",
		"garbage",
		"1 ../../escape\n",
		"99999999999999999999999 " U "-" MADE_AT "\n",
		"-1 x\n",
		"1 " U "-" MADE_AT,
	};

	for (size_t i = 0; i < COUNT(intents); i++) {
		const char *dir = make_backup();
		char *before = text_of(dir, U);

		put_text(dir, STATE "/intent", intents[i]);
		put_text(dir, STATE "/ready/Status.plist", "never came to be");
		put_text(dir, STATE "/staging/" U "/x", "half done");
		staging_free(open_staging(dir));
		check_text(dir, U, before);
		CHECK_INT(count_versions(dir), 0);
		CHECK(!exists(dir, STATE));
		free(before);
	}
}

CASE(links_in_what_is_cleared_away_are_not_followed)
{
	const char *dir = make_backup(), *outside = temp_dir();

	put_text(outside, "precious", "untouched");
	mkdir(in(dir, STATE), 0700);
	symlink(outside, in(dir, STATE "/staging"));
	symlink(outside, in(dir, STATE "/ready"));
	symlink(in(outside, "precious"), in(dir, STATE "/intent"));
	symlink(in(outside, "precious"), in(dir, STATE "/kept"));
	CHECK_INT(run_backup(dir, 2, -1), 0);
	CHECK(is_text(outside, "precious", "untouched"));
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
}

CASE(the_folder_of_the_state_may_not_be_a_link)
{
	const char *dir = make_backup(), *outside = temp_dir();
	struct staging *s = NULL;

	put_text(outside, "staging/precious", "untouched");
	symlink(outside, in(dir, STATE));
	CHECK(staging_open(&s, dir, U, NULL) < 0);
	CHECK(is_text(outside, "staging/precious", "untouched"));
}

/* ---- full disks: each in a process with a small file system of its own ---- */

static bool mount_small(const char *dir, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

static void in_small(const char *options, void (*run)(const char *dir))
{
	const char *dir = temp_dir();
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (!mount_small(dir, options))
			_exit(78);
		run(dir);
		fflush(stdout);
		_exit(tap.bad ? 99 : 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 78)
		SKIP("no file system can be mounted here");
	else
		CHECK_INT(status, 0);
}

static void put_backup(const char *dir)
{
	put_text(dir, U "/Status.plist", "finished, version 1");
	put_text(dir, PAYLOAD, "first payload");
}

static void fill(const char *dir)
{
	static char zeros[4096];
	int fd = open(in(dir, "filler"), O_CREAT | O_WRONLY, 0600);

	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	close(fd);
}

static void run_full_disk(const char *dir)
{
	struct mb_err err = { 0 };
	struct staging *s;
	char *before;

	put_backup(dir);
	before = text_of(dir, U);
	s = open_staging(dir);
	CHECK_INT(put(s, U "/Status.plist", "finished, version 2"), 0);
	fill(dir);
	CHECK(put(s, PAYLOAD, "longer than nothing") < 0);
	CHECK_INT(staging_commit(s, 1, no_note, NULL, &err), -ENOSPC);
	CHECK_INT(err.code, -ENOSPC);
	staging_free(s);
	check_text(dir, U, before);
	/* the disk does not stay full of what was given up */
	CHECK(!exists(dir, STATE));
	unlink(in(dir, "filler"));
	CHECK_INT(run_backup(dir, 2, 1), 0);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
	free(before);
}

CASE(a_full_disk_leaves_the_last_backup)
{
	in_small("size=128k", run_full_disk);
}

static void run_without_inodes(const char *dir)
{
	struct mb_err err = { 0 };
	struct staging *s = NULL;
	char *before;

	put_backup(dir);
	before = text_of(dir, ".");
	CHECK_INT(staging_open(&s, dir, U, &err), -ENOSPC);
	CHECK(!s && *err.text);
	check_text(dir, ".", before);
	free(before);
}

CASE(a_clone_that_does_not_fit_leaves_nothing)
{
	/* root, two folders, two files; then state, staging, UDID */
	in_small("nr_inodes=8", run_without_inodes);
}

static void run_mounted(const char *dir)
{
	struct mb_err err = { 0 };
	struct staging *s = NULL;

	mkdir(in(dir, U), 0700);
	if (mount("tmpfs", in(dir, U), "tmpfs", 0, "size=64k") < 0)
		return;
	CHECK_INT(staging_open(&s, dir, U, &err), -EXDEV);
	CHECK(strstr(err.text, U));
	CHECK(!exists(dir, STATE));
}

CASE(a_file_system_mounted_as_the_backup_is_refused_before_any_work)
{
	in_small("size=128k", run_mounted);
}

/* ---- trouble behind the commit ---- */

CASE(trouble_with_earlier_versions_is_a_note_and_no_failure)
{
	const char *dir = make_backup();
	struct staging *s = open_staging(dir);
	struct mb_err err = { 0 };
	int notes = 0;

	CHECK_INT(work(s, 2), 0);
	/* what cannot be replaced by the list of versions */
	put_text(dir, STATE "/kept/in/the/way", "");
	CHECK_INT(staging_commit(s, 1, count_note, &notes, &err), 0);
	CHECK_INT(notes, 1);
	staging_free(s);
	CHECK(is_text(dir, U "/Status.plist", "finished, version 2"));
}

static void cancel_child(const char *dir)
{
	struct staging *s = NULL;
	struct mb_err err = { 0 };

	put_backup(dir);
	watch_cancel();
	CHECK_INT(staging_open(&s, dir, U, &err), -ECANCELED);
	CHECK(!exists(dir, STATE));
	CHECK(is_text(dir, PAYLOAD, "first payload"));
}

CASE(a_cancelled_clone_leaves_nothing)
{
	in_small("size=128k", cancel_child);
}

int main(void)
{
	RUN(work_is_done_in_a_clone_beside_the_last_backup);
	RUN(the_first_backup_begins_with_an_empty_folder);
	RUN(a_first_backup_that_is_given_up_leaves_nothing);
	RUN(only_the_last_folder_of_the_way_is_made);
	RUN(what_is_no_folder_is_no_backup_and_stays);
	RUN(a_backup_behind_a_symbolic_link_is_worked_on_where_it_is);
	RUN(a_symbolic_link_that_leads_nowhere_is_told);
	RUN(a_second_process_is_refused_and_disturbs_nothing);
	RUN(another_device_in_the_same_folder_is_nobodys_hindrance);
	RUN(a_commit_puts_the_new_version_in_place_and_removes_the_old);
	RUN(everything_is_on_disk_before_it_takes_its_place);
	RUN(without_an_exchange_two_renames_do);
	RUN(a_file_system_that_can_only_rename_will_do);
	RUN(a_clone_that_does_not_reach_the_disk_does_not_take_its_place);
	RUN(a_failed_exchange_leaves_the_last_backup);
	RUN(a_clone_that_the_device_removed_is_not_committed);
	RUN(as_many_versions_are_kept_as_wished);
	RUN(without_a_wish_kept_versions_stay_and_the_replaced_goes);
	RUN(a_kept_version_is_what_it_was_and_shares_what_did_not_change);
	RUN(two_versions_of_one_second_have_two_names);
	RUN(only_what_was_kept_by_larder_is_ever_removed);
	RUN(a_version_that_the_user_took_is_not_missed);
	RUN(a_list_with_odd_lines_harms_nothing);
	RUN(wherever_a_run_is_killed_the_backup_is_the_old_or_the_new);
	RUN(whoever_clears_away_may_be_killed_too);
	RUN(what_a_torn_intent_says_is_not_believed);
	RUN(links_in_what_is_cleared_away_are_not_followed);
	RUN(the_folder_of_the_state_may_not_be_a_link);
	RUN(a_full_disk_leaves_the_last_backup);
	RUN(a_clone_that_does_not_fit_leaves_nothing);
	RUN(a_file_system_mounted_as_the_backup_is_refused_before_any_work);
	RUN(trouble_with_earlier_versions_is_a_note_and_no_failure);
	RUN(a_cancelled_clone_leaves_nothing);
	return tap_end();
}
