/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "completion.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cleanup.h"
#include "language.h"
#include "mb/err.h"

/* A piece of a help, not terminated. */
struct piece {
	const char *ptr;
	size_t len;
};

/* What a line of a help says of an option, or of an item of -o. */
struct entry {
	struct piece name;  /* "--remember", "view" */
	struct piece takes; /* "TIME"; empty: nothing */
	bool optional;	    /* what it takes */
	const char *about;  /* behind it, with the lines that go on */
};

#define ENTRIES_MAX 8 /* in one line */
#define INDENT 2      /* of an entry; its further lines have more */

static bool is(struct piece p, const char *text)
{
	return p.len == strlen(text) && !memcmp(p.ptr, text, p.len);
}

static size_t blanks(const char *at)
{
	return strspn(at, " ");
}

/* --- a line of a help ----------------------------------------------------- */

static struct piece take(const char **at, const char *stop)
{
	struct piece p = { *at, strcspn(*at, stop) };

	*at += p.len;
	return p;
}

/* "-o OPTION[,...]", "--remember[=TIME]", "view=domains|device" */
static void read_entry(struct entry *e, const char **at)
{
	*e = (struct entry){ .name = take(at, " =[,\n") };
	e->optional = !strncmp(*at, "[=", 2);
	if (e->optional) {
		*at += 2;
		e->takes = take(at, "]\n");
		*at += **at == ']';
	} else if (**at == '=') {
		++*at;
		e->takes = take(at, " [,\n");
		*at += strcspn(*at, " ,\n");
	} else if (*e->name.ptr == '-' && **at == ' ' && !blanks(*at + 1)) {
		++*at;
		e->takes = take(at, " [,\n");
		*at += **at == '[' ? strcspn(*at, " \n") : 0;
	}
}

/*
 * The entries of a line, up to two blanks. "-o, --output FILE" are two names
 * that take the same.
 */
static size_t read_entries(struct entry entries[ENTRIES_MAX], const char *line)
{
	const char *at = line + blanks(line);
	size_t count = 0;

	if (blanks(line) != INDENT ||
	    (*at != '-' && !islower((unsigned char)*at)))
		return 0;
	while (count < ENTRIES_MAX) {
		read_entry(&entries[count++], &at);
		at += *at == ',';
		if (blanks(at) > 1 || !*at || *at == '\n')
			break;
		at += blanks(at);
	}
	for (size_t i = count; i-- > 0;) {
		entries[i].about = at;
		if (i + 1 < count && !entries[i].takes.len &&
		    *entries[i].name.ptr == '-' && entries[i].name.len == 2)
			entries[i].takes = entries[i + 1].takes;
	}
	return count;
}

/* The text behind an entry, as one line. */
static void read_about(char *out, size_t size, const char *about)
{
	size_t len = 0;

	for (;;) {
		size_t n = strcspn(about += blanks(about), "\n");

		if (len + n + 2 > size)
			break;
		memcpy(out + len, about, n);
		len += n;
		if (!about[n] || blanks(about + n + 1) <= INDENT)
			break;
		out[len++] = ' ';
		about += n + 1;
	}
	out[len] = '\0';
}

/* --- all of a help -------------------------------------------------------- */

/* What looks at an entry; true ends it. */
typedef bool look_fn(void *arg, const struct entry *e);

static bool each_entry(const char *const *help, look_fn *look, void *arg)
{
	struct entry entries[ENTRIES_MAX];

	for (; *help; help++) {
		const char *line = *help;

		while (line) {
			size_t count = read_entries(entries, line);

			for (size_t i = 0; i < count; i++)
				if (look(arg, &entries[i]))
					return true;
			line = strchr(line, '\n');
			if (line)
				line++;
		}
	}
	return false;
}

struct search {
	const char *name;
	struct entry found;
};

static bool look_for(void *arg, const struct entry *e)
{
	struct search *s = arg;

	if (!is(e->name, s->name))
		return false;
	s->found = *e;
	return true;
}

static bool find_entry(struct entry *e, const char *const *help,
		       const char *name)
{
	struct search s = { .name = name };
	bool found = each_entry(help, look_for, &s);

	*e = s.found;
	return found;
}

/* What is said of an option or item, in the user's language; or "". */
static void find_about(char *out, size_t size, const char *const *help,
		       const char *name)
{
	struct entry e;

	*out = '\0';
	for (; *help && !*out; help++) {
		const char *part[] = { _(*help), NULL };

		if (find_entry(&e, part, name))
			read_about(out, size, e.about);
	}
}

