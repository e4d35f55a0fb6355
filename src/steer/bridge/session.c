/* SPDX-License-Identifier: BSD-3-Clause
 * Sessions of the steering socket: two streams of numbered messages, kept until they are
 * acknowledged, that outlive the connections they travel by. */
#include "steer/bridge/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* A session's requests that have not left the bridge: more of them are not acknowledged. */
#define INSIDE_BYTES ((size_t)64 << 20)
/* Smaller buffers are not worth counting. */
#define METERED_BYTES ((size_t)16 << 10)
/* Output for a client that has not acknowledged so much is dropped. */
#define SLOW_BYTES ((size_t)64 << 20)
/* How long, where nobody says so, and how much is kept for a client that is gone. */
#define AWAY_MS ((int64_t)3600 * 1000)
#define AWAY_BYTES ((size_t)1 << 30)
/* Only a message shows that a connection is gone: an idle one is sent one each so often. */
#define PING_MS 60000
#define LOOK_MS 1000

/* ---- finding ---- */

/* The first byte of a peer's key says on which socket its identity is one. */
static size_t peer_key(char key[258], int socket, ipp_frame_t *peer)
{
    size_t size = ipp_frame_size(peer) < 256 ? ipp_frame_size(peer) : 256;
    key[0] = (char)socket;
    memcpy(key + 1, ipp_frame_data(peer), size);
    return size + 1;
}

struct session *session_of_peer(struct bridge *b, int socket, ipp_frame_t *peer)
{
    char key[258];
    struct session *s;
    size_t size = peer_key(key, socket, peer);
    HASH_FIND(hh_peer, b->sessions_by_peer, key, size, s);
    return s;
}

struct session *session_of_token(struct bridge *b, const char *token)
{
    struct session *s;
    HASH_FIND_STR(b->sessions, token, s);
    return s;
}

struct session *session_of_label(struct bridge *b, const char *label)
{
    struct session *s = b->sessions;
    while (s && strcmp(s->label, label) != 0)
        s = s->hh.next;
    return s;
}

/* ---- life ---- */

static void meter_drop(struct meter *meter)
{
    if (meter && --meter->references == 0)
        free(meter);
}

static void session_free(struct session *s)
{
    session_acknowledged(s, s->sent);
    meter_drop(s->meter);
    free(s->label);
    free(s->client);
    free(s);
}

struct session *session_new(struct bridge *b, const char *token, const struct guest *guest)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s || !(s->label = strdup("")) || !(s->client = strdup("")) ||
        !(s->meter = calloc(1, sizeof *s->meter))) {
        if (s) {
            free(s->label);
            free(s->client);
        }
        free(s);
        return NULL;
    }
    s->meter->references = 1;
    s->last = &s->first;
    snprintf(s->token, sizeof s->token, "%s", token);
    snprintf(s->key, sizeof s->key, "%s", guest->key);
    s->detached_ms = ipp_now_ms();
    HASH_ADD_STR(b->sessions, token, s);
    return s;
}

static void detach(struct bridge *b, struct session *s)
{
    if (!s->peer)
        return;
    HASH_DELETE(hh_peer, b->sessions_by_peer, s);
    ipp_frame_unref(s->peer);
    s->peer = NULL;
    s->detached_ms = ipp_now_ms();
}

void session_end(struct bridge *b, struct session *s)
{
    struct pending *p, *next;
    detach(b, s);
    HASH_DELETE(hh, b->sessions, s);
    transfers_forget(b, s);
    HASH_ITER(hh, b->pending, p, next)
    {
        if (p->from.session == s)
            p->from.session = NULL;
    }
    for (struct queue_query *query = b->queries; query; query = query->next)
        if (query->from.session == s)
            query->from.session = NULL;
    session_free(s);
}

void sessions_end_all(struct bridge *b)
{
    while (b->sessions)
        session_end(b, b->sessions);
}

int session_attach(struct bridge *b, struct session *s, int socket, ipp_frame_t *peer)
{
    detach(b, s);
    s->socket = socket;
    s->peer = ipp_frame_ref(peer);
    s->peer_key_size = peer_key(s->peer_key, socket, peer);
    s->said_ms = ipp_now_ms();
    HASH_ADD_KEYPTR(hh_peer, b->sessions_by_peer, s->peer_key, s->peer_key_size, s);
    return 0;
}

/* ---- what comes ---- */

void session_acknowledged(struct session *s, uint64_t sequence)
{
    while (s->first && s->first->sequence <= sequence) {
        struct kept *kept = s->first;
        s->first = kept->next;
        s->kept_size -= kept->size;
        ipp_frames_clear(&kept->frames);
        free(kept);
    }
    if (!s->first)
        s->last = &s->first;
}

/* A buffer that the meter counts until nobody needs it any more. */
struct metered {
    struct meter *meter;
    ipp_frame_t *frame;
};

