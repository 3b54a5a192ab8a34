/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ahead.h"
#include "beneath.h"
#include "log.h"
#include "open_ahead.h"
#include "ops.h"
#include "own_files.h"
#include "read_ahead.h"
#include "wakeful.h"

/* A file of one message: what is read first goes with the answer to open. */
#define SMALL_FILE OPEN_AHEAD_CONTENT

/* What is read past the page cache, and what a program should take at once. */
#define DIRECT_MIN (4 << 20)
#define DIRECT_BLOCK (1 << 20)

/* Who asks for no more at once reads here and there. */
#define SCATTERED (16 << 10)

/* A buffer for each thread: fresh memory costs more than decrypting into it. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

struct read_buffer {
	size_t size;
	char *bytes;
};

static void free_buffer(void *arg)
{
	struct read_buffer *b = arg;

	free(b->bytes);
	free(b);
}

static void make_buffer_key(void)
{
	pthread_key_create(&buffer_key, free_buffer);
}

char *data_pages(size_t size)
{
	return aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
}

char *data_buffer(size_t size)
{
	struct read_buffer *b;

	pthread_once(&buffer_once, make_buffer_key);
	b = pthread_getspecific(buffer_key);
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b || pthread_setspecific(buffer_key, b)) {
			free(b);
			return NULL;
		}
	}
	if (b->size >= size)
		return b->bytes;
	free(b->bytes);
	b->bytes = data_pages(size);
	b->size = b->bytes ? size : 0;
	return b->bytes;
}

/*
 * As much as was asked for, less only at the end or, with @cut set, before a
 * damage.
 */
