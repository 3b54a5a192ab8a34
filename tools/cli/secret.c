/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Passwords are read with read(2) into memory that is wiped: stdio would keep
 * copies in its buffers.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "bytes.h"
#include "cleanup.h"
#include "exit_status.h"
#include "language.h"

extern char **environ;

int secret_check_text(const struct secret *s, struct mb_err *err)
{
	if (memchr(s->text, '\0', s->len) ||
	    utf8_valid_prefix(s->text, s->len) != s->len)
		return mb_err_set(err, -EINVAL,
				  "the password is not valid UTF-8 text");
	return 0;
}

void secret_release(struct secret *s)
{
	explicit_bzero(s, sizeof(*s));
}

/* Up to the end of a line; what follows is left alone. */
static int read_line(struct secret *s, int fd, const char *what,
		     struct mb_err *err)
{
	s->len = 0;
	for (;;) {
		ssize_t n = read(fd, s->text + s->len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mb_err_set(err, -EIO, "%s: %s", what,
					  strerror(errno));
		if (!n || s->text[s->len] == '\n')
			break;
		if (++s->len > SECRET_MAX)
			return mb_err_set(err, -EIO,
					  "%s: more than %d bytes in a line",
					  what, SECRET_MAX);
	}
	if (s->len && s->text[s->len - 1] == '\r')
		s->len--;
	/* the line's end goes: whoever takes this as text takes all of it */
	s->text[s->len] = '\0';
	return 0;
}

int secret_from_file(struct secret *s, const char *path, struct mb_err *err)
{
	mb_auto(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return mb_err_set(err, -EIO, "password file %s: %s", path,
				  strerror(errno));
	rc = read_line(s, fd, path, err);
	if (rc == 0 && !s->len)
		return mb_err_set(err, -ENOKEY,
				  "password needed, and %s holds none", path);
	return rc;
}

static int run(struct secret *s, const char *const *argv, bool heard,
	       int *status, const char *what, struct mb_err *err)
{
	mb_auto(close) int from = -1;
	posix_spawn_file_actions_t actions;
	int fds[2], how, rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return mb_err_set(err, -EIO, "pipe: %s", strerror(errno));
	from = fds[0];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	if (!heard)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO,
						 "/dev/null", O_WRONLY, 0);
	rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv,
			  environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (rc)
		return mb_err_set(err, rc == ENOENT ? -ENOENT : -EIO, "%s: %s",
				  what, strerror(rc));
	rc = read_line(s, from, what, err);
	close(mb_steal_fd(&from)); /* a command that goes on gets SIGPIPE */
	while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	return rc;
}

int secret_from_program(struct secret *s, const char *const *argv, int *status,
			struct mb_err *err)
{
	return run(s, argv, false, status, argv[0], err);
}

int secret_from_command(struct secret *s, const char *command,
			struct mb_err *err)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	int status, rc;

	rc = run(s, argv, true, &status, _("password command"), err);
	if (rc < 0)
		return rc;
	if (!s->len)
		return mb_err_set(
			err, -ENOKEY,
			"password needed, and the password command gave none (status %d)",
			status);
	return 0;
}

static struct {
	int fd;
	struct termios saved;
} terminal;

static void on_signal(int sig)
{
	(void)sig;
	tcsetattr(terminal.fd, TCSAFLUSH, &terminal.saved);
	if (write(terminal.fd, "\n", 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_CANCELLED);
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
#define SIGNALS (sizeof(signals) / sizeof(*signals))

static int ask(struct secret *s, const char *prompt, struct mb_err *err)
{
	struct sigaction act = { .sa_handler = on_signal }, old[SIGNALS];
	struct termios silent;
	int rc;

	if (tcgetattr(terminal.fd, &terminal.saved) < 0)
		return mb_err_set(err, -EIO, "/dev/tty: %s", strerror(errno));
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &act, &old[i]);
	silent = terminal.saved;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(terminal.fd, TCSAFLUSH, &silent);
	if (write(terminal.fd, prompt, strlen(prompt)) < 0)
		rc = mb_err_set(err, -EIO, "/dev/tty: %s", strerror(errno));
	else
		rc = read_line(s, terminal.fd, "/dev/tty", err);
	tcsetattr(terminal.fd, TCSAFLUSH, &terminal.saved);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &old[i], NULL);
	if (write(terminal.fd, "\n", 1) < 0 && rc == 0)
		rc = mb_err_set(err, -EIO, "/dev/tty: %s", strerror(errno));
	return rc;
}

int secret_from_terminal(struct secret *s, const char *prompt,
			 struct mb_err *err)
{
	mb_auto(close) int fd = -1;
	int rc;

	/* a job with a terminal somewhere, but nobody in front of it */
	if (isatty(STDIN_FILENO) || isatty(STDERR_FILENO))
		fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return mb_err_set(err, -ENOKEY,
				  "password needed, and none was given");
	terminal.fd = fd;
	rc = ask(s, prompt, err);
	if (rc == 0 && !s->len)
		return mb_err_set(err, -ENOKEY,
				  "password needed, and none was given");
	return rc;
}

int secret_new_from_terminal(struct secret *s, const char *prompt,
			     const char *again, struct mb_err *err)
{
	mb_auto(secret_release) struct secret second = { 0 };
	int rc = secret_from_terminal(s, prompt, err);

	if (rc == 0)
		rc = secret_from_terminal(&second, again, err);
	if (rc < 0)
		return rc;
	if (s->len != second.len || memcmp(s->text, second.text, s->len) != 0)
		return mb_err_set(
			err, -EINVAL,
			"the two passwords differ: nothing was changed");
	return 0;
}
