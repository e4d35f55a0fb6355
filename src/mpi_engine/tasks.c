/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks, from the side of who submits them. */
#include "mpi_engine/tasks.h"
#include "sched/sched.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages under way at which the submitter sees to them first. */
#define UNSENT_MAX 64
#define TYPES_MAX UINT16_MAX
#define BALANCER_RANK 1
#define PRIORITY_MOST 1000

/* ---- made and ended ---- */

struct tasks *tasks_create(ipp_t *ipp)
{
    struct tasks *tasks = calloc(1, sizeof *tasks);
    if (!tasks)
        return NULL;
    tasks->ipp = ipp;
    tasks->quiet = NOT_QUIET;
    tasks->store = task_store_create(ipp->job.rank);
    tasks->cancels = cancels_create();
    tasks->results = calloc((size_t)ipp->engine->engines, sizeof *tasks->results);
    if (!tasks->store || !tasks->cancels || !tasks->results) {
        task_store_destroy(tasks->store);
        cancels_destroy(tasks->cancels);
        free(tasks->results);
        free(tasks);
        return NULL;
    }
    MPI_Comm_dup(ipp_comm(ipp), &tasks->comm);
    MPI_Comm_set_errhandler(tasks->comm, MPI_ERRORS_RETURN);
    ipp->engine->tasks = tasks;
    return tasks;
}

void tasks_close(struct tasks *tasks)
{
    tasks_flush(tasks);
    if (tasks->batch)
        tasks_abandon(tasks, tasks->batch, tasks->batch_at);
}

void tasks_destroy(struct tasks *tasks, bool finalize)
{
    if (finalize)
        MPI_Comm_free(&tasks->comm);
    for (struct ipp_task_type *type; (type = tasks->types) != NULL;) {
        tasks->types = type->next;
        free(type);
    }
    for (int i = 0; i < tasks->ipp->job.size - IPP_SERVICE_RANKS; i++)
        link_batch_clear(&tasks->results[i]);
    link_batch_clear(&tasks->submitted);
    link_batch_clear(&tasks->ended);
    ipp_frame_unref(tasks->batch);
    task_store_destroy(tasks->store);
    cancels_destroy(tasks->cancels);
    free(tasks->results);
    free(tasks);
}

/* ---- types ---- */

static bool name_is_fine(const struct tasks *tasks, const char *name)
{
    json_t *utf8 = json_string(name);
    json_decref(utf8);
    if (!utf8 || !name[0] || strlen(name) >= sizeof tasks->types->name ||
        tasks->type_count == TYPES_MAX)
        return false;
    for (const struct ipp_task_type *type = tasks->types; type; type = type->next)
        if (strcmp(type->name, name) == 0)
            return false;
    return true;
}

/* Whether all ranks have this name, and none has a reason against it. */
static bool agreed(struct tasks *tasks, const char *name, bool fine)
{
    char first[sizeof tasks->types->name] = "";
    if (fine)
        snprintf(first, sizeof first, "%s", name);
    MPI_Bcast(first, sizeof first, MPI_CHAR, 0, tasks->comm);
    int all, mine = fine && strcmp(first, name) == 0;
    return MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, tasks->comm) == MPI_SUCCESS && all;
}

ipp_task_type_t *ipp_task_register(ipp_t *ipp, const char *name, ipp_task_fn fn, void *arg)
{
    struct tasks *tasks = ipp->tasks;
    struct ipp_task_type *type = calloc(1, sizeof *type);
    bool fine = name_is_fine(tasks, name);
    if (!agreed(tasks, name, fine && fn && type)) {
        errno = type ? EINVAL : ENOMEM;
        free(type);
        return NULL;
    }
    snprintf(type->name, sizeof type->name, "%s", name);
    type->number = (uint16_t)tasks->type_count++;
    type->fn = fn;
    type->arg = arg;
    type->next = tasks->types;
    tasks->types = type;
    return type;
}

/* ---- submitting ---- */

bool tasks_cancelled(const struct tasks *tasks)
{
    const struct engine *engine = tasks->ipp->engine;
    if (!atomic_load(&engine->stopping) && !atomic_load(&engine->retired))
        return false;
    errno = ECANCELED;
    return true;
}

