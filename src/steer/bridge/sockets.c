/* SPDX-License-Identifier: BSD-3-Clause
 * ZeroMQ: the sockets that an ipyparallel client connects. */
#include "steer/bridge/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

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
    void *at[WIRE_PORTS];
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

sockets_t *sockets_open(const char *ip, int ports[WIRE_PORTS], ipp_err_t *err)
{
    sockets_t *s = calloc(1, sizeof *s);
    if (!s || !(s->context = zmq_ctx_new())) {
        ipp_err(err, ENOMEM, "no memory for sockets");
        goto error;
    }
    for (int channel = 0; channel < WIRE_PORTS; channel++)
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
    for (int channel = 0; channel < WIRE_PORTS; channel++)
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
    zmq_pollitem_t items[WIRE_PORTS + 1];
    int count = 0, channels[WIRE_PORTS];
    for (int channel = 0; channel < WIRE_PORTS; channel++) {
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

int sockets_receive(sockets_t *s, enum wire_channel channel, ipp_frames_t *frames)
{
    return wire_socket_receive(s->at[channel], frames);
}

int sockets_send(sockets_t *s, enum wire_channel channel, ipp_frames_t *frames)
{
    return wire_socket_send(s->at[channel], frames);
}
