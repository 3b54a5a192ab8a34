/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mb/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "beneath.h"
#include "info_plist.h"
#include "manifest_plist.h"
#include "mbfile.h"
#include "record.h"
#include "status_plist.h"
#include "writer_inside.h"

/*
 * A device keeps a file's attributes as one property list of at most so many
 * bytes (iphone-backup(5), FILE RECORD).
 */
#define XATTRS_MAX 2048

/* Info.plist holds the icons of some hundred apps. */
#define INFO_PLIST_MAX (64 << 20)

MB_DEFINE_AUTO(struct mb_writer, mb_writer_free)

void writer_note(struct mb_writer *w, const char *fmt, ...)
{
	char text[sizeof(((struct mb_err *)0)->text)];
	struct mb_err line; /* for its printable text */
	va_list ap;

	if (!w->wish.note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&line, 0, "%s", text);
	w->wish.note(w->wish.arg, line.text);
}

/* --- keys ---------------------------------------------------------------- */

uint32_t writer_pick_class(const struct keyring *ring, uint32_t wanted)
{
	/* the default of files; always readable; the stricter ones */
	static const uint32_t others[] = { 3, 4, 1, 2 };

	if (keyring_has(ring, wanted))
		return wanted;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (keyring_has(ring, others[i]))
			return others[i];
	return ring->count ? ring->numbers[0] : wanted;
}

/*
 * A key bag of its own; in clear a backup has one as well, with which nothing
 * is encrypted.
 */
static int make_keybag(struct mb_writer *w, struct view password,
		       uint32_t double_iterations, struct mb_err *err)
{
	struct keybag bag;
	int rc = keyring_create(&w->keyring, &bag, w->derived_key, password,
				double_iterations, KEYBAG_ITERATIONS, err);

	if (rc == 0 && keybag_encode(&w->new_keybag, &bag) < 0)
		rc = writer_no_memory(err);
	if (!w->encrypted)
		keyring_wipe(&w->keyring);
	return rc;
}

static int make_empty_keybag(struct mb_writer *w, struct mb_err *err)
{
	return make_keybag(w, view_of("", 0), 0, err);
}

/* A decrypted copy of a manifest alone has none. */
static bool has_keybag(const struct mb_backup *like)
{
	return like && like->plist_fd >= 0;
}

static int prepare_keys(struct mb_writer *w, struct mb_err *err)
{
	const struct mb_backup *like = w->like;
	bool was = like && like->info.encrypted;

	if (was && !like->unlocked)
		return mb_err_set(err, -ENOKEY, "password needed");
	switch (w->wish.encryption) {
	case MB_NEW_PASSWORD:
		w->encrypted = true;
		return make_keybag(
			w, view_of(w->wish.password, w->wish.password_len),
			w->wish.iterations ? w->wish.iterations :
					     KEYBAG_DOUBLE_ITERATIONS,
			err);
	case MB_IN_CLEAR:
		w->same_keys = like && !was;
		return has_keybag(like) && w->same_keys ?
			       0 :
			       make_empty_keybag(w, err);
	default:
		w->same_keys = like;
		w->encrypted = was;
		if (!has_keybag(like))
			return make_empty_keybag(w, err);
		w->keyring = like->keyring;
		return 0;
	}
}

/*
 * A new one even for the same key bag: two contents under one key and one IV
 * would show what they have in common.
 */
static int begin_manifest(struct mb_writer *w, struct mb_err *err)
{
	uint32_t class = w->like ? le32_at(w->like->manifest_key) : 3;
	uint8_t key[KEY_LEN];
	int rc = 0;

	if (w->encrypted) {
		rc = crypto_random(key, sizeof(key));
		if (rc == 0)
			rc = keyring_wrap(
				&w->keyring, w->manifest_key, key,
				writer_pick_class(&w->keyring, class));
	}
	if (rc < 0)
		mb_err_set(err, rc, "no key for Manifest.db: %s",
			   strerror(-rc));
	else
		rc = manifest_create(&w->manifest, w->dir_fd,
				     w->encrypted ? key : NULL, err);
	crypto_wipe(key, sizeof(key));
	return rc;
}

int mb_writer_open(struct mb_writer **out, int dir_fd,
		   const struct mb_writer_wish *wish, struct mb_err *err)
{
	mb_auto(mb_writer_free) struct mb_writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return writer_no_memory(err);
	w->dir_fd = dir_fd;
	w->wish = *wish;
	w->like = wish->like;
	pthread_mutex_init(&w->lock, NULL);
	rc = prepare_keys(w, err);
	if (rc == 0)
		rc = begin_manifest(w, err);
	if (rc < 0)
		return rc;
	/* it was borrowed */
	w->wish.password = NULL;
	*out = mb_steal(&w);
	return 0;
}

