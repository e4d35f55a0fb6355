/* SPDX-License-Identifier: BSD-3-Clause
 * Requests to anyone: what their metadata asks of the balancer, and what it says when a task will
 * not run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/balancer.h"
#include "steer/bridge/bridge_private.h"

/* ---- what a task asks for ---- */

/* A task's metadata on its way to a struct link_task. */
struct wants {
    struct bridge *b;
    const json_t *metadata;
    const char *msg_id;
    const char *ename; /* of a refusal; NULL: none */
    char text[256];
};

static void refuse(struct wants *wants, const char *ename, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The first refusal counts. */
static void refuse(struct wants *wants, const char *ename, const char *format, ...)
{
    va_list args;
    if (wants->ename)
        return;
    wants->ename = ename;
    va_start(args, format);
    vsnprintf(wants->text, sizeof wants->text, format, args);
    va_end(args);
}

/* Seconds, whole or not, as milliseconds; longer than anybody waits is for ever (0). */
static int64_t read_timeout_ms(struct wants *wants)
{
    const json_t *timeout = json_object_get(wants->metadata, "timeout");
    double ms = json_number_value(timeout) * 1000;
    if (timeout && !json_is_null(timeout) && !json_is_number(timeout))
        refuse(wants, "ValueError", "timeout: not a number of seconds");
    return ms > 1e15 ? 0 : ms < 0 ? -1 : ms > 0 && ms < 1 ? 1 : (int64_t)ms;
}

/* Numbers that do not fit are as much as does. */
static int32_t read_retries(struct wants *wants)
{
    const json_t *value = json_object_get(wants->metadata, "retries");
    json_int_t count = json_integer_value(value);
    if (value && !json_is_null(value) && !json_is_integer(value))
        refuse(wants, "ValueError", "retries: not a whole number");
    return count > INT32_MAX ? INT32_MAX : count < 0 ? -1 : (int32_t)count;
}

static int32_t read_priority(struct wants *wants)
{
    const json_t *value = json_object_get(wants->metadata, "priority");
    json_int_t priority = json_integer_value(value);
    if (value && !json_is_null(value) && !json_is_integer(value))
        refuse(wants, "ValueError", "priority: not a whole number");
    return priority > SCHED_PRIORITY_MOST    ? SCHED_PRIORITY_MOST + 1
           : priority < -SCHED_PRIORITY_MOST ? -SCHED_PRIORITY_MOST - 1
                                             : (int32_t)priority;
}

static int32_t read_width(struct wants *wants)
{
    const json_t *value = json_object_get(wants->metadata, "width");
    if (!value || json_is_null(value))
        return 1;
    if (!json_is_integer(value) || json_integer_value(value) < 1)
        refuse(wants, "ValueError", "width: not a whole number of engines, 1 or more");
    json_int_t width = json_integer_value(value);
    return width > INT32_MAX ? INT32_MAX : (int32_t)width;
}

static int32_t read_scheme(struct wants *wants)
{
    const json_t *value = json_object_get(wants->metadata, "scheme");
    const char *name = json_string_value(value);
    int index = name ? sched_policy_index(name) : -1;
    if (!value || json_is_null(value) || index >= 0)
        return index;
    refuse(wants, "ValueError",
           "scheme: '%.64s' is none of leastload, lru, plainrandom, twobin, "
           "weighted, locality",
           name ? name : "(not a name)");
    return -1;
}

static void check_list(struct wants *wants, const char *key, const json_t *list)
{
    if (list && !json_is_null(list) && !json_is_array(list))
        refuse(wants, "ValueError", "%s: not a list", key);
}

/* Writes the ids of the engines that a list names by uuid, dead ones too (the balancer knows). */
static void read_engines(struct wants *wants, const char *key, int32_t *out)
{
    size_t i;
    check_list(wants, key, json_object_get(wants->metadata, key));
    json_t *item;
    json_array_foreach(json_object_get(wants->metadata, key), i, item)
    {
        const char *uuid = json_string_value(item);
        struct engine_entry *engine = uuid ? engine_by_uuid(wants->b, uuid, strlen(uuid)) : NULL;
        if (!engine)
            refuse(wants, "EngineError", "no engine is called '%.64s'",
                   uuid ? uuid : "(not a name)");
        out[i] = engine ? engine->id : -1;
    }
}

/* The list of a dependency: itself, or in an object. */
static const json_t *needed(const json_t *metadata, const char *key)
{
    const json_t *value = json_object_get(metadata, key);
    return json_is_object(value) ? json_object_get(value, "dependencies") : value;
}

static bool flag_of(const json_t *need, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(need, name);
    return value ? json_is_true(value) : otherwise;
}

static uint32_t need_kind(const json_t *metadata, const char *key)
{
    const json_t *need = json_object_get(metadata, key); /* a list has the defaults */
    return (flag_of(need, "all", true) ? LINK_NEEDS_ALL : 0u) |
           (flag_of(need, "success", true) ? LINK_NEEDS_SUCCESS : 0u) |
           (flag_of(need, "failure", false) ? LINK_NEEDS_FAILURE : 0u);
}

static uint64_t number_of(struct bridge *b, const char *msg_id)
{
    const struct pending *p = pending_find_id(b, msg_id);
    return p ? p->number : ended_find(b, msg_id);
}

static void read_needs(struct wants *wants, const char *key, uint64_t *out)
{
    size_t i;
    json_t *item;
    check_list(wants, key, needed(wants->metadata, key));
    json_array_foreach(needed(wants->metadata, key), i, item)
    {
        const char *msg_id = json_string_value(item);
        out[i] = msg_id ? number_of(wants->b, msg_id) : 0;
        if (msg_id && strcmp(msg_id, wants->msg_id) == 0)
            refuse(wants, "InvalidDependency", "%s: the task depends on itself", key);
        else if (out[i] == 0)
            refuse(wants, "InvalidDependency", "%s: no task '%.64s' is known%s", key,
                   msg_id ? msg_id : "(not a msg_id)", msg_id ? ", or not any more" : "");
    }
}

/* Of a client, whatever its sockets. Two that share a number share their turn. */
static uint64_t client_number(const wire_msg_t *msg)
{
    const char *session = wire_json_string(msg->header_json, "session", "");
    unsigned number;
    HASH_VALUE(session, strlen(session), number);
    return number;
}

/* Frame 0 of LINK_TASK; NULL with wants->ename when it cannot be. */
static ipp_frame_t *read_wants(struct wants *wants, const wire_msg_t *msg)
{
    const json_t *metadata = wants->metadata;
    struct link_task head = {
        .client = client_number(msg),
        .timeout_ms = read_timeout_ms(wants),
        .retries = read_retries(wants),
        .priority = read_priority(wants),
        .width = read_width(wants),
        .policy = read_scheme(wants),
        .after_count = (uint32_t)json_array_size(needed(metadata, "after")),
        .follow_count = (uint32_t)json_array_size(needed(metadata, "follow")),
        .target_count = (uint32_t)json_array_size(json_object_get(metadata, "targets")),
        .preferred_count = (uint32_t)json_array_size(json_object_get(metadata, "preferred")),
        .after_kind = need_kind(metadata, "after"),
        .follow_kind = need_kind(metadata, "follow"),
    };
    ipp_frame_t *frame = ipp_frame_alloc(link_task_size(&head));
    if (!frame) {
        refuse(wants, "MemoryError", "the bridge has no memory for this request");
        return NULL;
    }
    memset(ipp_frame_data(frame), 0, link_task_size(&head));
    struct link_task *task = ipp_frame_data(frame);
    *task = head;
    uint64_t *numbers = (void *)(task + 1);
    int32_t *engines = (void *)(numbers + head.after_count + head.follow_count);
    read_needs(wants, "after", numbers);
    read_needs(wants, "follow", numbers + head.after_count);
    read_engines(wants, "targets", engines);
    read_engines(wants, "preferred", engines + head.target_count);
    if (!wants->ename)
        return frame;
    ipp_frame_unref(frame);
    return NULL;
}

/* ---- to the balancer, and by its word to an engine ---- */

/* A request this large does not pass through rank 1: it waits here, and goes straight to its
 * engine. So does one of several engines, behind what went to each of them from here: a collective
 * operation is before it on all of them, or on none. */
#define KEPT_BYTES ((size_t)64 << 10)

/* Leaves frame 0 for the balancer. */
static int keep(struct pending *p, ipp_frames_t *frames)
{
    if (ipp_frames_share(&p->kept, frames, 1) < 0)
        return -1;
    while (frames->count > 1)
        ipp_frame_unref(frames->at[--frames->count]);
    return 0;
}

/* Takes `head`. */
static void send_task(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                      const struct wire_op_info *op, ipp_frame_t *head)
{
    ipp_frames_t frames;
    struct pending *p = run_new(b, from, msg, op, ANY_ENGINE, head, &frames);
    if (!p)
        return;
    struct link_envelope envelope = {
        .kind = LINK_TASK, .engine = -1, .request = p->number, .op = op->op
    };
    const struct link_task *task = ipp_frame_data(frames.at[0]);
    bool kept = task->width > 1 || ipp_frames_bytes(&frames) >= KEPT_BYTES;
    if (kept && keep(p, &frames) == 0)
        envelope.flags = LINK_KEPT;
    if (link_send(b->link, BALANCER_RANK, LINK_DATA, &envelope, &frames) < 0)
        run_answer_unsent(b, p, BALANCER_RANK);
}

/* -1: link_send's. */
static int send_kept(struct bridge *b, const struct pending *p, const struct link_envelope *asked,
                     const int32_t *engines, size_t count)
{
    struct link_envelope envelope = { .kind = LINK_REQUEST,
                                      .flags = LINK_FROM_BALANCER | LINK_KEPT,
                                      .request = asked->request,
                                      .value = asked->value,
                                      .op = p->op->op };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_share(&frames, &p->kept, 0) == 0)
        return link_send_request(b->link, engines, count, &envelope, &frames);
    ipp_frames_clear(&frames);
    return -1;
}

