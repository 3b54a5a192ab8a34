/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both cores: each takes the next entry when it is done with one. A large file
 * is taken in pieces, so that the last one does not keep a single core busy.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crew.h"
#include "extract_target.h"

#define LARGE ((int64_t)32 << 20)
#define PIECE ((int64_t)8 << 20)

struct job {
	enum { JOB_COUNT, JOB_ENTRY, JOB_PIECE } kind;
	struct extract_folder *folder;
	uint32_t node;
	struct extract_target *large;
	int64_t off;
};

struct filling {
	struct extract *x;
	struct extract_dest *dest;
	struct extract_walk walk;
	struct extract_hand hands[2];
	dev_t backup_dev;
	ino_t backup_ino;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* under the lock */
	unsigned busy; /* hands */
	bool counting;
	struct extract_target *large;
	int rc; /* what ends everything */
	struct mb_err *err;
};

MB_DEFINE_AUTO_VALUE(struct mb_record, mb_record_release)

/* Not this entry's fault: the next one would meet it as well. */
static bool ends_all(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EIO || rc == -EROFS ||
	       rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM ||
	       rc == -ESTALE || rc == -ECANCELED || rc == -ENODEV;
}

static int stop(struct filling *f, int rc)
{
	if (f->rc < 0)
		return f->rc;
	f->rc = rc;
	if (rc == -ECANCELED)
		return mb_err_set(
			f->err, rc,
			"cancelled: the same command goes on from here");
	if (rc == -ENOSPC || rc == -EDQUOT)
		return mb_err_set(
			f->err, rc,
			"%s: %s; with more room, the same command goes on from here",
			f->dest->path, strerror(-rc));
	return mb_err_set(f->err, rc, "%s: %s", f->dest->path, strerror(-rc));
}

static const char *reason_of(int rc)
{
	switch (rc) {
	case -EEXIST:
		return _("something is there already");
	case -EISDIR:
		return _("a folder is in its place");
	case -ENOTDIR:
	case -ELOOP:
		return _("something else is where the folder is to be");
	default:
		return strerror(-rc);
	}
}

/* --- folders (under the lock) -------------------------------------------- */

static int make_folder(const struct filling *f, struct extract_folder *folder,
		       const char *name)
{
	int at = folder->above->fd;
	struct stat st;

	for (int attempt = 0;; attempt++) {
		if (mkdirat(at, name, folder->mode | 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (S_ISDIR(st.st_mode)) {
			folder->existed = true;
			return 0;
		}
		if (!f->x->wish.overwrite || attempt ||
		    (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)))
			return -ENOTDIR;
		if (unlinkat(at, name, 0) < 0)
			return -errno;
	}
}

/* A folder of ours that was done, and may not be entered as it is. */
static int open_closed(int at, const char *name)
{
	mb_auto(close) int fd =
		openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[64];
	struct stat st;
	int opened;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, (st.st_mode & 0777) | 0700) < 0)
		return -errno;
	opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

static int enter_folder(const struct filling *f, struct extract_folder *folder,
			const char *name)
{
	int rc;

	if (!folder->above->above && !strcmp(name, EXTRACT_WORK))
		return -EEXIST;
	rc = make_folder(f, folder, name);
	if (rc < 0)
		return rc;
	folder->fd = openat(folder->above->fd, name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder->fd < 0 && errno != EACCES)
		return -errno;
	if (folder->fd < 0)
		folder->fd = f->dest->resumed ?
				     open_closed(folder->above->fd, name) :
				     -EACCES;
	return folder->fd < 0 ? folder->fd : 0;
}

/* The backup may be in the folder that is extracted into. */
static int keep_out(const struct filling *f, struct extract_folder *folder)
{
	struct stat st;

	if (!folder->existed)
		return 0;
	if (fstat(folder->fd, &st) < 0)
		return -errno;
	if (st.st_dev == f->backup_dev && st.st_ino == f->backup_ino)
		return -EPERM;
	if (f->dest->resumed && (st.st_mode & 0700) != 0700)
		fchmod(folder->fd, (st.st_mode & 0777) | 0700);
	return 0;
}

static int look_up_folder(struct filling *f, struct extract_folder *folder,
			  struct mb_record *rec, struct mb_err *err)
{
	struct mb_stat st = { 0 };
	int rc = 0;

