/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ways.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ops.h"

#ifdef FUSE_CAP_PASSTHROUGH
#define HAS_PASSTHROUGH true
#else
#define HAS_PASSTHROUGH false
#endif

#define HAS_CUSTOM_IO (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14))

#ifdef FUSE_CAP_OVER_IO_URING
#define HAS_IO_URING true
#else
#define HAS_IO_URING false
#endif

static const char *const names[WAY_COUNT] = {
	[WAY_PASSTHROUGH] = "passthrough",
	[WAY_DIRECT] = "direct",
	[WAY_READ_AHEAD] = "read-ahead",
	[WAY_AHEAD] = "ahead",
	[WAY_STAT_AHEAD] = "stat-ahead",
	[WAY_OPEN_AHEAD] = "open-ahead",
	[WAY_STORE_AT_OPEN] = "store-at-open",
	[WAY_WORKERS] = "workers",
	[WAY_STAY_AWAKE] = "stay-awake",
	[WAY_SILENT_OPEN] = "silent-open",
	[WAY_IO_URING] = "io-uring",
};

#define DEFAULT "default" /* those of WAYS_DEFAULT */

#define SAY(w, way, ...) \
	snprintf((w)->of[way].why, sizeof((w)->of[way].why), __VA_ARGS__)

static void close_way(struct ways *w, enum way way, const char *why)
{
	if (w->of[way].state == WAY_NO)
		return;
	w->of[way].state = WAY_NO;
	SAY(w, way, "%s", why);
}

static void too_old(struct ways *w, enum way way, const char *needed)
{
	char why[80];

	snprintf(why, sizeof(why), "built with libfuse %s: %s is needed",
		 fuse_pkgversion(), needed);
	close_way(w, way, why);
}

