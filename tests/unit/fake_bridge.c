/* SPDX-License-Identifier: BSD-3-Clause
 * The made-up bridge: one thread, one ROUTER, one session. */
#include "fake_bridge.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "wire/wire.h"

/* A numbered message that the client has not acknowledged. */
struct kept {
    struct kept *next;
    struct wire_head head;
    ipp_frames_t frames; /* channel, head, ... */
};

struct fake_bridge {
    struct fake_options options;
    struct fake_seen seen;
    void *context, *router, *zap;
    char endpoint[128];
    char server_public[41], server_secret[41], other_public[41];
    char client_public[41], client_secret[41];
    pthread_t thread;
    pthread_mutex_t lock; /* held by the thread but while it waits */
    int wake_fd;
    bool stop, mute, deaf;
    /* the session */
    char token[WIRE_TOKEN_LEN + 1];
    ipp_frame_t *peer;
    uint64_t received, sent;
    struct kept *kept, **kept_end;
    size_t transferred; /* bytes of the transfer under way */
};

/* ---- sockets ---- */

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* Binds where it was bound before, or anywhere at first. The port may take a moment to be free. */
static void open_router(struct fake_bridge *f)
{
    f->router = zmq_socket(f->context, ZMQ_ROUTER);
    set_int(f->router, ZMQ_LINGER, 0);
    set_int(f->router, ZMQ_SNDHWM, 0);
    set_int(f->router, ZMQ_RCVHWM, 0);
    if (!f->options.ipc) {
        set_int(f->router, ZMQ_CURVE_SERVER, 1);
        zmq_setsockopt(f->router, ZMQ_CURVE_SECRETKEY, f->server_secret, 41);
        zmq_setsockopt(f->router, ZMQ_ZAP_DOMAIN, "x", 1);
    }
    int64_t end = ipp_now_ms() + 5000;
    while (zmq_bind(f->router, f->endpoint) < 0)
        ck_assert_msg(ipp_now_ms() < end, "%s: %s", f->endpoint, zmq_strerror(errno));
    size_t size = sizeof f->endpoint;
    zmq_getsockopt(f->router, ZMQ_LAST_ENDPOINT, f->endpoint, &size);
}

static void close_router(struct fake_bridge *f)
{
    if (f->router)
        zmq_close(f->router);
    f->router = NULL;
    ipp_frame_unref(f->peer);
    f->peer = NULL;
}

static void answer_zap(struct fake_bridge *f)
{
    ipp_frames_t frames = { 0 };
    while (wire_socket_receive(f->zap, &frames, NULL) == 1) {
        ipp_frames_t reply = { 0 };
        const char *texts[] = { f->options.refuse_key ? "400" : "200", "", "", "" };
        ipp_frames_push(&reply, ipp_frame_ref(frames.at[0])); /* identity */
        ipp_frames_push_copy(&reply, "", 0);
        ipp_frames_push(&reply, ipp_frame_ref(frames.at[2])); /* version */
        ipp_frames_push(&reply, ipp_frame_ref(frames.at[3])); /* request id */
        for (int i = 0; i < 4; i++)
            ipp_frames_push_copy(&reply, texts[i], strlen(texts[i]));
        wire_socket_send(f->zap, &reply);
        ipp_frames_clear(&frames);
    }
}

/* ---- sending ---- */

static void send_now(struct fake_bridge *f, const struct wire_head *head, const ipp_frames_t *from)
{
    ipp_frames_t frames = { 0 };
    struct wire_head stamped = *head;
    if (!f->router || !f->peer)
        return;
    stamped.acknowledged = f->received;
    ipp_frames_push(&frames, ipp_frame_ref(f->peer));
    ipp_frames_push(&frames, ipp_frame_ref(from->at[0]));
    ipp_frames_push(&frames, wire_head_frame(&stamped));
    ipp_frames_share(&frames, from, 2);
    wire_pack(&frames, 1);
    wire_socket_send(f->router, &frames);
    f->seen.unanswered_bytes = 0;
}

/* channel, a place for the head, and the message's frames. */
static void make(ipp_frames_t *frames, const char *channel, const char *topic, const char *type,
                 ipp_frame_t *parent, ipp_frame_t *content)
{
    ipp_frames_push_copy(frames, channel, strlen(channel));
    ipp_frames_push_copy(frames, "", 0);
    if (topic)
        ipp_frames_push_copy(frames, topic, strlen(topic));
    ipp_frames_push_copy(frames, "<IDS|MSG>", 9);
    ipp_frames_push_copy(frames, "", 0);
    wire_headers_t *headers = wire_headers_create("bridge");
    ipp_frames_push(frames, wire_headers_next(headers, type));
    wire_headers_destroy(headers);
    ipp_frames_push(frames, parent ? ipp_frame_ref(parent) : ipp_frame_copy("{}", 2));
    ipp_frames_push_copy(frames, "{\"engine\": \"uuid\"}", 18);
    ipp_frames_push(frames, content);
}

