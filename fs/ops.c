/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "beneath.h"
#include "cleanup.h"
#include "clock.h"
#include "data.h"
#include "handshake.h"
#include "log.h"
#include "open_ahead.h"
#include "own_files.h"
#include "shelf.h"
#include "stat_ahead.h"
#include "xattrs.h"

/* Nothing changes, so what the kernel knows stays true. Seconds. */
#define FOR_EVER (86400.0 * 365 * 10)

int fs_errno(int rc)
{
	switch (rc) {
	case -ENODATA: /* of a payload; file managers take it for an xattr's */
	case -EBADMSG:
	case -EKEYREJECTED:
		return EIO;
	default:
		return -rc;
	}
}

struct mount *fs_mount(fuse_req_t req)
{
	struct mount *m = fuse_req_userdata(req);

	if (!atomic_load(&m->asked) && !atomic_exchange(&m->asked, true))
		handshake_proved(m, req);
#ifdef FUSE_CAP_OVER_IO_URING
	/*
	 * libfuse cancels the threads of a ring, wherever they are: not in the
	 * midst of a request, with a lock. They end without that.
	 */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
#endif
	if (m->options->idle_s)
		atomic_store(&m->last_request_s, monotonic_s());
	return m;
}

struct volume *fs_volume(struct mount *m, fuse_ino_t ino)
{
	return m->shelf ? shelf_volume(m->shelf, ino) : &m->volume;
}

void fs_known(struct mount *m, fuse_ino_t ino, int more)
{
	if (m->shelf && ino)
		shelf_known(m->shelf, ino, more);
}

void fs_report(struct volume *v, uint32_t node, const char *what)
{
	char path[600];

	if (!mb_tree_first_report(v->tree, node))
		return;
	mb_tree_get_path(v->tree, node, path, sizeof(path));
	log_line("%s%s%s: %s", v->label ? v->label : "", v->label ? "/" : "",
		 path, what);
}

void fs_set_owner(const struct mount *m, struct stat *st)
{
	int mode = S_ISDIR(st->st_mode) ? m->options->dir_mode :
					  m->options->file_mode;

	st->st_uid = m->options->uid;
	st->st_gid = m->options->gid;
	if (mode >= 0 && !S_ISLNK(st->st_mode))
		st->st_mode = (st->st_mode & (mode_t)~07777) | (mode_t)mode;
}

/* @birth: NULL, or takes the time for which struct stat has no place */
static int fill_stat(struct mount *m, fuse_ino_t ino, struct stat *st,
		     struct timespec *birth)
{
	static const mode_t formats[] = {
		[MB_FILE] = S_IFREG, [MB_DIR] = S_IFDIR, [MB_LINK] = S_IFLNK
	};
	struct volume *v = fs_volume(m, ino);
	struct mb_stat entry;
	struct mb_err err;
	int rc;

	if (own_is(ino)) {
		rc = own_stat(v->backup, ino, st);
		fs_set_owner(m, st);
		return rc;
	}
	rc = stat_ahead_take(v->stat_ahead, (uint32_t)ino, &entry) ||
			     open_ahead_stat(v->open_ahead, (uint32_t)ino,
					     &entry) ?
		     0 :
		     mb_tree_stat(v->tree, (uint32_t)ino, &entry, &err);
	if (rc < 0) {
		fs_report(v, (uint32_t)ino, err.text);
		return rc;
	}
	*st = (struct stat){
		.st_ino = ino,
		.st_mode = formats[entry.type] | entry.permissions,
		.st_nlink = 1, /* of a folder too: "unknown", as on btrfs */
		.st_size = entry.size,
		.st_blksize = data_block_size(m, v, (uint32_t)ino, entry.size),
		.st_blocks = entry.size / 512 + (entry.size % 512 != 0),
		.st_atim = entry.mtime,
		.st_mtim = entry.mtime,
		.st_ctim = entry.ctime,
	};
	fs_set_owner(m, st);
	if (birth)
		*birth = entry.birth;
	return 0;
}

static int fill_entry(struct mount *m, fuse_ino_t ino,
		      struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = ino,
		.attr_timeout = FOR_EVER,
		.entry_timeout = FOR_EVER,
	};
	return ino ? fill_stat(m, ino, &e->attr, NULL) : 0;
}

void fs_reply_entry(fuse_req_t req, struct mount *m,
		    const struct fuse_entry_param *e)
{
	/* before it is: it can be forgotten at once */
	fs_known(m, e->ino, 1);
	if (fuse_reply_entry(req, e) < 0)
		fs_known(m, e->ino, -1);
}

static fuse_ino_t parent_of(struct volume *v, fuse_ino_t ino)
{
	if (own_is(ino))
		return own_is_dir(ino) || own_is_info(ino) ?
			       volume_ino(v, MB_ROOT) :
			       own_dir_ino(v->number);
	return volume_ino(v, mb_tree_get_parent(v->tree, (uint32_t)ino));
}

