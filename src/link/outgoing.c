/* SPDX-License-Identifier: BSD-3-Clause
 * Messages on their way out: per destination and lane one queue; its first message sends, in a
 * window of chunks. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "link/link_private.h"

static void outgoing_free(link_t *link, struct outgoing *o)
{
    body_unref(o->body);
    free(o->hops);
    free(o);
    link->unsent--;
    pthread_cond_broadcast(&link->room);
}

int outgoing_post(link_t *link, struct body *body, const struct hop *hops, size_t hop_count)
{
    if (packet_size(body, hop_count) > INT_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    struct outgoing *o = link_calloc(1, sizeof *o);
    struct hop *copy = link_calloc(hop_count, sizeof *copy);
    memcpy(copy, hops, hop_count * sizeof *copy);
    o->body = body_ref(body);
    o->hops = copy;
    o->hop_count = hop_count;
    o->to = hops[0].rank;
    o->queued = true;
    link->unsent++;
    struct peer *peer = &link->peers[o->to];
    if (peer->out_tail[body->lane])
        peer->out_tail[body->lane]->next = o;
    else
        peer->out_head[body->lane] = o;
    peer->out_tail[body->lane] = o;
    outgoing_pump(link, hops[0].rank, body->lane);
    return 0;
}

static int send_head(link_t *link, struct outgoing *o)
{
    size_t size;
    void *packet = packet_pack(link, o, &size);
    struct operation operation = { .outgoing = o, .packet = packet, .peer = o->to };
    if (!packet || operations_send(link, packet, size, LINK_TAG_HEAD, operation) < 0) {
        free(packet);
        return -1;
    }
    o->head_sent = true;
    o->in_flight++;
    return 0;
}

/* Sends chunks that are here while the window is open; of a broken body empty ones for the rest, so
 * that the receiver comes to its end too. True when the last one has been handed to MPI. */
static bool send_bulk(link_t *link, struct outgoing *o)
{
    char *data;
    size_t length;
    while ((length = body_chunk(o->body, &o->cursor, &data)) > 0) {
        bool here = o->cursor.passed + length <= o->body->available;
        if (o->in_flight >= LINK_WINDOW || (!here && !o->body->broken))
            return false;
        struct operation operation = { .outgoing = o, .peer = o->to };
        if (operations_send(link, data, here ? length : 0, LINK_TAG_BULK + (int)o->body->lane,
                            operation) < 0)
            return false;
        o->in_flight++;
        body_advance(&o->cursor, length);
    }
    return true;
}

void outgoing_pump(link_t *link, int to, enum link_lane lane)
{
    struct peer *peer = &link->peers[to];
    for (struct outgoing *o; (o = peer->out_head[lane]) != NULL;) {
        if (!o->head_sent && send_head(link, o) < 0)
            return;
        if (!send_bulk(link, o))
            return;
        peer->out_head[lane] = o->next;
        if (!o->next)
            peer->out_tail[lane] = NULL;
        o->queued = false;
        if (o->in_flight == 0)
            outgoing_free(link, o);
    }
}

void outgoing_done(link_t *link, struct operation *operation)
{
    struct outgoing *o = operation->outgoing;
    int to = o->to;
    enum link_lane lane = o->body->lane;
    o->in_flight--;
    if (!o->queued && o->in_flight == 0)
        outgoing_free(link, o);
    else if (o->queued && !link->peers[to].lost)
        outgoing_pump(link, to, lane);
}

/* Call after operations_abandon: nothing of these is in flight any more, but for those already off
 * their queue. */
void outgoing_drop_all(link_t *link, int to)
{
    struct peer *peer = &link->peers[to];
    for (int lane = 0; lane < LINK_LANES; lane++) {
        for (struct outgoing *o = peer->out_head[lane], *next; o; o = next) {
            next = o->next;
            outgoing_free(link, o);
        }
        peer->out_head[lane] = peer->out_tail[lane] = NULL;
    }
}
