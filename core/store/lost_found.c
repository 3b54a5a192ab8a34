/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lost_found.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "beneath.h"
#include "content_type.h"
#include "crew.h"
#include "record.h"

/* A backup of millions of files has some dozens. */
#define KINDS_MAX 512

struct lost {
	uint8_t id[SHA1_LEN];
	uint16_t kind;
};

struct lost_found {
	struct payload_places places;
	bool encrypted;
	struct lost *list;
	size_t count, cap;

	pthread_mutex_t lock; /* of what follows */
	bool sorted;	      /* every one has its kind */
	struct content_kind kinds[KINDS_MAX];
	unsigned kind_count;
};

/* ---- finding them ---- */

struct finding {
	struct lost_found *lf;
	const uint8_t *known;
	size_t known_count;
};

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, SHA1_LEN);
}

static int add(struct finding *f, const uint8_t id[SHA1_LEN])
{
	struct lost_found *lf = f->lf;

	if (f->known_count &&
	    bsearch(id, f->known, f->known_count, SHA1_LEN, compare_ids))
		return 0;
	if (lf->count == lf->cap) {
		size_t cap = lf->cap ? 2 * lf->cap : 256;
		void *list = reallocarray(lf->list, cap, sizeof(*lf->list));

		if (!list)
			return -ENOMEM;
		lf->list = list;
		lf->cap = cap;
	}
	lf->list[lf->count] = (struct lost){ .kind = 0 };
	memcpy(lf->list[lf->count++].id, id, SHA1_LEN);
	return 0;
}

static bool is_regular(int dir_fd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_REG;
	return fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

/* @front: two digits that a name has to begin with; NULL: any */
static int find_in(struct finding *f, int fd, const char *front)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!dir) {
		close(fd);
		return 0;
	}
	while (rc == 0 && (e = readdir(dir))) {
		uint8_t id[SHA1_LEN];

		if (strlen(e->d_name) != 2 * SHA1_LEN ||
		    (front && memcmp(e->d_name, front, 2) != 0) ||
		    strspn(e->d_name, "0123456789abcdef") != 2 * SHA1_LEN ||
		    !is_regular(dirfd(dir), e) ||
		    !hex_decode(id, sizeof(id), e->d_name))
			continue;
		rc = add(f, id);
	}
	closedir(dir);
	return rc;
}

static int find_below(struct finding *f, int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd >= 0)
		rc = find_in(f, fd, NULL);
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		char name[3];

		snprintf(name, sizeof(name), "%02x", i);
		fd = beneath_open_dir(dir_fd, name);
		if (fd >= 0)
			rc = find_in(f, fd, name);
	}
	return rc;
}

/* The same ID can be in two places: it is one payload, the first that counts. */
static void drop_twins(struct lost_found *lf)
{
	size_t kept = 0;

	if (lf->count)
		qsort(lf->list, lf->count, sizeof(*lf->list), compare_ids);
	for (size_t i = 0; i < lf->count; i++)
		if (!i || compare_ids(lf->list[i - 1].id, lf->list[i].id))
			lf->list[kept++] = lf->list[i];
	lf->count = kept;
}

int lost_found_open(struct lost_found **out,
		    const struct payload_places *places, const uint8_t *known,
		    size_t known_count, bool encrypted)
{
	struct lost_found *lf = calloc(1, sizeof(*lf));
	struct finding f = { lf, known, known_count };
	int rc = 0;

	if (!lf)
		return -ENOMEM;
	pthread_mutex_init(&lf->lock, NULL);
	lf->places = *places;
	lf->encrypted = encrypted;
	for (unsigned i = 0; i < places->count && rc == 0; i++)
		rc = find_below(&f, places->dir_fds[i]);
	if (rc < 0) {
		lost_found_free(lf);
		return rc;
	}
	drop_twins(lf);
	*out = lf;
	return 0;
}

