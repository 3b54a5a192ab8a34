/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "use_manifest.h"

#include <string.h>

#include "fuzz.h"
#include "record.h"

#define DOMAINS_MAX 50
#define HANDLES_MAX 200

struct seen {
	struct mb_slice domains[DOMAINS_MAX];
	size_t domain_count;
	int64_t handles[HANDLES_MAX];
	size_t handle_count, entries;
};

static int on_domain(void *arg, struct mb_slice domain, int64_t root)
{
	struct seen *seen = arg;
	char *copy;

	fuzz_touch(domain.ptr, domain.len);
	if (root != MANIFEST_NO_RECORD && seen->handle_count < HANDLES_MAX)
		seen->handles[seen->handle_count++] = root;
	if (seen->domain_count == DOMAINS_MAX)
		return 0;
	copy = malloc(domain.len + 1);
	MUST(copy);
	memcpy(copy, domain.ptr, domain.len);
	seen->domains[seen->domain_count++] =
		(struct mb_slice){ copy, domain.len };
	return 0;
}

static int on_entry(void *arg, const struct manifest_entry *entry)
{
	struct seen *seen = arg;

	MUST(entry->handle != MANIFEST_NO_RECORD);
	MUST(entry->path.len <= MANIFEST_PATH_MAX);
	fuzz_touch(entry->path.ptr, entry->path.len);
	seen->entries++;
	if (seen->handle_count < HANDLES_MAX)
		seen->handles[seen->handle_count++] = entry->handle;
	return 0;
}

static int on_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)arg;
	fuzz_touch(name.ptr, name.len);
	fuzz_touch(value.ptr, value.len);
	return 0;
}

static void on_note(void *arg, const char *line)
{
	(void)arg;
	fuzz_touch(line, strlen(line));
}

static void get_all(struct manifest *m, const struct seen *seen)
{
	struct mb_record rec = { 0 };

	for (size_t i = 0; i < seen->handle_count; i++) {
		if (manifest_get(m, seen->handles[i], &rec, NULL) < 0)
			continue;
		fuzz_touch(rec.domain.ptr, rec.domain.len);
		fuzz_touch(rec.path.ptr, rec.path.len);
		fuzz_touch(rec.target.ptr, rec.target.len);
		MUST(rec.type == MB_FILE || rec.type == MB_DIR ||
		     rec.type == MB_LINK);
		MUST(strlen(rec.file_id) == 40 || rec.damage);
		mb_record_each_xattr(&rec, on_xattr, NULL);
	}
	manifest_get(m, 0, &rec, NULL);
	manifest_get(m, INT64_MAX, &rec, NULL);
	mb_record_release(&rec);
}

void use_manifest(const uint8_t *data, size_t size,
		  int (*open)(struct manifest **out, struct payload *p,
			      struct mb_err *err))
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct manifest *m = NULL;
	struct payload *p;
	struct mb_err err;

	MUST(seen);
	fuzz_put("manifest", data, size);
	MUST(payload_open(&p, fuzz_dir_fd(), "manifest", NULL) == 0);
	if (open(&m, p, &err) == 0) {
		manifest_on_note(m, on_note, NULL);
		manifest_each_domain_do(m, on_domain, seen, &err);
		for (size_t i = 0; i < seen->domain_count; i++) {
			manifest_scan(m, seen->domains[i], true, on_entry, seen,
				      &err);
			manifest_scan(m, seen->domains[i], false, on_entry,
				      seen, &err);
		}
		get_all(m, seen);
		manifest_free(m);
	}
	while (seen->domain_count)
		free((char *)seen->domains[--seen->domain_count].ptr);
	free(seen);
}
