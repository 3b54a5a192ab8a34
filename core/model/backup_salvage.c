/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is left of a backup: records as good as they can be had, and payloads
 * that none of them names. SQLite reads a manifest that it can read to the
 * end; only of another are the pieces looked for.
 */
#include "mb/salvage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lost_found.h"
#include "manifest_carved.h"
#include "manifest_salvage.h"
#include "opened.h"

/* A damaged backup has a handful; whatever writes more tells nothing new. */
#define FLAWS_MAX 64

void backup_keep_flaw(struct mb_backup *b, const char *line)
{
	struct mb_err text; /* for its printable text */

	if (b->found.flaw_count == FLAWS_MAX)
		return;
	if (!b->flaws)
		b->flaws = calloc(FLAWS_MAX, sizeof(*b->flaws));
	mb_err_set(&text, 0, "%s", line);
	if (!b->flaws || !(b->flaws[b->found.flaw_count] = strdup(text.text)))
		return; /* without memory more will fail than this */
	b->found.flaws = (const char *const *)b->flaws;
	b->found.flaw_count++;
}

void backup_forget_salvage(struct mb_backup *b)
{
	while (b->found.flaw_count)
		free(b->flaws[--b->found.flaw_count]);
	free(b->flaws);
}

const struct mb_salvage *mb_backup_get_salvage(const struct mb_backup *b)
{
	return b->salvage ? &b->found : NULL;
}

/* All that are there, whether a record names them or not. */
static int all_payloads(const struct mb_backup *b, struct lost_found **out)
{
	return lost_found_open(out, &b->places, NULL, 0, false);
}

bool backup_has_remains(const struct mb_backup *b)
{
	struct lost_found *all = NULL;
	bool found = all_payloads(b, &all) == 0 && lost_found_count(all);

	lost_found_free(all);
	return found;
}

int backup_judge_encryption(struct mb_backup *b, struct mb_err *err)
{
	struct lost_found *all = NULL;
	int rc = all_payloads(b, &all);

	if (rc == 0)
		rc = lost_found_seems_encrypted(all);
	lost_found_free(all);
	if (rc < 0)
		return mb_err_set(err, rc, "%s", strerror(-rc));
	if (!rc)
		return 0;
	b->info.encrypted = b->info.keys_lost = true;
	backup_flaw(
		b,
		"Manifest.plist, and the key bag in it, is lost, and the files are encrypted: nobody can read them");
	return 0;
}

/* ---- file IDs that records name ---- */

struct ids {
	struct buf list; /* SHA1_LEN bytes each */
	uint64_t records;
};

static int add_id(void *arg, struct mb_slice id, enum mb_type type)
{
	struct ids *ids = arg;
	uint8_t digest[SHA1_LEN];
	char hex[2 * SHA1_LEN + 1];

	ids->records++;
	/* a folder's payload would be shown by nothing else */
	if (type == MB_DIR || type == MB_LINK || id.len != 2 * SHA1_LEN)
		return 0;
	memcpy(hex, id.ptr, id.len);
	hex[id.len] = '\0';
	if (!hex_decode(digest, sizeof(digest), hex))
		return 0;
	return buf_add(&ids->list, digest, sizeof(digest));
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, SHA1_LEN);
}

static int find_ids(struct manifest *m, struct ids *ids, struct mb_err *err)
{
	int rc;

	ids->list.len = 0;
	ids->records = 0;
	rc = manifest_each_id_do(m, add_id, ids, err);
	if (rc == -ENOMEM)
		return mb_err_set(err, rc, "out of memory");
	if (rc == 0 && ids->list.len)
		qsort(ids->list.ptr, ids->list.len / SHA1_LEN, SHA1_LEN,
		      compare_ids);
	return rc;
}

/* ---- a manifest that is whole ---- */

struct counting {
	struct manifest *m;
	struct buf domains; /* terminated names */
	uint64_t records;
};

static int keep_domain(void *arg, struct mb_slice domain, int64_t root)
{
	struct counting *c = arg;
	uint32_t len = (uint32_t)domain.len;

	(void)root;
	return buf_add(&c->domains, &len, sizeof(len)) < 0 ?
		       -ENOMEM :
		       buf_add(&c->domains, domain.ptr, domain.len);
}

static int count_entry(void *arg, const struct manifest_entry *entry)
{
	struct counting *c = arg;

	(void)entry;
	c->records++;
	return 0;
}

/* Every record of every domain, by the way that a mount finds them. */
static int count_by_domain(struct manifest *m, uint64_t *records,
			   struct mb_err *err)
{
	struct counting c = { .m = m };
	size_t at = 0;
	int rc = manifest_each_domain_do(m, keep_domain, &c, err);

	while (rc == 0 && at < c.domains.len) {
		struct mb_slice domain;
		uint32_t len;

		memcpy(&len, c.domains.ptr + at, sizeof(len));
		at += sizeof(len);
		domain = (struct mb_slice){ (char *)c.domains.ptr + at, len };
		at += len;
		rc = manifest_scan(m, domain, false, count_entry, &c, err);
	}
	buf_release(&c.domains);
	*records = c.records;
	return rc;
}

/*
 * Its records can be read, but they have also to be found: an index that is
 * damaged hides some, or fails.
 */
