/* SPDX-License-Identifier: BSD-3-Clause
 * Requests of the steering socket to a set of engines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Of the frames of a request between ranks: header, parent, metadata, content, buffers. */
#define METADATA_FRAME 2

/* What engines have to know and the client does not say. */
static int add_metadata(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                        json_t *metadata, const struct wire_op_info *op)
{
    const struct guest *guest = access_find(&b->access, from->session->key);
    if (op->op != WIRE_OP_PULL)
        return 0;
    json_object_set_new(metadata, "role",
                        json_string(wire_role_name(guest ? guest->role : WIRE_ROLE_OBSERVER)));
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

/* A reduction's engines wait for each other: they learn of those that get the request, and of no
 * others. Without memory they learn of none, and answer so. */
static void list_partakers(const struct pending *p, json_t *metadata, ipp_frames_t *frames)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->part_count; i++)
        if (!p->parts[i].answered)
            json_array_append_new(list, json_integer(p->parts[i].engine));
    json_object_set_new(metadata, "engines", list);
    ipp_frame_t *frame = wire_json_frame(metadata);
    ipp_frame_t **at = &frames->at[(p->flags & LINK_TRANSFER ? 1 : 0) + METADATA_FRAME];
    if (!frame)
        return;
    ipp_frame_unref(*at);
    *at = frame;
}

static void send_set(struct bridge *b, const struct origin *from, wire_msg_t *msg, json_t *metadata,
                     const struct wire_op_info *op, enum link_lane lane, const int *engines,
                     size_t count)
{
    ipp_err_t err = { "" };
    ipp_frames_t frames = { 0 };
    struct pending *p = NULL;
    if (add_metadata(b, from, msg, metadata, op) == 0 &&
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
        if (run_answer_for_absent(b, p)) {
            if (op->op == WIRE_OP_REDUCE)
                list_partakers(p, metadata, &frames);
            run_send_to_parts(b, p, lane, &frames);
        }
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
