/* SPDX-License-Identifier: BSD-3-Clause
 * The loop of rank 1: tasks come from the bridge, go to engines as the scheduler says, and their
 * ends come back. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/balancer_private.h"

/* Tasks that may wait here at once where nobody says how many; the bridge hears of each one more.
 */
#define QUEUE_CAPACITY 10000000

/* Ended tasks that others may still depend on, as many as the bridge knows by their msg_ids. */
#define TASKS_REMEMBERED 262144

static void request_free(struct request *request)
{
    ipp_frames_clear(&request->frames);
    free(request);
}

static void tell_dropped(struct balancer *b, uint64_t number, int why, int engine, const void *more,
                         size_t size)
{
    struct link_envelope envelope = {
        .kind = LINK_DROPPED, .request = number, .engine = engine, .value = why
    };
    ipp_frames_t frames = { 0 };
    if (size > 0)
        ipp_frames_push_copy(&frames, more, size);
    link_send(b->link, 0, LINK_DATA, &envelope, &frames);
}

static void tell_refused(struct balancer *b, uint64_t number, int error, const char *text)
{
    int why =
        error == EINVAL || error == ERANGE || error == EEXIST ? BALANCER_INVALID : BALANCER_REFUSED;
    tell_dropped(b, number, why, -1, text, strlen(text));
}

/* ---- what the scheduler decides ---- */

static void hand_over(struct balancer *b, const struct sched_live *task, const int *engines,
                      int count)
{
    struct link_envelope envelope = {
        .kind = LINK_HANDOVER, .engine = engines[0], .request = task->id, .value = task->retries
    };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_push_copy(&frames, engines, (size_t)count * sizeof *engines) < 0)
        abort(); /* it would neither run nor end */
    link_send(b->link, 0, LINK_DATA, &envelope, &frames);
}

static void send_request(struct balancer *b, const struct sched_live *task, const int *engines,
                         int count)
{
    struct request *request = task->item;
    struct link_envelope envelope = { .kind = LINK_REQUEST,
                                      .flags = LINK_FROM_BALANCER,
                                      .engine = engines[0],
                                      .request = task->id,
                                      .value = task->retries,
                                      .op = request->op };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_share(&frames, &request->frames, 0) < 0)
        abort();
    if (task->retries == 0)
        ipp_frames_clear(&request->frames);
    /* To a dead engine nothing is sent; its loss is on its way here and takes care of the task. */
    if (link_send_request(b->link, engines, (size_t)count, &envelope, &frames) < 0 &&
        errno == ENOMEM)
        abort();
}

static void on_assign(void *arg, const struct sched_live *task, const int *engines, int count)
{
    struct balancer *b = arg;
    struct request *request = task->item;
    if (is_batched(task->id)) {
        batches_assign(b, task, engines, count);
        return;
    }
    request->first = engines[0];
    if (request->kept)
        hand_over(b, task, engines, count);
    else
        send_request(b, task, engines, count);
}

static void on_drop(void *arg, const struct sched_live *task, const struct sched_end *end)
{
    struct balancer *b = arg;
    if (is_batched(task->id)) {
        batches_drop(b, task, end->why);
        batches_forget(task->item);
        return;
    }
    tell_dropped(b, task->id, end->why, end->engine, &end->other,
                 end->other ? sizeof end->other : 0);
    request_free(task->item);
}

/* ---- what messages bring ---- */

static const char *refusal_text(int code)
{
    switch (code) {
    case ENOBUFS:
        return "the queue of tasks is full";
    case EINVAL:
        return "retries, timeout and width must not be negative, priorities lie within +-1000, and "
               "dependencies are on success, failure or both";
    case ERANGE:
        return "it wants more engines at once than there are for it";
    case EEXIST:
        return "a task with this id is queued already";
    default:
        return strerror(code);
    }
}

static void on_task(struct balancer *b, struct link_message *msg)
{
    uint64_t number = msg->envelope.request;
    struct request *request = calloc(1, sizeof *request);
    const ipp_frame_t *head = msg->frames.count > 0 ? msg->frames.at[0] : NULL;
    if (!request || !head || ipp_frames_share(&request->frames, &msg->frames, 1) < 0) {
        tell_refused(b, number, ENOMEM, strerror(ENOMEM));
        free(request);
        return;
    }
    request->op = msg->envelope.op;
    request->kept = msg->envelope.flags & LINK_KEPT;
    struct sched_task wanted = { .id = number, .item = request };
    errno = EINVAL;
    if (wants_read(ipp_frame_data(msg->frames.at[0]), ipp_frame_size(head), &wanted) == 0 ||
        sched_submit(b->sched, &wanted, ipp_now_ms()) < 0) {
        if (errno == EHOSTUNREACH)
            tell_dropped(b, number, SCHED_DROP_UNREACHABLE, -1, NULL, 0);
        else
            tell_refused(b, number, errno, refusal_text(errno));
        request_free(request);
    }
}

