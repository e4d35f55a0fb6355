/* SPDX-License-Identifier: BSD-3-Clause
 * What an engine does with messages, and when it sends what was printed. No Python runs here. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi_engine/engine.h"
#include "mpi_engine/world.h"

/* What a large value has left is kept for the next one for so long. */
#define KEEP_MEMORY_MS 2000
#define KEEP_MEMORY_BYTES ((size_t)160 << 20)
/* Between two attempts to interrupt user code when the job ends. */
#define INTERRUPT_AGAIN_MS 100

struct comm {
    struct engine *engine;
    bool busy, stop_announced, stop_asked;
    atomic_bool left;
    int64_t interrupted_ms;
    int64_t stop_ms; /* when the bridge said stop; 0: it has not */
};

static void reply_ok(struct engine *engine, struct request *request)
{
    ipp_frames_t none = { 0 };
    request_reply(engine, request, LINK_OK, wire_json_frame_new(json_pack("{s:s}", "status", "ok")),
                  &none);
    request_free(request);
}

static void reply_aborted(struct engine *engine, struct request *request)
{
    ipp_frames_t none = { 0 };
    request_reply(engine, request, LINK_ABORTED,
                  wire_json_frame_new(json_pack("{s:s}", "status", "aborted")), &none);
    request_free(request);
}

static void on_abort(struct engine *engine, const struct link_envelope *asked)
{
    for (struct request *r; (r = run_queue_take(engine->queue, asked->request)) != NULL;)
        reply_aborted(engine, r);
    if (asked->value == LINK_TAKEN_BACK)
        atomic_store(&engine->taken_back, asked->request);
    else if (asked->flags & LINK_INTERRUPT)
        atomic_store(&engine->unwanted, asked->request);
    if (engine->tasks && asked->flags & LINK_INTERRUPT)
        tasks_abort(engine->tasks, asked->request, asked->value == LINK_TAKEN_BACK);
    else if (asked->flags & LINK_INTERRUPT)
        engine_interrupt(engine, asked->request);
}

/* ---- control requests ---- */

/* A signal by number or by name ("SIGINT"); 0 when there is none such. */
static int read_signal(const json_t *content)
{
    const json_t *sig = json_object_get(content, "sig");
    if (json_is_integer(sig))
        return json_integer_value(sig) > 0 && json_integer_value(sig) < NSIG
                   ? (int)json_integer_value(sig)
                   : 0;
    const char *name = json_string_value(sig);
    for (int i = 1; name && i < NSIG; i++) {
        const char *abbreviation = sigabbrev_np(i);
        if (abbreviation && strncmp(name, "SIG", 3) == 0 && strcmp(name + 3, abbreviation) == 0)
            return i;
    }
    return 0;
}