/* Numbers, keeps and sends; takes the frames. */
static void post(struct fake_bridge *f, struct wire_head head, ipp_frames_t *frames)
{
    struct kept *kept = calloc(1, sizeof *kept);
    head.sequence = ++f->sent;
    kept->head = head;
    kept->frames = *frames;
    *f->kept_end = kept;
    f->kept_end = &kept->next;
    if (!f->mute)
        send_now(f, &kept->head, &kept->frames);
}

static void drop_kept(struct fake_bridge *f, uint64_t acknowledged)
{
    while (f->kept && f->kept->head.sequence <= acknowledged) {
        struct kept *kept = f->kept;
        f->kept = kept->next;
        ipp_frames_clear(&kept->frames);
        free(kept);
    }
    if (!f->kept)
        f->kept_end = &f->kept;
    if (acknowledged > f->seen.acknowledged && acknowledged <= f->sent)
        f->seen.acknowledged = acknowledged;
}

static void send_kept(struct fake_bridge *f)
{
    for (struct kept *kept = f->kept; kept; kept = kept->next)
        send_now(f, &kept->head, &kept->frames);
}

/* ---- requests ---- */

static void attach(struct fake_bridge *f, ipp_frame_t *peer, const wire_msg_t *msg)
{
    json_t *content = wire_json_read(msg->content, NULL);
    const char *token = wire_json_string(content, "token", "");
    bool resume = json_is_true(json_object_get(content, "resume"));
    bool known = strcmp(token, f->token) == 0 && !f->options.forgetful;
    ck_assert_uint_eq(strlen(token), WIRE_TOKEN_LEN);
    ipp_frame_unref(f->peer);
    f->peer = ipp_frame_ref(peer);
    f->seen.attached++;
    if (!known) {
        f->received = f->sent = 0;
        drop_kept(f, UINT64_MAX);
        strcpy(f->token, token);
    }
    drop_kept(f, (uint64_t)json_integer_value(json_object_get(content, "received")));
    json_t *reply = f->options.attach_error
                        ? json_pack("{s:s, s:s, s:s}", "status", "error", "ename",
                                    f->options.attach_error, "evalue", "as the test wants it")
                        : json_pack("{s:s, s:i, s:s, s:b, s:I, s:{s:{s:s}, s:{s:s}, s:{s:s}}}",
                                    "status", "ok", "protocol", 1, "role", "owner", "resumed",
                                    resume && known, "received", (json_int_t)f->received, "engines",
                                    "0", "host", "a", "10", "host", "b", "9", "host", "c");
    ipp_frames_t frames = { 0 };
    make(&frames, "session", NULL, "attach_reply", msg->header, wire_json_frame_new(reply));
    send_now(f, &(struct wire_head){ .engine = -1 }, &frames);
    ipp_frames_clear(&frames);
    json_decref(content);
    send_kept(f);
}

static void output(struct fake_bridge *f, uint64_t request, const wire_msg_t *msg, const char *text)
{
    ipp_frames_t frames = { 0 };
    json_t *content = json_pack("{s:s, s:s}", "name", "stdout", "text", text);
    make(&frames, "iopub", "engine.0.stream", "stream", msg->header, wire_json_frame_new(content));
    post(f, (struct wire_head){ .request = request }, &frames);
}

/* An echo of content and buffers from engine `engine`. */
static void echo(struct fake_bridge *f, const char *channel, uint64_t request,
                 const wire_msg_t *msg, int engine, bool last)
{
    ipp_frames_t frames = { 0 };
    json_t *metadata = wire_json_read(msg->metadata, NULL);
    bool fail = json_object_get(metadata, "fail"), aborted = json_object_get(metadata, "abort");
    make(&frames, channel, NULL, "reply", msg->header, ipp_frame_ref(msg->content));
    ipp_frames_share(&frames, &msg->buffers, 0);
    post(f,
         (struct wire_head){ .request = request,
                             .engine = engine,
                             .flags = (last ? WIRE_HEAD_LAST : 0u) | (fail ? WIRE_HEAD_ERROR : 0u) |
                                      (aborted ? WIRE_HEAD_ABORTED : 0u) },
         &frames);
    json_decref(metadata);
}

