/* SPDX-License-Identifier: BSD-3-Clause
 * Tasks that several engines run together. The main thread's. */
#ifndef IPP_TOGETHER_H
#define IPP_TOGETHER_H

#include <mpi.h>

#include "link/link.h"

struct engine;
struct request;
struct reduction;

#define TOGETHER_LOST_TEXT                                                                         \
    "an engine that ran this task together with others died, or was shut down"

/* Waits until all of `engines` (ids, ascending; they stay the caller's until the end) have come to
 * this place for task `number`. False: one of them will not come, and the task ends here. */
bool together_begin(struct engine *engine, struct reduction *part, uint64_t number,
                    const int32_t *engines, size_t count);
/* The communicator of those that run the task at hand, MPI_COMM_SELF where this one alone does.
 * They make it when it is first asked for, which all of them have to do. MPI_COMM_NULL: MPI has
 * failed. */
MPI_Comm together_comm(struct engine *engine);
/* Where it was not begun, the others learn that it will not be. Any thread. */
void together_abandon(struct reduction *part, uint64_t number);

/* Frees the communicator, and waits until those below in the tree have ended too; the parent is
 * told. *status: 0, or what went wrong here; where all is well here and not below, it becomes
 * theirs, and so does `error` (frames of a PARTIAL); LINK_PART_LOST where one has died. The answer
 * is the root's. */
void together_end(struct engine *engine, struct reduction *part, uint64_t number, int *status,
                  ipp_frames_t *error);

/* The end of a request of this kind: as request_reply, when all have ended. */
void together_reply(struct engine *engine, struct request *request, enum link_status status,
                    ipp_frame_t *content, ipp_frames_t *buffers);

#endif
