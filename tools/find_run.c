/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "find_inside.h"
#include "language.h"

/*
 * A process for each place, some at a time. What they say is read as it comes;
 * one that says nothing for too long is killed, and not waited for: a call
 * into a server that is gone ends when it pleases.
 */

#define RUNNERS 8
#define SILENCE_MS 10000
#define MESSAGE_MAX (1 << 20)
#define FOUND_MAX 20000
/* of a folder that was given: a home's Library/.../Backup/UDID */
#define GIVEN_DEPTH 5

struct runner {
	pid_t pid; /* 0: idle */
	int fd;
	struct buf said; /* not yet a whole message */
	const char *path;
	long long last_ms;
	bool ended; /* it has said so */
};

struct search {
	const struct find_wish *wish;
	struct mount_table table;
	struct places places;
	size_t next; /* place */
	struct runner runners[RUNNERS];
	struct found_list *list;
};

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void note(struct search *s, const char *path, const char *what)
{
	struct mb_err line; /* for its printable text */

	if (!s->wish->note)
		return;
	mb_err_set(&line, 0, "%s: %s", path, what);
	s->wish->note(s->wish->arg, line.text);
}

/* --- processes ----------------------------------------------------------- */

static int start(struct search *s, struct runner *r, const struct place *place)
{
	pid_t parent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r->pid = fork();
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(fds[0]);
		find_walk(place, &s->table, s->wish, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	if (r->pid < 0) {
		int rc = -errno;

		close(fds[0]);
		r->pid = 0;
		return rc;
	}
	r->fd = fds[0];
	r->path = place->path;
	r->last_ms = now_ms();
	r->ended = false;
	return 0;
}

static void stop(struct runner *r)
{
	if (!r->pid)
		return;
	close(r->fd);
	if (!r->ended)
		kill(r->pid, SIGKILL);
	/* one that hangs is nobody's to wait for */
	waitpid(r->pid, NULL, r->ended ? 0 : WNOHANG);
	buf_release(&r->said);
	*r = (struct runner){ 0 };
}

/* --- what they say ------------------------------------------------------- */

/* A mount in a folder that is looked through is a place of its own. */
static int add_mount(struct search *s, const char *path, int depth)
{
	const struct mount_line *line = mount_table_at(&s->table, path);

	if (!line || s->wish->only_these)
		return 0;
	if (s->wish->folder_count ? place_is_pseudo(line) :
				    !place_is_disk(line))
		return 0;
	if (depth < PLACE_DISK_DEPTH)
		depth = PLACE_DISK_DEPTH;
	return places_add(&s->places,
			  (struct place){ .path = line->path, .depth = depth });
}

static int take(struct search *s, struct runner *r, struct message_head head,
		struct view content)
{
	mb_auto(free) char *text = NULL;
	struct found found;
	int rc;

	switch (head.type) {
	case MESSAGE_FOUND:
		rc = found_decode(&found, content);
		if (rc == 0 && s->list->count >= FOUND_MAX)
			found_release(&found);
		else if (rc == 0)
			rc = found_list_add(s->list, &found);
		return rc;
	case MESSAGE_NOTE:
	case MESSAGE_MOUNT:
		text = strndup((const char *)content.ptr, content.len);
		if (!text)
			return -ENOMEM;
		if (head.type == MESSAGE_MOUNT)
			return add_mount(s, text, head.depth);
		if (s->wish->note)
			s->wish->note(s->wish->arg, text);
		return 0;
	case MESSAGE_END:
		r->ended = true;
		return 0;
	default:
		return 0;
	}
}

/* Whole messages; what is left of the last one stays. */
static int take_all(struct search *s, struct runner *r)
{
	struct cursor at = cursor_over(view_of(r->said.ptr, r->said.len));
	struct message_head head;
	struct view front, content;
	size_t left;
	int rc = 0;

	for (;;) {
		struct cursor before = at;

		if (rc < 0 || !cursor_take(&at, sizeof(head), &front))
			break;
		memcpy(&head, front.ptr, sizeof(head));
		if (head.len > MESSAGE_MAX)
			return -EBADMSG;
		if (!cursor_take(&at, head.len, &content)) {
			at = before;
			break;
		}
		rc = take(s, r, head, content);
	}
	left = cursor_left(&at);
	if (left)
		memmove(r->said.ptr, at.ptr, left);
	r->said.len = left;
	return rc;
}

/* 1: it goes on; 0: it is at its end */
static int hear(struct search *s, struct runner *r)
{
	uint8_t chunk[16384];
	ssize_t n = read(r->fd, chunk, sizeof(chunk));
	int rc;

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n == 0)
		return 0;
	r->last_ms = now_ms();
	rc = buf_add(&r->said, chunk, (size_t)n);
	if (rc == 0)
		rc = take_all(s, r);
	return rc < 0 ? rc : 1;
}