/* 0 and an inode number, which is 0 if there is no such entry; or an error */
static int lookup(struct volume *v, fuse_ino_t dir, const char *name,
		  fuse_ino_t *ino)
{
	struct mb_err err;
	uint32_t node = 0;
	int rc;

	*ino = 0;
	/* an NFS server finds its way by these */
	if (!strcmp(name, "."))
		*ino = dir;
	else if (!strcmp(name, ".."))
		*ino = parent_of(v, dir);
	else if (dir == volume_ino(v, MB_ROOT) && !strcmp(name, OWN_DIR_NAME))
		*ino = own_dir_ino(v->number);
	else if (dir == volume_ino(v, MB_ROOT) && !strcmp(name, OWN_INFO_NAME))
		*ino = own_info_ino(v->number);
	else if (own_is_dir(dir))
		*ino = own_lookup(v->backup, v->number, name);
	if (*ino || own_is(dir))
		return 0;
	rc = mb_tree_lookup(v->tree, (uint32_t)dir, name, strlen(name), &node,
			    &err);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		fs_report(v, (uint32_t)dir, err.text);
	else
		*ino = volume_ino(v, node);
	return rc;
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct mount *m = fs_mount(req);
	struct fuse_entry_param e;
	fuse_ino_t ino;
	int rc;

	rc = lookup(fs_volume(m, dir), dir, name, &ino);
	if (rc == 0)
		rc = fill_entry(m, ino, &e); /* inode 0: "no", to be kept */
	if (rc < 0)
		fuse_reply_err(req, fs_errno(rc));
	else
		fs_reply_entry(req, m, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct stat st;
	int rc = fill_stat(fs_mount(req), ino, &st, NULL);

	(void)fi;
	if (rc < 0)
		fuse_reply_err(req, fs_errno(rc));
	else
		fuse_reply_attr(req, &st, FOR_EVER);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
static struct statx_timestamp statx_time(struct timespec ts)
{
	return (struct statx_timestamp){ .tv_sec = ts.tv_sec,
					 .tv_nsec = (uint32_t)ts.tv_nsec };
}

/* For the birth time, which getattr has no place for. */
static void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi)
{
	struct mount *m = fs_mount(req);
	struct timespec birth = { 0 };
	struct stat st;
	struct statx stx;
	int rc;

	(void)flags, (void)mask, (void)fi;
	rc = fill_stat(m, ino, &st, &birth);
	if (rc < 0) {
		fuse_reply_err(req, fs_errno(rc));
		return;
	}
	stx = (struct statx){
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = (uint32_t)st.st_blksize,
		.stx_nlink = (uint32_t)st.st_nlink,
		.stx_uid = st.st_uid,
		.stx_gid = st.st_gid,
		.stx_mode = (uint16_t)st.st_mode,
		.stx_ino = st.st_ino,
		.stx_size = (uint64_t)st.st_size,
		.stx_blocks = (uint64_t)st.st_blocks,
		.stx_atime = statx_time(st.st_atim),
		.stx_mtime = statx_time(st.st_mtim),
		.stx_ctime = statx_time(st.st_ctim),
	};
	if (!own_is(ino)) {
		stx.stx_mask |= STATX_BTIME;
		stx.stx_btime = statx_time(birth);
	}
	fuse_reply_statx(req, 0, &stx, FOR_EVER);
}
#endif

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fs_mount(req);
	struct mb_record rec = { 0 };
	char *target = NULL;
	int rc;

	rc = mb_tree_record(fs_volume(m, ino)->tree, (uint32_t)ino, &rec, NULL);
	/* as recorded, up to a NUL, which no link can hold */
	if (rc == 0 && rec.target.len)
		target = strndup(rec.target.ptr, rec.target.len);
	if (target && *target)
		fuse_reply_readlink(req, target);
	else
		fuse_reply_err(req, rc < 0 ? fs_errno(rc) : EIO);
	free(target);
	mb_record_release(&rec);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	/* never to be asked again; the kernel caches listings */
	fs_mount(req);
	fuse_reply_err(req, ENOSYS);
}

/* The entry of a folder at a listing's offset: 0 ".", 1 "..", then children. */
static bool entry_at(struct volume *v, fuse_ino_t dir, off_t at, uint32_t first,
		     uint32_t count, const char **name, fuse_ino_t *ino)
{
	if (at == 0) {
		*name = ".";
		*ino = dir;
	} else if (at == 1) {
		*name = "..";
		*ino = parent_of(v, dir);
	} else if (own_is(dir)) {
		*name = own_name((unsigned)at - 2);
		*ino = own_ino(v->number, (unsigned)at - 2);
		return *name != NULL;
	} else if (at - 2 < count) {
		*name = mb_tree_get_name(v->tree, first + (uint32_t)(at - 2));
		*ino = volume_ino(v, first + (uint32_t)(at - 2));
	} else {
		return false;
	}
	return true;
}

/* The format of an entry's mode, for a listing without attributes. */
static mode_t format_of(struct mount *m, fuse_ino_t ino)
{
	if (own_is(ino))
		return own_is_dir(ino) ? S_IFDIR : S_IFREG;
	switch (mb_tree_get_type(fs_volume(m, ino)->tree, (uint32_t)ino)) {
	case MB_DIR:
		return S_IFDIR;
	case MB_LINK:
		return S_IFLNK;
	default:
		return S_IFREG;
	}
}