static ssize_t read_entry(struct mb_reader *reader, char *out, size_t size,
			  off_t off, bool *cut)
{
	size_t got = 0;

	*cut = false;
	while (got < size) {
		ssize_t n = mb_reader_pread(reader, out + got, size - got,
					    off + (off_t)got);
		bool fatal;

		if (n < 0 && got && mb_reader_get_damage(reader, &fatal) &&
		    fatal) {
			*cut = true;
			break;
		}
		if (n < 0)
			return n;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static ssize_t read_file(struct open_file *f, void *out, size_t len,
			 int64_t off, bool *cut)
{
	*cut = false;
	return f->reader ? read_entry(f->reader, out, len, off, cut) :
			   pread_full(f->fd, out, len, off);
}

ssize_t data_read(struct open_file *f, void *out, size_t len, int64_t off)
{
	bool cut;
	ssize_t n = read_file(f, out, len, off, &cut);

	return cut ? -EIO : n;
}

/*
 * A file with damage is read past the page cache, so what is good before the
 * damage is given out and the next request meets the error. But what is for
 * the page cache, because the file is mapped or there is no message for an
 * open, the kernel takes for the whole of it if it is short: it fills the rest
 * with zeros and makes the file smaller for everyone. There it is an error,
 * and the kernel asks again page by page.
 */
static void reply(fuse_req_t req, struct open_file *f, size_t len, int64_t off,
		  bool cached)
{
	char *out = data_buffer(len);
	ssize_t n = -ENOMEM;
	bool cut = false;

	if (out)
		n = read_file(f, out, len, off, &cut);
	if (cut && cached)
		n = -EIO;
	if (n < 0 && f->reader)
		fs_report(f->volume, (uint32_t)f->ino, strerror((int)-n));
	if (n < 0)
		fuse_reply_err(req, fs_errno((int)n));
	else
		fuse_reply_buf(req, out, (size_t)n);
}

/* ---- opening ---- */

/*
 * Films and sound recordings are read from front to back in pieces that are
 * not small, once, by players and by who copies them. Past the page cache that
 * takes half the processor time. For whoever reads 4 KiB at a time it is
 * several times slower: so not pictures, whose readers do.
 */
static bool is_film(const char *name)
{
	static const char *const endings[] = {
		"mov", "mp4", "m4v", "3gp", "avi", "mkv", "mpg",
		"m4a", "m4b", "mp3", "wav", "caf", "aif", "aiff",
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(endings) / sizeof(*endings); i++)
		if (!strcasecmp(dot + 1, endings[i]))
			return true;
	return false;
}

static bool is_direct(struct mount *m, struct volume *v, uint32_t node,
		      int64_t size)
{
	return size >= DIRECT_MIN && is_film(mb_tree_get_name(v->tree, node)) &&
	       way_is_open(&m->ways, WAY_DIRECT);
}

blksize_t data_block_size(struct mount *m, struct volume *v, uint32_t node,
			  int64_t size)
{
	return is_direct(m, v, node, size) ? DIRECT_BLOCK : FS_BLOCK_SIZE;
}

/*
 * Whether the kernel lets us is only known when it has been asked. libfuse
 * prints its own line about a failure: it is asked once.
 */
static void pass_through(struct mount *m, fuse_req_t req, struct open_file *f)
{
#ifdef FUSE_CAP_PASSTHROUGH
	int fd = mb_reader_get_plain_fd(f->reader);

	if (fd < 0 || f->damaged || !way_is_open(&m->ways, WAY_PASSTHROUGH))
		return;
	f->backing = fuse_passthrough_open(req, fd);
	if (f->backing > 0) {
		way_works(&m->ways, WAY_PASSTHROUGH, "");
		return;
	}
	f->backing = 0;
	if (way_fails(&m->ways, WAY_PASSTHROUGH, strerror(errno)))
		log_line("files are read by messages: the kernel refused to "
			 "read them by itself: %s",
			 strerror(errno));
#else
	(void)m, (void)req, (void)f;
#endif
}

static void close_backing(struct open_file *f, fuse_req_t req)
{
#ifdef FUSE_CAP_PASSTHROUGH
	if (f->backing && req)
		fuse_passthrough_close(req, f->backing);
#else
	(void)f, (void)req;
#endif
}

bool data_store(struct mount *m, fuse_ino_t ino, char *content, size_t len)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(len);

	pages.buf[0].mem = content;
	if (fuse_lowlevel_notify_store(m->session, ino, 0, &pages, 0) < 0)
		return false;
	way_works(&m->ways, WAY_STORE_AT_OPEN, "");
	return true;
}

/*
 * Whoever opens a small file reads it, nearly always: its pages are there when
 * the answer to open is. Once for each file: from then on the kernel has them,
 * or asks. Before the first answer to open nobody can have asked, so this does
 * not wait for anything.
 */
static void store_at_open(struct mount *m, struct open_file *f,
			  const struct opened *ahead)
{
	char *out = (char *)ahead->content;

	if (!f->reader || f->direct || f->backing || !f->size ||
	    f->size > SMALL_FILE || !way_is_open(&m->ways, WAY_STORE_AT_OPEN) ||
	    !mb_tree_first_open(f->volume->tree, (uint32_t)f->ino))
		return;
	if (!out) {
		out = data_buffer(SMALL_FILE);
		if (!out || data_read(f, out, (size_t)f->size, 0) != f->size)
			return;
	}
	data_store(m, f->ino, out, (size_t)f->size);
}

static int open_own(struct open_file *f)
{
	struct stat st;

	f->fd = own_open(f->volume->backup, f->ino);
	if (f->fd < 0)
		return f->fd;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	f->size = st.st_size;
	return 0;
}

struct opening {
	struct mount *mount;
	fuse_req_t req;
};

/* How it is to be read. */
static void choose(struct mount *m, fuse_req_t req, struct open_file *f)
{
	const char *damage;

	f->size = mb_reader_get_size(f->reader);
	damage = mb_reader_get_damage(f->reader, &f->damaged);
	if (damage)
		fs_report(f->volume, (uint32_t)f->ino, damage);
	pass_through(m, req, f);
	/*
	 * Through the page cache an error takes the whole page with it; directly
	 * a reader gets every good byte up to the damage.
	 */
	f->direct = !f->backing &&
		    (f->damaged ||
		     is_direct(m, f->volume, (uint32_t)f->ino, f->size));
	f->ahead = !f->backing && !f->damaged &&
		   (f->direct || mb_reader_get_plain_fd(f->reader) < 0);
	if (f->direct && !f->damaged)
		way_works(&m->ways, WAY_DIRECT, "");
}

static int open_entry(void *arg, struct open_file *f)
{
	struct opening *o = arg;
	struct mount *m = o->mount;
	struct volume *v = fs_volume(m, f->ino);
	uint32_t node = (uint32_t)f->ino;
	struct opened ahead = { 0 };
	bool is_ahead;
	struct mb_err err;
	int rc = 0;

	f->volume = v;
	if (own_is(f->ino))
		return open_own(f);
	is_ahead = open_ahead_take(v->open_ahead, node, &ahead);
	if (is_ahead)
		f->reader = ahead.reader;
	else
		rc = mb_tree_open_file(v->tree, node, &f->reader, &err);
	if (rc < 0) {
		fs_report(v, node, err.text);
		return rc;
	}
	choose(m, o->req, f);
	if (!way_is_open(&m->ways, WAY_SILENT_OPEN))
		store_at_open(m, f, &ahead);
	if (is_ahead)
		open_ahead_done(v->open_ahead, node);
	return 0;
}

static int use_file(struct mount *m, fuse_req_t req, fuse_ino_t ino,
		    struct open_file **f)
{
	struct opening o = { m, req };

	if (!atomic_exchange(&m->opened, true))
		read_ahead_raise(m);
	return open_files_use(&m->files, ino, open_entry, &o, f);
}

void data_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fs_mount(req);
	struct open_file *f;
	int rc;

	if (way_is_open(&m->ways, WAY_SILENT_OPEN)) {
		/* never to be asked again */
		way_works(&m->ways, WAY_SILENT_OPEN, "");
		fuse_reply_err(req, ENOSYS);
		return;
	}
	rc = (fi->flags & O_ACCMODE) != O_RDONLY ? -EROFS :
						   use_file(m, req, ino, &f);
	if (rc < 0) {
		fuse_reply_err(req, fs_errno(rc));
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)f;
	/* the kernel takes no other flag beside passthrough */
	fi->keep_cache = !f->backing;
	fi->direct_io = f->direct;
#ifdef FUSE_CAP_PASSTHROUGH
	fi->backing_id = f->backing;
#endif
	open_files_count(&m->files, f, 1);
	if (fuse_reply_open(req, fi) < 0) {
		/* interrupted: no release will come */
		open_files_count(&m->files, f, -1);
		open_files_done(&m->files, f, NULL);
	}
}

