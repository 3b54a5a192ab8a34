/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest.h"

#include <stdarg.h>
#include <stdio.h>

void manifest_free(struct manifest *m)
{
	if (m)
		m->ops->free(m);
}

void manifest_on_note(struct manifest *m,
		      void (*note)(void *arg, const char *line), void *arg)
{
	m->note = note;
	m->note_arg = arg;
}

int manifest_each_domain_do(struct manifest *m, manifest_each_domain *each,
			    void *arg, struct mb_err *err)
{
	return m->ops->each_domain(m, each, arg, err);
}

int manifest_scan(struct manifest *m, struct mb_slice domain, bool sizes,
		  manifest_each_entry *each, void *arg, struct mb_err *err)
{
	return m->ops->scan(m, domain, sizes, each, arg, err);
}

int manifest_each_id_do(struct manifest *m, manifest_each_id *each, void *arg,
			struct mb_err *err)
{
	return m->ops->each_id(m, each, arg, err);
}

int manifest_get(struct manifest *m, int64_t handle, struct mb_record *rec,
		 struct mb_err *err)
{
	return m->ops->get(m, handle, rec, err);
}

int manifest_glance(struct manifest *m, int64_t handle, struct mb_record *rec,
		    struct mb_err *err)
{
	return m->ops->glance ? m->ops->glance(m, handle, rec, err) :
				m->ops->get(m, handle, rec, err);
}

void manifest_note(struct manifest *m, const char *fmt, ...)
{
	struct mb_err line; /* for its printable text */
	char text[sizeof(line.text)];
	va_list ap;

	if (!m->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), mb_err_translated(fmt), ap);
	va_end(ap);
	mb_err_set(&line, 0, "%s", text);
	m->note(m->note_arg, line.text);
}
