/* SPDX-License-Identifier: BSD-3-Clause
 * What comes from ranks: answers, output, and deaths. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

static bool is_engine(const struct bridge *b, int id)
{
    return id >= 0 && id < b->engine_count;
}

static void on_reply(struct bridge *b, struct link_message *msg)
{
    int id = msg->envelope.engine;
    struct pending *p = pending_find(b, msg->envelope.request);
    struct part *part = p ? pending_part(p, id) : NULL;
    if (!part || part->answered || !is_engine(b, id) || msg->frames.count < 4)
        return; /* answered already, when the engine was given up for lost */
    if (p->op->destination == WIRE_TO_RUN && msg->envelope.value != LINK_ABORTED)
        engine_completed(&b->engines[id], p->msg_id);
    if (part->engine == ANY_ENGINE)
        part->engine = id;
    if (ipp_frames_bytes(&msg->frames) >= BULK_BYTES)
        b->last_bulk_ms = ipp_now_ms();
    answer_part(b, p, part, (enum link_status)msg->envelope.value, &msg->frames);
}

static void on_publish(struct bridge *b, struct link_message *msg)
{
    if (msg->frames.count < 5 || !b->sockets)
        return;
    ipp_frame_t *topic = ipp_frame_ref(msg->frames.at[0]);
    ipp_frames_t rest = { 0 };
    if (ipp_frames_share(&rest, &msg->frames, 1) == 0 &&
        !feed_output(b, msg->envelope.request, msg->envelope.engine, topic, &rest))
        gate_publish(b, topic, &rest);
    ipp_frames_clear(&rest);
    ipp_frame_unref(topic);
}

static void on_stop(struct bridge *b, struct link_message *msg)
{
    if (msg->frames.count == 0) {
        life_stop(b, 0, "a rank was asked to end");
        return;
    }
    char why[600];
    size_t size = ipp_frame_size(msg->frames.at[0]);
    snprintf(why, sizeof why, "engine %d: %.*s", msg->envelope.engine,
             (int)(size < 500 ? size : 500), (char *)ipp_frame_data(msg->frames.at[0]));
    life_stop(b, msg->envelope.value, why);
}

static void on_retired(struct bridge *b, const struct link_envelope *envelope)
{
    if (!is_engine(b, envelope->engine))
        return;
    engine_gone(b, envelope->engine, ENGINE_RETIRED);
    bool of_application = envelope->value;
    if (of_application && b->engines_alive == 0 && b->engines_arrived == b->engine_count)
        life_stop(b, 0, "the application has ended");
}

static void deliver(void *arg, struct link_message *msg)
{
    struct bridge *b = arg;
    switch (msg->envelope.kind) {
    case LINK_HELLO:
        if (is_engine(b, msg->envelope.engine) && msg->frames.count == 1)
            engine_arrived(b, msg->envelope.engine, msg->frames.at[0]);
        break;
    case LINK_REPLY:
        on_reply(b, msg);
        break;
    case LINK_PUBLISH:
        on_publish(b, msg);
        break;
    case LINK_DROPPED:
        run_dropped(b, msg);
        break;
    case LINK_HANDOVER:
        run_handed_over(b, msg);
        break;
    case LINK_ABORT:
        link_send(b->link, msg->envelope.engine + IPP_SERVICE_RANKS, LINK_DATA, &msg->envelope,
                  NULL);
        break;
    case LINK_QUEUES:
    case LINK_EXPLAIN:
        query_answer(b, msg);
        break;
    case LINK_RETIRED:
        on_retired(b, &msg->envelope);
        break;
    case LINK_STOP:
        on_stop(b, msg);
        break;
    case LINK_STOPPED:
        life_rank_stopped(b, msg->from);
        break;
    default:
        ipp_log(IPP_LOG_ERROR, "rank %d sent a message of kind %d, which the bridge does not take",
                msg->from, msg->envelope.kind);
    }
}

void ranks_tell_all(struct bridge *b, enum link_lane lane, const struct link_envelope *envelope)
{
    int count = link_size(b->link) - 1;
    int *ranks = malloc((size_t)count * sizeof *ranks);
    if (!ranks)
        abort();
    for (int i = 0; i < count; i++)
        ranks[i] = i + 1;
    link_multicast(b->link, ranks, (size_t)count, lane, envelope, NULL);
    free(ranks);
}

static void balancer_lost(struct bridge *b)
{
    struct pending *p, *next;
    b->balancer_lost = true;
    HASH_ITER(hh, b->pending, p, next)
    {
        if (p->parts[0].engine == ANY_ENGINE)
            answer_part_error(b, p, &p->parts[0], "EngineError",
                              "the balancer died while it had task %s", p->msg_id);
    }
    query_forget_all(b);
}

static void lost(void *arg, int rank)
{
    struct bridge *b = arg;
    ipp_log(IPP_LOG_ERROR, "rank %d (%s) is dead", rank,
            rank == BALANCER_RANK ? "balancer" : "engine");
    link_mark_lost(b->link, rank);
    struct link_envelope envelope = { .kind = LINK_LOST, .engine = -1, .value = rank };
    ranks_tell_all(b, LINK_CONTROL, &envelope);
    if (b->phase == PHASE_STARTING)
        life_stop(b, 1, "a rank died while the cluster started");
    else if (rank == BALANCER_RANK)
        balancer_lost(b);
    else
        engine_gone(b, rank - IPP_SERVICE_RANKS, ENGINE_LOST);
    life_rank_stopped(b, rank);
}

void ranks_set_handlers(struct bridge *b)
{
    struct link_handlers handlers = { .deliver = deliver, .lost = lost };
    link_set_handlers(b->link, &handlers, b);
}
