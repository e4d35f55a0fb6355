/* SPDX-License-Identifier: BSD-3-Clause
 * ZeroMQ: the sockets that an ipyparallel client connects. */
#include "steer/bridge/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

/* Smaller frames are copied: two allocations of ZeroMQ's own cost more. */
#define COPY_BYTES 4096
/* Messages that may wait for one slow subscriber of iopub or notification before it loses some. */
#define PUBLISH_QUEUE 10000
/* A client's host that fell silent is asked after IDLE s, then each INTERVAL s; with PROBES of them
 * unanswered its connection goes after 15 minutes, about when the kernel gives up data that nobody
 * acknowledges. A laptop may sleep for less. */
#define KEEPALIVE_IDLE_S 300
#define KEEPALIVE_INTERVAL_S 60
#define KEEPALIVE_PROBES 10

struct sockets {
    void *context;
    void *at[WIRE_CHANNELS];
};

static bool publishes(int channel)
{
    return channel == WIRE_IOPUB || channel == WIRE_NOTIFICATION;
}

/* Subscriptions to iopub are of interest: see gate.c. */
static int socket_type(int channel)
{
    return channel == WIRE_IOPUB ? ZMQ_XPUB : channel == WIRE_NOTIFICATION ? ZMQ_PUB : ZMQ_ROUTER;
}

/* A frame that claims more than half of the machine's memory is no frame. */
static int64_t largest_frame(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int keep_alive(void *socket)
{
    int bad = set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    bad |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    bad |= set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    return bad | set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES);
}

static int configure(void *socket, int channel)
{
    int64_t largest = largest_frame();
    int bad = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
    bad |= keep_alive(socket);
    bad |= set_int(socket, ZMQ_LINGER, 0);
    /* Replies are bounded by the requests they answer: none is dropped. Requests wait in the
     * kernel, then at the client. */
    bad |= set_int(socket, ZMQ_SNDHWM, publishes(channel) ? PUBLISH_QUEUE : 0);
    if (channel == WIRE_IOPUB)
        bad |=
            set_int(socket, ZMQ_XPUB_VERBOSE, 1); /* each one, also of a topic that others have */
    if (!publishes(channel))
        bad |= set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    return bad;
}