static size_t add_entry(fuse_req_t req, struct mount *m, char *out, size_t room,
			const char *name, fuse_ino_t ino, off_t next, bool plus,
			int *known)
{
	struct fuse_entry_param e = { 0 };

	/* with inode 0 the kernel only lists it, and asks when it must know */
	if (plus && strcmp(name, ".") && strcmp(name, "..") &&
	    fill_entry(m, ino, &e) < 0)
		e = (struct fuse_entry_param){ 0 };
	*known += e.ino != 0;
	if (!e.ino)
		e.attr = (struct stat){ .st_ino = ino,
					.st_mode = format_of(m, ino) };
	return plus ? fuse_add_direntry_plus(req, out, room, name, &e, next) :
		      fuse_add_direntry(req, out, room, name, &e.attr, next);
}

/* Would it fit? To know before its attributes are fetched for nothing. */
static size_t entry_size(fuse_req_t req, const char *name, bool plus)
{
	return plus ? fuse_add_direntry_plus(req, NULL, 0, name, NULL, 0) :
		      fuse_add_direntry(req, NULL, 0, name, NULL, 0);
}

static void list(fuse_req_t req, fuse_ino_t dir, size_t size, off_t at,
		 bool plus)
{
	struct mount *m = fs_mount(req);
	struct volume *v = fs_volume(m, dir);
	uint32_t first = 0, count = 0;
	char *out = data_buffer(size);
	struct mb_err err;
	const char *name;
	fuse_ino_t ino;
	size_t used = 0;
	int rc = 0, known = 0;

	if (!own_is(dir))
		rc = mb_tree_children(v->tree, (uint32_t)dir, &first, &count,
				      &err);
	if (rc < 0)
		fs_report(v, (uint32_t)dir, err.text);
	else if (!out)
		rc = -ENOMEM;
	if (rc < 0) {
		fuse_reply_err(req, fs_errno(rc));
		return;
	}
	stat_ahead_listing(v->stat_ahead, (uint32_t)dir, first, count,
			   at < 2 ? 0 : (uint32_t)at - 2);
	while (entry_at(v, dir, at, first, count, &name, &ino)) {
		/* a property list that the backup lacks */
		if (own_is(dir) && at >= 2 &&
		    !own_lookup(v->backup, v->number, name)) {
			at++;
			continue;
		}
		if (entry_size(req, name, plus) > size - used)
			break;
		used += add_entry(req, m, out + used, size - used, name, ino,
				  at + 1, plus, &known);
		at++;
	}
	fs_known(m, dir, known);
	if (fuse_reply_buf(req, out, used) < 0)
		fs_known(m, dir, -known);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fs_mount(req);
	struct statvfs st = {
		.f_bsize = FS_BLOCK_SIZE,
		.f_frsize = FS_BLOCK_SIZE,
		.f_namemax = 255,
	};
	struct mb_totals totals;

	volume_totals(fs_volume(m, ino), &totals);
	st.f_blocks = (totals.bytes + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
	st.f_files = totals.records;
	fuse_reply_statfs(req, &st);
}

void fs_reply_xattr(fuse_req_t req, int rc, const struct buf *value,
		    size_t size)
{
	if (rc < 0)
		fuse_reply_err(req, rc == -ENODATA ? ENODATA : fs_errno(rc));
	else if (!size)
		fuse_reply_xattr(req, value->len);
	else if (value->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)value->ptr, value->len);
}

/*
 * Links have none: the kernel would not let anybody read them, and who copies
 * what is listed would fail.
 *
 * The folder of our own has the attributes of the root: through an overlay,
 * whose root is not ours, it can be seen by its name.
 */
static bool xattrs_of(struct volume *v, fuse_ino_t ino, uint32_t *node)
{
	*node = own_is_dir(ino) ? MB_ROOT : (uint32_t)ino;
	return own_is_dir(ino) ||
	       (!own_is(ino) && mb_tree_get_type(v->tree, *node) != MB_LINK);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			size_t size)
{
	mb_auto(buf_release) struct buf value = { 0 };
	struct mount *m = fs_mount(req);
	struct volume *v = fs_volume(m, ino);
	uint32_t node;
	int rc = xattrs_of(v, ino, &node) ?
			 xattrs_get(m, v, node, name, &value) :
			 -ENODATA;

	fs_reply_xattr(req, rc, &value, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	mb_auto(buf_release) struct buf names = { 0 };
	struct mount *m = fs_mount(req);
	struct volume *v = fs_volume(m, ino);
	uint32_t node;
	int rc = xattrs_of(v, ino, &node) ? xattrs_list(m, v, node, &names) : 0;

	fs_reply_xattr(req, rc, &names, size);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = handshake,
	.lookup = op_lookup,
	.getattr = op_getattr,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
	.statx = op_statx,
#endif
	.readlink = op_readlink,
	.open = data_open,
	.read = data_answer,
	.release = data_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
};
