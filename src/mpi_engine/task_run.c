/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks, from the side of who runs them. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/tasks.h"
#include "mpi_engine/together.h"

/* Results wait so long for others that go the same way. */
#define RESULTS_WAIT_NS 1000000

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

/* ---- calling a task's function ---- */

/* One task, as its function is called. */
struct job_of_task {
    uint64_t number;
    const struct ipp_task_type *type;
    const void *payload;
    size_t size;
    const int32_t *engines; /* that run it together, where `part` is not NULL */
    size_t width;           /* how many */
    struct reduction *part; /* this one's; NULL: it alone runs it */
};

MPI_Comm ipp_task_comm(const ipp_t *ipp)
{
    return ipp->tasks->depth > 0 ? together_comm(ipp->engine) : MPI_COMM_NULL;
}

bool ipp_task_cancelled(const ipp_t *ipp)
{
    struct tasks *tasks = ipp->tasks;
    return tasks->depth > 0 &&
           (atomic_load(&ipp->engine->stopping) || cancels_has(tasks->cancels, tasks->running));
}

static int call_function(struct tasks *tasks, const struct job_of_task *job,
                         ipp_task_output_t *output)
{
    int value = job->type->fn(tasks->ipp, job->payload, job->size, output, job->type->arg);
    return value == LINK_PART_LOST ? INT32_MAX : value;
}

static int call_together(struct tasks *tasks, const struct job_of_task *job,
                         ipp_task_output_t *output)
{
    struct engine *engine = tasks->ipp->engine;
    ipp_frames_t none = { 0 };
    if (!together_begin(engine, job->part, job->number, job->engines, job->width))
        return LINK_PART_LOST;
    int value = call_function(tasks, job, output);
    together_end(engine, job->part, job->number, &value, &none);
    ipp_frames_clear(&none);
    return value;
}

/* What its function returned, or LINK_PART_LOST. */
static int call(struct tasks *tasks, const struct job_of_task *job, ipp_task_output_t *output)
{
    struct engine *engine = tasks->ipp->engine;
    uint64_t outer_task = tasks->running;
    struct gang outer_gang = engine->gang;
    atomic_store(&tasks->running, job->number);
    engine->gang = (struct gang){ 0 };
    tasks->depth++;
    int value = job->part ? call_together(tasks, job, output) : call_function(tasks, job, output);
    tasks->depth--;
    engine->gang = outer_gang;
    atomic_store(&tasks->running, outer_task);
    return value;
}

/* ---- tasks of ranks ---- */

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

/* Engines that run it together; 1: this one alone. */
static size_t width_of(const struct link_record *record)
{
    return record->status;
}

/* This engine's part in a wide task; NULL: it is none. */
static struct reduction *part_of(const struct tasks *tasks, struct link_record *record)
{
    if (width_of(record) < 2)
        return NULL;
    struct reduction *part =
        reduction_new(tasks->ipp->engine, "task", link_record_bytes(record), width_of(record));
    if (!part)
        abort(); /* the others would wait for ever */
    return part;
}

void tasks_abandon(struct tasks *tasks, ipp_frame_t *batch, size_t at)
{
    for (struct link_record *record; (record = link_batch_next(batch, &at)) != NULL;) {
        struct reduction *part = part_of(tasks, record);
        if (part)
            together_abandon(part, record->task);
        reduction_free(part, record->task);
    }
}

static int run_record(struct tasks *tasks, struct link_record *record, struct reduction *part,
                      ipp_task_output_t *output)
{
    const char *payload = link_record_bytes(record);
    size_t head = part ? link_engines_size(width_of(record)) : 0;
    struct job_of_task job = { .number = record->task,
                               .type = type_of(tasks, record->type),
                               .payload = payload + head,
                               .size = record->size - head,
                               .engines = (const void *)payload,
                               .width = width_of(record),
                               .part = part };
    assert(job.type); /* all ranks had registered it before anyone could submit */
    return call(tasks, &job, output);
}

/* Sets what the record says of the end. A wide task that others may have begun is not skipped. */
static enum cancel end_record(struct tasks *tasks, struct link_record *record,
                              struct reduction *part, ipp_task_output_t *output)
{
    enum cancel before = part ? CANCEL_NONE : cancels_take(tasks->cancels, record->task);
    int value = before ? 0 : run_record(tasks, record, part, output);
    enum cancel why = before ? before : cancels_take(tasks->cancels, record->task);
    bool lost = value == LINK_PART_LOST;
    record->value = lost ? 0 : value;
    record->status = lost                            ? IPP_TASK_LOST
                     : before || (why && value != 0) ? IPP_TASK_ABORTED
                     : value != 0                    ? IPP_TASK_FAILED
                                                     : IPP_TASK_OK;
    return why;
}

