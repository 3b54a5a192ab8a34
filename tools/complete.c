/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "complete.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "find.h"
#include "mb/tree.h"
#include "remembered.h"

/* Somebody has pressed a key: so long a disk or a device may take. */
#define ENOUGH_S 3
#define SILENCE_MS 1000

static void on_enough(int sig)
{
	(void)sig;
	_exit(EXIT_FINE);
}

/* --- backups -------------------------------------------------------------- */

static void offer_found(const struct completion *c, const struct found *f,
			bool by_name)
{
	struct mb_err about; /* for its printable text */
	char date[64] = "-";

	if (f->problem)
		return;
	if (f->date)
		format_time(date, sizeof(date), f->date);
	mb_err_set(&about, 0, "%s, %s",
		   f->device_name ? f->device_name : _("Unnamed device"), date);
	if (by_name && f->kind == FOUND_CURRENT && f->device_name)
		completion_offer(c, f->device_name, about.text);
	if (by_name && f->kind == FOUND_CURRENT && f->udid)
		completion_offer(c, f->udid, about.text);
	if (!by_name || f->kind != FOUND_CURRENT)
		completion_offer(c, f->path, about.text);
}

static void offer_backups(const struct completion *c,
			  const struct command *command)
{
	mb_auto(found_list_release) struct found_list list = { 0 };
	const struct find_wish wish = { .silence_ms = SILENCE_MS };

	/* a path is the shell's business; a name has no slash */
	if (strchr(c->partial, '/') || find_backups(&list, &wish, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++)
		offer_found(c, &list.items[i], command->names_backups);
}

/* --- in a backup ---------------------------------------------------------- */

MB_DEFINE_AUTO(struct mb_tree, mb_tree_free)

/* Nobody is asked for a password: with a key that the kernel has, or not. */
static bool load(struct mb_backup *b)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	bool locked = mb_backup_get_info(b)->manifest_encrypted;

	if (locked && remembered_get(b, key) == 0)
		locked = mb_backup_unlock(b, key, NULL) < 0;
	explicit_bzero(key, sizeof(key));
	return !locked && mb_backup_load(b, NULL) == 0;
}

static void offer_entry(const struct completion *c, struct mb_tree *tree,
			uint32_t node)
{
	mb_auto(free) char *path = NULL;
	const char *slash = strrchr(c->partial, '/');

	if (asprintf(&path, "%.*s%s%s",
		     slash ? (int)(slash - c->partial) + 1 : 0, c->partial,
		     mb_tree_get_name(tree, node),
		     mb_tree_get_type(tree, node) == MB_DIR ? "/" : "") < 0)
		path = NULL;
	if (path)
		completion_offer(c, path, NULL);
}

/* "AppDomain-net.whatsapp.WhatsApp" */
static void offer_app(const struct completion *c, const char *domain)
{
	static const char front[] = "AppDomain-";

	if (!strncmp(domain, front, strlen(front)))
		completion_offer(c, domain + strlen(front), NULL);
}

/* @apps: those, instead of domains and paths */
static void offer_content(const struct completion *c, bool apps)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	mb_auto(mb_tree_free) struct mb_tree *tree = NULL;
	mb_auto(free) char *above = strdup(c->partial);
	uint32_t node = MB_ROOT, first, count;
	char *slash;

	if (!above || !c->given_count ||
	    mb_backup_open(&b, c->given[0], NULL) < 0 || !load(b) ||
	    mb_tree_open(&tree, b, MB_VIEW_DOMAINS, NULL) < 0)
		return;
	slash = strrchr(above, '/');
	if (slash && !apps) {
		*slash = '\0';
		if (mb_tree_walk(tree, above, &node, NULL) < 0)
			return;
	}
	if (mb_tree_children(tree, node, &first, &count, NULL) < 0)
		return;
	for (uint32_t i = first; i < first + count; i++) {
		if (apps)
			offer_app(c, mb_tree_get_name(tree, i));
		else
			offer_entry(c, tree, i);
	}
}

/* --- options of larderfs -------------------------------------------------- */

static void offer_options_of_larderfs(const struct completion *c)
{
	char program[4096];

	fflush(stdout);
	if (larderfs_beside(program, sizeof(program)))
		execl(program, "larderfs", "--complete", "-o", c->partial,
		      (char *)NULL);
}

/* ------------------------------------------------------------------------- */

static bool offer_values(struct completion *c, const char *kind)
{
	static const char *const backups[] = { "BACKUP", "A", "B", "FROM" };
	const struct command *command = c->arg;
	bool mounted = command == &cmd_umount;

	for (size_t i = 0; i < sizeof(backups) / sizeof(*backups); i++)
		if (!strcmp(kind, backups[i]) && !mounted) {
			offer_backups(c, command);
			return false; /* folders too */
		}
	if (mounted && !strcmp(kind, "MOUNTPOINT"))
		complete_mounted(c);
	else if (!strcmp(kind, "UDID"))
		complete_devices(c);
	else if (!strcmp(kind, "DOMAIN") || !strcmp(kind, "PATTERN"))
		offer_content(c, false);
	else if (!strcmp(kind, "BUNDLE-ID"))
		offer_content(c, true);
	else if (!strcmp(kind, "OPTION"))
		offer_options_of_larderfs(c);
	else
		return mounted;
	return true;
}

static void offer_commands(const struct command *const *commands, size_t count,
			   const char *word)
{
	const struct completion c = { .partial = word };

	for (size_t i = 0; i < count; i++)
		if (!commands[i]->left_out)
			completion_offer(&c, commands[i]->name,
					 _(commands[i]->summary));
	if (*word == '-') {
		completion_offer(&c, "--help", NULL);
		completion_offer(&c, "--version", NULL);
	}
}

/* Whatever goes wrong, nothing is said of it. */
static void be_quiet(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

int complete(const struct command *const *commands, size_t count,
	     const char *const *words, size_t word_count)
{
	struct completion c = { .values = offer_values };

	be_quiet();
	signal(SIGALRM, on_enough);
	alarm(ENOUGH_S);
	if (word_count < 2)
		offer_commands(commands, count, word_count ? words[0] : "");
	for (size_t i = 0; i < count && word_count > 1; i++) {
		if (strcmp(words[0], commands[i]->name) != 0 ||
		    commands[i]->left_out)
			continue;
		c.help = commands[i]->usage;
		c.arg = (void *)commands[i];
		completion_run(&c, words + 1, word_count - 1);
	}
	fflush(stdout);
	return EXIT_FINE;
}
