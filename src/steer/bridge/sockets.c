/* SPDX-License-Identifier: BSD-3-Clause
 * ZeroMQ: the sockets that an ipyparallel client connects, and the steering socket. */
#include "steer/bridge/sockets.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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

/* A steering client whose host does not take data for so long is cut off: it takes its session up
 * again. A heartbeat's timeout would cut off those who send a large frame by a slow line. */
#define SILENCE_MS 30000

struct sockets {
    void *context;
    void *at[SOCKETS];
    unsigned used; /* since they were last asked for input */
    int epoll_fd, other_fd;
    char folder[PATH_MAX]; /* of the local socket; "" when there is none */
};

static bool publishes(int which)
{
    return which == WIRE_IOPUB || which == WIRE_NOTIFICATION;
}

/* Subscriptions to iopub are of interest: see gate.c. */
static int socket_type(int which)
{
    return which == WIRE_IOPUB ? ZMQ_XPUB : which == WIRE_NOTIFICATION ? ZMQ_PUB : ZMQ_ROUTER;
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

static int configure(void *socket, int which)
{
    int64_t largest = largest_frame();
    int bad = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
    bad |= keep_alive(socket);
    bad |= set_int(socket, ZMQ_LINGER, 0);
    /* Replies are bounded by the requests they answer: none is dropped. Requests wait in the
     * kernel, then at the client. */
    bad |= set_int(socket, ZMQ_SNDHWM, publishes(which) ? PUBLISH_QUEUE : 0);
    if (which == WIRE_IOPUB)
        bad |=
            set_int(socket, ZMQ_XPUB_VERBOSE, 1); /* each one, also of a topic that others have */
    if (!publishes(which))
        bad |= set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    return bad;
}

static int make(sockets_t *s, int which, ipp_err_t *err)
{
    s->at[which] = zmq_socket(s->context, socket_type(which));
    if (!s->at[which] || configure(s->at[which], which) < 0)
        return ipp_err(err, errno, "cannot make a socket: %s", zmq_strerror(errno));
    return 0;
}

static int bind_port(sockets_t *s, int which, const char *ip, int *port, ipp_err_t *err)
{
    char endpoint[300];
    size_t size = sizeof endpoint;
    snprintf(endpoint, sizeof endpoint, "tcp://%s:*", ip);
    if (zmq_bind(s->at[which], endpoint) < 0)
        return ipp_err(err, errno,
                       "cannot listen on %s: %s; give an address of this host with --ip", ip,
                       zmq_strerror(errno));
    if (zmq_getsockopt(s->at[which], ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        return ipp_err(err, errno, "cannot read a socket's port: %s", zmq_strerror(errno));
    *port = atoi(strrchr(endpoint, ':') + 1);
    return 0;
}

/* ---- the steering socket ---- */

static int demand_curve(void *socket, const char *secret_key)
{
    int bad = set_int(socket, ZMQ_CURVE_SERVER, 1);
    bad |= zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, WIRE_Z85_LEN + 1);
    bad |= zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "steering", strlen("steering"));
    return bad | set_int(socket, ZMQ_TCP_MAXRT, SILENCE_MS);
}

static int open_steering(sockets_t *s, const char *ip, struct wire_steering *steering,
                         ipp_err_t *err)
{
    char secret_key[WIRE_Z85_LEN + 1];
    steering->protocol = WIRE_STEERING_PROTOCOL;
    if (zmq_curve_keypair(steering->server_key, secret_key) < 0 ||
        zmq_curve_keypair(steering->public_key, steering->secret_key) < 0)
        return ipp_err(err, errno, "cannot make keys: %s", zmq_strerror(errno));
    if (make(s, SOCKET_ZAP, err) < 0 || make(s, SOCKET_STEERING, err) < 0)
        return -1;
    if (zmq_bind(s->at[SOCKET_ZAP], "inproc://zeromq.zap.01") < 0 ||
        demand_curve(s->at[SOCKET_STEERING], secret_key) < 0)
        return ipp_err(err, errno, "cannot set up CURVE: %s", zmq_strerror(errno));
    return bind_port(s, SOCKET_STEERING, ip, &steering->port, err);
}

/* A folder of our own, in the first place where the socket's path is not too long. */
static int make_folder(char folder[PATH_MAX])
{
    const char *places[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i] || places[i][0] != '/' || strlen(places[i]) > 80)
            continue;
        snprintf(folder, PATH_MAX, "%s/ippmpi-XXXXXX", places[i]);
        if (mkdtemp(folder))
            return 0;
    }
    folder[0] = '\0';
    return -1;
}

/* Does without where there is no place for it: clients then use TCP. */
static int open_local(sockets_t *s, struct wire_steering *steering, ipp_err_t *err)
{
    char endpoint[PATH_MAX + 20] = "";
    if (make(s, SOCKET_LOCAL, err) < 0)
        return -1;
    if (make_folder(s->folder) == 0)
        snprintf(endpoint, sizeof endpoint, "ipc://%s/steering", s->folder);
    if (endpoint[0] == '\0' || zmq_bind(s->at[SOCKET_LOCAL], endpoint) < 0) {
        ipp_log(IPP_LOG_WARNING, "no local socket: %s", strerror(errno));
        endpoint[0] = '\0';
    }
    steering->ipc = strdup(endpoint);
    return steering->ipc ? 0 : ipp_err(err, ENOMEM, "no memory for sockets");
}

