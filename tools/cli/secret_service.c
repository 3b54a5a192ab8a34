/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "secret_service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beneath.h"
#include "bytes.h"
#include "cleanup.h"
#include "language.h"

extern char **environ;

#define KEYBAG_ID_LEN 16
#define ID_SIZE (2 * KEYBAG_ID_LEN + 1)
#define HEX_LEN (2 * MB_DERIVED_KEY_LEN)

/* Without a bus, secret-tool would try to start one. */
static bool has_bus(void)
{
	const char *bus = getenv("DBUS_SESSION_BUS_ADDRESS");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	if (bus && *bus)
		return true;
	return runtime &&
	       snprintf(path, sizeof(path), "%s/bus", runtime) <
		       (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static void make_id(char out[ID_SIZE], const struct mb_backup *backup)
{
	hex_encode(out, mb_backup_get_keybag_id(backup), KEYBAG_ID_LEN);
}

static int start(const char *const *argv, int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
					 O_WRONLY, 0);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, (char **)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static size_t read_all(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size && (n = read(fd, out + len, size - len)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	return len;
}

/*
 * Run secret-tool: @in is written to it, at most a pipe's worth, and @out takes
 * what it prints.
 *
 * Returns its exit status; or a negative errno.
 */
static int run(const char *const *argv, const char *in, char *out, size_t size,
	       size_t *len)
{
	int to[2], from[2], status, rc;
	pid_t pid;

	if (pipe2(to, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(from, O_CLOEXEC) < 0) {
		rc = -errno;
		close(to[0]);
		close(to[1]);
		return rc;
	}
	/* while we are a reader too, nobody gets SIGPIPE */
	rc = write_full(to[1], in, strlen(in));
	close(to[1]);
	if (rc == 0)
		rc = start(argv, to[0], from[1], &pid);
	close(to[0]);
	close(from[1]);
	*len = rc == 0 ? read_all(from[0], out, size) : 0;
	close(from[0]);
	if (rc < 0)
		return rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int secret_service_put(const struct mb_backup *backup,
		       const uint8_t key[MB_DERIVED_KEY_LEN],
		       struct mb_err *err)
{
	const struct mb_backup_info *info = mb_backup_get_info(backup);
	char id[ID_SIZE], hex[HEX_LEN + 1], none[1];
	struct mb_err label; /* for its printable text */
	const char *const argv[] = {
		"secret-tool", "store",	 label.text, "application",
		"larder",      "keybag", id,	     NULL
	};
	size_t len;
	int rc;

	mb_err_set(&label, 0, "--label=Backup of %s",
		   info->device_name ? info->device_name : _("a device"));
	make_id(id, backup);
	if (!has_bus())
		return mb_err_set(err, -ENOSYS,
				  "no session bus leads to a secret service");
	hex_encode(hex, key, MB_DERIVED_KEY_LEN);
	rc = run(argv, hex, none, 0, &len);
	explicit_bzero(hex, sizeof(hex));
	if (rc < 0)
		return mb_err_set(err, rc, "secret-tool: %s", strerror(-rc));
	return rc ? mb_err_set(
			    err, -EIO,
			    "the desktop's secret service does not keep the key") :
		    0;
}

int secret_service_get(const struct mb_backup *backup,
		       uint8_t key[MB_DERIVED_KEY_LEN])
{
	char id[ID_SIZE], hex[HEX_LEN + 2];
	const char *const argv[] = { "secret-tool", "lookup", "application",
				     "larder",	    "keybag", id,
				     NULL };
	size_t len;
	int rc;

	make_id(id, backup);
	if (!has_bus())
		return -ENOKEY;
	rc = run(argv, "", hex, sizeof(hex) - 1, &len);
	hex[len] = '\0';
	hex[strcspn(hex, "\n")] = '\0';
	if (rc == 0 && strlen(hex) == HEX_LEN &&
	    hex_decode(key, MB_DERIVED_KEY_LEN, hex))
		rc = 0;
	else
		rc = -ENOKEY;
	explicit_bzero(hex, sizeof(hex));
	return rc;
}

bool secret_service_forget(const struct mb_backup *backup)
{
	char id[ID_SIZE], none[1];
	const char *const argv[] = { "secret-tool",
				     "clear",
				     "application",
				     "larder",
				     backup ? "keybag" : NULL,
				     backup ? id : NULL,
				     NULL };
	size_t len;

	if (backup)
		make_id(id, backup);
	return has_bus() && run(argv, "", none, 0, &len) == 0;
}