	/* to tell what a folder without a record is called costs its depth */
	folder->made_up = mb_tree_is_made_up(f->x->tree, folder->node);
	if (!folder->made_up)
		rc = mb_tree_record(f->x->tree, folder->node, rec, err);
	if (!folder->made_up && rc == 0) {
		folder->mode = EXTRACT_MODE(rec->mode);
		folder->mtime = rec->mtime;
		return 0;
	}
	folder->made_up = true;
	folder->mode = 0755;
	if (rc == 0 && mb_tree_stat(f->x->tree, folder->node, &st, NULL) == 0)
		folder->mtime = st.mtime;
	return rc;
}

static int open_folder(void *arg, struct extract_folder *folder,
		       const char *name, struct mb_err *err)
{
	mb_auto(mb_record_release) struct mb_record rec = { 0 };
	struct filling *f = arg;
	struct mb_err why;
	int rc;

	(void)err;
	if (look_up_folder(f, folder, &rec, &why) < 0 || rec.damage)
		extract_damaged(f->x, folder->node,
				rec.damage ? rec.damage : why.text);
	rc = enter_folder(f, folder, name);
	if (rc == 0)
		rc = keep_out(f, folder);
	if (rc < 0 && folder->fd >= 0)
		close(folder->fd);
	if (rc < 0 && ends_all(rc))
		return stop(f, rc);
	if (rc < 0) {
		extract_failed(f->x, folder->node,
			       rc == -EPERM && folder->existed ?
				       _("this is the backup itself") :
				       reason_of(rc));
		return 1;
	}
	if (!folder->made_up)
		extract_attributes(f->x, &rec, folder->fd, folder->node);
	f->x->counts.folders++;
	return 0;
}

static void folder_done(void *arg, struct extract_folder *folder)
{
	const struct timespec times[2] = { folder->mtime, folder->mtime };
	const struct filling *f = arg;

	/* unfinished, it stays open to a run that goes on; and not DEST itself */
	if (f->rc < 0 || extract_is_stopped() || !folder->above)
		return;
	if (folder->existed || (folder->mode & 0700) != 0700)
		fchmod(folder->fd, folder->mode);
	futimens(folder->fd, times);
}

static void folder_lost(void *arg, uint32_t node, const char *why)
{
	struct filling *f = arg;

	extract_damaged(f->x, node, why);
}

/* --- entries ------------------------------------------------------------- */

/* Has a file come to its end? Says so; what of it is lost was said. */
static int end_file(struct extract_target *t, int rc)
{
	struct extract_counts *n = &t->x->counts;
	struct mb_err line;
	bool fatal;
	const char *damage;

	rc = extract_target_end(t, rc);
	if (rc < 0)
		return rc;
	n->files++;
	if (t->good < t->size) {
		damage = mb_reader_get_damage(t->reader, &fatal);
		mb_err_set(&line, 0,
			   "%s: the first %lld of %lld bytes are kept",
			   damage ? damage : _("cannot be read"),
			   (long long)t->good, (long long)t->size);
		extract_damaged(t->x, t->node, line.text);
	}
	return 0;
}

