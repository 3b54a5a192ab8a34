/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PACKING_H
#define PACKING_H

#include "secret.h"
#include "stage.h"
#include "tool.h"
#include "work.h"

/*
 * A source written as a new backup, in a folder of its own: what pack and
 * rekey have in common. Filled in by the command's options, then packing_run,
 * packing_report, and packing_release in any case.
 */
struct packing {
	struct common common;
	const char *from, *to; /* what it is made of; the new folder */
	const char *base;      /* as source_open; or NULL */
	const char *doing;     /* "packing" */
	enum mb_encryption encryption;
	const char *new_passfile; /* NULL: asked for */
	uint32_t iterations;	  /* 0: as devices have */
	struct selection selection;
	bool strict; /* payloads that had to be left out are damage */

	/* private */
	struct work work;
	struct source *source;
	struct stage stage;
	struct secret password; /* a new one */
	char *path;		/* of the backup, when it is there */
};

/* Returns 0; -EEXIST; -ECANCELED; what stage_fill and others return. */
int packing_run(struct packing *p, struct mb_err *err);

/* packing_fail - say why packing_run failed; returns the exit status */
int packing_fail(struct packing *p, int rc, const struct mb_err *err);

/* packing_report - what there is now, on standard output; the exit status */
int packing_report(struct packing *p);

void packing_release(struct packing *p);
MB_DEFINE_AUTO_VALUE(struct packing, packing_release)

/*
 * new_password - one to be, that a device can take
 * @passfile: NULL: asked for on the terminal, twice
 *
 * Returns as secret_from_file and secret_new_from_terminal; -EINVAL.
 */
int new_password(struct secret *s, const char *passfile, struct mb_err *err);

/* What a person may ask a derivation to take. */
#define ITERATIONS_MAX 200000000

/* parse_iterations - false if it is no number from 1 to ITERATIONS_MAX */
bool parse_iterations(const char *text, uint32_t *out);

#endif
