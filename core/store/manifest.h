/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "bytes.h"
#include "mb/err.h"
#include "mb/record.h"
#include "payload.h"

/*
 * The records of a backup, Manifest.db and Manifest.mbdb behind one interface.
 * A record's handle (rowid, or offset) fetches it again. All functions are
 * safe from several threads.
 */
struct manifest;

/* A record as a scan sees it; slices are borrowed for the call. */
struct manifest_entry {
	int64_t handle;
	struct mb_slice path;
	enum mb_type type; /* 0: only the record itself may tell */
	int64_t size;	   /* recorded; only in manifest_scan_sizes */
};

typedef int manifest_each_entry(void *arg, const struct manifest_entry *entry);

/* @root: handle of the domain's own record, or MANIFEST_NO_RECORD */
typedef int manifest_each_domain(void *arg, struct mb_slice domain,
				 int64_t root);

#define MANIFEST_NO_RECORD (-1)

/* @id: as stored; @type: 0 where only the record itself may tell */
typedef int manifest_each_id(void *arg, struct mb_slice id, enum mb_type type);

/* Longest path that is accepted; longer ones are left out, with a note. */
#define MANIFEST_PATH_MAX 65534

struct manifest_ops {
	void (*free)(struct manifest *m);
	int (*each_domain)(struct manifest *m, manifest_each_domain *each,
			   void *arg, struct mb_err *err);
	int (*scan)(struct manifest *m, struct mb_slice domain, bool sizes,
		    manifest_each_entry *each, void *arg, struct mb_err *err);
	int (*each_id)(struct manifest *m, manifest_each_id *each, void *arg,
		       struct mb_err *err);
	int (*get)(struct manifest *m, int64_t handle, struct mb_record *rec,
		   struct mb_err *err);
	/* NULL: no faster than get */
	int (*glance)(struct manifest *m, int64_t handle, struct mb_record *rec,
		      struct mb_err *err);
};

struct manifest {
	const struct manifest_ops *ops;
	/* told what is left out and why; may be NULL */
	void (*note)(void *arg, const char *line);
	void *note_arg;
};

/*
 * manifest_open_* - @p becomes the manifest's own, also on failure
 *
 * Return 0; -EBADMSG; -ENOMEM; errors of the system.
 */
int manifest_open_db(struct manifest **out, struct payload *p,
		     struct mb_err *err);
int manifest_open_mbdb(struct manifest **out, struct payload *p,
		       struct mb_err *err);
/* of Manifest.db by its table alone, where an index of it is damaged */
int manifest_open_db_table(struct manifest **out, struct payload *p,
			   struct mb_err *err);

void manifest_free(struct manifest *m);
MB_DEFINE_AUTO(struct manifest, manifest_free)

void manifest_on_note(struct manifest *m,
		      void (*note)(void *arg, const char *line), void *arg);

/*
 * manifest_each_domain_do - each domain once
 *
 * @each may not call the manifest. A result other than 0 ends the walk and is
 * returned.
 */
int manifest_each_domain_do(struct manifest *m, manifest_each_domain *each,
			    void *arg, struct mb_err *err);

/*
 * manifest_scan - every usable record of a domain, in no order
 * @sizes: entries carry the recorded size; dearer, as each is decoded
 *
 * @each as above.
 */
int manifest_scan(struct manifest *m, struct mb_slice domain, bool sizes,
		  manifest_each_entry *each, void *arg, struct mb_err *err);

/*
 * manifest_each_id_do - the file ID of every usable record, in no order
 *
 * Reads the whole of every record on its way, so that what is damaged is met.
 * @each as above.
 */
int manifest_each_id_do(struct manifest *m, manifest_each_id *each, void *arg,
			struct mb_err *err);

/*
 * manifest_get - one record
 *
 * A record that is damaged is no error: rec->damage says so.
 *
 * Returns 0; -ENOENT; -EBADMSG; -ENOMEM.
 */
int manifest_get(struct manifest *m, int64_t handle, struct mb_record *rec,
		 struct mb_err *err);

/*
 * manifest_glance - of a record what a listing shows, and where its payload is
 *
 * As manifest_get and faster, above all for records of a domain that has just
 * been scanned; but domain, path, attributes, digest and whatever is private
 * may be missing, and of the target there is only the length.
 */
int manifest_glance(struct manifest *m, int64_t handle, struct mb_record *rec,
		    struct mb_err *err);

/* manifest_note - for the implementations: pass a line on */
void manifest_note(struct manifest *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
