/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_ERR_H
#define MB_ERR_H

/*
 * An errno and one line about it.
 *
 * Functions return 0 or a count, or a negative errno. What the numbers mean
 * here:
 *
 *   ENOENT        no such entry; not a backup
 *   ENODATA       the payload is missing
 *   EBADMSG       malformed, damaged
 *   ENOTSUP       a known format that is not read
 *   ENOKEY        no key: the backup is locked, or its key bag lacks the class
 *   EKEYREJECTED  the password (or derived key) does not fit
 *   EIO           the system could not read, or the bytes cannot be right
 */
struct mb_err {
	int code;	/* negative errno, as returned */
	char text[512]; /* one line, lower case, no full stop, printable */
};

/*
 * mb_err_set - describe a failure
 * @err: may be NULL
 * @code: negative errno
 *
 * Control characters, which a hostile backup could put into a name, are shown
 * as "?": the text is always safe to print on a terminal.
 *
 * Returns @code, so that a caller can write `return mb_err_set(...)`.
 */
int mb_err_set(struct mb_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* mb_err_prefix - put "context: " before what @err says; returns @code */
int mb_err_prefix(struct mb_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * mb_err_translate - put what is said into another language from now on
 * @translate: gets a format, gives one that takes the same arguments and stays
 *
 * Before any other thread. Without it everything is said in English.
 */
void mb_err_translate(const char *(*translate)(const char *format));

/* mb_err_translated - a format, or a text, in that language */
const char *mb_err_translated(const char *format)
	__attribute__((format_arg(1)));

#endif
