/* SPDX-License-Identifier: BSD-3-Clause
 * Lifelines: rank 0 listens, the others connect and show the job's token. */
#include "link/lifeline.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 30000
/* A peer host that vanishes without a word is noticed after KEEPALIVE_IDLE_S + KEEPALIVE_PROBES *
 * KEEPALIVE_INTERVAL_S. */
#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES 4

struct lifeline {
    int rank, size;
    int epoll_fd;
    int *fds; /* rank 0: by rank; others: fds[0] is the line to rank 0; -1 where there is none */
};

/* A child that user code forks must not hold the line of a dead parent. One process has one link.
 */
static lifeline_t *own;

static void close_in_child(void)
{
    for (int i = 0; own && i < own->size; i++)
        if (own->fds[i] >= 0)
            close(own->fds[i]);
    own = NULL;
}

/* What rank 0 tells all others: where to connect and what to say there. */
struct invitation {
    struct sockaddr_un local;
    socklen_t local_size;
    in_port_t tcp_port;
    unsigned char token[16];
    int ok;
};

struct greeting {
    unsigned char token[16];
    int rank;
};

static int listen_local(struct invitation *invitation)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un *name = &invitation->local;
    name->sun_family = AF_UNIX;
    int used =
        snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "ippmpi-life-%ld", (long)getpid());
    invitation->local_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)name, invitation->local_size) < 0 ||
                    listen(fd, SOMAXCONN) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listen_tcp(struct invitation *invitation)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = { .sin_family = AF_INET };
    socklen_t size = sizeof any;
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&any, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
                    getsockname(fd, (struct sockaddr *)&any, &size) < 0)) {
        close(fd);
        return -1;
    }
    invitation->tcp_port = any.sin_port;
    return fd;
}

static void keep_alive(int fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
              probes = KEEPALIVE_PROBES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int watch(lifeline_t *l, int rank, int fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.u32 = (uint32_t)rank };
    l->fds[rank] = fd;
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Reads one greeting; a stranger is turned away. Returns the rank, or -1. */
static int admit(lifeline_t *l, int fd, const unsigned char *token)
{
    struct greeting greeting;
    struct timeval patience = { .tv_sec = 2 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recv(fd, &greeting, sizeof greeting, MSG_WAITALL) != (ssize_t)sizeof greeting ||
        memcmp(greeting.token, token, sizeof greeting.token) != 0 || greeting.rank < 1 ||
        greeting.rank >= l->size || l->fds[greeting.rank] >= 0)
        return -1;
    return greeting.rank;
}

static int accept_all(lifeline_t *l, int listeners[2], const unsigned char *token, ipp_err_t *err)
{
    int64_t deadline = ipp_now_ms() + CONNECT_TIMEOUT_MS;
    for (int missing = l->size - 1; missing > 0;) {
        struct pollfd fds[2] = { { listeners[0], POLLIN, 0 }, { listeners[1], POLLIN, 0 } };
        int64_t left = deadline - ipp_now_ms();
        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR))
            return ipp_err(err, ETIMEDOUT,
                           "%d ranks did not reach rank 0's lifeline port within %d s", missing,
                           CONNECT_TIMEOUT_MS / 1000);
        for (int k = 0; k < 2; k++) {
            int fd = fds[k].revents & POLLIN ? accept4(listeners[k], NULL, NULL, SOCK_CLOEXEC) : -1;
            if (fd < 0)
                continue;
            int rank = admit(l, fd, token);
            if (rank < 0 || watch(l, rank, fd) < 0) {
                close(fd);
                continue;
            }
            if (k == 1)
                keep_alive(fd);
            missing--;
        }
    }
    return 0;
}

