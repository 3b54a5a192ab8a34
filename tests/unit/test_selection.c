/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "selection.h"

#include <errno.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

static const struct command command = { .name = "test" };

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

/* "o" --only, "x" --exclude, "a" --app, and the pattern behind it */
static int add_pattern(struct selection *s, const char *what)
{
	int option = *what == 'o' ? SELECTION_ONLY :
		     *what == 'x' ? SELECTION_EXCLUDE :
				    SELECTION_APP;

	return selection_option(s, &command, option, what + 1);
}

static struct selection select_by(const char *const *list)
{
	struct selection s = { 0 };

	for (; *list; list++)
		CHECK_AT(add_pattern(&s, *list) == 1, "%s", *list);
	return s;
}

#define BY(...) select_by((const char *const[]){ __VA_ARGS__, NULL })

static bool has(struct selection *s, const char *domain, const char *path)
{
	return selection_has(s, slice(domain), slice(path));
}

/* Usage errors are said on standard error, which nobody needs here. */
static void be_quiet(bool on)
{
	static int saved = -1;

	fflush(stderr);
	if (on) {
		saved = dup(STDERR_FILENO);
		if (!freopen("/dev/null", "w", stderr))
			abort();
	} else {
		dup2(saved, STDERR_FILENO);
		close(saved);
	}
}

CASE(without_patterns_everything_is_meant)
{
	struct selection s = { 0 };

	CHECK(selection_is_all(&s));
	CHECK(selection_wants(&s, slice("HomeDomain")));
	CHECK(has(&s, "HomeDomain", ""));
	CHECK(has(&s, "", "x"));
	CHECK_INT(selection_check(&s, NULL), 0);
	selection_release(&s);
}

struct choice {
	const char *pattern, *domain, *path;
	bool meant;
};

/* Each pattern alone, after --only. */
static void check_choices(const struct choice *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char pattern[64];
		struct selection s;

		snprintf(pattern, sizeof(pattern), "o%s", all[i].pattern);
		s = BY(pattern);
		CHECK_AT(has(&s, all[i].domain, all[i].path) == all[i].meant,
			 "%s: %s/%s", all[i].pattern, all[i].domain,
			 all[i].path);
		selection_release(&s);
	}
}

CASE(a_pattern_means_what_is_below_too_but_not_what_is_above)
{
	static const struct choice all[] = {
		{ "HomeDomain", "HomeDomain", "", true },
		{ "HomeDomain", "HomeDomain", "Library/SMS/sms.db", true },
		{ "HomeDomain", "HomeDomain2", "", false },
		{ "HomeDomain", "Home", "", false },
		{ "HomeDomain/", "HomeDomain", "x", true },
		{ "HomeDomain//Library", "HomeDomain", "Library", true },
		{ "/HomeDomain/Library/", "HomeDomain", "Library/x", true },
		{ "HomeDomain/Library", "HomeDomain", "", false },
		{ "HomeDomain/Library", "HomeDomain", "Librar", false },
		{ "HomeDomain/Library", "HomeDomain", "Library2", false },
		{ "HomeDomain/Library", "HomeDomain", "x/Library", false },
		{ "HomeDomain/Library", "MediaDomain", "Library", false },
		{ "HomeDomain/Library/SMS", "HomeDomain", "Library", false },
		{ "HomeDomain/Library/SMS", "HomeDomain", "Library/SMS", true },
		{ "HomeDomain/a/b/c", "HomeDomain", "a/b/c/d/e", true },
		{ "HomeDomain/a/b/c", "HomeDomain", "a/b", false },
	};

	check_choices(all, COUNT(all));
}

CASE(each_component_is_a_glob)
{
	static const struct choice all[] = {
		{ "*", "HomeDomain", "x", true },
		{ "*Domain", "HomeDomain", "", true },
		{ "App*", "AppDomain-com.example", "", true },
		{ "App*", "HomeDomain", "", false },
		{ "C*/Media/DCIM/*/*.MOV", "CameraRollDomain",
		  "Media/DCIM/100APPLE/IMG_1.MOV", true },
		{ "C*/Media/DCIM/*/*.MOV", "CameraRollDomain",
		  "Media/DCIM/100APPLE/IMG_1.JPG", false },
		/* a star stands for one component, not for several */
		{ "C*/Media/*/*.MOV", "CameraRollDomain",
		  "Media/DCIM/100APPLE/IMG_1.MOV", false },
		{ "HomeDomain/*", "HomeDomain", "", false },
		{ "HomeDomain/*", "HomeDomain", "x", true },
		{ "HomeDomain/*", "HomeDomain", ".hidden", true },
		{ "HomeDomain/*", "HomeDomain", "x/y", true },
		{ "HomeDomain/?", "HomeDomain", "xy", false },
		{ "HomeDomain/[ab]", "HomeDomain", "b", true },
		{ "HomeDomain/[!ab]", "HomeDomain", "b", false },
		{ "HomeDomain/\\*", "HomeDomain", "*", true },
		{ "HomeDomain/\\*", "HomeDomain", "x", false },
	};

	check_choices(all, COUNT(all));
}

