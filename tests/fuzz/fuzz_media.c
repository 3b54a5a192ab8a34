/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

#include "media.h"

/*
 * The input is what a device sends: answers to a visit of its media folder.
 * However they are cut on the way, the same comes of them.
 */
#define LIMIT 1000
#define FILES 3

struct tape {
	struct link link;
	const uint8_t *data;
	size_t left, step;
};

struct visit {
	int rcs[5];
	struct media_file files[FILES];
};

static ssize_t tape_recv(struct link *link, void *out, size_t len)
{
	struct tape *t = (struct tape *)link;

	MUST(len >= LINK_RECV_MIN);
	if (len > t->left)
		len = t->left;
	if (len > t->step)
		len = t->step;
	memcpy(out, t->data, len);
	t->data += len;
	t->left -= len;
	return (ssize_t)len;
}

static int tape_send(struct link *link, const void *ptr, size_t len)
{
	(void)link;
	MUST(len);
	fuzz_touch(ptr, len);
	return 0;
}

static void tape_close(struct link *link)
{
	(void)link;
}

static void visit(struct visit *v, const uint8_t *data, size_t size,
		  size_t step)
{
	struct tape tape = {
		{ tape_recv, tape_send, tape_close }, data, size, step
	};
	struct media *media;

	*v = (struct visit){ .files = { { .path = "/a" },
					{ .path = "/b" },
					{ .path = "/c" } } };
	MUST(media_new(&media, &tape.link, NULL) == 0);
	v->rcs[0] = media_lock(media, NULL);
	v->rcs[1] = media_read_files(media, v->files, FILES, LIMIT, NULL);
	v->rcs[2] = media_make_dir(media, "/d", NULL);
	v->rcs[3] = media_write(media, "/d/e", "content", 7, NULL);
	v->rcs[4] = media_remove(media, "/d/e", NULL);
	media_unlock(media);
	media_free(media);
}

static void check_file(const struct media_file *f)
{
	MUST(f->content.len <= LIMIT);
	MUST(!f->err.code || !f->content.len);
	fuzz_touch(f->content.ptr, f->content.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct visit whole, cut;

	visit(&whole, data, size, size + 1);
	visit(&cut, data, size, 7);
	MUST(!memcmp(whole.rcs, cut.rcs, sizeof(whole.rcs)));
	for (size_t i = 0; i < FILES; i++) {
		struct media_file *a = &whole.files[i], *b = &cut.files[i];

		check_file(a);
		check_file(b);
		MUST(a->err.code == b->err.code);
		MUST(a->content.len == b->content.len);
		MUST(!a->content.len ||
		     !memcmp(a->content.ptr, b->content.ptr, a->content.len));
		buf_release(&a->content);
		buf_release(&b->content);
	}
	return 0;
}
