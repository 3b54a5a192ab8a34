/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FIXTURE_H
#define FIXTURE_H

/*
 * What the tests are fed with. Nothing here comes from core: bytes are put
 * together by hand, ciphers are OpenSSL's, property lists libplist's. What
 * cannot be done aborts, as a test could say nothing then.
 */
#include <openssl/evp.h>
#include <plist/plist.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Bytes to be freed with free(b.ptr). Appending to {0} begins. */
struct bytes {
	uint8_t *ptr;
	size_t len, cap;
};

struct bytes unhex(const char *hex);
void add(struct bytes *b, const void *ptr, size_t len);
void add_hex(struct bytes *b, const char *hex);
void add_text(struct bytes *b, const char *text);
void add_be(struct bytes *b, uint64_t value, int len);
void drop(struct bytes *b);

/* bytes that look random and are the same in each run */
uint32_t dice(void);
void add_noise(struct bytes *b, size_t len);

/* ---- folders ---- */

/* A new empty folder, gone when the program ends. Borrowed. */
const char *temp_dir(void);
/* "%s/%s"; one of several static buffers */
const char *in(const char *dir, const char *name);
/* @name may have folders in front, which are made */
void put_file(const char *dir, const char *name, const void *ptr, size_t len);
void put_text(const char *dir, const char *name, const char *text);
int open_dir(const char *path);
/* an entry of any type, a link not followed */
bool exists(const char *dir, const char *name);
/* a regular file with just this content */
bool is_text(const char *dir, const char *name, const char *want);

/* ---- ciphers, by OpenSSL alone ---- */

void sha1_hex(char out[41], const void *ptr, size_t len);
/* SHA-1 of domain "-" path */
void file_id(char out[41], const char *domain, const char *path);
struct bytes aes_cbc(bool encrypt, const uint8_t key[32], const void *ptr,
		     size_t len, bool padding);
/* class, little endian; RFC 3394 wrapped key */
void wrap_key(uint8_t out[44], uint32_t class, const uint8_t class_key[32],
	      const uint8_t key[32]);

/* ---- records ---- */

struct entry {
	const char *domain, *path;
	unsigned mode; /* with type bits; 0: 0100644 */
	int64_t size;
	const char *target;
	int64_t mtime;
	const uint8_t *wrapped; /* 44 bytes or NULL */
	unsigned class;
	/* Manifest.db only; NULL: by the rule */
	const char *id;
	int flags;		  /* 0: from the mode; -1: really 0 */
	bool blank;		  /* no file column */
	const struct bytes *blob; /* instead of a good one */
};

/* an archive of MBFile */
struct bytes mbfile(const struct entry *e);
/* a record of Manifest.mbdb */
void add_mbdb(struct bytes *b, const struct entry *e);
struct bytes mbdb(const struct entry *entries, size_t count);

/* the schema of iOS 10 to 18, of the newest builds, and without any index */
extern const char schema_old[], schema_new[], schema_bare[];

/* Manifest.db; @schema can hold any SQL */
struct bytes manifest_db(const char *schema, const struct entry *entries,
			 size_t count);
void insert(sqlite3 *db, const struct entry *e);
struct bytes read_file(const char *path);
void sql(sqlite3 *db, const char *text);

/* ---- property lists ---- */

struct bytes plist_bytes(plist_t node);		       /* binary; takes @node */
plist_t read_plist_bytes(const void *ptr, size_t len); /* NULL: it is none */
plist_t new_int(int64_t value);			       /* also a negative one */
/*
 * Manifest.plist; @keybag and @key may be NULL.
 */
void put_manifest_plist(const char *dir, const char *version, int encrypted,
			const struct bytes *keybag, const struct bytes *key);
void put_status(const char *dir, const char *state);

#endif
