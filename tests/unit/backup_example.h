/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BACKUP_EXAMPLE_H
#define BACKUP_EXAMPLE_H

/*
 * Backups of a few entries, made by the fixture alone: in clear, or with the
 * key bag, manifest key and file key of the worked example.
 */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "vectors.h"

/* An entry with its content; of a folder or link: NULL. */
struct example {
	const char *domain, *path;
	const char *content;
	unsigned mode; /* 0: 0100644 */
	const char *target;
	unsigned class; /* of the key bag; 0: 3 */
	bool missing;	/* its payload */
	/* an extended attribute, or NULL */
	const char *xattr, *xattr_value;
};

#define PUT(domain_, path_, content_) \
	.domain = domain_, .path = path_, .content = content_

#define EXAMPLE_TIME 1600000000

static inline bool example_is_file(const struct example *e)
{
	return !e->mode || (e->mode & 0170000) == 0100000;
}

/* "<xx>/<ID>", a static buffer */
static inline const char *example_payload(const char *domain, const char *path)
{
	static char name[50];
	char id[41];

	file_id(id, domain, path);
	snprintf(name, sizeof(name), "%.2s/%s", id, id);
	return name;
}

static inline void example_put_payload(const char *dir, const struct example *e,
				       bool encrypted)
{
	struct bytes key = unhex(FILE_KEY), cipher;
	const char *name = example_payload(e->domain, e->path);

	if (encrypted) {
		cipher = aes_cbc(true, key.ptr, e->content, strlen(e->content),
				 true);
		put_file(dir, name, cipher.ptr, cipher.len);
		drop(&cipher);
	} else {
		put_text(dir, name, e->content);
	}
	drop(&key);
}

/* an archive with an attribute more */
static inline struct bytes example_with_xattr(const struct entry *entry,
					      const struct example *e)
{
	struct bytes archive = mbfile(entry), inside;
	plist_t root = read_plist_bytes(archive.ptr, archive.len);
	plist_t objects, list = plist_new_dict();

	drop(&archive);
	plist_dict_set_item(
		list, e->xattr,
		plist_new_data(e->xattr_value, strlen(e->xattr_value)));
	inside = plist_bytes(list);
	objects = plist_dict_get_item(root, "$objects");
	plist_dict_set_item(plist_array_get_item(objects, 1),
			    "ExtendedAttributes",
			    plist_new_uid(plist_array_get_size(objects)));
	plist_array_append_item(objects,
				plist_new_data((char *)inside.ptr, inside.len));
	drop(&inside);
	return plist_bytes(root);
}

static inline struct bytes example_db(const struct example *list, size_t count,
				      bool encrypted)
{
	static const char *const class_keys[] = { CLASS_KEY_3, CLASS_KEY_1,
						  NULL, CLASS_KEY_3,
						  CLASS_KEY_4 };
	struct bytes file_key = unhex(FILE_KEY), db;
	struct entry *entries = calloc(count, sizeof(*entries));
	uint8_t(*wrapped)[44] = calloc(count, sizeof(*wrapped));
	struct bytes *blobs = calloc(count, sizeof(*blobs));

	for (size_t i = 0; i < count; i++) {
		const struct example *e = &list[i];
		unsigned class = e->class ? e->class : 3;

		entries[i] = (struct entry){
			.domain = e->domain,
			.path = e->path,
			.mode = e->mode,
			.size = e->content ? (int64_t)strlen(e->content) : 0,
			.target = e->target,
			.mtime = EXAMPLE_TIME,
		};
		if (example_is_file(e))
			entries[i].class = class;
		if (example_is_file(e) && encrypted) {
			struct bytes key = unhex(class_keys[class]);

			wrap_key(wrapped[i], class, key.ptr, file_key.ptr);
			entries[i].wrapped = wrapped[i];
			drop(&key);
		}
		if (e->xattr) {
			blobs[i] = example_with_xattr(&entries[i], e);
			entries[i].blob = &blobs[i];
		}
	}
	db = manifest_db(schema_old, entries, count);
	drop(&file_key);
	for (size_t i = 0; i < count; i++)
		drop(&blobs[i]);
	free(blobs);
	free(entries);
	free(wrapped);
	return db;
}

/* Into a folder that is there; PASSWORD opens an encrypted one. */
static inline void put_example(const char *dir, const struct example *list,
			       size_t count, bool encrypted)
{
	struct bytes bag = unhex(KEYBAG_MODERN), key = unhex(MANIFEST_KEY);
	struct bytes stored = unhex(WRAPPED_MANIFEST_KEY);
	struct bytes db = example_db(list, count, encrypted), cipher;

	put_manifest_plist(dir, "10.0", encrypted, encrypted ? &bag : NULL,
			   encrypted ? &stored : NULL);
	put_status(dir, "finished");
	if (encrypted) {
		cipher = aes_cbc(true, key.ptr, db.ptr, db.len, true);
		put_file(dir, "Manifest.db", cipher.ptr, cipher.len);
		drop(&cipher);
	} else {
		put_file(dir, "Manifest.db", db.ptr, db.len);
	}
	for (size_t i = 0; i < count; i++)
		if (example_is_file(&list[i]) && !list[i].missing)
			example_put_payload(dir, &list[i], encrypted);
	drop(&bag);
	drop(&key);
	drop(&stored);
	drop(&db);
}

#endif
