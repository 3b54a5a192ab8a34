/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WAKEFUL_H
#define WAKEFUL_H

/*
 * Who reads here and there in a file waits for each answer, and asks again at
 * once. To fall asleep in between, and to be woken on a core that has gone to
 * sleep as well, takes longer than to answer. So a thread that has just answered
 * such a read looks for the next request for a while before it sleeps.
 */

/* wakeful_soon - the calling thread may expect another request at once */
void wakeful_soon(void);

/*
 * wakeful_wait - until something can be read from @fd, or it has been enough
 *
 * Returns at once unless wakeful_soon has been called since.
 */
void wakeful_wait(int fd);

#endif
