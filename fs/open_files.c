/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "open_files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* As many stay open that nobody uses. */
#define UNUSED_MAX 128

#define BEING_OPENED 1

void open_files_init(struct open_files *files,
		     void (*close)(struct open_file *f, fuse_req_t req))
{
	*files = (struct open_files){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.opened = PTHREAD_COND_INITIALIZER,
		.close = close,
	};
}

static struct open_file **place_of(struct open_files *files, fuse_ino_t ino)
{
	struct open_file **f = &files->by_hash[ino % OPEN_FILES_HASH];

	while (*f && (*f)->ino != ino)
		f = &(*f)->next;
	return f;
}

static void leave_unused(struct open_files *files, struct open_file *f)
{
	*(f->older ? &f->older->newer : &files->oldest) = f->newer;
	*(f->newer ? &f->newer->older : &files->newest) = f->older;
	f->older = f->newer = NULL;
	files->unused--;
}

static void enter_unused(struct open_files *files, struct open_file *f)
{
	f->older = files->newest;
	f->newer = NULL;
	*(f->older ? &f->older->newer : &files->oldest) = f;
	files->newest = f;
	files->unused++;
}

static void file_free(struct open_files *files, struct open_file *f,
		      fuse_req_t req)
{
	if (!f)
		return;
	if (files->close)
		files->close(f, req);
	mb_reader_free(f->reader);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

/* The oldest of those that nobody uses, taken out if there are too many. */
static struct open_file *surplus(struct open_files *files, unsigned max)
{
	struct open_file *f = files->oldest;

	if (!f || files->unused <= max)
		return NULL;
	leave_unused(files, f);
	*place_of(files, f->ino) = f->next;
	return f;
}

/* Under the lock, which it gives up meanwhile. */
static struct open_file *add(struct open_files *files, fuse_ino_t ino,
			     int (*open)(void *arg, struct open_file *f),
			     void *arg)
{
	struct open_file *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return NULL;
	f->ino = ino;
	f->fd = -1;
	f->rc = BEING_OPENED;
	f->uses = 1;
	f->next = files->by_hash[ino % OPEN_FILES_HASH];
	files->by_hash[ino % OPEN_FILES_HASH] = f;
	pthread_mutex_unlock(&files->lock);
	rc = open(arg, f);
	pthread_mutex_lock(&files->lock);
	f->rc = rc;
	if (rc < 0) /* the next one tries again */
		*place_of(files, ino) = f->next;
	pthread_cond_broadcast(&files->opened);
	return f;
}

int open_files_use(struct open_files *files, fuse_ino_t ino,
		   int (*open)(void *arg, struct open_file *f), void *arg,
		   struct open_file **out)
{
	struct open_file *f;
	int rc;

	pthread_mutex_lock(&files->lock);
	f = *place_of(files, ino);
	if (!f) {
		f = add(files, ino, open, arg);
	} else {
		if (!f->uses++)
			leave_unused(files, f);
		while (f->rc == BEING_OPENED)
			pthread_cond_wait(&files->opened, &files->lock);
	}
	rc = f ? f->rc : -ENOMEM;
	if (f && rc < 0 && !--f->uses)
		file_free(files, f, NULL);
	pthread_mutex_unlock(&files->lock);
	*out = f;
	return rc;
}

void open_files_keep(struct open_files *files, struct open_file *f)
{
	pthread_mutex_lock(&files->lock);
	f->uses++;
	pthread_mutex_unlock(&files->lock);
}

void open_files_done(struct open_files *files, struct open_file *f,
		     fuse_req_t req)
{
	struct open_file *old = NULL;

	pthread_mutex_lock(&files->lock);
	if (!--f->uses) {
		enter_unused(files, f);
		old = surplus(files, UNUSED_MAX);
	}
	pthread_mutex_unlock(&files->lock);
	file_free(files, old, req);
}

unsigned open_files_count(struct open_files *files, struct open_file *f,
			  int more)
{
	unsigned opens;

	pthread_mutex_lock(&files->lock);
	f->opens += (unsigned)more;
	files->opens += (unsigned)more;
	opens = f->opens;
	pthread_mutex_unlock(&files->lock);
	return opens;
}

bool open_files_busy(struct open_files *files)
{
	bool busy;

	pthread_mutex_lock(&files->lock);
	busy = files->opens > 0;
	pthread_mutex_unlock(&files->lock);
	return busy;
}

/* One that nobody uses, taken out; or NULL. */
static struct open_file *take_unused(struct open_files *files,
				     const struct volume *v)
{
	struct open_file *f;

	pthread_mutex_lock(&files->lock);
	for (f = files->oldest; f && f->volume != v; f = f->newer)
		;
	if (f) {
		leave_unused(files, f);
		*place_of(files, f->ino) = f->next;
	}
	pthread_mutex_unlock(&files->lock);
	return f;
}

void open_files_forget(struct open_files *files, const struct volume *v,
		       fuse_req_t req)
{
	struct open_file *f;

	while ((f = take_unused(files, v)))
		file_free(files, f, req);
}

void open_files_close_all(struct open_files *files)
{
	files->close = NULL; /* all that is the kernel's is gone */
	for (unsigned i = 0; i < OPEN_FILES_HASH; i++)
		while (files->by_hash[i]) {
			struct open_file *f = files->by_hash[i];

			files->by_hash[i] = f->next;
			file_free(files, f, NULL);
		}
	/* whoever watches for idleness may be there to the end */
	pthread_mutex_lock(&files->lock);
	files->oldest = files->newest = NULL;
	files->unused = files->opens = 0;
	pthread_mutex_unlock(&files->lock);
}
