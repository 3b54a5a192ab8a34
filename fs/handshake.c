/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handshake.h"

#include <errno.h>
#include <fuse_log.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wakeful.h"

#define HAS_FLAGS_OF_ITS_OWN (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))
#define HAS_CUSTOM_IO (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14))

/* From libfuse 3.17 on, touching conn->want breaks the mount. */
static void want(struct fuse_conn_info *conn, unsigned flag, bool wanted)
{
#if HAS_FLAGS_OF_ITS_OWN
	if (wanted)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
#else
	if (wanted)
		conn->want |= conn->capable & flag;
	else
		conn->want &= ~flag;
#endif
}

#if HAS_CUSTOM_IO

static ssize_t wait_and_read(int fd, void *buf, size_t len, void *userdata)
{
	struct mount *m = userdata;

	if (m->has_workers)
		return workers_read(&m->workers, fd, buf, len);
	wakeful_wait(fd);
	return read(fd, buf, len);
}

static ssize_t write_message(int fd, struct iovec *iov, int count,
			     void *userdata)
{
	struct mount *m = userdata;

	return m->has_workers ? workers_write(&m->workers, fd, iov, count) :
				writev(fd, iov, count);
}

/* libfuse prints its own line where it has been built without. */
static void say_nothing(enum fuse_log_level level, const char *format,
			va_list args)
{
	(void)level, (void)format, (void)args;
}

/* To be there when a request comes, and when the reply to INIT goes. */
static void take_part(struct mount *m, const struct fuse_custom_io *io)
{
	const char *why = "libfuse does not let us";
	int rc;

	fuse_set_log_func(say_nothing);
	rc = fuse_session_custom_io(m->session, io,
				    fuse_session_fd(m->session));
	fuse_set_log_func(NULL);
	if (rc == 0) {
		m->has_workers = way_is_open(&m->ways, WAY_WORKERS);
		if (m->has_workers)
			way_works(&m->ways, WAY_WORKERS, "");
		return;
	}
	way_fails(&m->ways, WAY_WORKERS, why);
	way_fails(&m->ways, WAY_STAY_AWAKE, why);
	if (!HAS_FLAGS_OF_ITS_OWN)
		way_fails(&m->ways, WAY_DIRECT, why);
}

#endif

#if HAS_FLAGS_OF_ITS_OWN

/* libfuse takes the ring by itself where its environment says so. */
static void want_ring(struct mount *m, struct fuse_conn_info *conn)
{
#ifdef FUSE_CAP_OVER_IO_URING
	bool wanted = way_is_open(&m->ways, WAY_IO_URING);

	if (wanted && !(conn->capable_ext & FUSE_CAP_OVER_IO_URING))
		way_fails(&m->ways, WAY_IO_URING,
			  "the kernel does not offer it");
	else
		want(conn, FUSE_CAP_OVER_IO_URING, wanted);
#else
	(void)m, (void)conn;
#endif
}

static void want_ways(struct mount *m, struct fuse_conn_info *conn)
{
	want_ring(m, conn);
	if (way_is_open(&m->ways, WAY_DIRECT) &&
	    !fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP))
		way_fails(&m->ways, WAY_DIRECT, "Linux 6.6 or later is needed");
	if (!way_is_open(&m->ways, WAY_PASSTHROUGH))
		return;
	if (!fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH)) {
		way_fails(&m->ways, WAY_PASSTHROUGH,
			  "the kernel does not offer it");
		return;
	}
	/* payloads may be on an overlay, as in a container */
	conn->max_backing_stack_depth = 1;
}

void handshake_prepare(struct mount *m)
{
	static const struct fuse_custom_io io = { .read = wait_and_read,
						  .writev = write_message };

	if (way_is_open(&m->ways, WAY_WORKERS) ||
	    way_is_open(&m->ways, WAY_STAY_AWAKE))
		take_part(m, &io);
}

#elif HAS_CUSTOM_IO

/* In flags2, for kernel headers that are older than 6.6. */
#define ALLOW_MMAP (1u << 4)

static void want_ways(struct mount *m, struct fuse_conn_info *conn)
{
	(void)conn;
	if (!m->offers_mmap)
		way_fails(&m->ways, WAY_DIRECT, "Linux 6.6 or later is needed");
}

/* The first request, INIT: what does the kernel offer? */
static ssize_t read_request(int fd, void *buf, size_t len, void *userdata)
{
	struct mount *m = userdata;
	ssize_t n = wait_and_read(fd, buf, len, userdata);
	struct {
		struct fuse_in_header head;
		struct fuse_init_in init;
	} in;

	if (m->greeted || n < (ssize_t)sizeof(in))
		return n;
	memcpy(&in, buf, sizeof(in));
	m->offers_mmap = in.head.opcode == FUSE_INIT &&
			 in.init.flags & FUSE_INIT_EXT &&
			 in.init.flags2 & ALLOW_MMAP;
	return n;
}

/* The first reply: libfuse's, with one flag more. */
static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct mount *m = userdata;

	if (!m->greeted) {
		struct fuse_init_out *out = count > 1 ? iov[1].iov_base : NULL;

		m->greeted = true;
		if (out && iov[1].iov_len >= sizeof(*out) && m->offers_mmap &&
		    out->flags & FUSE_INIT_EXT &&
		    way_is_open(&m->ways, WAY_DIRECT))
			out->flags2 |= ALLOW_MMAP;
		else
			way_fails(&m->ways, WAY_DIRECT,
				  "Linux 6.6 or later is needed");
	}
	return write_message(fd, iov, count, userdata);
}

void handshake_prepare(struct mount *m)
{
	static const struct fuse_custom_io io = { .read = read_request,
						  .writev = write_reply };

	if (way_is_open(&m->ways, WAY_DIRECT) ||
	    way_is_open(&m->ways, WAY_WORKERS) ||
	    way_is_open(&m->ways, WAY_STAY_AWAKE))
		take_part(m, &io);
}

#else

static void want_ways(struct mount *m, struct fuse_conn_info *conn)
{
	(void)m, (void)conn;
}

void handshake_prepare(struct mount *m)
{
	way_fails(&m->ways, WAY_DIRECT, "libfuse 3.14 is needed");
}

#endif

void handshake_proved(struct mount *m, fuse_req_t req)
{
#ifdef FUSE_CAP_OVER_IO_URING
	if (fuse_req_is_uring(req)) {
		way_works(&m->ways, WAY_IO_URING, "");
		way_fails(&m->ways, WAY_WORKERS, "the ring has its own");
	} else {
		way_fails(&m->ways, WAY_IO_URING,
			  "libfuse could not set up its ring");
	}
#else
	(void)m, (void)req;
#endif
}

void handshake(void *userdata, struct fuse_conn_info *conn)
{
	struct mount *m = userdata;

	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, true);
	want(conn, FUSE_CAP_EXPORT_SUPPORT, true);
	want(conn, FUSE_CAP_NO_OPENDIR_SUPPORT, true);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	/* attributes come with every listing, not by the kernel's guess */
	want(conn, FUSE_CAP_READDIRPLUS, true);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, false);
	want_ways(m, conn);
	if (m->on_ready)
		m->on_ready(m);
}