CASE(of_several_one_is_enough_but_what_is_excluded_is_not_meant)
{
	struct selection s = BY("oHomeDomain/a", "oHomeDomain/b",
				"oMediaDomain", "x*/b/secret", "x*/*.tmp");

	CHECK(!selection_is_all(&s));
	CHECK(has(&s, "HomeDomain", "a"));
	CHECK(has(&s, "HomeDomain", "b/x"));
	CHECK(has(&s, "MediaDomain", "anything"));
	CHECK(!has(&s, "HomeDomain", "c"));
	CHECK(!has(&s, "HomeDomain", "b/secret"));
	CHECK(!has(&s, "HomeDomain", "b/secret/below"));
	CHECK(!has(&s, "MediaDomain", "x.tmp"));
	CHECK(has(&s, "MediaDomain", "y/x.tmp"));
	selection_release(&s);
}

CASE(only_excluding_leaves_all_the_rest)
{
	struct selection s = BY("xHomeDomain/a", "xMediaDomain");

	CHECK(!selection_is_all(&s));
	CHECK(has(&s, "HomeDomain", ""));
	CHECK(has(&s, "Other", ""));
	CHECK(!has(&s, "HomeDomain", "a"));
	CHECK(!has(&s, "MediaDomain", ""));
	selection_release(&s);
}

CASE(an_app_is_its_domain_its_plug_ins_and_its_groups)
{
	static const struct {
		const char *domain;
		bool meant;
	} all[] = {
		{ "AppDomain-com.example.app", true },
		{ "AppDomain-com.example.app.more", false },
		{ "AppDomain-com.example.app2", false },
		{ "AppDomain-com.example", false },
		{ "AppDomain-com.example.ap", false },
		{ "AppDomainPlugin-com.example.app", true },
		{ "AppDomainPlugin-com.example.app.widget", true },
		{ "AppDomainPlugin-com.example.app2", false },
		{ "AppDomainGroup-group.com.example.app", true },
		{ "AppDomainGroup-group.com.example.app.shared", true },
		{ "AppDomainGroup-group.com.example.app2", false },
		{ "AppDomainGroup-com.example.app", false },
		{ "HomeDomain", false },
		{ "com.example.app", false },
		{ "AppDomain-", false },
		{ "", false },
	};
	struct selection s = BY("acom.example.app");

	for (size_t i = 0; i < COUNT(all); i++) {
		CHECK_AT(has(&s, all[i].domain, "x/y") == all[i].meant, "%s",
			 all[i].domain);
		CHECK_AT(has(&s, all[i].domain, "") == all[i].meant, "%s",
			 all[i].domain);
		CHECK_AT(selection_wants(&s, slice(all[i].domain)) ==
				 all[i].meant,
			 "%s", all[i].domain);
	}
	selection_release(&s);
}

/* an identifier is a name, no pattern */
CASE(an_app_is_no_glob)
{
	struct selection s = BY("acom.*");

	CHECK(!has(&s, "AppDomain-com.example", ""));
	CHECK(has(&s, "AppDomain-com.*", ""));
	selection_release(&s);
}

CASE(a_domain_without_anything_meant_need_not_be_looked_at)
{
	struct selection s =
		BY("oHomeDomain/a/b", "xHome*/c", "xMedia*", "oM*Domain");

	CHECK(selection_wants(&s, slice("HomeDomain")));
	CHECK(!selection_wants(&s, slice("MediaDomain")));
	CHECK(selection_wants(&s, slice("MoreDomain")));
	CHECK(!selection_wants(&s, slice("Other")));
	selection_release(&s);
	s = BY("xHomeDomain/c");
	CHECK(selection_wants(&s, slice("HomeDomain")));
	selection_release(&s);
}

