/* SPDX-License-Identifier: BSD-3-Clause
 * Why a task is where it is: the balancer knows, and here its words get names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* ---- names of C tasks ---- */

bool explain_is_batched(uint64_t number)
{
    return number >> LINK_TASK_RANK_SHIFT != 0;
}

json_t *explain_batched_id(uint64_t number)
{
    unsigned long long count = number & (LINK_TASK_DETACHED - 1);
    return json_sprintf("%d:%llu%s", (int)(number >> LINK_TASK_RANK_SHIFT) - IPP_SERVICE_RANKS,
                        count, number & LINK_TASK_DETACHED ? "d" : "");
}

/* 0: it is not the id of a C task. */
static uint64_t batched_number(const char *id)
{
    int engine, used = 0;
    unsigned long long count;
    if (sscanf(id, "%d:%llu%n", &engine, &count, &used) != 2 || engine < 0)
        return 0;
    bool detached = id[used] == 'd';
    if (id[used + detached] != '\0')
        return 0;
    return (uint64_t)(engine + IPP_SERVICE_RANKS) << LINK_TASK_RANK_SHIFT |
           (detached ? LINK_TASK_DETACHED : 0) | count;
}

static json_t *id_of(struct bridge *b, uint64_t number)
{
    const struct pending *p = pending_find(b, number);
    if (p)
        return json_string(p->msg_id);
    return explain_is_batched(number) ? explain_batched_id(number) : json_null();
}

/* ---- what the balancer says ---- */

static void add_held(struct bridge *b, json_t *out, const struct sched_why *why)
{
    json_object_set_new(out, "state", json_string("held"));
    json_object_set_new(out, "depends_on", id_of(b, why->other));
    json_object_set_new(out, "unfinished", json_integer((json_int_t)why->others));
    json_object_set_new(out, "dependency", json_string(why->follow ? "follow" : "after"));
    json_object_set_new(out, "needs_all", json_boolean(why->all));
}

static void add_waiting(struct bridge *b, json_t *out, const struct sched_why *why)
{
    json_object_set_new(out, "state", json_string("waiting"));
    json_object_set_new(out, "older", json_integer((json_int_t)why->older));
    json_object_set_new(out, "more_urgent", json_integer((json_int_t)why->urgent));
    json_object_set_new(out, "equal", json_integer((json_int_t)why->equal));
    json_object_set_new(out, "targets", json_integer(why->targets));
    json_object_set_new(out, "engines", json_integer(why->alive));
    json_object_set_new(out, "busy", json_integer(why->full));
    json_object_set_new(out, "paused", json_integer(why->paused));
    json_object_set_new(out, "kept", json_integer(why->kept));
    if (why->other != 0)
        json_object_set_new(out, "gathering", id_of(b, why->other));
    json_object_set_new(out, "failed_on", json_integer(why->failed));
}

static json_t *explained(struct bridge *b, const struct sched_why *why)
{
    json_t *out = json_pack("{s:s, s:i, s:i}", "status", "ok", "priority", why->priority, "width",
                            why->width);
    if (why->deadline_ms != INT64_MAX)
        json_object_set_new(out, "time_left_s",
                            json_real((double)(why->deadline_ms - ipp_now_ms()) / 1000));
    switch (why->state) {
    case SCHED_HELD:
        add_held(b, out, why);
        break;
    case SCHED_WAITING:
        add_waiting(b, out, why);
        break;
    case SCHED_GATHERING:
        json_object_set_new(out, "state", json_string("gathering"));
        json_object_set_new(out, "gathered", json_integer(why->gathered));
        break;
    case SCHED_ASSIGNED:
        json_object_set_new(out, "state", json_string("assigned"));
        json_object_set_new(out, "engine", json_integer(why->engine));
        json_object_set_new(out, "ahead", json_integer(why->ahead));
    }
    return out;
}

/* ---- questions ---- */

/* No task that the balancer has: a request to engines, or one that has ended. */
static void answer_elsewhere(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                             const char *id)
{
    const struct pending *p = pending_find_id(b, id);
    if (p && p->op->destination == WIRE_TO_RUN && p->from.channel != WIRE_TASK) {
        json_t *engines = json_array();
        for (size_t i = 0; i < p->part_count; i++)
            if (!p->parts[i].answered)
                json_array_append_new(engines, json_integer(p->parts[i].engine));
        answer_own(
            b, from, msg, "explain_reply",
            json_pack("{s:s, s:s, s:o}", "status", "ok", "state", "direct", "engines", engines));
    } else if (ended_find(b, id) != 0) {
        answer_own(b, from, msg, "explain_reply",
                   json_pack("{s:s, s:s}", "status", "ok", "state", "ended"));
    } else {
        answer_error(b, from, msg, "hub_error", "KeyError",
                     "no task '%.64s' is known, or not any "
                     "more",
                     id);
    }
}

void explain_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                     const struct wire_op_info *op)
{
    ipp_err_t err = { "" };
    json_t *asked = wire_json_read(msg->content, &err);
    const char *id = wire_json_string(asked, "msg_id", NULL);
    (void)op;
    if (!id) {
        answer_error(b, from, msg, "hub_error", "ValueError", "content: %s",
                     asked ? "msg_id is missing" : err.text);
        json_decref(asked);
        return;
    }
    const struct pending *p = pending_find_id(b, id);
    uint64_t number = p && p->from.channel == WIRE_TASK ? p->number : batched_number(id);
    ipp_frames_t frames = { 0 };
    if (number == 0 || ipp_frames_push_copy(&frames, &number, sizeof number) < 0 ||
        !query_balancer(b, from, msg, LINK_EXPLAIN, &frames))
        answer_elsewhere(b, from, msg, id);
    ipp_frames_clear(&frames);
    json_decref(asked);
}

void explain_answer(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                    ipp_frame_t *frame)
{
    json_t *asked = wire_json_read(msg->content, NULL);
    if (frame && ipp_frame_size(frame) == sizeof(struct sched_why))
        answer_own(b, from, msg, "explain_reply", explained(b, ipp_frame_data(frame)));
    else
        answer_elsewhere(b, from, msg, wire_json_string(asked, "msg_id", ""));
    json_decref(asked);
}
