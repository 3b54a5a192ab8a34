/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "idle.h"

#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "mountpoint.h"
#include "thread.h"

struct watch {
	struct mount *mount;
	const char *mountpoint;
	dev_t device; /* what is mounted there */
};

static void *run(void *arg)
{
	struct watch *w = arg;
	struct mount *m = w->mount;
	long long idle_s = m->options->idle_s;

	for (;;) {
		long long left = atomic_load(&m->last_request_s) + idle_s -
				 monotonic_s();

		if (left > 0) {
			sleep((unsigned)left);
			continue;
		}
		/*
		 * The kernel answers much without asking us; but an open file
		 * or a working folder in the mount keeps it busy.
		 */
		if (!open_files_busy(&m->files) &&
		    mountpoint_unmount_idle(w->mountpoint, w->device) == 0)
			break;
		sleep((unsigned)idle_s);
	}
	free(w);
	return NULL;
}

int idle_start(struct mount *m, const char *mountpoint)
{
	struct watch *w = calloc(1, sizeof(*w));
	pthread_t thread;
	int rc;

	if (!w)
		return -1;
	*w = (struct watch){ m, mountpoint, mountpoint_device(mountpoint) };
	atomic_store(&m->last_request_s, monotonic_s());
	rc = thread_start(&thread, run, w);
	if (rc) {
		free(w);
		return -rc;
	}
	pthread_detach(thread);
	return 0;
}