static int bind_channel(sockets_t *s, int channel, const char *ip, int *port, ipp_err_t *err)
{
    char endpoint[300];
    size_t size = sizeof endpoint;
    s->at[channel] = zmq_socket(s->context, socket_type(channel));
    if (!s->at[channel] || configure(s->at[channel], channel) < 0)
        return ipp_err(err, errno, "cannot make a socket: %s", zmq_strerror(errno));
    snprintf(endpoint, sizeof endpoint, "tcp://%s:*", ip);
    if (zmq_bind(s->at[channel], endpoint) < 0)
        return ipp_err(err, errno,
                       "cannot listen on %s: %s; give an address of this host with --ip", ip,
                       zmq_strerror(errno));
    if (zmq_getsockopt(s->at[channel], ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        return ipp_err(err, errno, "cannot read a socket's port: %s", zmq_strerror(errno));
    *port = atoi(strrchr(endpoint, ':') + 1);
    return 0;
}

sockets_t *sockets_open(const char *ip, int ports[WIRE_CHANNELS], ipp_err_t *err)
{
    sockets_t *s = calloc(1, sizeof *s);
    if (!s || !(s->context = zmq_ctx_new())) {
        ipp_err(err, ENOMEM, "no memory for sockets");
        goto error;
    }
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        if (bind_channel(s, channel, ip, &ports[channel], err) < 0)
            goto error;
    return s;
error:
    sockets_close(s, 0);
    return NULL;
}

void sockets_close(sockets_t *s, int linger_ms)
{
    if (!s)
        return;
    int saved_errno = errno;
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        if (s->at[channel]) {
            set_int(s->at[channel], ZMQ_LINGER, linger_ms);
            zmq_close(s->at[channel]);
        }
    if (s->context)
        zmq_ctx_term(s->context);
    free(s);
    errno = saved_errno;
}

unsigned sockets_poll(sockets_t *s, int fd, int timeout_ms)
{
    zmq_pollitem_t items[WIRE_CHANNELS + 1];
    int count = 0, channels[WIRE_CHANNELS];
    for (int channel = 0; channel < WIRE_CHANNELS; channel++) {
        if (channel == WIRE_NOTIFICATION) /* nothing comes in there */
            continue;
        channels[count] = channel;
        items[count++] = (zmq_pollitem_t){ .socket = s->at[channel], .events = ZMQ_POLLIN };
    }
    items[count] = (zmq_pollitem_t){ .fd = fd, .events = ZMQ_POLLIN };
    unsigned ready = 0;
    if (zmq_poll(items, count + 1, timeout_ms) > 0)
        for (int i = 0; i < count; i++)
            if (items[i].revents & ZMQ_POLLIN)
                ready |= 1u << channels[i];
    return ready;
}

static void free_message(void *data, void *arg)
{
    (void)data;
    zmq_msg_close(arg);
    free(arg);
}

/* A frame of a message part; takes the part. NULL: ENOMEM. */
static ipp_frame_t *frame_of(zmq_msg_t *part)
{
    size_t size = zmq_msg_size(part);
    if (size <= COPY_BYTES) {
        ipp_frame_t *frame = ipp_frame_copy(zmq_msg_data(part), size);
        zmq_msg_close(part);
        return frame;
    }
    zmq_msg_t *kept = malloc(sizeof *kept);
    if (!kept) {
        zmq_msg_close(part);
        return NULL;
    }
    zmq_msg_init(kept);
    zmq_msg_move(kept, part);
    zmq_msg_close(part);
    ipp_frame_t *frame = ipp_frame_adopt(zmq_msg_data(kept), size, free_message, kept);
    if (!frame)
        free_message(NULL, kept);
    return frame;
}

int sockets_receive(sockets_t *s, enum wire_channel channel, ipp_frames_t *frames)
{
    bool more = true, whole = true;
    for (bool first = true; more; first = false) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, s->at[channel], ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            if (!first)
                ipp_log(IPP_LOG_ERROR, "a message broke off: %s", zmq_strerror(errno));
            return 0;
        }
        more = zmq_msg_more(&part);
        whole &= ipp_frames_push(frames, frame_of(&part)) == 0;
    }
    if (!whole) { /* no memory for some of it: the rest is of no use */
        ipp_log(IPP_LOG_ERROR, "a message is dropped: no memory");
        ipp_frames_clear(frames);
        return sockets_receive(s, channel, frames);
    }
    return 1;
}

static void unref_frame(void *data, void *frame)
{
    (void)data;
    ipp_frame_unref(frame);
}

static int message_of(zmq_msg_t *part, ipp_frame_t *frame)
{
    size_t size = ipp_frame_size(frame);
    if (size > COPY_BYTES) {
        if (zmq_msg_init_data(part, ipp_frame_data(frame), size, unref_frame,
                              ipp_frame_ref(frame)) == 0)
            return 0;
        ipp_frame_unref(frame);
        return -1;
    }
    if (zmq_msg_init_size(part, size) < 0)
        return -1;
    memcpy(zmq_msg_data(part), ipp_frame_data(frame), size);
    return 0;
}

int sockets_send(sockets_t *s, enum wire_channel channel, ipp_frames_t *frames)
{
    int result = 0;
    for (size_t i = 0; i < frames->count && result == 0; i++) {
        zmq_msg_t part;
        int flags = ZMQ_DONTWAIT | (i + 1 < frames->count ? ZMQ_SNDMORE : 0);
        if (message_of(&part, frames->at[i]) < 0) {
            result = -1;
        } else if (zmq_msg_send(&part, s->at[channel], flags) < 0) {
            int saved_errno = errno;
            zmq_msg_close(&part);
            errno = saved_errno;
            result = -1;
        }
    }
    int saved_errno = errno;
    ipp_frames_clear(frames);
    errno = saved_errno;
    return result;
}
