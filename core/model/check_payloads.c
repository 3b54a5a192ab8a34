/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The payloads, read by two threads. Each takes the next one, in the order of
 * IDs, which is that of the folders. A large one without a digest, whose
 * pieces need not come in order, is read by both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check_inside.h"
#include "crew.h"
#include "record.h"

#define PIECE_LEN (INT64_C(16) << 20)
#define LARGE_LEN (4 * PIECE_LEN)
#define MARK_S 3
/* damaged ones that are remembered; behind them the mark stays */
#define FOUND_MAX 20000
#define WORKERS 2
#define NONE SIZE_MAX

/* A payload that is read in pieces; it is its first reader's. */
struct large {
	struct payload *payload;
	int64_t next, end; /* not taken yet; bytes of plaintext */
	unsigned open;	   /* pieces that are taken and not read yet */
	int rc;
};

struct reading {
	struct check *c;
	struct mb_err *err;

	/* from here on under the lock */
	pthread_mutex_t lock;
	pthread_cond_t piece_read;
	size_t next;
	size_t busy[WORKERS]; /* the items that are being read, or NONE */
	unsigned workers;     /* started */
	struct large *large;
	int rc;

	uint8_t *chosen; /* a bit for each item; NULL: all */
	uint64_t seed;
	size_t start; /* where it goes on */
	uint8_t (*found)[SHA1_LEN];
	size_t found_count, found_cap;
	size_t frozen; /* the mark goes no further */
	time_t marked;
};

/* --- which ones ----------------------------------------------------------- */

static bool is_candidate(const struct check *c, const struct check_item *item)
{
	return (item->bits & ITEM_READ) &&
	       (c->wish->level == MB_CHECK_CONTENT ||
		(item->bits & ITEM_DIGEST));
}

static bool is_chosen(const struct reading *r, size_t i)
{
	return is_candidate(r->c, &r->c->items[i]) &&
	       (!r->chosen || r->chosen[i / 8] >> i % 8 & 1);
}

static int64_t stored_len_of(const struct check *c,
			     const struct check_item *item)
{
	struct payload_place place;
	char id[2 * SHA1_LEN + 1];

	hex_encode(id, item->id, sizeof(item->id));
	return payload_locate(&place, &c->b->places, id) == 0 ?
		       place.stored_len :
		       0;
}

/* splitmix64: what is drawn has to be the same again, nothing more */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t sample_files(const struct mb_check_sample *s, size_t all)
{
	uint64_t n = s->amount;

	if (s->of == MB_SAMPLE_BYTES)
		return all;
	if (s->of == MB_SAMPLE_PART)
		n = (uint64_t)(s->part * (double)all + 0.999999);
	return n > all ? all : n;
}

/* Some of the candidates, drawn one after the other until it is enough. */
static int draw_sample(struct reading *r, uint32_t *list, size_t all)
{
	const struct mb_check_sample *s = &r->c->wish->sample;
	uint64_t state = r->seed, wanted = sample_files(s, all), bytes = 0;

	for (size_t i = 0; i < wanted; i++) {
		size_t at = i + (size_t)(draw(&state) % (all - i));
		uint32_t item = list[at];

		list[at] = list[i];
		r->chosen[item / 8] |= (uint8_t)(1 << item % 8);
		if (s->of != MB_SAMPLE_BYTES)
			continue;
		if (check_cancelled(r->c))
			return -ECANCELED;
		bytes += (uint64_t)stored_len_of(r->c, &r->c->items[item]);
		if (bytes >= s->amount)
			break;
	}
	return 0;
}

