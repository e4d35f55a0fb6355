/* SPDX-License-Identifier: BSD-3-Clause
 * The session and its connections: attaching, numbers and acknowledgements, and connecting again
 * when the network breaks. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>

#define ATTACH_MS 10000
#define RETRY_MS 50
#define RETRY_MOST_MS 5000
/* How long nobody of ours may listen there before the cluster counts as gone. The bridge binds its
 * sockets once, so this is only for what stands between: a tunnel, a proxy. */
#define GONE_MS 10000
/* The bridge keeps a session as long. */
#define OFFLINE_MS ((int64_t)3600 * 1000)
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
    steer->death = code;
    steer->state = SESSION_DEAD;
    line_close(&steer->line);
    outbox_clear(&steer->outbox);
    future_fail_all(steer, steer->last_words.text);
}

/* ---- connecting ---- */

static int64_t pause_ms(unsigned attempts)
{
    if (attempts == 0)
        return 0;
    int64_t pause = (int64_t)RETRY_MS << (attempts < 8 ? attempts - 1 : 7);
    return pause < RETRY_MOST_MS ? pause : RETRY_MOST_MS;
}

/* The connection is of no use any more: another one later. */
static void go_down(ipp_steer_t *steer, const char *why)
{
    int64_t now = ipp_now_ms();
    line_close(&steer->line);
    snprintf(steer->trouble.text, sizeof steer->trouble.text, "%s", why);
    if (steer->ending) {
        session_die(steer, ECONNRESET, "%s: the cluster was shut down", steer->place.label);
        return;
    }
    if (steer->offline_since == 0)
        steer->offline_since = now;
    if (now - steer->offline_since > OFFLINE_MS) {
        session_die(steer, ECONNRESET, "%s: not reached for an hour: %s", steer->place.label, why);
        return;
    }
    steer->state = SESSION_DOWN;
    steer->retry_at = now + pause_ms(steer->attempts++);
}

/* Nobody of ours listens there. */
static void go_gone(ipp_steer_t *steer, const char *why)
{
    int64_t now = ipp_now_ms();
    if (steer->gone_since == 0)
        steer->gone_since = now;
    if (!steer->attached_once ? steer->attempts > 0 : now - steer->gone_since > GONE_MS)
        session_die(steer, steer->attached_once ? ECONNRESET : ECONNREFUSED,
                    "%s: %s: the cluster is gone", steer->place.label, why);
    else
        go_down(steer, why);
}

static struct outgoing *attach_message(const ipp_steer_t *steer)
{
    json_t *content = json_pack("{s:i, s:s, s:I, s:b, s:s}", "protocol", WIRE_STEERING_PROTOCOL,
                                "token", steer->token, "received", (json_int_t)steer->received,
                                "resume", (int)steer->attached_once, "client", steer->client);
    char *text = content ? json_dumps(content, JSON_COMPACT) : NULL;
    char *header = request_header(steer, "attach_request", 0);
    struct outgoing *message =
        text && header ? outgoing_create(WIRE_SESSION, header, "{}", text, NULL, 0) : NULL;
    json_decref(content);
    free(header);
    free(text);
    return message;
}

static void go_up(ipp_steer_t *steer)
{
    ipp_err_t err = { "" };
    struct outgoing *attach = attach_message(steer);
    if (!attach || line_open(&steer->line, &steer->place, &err) < 0) {
        go_down(steer, attach ? err.text : "no memory");
    } else {
        steer->state = SESSION_CONNECTING;
        steer->deadline = ipp_now_ms() + ATTACH_MS;
        if (!line_send(&steer->line, attach, 0))
            go_down(steer, "the connection broke");
    }
    outgoing_destroy(attach);
}

void session_start(ipp_steer_t *steer)
{
    steer->offline_since = ipp_now_ms();
    go_up(steer);
}

/* ---- attaching ---- */

static int errno_of(const char *ename)
{
    return strcmp(ename, "PermissionError") == 0 ? EACCES : EPROTO;
}