/* --- offering ------------------------------------------------------------- */

/* A line is a word, and goes to a terminal. */
static bool is_printable(const char *word)
{
	struct mb_err line;

	mb_err_set(&line, 0, "%s", word);
	return !strcmp(line.text, word);
}

void completion_offer(const struct completion *c, const char *word,
		      const char *about)
{
	struct mb_err line; /* for its printable text */

	if (strncmp(word, c->partial, strlen(c->partial)) != 0 ||
	    !is_printable(word) || *word == ':')
		return;
	printf("%.*s%s", (int)c->prefix_len, c->prefix, word);
	mb_err_set(&line, 0, "%s", about ? about : "");
	if (*line.text)
		printf("\t%s", line.text);
	putchar('\n');
}

/* Behind the part of a list that is complete, the shell knows no files. */
static void offer_files(const struct completion *c, const char *which)
{
	bool whole = !c->prefix_len || *c->prefix == '-';

	if (whole && !memchr(c->prefix, ',', c->prefix_len))
		puts(which);
}

/* "FILE", "DIR", "on|off" */
static void offer_kind(struct completion *c, const char *kind)
{
	static const char *const files[] = { "FILE", "KEYFILE", "COMMAND" };
	static const char *const folders[] = { "DIR",	     "DEST", "FOLDER",
					       "MOUNTPOINT", "TREE", "BACKUP",
					       "A",	     "B",    "FROM" };
	char about[300];

	if (islower((unsigned char)*kind)) {
		find_about(about, sizeof(about), c->help, kind);
		completion_offer(c, kind, about);
		return;
	}
	if (c->values && c->values(c, kind))
		return;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(kind, files[i]))
			offer_files(c, ":files");
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strcmp(kind, folders[i]))
			offer_files(c, ":folders");
	if (!strcmp(kind, "TIME")) {
		completion_offer(c, "30m", NULL);
		completion_offer(c, "8h", NULL);
		completion_offer(c, "2d", NULL);
		completion_offer(c, "login", NULL);
	}
}

/* "[MOUNTPOINT | BACKUP | NAME]...": each of them. */
static void offer_kinds(struct completion *c, struct piece takes)
{
	const char *at = takes.ptr, *end = takes.ptr + takes.len;

	while (at < end) {
		char kind[32];
		size_t len;

		at += strspn(at, "[]|. ");
		if (at >= end)
			break;
		len = strcspn(at, "[]|. ,\n");
		if (len > (size_t)(end - at))
			len = (size_t)(end - at);
		snprintf(kind, sizeof(kind), "%.*s", (int)len, at);
		offer_kind(c, kind);
		at += len;
		/* "DOMAIN[/PATH]", "NAME[:NAME...]": the first says it */
		if (at < end && *at == '[')
			at += strcspn(at, "]");
	}
}

/* @offset: what of the word stays as it is */
static void begin_word(struct completion *c, const char *word, size_t offset)
{
	c->prefix = word;
	c->prefix_len = offset;
	c->partial = word + offset;
}

/* --- options -------------------------------------------------------------- */

struct offering {
	struct completion *c;
	bool items; /* of -o, instead of options */
};

static bool offer_entry(void *arg, const struct entry *e)
{
	const struct offering *o = arg;
	char word[64], about[300];

	if (o->items == (*e->name.ptr == '-') ||
	    memchr(e->name.ptr, '.', e->name.len)) /* "x-..." */
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)e->name.len, e->name.ptr);
	find_about(about, sizeof(about), o->c->help, word);
	if (!o->items || !e->takes.len || e->optional)
		completion_offer(o->c, word, about);
	if (e->takes.len && (o->items || e->optional)) {
		strncat(word, "=", sizeof(word) - strlen(word) - 1);
		completion_offer(o->c, word, about);
	}
	return false;
}

static void offer_options(struct completion *c, bool items)
{
	struct offering o = { .c = c, .items = items };
	struct entry help;

	each_entry(c->help, offer_entry, &o);
	if (!items && !find_entry(&help, c->help, "--help"))
		completion_offer(c, "--help", NULL);
}

