/* SPDX-License-Identifier: BSD-3-Clause
 * The life of a cluster: starting, serving, stopping, left. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steer/bridge/bridge_private.h"

/* How long ranks have to come to an end: Python's own takes its time on a busy machine. A launcher
 * that was told to end the job may have less patience and kills what is left; by then the
 * connection file is gone and clients have been told. */
#define STOP_GRACE_MS 3000
/* How long the last words to ranks and clients may take. */
#define DRAIN_MS 1000
/* A client that shuts everything down asks the engines first and the cluster afterwards: it has so
 * long. */
#define EMPTY_GRACE_MS 1000

/* ---- ready ---- */

static int fill_connection(struct bridge *b, ipp_err_t *err)
{
    char host[256] = "", interface[300];
    wire_connection_t *c = &b->connection;
    gethostname(host, sizeof host - 1);
    snprintf(interface, sizeof interface, "tcp://%s",
             b->options->ip ? b->options->ip : "127.0.0.1");
    c->interface = strdup(interface);
    c->location = strdup(host);
    c->key = strdup(b->key);
    c->cluster_id = strdup(b->options->cluster_id ? b->options->cluster_id : "");
    c->python = strdup(wire_json_string(b->engines[0].about, "python", ""));
    c->engines = b->engine_count;
    c->task_scheme = b->options->scheme;
    c->pid = getpid();
    return c->interface && c->location && c->key && c->cluster_id && c->python
               ? 0
               : ipp_err(err, ENOMEM, "no memory for the connection file");
}

/* A part of an engine's topology: where one that is not bound happened to run says nothing. */
static int place_of(const json_t *topology, const char *key)
{
    const json_t *value = json_object_get(topology, key);
    bool bound = json_is_true(json_object_get(topology, "bound"));
    return bound && json_is_integer(value) ? (int)json_integer_value(value) : -1;
}

/* The number of the first engine on the same host. */
static int host_of(const struct bridge *b, int id)
{
    const char *host = wire_json_string(b->engines[id].about, "host", "");
    int first = 0;
    while (strcmp(wire_json_string(b->engines[first].about, "host", ""), host) != 0)
        first++;
    return first;
}

static void tell_places(struct bridge *b)
{
    struct link_envelope envelope = { .kind = LINK_PLACES, .engine = -1 };
    ipp_frames_t frames = { 0 };
    ipp_frame_t *frame = ipp_frame_alloc((size_t)b->engine_count * sizeof(struct sched_place));
    if (!frame)
        return; /* all engines are equally far then */
    struct sched_place *places = ipp_frame_data(frame);
    for (int id = 0; id < b->engine_count; id++) {
        const json_t *topology = json_object_get(b->engines[id].about, "topology");
        places[id] = (struct sched_place){ host_of(b, id), place_of(topology, "package"),
                                           place_of(topology, "numa"), place_of(topology, "core") };
    }
    if (ipp_frames_push(&frames, frame) == 0)
        link_send(b->link, BALANCER_RANK, LINK_DATA, &envelope, &frames);
}

void life_all_arrived(struct bridge *b)
{
    ipp_err_t err = { "" };
    if (b->phase != PHASE_STARTING)
        return;
    if (fill_connection(b, &err) < 0 ||
        wire_connection_write(b->connection_path, &b->connection, &err) < 0) {
        life_stop(b, 1, err.text);
        return;
    }
    b->connection_written = true;
    b->phase = PHASE_SERVING;
    tell_places(b);
    struct link_envelope ready = { .kind = LINK_READY, .engine = -1 };
    ranks_tell_all(b, LINK_CONTROL, &ready);
    b->last_work_ms = ipp_now_ms();
    char status[700];
    snprintf(status, sizeof status, "%d engine%s ready, connection file %s", b->engine_count,
             b->engine_count == 1 ? "" : "s", b->connection_path);
    fprintf(stderr, "ipp-engine: %s\n", status);
    notify_ready(status);
}

/* ---- the end ---- */

static void answer_all(struct bridge *b)
{
    struct pending *p, *next;
    HASH_ITER(hh, b->pending, p, next)
    {
        answer_rest_error(b, p, "EngineError", "the cluster was shut down");
    }
}

static void tell_clients(struct bridge *b)
{
    if (!b->sockets)
        return;
    query_forget_all(b);
    answer_all(b);
    gate_open(b);
    feed_event(b, "shutdown", true, json_object());
    publish(b, WIRE_NOTIFICATION, "shutdown_notification", "shutdown_notification", NULL,
            json_pack("{s:s}", "status", "ok"));
}

void life_stop(struct bridge *b, int exit_code, const char *why)
{
    if (b->phase >= PHASE_STOPPING)
        return;
    bool never_ready = b->phase == PHASE_STARTING;
    b->phase = PHASE_STOPPING;
    b->exit_code = exit_code;
    b->stop_deadline_ms = ipp_now_ms() + STOP_GRACE_MS;
    if (exit_code != 0) {
        fprintf(stderr, "ipp-engine: %s\n", why);
        if (never_ready)
            bridge_notify_failure(why);
    } else
        ipp_log(IPP_LOG_INFO, "the cluster ends: %s", why);
    if (b->connection_written)
        unlink(b->connection_path);
    if (b->sockets)
        sockets_hide(b->sockets);
    tell_clients(b);
    link_leaving(b->link);
    struct link_envelope envelope = { .kind = LINK_STOP, .engine = -1 };
    ranks_tell_all(b, LINK_CONTROL, &envelope);
}

void life_rank_stopped(struct bridge *b, int rank)
{
    if (!b->stopped[rank]) {
        b->stopped[rank] = true;
        b->stopped_count++;
    }
}

static void leave(struct bridge *b, bool finalize)
{
    struct link_envelope envelope = { .kind = LINK_LEAVE, .engine = -1, .value = finalize };
    ranks_tell_all(b, LINK_CONTROL, &envelope);
    link_drain(b->link, DRAIN_MS);
    b->phase = PHASE_LEFT;
}

void life_last_engine_gone(struct bridge *b, enum engine_state how)
{
    if (how == ENGINE_LOST)
        life_stop(b, 1, "the last engine died");
    else
        b->empty_since_ms = ipp_now_ms();
}

/* Ends a cluster that nobody uses; returns ms until it is due, -1 when it is not. */
static int idle_tick(struct bridge *b)
{
    bool idles = b->options->idle_timeout_s > 0 && !b->pending;
    if (b->phase != PHASE_SERVING || (!idles && b->empty_since_ms == 0))
        return -1;
    int64_t due = b->empty_since_ms ? b->empty_since_ms + EMPTY_GRACE_MS
                                    : b->last_work_ms + (int64_t)b->options->idle_timeout_s * 1000;
    int64_t left = due - ipp_now_ms();
    if (left > 0)
        return left > INT32_MAX ? INT32_MAX : (int)left;
    life_stop(b, 0,
              b->empty_since_ms ? "all engines were shut down"
                                : "nothing was asked of it for the idle timeout");
    return 0;
}

int life_tick(struct bridge *b)
{
    if (b->phase != PHASE_STOPPING)
        return idle_tick(b);
    bool all = b->stopped_count == link_size(b->link) - 1;
    int64_t left = b->stop_deadline_ms - ipp_now_ms();
    if (!all && left > 0)
        return (int)left;
    if (!all)
        ipp_log(IPP_LOG_WARNING, "%d ranks did not come to an end in %d ms: they are left behind",
                link_size(b->link) - 1 - b->stopped_count, STOP_GRACE_MS);
    leave(b, all && !link_any_lost(b->link));
    return 0;
}
