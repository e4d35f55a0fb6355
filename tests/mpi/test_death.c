/* SPDX-License-Identifier: BSD-3-Clause
 * A rank dies while it passes a broadcast on: those below it get everything all the same, in order
 * and whole. Run as `test_death VICTIM` under an mpirun that outlives a rank; the last line of rank
 * 0 says how many survivors got all of it. */
#include <mpi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/link.h"
#include "link/link_private.h"

#define GIVE_UP_MS 60000
/* More chunks than the windows from rank 0 to the victim and on hold: it dies half-way. */
#define BULK_BYTES ((size_t)3 * LINK_WINDOW * LINK_CHUNK_BYTES)

enum { HALF_WAY, BEFORE_KNOWN, AFTERWARDS, SMALL, MESSAGES };
static const size_t sizes[MESSAGES] = { BULK_BYTES, 2 * LINK_CHUNK_BYTES + 5, 40000, 100 };

static link_t *the_link;
static int rank, size, received, reports;
static bool go;

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static unsigned char pattern(int number, size_t i)
{
    return (unsigned char)((size_t)number * 31 + i * 7 + (i >> 12));
}

static ipp_frame_t *patterned(int number)
{
    ipp_frame_t *frame = ipp_frame_alloc(sizes[number]);
    unsigned char *data = frame ? ipp_frame_data(frame) : NULL;
    for (size_t i = 0; data && i < sizes[number]; i++)
        data[i] = pattern(number, i);
    return frame;
}

static void check_message(const struct link_message *msg)
{
    int number = (int)msg->envelope.request;
    if (number != received)
        fail("a message out of order");
    const unsigned char *data = ipp_frame_data(msg->frames.at[0]);
    if (ipp_frame_size(msg->frames.at[0]) != sizes[number])
        fail("a message of another size");
    for (size_t i = 0; i < sizes[number]; i++)
        if (data[i] != pattern(number, i))
            fail("a message with other bytes");
    received++;
}

static void send_one(int to, enum link_kind kind, int value)
{
    struct link_envelope envelope = { .kind = (uint16_t)kind, .value = value };
    link_send(the_link, to, LINK_CONTROL, &envelope, NULL);
}

static void take(void *arg, struct link_message *msg)
{
    (void)arg;
    switch (msg->envelope.kind) {
    case LINK_REQUEST:
        check_message(msg);
        if (received == MESSAGES)
            send_one(0, LINK_REPLY, 0);
        break;
    case LINK_LOST:
        link_mark_lost(the_link, msg->envelope.value);
        break;
    case LINK_REPLY:
        reports++;
        break;
    default:
        go = true;
    }
}

static void note_lost(void *arg, int who)
{
    (void)arg;
    if (rank != 0)
        _exit(1);
    link_mark_lost(the_link, who);
    for (int to = 1; to < size; to++)
        send_one(to, LINK_LOST, who);
}

/* Sends what MPI already has, and no more. */
static void let_mpi_work(void)
{
    int flag;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
}

static void broadcast(int number)
{
    int all[64];
    for (int i = 1; i < size; i++)
        all[i - 1] = i;
    struct link_envelope envelope = { .kind = LINK_REQUEST, .request = (uint64_t)number };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_push(&frames, patterned(number)) < 0 ||
        link_multicast(the_link, all, (size_t)size - 1, LINK_DATA, &envelope, &frames) < 0)
        fail("cannot broadcast");
}

static bool line_broke(void)
{
    struct pollfd line = { lifeline_fd(the_link->lifeline), POLLIN, 0 };
    return poll(&line, 1, 0) > 0;
}

static void lead(int victim)
{
    int64_t deadline = ipp_now_ms() + GIVE_UP_MS;
    broadcast(HALF_WAY);
    /* Only the first window leaves, so whoever is to die has not got all of it. */
    while (!line_broke()) {
        let_mpi_work();
        if (ipp_now_ms() > deadline)
            fail("the victim does not die");
    }
    broadcast(BEFORE_KNOWN);
    while (!link_is_lost(the_link, victim))
        link_wait(the_link, 1000);
    /* In the tree without rank 1, rank 5 passes on to 21 again. */
    broadcast(AFTERWARDS);
    broadcast(SMALL);
    while (reports < size - 2) {
        link_wait(the_link, 1000);
        if (ipp_now_ms() > deadline) {
            fprintf(stderr, "rank %d dead, %d of %d survivors have all\n", victim, reports,
                    size - 2);
            fail("somebody waits for ever");
        }
    }
    if (the_link->retained_head)
        fail("a broadcast that all have is still kept");
    for (int to = 1; to < size; to++)
        send_one(to, LINK_LEAVE, 0);
    link_drain(the_link, 1000);
    printf("rank %d dead: %d survivors have all\n", victim, reports);
    fflush(stdout);
}

/* The window from above has come, and all of it has left for those below. */
static bool half_way(void)
{
    const struct incoming *in = the_link->peers[0].ordered[LINK_DATA];
    if (!in || in->chunks_complete < LINK_WINDOW)
        return false;
    for (int i = 0; i < in->forward_count; i++) {
        const struct outgoing *o = the_link->peers[in->forward_to[i]].out_head[LINK_DATA];
        if (!o || o->in_flight > 0 || o->cursor.passed < in->body->available)
            return false;
    }
    return true;
}

static void follow(bool victim)
{
    int64_t deadline = ipp_now_ms() + GIVE_UP_MS + 5000;
    while (!go) {
        link_wait(the_link, 100);
        if (victim && half_way())
            _exit(1);
        if (ipp_now_ms() > deadline)
            fail("no word from rank 0");
    }
}

int main(int argc, char **argv)
{
    int provided, victim = argc > 1 ? atoi(argv[1]) : 1;
    ipp_err_t err = { "" };
    struct link_handlers handlers = { .deliver = take, .lost = note_lost };
    signal(SIGUSR1, SIG_IGN); /* MPICH's launcher tells survivors by it */
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    the_link = link_create(&err);
    if (!the_link)
        fail(err.text);
    link_set_handlers(the_link, &handlers, NULL);
    if (rank == 0)
        lead(victim);
    else
        follow(rank == victim);
    _exit(0); /* MPI_Finalize would wait for the dead */
}
