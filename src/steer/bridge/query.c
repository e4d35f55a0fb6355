/* SPDX-License-Identifier: BSD-3-Clause
 * Questions to the cluster as a whole: who is there, what waits where, and its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

static void connection(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                       const struct wire_op_info *op)
{
    json_t *engines = json_object(), *about = engines_about(b), *one;
    const char *id;
    if (!from->session)
        gate_expect(b, wire_json_string(msg->header_json, "session", ""));
    json_object_foreach(about, id, one)
    {
        json_object_set(engines, id, json_object_get(one, "uuid"));
    }
    answer_own(b, from, msg, op->reply,
               json_pack("{s:s, s:o, s:o}", "status", "ok", "engines", engines, "about", about));
}

/* ---- queues ---- */

/* Ids by engine; the entry behind the last engine counts tasks that wait for one. */
struct queues {
    json_t **direct, **tasks;
};

static int queues_create(struct queues *q, int engines)
{
    q->direct = calloc((size_t)engines + 1, sizeof *q->direct);
    q->tasks = calloc((size_t)engines + 1, sizeof *q->tasks);
    for (int i = 0; q->direct && q->tasks && i <= engines; i++) {
        q->direct[i] = json_array();
        q->tasks[i] = json_array();
    }
    return q->direct && q->tasks ? 0 : -1;
}

static void queues_free(struct queues *q, int engines)
{
    for (int i = 0; q->direct && q->tasks && i <= engines; i++) {
        json_decref(q->direct[i]);
        json_decref(q->tasks[i]);
    }
    free(q->direct);
    free(q->tasks);
}

static void count_direct(struct bridge *b, struct queues *q)
{
    struct pending *p, *next;
    HASH_ITER(hh, b->pending, p, next)
    {
        for (size_t i = 0; i < p->part_count; i++)
            if (p->op->destination == WIRE_TO_RUN && p->parts[i].engine != ANY_ENGINE &&
                !p->parts[i].answered)
                json_array_append_new(q->direct[p->parts[i].engine], json_string(p->msg_id));
    }
}

static void count_tasks(struct bridge *b, struct queues *q, ipp_frame_t *frame)
{
    const struct link_queued *queued = frame ? ipp_frame_data(frame) : NULL;
    size_t count = frame ? ipp_frame_size(frame) / sizeof *queued : 0;
    for (size_t i = 0; i < count; i++) {
        struct pending *p = pending_find(b, queued[i].request);
        int engine = queued[i].engine >= 0 && queued[i].engine < b->engine_count ? queued[i].engine
                                                                                 : b->engine_count;
        if (p)
            json_array_append_new(q->tasks[engine], json_string(p->msg_id));
        else if (explain_is_batched(queued[i].request))
            json_array_append_new(q->tasks[engine], explain_batched_id(queued[i].request));
    }
}

static json_t *sized(json_t *ids, bool verbose)
{
    return verbose ? json_incref(ids) : json_integer((json_int_t)json_array_size(ids));
}

static json_t *completed(const struct engine_entry *engine, bool verbose)
{
    if (!verbose)
        return json_integer((json_int_t)engine->completed);
    json_t *ids = json_array();
    uint64_t first = engine->completed > COMPLETED_KEPT ? engine->completed - COMPLETED_KEPT : 0;
    for (uint64_t i = first; i < engine->completed; i++)
        json_array_append_new(ids, json_string(engine->completed_ids[i % COMPLETED_KEPT]));
    return ids;
}

/* The engines asked for, NULL for all that are alive. False, and answered, when one is not there.
 */
static bool check_targets(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                          const json_t *targets)
{
    size_t i;
    json_t *item;
    json_array_foreach(targets, i, item)
    {
        json_int_t id = json_is_integer(item) ? json_integer_value(item) : -1;
        if (id >= 0 && id < b->engine_count && b->engines[id].state == ENGINE_ALIVE)
            continue;
        char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        answer_error(b, from, msg, "hub_error", "IndexError", "no such engine: %s",
                     text ? text : "?");
        free(text);
        return false;
    }
    return true;
}

static bool asked_for(const json_t *targets, int id)
{
    size_t i;
    json_t *item;
    if (!json_is_array(targets))
        return true;
    json_array_foreach(targets, i, item)
    {
        if (json_integer_value(item) == id)
            return true;
    }
    return false;
}

