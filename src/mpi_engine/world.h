/* SPDX-License-Identifier: BSD-3-Clause
 * The engines' own communicator, which user code sees as its world. When an engine dies, the others
 * get a new one, of which it is no member: ranks in it are counted anew, engine ids stay. */
#ifndef IPP_WORLD_H
#define IPP_WORLD_H

#include "base/base.h"
#include "link/link.h"

/* Collective over the job. */
void world_create(bool member);
void world_free(void);

/* Comm thread: builds the survivors' communicator in a thread of its own, because that waits for
 * all of them; the newest complete one counts. All survivors must be told with the same count of
 * `losses`. */
void world_rebuild(link_t *link, int losses);

/* Stores the communicator at `handle`, an MPI_Comm. */
void world_store(void *handle);
/* True once after the communicator has changed. */
bool world_changed(void);

#endif
