/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/rekey.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup_example.h"
#include "fixture.h"
#include "opened.h"
#include "tap.h"

#define NEW "the other one"
#define ASIDE ".larder-rekey"

/*
 * ---- a system that can be stopped, and that can fail ----
 *
 * Each call that changes something on the disk is counted before it is made;
 * at the one that is asked for, the process is killed, or the call fails.
 */
static struct {
	int calls;
	int crash_at, fail_at; /* 0: never */
	int error;
	bool all_after; /* those that come later fail too */
	char log[200];	/* one letter a call */
	bool no_exchange, no_links;
} sys;

static bool fails(char letter)
{
	size_t at = strlen(sys.log);

	if (++sys.calls == sys.crash_at)
		kill(getpid(), SIGKILL);
	if (at + 1 < sizeof(sys.log))
		sys.log[at] = letter;
	if (!sys.fail_at || sys.calls < sys.fail_at ||
	    (sys.calls > sys.fail_at && !sys.all_after))
		return false;
	errno = sys.error;
	return true;
}

static int fail(int error)
{
	errno = error;
	return -1;
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
int __wrap_fsync(int fd);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	return fails('r') ? -1 : __real_renameat(from, a, to, b);
}

int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags)
{
	if (fails('x'))
		return -1;
	return sys.no_exchange ? fail(EINVAL) :
				 __real_renameat2(from, a, to, b, flags);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	return fails('u') ? -1 : __real_unlinkat(fd, name, flags);
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
	return fails('m') ? -1 : __real_mkdirat(fd, name, mode);
}

int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
	if (fails('l'))
		return -1;
	return sys.no_links ? fail(EPERM) :
			      __real_linkat(from, a, to, b, flags);
}

ssize_t __wrap_write(int fd, const void *ptr, size_t len)
{
	/* what is full takes a part of it */
	if (fails('w'))
		return -1;
	return __real_write(fd, ptr, len > 1000 ? 1000 : len);
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return fails('f') ? -1 : 0;
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return fails('c') ? -1 : __real_fchmod(fd, mode);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd, (void)request;
	return fail(EOPNOTSUPP);
}

static void calm(void)
{
	memset(&sys, 0, sizeof(sys));
}

/* ---- backups ---- */

static const struct example entries[] = {
	{ .domain = "HomeDomain", .path = "Library", .mode = 040755 },
	{ .domain = "HomeDomain", .path = "Library/one", .content = "one" },
	{ .domain = "HomeDomain",
	  .path = "Library/four",
	  .content = "four",
	  .class = 4 },
};

static const char *new_backup(void)
{
	const char *dir = temp_dir();

	put_example(dir, entries, COUNT(entries), true);
	return dir;
}

static char notes[2000];

static void take_note(void *arg, const char *line)
{
	(void)arg;
	snprintf(notes + strlen(notes), sizeof(notes) - strlen(notes), "%s\n",
		 line);
}

static int unlock_with(struct mb_backup *b, const char *password,
		       uint8_t key[MB_DERIVED_KEY_LEN], struct mb_err *err)
{
	int rc = mb_backup_derive(b, password, strlen(password), key, err);

	return rc < 0 ? rc : mb_backup_unlock(b, key, err);
}

struct ask {
	const char *old, *new;
	uint32_t iterations;
	struct mb_rekey_result result;
	struct mb_err err;
};

static int rekey_with(const char *dir, struct ask *ask)
{
	struct mb_backup *b = NULL;
	struct mb_rekey *r = NULL;
	uint8_t key[MB_DERIVED_KEY_LEN];
	int rc = mb_backup_open(&b, dir, &ask->err);

	notes[0] = '\0';
	if (rc == 0)
		mb_backup_on_note(b, take_note, NULL);
	if (rc == 0)
		rc = mb_rekey_open(&r, b, ask->iterations, &ask->err);
	if (rc == 0)
		rc = mb_rekey_derive(r, ask->new, strlen(ask->new), &ask->err);
	if (rc == 0)
		rc = unlock_with(b, ask->old, key, &ask->err);
	if (rc == 0)
		rc = mb_rekey_commit(r, key, &ask->result, &ask->err);
	mb_rekey_free(r);
	mb_backup_free(b);
	return rc;
}