void run_handed_over(struct bridge *b, const struct link_message *msg)
{
    const struct link_envelope *asked = &msg->envelope;
    const int32_t *engines = ipp_frame_data(msg->frames.at[0]);
    size_t count = ipp_frame_size(msg->frames.at[0]) / sizeof *engines;
    struct pending *p = pending_find(b, asked->request);
    int rank = asked->engine + IPP_SERVICE_RANKS;
    if (p && (send_kept(b, p, asked, engines, count) == 0 ||
              (count == 1 && link_is_lost(b->link, rank))))
        return; /* of a loss the balancer hears, too */
    if (p)
        run_answer_unsent(b, p, rank);
    /* It will not end there: the engines take the next one. */
    for (size_t i = 0; i < count; i++) {
        struct link_envelope done = { .kind = LINK_DONE,
                                      .engine = engines[i],
                                      .request = asked->request,
                                      .value = LINK_ABORTED };
        link_send(b->link, BALANCER_RANK, LINK_DATA, &done, NULL);
    }
}

void run_on_anyone(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                   const json_t *metadata, const struct wire_op_info *op)
{
    const char *msg_id = wire_json_string(msg->header_json, "msg_id", "");
    struct wants wants = { .b = b, .metadata = metadata, .msg_id = msg_id };
    if (b->balancer_lost) {
        answer_error(b, from, msg, op->reply, "EngineError",
                     "the balancer died: address engines directly, or start a new cluster");
        return;
    }
    if (early_take(b->early, msg_id, ANY_ENGINE)) {
        answer_aborted(b, from, msg, op);
        return;
    }
    ipp_frame_t *head = read_wants(&wants, msg);
    if (head)
        send_task(b, from, msg, op, head);
    else
        answer_error(b, from, msg, op->reply, wants.ename, "%s", wants.text);
}

