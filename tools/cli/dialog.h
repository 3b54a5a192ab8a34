/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DIALOG_H
#define DIALOG_H

#include "secret.h"

/*
 * Windows for who has no terminal in front of them, shown by what the desktop
 * has for it: the program in SSH_ASKPASS, zenity, kdialog, or an askpass of
 * ssh-add(1). Names of devices are text to all of them, never markup.
 */

/*
 * secret_from_dialog - ask without echo
 * @prompt: one line
 *
 * Returns 0; -ECANCELED if it was closed; -ENOKEY if there is no display, no
 * program that asks, or nothing was entered.
 */
int secret_from_dialog(struct secret *s, const char *prompt,
		       struct mb_err *err);

/*
 * dialog_tell - show what is wrong, until it has been read
 * @text: one line
 *
 * Where nothing can show it, nothing happens.
 */
void dialog_tell(const char *text);

#endif
