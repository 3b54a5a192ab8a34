/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "node_store.h"

#include <errno.h>
#include <stdlib.h>

int node_store_add(struct node_store *s, uint32_t count, uint32_t *first)
{
	uint64_t end = (uint64_t)s->node_count + count;

	if (end > (uint64_t)NODE_CHUNK * NODE_CHUNKS)
		return -ENOMEM;
	for (uint64_t i = s->node_count / NODE_CHUNK;
	     count && i <= (end - 1) / NODE_CHUNK; i++) {
		if (s->node_chunks[i])
			continue;
		s->node_chunks[i] = calloc(NODE_CHUNK, sizeof(struct node));
		if (!s->node_chunks[i])
			return -ENOMEM;
	}
	*first = s->node_count;
	s->node_count = (uint32_t)end;
	return 0;
}

int node_store_name(struct node_store *s, const char *name, size_t len,
		    uint32_t *out)
{
	uint32_t at = s->name_len, room = NAME_CHUNK - at % NAME_CHUNK;
	char **chunk;

	if (room < len + 1) /* does not fit: begin the next chunk */
		at += room;
	if (at / NAME_CHUNK >= NAME_CHUNKS || at < s->name_len)
		return -ENOMEM;
	chunk = &s->name_chunks[at / NAME_CHUNK];
	if (!*chunk)
		*chunk = malloc(NAME_CHUNK);
	if (!*chunk)
		return -ENOMEM;
	memcpy(*chunk + at % NAME_CHUNK, name, len);
	(*chunk)[at % NAME_CHUNK + len] = '\0';
	*out = at;
	s->name_len = at + (uint32_t)len + 1;
	return 0;
}

void node_store_rewind(struct node_store *s, struct node_store_mark mark)
{
	for (uint32_t i = mark.node_count; i < s->node_count; i++)
		memset(node_at(s, i), 0, sizeof(struct node));
	s->node_count = mark.node_count;
	s->name_len = mark.name_len;
}

void node_store_release(struct node_store *s)
{
	for (size_t i = 0; i < NODE_CHUNKS; i++)
		free(s->node_chunks[i]);
	for (size_t i = 0; i < NAME_CHUNKS; i++)
		free(s->name_chunks[i]);
}
