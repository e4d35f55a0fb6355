/* SPDX-License-Identifier: BSD-3-Clause
 * Requests that engines run: to one (mux), to anyone (task), to many (broadcast). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/balancer.h"
#include "steer/bridge/bridge_private.h"

/* Requests under way for all clients together; one more is refused at once. */
#define REQUESTS_MAX 10000000

/* The frames of a request as they travel between ranks. */
static int request_frames(ipp_frames_t *frames, const wire_msg_t *msg)
{
    int bad = ipp_frames_push(frames, ipp_frame_ref(msg->header));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->parent));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->metadata));
    bad |= ipp_frames_push(frames, ipp_frame_ref(msg->content));
    return bad | ipp_frames_share(frames, &msg->buffers, 0);
}

static void refuse_memory(struct bridge *b, enum wire_channel channel, const wire_msg_t *msg,
                          const struct wire_op_info *op)
{
    answer_error(b, channel, msg, op->reply, "MemoryError",
                 "the bridge has no memory for this request");
}

/* ---- one engine ---- */

static struct engine_entry *named_engine(struct bridge *b, enum wire_channel channel,
                                         const wire_msg_t *msg, const struct wire_op_info *op)
{
    if (msg->identities.count < 2) {
        answer_error(b, channel, msg, op->reply, "EngineError", "the request names no engine");
        return NULL;
    }
    ipp_frame_t *name = msg->identities.at[1];
    struct engine_entry *engine = engine_by_uuid(b, ipp_frame_data(name), ipp_frame_size(name));
    if (!engine)
        answer_error(b, channel, msg, op->reply, "EngineError", "no engine is called '%.*s'",
                     (int)(ipp_frame_size(name) > 64 ? 64 : ipp_frame_size(name)),
                     (char *)ipp_frame_data(name));
    else if (engine->state != ENGINE_ALIVE)
        answer_error(b, channel, msg, op->reply, "EngineError", "engine %d %s", engine->id,
                     engine->state == ENGINE_LOST ? "died" : "was shut down");
    return engine && engine->state == ENGINE_ALIVE ? engine : NULL;
}

static void run_on_one(struct bridge *b, enum wire_channel channel, wire_msg_t *msg,
                       const struct wire_op_info *op)
{
    struct engine_entry *engine = named_engine(b, channel, msg, op);
    if (!engine)
        return;
    struct pending *p = pending_new(b, msg, channel, op, &engine->id, 1);
    ipp_frames_t frames = { 0 };
    if (!p || request_frames(&frames, msg) != 0) {
        ipp_frames_clear(&frames);
        if (p)
            pending_free(b, p);
        refuse_memory(b, channel, msg, op);
        return;
    }
    struct link_envelope envelope = {
        .kind = LINK_REQUEST, .engine = engine->id, .request = p->number, .op = op->op
    };
    /* To an engine that just died nothing is sent: its loss, on its way here, answers the request.
     */
    link_send(b->link, engine->id + IPP_SERVICE_RANKS, LINK_DATA, &envelope, &frames);
}

/* ---- anyone ---- */

static bool names_dependencies(const json_t *metadata, const char *key)
{
    const json_t *value = json_object_get(metadata, key);
    if (json_is_object(value))
        value = json_object_get(value, "dependencies");
    return json_array_size(value) > 0;
}

/* The engine ids that metadata's targets name, dead ones too (the balancer knows); -1 with the bad
 * name in *bad. */
static int task_targets(struct bridge *b, const json_t *metadata, int32_t *out, const char **bad)
{
    size_t i;
    json_t *item;
    int count = 0;
    json_array_foreach(json_object_get(metadata, "targets"), i, item)
    {
        const char *uuid = json_string_value(item);
        struct engine_entry *engine = uuid ? engine_by_uuid(b, uuid, strlen(uuid)) : NULL;
        if (!engine) {
            *bad = uuid ? uuid : "(not a name)";
            return -1;
        }
        out[count++] = engine->id;
    }
    return count;
}

/* Seconds, whole or not, as milliseconds; longer than anybody waits is for ever (0). */
static int64_t read_timeout_ms(const json_t *timeout)
{
    double ms = json_number_value(timeout) * 1000;
    return ms > 1e15 ? 0 : ms < 0 ? -1 : (int64_t)ms;
}