void mb_writer_free(struct mb_writer *w)
{
	if (!w)
		return;
	manifest_writer_free(w->manifest);
	keyring_wipe(&w->keyring);
	crypto_wipe(w->derived_key, sizeof(w->derived_key));
	while (w->free_seats) {
		struct writer_seat *seat = w->free_seats;

		w->free_seats = seat->next;
		crypto_wipe(seat->piece, sizeof(seat->piece));
		free(seat);
	}
	pthread_mutex_destroy(&w->lock);
	buf_release(&w->new_keybag);
	while (w->domain_count)
		free(w->domains[--w->domain_count]);
	free(w->domains);
	free(w);
}

/* --- threads ------------------------------------------------------------- */

struct writer_seat *writer_take_seat(struct mb_writer *w)
{
	struct writer_seat *seat;

	pthread_mutex_lock(&w->lock);
	seat = w->free_seats;
	if (seat)
		w->free_seats = seat->next;
	pthread_mutex_unlock(&w->lock);
	if (seat || !(seat = malloc(sizeof(*seat))))
		return seat;
	seat->sharing = (struct sharing){ .how = SHARE_LINK,
					  .cancelled = w->wish.cancelled };
	return seat;
}

void writer_leave_seat(struct mb_writer *w, struct writer_seat *seat)
{
	pthread_mutex_lock(&w->lock);
	seat->next = w->free_seats;
	w->free_seats = seat;
	pthread_mutex_unlock(&w->lock);
}

/* --- records ------------------------------------------------------------- */