/* What is run again, or answered by the balancer, has no result here; nor has what stopped because
 * this engine is being shut down. */
static bool has_result(const struct tasks *tasks, const struct link_record *record,
                       enum cancel cancel)
{
    bool bad = record->status == IPP_TASK_FAILED || record->status == IPP_TASK_LOST;
    bool stopped = record->status == IPP_TASK_ABORTED && atomic_load(&tasks->ipp->engine->retired);
    return !(bad && record->retries > 0) && cancel != CANCEL_TAKEN_BACK && !stopped &&
           !task_number_is_detached(record->task);
}

static void run(struct tasks *tasks, struct link_record *record)
{
    ipp_task_output_t output = { 0 };
    struct reduction *part = part_of(tasks, record);
    int64_t begin = ipp_now_ns();
    enum cancel cancel = end_record(tasks, record, part, &output);
    int64_t end = ipp_now_ns(), time = end - begin;
    record->time_ns = time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
    bool speaks = !part || part->tree.parent < 0;
    if (speaks && has_result(tasks, record, cancel))
        tell_submitter(tasks, record, &output);
    tell_balancer(tasks, record);
    reduction_free(part, record->task);
    free(output.data);
    if (tasks->ended.used >= LINK_BATCH_BYTES || end - tasks->flushed_ns > RESULTS_WAIT_NS) {
        tasks_flush(tasks);
        tasks->flushed_ns = end;
    }
}

/* ---- tasks of clients ---- */

static const struct ipp_task_type *type_named(const struct tasks *tasks, const char *name)
{
    const struct ipp_task_type *type = tasks->types;
    while (type && strcmp(type->name, name) != 0)
        type = type->next;
    return type;
}

static void refuse_name(struct tasks *tasks, struct request *asked, const char *name)
{
    char text[1024];
    bool quoted = strlen(name) < sizeof tasks->types->name; /* others are nobody's, and long */
    int length = snprintf(text, sizeof text, "no task is called '%s'; there %s",
                          quoted ? name : "...", tasks->types ? "are:" : "are none");
    for (const struct ipp_task_type *type = tasks->types; type; type = type->next)
        if ((size_t)length + strlen(type->name) + 1 < sizeof text)
            length += snprintf(text + length, sizeof text - (size_t)length, " %s", type->name);
    request_reply_error(tasks->ipp->engine, asked, "KeyError", text);
}

static json_t *failure(struct tasks *tasks, struct request *asked, const struct ipp_task_type *type,
                       int value)
{
    struct engine *engine = tasks->ipp->engine;
    char text[128];
    if (value == LINK_PART_LOST)
        return request_error(engine, asked, "EngineError", TOGETHER_LOST_TEXT);
    snprintf(text, sizeof text, "%s returned %d", type->name, value);
    json_t *content = request_error(engine, asked, "TaskFailed", text);
    json_object_set_new(content, "code", json_integer(value));
    return content;
}

static void answer(struct tasks *tasks, struct request *asked, const struct ipp_task_type *type,
                   int value, const ipp_task_output_t *output)
{
    struct engine *engine = tasks->ipp->engine;
    enum cancel cancel = cancels_take(tasks->cancels, asked->envelope.request);
    bool aborted = cancel && value != 0 && value != LINK_PART_LOST;
    ipp_frames_t buffers = { 0 };
    if (aborted && atomic_load(&engine->retired))
        asked->answers = false; /* the balancer has it run elsewhere, or answers */
    if (value == 0 && ipp_frames_push_copy(&buffers, output->data, output->size) < 0)
        request_reply_error(engine, asked, "MemoryError", "no memory for the result");
    else if (value == 0 || aborted)
        request_reply(engine, asked, aborted ? LINK_ABORTED : LINK_OK,
                      wire_json_frame_new(json_pack("{s:s}", "status", aborted ? "aborted" : "ok")),
                      &buffers);
    else
        request_reply(engine, asked, LINK_ERROR,
                      wire_json_frame_new(failure(tasks, asked, type, value)), &buffers);
}