/* "--only=Home", or the value of "view=dev": behind the sign */
static void offer_value_of(struct completion *c, const char *word,
			   size_t name_at)
{
	size_t name_len = strcspn(word + name_at, "=");
	char name[64];
	struct entry e;

	snprintf(name, sizeof(name), "%.*s", (int)name_len, word + name_at);
	if (!find_entry(&e, c->help, name) || !e.takes.len)
		return;
	begin_word(c, word, name_at + name_len + 1);
	offer_kinds(c, e.takes);
}

/* "a,b=c": the last of them */
static void offer_items(struct completion *c, const char *word)
{
	const char *comma = strrchr(word, ',');
	size_t at = comma ? (size_t)(comma - word) + 1 : 0;

	if (strchr(word + at, '=')) {
		offer_value_of(c, word, at);
		return;
	}
	begin_word(c, word, at);
	offer_options(c, true);
}

static void offer_value(struct completion *c, const struct entry *e,
			const char *word)
{
	begin_word(c, word, 0);
	if (!is(e->takes, "OPTION"))
		offer_kinds(c, e->takes);
	else if (!c->values || !c->values(c, "OPTION"))
		offer_items(c, word);
}

/* --- arguments ------------------------------------------------------------ */

/* The next word of a usage line, with what is in its brackets. */
static struct piece usage_word(const char **at)
{
	struct piece p;
	int depth = 0;

	*at += strspn(*at, " \n");
	p.ptr = *at;
	for (; **at && (depth || !strchr(" \n", **at)); ++*at)
		depth += (**at == '[') - (**at == ']');
	p.len = (size_t)(*at - p.ptr);
	return p;
}

/* An argument, as the usage has it: no option, and not just "[options]". */
static bool is_argument(struct piece p)
{
	const char *begin = p.ptr + (*p.ptr == '[');

	return *begin != '-' && !is(p, "[options]");
}

/* "[FOLDER...]", "[BACKUP]..." */
static bool repeats(struct piece p)
{
	return p.len > 4 && (!memcmp(p.ptr + p.len - 3, "...", 3) ||
			     !memcmp(p.ptr + p.len - 4, "...]", 4));
}

/* Another way to call it begins below the first one. */
static const char *usage_end(const char *usage)
{
	const char *end = usage + strcspn(usage, "\n");

	while (*end && blanks(end + 1) > strlen("usage: "))
		end += 1 + strcspn(end + 1, "\n");
	return end;
}

/* The argument of that number, from 0, in the first usage; empty: none. */
static struct piece find_argument(const char *usage, size_t number)
{
	const char *end = usage_end(usage), *at = strchr(usage, ' ');
	struct piece p = usage_word(&at);

	if (is(p, "larder"))
		usage_word(&at); /* the command */
	for (;;) {
		p = usage_word(&at);
		if (p.ptr >= end)
			return (struct piece){ "", 0 };
		if (!is_argument(p))
			continue;
		if (!number || repeats(p))
			return p;
		number--;
	}
}

/* --- what has been typed -------------------------------------------------- */

/* Sorts the words before the last: arguments, and what waits for a value. */
static void read_words(struct completion *c, const char **given,
		       const char *const *words, size_t count,
		       struct entry *waiting, bool *ended)
{
	*waiting = (struct entry){ 0 };
	*ended = false;
	for (size_t i = 0; i + 1 < count; i++) {
		const char *word = words[i];
		struct entry e;

		if (waiting->takes.len) {
			waiting->takes.len = 0;
		} else if (*ended || *word != '-' || !word[1]) {
			given[c->given_count++] = word;
		} else if (!strcmp(word, "--")) {
			*ended = true;
		} else if (find_entry(&e, c->help, word) && !e.optional) {
			*waiting = e;
		}
	}
}

void completion_run(struct completion *c, const char *const *words,
		    size_t count)
{
	mb_auto(free) const char **given = calloc(count + 1, sizeof(*given));
	const char *word = count ? words[count - 1] : "";
	struct entry waiting;
	struct piece argument;
	bool ended;

	if (!given)
		return;
	c->given = given;
	c->given_count = 0;
	read_words(c, given, words, count, &waiting, &ended);
	argument = find_argument(c->help[0], c->given_count);
	begin_word(c, word, 0);
	if (waiting.takes.len)
		offer_value(c, &waiting, word);
	else if (!ended && !strncmp(word, "--", 2) && strchr(word, '='))
		offer_value_of(c, word, 0);
	else if (!ended && (*word == '-' || !argument.len))
		offer_options(c, false);
	else
		offer_kinds(c, argument);
	c->given = NULL;
}
