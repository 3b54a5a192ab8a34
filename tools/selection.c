/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "selection.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

struct pattern {
	int option;	  /* SELECTION_* */
	const char *text; /* as given; borrowed */
	/* the components of a glob, each terminated, and how many */
	char *components;
	size_t depth;
	bool matched;
};

/* Slashes become ends; those that separate nothing are dropped. */
static int split(struct pattern *p)
{
	char *out = malloc(strlen(p->text) + 1);

	if (!out)
		return -ENOMEM;
	p->components = out;
	for (const char *at = p->text; *at;) {
		size_t len = strcspn(at, "/");

		if (len) {
			memcpy(out, at, len);
			out[len] = '\0';
			out += len + 1;
			p->depth++;
		}
		at += len + (at[len] == '/');
	}
	return p->depth ? 0 : -EINVAL;
}

int selection_option(struct selection *s, const struct command *command,
		     int option, const char *value)
{
	struct pattern *list, *p;
	int rc;

	if (option < SELECTION_ONLY || option > SELECTION_APP)
		return 0;
	list = reallocarray(s->patterns, s->count + 1, sizeof(*list));
	if (!list) {
		usage_error(command, _("out of memory"));
		return -1;
	}
	s->patterns = list;
	p = &list[s->count];
	*p = (struct pattern){ .option = option, .text = value };
	rc = split(p);
	if (rc < 0) {
		free(p->components);
		usage_error(command, rc == -ENOMEM ? _("out of memory") :
						     _("a pattern is empty"));
		return -1;
	}
	s->count++;
	s->some |= option != SELECTION_EXCLUDE;
	return 1;
}

void selection_release(struct selection *s)
{
	while (s->count)
		free(s->patterns[--s->count].components);
	free(s->patterns);
	*s = (struct selection){ 0 };
}

bool selection_is_all(const struct selection *s)
{
	return !s->count;
}

void selection_each(const struct selection *s,
		    void (*each)(void *arg, int option, const char *text),
		    void *arg)
{
	for (size_t i = 0; i < s->count; i++)
		each(arg, s->patterns[i].option, s->patterns[i].text);
}

/* Components have the length of a file name at most, domains may be longer. */
static bool glob_matches(const char *glob, struct mb_slice text)
{
	char fixed[512], *copy = fixed;
	bool matches;

	if (text.len >= sizeof(fixed))
		copy = malloc(text.len + 1);
	if (!copy)
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	/* what holds a zero byte is longer than it looks */
	matches = strlen(copy) == text.len && fnmatch(glob, copy, 0) == 0;
	if (copy != fixed)
		free(copy);
	return matches;
}

/* What is behind @prefix in a domain; false if it begins otherwise. */
static bool cut_prefix(struct mb_slice *domain, const char *prefix)
{
	size_t len = strlen(prefix);

	if (domain->len < len || memcmp(domain->ptr, prefix, len))
		return false;
	domain->ptr += len;
	domain->len -= len;
	return true;
}

/* "<id>" or "<id>.<anything>" */
static bool is_named_after(struct mb_slice text, const char *id)
{
	size_t len = strlen(id);

	if (text.len < len || memcmp(text.ptr, id, len))
		return false;
	return text.len == len || text.ptr[len] == '.';
}

static bool app_matches(const char *id, struct mb_slice domain)
{
	if (mb_is_app_domain(domain, id))
		return true;
	if (cut_prefix(&domain, "AppDomainPlugin-") ||
	    cut_prefix(&domain, "AppDomainGroup-group."))
		return is_named_after(domain, id);
	return false;
}

/* The components of a glob behind the domain, against those of a path. */
static bool path_matches(const char *glob, size_t depth, struct mb_slice path)
{
	size_t at = 0;

	for (; depth; depth--, glob += strlen(glob) + 1) {
		const char *slash;
		struct mb_slice part = { path.ptr + at, path.len - at };

		if (at > path.len || !part.len)
			return false;
		slash = memchr(part.ptr, '/', part.len);
		if (slash)
			part.len = (size_t)(slash - part.ptr);
		if (!glob_matches(glob, part))
			return false;
		at += part.len + 1;
	}
	return true;
}

static bool domain_matches(const struct pattern *p, struct mb_slice domain)
{
	return p->option == SELECTION_APP ? app_matches(p->text, domain) :
					    glob_matches(p->components, domain);
}

static bool matches(struct pattern *p, struct mb_slice domain,
		    struct mb_slice path)
{
	if (!domain_matches(p, domain))
		return false;
	if (p->option != SELECTION_APP && p->depth > 1 &&
	    !path_matches(p->components + strlen(p->components) + 1,
			  p->depth - 1, path))
		return false;
	/* a group or plug-in may be of another app, whose name is longer */
	if (p->option != SELECTION_APP || mb_is_app_domain(domain, p->text))
		p->matched = true;
	return true;
}

bool selection_wants(struct selection *s, struct mb_slice domain)
{
	bool wanted = !s->some;

	for (size_t i = 0; i < s->count; i++) {
		struct pattern *p = &s->patterns[i];

		if (!domain_matches(p, domain))
			continue;
		if (p->option != SELECTION_EXCLUDE) {
			wanted = true;
		} else if (p->depth == 1) {
			p->matched = true;
			return false;
		}
	}
	return wanted;
}

bool selection_has(struct selection *s, struct mb_slice domain,
		   struct mb_slice path)
{
	bool has = !s->some, excluded = false;

	/* all are asked, so that each knows whether it matches something */
	for (size_t i = 0; i < s->count; i++) {
		struct pattern *p = &s->patterns[i];

		if (!matches(p, domain, path))
			continue;
		if (p->option == SELECTION_EXCLUDE)
			excluded = true;
		else
			has = true;
	}
	return has && !excluded;
}

int selection_check(const struct selection *s, struct mb_err *err)
{
	static const char *const names[] = { "--only", "--exclude", "--app" };

	for (size_t i = 0; i < s->count; i++) {
		const struct pattern *p = &s->patterns[i];

		if (!p->matched)
			return mb_err_set(
				err, -ENOENT, "%s %s: nothing matches",
				names[p->option - SELECTION_ONLY], p->text);
	}
	return 0;
}