static int32_t read_retries(const json_t *retries)
{
    json_int_t count = json_is_integer(retries) ? json_integer_value(retries) : 0;
    return count > INT32_MAX ? INT32_MAX : count < 0 ? -1 : (int32_t)count;
}

static int task_head(struct bridge *b, const wire_msg_t *msg, const json_t *metadata,
                     const struct wire_op_info *op, ipp_frame_t **out)
{
    size_t room = json_array_size(json_object_get(metadata, "targets"));
    ipp_frame_t *frame = ipp_frame_alloc(sizeof(struct link_task) + room * sizeof(int32_t));
    if (!frame) {
        refuse_memory(b, WIRE_TASK, msg, op);
        return -1;
    }
    struct link_task *task = ipp_frame_data(frame);
    const char *bad = NULL;
    task->timeout_ms = read_timeout_ms(json_object_get(metadata, "timeout"));
    task->retries = read_retries(json_object_get(metadata, "retries"));
    task->target_count = task_targets(b, metadata, task->targets, &bad);
    if (task->target_count < 0) {
        answer_error(b, WIRE_TASK, msg, op->reply, "EngineError", "no engine is called '%.64s'",
                     bad);
        ipp_frame_unref(frame);
        return -1;
    }
    *out = frame;
    return 0;
}

static void run_on_anyone(struct bridge *b, wire_msg_t *msg, const json_t *metadata,
                          const struct wire_op_info *op)
{
    ipp_frame_t *head = NULL;
    if (b->balancer_lost) {
        answer_error(b, WIRE_TASK, msg, op->reply, "EngineError",
                     "the balancer died: address engines directly, or start a new cluster");
        return;
    }
    if (names_dependencies(metadata, "after") || names_dependencies(metadata, "follow")) {
        answer_error(b, WIRE_TASK, msg, op->reply, "NotImplementedError",
                     "dependencies of tasks (after, follow) are not offered by this cluster");
        return;
    }
    if (task_head(b, msg, metadata, op, &head) < 0)
        return;
    struct pending *p = pending_new(b, msg, WIRE_TASK, op, &(int){ ANY_ENGINE }, 1);
    ipp_frames_t frames = { 0 };
    if (!p || ipp_frames_push(&frames, head) < 0 || request_frames(&frames, msg) != 0) {
        ipp_frames_clear(&frames);
        if (p)
            pending_free(b, p);
        refuse_memory(b, WIRE_TASK, msg, op);
        return;
    }
    struct link_envelope envelope = {
        .kind = LINK_TASK, .engine = -1, .request = p->number, .op = op->op
    };
    link_send(b->link, BALANCER_RANK, LINK_DATA, &envelope, &frames);
}

void run_dropped(struct bridge *b, const struct link_message *msg)
{
    struct pending *p = pending_find(b, msg->envelope.request);
    if (!p)
        return;
    struct part *part = &p->parts[0];
    switch (msg->envelope.value) {
    case SCHED_DROP_ABORTED: {
        wire_msg_t asked = { .header = p->header };
        ipp_frames_push(&asked.identities, ipp_frame_ref(p->client));
        answer_aborted(b, p->channel, &asked, p->op);
        ipp_frames_clear(&asked.identities);
        pending_free(b, p);
        break;
    }
    case SCHED_DROP_TIMED_OUT:
        answer_part_error(b, p, part, "TaskTimeout", "task %s waited longer than its timeout",
                          p->msg_id);
        break;
    case SCHED_DROP_UNREACHABLE:
        answer_part_error(b, p, part, "ImpossibleDependency",
                          "no engine that may run task %s is alive", p->msg_id);
        break;
    case SCHED_DROP_ENGINE_LOST:
        answer_part_error(b, p, part, "EngineError", "Engine %d died while running task %s",
                          msg->envelope.engine, p->msg_id);
        break;
    default:
        answer_part_error(b, p, part, "TaskRejectError", "task %s was refused: %.*s", p->msg_id,
                          msg->frames.count ? (int)ipp_frame_size(msg->frames.at[0]) : 0,
                          msg->frames.count ? (char *)ipp_frame_data(msg->frames.at[0]) : "");
    }
}

/* ---- many ---- */

