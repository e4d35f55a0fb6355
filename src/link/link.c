/* SPDX-License-Identifier: BSD-3-Clause
 * The life of a link, sending, and the wait for what comes. */
#include "link/link.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "config.h"
#include "link/link_private.h"

/* Open MPI's probe reports what the progress pass before it found, so one "nothing" proves nothing;
 * what comes over a network may also be behind its bell. */
#define PROBES_LOCAL 2
#define PROBES_REMOTE 3
/* How long a sleeper trusts its bells: Unix datagrams are not lost, UDP may be. */
#define SLEEP_LOCAL_MS 1000
#define SLEEP_REMOTE_MS 100
/* While MPI is busy for us: passes without news that only yield, where there is a core for each
 * rank; then naps of 1, 2, 4 ... ms, which bells cut short. */
#define YIELD_PASSES 50
#define NAP_MAX_MS 64
/* Of 16 ms, when nothing that MPI is busy with is urgent. */
#define FIRST_EASY_NAP 4
#define EASY_TEST_MS 16
/* With more of them MPI may be short of memory that it shares with their receivers. */
#define EASY_MANY 64

void *link_calloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        ipp_log(IPP_LOG_ERROR, "no memory for messages: this rank ends");
        abort();
    }
    return memory;
}

static int trust_bells_ms(const link_t *link)
{
    return link->all_same_host ? SLEEP_LOCAL_MS : SLEEP_REMOTE_MS;
}

void link_ring_later(link_t *link, int rank)
{
    if (rank == link->rank || link->peers[rank].ring)
        return;
    link->peers[rank].ring = true;
    link->to_ring[link->to_ring_count++] = rank;
}

/* Leaves the lock and rings whoever was sent to under it. */
static void unlock_and_ring(link_t *link)
{
    for (int i = 0; i < link->to_ring_count; i++) {
        struct peer *peer = &link->peers[link->to_ring[i]];
        peer->ring = false;
        if (!peer->lost && bell_ring(link->bell, &peer->address, peer->unrung))
            peer->unrung = 0;
    }
    link->to_ring_count = 0;
    pthread_mutex_unlock(&link->mutex);
}

/* ---- life ---- */