/* --- all of them --------------------------------------------------------- */

static int start_some(struct search *s)
{
	int rc = 0;

	for (int i = 0; i < RUNNERS && rc == 0; i++)
		if (!s->runners[i].pid && s->next < s->places.count)
			rc = start(s, &s->runners[i],
				   &s->places.items[s->next++]);
	return rc;
}

static int64_t silence_of(const struct search *s)
{
	return s->wish->silence_ms ? s->wish->silence_ms : SILENCE_MS;
}

/* Until the next of them has been silent for too long. */
static int fill_polls(const struct search *s, struct pollfd polls[RUNNERS],
		      bool *any)
{
	long long now = now_ms(), wait = silence_of(s);

	*any = false;
	for (int i = 0; i < RUNNERS; i++) {
		const struct runner *r = &s->runners[i];
		long long left = r->last_ms + silence_of(s) - now;

		polls[i] = (struct pollfd){ .fd = r->pid ? r->fd : -1,
					    .events = POLLIN };
		*any |= r->pid != 0;
		if (r->pid && left < wait)
			wait = left > 0 ? left : 0;
	}
	return (int)wait;
}

static int look_after(struct search *s, struct runner *r, bool ready)
{
	int rc = 1;

	if (ready)
		rc = hear(s, r);
	if (rc < 0 && rc != -ENOMEM)
		rc = 0; /* of this place alone */
	if (rc == 0 && !r->ended)
		note(s, r->path, _("looking through it has failed"));
	if (rc > 0 && now_ms() - r->last_ms >= silence_of(s)) {
		note(s, r->path, _("does not answer, and is left out"));
		rc = 0;
	}
	if (rc <= 0)
		stop(r);
	return rc < 0 ? rc : 0;
}

static int run_all(struct search *s)
{
	struct pollfd polls[RUNNERS];
	bool any;
	int rc;

	for (;;) {
		int wait;

		rc = start_some(s);
		wait = fill_polls(s, polls, &any);
		if (rc < 0 || !any)
			return rc;
		if (poll(polls, RUNNERS, wait) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < RUNNERS && rc == 0; i++)
			if (s->runners[i].pid)
				rc = look_after(s, &s->runners[i],
						polls[i].revents != 0);
		if (rc < 0)
			return rc;
	}
}

/* Absolute, without asking the file system, which may not answer. */
static int add_folder(struct search *s, const char *path)
{
	mb_auto(free) char *here = *path == '/' ? NULL : getcwd(NULL, 0);
	mb_auto(free) char *whole = NULL;

	if (*path != '/' && !here)
		return -errno;
	if (asprintf(&whole, "%s%s%s", here ? here : "", here ? "/" : "",
		     path) < 0)
		return -ENOMEM;
	return places_add(
		&s->places,
		(struct place){
			.path = whole,
			.depth = s->wish->only_these ? 0 : GIVEN_DEPTH,
			.given = true,
			.home = !s->wish->only_these,
		});
}

int find_backups(struct found_list *list, const struct find_wish *wish,
		 struct mb_err *err)
{
	struct search s = { .wish = wish, .list = list };
	int rc = mount_table_read(&s.table);

	*list = (struct found_list){ 0 };
	for (size_t i = 0; rc == 0 && i < wish->folder_count; i++)
		rc = add_folder(&s, wish->folders[i]);
	if (rc == 0 && !wish->folder_count)
		rc = places_add_usual(&s.places, &s.table);
	if (rc == 0)
		rc = run_all(&s);
	for (int i = 0; i < RUNNERS; i++)
		stop(&s.runners[i]);
	places_release(&s.places);
	mount_table_release(&s.table);
	found_list_sort(list);
	return rc < 0 ? mb_err_set(err, rc, "looking for backups: %s",
				   strerror(-rc)) :
			0;
}