/* The first line of a small file of the system; "" if it cannot be had. */
static void first_line(const char *path, char *out, int size)
{
	FILE *f = fopen(path, "re");

	*out = '\0';
	if (f && fgets(out, size, f))
		out[strcspn(out, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* CAP_SYS_ADMIN, and not just in a user namespace. */
static bool is_admin(void)
{
	const unsigned long long sys_admin = 1ull << 21;
	unsigned long long effective = 0;
	unsigned inside, outside, count;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	if (f)
		fclose(f);
	first_line("/proc/self/uid_map", line, sizeof(line));
	return effective & sys_admin &&
	       sscanf(line, "%u %u %u", &inside, &outside, &count) == 3 &&
	       count == UINT32_MAX;
}

static bool kernel_is_before(unsigned major, unsigned minor)
{
	struct utsname u;
	unsigned a = 0, b = 0;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &a, &b) == 2 &&
	       (a < major || (a == major && b < minor));
}

static void ask_passthrough(struct ways *w, const struct mb_backup *backup)
{
	if (!HAS_PASSTHROUGH)
		too_old(w, WAY_PASSTHROUGH, "3.17");
	else if (backup && mb_backup_get_info(backup)->encrypted)
		close_way(w, WAY_PASSTHROUGH,
			  "an encrypted backup has to be decrypted");
	else if (kernel_is_before(6, 9))
		close_way(w, WAY_PASSTHROUGH, "Linux 6.9 or later is needed");
	else if (!is_admin())
		close_way(w, WAY_PASSTHROUGH,
			  "root alone may: it takes CAP_SYS_ADMIN");
}

static void ask_read_ahead(struct ways *w)
{
	struct statvfs st;

	if (statvfs("/sys/class/bdi", &st) < 0)
		close_way(w, WAY_READ_AHEAD, "/sys is not there");
	else if (st.f_flag & ST_RDONLY)
		close_way(w, WAY_READ_AHEAD, "/sys is read-only");
	else if (geteuid() != 0)
		close_way(w, WAY_READ_AHEAD,
			  "root alone may set a mount's read_ahead_kb");
}

/* On a single processor who works ahead only gets in the way. */
static void ask_threads(struct ways *w)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		return;
	close_way(w, WAY_AHEAD, "there is one processor only");
	close_way(w, WAY_STAT_AHEAD, "there is one processor only");
	close_way(w, WAY_OPEN_AHEAD, "there is one processor only");
	close_way(w, WAY_STAY_AWAKE, "there is one processor only");
}

static void ask_io_uring(struct ways *w)
{
	char enabled[8];

	first_line("/sys/module/fuse/parameters/enable_uring", enabled,
		   sizeof(enabled));
	if (!HAS_IO_URING)
		too_old(w, WAY_IO_URING, "3.18");
	else if (!*enabled)
		close_way(w, WAY_IO_URING, "Linux 6.14 or later is needed");
	else if (*enabled != 'Y')
		close_way(w, WAY_IO_URING,
			  "/sys/module/fuse/parameters/enable_uring is N");
}

/* Why a way is not taken that could be. */
static const char *why_unwanted(enum way way)
{
	switch (way) {
	case WAY_SILENT_OPEN:
		return "a damaged file could not be read to its last good byte";
	case WAY_IO_URING:
		return "from front to back files are read slower by it";
	default:
		return "not among those of ways=";
	}
}

void ways_init(struct ways *w, unsigned wanted, const struct mb_backup *backup)
{
	*w = (struct ways){ .lock = PTHREAD_MUTEX_INITIALIZER };
	for (enum way way = 0; way < WAY_COUNT; way++) {
		w->of[way].state = WAY_UNTRIED;
		if (!(wanted & WAY_BIT(way)))
			close_way(w, way, why_unwanted(way));
	}
	ask_passthrough(w, backup);
	if (kernel_is_before(6, 6))
		close_way(w, WAY_DIRECT, "Linux 6.6 or later is needed");
	if (!HAS_CUSTOM_IO) {
		too_old(w, WAY_WORKERS, "3.14");
		too_old(w, WAY_STAY_AWAKE, "3.14");
	}
	ask_threads(w);
	ask_read_ahead(w);
	ask_io_uring(w);
}

const char *way_name(int way)
{
	return way < WAY_COUNT ? names[way] : NULL;
}

bool way_is_open(struct ways *w, enum way way)
{
	bool open;

	pthread_mutex_lock(&w->lock);
	open = w->of[way].state != WAY_NO;
	pthread_mutex_unlock(&w->lock);
	return open;
}

void way_works(struct ways *w, enum way way, const char *note)
{
	pthread_mutex_lock(&w->lock);
	if (w->of[way].state == WAY_UNTRIED) {
		w->of[way].state = WAY_YES;
		SAY(w, way, "%s", note);
	}
	pthread_mutex_unlock(&w->lock);
}

bool way_fails(struct ways *w, enum way way, const char *why)
{
	bool first;

	pthread_mutex_lock(&w->lock);
	first = w->of[way].state != WAY_NO;
	close_way(w, way, why);
	pthread_mutex_unlock(&w->lock);
	return first;
}

int ways_describe(struct ways *w, struct buf *out)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	for (enum way way = 0; way < WAY_COUNT && rc == 0; way++) {
		const char *why = w->of[way].why;
		char line[200];
		int len;

		if (w->of[way].state == WAY_UNTRIED)
			why = "not tried so far";
		len = snprintf(line, sizeof(line), "%s=%s%s%s%s\n", names[way],
			       w->of[way].state == WAY_NO ? "no" : "yes",
			       *why ? " (" : "", why, *why ? ")" : "");
		rc = buf_add(out, line, (size_t)len);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* The set behind a name of @len bytes, 0 if it is none. */
static unsigned set_named(const char *name, size_t len)
{
	if (len == strlen(DEFAULT) && !memcmp(name, DEFAULT, len))
		return WAYS_DEFAULT;
	for (enum way way = 0; way < WAY_COUNT; way++)
		if (len == strlen(names[way]) && !memcmp(name, names[way], len))
			return WAY_BIT(way);
	return 0;
}

bool ways_named(const char *list, unsigned *set)
{
	*set = 0;
	if (!strcmp(list, "none"))
		return true;
	for (;; list++) {
		size_t len = strcspn(list, ":");
		unsigned named = set_named(list, len);

		if (!named)
			return false;
		*set |= named;
		list += len;
		if (!*list)
			return true;
	}
}
