/* SPDX-License-Identifier: BSD-3-Clause
 * What comes by the steering socket: whose it is, whether it is the next, and what it acknowledges.
 */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Messages taken from one socket before the others get their turn. */
#define MESSAGES_PER_TURN 64

enum { FROM_PEER, FROM_CHANNEL, FROM_HEAD, FROM_REST };

/* A message that begins as it should. */
struct arrival {
    int socket;
    const char *key;
    ipp_frame_t *peer;
    enum wire_channel channel;
    struct wire_head head;
};

static int read_arrival(struct arrival *a, const ipp_frames_t *frames)
{
    if (frames->count < FROM_REST)
        return -1;
    int channel = wire_channel_find(ipp_frame_data(frames->at[FROM_CHANNEL]),
                                    ipp_frame_size(frames->at[FROM_CHANNEL]));
    if (channel < 0 || wire_head_read(&a->head, frames->at[FROM_HEAD]) < 0)
        return -1;
    a->peer = frames->at[FROM_PEER];
    a->channel = (enum wire_channel)channel;
    return 0;
}

static void take_attach(struct bridge *b, const struct arrival *a, const wire_msg_t *msg)
{
    const char *type = wire_json_string(msg->header_json, "msg_type", "");
    if (strcmp(type, wire_op_info(WIRE_OP_ATTACH)->request) == 0)
        attach_message(b, a->socket, a->peer, a->key, msg);
    else
        attach_refuse(b, a->socket, a->peer, "SessionError", "only an attach_request has number 0");
}

static void take_request(struct bridge *b, const struct arrival *a, struct session *s,
                         wire_msg_t *msg)
{
    struct origin from = { .channel = a->channel, .session = s, .sequence = a->head.sequence };
    b->last_work_ms = ipp_now_ms();
    if (ipp_frames_bytes(&msg->buffers) >= BULK_BYTES)
        b->last_bulk_ms = b->last_work_ms;
    route_dispatch(b, &from, msg);
}

/* 1 when the message is the next of its session, 0 when there is nothing to do about it. */
static int is_next(struct bridge *b, const struct arrival *a, struct session *s)
{
    if (!s) {
        attach_refuse(b, a->socket, a->peer, "SessionError", "this connection has no session");
        return 0;
    }
    session_acknowledged(s, a->head.acknowledged);
    if (a->channel == WIRE_ACK || a->head.sequence <= s->received)
        return 0;
    if (a->head.sequence == s->received + 1)
        return 1;
    attach_refuse(b, a->socket, a->peer, "SessionError", "messages are missing");
    return 0;
}

static void take(struct bridge *b, struct arrival *a, ipp_frames_t *frames)
{
    wire_msg_t msg = { 0 };
    ipp_err_t err = { "" };
    if (wire_unpack(frames, FROM_CHANNEL) < 0 || read_arrival(a, frames) < 0) {
        route_drop(b, "steering", "no pack, or no channel and head in it");
        return;
    }
    bool attaches = a->channel == WIRE_SESSION && a->head.sequence == 0;
    struct session *s = attaches ? NULL : session_of_peer(b, a->socket, a->peer);
    if (!attaches && !is_next(b, a, s))
        return;
    ipp_frame_t *peer = ipp_frame_ref(a->peer); /* a decoded message may drop its own */
    int decoded = wire_decode(&msg, frames, b->unsigned_signer, &err);
    a->peer = peer;
    if (s)
        session_took(s, &msg);
    if (decoded < 0)
        route_drop(b, "steering", err.text);
    else if (attaches)
        take_attach(b, a, &msg);
    else
        take_request(b, a, s, &msg);
    wire_msg_clear(&msg);
    ipp_frame_unref(peer);
}

void steer_messages(struct bridge *b, int socket)
{
    char key[WIRE_Z85_LEN + 1];
    struct arrival a = { .socket = socket, .key = socket == SOCKET_LOCAL ? ACCESS_LOCAL : key };
    ipp_frames_t frames = { 0 };
    for (int n = 0; n < MESSAGES_PER_TURN; n++) {
        if (!sockets_receive(b->sockets, socket, &frames, key))
            break;
        take(b, &a, &frames);
        ipp_frames_clear(&frames);
    }
}