static int add_to_epoll(link_t *link, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    return epoll_ctl(link->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int meet_peers(link_t *link, ipp_err_t *err)
{
    struct bell_address mine;
    struct {
        char version[32];
        size_t packet_size;
    } build = { PACKAGE_VERSION, sizeof(struct packet_head) }, first = build;
    int agreed, same, failed;
    link->bell = bell_create(link->rank, &mine, err);
    /* All ranks learn whether any failed, so that none waits for it in the next collective. */
    MPI_Bcast(&first, sizeof first, MPI_BYTE, 0, link->comm);
    same = memcmp(&first, &build, sizeof build) == 0;
    failed = !link->bell || !same;
    MPI_Allreduce(&failed, &agreed, 1, MPI_INT, MPI_MAX, link->comm);
    if (!same)
        return ipp_err(err, EPROTO,
                       "rank %d runs ippmpi %s, rank 0 runs %s: use one build for the whole job",
                       link->rank, build.version, first.version);
    if (!link->bell)
        return -1;
    if (agreed)
        return ipp_err(err, ECONNABORTED, "another rank could not join");
    struct bell_address *all = malloc((size_t)link->size * sizeof *all);
    if (!all)
        abort();
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, link->comm);
    long here = 0;
    link->all_same_host = true;
    for (int i = 0; i < link->size; i++) {
        struct peer *peer = &link->peers[i];
        peer->address = all[i];
        peer->same_host = bell_same_host(&mine, &all[i]);
        link->all_same_host &= peer->same_host;
        here += peer->same_host;
        for (int lane = 0; lane < LINK_LANES; lane++)
            peer->expected[lane] = 1;
    }
    link->probes = link->all_same_host ? PROBES_LOCAL : PROBES_REMOTE;
    link->yield_passes = here <= sysconf(_SC_NPROCESSORS_ONLN) ? YIELD_PASSES : 0;
    link->lifeline = lifeline_create(link->comm, all, err);
    free(all);
    return link->lifeline ? 0 : -1;
}

link_t *link_create(ipp_err_t *err)
{
    link_t *link = calloc(1, sizeof *link);
    if (!link) {
        ipp_err(err, ENOMEM, "no memory for the link");
        return NULL;
    }
    pthread_mutex_init(&link->mutex, NULL);
    pthread_cond_init(&link->room, NULL);
    MPI_Comm_dup(MPI_COMM_WORLD, &link->comm);
    MPI_Comm_set_errhandler(link->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(link->comm, &link->rank);
    MPI_Comm_size(link->comm, &link->size);
    link->peers = calloc((size_t)link->size, sizeof *link->peers);
    link->to_ring = calloc((size_t)link->size, sizeof *link->to_ring);
    link->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!link->peers || !link->to_ring || link->epoll_fd < 0) {
        ipp_err(err, errno, "cannot set up the link: %s", strerror(errno));
        goto error;
    }
    if (meet_peers(link, err) < 0)
        goto error;
    bell_fds(link->bell, link->bell_fds);
    if (add_to_epoll(link, link->bell_fds[0]) < 0 || add_to_epoll(link, link->bell_fds[1]) < 0 ||
        add_to_epoll(link, lifeline_fd(link->lifeline)) < 0) {
        ipp_err(err, errno, "cannot watch the link's sockets: %s", strerror(errno));
        goto error;
    }
    return link;
error:
    link_destroy(link);
    return NULL;
}

void link_set_handlers(link_t *link, const struct link_handlers *handlers, void *arg)
{
    link->handlers = *handlers;
    link->arg = arg;
}

void link_destroy(link_t *link)
{
    if (!link)
        return;
    int saved_errno = errno;
    for (int rank = 0; link->peers && rank < link->size; rank++)
        link->peers[rank].lost = true; /* nothing is started for it any more */
    for (int rank = 0; link->peers && rank < link->size; rank++) {
        operations_abandon(link, rank);
        outgoing_drop_all(link, rank);
        incoming_drop_all(link, rank);
    }
    multicast_forget_all(link);
    lifeline_destroy(link->lifeline);
    bell_destroy(link->bell);
    if (link->epoll_fd >= 0)
        close(link->epoll_fd);
    if (!link->any_lost)
        MPI_Comm_free(&link->comm);
    pthread_cond_destroy(&link->room);
    pthread_mutex_destroy(&link->mutex);
    free(link->requests);
    free(link->operations);
    free(link->completed);
    free(link->statuses);
    free(link->to_ring);
    free(link->peers);
    free(link);
    errno = saved_errno;
}

int link_rank(const link_t *link)
{
    return link->rank;
}

int link_size(const link_t *link)
{
    return link->size;
}

bool link_same_host(const link_t *link, int rank)
{
    return link->peers[rank].same_host;
}

/* ---- sending ---- */

static int post_one(link_t *link, int to, enum link_lane lane, const struct link_envelope *envelope,
                    ipp_frames_t *frames)
{
    struct peer *peer = &link->peers[to];
    if (peer->lost) {
        errno = EHOSTDOWN;
        return -1;
    }
    struct body *body = body_new(link->rank, lane, envelope, frames);
    struct hop hop = { to, ++peer->sent[lane] };
    int result = outgoing_post(link, body, &hop, 1);
    if (result < 0)
        peer->sent[lane]--;
    body_unref(body);
    return result;
}

/* Leaves the lock after something was posted. Who drives sees to the rest; others save it the
 * trouble where MPI is done at once. */
static void hand_over(link_t *link)
{
    bool driving = pthread_equal(link->driver, pthread_self());
    if (!driving)
        operations_test(link);
    bool unfinished = link->operation_count > 0 || link->ready_head;
    unlock_and_ring(link);
    if (unfinished && !driving)
        link_wake(link);
}

int link_send(link_t *link, int to, enum link_lane lane, const struct link_envelope *envelope,
              ipp_frames_t *frames)
{
    int result = -1;
    pthread_mutex_lock(&link->mutex);
    if (to < 0 || to >= link->size)
        errno = ESRCH;
    else
        result = post_one(link, to, lane, envelope, frames);
    hand_over(link);
    if (frames)
        ipp_frames_clear(frames);
    return result;
}

int link_multicast(link_t *link, const int *ranks, size_t count, enum link_lane lane,
                   const struct link_envelope *envelope, ipp_frames_t *frames)
{
    pthread_mutex_lock(&link->mutex);
    struct body *body = body_new(link->rank, lane, envelope, frames);
    int result = multicast_start(link, body, ranks, count);
    body_unref(body);
    hand_over(link);
    if (frames)
        ipp_frames_clear(frames);
    return result;
}

/* ---- progress ---- */

static void acknowledge_bulk(link_t *link, const struct incoming *in)
{
    struct link_envelope nothing = { .kind = LINK_NOTHING };
    post_one(link, in->body->origin, LINK_CONTROL, &nothing, NULL);
}

static void deliver(link_t *link, struct incoming *in)
{
    struct body *body = in->body;
    struct link_message message = { .from = body->origin,
                                    .lane = body->lane,
                                    .envelope = body->envelope };
    if (body->envelope.kind == LINK_NOTHING)
        return;
    /* The frames are shared with forwards that are still under way: hand out references of their
     * own. */
    if (body->references == 1) {
        message.frames = body->frames;
        body->frames = (ipp_frames_t){ 0 };
    } else if (ipp_frames_share(&message.frames, &body->frames, 0) < 0) {
        abort();
    }
    pthread_mutex_unlock(&link->mutex);
    link->handlers.deliver(link->arg, &message);
    ipp_frames_clear(&message.frames);
    pthread_mutex_lock(&link->mutex);
}

static bool deliver_ready(link_t *link)
{
    bool any = false;
    for (struct incoming *in; (in = link->ready_head) != NULL; any = true) {
        link->ready_head = in->next_ready;
        if (!link->ready_head)
            link->ready_tail = NULL;
        if (in->body->acknowledge && in->chunk_count > 0)
            acknowledge_bulk(link, in);
        deliver(link, in);
        incoming_free(in);
    }
    return any;
}

static bool report_lost(link_t *link)
{
    bool any = false;
    for (int rank; (rank = lifeline_next_lost(link->lifeline)) >= 0;) {
        any = true;
        if (!link->leaving)
            link->handlers.lost(link->arg, rank);
    }
    return any;
}

/* There is reason to probe: for `news` more messages, or, when -1, until nothing is there. */
static void heed(link_t *link, int64_t news)
{
    link->announced = news < 0 || !link->all_same_host ? INT32_MAX : link->announced + news;
    if (link->announced > 0)
        link->misses = 0;
}

/* Waits up to timeout_ms for a descriptor to become readable, and sees to the link's own. Bells are
 * taken away before anybody looks for messages: a bell from then on wakes the next wait. */
static bool listen_for(link_t *link, int timeout_ms)
{
    struct epoll_event events[8];
    bool happened = false;
    int count = epoll_wait(link->epoll_fd, events, 8, timeout_ms);
    int64_t now = ipp_now_ms();
    if (now - link->looked_ms >= trust_bells_ms(link)) {
        link->looked_ms = now;
        heed(link, -1);
    }
    link->watched_ready = false;
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd == link->bell_fds[0] || fd == link->bell_fds[1]) {
            heed(link, bell_drain(link->bell, fd));
            link->looked_ms = now;
        } else if (fd == lifeline_fd(link->lifeline)) {
            happened |= report_lost(link);
        } else {
            link->watched_ready = true;
        }
    }
    return happened;
}

