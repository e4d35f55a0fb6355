/* SPDX-License-Identifier: BSD-3-Clause
 * Requests of the steering socket to a set of engines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

static json_t *id_list(const int *engines, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(engines[i]));
    return list;
}

/* What engines have to know and the client does not say. */
static int add_metadata(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                        json_t *metadata, const struct wire_op_info *op, const int *engines,
                        size_t count)
{
    const struct guest *guest = access_find(&b->access, from->session->key);
    if (op->op == WIRE_OP_REDUCE)
        json_object_set_new(metadata, "engines", id_list(engines, count));
    else if (op->op == WIRE_OP_PULL)
        json_object_set_new(metadata, "role",
                            json_string(wire_role_name(guest ? guest->role : WIRE_ROLE_OBSERVER)));
    else
        return 0;
    ipp_frame_t *frame = wire_json_frame(metadata);
    if (!frame)
        return -1;
    ipp_frame_unref(msg->metadata);
    msg->metadata = frame;
    return 0;
}

/* The frames that travel between ranks: the transfer, if one is named, and the request. */
static int set_frames(struct bridge *b, const struct origin *from, ipp_frames_t *frames,
                      wire_msg_t *msg, const json_t *metadata, const int *engines, size_t count,
                      ipp_err_t *err)
{
    const json_t *named = json_object_get(metadata, "transfer");
    if (named) {
        ipp_frame_t *transfer = transfer_take(b, from->session, named, engines, count, err);
        if (!transfer || ipp_frames_push(frames, transfer) < 0)
            return -1;
    }
    return run_frames(frames, msg);
}

static void send_set(struct bridge *b, const struct origin *from, wire_msg_t *msg, json_t *metadata,
                     const struct wire_op_info *op, enum link_lane lane, const int *engines,
                     size_t count)
{
    ipp_err_t err = { "" };
    ipp_frames_t frames = { 0 };
    struct pending *p = NULL;
    if (add_metadata(b, from, msg, metadata, op, engines, count) == 0 &&
        set_frames(b, from, &frames, msg, metadata, engines, count, &err) == 0)
        p = pending_new(b, msg, from, op, engines, count);
    if (!p) {
        if (err.text[0])
            answer_error(b, from, msg, op->reply, "ValueError", "%s", err.text);
        else
            answer_error(b, from, msg, op->reply, "MemoryError",
                         "the bridge has no memory for this request");
    } else {
        p->flags = (uint16_t)((count > 1 ? LINK_BROADCAST | LINK_COALESCING : 0) |
                              (json_object_get(metadata, "transfer") ? LINK_TRANSFER : 0));
        if (run_answer_for_absent(b, p))
            run_send_to_parts(b, p, lane, &frames);
    }
    ipp_frames_clear(&frames);
}

void run_on_set(struct bridge *b, const struct origin *from, wire_msg_t *msg, json_t *metadata,
                const struct wire_op_info *op)
{
    ipp_err_t err = { "" };
    int *engines = NULL;
    size_t count = 0;
    if (targets_resolve(b, wire_json_string(metadata, "targets", "all"), &engines, &count, &err) <
        0)
        answer_error(b, from, msg, op->reply, "IndexError", "%s", err.text);
    else
        send_set(b, from, msg, metadata, op, LINK_DATA, engines, count);
    free(engines);
}

void control_set(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                 const struct wire_op_info *op)
{
    ipp_err_t err = { "" };
    int *engines = NULL;
    size_t count = 0;
    json_t *metadata = wire_json_read(msg->metadata, &err);
    if (!metadata)
        answer_error(b, from, msg, op->reply, "ValueError", "metadata: %s", err.text);
    else if (targets_resolve(b, wire_json_string(metadata, "targets", "all"), &engines, &count,
                             &err) < 0)
        answer_error(b, from, msg, op->reply, "IndexError", "%s", err.text);
    else if (op->op == WIRE_OP_ABORT && control_abort(b, msg, engines, count, &err) < 0)
        answer_error(b, from, msg, op->reply, "ValueError", "%s", err.text);
    else
        /* Engines answer an abort when they have seen to all of it: it comes behind it. */
        send_set(b, from, msg, metadata, op, op->op == WIRE_OP_ABORT ? LINK_DATA : LINK_CONTROL,
                 engines, count);
    free(engines);
    json_decref(metadata);
}
