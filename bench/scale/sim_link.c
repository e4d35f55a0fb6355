/* SPDX-License-Identifier: BSD-3-Clause
 * The link as rank 1's loop sees it, over SimGrid's SMPI: what a message costs rank 1 is an input,
 * and time is the simulation's. */
#include <mpi.h>
#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scale.h"

#define TAG 1

struct link {
    struct link_handlers handlers;
    void *arg;
    int rank, size;
    struct scale_costs costs;
    char buffer[4 * LINK_BATCH_BYTES]; /* of what comes */
};

/* On the way: this, then the bytes of the frame. */
struct head {
    struct link_envelope envelope;
    uint64_t bytes;
};

/* ---- the clock of base ---- */

int64_t ipp_now_ns(void)
{
    return (int64_t)(MPI_Wtime() * 1e9);
}

int64_t ipp_now_ms(void)
{
    return ipp_now_ns() / 1000000;
}

char *ipp_date(char out[IPP_DATE_LEN])
{
    snprintf(out, IPP_DATE_LEN, "%.6f", MPI_Wtime());
    return out;
}

/* ---- messages ---- */

link_t *scale_link(const struct scale_costs *costs)
{
    link_t *link = calloc(1, sizeof *link);
    if (!link)
        abort();
    link->costs = *costs;
    MPI_Comm_rank(MPI_COMM_WORLD, &link->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &link->size);
    return link;
}

static void spend(double ns)
{
    if (ns > 0)
        smpi_execute(ns / 1e9);
}

int link_send(link_t *link, int to, enum link_lane lane, const struct link_envelope *envelope,
              ipp_frames_t *frames)
{
    ipp_frame_t *frame = frames && frames->count > 0 ? frames->at[0] : NULL;
    size_t bytes = frame ? ipp_frame_size(frame) : 0;
    struct head head = { *envelope, bytes };
    char *whole = malloc(sizeof head + bytes);
    (void)lane;
    if (!whole)
        abort();
    memcpy(whole, &head, sizeof head);
    if (frame)
        memcpy(whole + sizeof head, ipp_frame_data(frame), bytes);
    spend(link->costs.message_ns);
    /* Batches are small: they leave without waiting for the receiver (send-is-detached-thresh). */
    MPI_Send(whole, (int)(sizeof head + bytes), MPI_BYTE, to, TAG, MPI_COMM_WORLD);
    free(whole);
    if (frames)
        ipp_frames_clear(frames);
    return 0;
}

int link_multicast(link_t *link, const int *ranks, size_t count, enum link_lane lane,
                   const struct link_envelope *envelope, ipp_frames_t *frames)
{
    for (size_t i = 0; i < count; i++) {
        ipp_frames_t copy = { 0 };
        if (ipp_frames_share(&copy, frames, 0) < 0)
            abort();
        link_send(link, ranks[i], lane, envelope, &copy);
    }
    ipp_frames_clear(frames);
    return 0;
}

static double records_in(const struct link_envelope *envelope, ipp_frame_t *frame)
{
    size_t at = 0;
    double count = 0;
    if (envelope->kind == LINK_SUBMIT || envelope->kind == LINK_ENDED)
        while (link_batch_next(frame, &at))
            count++;
    return count;
}

void scale_receive(link_t *link, void (*deliver)(void *arg, struct link_message *msg), void *arg)
{
    MPI_Status status;
    struct head head;
    /* MPI_Probe would poll, in the simulation's time and in ours. */
    MPI_Recv(link->buffer, sizeof link->buffer, MPI_BYTE, MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD,
             &status);
    struct link_message msg = { .from = status.MPI_SOURCE, .lane = LINK_DATA };
    memcpy(&head, link->buffer, sizeof head);
    msg.envelope = head.envelope;
    if (head.bytes > 0)
        ipp_frames_push_copy(&msg.frames, link->buffer + sizeof head, head.bytes);
    spend(link->costs.message_ns);
    if (head.bytes > 0)
        spend(link->costs.task_ns / 2 * records_in(&msg.envelope, msg.frames.at[0]));
    deliver(arg, &msg);
    ipp_frames_clear(&msg.frames);
}

bool scale_waiting(void)
{
    int waits;
    MPI_Iprobe(MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD, &waits, MPI_STATUS_IGNORE);
    return waits;
}

/* ---- what else rank 1's loop calls ---- */

bool link_wait(link_t *link, int timeout_ms)
{
    (void)timeout_ms; /* nothing here has a time limit */
    do
        scale_receive(link, link->handlers.deliver, link->arg);
    while (scale_waiting());
    return true;
}

void link_set_handlers(link_t *link, const struct link_handlers *handlers, void *arg)
{
    link->handlers = *handlers;
    link->arg = arg;
}

int link_size(const link_t *link)
{
    return link->size;
}

bool link_is_lost(const link_t *link, int rank)
{
    (void)link, (void)rank;
    return false;
}

void link_mark_lost(link_t *link, int rank)
{
    (void)link, (void)rank;
}

void link_leaving(link_t *link)
{
    (void)link;
}