static int choose(struct reading *r)
{
	struct check *c = r->c;
	size_t all = 0;
	uint32_t *list;
	int rc;

	if (c->wish->sample.of == MB_SAMPLE_ALL)
		return 0;
	if (c->count > UINT32_MAX)
		return -E2BIG;
	list = malloc((c->count + 1) * sizeof(*list));
	r->chosen = calloc(c->count / 8 + 1, 1);
	if (!list || !r->chosen) {
		free(list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->count; i++)
		if (is_candidate(c, &c->items[i]))
			list[all++] = (uint32_t)i;
	rc = draw_sample(r, list, all);
	free(list);
	return rc;
}

static int count_chosen(struct reading *r)
{
	struct check *c = r->c;
	bool all = !r->chosen && c->wish->level == MB_CHECK_CONTENT;

	/* what has been measured already */
	if (all)
		c->counts->chosen_bytes = c->counts->payload_bytes;
	for (size_t i = 0; i < c->count; i++) {
		if (!is_chosen(r, i))
			continue;
		atomic_fetch_add(&c->counts->chosen, 1);
		if (all)
			continue;
		if (check_cancelled(c))
			return -ECANCELED;
		atomic_fetch_add(&c->counts->chosen_bytes,
				 (uint64_t)stored_len_of(c, &c->items[i]));
	}
	return 0;
}

/* --- how far it is -------------------------------------------------------- */

static int add_found(struct reading *r, const uint8_t id[SHA1_LEN])
{
	if (r->found_count == r->found_cap) {
		size_t cap = r->found_cap ? 2 * r->found_cap : 64;
		void *found = reallocarray(r->found, cap, sizeof(*r->found));

		if (!found)
			return -ENOMEM;
		r->found = found;
		r->found_cap = cap;
	}
	memcpy(r->found[r->found_count++], id, SHA1_LEN);
	return 0;
}

/* Everything before it has been read. */
static size_t done_up_to(const struct reading *r)
{
	size_t done = r->next;

	for (unsigned i = 0; i < WORKERS; i++)
		if (r->busy[i] < done)
			done = r->busy[i];
	if (done > r->frozen)
		done = r->frozen;
	return done > r->start ? done : r->start;
}

static void set_mark(struct reading *r)
{
	const struct mb_check_counts *n = r->c->counts;
	struct mb_check_mark mark = {
		.done = done_up_to(r),
		.seed = r->seed,
		.found = (const uint8_t(*)[20])r->found,
		.found_count = r->found_count,
		.read = n->read,
		.read_bytes = n->read_bytes,
		.digests = n->digests,
		.without_digest = n->without_digest,
		.databases = n->databases,
		.unjudged_databases = n->unjudged_databases,
		.locked = n->locked,
	};

	if (!r->c->wish->mark)
		return;
	pthread_mutex_lock(&r->c->lock);
	r->c->wish->mark(r->c->wish->arg, &mark);
	pthread_mutex_unlock(&r->c->lock);
	r->marked = time(NULL);
}

/* What was found before is looked at once more, so that it is said again. */
static int go_on(struct reading *r)
{
	const struct mb_check_mark *from = r->c->wish->from;
	struct mb_check_counts *n = r->c->counts;

	if (!from || from->done > r->c->count)
		return 0;
	r->start = (size_t)from->done;
	for (size_t i = 0; i < from->found_count; i++) {
		size_t at, end;

		check_items_range(r->c, from->found[i], &at, &end);
		for (; at < end; at++)
			if (r->c->items[at].bits & ITEM_READ)
				r->c->items[at].bits |= ITEM_AGAIN;
		if (add_found(r, from->found[i]) < 0)
			return -ENOMEM;
	}
	n->read = from->read;
	n->read_bytes = from->read_bytes;
	n->digests = from->digests;
	n->without_digest = from->without_digest;
	n->databases = from->databases;
	n->unjudged_databases = from->unjudged_databases;
	n->locked = from->locked;
	return 0;
}

/* --- reading -------------------------------------------------------------- */

static int read_range(struct check_reading *r, struct payload *p, int64_t off,
		      int64_t end)
{
	while (off < end) {
		size_t want = end - off < CHECK_BUF_LEN ? (size_t)(end - off) :
							  CHECK_BUF_LEN;
		ssize_t n = payload_pread(p, r->buf, want, off);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		if (check_cancelled(r->c))
			return -ECANCELED;
		off += n;
	}
	return 0;
}

/* Read pieces of it as long as there are any; called and left locked. */
static void read_pieces(struct reading *w, struct check_reading *r,
			struct large *large)
{
	while (large->next < large->end && !large->rc) {
		int64_t off = large->next, end = off + PIECE_LEN;
		int rc;

		if (end > large->end)
			end = large->end;
		large->next = end;
		large->open++;
		pthread_mutex_unlock(&w->lock);
		rc = read_range(r, large->payload, off, end);
		pthread_mutex_lock(&w->lock);
		if (rc < 0 && !large->rc)
			large->rc = rc;
		if (!--large->open)
			pthread_cond_broadcast(&w->piece_read);
	}
}

static int read_large(struct reading *w, struct check_reading *r,
		      struct payload *p, int64_t end)
{
	struct large large = { .payload = p, .end = end };

	pthread_mutex_lock(&w->lock);
	if (w->large) { /* the other thread has one */
		pthread_mutex_unlock(&w->lock);
		return read_range(r, p, 0, end);
	}
	w->large = &large;
	read_pieces(w, r, &large);
	while (large.open)
		pthread_cond_wait(&w->piece_read, &w->lock);
	w->large = NULL;
	pthread_mutex_unlock(&w->lock);
	return large.rc;
}

/* All that is to be known of one payload; 1 if it is damaged. */
static int check_content(struct reading *w, struct check_reading *r,
			 const struct mb_record *rec, bool sure)
{
	mb_auto(payload_free) struct payload *p = NULL;
	bool keyed = check_is_keyed(r->c, rec), damaged = false;
	struct mb_err err;
	int64_t size, end;
	int rc;

	if (keyed && !check_has_keys(r->c)) {
		atomic_fetch_add(&r->c->counts->locked, 1);
		return 0;
	}
	rc = check_open_payload(r->c, rec, keyed, &p, &err);
	if (rc == -ENOKEY && r->c->keys_damaged) {
		atomic_fetch_add(&r->c->counts->locked, 1);
		return 0; /* the key bag has been named */
	}
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		check_say(r->c,
			  rc == -ENOKEY || rc == -EBADMSG ?
				  CHECK_FINDING(CONTENT, "key") :
				  CHECK_FINDING(CONTENT, "payload"),
			  rec, NULL, "%s", err.text);
		return 1;
	}
	end = payload_stored_len(p);
	if (keyed)
		end -= end % BLOCK_LEN;
	rc = end >= LARGE_LEN && !sure ? read_large(w, r, p, end) :
					 read_range(r, p, 0, end);
	if (rc == -ECANCELED)
		return rc;
	if (rc < 0) {
		check_say(r->c, CHECK_FINDING(CONTENT, "payload"), rec, NULL,
			  "cannot be read: %s", strerror(-rc));
		return 1;
	}
	if (!check_end(r, rec, p, keyed, sure, &size))
		return 1;
	rc = check_inside(r, rec, p, size, &damaged);
	return rc < 0 ? rc : damaged;
}

