/* SPDX-License-Identifier: BSD-3-Clause
 * What comes from clients: taken apart, checked, and handed to where ops.def sends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Messages taken from one channel before the others get their turn. */
#define MESSAGES_PER_TURN 64
#define DROP_LOG_INTERVAL_MS 10000

static void drop(struct bridge *b, enum wire_channel channel, const char *why)
{
    b->dropped++;
    if (ipp_log_now_and_then(&b->dropped_logged_ms, DROP_LOG_INTERVAL_MS))
        ipp_log(IPP_LOG_WARNING, "dropped a message on the %s channel: %s (%llu dropped so far)",
                wire_channel_name(channel), why, (unsigned long long)b->dropped);
}

/* "X_request" is answered by "X_reply", anything else by hub_error. */
static void refuse_type(struct bridge *b, enum wire_channel channel, const wire_msg_t *msg,
                        const char *type)
{
    bool elsewhere = errno == EPROTOTYPE;
    char reply[128] = "hub_error";
    size_t length = strlen(type), suffix = strlen("_request");
    if (channel != WIRE_QUERY && length > suffix && length < sizeof reply &&
        strcmp(type + length - suffix, "_request") == 0)
        snprintf(reply, sizeof reply, "%.*s_reply", (int)(length - suffix), type);
    answer_error(b, channel, msg, reply, "KeyError", "%s message type '%.100s' on the %s channel",
                 elsewhere ? "misplaced" : "unknown", type, wire_channel_name(channel));
}

static void dispatch(struct bridge *b, enum wire_channel channel, wire_msg_t *msg)
{
    const char *type = wire_json_string(msg->header_json, "msg_type", "");
    const struct wire_op_info *op = wire_op_find(channel, type);
    if (!op) {
        refuse_type(b, channel, msg, type);
        return;
    }
    if (b->phase != PHASE_SERVING && op->op != WIRE_OP_SHUTDOWN_ALL) {
        answer_error(b, channel, msg, op->reply, "EngineError", "the cluster is shutting down");
        return;
    }
    switch (op->destination) {
    case WIRE_TO_BRIDGE:
        query_request(b, msg, op);
        break;
    case WIRE_TO_RUN:
        run_request(b, channel, msg, op);
        break;
    case WIRE_TO_CONTROL:
        control_request(b, msg, op);
        break;
    case WIRE_TO_ABSENT:
        answer_error(b, channel, msg, op->reply, "NotImplementedError",
                     "%s (%s) is not offered by this cluster", type, op->doc);
        break;
    }
}

static void take(struct bridge *b, enum wire_channel channel, ipp_frames_t *frames)
{
    wire_msg_t msg = { 0 };
    ipp_err_t err = { "" };
    if (wire_decode(&msg, frames, b->signer, &err) < 0)
        drop(b, channel, err.text);
    else if (msg.identities.count == 0)
        drop(b, channel, "it has no sender");
    else {
        b->last_work_ms = ipp_now_ms();
        if (ipp_frames_bytes(&msg.buffers) >= BULK_BYTES)
            b->last_bulk_ms = b->last_work_ms;
        dispatch(b, channel, &msg);
    }
    wire_msg_clear(&msg);
    ipp_frames_clear(frames);
}

/* One frame each: 1 and the topic, or 0 when it is withdrawn. */
static void take_subscriptions(struct bridge *b)
{
    ipp_frames_t frames = { 0 };
    while (sockets_receive(b->sockets, WIRE_IOPUB, &frames)) {
        const char *said = ipp_frame_data(frames.at[0]);
        if (ipp_frame_size(frames.at[0]) > 0 && said[0] == 1)
            gate_subscribed(b);
        ipp_frames_clear(&frames);
    }
}

void route_messages(struct bridge *b, unsigned ready)
{
    for (int channel = 0; channel < WIRE_PORTS; channel++) {
        ipp_frames_t frames = { 0 };
        if (channel == WIRE_IOPUB && (ready & 1u << channel))
            take_subscriptions(b);
        for (int n = 0; channel != WIRE_IOPUB && (ready & 1u << channel) && n < MESSAGES_PER_TURN;
             n++) {
            if (!sockets_receive(b->sockets, (enum wire_channel)channel, &frames))
                break;
            take(b, (enum wire_channel)channel, &frames);
        }
    }
}