/* One answer from engine 0; to all, one each from 10, 0 and 9, in that order. */
static void answer(struct fake_bridge *f, const char *channel, uint64_t request,
                   const wire_msg_t *msg)
{
    json_t *metadata = wire_json_read(msg->metadata, NULL);
    const char *type = wire_json_string(msg->header_json, "msg_type", "");
    bool all = strcmp(wire_json_string(metadata, "targets", ""), "all") == 0;
    f->seen.detached |= strcmp(type, "detach_request") == 0;
    if (strcmp(type, "execute_request") == 0)
        output(f, request, msg, "printed\n");
    if (json_object_get(metadata, "transfer")) {
        json_t *transfer = json_object_get(metadata, "transfer"), *size;
        size_t i, total = 0;
        json_array_foreach(json_object_get(transfer, "sizes"), i, size) total +=
            (size_t)json_integer_value(size);
        ck_assert_uint_eq(total, f->transferred);
        f->transferred = 0;
    }
    if (all && strcmp(channel, "engines") == 0) {
        echo(f, channel, request, msg, 10, false);
        echo(f, channel, request, msg, 0, false);
        echo(f, channel, request, msg, 9, true);
    } else {
        echo(f, channel, request, msg, 0, true);
    }
    json_decref(metadata);
}

static void chunk(struct fake_bridge *f, const wire_msg_t *msg)
{
    json_t *content = wire_json_read(msg->content, NULL);
    size_t size = ipp_frame_size(msg->buffers.at[0]);
    ck_assert_uint_eq(msg->buffers.count, 1);
    ck_assert_uint_le(size, WIRE_CHUNK_BYTES);
    ck_assert_uint_eq((size_t)json_integer_value(json_object_get(content, "offset")),
                      f->transferred);
    f->transferred += size;
    f->seen.chunks++;
    f->seen.chunk_bytes += size;
    json_decref(content);
}

static void numbered(struct fake_bridge *f, const struct wire_head *head, const char *channel,
                     const wire_msg_t *msg, size_t bytes)
{
    if (head->sequence <= f->received) {
        f->seen.duplicates++;
        return;
    }
    ck_assert_uint_eq(head->sequence, f->received + 1);
    f->received++;
    f->seen.unanswered_bytes += bytes;
    ck_assert_uint_le(f->seen.unanswered_bytes, WIRE_WINDOW_BYTES + 65536);
    if (strcmp(channel, "chunk") == 0) {
        chunk(f, msg);
        if (!f->mute) {
            ipp_frames_t frames = { 0 };
            ipp_frames_push_copy(&frames, "ack", 3);
            ipp_frames_push_copy(&frames, "", 0);
            send_now(f, &(struct wire_head){ 0 }, &frames);
            ipp_frames_clear(&frames);
        }
        return;
    }
    f->seen.requests++;
    answer(f, channel, head->sequence, msg);
}

/* identity, channel, head, and what else. */
static void take(struct fake_bridge *f, ipp_frames_t *frames)
{
    char channel[32] = "";
    struct wire_head head;
    wire_msg_t msg = { 0 };
    ck_assert_uint_ge(frames->count, 3);
    ck_assert_int_eq(wire_head_read(&head, frames->at[2]), 0);
    snprintf(channel, sizeof channel, "%.*s", (int)ipp_frame_size(frames->at[1]),
             (char *)ipp_frame_data(frames->at[1]));
    if (f->deaf)
        return;
    drop_kept(f, head.acknowledged);
    if (strcmp(channel, "ack") == 0) {
        ck_assert_uint_eq(frames->count, 3);
        f->seen.acks++;
        return;
    }
    wire_signer_t *signer = wire_signer_create("", 0);
    size_t bytes = ipp_frames_bytes(frames);
    ipp_frame_t *peer = ipp_frame_ref(frames->at[0]);
    ck_assert_int_eq(wire_decode(&msg, frames, signer, NULL), 0);
    const char *type = wire_json_string(msg.header_json, "msg_type", "");
    if (strcmp(type, "attach_request") == 0)
        attach(f, peer, &msg);
    else
        numbered(f, &head, channel, &msg, bytes);
    ipp_frame_unref(peer);
    wire_msg_clear(&msg);
    wire_signer_destroy(signer);
}

/* ---- the thread ---- */