void lost_found_free(struct lost_found *lf)
{
	if (!lf)
		return;
	pthread_mutex_destroy(&lf->lock);
	free(lf->list);
	free(lf);
}

size_t lost_found_count(const struct lost_found *lf)
{
	return lf->count;
}

/* ---- looking into them ---- */

struct looking {
	struct lost_found *lf;
	atomic_size_t next;
	pthread_mutex_t lock; /* of the kinds */
};

static uint16_t number_of_kind(struct looking *l,
			       const struct content_kind *kind)
{
	struct lost_found *lf = l->lf;
	unsigned i;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < lf->kind_count; i++)
		if (!strcmp(lf->kinds[i].type, kind->type) &&
		    !strcmp(lf->kinds[i].ext, kind->ext))
			break;
	if (i == KINDS_MAX)
		i = 0; /* more than there can be: they go to the first */
	else if (i == lf->kind_count)
		lf->kinds[lf->kind_count++] = *kind;
	pthread_mutex_unlock(&l->lock);
	return (uint16_t)i;
}

static int front_of(struct lost_found *lf, const struct lost *lost,
		    uint8_t front[CONTENT_FRONT_LEN])
{
	mb_auto(payload_free) struct payload *p = NULL;
	char id[2 * SHA1_LEN + 1];
	int rc;

	hex_encode(id, lost->id, SHA1_LEN);
	rc = payload_find(&p, &lf->places, id, NULL);
	return rc < 0 ? rc : (int)payload_pread(p, front, CONTENT_FRONT_LEN, 0);
}

/* One of the threads, with a library's handle of its own. */
static void look(void *arg, size_t thread)
{
	mb_auto(content_type_free) struct content_type *ct = NULL;
	struct looking *l = arg;
	uint8_t front[CONTENT_FRONT_LEN];
	struct content_kind kind;
	size_t i;

	(void)thread;
	if (content_type_open(&ct) < 0)
		return;
	while ((i = atomic_fetch_add(&l->next, 1)) < l->lf->count) {
		int n = front_of(l->lf, &l->lf->list[i], front);

		content_type_get(ct, view_of(front, n < 0 ? 0 : (size_t)n),
				 &kind);
		if (n < 0) {
			snprintf(kind.type, sizeof(kind.type), "unreadable");
			kind.ext[0] = '\0';
		}
		l->lf->list[i].kind = number_of_kind(l, &kind);
	}
}

static int sort_by_kind(struct lost_found *lf)
{
	mb_auto(crew_free) struct crew *crew = NULL;
	struct looking l = { .lf = lf, .lock = PTHREAD_MUTEX_INITIALIZER };

	/* number 0 is there for what cannot be looked into at all */
	lf->kind_count = 1;
	snprintf(lf->kinds[0].type, sizeof(lf->kinds[0].type), "%s",
		 lf->encrypted ? LOST_ENCRYPTED : "application-octet-stream");
	if (!lf->encrypted) {
		snprintf(lf->kinds[0].ext, sizeof(lf->kinds[0].ext), "bin");
		if (crew_open(&crew) < 0)
			return -ENOMEM;
		crew_each(crew, 2, 2, look, &l);
	}
	lf->sorted = true;
	return 0;
}

#define SAMPLE 64

int lost_found_seems_encrypted(struct lost_found *lf)
{
	mb_auto(content_type_free) struct content_type *ct = NULL;
	size_t step = lf->count / SAMPLE + 1;
	size_t seen = 0, blocks = 0, unknown = 0;

	if (content_type_open(&ct) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < lf->count; i += step) {
		uint8_t front[CONTENT_FRONT_LEN];
		struct payload_place place;
		struct content_kind kind;
		char id[2 * SHA1_LEN + 1];
		int n;

		hex_encode(id, lf->list[i].id, SHA1_LEN);
		if (payload_locate(&place, &lf->places, id) < 0 ||
		    !place.stored_len)
			continue;
		n = front_of(lf, &lf->list[i], front);
		if (n <= 0)
			continue;
		content_type_get(ct, view_of(front, (size_t)n), &kind);
		seen++;
		blocks += place.stored_len % BLOCK_LEN == 0;
		unknown += !strcmp(kind.type, "application-octet-stream");
	}
	/*
	 * Of ciphertext there are only whole blocks, unless it is cut off, and
	 * it looks like nothing, unless by chance.
	 */
	return seen && blocks * 4 >= seen * 3 && unknown * 4 >= seen * 3;
}

