/* SPDX-License-Identifier: BSD-3-Clause
 * What several engines run together: their communicator, and their end, which goes up the tree of a
 * reduction. Only MPI's part of it needs that all of them live. */
#include "mpi_engine/together.h"

#include <limits.h>
#include <stdlib.h>

#include "mpi_engine/engine.h"

/* MPI promises tags up to 32,767. The low ones are world_rebuild's; two tasks with the same one
 * cannot have engines in common. */
#define FIRST_TAG 16384
#define TAGS 16384

/* An MPI error. */
static int create_comm(MPI_Comm *comm, const int *ranks, size_t count, int tag)
{
    MPI_Group all, some;
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    int bad = MPI_Group_incl(all, (int)count, ranks, &some);
    if (!bad) {
        bad = MPI_Comm_create_group(MPI_COMM_WORLD, some, tag, comm);
        MPI_Group_free(&some);
    }
    MPI_Group_free(&all);
    return bad;
}

int together_begin(struct engine *engine, uint64_t number, const int32_t *engines, size_t count)
{
    int *ranks = malloc(count * sizeof *ranks);
    for (size_t i = 0; ranks && i < count; i++)
        ranks[i] = engines[i] + IPP_SERVICE_RANKS;
    MPI_Comm comm = MPI_COMM_SELF;
    int bad = !ranks || create_comm(&comm, ranks, count, FIRST_TAG + (int)(number % TAGS));
    free(ranks);
    engine->together = bad ? MPI_COMM_SELF : comm;
    if (!bad)
        MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    return bad ? -1 : 0;
}

static void leave_comm(struct engine *engine)
{
    if (engine->together != MPI_COMM_SELF && engine->together != MPI_COMM_NULL)
        MPI_Comm_free(&engine->together);
    engine->together = MPI_COMM_SELF;
}

/* What went wrong first counts, and a death more than that. Takes the frames of `theirs`. */
static void merge(int *status, ipp_frames_t *error, int said, ipp_frames_t *theirs)
{
    if ((*status == 0 && said != 0) || said == LINK_PART_LOST) {
        ipp_frames_clear(error);
        *error = *theirs;
        *theirs = (ipp_frames_t){ 0 };
        *status = said;
    }
    ipp_frames_clear(theirs);
}

/* LINK_PART_LOST when it died, or the job ends. */
static int hear(struct engine *engine, struct reduction *part, uint64_t number, int child,
                ipp_frames_t *frames)
{
    int status = LINK_PART_LOST;
    reduction_wait(part, number, child, &engine->stopping, -1);
    if (!reduction_take(part, number, child, &status, frames))
        return LINK_PART_LOST;
    return status;
}

enum together_end together_end(struct engine *engine, struct reduction *part, uint64_t number,
                               int *status, ipp_frames_t *error)
{
    leave_comm(engine);
    for (int i = 0; i < part->tree.child_count; i++) {
        ipp_frames_t frames = { 0 };
        int said = hear(engine, part, number, part->tree.children[i], &frames);
        merge(status, error, said, &frames);
    }
    if (part->tree.parent >= 0) {
        reduction_send(part, number, *status, error); /* or it is dead */
        return TOGETHER_TOLD;
    }
    return *status == LINK_PART_LOST ? TOGETHER_LOST : TOGETHER_FIRST;
}

void together_reply(struct engine *engine, struct request *request, enum link_status status,
                    ipp_frame_t *content, ipp_frames_t *buffers)
{
    int merged = status;
    ipp_frames_t error = { 0 };
    if (status != LINK_OK)
        ipp_frames_push(&error, ipp_frame_ref(content));
    enum together_end end =
        together_end(engine, request->reduction, request->envelope.request, &merged, &error);
    if (end == TOGETHER_FIRST && merged != (int)status && error.count > 0) {
        ipp_frame_unref(content);
        content = ipp_frame_ref(error.at[0]);
        ipp_frames_clear(buffers);
        status = (enum link_status)merged;
    }
    if (end == TOGETHER_LOST)
        request->answers = false; /* the balancer has heard of the death, and has it run again or
                                     answered */
    ipp_frames_clear(&error);
    request_reply(engine, request, status, content, buffers);
}
