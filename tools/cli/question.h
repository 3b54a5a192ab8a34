/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef QUESTION_H
#define QUESTION_H

/*
 * question_yes - ask on the terminal, as secret_from_terminal does
 *
 * Ctrl-C ends the process with EXIT_CANCELLED.
 *
 * Returns 1 for yes; 0 for anything else; -ENOTTY if nobody can be asked.
 */
int question_yes(const char *text);

#endif