static void on_signal(struct engine *engine, struct request *request)
{
    json_t *content = wire_json_read(request->frames.at[FRAME_CONTENT], NULL);
    int sig = read_signal(content);
    char *asked = json_dumps(json_object_get(content, "sig"), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    if (sig == 0) {
        char text[160];
        snprintf(text, sizeof text, "no such signal: %.100s", asked ? asked : "nothing given");
        request_reply_error(engine, request, "ValueError", text);
        request_free(request);
    } else if (sig == SIGINT) {
        engine_interrupt(engine, 0);
        reply_ok(engine, request);
    } else {
        reply_ok(engine, request);
        kill(getpid(), sig);
    }
    free(asked);
    json_decref(content);
}

/* One engine ends and the job goes on: the process stays, for MPI's sake, and does nothing any
 * more. */
static void on_shutdown(struct engine *engine, struct request *request)
{
    reply_ok(engine, request);
    struct link_envelope retired = { .kind = LINK_RETIRED, .engine = engine->id };
    link_send(engine->link, 0, LINK_DATA, &retired, NULL);
    link_send(engine->link, 1, LINK_DATA, &retired, NULL);
    atomic_store(&engine->retired, true);
    run_queue_close(engine->queue);
}

/* An application's ranks run its tasks and no Python; ipp-engine's the other way round. */
static void refuse_kind(struct engine *engine, struct request *request)
{
    request_reply_error(engine, request, "NotImplementedError",
                        engine->tasks ? "the ranks of this application run C tasks, and no Python"
                                      : "the engines of ipp-engine run Python, and no C tasks");
    request_free(request);
}

static void on_control(struct engine *engine, struct request *request)
{
    switch (request->envelope.op) {
    case WIRE_OP_CLEAR:
        if (engine->tasks)
            refuse_kind(engine, request);
        else
            run_queue_push(engine->queue, request, true);
        break;
    case WIRE_OP_ABORT: /* what it names has been taken off the queue by the LINK_ABORTs before it
                         */
        reply_ok(engine, request);
        break;
    case WIRE_OP_SIGNAL:
        on_signal(engine, request);
        break;
    case WIRE_OP_SHUTDOWN:
        on_shutdown(engine, request);
        break;
    default:
        request_reply_error(engine, request, "KeyError",
                            "the engine does not know this control request");
        request_free(request);
    }
}

/* 0; or -1 when it has been answered with an error. Takes the reference `frame`; NULL is fine. */
static int add_transfer(struct engine *engine, struct request *request, ipp_frame_t *frame)
{
    if (!frame || !request) {
        ipp_frame_unref(frame);
        return 0;
    }
    ipp_err_t err = { "" };
    const struct link_transfer *said = ipp_frame_data(frame);
    size_t size = ipp_frame_size(frame);
    assert(size >= sizeof *said && size == sizeof *said + said->count * sizeof *said->sizes);
    int result = transfers_take(engine->transfers, said, &request->frames, &err);
    ipp_frame_unref(frame);
    if (result < 0) {
        request_reply_error(engine, request, errno == ENOMEM ? "MemoryError" : "ValueError",
                            err.text);
        request_free(request);
    }
    return result;
}

static void on_chunk(struct engine *engine, const struct link_message *msg)
{
    const ipp_frames_t *frames = &msg->frames;
    if (frames->count < 2) {
        transfers_drop(engine->transfers, msg->envelope.request);
        return;
    }
    const struct link_chunk *chunk = ipp_frame_data(frames->at[0]);
    assert(ipp_frame_size(frames->at[0]) == sizeof *chunk);
    transfers_chunk(engine->transfers, msg->envelope.request, chunk, ipp_frame_data(frames->at[1]),
                    ipp_frame_size(frames->at[1]));
}

static void on_partial(struct engine *engine, struct link_message *msg)
{
    if (partials_put(engine->partials, msg->envelope.request, msg->envelope.engine,
                     msg->envelope.value, &msg->frames) < 0) {
        ipp_log(IPP_LOG_ERROR, "no memory for a partial value: %s", strerror(errno));
        abort(); /* whoever waits for it would wait for ever */
    }
}

static void on_request(struct engine *engine, struct link_message *msg)
{
    enum link_lane lane = msg->lane;
    ipp_frame_t *transfer = request_frame_before(msg, LINK_TRANSFER); /* how to cut it */
    struct request *request = request_new(engine, msg);
    if (add_transfer(engine, request, transfer) < 0)
        return;
    if (!request)
        ipp_log(IPP_LOG_ERROR, "a request from rank %d is dropped: %s", msg->from, strerror(errno));
    else if (lane == LINK_CONTROL || request->envelope.op == WIRE_OP_ABORT)
        on_control(engine, request);
    else if (atomic_load(&engine->retired) || atomic_load(&engine->stopping) ||
             atomic_load(&engine->main_done)) {
        request_reply_error(engine, request, "EngineError", "the engine has been shut down");
        request_free(request);
    } else if ((engine->tasks != NULL) != (request->envelope.op == WIRE_OP_TASK))
        refuse_kind(engine, request);
    else {
        engine_renew(engine, request->envelope.request);
        run_queue_push(engine->queue, request, false);
    }
}

/* The tasks of a batch that cannot be taken would be waited for for ever. */
static void on_run(struct engine *engine, struct link_message *msg)
{
    struct request *batch = engine->tasks ? request_new_batch(msg) : NULL;
    if (!batch) {
        ipp_log(IPP_LOG_ERROR, "a batch of tasks cannot be taken");
        abort();
    }
    if (atomic_load(&engine->retired) || atomic_load(&engine->main_done)) {
        tasks_abandon(engine->tasks, batch->frames.at[0], 0);
        request_free(batch);
        return;
    }
    tasks_renew_batch(engine->tasks, batch->frames.at[0]);
    run_queue_push(engine->queue, batch, false);
}

static void deliver(void *arg, struct link_message *msg)
{
    struct comm *comm = arg;
    struct engine *engine = comm->engine;
    switch (msg->envelope.kind) {
    case LINK_REQUEST:
        on_request(engine, msg);
        break;
    case LINK_READY:
        atomic_store(&engine->ready, true);
        break;
    case LINK_ABORT:
        on_abort(engine, &msg->envelope);
        break;
    case LINK_LOST:
        link_mark_lost(engine->link, msg->envelope.value);
        partials_lost(engine->partials, msg->envelope.value - IPP_SERVICE_RANKS);
        break;
    case LINK_CHUNK:
        on_chunk(engine, msg);
        break;
    case LINK_PARTIAL:
        on_partial(engine, msg);
        break;
    case LINK_RUN:
        on_run(engine, msg);
        break;
    case LINK_RESULTS:
        tasks_results(engine->tasks, msg->frames.at[0]);
        break;
    case LINK_QUIET:
        tasks_quiet(engine->tasks, msg->envelope.value);
        break;
    case LINK_REBUILD:
        world_rebuild(engine->link, msg->envelope.value);
        break;
    case LINK_STOP:
        atomic_store(&engine->stopping, true);
        comm->stop_ms = ipp_now_ms();
        link_leaving(engine->link);
        run_queue_close(engine->queue);
        break;
    case LINK_LEAVE:
        engine->finalize = msg->envelope.value != 0;
        run_queue_close(engine->queue);
        atomic_store(&comm->left, true);
        break;
    default:
        ipp_log(IPP_LOG_ERROR, "rank %d sent a message of kind %d, which no engine takes",
                msg->from, msg->envelope.kind);
    }
}

static void lost(void *arg, int rank)
{
    struct comm *comm = arg;
    (void)rank; /* only rank 0 is watched from here */
    ipp_log(IPP_LOG_ERROR, "the bridge is gone: this engine ends");
    link_mark_lost(comm->engine->link, 0);
    _exit(1);
}

/* ---- the loop ---- */

static void send_to_bridge(struct engine *engine, enum link_kind kind)
{
    struct link_envelope envelope = { .kind = (uint16_t)kind, .engine = engine->id };
    link_send(engine->link, 0, LINK_CONTROL, &envelope, NULL);
}

/* Once the bridge says stop, user code is interrupted until it returns. */
static int stop_step(struct comm *comm)
{
    struct engine *engine = comm->engine;
    if (!atomic_load(&engine->stopping) && !atomic_load(&engine->retired))
        return -1;
    if (atomic_load(&engine->main_done)) {
        if (atomic_load(&engine->stopping) && !comm->stop_announced)
            send_to_bridge(engine, LINK_STOPPED);
        comm->stop_announced = atomic_load(&engine->stopping);
        return -1;
    }
    int64_t now = ipp_now_ms();
    if (now - comm->interrupted_ms >= INTERRUPT_AGAIN_MS) {
        comm->interrupted_ms = now;
        engine_interrupt(engine, 0);
    }
    return INTERRUPT_AGAIN_MS;
}

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

void comm_step(struct comm *comm, int most_ms)
{
    struct engine *engine = comm->engine;
    if (stop_signal_seen() && !comm->stop_asked) {
        send_to_bridge(engine, LINK_STOP);
        comm->stop_asked = true;
    }
    if (comm->stop_ms && ipp_now_ms() - comm->stop_ms > LEAVE_PATIENCE_MS)
        _exit(0); /* the bridge died on the way out */
    int timeout =
        sooner(output_tick(engine->output, link_watched_ready(engine->link)), stop_step(comm));
    if (comm->stop_ms)
        timeout = sooner(timeout, LEAVE_PATIENCE_MS);
    if (!comm->busy)
        ipp_frame_trim(KEEP_MEMORY_MS);
    comm->busy = link_wait(engine->link, sooner(timeout, most_ms));
}

bool comm_left(const struct comm *comm)
{
    return atomic_load(&comm->left);
}

struct comm *comm_create(struct engine *engine)
{
    struct comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return NULL;
    comm->engine = engine;
    ipp_frame_keep(KEEP_MEMORY_BYTES);
    struct link_handlers handlers = { .deliver = deliver, .lost = lost };
    link_set_handlers(engine->link, &handlers, comm);
    return comm;
}

void comm_destroy(struct comm *comm)
{
    free(comm);
}
