/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks on rank 1: they come and go in batches, and are scheduled one by one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/balancer_private.h"

/* A C task: the scheduler's item. */
struct batched {
    ipp_frame_t *batch;               /* that it came in; NULL: it cannot have to be sent again */
    const struct link_record *record; /* in that batch */
    uint32_t skip;                    /* bytes before its payload */
};

static int submitter_of(uint64_t number)
{
    return (int)(number >> LINK_TASK_RANK_SHIFT) - IPP_SERVICE_RANKS;
}

static void send_batch(struct balancer *b, int engine, enum link_kind kind, link_batch_t *batch)
{
    ipp_frames_t frames = { 0 };
    if (batch->count == 0)
        return;
    if (ipp_frames_push(&frames, link_batch_take(batch)) < 0)
        abort(); /* these tasks would neither run nor end */
    struct link_envelope envelope = { .kind = (uint16_t)kind, .engine = engine };
    link_send(b->link, engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope, &frames);
}

static void add(link_batch_t *batch, const struct link_record *record, const void *bytes)
{
    if (link_batch_add(batch, record, bytes) < 0)
        abort();
}

/* ---- ends without a result ---- */

static void tell(struct balancer *b, uint64_t number, enum ipp_task_status status, int code)
{
    int engine = submitter_of(number);
    struct link_record record = { .task = number, .status = (uint16_t)status, .value = code };
    if (number & LINK_TASK_DETACHED)
        b->failed++;
    else if (!link_is_lost(b->link, engine + IPP_SERVICE_RANKS))
        add(&b->outboxes[engine].results, &record, NULL);
}

void batches_drop(struct balancer *b, const struct sched_live *task, enum sched_drop why)
{
    switch (why) {
    case SCHED_DROP_ABORTED:
        tell(b, task->id, IPP_TASK_ABORTED, 0);
        break;
    case SCHED_DROP_ENGINE_LOST:
        tell(b, task->id, IPP_TASK_LOST, 0);
        break;
    case SCHED_DROP_UNREACHABLE:
        tell(b, task->id, IPP_TASK_REFUSED, EHOSTUNREACH);
        break;
    case SCHED_DROP_TIMED_OUT:
        tell(b, task->id, IPP_TASK_REFUSED, ETIMEDOUT);
        break;
    case SCHED_DROP_IMPOSSIBLE:
        tell(b, task->id, IPP_TASK_REFUSED, ECANCELED);
        break;
    default:
        tell(b, task->id, IPP_TASK_REFUSED, ESRCH);
    }
}

void batches_forget(void *item)
{
    struct batched *batched = item;
    ipp_frame_unref(batched->batch);
    free(batched);
}

/* ---- submitted ---- */

static void submit(struct balancer *b, ipp_frame_t *batch, const struct link_record *record)
{
    struct batched *batched = malloc(sizeof *batched);
    if (!batched) {
        tell(b, record->task, IPP_TASK_REFUSED, ENOMEM);
        return;
    }
    *batched = (struct batched){ ipp_frame_ref(batch), record, 0 };
    struct sched_task wanted = { .id = record->task,
                                 .item = batched,
                                 .targets = &record->engine,
                                 .target_count = record->engine >= 0,
                                 .retries = record->retries };
    if (record->status)
        batched->skip = (uint32_t)wants_read(record + 1, record->size, &wanted);
    wanted.client = record->task >> LINK_TASK_RANK_SHIFT; /* ranks take turns */
    if (sched_submit(b->sched, &wanted, ipp_now_ms()) < 0) {
        tell(b, record->task, IPP_TASK_REFUSED, errno);
        batches_forget(batched);
    }
}

void batches_submit(struct balancer *b, struct link_message *msg)
{
    size_t at = 0;
    ipp_frame_t *batch = msg->frames.at[0];
    for (struct link_record *record; (record = link_batch_next(batch, &at)) != NULL;)
        submit(b, batch, record);
}

/* To a dead engine nothing is sent; its loss is on its way here and takes care of the task. */
static void run_on(struct balancer *b, int engine, const struct link_record *record,
                   const void *bytes)
{
    add(&b->outboxes[engine].run, record, bytes);
    if (b->outboxes[engine].run.used >= LINK_BATCH_BYTES)
        send_batch(b, engine, LINK_RUN, &b->outboxes[engine].run);
}

/* Each of them learns who the others are. */
static void run_together(struct balancer *b, struct link_record *record, const char *payload,
                         const int *engines, int count)
{
    size_t head = link_engines_size((size_t)count);
    char *bytes = calloc(1, head + record->size);
    if (!bytes)
        abort();
    for (int i = 0; i < count; i++)
        ((int32_t *)(void *)bytes)[i] = engines[i];
    memcpy(bytes + head, payload, record->size);
    record->size += (uint32_t)head;
    for (int i = 0; i < count; i++)
        run_on(b, engines[i], record, bytes);
    free(bytes);
}

void batches_assign(struct balancer *b, const struct sched_live *task, const int *engines,
                    int count)
{
    struct batched *batched = task->item;
    const char *payload = (const char *)(batched->record + 1) + batched->skip;
    struct link_record record = *batched->record;
    record.retries = task->retries;
    record.size -= batched->skip;
    record.status = (uint16_t)count;
    if (count > 1)
        run_together(b, &record, payload, engines, count);
    else
        run_on(b, engines[0], &record, payload);
    if (task->retries == 0) {
        ipp_frame_unref(batched->batch);
        batched->batch = NULL;
    }
}

