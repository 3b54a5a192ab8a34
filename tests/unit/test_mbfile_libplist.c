/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our reader of file records beside libplist: on each record of the golden
 * backups, on the fuzz target's corpus, and on what damage makes of both.
 */
#include <dirent.h>

#include "fixture.h"
#include "libplist_record.h"
#include "mb/tree.h"
#include "mbfile.h"
#include "record.h"
#include "tap.h"

static struct mb_record ours;

static struct {
	struct bytes archives[1000];
	size_t count;
} pool;

static void into_pool(const void *ptr, size_t len)
{
	if (pool.count == COUNT(pool.archives))
		abort();
	add(&pool.archives[pool.count++], ptr, len);
}

/* ---- of the golden backups ---- */

static void collect(struct mb_tree *tree, uint32_t dir)
{
	uint32_t first, count;
	struct mb_err err;

	if (!CHECK(!mb_tree_children(tree, dir, &first, &count, &err)))
		return;
	for (uint32_t node = first; node < first + count; node++) {
		mb_auto(mb_record_release) struct mb_record rec = { 0 };

		if (mb_tree_record(tree, node, &rec, &err) == 0 &&
		    rec.archive.len)
			into_pool(rec.archive.ptr, rec.archive.len);
		if (mb_tree_get_type(tree, node) == MB_DIR)
			collect(tree, node);
	}
}

static void collect_golden(const char *shape)
{
	uint8_t key[MB_DERIVED_KEY_LEN];
	struct mb_backup *backup = NULL;
	struct mb_tree *tree = NULL;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s/backup", GOLDEN, shape);
	if (!CHECK(!mb_backup_open(&backup, path, NULL)))
		return;
	if (mb_backup_get_info(backup)->encrypted) {
		CHECK_INT(mb_backup_derive(backup, "correct horse", 13, key,
					   NULL),
			  0);
		CHECK_INT(mb_backup_unlock(backup, key, NULL), 0);
	}
	if (CHECK(!mb_backup_load(backup, NULL)) &&
	    CHECK(!mb_tree_open(&tree, backup, MB_VIEW_DOMAINS, NULL)))
		collect(tree, MB_ROOT);
	mb_tree_free(tree);
	mb_backup_free(backup);
}

/* ---- of the fuzz target ---- */

/* In the same order everywhere, so that damage is. */
static void collect_corpus(void)
{
	struct dirent **names = NULL;
	int count = scandir(CORPUS, &names, NULL, alphasort);

	CHECK(count > 0);
	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.') {
			struct bytes b =
				read_file(in(CORPUS, names[i]->d_name));

			into_pool(b.ptr, b.len);
			drop(&b);
		}
		free(names[i]);
	}
	free(names);
}

/* ---- the comparison ---- */

static bool same_time(struct timespec a, struct timespec b)
{
	/* libplist's dates have microseconds, cut off */
	return a.tv_sec == b.tv_sec && labs(a.tv_nsec - b.tv_nsec) < 2000;
}

/* The first field in which two records differ; NULL if there is none. */
static const char *difference(const struct mb_record *a,
			      const struct mb_record *b)
{
#define DIFFERENT(field)          \
	if (a->field != b->field) \
	return #field
	DIFFERENT(mode);
	DIFFERENT(size);
	DIFFERENT(uid);
	DIFFERENT(gid);
	DIFFERENT(inode);
	DIFFERENT(bsd_flags);
	DIFFERENT(protection_class);
	DIFFERENT(wrapped_key_len);
	DIFFERENT(digest_len);
	DIFFERENT(xattrs_form);
#undef DIFFERENT
	if (!same_time(a->mtime, b->mtime))
		return "mtime";
	if (!same_time(a->ctime, b->ctime))
		return "ctime";
	if (!same_time(a->birth, b->birth))
		return "birth";
	if (memcmp(a->wrapped_key, b->wrapped_key, sizeof(a->wrapped_key)))
		return "wrapped_key";
	if (memcmp(a->digest, b->digest, sizeof(a->digest)))
		return "digest";
	if (!mb_slice_equal(a->target, b->target))
		return "target";
	if (!mb_slice_equal(a->xattrs, b->xattrs))
		return "xattrs";
	return NULL;
}

/* What makes libplist's view another one, as no writer's archive does. */
struct oddities {
	bool in_magic; /* an object within "bplist00", which we refuse */
	bool wide;     /* an integer of 16 bytes: cut off, we saturate */
	bool date;     /* 32 bits hold few of those that damage makes */
	bool twins;    /* a key twice: libplist finds the first, we the last */
};

/* An archive that one of us has read, so that its table is where it says. */
struct raw {
	const uint8_t *ptr, *table;
	size_t len, offset_size, ref_size;
	uint64_t count;
};

static uint64_t number_at(const uint8_t *p, size_t len)
{
	uint64_t n = 0;

	while (len--)
		n = n << 8 | *p++;
	return n;
}

static struct raw raw_of(const struct bytes *b)
{
	const uint8_t *trailer = b->ptr + b->len - 32;

	return (struct raw){
		b->ptr,	    b->ptr + number_at(trailer + 24, 8),
		b->len,	    trailer[6],
		trailer[7], number_at(trailer + 8, 8),
	};
}

/* The length of the archive for what is no object. */
static uint64_t offset_of(const struct raw *r, uint64_t ref)
{
	uint64_t off = ref < r->count ?
			       number_at(r->table + ref * r->offset_size,
					 r->offset_size) :
			       r->len;

	return off < r->len ? off : r->len;
}

