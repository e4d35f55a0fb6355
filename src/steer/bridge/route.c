/* SPDX-License-Identifier: BSD-3-Clause
 * What comes from clients: taken apart, checked, and handed to where ops.def sends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Messages taken from one channel before the others get their turn. */
#define MESSAGES_PER_TURN 64
#define DROP_LOG_INTERVAL_MS 10000

void route_drop(struct bridge *b, const char *place, const char *why)
{
    b->dropped++;
    if (ipp_log_now_and_then(&b->dropped_logged_ms, DROP_LOG_INTERVAL_MS))
        ipp_log(IPP_LOG_WARNING, "dropped a message on the %s channel: %s (%llu dropped so far)",
                place, why, (unsigned long long)b->dropped);
}

/* "X_request" is answered by "X_reply", anything else by hub_error. */
static void refuse_type(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                        const char *type)
{
    bool elsewhere = errno == EPROTOTYPE;
    char reply[128] = "hub_error";
    size_t length = strlen(type), suffix = strlen("_request");
    if (from->channel != WIRE_QUERY && length > suffix && length < sizeof reply &&
        strcmp(type + length - suffix, "_request") == 0)
        snprintf(reply, sizeof reply, "%.*s_reply", (int)(length - suffix), type);
    answer_error(b, from, msg, reply, "KeyError", "%s message type '%.100s' on the %s channel",
                 elsewhere ? "misplaced" : "unknown", type, wire_channel_name(from->channel));
}

/* Who has the key of ipyparallel's sockets may do all that they offer. */
static bool may(struct bridge *b, const struct origin *from, const struct wire_op_info *op)
{
    const struct guest *guest = from->session ? access_find(&b->access, from->session->key) : NULL;
    return !from->session || (guest && guest->role >= op->role);
}

static void refuse_role(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                        const struct wire_op_info *op)
{
    const struct guest *guest = access_find(&b->access, from->session->key);
    if (from->channel == WIRE_CHUNK)
        return; /* the request behind it is refused */
    audit_denied(b, from->session, op);
    if (guest)
        answer_error(b, from, msg, op->reply, "PermissionError",
                     "%s: %s may not do this (%s), it takes an %s", op->request,
                     guest->role == WIRE_ROLE_OBSERVER ? "an observer" : "an operator", op->doc,
                     wire_role_name(op->role));
    else
        answer_error(b, from, msg, op->reply, "PermissionError",
                     "the invitation was revoked, or has expired");
}

void route_dispatch(struct bridge *b, const struct origin *from, wire_msg_t *msg)
{
    const char *type = wire_json_string(msg->header_json, "msg_type", "");
    const struct wire_op_info *op = wire_op_find(from->channel, type);
    if (!op) {
        refuse_type(b, from, msg, type);
        return;
    }
    if (b->phase != PHASE_SERVING && op->op != WIRE_OP_SHUTDOWN_ALL) {
        answer_error(b, from, msg, op->reply, "EngineError", "the cluster is shutting down");
        return;
    }
    if (!may(b, from, op)) {
        refuse_role(b, from, msg, op);
        return;
    }
    switch (op->destination) {
    case WIRE_TO_BRIDGE:
        if (from->channel == WIRE_SESSION)
            session_request(b, from, msg, op);
        else
            query_request(b, from, msg, op);
        break;
    case WIRE_TO_RUN:
        if (from->channel == WIRE_CHUNK)
            transfer_chunk(b, from, msg);
        else
            run_request(b, from, msg, op);
        break;
    case WIRE_TO_CONTROL:
        control_request(b, from, msg, op);
        break;
    case WIRE_TO_ABSENT:
        answer_error(b, from, msg, op->reply, "NotImplementedError",
                     "%s (%s) is not offered by this cluster", type, op->doc);
        break;
    }
}

static void take(struct bridge *b, enum wire_channel channel, ipp_frames_t *frames)
{
    wire_msg_t msg = { 0 };
    ipp_err_t err = { "" };
    if (wire_decode(&msg, frames, b->signer, &err) < 0)
        route_drop(b, wire_channel_name(channel), err.text);
    else if (msg.identities.count == 0)
        route_drop(b, wire_channel_name(channel), "it has no sender");
    else {
        struct origin from = { .channel = channel, .client = msg.identities.at[0] };
        b->last_work_ms = ipp_now_ms();
        if (ipp_frames_bytes(&msg.buffers) >= BULK_BYTES)
            b->last_bulk_ms = b->last_work_ms;
        route_dispatch(b, &from, &msg);
    }
    wire_msg_clear(&msg);
    ipp_frames_clear(frames);
}

/* One frame each: 1 and the topic, or 0 when it is withdrawn. */
static void take_subscriptions(struct bridge *b)
{
    ipp_frames_t frames = { 0 };
    while (sockets_receive(b->sockets, WIRE_IOPUB, &frames, NULL)) {
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
            if (!sockets_receive(b->sockets, channel, &frames, NULL))
                break;
            take(b, (enum wire_channel)channel, &frames);
        }
    }
    if (ready & 1u << SOCKET_ZAP)
        access_answer_zap(b);
    for (int socket = SOCKET_STEERING; socket <= SOCKET_LOCAL; socket++)
        if (ready & 1u << socket)
            steer_messages(b, socket);
}
