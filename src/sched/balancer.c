/* SPDX-License-Identifier: BSD-3-Clause
 * The loop of rank 1: tasks come from the bridge, go to engines as the scheduler says, and their
 * ends come back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/balancer_private.h"

/* Tasks that may wait here at once where nobody says how many; the bridge hears of each one more.
 */
#define QUEUE_CAPACITY 10000000

struct task *task_find(struct balancer *b, uint64_t number)
{
    struct task *task;
    HASH_FIND(hh, b->tasks, &number, sizeof number, task);
    return task;
}

void task_add(struct balancer *b, struct task *task)
{
    HASH_ADD(hh, b->tasks, number, sizeof task->number, task);
}

void task_forget(struct balancer *b, struct task *task)
{
    HASH_DEL(b->tasks, task); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links confuse it */
    ipp_frames_clear(&task->frames);
    free(task);
}

static void tell_dropped(struct balancer *b, uint64_t number, int why, int engine, const char *text)
{
    struct link_envelope envelope = {
        .kind = LINK_DROPPED, .request = number, .engine = engine, .value = why
    };
    ipp_frames_t frames = { 0 };
    if (text)
        ipp_frames_push_copy(&frames, text, strlen(text));
    link_send(b->link, 0, LINK_DATA, &envelope, &frames);
}

/* ---- what the scheduler decides ---- */

static void on_assign(void *arg, uint64_t number, int engine, int retries)
{
    struct balancer *b = arg;
    struct task *task = task_find(b, number);
    if (task->batched) {
        batches_assign(b, task, engine, retries);
        return;
    }
    struct link_envelope envelope = { .kind = LINK_REQUEST,
                                      .flags = LINK_FROM_BALANCER,
                                      .engine = engine,
                                      .request = number,
                                      .value = retries,
                                      .op = task->op };
    ipp_frames_t frames = { 0 };
    if (task->repeatable)
        ipp_frames_share(&frames, &task->frames, 0);
    else {
        frames = task->frames;
        task->frames = (ipp_frames_t){ 0 };
    }
    /* To a dead engine nothing is sent; its loss is on its way here and takes care of the task. */
    link_send(b->link, engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope, &frames);
}

static void on_drop(void *arg, uint64_t number, enum sched_drop why, int engine)
{
    struct balancer *b = arg;
    struct task *task = task_find(b, number);
    if (task->batched)
        batches_drop(b, task, why);
    else
        tell_dropped(b, number, why, engine, NULL);
    task_forget(b, task);
}

/* ---- what messages bring ---- */

static const char *refusal_text(int code)
{
    switch (code) {
    case ENOBUFS:
        return "the queue of tasks is full";
    case EINVAL:
        return "retries and timeout must not be negative";
    case EEXIST:
        return "a task with this id is queued already";
    default:
        return strerror(code);
    }
}

static void on_task(struct balancer *b, struct link_message *msg)
{
    struct task *task = calloc(1, sizeof *task);
    ipp_frame_t *head = msg->frames.count > 0 ? ipp_frame_ref(msg->frames.at[0]) : NULL;
    const struct link_task *asked = head ? ipp_frame_data(head) : NULL;
    uint64_t number = msg->envelope.request;
    if (!task || !asked || ipp_frames_share(&task->frames, &msg->frames, 1) < 0) {
        tell_dropped(b, number, BALANCER_REFUSED, -1, strerror(ENOMEM));
        ipp_frame_unref(head);
        free(task);
        return;
    }
    task->number = number;
    task->op = msg->envelope.op;
    task->repeatable = asked->retries > 0;
    task_add(b, task);
    struct sched_task wanted = { .id = number,
                                 .targets = asked->targets,
                                 .target_count = (size_t)asked->target_count,
                                 .retries = asked->retries,
                                 .timeout_ms = asked->timeout_ms };
    if (sched_submit(b->sched, &wanted, ipp_now_ms()) < 0) {
        bool unreachable = errno == EHOSTUNREACH;
        tell_dropped(b, number, unreachable ? SCHED_DROP_UNREACHABLE : BALANCER_REFUSED, -1,
                     refusal_text(errno));
        task_forget(b, task);
    }
    ipp_frame_unref(head);
}

