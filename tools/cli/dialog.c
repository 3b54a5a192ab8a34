/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dialog.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define TITLE "larder"
#define ARGS_MAX 8
#define TEXT_MAX 1024

/* How a program takes text. */
enum taste {
	PLAIN,	  /* as it is */
	MNEMONIC, /* GTK: backslashes escape, and "_" underlines a letter */
	MARKUP,	  /* with entities */
	RICH,	  /* Qt: HTML, if it looks like it */
};

#define TEXT "" /* among the arguments of a program: the text */

struct program {
	enum taste taste;
	const char *argv[ARGS_MAX]; /* ends with NULL */
};

static const struct program ask_gtk = { MNEMONIC,
					{ "zenity", "--entry", "--hide-text",
					  "--title", TITLE, "--text", TEXT } };
static const struct program ask_kde = {
	RICH, { "kdialog", "--title", TITLE, "--password", TEXT }
};
static const struct program ask_ssh[] = {
	{ PLAIN, { "ksshaskpass", TEXT } },
	{ PLAIN, { "lxqt-openssh-askpass", TEXT } },
	{ PLAIN, { "ssh-askpass", TEXT } },
};

static const struct program tell_gtk = { PLAIN,
					 { "zenity", "--error", "--no-markup",
					   "--title", TITLE, "--text", TEXT } };
static const struct program tell_kde = {
	RICH, { "kdialog", "--title", TITLE, "--error", TEXT }
};
static const struct program tell_notice = {
	MARKUP, { "notify-send", "--icon=dialog-error", TITLE, TEXT }
};

/* --- text ---------------------------------------------------------------- */

static void append(char out[TEXT_MAX], const char *piece)
{
	size_t len = strlen(out);

	if (len + strlen(piece) < TEXT_MAX)
		strcpy(out + len, piece);
}

static const char *escape_of(char c, enum taste taste)
{
	if (taste == MNEMONIC)
		return c == '\\' ? "\\\\" : c == '_' ? "__" : NULL;
	if (taste == MARKUP || taste == RICH)
		return c == '<' ? "&lt;" : c == '&' ? "&amp;" : NULL;
	return NULL;
}

static void season(char out[TEXT_MAX], const char *text, enum taste taste)
{
	*out = '\0';
	if (taste == RICH)
		append(out, "<qt>"); /* what begins so is HTML for certain */
	for (; *text; text++) {
		const char *escape = escape_of(*text, taste);

		append(out, escape ? escape : (char[]){ *text, '\0' });
	}
}

static void make_argv(const char *argv[ARGS_MAX], const struct program *p,
		      char seasoned[TEXT_MAX], const char *text)
{
	season(seasoned, text, p->taste);
	for (int i = 0; i < ARGS_MAX; i++)
		argv[i] = p->argv[i] && !*p->argv[i] ? seasoned : p->argv[i];
}

/* --- the desktop --------------------------------------------------------- */

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

static bool has_display(void)
{
	return is_set("WAYLAND_DISPLAY") || is_set("DISPLAY");
}

static bool is_kde(void)
{
	const char *desktop = getenv("XDG_CURRENT_DESKTOP");

	return desktop && strcasestr(desktop, "KDE");
}

/* --- asking -------------------------------------------------------------- */

/* As secret_from_dialog; -ENOENT if there is no such program. */
static int ask(struct secret *s, const struct program *p, const char *prompt,
	       struct mb_err *err)
{
	const char *argv[ARGS_MAX];
	char seasoned[TEXT_MAX];
	int status, rc;

	make_argv(argv, p, seasoned, prompt);
	rc = secret_from_program(s, argv, &status, err);
	if (rc < 0)
		return rc;
	if (status)
		return mb_err_set(err, -ECANCELED, "cancelled");
	return s->len ? 0 :
			mb_err_set(err, -ENOKEY,
				   "password needed, and none was given");
}

int secret_from_dialog(struct secret *s, const char *prompt, struct mb_err *err)
{
	struct program own = { PLAIN, { getenv("SSH_ASKPASS"), TEXT } };
	const struct program *programs[] = {
		is_set("SSH_ASKPASS") ? &own : NULL,
		is_kde() ? &ask_kde : &ask_gtk,
		is_kde() ? &ask_gtk : &ask_kde,
		&ask_ssh[0],
		&ask_ssh[1],
		&ask_ssh[2],
	};

	if (!has_display())
		return mb_err_set(
			err, -ENOKEY,
			"password needed, and there is no display to ask for it on");
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		int rc = programs[i] ? ask(s, programs[i], prompt, err) :
				       -ENOENT;

		if (rc != -ENOENT)
			return rc;
	}
	return mb_err_set(
		err, -ENOKEY,
		"password needed, and no program can ask for it in a window: install zenity, kdialog or an ssh-askpass");
}

/* --- telling ------------------------------------------------------------- */

static bool tell(const struct program *p, const char *text)
{
	const char *argv[ARGS_MAX];
	char seasoned[TEXT_MAX];
	posix_spawn_file_actions_t actions;
	int status, rc;
	pid_t pid;

	make_argv(argv, p, seasoned, text);
	posix_spawn_file_actions_init(&actions);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null",
						 O_RDWR, 0);
	rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv,
			  environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return true;
}

void dialog_tell(const char *text)
{
	const struct program *programs[] = {
		is_kde() ? &tell_kde : &tell_gtk,
		is_kde() ? &tell_gtk : &tell_kde,
		&tell_notice,
	};

	if (!has_display())
		return;
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (tell(programs[i], text))
			return;
}