/* ---- as entries ---- */

static size_t path_of(const struct lost_found *lf, const struct lost *lost,
		      char *out, size_t size)
{
	const struct content_kind *kind = &lf->kinds[lost->kind];
	char id[2 * SHA1_LEN + 1];

	hex_encode(id, lost->id, SHA1_LEN);
	return (size_t)snprintf(out, size, "%s/%s%s%s", kind->type, id,
				*kind->ext ? "." : "", kind->ext);
}

#define PATH_LEN (CONTENT_TYPE_MAX + 2 * SHA1_LEN + CONTENT_EXT_MAX + 3)

static int make_sorted(struct lost_found *lf, struct mb_err *err)
{
	int rc = 0;

	pthread_mutex_lock(&lf->lock);
	if (!lf->sorted)
		rc = sort_by_kind(lf);
	pthread_mutex_unlock(&lf->lock);
	return rc < 0 ? mb_err_set(err, rc, "out of memory") : 0;
}

int lost_found_scan(struct lost_found *lf, bool sizes,
		    manifest_each_entry *each, void *arg, struct mb_err *err)
{
	int rc = make_sorted(lf, err);

	for (size_t i = 0; i < lf->count && rc == 0; i++) {
		struct manifest_entry entry = { .handle = (int64_t)i,
						.type = MB_FILE };
		struct payload_place place;
		char path[PATH_LEN], id[2 * SHA1_LEN + 1];

		entry.path =
			(struct mb_slice){ path, path_of(lf, &lf->list[i], path,
							 sizeof(path)) };
		hex_encode(id, lf->list[i].id, SHA1_LEN);
		if (sizes && payload_locate(&place, &lf->places, id) == 0)
			entry.size = place.stored_len;
		rc = each(arg, &entry);
	}
	return rc;
}

int lost_found_get(struct lost_found *lf, int64_t handle, struct mb_record *rec,
		   struct mb_err *err)
{
	struct payload_place place;
	const struct lost *lost;
	char path[PATH_LEN];
	struct stat st;
	size_t len;
	int rc = make_sorted(lf, err);

	if (rc < 0)
		return rc;
	if (handle < 0 || (uint64_t)handle >= lf->count)
		return mb_err_set(err, -ENOENT, "%s: no such entry",
				  LOST_DOMAIN);
	lost = &lf->list[handle];
	len = path_of(lf, lost, path, sizeof(path));
	if (record_reset(rec, strlen(LOST_DOMAIN) + len) < 0 ||
	    record_keep(rec, &rec->domain, LOST_DOMAIN, strlen(LOST_DOMAIN)) ||
	    record_keep(rec, &rec->path, path, len))
		return mb_err_set(err, -ENOMEM, "out of memory");
	hex_encode(rec->file_id, lost->id, SHA1_LEN);
	rec->type = MB_FILE;
	rec->mode = S_IFREG | 0644;
	rec->as_stored = true;
	/* nothing is recorded: the times are those of the stored file */
	if (payload_locate(&place, &lf->places, rec->file_id) == 0 &&
	    beneath_stat(place.dir_fd, place.path, &st) == 0) {
		rec->size = st.st_size;
		rec->mtime = rec->ctime = rec->birth = st.st_mtim;
		rec->inode = st.st_ino;
	}
	return 0;
}