static bool too_many_unsent(void *arg)
{
    const struct tasks *tasks = arg;
    return link_unsent(tasks->ipp->job.link) > UNSENT_MAX;
}

static int send_batch(struct tasks *tasks, int rank, enum link_kind kind, link_batch_t *batch)
{
    if (batch->count == 0)
        return 0;
    struct link_envelope envelope = { .kind = (uint16_t)kind, .engine = tasks->ipp->engine->id };
    ipp_frame_t *frame = link_batch_take(batch);
    ipp_frames_t frames = { 0 };
    if (ipp_frames_push(&frames, frame) < 0)
        return -1;
    link_send(tasks->ipp->job.link, rank, LINK_DATA, &envelope, &frames); /* or it is dead */
    drive_while(tasks->ipp->engine->drive, too_many_unsent, tasks, -1);
    return 0;
}

/* Results before the word that they are there: of what nobody has heard, the balancer tells. */
int tasks_flush(struct tasks *tasks)
{
    int failed = send_batch(tasks, BALANCER_RANK, LINK_SUBMIT, &tasks->submitted);
    for (int i = 0; i < tasks->ipp->engine->engines; i++)
        failed |= send_batch(tasks, i + IPP_SERVICE_RANKS, LINK_RESULTS, &tasks->results[i]);
    return failed | send_batch(tasks, BALANCER_RANK, LINK_ENDED, &tasks->ended);
}

int ipp_task_flush(ipp_t *ipp)
{
    return tasks_flush(ipp->tasks);
}

static bool are_engines(const struct tasks *tasks, const ipp_task_ranks_t *ranks)
{
    bool good = true;
    for (size_t i = 0; i < ranks->count; i++)
        good &= ranks->ranks[i] >= 0 && ranks->ranks[i] < tasks->ipp->engine->engines;
    return good;
}

