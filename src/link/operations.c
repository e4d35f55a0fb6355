/* SPDX-License-Identifier: BSD-3-Clause
 * Sends and receives that MPI has not finished yet. */
#include <errno.h>
#include <stdlib.h>

#include "link/link_private.h"

static int reserve(link_t *link)
{
    if (link->operation_count < link->operation_capacity)
        return 0;
    int capacity = link->operation_capacity ? link->operation_capacity * 2 : 64;
    size_t count = (size_t)capacity;
    MPI_Request *requests = realloc(link->requests, count * sizeof *requests);
    if (requests)
        link->requests = requests;
    struct operation *operations = realloc(link->operations, count * sizeof *operations);
    if (operations)
        link->operations = operations;
    int *completed = realloc(link->completed, count * sizeof *completed);
    if (completed)
        link->completed = completed;
    MPI_Status *statuses = realloc(link->statuses, count * sizeof *statuses);
    if (statuses)
        link->statuses = statuses;
    if (!requests || !operations || !completed || !statuses)
        return -1;
    link->operation_capacity = capacity;
    return 0;
}

struct finished {
    struct operation operation;
    int received; /* bytes, by a receive */
};

static void finish(link_t *link, struct finished *finished)
{
    struct operation *operation = &finished->operation;
    free(operation->packet);
    if (operation->outgoing)
        outgoing_done(link, operation);
    else
        incoming_done(link, operation, (size_t)finished->received);
}

/* What could not be started is tried again at the next nap. */
static int stall(link_t *link, int error)
{
    link->stalled = true;
    errno = error;
    return -1;
}

static void note(link_t *link, struct operation operation)
{
    link->operations[link->operation_count++] = operation;
    link->urgent_count += operation.urgent;
}

int operations_send(link_t *link, const void *data, size_t size, int tag,
                    struct operation operation)
{
    if (reserve(link) < 0)
        return stall(link, ENOMEM);
    MPI_Request *request = &link->requests[link->operation_count];
    if (MPI_Isend(data, (int)size, MPI_BYTE, operation.peer, tag, link->comm, request) !=
        MPI_SUCCESS)
        return stall(link, EHOSTDOWN);
    operation.urgent = size > LINK_EAGER_BYTES || !link->peers[operation.peer].same_host;
    note(link, operation);
    link->peers[operation.peer].unrung += operation.packet != NULL;
    link_ring_later(link, operation.peer);
    return 0;
}

int operations_receive(link_t *link, void *data, size_t size, int tag, struct operation operation)
{
    if (reserve(link) < 0)
        return stall(link, ENOMEM);
    MPI_Request *request = &link->requests[link->operation_count];
    if (MPI_Irecv(data, (int)size, MPI_BYTE, operation.peer, tag, link->comm, request) !=
        MPI_SUCCESS)
        return stall(link, EHOSTDOWN);
    operation.urgent = true;
    note(link, operation);
    return 0;
}

static void take_out(link_t *link, int i)
{
    int last = --link->operation_count;
    link->urgent_count -= link->operations[i].urgent;
    link->requests[i] = link->requests[last];
    link->operations[i] = link->operations[last];
}

bool operations_test(link_t *link)
{
    if (link->operation_count == 0)
        return false;
    link->tested_ms = ipp_now_ms();
    int done = 0;
    MPI_Testsome(link->operation_count, link->requests, &done, link->completed, link->statuses);
    if (done == MPI_UNDEFINED || done <= 0)
        return false;
    /* Finishing one may start others, which are appended: collect all before any. */
    struct finished few[16], *all = done <= 16 ? few : malloc((size_t)done * sizeof *all);
    if (!all)
        abort();
    for (int i = 0; i < done; i++) {
        all[i].operation = link->operations[link->completed[i]];
        all[i].received = 0;
        if (all[i].operation.incoming)
            MPI_Get_count(&link->statuses[i], MPI_BYTE, &all[i].received);
    }
    for (int i = link->operation_count - 1; i >= 0; i--)
        if (link->requests[i] == MPI_REQUEST_NULL)
            take_out(link, i);
    for (int i = 0; i < done; i++)
        finish(link, &all[i]);
    if (all != few)
        free(all);
    return true;
}

void operations_ring_receivers(link_t *link)
{
    for (int i = 0; i < link->operation_count; i++)
        if (link->operations[i].packet)
            link_ring_later(link, link->operations[i].peer);
}

/* What a dead rank still owes MPI is left to MPI: a send to it may never complete, so its bytes are
 * never freed. */
void operations_abandon(link_t *link, int peer)
{
    for (int i = link->operation_count - 1; i >= 0; i--) {
        struct operation operation = link->operations[i];
        if (operation.peer != peer)
            continue;
        if (operation.incoming)
            MPI_Cancel(&link->requests[i]);
        MPI_Request_free(&link->requests[i]);
        take_out(link, i);
        if (operation.outgoing) {
            body_ref(operation.outgoing->body);
            outgoing_done(link, &operation);
        } else if (operation.incoming) {
            body_ref(operation.incoming->body);
            incoming_abandoned(link, operation.incoming);
        }
    }
}
