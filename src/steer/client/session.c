/* SPDX-License-Identifier: BSD-3-Clause
 * The session: numbers and acknowledgements in both directions, and its end. Connections come and
 * go below it (connect.c). */
#include "steer/client/client_private.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>

/* Messages taken in one step: the caller's own work shall not starve. */
#define STEP_MESSAGES 1000

/* ---- the end ---- */

void session_die(ipp_steer_t *steer, int code, const char *format, ...)
{
    if (steer->state == SESSION_DEAD)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(steer->last_words.text, sizeof steer->last_words.text, format, args);
    va_end(args);
    connect_stop(steer);
    steer->death = code;
    steer->state = SESSION_DEAD;
    outbox_clear(&steer->outbox);
    future_fail_all(steer, steer->last_words.text);
}

/* ---- receiving ---- */

static bool take_apart(struct incoming *message, const ipp_frames_t *frames)
{
    int channel = frames->count < 2 ? -1
                                    : wire_channel_find(ipp_frame_data(frames->at[0]),
                                                        ipp_frame_size(frames->at[0]));
    if (channel < 0 || wire_head_read(&message->head, frames->at[1]) < 0)
        return false;
    message->channel = (enum wire_channel)channel;
    if (channel == WIRE_ACK)
        return true;
    size_t at = channel == WIRE_IOPUB ? 3 : 2; /* behind the topic */
    if (frames->count < at + 6 || !ipp_frame_equals(frames->at[at], "<IDS|MSG>", 9))
        return false;
    message->header = frames->at[at + 2];
    message->metadata = frames->at[at + 4];
    message->content = frames->at[at + 5];
    message->buffers = frames->at + at + 6;
    message->buffer_count = frames->count - at - 6;
    return true;
}

static void take_numbered(ipp_steer_t *steer, const struct incoming *message, size_t bytes)
{
    if (message->head.sequence <= steer->received)
        return; /* sent again, and had already */
    if (message->head.sequence != steer->received + 1) {
        connect_broke(steer, "a message is missing");
        return;
    }
    steer->received++;
    steer->unsaid_messages++;
    steer->unsaid_bytes += bytes;
    if (message->channel == WIRE_IOPUB)
        future_output(steer, message);
    else
        future_answer(steer, message);
}

static void take(ipp_steer_t *steer, ipp_frames_t *frames)
{
    struct incoming message = { 0 };
    if (wire_unpack(frames, 0) < 0 || !take_apart(&message, frames))
        connect_broke(steer, "a message that is none");
    else if (message.channel == WIRE_SESSION && message.head.sequence == 0)
        connect_attach_reply(steer, &message);
    else if (steer->state != SESSION_ATTACHED ||
             !outbox_acknowledge(&steer->outbox, message.head.acknowledged))
        connect_broke(steer, "a message out of turn");
    else if (message.channel != WIRE_ACK)
        take_numbered(steer, &message, ipp_frames_bytes(frames));
}

static bool receive(ipp_steer_t *steer)
{
    int count = 0;
    ipp_frames_t frames = { 0 };
    while (count < STEP_MESSAGES && line_receive(&steer->line, &frames)) {
        take(steer, &frames);
        ipp_frames_clear(&frames);
        count++;
        session_flush(steer);
    }
    return count > 0;
}

/* ---- sending ---- */

static void acknowledge(ipp_steer_t *steer)
{
    if (steer->unsaid_messages < WIRE_ACK_MESSAGES && steer->unsaid_bytes < WIRE_ACK_BYTES)
        return;
    steer->unsaid_messages = 0;
    steer->unsaid_bytes = 0;
    if (!line_send_ack(&steer->line, steer->received))
        connect_broke(steer, "the connection broke");
}

void session_flush(ipp_steer_t *steer)
{
    const struct outgoing *message;
    while (steer->state == SESSION_ATTACHED && (message = outbox_next(&steer->outbox))) {
        if (!line_send(&steer->line, message, steer->received)) {
            connect_broke(steer, "the connection broke");
            return;
        }
        outbox_sent(&steer->outbox);
        steer->unsaid_messages = 0;
        steer->unsaid_bytes = 0;
    }
    if (steer->state == SESSION_ATTACHED)
        acknowledge(steer);
}

/* ---- driving ---- */

bool session_step(ipp_steer_t *steer)
{
    bool happened = receive(steer);
    if (steer->state != SESSION_DEAD)
        happened |= connect_step(steer);
    /* Answers that came with the news of the end have been taken. */
    if (steer->ending)
        session_die(steer, ECONNRESET, "%s: the cluster was shut down", steer->place.label);
    session_flush(steer);
    return happened;
}

int session_timeout(const ipp_steer_t *steer)
{
    if (steer->state == SESSION_ATTACHED || steer->state == SESSION_DEAD)
        return -1;
    int64_t at = steer->state == SESSION_DOWN ? steer->retry_at : steer->deadline;
    int64_t left = at - ipp_now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}