/* Another engine may have to be asked. */
static void on_unmet(struct balancer *b, struct link_message *msg)
{
    struct request *request = sched_item(b->sched, msg->envelope.request);
    if (request && request->frames.count == 0) {
        request->frames = msg->frames;
        msg->frames = (ipp_frames_t){ 0 };
    }
    sched_declined(b->sched, msg->envelope.request, msg->envelope.engine);
}

static void on_done(struct balancer *b, const struct link_envelope *envelope)
{
    void *item;
    enum sched_outcome outcome = envelope->value == LINK_OK        ? SCHED_SUCCEEDED
                                 : envelope->value == LINK_ABORTED ? SCHED_STOPPED
                                                                   : SCHED_FAILED;
    if (sched_done(b->sched, envelope->request, envelope->engine, outcome, &item) != SCHED_FINISHED)
        return;
    int first = ((struct request *)item)->first;
    struct finished *finished = &b->finished[first];
    if (link_is_lost(b->link, first + IPP_SERVICE_RANKS)) /* too late for tell_unanswered */
        tell_dropped(b, envelope->request, SCHED_DROP_ENGINE_LOST, first, NULL, 0);
    else
        finished->numbers[finished->next++ % FINISHED_KEPT] = envelope->request;
    request_free(item);
}

/* Behind the task, by the way that it went. */
static void abort_on(struct balancer *b, const struct link_envelope *asked, int engine)
{
    struct link_envelope envelope = *asked;
    const struct request *request = sched_item(b->sched, asked->request);
    envelope.engine = engine;
    if (is_batched(asked->request))
        batches_abort(b, &envelope);
    else
        link_send(b->link, request->kept ? 0 : engine + IPP_SERVICE_RANKS, LINK_DATA, &envelope,
                  NULL);
}

static void on_abort(struct balancer *b, const struct link_envelope *asked)
{
    if (sched_abort(b->sched, asked->request) < 0)
        return;
    int *engines = calloc((size_t)b->engine_count, sizeof *engines);
    int count =
        engines ? sched_task_engines(b->sched, asked->request, engines, b->engine_count) : 0;
    for (int i = 0; i < count; i++)
        abort_on(b, asked, engines[i]);
    free(engines);
}

struct listing {
    struct link_queued *at;
    size_t count;
};

static void list_task(void *arg, const struct sched_live *task, int engine)
{
    struct listing *listing = arg;
    listing->at[listing->count++] = (struct link_queued){ .request = task->id, .engine = engine };
}

