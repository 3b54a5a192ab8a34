/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include "fixture.h"
#include "tap.h"

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

/* the components of a path, a "|" behind each */
static void check_split(const char *path, const char *want)
{
	struct bytes b = { 0 };
	struct mb_slice c;
	size_t at = 0;

	while (names_next(slice(path), &at, &c)) {
		add(&b, c.ptr, c.len);
		add_text(&b, "|");
		if (!CHECK_AT(c.len, "empty component in %s", path))
			break;
	}
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

CASE(a_path_splits_at_single_slashes)
{
	check_split("", "");
	check_split("a", "a|");
	check_split("Library/SMS/sms.db", "Library|SMS|sms.db|");
	check_split("a/b", "a|b|");
}

CASE(a_slash_that_separates_nothing_belongs_to_the_component)
{
	check_split("/", "/|");
	check_split("//", "//|");
	check_split("/a", "/a|");
	check_split("//a", "//a|");
	check_split("a/", "a/|");
	check_split("a/b/", "a|b/|");
	check_split("a//b", "a|/b|");
	check_split("a///b", "a|//b|");
	check_split("a//", "a|/|");
	check_split("/a/", "/a/|");
	check_split("/etc/passwd", "/etc|passwd|");
	check_split("../../x", "..|..|x|");
}

/* joined with "/" again, the components are the path: nothing gets lost */
CASE(no_byte_of_any_path_is_lost)
{
	for (unsigned bits = 0; bits < 1u << 12; bits++) {
		struct bytes b = { 0 };
		struct mb_slice c;
		char path[13] = "";
		size_t at = 0;

		for (int i = 0; i < 12; i++)
			path[i] = bits >> i & 1 ? '/' : 'x';
		while (names_next(slice(path), &at, &c)) {
			if (b.len)
				add_text(&b, "/");
			add(&b, c.ptr, c.len);
		}
		CHECK_AT(b.len == 12 && !memcmp(b.ptr, path, 12), "%s", path);
		drop(&b);
	}
}

static void check_show(struct mb_slice raw, const char *want)
{
	char out[NAME_SHOWN_MAX + 1];

	names_show(out, raw);
	CHECK_TEXT(out, want);
	CHECK(names_is_plain(raw) ==
	      (raw.len == strlen(want) && !memcmp(raw.ptr, want, raw.len)));
}

CASE(ordinary_names_are_shown_as_they_are)
{
	check_show(slice("sms.db"), "sms.db");
	check_show(slice("..."), "...");
	check_show(slice("..a"), "..a");
	check_show(slice(".hidden"), ".hidden");
	check_show(slice("a b\tc\nd"), "a b\tc\nd");
	check_show(slice("100%"), "100%");
	check_show(slice("%2F"), "%2F");
	check_show(slice("\xc3\x9c"
			 "bung"),
		   "\xc3\x9c"
		   "bung");
	check_show(slice("\xff\xfe"), "\xff\xfe");
}

CASE(what_cannot_be_a_name_is_escaped)
{
	check_show(slice(""), "%");
	check_show(slice("."), "%2E");
	check_show(slice(".."), "%2E%2E");
	check_show(slice("/"), "%2F");
	check_show(slice("/etc"), "%2Fetc");
	check_show(slice("a/"), "a%2F");
	check_show((struct mb_slice){ "a\0b", 3 }, "a%00b");
	check_show((struct mb_slice){ "\0", 1 }, "%00");
	check_show((struct mb_slice){ ".\0", 2 }, ".%00");
	check_show(slice("/.."), "%2F..");
}

CASE(a_name_of_255_bytes_is_left_alone_and_one_more_is_cut)
{
	char raw[300], out[NAME_SHOWN_MAX + 1], digest[41], want[300];

	memset(raw, 'x', sizeof(raw));
	names_show(out, (struct mb_slice){ raw, 255 });
	CHECK_INT(strlen(out), 255);
	CHECK(!memcmp(out, raw, 255));
	for (size_t len = 256; len <= 300; len += 44) {
		names_show(out, (struct mb_slice){ raw, len });
		sha1_hex(digest, raw, len);
		snprintf(want, sizeof(want), "%.238s%%%.16s", raw, digest);
		CHECK_TEXT(out, want);
		CHECK_INT(strlen(out), 255);
	}
	CHECK(!names_is_plain((struct mb_slice){ raw, 256 }));
}

CASE(long_names_that_differ_at_their_end_stay_different)
{
	char raw[65534], a[NAME_SHOWN_MAX + 1], b[NAME_SHOWN_MAX + 1];

	memset(raw, 'x', sizeof(raw));
	names_show(a, (struct mb_slice){ raw, sizeof(raw) });
	raw[sizeof(raw) - 1] = 'y';
	names_show(b, (struct mb_slice){ raw, sizeof(raw) });
	CHECK(strcmp(a, b));
	CHECK_INT(strlen(a), 255);
}

CASE(a_long_name_is_not_cut_within_a_character)
{
	char out[NAME_SHOWN_MAX + 1];
	struct bytes b = { 0 };

	add_text(&b, "a");
	for (int i = 0; i < 100; i++)
		add_text(&b, "\xe2\x82\xac");
	names_show(out, (struct mb_slice){ (char *)b.ptr, b.len });
	/* 1 + 79 * 3 = 238 would fit exactly */
	CHECK_INT(strlen(out), 238 + 17);
	drop(&b);
	add_text(&b, "ab");
	for (int i = 0; i < 100; i++)
		add_text(&b, "\xe2\x82\xac");
	names_show(out, (struct mb_slice){ (char *)b.ptr, b.len });
	CHECK_INT(strlen(out), 2 + 78 * 3 + 17);
	CHECK_INT(out[2 + 78 * 3], '%');
	drop(&b);
}

CASE(escapes_count_for_the_length)
{
	char raw[255], out[NAME_SHOWN_MAX + 1];

	memset(raw, '/', sizeof(raw));
	names_show(out, (struct mb_slice){ raw, 85 });
	CHECK_INT(strlen(out), 255);
	CHECK_TEXT(out + 252, "%2F");
	names_show(out, (struct mb_slice){ raw, 86 });
	CHECK_INT(strlen(out), 255);
	CHECK_INT(out[238], '%');
	CHECK(!strchr(out, '/'));
}

/* whatever goes in: one component, no NUL, no dots, no more than 255 bytes */
CASE(any_bytes_at_all_make_a_name)
{
	for (int i = 0; i < 3000; i++) {
		char out[NAME_SHOWN_MAX + 1];
		struct bytes b = { 0 };

		add_noise(&b, dice() % 400);
		for (size_t at = 0; at < b.len; at++)
			if (b.ptr[at] % 3 == 0)
				b.ptr[at] = (uint8_t) "./\0%"[b.ptr[at] & 3];
		memset(out, 1, sizeof(out));
		names_show(out, (struct mb_slice){ (char *)b.ptr, b.len });
		CHECK(memchr(out, 0, sizeof(out)));
		CHECK(out[0] && !strchr(out, '/') && strcmp(out, ".") &&
		      strcmp(out, ".."));
		drop(&b);
	}
}

CASE(an_ending_is_put_behind_and_cuts_if_need_be)
{
	char name[NAME_SHOWN_MAX + 1] = "sms.db";

	names_append(name, "%file");
	CHECK_TEXT(name, "sms.db%file");
	names_append(name, "");
	CHECK_TEXT(name, "sms.db%file");
	memset(name, 'x', 253);
	name[253] = '\0';
	names_append(name, "%2");
	CHECK_INT(strlen(name), 255);
	CHECK_TEXT(name + 250, "xxx%2");
	names_append(name, "%10");
	CHECK_INT(strlen(name), 255);
	CHECK_TEXT(name + 249, "xxx%10");
}

static void check_root(const char *domain, const char *want)
{
	struct buf b = { 0 };

	CHECK_INT(names_device_root(slice(domain), &b), 0);
	buf_add_u8(&b, 0);
	CHECK_TEXT((char *)b.ptr, want);
	buf_release(&b);
}

CASE(fixed_domains_have_their_folder_on_the_device)
{
	check_root("HomeDomain", "private/var/mobile");
	check_root("CameraRollDomain", "private/var/mobile");
	check_root("MediaDomain", "private/var/mobile");
	check_root("KeyboardDomain", "private/var/mobile");
	check_root("TonesDomain", "private/var/mobile");
	check_root("HomeKitDomain", "private/var/mobile");
	check_root("BooksDomain", "private/var/mobile/Media/Books");
	check_root("HealthDomain", "private/var/mobile/Library");
	check_root("WirelessDomain", "private/var/wireless");
	check_root("SystemPreferencesDomain", "private/var/preferences");
	check_root("ManagedPreferencesDomain",
		   "private/var/Managed Preferences");
	check_root("KeychainDomain", "private/var/Keychains");
	check_root("RootDomain", "private/var/root");
	check_root("DatabaseDomain", "private/var/db");
	check_root("ProtectedDomain", "private/var/protected");
	check_root("InstallDomain", "private/var/installd");
	check_root("NetworkDomain", "private/var/networkd");
	check_root("MobileDeviceDomain", "private/var/MobileDevice");
}

CASE(containers_are_named_by_their_identifier)
{
	check_root("AppDomain-com.example.app",
		   "private/var/mobile/Containers/Data/Application/"
		   "com.example.app");
	check_root("AppDomain-a-b-c",
		   "private/var/mobile/Containers/Data/Application/a-b-c");
	check_root("AppDomainGroup-group.com.example",
		   "private/var/mobile/Containers/Shared/AppGroup/"
		   "group.com.example");
	check_root("AppDomainPlugin-com.example.p",
		   "private/var/mobile/Containers/Data/PluginKitPlugin/"
		   "com.example.p");
	check_root("SysContainerDomain-x",
		   "private/var/containers/Data/System/x");
	check_root("SysSharedContainerDomain-systemgroup.x",
		   "private/var/containers/Shared/SystemGroup/systemgroup.x");
}

CASE(unknown_domains_are_their_own_root)
{
	check_root("BackupDomain", "BackupDomain");
	check_root("TomorrowDomain-x", "TomorrowDomain-x");
	check_root("homedomain", "homedomain");
	check_root("HomeDomainX", "HomeDomainX");
	check_root("AppDomain", "AppDomain");
	check_root("AppDomain-", "AppDomain-");
	check_root("", "%");
}

/* as in published exploits */
CASE(a_domain_cannot_lead_elsewhere)
{
	check_root("SysContainerDomain-../../../../../../../var/mobile",
		   "private/var/containers/Data/System/"
		   "..%2F..%2F..%2F..%2F..%2F..%2F..%2Fvar%2Fmobile");
	check_root("AppDomain-..",
		   "private/var/mobile/Containers/Data/Application/%2E%2E");
	check_root("..", "%2E%2E");
	check_root("/etc", "%2Fetc");
	check_root("a/b", "a%2Fb");
}

int main(void)
{
	RUN(a_path_splits_at_single_slashes);
	RUN(a_slash_that_separates_nothing_belongs_to_the_component);
	RUN(no_byte_of_any_path_is_lost);
	RUN(ordinary_names_are_shown_as_they_are);
	RUN(what_cannot_be_a_name_is_escaped);
	RUN(a_name_of_255_bytes_is_left_alone_and_one_more_is_cut);
	RUN(long_names_that_differ_at_their_end_stay_different);
	RUN(a_long_name_is_not_cut_within_a_character);
	RUN(escapes_count_for_the_length);
	RUN(any_bytes_at_all_make_a_name);
	RUN(an_ending_is_put_behind_and_cuts_if_need_be);
	RUN(fixed_domains_have_their_folder_on_the_device);
	RUN(containers_are_named_by_their_identifier);
	RUN(unknown_domains_are_their_own_root);
	RUN(a_domain_cannot_lead_elsewhere);
	return tap_end();
}
