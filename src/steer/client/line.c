/* SPDX-License-Identifier: BSD-3-Clause
 * One ZeroMQ connection to the bridge: a DEALER that connects once, and the monitor that says what
 * became of it. Connecting again is the session's business: it has to attach first. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define HEARTBEAT_MS 5000
/* Data on its way to a host that does not take it for so long breaks the connection. A timeout of
 * ZeroMQ's own would also break it in the middle of a frame that takes longer. */
#define SILENCE_MS 15000
#define CONNECT_MS 5000
#define HANDSHAKE_MS 10000
/* In effect never: who is connected has to attach, so the session makes new connections. Told not
 * to connect again at all (-1), ZeroMQ 4.3 drops the pipe between two parts of a message that is
 * being read, and aborts. */
#define RECONNECT_MS (24 * 3600 * 1000)

#define MONITOR "inproc://ippsteer-monitor"
#define DELIMITER "<IDS|MSG>"
/* Messages of more frames are rare. */
#define FEW_FRAMES 16

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_keys(void *dealer, const struct wire_steering *keys)
{
    return zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, keys->server_key, WIRE_Z85_LEN + 1) |
           zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, keys->public_key, WIRE_Z85_LEN + 1) |
           zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, keys->secret_key, WIRE_Z85_LEN + 1);
}

/* The window bounds what is queued, in both directions, so ZeroMQ's own limits are off: a full
 * queue would stop its heartbeats. */
static int set_up(void *dealer, const struct place *place)
{
    int bad = set_int(dealer, ZMQ_LINGER, 0) | set_int(dealer, ZMQ_SNDHWM, 0) |
              set_int(dealer, ZMQ_RCVHWM, 0) | set_int(dealer, ZMQ_RECONNECT_IVL, RECONNECT_MS) |
              set_int(dealer, ZMQ_CONNECT_TIMEOUT, CONNECT_MS) |
              set_int(dealer, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) |
              set_int(dealer, ZMQ_IPV6, place->endpoint[6] == '[');
    if (place->curve)
        bad |= set_int(dealer, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) |
               set_int(dealer, ZMQ_HEARTBEAT_TIMEOUT, 0) |
               set_int(dealer, ZMQ_TCP_MAXRT, SILENCE_MS) |
               set_keys(dealer, &place->connection.steering);
    return bad ? -1 : 0;
}

static int descriptor(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

static int watch(struct line *line, void *socket, uint32_t tag)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = tag };
    return epoll_ctl(line->epoll_fd, EPOLL_CTL_ADD, descriptor(socket), &event);
}

static void *open_monitor(struct line *line)
{
    int events = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    void *monitor = zmq_socket(line->context, ZMQ_PAIR);
    if (monitor && set_int(monitor, ZMQ_LINGER, 0) == 0 &&
        zmq_socket_monitor(line->dealer, MONITOR, events) == 0 &&
        zmq_connect(monitor, MONITOR) == 0)
        return monitor;
    if (monitor)
        zmq_close(monitor);
    return NULL;
}

int line_open(struct line *line, const struct place *place, ipp_err_t *err)
{
    line->dealer = zmq_socket(line->context, ZMQ_DEALER);
    line->told = true;
    if (!line->dealer)
        return ipp_err(err, errno, "no socket: %s", zmq_strerror(errno));
    if (set_up(line->dealer, place) < 0 || !(line->monitor = open_monitor(line)) ||
        watch(line, line->dealer, 0) < 0 || watch(line, line->monitor, LINE_MONITOR) < 0 ||
        zmq_connect(line->dealer, place->endpoint) < 0) {
        int code = errno;
        line_close(line);
        return ipp_err(err, code, "%s: %s", place->endpoint, zmq_strerror(code));
    }
    return 0;
}

/* Out of epoll by hand: a child of the caller's may hold a copy of the descriptor. */
static void shut(struct line *line, void **socket)
{
    if (!*socket)
        return;
    epoll_ctl(line->epoll_fd, EPOLL_CTL_DEL, descriptor(*socket), NULL);
    zmq_close(*socket);
    *socket = NULL;
}

void line_close(struct line *line)
{
    if (line->dealer)
        zmq_socket_monitor(line->dealer, NULL, 0);
    shut(line, &line->monitor);
    shut(line, &line->dealer);
}

/* ---- sending ---- */

static bool send_bytes(struct line *line, const void *data, size_t size, int more)
{
    return zmq_send(line->dealer, data, size, ZMQ_DONTWAIT | more) >= 0;
}

static void unref_frame(void *data, void *frame)
{
    (void)data;
    ipp_frame_unref(frame);
}

static bool send_frame(struct line *line, ipp_frame_t *frame, int more)
{
    zmq_msg_t part;
    if (ipp_frame_size(frame) <= WIRE_PACKED_BYTES)
        return send_bytes(line, ipp_frame_data(frame), ipp_frame_size(frame), more);
    if (zmq_msg_init_data(&part, ipp_frame_data(frame), ipp_frame_size(frame), unref_frame,
                          ipp_frame_ref(frame)) < 0) {
        ipp_frame_unref(frame);
        return false;
    }
    if (zmq_msg_send(&part, line->dealer, ZMQ_DONTWAIT | more) >= 0)
        return true;
    zmq_msg_close(&part);
    return false;
}

