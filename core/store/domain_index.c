/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_index.h"

#include <errno.h>
#include <stdlib.h>

static struct mb_slice name_at(const struct domain_index *ix, uint32_t name)
{
	uint32_t len;

	memcpy(&len, ix->names.ptr + name, sizeof(len));
	return (struct mb_slice){
		(const char *)ix->names.ptr + name + sizeof(len), len
	};
}

/* Neighbours mostly share their domain, so its name is stored once a run. */
static int add_name(struct domain_index *ix, struct mb_slice domain,
		    uint32_t *name)
{
	uint32_t len = (uint32_t)domain.len;

	if (ix->count &&
	    !mb_slice_compare(name_at(ix, ix->last_name), domain)) {
		*name = ix->last_name;
		return 0;
	}
	if (ix->names.len + sizeof(len) + domain.len > UINT32_MAX)
		return -ENOMEM;
	*name = (uint32_t)ix->names.len;
	if (buf_add(&ix->names, &len, sizeof(len)) < 0)
		return -ENOMEM;
	return buf_add(&ix->names, domain.ptr, domain.len);
}

int domain_index_add(struct domain_index *ix, struct mb_slice domain,
		     int64_t handle, bool is_root)
{
	uint32_t name;
	int rc;

	if (ix->count == ix->cap) {
		size_t cap = ix->cap ? 2 * ix->cap : 1024;
		void *entries =
			reallocarray(ix->entries, cap, sizeof(*ix->entries));

		if (!entries)
			return -ENOMEM;
		ix->entries = entries;
		ix->cap = cap;
	}
	rc = add_name(ix, domain, &name);
	if (rc < 0)
		return rc;
	ix->last_name = name;
	ix->entries[ix->count++] = (struct domain_index_entry){
		.handle = handle, .name = name, .not_root = !is_root
	};
	return 0;
}

static int compare_entries(const void *va, const void *vb, void *arg)
{
	const struct domain_index *ix = arg;
	const struct domain_index_entry *a = va, *b = vb;
	int diff = 0;

	if (a->name != b->name)
		diff = mb_slice_compare(name_at(ix, a->name),
					name_at(ix, b->name));
	if (!diff)
		diff = (a->not_root > b->not_root) -
		       (a->not_root < b->not_root);
	if (!diff)
		diff = (a->handle > b->handle) - (a->handle < b->handle);
	return diff;
}

void domain_index_seal(struct domain_index *ix)
{
	if (ix->count)
		qsort_r(ix->entries, ix->count, sizeof(*ix->entries),
			compare_entries, ix);
}

/* First entry from @at on whose domain is another one. */
static size_t end_of_domain(const struct domain_index *ix, size_t at)
{
	struct mb_slice name = name_at(ix, ix->entries[at].name);
	size_t end = at + 1;

	while (end < ix->count &&
	       (ix->entries[end].name == ix->entries[at].name ||
		!mb_slice_compare(name_at(ix, ix->entries[end].name), name)))
		end++;
	return end;
}

int domain_index_each(const struct domain_index *ix, manifest_each_domain *each,
		      void *arg)
{
	for (size_t at = 0; at < ix->count; at = end_of_domain(ix, at)) {
		size_t root = at;
		int rc;

		/* of several records for a root, the last counts */
		while (root + 1 < ix->count &&
		       !ix->entries[root + 1].not_root &&
		       !mb_slice_compare(
			       name_at(ix, ix->entries[root + 1].name),
			       name_at(ix, ix->entries[at].name)))
			root++;
		rc = each(arg, name_at(ix, ix->entries[at].name),
			  ix->entries[root].not_root ?
				  MANIFEST_NO_RECORD :
				  ix->entries[root].handle);
		if (rc)
			return rc;
	}
	return 0;
}

void domain_index_range(const struct domain_index *ix, struct mb_slice domain,
			size_t *first, size_t *count)
{
	size_t low = 0, high = ix->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (mb_slice_compare(name_at(ix, ix->entries[mid].name),
				     domain) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*first = low;
	*count = 0;
	if (low < ix->count &&
	    !mb_slice_compare(name_at(ix, ix->entries[low].name), domain))
		*count = end_of_domain(ix, low) - low;
}

static int compare_handles(const void *va, const void *vb)
{
	const int64_t *a = va, *b = vb;

	return (*a > *b) - (*a < *b);
}

int64_t *domain_index_handles(const struct domain_index *ix)
{
	int64_t *handles = reallocarray(NULL, ix->count + 1, sizeof(*handles));

	if (!handles)
		return NULL;
	for (size_t i = 0; i < ix->count; i++)
		handles[i] = ix->entries[i].handle;
	qsort(handles, ix->count, sizeof(*handles), compare_handles);
	return handles;
}

void domain_index_release(struct domain_index *ix)
{
	buf_release(&ix->names);
	free(ix->entries);
	*ix = (struct domain_index){ 0 };
}