/* which is how a mistyped one is found */
CASE(a_pattern_that_matches_nothing_is_told)
{
	struct selection s =
		BY("oHomeDomain/a", "xHomeDomain/*/x", "acom.example.app");
	struct mb_err err = { 0 };

	has(&s, "HomeDomain", "a/y");
	CHECK_INT(selection_check(&s, &err), -ENOENT);
	CHECK_TEXT(err.text, "--exclude HomeDomain/*/x: nothing matches");
	has(&s, "HomeDomain", "a/x");
	CHECK_INT(selection_check(&s, &err), -ENOENT);
	CHECK_TEXT(err.text, "--app com.example.app: nothing matches");
	has(&s, "AppDomain-com.example.app", "");
	CHECK_INT(selection_check(&s, &err), 0);
	selection_release(&s);
	s = BY("oNone");
	has(&s, "HomeDomain", "None");
	CHECK_INT(selection_check(&s, &err), -ENOENT);
	CHECK_TEXT(err.text, "--only None: nothing matches");
	selection_release(&s);
}

/* domains that are passed over whole have been matched all the same */
CASE(excluding_a_whole_domain_counts_as_a_match)
{
	struct selection s = BY("xMediaDomain");

	CHECK(!selection_wants(&s, slice("MediaDomain")));
	CHECK_INT(selection_check(&s, NULL), 0);
	selection_release(&s);
}

CASE(names_of_any_length_and_bytes)
{
	struct selection s = BY("o*Domain/*");
	struct bytes name = { 0 };
	struct mb_slice domain;

	for (int i = 0; i < 70000; i++)
		add_text(&name, "x");
	domain = slice("HomeDomain");
	CHECK(selection_has(&s, domain,
			    (struct mb_slice){ (char *)name.ptr, name.len }));
	add_text(&name, "Domain");
	domain = (struct mb_slice){ (char *)name.ptr, name.len };
	CHECK(selection_has(&s, domain, slice("x")));
	CHECK(!selection_has(&s, slice("HomeDomain"), slice("")));
	CHECK(selection_has(&s, slice("HomeDomain"), slice("caf\xe9")));
	/* what has a zero byte is nothing that anybody can type */
	CHECK(!selection_has(&s, slice("HomeDomain"),
			     (struct mb_slice){ "a\0b", 3 }));
	CHECK(!selection_has(&s, (struct mb_slice){ "x\0Domain", 8 },
			     slice("x")));
	drop(&name);
	selection_release(&s);
}

CASE(empty_components_of_a_path_match_nothing)
{
	struct selection s = BY("oHomeDomain/*/x");

	CHECK(!has(&s, "HomeDomain", "a//x"));
	CHECK(!has(&s, "HomeDomain", "a/"));
	CHECK(has(&s, "HomeDomain", "a/x"));
	selection_release(&s);
}

CASE(a_pattern_of_nothing_is_wrong)
{
	static const char *const wrong[] = { "o", "x/", "o///", "a" };
	struct selection s = { 0 };

	be_quiet(true);
	for (size_t i = 0; i < COUNT(wrong); i++)
		CHECK_AT(add_pattern(&s, wrong[i]) == -1, "%s", wrong[i]);
	be_quiet(false);
	CHECK(selection_is_all(&s));
	selection_release(&s);
}

CASE(other_options_are_left_alone)
{
	struct selection s = { 0 };

	CHECK_INT(selection_option(&s, &command, COMMON_JSON, NULL), 0);
	CHECK_INT(selection_option(&s, &command, 'x', "y"), 0);
	CHECK_INT(selection_option(&s, &command, SELECTION_APP + 1, "y"), 0);
	CHECK(selection_is_all(&s));
	selection_release(&s);
}

int main(void)
{
	RUN(without_patterns_everything_is_meant);
	RUN(a_pattern_means_what_is_below_too_but_not_what_is_above);
	RUN(each_component_is_a_glob);
	RUN(of_several_one_is_enough_but_what_is_excluded_is_not_meant);
	RUN(only_excluding_leaves_all_the_rest);
	RUN(an_app_is_its_domain_its_plug_ins_and_its_groups);
	RUN(an_app_is_no_glob);
	RUN(a_domain_without_anything_meant_need_not_be_looked_at);
	RUN(a_pattern_that_matches_nothing_is_told);
	RUN(excluding_a_whole_domain_counts_as_a_match);
	RUN(names_of_any_length_and_bytes);
	RUN(empty_components_of_a_path_match_nothing);
	RUN(a_pattern_of_nothing_is_wrong);
	RUN(other_options_are_left_alone);
	return tap_end();
}
