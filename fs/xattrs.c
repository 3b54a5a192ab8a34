/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xattrs.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "options.h"

#define PREFIX "user."
#define OURS "larder."

/* Either looks for one name and takes its value, or collects all names. */
struct walk {
	const char *wanted; /* NULL: collect names */
	struct buf *out;
	bool found;
};

static int offer(struct walk *w, const char *name, const void *value,
		 size_t len)
{
	if (!w->wanted)
		return buf_add(w->out, name, strlen(name) + 1);
	if (w->found || strcmp(w->wanted, name))
		return 0;
	w->found = true;
	return buf_add(w->out, value, len);
}

static int offer_text(struct walk *w, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int offer_text(struct walk *w, const char *name, const char *fmt, ...)
{
	char text[PATH_MAX];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	return offer(w, name, text, (size_t)len);
}

/* A file's own attribute. */
static int offer_own(void *arg, struct mb_slice name, struct mb_slice value)
{
	char full[MB_ATTRIBUTE_MAX + 1];

	if (!mb_shown_attribute(full, name, value))
		return 0;
	return offer(arg, full, value.ptr, value.len);
}

/*
 * What a copy or an overlay of this mount has to know to find its entries in
 * the backup again; only where it is not the default.
 */
static int offer_options(struct walk *w, const struct options *o)
{
	int rc = 0;

	if (o->view == MB_VIEW_DEVICE)
		rc = offer_text(w, PREFIX OURS "view", "device");
	if (rc == 0 && o->file_mode >= 0)
		rc = offer_text(w, PREFIX OURS "file-mode", "%03o",
				o->file_mode);
	if (rc == 0 && o->dir_mode >= 0)
		rc = offer_text(w, PREFIX OURS "dir-mode", "%03o", o->dir_mode);
	return rc;
}

/*
 * Of this mount at this moment, so nothing for a copy: it is not among the
 * names.
 */
static int offer_capabilities(struct walk *w, struct mount *m)
{
	mb_auto(buf_release) struct buf text = { 0 };
	int rc;

	if (!w->wanted)
		return 0;
	rc = ways_describe(&m->ways, &text);
	return rc ? rc :
		    offer(w, PREFIX OURS "capabilities", text.ptr, text.len);
}

static int offer_root(struct walk *w, struct mount *m, struct volume *v)
{
	const struct mb_backup_info *info = mb_backup_get_info(v->backup);
	int rc = offer_text(w, PREFIX OURS "source", "%s", info->source);

	if (rc == 0 && info->udid)
		rc = offer_text(w, PREFIX OURS "udid", "%s", info->udid);
	if (rc == 0)
		rc = offer_text(w, PREFIX OURS "encrypted", "%s",
				info->encrypted ? "yes" : "no");
	if (rc == 0)
		rc = offer_capabilities(w, m);
	return rc ? rc : offer_options(w, m->options);
}

static int offer_birth(struct walk *w, struct timespec birth)
{
	if (!birth.tv_nsec)
		return offer_text(w, PREFIX OURS "birthtime", "%lld",
				  (long long)birth.tv_sec);
	/* -0.25 is second -1 and 750,000,000 ns: write it as a decimal */
	if (birth.tv_sec < 0)
		return offer_text(w, PREFIX OURS "birthtime", "-%lld.%09ld",
				  -((long long)birth.tv_sec + 1),
				  1000000000 - birth.tv_nsec);
	return offer_text(w, PREFIX OURS "birthtime", "%lld.%09ld",
			  (long long)birth.tv_sec, birth.tv_nsec);
}

static int offer_place(struct walk *w, const struct mb_record *rec)
{
	int rc;

	if (!rec->domain.ptr)
		return 0;
	rc = offer(w, PREFIX OURS "domain", rec->domain.ptr, rec->domain.len);
	return rc ? rc :
		    offer(w, PREFIX OURS "path", rec->path.ptr, rec->path.len);
}

static int offer_record(struct walk *w, const struct mb_record *rec)
{
	char hex[2 * sizeof(rec->digest) + 1];
	int rc;

	rc = offer_place(w, rec);
	if (rc == 0 && rec->file_id[0])
		rc = offer_text(w, PREFIX OURS "file-id", "%s", rec->file_id);
	if (rc == 0)
		rc = offer_text(w, PREFIX OURS "protection-class", "%u",
				rec->protection_class);
	if (rc == 0)
		rc = offer_text(w, PREFIX OURS "uid", "%u", rec->uid);
	if (rc == 0)
		rc = offer_text(w, PREFIX OURS "gid", "%u", rec->gid);
	if (rc == 0)
		rc = offer_text(w, PREFIX OURS "inode", "%llu",
				(unsigned long long)rec->inode);
	if (rc == 0)
		rc = offer_birth(w, rec->birth);
	if (rc == 0 && rec->digest_len) {
		hex_encode(hex, rec->digest, rec->digest_len);
		rc = offer_text(w, PREFIX OURS "digest", "%s", hex);
	}
	if (rc == 0 && rec->damage)
		rc = offer_text(w, PREFIX OURS "damage", "%s", rec->damage);
	return rc ? rc : mb_record_each_xattr(rec, offer_own, w);
}

static int walk(struct mount *m, struct volume *v, uint32_t node,
		struct walk *w)
{
	struct mb_record rec = { 0 };
	int rc;

	if (node == MB_ROOT)
		return offer_root(w, m, v);
	rc = mb_tree_record(v->tree, node, &rec, NULL);
	if (rc == 0)
		rc = offer_record(w, &rec);
	else if (rc == 1)
		rc = offer_place(w, &rec);
	mb_record_release(&rec);
	return rc;
}

int xattrs_get(struct mount *m, struct volume *v, uint32_t node,
	       const char *name, struct buf *value)
{
	struct walk w = { .wanted = name, .out = value };
	int rc;

	if (strncmp(name, PREFIX, strlen(PREFIX)))
		return -ENODATA; /* security.*, system.*: not worth a look */
	rc = walk(m, v, node, &w);
	return rc < 0 ? rc : w.found ? 0 : -ENODATA;
}

int xattrs_list(struct mount *m, struct volume *v, uint32_t node,
		struct buf *names)
{
	struct walk w = { .out = names };

	return walk(m, v, node, &w);
}