static void on_done(struct balancer *b, const struct link_envelope *envelope)
{
    bool ok = envelope->value != LINK_ERROR;
    int end = sched_done(b->sched, envelope->request, envelope->engine, ok);
    struct task *task = end == SCHED_FINISHED ? task_find(b, envelope->request) : NULL;
    if (!task)
        return;
    struct finished *finished = &b->finished[envelope->engine];
    finished->numbers[finished->next++ % FINISHED_KEPT] = envelope->request;
    task_forget(b, task);
}

static void on_abort(struct balancer *b, const struct link_envelope *asked)
{
    int engine = sched_abort(b->sched, asked->request);
    if (engine < 0)
        return;
    struct link_envelope envelope = *asked;
    envelope.engine = engine;
    link_send(b->link, engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope,
              NULL); /* behind the task */
}

struct listing {
    struct link_queued *at;
    size_t count;
};

static void list_task(void *arg, uint64_t number, int engine)
{
    struct listing *listing = arg;
    listing->at[listing->count++] = (struct link_queued){ .request = number, .engine = engine };
}

static void on_queues(struct balancer *b, const struct link_envelope *asked)
{
    size_t bytes = HASH_COUNT(b->tasks) * sizeof(struct link_queued);
    struct listing listing = { .at = malloc(bytes ? bytes : 1) };
    struct link_envelope envelope = *asked;
    ipp_frames_t frames = { 0 };
    if (listing.at) {
        sched_each(b->sched, list_task, &listing);
        ipp_frames_push_copy(&frames, listing.at, listing.count * sizeof *listing.at);
    }
    link_send(b->link, 0, LINK_DATA, &envelope, &frames);
    free(listing.at);
}

static void engine_leaves(struct balancer *b, int engine)
{
    if (engine < 0)
        return;
    b->outboxes[engine].serving = false;
    link_batch_clear(&b->outboxes[engine].run);
    sched_engine_leave(b->sched, engine);
}

/* The bridge has answered most of these, and ignores them. */
static void tell_unanswered(struct balancer *b, int engine)
{
    for (int i = 0; engine >= 0 && i < FINISHED_KEPT; i++)
        if (b->finished[engine].numbers[i] != 0)
            tell_dropped(b, b->finished[engine].numbers[i], SCHED_DROP_ENGINE_LOST, engine, NULL);
    if (engine >= 0)
        batches_lost(b, engine);
}

static void deliver(void *arg, struct link_message *msg)
{
    struct balancer *b = arg;
    switch (msg->envelope.kind) {
    case LINK_TASK:
        on_task(b, msg);
        break;
    case LINK_DONE:
        on_done(b, &msg->envelope);
        break;
    case LINK_ABORT:
        on_abort(b, &msg->envelope);
        break;
    case LINK_QUEUES:
        on_queues(b, &msg->envelope);
        break;
    case LINK_LOST:
        link_mark_lost(b->link, msg->envelope.value);
        engine_leaves(b, msg->envelope.value - IPP_SERVICE_RANKS);
        tell_unanswered(b, msg->envelope.value - IPP_SERVICE_RANKS);
        break;
    case LINK_SUBMIT:
        batches_submit(b, msg);
        break;
    case LINK_ENDED:
        batches_ended(b, msg);
        break;
    case LINK_BLOCKED:
        sched_task_blocked(b->sched, msg->envelope.request, msg->envelope.value != 0);
        break;
    case LINK_SERVING:
        batches_serving(b, msg->envelope.engine);
        break;
    case LINK_READY:
    case LINK_REBUILD:
        break; /* not a member of the engines' world */
    case LINK_RETIRED:
        engine_leaves(b, msg->envelope.engine);
        break;
    case LINK_STOP:
        b->stopping = true;
        b->stop_ms = ipp_now_ms();
        link_leaving(b->link);
        break;
    case LINK_LEAVE:
        b->leave = true;
        b->finalize = msg->envelope.value != 0;
        break;
    default:
        ipp_log(IPP_LOG_ERROR,
                "rank %d sent a message of kind %d, which the balancer does not take", msg->from,
                msg->envelope.kind);
    }
}