/* 1 if it is damaged */
static int check_one(struct reading *w, struct check_reading *r,
		     const struct check_item *item)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	mb_auto(payload_free) struct payload *stored = NULL;
	struct mb_check_counts *n = r->c->counts;
	struct mb_err err;
	int rc, fits = 0;

	rc = manifest_audit_get(r->c->audit, item->handle, &rec, &err);
	if (rc < 0)
		return mb_err_set(w->err, rc, "%s", err.text);
	rc = check_open_payload(r->c, &rec, false, &stored, &err);
	if (rc == -ENOENT && !rec.size)
		return 0;
	if (rc < 0) {
		check_say(r->c, CHECK_FINDING(STORED, "payload"), &rec, NULL,
			  "%s", err.text);
		return 1;
	}
	if (rec.digest_len) {
		fits = check_digest(r, &rec, stored);
		if (fits < 0)
			return fits;
		if (!(item->bits & ITEM_AGAIN))
			atomic_fetch_add(&n->digests, 1);
	} else if (!(item->bits & ITEM_AGAIN)) {
		atomic_fetch_add(&n->without_digest, 1);
	}
	rc = rec.digest_len && !fits;
	if (rc == 0 && r->c->wish->level == MB_CHECK_CONTENT)
		rc = check_content(w, r, &rec, fits == 1);
	if (rc >= 0 && !(item->bits & ITEM_AGAIN)) {
		atomic_fetch_add(&n->read, 1);
		atomic_fetch_add(&n->read_bytes,
				 (uint64_t)payload_stored_len(stored));
	}
	return rc;
}

