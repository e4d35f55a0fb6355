/* SPDX-License-Identifier: BSD-3-Clause
 * The life of an engine: user code in the calling thread, everything else in the comm thread. */
#include "mpi_engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi_engine/topology.h"

void engine_hello(struct engine *engine, const struct engine_python *python)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    json_t *hello = json_pack("{s:s, s:s, s:I, s:s, s:o}", "uuid", engine->uuid, "host", host,
                              "pid", (json_int_t)getpid(), "group",
                              engine->options->group ? engine->options->group : "", "topology",
                              topology_here());
    json_t *more = python ? json_pack("{s:s, s:s, s:b}", "python", python->version, "executable",
                                      python->executable, "ipyparallel", python->has_ipyparallel)
                          : NULL;
    json_object_update(hello, more);
    json_decref(more);
    struct link_envelope envelope = { .kind = LINK_HELLO, .engine = engine->id };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_push(&frames, wire_json_frame_new(hello)) == 0)
        link_send(engine->link, 0, LINK_DATA, &envelope, &frames);
    engine->hello_sent = true;
}

static void strike(struct engine *engine)
{
    atomic_store(&engine->struck, engine->running);
    atomic_store(&engine->interrupted, true);
    pthread_kill(engine->main_thread, SIGINT);
}

void engine_set_running(struct engine *engine, uint64_t request)
{
    pthread_mutex_lock(&engine->running_mutex);
    engine->running = request;
    if (request == 0)
        run_queue_forget_last(engine->queue);
    else if (request == engine->doomed) {
        engine->doomed = 0;
        strike(engine);
    }
    pthread_mutex_unlock(&engine->running_mutex);
}

void engine_interrupt(struct engine *engine, uint64_t request)
{
    if (engine->tasks) {
        tasks_abort(engine->tasks, request, false);
        return;
    }
    pthread_mutex_lock(&engine->running_mutex);
    if (engine->running != 0 && (request == 0 || request == engine->running))
        strike(engine);
    else if (request != 0 && run_queue_knows(engine->queue, request))
        engine->doomed = request;
    pthread_mutex_unlock(&engine->running_mutex);
}

void engine_renew(struct engine *engine, uint64_t request)
{
    pthread_mutex_lock(&engine->running_mutex);
    if (engine->doomed == request)
        engine->doomed = 0;
    if (atomic_load(&engine->taken_back) == request)
        atomic_store(&engine->taken_back, 0);
    if (atomic_load(&engine->unwanted) == request)
        atomic_store(&engine->unwanted, 0);
    pthread_mutex_unlock(&engine->running_mutex);
    if (engine->tasks)
        tasks_renew(engine->tasks, request);
}

bool engine_was_interrupted(struct engine *engine)
{
    uint64_t running = atomic_load(&engine->running);
    return running != 0 && running == atomic_load(&engine->struck);
}

/* Asks the bridge to end the job, and says why. */
static void give_up(struct engine *engine, const char *why)
{
    struct link_envelope envelope = { .kind = LINK_STOP, .engine = engine->id, .value = 1 };
    ipp_frames_t frames = { 0 };
    ipp_frames_push_copy(&frames, why, strlen(why));
    link_send(engine->link, 0, LINK_CONTROL, &envelope, &frames);
}

/* What will never run is answered, not dropped. */
static void answer_leftovers(struct engine *engine)
{
    for (struct request *r; (r = run_queue_take_any(engine->queue)) != NULL;) {
        if (r->op)
            request_reply_error(engine, r, "EngineError",
                                "the engine ended before it could run this");
        else
            tasks_abandon(engine->tasks, r->frames.at[0], 0);
        request_free(r);
    }
}

static int fill(struct engine *engine, ipp_err_t *err)
{
    wire_uuid(engine->uuid);
    engine->headers = wire_headers_create(engine->uuid);
    engine->metadata = metadata_forms_create(engine->uuid);
    engine->queue = run_queue_create();
    engine->partials = partials_create();
    engine->transfers = transfers_create();
    if (!engine->headers || !engine->metadata || !engine->queue || !engine->partials ||
        !engine->transfers)
        return ipp_err(err, ENOMEM, "no memory for what an engine keeps");
    engine->output = output_create(engine, err);
    if (!engine->output)
        return -1;
    engine->main_thread = pthread_self();
    pthread_mutex_init(&engine->running_mutex, NULL);
    engine->drive = drive_start(engine, err);
    return engine->drive ? 0 : -1;
}

struct engine *engine_open(link_t *link, const ipp_options_t *options, ipp_err_t *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        ipp_err(err, ENOMEM, "no memory for an engine");
        return NULL;
    }
    engine->link = link;
    engine->options = options;
    engine->id = link_rank(link) - IPP_SERVICE_RANKS;
    engine->engines = link_size(link) - IPP_SERVICE_RANKS;
    topology_bind(link, engine->id, options->bind);
    return fill(engine, err) < 0 ? NULL : engine; /* of no more use, and neither is the process */
}

bool engine_close(struct engine *engine)
{
    run_queue_close(engine->queue);
    answer_leftovers(engine);
    output_flush(engine->output);
    atomic_store(&engine->main_done, true);
    link_wake(engine->link);
    drive_join(engine->drive);
    output_destroy(engine->output);
    run_queue_destroy(engine->queue);
    partials_destroy(engine->partials);
    transfers_destroy(engine->transfers);
    metadata_forms_destroy(engine->metadata);
    wire_headers_destroy(engine->headers);
    pthread_mutex_destroy(&engine->running_mutex);
    bool finalize = engine->finalize;
    free(engine);
    return finalize;
}

bool engine_run(link_t *link, const ipp_options_t *options)
{
    ipp_err_t err = { "" };
    struct engine *engine = engine_open(link, options, &err);
    if (!engine) {
        ipp_log(IPP_LOG_ERROR, "%s", err.text);
        exit(1); /* the bridge sees this rank die */
    }
    if (python_serve(engine, &err) < 0)
        give_up(engine, err.text);
    return engine_close(engine);
}