/* Marker and text of a key, as far as two of them can be the same. */
static struct mb_slice key_of(const struct raw *r, uint64_t ref)
{
	uint64_t off = offset_of(r, ref);
	size_t len = r->len - off;

	if (len && r->ptr[off] >> 4 == 0x5 && (r->ptr[off] & 15) < 15)
		len = 1 + (r->ptr[off] & 15);
	else if (len > 2 && r->ptr[off] == 0x5f && r->ptr[off + 1] == 0x10)
		len = 3 + r->ptr[off + 2];
	else if (len)
		len = 1;
	if (len > r->len - off)
		len = r->len - off;
	return (struct mb_slice){ (const char *)r->ptr + off, len };
}

static bool has_twins(const struct raw *r, uint64_t off)
{
	const uint8_t *refs = r->ptr + off + 1;
	uint64_t count = r->ptr[off] & 15;

	if (count == 15) {
		if (off + 3 > r->len || refs[0] != 0x10)
			return true;
		count = refs[1];
		refs += 2;
	}
	if (count * r->ref_size > (size_t)(r->ptr + r->len - refs))
		return true;
	for (uint64_t i = 0; i < count; i++)
		for (uint64_t j = 0; j < i; j++)
			if (mb_slice_equal(
				    key_of(r, number_at(refs + i * r->ref_size,
							r->ref_size)),
				    key_of(r, number_at(refs + j * r->ref_size,
							r->ref_size))))
				return true;
	return false;
}

static struct oddities look_at_objects(const struct bytes *b)
{
	struct raw r = raw_of(b);
	struct oddities odd = { 0 };

	for (uint64_t i = 0; i < r.count; i++) {
		uint64_t off = offset_of(&r, i);

		odd.in_magic |= off < 8;
		if (off == r.len)
			continue;
		odd.wide |= r.ptr[off] == 0x14;
		odd.date |= r.ptr[off] >> 4 == 0x3;
		if (r.ptr[off] >> 4 == 0xd)
			odd.twins |= has_twins(&r, off);
	}
	return odd;
}

/* Text of libplist ends at the first NUL. */
static bool has_nul(struct mb_slice s)
{
	return s.len && memchr(s.ptr, 0, s.len);
}

static struct {
	unsigned both, odd, ours, theirs, none;
} readable;

/* What both can read says the same to both. */
static void compare(const struct bytes *b, const char *what, size_t which)
{
	struct mb_record theirs = { 0 };
	struct oddities odd;
	const char *differs;
	plist_t archive;
	int rc;

	if (record_reset(&ours, MBFILE_ROOM(b->len)) < 0)
		abort();
	rc = mbfile_decode(&ours, view_of(b->ptr, b->len));
	archive = libplist_record(&theirs, b->ptr, b->len);
	if (archive && rc == 0) {
		readable.both++;
		differs = difference(&ours, &theirs);
		odd = look_at_objects(b);
		if (differs &&
		    (odd.wide || odd.date || odd.twins || has_nul(ours.target)))
			readable.odd++;
		else
			CHECK_AT(!differs, "%s %zu: %s", what, which, differs);
	} else if (archive) {
		readable.theirs++;
		CHECK_AT(look_at_objects(b).in_magic,
			 "%s %zu: only libplist reads it", what, which);
	} else if (rc == 0) {
		readable.ours++;
	} else {
		readable.none++;
	}
	plist_free(archive);
}

CASE(every_record_of_the_golden_backups)
{
	static const char *const shapes[] = { "db-plain", "db-encrypted",
					      "db-ios10" };

	for (size_t i = 0; i < COUNT(shapes); i++)
		collect_golden(shapes[i]);
	for (size_t i = 0; i < pool.count; i++)
		compare(&pool.archives[i], "archive", i);
	CHECK(pool.count > 300);
	CHECK_INT(readable.both, pool.count);
	CHECK_INT(readable.odd, 0);
}

CASE(what_fuzzing_began_with)
{
	size_t golden = pool.count;

	collect_corpus();
	CHECK(pool.count > golden);
	for (size_t i = golden; i < pool.count; i++)
		compare(&pool.archives[i], "input", i - golden);
}

CASE(what_damage_makes_of_them)
{
	size_t rounds = getenv("LARDER_TEST_QUICK") ? 2000 : 200000;

	memset(&readable, 0, sizeof(readable));
	for (size_t i = 0; i < rounds; i++) {
		const struct bytes *whole = &pool.archives[dice() % pool.count];
		struct bytes b = { malloc(whole->len), whole->len, 0 };

		/* just as long, so that a sanitizer sees one byte more */
		if (!b.ptr)
			abort();
		memcpy(b.ptr, whole->ptr, b.len);
		for (uint32_t n = 1 + dice() % 3; n; n--)
			b.ptr[dice() % b.len] = (uint8_t)dice();
		compare(&b, "damage", i);
		drop(&b);
	}
	printf("# %u read by both, %u of them oddly; "
	       "%u by us, %u by libplist, %u by none\n",
	       readable.both, readable.odd, readable.ours, readable.theirs,
	       readable.none);
	CHECK(readable.both > rounds / 4);
	CHECK(readable.odd < readable.both / 100);
}

int main(void)
{
	RUN(every_record_of_the_golden_backups);
	RUN(what_fuzzing_began_with);
	RUN(what_damage_makes_of_them);
	for (size_t i = 0; i < pool.count; i++)
		drop(&pool.archives[i]);
	mb_record_release(&ours);
	return tap_end();
}
