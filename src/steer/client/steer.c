/* SPDX-License-Identifier: BSD-3-Clause
 * Connections as the caller sees them: made, driven, closed. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define CONNECT_MS 10000
#define CONNECT_SSH_MS 60000 /* somebody may have to type */
#define CLOSE_MS 5000

/* ---- made ---- */

static int make_fds(ipp_steer_t *steer, ipp_err_t *err)
{
    struct epoll_event wake = { .events = EPOLLIN, .data.u32 = STEER_WAKE },
                       event = { .events = EPOLLIN };
    steer->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    steer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    steer->self_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (steer->epoll_fd < 0 || steer->wake_fd < 0 || steer->self_fd < 0 ||
        epoll_ctl(steer->epoll_fd, EPOLL_CTL_ADD, steer->wake_fd, &wake) < 0 ||
        epoll_ctl(steer->epoll_fd, EPOLL_CTL_ADD, steer->self_fd, &event) < 0)
        return ipp_err(err, errno, "no descriptors: %s", strerror(errno));
    steer->line.epoll_fd = steer->epoll_fd;
    return 0;
}

static int make_names(ipp_steer_t *steer, const char *client, ipp_err_t *err)
{
    wire_uuid(steer->session);
    wire_random_hex(steer->token, WIRE_TOKEN_LEN);
    steer->client = strdup(client ? client : "libippsteer");
    return steer->client ? 0 : ipp_err(err, ENOMEM, "no memory");
}

static int attach(ipp_steer_t *steer, int64_t deadline, ipp_err_t *err)
{
    connect_start(steer);
    while (steer->state != SESSION_ATTACHED) {
        int64_t left = deadline - ipp_now_ms();
        if (left <= 0)
            return ipp_err(err, ETIMEDOUT, "%s: no answer at %s: %s", steer->place.label,
                           steer->place.endpoint,
                           steer->trouble.text[0] ? steer->trouble.text : "is the cluster gone?");
        if (ipp_steer_progress(steer, (int)left, (ipp_error_t *)err) < 0)
            return -1;
    }
    return 0;
}

