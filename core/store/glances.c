/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "glances.h"

#include <pthread.h>
#include <stdlib.h>

#include "brief_lock.h"
#include "record.h"

/* The place of a record is its handle modulo GLANCES_MAX. */
struct glance {
	int64_t handle; /* 0 in an empty place: see below */
	int64_t size;
	struct timespec mtime, ctime, birth;
	const char *damage;
	uint32_t mode, target_len;
	char file_id[41];
	uint8_t type;
	uint8_t protection_class;
	uint8_t wrapped_key_len;
	uint8_t wrapped_key[44];
};

struct glances {
	pthread_mutex_t lock;
	struct glance places[GLANCES_MAX];
};

struct glances *glances_new(void)
{
	struct glances *g = calloc(1, sizeof(*g));

	if (g)
		brief_lock_init(&g->lock);
	return g;
}

void glances_free(struct glances *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void glances_keep(struct glances *g, int64_t handle,
		  const struct mb_record *rec)
{
	struct glance *p = &g->places[handle % GLANCES_MAX];

	pthread_mutex_lock(&g->lock);
	*p = (struct glance){
		.handle = handle + 1, /* so that none is 0 */
		.size = rec->size,
		.mtime = rec->mtime,
		.ctime = rec->ctime,
		.birth = rec->birth,
		.damage = rec->damage,
		.mode = rec->mode,
		.target_len = (uint32_t)rec->target.len,
		.type = (uint8_t)rec->type,
		.protection_class = rec->protection_class,
		.wrapped_key_len = rec->wrapped_key_len,
	};
	memcpy(p->file_id, rec->file_id, sizeof(p->file_id));
	memcpy(p->wrapped_key, rec->wrapped_key, sizeof(p->wrapped_key));
	pthread_mutex_unlock(&g->lock);
}

static void show(struct mb_record *rec, const struct glance *p)
{
	record_reset(rec, 0);
	rec->size = p->size;
	rec->mtime = p->mtime;
	rec->ctime = p->ctime;
	rec->birth = p->birth;
	rec->damage = p->damage;
	rec->mode = p->mode;
	rec->target.len = p->target_len;
	rec->type = p->type;
	rec->protection_class = p->protection_class;
	rec->wrapped_key_len = p->wrapped_key_len;
	memcpy(rec->file_id, p->file_id, sizeof(rec->file_id));
	memcpy(rec->wrapped_key, p->wrapped_key, sizeof(rec->wrapped_key));
}

bool glances_find(struct glances *g, int64_t handle, struct mb_record *rec)
{
	const struct glance *p = &g->places[handle % GLANCES_MAX];
	bool found;

	pthread_mutex_lock(&g->lock);
	found = p->handle == handle + 1;
	if (found)
		show(rec, p);
	pthread_mutex_unlock(&g->lock);
	return found;
}
