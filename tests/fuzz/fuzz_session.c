/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "session.h"

/*
 * A whole conversation: the first byte is how it is held (below), the rest is
 * all that the device says. Whatever that is, only the device's own folder and
 * its folders "<UDID>-YYYYMMDD-HHMMSS" may change, and nothing of a backup that
 * is served.
 *
 * bits 0 to 5: how many bytes arrive at once, 0 for as many as fit
 * bit 6: a backup is served to another device, T
 * bit 7: a conversation without files, as for a change of the password
 */
#define U "U"
#define T "T"
#define PAYLOAD "00/0000000000000000000000000000000000000001"
#define AT_ONCE 0x3f
#define SERVED 0x40
#define NO_FILES 0x80
#define STAMP_LEN 16

/* Memory in use, where a sanitizer counts it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t memory_in_use(void)
{
	return __sanitizer_get_current_allocated_bytes ?
		       __sanitizer_get_current_allocated_bytes() :
		       0;
}

struct device {
	struct link link;
	const uint8_t *data;
	size_t left, at_once;
	bool over; /* the end was told */
	size_t memory, memory_max;
};

/* However little was said: buffers, and the nodes of one message. */
static void check_memory(const struct device *d)
{
	MUST(memory_in_use() < d->memory + d->memory_max);
}

static ssize_t device_recv(struct link *link, void *out, size_t len)
{
	struct device *d = (struct device *)link;

	MUST(len >= LINK_RECV_MIN);
	MUST(!d->over);
	check_memory(d);
	if (len > d->left)
		len = d->left;
	if (d->at_once && len > d->at_once)
		len = d->at_once;
	if (len)
		memcpy(out, d->data, len);
	d->over = !len;
	d->data += len;
	d->left -= len;
	return (ssize_t)len;
}

static int device_send(struct link *link, const void *ptr, size_t len)
{
	struct device *d = (struct device *)link;

	/* after the end of a link nothing can be sent */
	MUST(len && !d->over);
	check_memory(d);
	fuzz_touch(ptr, len);
	return 0;
}

/* ---- what is there, and what must stay ---- */

static void put(int at, const char *name, const char *text)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(fd >= 0);
	MUST(write_full(fd, text, strlen(text)) == 0);
	close(fd);
}

/* outside/, and root/ with the device's folder in it */
static int make_root(void)
{
	int at = fuzz_dir_fd(), root, dir;

	if (mkdirat(at, "outside", 0700) == 0) {
		dir = openat(at, "outside", O_RDONLY | O_DIRECTORY);
		put(dir, "precious", "untouched");
		close(dir);
	}
	MUST(mkdirat(at, "root", 0700) == 0);
	root = openat(at, "root", O_RDONLY | O_DIRECTORY);
	MUST(root >= 0);
	put(root, "beside", "untouched");
	MUST(mkdirat(root, U, 0700) == 0);
	dir = openat(root, U, O_RDONLY | O_DIRECTORY);
	MUST(dir >= 0);
	MUST(mkdirat(dir, "00", 0700) == 0);
	put(dir, "Status.plist", "abc");
	put(dir, PAYLOAD, "payload");
	MUST(symlinkat("../../outside", dir, "out") == 0);
	MUST(symlinkat("../beside", dir, "link") == 0);
	MUST(symlinkat("../new", dir, "dangling") == 0);
	close(dir);
	return root;
}

static void remove_root(void)
{
	MUST(beneath_remove(fuzz_dir_fd(), "root") == 0);
}

static void remove_all(void)
{
	beneath_remove(fuzz_dir_fd(), "root");
	beneath_remove(fuzz_dir_fd(), "outside");
}

static void check_text(int at, const char *name, const char *want)
{
	char text[16];
	struct stat st;
	int fd = openat(at, name, O_RDONLY | O_NOFOLLOW);

	MUST(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1);
	MUST(read(fd, text, sizeof(text)) == (ssize_t)strlen(want));
	MUST(!memcmp(text, want, strlen(want)));
	close(fd);
}

static bool is_devices(const char *name)
{
	const char *digits = "0123456789";
	size_t len = strlen(U);

	if (strncmp(name, U, len) != 0)
		return false;
	name += len;
	return !*name || (strlen(name) == STAMP_LEN && name[0] == '-' &&
			  strspn(name + 1, digits) == 8 && name[9] == '-' &&
			  strspn(name + 10, digits) == 6);
}

