/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANIFEST_AUDIT_H
#define MANIFEST_AUDIT_H

#include "mb/err.h"
#include "mb/record.h"
#include "payload.h"

/*
 * A manifest that may be damaged: what is wrong with it, and every record that
 * can still be read, in the order in which they are stored. All functions are
 * safe from several threads but for manifest_audit_inspect and _each.
 */
struct manifest_audit;

/*
 * manifest_audit_open
 * @p: becomes its own, also on failure
 * @cancelled: asked now and then: true ends what is being done by -ECANCELED
 *
 * Returns 0; -EBADMSG if nothing of it can be read; -ENOTSUP; -ENOMEM; errors
 * of the system.
 */
int manifest_audit_open_db(struct manifest_audit **out, struct payload *p,
			   bool (*cancelled)(void), struct mb_err *err);
int manifest_audit_open_mbdb(struct manifest_audit **out, struct payload *p,
			     bool (*cancelled)(void), struct mb_err *err);
void manifest_audit_free(struct manifest_audit *a);
MB_DEFINE_AUTO(struct manifest_audit, manifest_audit_free)

/*
 * manifest_audit_inspect - what SQLite itself says of Manifest.db
 * @err: says what is wrong
 *
 * Returns 0 if nothing is; -EBADMSG; -ECANCELED; -ENOMEM.
 */
int manifest_audit_inspect(struct manifest_audit *a, struct mb_err *err);

struct manifest_row {
	int64_t handle;
	/* false: no entry but working state of the device, which has an ID at
	 * most (iphone-backup(5), MANIFEST.DB) */
	bool is_entry;
	const struct mb_record *rec; /* borrowed for the call */
};

typedef int manifest_audit_row(void *arg, const struct manifest_row *row);

/*
 * manifest_audit_each - every row that can be read
 * @each: may not call the audit; a result other than 0 ends the walk
 * @lost: rows were passed over, @loss says why
 *
 * Returns 0; what @each returned; -ECANCELED; -ENOMEM.
 */
int manifest_audit_each(struct manifest_audit *a, manifest_audit_row *each,
			void *arg, bool *lost, struct mb_err *loss);

/*
 * manifest_audit_each_id - the file IDs of all rows, from their index
 *
 * It may still be whole where the rows are not.
 *
 * Returns 0; what @each returned; -EBADMSG; -ENOTSUP if there is no index.
 */
int manifest_audit_each_id(struct manifest_audit *a,
			   int (*each)(void *arg, struct mb_slice id),
			   void *arg);

/* manifest_audit_get - one record again; 0; -ENOENT; -EBADMSG; -ENOMEM */
int manifest_audit_get(struct manifest_audit *a, int64_t handle,
		       struct mb_record *rec, struct mb_err *err);

/* ---- for the two implementations ---- */

struct manifest_audit_ops {
	void (*free)(struct manifest_audit *a);
	int (*inspect)(struct manifest_audit *a, struct mb_err *err);
	int (*each)(struct manifest_audit *a, manifest_audit_row *each,
		    void *arg, bool *lost, struct mb_err *loss);
	int (*each_id)(struct manifest_audit *a,
		       int (*each)(void *arg, struct mb_slice id), void *arg);
	int (*get)(struct manifest_audit *a, int64_t handle,
		   struct mb_record *rec, struct mb_err *err);
};

struct manifest_audit {
	const struct manifest_audit_ops *ops;
	struct payload *payload;
	bool (*cancelled)(void);
};

#endif
