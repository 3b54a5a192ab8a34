/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DOMAIN_INDEX_H
#define DOMAIN_INDEX_H

#include "bytes.h"
#include "manifest.h"

/*
 * Which records belong to which domain, for manifests that have no index of
 * their own: 16 bytes a record.
 */
struct domain_index {
	struct buf names; /* u32 length, bytes; over and over */
	struct domain_index_entry {
		int64_t handle;
		uint32_t name; /* offset in names */
		uint32_t not_root;
	} * entries;
	size_t count, cap;
	uint32_t last_name; /* of the entry added last */
};

/* domain_index_add - in any order; 0 or -ENOMEM */
int domain_index_add(struct domain_index *ix, struct mb_slice domain,
		     int64_t handle, bool is_root);

/* domain_index_seal - sort, after the last add and before the first use */
void domain_index_seal(struct domain_index *ix);

int domain_index_each(const struct domain_index *ix, manifest_each_domain *each,
		      void *arg);

/* The entries of a domain, by handle but for its root, which is first. */
void domain_index_range(const struct domain_index *ix, struct mb_slice domain,
			size_t *first, size_t *count);

/*
 * domain_index_handles - those of all entries in their order, which is that of
 * the file; the caller's to free; NULL without memory
 */
int64_t *domain_index_handles(const struct domain_index *ix);

void domain_index_release(struct domain_index *ix);

#endif