static int check(const struct tasks *tasks, const ipp_task_type_t *type, size_t size,
                 const ipp_task_options_t *options)
{
    if (tasks_cancelled(tasks))
        return -1;
    if (!type || options->retries < 0 || options->engine < -1 || options->width < 0 ||
        options->timeout_ms < 0 || options->priority > PRIORITY_MOST ||
        options->priority < -PRIORITY_MOST || options->engine >= tasks->ipp->engine->engines ||
        !are_engines(tasks, &options->targets) || !are_engines(tasks, &options->preferred) ||
        (options->scheme && sched_policy_index(options->scheme) < 0)) {
        errno = EINVAL;
        return -1;
    }
    if (size > INT32_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    return 0;
}

/* ---- more than an engine and retries ---- */

static bool wants_more(const ipp_task_options_t *options)
{
    return options->priority || options->width > 1 || options->timeout_ms || options->after.count ||
           options->follow.count || options->targets.count || options->preferred.count ||
           options->scheme;
}

static uint32_t kind_of(const ipp_task_needs_t *needs)
{
    uint32_t ends = (needs->ends & IPP_TASK_FAILURE ? LINK_NEEDS_FAILURE : 0u) |
                    (needs->ends & IPP_TASK_SUCCESS ? LINK_NEEDS_SUCCESS : 0u);
    return (needs->ends & IPP_TASK_ANY ? 0u : LINK_NEEDS_ALL) | (ends ? ends : LINK_NEEDS_SUCCESS);
}

static void write_numbers(uint64_t *out, const ipp_task_needs_t *needs)
{
    for (size_t i = 0; i < needs->count; i++)
        out[i] = task_store_number(needs->tasks[i]);
}

/* The next place behind them. */
static int32_t *write_ranks(int32_t *out, const ipp_task_ranks_t *ranks)
{
    for (size_t i = 0; i < ranks->count; i++)
        *out++ = ranks->ranks[i];
    return out;
}

/* struct link_task, and the payload behind it; sets *size. NULL: no memory. */
static void *with_wants(const ipp_task_options_t *options, const void *payload, uint32_t *size)
{
    const ipp_task_ranks_t alone = { &options->engine, 1 };
    const ipp_task_ranks_t *targets = options->engine >= 0 ? &alone : &options->targets;
    struct link_task head = { .timeout_ms = options->timeout_ms,
                              .retries = options->retries,
                              .priority = options->priority,
                              .width = options->width,
                              .policy = options->scheme ? sched_policy_index(options->scheme) : -1,
                              .after_count = (uint32_t)options->after.count,
                              .follow_count = (uint32_t)options->follow.count,
                              .target_count = (uint32_t)targets->count,
                              .preferred_count = (uint32_t)options->preferred.count,
                              .after_kind = kind_of(&options->after),
                              .follow_kind = kind_of(&options->follow) };
    size_t bytes = link_task_size(&head);
    char *whole = calloc(1, bytes + *size);
    if (!whole)
        return NULL;
    struct link_task *task = (void *)whole;
    *task = head;
    uint64_t *numbers = (void *)(task + 1);
    write_numbers(numbers, &options->after);
    write_numbers(numbers + head.after_count, &options->follow);
    write_ranks(write_ranks((void *)(numbers + head.after_count + head.follow_count), targets),
                &options->preferred);
    if (*size > 0)
        memcpy(whole + bytes, payload, *size);
    *size += (uint32_t)bytes;
    return whole;
}

/* -1: ENOMEM. */
static int add_submitted(struct tasks *tasks, struct link_record *record,
                         const ipp_task_options_t *options, const void *payload)
{
    void *whole = NULL;
    if (wants_more(options)) {
        if (!(whole = with_wants(options, payload, &record->size)))
            return -1;
        record->status = 1;
        payload = whole;
    }
    int added = link_batch_add(&tasks->submitted, record, payload);
    free(whole);
    return added;
}

int ipp_task_submit(ipp_t *ipp, const ipp_task_type_t *type, const void *payload, size_t size,
                    const ipp_task_options_t *options, ipp_task_t **out)
{
    static const ipp_task_options_t usual = IPP_TASK_OPTIONS;
    struct tasks *tasks = ipp->tasks;
    options = options ? options : &usual;
    if (check(tasks, type, size, options) < 0)
        return -1;
    ipp_task_t *task = out ? task_store_new(tasks->store) : NULL;
    if (out && !task)
        return -1;
    struct link_record record = { .task = task ? task_store_number(task)
                                               : task_store_detached(tasks->store),
                                  .size = (uint32_t)size,
                                  .type = type->number,
                                  .engine = options->engine,
                                  .retries = options->retries };
    if (add_submitted(tasks, &record, options, payload) < 0) {
        if (task)
            task_store_free(tasks->store, task);
        return -1;
    }
    if (out)
        *out = task;
    if (tasks->submitted.used < LINK_BATCH_BYTES)
        return 0;
    return send_batch(tasks, BALANCER_RANK, LINK_SUBMIT, &tasks->submitted);
}

/* ---- results ---- */

void tasks_results(struct tasks *tasks, ipp_frame_t *frame)
{
    size_t at = 0;
    for (struct link_record *record; (record = link_batch_next(frame, &at)) != NULL;)
        task_store_end(tasks->store, record->task, (enum ipp_task_status)record->status,
                       record->value, link_record_bytes(record), record->size);
}

void tasks_quiet(struct tasks *tasks, int failed)
{
    atomic_store(&tasks->quiet, failed);
}

void tasks_renew(struct tasks *tasks, uint64_t number)
{
    cancels_take(tasks->cancels, number);
}

void tasks_renew_batch(struct tasks *tasks, ipp_frame_t *batch)
{
    size_t at = 0;
    if (cancels_mark(tasks->cancels) == 0)
        return;
    for (struct link_record *record; (record = link_batch_next(batch, &at)) != NULL;)
        cancels_take(tasks->cancels, record->task);
}

void tasks_abort(struct tasks *tasks, uint64_t number, bool taken_back)
{
    uint64_t task = number ? number : atomic_load(&tasks->running);
    if (task != 0)
        cancels_add(tasks->cancels, task, taken_back ? CANCEL_TAKEN_BACK : CANCEL_UNWANTED);
}

/* ---- waiting ---- */

struct wait {
    struct tasks *tasks;
    struct wait *outer;
    uint64_t waiting; /* the task around this */
    ipp_task_t *task; /* NULL: any */
    ipp_task_result_t *result;
    ipp_task_t *found;
    size_t awaited; /* with task NULL: how many more there are */
    bool told;      /* the balancer knows that the task around this waits */
};

static bool found(struct wait *wait)
{
    struct task_store *store = wait->tasks->store;
    if (!wait->found && !wait->task)
        wait->found = task_store_next(store, wait->result, &wait->awaited);
    else if (!wait->found && task_store_take(store, wait->task, wait->result))
        wait->found = wait->task;
    return wait->found;
}

/* Inside a task there may be others to run. */
static bool nothing_yet(void *arg)
{
    struct wait *wait = arg;
    const struct engine *engine = wait->tasks->ipp->engine;
    return !found(wait) && !atomic_load(&engine->stopping) &&
           !(wait->tasks->depth > 0 && run_queue_pending(engine->queue));
}

void tasks_tell_blocked(const struct tasks *tasks, uint64_t number, bool blocked)
{
    struct link_envelope envelope = {
        .kind = LINK_BLOCKED, .engine = tasks->ipp->engine->id, .request = number, .value = blocked
    };
    link_send(tasks->ipp->job.link, BALANCER_RANK, LINK_DATA, &envelope, NULL);
}

static void tell_blocked(struct wait *wait, bool blocked)
{
    tasks_tell_blocked(wait->tasks, wait->waiting, blocked);
    wait->told = blocked;
}

/* Tasks that wait take no place from those that they wait for. */
static void tell_all_blocked(struct tasks *tasks)
{
    for (struct wait *wait = tasks->waits; wait && !wait->told; wait = wait->outer)
        tell_blocked(wait, true);
}

static int wait_for_one(struct wait *wait, int timeout_ms)
{
    struct tasks *tasks = wait->tasks;
    int64_t deadline_ms = timeout_ms < 0 ? -1 : ipp_now_ms() + timeout_ms;
    while (!found(wait)) {
        if (!wait->task && wait->awaited == 0) {
            errno = ENOENT;
            return -1;
        }
        if (tasks_cancelled(tasks))
            return -1;
        if (tasks->depth > 0 && tasks_run_one(tasks))
            continue;
        if (tasks_flush(tasks) < 0)
            return -1;
        tell_all_blocked(tasks);
        drive_while(tasks->ipp->engine->drive, nothing_yet, wait, deadline_ms);
        if (deadline_ms >= 0 && !wait->found && ipp_now_ms() >= deadline_ms) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    return 0;
}

static int await(struct wait *wait, int timeout_ms)
{
    struct tasks *tasks = wait->tasks;
    bool inside = tasks->depth > 0;
    if (inside) {
        wait->waiting = tasks->running;
        wait->outer = tasks->waits;
        tasks->waits = wait;
    }
    int result = wait_for_one(wait, timeout_ms), saved_errno = errno;
    if (inside)
        tasks->waits = wait->outer;
    if (wait->told)
        tell_blocked(wait, false);
    errno = saved_errno;
    return result;
}

int ipp_task_wait(ipp_t *ipp, ipp_task_t *task, int timeout_ms, ipp_task_result_t *result)
{
    struct wait wait = { .tasks = ipp->tasks, .task = task, .result = result };
    return await(&wait, timeout_ms);
}

ipp_task_t *ipp_task_next(ipp_t *ipp, int timeout_ms, ipp_task_result_t *result)
{
    struct wait wait = { .tasks = ipp->tasks, .result = result };
    return await(&wait, timeout_ms) == 0 ? wait.found : NULL;
}

int ipp_task_cancel(ipp_t *ipp, ipp_task_t *task)
{
    struct link_envelope abort = { .kind = LINK_ABORT,
                                   .engine = -1,
                                   .request = task_store_number(task) };
    if (tasks_flush(ipp->tasks) < 0) /* it may be among what was not sent yet */
        return -1;
    link_send(ipp->job.link, BALANCER_RANK, LINK_DATA, &abort, NULL);
    return 0;
}

void ipp_task_free(ipp_t *ipp, ipp_task_t *task)
{
    if (task)
        task_store_free(ipp->tasks->store, task);
}