static void check_entries(int fd, bool (*is_allowed)(const char *name))
{
	DIR *dir = fdopendir(dup(fd));
	struct dirent *e;

	MUST(dir);
	rewinddir(dir);
	while ((e = readdir(dir)))
		MUST(!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		     is_allowed(e->d_name));
	closedir(dir);
}

static bool may_be_in_root(const char *name)
{
	return !strcmp(name, "beside") || is_devices(name);
}

static bool may_be_outside(const char *name)
{
	return !strcmp(name, "precious");
}

static bool may_be_above(const char *name)
{
	return !strcmp(name, "root") || !strcmp(name, "outside");
}

static bool is_of_backup(const char *name)
{
	static const char *const names[] = { "00", "Status.plist", "out",
					     "link", "dangling" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static bool is_the_device(const char *name)
{
	return !strcmp(name, "beside") || !strcmp(name, U);
}

/* Nothing of it has changed. */
static void check_served(int root)
{
	int dir = openat(root, U, O_RDONLY | O_DIRECTORY);

	MUST(dir >= 0);
	check_text(dir, "Status.plist", "abc");
	check_text(dir, PAYLOAD, "payload");
	check_entries(dir, is_of_backup);
	check_entries(root, is_the_device);
	close(dir);
}

static void check_all(int root)
{
	int outside = openat(fuzz_dir_fd(), "outside", O_RDONLY | O_DIRECTORY);

	check_text(root, "beside", "untouched");
	check_text(outside, "precious", "untouched");
	check_entries(root, may_be_in_root);
	check_entries(outside, may_be_outside);
	check_entries(fuzz_dir_fd(), may_be_above);
	close(outside);
}

/* ---- the conversation ---- */

static void check_line(const char *line)
{
	MUST(strlen(line) < 512);
	for (; *line; line++)
		MUST((unsigned char)*line >= 0x20 && *line != 0x7f);
}

static void on_warning(void *arg, const char *line)
{
	(void)arg;
	check_line(line);
}

static int talk(struct session *s, const struct host_dir *dir,
		struct mb_err *err)
{
	struct session_end end = { 0 };
	plist_t request = plist_new_dict();
	int rc;

	plist_dict_set_item(request, "TargetIdentifier", plist_new_string(U));
	rc = session_request(s, dir && dir->served ? "Restore" : "Backup",
			     request, err);
	if (rc == 0)
		rc = session_serve(s, dir, &end, err);
	session_end_release(&end);
	return rc;
}

static void check_error(int rc, const struct mb_err *err)
{
	if (rc == 0)
		return;
	MUST(rc == -EPROTO || rc == -ENODEV || rc == -EPROTONOSUPPORT);
	MUST(err->code == rc && *err->text);
	check_line(err->text);
}

static int lowest_descriptor(void)
{
	int fd = dup(fuzz_dir_fd());

	close(fd);
	return fd;
}

/* What the device may work on. */
static void hold(struct host_dir *dir, int root, uint8_t how)
{
	dir->fd = root;
	if (!(how & SERVED))
		return;
	dir->fd = openat(root, U, O_RDONLY | O_DIRECTORY);
	MUST(dir->fd >= 0);
	dir->served = true;
	dir->target = T;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct session_observer observer = { on_warning, NULL };
	static bool will_be_removed;
	struct device d = {
		.link = { device_recv, device_send, NULL },
		.memory = memory_in_use(),
		.memory_max = (2 << 20) + 400 * size,
	};
	struct session_counts counts = { 0 };
	struct session *s = NULL;
	struct mb_err err = { 0 };
	struct host_dir dir = { .fd = -1, .udid = U };
	int before, root, rc;

	if (!size)
		return 0;
	d.data = data + 1;
	d.left = size - 1;
	d.at_once = data[0] & AT_ONCE;
	fuzz_dir_fd();
	if (!will_be_removed)
		atexit(remove_all);
	will_be_removed = true;
	before = lowest_descriptor();
	root = make_root();
	hold(&dir, root, data[0]);
	rc = session_open(&s, &d.link, &counts, &observer, &err);
	MUST((rc == 0) == (s != NULL));
	if (rc == 0)
		rc = talk(s, data[0] & NO_FILES ? NULL : &dir, &err);
	check_error(rc, &err);
	session_free(s);
	MUST(counts.percent <= 100);
	check_all(root);
	if (dir.served) {
		check_served(root);
		close(dir.fd);
	}
	close(root);
	remove_root();
	MUST(lowest_descriptor() == before);
	return 0;
}
