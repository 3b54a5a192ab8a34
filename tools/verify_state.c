/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far a check is, so that it can go on later. It is kept beside the
 * backup, never in it, and holds no names of what is in it:
 *
 *   larder-verify 1
 *   backup <identity>
 *   level content
 *   sample 5%                  "all" without one
 *   seed <16 hexadecimal digits>
 *   done <number>
 *   counts <seven numbers>
 *   found <file ID>            one for each damaged payload
 *   end
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beneath.h"
#include "bytes.h"
#include "verify_inside.h"

#define STATE_MAX (4u << 20)
#define HEAD "larder-verify 1\n"

struct verify_state {
	struct verify *v;
	int dir_fd;
	char *name;
	char *path; /* for messages */
	char identity[MB_IDENTITY_LEN + 1];
	bool written, failed;
	struct buf found; /* what was read */
};

MB_DEFINE_AUTO(struct verify_state, verify_state_free)

void verify_state_free(struct verify_state *s)
{
	if (!s)
		return;
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->name);
	free(s->path);
	buf_release(&s->found);
	free(s);
}

const char *verify_state_path(const struct verify_state *s)
{
	return s && s->written ? s->path : NULL;
}

/* --- where it is ---------------------------------------------------------- */

static int default_path(const struct verify *v, char **out)
{
	const char *source = mb_backup_get_info(v->backup)->source;
	const char *slash = strrchr(source, '/');

	return asprintf(out, "%.*s/.larder-verify-%s", (int)(slash - source),
			source, slash + 1) < 0 ?
		       -ENOMEM :
		       0;
}

static int open_place(struct verify_state *s, struct mb_err *err)
{
	const char *given = s->v->wish.state;
	const char *slash;
	char *folder;

	if (given ? !(s->path = strdup(given)) :
		    default_path(s->v, &s->path) < 0)
		return mb_err_set(err, -ENOMEM, "out of memory");
	slash = strrchr(s->path, '/');
	s->name = strdup(slash ? slash + 1 : s->path);
	folder = slash == s->path ? strdup("/") :
		 slash ? strndup(s->path, (size_t)(slash - s->path)) :
			 strdup(".");
	if (!s->name || !folder) {
		free(folder);
		return mb_err_set(err, -ENOMEM, "out of memory");
	}
	s->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		mb_err_set(err, -errno, "%s: %s", folder, strerror(errno));
	free(folder);
	return s->dir_fd < 0 ? -EACCES : 0;
}

/* --- reading -------------------------------------------------------------- */

/* The rest of the next line if it begins with a word; NULL if not. */
static char *take_line(char **at, const char *word)
{
	size_t len = strlen(word);
	char *line = *at, *end = strchr(line, '\n');

	if (!end || strncmp(line, word, len) != 0 || line[len] != ' ')
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line + len + 1;
}

static bool take_found(struct verify_state *s, char **at)
{
	uint8_t id[20];
	char *hex;

	while ((hex = take_line(at, "found")))
		if (!hex_decode(id, sizeof(id), hex) ||
		    buf_add(&s->found, id, sizeof(id)) < 0)
			return false;
	return !strcmp(*at, "end\n");
}

static const char *sample_word(const struct verify *v)
{
	return v->wish.sample_text ? v->wish.sample_text : "all";
}

/* NULL if it can be gone on with, else why not. */
static const char *parse_state(struct verify_state *s, char *text,
			       struct mb_check_mark *mark)
{
	const char *word;
	int n = 0;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0)
		return _("it is no state of a check");
	text += strlen(HEAD);
	word = take_line(&text, "backup");
	if (!word || strcmp(word, s->identity) != 0)
		return _("the backup has changed since");
	word = take_line(&text, "level");
	if (!word || strcmp(word, mb_check_level_name(s->v->wish.level)) != 0)
		return _("it is of another level");
	word = take_line(&text, "sample");
	if (!word || strcmp(word, sample_word(s->v)) != 0)
		return _("it is of another sample");
	word = take_line(&text, "seed");
	if (!word || sscanf(word, "%16" SCNx64 "%n", &mark->seed, &n) != 1 ||
	    word[n])
		return _("it is damaged");
	word = take_line(&text, "done");
	if (!word || sscanf(word, "%" SCNu64 "%n", &mark->done, &n) != 1 ||
	    word[n])
		return _("it is damaged");
	word = take_line(&text, "counts");
	if (!word ||
	    sscanf(word,
		   "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64 "%n",
		   &mark->read, &mark->read_bytes, &mark->digests,
		   &mark->without_digest, &mark->databases,
		   &mark->unjudged_databases, &mark->locked, &n) != 7 ||
	    word[n] || !take_found(s, &text))
		return _("it is damaged");
	mark->found = (const uint8_t(*)[20])s->found.ptr;
	mark->found_count = s->found.len / 20;
	return NULL;
}

