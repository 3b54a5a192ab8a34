/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "mb/tree.h"
#include "unlock.h"

/* The command line of larderfs and mount.larderfs: larderfs(8). */
struct options {
	char *backup;
	char *mountpoint;
	bool helper;	       /* called by mount(8) */
	bool fake;	       /* mount -f: everything but the mount */
	bool sloppy;	       /* mount -s: unknown options are left aside */
	bool nofail;	       /* a backup that is not there is no failure */
	const char *namespace; /* mount -N: where to mount, a file; or NULL */
	bool foreground;
	bool debug;
	struct unlock_source unlock;
	enum mb_view view;
	bool salvage;
	uid_t uid;
	gid_t gid;
	/* permissions, or -1 for the recorded ones */
	int file_mode;
	int dir_mode;
	unsigned idle_s; /* 0: never */
	bool rmdir;	 /* the mountpoint, in the end */
	bool shared;   /* allow_other or allow_root: the kernel checks modes */
	unsigned ways; /* that may be used: ways.h */
	bool capabilities; /* only print which there are */
	char *fuse; /* options for libfuse, comma separated, "" for none */
};

enum options_result {
	OPTIONS_RUN,
	OPTIONS_DONE, /* help or version has been printed */
	OPTIONS_BAD,  /* a message has been printed */
};

/* options_parse - strings are owned by @o, released by options_release */
enum options_result options_parse(struct options *o, int argc, char **argv);
void options_release(struct options *o);

#endif