static void run_named(struct tasks *tasks, struct request *asked, const struct ipp_task_type *type)
{
    const ipp_frames_t *frames = &asked->frames;
    ipp_frame_t *payload = frames->count > FRAME_BUFFERS ? frames->at[FRAME_BUFFERS] : NULL;
    struct job_of_task job = { .number = asked->envelope.request,
                               .type = type,
                               .size = payload ? ipp_frame_size(payload) : 0,
                               .part = asked->reduction };
    if (asked->gang) {
        job.engines = ipp_frame_data(asked->gang);
        job.width = ipp_frame_size(asked->gang) / sizeof *job.engines;
    }
    /* Small frames lie in their message as they come. */
    void *aligned = malloc(job.size > 0 ? job.size : 1);
    ipp_task_output_t output = { 0 };
    if (!aligned)
        abort();
    if (job.size > 0)
        memcpy(aligned, ipp_frame_data(payload), job.size);
    job.payload = aligned;
    answer(tasks, asked, type, call(tasks, &job, &output), &output);
    free(output.data);
    free(aligned);
}

static void run_asked(struct tasks *tasks, struct request *asked)
{
    json_t *content = wire_json_read(asked->frames.at[FRAME_CONTENT], NULL);
    const char *name = wire_json_string(content, "name", "");
    const struct ipp_task_type *type = type_named(tasks, name);
    ipp_date(asked->started);
    if (!type)
        refuse_name(tasks, asked, name);
    else if (asked->frames.count > FRAME_BUFFERS + 1)
        request_reply_error(tasks->ipp->engine, asked, "ValueError",
                            "a task has one buffer, its payload, or none");
    else
        run_named(tasks, asked, type);
    json_decref(content);
    request_free(asked);
}

/* ---- the next one ---- */

/* Has a batch at hand, or a client's task in *asked; false: there is nothing. */
static bool next_of_queue(struct tasks *tasks, struct request **asked)
{
    struct request *request;
    uint64_t mark = cancels_mark(tasks->cancels);
    ipp_frame_unref(tasks->batch);
    tasks->batch = NULL;
    for (;;) {
        enum run_queue_event event = run_queue_pop(tasks->ipp->engine->queue, &request);
        if (event == QUEUE_NUDGED)
            continue;
        if (event != QUEUE_REQUEST) {
            if (mark > 0 && tasks->depth == 0)
                cancels_forget(tasks->cancels, mark);
            return false;
        }
        if (request->op) {
            *asked = request;
            return true;
        }
        tasks->batch = ipp_frame_ref(request->frames.at[0]);
        tasks->batch_at = 0;
        request_free(request);
        return true;
    }
}

bool tasks_run_one(struct tasks *tasks)
{
    for (;;) {
        struct request *asked = NULL;
        struct link_record *record =
            tasks->batch ? link_batch_next(tasks->batch, &tasks->batch_at) : NULL;
        if (record) {
            ipp_frame_t *frame = ipp_frame_ref(tasks->batch); /* a task inside may take the next */
            run(tasks, record);
            ipp_frame_unref(frame);
            return true;
        }
        if (!next_of_queue(tasks, &asked))
            return false;
        if (asked) {
            run_asked(tasks, asked);
            return true;
        }
    }
}

/* ---- serving ---- */

static void say_serving(struct tasks *tasks, bool for_ever)
{
    struct link_envelope serving = { .kind = LINK_SERVING,
                                     .engine = tasks->ipp->engine->id,
                                     .value = for_ever };
    link_send(tasks->ipp->job.link, 1, LINK_DATA, &serving, NULL);
}

static bool nothing_to_do(void *arg)
{
    struct tasks *tasks = arg;
    return atomic_load(&tasks->quiet) == NOT_QUIET && !run_queue_pending(tasks->ipp->engine->queue);
}

/* -1 with errno, or how many have failed until LINK_QUIET came. */
static long serve(struct tasks *tasks, bool for_ever)
{
    if (tasks->depth > 0) {
        errno = EDEADLK;
        return -1;
    }
    if (tasks_flush(tasks) < 0)
        return -1;
    say_serving(tasks, for_ever);
    for (;;) {
        while (tasks_run_one(tasks))
            ;
        if (tasks_flush(tasks) < 0 || tasks_cancelled(tasks))
            return -1;
        long failed = atomic_exchange(&tasks->quiet, NOT_QUIET);
        if (failed != NOT_QUIET)
            return failed;
        drive_while(tasks->ipp->engine->drive, nothing_to_do, tasks, -1);
    }
}

long ipp_task_serve(ipp_t *ipp)
{
    return serve(ipp->tasks, false);
}

int ipp_task_serve_clients(ipp_t *ipp)
{
    return serve(ipp->tasks, true) < 0 && errno == ECANCELED ? 0 : -1;
}