/* Ids of the live engines in metadata's targets [[uuid, id], ...]; answers and returns -1 when one
 * is not there. */
static int broadcast_targets(struct bridge *b, const wire_msg_t *msg, const struct wire_op_info *op,
                             const json_t *targets, int *out)
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
            answer_error(b, WIRE_BROADCAST, msg, op->reply, "EngineError",
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
        answer_error(b, WIRE_BROADCAST, msg, op->reply, "ValueError",
                     "the broadcast names no targets");
    return count <= 0 ? -1 : count;
}

static void send_broadcast(struct bridge *b, struct pending *p, ipp_frames_t *frames)
{
    struct link_envelope envelope = {
        .kind = LINK_REQUEST, .flags = p->flags, .engine = -1, .request = p->number, .op = p->op->op
    };
    int *ranks = malloc(p->part_count * sizeof *ranks);
    if (!ranks)
        abort();
    for (size_t i = 0; i < p->part_count; i++)
        ranks[i] = p->parts[i].engine + IPP_SERVICE_RANKS;
    link_multicast(b->link, ranks, p->part_count, LINK_DATA, &envelope, frames);
    free(ranks);
}

/* Engines that are gone already will send nothing: answer for them. */
static void answer_for_the_gone(struct bridge *b, uint64_t number)
{
    struct pending *p = pending_find(b, number);
    for (size_t i = 0; p && i < p->part_count; i++) {
        const struct engine_entry *engine = &b->engines[p->parts[i].engine];
        if (engine->state == ENGINE_ALIVE)
            continue;
        bool last = p->waiting == 1;
        answer_part_error(b, p, &p->parts[i], "EngineError", "engine %d is gone", engine->id);
        if (last)
            return;
    }
}

static void run_on_many(struct bridge *b, wire_msg_t *msg, const json_t *metadata,
                        const struct wire_op_info *op)
{
    const json_t *targets = json_object_get(metadata, "targets");
    int *engines = malloc((json_array_size(targets) + 1) * sizeof *engines);
    int count = engines ? broadcast_targets(b, msg, op, targets, engines) : -1;
    if (count < 0) {
        free(engines);
        return;
    }
    struct pending *p = pending_new(b, msg, WIRE_BROADCAST, op, engines, (size_t)count);
    ipp_frames_t frames = { 0 };
    free(engines);
    if (!p || request_frames(&frames, msg) != 0) {
        ipp_frames_clear(&frames);
        if (p)
            pending_free(b, p);
        refuse_memory(b, WIRE_BROADCAST, msg, op);
        return;
    }
    bool coalescing = json_is_true(json_object_get(metadata, "is_coalescing"));
    p->flags = (uint16_t)(LINK_BROADCAST | (coalescing ? LINK_COALESCING : 0));
    send_broadcast(b, p, &frames);
    answer_for_the_gone(b, p->number);
}

void run_request(struct bridge *b, enum wire_channel channel, wire_msg_t *msg,
                 const struct wire_op_info *op)
{
    ipp_err_t err = { "" };
    const char *msg_id = wire_json_string(msg->header_json, "msg_id", "");
    json_t *metadata = wire_json_read(msg->metadata, &err);
    if (!metadata)
        answer_error(b, channel, msg, op->reply, "ValueError", "metadata: %s", err.text);
    else if (b->phase != PHASE_SERVING)
        answer_error(b, channel, msg, op->reply, "EngineError", "the cluster is shutting down");
    else if (HASH_CNT(hh, b->pending) >= REQUESTS_MAX)
        answer_error(b, channel, msg, op->reply, "TaskRejectError",
                     "%d requests are under way: the bridge takes no more", REQUESTS_MAX);
    else if (pending_find_id(b, msg_id))
        answer_error(b, channel, msg, op->reply, "ValueError",
                     "a request with msg_id %s is under way already", msg_id);
    else if (control_take_aborted(b, msg_id))
        answer_aborted(b, channel, msg, op);
    else if (channel == WIRE_TASK)
        run_on_anyone(b, msg, metadata, op);
    else if (channel == WIRE_BROADCAST)
        run_on_many(b, msg, metadata, op);
    else
        run_on_one(b, channel, msg, op);
    json_decref(metadata);
}