void batches_abort(struct balancer *b, const struct link_envelope *asked)
{
    struct link_envelope envelope = *asked;
    envelope.flags |= LINK_INTERRUPT;
    send_batch(b, asked->engine, LINK_RUN, &b->outboxes[asked->engine].run);
    link_send(b->link, asked->engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope, NULL);
}

/* ---- how many an engine holds ---- */

/* Enough for that long, so that the way to rank 1 and back is not waited for; the last ones that
 * wait are shared out evenly, as they end ("guided self-scheduling": Polychronopoulos and Kuck,
 * IEEE Transactions on Computers C-36, 1987). */
#define HELD_NS 500e3
#define HELD_MOST 4096
/* Rank 1 needs so long for an engine's word and its next tasks (bench/run c_task_start); with many
 * engines each has to hold out until all the others have had their turn. docs/scaling.md has what
 * it gives. */
#define TURN_NS 50e3
/* A task this long is worth more than the microseconds between it and the next. */
#define LONG_NS 20e6
/* The mean follows the tasks that end by this part of the way for each of them. */
#define MEAN_WEIGHT (1 / 64.0)

static void note_time(struct balancer *b, uint32_t time_ns)
{
    b->mean_ns = b->mean_ns < 0 ? time_ns : b->mean_ns + (time_ns - b->mean_ns) * MEAN_WEIGHT;
}

void batches_adapt(struct balancer *b)
{
    if (!b->adapts)
        return;
    double turns = TURN_NS * b->engine_count, enough = turns > HELD_NS ? turns : HELD_NS;
    bool is_long = b->mean_ns > LONG_NS && b->mean_ns > enough;
    double held = b->mean_ns < 0 ? 2 : is_long ? 1 : 2 + enough / (b->mean_ns + 1);
    double fair = 1 + (double)sched_queued(b->sched) / (2 * b->engine_count);
    held = held < fair ? held : fair;
    int prefetch = held < HELD_MOST ? (int)held : HELD_MOST;
    /* Each step has the scheduler look at all engines. */
    if (prefetch > b->prefetch + b->prefetch / 4 || prefetch < b->prefetch - b->prefetch / 4) {
        if (sched_set_prefetch(b->sched, prefetch) == 0)
            b->prefetch = prefetch;
    }
}

/* ---- ended ---- */

void batches_ended(struct balancer *b, struct link_message *msg)
{
    size_t at = 0;
    ipp_frame_t *batch = msg->frames.at[0];
    int engine = msg->envelope.engine;
    for (struct link_record *record; (record = link_batch_next(batch, &at)) != NULL;) {
        void *item;
        enum sched_outcome outcome = record->status == IPP_TASK_OK        ? SCHED_SUCCEEDED
                                     : record->status == IPP_TASK_ABORTED ? SCHED_STOPPED
                                                                          : SCHED_FAILED;
        note_time(b, record->time_ns);
        if (sched_done(b->sched, record->task, engine, outcome, &item) != SCHED_FINISHED)
            continue;
        if (outcome != SCHED_SUCCEEDED && (record->task & LINK_TASK_DETACHED))
            b->failed++;
        batches_forget(item);
    }
    struct finished *finished = &b->finished[engine];
    ipp_frame_t **slot = &finished->batches[finished->next_batch++ % BATCHES_KEPT];
    ipp_frame_unref(*slot);
    *slot = ipp_frame_ref(batch);
}

void batches_lost(struct balancer *b, int engine)
{
    for (int i = 0; i < BATCHES_KEPT; i++) {
        ipp_frame_t *batch = b->finished[engine].batches[i];
        size_t at = 0;
        for (struct link_record *record; batch && (record = link_batch_next(batch, &at)) != NULL;)
            if (!(record->task & LINK_TASK_DETACHED) && !sched_item(b->sched, record->task))
                tell(b, record->task, IPP_TASK_LOST, 0);
    }
}

/* ---- serving ---- */

void batches_serving(struct balancer *b, int engine, bool for_clients)
{
    b->outboxes[engine].serving = true;
    b->outboxes[engine].for_clients = for_clients;
    sched_engine_pause(b->sched, engine, false);
}

static bool is_quiet(struct balancer *b)
{
    int serving = 0;
    if (!b->application || sched_live(b->sched) > 0)
        return false;
    for (int i = 0; i < b->engine_count; i++) {
        if (sched_engine_load(b->sched, i) < 0)
            continue; /* gone */
        if (!b->outboxes[i].serving || b->outboxes[i].for_clients)
            return false;
        serving++;
    }
    return serving > 0;
}

static void say_quiet(struct balancer *b)
{
    struct link_envelope quiet = { .kind = LINK_QUIET, .engine = -1, .value = b->failed };
    for (int i = 0; i < b->engine_count; i++) {
        if (!b->outboxes[i].serving)
            continue;
        b->outboxes[i].serving = false;
        sched_engine_pause(b->sched, i, true);
        link_send(b->link, i + IPP_SERVICE_RANKS, LINK_DATA, &quiet, NULL);
    }
    b->failed = 0;
}

void batches_flush(struct balancer *b)
{
    for (int i = 0; i < b->engine_count; i++) {
        send_batch(b, i, LINK_RUN, &b->outboxes[i].run);
        send_batch(b, i, LINK_RESULTS, &b->outboxes[i].results);
    }
    if (is_quiet(b))
        say_quiet(b);
}
