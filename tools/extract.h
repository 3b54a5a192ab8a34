/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXTRACT_H
#define EXTRACT_H

#include <stdatomic.h>

#include "extract_plan.h"
#include "selection.h"
#include "tool.h"
#include "work.h"

/* What the rooms of "larder extract" share; extract.c tells the story. */

struct extract_wish {
	const char *backup;
	const char *dest; /* a folder; NULL: @tar */
	const char *tar;  /* a file, "-" for standard output; NULL: @dest */
	enum mb_view view;
	bool overwrite;
	struct selection selection;
};

/* What has been done; counted up from both threads. */
struct extract_counts {
	atomic_uint_fast64_t files, folders, links;
	atomic_uint_fast64_t bytes; /* of content */
	/* were there, whole, from a run before */
	atomic_uint_fast64_t kept, kept_bytes;
	atomic_uint_fast64_t damaged;
	atomic_uint_fast64_t failed; /* the file system does not take them */
};

struct extract {
	struct common common;
	struct extract_wish wish;
	struct work work;
	struct mb_backup *backup;
	struct mb_tree *tree;
	struct extract_plan plan;
	struct extract_counts counts;
};

/* An entry whose content, or part of it, is lost: said, and counted. */
void extract_damaged(struct extract *x, uint32_t node, const char *why);
/* An entry that cannot be made where it belongs; the others can. */
void extract_failed(struct extract *x, uint32_t node, const char *why);

/* extract_is_stopped - has Ctrl-C been pressed? */
bool extract_is_stopped(void);

/* Permissions as they are set: nothing that lends somebody's rights. */
#define EXTRACT_MODE(mode) ((mode_t)((mode)&0777))

/*
 * extract_open - the content of a file, and what is known to be wrong with it
 * said
 *
 * Returns 0; 1 if there is none to be had, which has been said; -ENOMEM and
 * what else is no fault of this file.
 */
int extract_open(struct extract *x, uint32_t node, const struct mb_record *rec,
		 struct mb_reader **reader);

struct extract_dest;

/* extract_files.c: into a folder */
int extract_files(struct extract *x, struct extract_dest *dest,
		  struct mb_err *err);

/* extract_check.c: -EEXIST if something is where an entry is to be */
int extract_check(struct extract *x, const struct extract_dest *dest,
		  struct mb_err *err);

/* extract_tar.c: into an archive */
int extract_tar(struct extract *x, struct mb_err *err);

#endif
