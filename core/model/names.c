/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include <stdio.h>

#include "crypto.h"

bool names_next(struct mb_slice path, size_t *at, struct mb_slice *component)
{
	size_t begin = *at, end = *at;

	if (begin >= path.len)
		return false;
	while (end < path.len && path.ptr[end] == '/')
		end++;
	while (end < path.len && path.ptr[end] != '/')
		end++;
	if (end + 1 == path.len) /* a slash with nothing behind it */
		end++;
	*component = (struct mb_slice){ path.ptr + begin, end - begin };
	*at = end < path.len ? end + 1 : end;
	return true;
}

static bool is_dots(struct mb_slice c)
{
	return (c.len == 1 || c.len == 2) && c.ptr[0] == '.' &&
	       c.ptr[c.len - 1] == '.';
}

bool names_is_plain(struct mb_slice c)
{
	return c.len && c.len <= NAME_SHOWN_MAX && !is_dots(c) &&
	       !memchr(c.ptr, '/', c.len) && !memchr(c.ptr, '\0', c.len);
}

/* "%" and 16 digits of the whole name's digest take the place of the rest. */
static void cut_long(char *out, size_t kept, struct mb_slice component)
{
	uint8_t digest[SHA1_LEN] = { 0 };

	kept = utf8_valid_prefix(out, kept);
	crypto_sha1(digest, view_of(component.ptr, component.len),
		    view_of(NULL, 0));
	out[kept++] = '%';
	hex_encode(out + kept, digest, 8);
}

void names_show(char out[NAME_SHOWN_MAX + 1], struct mb_slice c)
{
	const size_t kept = NAME_SHOWN_MAX - 1 - 16;
	size_t len = 0;

	if (!c.len) {
		strcpy(out, "%");
		return;
	}
	for (size_t i = 0; i < c.len; i++) {
		char piece[4] = { c.ptr[i] };
		size_t piece_len = 1;

		if (c.ptr[i] == '/' || c.ptr[i] == '\0' || is_dots(c)) {
			snprintf(piece, sizeof(piece), "%%%02X",
				 (unsigned char)c.ptr[i]);
			piece_len = 3;
		}
		if (len + piece_len > NAME_SHOWN_MAX) {
			cut_long(out, len < kept ? len : kept, c);
			return;
		}
		memcpy(out + len, piece, piece_len);
		len += piece_len;
	}
	out[len] = '\0';
}

void names_append(char name[NAME_SHOWN_MAX + 1], const char *ending)
{
	size_t len = strlen(name), end_len = strlen(ending);

	if (len + end_len > NAME_SHOWN_MAX) {
		size_t whole;

		len = NAME_SHOWN_MAX - end_len;
		/* not within a character, unless it is no UTF-8 anyway */
		whole = utf8_valid_prefix(name, len);
		if (len - whole < 4)
			len = whole;
	}
	memcpy(name + len, ending, end_len + 1);
}

/* iphone-backup(5), DOMAINS; what is marked there as common knowledge too. */
static const struct {
	const char *domain, *root;
} fixed_roots[] = {
	{ "HomeDomain", "private/var/mobile" },
	{ "CameraRollDomain", "private/var/mobile" },
	{ "MediaDomain", "private/var/mobile" },
	{ "KeyboardDomain", "private/var/mobile" },
	{ "TonesDomain", "private/var/mobile" },
	{ "HomeKitDomain", "private/var/mobile" },
	{ "BooksDomain", "private/var/mobile/Media/Books" },
	{ "HealthDomain", "private/var/mobile/Library" },
	{ "WirelessDomain", "private/var/wireless" },
	{ "SystemPreferencesDomain", "private/var/preferences" },
	{ "ManagedPreferencesDomain", "private/var/Managed Preferences" },
	{ "KeychainDomain", "private/var/Keychains" },
	{ "RootDomain", "private/var/root" },
	{ "DatabaseDomain", "private/var/db" },
	{ "ProtectedDomain", "private/var/protected" },
	{ "InstallDomain", "private/var/installd" },
	{ "NetworkDomain", "private/var/networkd" },
	{ "MobileDeviceDomain", "private/var/MobileDevice" },
};

static const struct {
	const char *prefix, *root;
} container_roots[] = {
	{ "AppDomain-", "private/var/mobile/Containers/Data/Application/" },
	{ "AppDomainGroup-", "private/var/mobile/Containers/Shared/AppGroup/" },
	{ "AppDomainPlugin-",
	  "private/var/mobile/Containers/Data/PluginKitPlugin/" },
	{ "SysContainerDomain-", "private/var/containers/Data/System/" },
	{ "SysSharedContainerDomain-",
	  "private/var/containers/Shared/SystemGroup/" },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* As one component: what a slash in an identifier leads to is not a folder. */
static int add_shown(struct buf *out, struct mb_slice name)
{
	char shown[NAME_SHOWN_MAX + 1];

	names_show(shown, name);
	return buf_add(out, shown, strlen(shown));
}

int names_device_root(struct mb_slice domain, struct buf *out)
{
	for (size_t i = 0; i < COUNT(fixed_roots); i++)
		if (view_is(view_of(domain.ptr, domain.len),
			    fixed_roots[i].domain))
			return buf_add(out, fixed_roots[i].root,
				       strlen(fixed_roots[i].root));
	for (size_t i = 0; i < COUNT(container_roots); i++) {
		size_t len = strlen(container_roots[i].prefix);
		int rc;

		if (domain.len <= len ||
		    memcmp(domain.ptr, container_roots[i].prefix, len))
			continue;
		rc = buf_add(out, container_roots[i].root,
			     strlen(container_roots[i].root));
		if (rc < 0)
			return rc;
		return add_shown(out, (struct mb_slice){ domain.ptr + len,
							 domain.len - len });
	}
	return add_shown(out, domain);
}
