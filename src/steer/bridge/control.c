/* SPDX-License-Identifier: BSD-3-Clause
 * Control requests: abort is the bridge's own, the others go to the engine ahead of what it has to
 * run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* ---- abort ---- */

/* What an abort_request asks for. */
struct abort_wish {
    json_t *ids;    /* a list; empty or NULL: all that waits */
    uint16_t flags; /* LINK_INTERRUPT: what runs already too */
};

static void send_abort(struct bridge *b, const struct abort_wish *wish, int engine, uint64_t number)
{
    struct link_envelope envelope = {
        .kind = LINK_ABORT, .flags = wish->flags, .engine = engine, .request = number
    };
    int rank = engine == ANY_ENGINE ? BALANCER_RANK : engine + IPP_SERVICE_RANKS;
    /* On the data lane, behind the request: one that is still on its way must not escape. */
    link_send(b->link, rank, LINK_DATA, &envelope, NULL);
}

/* The engine that a broadcast's copy "ORIGINAL_UUID" is for, *original being the bytes before the
 * "_"; NULL when it is no copy's id. */
static const struct engine_entry *copy_engine(struct bridge *b, const char *msg_id,
                                              size_t *original)
{
    const char *underline = strrchr(msg_id, '_');
    if (!underline)
        return NULL;
    *original = (size_t)(underline - msg_id);
    return engine_by_uuid(b, underline + 1, strlen(underline + 1));
}

static struct pending *find_original(struct bridge *b, const char *msg_id, size_t length)
{
    char *original = strndup(msg_id, length);
    struct pending *p = original ? pending_find_id(b, original) : NULL;
    free(original);
    return p;
}

/* Takes a request off the queue of `target`, or, for the `first` of the targets, off the
 * balancer's. One that is not known may still come. */
static void abort_one(struct bridge *b, const struct abort_wish *wish, const char *msg_id,
                      const struct engine_entry *target, bool first)
{
    size_t original = 0;
    struct pending *p = pending_find_id(b, msg_id);
    const struct engine_entry *copy = p ? NULL : copy_engine(b, msg_id, &original);
    if (copy && copy != target)
        return;
    if (copy)
        p = find_original(b, msg_id, original);
    if (!p)
        early_add(b->early, msg_id, target->id);
    for (size_t i = 0; p && i < p->part_count; i++) {
        int engine = p->parts[i].engine;
        if (!p->parts[i].answered && (engine == ANY_ENGINE ? first : engine == target->id))
            send_abort(b, wish, engine, p->number);
    }
}

/* -1: it is no content. */
static int read_wish(const wire_msg_t *msg, struct abort_wish *wish, ipp_err_t *err)
{
    ipp_err_t why = { "" };
    json_t *content = wire_json_read(msg->content, &why);
    if (!content)
        return ipp_err(err, EBADMSG, "content: %s", why.text);
    json_t *named = json_object_get(content, "msg_ids");
    bool good = !named || json_is_null(named) || json_is_string(named) || json_is_array(named);
    if (good)
        wish->ids = json_is_string(named) ? json_pack("[O]", named) : json_incref(named);
    if (json_is_true(json_object_get(content, "interrupt")))
        wish->flags = LINK_INTERRUPT;
    json_decref(content);
    return good ? 0 : ipp_err(err, EBADMSG, "msg_ids: not a list of msg_ids");
}

int control_abort(struct bridge *b, const wire_msg_t *msg, const int *engines, size_t count,
                  ipp_err_t *err)
{
    struct abort_wish wish = { 0 };
    json_t *item;
    size_t i;
    if (read_wish(msg, &wish, err) < 0)
        return -1;
    for (size_t e = 0; e < count; e++) {
        json_array_foreach(wish.ids, i, item)
        {
            if (json_is_string(item))
                abort_one(b, &wish, json_string_value(item), &b->engines[engines[e]], e == 0);
        }
        if (json_array_size(wish.ids) == 0)
            send_abort(b, &wish, engines[e], 0);
    }
    json_decref(wish.ids);
    return 0;
}

static void abort_request(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                          const struct wire_op_info *op, const struct engine_entry *target)
{
    ipp_err_t err = { "" };
    if (control_abort(b, msg, &target->id, 1, &err) < 0)
        answer_error(b, from, msg, op->reply, "ValueError", "%s", err.text);
    else /* the engine answers when it has seen to all of them: it comes behind them on their lane
          */
        run_on_engine(b, from, msg, op, target, LINK_DATA);
}

void control_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                     const struct wire_op_info *op)
{
    if (from->session) {
        control_set(b, from, msg, op);
        return;
    }
    const struct engine_entry *engine = run_named_engine(b, from, msg, op);
    if (!engine)
        return;
    if (pending_find_id(b, wire_json_string(msg->header_json, "msg_id", "")))
        answer_error(b, from, msg, op->reply, "ValueError",
                     "a request with this msg_id is under way already");
    else if (op->op == WIRE_OP_ABORT)
        abort_request(b, from, msg, op, engine);
    else
        run_on_engine(b, from, msg, op, engine, LINK_CONTROL);
}
