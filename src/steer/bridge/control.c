/* SPDX-License-Identifier: BSD-3-Clause
 * Control requests: abort is the bridge's own, the others go to the engine ahead of what it has to
 * run. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* An abort may overtake its request, for they come on two sockets. So many such are remembered. */
#define EARLY_KEPT 4096

struct aborted_early {
    char *msg_ids[EARLY_KEPT];
    size_t next;
};

int control_create(struct bridge *b)
{
    b->aborted_early = calloc(1, sizeof *b->aborted_early);
    return b->aborted_early ? 0 : -1;
}

void control_destroy(struct bridge *b)
{
    for (size_t i = 0; b->aborted_early && i < EARLY_KEPT; i++)
        free(b->aborted_early->msg_ids[i]);
    free(b->aborted_early);
}

static void remember_early(struct bridge *b, const char *msg_id)
{
    char **slot = &b->aborted_early->msg_ids[b->aborted_early->next++ % EARLY_KEPT];
    free(*slot);
    *slot = strdup(msg_id);
}

bool control_take_aborted(struct bridge *b, const char *msg_id)
{
    for (size_t i = 0; i < EARLY_KEPT && i < b->aborted_early->next; i++) {
        char **slot = &b->aborted_early->msg_ids[i];
        if (*slot && strcmp(*slot, msg_id) == 0) {
            free(*slot);
            *slot = NULL;
            return true;
        }
    }
    return false;
}

static void forward(struct bridge *b, const wire_msg_t *msg, const struct wire_op_info *op,
                    const struct engine_entry *engine, enum link_lane lane)
{
    struct pending *p = pending_new(b, msg, WIRE_CONTROL, op, &engine->id, 1);
    ipp_frames_t frames = { 0 };
    if (!p) {
        answer_error(b, WIRE_CONTROL, msg, op->reply, "MemoryError",
                     "the bridge has no memory for this request");
        return;
    }
    ipp_frames_push(&frames, ipp_frame_ref(msg->header));
    ipp_frames_push(&frames, ipp_frame_ref(msg->parent));
    ipp_frames_push(&frames, ipp_frame_ref(msg->metadata));
    ipp_frames_push(&frames, ipp_frame_ref(msg->content));
    struct link_envelope envelope = {
        .kind = LINK_REQUEST, .engine = engine->id, .request = p->number, .op = op->op
    };
    link_send(b->link, engine->id + IPP_SERVICE_RANKS, lane, &envelope, &frames);
}

/* ---- abort ---- */

static void send_abort(struct bridge *b, int engine, uint64_t number)
{
    struct link_envelope envelope = { .kind = LINK_ABORT, .engine = engine, .request = number };
    int rank = engine == ANY_ENGINE ? BALANCER_RANK : engine + IPP_SERVICE_RANKS;
    /* On the data lane, behind the request: one that is still on its way must not escape. */
    link_send(b->link, rank, LINK_DATA, &envelope, NULL);
}

/* The request that `msg_id` names; of a broadcast copy, "ORIGINAL_UUID", *engine becomes the one it
 * is for. */
static struct pending *find_named(struct bridge *b, const char *msg_id, int *engine)
{
    *engine = ANY_ENGINE;
    struct pending *p = pending_find_id(b, msg_id);
    const char *underline = strrchr(msg_id, '_');
    if (p || !underline)
        return p;
    struct engine_entry *named = engine_by_uuid(b, underline + 1, strlen(underline + 1));
    char *original = strndup(msg_id, (size_t)(underline - msg_id));
    p = named && original ? pending_find_id(b, original) : NULL;
    if (p)
        *engine = named->id;
    free(original);
    return p;
}

/* True when the request is known; it is taken off the queues it waits in, on `target` only for a
 * direct one. */
static bool abort_one(struct bridge *b, const char *msg_id, const struct engine_entry *target)
{
    int copy;
    struct pending *p = find_named(b, msg_id, &copy);
    for (size_t i = 0; p && i < p->part_count; i++) {
        int engine = p->parts[i].engine;
        bool named = copy == ANY_ENGINE || copy == engine;
        if (!p->parts[i].answered && named && (engine == ANY_ENGINE || engine == target->id))
            send_abort(b, engine, p->number);
    }
    return p != NULL;
}

static void abort_request(struct bridge *b, const wire_msg_t *msg, const struct wire_op_info *op,
                          const struct engine_entry *target)
{
    json_t *content = wire_json_read(msg->content, NULL);
    const json_t *ids = json_object_get(content, "msg_ids");
    size_t i;
    json_t *item;
    if (json_is_string(ids) && !abort_one(b, json_string_value(ids), target))
        remember_early(b, json_string_value(ids));
    json_array_foreach(ids, i, item)
    {
        const char *msg_id = json_string_value(item);
        if (msg_id && !abort_one(b, msg_id, target))
            remember_early(b, msg_id);
    }
    if (!json_is_string(ids) && json_array_size(ids) == 0)
        send_abort(b, target->id, 0); /* none named: all that waits there */
    /* The engine answers when it has seen to all of them: it comes behind them on their lane. */
    forward(b, msg, op, target, LINK_DATA);
    json_decref(content);
}

void control_request(struct bridge *b, wire_msg_t *msg, const struct wire_op_info *op)
{
    ipp_frame_t *name = msg->identities.count > 1 ? msg->identities.at[1] : NULL;
    struct engine_entry *engine =
        name ? engine_by_uuid(b, ipp_frame_data(name), ipp_frame_size(name)) : NULL;
    if (!engine || engine->state != ENGINE_ALIVE)
        answer_error(b, WIRE_CONTROL, msg, op->reply, "EngineError", "no engine is called '%.*s'",
                     name ? (int)(ipp_frame_size(name) > 64 ? 64 : ipp_frame_size(name)) : 0,
                     name ? (char *)ipp_frame_data(name) : "");
    else if (pending_find_id(b, wire_json_string(msg->header_json, "msg_id", "")))
        answer_error(b, WIRE_CONTROL, msg, op->reply, "ValueError",
                     "a request with this msg_id is under way already");
    else if (op->op == WIRE_OP_ABORT)
        abort_request(b, msg, op, engine);
    else
        forward(b, msg, op, engine, LINK_CONTROL);
}
