/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOL_H
#define TOOL_H

#include <json-c/json.h>
#include <stdbool.h>

#include "cleanup.h"
#include "exit_status.h"
#include "language.h"
#include "mb/backup.h"
#include "unlock.h"

/* What the commands of larder have in common. One file a command. */

struct command {
	const char *name;
	const char *summary; /* one line for "larder --help" */
	/* the parts of "larder NAME --help", up to NULL */
	const char *const *usage;
	int (*run)(int argc, char **argv);
	/* of one that is not there: the part that larder was built without */
	const char *left_out;
	bool names_backups; /* BACKUP can be a device's name: named_backup.h */
};

extern const struct command cmd_backup, cmd_devices, cmd_diff, cmd_doctor,
	cmd_extract, cmd_find, cmd_info, cmd_key, cmd_lock, cmd_ls, cmd_mount,
	cmd_mounts, cmd_pack, cmd_pair, cmd_password, cmd_rekey, cmd_restore,
	cmd_salvage, cmd_umount, cmd_verify;

/* Options that every command takes: larder(1), COMMON OPTIONS. */
struct common {
	struct unlock_source unlock;
	bool json;
	bool quiet;
	bool salvage; /* backups are opened with what there is: salvage.h */
};

/* getopt_long entries and values; a command's own begin at COMMON_END. */
enum {
	COMMON_PASSFILE = 256,
	COMMON_EXTPASS,
	COMMON_KEYFILE,
	COMMON_REMEMBER,
	COMMON_JSON,
	COMMON_QUIET,
	COMMON_HELP,
	COMMON_END,
};

#define COMMON_OPTIONS                                                    \
	{ "passfile", required_argument, NULL, COMMON_PASSFILE },         \
		{ "extpass", required_argument, NULL, COMMON_EXTPASS },   \
		{ "keyfile", required_argument, NULL, COMMON_KEYFILE },   \
		{ "remember", optional_argument, NULL, COMMON_REMEMBER }, \
		{ "json", no_argument, NULL, COMMON_JSON },               \
		{ "quiet", no_argument, NULL, COMMON_QUIET },             \
	{                                                                 \
		"help", no_argument, NULL, COMMON_HELP                    \
	}

/* The help of these, for a command's usage. */
#define COMMON_HELP_TEXT                                                         \
	N_("\n"                                                                  \
	   "  --passfile FILE    password: the first line of FILE (also:\n"      \
	   "                     LARDER_PASSFILE=FILE in the environment)\n"     \
	   "  --extpass COMMAND  password: the first line that COMMAND prints\n" \
	   "  --keyfile FILE     a derived key, written by \"larder key\"\n"     \
	   "  --remember[=TIME]  need no password again for 8h, or for TIME;\n"  \
	   "                     =login: have the desktop keep the key\n"        \
	   "  --json             output for machines\n"                          \
	   "  --quiet            no messages but errors\n")

/*
 * common_option - take an option if it is a common one
 *
 * Returns true if it was. --help prints the usage and ends the process.
 */
bool common_option(struct common *c, const struct command *command, int option,
		   char *value);

/* A usage error: the reason, a pointer to the help; returns EXIT_USAGE. */
int usage_error(const struct command *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "larder: ..." on standard error, printable; returns the exit status of @rc */
int fail(int rc, const struct mb_err *err);

/*
 * parse_timeout - seconds of a --timeout, as ms
 *
 * Returns false if @text is no number from 1 to 86400.
 */
bool parse_timeout(const char *text, int64_t *ms);

/* A message that is no error, unless --quiet. */
void say(const struct common *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* open_backup - with its notes said; as mb_backup_open, or open_salvage */
int open_backup(struct mb_backup **out, const char *path,
		const struct common *c, struct mb_err *err);

/* open_loaded - opened, unlocked as @c says, and loaded */
int open_loaded(struct mb_backup **out, const char *path,
		const struct common *c, struct mb_err *err);

/* load_backup - the same of one that is open; NULL: nothing to do */
int load_backup(struct mb_backup *backup, const struct common *c,
		struct mb_err *err);

/* load_backup_keep - and keeps the password, unless a key file was enough */
int load_backup_keep(struct mb_backup *backup, const struct common *c,
		     struct secret *password, struct mb_err *err);

MB_DEFINE_AUTO(struct mb_backup, mb_backup_free)

/* print.c: results on standard output */

/* Bytes as text: controls, and what is no UTF-8, as \ooo. */
void print_name(const char *name, size_t len);
/* print_padded - text of ours, with blanks behind it up to @width columns */
void print_padded(const char *text, int width);
/* text_width - of text of ours: letters, each one column wide */
int text_width(const char *text);
/* "file", "folder", "link" */
const char *type_name(enum mb_type type);
/* "1.4 GB" */
void format_bytes(char *out, size_t size, uint64_t bytes);
/* "2024-06-15 10:00:00 +0000", in local time */
void format_time(char *out, size_t size, int64_t unix_s);

/* "4.2 s", "3 min 20 s", "2 h 5 min" */
void format_duration(char *out, size_t size, double seconds);

/* A JSON string; bytes that are no UTF-8 become U+FFFD. */
json_object *json_text(const char *text, size_t len);
/* An object that begins with {"event":@name}. */
json_object *json_event(const char *name);
/* ISO 8601, UTC; null for 0, which stands for unknown. */
void json_add_time(json_object *o, const char *key, int64_t unix_s);
/* Adds @key, or null if @text is NULL. */
void json_add_text(json_object *o, const char *key, const char *text);
void json_add_bool(json_object *o, const char *key, bool value);
void json_add_count(json_object *o, const char *key, uint64_t value);
/* One line on standard output; the object is used up. */
void json_print(json_object *o);

/* larderfs_beside - the driver that came with us, if it is there */
bool larderfs_beside(char *out, size_t size);

/* finish_output - flush standard output: 0, or EXIT_FAILED with a message */
int finish_output(void);

#endif