/* Hand it over to both threads; it is theirs then. */
static int share_out(struct filling *f, const struct extract_target *t)
{
	struct extract_target *large = malloc(sizeof(*large));

	if (!large)
		return -ENOMEM;
	memcpy(large, t, sizeof(*large));
	pthread_mutex_lock(&f->lock);
	large->folder->jobs++;
	large->others = f->large;
	f->large = large;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int make_file(struct filling *f, struct extract_hand *h,
		     struct extract_target *t)
{
	bool plain = mb_reader_get_plain_fd(t->reader) >= 0;
	int rc = extract_target_file(h, t);

	if (rc > 0) {
		t->x->counts.kept++;
		t->x->counts.kept_bytes += (uint64_t)t->size;
		return 0;
	}
	if (rc < 0)
		return rc;
	extract_attributes(t->x, &h->rec, t->fd, t->node);
	if (t->size >= LARGE && plain &&
	    share_reflink(&h->sharing, mb_reader_get_plain_fd(t->reader),
			  t->fd) == 0) {
		t->x->counts.bytes += (uint64_t)t->size;
		return end_file(t, 0);
	}
	if (t->size >= LARGE && share_out(f, t) == 0) {
		t->reader = NULL; /* the other's */
		return 0;
	}
	return end_file(t, extract_target_fill(h, t, 0, t->size));
}

static int extract_file(struct filling *f, struct extract_hand *h,
			struct extract_target *t)
{
	int rc = extract_open(f->x, t->node, &h->rec, &t->reader);

	if (rc)
		return rc < 0 ? rc : 0;
	t->size = mb_reader_get_size(t->reader);
	t->good = t->size;
	rc = make_file(f, h, t);
	mb_reader_free(t->reader);
	return rc;
}

static int extract_link(struct extract_hand *h, struct extract_target *t)
{
	struct mb_slice to = h->rec.target;
	mb_auto(free) char *text = strndup(to.len ? to.ptr : "", to.len);
	int rc;

	if (!text)
		return -ENOMEM;
	if (!to.len || strlen(text) != to.len) {
		extract_damaged(h->x, t->node,
				h->rec.damage ? h->rec.damage :
						_("a link without a target"));
		return 0;
	}
	rc = extract_target_link(h, t, text);
	if (rc > 0)
		h->x->counts.kept++;
	else if (rc == 0)
		h->x->counts.links++;
	return rc < 0 ? rc : 0;
}

static int extract_entry(struct filling *f, struct extract_hand *h,
			 const struct job *job)
{
	struct extract *x = f->x;
	struct extract_target t = {
		.x = x,
		.dest = f->dest,
		.folder = job->folder,
		.node = job->node,
		.name = mb_tree_get_name(x->tree, job->node),
		.fd = -1,
	};
	struct mb_err why;
	int rc = mb_tree_record(x->tree, job->node, &h->rec, &why);

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		extract_damaged(x, job->node, why.text);
		return 0;
	}
	t.mtime = h->rec.mtime;
	rc = mb_tree_get_type(x->tree, job->node) == MB_LINK ?
		     extract_link(h, &t) :
		     extract_file(f, h, &t);
	if (rc < 0 && !ends_all(rc)) {
		extract_failed(x, job->node, reason_of(rc));
		return 0;
	}
	return rc;
}

/* --- jobs ---------------------------------------------------------------- */

/*
 * How much it is all together takes a while to find out: only when it has
 * become clear that somebody will want to know how far it is.
 */
#define COUNT_AFTER_S 1.5

static bool take_count(struct filling *f, struct job *job)
{
	struct extract *x = f->x;

	if (f->counting || x->common.quiet || x->plan.counted ||
	    progress_seconds(x->work.progress) < COUNT_AFTER_S)
		return false;
	f->counting = true;
	job->kind = JOB_COUNT;
	return true;
}

/* Is there nothing more to be asked for? Not behind damage or an error. */
static bool is_handed_out(const struct extract_target *t)
{
	return t->next >= t->size || t->good < t->next || t->rc < 0;
}

static bool take_piece(struct filling *f, struct job *job)
{
	for (struct extract_target *t = f->large; t; t = t->others) {
		if (is_handed_out(t))
			continue;
		*job = (struct job){ .kind = JOB_PIECE,
				     .large = t,
				     .off = t->next };
		t->next += PIECE;
		t->pieces++;
		return true;
	}
	return false;
}

static bool take_entry(struct filling *f, struct job *job)
{
	int rc = extract_walk_next(&f->walk, &job->folder, &job->node, f->err);

	job->kind = JOB_ENTRY;
	if (rc < 0)
		f->rc = rc;
	return rc > 0;
}

/* The next job, also one that the other thread may yet come upon. */
static bool take(struct filling *f, struct job *job)
{
	bool taken = false;

	pthread_mutex_lock(&f->lock);
	while (f->rc == 0 && !extract_is_stopped()) {
		taken = take_count(f, job) || take_piece(f, job) ||
			take_entry(f, job);
		if (taken || !f->busy)
			break;
		pthread_cond_wait(&f->changed, &f->lock);
	}
	if (taken)
		f->busy++;
	pthread_mutex_unlock(&f->lock);
	return taken;
}

static bool is_last_piece(struct filling *f, struct extract_target *t)
{
	return !t->pieces &&
	       (is_handed_out(t) || f->rc < 0 || extract_is_stopped());
}