static void attach_taken(ipp_steer_t *steer, json_t *content)
{
    json_int_t received = json_integer_value(json_object_get(content, "received"));
    if (steer->attached_once && !json_is_true(json_object_get(content, "resumed"))) {
        session_die(steer, ECONNRESET,
                    "%s: the cluster has forgotten this session: what was asked may have run",
                    steer->place.label);
        return;
    }
    if (received < 0 || !outbox_rewind(&steer->outbox, (uint64_t)received)) {
        session_die(steer, EPROTO, "%s: the bridge claims to have what was never sent",
                    steer->place.label);
        return;
    }
    steer->state = SESSION_ATTACHED;
    steer->attached_once = true;
    steer->attempts = 0;
    steer->gone_since = steer->offline_since = 0;
    steer->unsaid_messages = 0;
    steer->unsaid_bytes = 0;
    if (about_set(steer, content) < 0)
        session_die(steer, ENOMEM, "no memory");
}

static void attach_reply(ipp_steer_t *steer, const struct incoming *message)
{
    ipp_err_t err = { "" };
    json_t *content = wire_json_read(message->content, &err);
    const char *status = wire_json_string(content, "status", "");
    if (!content || steer->state != SESSION_CONNECTING) {
        go_down(steer, content ? "the bridge has forgotten the connection" : err.text);
    } else if (strcmp(status, "ok") != 0) {
        const char *ename = wire_json_string(content, "ename", "error");
        session_die(steer, errno_of(ename), "%s: %s: %s", steer->place.label, ename,
                    wire_json_string(content, "evalue", ""));
    } else {
        attach_taken(steer, content);
    }
    json_decref(content);
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
    size_t at = channel == WIRE_IOPUB ? 3 : 2; /* a topic */
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
        go_down(steer, "a message is missing");
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

static void take(ipp_steer_t *steer, const ipp_frames_t *frames)
{
    struct incoming message = { 0 };
    if (!take_apart(&message, frames)) {
        go_down(steer, "a message that is none");
        return;
    }
    bool attaching = message.channel == WIRE_SESSION && message.head.sequence == 0;
    if (attaching) {
        attach_reply(steer, &message);
    } else if (steer->state != SESSION_ATTACHED ||
               !outbox_acknowledge(&steer->outbox, message.head.acknowledged)) {
        go_down(steer, "a message out of turn");
    } else if (message.channel != WIRE_ACK) {
        take_numbered(steer, &message, ipp_frames_bytes(frames));
    }
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
        go_down(steer, "the connection broke");
}

void session_flush(ipp_steer_t *steer)
{
    const struct outgoing *message;
    while (steer->state == SESSION_ATTACHED && (message = outbox_next(&steer->outbox))) {
        if (!line_send(&steer->line, message, steer->received)) {
            go_down(steer, "the connection broke");
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

static bool events(ipp_steer_t *steer)
{
    enum line_event event = line_event(&steer->line);
    switch (event) {
    case LINE_NOTHING:
        return false;
    case LINE_REFUSED_KEY:
        session_die(steer, EACCES,
                    "%s: the cluster refuses this key: revoked, expired or of another cluster",
                    steer->place.label);
        break;
    case LINE_NOT_OURS:
        go_gone(steer, "what listens there is not the cluster of this file");
        break;
    case LINE_CLOSED:
        go_gone(steer, "nobody listens there");
        break;
    case LINE_BROKEN:
        go_down(steer, "the connection broke");
        break;
    }
    return true;
}

static bool timers(ipp_steer_t *steer)
{
    int64_t now = ipp_now_ms();
    if (steer->state == SESSION_DOWN && now >= steer->retry_at) {
        go_up(steer);
        return true;
    }
    if (steer->state == SESSION_CONNECTING && now >= steer->deadline) {
        go_down(steer, "nobody answers there");
        return true;
    }
    return false;
}

bool session_step(ipp_steer_t *steer)
{
    bool happened = receive(steer);
    happened |= events(steer);
    happened |= timers(steer);
    if (steer->ending && steer->state != SESSION_DEAD)
        session_die(steer, ECONNRESET, "%s: the cluster was shut down", steer->place.label);
    session_flush(steer);
    return happened;
}

int session_timeout(const ipp_steer_t *steer)
{
    int64_t at = steer->state == SESSION_DOWN         ? steer->retry_at
                 : steer->state == SESSION_CONNECTING ? steer->deadline
                                                      : INT64_MAX;
    if (at == INT64_MAX)
        return -1;
    int64_t left = at - ipp_now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}