/* For Manifest.plist, which lists the apps that are in the backup. */
static int remember_domain(struct mb_writer *w, struct mb_slice domain)
{
	char **list;
	char *name;

	if (!w->wish.partial)
		return 0;
	/* entries come domain by domain, so a look at the last will do; where
	 * two threads go from one to the next, one may be there twice */
	if (w->domain_count) {
		const char *last = w->domains[w->domain_count - 1];

		if (strlen(last) == domain.len &&
		    !memcmp(last, domain.ptr, domain.len))
			return 0;
	}
	list = reallocarray(w->domains, w->domain_count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	w->domains = list;
	name = strndup(domain.ptr, domain.len);
	if (!name)
		return -ENOMEM;
	w->domains[w->domain_count++] = name;
	return 0;
}

static int add_row(struct mb_writer *w, const struct mb_record *rec,
		   struct view archive, struct mb_err *err)
{
	struct mb_slice id = rec->row_id;
	int rc;

	if (!id.len)
		id = (struct mb_slice){ rec->file_id, strlen(rec->file_id) };
	pthread_mutex_lock(&w->lock);
	rc = remember_domain(w, rec->domain);
	if (rc < 0)
		writer_no_memory(err);
	else
		rc = manifest_add(w->manifest, id, rec->domain, rec->path,
				  rec->type, archive, err);
	pthread_mutex_unlock(&w->lock);
	if (rc < 0)
		return rc;
	w->wish.counts->entries++;
	w->wish.counts->files += rec->type == MB_FILE;
	return 0;
}

struct xattr_list {
	struct mbfile_xattr *items;
	size_t count;
};

static int list_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	struct xattr_list *list = arg;
	struct mbfile_xattr *items =
		reallocarray(list->items, list->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	items[list->count++] = (struct mbfile_xattr){ name, value };
	list->items = items;
	return 0;
}

/* The attributes of a record of @like, in the form of Manifest.db. */
static int kept_xattrs(const struct mb_record *rec, struct buf *out)
{
	struct xattr_list list = { 0 };
	size_t left_out;
	int rc = 0;

	if (rec->xattrs_form == MB_XATTRS_PLIST)
		return buf_add(out, rec->xattrs.ptr, rec->xattrs.len);
	rc = mb_record_each_xattr(rec, list_xattr, &list);
	if (rc == 0 && list.count)
		rc = mbfile_encode_xattrs(out, list.items, list.count,
					  &left_out);
	free(list.items);
	return rc;
}

static int encode_and_add(struct mb_writer *w, const struct mb_record *rec,
			  const struct buf *xattrs, struct mb_slice base,
			  struct mb_err *err)
{
	mb_auto(buf_release) struct buf archive = { 0 };

	if (mbfile_encode(&archive, rec, view_of(xattrs->ptr, xattrs->len),
			  view_of(base.ptr, base.len)) < 0)
		return writer_no_memory(err);
	return add_row(w, rec, view_of(archive.ptr, archive.len), err);
}

int mb_writer_keep(struct mb_writer *w, const struct mb_record *kept,
		   struct mb_err *err)
{
	mb_auto(buf_release) struct buf xattrs = { 0 };
	struct mb_record rec = *kept; /* borrows what the other owns */
	bool same = w->same_keys || rec.type != MB_FILE;
	int rc = 0;

	if (rec.type == MB_FILE)
		rc = same ? writer_share_payload(w, &rec, err) :
			    writer_convert_payload(w, &rec, err);
	if (rc < 0)
		return rc;
	if (same && rec.archive.len)
		return add_row(w, &rec,
			       view_of(rec.archive.ptr, rec.archive.len), err);
	if (kept_xattrs(&rec, &xattrs) < 0)
		return writer_no_memory(err);
	return encode_and_add(w, &rec, &xattrs, rec.archive, err);
}

static uint32_t type_bits(enum mb_type type)
{
	return type == MB_DIR ? S_IFDIR : type == MB_LINK ? S_IFLNK : S_IFREG;
}

/* As far as the entry says; the payload's part comes later. */
static int describe(struct mb_record *rec, const struct mb_entry *entry,
		    struct mb_err *err)
{
	const struct mb_record *base = entry->base;

	*rec = (struct mb_record){
		.domain = entry->domain,
		.path = entry->path,
		.type = entry->type,
		.mode = type_bits(entry->type) | (entry->permissions & 07777),
		.uid = entry->uid,
		.gid = entry->gid,
		.inode = entry->inode,
		.bsd_flags = entry->bsd_flags,
		.protection_class = entry->protection_class,
		.mtime = entry->mtime,
		.ctime = entry->ctime,
		.birth = entry->birth,
	};
	if (entry->type == MB_LINK)
		rec->target = entry->target;
	if (base && base->file_id[0]) {
		memcpy(rec->file_id, base->file_id, sizeof(rec->file_id));
		rec->row_id = base->row_id;
	} else if (record_file_id(rec->file_id, rec->domain, rec->path) < 0) {
		return mb_err_set(err, -EIO, "cannot compute a file ID");
	}
	if (entry->type == MB_FILE && base && base->type == MB_FILE) {
		memcpy(rec->wrapped_key, base->wrapped_key,
		       sizeof(rec->wrapped_key));
		rec->wrapped_key_len = base->wrapped_key_len;
		memcpy(rec->digest, base->digest, sizeof(rec->digest));
		rec->digest_len = base->digest_len;
		rec->size = base->size;
	}
	return 0;
}

static int entry_payload(struct mb_writer *w, struct mb_record *rec,
			 const struct mb_entry *entry, struct mb_err *err)
{
	if (entry->type != MB_FILE)
		return 0;
	if (entry->content)
		return writer_write_payload(w, rec, entry->content, err);
	if (!entry->base)
		return mb_err_set(err, -EINVAL, "a file without content");
	return w->same_keys ? writer_share_payload(w, rec, err) :
			      writer_convert_payload(w, rec, err);
}

static int entry_xattrs(struct mb_writer *w, const struct mb_entry *entry,
			struct buf *out, struct mb_err *err)
{
	struct xattr_list list = { 0 };
	size_t left_out = 0;
	int rc = 0;

	for (size_t i = 0; i < entry->xattr_count && rc == 0; i++)
		rc = list_xattr(&list, entry->xattrs[i].name,
				entry->xattrs[i].value);
	if (rc == 0 && list.count)
		rc = mbfile_encode_xattrs(out, list.items, list.count,
					  &left_out);
	free(list.items);
	if (rc < 0)
		return writer_no_memory(err);
	if (left_out || out->len > XATTRS_MAX)
		writer_note(
			w, "%.*s-%.*s: its attributes %s", SHOW(entry->domain),
			SHOW(entry->path),
			left_out ?
				"with names that are no UTF-8 are left out" :
				"are more than a device keeps, and left out");
	if (out->len > XATTRS_MAX)
		buf_release(out);
	return 0;
}

int mb_writer_add(struct mb_writer *w, const struct mb_entry *entry,
		  struct mb_err *err)
{
	mb_auto(buf_release) struct buf xattrs = { 0 };
	struct mb_slice archive = { 0 };
	struct mb_record rec;
	int rc;

	rc = describe(&rec, entry, err);
	if (rc == 0)
		rc = entry_payload(w, &rec, entry, err);
	if (rc == 0)
		rc = entry_xattrs(w, entry, &xattrs, err);
	if (rc < 0)
		return rc;
	if (entry->base)
		archive = entry->base->archive;
	return encode_and_add(w, &rec, &xattrs, archive, err);
}

/* --- the end ------------------------------------------------------------- */

static int write_list(struct mb_writer *w, const char *name,
		      const struct buf *content, struct mb_err *err)
{
	return beneath_write_file(w->dir_fd, name,
				  view_of(content->ptr, content->len), 0666,
				  err);
}

static int write_info(struct mb_writer *w, struct mb_err *err)
{
	const struct mb_backup_info *about =
		w->like ? &w->like->info : w->wish.about;
	mb_auto(buf_release) struct buf out = { 0 };
	struct info_plist info = { 0 };
	uint8_t guid[16];
	int rc;

	if (w->like && beneath_read_file(w->like->dir_fd, "Info.plist",
					 INFO_PLIST_MAX, &out, NULL) == 0)
		return write_list(w, "Info.plist", &out, err);
	rc = crypto_random(guid, sizeof(guid));
	if (rc < 0)
		return mb_err_set(err, rc, "no random numbers");
	if (about) {
		info.device_name = (char *)about->device_name;
		info.product_type = (char *)about->product_type;
		info.product_name = (char *)about->product_name;
		info.product_version = (char *)about->product_version;
		info.build_version = (char *)about->build_version;
		info.serial_number = (char *)about->serial_number;
		info.udid = (char *)about->udid;
		info.date = about->date;
	}
	if (!info.date)
		info.date = time(NULL);
	rc = info_plist_make(&out, &info, guid);
	return rc < 0 ? writer_no_memory(err) :
			write_list(w, "Info.plist", &out, err);
}

static bool has_app(void *arg, const char *bundle_id)
{
	const struct mb_writer *w = arg;

	for (size_t i = 0; i < w->domain_count; i++)
		if (mb_is_app_domain(mb_slice_of(w->domains[i]), bundle_id))
			return true;
	return false;
}

static int write_manifest_plist(struct mb_writer *w, struct mb_err *err)
{
	mb_auto(buf_release) struct buf out = { 0 };
	struct manifest_plist_edit edit = {
		.encrypted = w->encrypted,
		.keybag = view_of(w->new_keybag.ptr, w->new_keybag.len),
		.manifest_db = true,
		.keeps_app = w->wish.partial ? has_app : NULL,
		.arg = w,
	};
	int from_fd = -1, rc;

	if (w->encrypted)
		edit.key = view_of(w->manifest_key, sizeof(w->manifest_key));
	if (w->like)
		from_fd = w->like->plist_fd;
	if (from_fd < 0)
		edit.date = time(NULL);
	rc = manifest_plist_make(&out, from_fd,
				 from_fd < 0 ? NULL : "Manifest.plist", &edit,
				 err);
	return rc < 0 ? rc : write_list(w, "Manifest.plist", &out, err);
}

static int write_status(struct mb_writer *w, struct mb_err *err)
{
	mb_auto(buf_release) struct buf out = { 0 };
	int64_t date = w->like ? w->like->info.date : 0;
	uint8_t uuid[16];
	int rc = crypto_random(uuid, sizeof(uuid));

	if (rc < 0)
		return mb_err_set(err, rc, "no random numbers");
	rc = status_plist_make(&out, uuid, date ? date : time(NULL));
	return rc < 0 ? writer_no_memory(err) :
			write_list(w, "Status.plist", &out, err);
}

int mb_writer_commit(struct mb_writer *w, bool sync, struct mb_err *err)
{
	int rc = manifest_finish(w->manifest, err);

	if (rc == 0)
		rc = write_info(w, err);
	if (rc == 0)
		rc = write_manifest_plist(w, err);
	if (rc == 0 && sync && syncfs(w->dir_fd) < 0)
		rc = mb_err_set(err, -errno, "cannot sync: %s",
				strerror(errno));
	/* the last: it is what says that all is there */
	return rc < 0 ? rc : write_status(w, err);
}

int mb_writer_unlock(const struct mb_writer *w, struct mb_backup *made,
		     struct mb_err *err)
{
	if (!made->info.encrypted)
		return 0;
	if (!w->same_keys)
		return mb_backup_unlock(made, w->derived_key, err);
	if (memcmp(&made->keybag, &w->like->keybag, sizeof(made->keybag)))
		return mb_err_set(err, -EBADMSG,
				  "the key bag is not the one it was");
	made->keyring = w->keyring;
	made->unlocked = true;
	return 0;
}