/* Sends the pack of the frames that `slices` show; `more` when others follow. */
static bool send_pack(struct line *line, const struct wire_slice *slices, size_t count, int more)
{
    ipp_frame_t *pack = wire_pack_slices(slices, count);
    bool fine = pack && send_frame(line, pack, more);
    ipp_frame_unref(pack);
    return fine;
}

static struct wire_slice slice_of(const char *text)
{
    return (struct wire_slice){ text, strlen(text) };
}

/* The frames that lie in the message itself, and places for the buffers beside it. Returns how many
 * of those there are. */
static uint32_t slice_buffers(struct wire_slice *slices, const struct outgoing *message,
                              const char *at)
{
    uint32_t beside = 0;
    for (uint32_t i = 0; i < message->buffer_count; i++) {
        const struct piece *piece = &message->buffers[i];
        slices[i] = (struct wire_slice){ piece->frame ? NULL : at, piece->size };
        at += piece->frame ? 0 : piece->size;
        beside += piece->frame != NULL;
    }
    return beside;
}

static bool send_buffers(struct line *line, const struct outgoing *message, uint32_t left)
{
    for (uint32_t i = 0; left > 0; i++)
        if (message->buffers[i].frame &&
            !send_frame(line, message->buffers[i].frame, --left > 0 ? ZMQ_SNDMORE : 0))
            return false;
    return true;
}

bool line_send(struct line *line, const struct outgoing *message, uint64_t acknowledged)
{
    struct wire_head head = { .sequence = message->sequence, .acknowledged = acknowledged };
    const char *metadata = message->text + message->header_size;
    const char *content = metadata + message->metadata_size;
    char head_bytes[WIRE_HEAD_BYTES];
    const struct wire_slice start[] = { slice_of(wire_channel_name(message->channel)),
                                        { head_bytes, sizeof head_bytes },
                                        slice_of(DELIMITER),
                                        slice_of(""),
                                        { message->text, message->header_size },
                                        slice_of("{}"),
                                        { metadata, message->metadata_size },
                                        { content, message->content_size } };
    size_t started = sizeof start / sizeof *start;
    struct wire_slice few[FEW_FRAMES], *slices = few;
    size_t count = started + message->buffer_count;
    if (count > FEW_FRAMES && !(slices = malloc(count * sizeof *slices)))
        return false;
    wire_head_write(head_bytes, &head);
    memcpy(slices, start, sizeof start);
    uint32_t beside = slice_buffers(slices + started, message, content + message->content_size);
    bool fine = send_pack(line, slices, count, beside > 0 ? ZMQ_SNDMORE : 0);
    if (slices != few)
        free(slices);
    return fine && send_buffers(line, message, beside);
}

bool line_send_ack(struct line *line, uint64_t acknowledged)
{
    struct wire_head head = { .acknowledged = acknowledged };
    char head_bytes[WIRE_HEAD_BYTES];
    wire_head_write(head_bytes, &head);
    const struct wire_slice slices[] = { slice_of(wire_channel_name(WIRE_ACK)),
                                         { head_bytes, sizeof head_bytes } };
    return send_pack(line, slices, 2, 0);
}

/* ---- receiving ---- */

bool line_receive(struct line *line, ipp_frames_t *frames)
{
    return line->dealer && wire_socket_receive(line->dealer, frames, NULL) == 1;
}

static bool has_input(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

bool line_ready(struct line *line)
{
    return line->dealer && (line->told || has_input(line->dealer));
}

static enum line_event event_of(unsigned event)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return LINE_REFUSED_KEY;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return LINE_NOT_OURS;
    case ZMQ_EVENT_CLOSED:
        return LINE_CLOSED;
    default:
        return LINE_BROKEN;
    }
}

enum line_event line_event(struct line *line)
{
    ipp_frames_t frames = { 0 };
    uint16_t event = 0;
    if (!line->monitor || !line->told)
        return LINE_NOTHING;
    if (wire_socket_receive(line->monitor, &frames, NULL) != 1) {
        line->told = false;
        return LINE_NOTHING;
    }
    if (ipp_frame_size(frames.at[0]) >= sizeof event)
        memcpy(&event, ipp_frame_data(frames.at[0]), sizeof event);
    ipp_frames_clear(&frames);
    return event_of(event);
}

/* ---- why not ---- */

static int probe_local(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), code = 0;
    if (fd < 0)
        return errno;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        code = errno;
    close(fd);
    return code;
}

static int probe_tcp(const char *address, int *fd)
{
    char host[64];
    bool bracketed = address[0] == '[';
    const char *port = strrchr(address, ':');
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    snprintf(host, sizeof host, "%.*s", (int)(port - address) - 2 * bracketed, address + bracketed);
    if (getaddrinfo(host, port + 1, &hints, &found) != 0)
        return EHOSTUNREACH;
    int code = 0;
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0 || connect(*fd, found->ai_addr, found->ai_addrlen) < 0)
        code = errno;
    freeaddrinfo(found);
    if (code == EINPROGRESS)
        return 0;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return code;
}

int line_probe(const struct place *place, int *fd)
{
    *fd = -1;
    return strncmp(place->endpoint, "tcp://", 6) == 0 ? probe_tcp(place->endpoint + 6, fd)
                                                      : probe_local(place->endpoint + 6);
}

bool line_probe_result(int fd, int *code)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    socklen_t size = sizeof *code;
    if (poll(&ready, 1, 0) <= 0)
        return false;
    *code = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, code, &size) < 0)
        *code = errno;
    return true;
}