static void answer_queues(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                          ipp_frame_t *tasks)
{
    struct queues q = { 0 };
    json_t *asked = wire_json_read(msg->content, NULL);
    const json_t *targets = json_object_get(asked, "targets");
    bool load_only =
        strcmp(wire_json_string(msg->header_json, "msg_type", ""), "load_request") == 0;
    bool verbose = json_is_true(json_object_get(asked, "verbose"));
    json_t *content = json_pack("{s:s}", "status", "ok");
    if (queues_create(&q, b->engine_count) == 0) {
        count_direct(b, &q);
        count_tasks(b, &q, tasks);
    }
    for (int id = 0; id < b->engine_count && q.direct && q.tasks; id++) {
        char key[16];
        snprintf(key, sizeof key, "%d", id);
        if (b->engines[id].state != ENGINE_ALIVE || !asked_for(targets, id))
            continue;
        size_t load = json_array_size(q.direct[id]) + json_array_size(q.tasks[id]);
        json_object_set_new(content, key,
                            load_only ? json_integer((json_int_t)load)
                                      : json_pack("{s:o, s:o, s:o}", "queue",
                                                  sized(q.direct[id], verbose), "completed",
                                                  completed(&b->engines[id], verbose), "tasks",
                                                  sized(q.tasks[id], verbose)));
    }
    if (!load_only && q.tasks)
        json_object_set_new(content, "unassigned", sized(q.tasks[b->engine_count], verbose));
    answer_own(b, from, msg, load_only ? "load_reply" : "queue_reply", content);
    queues_free(&q, b->engine_count);
    json_decref(asked);
}

static void queues(struct bridge *b, const struct origin *from, wire_msg_t *msg)
{
    ipp_err_t err = { "" };
    json_t *asked = wire_json_read(msg->content, &err);
    if (!asked)
        answer_error(b, from, msg, "hub_error", "ValueError", "content: %s", err.text);
    bool good = asked && check_targets(b, from, msg, json_object_get(asked, "targets"));
    json_decref(asked);
    if (!good)
        return;
    if (!query_balancer(b, from, msg, LINK_QUEUES, NULL))
        answer_queues(b, from, msg, NULL);
}

/* ---- what the balancer has to be asked ---- */

bool query_balancer(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                    enum link_kind kind, ipp_frames_t *frames)
{
    struct queue_query *query = b->balancer_lost ? NULL : calloc(1, sizeof *query);
    if (!query)
        return false;
    query->number = ++b->last_number;
    query->kind = kind;
    query->from = *from;
    query->msg = *msg;
    *msg = (wire_msg_t){ 0 };
    query->next = b->queries;
    b->queries = query;
    struct link_envelope envelope = { .kind = (uint16_t)kind, .request = query->number };
    if (link_send(b->link, BALANCER_RANK, LINK_DATA, &envelope, frames) < 0)
        query_forget_all(b);
    return true;
}

/* `frame`: what the balancer has said, NULL: nothing. */
static void answer_query(struct bridge *b, struct queue_query *query, ipp_frame_t *frame)
{
    if (query->kind == LINK_EXPLAIN)
        explain_answer(b, &query->from, &query->msg, frame);
    else
        answer_queues(b, &query->from, &query->msg, frame);
    wire_msg_clear(&query->msg);
    free(query);
}

void query_answer(struct bridge *b, struct link_message *msg)
{
    for (struct queue_query **at = &b->queries; *at; at = &(*at)->next) {
        struct queue_query *query = *at;
        if (query->number != msg->envelope.request)
            continue;
        *at = query->next;
        answer_query(b, query, msg->frames.count ? msg->frames.at[0] : NULL);
        return;
    }
}

/* The balancer will not answer any more. */
void query_forget_all(struct bridge *b)
{
    for (struct queue_query *query; (query = b->queries) != NULL;) {
        b->queries = query->next;
        answer_query(b, query, NULL);
    }
}

void query_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                   const struct wire_op_info *op)
{
    switch (op->op) {
    case WIRE_OP_CONNECTION:
        connection(b, from, msg, op);
        break;
    case WIRE_OP_QUEUE:
    case WIRE_OP_LOAD:
        queues(b, from, msg);
        break;
    case WIRE_OP_EXPLAIN:
        explain_request(b, from, msg, op);
        break;
    case WIRE_OP_SHUTDOWN_ALL:
        answer_own(b, from, msg, op->reply, json_pack("{s:s}", "status", "ok"));
        life_stop(b, 0, "a client asked for it");
        break;
    default:
        answer_error(b, from, msg, "hub_error", "KeyError", "the bridge does not answer %s",
                     op->request);
    }
}