static void pump_all(link_t *link)
{
    link->stalled = false;
    for (int rank = 0; rank < link->size; rank++)
        for (int lane = 0; lane < LINK_LANES && !link->peers[rank].lost; lane++) {
            outgoing_pump(link, rank, (enum link_lane)lane);
            incoming_pump(link, rank, (enum link_lane)lane);
        }
}

/* Each vain question costs a yield of the processor. What is done but for a word of completion is
 * asked after when something came in, or now and then. */
static bool operations_due(const link_t *link, bool came)
{
    return came || link->urgent_count > 0 || link->unsettled || link->operation_count > EASY_MANY ||
           ipp_now_ms() - link->tested_ms >= EASY_TEST_MS;
}

/* One look at MPI. A head may be behind completions in the order in which MPI takes things up, a
 * few for each call: what was announced and not found is looked for again when some have come.
 * Probes only when a bell or the time since the last one gives reason to, until
 * enough of them found nothing. */
static bool look_once(link_t *link)
{
    bool happened = link->misses < link->probes && incoming_probe(link);
    pthread_mutex_lock(&link->mutex);
    link->driver = pthread_self();
    bool due = operations_due(link, happened);
    bool tested = due && operations_test(link);
    if (tested && link->unsettled)
        heed(link, -1);
    if (tested)
        happened = true;
    link->unsettled &= link->operation_count > 0;
    if (deliver_ready(link))
        happened = true;
    link->quiet_passes = happened ? 0 : link->quiet_passes + due;
    if (due && link->quiet_passes > link->yield_passes + 1)
        operations_ring_receivers(link);
    if (link->stalled)
        pump_all(link);
    unlock_and_ring(link);
    return happened;
}