static int descriptor(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

static void *run(void *arg)
{
    struct fake_bridge *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        ipp_frames_t frames = { 0 };
        answer_zap(f);
        while (f->router && wire_socket_receive(f->router, &frames, NULL) == 1) {
            ck_assert_int_eq(wire_unpack(&frames, 1), 0);
            take(f, &frames);
            ipp_frames_clear(&frames);
        }
        /* Descriptors alone: while we wait the sockets are the test's thread's. */
        struct pollfd fds[3] = { { .fd = f->wake_fd, .events = POLLIN },
                                 { .fd = descriptor(f->zap), .events = POLLIN },
                                 { .fd = f->router ? descriptor(f->router) : -1,
                                   .events = POLLIN } };
        pthread_mutex_unlock(&f->lock);
        poll(fds, 3, -1);
        pthread_mutex_lock(&f->lock);
        eventfd_t count;
        eventfd_read(f->wake_fd, &count);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- from the test's thread ---- */

static void begin(struct fake_bridge *f)
{
    eventfd_write(f->wake_fd, 1);
    pthread_mutex_lock(&f->lock);
}

static void end(struct fake_bridge *f)
{
    eventfd_write(f->wake_fd, 1);
    pthread_mutex_unlock(&f->lock);
}

static void write_file(struct fake_bridge *f, const char *path)
{
    ipp_err_t err;
    char *port = strrchr(f->endpoint, ':');
    wire_connection_t c = { .interface = "tcp://127.0.0.1",
                            .location = f->options.location ? (char *)(uintptr_t)f->options.location
                                                            : "localhost",
                            .key = "k",
                            .cluster_id = "",
                            .python = "3.11.2",
                            .engines = 3,
                            .pid = 1 };
    for (int i = 0; i < WIRE_PORTS; i++)
        c.ports[i] = 1000 + i;
    c.steering.protocol = f->options.protocol_in_file ? f->options.protocol_in_file : 1;
    c.steering.port = f->options.ipc ? 1 : atoi(port + 1);
    c.steering.ipc = f->options.ipc ? f->endpoint : "";
    strcpy(c.steering.server_key, f->options.wrong_key ? f->other_public : f->server_public);
    strcpy(c.steering.public_key, f->client_public);
    strcpy(c.steering.secret_key, f->client_secret);
    ck_assert_msg(wire_connection_write(path, &c, &err) == 0, "%s", err.text);
}

struct fake_bridge *fake_start(const char *path, const struct fake_options *options)
{
    char other_secret[41];
    struct fake_bridge *f = calloc(1, sizeof *f);
    f->options = *options;
    f->kept_end = &f->kept;
    f->context = zmq_ctx_new();
    f->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&f->lock, NULL);
    zmq_curve_keypair(f->server_public, f->server_secret);
    zmq_curve_keypair(f->client_public, f->client_secret);
    zmq_curve_keypair(f->other_public, other_secret);
    f->zap = zmq_socket(f->context, ZMQ_ROUTER);
    set_int(f->zap, ZMQ_LINGER, 0);
    ck_assert_int_eq(zmq_bind(f->zap, "inproc://zeromq.zap.01"), 0);
    if (options->ipc)
        snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s.socket", path);
    else
        strcpy(f->endpoint, "tcp://127.0.0.1:*");
    open_router(f);
    write_file(f, path);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

void fake_stop(struct fake_bridge *f)
{
    begin(f);
    f->stop = true;
    end(f);
    pthread_join(f->thread, NULL);
    close_router(f);
    zmq_close(f->zap);
    zmq_ctx_term(f->context);
    drop_kept(f, UINT64_MAX);
    close(f->wake_fd);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

struct fake_seen fake_look(struct fake_bridge *f)
{
    begin(f);
    struct fake_seen seen = f->seen;
    end(f);
    return seen;
}

void fake_close(struct fake_bridge *f)
{
    begin(f);
    close_router(f);
    end(f);
}

void fake_cut(struct fake_bridge *f)
{
    begin(f);
    close_router(f);
    open_router(f);
    end(f);
}

void fake_mute(struct fake_bridge *f, bool mute)
{
    begin(f);
    if (f->mute && !mute)
        send_kept(f);
    f->mute = mute;
    end(f);
}

void fake_deaf(struct fake_bridge *f, bool deaf)
{
    begin(f);
    f->deaf = deaf;
    end(f);
}

void fake_event(struct fake_bridge *f, const char *content)
{
    ipp_frames_t frames = { 0 };
    begin(f);
    make(&frames, "iopub", "event", "event", NULL, ipp_frame_copy(content, strlen(content)));
    post(f, (struct wire_head){ .engine = -1 }, &frames);
    end(f);
}

void fake_repeat(struct fake_bridge *f)
{
    begin(f);
    send_kept(f);
    end(f);
}

void fake_disown(struct fake_bridge *f, const char *ename)
{
    ipp_frames_t frames = { 0 };
    begin(f);
    make(&frames, "session", NULL, "attach_reply", NULL,
         wire_json_frame_new(
             json_pack("{s:s, s:s, s:s}", "status", "error", "ename", ename, "evalue", "unasked")));
    send_now(f, &(struct wire_head){ .engine = -1 }, &frames);
    ipp_frames_clear(&frames);
    end(f);
}
