/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest_salvage.h"

#include <errno.h>
#include <stdlib.h>

struct manifest_salvage {
	struct manifest base;
	struct manifest *inner;
	struct lost_found *lost;
};

/* No manifest has handles below MANIFEST_NO_RECORD, -1. */
static int64_t handle_of_lost(int64_t number)
{
	return -2 - number;
}

static bool is_lost(int64_t handle)
{
	return handle < MANIFEST_NO_RECORD;
}

static bool is_lost_domain(struct mb_slice domain)
{
	return mb_slice_equal(domain, mb_slice_of(LOST_DOMAIN));
}

struct pass_domain {
	manifest_each_domain *each;
	void *arg;
	bool has_lost; /* by chance, or by malice: it is shared then */
};

static int pass_domain(void *arg, struct mb_slice domain, int64_t root)
{
	struct pass_domain *p = arg;

	p->has_lost |= is_lost_domain(domain);
	return p->each(p->arg, domain, root);
}

static int salvage_each_domain(struct manifest *base,
			       manifest_each_domain *each, void *arg,
			       struct mb_err *err)
{
	struct manifest_salvage *m = (struct manifest_salvage *)base;
	struct pass_domain p = { .each = each, .arg = arg };
	int rc = 0;

	if (m->inner)
		rc = manifest_each_domain_do(m->inner, pass_domain, &p, err);
	if (rc == 0 && !p.has_lost && lost_found_count(m->lost))
		rc = each(arg, mb_slice_of(LOST_DOMAIN), MANIFEST_NO_RECORD);
	return rc;
}

struct pass_entry {
	manifest_each_entry *each;
	void *arg;
};

static int pass_lost(void *arg, const struct manifest_entry *entry)
{
	const struct pass_entry *p = arg;
	struct manifest_entry passed = *entry;

	passed.handle = handle_of_lost(entry->handle);
	return p->each(p->arg, &passed);
}

static int salvage_scan(struct manifest *base, struct mb_slice domain,
			bool sizes, manifest_each_entry *each, void *arg,
			struct mb_err *err)
{
	struct manifest_salvage *m = (struct manifest_salvage *)base;
	struct pass_entry p = { each, arg };
	int rc = 0;

	if (m->inner)
		rc = manifest_scan(m->inner, domain, sizes, each, arg, err);
	if (rc == 0 && is_lost_domain(domain))
		rc = lost_found_scan(m->lost, sizes, pass_lost, &p, err);
	return rc;
}

static int salvage_each_id(struct manifest *base, manifest_each_id *each,
			   void *arg, struct mb_err *err)
{
	struct manifest_salvage *m = (struct manifest_salvage *)base;

	return m->inner ? manifest_each_id_do(m->inner, each, arg, err) : 0;
}

static int salvage_get(struct manifest *base, int64_t handle,
		       struct mb_record *rec, struct mb_err *err)
{
	struct manifest_salvage *m = (struct manifest_salvage *)base;

	if (is_lost(handle))
		return lost_found_get(m->lost, handle_of_lost(handle), rec,
				      err);
	if (!m->inner)
		return mb_err_set(err, -ENOENT, "there is no manifest");
	return manifest_get(m->inner, handle, rec, err);
}

static void salvage_free(struct manifest *base)
{
	struct manifest_salvage *m = (struct manifest_salvage *)base;

	manifest_free(m->inner);
	lost_found_free(m->lost);
	free(m);
}

static const struct manifest_ops salvage_ops = {
	.free = salvage_free,
	.each_domain = salvage_each_domain,
	.scan = salvage_scan,
	.each_id = salvage_each_id,
	.get = salvage_get,
};

static void pass_note(void *arg, const char *line)
{
	manifest_note(arg, "%s", line);
}

int manifest_salvage_new(struct manifest **out, struct manifest *inner,
			 struct lost_found *lost)
{
	struct manifest_salvage *m = calloc(1, sizeof(*m));

	if (!m) {
		manifest_free(inner);
		lost_found_free(lost);
		return -ENOMEM;
	}
	m->base.ops = &salvage_ops;
	m->inner = inner;
	m->lost = lost;
	if (inner)
		manifest_on_note(inner, pass_note, m);
	*out = &m->base;
	return 0;
}
