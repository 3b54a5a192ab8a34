/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MB_WRITER_H
#define MB_WRITER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "backup.h"

/*
 * A new backup: opened on an empty folder, filled entry by entry, committed.
 * It is in the newest form, Manifest.db with payloads in hashed folders,
 * whatever it is made from.
 *
 * Entries can be kept and added by several threads at once; everything else is
 * done by one.
 */
struct mb_writer;

enum mb_encryption {
	MB_AS_LIKE,	 /* the same key bag, or in clear */
	MB_IN_CLEAR,	 /* decrypted */
	MB_NEW_PASSWORD, /* encrypted anew, under a key bag of its own */
};

/* What has been written; another thread may look. */
struct mb_writer_counts {
	atomic_uint_fast64_t entries, files;
	atomic_uint_fast64_t shared;   /* payloads */
	atomic_uint_fast64_t copied;   /* of these, by copying */
	atomic_uint_fast64_t written;  /* payloads made anew */
	atomic_uint_fast64_t bytes;    /* of these: of content */
	atomic_uint_fast64_t left_out; /* that could not be converted */
};

struct mb_writer_wish {
	/*
	 * The backup that the new one is made from, loaded; NULL for none.
	 * Its key bag, its property lists and what is in them stay, and
	 * entries can be taken over.
	 */
	struct mb_backup *like;
	/* only a part of @like: apps without data are not listed */
	bool partial;
	enum mb_encryption encryption;
	/* MB_NEW_PASSWORD: UTF-8, borrowed for mb_writer_open */
	const char *password;
	size_t password_len;
	uint32_t iterations; /* of PBKDF2-HMAC-SHA256; 0: as devices have */
	/* without @like: the device, as far as it is known; or NULL.
	 * Borrowed until the writer is freed */
	const struct mb_backup_info *about;
	/* counted up; borrowed until the writer is freed */
	struct mb_writer_counts *counts;
	/* these two: from any thread that uses the writer.
	 * Asked now and then: true ends what is being done by -ECANCELED */
	bool (*cancelled)(void);
	/* a line about what is odd but no error; may be NULL */
	void (*note)(void *arg, const char *line);
	void *arg;
};

/*
 * mb_writer_open
 * @dir_fd: an empty folder; borrowed until the writer is freed
 *
 * Returns 0; -EINVAL if there is nothing to be like; -ENOKEY if @like is
 * locked; -EIO, -ENOMEM; errors of the system.
 */
int mb_writer_open(struct mb_writer **out, int dir_fd,
		   const struct mb_writer_wish *wish, struct mb_err *err);

/* What was not committed is left to the caller to remove. */
void mb_writer_free(struct mb_writer *writer);

/*
 * mb_writer_keep - an entry of @like as it is
 * @rec: of a tree of @like
 *
 * Word for word, with what is not understood of it, and with its payload
 * shared: by reflink, hard link or copy. A payload that is missing stays
 * missing. Where the encryption changes, the payload is written anew; one that
 * cannot be read is then left out, with a note.
 *
 * Returns 0; -EEXIST if there is an entry of this ID; -ECANCELED; errors of
 * the system.
 */
int mb_writer_keep(struct mb_writer *writer, const struct mb_record *rec,
		   struct mb_err *err);

struct mb_xattr {
	struct mb_slice name, value;
};

/* Bytes of a file to be, read from front to back. */
struct mb_content {
	/* returns bytes; 0 at the end; negative errno */
	ssize_t (*read)(void *arg, void *out, size_t len, int64_t off);
	void *arg;
};

/* A new entry, or a changed one. Everything is borrowed for the call. */
struct mb_entry {
	struct mb_slice domain, path;
	struct mb_slice target; /* of MB_LINK */
	enum mb_type type;
	uint32_t permissions; /* 07777 */
	uint32_t uid, gid, bsd_flags;
	uint64_t inode; /* equal ones in a domain are names of one file */
	uint8_t protection_class;
	struct timespec mtime, ctime, birth;
	const struct mb_xattr *xattrs;
	size_t xattr_count;
	/* the record of @like that this replaces, or NULL */
	const struct mb_record *base;
	/* of MB_FILE; NULL: as @base has it */
	const struct mb_content *content;
};

/*
 * mb_writer_add
 *
 * The content gets a key of its own, under the entry's protection class; if
 * the key bag lacks it, under another, which the record then says.
 *
 * Returns as mb_writer_keep; what the content's read returned.
 */
int mb_writer_add(struct mb_writer *writer, const struct mb_entry *entry,
		  struct mb_err *err);

/*
 * mb_writer_commit - manifest and property lists: it is a backup now
 * @sync: bring it to disk; not needed for what is to be removed soon
 */
int mb_writer_commit(struct mb_writer *writer, bool sync, struct mb_err *err);

/* mb_writer_unlock - unlock @made, the new backup, opened, without a password */
int mb_writer_unlock(const struct mb_writer *writer, struct mb_backup *made,
		     struct mb_err *err);

#endif