/* --- two threads ---------------------------------------------------------- */

static size_t next_item(struct reading *w)
{
	const struct check *c = w->c;

	while (w->next < c->count) {
		size_t i = w->next++;

		if (i < w->start ? c->items[i].bits & ITEM_AGAIN :
				   is_chosen(w, i))
			return i;
	}
	return NONE;
}

/* What became of one; locked. */
static void settle(struct reading *w, size_t i, int rc)
{
	struct check_item *item = &w->c->items[i];

	if (rc < 0) {
		if (!w->rc)
			w->rc = rc;
		if (w->frozen > i)
			w->frozen = i;
		return;
	}
	if (rc && !(item->bits & ITEM_AGAIN)) {
		if (w->found_count >= FOUND_MAX || add_found(w, item->id) < 0)
			w->frozen = i < w->frozen ? i : w->frozen;
	}
	if (time(NULL) - w->marked >= MARK_S)
		set_mark(w);
}

static void work(void *arg, size_t number)
{
	struct reading *w = arg;
	struct check_reading r = { .c = w->c };

	(void)number;
	r.buf = malloc(CHECK_BUF_LEN);
	pthread_mutex_lock(&w->lock);
	number = w->workers++;
	if (!r.buf && !w->rc)
		w->rc = -ENOMEM;
	while (!w->rc) {
		size_t i;
		int rc;

		if (check_cancelled(w->c)) {
			w->rc = -ECANCELED;
			break;
		}
		if (w->large)
			read_pieces(w, &r, w->large);
		i = next_item(w);
		if (i == NONE)
			break;
		w->busy[number] = i;
		pthread_mutex_unlock(&w->lock);
		rc = check_one(w, &r, &w->c->items[i]);
		pthread_mutex_lock(&w->lock);
		settle(w, i, rc);
		w->busy[number] = NONE;
	}
	pthread_mutex_unlock(&w->lock);
	/* plaintext was in it */
	if (r.buf)
		crypto_wipe(r.buf, CHECK_BUF_LEN);
	free(r.buf);
}

static int read_all(struct reading *w)
{
	mb_auto(crew_free) struct crew *crew = NULL;
	int rc = crew_open(&crew);

	if (rc < 0)
		return rc;
	crew_each(crew, WORKERS, WORKERS, work, w);
	pthread_mutex_lock(&w->lock);
	if (w->rc < 0)
		set_mark(w);
	pthread_mutex_unlock(&w->lock);
	return w->rc;
}

int check_payloads(struct check *c, struct mb_err *err)
{
	struct reading w = {
		.c = c,
		.err = err,
		.busy = { NONE, NONE },
		.frozen = NONE,
		.marked = time(NULL),
	};
	int rc;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.piece_read, NULL);
	rc = crypto_random(&w.seed, sizeof(w.seed));
	if (c->wish->from)
		w.seed = c->wish->from->seed;
	if (rc == 0)
		rc = go_on(&w);
	if (rc == 0)
		rc = choose(&w);
	if (rc == 0)
		rc = count_chosen(&w);
	if (rc == 0) {
		mb_err_set(err, 0, "%s", "");
		rc = read_all(&w);
	}
	if (rc < 0 && (!err->text[0] || err->code != rc))
		mb_err_set(err, rc, "%s", strerror(-rc));
	pthread_cond_destroy(&w.piece_read);
	pthread_mutex_destroy(&w.lock);
	free(w.found);
	free(w.chosen);
	return rc;
}