static bool read_state(struct verify_state *s, struct mb_check_mark *mark)
{
	mb_auto(buf_release) struct buf text = { 0 };
	struct progress *p = s->v->work.progress;
	const char *why;
	struct mb_err err;
	int rc;

	rc = beneath_read_file(s->dir_fd, s->name, STATE_MAX, &text, &err);
	if (rc == -ENOENT) {
		progress_note(p, "nothing to resume: begins at the front");
		return false;
	}
	if (rc == 0 && buf_add_u8(&text, 0) == 0)
		why = parse_state(s, (char *)text.ptr, mark);
	else
		why = _("it cannot be read");
	if (why)
		progress_note(p, "%s: %s: begins at the front", s->path, why);
	return !why;
}

int verify_state_open(struct verify_state **out, struct verify *v,
		      struct mb_check_mark *from, bool *resumes,
		      struct mb_err *err)
{
	mb_auto(verify_state_free) struct verify_state *s =
		calloc(1, sizeof(*s));
	int rc;

	*resumes = false;
	if (!s)
		return mb_err_set(err, -ENOMEM, "out of memory");
	s->v = v;
	s->dir_fd = -1;
	rc = mb_check_identity(v->backup, s->identity, err);
	if (rc < 0)
		return rc;
	if (v->wish.state)
		rc = verify_keep_out(v, v->wish.state, err);
	if (rc == -EINVAL)
		return rc;
	if (rc == 0)
		rc = open_place(s, err);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		progress_warn(v->work.progress,
			      "%s: what is done cannot be kept for --resume",
			      err->text);
		return 0;
	}
	if (v->wish.resume)
		*resumes = read_state(s, from);
	*out = mb_steal(&s);
	return 0;
}

/* --- writing -------------------------------------------------------------- */

static int format_state(struct verify_state *s,
			const struct mb_check_mark *mark, struct buf *out)
{
	char text[1024];
	int len = snprintf(
		text, sizeof(text),
		HEAD "backup %s\nlevel %s\nsample %s\nseed %016" PRIx64
		     "\ndone %" PRIu64 "\ncounts %" PRIu64 " %" PRIu64
		     " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		     "\n",
		s->identity, mb_check_level_name(s->v->wish.level),
		sample_word(s->v), mark->seed, mark->done, mark->read,
		mark->read_bytes, mark->digests, mark->without_digest,
		mark->databases, mark->unjudged_databases, mark->locked);

	if (len < 0 || len >= (int)sizeof(text))
		return -ENAMETOOLONG;
	if (buf_add(out, text, (size_t)len) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < mark->found_count; i++) {
		char line[] =
			"found 0123456789012345678901234567890123456789\n";

		hex_encode(line + strlen("found "), mark->found[i], 20);
		line[strlen("found ") + 40] = '\n';
		if (buf_add(out, line, strlen(line)) < 0)
			return -ENOMEM;
	}
	return buf_add(out, "end\n", 4);
}

void verify_state_mark(void *arg, const struct mb_check_mark *mark)
{
	struct verify *v = arg;
	struct verify_state *s = v->state;
	mb_auto(buf_release) struct buf text = { 0 };
	struct mb_err err;
	int rc;

	if (!s || s->failed)
		return;
	rc = format_state(s, mark, &text);
	if (rc < 0)
		mb_err_set(&err, rc, "%s: %s", s->name, strerror(-rc));
	else
		rc = beneath_write_file(s->dir_fd, s->name,
					view_of(text.ptr, text.len), 0600,
					&err);
	if (rc == 0) {
		s->written = true;
		return;
	}
	s->failed = true;
	progress_warn(v->work.progress,
		      "%s: what is done cannot be kept for --resume", err.text);
}

/* Only a state of a check is removed. */
void verify_state_remove(struct verify_state *s)
{
	char head[sizeof(HEAD)] = "";
	int fd;

	if (!s)
		return;
	fd = beneath_open_file(s->dir_fd, s->name, NULL);
	if (fd < 0)
		return;
	if (pread_full(fd, head, strlen(HEAD), 0) == (ssize_t)strlen(HEAD) &&
	    !strcmp(head, HEAD))
		beneath_remove(s->dir_fd, s->name);
	close(fd);
	s->written = false;
}