static int connect_to_root(lifeline_t *l, const struct bell_address *addresses,
                           const struct invitation *invitation, ipp_err_t *err)
{
    bool local = bell_same_host(&addresses[0], &addresses[l->rank]);
    struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_port = invitation->tcp_port };
    if (!local && !bell_pick(&addresses[l->rank], &addresses[0], &tcp.sin_addr))
        return ipp_err(err, EHOSTUNREACH, "rank %d has no network address in common with rank 0",
                       l->rank);
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = { .tv_sec = CONNECT_TIMEOUT_MS / 1000 };
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    struct greeting greeting = { .rank = l->rank };
    memcpy(greeting.token, invitation->token, sizeof greeting.token);
    int connected =
        local ? connect(fd, (const struct sockaddr *)&invitation->local, invitation->local_size)
              : connect(fd, (const struct sockaddr *)&tcp, sizeof tcp);
    if (fd < 0 || connected < 0 ||
        send(fd, &greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t)sizeof greeting) {
        ipp_err(err, errno, "rank %d cannot reach rank 0's lifeline port: %s", l->rank,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!local)
        keep_alive(fd);
    return watch(l, 0, fd);
}

static int root_listen(int listeners[2], struct invitation *invitation)
{
    listeners[0] = listen_local(invitation);
    listeners[1] = listen_tcp(invitation);
    if (listeners[0] < 0 || listeners[1] < 0 ||
        getrandom(invitation->token, sizeof invitation->token, 0) !=
            (ssize_t)sizeof invitation->token)
        return -1;
    invitation->ok = 1;
    return 0;
}

static int establish(lifeline_t *l, MPI_Comm comm, const struct bell_address *addresses,
                     ipp_err_t *err)
{
    int listeners[2] = { -1, -1 };
    struct invitation invitation = { 0 };
    if (l->rank == 0 && root_listen(listeners, &invitation) < 0)
        ipp_err(err, errno, "rank 0 cannot open its lifeline ports: %s", strerror(errno));
    MPI_Bcast(&invitation, sizeof invitation, MPI_BYTE, 0, comm);
    int result = -1;
    if (!invitation.ok && l->rank != 0)
        ipp_err(err, ECONNREFUSED, "rank 0 could not open its lifeline ports");
    else if (invitation.ok)
        result = l->rank == 0 ? accept_all(l, listeners, invitation.token, err)
                              : connect_to_root(l, addresses, &invitation, err);
    for (int k = 0; k < 2; k++)
        if (listeners[k] >= 0)
            close(listeners[k]);
    return result;
}

lifeline_t *lifeline_create(MPI_Comm comm, const struct bell_address *addresses, ipp_err_t *err)
{
    lifeline_t *l = calloc(1, sizeof *l);
    if (!l)
        goto error;
    l->epoll_fd = -1;
    MPI_Comm_rank(comm, &l->rank);
    MPI_Comm_size(comm, &l->size);
    l->fds = malloc((size_t)l->size * sizeof *l->fds);
    if (!l->fds)
        goto error;
    for (int i = 0; i < l->size; i++)
        l->fds[i] = -1;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        goto error;
    if (establish(l, comm, addresses, err) < 0)
        goto destroy;
    static bool watched;
    if (!watched)
        pthread_atfork(NULL, NULL, close_in_child);
    watched = true;
    own = l;
    return l;
error:
    ipp_err(err, errno, "cannot set up lifelines: %s", strerror(errno));
destroy:
    lifeline_destroy(l);
    return NULL;
}

void lifeline_destroy(lifeline_t *l)
{
    if (!l)
        return;
    int saved_errno = errno;
    own = NULL;
    for (int i = 0; l->fds && i < l->size; i++)
        if (l->fds[i] >= 0)
            close(l->fds[i]);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    free(l->fds);
    free(l);
    errno = saved_errno;
}

int lifeline_fd(const lifeline_t *l)
{
    return l->epoll_fd;
}

int lifeline_next_lost(lifeline_t *l)
{
    struct epoll_event event;
    while (epoll_wait(l->epoll_fd, &event, 1, 0) == 1) {
        int rank = (int)event.data.u32;
        char byte;
        if (recv(l->fds[rank], &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        close(l->fds[rank]); /* also takes it out of the epoll set */
        l->fds[rank] = -1;
        return rank;
    }
    return -1;
}
