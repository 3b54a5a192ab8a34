/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(cond)                                                    \
	do {                                                          \
		if (!(cond)) {                                        \
			printf("Bail out! %s:%d: %s: %s\n", __FILE__, \
			       __LINE__, #cond, strerror(errno));     \
			abort();                                      \
		}                                                     \
	} while (0)

static void make_room(struct bytes *b, size_t more)
{
	if (b->ptr && b->cap >= b->len + more)
		return;
	b->cap = 2 * (b->len + more) + 16;
	b->ptr = realloc(b->ptr, b->cap);
	MUST(b->ptr);
}

void add(struct bytes *b, const void *ptr, size_t len)
{
	make_room(b, len);
	if (len)
		memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
}

void add_hex(struct bytes *b, const char *hex)
{
	for (; *hex; hex += 2) {
		unsigned value;

		MUST(sscanf(hex, "%2x", &value) == 1);
		add_be(b, value, 1);
	}
}

struct bytes unhex(const char *hex)
{
	struct bytes b = { 0 };

	add_hex(&b, hex);
	return b;
}

void add_text(struct bytes *b, const char *text)
{
	add(b, text, strlen(text));
}

void add_be(struct bytes *b, uint64_t value, int len)
{
	while (len--) {
		uint8_t byte = (uint8_t)(value >> 8 * len);

		add(b, &byte, 1);
	}
}

void drop(struct bytes *b)
{
	free(b->ptr);
	*b = (struct bytes){ 0 };
}

uint32_t dice(void)
{
	static uint64_t state = 0x2545f4914f6cdd1d;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

void add_noise(struct bytes *b, size_t len)
{
	size_t at = b->len;

	make_room(b, len);
	for (b->len += len; at < b->len; at++)
		b->ptr[at] = (uint8_t)dice();
}

static char *base; /* holds all temporary folders */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static pid_t owner;

static void remove_base(void)
{
	if (getpid() == owner)
		nftw(base, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	free(base);
}

const char *temp_dir(void)
{
	static char path[10][300];
	static unsigned count;
	char *out = path[count % COUNT(path)];

	if (!base) {
		const char *tmp = getenv("TMPDIR");

		MUST(asprintf(&base, "%s/larder-test-XXXXXX",
			      tmp ? tmp : "/tmp") > 0);
		MUST(mkdtemp(base));
		owner = getpid();
		atexit(remove_base);
	}
	snprintf(out, sizeof(path[0]), "%s/%u", base, count++);
	MUST(mkdir(out, 0700) == 0);
	return out;
}

const char *in(const char *dir, const char *name)
{
	static char path[8][4096];
	static unsigned count;
	char *out = path[count++ % COUNT(path)];

	snprintf(out, sizeof(path[0]), "%s/%s", dir, name);
	return out;
}

void put_file(const char *dir, const char *name, const void *ptr, size_t len)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/'));
	     *p++ = '/') {
		*p = '\0';
		mkdir(path, 0700);
	}
	f = fopen(path, "wb");
	MUST(f);
	MUST(fwrite(ptr, 1, len, f) == len);
	MUST(fclose(f) == 0);
}

void put_text(const char *dir, const char *name, const char *text)
{
	put_file(dir, name, text, strlen(text));
}

int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

struct bytes read_file(const char *path)
{
	struct bytes b = { 0 };
	char piece[65536];
	FILE *f = fopen(path, "rb");
	size_t n;

	MUST(f);
	while ((n = fread(piece, 1, sizeof(piece), f)))
		add(&b, piece, n);
	fclose(f);
	return b;
}

bool exists(const char *dir, const char *name)
{
	struct stat st;

	return lstat(in(dir, name), &st) == 0;
}

bool is_text(const char *dir, const char *name, const char *want)
{
	struct stat st;
	struct bytes b;
	bool same;

	if (lstat(in(dir, name), &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	b = read_file(in(dir, name));
	same = b.len == strlen(want) && (!b.len || !memcmp(b.ptr, want, b.len));
	drop(&b);
	return same;
}

void sha1_hex(char out[41], const void *ptr, size_t len)
{
	uint8_t digest[20];

	MUST(EVP_Digest(ptr, len, digest, NULL, EVP_sha1(), NULL) == 1);
	for (int i = 0; i < 20; i++)
		sprintf(out + 2 * i, "%02x", digest[i]);
}

void file_id(char out[41], const char *domain, const char *path)
{
	struct bytes b = { 0 };

	add_text(&b, domain);
	add_text(&b, "-");
	add_text(&b, path);
	sha1_hex(out, b.ptr, b.len);
	drop(&b);
}

struct bytes aes_cbc(bool encrypt, const uint8_t key[32], const void *ptr,
		     size_t len, bool padding)
{
	static const uint8_t zero_iv[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct bytes out = { malloc(len + 32), 0, len + 32 };
	int n = 0, rest = 0;

	MUST(ctx && out.ptr);
	MUST(EVP_CipherInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, zero_iv,
			       encrypt) == 1);
	EVP_CIPHER_CTX_set_padding(ctx, padding);
	MUST(EVP_CipherUpdate(ctx, out.ptr, &n, ptr, (int)len) == 1);
	MUST(EVP_CipherFinal_ex(ctx, out.ptr + n, &rest) == 1);
	out.len = (size_t)(n + rest);
	EVP_CIPHER_CTX_free(ctx);
	return out;
}

void wrap_key(uint8_t out[44], uint32_t class, const uint8_t class_key[32],
	      const uint8_t key[32])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;

	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(class >> 8 * i);
	MUST(ctx);
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	MUST(EVP_EncryptInit_ex(ctx, EVP_aes_256_wrap(), NULL, class_key,
				NULL) == 1);
	MUST(EVP_EncryptUpdate(ctx, out + 4, &n, key, 32) == 1 && n == 40);
	EVP_CIPHER_CTX_free(ctx);
}

static unsigned mode_of(const struct entry *e)
{
	return e->mode ? e->mode : 0100644;
}

struct bytes plist_bytes(plist_t node)
{
	struct bytes b = { 0 };
	char *ptr = NULL;
	uint32_t len = 0;

	plist_to_bin(node, &ptr, &len);
	MUST(ptr);
	add(&b, ptr, len);
	free(ptr);
	plist_free(node);
	return b;
}

plist_t read_plist_bytes(const void *ptr, size_t len)
{
	plist_t node = NULL;

	if (len >= 6 && !memcmp(ptr, "bplist", 6))
		plist_from_bin(ptr, (uint32_t)len, &node);
	else
		plist_from_xml(ptr, (uint32_t)len, &node);
	return node;
}

plist_t new_int(int64_t value)
{
#ifdef HAVE_PLIST_NEW_INT
	return plist_new_int(value);
#else
	return plist_new_uint((uint64_t)value);
#endif
}

static void set_int(plist_t dict, const char *key, int64_t value)
{
	plist_dict_set_item(dict, key, new_int(value));
}

struct bytes mbfile(const struct entry *e)
{
	plist_t root = plist_new_dict(), top = plist_new_dict();
	plist_t objects = plist_new_array(), file = plist_new_dict();
	plist_t class = plist_new_dict(), classes = plist_new_array();
	uint64_t next = 2;

	plist_array_append_item(objects, plist_new_string("$null"));
	plist_array_append_item(objects, file);
	set_int(file, "Mode", mode_of(e));
	set_int(file, "Size", e->size);
	set_int(file, "LastModified", e->mtime);
	set_int(file, "LastStatusChange", e->mtime + 1);
	set_int(file, "Birth", e->mtime - 1);
	set_int(file, "UserID", 501);
	set_int(file, "GroupID", 501);
	set_int(file, "InodeNumber", 7);
	set_int(file, "Flags", 0);
	set_int(file, "ProtectionClass", e->class);
	plist_dict_set_item(file, "RelativePath", plist_new_uid(next++));
	plist_array_append_item(objects,
				plist_new_string(e->path ? e->path : ""));
	if (e->target) {
		plist_dict_set_item(file, "Target", plist_new_uid(next++));
		plist_array_append_item(objects, plist_new_string(e->target));
	}
	if (e->wrapped) {
		plist_t data = plist_new_dict();

		plist_dict_set_item(file, "EncryptionKey",
				    plist_new_uid(next++));
		plist_dict_set_item(data, "NS.data",
				    plist_new_data((char *)e->wrapped, 44));
		plist_array_append_item(objects, data);
	}
	plist_dict_set_item(file, "$class", plist_new_uid(next));
	plist_dict_set_item(class, "$classname", plist_new_string("MBFile"));
	plist_array_append_item(classes, plist_new_string("MBFile"));
	plist_array_append_item(classes, plist_new_string("NSObject"));
	plist_dict_set_item(class, "$classes", classes);
	plist_array_append_item(objects, class);
	plist_dict_set_item(top, "root", plist_new_uid(1));
	plist_dict_set_item(root, "$version", plist_new_uint(100000));
	plist_dict_set_item(root, "$archiver",
			    plist_new_string("NSKeyedArchiver"));
	plist_dict_set_item(root, "$top", top);
	plist_dict_set_item(root, "$objects", objects);
	return plist_bytes(root);
}

static void add_string(struct bytes *b, const void *ptr, size_t len)
{
	add_be(b, ptr ? len : 0xffff, 2);
	if (ptr)
		add(b, ptr, len);
}

void add_mbdb(struct bytes *b, const struct entry *e)
{
	add_string(b, e->domain, strlen(e->domain));
	add_string(b, e->path, strlen(e->path));
	add_string(b, e->target, e->target ? strlen(e->target) : 0);
	add_string(b, NULL, 0);
	add_string(b, e->wrapped, 44);
	add_be(b, mode_of(e), 2);
	add_be(b, 7, 8);
	add_be(b, 501, 4);
	add_be(b, 501, 4);
	add_be(b, e->mtime, 4);
	add_be(b, e->mtime + 1, 4);
	add_be(b, e->mtime - 1, 4);
	add_be(b, e->size, 8);
	add_be(b, e->class, 1);
	add_be(b, 0, 1);
}

struct bytes mbdb(const struct entry *entries, size_t count)
{
	struct bytes b = unhex("6d6264620500");

	for (size_t i = 0; i < count; i++)
		add_mbdb(&b, &entries[i]);
	return b;
}

#define TABLE                                                        \
	"CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, " \
	"relativePath TEXT, flags INTEGER, file BLOB);"

const char schema_old[] =
	TABLE "CREATE INDEX FilesDomainIdx ON Files(domain);"
	      "CREATE INDEX FilesRelativePathIdx ON Files(relativePath);"
	      "CREATE INDEX FilesFlagsIdx ON Files(flags);"
	      "CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";
const char schema_new[] =
	TABLE "CREATE INDEX FilesDomainsRelativePathIdx "
	      "ON Files(domain, relativePath);"
	      "CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";
const char schema_bare[] = TABLE;

void sql(sqlite3 *db, const char *text)
{
	char *message = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK) {
		printf("Bail out! %s: %s\n", text, message);
		abort();
	}
}

static int flags_of(const struct entry *e)
{
	if (e->flags)
		return e->flags < 0 ? 0 : e->flags;
	switch (mode_of(e) & S_IFMT) {
	case S_IFDIR:
		return 2;
	case S_IFLNK:
		return 4;
	default:
		return 1;
	}
}

void insert(sqlite3 *db, const struct entry *e)
{
	struct bytes blob = e->blob ? *e->blob : mbfile(e);
	sqlite3_stmt *stmt;
	char id[41];

	file_id(id, e->domain, e->path);
	MUST(sqlite3_prepare_v2(db,
				"INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)",
				-1, &stmt, NULL) == SQLITE_OK);
	sqlite3_bind_text(stmt, 1, e->id ? e->id : id, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 2, e->domain, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, e->path, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 4, flags_of(e));
	if (!e->blank)
		sqlite3_bind_blob(stmt, 5, blob.ptr, (int)blob.len,
				  SQLITE_STATIC);
	MUST(sqlite3_step(stmt) == SQLITE_DONE);
	sqlite3_finalize(stmt);
	if (!e->blob)
		drop(&blob);
}

struct bytes manifest_db(const char *schema, const struct entry *entries,
			 size_t count)
{
	const char *dir = temp_dir();
	struct bytes b;
	sqlite3 *db;

	MUST(sqlite3_open(in(dir, "db"), &db) == SQLITE_OK);
	sql(db, schema);
	sql(db, "BEGIN");
	for (size_t i = 0; i < count; i++)
		insert(db, &entries[i]);
	sql(db, "COMMIT");
	MUST(sqlite3_close(db) == SQLITE_OK);
	b = read_file(in(dir, "db"));
	unlink(in(dir, "db"));
	return b;
}

void put_manifest_plist(const char *dir, const char *version, int encrypted,
			const struct bytes *keybag, const struct bytes *key)
{
	plist_t dict = plist_new_dict();
	struct bytes b;

	if (version)
		plist_dict_set_item(dict, "Version", plist_new_string(version));
	if (encrypted >= 0)
		plist_dict_set_item(dict, "IsEncrypted",
				    plist_new_bool((uint8_t)encrypted));
	/* 2023-11-14 22:13:20 UTC; libplist counts from 2001 */
	plist_dict_set_item(dict, "Date",
			    plist_new_date(1700000000 - 978307200, 0));
	if (keybag)
		plist_dict_set_item(
			dict, "BackupKeyBag",
			plist_new_data((char *)keybag->ptr, keybag->len));
	if (key)
		plist_dict_set_item(dict, "ManifestKey",
				    plist_new_data((char *)key->ptr, key->len));
	b = plist_bytes(dict);
	put_file(dir, "Manifest.plist", b.ptr, b.len);
	drop(&b);
}

void put_status(const char *dir, const char *state)
{
	plist_t dict = plist_new_dict();
	struct bytes b;

	plist_dict_set_item(dict, "SnapshotState", plist_new_string(state));
	b = plist_bytes(dict);
	put_file(dir, "Status.plist", b.ptr, b.len);
	drop(&b);
}
