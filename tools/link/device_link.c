/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A link to a service of a device. libimobiledevice exists with three TLS
 * libraries, which wait in different ways, and some lose what they have when
 * they have waited for some seconds. What is done here holds for each:
 *
 *   - All waiting is done by poll(2) on the socket, until a whole TLS record
 *     has come. Then one call takes it, for which there is always room:
 *     nothing that was decrypted stays behind where poll cannot see it.
 *   - A record may hold nothing for us: TLS 1.3 begins with session tickets.
 *     See enum received.
 *   - If the library sits in the socket all the same, the watching thread can
 *     get it out (watch_guard).
 *   - An error says nothing about its cause. The socket itself does.
 */
#include <errno.h>
#include <fcntl.h>
#include <libimobiledevice/libimobiledevice.h>
#include <libimobiledevice/lockdown.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "device.h"
#include "device_inside.h"
#include "watch.h"

/*
 * What a link has received so far. A message begins with four bytes of
 * length, and the first ones are asked for alone: that is the one call that
 * can end without bytes, and leave everything in order, with all versions and
 * TLS libraries. Session tickets are over with the first bytes.
 */
enum received {
	NOTHING,
	LENGTH, /* what belongs to it may already be decrypted */
	PLENTY,
};
#define LENGTH_LEN 4

struct device_link {
	struct link link;
	idevice_connection_t connection;
	int fd;
	int edges; /* an epoll: readable when more has come since take_edge */
	bool tls;
	enum received received;
	bool partial; /* a part of a record was taken already */
	int stuck;    /* reads in a row that failed though there are bytes */
	struct device_link *notes;
	void (*readable)(void *arg);
	void *arg;
};

/* Of the first read: what it waits for has mostly come. */
#define FIRST_MS 20
#define STUCK_MAX 200
#define STUCK_PAUSE_MS 1

/*
 * A read has failed: 0 if that was the end, -EAGAIN if there is just nothing
 * yet, -EIO if there are bytes that nothing can be made of.
 */
static ssize_t look_at_socket(struct device_link *l)
{
	char byte;
	ssize_t n = recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == 0)
		return 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	/* they may also have come just now */
	if (++l->stuck > STUCK_MAX)
		return -EIO;
	return watch_pause(STUCK_PAUSE_MS) < 0 ? -ECANCELED : -EAGAIN;
}

static idevice_error_t read_tls(struct device_link *l, void *out, size_t len,
				uint32_t *got)
{
	*got = 0;
	if (l->received == NOTHING)
		return idevice_connection_receive_timeout(
			l->connection, out, LENGTH_LEN, got, FIRST_MS);
	l->received = PLENTY;
	return idevice_connection_receive(
		l->connection, out, len > INT32_MAX ? INT32_MAX : (uint32_t)len,
		got);
}

static ssize_t take_tls(struct device_link *l, void *out, size_t len)
{
	idevice_error_t error;
	uint32_t got;
	int rc;

	watch_guard(l->fd);
	error = read_tls(l, out, len, &got);
	rc = watch_unguard();
	if (rc < 0)
		return rc;
	if (error == IDEVICE_E_SUCCESS && got) {
		if (l->received == NOTHING)
			l->received = LENGTH;
		l->stuck = 0;
		l->partial = false;
		return got;
	}
	return error == IDEVICE_E_TIMEOUT ? -EAGAIN : look_at_socket(l);
}

static ssize_t take(struct device_link *l, void *out, size_t len)
{
	ssize_t n;

	if (l->tls)
		return take_tls(l, out, len);
	n = recv(l->fd, out, len, MSG_DONTWAIT);
	return n < 0 ? look_at_socket(l) : n;
}

/* More than any record has. */
#define RECORD_MAX (LINK_RECV_MIN + 2048)
#define RECORD_HEAD 5 /* type, version, length: RFC 8446, 5.1 */