static void lost(void *arg, int rank)
{
    (void)arg;
    (void)rank; /* only rank 0 is watched from here */
    ipp_log(IPP_LOG_ERROR, "the bridge is gone: the balancer ends");
    _exit(1);
}

/* ---- life ---- */

static void tell_bridge(struct balancer *b, enum link_kind kind)
{
    struct link_envelope envelope = { .kind = (uint16_t)kind, .engine = -1 };
    link_send(b->link, 0, LINK_CONTROL, &envelope, NULL);
}

static void serve(struct balancer *b, bool (*stop_asked)(void))
{
    bool asked = false;
    while (!b->leave) {
        if (stop_asked() && !asked) {
            tell_bridge(b, LINK_STOP);
            asked = true;
        }
        if (b->stopping && !b->stop_sent) {
            tell_bridge(b, LINK_STOPPED);
            b->stop_sent = true;
        }
        if (b->stopping && ipp_now_ms() - b->stop_ms > LEAVE_PATIENCE_MS)
            _exit(0); /* the bridge died on the way out */
        int64_t now = ipp_now_ms(), deadline = sched_tick(b->sched, now);
        int64_t left = deadline < 0 ? INT32_MAX : deadline - now;
        batches_adapt(b);
        batches_flush(b);
        if (b->stopping && left > LEAVE_PATIENCE_MS)
            left = LEAVE_PATIENCE_MS;
        link_wait(b->link, left > INT32_MAX ? INT32_MAX : (int)left);
    }
}

static void forget_all(struct balancer *b)
{
    struct task *task, *next;
    HASH_ITER(hh, b->tasks, task, next)
    {
        task_forget(b, task);
    }
    for (int i = 0; i < b->engine_count; i++) {
        for (int k = 0; k < BATCHES_KEPT; k++)
            ipp_frame_unref(b->finished[i].batches[k]);
        link_batch_clear(&b->outboxes[i].run);
        link_batch_clear(&b->outboxes[i].results);
    }
    free(b->finished);
    free(b->outboxes);
    sched_destroy(b->sched);
}

bool balancer_run(link_t *link, const ipp_options_t *options, bool application,
                  bool (*stop_asked)(void))
{
    struct balancer b = { .link = link,
                          .application = application,
                          .adapts = application && options->prefetch == 0,
                          .prefetch = options->prefetch ? options->prefetch : 2,
                          .mean_ns = -1 };
    struct link_handlers handlers = { .deliver = deliver, .lost = lost };
    struct sched_callbacks callbacks = { .assign = on_assign, .drop = on_drop };
    struct sched_options sched_options = { .prefetch = b.adapts ? b.prefetch : options->prefetch,
                                           .capacity = options->max_tasks > 0
                                                           ? (size_t)options->max_tasks
                                                           : QUEUE_CAPACITY };
    link_set_handlers(link, &handlers, &b);
    b.sched = sched_create(&sched_options, &callbacks, &b);
    b.engine_count = link_size(link) - IPP_SERVICE_RANKS;
    b.finished = calloc((size_t)b.engine_count, sizeof *b.finished);
    b.outboxes = calloc((size_t)b.engine_count, sizeof *b.outboxes);
    if (!b.sched || !b.finished || !b.outboxes) {
        ipp_log(IPP_LOG_ERROR, "the balancer cannot start: %s", strerror(errno));
        _exit(1); /* the bridge sees this rank die */
    }
    for (int engine = 0; engine < b.engine_count; engine++) {
        sched_engine_join(b.sched, engine);
        sched_engine_pause(b.sched, engine, application);
    }
    serve(&b, stop_asked);
    forget_all(&b);
    return b.finalize;
}