void sockets_hide(sockets_t *s)
{
    char path[PATH_MAX + 10];
    if (s->folder[0] == '\0')
        return;
    snprintf(path, sizeof path, "%s/steering", s->folder);
    unlink(path);
    rmdir(s->folder);
    s->folder[0] = '\0';
}

/* ---- waiting ---- */

/* zmq_poll asks each socket twice, at two system calls each. A socket's descriptor tells when there
 * is something to ask for; but what a send or receive meets on its way it takes in without a word
 * to the descriptor, so a socket that was used since is asked as well. */
static unsigned ask(sockets_t *s, unsigned which)
{
    unsigned ready = 0;
    for (int i = 0; i < SOCKETS; i++) {
        int events = 0;
        size_t size = sizeof events;
        if ((which & 1u << i) && zmq_getsockopt(s->at[i], ZMQ_EVENTS, &events, &size) == 0 &&
            (events & ZMQ_POLLIN))
            ready |= 1u << i;
    }
    return ready;
}

static int watch(sockets_t *s, int fd, unsigned bit)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = bit };
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int watch_all(sockets_t *s, ipp_err_t *err)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < SOCKETS; i++) {
        int fd = -1;
        size_t size = sizeof fd;
        if (i == WIRE_NOTIFICATION) /* nothing comes in there */
            continue;
        if (zmq_getsockopt(s->at[i], ZMQ_FD, &fd, &size) < 0 || watch(s, fd, 1u << i) < 0)
            return ipp_err(err, errno, "cannot watch a socket: %s", strerror(errno));
        s->used |= 1u << i;
    }
    return 0;
}

/* epoll_wait that looks for up to `busy_ns` before it sleeps. */
static int look_or_sleep(int epoll_fd, struct epoll_event *events, int timeout_ms, int64_t busy_ns)
{
    int64_t end = busy_ns > 0 && timeout_ms != 0 ? ipp_now_ns() + busy_ns : 0;
    while (end > 0 && ipp_now_ns() < end) {
        int count = epoll_wait(epoll_fd, events, SOCKETS + 1, 0);
        if (count != 0)
            return count;
        sched_yield(); /* who else wants this core goes first */
    }
    return epoll_wait(epoll_fd, events, SOCKETS + 1, timeout_ms);
}

unsigned sockets_poll(sockets_t *s, int fd, int timeout_ms, int64_t busy_ns)
{
    struct epoll_event events[SOCKETS + 1];
    if (fd != s->other_fd && watch(s, fd, 0) == 0)
        s->other_fd = fd;
    unsigned ready = ask(s, s->used);
    int count = look_or_sleep(s->epoll_fd, events, ready ? 0 : timeout_ms, busy_ns);
    unsigned told = 0;
    for (int i = 0; i < count; i++)
        told |= events[i].data.u32;
    s->used = 0;
    return ready | ask(s, told & ~ready);
}

/* ---- all of them ---- */

sockets_t *sockets_open(const char *ip, int ports[WIRE_PORTS], struct wire_steering *steering,
                        ipp_err_t *err)
{
    sockets_t *s = calloc(1, sizeof *s);
    if (!s) {
        ipp_err(err, ENOMEM, "no memory for sockets");
        return NULL;
    }
    s->epoll_fd = s->other_fd = -1;
    if (!(s->context = zmq_ctx_new())) {
        ipp_err(err, ENOMEM, "no memory for sockets");
        goto error;
    }
    for (int channel = 0; channel < WIRE_PORTS; channel++)
        if (make(s, channel, err) < 0 || bind_port(s, channel, ip, &ports[channel], err) < 0)
            goto error;
    if (open_steering(s, ip, steering, err) < 0 || open_local(s, steering, err) < 0 ||
        watch_all(s, err) < 0)
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
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    for (int which = 0; which < SOCKETS; which++)
        if (s->at[which]) {
            set_int(s->at[which], ZMQ_LINGER, which == SOCKET_ZAP ? 0 : linger_ms);
            zmq_close(s->at[which]);
        }
    if (s->context)
        zmq_ctx_term(s->context);
    sockets_hide(s);
    free(s);
    errno = saved_errno;
}

int sockets_receive(sockets_t *s, int which, ipp_frames_t *frames, char user[WIRE_Z85_LEN + 1])
{
    s->used |= 1u << which;
    return wire_socket_receive(s->at[which], frames, user);
}

int sockets_send(sockets_t *s, int which, ipp_frames_t *frames)
{
    if (which != WIRE_NOTIFICATION)
        s->used |= 1u << which;
    return wire_socket_send(s->at[which], frames);
}
