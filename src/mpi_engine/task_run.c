/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks, from the side of who runs them. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/tasks.h"

/* Results wait so long for others that go the same way. */
#define RESULTS_WAIT_NS 1000000
/* MPI promises so many tags; two wide tasks that have the same can not have engines in common. */
#define COMM_TAGS 32768

struct ipp_task_output {
    void *data;
    size_t size, capacity;
};

/* ---- what a task puts ---- */

void *ipp_task_room(ipp_task_output_t *output, size_t size)
{
    if (size > INT32_MAX) {
        errno = EMSGSIZE;
        return NULL;
    }
    if (size > output->capacity || !output->data) {
        void *data = malloc(size > 0 ? size : 1);
        if (!data) {
            errno = ENOMEM;
            return NULL;
        }
        free(output->data);
        output->data = data;
        output->capacity = size;
    }
    output->size = size;
    return output->data;
}

int ipp_task_put(ipp_task_output_t *output, const void *data, size_t size)
{
    void *room = ipp_task_room(output, size);
    if (!room)
        return -1;
    if (size > 0)
        memcpy(room, data, size);
    return 0;
}

/* ---- one task ---- */

static const struct ipp_task_type *type_of(const struct tasks *tasks, uint16_t number)
{
    const struct ipp_task_type *type = tasks->types;
    while (type && type->number != number)
        type = type->next;
    return type;
}

/* Its own results a rank takes at once. */
static void tell_submitter(struct tasks *tasks, const struct link_record *record,
                           const ipp_task_output_t *output)
{
    int rank = task_number_rank(record->task);
    if (rank == tasks->ipp->job.rank) {
        task_store_end(tasks->store, record->task, (enum ipp_task_status)record->status,
                       record->value, output->data, output->size);
        return;
    }
    struct link_record result = *record;
    result.size = (uint32_t)output->size;
    if (link_batch_add(&tasks->results[rank - IPP_SERVICE_RANKS], &result, output->data) < 0)
        abort(); /* whoever waits for it would wait for ever */
}

static void tell_balancer(struct tasks *tasks, const struct link_record *record)
{
    struct link_record ended = *record;
    ended.size = 0;
    if (link_batch_add(&tasks->ended, &ended, NULL) < 0)
        abort();
}

/* ---- several ranks at once ---- */

MPI_Comm ipp_task_comm(const ipp_t *ipp)
{
    return ipp->tasks->together;
}

/* -1: MPI has failed. */
static int come_together(struct tasks *tasks, const struct link_record *record,
                         const int32_t *engines)
{
    MPI_Group all, some;
    MPI_Comm_group(tasks->comm, &all);
    int bad = MPI_Group_incl(all, record->status, engines, &some);
    if (!bad) {
        int tag = (int)(record->task % COMM_TAGS);
        bad = MPI_Comm_create_group(tasks->comm, some, tag, &tasks->together);
        MPI_Group_free(&some);
    }
    MPI_Group_free(&all);
    if (bad)
        tasks->together = MPI_COMM_SELF;
    else
        MPI_Comm_set_errhandler(tasks->together, MPI_ERRORS_RETURN);
    return bad ? -1 : 0;
}

/* They all know of a failure on one of them. */
static int part(struct tasks *tasks, int value)
{
    int mine = value < 0 ? INT_MAX : value, worst = mine;
    if (tasks->together == MPI_COMM_SELF)
        return value;
    MPI_Allreduce(&mine, &worst, 1, MPI_INT, MPI_MAX, tasks->together);
    MPI_Comm_free(&tasks->together);
    return worst == 0 ? 0 : value != 0 ? value : worst;
}