static void on_queues(struct balancer *b, const struct link_envelope *asked)
{
    size_t bytes = sched_live(b->sched) * sizeof(struct link_queued);
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

static void on_places(struct balancer *b, const struct link_message *msg)
{
    const struct sched_place *places = msg->frames.count ? ipp_frame_data(msg->frames.at[0]) : NULL;
    for (int engine = 0; places && engine < b->engine_count; engine++)
        sched_engine_place(b->sched, engine, &places[engine]);
}

static void on_explain(struct balancer *b, const struct link_message *msg)
{
    struct link_envelope envelope = msg->envelope;
    struct sched_why why;
    ipp_frames_t frames = { 0 };
    const uint64_t *number = ipp_frame_data(msg->frames.at[0]);
    if (sched_explain(b->sched, *number, &why) == 0)
        ipp_frames_push_copy(&frames, &why, sizeof why);
    link_send(b->link, 0, LINK_DATA, &envelope, &frames);
}

/* ---- engines that leave ---- */

struct leaving {
    struct balancer *b;
    int engine;
    int *engines; /* room for those of one task */
};

static void stop_survivors(void *arg, const struct sched_live *task, int first)
{
    struct leaving *leaving = arg;
    struct balancer *b = leaving->b;
    struct link_envelope abort = {
        .kind = LINK_ABORT, .flags = LINK_INTERRUPT, .request = task->id, .value = LINK_TAKEN_BACK
    };
    bool concerned = false;
    int count =
        first < 0 ? 0 : sched_task_engines(b->sched, task->id, leaving->engines, b->engine_count);
    for (int i = 0; i < count; i++)
        concerned |= leaving->engines[i] == leaving->engine;
    for (int i = 0; concerned && i < count; i++)
        if (leaving->engines[i] != leaving->engine)
            abort_on(b, &abort, leaving->engines[i]);
}

/* What several run together and one of them does not any more comes to nothing on the others. */
static void stop_what_is_broken(struct balancer *b, int engine)
{
    struct leaving leaving = { b, engine,
                               calloc((size_t)b->engine_count, sizeof *leaving.engines) };
    if (leaving.engines)
        sched_each(b->sched, stop_survivors, &leaving);
    free(leaving.engines);
}

static void engine_leaves(struct balancer *b, int engine)
{
    if (engine < 0)
        return;
    stop_what_is_broken(b, engine);
    b->outboxes[engine].serving = false;
    link_batch_clear(&b->outboxes[engine].run);
    sched_engine_leave(b->sched, engine);
}

/* The bridge has answered most of these, and ignores them. */
static void tell_unanswered(struct balancer *b, int engine)
{
    for (int i = 0; engine >= 0 && i < FINISHED_KEPT; i++)
        if (b->finished[engine].numbers[i] != 0)
            tell_dropped(b, b->finished[engine].numbers[i], SCHED_DROP_ENGINE_LOST, engine, NULL,
                         0);
    if (engine >= 0)
        batches_lost(b, engine);
}

/* What concerns tasks; false: it is something else. */
static bool deliver_task(struct balancer *b, struct link_message *msg)
{
    switch (msg->envelope.kind) {
    case LINK_TASK:
        on_task(b, msg);
        return true;
    case LINK_DONE:
        if (msg->envelope.value == LINK_UNMET)
            on_unmet(b, msg);
        else
            on_done(b, &msg->envelope);
        return true;
    case LINK_ABORT:
        on_abort(b, &msg->envelope);
        return true;
    case LINK_QUEUES:
        on_queues(b, &msg->envelope);
        return true;
    case LINK_EXPLAIN:
        on_explain(b, msg);
        return true;
    case LINK_SUBMIT:
        batches_submit(b, msg);
        return true;
    case LINK_ENDED:
        batches_ended(b, msg);
        return true;
    case LINK_BLOCKED:
        sched_task_blocked(b->sched, msg->envelope.request, msg->envelope.engine,
                           msg->envelope.value != 0);
        return true;
    default:
        return false;
    }
}

static void deliver(void *arg, struct link_message *msg)
{
    struct balancer *b = arg;
    if (deliver_task(b, msg))
        return;
    switch (msg->envelope.kind) {
    case LINK_PLACES:
        on_places(b, msg);
        break;
    case LINK_LOST:
        link_mark_lost(b->link, msg->envelope.value);
        engine_leaves(b, msg->envelope.value - IPP_SERVICE_RANKS);
        tell_unanswered(b, msg->envelope.value - IPP_SERVICE_RANKS);
        break;
    case LINK_SERVING:
        batches_serving(b, msg->envelope.engine, msg->envelope.value != 0);
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

/* As the bridge does: docs/decisions/0015-busy-poll.md. Engines at work: no more than tasks. */
static void wait_for_messages(struct balancer *b, int timeout_ms)
{
    size_t assigned = sched_live(b->sched) - sched_queued(b->sched);
    int at_work = assigned < (size_t)b->engine_count ? (int)assigned : b->engine_count;
    int64_t began = ipp_now_ns(), limit = busy_poll_limit(&b->busy, at_work);
    bool came = link_wait(b->link, 0);
    while (!came && ipp_now_ns() - began < limit) {
        sched_yield();
        came = link_wait(b->link, 0);
    }
    if (!came && timeout_ms > 0)
        link_wait(b->link, timeout_ms);
    busy_poll_waited(&b->busy, ipp_now_ns() - began);
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
        wait_for_messages(b, left > INT32_MAX ? INT32_MAX : (int)left);
    }
}

static void forget(void *arg, const struct sched_live *task, int engine)
{
    (void)arg, (void)engine;
    if (is_batched(task->id))
        batches_forget(task->item);
    else
        request_free(task->item);
}

static void forget_all(struct balancer *b)
{
    sched_each(b->sched, forget, NULL);
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
    struct sched_options sched_options = {
        .policy = options->scheme ? sched_policy_find(options->scheme) : NULL,
        .prefetch = b.adapts ? b.prefetch : options->prefetch,
        .capacity = options->max_tasks > 0 ? (size_t)options->max_tasks : QUEUE_CAPACITY,
        .remember = TASKS_REMEMBERED
    };
    link_set_handlers(link, &handlers, &b);
    busy_poll_init(&b.busy, false);
    b.sched = sched_create(&sched_options, &callbacks, &b);
    b.engine_count = link_size(link) - IPP_SERVICE_RANKS;
    b.finished = calloc((size_t)b.engine_count, sizeof *b.finished);
    b.outboxes = calloc((size_t)b.engine_count, sizeof *b.outboxes);
    if (!b.sched || !b.finished || !b.outboxes) {
        ipp_log(IPP_LOG_ERROR, "the balancer cannot start: %s", strerror(errno));
        _exit(1); /* the bridge sees this rank die */
    }
    for (int engine = 0; engine < b.engine_count; engine++) {
        sched_engine_join(b.sched, engine, NULL);
        sched_engine_pause(b.sched, engine, application);
    }
    serve(&b, stop_asked);
    forget_all(&b);
    return b.finalize;
}
