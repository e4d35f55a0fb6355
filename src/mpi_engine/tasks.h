/* SPDX-License-Identifier: BSD-3-Clause
 * What submitting, waiting for and running C tasks have in common. The main thread's, but for what
 * is atomic. */
#ifndef IPP_TASKS_H
#define IPP_TASKS_H

#include "mpi_engine/app.h"
#include "mpi_engine/cancels.h"

struct ipp_task_type {
    struct ipp_task_type *next;
    uint16_t number; /* the same on all ranks */
    char name[64];
    ipp_task_fn fn;
    void *arg;
};

struct wait;

struct tasks {
    ipp_t *ipp;
    MPI_Comm comm; /* for ipp_task_register */
    struct task_store *store;
    cancels_t *cancels;
    struct ipp_task_type *types;
    int type_count;
    link_batch_t submitted, ended;
    link_batch_t *results; /* by the engine that has submitted them */
    int64_t flushed_ns;    /* when results were last sent while tasks run */
    ipp_frame_t *batch;    /* of which some are left to run; NULL: none */
    size_t batch_at;
    int depth;                /* of tasks that run: one may wait for another */
    _Atomic uint64_t running; /* the innermost; 0: none */
    struct wait *waits;       /* of tasks that wait, the innermost first */
    bool serving;
    _Atomic long quiet; /* LINK_QUIET came: how many have failed; NOT_QUIET */
};

#define NOT_QUIET (-1)

/* ---- tasks.c ---- */
/* Sends what was submitted, and what tasks have left behind. -1: ENOMEM, and what could not be sent
 * waits for the next time. */
int tasks_flush(struct tasks *tasks);
/* Task `number`, which runs here, waits for others, which may run here meanwhile; or not any more.
 */
void tasks_tell_blocked(const struct tasks *tasks, uint64_t number, bool blocked);
/* Whether the job ends; errno is ECANCELED then. */
bool tasks_cancelled(const struct tasks *tasks);

/* ---- task_run.c ---- */
/* Runs one task, or answers one request, if there is one. */
bool tasks_run_one(struct tasks *tasks);

#endif
