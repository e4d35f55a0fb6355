/* SPDX-License-Identifier: BSD-3-Clause
 * Tasks that several engines run together. The main thread's. */
#ifndef IPP_TOGETHER_H
#define IPP_TOGETHER_H

#include "link/link.h"

struct engine;
struct request;
struct reduction;

/* Sets engine->together to the communicator of `engines` (ids, ascending), which all of them build
 * for task `number`. -1: MPI has failed, and it is MPI_COMM_SELF. */
int together_begin(struct engine *engine, uint64_t number, const int32_t *engines, size_t count);

enum together_end {
    TOGETHER_FIRST, /* this engine speaks for all */
    TOGETHER_TOLD,  /* another one does, and knows how it ended here */
    TOGETHER_LOST   /* one of them died: the balancer knows what becomes of the task */
};

/* Frees the communicator, and waits until those below in the tree have ended too. *status: 0, or
 * what went wrong here; where all is well here and not below, it becomes theirs, and so does
 * `error` (frames of a PARTIAL, which the parent gets). */
enum together_end together_end(struct engine *engine, struct reduction *part, uint64_t number,
                               int *status, ipp_frames_t *error);

/* The end of a request of this kind: as request_reply, when all have ended. */
void together_reply(struct engine *engine, struct request *request, enum link_status status,
                    ipp_frame_t *content, ipp_frames_t *buffers);

#endif