/* The errno of a failure is kept. */
static void destroy(ipp_steer_t *steer)
{
    int saved_errno = errno;
    connect_stop(steer);
    if (steer->line.context)
        zmq_ctx_term(steer->line.context);
    place_clear(&steer->place);
    outbox_clear(&steer->outbox);
    about_clear(steer);
    int fds[] = { steer->epoll_fd, steer->wake_fd, steer->self_fd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    explicit_bzero(steer->token, sizeof steer->token);
    free(steer->client);
    free(steer);
    errno = saved_errno;
}

ipp_steer_t *ipp_steer_connect(const char *where, const ipp_steer_options_t *options,
                               ipp_error_t *err)
{
    static const ipp_steer_options_t none;
    const ipp_steer_options_t *o = options ? options : &none;
    int64_t deadline = ipp_now_ms() + (o->timeout_ms > 0     ? o->timeout_ms
                                       : where_is_ssh(where) ? CONNECT_SSH_MS
                                                             : CONNECT_MS);
    ipp_steer_t *steer = calloc(1, sizeof *steer);
    if (!steer) {
        ipp_err(inner(err), ENOMEM, "no memory");
        return NULL;
    }
    steer->epoll_fd = steer->wake_fd = steer->self_fd = steer->extra_fd = -1;
    if (make_fds(steer, inner(err)) < 0 || make_names(steer, o->client, inner(err)) < 0 ||
        place_find(&steer->place, where, o->profile, deadline, inner(err)) < 0)
        goto error;
    steer->line.context = zmq_ctx_new();
    if (!steer->line.context) {
        ipp_err(inner(err), errno, "no ZeroMQ context: %s", zmq_strerror(errno));
        goto error;
    }
    if (attach(steer, deadline, inner(err)) < 0)
        goto error;
    return steer;
error:
    destroy(steer);
    return NULL;
}

/* ---- closed ---- */

/* What was sent before goes out before. */
static void detach(ipp_steer_t *steer)
{
    ipp_request_t request = { .type = "detach_request", .channel = "session" };
    ipp_future_t *future =
        steer->state == SESSION_ATTACHED ? ipp_steer_send(steer, &request, NULL) : NULL;
    if (!future)
        return;
    ipp_future_wait(future, CLOSE_MS, NULL);
    ipp_future_destroy(future);
}

void ipp_steer_close(ipp_steer_t *steer)
{
    if (!steer)
        return;
    steer->on_event = NULL;
    detach(steer);
    session_die(steer, ECONNABORTED, "closed");
    destroy(steer);
}

/* ---- looked at ---- */

const char *ipp_steer_about(const ipp_steer_t *steer)
{
    return steer->about_text;
}

const int *ipp_steer_engines(const ipp_steer_t *steer, size_t *count)
{
    *count = steer->engine_count;
    return steer->engines;
}

/* ---- driven ---- */

int ipp_steer_timeout(const ipp_steer_t *steer)
{
    return session_timeout(steer);
}

void ipp_steer_wake(ipp_steer_t *steer)
{
    int saved_errno = errno;
    eventfd_write(steer->wake_fd, 1);
    errno = saved_errno;
}

void steer_rearm(ipp_steer_t *steer)
{
    if (!steer->fd_lent || steer->armed ||
        (steer->state != SESSION_DEAD && !line_ready(&steer->line)))
        return;
    eventfd_write(steer->self_fd, 1);
    steer->armed = true;
}

/* Who never asks for it does not sleep on it, and is spared the looks that keep it true. */
int ipp_steer_fd(ipp_steer_t *steer)
{
    if (!steer->fd_lent) {
        steer->fd_lent = true;
        steer_rearm(steer);
    }
    return steer->epoll_fd;
}

static bool taken(int fd)
{
    eventfd_t count;
    return eventfd_read(fd, &count) == 0;
}

/* True: ipp_steer_wake was called. */
static bool wake_taken(ipp_steer_t *steer)
{
    bool woken = taken(steer->wake_fd);
    steer->woken |= woken;
    return woken;
}

/* Sleeps until something happens; true: somebody woke us, or a signal did. */
static bool sleep_until(ipp_steer_t *steer, int timeout_ms)
{
    struct epoll_event event[4];
    int limit = session_timeout(steer);
    if (timeout_ms >= 0 && (limit < 0 || timeout_ms < limit))
        limit = timeout_ms;
    int count = epoll_wait(steer->epoll_fd, event, 4, limit);
    bool woken = false;
    for (int i = 0; i < count; i++) {
        steer->line.told |= event[i].data.u32 == LINE_MONITOR;
        woken |= event[i].data.u32 == STEER_WAKE;
    }
    if (count >= 0)
        return woken && wake_taken(steer);
    steer->woken = true;
    return true;
}

static int report_end(const ipp_steer_t *steer, ipp_error_t *err)
{
    return ipp_err(inner(err), steer->death, "%s", steer->last_words.text);
}

int ipp_steer_progress(ipp_steer_t *steer, int timeout_ms, ipp_error_t *err)
{
    int64_t end = timeout_ms < 0 ? INT64_MAX : ipp_now_ms() + timeout_ms;
    if (steer->state == SESSION_DEAD)
        return report_end(steer, err);
    if (steer->armed) {
        taken(steer->self_fd);
        steer->armed = false;
    }
    steer->line.told |= timeout_ms == 0; /* who slept on the descriptor is somebody else */
    bool woken = timeout_ms == 0 && wake_taken(steer);
    bool happened = session_step(steer);
    while (!happened && !woken && timeout_ms != 0 && steer->state != SESSION_DEAD) {
        int64_t left = timeout_ms < 0 ? -1 : end - ipp_now_ms();
        if (timeout_ms > 0 && left <= 0)
            break;
        woken = !line_ready(&steer->line) && sleep_until(steer, (int)left);
        happened = session_step(steer);
    }
    steer_rearm(steer);
    if (steer->state == SESSION_DEAD)
        return report_end(steer, err);
    return woken ? 2 : happened;
}
