/* SPDX-License-Identifier: BSD-3-Clause
 * Requests that engines run: to one (mux), to many (broadcast). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Requests under way for all clients together; one more is refused at once. */
#define REQUESTS_MAX 10000000

int run_frames(ipp_frames_t *frames, const wire_msg_t *msg)
{
    int bad = ipp_frames_push(frames, ipp_frame_ref(msg->header));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->parent));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->metadata));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->content));
    return bad | ipp_frames_share(frames, &msg->buffers, 0);
}

static void refuse_memory(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                          const struct wire_op_info *op)
{
    answer_error(b, from, msg, op->reply, "MemoryError",
                 "the bridge has no memory for this request");
}

struct pending *run_new(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                        const struct wire_op_info *op, int engine, ipp_frame_t *head,
                        ipp_frames_t *frames)
{
    struct pending *p = pending_new(b, msg, from, op, &engine, 1);
    *frames = (ipp_frames_t){ 0 };
    if (head && ipp_frames_push(frames, head) == 0)
        head = NULL;
    if (p && !head && run_frames(frames, msg) == 0)
        return p;
    ipp_frames_clear(frames);
    if (p)
        pending_free(b, p);
    refuse_memory(b, from, msg, op);
    return NULL;
}

/* All that link_send refuses from a living rank. */
#define TOO_MANY_SMALL_BUFFERS                                                                     \
    "the buffers of up to 16 KiB are more than 2 GiB together: send fewer of them, or larger ones"

void run_answer_unsent(struct bridge *b, struct pending *p, int rank)
{
    if (!link_is_lost(b->link, rank))
        answer_rest_error(b, p, "ValueError", TOO_MANY_SMALL_BUFFERS);
}

static const char *id_of(const wire_msg_t *msg)
{
    return wire_json_string(msg->header_json, "msg_id", "");
}

/* ---- one engine ---- */

struct engine_entry *run_named_engine(struct bridge *b, const struct origin *from,
                                      const wire_msg_t *msg, const struct wire_op_info *op)
{
    if (msg->identities.count < 2) {
        answer_error(b, from, msg, op->reply, "EngineError", "the request names no engine");
        return NULL;
    }
    ipp_frame_t *name = msg->identities.at[1];
    struct engine_entry *engine = engine_by_uuid(b, ipp_frame_data(name), ipp_frame_size(name));
    if (!engine)
        answer_error(b, from, msg, op->reply, "EngineError", "no engine is called '%.*s'",
                     (int)(ipp_frame_size(name) > 64 ? 64 : ipp_frame_size(name)),
                     (char *)ipp_frame_data(name));
    else if (engine->state != ENGINE_ALIVE)
        answer_error(b, from, msg, op->reply, "EngineError", "engine %d %s", engine->id,
                     engine_fate(engine));
    return engine && engine->state == ENGINE_ALIVE ? engine : NULL;
}

void run_on_engine(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                   const struct wire_op_info *op, const struct engine_entry *engine,
                   enum link_lane lane)
{
    ipp_frames_t frames;
    struct pending *p = run_new(b, from, msg, op, engine->id, NULL, &frames);
    if (!p)
        return;
    struct link_envelope envelope = {
        .kind = LINK_REQUEST, .engine = engine->id, .request = p->number, .op = op->op
    };
    int rank = engine->id + IPP_SERVICE_RANKS;
    if (link_send(b->link, rank, lane, &envelope, &frames) < 0)
        run_answer_unsent(b, p, rank);
}

static void run_on_one(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                       const struct wire_op_info *op)
{
    const struct engine_entry *engine = run_named_engine(b, from, msg, op);
    if (!engine)
        return;
    if (early_take(b->early, id_of(msg), engine->id))
        answer_aborted(b, from, msg, op);
    else
        run_on_engine(b, from, msg, op, engine, LINK_DATA);
}

/* ---- many ---- */

/* Ids of the live engines in metadata's targets [[uuid, id], ...]; answers and returns -1 when one
 * is not there. */
static int broadcast_targets(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                             const struct wire_op_info *op, const json_t *targets, int *out)
{
    size_t i;
    json_t *item;
    bool *taken = calloc((size_t)b->engine_count, sizeof *taken);
    int count = 0;
    if (!taken)
        abort();
    json_array_foreach(targets, i, item)
    {
        const char *uuid = json_string_value(json_array_get(item, 0));
        struct engine_entry *engine = uuid ? engine_by_uuid(b, uuid, strlen(uuid)) : NULL;
        if (!engine || taken[engine->id]) {
            answer_error(b, from, msg, op->reply, "EngineError",
                         engine ? "engine '%.64s' is named twice" : "no engine is called '%.64s'",
                         uuid ? uuid : "");
            free(taken);
            return -1;
        }
        taken[engine->id] = true;
        out[count++] = engine->id;
    }
    free(taken);
    if (count <= 0)
        answer_error(b, from, msg, op->reply, "ValueError", "the broadcast names no targets");
    return count <= 0 ? -1 : count;
}

