/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "mb/err.h"

/* Longest password that is taken, in bytes. */
#define SECRET_MAX 4096

/* A password, terminated, wiped when released. {0} is none. */
struct secret {
	size_t len;
	char text[SECRET_MAX + 2]; /* room for a line's end while it is read */
};

void secret_release(struct secret *s);

static inline void mb_auto_secret_release(struct secret *s)
{
	secret_release(s);
}

/*
 * secret_check_text - is it what a property list can carry?
 *
 * A device would see another password. Returns 0; -EINVAL.
 */
int secret_check_text(const struct secret *s, struct mb_err *err);

/*
 * secret_from_file - the first line of a file, without its end
 *
 * Returns 0; -ENOKEY if there is nothing in it; -EIO.
 */
int secret_from_file(struct secret *s, const char *path, struct mb_err *err);

/*
 * secret_from_command - the first line that a shell command prints
 *
 * Returns 0; -ENOKEY if it prints none or fails; -EIO.
 */
int secret_from_command(struct secret *s, const char *command,
			struct mb_err *err);

/*
 * secret_from_program - the first line that a program prints
 * @argv: its name, in PATH, and arguments; ends with NULL. What it says on
 *        standard error is not heard
 * @status: takes its exit status; 128 and the signal that ended it
 *
 * Returns 0, also if it prints none; -ENOENT if there is no such program; -EIO.
 */
int secret_from_program(struct secret *s, const char *const *argv, int *status,
			struct mb_err *err);

/*
 * secret_from_terminal - ask without echo
 *
 * Asks on /dev/tty, if standard input or error is a terminal. Ctrl-C restores
 * the terminal and ends the process with EXIT_CANCELLED.
 *
 * Returns 0; -ENOKEY if there is no terminal or nothing was entered.
 */
int secret_from_terminal(struct secret *s, const char *prompt,
			 struct mb_err *err);

/*
 * secret_new_from_terminal - a new one, asked for twice
 *
 * Returns 0; -ENOKEY; -EINVAL if the two differ.
 */
int secret_new_from_terminal(struct secret *s, const char *prompt,
			     const char *again, struct mb_err *err);

#endif