void data_close(fuse_req_t req, struct fuse_file_info *fi)
{
	struct open_file *f = (struct open_file *)(uintptr_t)fi->fh;
	struct mount *m = fs_mount(req);

	if (open_files_count(&m->files, f, -1) == 0)
		ahead_leave(m->ahead, f);
	open_files_done(&m->files, f, req);
}

void data_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	data_close(req, fi);
	fuse_reply_err(req, 0);
}

static void answer(struct mount *m, fuse_req_t req, struct open_file *f,
		   size_t size, off_t off, const struct fuse_file_info *fi)
{
	/* past the page cache the kernel says who reads */
	bool cached = !fi->lock_owner;

	if (m->stays_awake && size <= SCATTERED)
		wakeful_soon();
	if (!ahead_answers(m->ahead, req, f, size, off))
		reply(req, f, size, off, cached);
}

void data_answer(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 struct fuse_file_info *fi)
{
	struct mount *m = fs_mount(req);
	struct open_file *f = (struct open_file *)(uintptr_t)fi->fh;
	int rc;

	if (f) {
		answer(m, req, f, size, off, fi);
		return;
	}
	/* no open has come before */
	rc = use_file(m, req, ino, &f);
	if (rc < 0) {
		fuse_reply_err(req, fs_errno(rc));
		return;
	}
	answer(m, req, f, size, off, fi);
	open_files_done(&m->files, f, NULL);
}

/* As many files as the kernel has open here are open in the backup. */
static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void data_init(struct mount *m)
{
	allow_many_files();
	open_files_init(&m->files, close_backing);
	m->stays_awake = way_is_open(&m->ways, WAY_STAY_AWAKE);
	if (m->stays_awake)
		way_works(&m->ways, WAY_STAY_AWAKE, "");
	if (way_is_open(&m->ways, WAY_AHEAD))
		m->ahead = ahead_new(m);
	if (!m->shelf)
		volume_start(&m->volume, m);
}

void data_end(struct mount *m)
{
	ahead_free(m->ahead);
	m->ahead = NULL;
	volume_stop(&m->volume);
	open_files_close_all(&m->files);
}
