/* SPDX-License-Identifier: BSD-3-Clause
 * What several engines run together. Both its beginning and its end go along the tree of a
 * reduction, by link, which hears of deaths: MPI waits for ever for an engine that never comes. */
#include "mpi_engine/together.h"

#include <stdlib.h>

#include "mpi_engine/tasks.h"

/* MPI promises tags up to 32,767. The low ones are world_rebuild's; two tasks with the same one
 * cannot have engines in common. */
#define FIRST_TAG 16384
#define TAGS 16384
/* Engines that have begun together mostly end so: for this long nobody is told that one waits. */
#define SOON_MS 2

/* ---- what neighbours in the tree say ---- */

static void tell(const struct reduction *part, uint64_t number, int engine, int status)
{
    struct link_envelope envelope = {
        .kind = LINK_PARTIAL, .engine = part->engine->id, .request = number, .value = status
    };
    link_send(part->engine->link, engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope,
              NULL); /* or it is dead */
}

struct hearing {
    struct engine *engine;
    struct reduction *part;
    uint64_t number;
    int neighbour;
};

/* True with *status: LINK_PART_LOST when it died, or the job ends. */
static bool has_said(const struct hearing *hearing, int *status, ipp_frames_t *frames)
{
    bool gone = atomic_load(&hearing->engine->stopping) ||
                reduction_lost(hearing->part, hearing->neighbour);
    if (reduction_take(hearing->part, hearing->number, hearing->neighbour, status, frames))
        return true;
    *status = LINK_PART_LOST;
    return gone;
}

static void wait_a_while(const struct hearing *hearing, bool or_work, int64_t deadline_ms)
{
    reduction_wait(hearing->part, hearing->number, hearing->neighbour, &hearing->engine->stopping,
                   or_work, deadline_ms);
}

static int hear(struct engine *engine, struct reduction *part, uint64_t number, int neighbour)
{
    struct hearing hearing = { engine, part, number, neighbour };
    ipp_frames_t none = { 0 };
    int status;
    while (!has_said(&hearing, &status, &none))
        wait_a_while(&hearing, false, -1);
    ipp_frames_clear(&none);
    return status;
}

/* An application's rank runs tasks meanwhile: the neighbour may wait for them. */
static int hear_the_end(struct engine *engine, struct reduction *part, uint64_t number,
                        int neighbour, ipp_frames_t *frames)
{
    struct hearing hearing = { engine, part, number, neighbour };
    struct tasks *tasks = engine->tasks;
    bool patient = false;
    int status;
    while (!has_said(&hearing, &status, frames)) {
        if (tasks && tasks_run_one(tasks))
            continue;
        if (tasks)
            tasks_flush(tasks);
        wait_a_while(&hearing, tasks != NULL, patient ? -1 : ipp_now_ms() + SOON_MS);
        if (!patient && tasks)
            tasks_tell_blocked(tasks, number, true);
        patient = true;
    }
    if (patient && tasks)
        tasks_tell_blocked(tasks, number, false);
    return status;
}

/* ---- the beginning ---- */

/* "Here" goes up, "go" comes down; both are LINK_PART_LOST where one of them will not come. */
static bool meet(struct engine *engine, struct reduction *part, uint64_t number)
{
    const struct partials_tree *tree = &part->tree;
    int status = 0;
    for (int i = 0; i < tree->child_count; i++)
        if (hear(engine, part, number, tree->children[i]) != 0)
            status = LINK_PART_LOST;
    if (tree->parent >= 0) {
        tell(part, number, tree->parent, status);
        status = hear(engine, part, number, tree->parent);
    }
    for (int i = 0; i < tree->child_count; i++)
        tell(part, number, tree->children[i], status);
    part->taken = 0;
    part->met = true;
    part->over = status != 0;
    return status == 0;
}

bool together_begin(struct engine *engine, struct reduction *part, uint64_t number,
                    const int32_t *engines, size_t count)
{
    if (!meet(engine, part, number))
        return false;
    engine->gang = (struct gang){ number, engines, count, MPI_COMM_NULL };
    return true;
}

void together_abandon(struct reduction *part, uint64_t number)
{
    const struct partials_tree *tree = &part->tree;
    if (part->met)
        return;
    for (int i = 0; i < tree->child_count; i++)
        tell(part, number, tree->children[i], LINK_PART_LOST);
    if (tree->parent >= 0) {
        tell(part, number, tree->parent, LINK_PART_LOST);
        partials_refuse(part->engine->partials, number, tree->parent);
        part->sent = true;
    }
}

/* ---- the communicator ---- */

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

MPI_Comm together_comm(struct engine *engine)
{
    struct gang *gang = &engine->gang;
    if (gang->count == 0)
        return MPI_COMM_SELF;
    if (gang->comm != MPI_COMM_NULL)
        return gang->comm;
    int *ranks = malloc(gang->count * sizeof *ranks);
    for (size_t i = 0; ranks && i < gang->count; i++)
        ranks[i] = gang->engines[i] + IPP_SERVICE_RANKS;
    int tag = FIRST_TAG + (int)(gang->number % TAGS);
    if (!ranks || create_comm(&gang->comm, ranks, gang->count, tag) != MPI_SUCCESS)
        gang->comm = MPI_COMM_NULL;
    else
        MPI_Comm_set_errhandler(gang->comm, MPI_ERRORS_RETURN);
    free(ranks);
    return gang->comm;
}

static void disperse(struct engine *engine)
{
    if (engine->gang.count > 0 && engine->gang.comm != MPI_COMM_NULL)
        MPI_Comm_free(&engine->gang.comm);
    engine->gang = (struct gang){ 0 };
}

/* ---- the end ---- */

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

void together_end(struct engine *engine, struct reduction *part, uint64_t number, int *status,
                  ipp_frames_t *error)
{
    disperse(engine);
    for (int i = 0; i < part->tree.child_count; i++) {
        ipp_frames_t frames = { 0 };
        int said = hear_the_end(engine, part, number, part->tree.children[i], &frames);
        merge(status, error, said, &frames);
    }
    if (part->tree.parent >= 0)
        reduction_send(part, number, *status, error); /* or it is dead */
}

void together_reply(struct engine *engine, struct request *request, enum link_status status,
                    ipp_frame_t *content, ipp_frames_t *buffers)
{
    int merged = status;
    ipp_frames_t error = { 0 };
    if (status != LINK_OK)
        ipp_frames_push(&error, ipp_frame_ref(content));
    together_end(engine, request->reduction, request->envelope.request, &merged, &error);
    bool lost = merged == LINK_PART_LOST, theirs = merged != (int)status && error.count > 0;
    if (lost || theirs) {
        ipp_frame_unref(content);
        ipp_frames_clear(buffers);
        content = lost ? wire_json_frame_new(
                             request_error(engine, request, "EngineError", TOGETHER_LOST_TEXT))
                       : ipp_frame_ref(error.at[0]);
        status = lost ? LINK_ERROR : (enum link_status)merged;
    }
    ipp_frames_clear(&error);
    request_reply(engine, request, status, content, buffers);
}