/* ---- dropped ---- */

/* The msg_id by which the task's metadata names another one: "" when it does not. */
static void name_of(struct bridge *b, const struct pending *p, uint64_t number, char *out,
                    size_t size)
{
    json_t *metadata = wire_json_read(p->metadata, NULL), *item;
    const char *const keys[] = { "after", "follow" };
    out[0] = '\0';
    for (int k = 0; k < 2; k++) {
        size_t i;
        json_array_foreach(needed(metadata, keys[k]), i, item)
        {
            if (out[0] == '\0' && json_is_string(item) &&
                number_of(b, json_string_value(item)) == number)
                snprintf(out, size, "%s", json_string_value(item));
        }
    }
    json_decref(metadata);
}

/* Numbers come as 8 bytes, where there is one. */
static uint64_t number_in(const struct link_message *msg)
{
    uint64_t number = 0;
    if (msg->frames.count > 0 && ipp_frame_size(msg->frames.at[0]) == sizeof number)
        memcpy(&number, ipp_frame_data(msg->frames.at[0]), sizeof number);
    return number;
}

static void answer_impossible(struct bridge *b, struct pending *p, uint64_t other)
{
    char name[80];
    name_of(b, p, other, name, sizeof name);
    if (other == 0)
        answer_part_error(b, p, &p->parts[0], "ImpossibleDependency",
                          "no engine meets the condition of the task");
    else
        answer_part_error(b, p, &p->parts[0], "ImpossibleDependency",
                          "task %s, on which it depends, has ended otherwise, or where this one "
                          "may not run",
                          name);
}

void run_dropped(struct bridge *b, const struct link_message *msg)
{
    struct pending *p = pending_find(b, msg->envelope.request);
    if (!p)
        return;
    char name[80];
    struct part *part = &p->parts[0];
    switch (msg->envelope.value) {
    case SCHED_DROP_ABORTED:
        answer_part_aborted(b, p, part);
        break;
    case SCHED_DROP_TIMED_OUT:
        answer_part_error(b, p, part, "TaskTimeout", "the task waited longer than its timeout");
        break;
    case SCHED_DROP_UNREACHABLE:
        answer_part_error(b, p, part, "ImpossibleDependency",
                          "no engine that may run the task is alive");
        break;
    case SCHED_DROP_ENGINE_LOST:
        part->engine = msg->envelope.engine; /* the answer is on its behalf */
        answer_part_error(b, p, part, "EngineError", "engine %d %s while it had this task",
                          part->engine, engine_fate(&b->engines[part->engine]));
        break;
    case SCHED_DROP_IMPOSSIBLE:
        answer_impossible(b, p, number_in(msg));
        break;
    case SCHED_DROP_UNKNOWN:
    case SCHED_DROP_CIRCULAR:
        name_of(b, p, number_in(msg), name, sizeof name);
        answer_part_error(b, p, part, "InvalidDependency",
                          "request %s is no task of the balancer's, or was one too long ago", name);
        break;
    default:
        answer_part_error(
            b, p, part, msg->envelope.value == BALANCER_INVALID ? "ValueError" : "TaskRejectError",
            "the task was refused: %.*s",
            msg->frames.count ? (int)ipp_frame_size(msg->frames.at[0]) : 0,
            msg->frames.count ? (char *)ipp_frame_data(msg->frames.at[0]) : "");
    }
}