static void metered_free(void *data, void *arg)
{
    struct metered *metered = arg;
    (void)data;
    metered->meter->size -= ipp_frame_size(metered->frame);
    meter_drop(metered->meter);
    ipp_frame_unref(metered->frame);
    free(metered);
}

/* Where memory ends it goes uncounted. */
static ipp_frame_t *meter_frame(struct meter *meter, ipp_frame_t *frame)
{
    struct metered *metered = malloc(sizeof *metered);
    ipp_frame_t *counted = metered ? ipp_frame_adopt(ipp_frame_data(frame), ipp_frame_size(frame),
                                                     metered_free, metered)
                                   : NULL;
    if (!counted) {
        free(metered);
        return frame;
    }
    *metered = (struct metered){ .meter = meter, .frame = frame };
    meter->references++;
    meter->size += ipp_frame_size(frame);
    return counted;
}

void session_took(struct session *s, wire_msg_t *msg)
{
    s->received++;
    s->owed_messages++;
    s->owed_size += ipp_frames_bytes(&msg->buffers);
    for (size_t i = 0; i < msg->buffers.count; i++)
        if (ipp_frame_size(msg->buffers.at[i]) >= METERED_BYTES)
            msg->buffers.at[i] = meter_frame(s->meter, msg->buffers.at[i]);
}

uint64_t session_may_acknowledge(const struct session *s)
{
    return s->meter->size > INSIDE_BYTES ? s->acknowledged : s->received;
}

/* ---- what goes ---- */

static uint64_t acknowledge(struct session *s)
{
    s->acknowledged = session_may_acknowledge(s);
    if (s->acknowledged == s->received) {
        s->owed_messages = 0;
        s->owed_size = 0;
    }
    return s->acknowledged;
}

/* Sends to the connection, if there is one; empties `frames`. */
static void send_now(struct bridge *b, struct session *s, ipp_frames_t *frames)
{
    ipp_frames_t out = { 0 };
    if (s->peer && ipp_frames_push(&out, ipp_frame_ref(s->peer)) == 0 &&
        ipp_frames_share(&out, frames, 0) == 0) {
        s->said_ms = ipp_now_ms();
        if (sockets_send(b->sockets, s->socket, &out) < 0) {
            ipp_log(IPP_LOG_DEBUG, "a steering client is gone: %s", strerror(errno));
            detach(b, s);
        }
    }
    ipp_frames_clear(&out);
    ipp_frames_clear(frames);
}

/* The pack of [channel head topic delimiter ...] of [header parent metadata content buffers...],
 * and the large buffers behind. */
static int pack(struct bridge *b, ipp_frames_t *out, enum wire_channel channel,
                const struct wire_head *head, ipp_frame_t *topic, const ipp_frames_t *frames)
{
    const char *name = wire_channel_name(channel);
    wire_msg_t msg = { .header = frames->at[0],
                       .parent = frames->at[1],
                       .metadata = frames->at[2],
                       .content = frames->at[3] };
    int bad = ipp_frames_push_copy(&msg.identities, name, strlen(name));
    bad |= ipp_frames_push(&msg.identities, wire_head_frame(head));
    if (topic)
        bad |= ipp_frames_push(&msg.identities, ipp_frame_ref(topic));
    bad |= ipp_frames_share(&msg.buffers, frames, 4);
    size_t first = out->count;
    if (!bad)
        bad = wire_encode(out, &msg, b->unsigned_signer) || wire_pack(out, first);
    ipp_frames_clear(&msg.identities);
    ipp_frames_clear(&msg.buffers);
    return bad ? -1 : 0;
}

void session_say(struct bridge *b, int socket, ipp_frame_t *peer, uint64_t acknowledged,
                 uint32_t flags, ipp_frames_t *frames)
{
    struct wire_head head = { .acknowledged = acknowledged, .engine = -1, .flags = flags };
    ipp_frames_t out = { 0 };
    if (ipp_frames_push(&out, ipp_frame_ref(peer)) == 0 &&
        pack(b, &out, WIRE_SESSION, &head, NULL, frames) == 0)
        sockets_send(b->sockets, socket, &out);
    ipp_frames_clear(&out);
    ipp_frames_clear(frames);
}

/* The next message of the session's stream: kept, and sent where there is a connection. */
static void send_numbered(struct bridge *b, struct session *s, enum wire_channel channel,
                          struct wire_head *head, ipp_frame_t *topic, const ipp_frames_t *frames)
{
    struct kept *kept = calloc(1, sizeof *kept);
    head->sequence = ++s->sent;
    head->acknowledged = acknowledge(s);
    if (!kept || pack(b, &kept->frames, channel, head, topic, frames) < 0) {
        ipp_log(IPP_LOG_ERROR, "a steering client's session ends: no memory for what it is owed");
        free(kept);
        s->broken = true;
        return;
    }
    kept->sequence = s->sent;
    kept->size = ipp_frames_bytes(&kept->frames);
    *s->last = kept;
    s->last = &kept->next;
    s->kept_size += kept->size;
    ipp_frames_t out = { 0 };
    if (ipp_frames_share(&out, &kept->frames, 0) == 0)
        send_now(b, s, &out);
}