static int rekey(const char *dir, const char *old, const char *new)
{
	struct ask ask = { .old = old, .new = new };

	return rekey_with(dir, &ask);
}

/* The manifest and a payload: 0 if the password is the right one. */
static int opens(const char *dir, const char *password)
{
	struct mb_backup *b = NULL;
	uint8_t key[MB_DERIVED_KEY_LEN];
	struct mb_totals totals = { 0 };
	int rc = mb_backup_open(&b, dir, NULL);

	if (rc == 0)
		rc = unlock_with(b, password, key, NULL);
	if (rc == 0)
		rc = mb_backup_load(b, NULL);
	if (rc == 0)
		rc = mb_backup_each_domain(b, NULL, NULL, &totals, NULL);
	if (rc == 0)
		CHECK_INT(totals.records, COUNT(entries));
	mb_backup_free(b);
	return rc;
}

static bool is_changed(const char *dir)
{
	int old = opens(dir, PASSWORD), new = opens(dir, NEW);

	CHECK_AT((old == 0) != (new == 0), "%d, %d", old, new);
	CHECK_AT(old == 0 || old == -EKEYREJECTED, "%d", old);
	CHECK_AT(new == 0 || new == -EKEYREJECTED, "%d", new);
	return new == 0;
}

static bool is_same_file(const char *dir, const struct bytes *want)
{
	struct bytes now = read_file(in(dir, "Manifest.plist"));
	bool same =
		now.len == want->len && !memcmp(now.ptr, want->ptr, now.len);

	drop(&now);
	return same;
}

/* ---- cases ---- */

CASE(the_new_password_opens_it_and_the_old_one_does_not)
{
	struct ask ask = { .old = PASSWORD, .new = NEW };
	const char *dir = new_backup();

	CHECK_AT(rekey_with(dir, &ask) == 0, "%s", ask.err.text);
	CHECK(is_changed(dir));
	CHECK_INT(ask.result.classes, 4);
	CHECK_INT(ask.result.iterations, 2000);
	CHECK(!exists(dir, ASIDE));
	CHECK_TEXT(notes, "");
	CHECK_INT(rekey(dir, NEW, PASSWORD), 0);
	CHECK(!is_changed(dir));
}

CASE(the_same_password_again_is_another_key)
{
	const char *dir = new_backup();
	struct bytes before = read_file(in(dir, "Manifest.plist"));

	CHECK_INT(rekey(dir, PASSWORD, PASSWORD), 0);
	CHECK(!is_same_file(dir, &before));
	CHECK(!is_changed(dir));
	drop(&before);
}

CASE(another_count_of_iterations_is_stored)
{
	struct ask ask = { .old = PASSWORD, .new = NEW, .iterations = 7 };
	const char *dir = new_backup();
	struct mb_backup *b = NULL;

	CHECK_INT(rekey_with(dir, &ask), 0);
	CHECK(is_changed(dir));
	CHECK_INT(ask.result.iterations, 7);
	CHECK_INT(mb_backup_open(&b, dir, NULL), 0);
	CHECK_INT(b->keybag.double_iterations, 7);
	CHECK_INT(b->keybag.iterations, 1000);
	mb_backup_free(b);
	ask.iterations = KEYBAG_DOUBLE_ITERATIONS_MAX + 1;
	ask.old = NEW;
	CHECK_INT(rekey_with(dir, &ask), -EINVAL);
	CHECK(is_changed(dir));
}

