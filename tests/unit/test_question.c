/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "question.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_status.h"
#include "fixture.h"
#include "tap.h"

#define PROMPT "Restore? [y/N] "

/* What a process with a terminal of its own says to the question. */
enum { SAID_NO = 40, SAID_YES, SAID_NOBODY, SAID_OTHER };

static int ask(void)
{
	switch (question_yes(PROMPT)) {
	case 0:
		return SAID_NO;
	case 1:
		return SAID_YES;
	case -ENOTTY:
		return SAID_NOBODY;
	default:
		return SAID_OTHER;
	}
}

static bool wait_for_prompt(int fd)
{
	char seen[200] = "";
	size_t len = 0;

	while (len < sizeof(seen) - 1 && !strstr(seen, PROMPT)) {
		ssize_t n = read(fd, seen + len, sizeof(seen) - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		seen[len] = '\0';
	}
	return strstr(seen, PROMPT);
}

/*
 * @typed: once the question stands there
 * @redirected: standard input, output and error that lead elsewhere
 */
static int answer(const char *typed, const int *redirected)
{
	int fd, status;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);
	char rest[200];

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		for (; redirected && *redirected >= 0; redirected++)
			dup2(null, *redirected);
		exit_when_interrupted(true); /* as the program does */
		_exit(ask());
	}
	if (!CHECK(pid > 0))
		return -1;
	if (typed && CHECK(wait_for_prompt(fd)))
		CHECK(write(fd, typed, strlen(typed)) > 0);
	while (read(fd, rest, sizeof(rest)) > 0)
		;
	close(fd);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

CASE(only_a_yes_is_a_yes)
{
	static const struct {
		const char *typed;
		int said;
	} all[] = {
		{ "y\n", SAID_YES }, { "Y\n", SAID_YES }, { "yes\n", SAID_YES },
		{ "n\n", SAID_NO },  { "\n", SAID_NO },	  { "no\n", SAID_NO },
		{ "ok\n", SAID_NO }, { " \n", SAID_NO },  { "1\n", SAID_NO },
		{ "\004", SAID_NO }, /* Ctrl-D */
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		int said = answer(all[i].typed, NULL);

		CHECK_AT(said == all[i].said, "%zu: %d", i, said);
	}
}

CASE(a_very_long_answer)
{
	struct bytes line = { 0 };

	for (int i = 0; i < 1000; i++)
		add_text(&line, "n");
	add(&line, "\n", 2);
	CHECK_INT(answer((char *)line.ptr, NULL), SAID_NO);
	drop(&line);
}

CASE(ctrl_c_ends_it)
{
	CHECK_INT(answer("\003", NULL), EXIT_CANCELLED);
}

/* "larder restore ... < list", or "2> log": somebody is there */
CASE(one_of_input_and_errors_is_enough)
{
	CHECK_INT(answer("y\n", (int[]){ 0, 1, -1 }), SAID_YES);
	CHECK_INT(answer("y\n", (int[]){ 1, 2, -1 }), SAID_YES);
}

CASE(with_neither_nobody_can_be_asked)
{
	CHECK_INT(answer(NULL, (int[]){ 0, 2, -1 }), SAID_NOBODY);
}

CASE(without_a_terminal_nobody_can_be_asked)
{
	int status, null = open("/dev/null", O_RDWR);
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		_exit(ask());
	}
	close(null);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), SAID_NOBODY);
}

int main(void)
{
	RUN(only_a_yes_is_a_yes);
	RUN(a_very_long_answer);
	RUN(ctrl_c_ends_it);
	RUN(one_of_input_and_errors_is_enough);
	RUN(with_neither_nobody_can_be_asked);
	RUN(without_a_terminal_nobody_can_be_asked);
	return tap_end();
}