void session_resend(struct bridge *b, struct session *s)
{
    for (struct kept *kept = s->first; kept && s->peer; kept = kept->next) {
        ipp_frames_t out = { 0 };
        if (ipp_frames_share(&out, &kept->frames, 0) == 0)
            send_now(b, s, &out);
    }
}

void session_answer(struct bridge *b, const struct origin *to, int engine, int status, bool last,
                    ipp_frames_t *frames)
{
    struct wire_head head = { .request = to->sequence,
                              .engine = engine,
                              .flags = (last ? WIRE_HEAD_LAST : 0u) |
                                       (status == LINK_ERROR     ? WIRE_HEAD_ERROR
                                        : status == LINK_ABORTED ? WIRE_HEAD_ABORTED
                                                                 : 0u) };
    send_numbered(b, to->session, to->channel, &head, NULL, frames);
    ipp_frames_clear(frames);
}

/* Metadata that says how much is missing before this message. NULL: ENOMEM. */
static ipp_frame_t *with_lost(ipp_frame_t *metadata, uint64_t lost)
{
    json_t *object = wire_json_read(metadata, NULL);
    json_object_set_new(object, "lost", json_integer((json_int_t)lost));
    return wire_json_frame_new(object);
}

void session_publish(struct bridge *b, struct session *s, uint64_t request, int engine,
                     ipp_frame_t *topic, const ipp_frames_t *frames)
{
    struct wire_head head = { .request = request, .engine = engine };
    ipp_frames_t told = { 0 };
    if (s->kept_size > SLOW_BYTES || ipp_frames_share(&told, frames, 0) < 0) {
        s->lost++;
        return;
    }
    ipp_frame_t *metadata = s->lost ? with_lost(told.at[2], s->lost) : NULL;
    if (metadata) {
        ipp_frame_unref(told.at[2]);
        told.at[2] = metadata;
        s->lost = 0;
    }
    send_numbered(b, s, WIRE_IOPUB, &head, topic, &told);
    ipp_frames_clear(&told);
}

/* ---- now and then ---- */

static void send_acknowledgement(struct bridge *b, struct session *s)
{
    struct wire_head head = { .acknowledged = acknowledge(s), .engine = -1 };
    const char *name = wire_channel_name(WIRE_ACK);
    ipp_frames_t out = { 0 };
    if (ipp_frames_push_copy(&out, name, strlen(name)) == 0 &&
        ipp_frames_push(&out, wire_head_frame(&head)) == 0 && wire_pack(&out, 0) == 0)
        send_now(b, s, &out);
    ipp_frames_clear(&out);
}

static int64_t away_ms(const struct bridge *b)
{
    int seconds = b->options->session_timeout_s;
    return seconds > 0 ? (int64_t)seconds * 1000 : AWAY_MS;
}

/* Only a message shows that a client is gone. */
static int64_t ping_ms(const struct bridge *b)
{
    return away_ms(b) < PING_MS ? away_ms(b) : PING_MS;
}

static void acknowledge_when_due(struct bridge *b, struct session *s, int64_t now)
{
    bool owed = s->owed_messages >= WIRE_ACK_MESSAGES || s->owed_size >= WIRE_ACK_BYTES;
    if (s->peer &&
        ((owed && session_may_acknowledge(s) > s->acknowledged) || now - s->said_ms >= ping_ms(b)))
        send_acknowledgement(b, s);
}

static bool is_over(struct bridge *b, const struct session *s, int64_t now)
{
    if (s->broken || !access_find(&b->access, s->key))
        return true;
    return !s->peer && (now - s->detached_ms >= away_ms(b) || s->kept_size > AWAY_BYTES);
}

static void end_over(struct bridge *b, struct session *s)
{
    enum audit_reason why;
    const struct guest *guest = access_find(&b->access, s->key);
    const char *reason = s->broken ? "no memory" : guest ? "gone" : "expired";
    if (!guest)
        guest = access_find_former(&b->access, s->key, &why);
    feed_event(b, "detached", false,
               json_pack("{s:s, s:s}", "name", guest ? guest->name : "?", "reason", reason));
    if (s->peer)
        attach_refuse(b, s->socket, s->peer, "PermissionError",
                      s->broken ? "the bridge has no memory for this session"
                                : "the invitation was revoked, or has expired");
    session_end(b, s);
}

int sessions_tick(struct bridge *b)
{
    struct session *s, *next;
    int64_t now = b->sessions ? ipp_now_ms() : 0;
    HASH_ITER(hh, b->sessions, s, next)
    {
        if (is_over(b, s, now))
            end_over(b, s);
        else
            acknowledge_when_due(b, s, now);
    }
    return b->sessions ? LOOK_MS : -1;
}