void run_send_to_parts(struct bridge *b, struct pending *p, enum link_lane lane,
                       ipp_frames_t *frames)
{
    struct link_envelope envelope = { .kind = LINK_REQUEST,
                                      .flags = p->flags,
                                      .engine = -1,
                                      .request = p->number,
                                      .value = (int32_t)p->id_end,
                                      .op = p->op->op };
    int *ranks = malloc(p->part_count * sizeof *ranks);
    size_t count = 0;
    if (!ranks)
        abort();
    for (size_t i = 0; i < p->part_count; i++)
        if (!p->parts[i].answered)
            ranks[count++] = p->parts[i].engine + IPP_SERVICE_RANKS;
    if (count == 1) {
        if (link_send(b->link, ranks[0], lane, &envelope, frames) < 0)
            run_answer_unsent(b, p, ranks[0]);
    } else if (link_multicast(b->link, ranks, count, lane, &envelope, frames) < 0)
        answer_rest_error(b, p, "ValueError", TOO_MANY_SMALL_BUFFERS);
    free(ranks);
}

bool run_answer_for_absent(struct bridge *b, struct pending *p)
{
    size_t left = p->waiting;
    for (size_t i = 0; left > 0 && i < p->part_count; i++) {
        struct part *part = &p->parts[i];
        const struct engine_entry *engine = &b->engines[part->engine];
        bool gone = engine->state != ENGINE_ALIVE;
        if (!gone && !early_take_copy(b->early, p->msg_id, engine->uuid, engine->id))
            continue;
        left--; /* with the last one the request goes */
        if (gone)
            answer_part_error(b, p, part, "EngineError", "engine %d %s", engine->id,
                              engine_fate(engine));
        else
            answer_part_aborted(b, p, part);
    }
    return left > 0;
}

/* What engines are told: not the list of them all, which would make the work of each grow with
 * their number, and, where each answers for itself, a header that it need not read. */
static int prepare_broadcast(wire_msg_t *msg, json_t *metadata, bool coalescing, size_t *id_end)
{
    json_object_del(metadata, "targets");
    ipp_frame_t *shorter = wire_json_frame(metadata);
    ipp_frame_t *header =
        coalescing ? ipp_frame_ref(msg->header) : wire_copies_header(msg->header_json, id_end);
    if (!shorter || !header) {
        ipp_frame_unref(shorter);
        ipp_frame_unref(header);
        return -1;
    }
    ipp_frame_unref(msg->metadata);
    ipp_frame_unref(msg->header);
    msg->metadata = shorter;
    msg->header = header;
    return 0;
}

static void run_on_many(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                        json_t *metadata, const struct wire_op_info *op)
{
    const json_t *targets = json_object_get(metadata, "targets");
    bool coalescing = json_is_true(json_object_get(metadata, "is_coalescing"));
    size_t id_end = 0;
    int *engines = malloc((json_array_size(targets) + 1) * sizeof *engines);
    int count = engines ? broadcast_targets(b, from, msg, op, targets, engines) : -1;
    if (count < 0) {
        free(engines);
        return;
    }
    ipp_frames_t frames = { 0 };
    struct pending *p = NULL;
    if (prepare_broadcast(msg, metadata, coalescing, &id_end) == 0 && run_frames(&frames, msg) == 0)
        p = pending_new(b, msg, from, op, engines, (size_t)count);
    free(engines);
    if (!p) {
        ipp_frames_clear(&frames);
        refuse_memory(b, from, msg, op);
        return;
    }
    p->flags = (uint16_t)(LINK_BROADCAST | (coalescing ? LINK_COALESCING : 0));
    p->id_end = id_end;
    if (run_answer_for_absent(b, p))
        run_send_to_parts(b, p, LINK_DATA, &frames);
    ipp_frames_clear(&frames);
}

void run_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                 const struct wire_op_info *op)
{
    ipp_err_t err = { "" };
    json_t *metadata = wire_json_read(msg->metadata, &err);
    if (!metadata)
        answer_error(b, from, msg, op->reply, "ValueError", "metadata: %s", err.text);
    else if (HASH_CNT(hh, b->pending) >= REQUESTS_MAX)
        answer_error(b, from, msg, op->reply, "TaskRejectError",
                     "%d requests are under way: the bridge takes no more", REQUESTS_MAX);
    else if (pending_find_id(b, id_of(msg)))
        answer_error(b, from, msg, op->reply, "ValueError",
                     "a request with msg_id %s is under way already", id_of(msg));
    else if (from->channel == WIRE_TASK)
        run_on_anyone(b, from, msg, metadata, op);
    else if (from->channel == WIRE_BROADCAST)
        run_on_many(b, from, msg, metadata, op);
    else if (from->channel == WIRE_ENGINES)
        run_on_set(b, from, msg, metadata, op);
    else
        run_on_one(b, from, msg, op);
    json_decref(metadata);
}
