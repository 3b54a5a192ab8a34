/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef NODE_STORE_H
#define NODE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "names.h"

/* What a tree has an entry for: 32 bytes and its name. */
struct node {
	int64_t handle; /* of the record, or NODE_MADE_UP */
	uint32_t parent;
	uint32_t first; /* child */
	uint32_t count; /* of children */
	uint32_t name;	/* for name_at */
	uint8_t type;
	atomic_bool loaded; /* first and count are valid */
	atomic_bool reported;
	atomic_bool opened;
};

#define NODE_MADE_UP (-1)

#define NODE_CHUNK (1u << 16)
#define NODE_CHUNKS (1u << 12)
#define NAME_CHUNK (1u << 20)
#define NAME_CHUNKS (1u << 12)

/* Append only: what has an address keeps it. {0} is an empty one. */
struct node_store {
	struct node *node_chunks[NODE_CHUNKS];
	char *name_chunks[NAME_CHUNKS];
	uint32_t node_count;
	uint32_t name_len;
};

static inline struct node *node_at(const struct node_store *s, uint32_t number)
{
	return &s->node_chunks[number / NODE_CHUNK][number % NODE_CHUNK];
}

static inline const char *name_at(const struct node_store *s, uint32_t name)
{
	return s->name_chunks[name / NAME_CHUNK] + name % NAME_CHUNK;
}

/* node_store_add - @count consecutive zeroed nodes; 0 or -ENOMEM */
int node_store_add(struct node_store *s, uint32_t count, uint32_t *first);

/* node_store_name - keep a terminated name; 0 or -ENOMEM */
int node_store_name(struct node_store *s, const char *name, size_t len,
		    uint32_t *out);

/* What has been added since a mark can be taken back, if nobody has seen it. */
struct node_store_mark {
	uint32_t node_count, name_len;
};

static inline struct node_store_mark node_store_mark(const struct node_store *s)
{
	return (struct node_store_mark){ s->node_count, s->name_len };
}

void node_store_rewind(struct node_store *s, struct node_store_mark mark);
void node_store_release(struct node_store *s);

#endif
