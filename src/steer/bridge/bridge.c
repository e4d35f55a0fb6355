/* SPDX-License-Identifier: BSD-3-Clause
 * Rank 0: one loop over clients' sockets and the link. */
#include "steer/bridge/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Signatures that a repeated message is known by. */
#define SIGNATURES_KEPT 65536
/* An abort may overtake its request, for they come on two sockets. */
#define EARLY_ABORTS_KEPT 65536
/* What is still to be sent to clients when the bridge ends has this long. */
#define LINGER_MS 300

/* Where one large message comes, others follow. */
#define BULK_LASTS_MS 100

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Engines that need their cores now: those that owe an answer, or may be taking in a large value.
 */
static int engines_at_work(const struct bridge *b)
{
    bool bulk = ipp_now_ms() - b->last_bulk_ms < BULK_LASTS_MS;
    return bulk || b->awaited > (size_t)b->engines_alive ? b->engines_alive : (int)b->awaited;
}

static unsigned wait_for_input(struct bridge *b, int timeout_ms)
{
    int at_work = engines_at_work(b);
    if (timeout_ms == 0)
        return sockets_poll(b->sockets, link_fd(b->link), timeout_ms, 0);
    int64_t began = ipp_now_ns();
    unsigned ready =
        sockets_poll(b->sockets, link_fd(b->link), timeout_ms, busy_poll_limit(&b->busy, at_work));
    busy_poll_waited(&b->busy, ipp_now_ns() - began);
    return ready;
}

static void serve(struct bridge *b, bool (*stop_asked)(void))
{
    while (b->phase != PHASE_LEFT) {
        if (stop_asked())
            life_stop(b, 0, "a signal asked for it");
        int timeout =
            sooner(sooner(life_tick(b), engines_tick(b)), sooner(memory_tick(b), gate_tick(b)));
        timeout = sooner(timeout, sessions_tick(b));
        if (b->phase == PHASE_LEFT)
            break;
        if (link_progress(b->link))
            timeout = 0;
        timeout = sooner(timeout, link_timeout(b->link));
        route_messages(b, wait_for_input(b, timeout));
    }
}

/* What came in while the last ranks were sent home. */
static void answer_latecomers(struct bridge *b)
{
    int64_t deadline_ms = ipp_now_ms() + LINGER_MS;
    unsigned ready;
    while ((ready = sockets_poll(b->sockets, link_fd(b->link), 0, 0)) && ipp_now_ms() < deadline_ms)
        route_messages(b, ready);
}

static int open_bridge(struct bridge *b, ipp_err_t *err)
{
    const ipp_options_t *o = b->options;
    char session[37];
    wire_uuid(session);
    wire_key_generate(b->key);
    b->headers = wire_headers_create(session);
    b->nothing = wire_json_frame_new(json_object());
    b->idle = wire_json_frame_new(json_pack("{s:s}", "execution_state", "idle"));
    b->signer = wire_signer_create(b->key, SIGNATURES_KEPT);
    b->unsigned_signer = wire_signer_create("", 0);
    b->stopped = calloc((size_t)link_size(b->link), sizeof *b->stopped);
    b->early = early_create(EARLY_ABORTS_KEPT);
    if (!b->headers || !b->nothing || !b->idle || !b->signer || !b->unsigned_signer ||
        !b->stopped || !b->early || engines_create(b) < 0)
        return ipp_err(err, errno, "the bridge cannot start: %s", strerror(errno));
    b->connection_path = o->connection_file ? strdup(o->connection_file)
                                            : wire_connection_path(o->profile, o->cluster_id, err);
    if (!b->connection_path)
        return -1;
    b->sockets = sockets_open(o->ip ? o->ip : "127.0.0.1", b->connection.ports,
                              &b->connection.steering, err);
    if (!b->sockets)
        return -1;
    if (!access_add_owner(&b->access, b->connection.steering.public_key))
        return ipp_err(err, ENOMEM, "the bridge cannot start: no memory for keys");
    return 0;
}

static void close_bridge(struct bridge *b)
{
    struct pending *p, *next;
    HASH_ITER(hh, b->pending, p, next)
    {
        pending_free(b, p);
    }
    sessions_end_all(b);
    sockets_close(b->sockets, LINGER_MS);
    access_clear(&b->access);
    feed_clear(b);
    engines_destroy(b);
    ended_forget_all(b);
    early_destroy(b->early);
    wire_signer_destroy(b->signer);
    wire_signer_destroy(b->unsigned_signer);
    wire_connection_clear(&b->connection);
    wire_headers_destroy(b->headers);
    ipp_frame_unref(b->nothing);
    ipp_frame_unref(b->idle);
    free(b->connection_path);
    free(b->stopped);
}

/* Without sockets there is nothing to serve, but the ranks must be sent home. */
static void stop_without_serving(struct bridge *b)
{
    while (b->phase != PHASE_LEFT) {
        int timeout = life_tick(b);
        if (b->phase != PHASE_LEFT)
            link_wait(b->link, timeout < 0 ? INT32_MAX : timeout);
    }
}

bool bridge_run(link_t *link, const ipp_options_t *options, bool own_core, bool (*stop_asked)(void),
                int *exit_code)
{
    struct bridge b = { .link = link, .options = options };
    ipp_err_t err = { "" };
    memory_start(&b);
    busy_poll_init(&b.busy, own_core);
    ranks_set_handlers(&b);
    int opened = open_bridge(&b, &err);
    if (!b.stopped)
        abort(); /* no memory for the smallest of things */
    if (opened < 0) {
        life_stop(&b, 1, err.text);
        stop_without_serving(&b);
    } else {
        serve(&b, stop_asked);
        answer_latecomers(&b);
    }
    bool finalize = !link_any_lost(link) && b.stopped_count == link_size(link) - 1;
    *exit_code = b.exit_code;
    close_bridge(&b);
    return finalize;
}