/*
 * On a network what is unread takes the room of the whole segments that it
 * came in. That can be all the room there is, so that the rest of a record
 * would never come: then it is taken in parts.
 */
static bool is_full(const struct device_link *l)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(info);

	return getsockopt(l->fd, SOL_SOCKET, SO_MEMINFO, info, &size) == 0 &&
	       info[SK_MEMINFO_RMEM_ALLOC] > info[SK_MEMINFO_RCVBUF] / 2;
}

/* False while the rest of a TLS record is on its way. */
static bool has_record(struct device_link *l)
{
	struct pollfd end = { .fd = l->fd, .events = POLLRDHUP };
	uint8_t head[RECORD_HEAD];
	struct cursor c = { head + 3, head + sizeof(head) };
	uint16_t len = 0;
	int there = 0;
	ssize_t n;

	if (l->partial)
		return true; /* what comes is no head of a record */
	n = recv(l->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return true; /* the end: to be read as well */
	if (n == sizeof(head) && ioctl(l->fd, FIONREAD, &there) == 0) {
		cursor_be16(&c, &len);
		if (len > RECORD_MAX || there >= (int)sizeof(head) + len)
			return true;
	}
	l->partial = is_full(l);
	return l->partial || poll(&end, 1, 0) > 0;
}

static void take_edge(const struct device_link *l)
{
	struct epoll_event event;

	epoll_wait(l->edges, &event, 1, 0);
}

static int wait_for_bytes(struct device_link *l)
{
	int fd = l->fd;

	for (;;) {
		int notes = l->notes ? l->notes->edges : -1;
		bool noted = false;
		int rc = watch_wait(fd, notes, &noted);

		if (rc < 0)
			return rc;
		if (noted) {
			take_edge(l->notes);
			l->readable(l->arg);
			continue;
		}
		if (!l->tls || has_record(l))
			return 0;
		/* from now on for what is new, looking once more before */
		fd = l->edges;
		take_edge(l);
		if (has_record(l))
			return 0;
	}
}

/* A whole record, whatever its length, is there beyond doubt. */
static bool has_plenty(const struct device_link *l)
{
	int there = 0;

	return l->tls && l->received == PLENTY && !l->partial &&
	       ioctl(l->fd, FIONREAD, &there) == 0 &&
	       there >= RECORD_HEAD + RECORD_MAX;
}

/* Then it is taken along: a record has 16 KiB, and a wait costs as much. */
static ssize_t take_more(struct device_link *l, char *out, size_t len)
{
	size_t got = 0;

	while (len - got >= LINK_RECV_MIN && has_plenty(l)) {
		ssize_t n = take(l, out + got, len - got);

		/* whatever it was will be met again */
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static ssize_t recv_link(struct link *link, void *out, size_t len)
{
	struct device_link *l = (struct device_link *)link;
	ssize_t n;

	do {
		int rc = l->received == LENGTH ? 0 : wait_for_bytes(l);

		if (rc < 0)
			return rc;
		n = take(l, out, len);
	} while (n == -EAGAIN);
	return n > 0 ? n + take_more(l, (char *)out + n, len - (size_t)n) : n;
}

ssize_t device_recv_now(struct link *link, void *out, size_t len)
{
	struct device_link *l = (struct device_link *)link;
	struct pollfd fd = { .fd = l->fd, .events = POLLIN };

	if (l->received != LENGTH &&
	    (poll(&fd, 1, 0) <= 0 || (l->tls && !has_record(l))))
		return -EAGAIN;
	return take(l, out, len);
}

/*
 * In clear as much as there is room for. With TLS all of it: the socket blocks
 * meanwhile, because not all libraries can go on with a record that they could
 * not send at once, and because a wait for each record, which needs most of
 * the socket's buffer to be empty, would keep that nearly empty all the time.
 */
static ssize_t put(struct device_link *l, const char *ptr, size_t len)
{
	struct pollfd fd = { .fd = l->fd, .events = POLLOUT };
	uint32_t sent = 0;

	/*
	 * Before the library, which may give up after a second, or never when
	 * the socket has been shut down.
	 */
	while (poll(&fd, 1, -1) < 0)
		if (errno != EINTR)
			return -1;
	if (!l->tls)
		return send(l->fd, ptr, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (!(fd.revents & POLLOUT))
		return -1;
	if (idevice_connection_send(l->connection, ptr,
				    len > INT32_MAX ? INT32_MAX : (uint32_t)len,
				    &sent) != IDEVICE_E_SUCCESS)
		return -1;
	return sent;
}

static int put_all(struct device_link *l, const char *ptr, size_t len)
{
	while (len) {
		ssize_t n = put(l, ptr, len);

		if (n > 0) {
			ptr += n;
			len -= (size_t)n;
		} else if (l->tls || n == 0 ||
			   (errno != EAGAIN && errno != EINTR)) {
			return -EPIPE;
		}
	}
	return 0;
}

static int send_link(struct link *link, const void *ptr, size_t len)
{
	struct device_link *l = (struct device_link *)link;
	int rc, guarded;

	watch_guard(l->fd);
	if (l->tls)
		fcntl(l->fd, F_SETFL, O_RDWR);
	rc = put_all(l, ptr, len);
	if (l->tls)
		fcntl(l->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	guarded = watch_unguard();
	return rc < 0 && guarded < 0 ? guarded : rc;
}

/*
 * Some TLS libraries wait for the other side's goodbye; once nothing can be
 * received, they do not.
 */
static void free_link(struct link *link)
{
	struct device_link *l = (struct device_link *)link;

	watch_guard(l->fd);
	if (l->tls)
		shutdown(l->fd, SHUT_RD);
	idevice_disconnect(l->connection);
	watch_unguard();
	close(l->edges);
	free(l);
}

static struct link *make(idevice_connection_t connection, bool tls)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	struct device_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->link = (struct link){ recv_link, send_link, free_link };
	l->connection = connection;
	l->tls = tls;
	idevice_connection_get_fd(connection, &l->fd);
	fcntl(l->fd, F_SETFD, FD_CLOEXEC);
	fcntl(l->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	l->edges = epoll_create1(EPOLL_CLOEXEC);
	if (l->edges >= 0 &&
	    epoll_ctl(l->edges, EPOLL_CTL_ADD, l->fd, &event) == 0)
		return &l->link;
	if (l->edges >= 0)
		close(l->edges);
	free(l);
	return NULL;
}

int device_guard_next(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	watch_guard(fd);
	return fd;
}

/*
 * On a socket that does not block, 1.3.0 sleeps for 100 ms at each step of the
 * handshake.
 */
static idevice_error_t start_tls(idevice_connection_t connection)
{
	int fd;

	if (idevice_connection_get_fd(connection, &fd) == IDEVICE_E_SUCCESS)
		fcntl(fd, F_SETFL, O_RDWR);
	return idevice_connection_enable_ssl(connection);
}

int device_link_open(struct link **out, struct idevice_private *device,
		     const struct lockdownd_service_descriptor *service)
{
	idevice_connection_t connection = NULL;
	idevice_error_t error;
	int rc;

	device_guard_next();
	error = idevice_connect(device, service->port, &connection);
	if (error == IDEVICE_E_SUCCESS && service->ssl_enabled)
		error = start_tls(connection);
	rc = watch_unguard();
	if (rc == 0 && error != IDEVICE_E_SUCCESS)
		rc = -EPIPE;
	if (rc == 0) {
		*out = make(connection, service->ssl_enabled);
		rc = *out ? 0 : -ENOMEM;
	}
	if (rc < 0 && connection)
		idevice_disconnect(connection);
	return rc;
}

void device_observe(struct link *link, struct link *notes,
		    void (*readable)(void *arg), void *arg)
{
	struct device_link *l = (struct device_link *)link;

	l->notes = (struct device_link *)notes;
	l->readable = readable;
	l->arg = arg;
}