/* Under the lock, which is given up for the end of a large file. */
static void end_large(struct filling *f, struct extract_target *t)
{
	struct extract_target **at = &f->large;
	int rc = f->rc < 0 ? f->rc : t->rc;

	while (*at != t)
		at = &(*at)->others;
	*at = t->others;
	/* what was not asked for is not there */
	if (rc == 0 && !is_handed_out(t))
		rc = -ECANCELED;
	pthread_mutex_unlock(&f->lock);
	rc = end_file(t, rc);
	mb_reader_free(t->reader);
	pthread_mutex_lock(&f->lock);
	if (rc < 0 && ends_all(rc))
		stop(f, rc);
	else if (rc < 0)
		extract_failed(f->x, t->node, reason_of(rc));
	extract_walk_release(&f->walk, t->folder);
	free(t);
}

static void finish_piece(struct filling *f, struct extract_target *t, int rc)
{
	if (rc < 0 && !t->rc)
		t->rc = rc; /* no more of it then */
	t->pieces--;
	if (is_last_piece(f, t))
		end_large(f, t);
}

static void finish(struct filling *f, const struct job *job, int rc)
{
	pthread_mutex_lock(&f->lock);
	if (rc < 0 && ends_all(rc))
		stop(f, rc);
	if (job->kind == JOB_ENTRY)
		extract_walk_release(&f->walk, job->folder);
	else if (job->kind == JOB_PIECE)
		finish_piece(f, job->large, rc);
	f->busy--;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int fill_piece(struct extract_hand *h, const struct job *job)
{
	int64_t left = job->large->size - job->off;

	return extract_target_fill(h, job->large, job->off,
				   left < PIECE ? left : PIECE);
}

static void work(void *arg, size_t i)
{
	struct filling *f = arg;
	struct extract_hand *h = &f->hands[i];
	struct job job;

	while (take(f, &job)) {
		int rc = 0;

		if (job.kind == JOB_COUNT)
			extract_plan_count(&f->x->plan, f->x->backup);
		else if (job.kind == JOB_PIECE)
			rc = fill_piece(h, &job);
		else
			rc = extract_entry(f, h, &job);
		finish(f, &job, rc);
	}
}

/* After everything was stopped, none is at these any more. */
static void drop_large(struct filling *f)
{
	pthread_mutex_lock(&f->lock);
	while (f->large)
		end_large(f, f->large);
	pthread_mutex_unlock(&f->lock);
}

static int open_hands(struct filling *f)
{
	for (size_t i = 0; i < 2; i++) {
		struct extract_hand *h = &f->hands[i];

		h->x = f->x;
		h->dest = f->dest;
		h->sharing.how = SHARE_COPY;
		h->sharing.cancelled = extract_is_stopped;
		h->buf = malloc(EXTRACT_BUF);
		if (!h->buf)
			return -ENOMEM;
	}
	return 0;
}

static void close_hands(struct filling *f)
{
	for (size_t i = 0; i < 2; i++) {
		free(f->hands[i].buf);
		mb_record_release(&f->hands[i].rec);
	}
}

static int fill(struct filling *f, struct mb_err *err)
{
	mb_auto(crew_free) struct crew *crew = NULL;
	mode_t mask;
	int rc = extract_walk_begin(&f->walk, f->dest->fd, err);

	if (rc < 0)
		return rc;
	if (open_hands(f) < 0 || crew_open(&crew) < 0) {
		extract_walk_end(&f->walk);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	mask = umask(0); /* the recorded permissions, in one call */
	crew_each(crew, 2, 2, work, f);
	umask(mask);
	drop_large(f);
	extract_walk_end(&f->walk);
	return f->rc == 0 && extract_is_stopped() ? stop(f, -ECANCELED) : f->rc;
}

int extract_files(struct extract *x, struct extract_dest *dest,
		  struct mb_err *err)
{
	struct filling f = {
		.x = x,
		.dest = dest,
		.walk = { .tree = x->tree,
			  .plan = &x->plan,
			  .open = open_folder,
			  .done = folder_done,
			  .lost = folder_lost,
			  .arg = &f },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.err = err,
	};
	struct stat st;
	int rc;

	if (fstat(mb_backup_get_fd(x->backup), &st) < 0)
		return mb_err_set(err, -errno, "%s: %s", x->wish.backup,
				  strerror(errno));
	f.backup_dev = st.st_dev;
	f.backup_ino = st.st_ino;
	rc = fill(&f, err);
	close_hands(&f);
	return rc;
}