static int check_index(struct mb_backup *b, struct manifest **m,
		       uint64_t records, struct mb_err *err)
{
	struct payload *p = NULL;
	struct mb_err why = { .text = "some records are not in it" };
	uint64_t found;
	int rc = count_by_domain(*m, &found, &why);

	if (rc == -ENOMEM || b->info.format != MB_FORMAT_DB)
		return rc;
	if (rc == 0 && found == records)
		return 0;
	backup_flaw(
		b,
		"an index of the manifest is damaged, which is read without it: %s",
		why.text);
	manifest_free(*m);
	*m = NULL;
	rc = backup_open_manifest(b, b->info.manifest_encrypted, &p, err);
	return rc < 0 ? rc : manifest_open_db_table(m, p, err);
}

static int read_whole(struct mb_backup *b, struct manifest **m, struct ids *ids,
		      struct mb_err *err)
{
	struct payload *p = NULL;
	int rc;

	rc = backup_open_manifest(b, b->info.manifest_encrypted, &p, err);
	if (rc == 0)
		rc = b->info.format == MB_FORMAT_DB ?
			     manifest_open_db(m, p, err) :
			     manifest_open_mbdb(m, p, err);
	if (rc == 0)
		rc = find_ids(*m, ids, err);
	if (rc == 0)
		rc = check_index(b, m, ids->records, err);
	if (rc < 0) {
		manifest_free(*m);
		*m = NULL;
	}
	return rc;
}

/* ---- one that is not ---- */

static void take_counts(struct mb_salvage *found, const struct carved *carved)
{
	found->recovered = carved->rows;
	found->from_free = carved->free_rows;
	found->broken = carved->lost_rows;
	found->pages = carved->pages;
	found->pages_recorded = carved->recorded;
	found->pages_damaged = carved->damaged_pages;
	found->bytes_skipped = carved->skipped;
}

/* 0 also if nothing has been found: *m is then NULL */
static int read_pieces_as(struct mb_backup *b, bool encrypted,
			  struct manifest **m, struct mb_err *err)
{
	struct payload *p = NULL;
	struct carved carved;
	int rc = backup_open_manifest(b, encrypted, &p, err);

	if (rc == 0)
		rc = b->info.format == MB_FORMAT_DB ?
			     manifest_open_carved(m, p, &b->places, &carved,
						  err) :
			     manifest_open_mbdb_pieces(m, p, &carved, err);
	if (rc < 0)
		return rc;
	take_counts(&b->found, &carved);
	if (carved.rows)
		return 0;
	manifest_free(*m);
	*m = NULL;
	return 0;
}

/*
 * Whether it is encrypted was told by its first bytes, which may be what is
 * damaged: one that other tools decrypted in place is tried as it is.
 */
static int read_pieces(struct mb_backup *b, struct manifest **m,
		       struct mb_err *err)
{
	bool encrypted = b->info.manifest_encrypted && !b->info.keys_lost;
	int rc = read_pieces_as(b, encrypted, m, err);

	if (rc == 0 && !*m && encrypted)
		rc = read_pieces_as(b, false, m, err);
	return rc;
}

static int find_pieces(struct mb_backup *b, struct manifest **m,
		       struct ids *ids, struct mb_err *err)
{
	const char *name = backup_manifest_name(b);
	int rc = read_pieces(b, m, err);

	if (rc == 0 && *m)
		rc = find_ids(*m, ids, err);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		backup_flaw(b, "%s", err->text);
		manifest_free(*m);
		*m = NULL;
	}
	if (*m) {
		b->found.records = MB_RECORDS_RECOVERED;
		backup_note(b, "%s: %llu records have been recovered", name,
			    (unsigned long long)b->found.recovered);
		return 0;
	}
	b->found.records = MB_RECORDS_NONE;
	if (b->info.encrypted)
		b->info.keys_lost = true;
	backup_flaw(b, "%s: not a record can be recovered", name);
	return 0;
}

/* ---- all of it ---- */

static int find_manifest(struct mb_backup *b, struct manifest **m,
			 struct ids *ids, struct mb_err *err)
{
	int rc;

	if (b->manifest_fd < 0) {
		b->found.records = MB_RECORDS_NONE;
		backup_flaw(
			b,
			"there is no manifest: neither Manifest.db nor Manifest.mbdb");
		return 0;
	}
	if (b->info.manifest_encrypted && !b->info.keys_lost && !b->unlocked)
		return mb_err_set(err, -ENOKEY, "password needed");
	if (!b->info.manifest_encrypted || !b->info.keys_lost) {
		b->found.records = MB_RECORDS_WHOLE;
		rc = read_whole(b, m, ids, err);
		if (rc == 0 || rc == -ENOMEM)
			return rc;
		backup_flaw(b, "%s", err->text);
	}
	return find_pieces(b, m, ids, err);
}

int backup_find_records(struct mb_backup *b, struct mb_err *err)
{
	struct manifest *inner = NULL;
	struct lost_found *lost = NULL;
	struct mb_err own; /* kept though the caller may want none */
	struct ids ids = { 0 };
	int rc = find_manifest(b, &inner, &ids, &own);

	if (rc < 0) {
		buf_release(&ids.list);
		return mb_err_set(err, rc, "%s", own.text);
	}
	b->found.recovered = inner ? ids.records : 0;
	rc = lost_found_open(&lost, &b->places, ids.list.ptr,
			     ids.list.len / SHA1_LEN, b->info.encrypted);
	buf_release(&ids.list);
	if (rc < 0) {
		manifest_free(inner);
		return mb_err_set(err, rc, "%s", strerror(-rc));
	}
	b->found.lost = lost_found_count(lost);
	if (b->found.lost)
		backup_note(b, "%llu payloads have no record: %s/",
			    (unsigned long long)b->found.lost, MB_LOST_DOMAIN);
	rc = manifest_salvage_new(&b->manifest, inner, lost);
	return rc < 0 ? mb_err_set(err, rc, "out of memory") : 0;
}
