/* SPDX-License-Identifier: BSD-3-Clause
 * Messages on ipyparallel's sockets, and what is published there unasked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

enum { ANSWER_HEADER, ANSWER_PARENT, ANSWER_METADATA, ANSWER_CONTENT, ANSWER_BUFFERS };

void send_signed(struct bridge *b, enum wire_channel channel, ipp_frame_t *first,
                 ipp_frames_t *frames)
{
    wire_msg_t msg = { .header = frames->at[ANSWER_HEADER],
                       .parent = frames->at[ANSWER_PARENT],
                       .metadata = frames->at[ANSWER_METADATA],
                       .content = frames->at[ANSWER_CONTENT] };
    ipp_frames_t out = { 0 };
    bool bad = ipp_frames_push(&msg.identities, ipp_frame_ref(first)) < 0 ||
               ipp_frames_share(&msg.buffers, frames, ANSWER_BUFFERS) < 0 ||
               wire_encode(&out, &msg, b->signer) < 0 ||
               sockets_send(b->sockets, channel, &out) < 0;
    if (bad && errno == EHOSTUNREACH)
        ipp_log(IPP_LOG_DEBUG, "an answer is dropped: its client is gone");
    else if (bad)
        ipp_log(IPP_LOG_ERROR, "an answer cannot be sent: %s", strerror(errno));
    ipp_frames_clear(&out);
    ipp_frames_clear(&msg.identities);
    ipp_frames_clear(&msg.buffers);
    ipp_frames_clear(frames);
}

/* Takes metadata and content; NULL is one that could not be made. */
static bool compose_of(struct bridge *b, ipp_frames_t *frames, const char *msg_type,
                       ipp_frame_t *parent, ipp_frame_t *metadata, ipp_frame_t *content)
{
    int bad = ipp_frames_push(frames, wire_headers_next(b->headers, msg_type));
    bad |= ipp_frames_push(frames, ipp_frame_ref(parent ? parent : b->nothing));
    bad |= ipp_frames_push(frames, metadata);
    bad |= ipp_frames_push(frames, content);
    if (!bad)
        return true;
    ipp_log(IPP_LOG_ERROR, "a %s cannot be made: %s", msg_type, strerror(errno));
    ipp_frames_clear(frames);
    return false;
}

bool compose(struct bridge *b, ipp_frames_t *frames, const char *msg_type, ipp_frame_t *parent,
             json_t *metadata, json_t *content)
{
    return compose_of(b, frames, msg_type, parent, wire_json_frame_new(metadata),
                      wire_json_frame_new(content));
}

static void send_published(struct bridge *b, enum wire_channel channel, ipp_frame_t *topic,
                           ipp_frames_t *frames)
{
    if (channel == WIRE_IOPUB)
        gate_publish(b, topic, frames);
    else
        send_signed(b, channel, topic, frames);
}

/* Takes content. */
static void publish_of(struct bridge *b, enum wire_channel channel, const char *topic,
                       const char *msg_type, ipp_frame_t *parent, ipp_frame_t *content)
{
    ipp_frames_t frames = { 0 };
    ipp_frame_t *topic_frame = ipp_frame_copy(topic, strlen(topic));
    if (compose_of(b, &frames, msg_type, parent, ipp_frame_ref(b->nothing), content) && topic_frame)
        send_published(b, channel, topic_frame, &frames);
    ipp_frames_clear(&frames);
    ipp_frame_unref(topic_frame);
}

void publish(struct bridge *b, enum wire_channel channel, const char *topic, const char *msg_type,
             ipp_frame_t *parent, json_t *content)
{
    publish_of(b, channel, topic, msg_type, parent, wire_json_frame_new(content));
}

void publish_idle(struct bridge *b, int engine, ipp_frame_t *parent)
{
    char topic[64];
    snprintf(topic, sizeof topic, "engine.%d.status", engine);
    publish_of(b, WIRE_IOPUB, topic, "status", parent, ipp_frame_ref(b->idle));
}