CASE(what_cannot_be_done_changes_nothing)
{
	static const struct {
		const char *old, *new;
		int rc;
	} tries[] = {
		{ "wrong", NEW, -EKEYREJECTED },
		{ PASSWORD, "", -EINVAL },
	};
	const char *dir = new_backup();
	struct bytes before = read_file(in(dir, "Manifest.plist"));
	struct ask ask;

	for (size_t i = 0; i < COUNT(tries); i++) {
		ask = (struct ask){ .old = tries[i].old, .new = tries[i].new };
		CHECK_INT(rekey_with(dir, &ask), tries[i].rc);
		CHECK_INT(ask.err.code, tries[i].rc);
		CHECK(is_same_file(dir, &before));
	}
	/* a device is at it */
	put_status(dir, "uploading");
	CHECK_INT(rekey(dir, PASSWORD, NEW), -EBUSY);
	CHECK(is_same_file(dir, &before));
	CHECK(!exists(dir, ASIDE));
	drop(&before);
	/* not encrypted */
	dir = temp_dir();
	put_example(dir, entries, COUNT(entries), false);
	ask = (struct ask){ .old = PASSWORD, .new = NEW };
	CHECK_INT(rekey_with(dir, &ask), -EINVAL);
}

CASE(a_damaged_manifest_is_told_before_anything_is_touched)
{
	const char *dir = new_backup();
	struct bytes before = read_file(in(dir, "Manifest.plist"));
	uint8_t garbage[64] = { 1 };

	put_file(dir, "Manifest.db", garbage, sizeof(garbage));
	calm();
	CHECK_INT(rekey(dir, PASSWORD, NEW), -EBADMSG);
	CHECK_TEXT(sys.log, "");
	CHECK(is_same_file(dir, &before));
	drop(&before);
}

CASE(a_list_that_has_changed_meanwhile_is_left_alone)
{
	const char *dir = new_backup();
	struct mb_backup *b = NULL;
	struct mb_rekey *r = NULL;
	struct mb_rekey_result result;
	uint8_t key[MB_DERIVED_KEY_LEN];

	CHECK_INT(mb_backup_open(&b, dir, NULL), 0);
	CHECK_INT(unlock_with(b, PASSWORD, key, NULL), 0);
	CHECK_INT(mb_rekey_open(&r, b, 0, NULL), 0);
	CHECK_INT(mb_rekey_derive(r, "a third one", 11, NULL), 0);
	CHECK_INT(rekey(dir, PASSWORD, NEW), 0);
	CHECK_INT(mb_rekey_commit(r, key, &result, NULL), -ESTALE);
	CHECK(is_changed(dir));
	CHECK(!exists(dir, ASIDE));
	mb_rekey_free(r);
	mb_backup_free(b);
}