static bool look(link_t *link)
{
    bool happened = look_once(link);
    while (!happened && link->misses < link->probes)
        happened = look_once(link);
    return happened;
}

bool link_progress(link_t *link)
{
    bool heard = listen_for(link, 0);
    return look(link) || heard;
}

int link_fd(const link_t *link)
{
    return link->epoll_fd;
}

int link_timeout(link_t *link)
{
    pthread_mutex_lock(&link->mutex);
    int timeout = trust_bells_ms(link);
    if (link->operation_count > 0 || link->stalled) {
        int naps = link->quiet_passes - link->yield_passes;
        if (link->urgent_count == 0 && !link->stalled)
            naps = (naps < 0 ? 0 : naps) + FIRST_EASY_NAP;
        timeout = naps <= 0 ? 0 : naps >= 6 ? NAP_MAX_MS : 1 << naps;
    }
    pthread_mutex_unlock(&link->mutex);
    return timeout;
}

bool link_wait(link_t *link, int timeout_ms)
{
    if (look(link)) /* what bells told of; what they tell of now ends the wait at once */
        return true;
    int timeout = link_timeout(link);
    if (timeout == 0)
        sched_yield();
    bool heard = listen_for(link, timeout < timeout_ms ? timeout : timeout_ms);
    return look(link) || heard;
}

int link_watch(link_t *link, int fd)
{
    return add_to_epoll(link, fd);
}

bool link_watched_ready(const link_t *link)
{
    return link->watched_ready;
}

void link_wait_room(link_t *link, int limit)
{
    pthread_mutex_lock(&link->mutex);
    while (link->unsent > limit && !link->leaving && !link->peers[0].lost)
        pthread_cond_wait(&link->room, &link->mutex);
    pthread_mutex_unlock(&link->mutex);
}

int link_unsent(link_t *link)
{
    pthread_mutex_lock(&link->mutex);
    int unsent = link->unsent;
    pthread_mutex_unlock(&link->mutex);
    return unsent;
}

void link_wake(link_t *link)
{
    bell_ring_self(link->bell);
}

/* ---- death and the end ---- */

void link_mark_lost(link_t *link, int rank)
{
    pthread_mutex_lock(&link->mutex);
    if (!link->peers[rank].lost) {
        link->peers[rank].lost = true;
        link->any_lost = true;
        operations_abandon(link, rank);
        outgoing_drop_all(link, rank);
        incoming_drop_all(link, rank);
        multicast_resend_past(link, rank);
    }
    unlock_and_ring(link);
    link_wake(link);
}

bool link_is_lost(const link_t *link, int rank)
{
    return link->peers[rank].lost;
}

bool link_any_lost(const link_t *link)
{
    return link->any_lost;
}

void link_leaving(link_t *link)
{
    pthread_mutex_lock(&link->mutex);
    link->leaving = true;
    pthread_cond_broadcast(&link->room);
    pthread_mutex_unlock(&link->mutex);
}

bool link_drain(link_t *link, int timeout_ms)
{
    int64_t deadline = ipp_now_ms() + timeout_ms;
    while (link_unsent(link) > 0) {
        int64_t left = deadline - ipp_now_ms();
        if (left <= 0)
            return false;
        link_wait(link, (int)left);
    }
    return true;
}