/* Calls the task's function; *first: its output counts. */
static int call(struct tasks *tasks, struct link_record *record, ipp_task_output_t *output,
                bool *first)
{
    const struct ipp_task_type *type = type_of(tasks, record->type);
    const char *payload = link_record_bytes(record);
    size_t width = record->status, head = width > 1 ? link_engines_size(width) : 0;
    uint64_t outer_task = tasks->running;
    MPI_Comm outer_comm = tasks->together;
    int value = 0;
    tasks->running = record->task;
    tasks->together = MPI_COMM_SELF;
    tasks->depth++;
    *first = width < 2 || *(const int32_t *)(const void *)payload == tasks->ipp->engine->id;
    if (width > 1)
        value = come_together(tasks, record, (const void *)payload) < 0 ? EIO : 0;
    if (value == 0)
        value = type->fn(tasks->ipp, payload + head, record->size - head, output, type->arg);
    value = part(tasks, value);
    tasks->depth--;
    tasks->running = outer_task;
    tasks->together = outer_comm;
    return value;
}

static void run(struct tasks *tasks, struct link_record *record)
{
    ipp_task_output_t output = { 0 };
    bool first;
    int64_t begin = ipp_now_ns();
    record->value = call(tasks, record, &output, &first);
    int64_t end = ipp_now_ns(), time = end - begin;
    record->time_ns = time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
    record->status = record->value == 0 ? IPP_TASK_OK : IPP_TASK_FAILED;
    bool again = record->status == IPP_TASK_FAILED && record->retries > 0;
    if (!again && first && !task_number_is_detached(record->task))
        tell_submitter(tasks, record, &output);
    tell_balancer(tasks, record);
    free(output.data);
    if (tasks->ended.used >= LINK_BATCH_BYTES || end - tasks->flushed_ns > RESULTS_WAIT_NS) {
        tasks_flush(tasks);
        tasks->flushed_ns = end;
    }
}

/* ---- the next one ---- */

/* The next record of the batch at hand, or of the next one in the queue; it keeps *frame alive. */
static struct link_record *next_record(struct tasks *tasks, ipp_frame_t **frame)
{
    struct run_queue *queue = tasks->ipp->engine->queue;
    struct request *request;
    for (;;) {
        struct link_record *record =
            tasks->batch ? link_batch_next(tasks->batch, &tasks->batch_at) : NULL;
        if (record) {
            *frame = ipp_frame_ref(tasks->batch);
            return record;
        }
        ipp_frame_unref(tasks->batch);
        tasks->batch = NULL;
        enum run_queue_event event = run_queue_pop(queue, &request);
        if (event == QUEUE_REQUEST) {
            tasks->batch = ipp_frame_ref(request->frames.at[0]);
            tasks->batch_at = 0;
            request_free(request);
        } else if (event != QUEUE_NUDGED) {
            return NULL;
        }
    }
}

bool tasks_run_one(struct tasks *tasks)
{
    ipp_frame_t *frame;
    struct link_record *record = next_record(tasks, &frame);
    if (!record)
        return false;
    run(tasks, record);
    ipp_frame_unref(frame);
    return true;
}

/* ---- serving ---- */

static void say_serving(struct tasks *tasks)
{
    struct link_envelope serving = { .kind = LINK_SERVING, .engine = tasks->ipp->engine->id };
    link_send(tasks->ipp->job.link, 1, LINK_DATA, &serving, NULL);
}

static bool nothing_to_do(void *arg)
{
    struct tasks *tasks = arg;
    return atomic_load(&tasks->quiet) == NOT_QUIET && !run_queue_pending(tasks->ipp->engine->queue);
}

long ipp_task_serve(ipp_t *ipp)
{
    struct tasks *tasks = ipp->tasks;
    if (tasks->depth > 0) {
        errno = EDEADLK;
        return -1;
    }
    if (tasks_flush(tasks) < 0)
        return -1;
    say_serving(tasks);
    for (;;) {
        while (tasks_run_one(tasks))
            ;
        if (tasks_flush(tasks) < 0 || tasks_cancelled(tasks))
            return -1;
        long failed = atomic_exchange(&tasks->quiet, NOT_QUIET);
        if (failed != NOT_QUIET)
            return failed;
        drive_while(ipp->engine->drive, nothing_to_do, tasks, -1);
    }
}