CASE(mode_and_other_names_of_the_list_stay)
{
	const char *dir = new_backup(), *kept = temp_dir();
	struct bytes before = read_file(in(dir, "Manifest.plist"));
	struct stat st;

	CHECK_INT(chmod(in(dir, "Manifest.plist"), 0640), 0);
	CHECK_INT(link(in(dir, "Manifest.plist"), in(kept, "Manifest.plist")),
		  0);
	CHECK_INT(rekey(dir, PASSWORD, NEW), 0);
	CHECK_INT(stat(in(dir, "Manifest.plist"), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_INT(st.st_nlink, 1);
	/* a version that was kept, with hard links, has its old password */
	CHECK(is_same_file(kept, &before));
	drop(&before);
}

/* ---- killed, and failed ---- */

static const struct {
	const char *name;
	bool no_exchange, no_links;
} systems[] = {
	{ "exchange", false, false },
	{ "links", true, false },
	{ "neither", true, true },
};

static void set_system(size_t i)
{
	calm();
	sys.no_exchange = systems[i].no_exchange;
	sys.no_links = systems[i].no_links;
}

/* Returns true if it was killed. */
static bool killed_at(const char *dir, size_t system, int call)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		set_system(system);
		sys.crash_at = call;
		_exit(rekey(dir, PASSWORD, NEW) == 0 ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		abort();
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

CASE(killed_at_any_call_one_of_the_two_passwords_opens_it)
{
	for (size_t i = 0; i < COUNT(systems); i++) {
		int call = 1, old = 0, changed = 0;

		for (;; call++) {
			const char *dir = new_backup();
			bool killed = killed_at(dir, i, call), now;

			calm();
			now = is_changed(dir);
			old += !now;
			changed += now;
			/* and the next one clears away what is left */
			CHECK_INT(rekey(dir, now ? NEW : PASSWORD, "third"), 0);
			CHECK_INT(opens(dir, "third"), 0);
			CHECK_AT(!exists(dir, ASIDE), "%s %d", systems[i].name,
				 call);
			if (!killed)
				break;
		}
		printf("# %s: %d calls, old %d times, new %d times\n",
		       systems[i].name, call - 1, old, changed);
		CHECK(old >= 5 && changed >= 5);
	}
}

/* What is left of a run that was killed does not disturb the reader. */
CASE(what_a_killed_run_leaves_is_no_part_of_the_backup)
{
	const char *dir = new_backup();
	struct mb_backup *b = NULL;

	for (int call = 1; !exists(dir, ASIDE "/Manifest.plist"); call++)
		if (!CHECK(killed_at(dir, 0, call)))
			return;
	calm();
	CHECK(!is_changed(dir));
	CHECK_INT(mb_backup_open(&b, dir, NULL), 0);
	CHECK_INT(b->info.complete, true);
	mb_backup_free(b);
}

CASE(whatever_fails_is_told_and_nothing_is_left_half_done)
{
	static const int errors[] = { ENOSPC, EIO, EROFS };

	for (size_t i = 0; i < COUNT(systems); i++) {
		for (int call = 1;; call++) {
			const char *dir = new_backup();
			struct bytes before =
				read_file(in(dir, "Manifest.plist"));
			struct ask ask = { .old = PASSWORD, .new = NEW };
			int calls, rc;
			char letter;

			set_system(i);
			sys.fail_at = call;
			sys.error = errors[call % 3];
			rc = rekey_with(dir, &ask);
			calls = sys.calls;
			letter = sys.log[call - 1];
			calm();
			if (rc < 0) {
				CHECK_AT(!is_changed(dir), "%s %d",
					 systems[i].name, call);
				CHECK(is_same_file(dir, &before));
				CHECK(strstr(ask.err.text, dir));
			} else {
				/* only cleaning up may fail and not matter,
				 * and the mode of a copy for emergencies */
				CHECK(is_changed(dir));
				CHECK_AT(calls < call || letter == 'c' ||
						 strstr(notes, ASIDE),
					 "%s %d", systems[i].name, call);
			}
			if (rc < 0 && exists(dir, ASIDE))
				CHECK(strstr(notes, ASIDE));
			drop(&before);
			if (calls < call)
				break;
		}
	}
}

CASE(a_disk_that_stays_full_or_goes_away_costs_no_password)
{
	for (size_t i = 0; i < COUNT(systems); i++) {
		for (int call = 1;; call++) {
			const char *dir = new_backup();
			struct ask ask = { .old = PASSWORD, .new = NEW };
			int calls, rc;

			set_system(i);
			sys.fail_at = call;
			sys.all_after = true;
			sys.error = EIO;
			rc = rekey_with(dir, &ask);
			calls = sys.calls;
			calm();
			/* where even going back fails, the line says so */
			if (is_changed(dir))
				CHECK_AT(rc == 0 ||
						 strstr(ask.err.text,
							"may be the right one"),
					 "%s", ask.err.text);
			else
				CHECK(rc < 0);
			if (calls < call)
				break;
		}
	}
}

int main(void)
{
	RUN(the_new_password_opens_it_and_the_old_one_does_not);
	RUN(the_same_password_again_is_another_key);
	RUN(another_count_of_iterations_is_stored);
	RUN(what_cannot_be_done_changes_nothing);
	RUN(a_damaged_manifest_is_told_before_anything_is_touched);
	RUN(a_list_that_has_changed_meanwhile_is_left_alone);
	RUN(mode_and_other_names_of_the_list_stay);
	RUN(killed_at_any_call_one_of_the_two_passwords_opens_it);
	RUN(what_a_killed_run_leaves_is_no_part_of_the_backup);
	RUN(whatever_fails_is_told_and_nothing_is_left_half_done);
	RUN(a_disk_that_stays_full_or_goes_away_costs_no_password);
	return tap_end();
}
